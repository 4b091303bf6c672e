"""What is held out of a fit, and looked at after each epoch."""

import re
from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from scipy.special import logit

from ..arrays import Array, from_host, is_array, is_numpy, location_of, namespace, to_host
from ..errors import DeviceMemoryError
from ..model import Scaling
from ..placing import check_transfer
from ..training import SparseRows, Validation, like_of
from ..training.inputs import check_total
from ..words import first_of
from .fit_result import FitResult
from .inputs import check_weights, checked_rows, on_host, r2
from .targets import checked_targets


class Rows(NamedTuple):
    """The rows of a fit, or of what is held out of it."""

    x: Array | SparseRows
    targets: Array
    labels: Any  # y as checked
    weights: np.ndarray | None  # in the loss: those of the classes are in them
    given: np.ndarray | None  # sample_weight

    def take(self, rows):
        """Return some of the rows."""
        at, xp = from_host(rows, self.targets, "int32"), namespace(self.targets)
        if isinstance(self.x, SparseRows):
            x: Any = self.x.taken(rows)
        else:
            x = xp.take(self.x, at, axis=0)
        host = (None if a is None else a[rows] for a in self[2:])
        return Rows(x, xp.take(self.targets, at, axis=0), *host)


def rows_of(x, labels, weights, model_inputs, targets) -> Rows:
    """Return checked rows with their targets beside them; weights: as given."""
    beside = targets.encode(labels, like_of(x), model_inputs.dtype)
    return Rows(x, beside, labels, targets.row_weights(labels, weights), weights)


def split(estimator, problem, validation):
    """Return a `Problem` without the rows that are held out of its training.

    validation: X_val, y_val, sample_weight_val as `fit` got them, or None each.
    """
    X_val, y_val, sample_weight_val = validation
    if (X_val is None) != (y_val is None) or (X_val is None and sample_weight_val is not None):
        raise ValueError(
            "X_val, y_val and sample_weight_val go together: pass X_val and y_val, or neither."
        )
    rows, model, options = problem.rows, problem.model, problem.options
    if X_val is not None:
        held_out = _given(estimator, rows, model, validation)
    elif estimator.early_stopping and problem.rule is not None:
        rows, held_out = _split_off(estimator, problem)
        options = replace(options, batch_size=min(options.batch_size, rows.x.shape[0]))
    else:
        return problem
    held_out = _held_out(estimator, held_out, model)
    return replace(problem, rows=rows, options=options, held_out=held_out)


@contextmanager
def told_as(name):
    """Name an argument such as X_val in the messages of the checks that X passes too."""
    try:
        yield
    except (ValueError, TypeError) as error:
        own = name.removesuffix("_val")
        error.args = (re.sub(rf"\b{own}\b", name, str(error)),)
        raise


def _given(estimator, rows, model, validation):
    """Return the validation rows that `fit` got, where the model lives."""
    X_val, y_val, sample_weight_val = validation
    at = location_of(rows.targets)
    if is_array(X_val) and not is_numpy(X_val):
        its = location_of(X_val)
        if model.inputs.requested == "auto" and its != at:
            raise ValueError(
                f"X_val is in {its.library} on {its.device}, X in {at.library} on {at.device}: "
                "pass X_val from where X is."
            )
    elif model.inputs.encoder is None and not issparse(X_val) and at.library != "numpy":
        X_val = np.asarray(X_val)
        check_transfer(X_val, at, "X_val", "pass X_val from where X is")
        X_val = from_host(X_val, rows.targets)  # everything follows X
    with told_as("X_val"):
        x, _ = checked_rows(estimator, X_val, model)
        x = model.inputs.computed(x)
    with told_as("sample_weight_val"):
        given = check_weights(sample_weight_val, x.shape[0])
    with told_as("y_val"):
        labels, _ = checked_targets(estimator, y_val, x.shape[0], model.targets)
    return rows_of(x, labels, given, model.inputs, model.targets)


def _split_off(estimator, problem):
    """Return the rows to train on and those to look at.

    As scikit-learn splits them: by class where there are two, at random where there are more.
    """
    from sklearn.model_selection import train_test_split

    rows, generator = problem.rows, problem.draws.generator
    numbers, share = np.arange(rows.x.shape[0]), estimator.validation_fraction
    by_class, told, targets = None, "", problem.model.targets
    if targets.task == "binary":
        first, last = targets.classes[0], targets.classes[-1]
        by_class = np.reshape(rows.labels == last, (-1, 1))
        told = f" (False is label {first!s}, True {last!s})"
    try:
        train, test = train_test_split(
            numbers, test_size=share, random_state=generator, stratify=by_class
        )
    except ValueError as error:
        why = str(error).rstrip(".")
        raise ValueError(
            f"early_stopping cannot split a validation part off: {why}{told}: pass X_val and "
            "y_val, more rows, or another validation_fraction."
        ) from error
    if len(test) < 2:
        raise ValueError(
            "The validation set is too small. Increase 'validation_fraction' or the size of "
            "your dataset."
        )
    try:
        return rows.take(train), rows.take(test)
    except MemoryError as error:
        raise DeviceMemoryError(
            f"early_stopping copies X to split it, and its device lacks the memory ({error}): "
            "pass X_val and y_val instead."
        ) from error


