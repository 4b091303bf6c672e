"""What a picture of a training shows: the columns of a history, each checked, in float64."""

from collections.abc import Mapping

import numpy as np

COLUMNS = ("loss", "validation_loss", "validation_score", "learning_rate")


def history_of(source):
    """Return the history of a fitted estimator, or `source`, a dict or data frame, as it is."""
    if isinstance(source, Mapping) or hasattr(source, "columns"):
        return source
    if not hasattr(type(source), "history_"):
        raise TypeError(
            f"plot_history takes a fitted estimator or its history_, got a {type(source).__name__}."
        )
    return source.history_


def columns_of(history):
    """Return the columns of a history, each (n_epochs,) or empty, and what an entry is of.

    history: a dict of lists or arrays, or a data frame such as pandas reads from CSVLogger's file,
    where a column without numbers is NaN all the way down.
    """
    names = [*map(str, getattr(history, "column_names", getattr(history, "columns", history)))]
    if "loss" not in names:
        said = ", ".join(map(repr, names)) or "no column"
        raise ValueError(f"the history has {said}, expected 'loss': pass the estimator's history_.")
    given = {name: history[name] if name in names else None for name in COLUMNS}
    found = {name: _numbers(name, values) for name, values in given.items()}
    n = len(found["loss"])
    for name, values in found.items():
        if len(values) > n:
            raise ValueError(
                f"the history's {name!r} has {len(values)} numbers and 'loss' has {n}, expected "
                "one for each epoch: pass lists of the same training."
            )
    if "seconds" in names:
        seconds = np.asarray(history["seconds"], np.float64)
        found = {name: _joined(values, seconds) for name, values in found.items()}
    rates = given["learning_rate"]
    unit = "epoch" if rates is None or found["learning_rate"].size else "iteration"  # of lbfgs
    return found, unit


def _numbers(name, values):
    """Return a column as float64; empty for None, and for NaN alone in any column but the loss."""
    try:
        made = np.asarray([] if values is None else values, np.float64)
    except (TypeError, ValueError):
        made = None
    if made is None or made.ndim != 1:
        raise ValueError(
            f"the history's {name!r} is {values!r:.60}, expected a list of a number for each epoch."
        )
    return made[:0] if name != "loss" and np.isnan(made).all() else made


def _joined(values, seconds):
    """Return a column with values between those of the epochs that a model file has kept.

    A file keeps some epochs of a long training; in the others even the seconds are NaN.
    """
    kept = np.flatnonzero(~np.isnan(seconds))
    if not len(values) == len(seconds) > len(kept) > 0:
        return values
    return np.interp(np.arange(len(values)), kept, values[kept])


def check_best_epoch(best_epoch, n, unit):
    """Raise ValueError for a kept epoch that the history, of n epochs, does not have."""
    if best_epoch is not None and best_epoch not in range(n + 1):
        units = unit if n == 1 else f"{unit}s"
        raise ValueError(
            f"best_epoch is {best_epoch!r}, expected 0 to {n}, as the history has {n} {units}."
        )


def score_of(model):
    """Return the name of an estimator's validation score, None where it has none."""
    scoring = model.scoring
    if scoring is None and model.quantiles_:
        return "loss"
    if scoring is None:
        return "accuracy" if hasattr(model, "classes_") else "r2"
    function = getattr(scoring, "_score_func", scoring)  # of make_scorer
    return scoring if isinstance(scoring, str) else getattr(function, "__name__", None)


def ends(values):
    """Return the least and the greatest finite value; 0 and 0 where there is none."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return (values.min(), values.max()) if values.size else (0.0, 0.0)


def wide(low, high):
    """Return limits around values, a tenth of their size apart or more."""
    size = max(abs(low), abs(high), 1e-12)
    middle, half = (low + high) / 2, max(0.55 * (high - low), 0.05 * size)
    return middle - half, middle + half
