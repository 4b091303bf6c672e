"""Losses: each returns its value and its gradient with respect to the network's outputs.

outputs, y: (..., N, C); weights: (..., N), summing to one over the batch, so nothing here divides:
value (...,) = sum_i w_i l_i. Outputs are logits where a probability or a rate is meant: the link
(softmax, logistic, exp) is inside the loss, which so needs no clipping.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..arrays import Array, device, namespace
from ..errors import ShapeError
from .activations import sigmoid, softplus


def softmax(z: Array, xp: Any) -> Array:
    """Return exp(z) / sum(exp(z)) over the last axis, without overflow."""
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


LINKS: dict[str, Callable[..., Array]] = {
    "identity": lambda z, xp: z,
    "logistic": sigmoid,
    "softmax": softmax,
    "exp": lambda z, xp: xp.exp(z),
}


@dataclass(frozen=True)
class Loss:
    """A loss: ``loss(outputs, y, weights) -> (value, d_outputs)``.

    Parameters
    ----------
    name : str
    value_and_grad : callable
        ``(outputs, y, w, xp) -> (value, d_outputs)`` with w of shape (..., N, 1).
    link : {"identity", "logistic", "softmax", "exp"}
        From the network's outputs to predictions.
    mean_over_outputs : bool
        Whether scikit-learn reports this loss divided by the number of outputs.

    Examples
    --------
    >>> import numpy as np
    >>> value, d = LOSSES["squared_error"](np.asarray([[1.0], [3.0]]), np.asarray([[0.0], [3.0]]))
    >>> float(value), d.tolist()
    (0.25, [[0.5], [0.0]])
    """

    name: str
    value_and_grad: Callable[..., tuple[Array, Array]]
    link: str
    mean_over_outputs: bool = False

    def __call__(self, outputs, y, weights=None, *, xp=None):
        """Return the value (...,) and its gradient (..., N, C); ``weights=None`` means 1/N each."""
        xp = xp or namespace(outputs)
        check_targets(outputs.shape, y.shape)
        if weights is None:
            weights = xp.ones_like(outputs[..., 0]) * (1.0 / outputs.shape[-2])
        return self.value_and_grad(outputs, y, weights[..., None], xp)

    def reported(self, n_outputs):
        """Return the factor from the value to what scikit-learn calls `loss_`."""
        return 1.0 / n_outputs if self.mean_over_outputs else 1.0


def one_hot(codes: Array, n_classes: int, like: Array) -> Array:
    """Return integer codes (n,) as 0/1 columns (n, n_classes) in the dtype of `like`."""
    xp = namespace(codes)
    columns = xp.arange(n_classes, dtype=codes.dtype, device=device(codes))
    return xp.astype(codes[:, None] == columns[None, :], like.dtype)


def check_targets(outputs_shape, y_shape):
    """Refuse targets of another shape than the outputs: broadcasting would hide it."""
    # Members may share the targets: (N, C) for (K, N, C) outputs.
    if len(y_shape) >= 2 and tuple(outputs_shape[-len(y_shape) :]) == tuple(y_shape):
        return
    n, c = outputs_shape[-2:]
    y = tuple(y_shape)
    meant = "."
    if y == (n,) and c == 1:
        meant = "; did you mean y[:, None]?"
    elif y == (n,):
        meant = f": pass a 0/1 column for each of the {c}, or integer labels with loss='log_loss'."
    elif y == (n, 1):
        meant = "; if y holds the labels of log_loss, did you mean y[:, 0]?"
    elif math.prod(y) == n * c:
        meant = f"; did you mean y.reshape({n}, {c})?"
    elif len(y) == 2 and y[0] == n:
        meant = f": the last layer needs {y[1]} units, or y {c} columns."
    raise ShapeError(f"y is {y}, the outputs are {tuple(outputs_shape)}{meant}")


def _squared_error(outputs, y, w, xp):
    error = outputs - y
    d = w * error
    return 0.5 * xp.sum(d * error, axis=(-2, -1)), d


def _softmax_log_loss(outputs, y, w, xp):
    z = outputs - xp.max(outputs, axis=-1, keepdims=True)
    e = xp.exp(z)
    s = xp.sum(e, axis=-1, keepdims=True)
    value = xp.sum(w * (xp.log(s) - xp.sum(y * z, axis=-1, keepdims=True)), axis=(-2, -1))
    return value, w * (e / s - y)


def _binary_log_loss(outputs, y, w, xp):
    value = xp.sum(w * (softplus(outputs, xp) - outputs * y), axis=(-2, -1))
    return value, w * (sigmoid(outputs, xp) - y)


def _poisson(outputs, y, w, xp):
    rate = xp.exp(outputs)
    constant = y * xp.log(xp.maximum(y, 1e-30)) - y  # makes the value 0 at rate = y
    return xp.sum(w * (rate - y * outputs + constant), axis=(-2, -1)), w * (rate - y)


LOSSES = {
    loss.name: loss
    for loss in (
        # Half the squared error, summed over outputs, on activated outputs.
        Loss("squared_error", _squared_error, "identity", mean_over_outputs=True),
        # Cross-entropy of a softmax over the classes; the targets of a row sum to one.
        Loss("log_loss", _softmax_log_loss, "softmax"),
        # Cross-entropy of independent sigmoids, summed over outputs (Nielsen 2015, eq. 63).
        Loss("binary_log_loss", _binary_log_loss, "logistic"),
        # Half the Poisson deviance, of a rate exp(output).
        Loss("poisson", _poisson, "exp"),
    )
}


def match_loss(loss: str, task: str, out_activation: str = "auto") -> tuple[Loss, str]:
    """Return the loss for a task and the output activation, or refuse the pair in words.

    task: "binary", "multiclass", "multilabel" or "regression".

    Examples
    --------
    >>> record, out_activation = match_loss("log_loss", "binary")
    >>> record.name, out_activation
    ('binary_log_loss', 'logistic')
    """
    if loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {loss!r}.")
    record = LOSSES[loss]
    if loss == "log_loss" and task in ("binary", "multilabel"):
        record = LOSSES["binary_log_loss"]
    classes = task != "regression"
    if loss == "squared_error":
        expected = "logistic" if classes else "identity"
        allowed: tuple[str, ...] = (
            (expected,) if classes else ("identity", "logistic", "tanh", "relu")
        )
    else:
        expected, allowed = record.link, (record.link,)
    if out_activation not in ("auto", *allowed):
        raise ValueError(
            f"loss={loss!r} for a {task} task goes with out_activation="
            f"{' or '.join(map(repr, allowed))}, got {out_activation!r}: "
            f"{'a softmax goes with log_loss' if out_activation == 'softmax' else 'use `auto`'}."
        )
    return record, expected if out_activation == "auto" else out_activation
