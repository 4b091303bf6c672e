"""The measured tables of README.md and docs/, from the newest records in ci/benchmarks/results."""

import json
import statistics
from pathlib import Path

from ci.benchmarks.cases import CELLS
from ci.benchmarks.report import fastest, grouped, ratio

RESULTS = Path(__file__).parent / "benchmarks/results"
PEERS = ("scikit-learn", "torch eager", "torch.compile", "JAX jit", "JAX scan")
CONTENDERS = {
    "xpmlp": "`xpmlp train`, its defaults",
    "mlp": "scikit-learn's MLP, its defaults, on one-hot and standardised columns",
    "hgb": "scikit-learn's HistGradientBoosting, its defaults",
}
UNITS = {"adult": "% right", "california_housing": "RMSE", "diamonds": "RMSE"}


def newest(kind):
    """Return the newest record of a kind."""
    return json.loads(sorted(RESULTS.glob(f"*-{kind}.json"))[-1].read_text())


def table_of(head, *rows):
    """Return a table of cells that are text."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---" * len(head) + "|", *lines[1:]])


def times(quartiles):
    """Write a median ratio with three digits at most."""
    if quartiles is None:
        return "-"
    return f"{quartiles[1]:.2f}" if quartiles[1] < 10 else f"{quartiles[1]:.0f}"


def speed():
    """Return how many times longer a step takes elsewhere, on one thread."""
    record, cells = newest("cpu"), {cell.name: cell for cell in CELLS}
    cases = grouped(record["results"])["steps", "1 thread"]
    head = ["units of the layers", *("-".join(map(str, cells[name].sizes)) for name in cases)]
    rows = [["rows a step", *(str(cells[name].batch) for name in cases)]]
    for peer in PEERS:
        found = (ratio(case.get(peer), fastest(case, "own")) for case in cases.values())
        rows.append([peer, *map(times, found)])
    made = record["machine"]
    about = f"{made['date']}, one thread of an {made['cpu']} with {', '.join(made['flags'])}"
    return f"{table_of(head, *rows)}\n\n({about})"


def mnist():
    """Return the newest MNIST record, with the command line's options."""
    record, rows = newest("mnist"), []
    for name, found in record["results"].items():
        m = found["median"]
        figures = (f"{m['best']:.2f}", f"{m['final']:.2f}", f"{m['seconds']:.0f}")
        rows.append((name, f"`{found['options']}`", *figures))
    table = table_of(("recipe", "options", "best", "final", "seconds"), *rows)
    return (
        f"{table}\n\n({record['date']}, {record['cores']} cores, {record['threads']} BLAS threads)"
    )


def figures(record, contender, with_seconds):
    """Return a contender's cells: the mean figure on each table, and the median seconds."""
    for found in record["results"].values():
        runs = found["runs"][contender]
        values = [run["figure"] for run in runs]
        digits = 2 if values[0] > 1 else 4
        cell = f"{statistics.mean(values):.{digits}f}"
        if with_seconds:
            cell += f", {statistics.median(run['seconds'] for run in runs):.1f} s"
        yield cell


def tables(with_seconds=True):
    """Return the newest record of raw tables."""
    record = newest("tables")
    head = ["test rows", *(f"{name} ({UNITS[name]})" for name in record["results"])]
    rows = [[said, *figures(record, name, with_seconds)] for name, said in CONTENDERS.items()]
    tuned = [str(found["tuned plain MLP"]) for found in record["results"].values()]
    rows.append(["a plain MLP, tuned (Gorishniy et al. 2025)", *tuned])
    n_seeds = len(next(iter(record["results"].values()))["runs"]["xpmlp"])
    about = f"{record['date']}, means of {n_seeds} seeds"
    if with_seconds:
        about += "; median seconds of a training"
        about += f" on {record['cores']} cores, {record['threads']} BLAS thread"
    return f"{table_of(head, *rows)}\n\n({about})"


def accuracy():
    """Return the tables' and MNIST's test figures, without seconds."""
    return tables(with_seconds=False)


TABLES = {"speed": speed, "mnist": mnist, "tables": tables, "accuracy": accuracy}
