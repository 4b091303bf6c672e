"""From timings to a table and a picture. A ratio is a peer's time over xpmlp's, round by round."""

from statistics import median, quantiles

UNITS = {"steps": "a step", "fits": "an epoch", "predict": "a call"}
PRODUCTS = {"highest": "float32", "high": "TF32", "medium": "bfloat16"}  # on a card
GOALS_FOR = "H100"  # the card that the cells' floors and goals are for
# Rows below the table: the first of a role or name over the second, the fastest of either.
COMPARISONS = {
    "best peer / xpmlp": ("peer", "own"),
    "scikit-learn / not compiled": ("scikit-learn", "xpmlp, not compiled"),
    "xpmlp / products alone": ("own", "bound"),
}
# Okabe & Ito's colours, which the colour-blind tell apart: a family for each library.
COLOURS = {
    "xpmlp": ("#bbbbbb", "#777777"),
    "scikit": ("#e69f00", "#f0e442"),
    "torch": ("#d55e00", "#cc79a7", "#882255", "#ddcc77"),
    "JAX": ("#0072b2", "#56b4e9"),
    "onnx": ("#009e73",),
    "matrix": ("#000000",),
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
    """Draw each contender's time as a multiple of xpmlp's: bars over cases, on a log axis.

    A panel a kind and setting; a whisker spans the quartiles.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    blocks = grouped(results)
    kinds, places = (list(dict.fromkeys(key[i] for key in blocks)) for i in (0, 1))
    kinds.sort(key=list(UNITS).index)
    figure = Figure(figsize=(6.5 * len(places) + 1.7, 3.4 * len(kinds)), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=9)
    axes = figure.subplots(len(kinds), len(places), squeeze=False, sharey="row")
    for i, kind in enumerate(kinds):
        for j, where in enumerate(places):
            if (kind, where) in blocks:
                draw(axes[i, j], blocks[kind, where])
                axes[i, j].set_title(f"{kind}, {where}")
            else:
                axes[i, j].set_axis_off()
        axes[i, 0].set_ylabel("time / xpmlp's (log)")
        shown = next(axes[i, j] for j, where in enumerate(places) if (kind, where) in blocks)
        handles, labels = shown.get_legend_handles_labels()
        axes[i, -1].legend(
            handles, labels, loc="upper left", bbox_to_anchor=(1, 1), fontsize=8, frameon=False
        )
    figure.savefig(path, dpi=110)


def draw(axes, cases):
    """Draw one panel: a bar stands on 1, and hangs from it where a contender is faster."""
    found = {
        name: [ratio(rows.get(name), fastest(rows, "own")) for rows in cases.values()]
        for name in _names(cases)
        if any(rows.get(name) is not fastest(rows, "own") for rows in cases.values())
    }
    found = {name: ratios for name, ratios in found.items() if any(ratios)}
    width, colours = 0.84 / max(1, len(found)), {k: list(v) for k, v in COLOURS.items()}
    for i, (name, ratios) in enumerate(found.items()):
        places = [k + (i - (len(found) - 1) / 2) * width for k, q in enumerate(ratios) if q]
        low, mid, high = zip(*filter(None, ratios))
        family = next((left for start, left in colours.items() if name.startswith(start)), [])
        colour = family.pop(0) if family else None
        axes.bar(places, [m - 1 for m in mid], width, bottom=1, label=name, color=colour)
        axes.vlines(places, low, high, color="0.25", linewidth=0.8)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.axhline(1, color="black", linewidth=1)
    axes.set_xticks(range(len(cases)), list(cases))
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
