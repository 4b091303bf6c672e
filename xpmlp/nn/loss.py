"""Loss: a formula with its gradient, its link and its targets; what targets may be."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..arrays import Array, constants, namespace, to_host
from ..errors import ShapeError
from .activations import sigmoid


def softmax(z: Array, xp: Any) -> Array:
    """Return exp(z) / sum(exp(z)) over the last axis of an array z, without overflow."""
    e = xp.exp(z - xp.max(z, axis=-1, keepdims=True))
    return e / xp.sum(e, axis=-1, keepdims=True)


LINKS: dict[str, Callable[..., Array]] = {
    "identity": lambda z, xp: z,
    "logistic": sigmoid,
    "softmax": softmax,
    "exp": lambda z, xp: xp.exp(z),
}
CLASSIFICATION, REGRESSION = ("classification",), ("regression",)
DOMAINS: dict[str, tuple[str, Callable]] = {  # of targets: in words, and as a test of an array
    "non-negative": ("y >= 0", lambda y: y >= 0),
    "positive": ("y > 0", lambda y: y > 0),
}


@dataclass(frozen=True)
class Loss:
    """A loss with its gradient: ``loss(outputs, y, weights) -> (value, d_outputs)``.

    Parameters
    ----------
    name : str
    value_and_grad : callable
        ``(outputs, y, w, xp) -> (value, d_outputs)`` with w of shape (..., N, 1).
    link : {"identity", "logistic", "softmax", "exp"}
        Function from the network's outputs to predictions.
    mean_over_outputs : bool, default=False
        Whether scikit-learn reports this loss divided by the number of outputs.
    tasks : sequence of {"classification", "regression"}, default=both
        Estimators that take a built-in loss by its name.
    domain : {"any", "non-negative", "positive"}, default="any"
        Targets that the loss is defined for; a fit refuses others.
    codes : bool, default=False
        Whether y holds class codes, integers (..., N, 1), instead of rows (..., N, C).

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp.nn.losses import LOSSES
    >>> value, d = LOSSES["squared_error"](np.asarray([[1.0], [3.0]]), np.asarray([[0.0], [3.0]]))
    >>> float(value), d.tolist()
    (0.25, [[0.5], [0.0]])
    """

    name: str
    value_and_grad: Callable[..., tuple[Array, Array]]
    link: str
    mean_over_outputs: bool = False
    tasks: tuple[str, ...] = CLASSIFICATION + REGRESSION
    domain: str = "any"
    codes: bool = False

    def __call__(self, outputs, y, weights=None, *, xp=None):
        """Return the value (...,) and its gradient (..., N, C) for targets y, or raise ShapeError.

        weights: (..., N), summing to one; None means 1/N each.
        """
        xp = xp or namespace(outputs)
        check_targets((*outputs.shape[:-1], self.n_targets(outputs.shape[-1])), y.shape)
        if weights is None:
            weights = xp.ones_like(outputs[..., 0]) * (1.0 / outputs.shape[-2])
        return self.value_and_grad(outputs, y, weights[..., None], xp)

    def n_targets(self, n_outputs: int) -> int:
        """Return the number of columns of y for n_outputs outputs."""
        return 1 if self.codes else n_outputs

    def reported(self, n_outputs: int) -> float:
        """Return the factor from the value to scikit-learn's `loss_`, for n_outputs outputs."""
        if self.mean_over_outputs:
            return 1.0 / n_outputs
        return 1.0


def one_hot(codes: Array, n_classes: int, like: Array) -> Array:
    """Return class codes (..., N, 1) as 0/1 columns (..., N, n_classes) in the dtype of `like`."""
    columns = constants(range(n_classes), codes)  # kept: a kernel less in each step
    return namespace(codes).astype(codes == columns, like.dtype)


def check_targets(outputs_shape, y_shape):
    """Raise ShapeError for targets of another shape than the outputs, which would broadcast."""
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


def check_domain(loss, y):
    """Raise ValueError for targets (N, C) that the loss is not defined for."""
    if loss.domain == "any":
        return
    words, holds = DOMAINS[loss.domain]
    good = to_host(holds(y))
    if not good.all():
        row, column = divmod(int(good.argmin()), good.shape[1])
        raise ValueError(
            f"loss={loss.name!r} needs {words}, got {float(y[row, column]):g} in row {row}: use "
            "'squared_error'."
        )
