"""From timings to a table and a picture. A ratio is a peer's time over xpmlp's, round by round."""

from statistics import median, quantiles


def summary(results):
    """Return, by kind, threads and case, each contender's median seconds and ratio.

    ratio: (first quartile, median, third quartile) over the rounds; None where it has no timings.
    """
    found: dict = {}
    for record in results:
        place = found.setdefault((record["kind"], record["threads"]), {})
        place.setdefault(record["case"], {})[record["name"]] = record
    for places in found.values():
        for case, rows in places.items():
            own: list = next((r["seconds"] for r in rows.values() if r["role"] == "own"), [])
            places[case] = {name: _row(record, own) for name, record in rows.items()}
    return found


def _row(record, own):
    ratios = [peer / ours for peer, ours in zip(record["seconds"], own)]
    return {
        "role": record["role"],
        "seconds": median(record["seconds"]) if record["seconds"] else None,
        "ratio": quartiles(ratios) if ratios and "error" not in record else None,
        "error": record.get("error"),
        "peak": record.get("peak"),
    }


def quartiles(values):
    """Return the first quartile, the median and the third."""
    return tuple(quantiles(values, method="inclusive")) if len(values) > 1 else (values[0],) * 3


def best_peer(rows):
    """Return the name of the peer with the lowest median ratio, or None."""
    able = [(r["ratio"][1], n) for n, r in rows.items() if r["role"] == "peer" and r["ratio"]]
    return min(able)[1] if able else None


UNITS = {"steps": "a step", "fits": "an epoch", "predict": "a call"}


def table(results):
    """Return the text of a run: a block a kind and number of threads, a column a case."""
    return "\n\n".join(_block(kind, n, cases) for (kind, n), cases in summary(results).items())


def _block(kind, threads, cases):
    names = list(dict.fromkeys(name for rows in cases.values() for name in rows))
    title = f"{kind}, {threads} thread{'s' * (threads > 1)}: time {UNITS[kind]}, and as a multiple"
    lines = [f"{title} of xpmlp's", _line("", cases)]
    lines += [_line(name, [_cell(rows[name]) for rows in cases.values()]) for name in names]
    best = {case: best_peer(rows) for case, rows in cases.items()}
    shown = [(rows[best[c]]["ratio"] if best[c] else None) for c, rows in cases.items()]
    lines.append(_line("best peer / xpmlp", [f"{r[1]:.2f}" if r else "-" for r in shown]))
    lines.append(_line("  quartiles", [f"{r[0]:.2f}-{r[2]:.2f}" if r else "-" for r in shown]))
    reasons = {
        f"{n}: {r['error']}" for rows in cases.values() for n, r in rows.items() if r["error"]
    }
    return "\n".join([*lines, *sorted(reasons)])


def _line(name, cells):
    return f"{name:23}" + "".join(f"{cell:>16}" for cell in cells)


def _cell(row):
    if row["seconds"] is None or row["error"]:
        return "failed" if row["error"] else "-"
    ratio = f" {row['ratio'][1]:6.2f}x" if row["ratio"] and row["role"] != "own" else " " * 8
    return f"{duration(row['seconds'])}{ratio}"


def duration(seconds):
    """Return seconds with three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} us"


def picture(results, path):
    """Draw bars over cases: each contender's time as a multiple of xpmlp's, log axis."""
