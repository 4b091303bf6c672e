"""An explanation as HTML: its numbers as bars and heat maps, all inline."""

from html import escape
from itertools import groupby

import numpy as np

from ..page import Html, bar, table, tag

CELLS = 32  # of a heat map, at most, along each side
LEVELS = 8  # of strength a sign: one path each keeps a large map small
STRONGEST = 0.5  # opacity of the largest cell, whose number can be read on light and on dark
STYLE = """<style>
.xpmlp .maps { display: flex; flex-wrap: wrap; gap: 1.2em; margin: .3em 0 1.4em; }
.xpmlp figure { margin: 0; max-width: 100%; overflow-x: auto; }
.xpmlp figcaption { font-size: .85em; color: var(--soft); }
.xpmlp svg { background: var(--card); border-radius: 3px; display: block; margin-top: .2em; }
.xpmlp svg .up { fill: var(--up); } .xpmlp svg .down { fill: var(--down); }
.xpmlp svg text { fill: currentColor; font: 11px ui-monospace, Menlo, Consolas, monospace;
  text-anchor: middle; dominant-baseline: central; }
</style>"""
BARS = "Bars show rms: those of values on one scale, those of gradients on another."
COLOURS = (
    "Blue is positive, red is negative, the strongest colour the largest cell; a cell of a large "
    "array is the mean of a block."
)


def html_parts(explanation):
    """Return the page's parts."""
    parts = [Html(STYLE), *explanation.remarks, tag("h2", "Equations"), BARS]
    head, *rows = explanation.parameter_rows
    parts.append(_equations(explanation))
    if explanation.update.lines:
        parts += [explanation.update.heading, tag("pre", "\n".join(explanation.update.lines))]
    parts += [tag("h2", "Parameters")]
    parts += [table(head, rows, numbers=range(2, 7)), COLOURS]
    for _, group in groupby(explanation.parameters, lambda p: p.layer):
        maps = (_map(p.name, p.value) + _map(f"d{p.name}", p.gradient) for p in group)
        parts.append(Html(f"<div class='maps'>{''.join(maps)}</div>"))
    return parts


def _equations(explanation):
    """Return the table of equations, with bars of rms: one scale for values, one for gradients."""
    sections, most = explanation.sections, {True: 0.0, False: 0.0}
    for line in (line for _, lines, _ in sections for line in lines if line.shapes):
        most[line.left.gradient] = max(most[line.left.gradient], line.rms)
    rows: list[tuple] = []
    for heading, lines, notes in sections:
        rows.append((tag("strong", heading), "", "", ""))
        for line in lines:
            norm, size = f"{line.norm:.6g}", ""
            if line.shapes:
                norm = f"{line.norm:.3g}"
                size = bar(line.rms / (most[line.left.gradient] or 1.0), f"{line.rms:.3g}")
            shapes = tag("code", line.shapes) if line.shapes else ""
            rows.append((tag("code", line.formula), shapes, norm, size))
        if notes and notes.units:
            dead = bar(notes.dead / notes.units, f"{notes.dead:,} of {notes.units:,}")
            rows.append(("dead units", "", "", dead))
    return table(("", "shapes", "norm", "rms"), rows, numbers=(2,))


def _map(name, a):
    """Return a heat map of a matrix, with its numbers where they find room."""
    cells = np.nan_to_num(np.asarray(a, np.float64))
    for axis, n in enumerate(a.shape):
        starts = np.unique(np.linspace(0, n, CELLS, endpoint=False).astype(int))
        sums, sizes = np.add.reduceat(cells, starts, axis=axis), np.diff([*starts, n])
        cells = sums / np.expand_dims(sizes, 1 - axis)
    (rows, columns), most = cells.shape, np.abs(cells).max()
    w = h = min(16, 240 // max(rows, columns))
    numbers = max(rows, columns) <= 10 and a.size <= 64
    if numbers:
        w, h = 62, 22
    levels = (np.sign(cells) * np.ceil(LEVELS * np.abs(cells) / (most or 1.0))).astype(int)
    shapes = []
    for level in sorted({*levels.ravel().tolist()} - {0}):
        at = "".join(f"M{w * j} {h * i}h{w}v{h}h-{w}z" for i, j in np.argwhere(levels == level))
        kind, strength = ("down", "up")[level > 0], STRONGEST * abs(level) / LEVELS
        shapes.append(f"<path class='{kind}' fill-opacity='{strength:.3g}' d='{at}'/>")
    if numbers:
        for (i, j), cell in np.ndenumerate(cells):
            shapes.append(f"<text x='{w * j + w // 2}' y='{h * i + h // 2}'>{cell:.2g}</text>")
    caption = escape(f"{name} ({','.join(map(str, a.shape))}), largest {np.abs(a).max():.3g}")
    return (
        f"<figure><figcaption>{caption}</figcaption><svg width='{w * columns}' "
        f"height='{h * rows}' role='img' aria-label='{caption}'>{''.join(shapes)}</svg></figure>"
    )
