"""What a training took: where it ran and why, what passed there, how long it was."""

from importlib import import_module
from time import perf_counter

from .. import __version__
from ..arrays import Array, dtype_name, location_of
from ..engines import Options, engine_for
from ..transfers import Counts


def fit_report(x: Array, options: Options, why: str, counts: Counts, start: float, seed) -> dict:
    """Return the report of a training that began at `start` and computed on arrays such as `x`."""
    library = location_of(x).library
    versions = {"xpmlp": __version__, library: import_module(library).__version__}
    drawn = {"seed": seed, "versions": versions}
    engine, passed = engine_for(x, options).name, dict(vars(counts))
    if tier := passed.pop("tier"):  # what ran may be another than what was asked for
        engine = f"{engine.split()[0]} {tier}"
    where = {"device": location_of(x).device, "why": why, "engine": engine}
    dtype = dtype_name(x)
    precision = {"matmul_precision": options.matmul_precision, "dtype": dtype}
    return where | precision | drawn | passed | {"seconds": perf_counter() - start}
