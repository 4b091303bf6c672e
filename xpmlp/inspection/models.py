"""What `explain` and `plan` need of a fitted model: its rows, its targets, a loss that fits."""

import numpy as np

from ..arrays import is_array, to_host
from ..errors import ShapeError
from ..nn.losses import levels_of, match_loss, quantile
from ..words import listed
from .shapes import check_shapes


def step_of(model, X, y, params, loss):
    """Return network, loss, parameters, inputs x and targets (or None) of a step on X and y."""
    check_shapes(X, y, model.inputs.n_features)
    if params is not None:
        raise ValueError("params go with a Network, a Model has its own: leave them out.")
    x = model.inputs.computed(model.rows(X))
    kind, record = paired(model, loss)
    targets = targets_of(kind, y, x, model.inputs.dtype)
    return model.network, record, model.params(x), x, targets


def paired(model, given=None):
    """Return the model's targets and a loss of them, by default one that fits.

    Raises
    ------
    ValueError
        When the loss takes the model's outputs for something else than the model does.
    """
    targets, last = model.targets, model.network.layers[-1].activation
    inside = targets.link in ("identity", last)  # the network ends with the link; else the loss
    link = last if inside else targets.link
    default = _default_loss(targets, inside)
    loss, _ = match_loss(given or default, targets.task, link)
    if (loss.link == "identity") != inside or (levels_of(loss) or ()) != targets.quantiles:
        raise ValueError(
            f"loss={loss.name!r} is not for outputs as the model's: leave it out, which means "
            f"{getattr(default, 'name', default)!r}."
        )
    return targets.paired(loss)


def _default_loss(targets, inside):
    if targets.quantiles:
        return quantile(targets.quantiles)
    if inside:
        return "squared_error"
    return {"softmax": "log_loss", "logistic": "binary_log_loss", "exp": "poisson"}[targets.link]


def check_target_shape(targets, shape: tuple) -> None:
    """Check the shape of y: (n,) classes, (n, n_labels), or (n, n_columns) numbers."""
    flat, wide = shape[:1], (shape[0], targets.n_columns)
    allowed = {"multilabel": [wide], "regression": [wide]}.get(targets.task, [flat])
    if targets.task == "regression" and targets.n_columns == 1:
        allowed = [flat, wide]
    if shape not in allowed:
        raise ShapeError(f"y is {shape}, expected {allowed[0]}, as the model was fitted to.")


def targets_of(targets, y, x, dtype):
    """Return targets (n, n_outputs) or class codes beside x for y: labels or numbers, as in `fit`.

    targets: their record; None where y is None.
    """
    if y is None:
        return None
    if is_array(y):
        y = to_host(y)
    y = np.asarray(y)
    check_target_shape(targets, y.shape)
    if targets.task == "regression":
        y = y.astype(np.float64).reshape(len(y), -1)
        if not np.isfinite(y).all():
            raise ValueError("y holds NaN or infinity.")
    else:
        known = {"multilabel": [0, 1]}.get(targets.task) or targets.classes.tolist()
        unknown = {*y.ravel().tolist()}.difference(known)
        if unknown:
            found = listed(sorted(unknown, key=str))
            raise ValueError(f"y holds {found}, the model knows {listed(known)}.")
    return targets.encode(y, x, dtype)
