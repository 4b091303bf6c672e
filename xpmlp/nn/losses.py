"""Losses: each returns its value and its gradient with respect to the network's outputs.

outputs, y: (..., N, C); weights: (..., N), summing to one over the batch, so nothing here divides:
value (...,) = sum_i w_i l_i. Outputs are logits where a probability or a rate is meant: the link
(softmax, logistic, exp) is inside the loss, which so needs no clipping.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from ..arrays import Array, constants, device, namespace
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


def _gamma(outputs, y, w, xp):
    ratio = y * xp.exp(-outputs)
    constant = -1.0 - xp.log(xp.maximum(y, 1e-30))  # makes the value 0 at exp(output) = y
    return xp.sum(w * (outputs + ratio + constant), axis=(-2, -1)), w * (1.0 - ratio)


def _absolute_error(outputs, y, w, xp):
    error = outputs - y
    return xp.sum(w * xp.abs(error), axis=(-2, -1)), w * xp.sign(error)


def _log_cosh(outputs, y, w, xp):
    error = outputs - y
    size = xp.abs(error)
    value = size + xp.log1p(xp.exp(-2.0 * size)) - math.log(2.0)
    return xp.sum(w * value, axis=(-2, -1)), w * xp.tanh(error)


@dataclass(frozen=True)
class _Huber:
    delta: float = 1.0

    def __call__(self, outputs, y, w, xp):
        error = outputs - y
        near = xp.minimum(xp.maximum(error, -self.delta), self.delta)
        d = w * near
        return xp.sum(d * (error - 0.5 * near), axis=(-2, -1)), d


@dataclass(frozen=True)
class _Quantile:
    levels: tuple[float, ...] = (0.5,)

    def __call__(self, outputs, y, w, xp):
        error = y - outputs
        each = xp.reshape(error, (*error.shape[:-1], -1, len(self.levels)))
        # 1 where the target lies below the prediction, minus the level.
        slope = _mask(each < 0, outputs, xp) - constants(self.levels, outputs)
        d = w * xp.reshape(slope, error.shape)
        return -xp.sum(d * error, axis=(-2, -1)), d


@dataclass(frozen=True)
class _Focal:
    gamma: float = 2.0

    def __call__(self, outputs, y, w, xp):
        z = outputs - xp.max(outputs, axis=-1, keepdims=True)
        log_p = z - xp.log(xp.sum(xp.exp(z), axis=-1, keepdims=True))
        p = xp.exp(log_p)
        q = -xp.expm1(log_p)  # 1 - p, exact where p is near 1
        easy = y * q ** (self.gamma - 1.0)
        value = -xp.sum(w * easy * q * log_p, axis=(-2, -1))
        slope = easy * (self.gamma * p * log_p - q)  # p times the derivative by p
        return value, w * (slope - p * xp.sum(slope, axis=-1, keepdims=True))


@dataclass(frozen=True)
class _BinaryFocal:
    gamma: float = 2.0

    def __call__(self, outputs, y, w, xp):
        value, d = 0.0, 0.0
        for sign, share in ((1.0, y), (-1.0, 1.0 - y)):
            z = sign * outputs
            q, cost = sigmoid(-z, xp), softplus(-z, xp)
            weight = w * share * q**self.gamma
            value = value + xp.sum(weight * cost, axis=(-2, -1))
            d = d - sign * weight * (self.gamma * (1.0 - q) * cost + q)
        return value, d


@dataclass(frozen=True)
class _ClassWeighted:
    inner: Callable[..., tuple[Array, Array]]
    weights: tuple[tuple[float, float], ...]  # of an output's 0 and 1

    def __call__(self, outputs, y, w, xp):
        of_0, of_1 = (constants(column, outputs) for column in zip(*self.weights))
        value_1, d_1 = self.inner(outputs, xp.ones_like(y), w * y * of_1, xp)
        value_0, d_0 = self.inner(outputs, xp.zeros_like(y), w * (1.0 - y) * of_0, xp)
        return value_0 + value_1, d_0 + d_1


def _mask(condition, like, xp):
    return xp.astype(condition, like.dtype)


def huber(delta: float = 1.0) -> Loss:
    """Return half the squared error up to `delta`, linear beyond (Huber 1964).

    `delta` is in the units of the targets as the network sees them.

    Examples
    --------
    >>> import numpy as np
    >>> value, d = huber(1.0)(np.asarray([[3.0]]), np.asarray([[0.0]]))
    >>> float(value), d.tolist()
    (2.5, [[1.0]])
    """
    if not delta > 0:
        raise ValueError(f"huber needs delta > 0, got {delta!r}.")
    return Loss("huber", _Huber(float(delta)), "identity", mean_over_outputs=True)


def quantile(levels=0.5) -> Loss:
    """Return the pinball loss of one level or several (Koenker & Bassett 1978).

    A network has an output for each level of each target: those of the first target, then those
    of the second; the targets are repeated alike.

    Examples
    --------
    >>> import numpy as np
    >>> value, d = quantile(0.9)(np.asarray([[0.0]]), np.asarray([[2.0]]))
    >>> float(value), d.tolist()
    (1.8, [[-0.9]])
    """
    given = (*levels,) if hasattr(levels, "__iter__") else (levels,)
    numbers = all(isinstance(q, Real) and 0 < float(q) < 1 for q in given)
    levels = tuple(map(float, given)) if numbers else ()
    if not levels or sorted({*levels}) != [*levels]:
        raise ValueError(
            f"quantiles must be different numbers in rising order between 0 and 1, got {given}."
        )
    return Loss("quantile", _Quantile(levels), "identity", mean_over_outputs=True)


def focal(gamma: float = 2.0, *, binary: bool = False) -> Loss:
    """Return log-loss times (1 - p)^gamma, p the probability of the true class (Lin et al. 2017).

    What is classified well counts less. `binary`: of independent logistic outputs, as for two
    classes or several labels; else of a softmax.

    Examples
    --------
    >>> import numpy as np
    >>> value, _ = focal()(np.zeros((1, 2)), np.asarray([[1.0, 0.0]]))
    >>> bool(np.isclose(value, np.log(2) / 4))
    True
    """
    if not gamma >= 1:
        raise ValueError(f"focal needs gamma >= 1, got {gamma!r}; log_loss is gamma = 0.")
    if binary:
        return Loss("binary_focal", _BinaryFocal(float(gamma)), "logistic")
    return Loss("focal", _Focal(float(gamma)), "softmax")


def class_weighted(loss: Loss, weights) -> Loss:
    """Return a loss of logistic outputs with a weight for each output's 0 and 1: ((w0, w1), ...).

    Examples
    --------
    >>> import numpy as np
    >>> loss = class_weighted(LOSSES["binary_log_loss"], [(1.0, 3.0)])
    >>> loss(np.zeros((1, 1)), np.ones((1, 1)))[1].tolist()
    [[-1.5]]
    """
    pairs = tuple((float(a), float(b)) for a, b in weights)
    return replace(loss, value_and_grad=_ClassWeighted(loss.value_and_grad, pairs))


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
        # Half the gamma deviance, of a mean exp(output).
        Loss("gamma", _gamma, "exp"),
        # The following on activated outputs too, summed over them.
        Loss("absolute_error", _absolute_error, "identity", mean_over_outputs=True),
        huber(),
        Loss("log_cosh", _log_cosh, "identity", mean_over_outputs=True),
        quantile(),
        focal(),
        focal(binary=True),
    )
}
MAKERS = {"huber": huber, "quantile": quantile, "focal": focal}  # of losses that have parameters


def levels_of(loss: Loss) -> tuple[float, ...] | None:
    """Return the quantiles that a loss is of, or None."""
    made = loss.value_and_grad
    return made.levels if isinstance(made, _Quantile) else None


def match_loss(loss: str | Loss, task: str, out_activation: str = "auto") -> tuple[Loss, str]:
    """Return the loss for a task and the output activation, or refuse the pair in words.

    loss: a name, or a Loss of one's own; task: "binary", "multiclass", "multilabel" or
    "regression".

    Examples
    --------
    >>> record, out_activation = match_loss("log_loss", "binary")
    >>> record.name, out_activation
    ('binary_log_loss', 'logistic')
    """
    if not isinstance(loss, Loss) and loss not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)} or a Loss, got {loss!r}.")
    record, classes = loss if isinstance(loss, Loss) else LOSSES[loss], task != "regression"
    if task in ("binary", "multilabel"):
        if record == LOSSES["log_loss"]:
            record = LOSSES["binary_log_loss"]
        elif isinstance(record.value_and_grad, _Focal):
            record = focal(record.value_and_grad.gamma, binary=True)
    if classes and (levels_of(record) or record.link == "exp"):
        raise ValueError(f"loss={record.name!r} is for regression: take 'log_loss'.")
    name = loss.name if isinstance(loss, Loss) else loss
    allowed: tuple[str, ...]
    expected, allowed = record.link, (record.link,)
    if record.link == "identity":
        expected = "logistic" if classes else "identity"
        allowed = (expected,) if classes else ("identity", "logistic", "tanh", "relu")
    elif record.link == "softmax" and task in ("binary", "multilabel"):
        raise ValueError(
            f"loss={name!r} is of a softmax, and a {task} task has independent outputs: "
            "give the Loss link='logistic'."
        )
    if out_activation not in ("auto", *allowed):
        raise ValueError(
            f"loss={name!r} for a {task} task goes with out_activation="
            f"{' or '.join(map(repr, allowed))}, got {out_activation!r}: "
            f"{'a softmax goes with log_loss' if out_activation == 'softmax' else 'use `auto`'}."
        )
    return record, expected if out_activation == "auto" else out_activation
