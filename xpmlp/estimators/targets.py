"""From y and the arguments of an estimator to the targets of a fit."""

from dataclasses import replace

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import column_or_1d

from ..model import NumberTargets, Scaling
from ..model.scaling import constant_columns
from ..nn.loss import check_domain
from ..nn.losses import levels_of, named_loss
from .arguments import loss_of
from .classes import checked_labels, class_weights
from .inputs import host_targets


def checked_targets(estimator, y, n, known=None, classes=None):
    """Return y, checked, of n rows, and what it says of the targets, or the known ones.

    classes: (classes,) as `partial_fit` got them, "same" where all of the known must be in y.
    """
    labelled = isinstance(estimator, ClassifierMixin)
    y = host_targets(y, n, numeric=not labelled, name=type(estimator).__name__)
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if labelled:
        return checked_labels(y, known, classes)
    y = y.reshape(len(y), -1).astype(np.float64)
    targets = known or NumberTargets(y.shape[1])
    if y.shape[1] != targets.n_columns:
        raise ValueError(
            f"y has {y.shape[1]} outputs, the model was fitted to {targets.n_columns}."
        )
    check_domain(named_loss(loss_of(estimator)), y)
    return y, targets


def completed(estimator, targets, y, weights, loss, link, dtype, known):
    """Return the targets with all that the arguments say of them, and statistics of y.

    y: checked; weights: of the rows; known: the targets of the fitted model, or None.
    """
    if targets.task != "regression":
        own = class_weights(estimator.class_weight, targets, y, weights)
        return replace(targets, link=link, smoothing=float(estimator.label_smoothing), weights=own)
    if known is not None:
        scaling = known.scaling
    elif estimator.target_scale is None:
        scaling = Scaling()
    elif estimator.out_activation not in ("auto", "identity"):
        raise ValueError(
            f"target_scale={estimator.target_scale!r} standardises y, which out_activation="
            f"{estimator.out_activation!r} bounds: leave one of them out."
        )
    else:
        scaling = _measured_scaling(y, weights, dtype, link)
    # The last layer has the link, or the loss has.
    own = "identity" if loss.link == "identity" else link
    return NumberTargets(targets.n_columns, own, levels_of(loss) or (), scaling)


def _measured_scaling(y, weights, dtype, link):
    """Return the statistics of y that standardise it: of its mean, where the link is exp."""
    if len(y) < 2:
        raise ValueError(
            "target_scale='auto' cannot be measured on one row: pass more in the first call."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        scaling = Scaling.of_targets(y, weights, by_mean=link == "exp")
    mean, scale = scaling
    known, largest = np.finfo(dtype), np.abs(y).max()
    finite = np.isfinite(mean + scale).all() and largest < known.max
    if not finite or (scale < known.tiny).any():
        size = "large" if largest > 1 else "small"
        raise ValueError(f"y holds values too {size} for {dtype}: divide y by its scale.")
    if weights is not None:
        y = y[weights > 0]
    lost = _is_lost(scaling, dtype) & ~constant_columns(y)
    if lost.any():
        k = int(np.argmax(lost))
        remedy = "subtract the mean"
        if not _is_lost(scaling, "float64")[k]:
            remedy = "pass dtype='float64', or subtract the mean"
        raise ValueError(
            f"column {k} of y varies by {scale[0, k]:.2g} around {mean[0, k]:.3g}, which "
            f"predictions in {dtype} cannot tell apart: {remedy}."
        )
    return scaling


def _is_lost(scaling, dtype):
    """Return in which columns predictions in a dtype have steps of over 1e-3 deviations."""
    return (np.finfo(dtype).eps * np.abs(scaling.mean) > 1e-3 * scaling.scale)[0]
