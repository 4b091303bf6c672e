"""Report of a fit: where it ran and why, what was copied, how long it took."""

from importlib import import_module
from logging import DEBUG, INFO
from time import perf_counter

from .. import __version__
from ..arrays import Array, dtype_name, location_of
from ..engines import Options, engine_for
from ..errors import DivergenceError
from ..logs import logger
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


def log_begin(step, engine, x, options):
    """Log what is trained, on which rows, and how."""
    text = "Training begins: X %s, %s, batches of %d rows, %d parameters, engine %s."
    numbers = tuple(x.shape), step.dtype, step.batch_size, step.layout.size, engine.name
    logger.log(_level(options), text, *numbers)


def log_end(state, reason, options):
    """Log why a training ended, and whose weights it ends with."""
    if isinstance(reason, DivergenceError):
        reason = "diverged"
    text = "Training ended after %d epochs (%s), with the weights of epoch %d."
    logger.log(_level(options), text, state.n_iter, reason, state.best_epoch)


def _level(options):
    """Return the level to log a training at: one of a single epoch, as partial_fit's, is a detail.

    A loop over partial_fit would fill the log.
    """
    return DEBUG if options.max_iter == 1 else INFO
