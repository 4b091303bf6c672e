"""From timings to a table and a picture. A ratio is a peer's time over xpmlp's, round by round."""

from statistics import median, quantiles

import numpy as np

UNITS = {"steps": "a step", "fits": "an epoch", "predict": "a call"}
PRODUCTS = {"highest": "float32", "high": "TF32", "medium": "bfloat16"}  # on a card
GOALS_FOR = "H100"  # the card that the cells' floors and goals are for
# Rows below the table: the first of a role or name over the second, the fastest of either.
COMPARISONS = {
    "best peer / xpmlp": ("peer", "own"),
    "scikit-learn / not compiled": ("scikit-learn", "xpmlp, not compiled"),
    "xpmlp / products alone": ("own", "bound"),
}


def grouped(results):
    """Return the records by (kind, setting), then case, then contender's name."""
    found: dict = {}
    for record in results:
        place = found.setdefault((record["kind"], setting(record)), {})
        place.setdefault(record["case"], {})[record["name"]] = record
    return found


def setting(record):
    """Say on what a record was made: threads of a CPU, or products on a card."""
    if record.get("device", "cpu") == "cuda":
        return f"CUDA, {PRODUCTS[record['precision']]}"
    return f"{record['threads']} thread{'s' * (record['threads'] > 1)}"


def fastest(rows, wanted):
    """Return the fastest record of a role, or of a name or its variants; None if all failed.

    Of ours it is the first instead: each tier is there for what the one before it cannot do.
    """
    able = [r for r in rows.values() if r["seconds"] and not r.get("error")]
    able = [r for r in able if wanted in (r["role"], r["name"], r["name"].split(",")[0])]
    if wanted == "own":
        return able[0] if able else None
    return min(able, key=lambda r: median(r["seconds"]), default=None)


def ratio(over, under):
    """Return the quartiles (first, median, third) of two records' ratio, round by round."""
    if over is None or under is None or over.get("error") or under.get("error"):
        return None
    values = [a / b for a, b in zip(over["seconds"], under["seconds"])]
    if len(values) < 2:
        return tuple(values * 3) or None
    return tuple(quantiles(values, method="inclusive"))


def table(results, card=""):
    """Return the text of a run: a block a kind and setting, a column a case.

    card: the name of the card; the cells' floors and goals are for an H100.

    Examples
    --------
    >>> common = {"kind": "steps", "case": "planar", "threads": 1}
    >>> own = {"name": "xpmlp", "role": "own", "seconds": [2e-6, 2e-6]}
    >>> peer = {"name": "torch eager", "role": "peer", "seconds": [6e-6, 8e-6]}
    >>> print(table([common | own, common | peer]))
    steps, 1 thread: time a step and, behind it, as a multiple of xpmlp's; * the best peer
                                    planar
    xpmlp                   2.00 us
    torch eager             7.00 us  3.50*
    best peer / xpmlp                 3.50
      quartiles                  3.25-3.75
    """
    goals = GOALS_FOR in card
    found = grouped(results).items()
    return "\n\n".join(_block(kind, where, cases, goals) for (kind, where), cases in found)


def _block(kind, where, cases, goals):
    said = f"time {UNITS[kind]} and, behind it, as a multiple of xpmlp's; * the best peer"
    lines = [f"{kind}, {where}: {said}", _line("", cases)]
    for name in _names(cases):
        lines.append(_line(name, [_cell(rows, name) for rows in cases.values()]))
    for title, (over, under) in COMPARISONS.items():
        found = [ratio(fastest(r, over), fastest(r, under)) for r in cases.values()]
        if any(found):
            spread = [f"{_factor(q[0])}-{_factor(q[2])}" if q else "-" for q in found]
            lines += [_line(title, [_factor(q[1]) if q else "-" for q in found])]
            lines += [_line("  quartiles", spread)]
    lines += _memory(cases) + (_goals(cases) if goals else [])
    records = [record for rows in cases.values() for record in rows.values()]
    reasons = {f"{r['name']}: {r['error']}" for r in records if r.get("error")}
    reasons |= {f"{r['name']}: {text}" for r in records for text in r.get("notes", ())}
    return "\n".join(line.rstrip() for line in [*lines, *sorted(reasons)])


