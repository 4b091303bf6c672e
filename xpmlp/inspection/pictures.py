"""An explanation as HTML: its numbers as bars and heat maps, all inline."""

from html import escape
from itertools import chain, groupby

import numpy as np

from .page import Html, bar, table, tag

CELLS = 32  # of a heat map, at most, along each side
LEVELS = 8  # of strength a sign: one path each keeps a large map small
STYLE = """<style>
.xpmlp .maps { display: flex; flex-wrap: wrap; gap: 1.2rem; margin: .3rem 0 1.4rem; }
.xpmlp figure { margin: 0; } .xpmlp figcaption { font-size: .85rem; color: var(--soft); }
.xpmlp svg { background: var(--card); border-radius: 3px; display: block; margin-top: .2rem; }
.xpmlp svg .up { fill: var(--fill); } .xpmlp svg .down { fill: var(--bad); }
.xpmlp svg text { fill: var(--ink); font: 11px ui-monospace, Menlo, Consolas, monospace;
  text-anchor: middle; dominant-baseline: central; }
</style>"""


def html_parts(explanation):
    """Return the page's parts."""
    ahead = [(notes.title, notes.forward, notes) for notes in explanation.layers]
    back = [(notes.title, notes.backward, None) for notes in explanation.layers[::-1]]
    parts = [Html(STYLE), *explanation.remarks, tag("h2", "Forward"), _pass(ahead)]
    parts += [tag("h2", "Loss"), _pass([("", explanation.loss_lines, None)])]
    parts += [tag("h2", "Backward"), _pass(back), tag("h2", "Parameters")]
    head, *rows = explanation.parameter_rows
    parts.append(table(head, rows, numbers=range(2, 7)))
    parts.append(
        "Blue is positive, red is negative, the strongest colour the largest cell; a cell of a "
        "large array is the mean of a block."
    )
    for _, group in groupby(explanation.parameters, lambda p: p.layer):
        pairs = [(_map(p.name, p.value), _map(f"d{p.name}", p.gradient)) for p in group]
        parts.append(Html(f"<div class='maps'>{''.join(chain(*pairs))}</div>"))
    return parts


def _pass(sections):
    """Return a table of lines by layer, with bars of rms on one scale."""
    shown = [line for _, lines, _ in sections for line in lines if line.left.shape]
    most = max((line.rms for line in shown), default=0.0)
    rows: list[tuple] = []
    for title, lines, notes in sections:
        rows += [(tag("strong", title), "", "", "")] if title and lines else []
        for line in lines:
            if line.left.shape:
                size = bar(line.rms / most if most > 0 else 0.0, f"{line.rms:.3g}")
                cells: tuple = tag("code", line.shapes), f"{line.norm:.3g}", size
            else:
                cells = "", f"{line.norm:.6g}", ""
            rows.append((tag("code", line.formula), *cells))
        if notes is not None and notes.units:
            dead = bar(notes.dead / notes.units, f"{notes.dead:,} of {notes.units:,}")
            rows.append(("dead units", "", "", dead))
    return table(("", "shapes", "norm", "rms"), rows, numbers=(2,))


def _blocks(a):
    """Shrink a matrix to at most CELLS x CELLS, to the means of blocks."""
    a = np.nan_to_num(np.asarray(a, np.float64))
    for axis, n in enumerate(a.shape):
        starts = np.unique(np.linspace(0, n, CELLS, endpoint=False).astype(int))
        sums, sizes = np.add.reduceat(a, starts, axis=axis), np.diff([*starts, n])
        a = sums / (sizes[:, None] if axis == 0 else sizes)
    return a


def _map(name, a):
    """Return a heat map of a matrix, with its numbers where they find room."""
    cells = _blocks(a)
    (rows, columns), most = cells.shape, np.abs(cells).max()
    numbers = max(rows, columns) <= 10 and a.size <= 64
    w, h = (62, 22) if numbers else (min(16, 240 // max(rows, columns)),) * 2
    levels = (np.sign(cells) * np.ceil(LEVELS * np.abs(cells) / (most or 1.0))).astype(int)
    shapes = []
    for level in sorted(set(levels.ravel().tolist()) - {0}):
        at = "".join(f"M{w * j} {h * i}h{w}v{h}h-{w}z" for i, j in np.argwhere(levels == level))
        kind = "up" if level > 0 else "down"
        shapes.append(
            f"<path class='{kind}' fill-opacity='{0.75 * abs(level) / LEVELS:.3g}' d='{at}'/>"
        )
    if numbers:
        shapes += [
            f"<text x='{w * j + w // 2}' y='{h * i + h // 2}'>{cells[i, j]:.2g}</text>"
            for i, j in np.ndindex(rows, columns)
        ]
    caption = f"{name} ({','.join(map(str, a.shape))}), largest {np.abs(a).max():.3g}"
    return (
        f"<figure><figcaption>{escape(caption)}</figcaption>"
        f"<svg width='{w * columns}' height='{h * rows}' role='img' "
        f"aria-label='{escape(caption)}'>{''.join(shapes)}</svg></figure>"
    )
