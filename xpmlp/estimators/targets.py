"""From y and the arguments of an estimator to the targets of a fit."""

from dataclasses import replace

from sklearn.base import is_classifier
from sklearn.utils.validation import column_or_1d

from ..model import NumberTargets, Scaling
from ..nn.losses import levels_of, named_loss
from .arguments import loss_of
from .classes import checked_labels, class_weights
from .inputs import host_targets
from .numbers import checked_numbers, measured_scaling


def checked_targets(estimator, y, n, known=None, classes=None):
    """Return y, checked, of n rows, and what it says of the targets, or the known ones.

    classes: (classes,) as `partial_fit` got them, "same" where all of the known must be in y.
    """
    labelled = is_classifier(estimator)
    y = host_targets(y, n, numeric=not labelled, name=type(estimator).__name__)
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    if labelled:
        return checked_labels(y, known, classes)
    return checked_numbers(y, known, named_loss(loss_of(estimator)))


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
        scaling = measured_scaling(y, weights, dtype, link)
    # The last layer has the link, or the loss has.
    own = "identity" if loss.link == "identity" else link
    return NumberTargets(targets.n_columns, own, levels_of(loss) or (), scaling)
