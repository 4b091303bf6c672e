"""Report of a fit: where it ran and why, what was copied, how long it took."""

from importlib import import_module
from logging import DEBUG, INFO
from time import perf_counter

from .. import __version__
from ..arrays import Array, dtype_name, location_of
from ..engines import Options, engine_for
from ..errors import DivergenceError
from ..logs import logger
from ..transfers import Counts, engine_that_ran


def fit_report(x: Array, options: Options, why: str, counts: Counts, start: float, seed) -> dict:
    """Return the report of a training that began at `start` and computed on arrays such as `x`."""
    library = location_of(x).library
    versions = {"xpmlp": __version__, library: import_module(library).__version__}
    drawn = {"seed": seed, "versions": versions}
    engine, passed = counts.ran_in(engine_for(x, options).name), dict(vars(counts))
    del passed["tier"]
    where = {"device": location_of(x).device, "why": why, "engine": engine}
    dtype = dtype_name(x)
    precision = {"matmul_precision": options.matmul_precision, "dtype": dtype}
    return where | precision | drawn | passed | {"seconds": perf_counter() - start}


def log_begin(step, x, options):
    """Log what is trained, and on which rows."""
    text = "Training begins: X %s, %s, batches of %d rows, %d parameters."
    numbers = tuple(x.shape), step.dtype, step.batch_size, step.layout.size
    logger.log(_level(options), text, *numbers)


def log_end(state, engine, reason, options):
    """Log why a training ended, whose weights it ends with, and what ran it."""
    if isinstance(reason, DivergenceError):
        reason = "diverged"
    text = "Training ended after %d epochs (%s), with the weights of epoch %d; engine %s."
    ran = engine_that_ran(engine.name)
    logger.log(_level(options), text, state.n_iter, reason, state.best_epoch, ran)


def _level(options):
    """Return the level to log a training at: one of a single epoch, as partial_fit's, is a detail.

    A loop over partial_fit would fill the log.
    """
    return DEBUG if options.max_iter == 1 else INFO
