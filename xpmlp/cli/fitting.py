"""The fit of a training: the estimator that the options describe, and what it says on its way."""

import warnings
from math import inf

import numpy as np

from ..errors import DataError
from ..words import plural, wrapped
from .baseline import baseline_of
from .checkpoints import epochs_done
from .command import echo, tell
from .data import check_memory, check_range
from .live_line import LiveLine
from .options import estimator_of, score_of, settings_of
from .scores import check_scoring
from .unused import unused

UNTOLD = "Maximum iterations", "ended by a signal"  # asked for; told by `preemptible`


def described(source, part, options):
    """Return the estimator that the options describe for rows to train on; print its settings."""
    (X, y, _), table = part, source.table is not None
    model = estimator_of(source.task, getattr(X, "kinds", None), options, y)
    check_scoring(model.scoring, source.task)
    model.set_params(batch_size=min(model.batch_size, len(y)))
    if options["validation"] in (0, "test") and options["patience"] is None:
        model.set_params(n_iter_no_change=inf)  # every epoch that was asked for
    for note in unused(model, options):
        tell(f"Note: {note}")
    if table:
        echo(wrapped(f"Settings: {settings_of(model)}."))
    if source.task == "regression" and not np.abs(y).max() < np.finfo(model.dtype).max:
        raise DataError(f"{source.name} holds targets too large for {model.dtype}: divide them.")
    check_memory(source.name, X, model)
    if not table and model.feature_scale != "robust" and model.n_bins is None:
        if options["standardise"]:
            model.set_params(feature_scale="global" if source.image else "standard")
        else:
            check_range(X, model.dtype)
    return model


def fitted(model, source, part, watched, options, fold=""):
    """Fit an estimator; return sentences to print about it.

    watched: the Part of the validation rows, or None; fold: which one it is, for the live line.
    """
    X, y, weights = part
    held, resume = {}, options["resume"] and model.checkpoint is not None
    if watched is not None:
        held = dict(zip(("X_val", "y_val", "sample_weight_val"), watched))
    look = {"unit": fold + unit_of(model), "verbose": options["verbose"], "quiet": options["quiet"]}
    if resume:
        look["done"] = epochs_done(model.checkpoint, options["quiet"])
    live = LiveLine(model.max_iter, score_of(model), **look)
    with warnings.catch_warnings(record=True) as caught, live:
        warnings.simplefilter("always", UserWarning)
        if live.shows:
            model.set_params(callbacks=live)
        model.fit(X, y, sample_weight=weights, resume=resume, **held)
    model.set_params(callbacks=None, checkpoint=None)
    texts = dict.fromkeys(_in_words(str(warning.message), y) for warning in caught)
    notes = [text for text in texts if not any(words in text for words in UNTOLD)]
    if source.table is not None:
        model.table_types_ = source.types
        model.table_reading_ = source.table.raw.reading.of_cells
    elif source.feature_names is not None:
        model.feature_names_in_ = np.asarray(source.feature_names, object)
    model.target_name_ = source.target_name
    model.baseline_ = baseline_of(getattr(model, "classes_", None), y, weights)
    return notes


def _in_words(text, y):
    """Return a warning; scikit-learn's of many labels without the names of its own arguments."""
    if not text.startswith("The number of unique classes"):
        return text
    remedy = "--task regression" if y.dtype.kind in "iuf" else "another --target"
    labels, rows = plural(len(np.unique(y)), "label"), plural(len(y), "row")
    return f"the target has {labels} in {rows} to train on: if these are no classes, say {remedy}."


def interrupted(notes):
    """Tell whether Ctrl-C ended a fit of these notes."""
    return any("interrupted" in note for note in notes)


def unit_of(model):
    """Return what a training counts."""
    return "iteration" if model.solver == "lbfgs" else "epoch"