def _memory(cases):
    """Return the lines about memory, which fits have."""
    rows = [
        _line(f"  {name}", [_mebibytes(r.get(name, {}).get("peak")) for r in cases.values()])
        for name in _names(cases)
    ]
    if not any(r.get("peak") for records in cases.values() for r in records.values()):
        return []
    goals = [next(iter(records.values()))["peak_goal"] for records in cases.values()]
    title = (
        "MiB in a process's first such fit; goal: data + 6 x parameters + 2 batches' activations"
    )
    return [title, _line("  goal", map(_mebibytes, goals)), *rows]


def _goals(cases):
    """Return the lines about floor and goal on the card that they are for."""
    found = [(next(iter(rows.values())), fastest(rows, "own")) for rows in cases.values()]
    if not any(record.get("goal") for record, _ in found):
        return []
    over = [
        _factor(median(own["seconds"]) * 1e6 / record["floor"])
        if own and record.get("floor")
        else "-"
        for record, own in found
    ]
    lines = [_line("xpmlp / floor", over)]
    for key in ("floor", "goal"):
        known = [record.get(key) for record, _ in found]
        lines.append(_line(f"  {key}", [duration(1e-6 * t) + " " * 7 if t else "-" for t in known]))
    return lines


def _names(cases):
    return list(dict.fromkeys(name for rows in cases.values() for name in rows))


def _line(name, cells):
    return f"{name:24}" + "".join(f"{cell:>14}" for cell in cells)


def _cell(rows, name):
    record, own = rows.get(name, {}), fastest(rows, "own")
    if record.get("error") or not record.get("seconds"):
        return "failed" if record else "-"
    time, times = duration(median(record["seconds"])), ratio(record, own)
    if record is own or times is None:
        return time + " " * 7
    return f"{time}{_factor(times[1]):>6}{'*' if record is fastest(rows, 'peer') else ' '}"


def _factor(x):
    """Write a ratio with three digits."""
    return f"{x:.2f}" if x < 9.995 else f"{x:.1f}" if x < 99.95 else f"{x:.0f}"


def _mebibytes(n):
    return f"{n / 2**20:.1f}" if n else "-"


def duration(seconds):
    """Return seconds with three digits and a unit."""
    size, unit = next(((s, u) for s, u in ((1, "s"), (1e-3, "ms")) if seconds >= s), (1e-6, "us"))
    return f"{_factor(seconds / size)} {unit}"


def picture(results, path, title=""):
    """Draw each contender's time as a multiple of xpmlp's: a panel of cells a kind and setting."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    blocks = grouped(results)
    kinds, places = (list(dict.fromkeys(key[i] for key in blocks)) for i in (0, 1))
    kinds.sort(key=list(UNITS).index)
    names = [
        list(dict.fromkeys(n for (k, _), c in blocks.items() if k == kind for n in _names(c)))
        for kind in kinds
    ]
    heights = [1.5 + len(rows) for rows in names]
    figure = Figure(figsize=(2.2 + 4.6 * len(places), 0.3 * sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(len(kinds), len(places), squeeze=False, height_ratios=heights)
    for i, kind in enumerate(kinds):
        for j, where in enumerate(places):
            axes[i, j].set_axis_off()
            if cases := blocks.get((kind, where)):
                draw(axes[i, j], cases, names[i])
                axes[i, j].set_title(f"{kind}, {where}", fontsize=10, loc="left")
                axes[i, j].set_axis_on()
    figure.savefig(path, dpi=110)


def draw(axes, cases, names):
    """Draw one panel: a row a contender, a column a case; blue where xpmlp takes less time.

    In xpmlp's own row stands its time.
    """
    shades = np.full((len(names), len(cases)), np.nan)
    for j, rows in enumerate(cases.values()):
        own = fastest(rows, "own")
        for i, name in enumerate(names):
            record, times = rows.get(name), ratio(rows.get(name), own)
            if record is not None and record is own:
                text = duration(median(own["seconds"]))
            elif times:
                shades[i, j], text = np.log10(times[1]), _factor(times[1])
            else:
                continue
            ink = "white" if abs(shades[i, j]) > 1.4 else "black"
            axes.text(j, i, text, ha="center", va="center", fontsize=8.5, color=ink)
    axes.imshow(shades, cmap="RdBu", vmin=-2.5, vmax=2.5, aspect="auto")
    axes.set_xticks(range(len(cases)), list(cases), fontsize=8.5)
    axes.set_yticks(range(len(names)), names, fontsize=8.5)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
