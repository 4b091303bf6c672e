"""What a training took: where it ran and why, what passed there, how long it was."""

from dataclasses import asdict
from time import perf_counter

from ..arrays import Array, home
from ..engines import Options, engine_for
from ..transfers import Counts


def fit_report(x: Array, options: Options, why: str, counts: Counts, start: float) -> dict:
    """Return the report of a training that began at `start` and computed on arrays such as `x`."""
    where = {"device": home(x).device, "why": why, "engine": engine_for(x, options).name}
    dtype = str(x.dtype).rpartition(".")[2]
    precision = {"matmul_precision": options.matmul_precision, "dtype": dtype}
    return where | precision | asdict(counts) | {"seconds": perf_counter() - start}