def _held_out(estimator, rows, model):
    """Return the validation rows as the training loop takes them."""
    y, w = to_host(rows.targets), rows.weights
    if w is not None:
        if not w.any():
            raise ValueError("all validation rows have weight 0: pass X_val, or other weights.")
        check_total(w, "float64", "sample_weight_val")
        w = w / w.sum()
    return Validation(x=rows.x, y=y, weights=w, score=_score(estimator, rows, y, model))


def _score(estimator, rows, targets, model):
    """Return (outputs, loss, params) -> the score that `scoring` names."""
    by_loss = estimator.scoring is None and model.targets.quantiles  # R^2 says little of them
    if estimator.scoring == "loss" or by_loss:
        return lambda outputs, loss, params: -loss
    if estimator.scoring is None:
        metric = _r2 if model.targets.task == "regression" else _accuracy
        return lambda outputs, loss, params: metric(model, outputs, targets, rows.given)
    from sklearn.metrics import check_scoring

    return _scored(estimator, check_scoring(estimator, estimator.scoring), rows, model)


def _accuracy(model, outputs, targets, weights):
    """Return the accuracy of host outputs of the training network."""
    threshold = model.targets.threshold
    if model.network.layers[-1].activation != "logistic":
        threshold = logit(threshold)
    hits = model.targets.hits(outputs, targets, threshold)
    return float(np.average(hits, weights=weights))


def _r2(model, outputs, targets, weights):
    """Return R^2 of host outputs of the training network."""
    y, predictions = model.targets.compared(outputs, targets)
    if len(y) < 2 or not np.isfinite(predictions).all():
        return float("nan")  # R^2 is undefined
    return r2(y, predictions, weights)


def _scored(estimator, scorer, rows, model):
    """Return the score of a scorer, by a copy whose model knows its outputs for these rows."""
    twin, inputs, options = copy(estimator), model.inputs, {}
    if inputs.encoder is not None:  # these rows are encoded already
        inputs = replace(inputs, encoder=None, n_features=inputs.width)
    X, y = getattr(rows.x, "csr", rows.x), rows.labels
    if y.shape[1:] == (1,):  # as predictions are: y - predictions of (n, 1) and (n,) is (n, n)
        y = y[:, 0]
    targets = model.targets
    if isinstance(estimator.scoring, str) and targets.task == "binary":
        # Scores of one class are of the second: scikit-learn's names mean label 1, text lacks it.
        y = np.searchsorted(targets.classes, y)
        targets = replace(targets, classes=np.arange(len(targets.classes)))
    metric = getattr(scorer, "_score_func", None)
    if metric is not None:  # scikit-learn's own scorers read X by predicting only
        if not is_numpy(X):  # on the host their metrics know all libraries' results
            X = np.broadcast_to(0.0, X.shape)
        if rows.given is not None and "sample_weight" in signature(metric).parameters:
            options = {"sample_weight": rows.given}

    def score(outputs, loss, params):
        own = {"inputs": replace(inputs, scaling=Scaling()), "targets": targets}
        now = replace(model.with_params(params), **own)
        if now.predicting != now.network:
            outputs = to_host(now.outputs(rows.x))
        twin.result_ = FitResult(replace(now, known=(X, outputs)))
        try:
            made = scorer(twin, X, y, **options)
        except ValueError as error:
            cure = _cure(estimator.scoring, model.targets, rows.labels, error)
            text = f"scoring={estimator.scoring!r} failed on the validation rows: {error}"
            raise ValueError(f"{text.rstrip('.')}{cure}.") from error
        try:
            return float(on_host(made))
        except (TypeError, ValueError) as error:
            raise TypeError(f"scoring must return a number, got {made!r}.") from error

    return score


def _cure(scoring, targets, labels, error):
    """Return the end of a sentence on why a score failed for these labels, and what to do."""
    if targets.task not in ("binary", "multiclass"):
        return ""
    from sklearn.metrics import get_scorer_names

    known = [name for end in ("macro", "ovr") if (name := f"{scoring}_{end}") in get_scorer_names()]
    if targets.task == "multiclass" and known:
        n = len(targets.classes)
        return f"; it is for two classes, and y has {n}: take scoring={known[0]!r}"
    if "pos_label" in str(error):
        label = targets.classes[-1].item()
        return f": say which label counts, as in make_scorer(..., pos_label={label!r})"
    lacking = [str(label) for label in targets.classes if label not in labels]
    if not lacking:
        return ""
    cure = "pass X_val and y_val with rows of every class, or take scoring='loss'"
    return f"; they have no row of {first_of(lacking, 3)}: {cure}"
