"""Losses: each returns its value and its gradient with respect to the network's outputs.

o, y: outputs and targets (..., N, C), or y (..., N, 1) of class codes; weights: (..., N), which
sum to one over the batch, so nothing here divides. The value is (...,) = sum_i w_i l_i, l_i the
sum of the table's terms over the C outputs. Where a probability or a rate is meant, outputs are
logits: the link (softmax, logistic, exp) is inside the loss, which needs no clipping. Targets of
log_loss sum to one in a row.

===============  ==============================================  ==============================
name             term of one output                              source
===============  ==============================================  ==============================
squared_error    (o - y)^2 / 2
log_loss         -y log p, p = softmax(o)                        cross-entropy
binary_log_loss  log(1 + exp(o)) - y o                           Nielsen 2015, eq. 63
focal            -y (1 - p)^2 log p, p = softmax(o)              Lin et al. 2017, eq. 4
binary_focal     the same of logistic(o), for y = 0 of 1 - p     the same
poisson          exp(o) - y o + y log y - y                      half the Poisson deviance
gamma            o + y exp(-o) - 1 - log y                       half the gamma deviance
absolute_error   abs(o - y)
log_cosh         log cosh(o - y)
huber            (o - y)^2 / 2; abs(o - y) - 1/2 beyond 1        Huber 1964
quantile         (1/2 - [y < o]) (y - o)                         Koenker & Bassett 1978
===============  ==============================================  ==============================
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

from ..arrays import Array, constants
from ..words import check_word, did_you_mean
from .activations import sigmoid, softplus
from .loss import CLASSIFICATION, REGRESSION, Loss, one_hot

# Fields that losses of activated outputs have in common.
_OF_NUMBERS: dict[str, Any] = {"link": "identity", "mean_over_outputs": True, "tasks": REGRESSION}


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


def _class_log_loss(outputs, codes, w, xp):
    return _softmax_log_loss(outputs, one_hot(codes, outputs.shape[-1], outputs), w, xp)


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
        slope = xp.astype(each < 0, outputs.dtype) - constants(self.levels, outputs)
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


def huber(delta: float = 1.0) -> Loss:
    """Return half the squared error up to `delta`, linear beyond.

    Parameters
    ----------
    delta : float, default=1.0
        In the units of the targets as the network sees them (standardised, where an estimator
        standardises them).

    Raises
    ------
    ValueError
        When delta is not above 0.

    References
    ----------
    Huber 1964.

    Examples
    --------
    >>> import numpy as np
    >>> value, d = huber(1.0)(np.asarray([[3.0]]), np.asarray([[0.0]]))
    >>> float(value), d.tolist()
    (2.5, [[1.0]])
    """
    if not delta > 0:
        raise ValueError(f"huber needs delta > 0, got {delta!r}.")
    return Loss("huber", _Huber(float(delta)), **_OF_NUMBERS)


def quantile(levels=0.5) -> Loss:
    """Return the pinball loss of one quantile or several.

    A network has an output for each level of each target: those of the first target, then those of
    the second; the targets are repeated alike.

    Parameters
    ----------
    levels : float or sequence of float, default=0.5
        Between 0 and 1, in rising order.

    Raises
    ------
    ValueError
        For other levels.

    References
    ----------
    Koenker & Bassett 1978.

    Examples
    --------
    >>> import numpy as np
    >>> value, d = quantile(0.9)(np.asarray([[0.0]]), np.asarray([[2.0]]))
    >>> float(value), d.tolist()
    (1.8, [[-0.9]])
    """
    if not hasattr(levels, "__iter__"):
        levels = (levels,)
    given = (*levels,)
    numbers: Any = all(isinstance(q, Real) for q in given) and all(0 < q < 1 for q in given)
    if not given or not numbers or sorted({*given}) != [*given]:
        raise ValueError(
            f"quantiles must be different numbers in rising order between 0 and 1, got {given}."
        )
    return Loss("quantile", _Quantile(tuple(map(float, given))), **_OF_NUMBERS)


def focal(gamma: float = 2.0, *, binary: bool = False) -> Loss:
    """Return log-loss times (1 - p)^gamma, p the probability of the true class.

    Rows that are classified well count less.

    Parameters
    ----------
    gamma : float, default=2.0
        1 or more.
    binary : bool, default=False
        For independent logistic outputs, as of two classes or several labels, instead of a softmax.

    Raises
    ------
    ValueError
        When gamma is below 1.

    References
    ----------
    Lin et al. 2017, eq. 4.

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
        # Without a task: named "focal", `match_loss` takes it where outputs are independent.
        return Loss("binary_focal", _BinaryFocal(float(gamma)), link="logistic", tasks=())
    return Loss("focal", _Focal(float(gamma)), link="softmax", tasks=CLASSIFICATION)


def class_weighted(loss: Loss, weights) -> Loss:
    """Return a loss of logistic outputs with a weight for each output's 0 and 1.

    Parameters
    ----------
    loss : Loss
    weights : sequence of pairs of float
        For each output the weights of 0 and of 1.

    Examples
    --------
    >>> import numpy as np
    >>> loss = class_weighted(LOSSES["binary_log_loss"], [(1.0, 3.0)])
    >>> loss(np.zeros((1, 1)), np.ones((1, 1)))[1].tolist()
    [[-1.5]]
    """
    pairs = tuple((float(a), float(b)) for a, b in weights)
    return replace(loss, value_and_grad=_ClassWeighted(loss.value_and_grad, pairs))


# Of losses that have parameters: the functions that make them, whose defaults are the named ones.
MAKERS = {"huber": huber, "quantile": quantile, "focal": focal}
LOSSES = {
    loss.name: loss
    for loss in (
        Loss("squared_error", _squared_error, link="identity", mean_over_outputs=True),
        Loss("log_loss", _softmax_log_loss, link="softmax", tasks=CLASSIFICATION),
        Loss("binary_log_loss", _binary_log_loss, link="logistic", tasks=CLASSIFICATION),
        # Half the Poisson deviance, of a rate exp(output).
        Loss("poisson", _poisson, link="exp", tasks=REGRESSION, domain="non-negative"),
        Loss("gamma", _gamma, link="exp", tasks=REGRESSION, domain="positive"),
        Loss("absolute_error", _absolute_error, **_OF_NUMBERS),
        Loss("log_cosh", _log_cosh, **_OF_NUMBERS),
        *(make() for make in MAKERS.values()),
        focal(binary=True),
    )
}
# log_loss of class codes: only a batch has rows of 0 and 1, so 10,000 classes need no more memory.
CLASS_LOG_LOSS = Loss("log_loss", _class_log_loss, link="softmax", codes=True)


def levels_of(loss: Loss) -> tuple[float, ...] | None:
    """Return the levels (between 0 and 1) of a loss of quantiles, None for other losses."""
    if isinstance(loss.value_and_grad, _Quantile):
        return loss.value_and_grad.levels
    return None


def loss_names(task: str) -> list[str]:
    """Return the names of the losses for "classification" or for "regression"."""
    return [name for name, loss in LOSSES.items() if task in loss.tasks]


def named_loss(loss: str | Loss) -> Loss:
    """Return the loss of a name, or the given Loss itself."""
    if isinstance(loss, Loss):
        return loss
    check_word("loss", loss, LOSSES, " or a Loss")
    return LOSSES[loss]


def match_loss(loss: str | Loss, task: str, out_activation: str = "auto") -> tuple[Loss, str]:
    """Return the loss for a task and the output activation; ValueError if they do not fit.

    loss: a name or a `Loss`; task: "binary", "multiclass", "multilabel" or "regression".

    Examples
    --------
    >>> record, out_activation = match_loss("log_loss", "binary")
    >>> record.name, out_activation
    ('binary_log_loss', 'logistic')
    """
    given = record = named_loss(loss)
    if task != "regression" and (levels_of(given) or given.link == "exp"):
        raise ValueError(f"loss={given.name!r} is for regression: take 'log_loss'.")
    if task in ("binary", "multilabel"):
        record = _of_independent_outputs(given)
        if record.link == "softmax":
            raise ValueError(
                f"loss={given.name!r} is of a softmax, and a {task} task has independent outputs: "
                "give the Loss link='logistic'."
            )
    allowed = _out_activations(record, task)
    if out_activation == "auto":
        return record, allowed[0]
    if out_activation not in allowed:
        remedy = did_you_mean(out_activation, allowed)
        if out_activation == "softmax":
            remedy = ": a softmax goes with log_loss."
        elif remedy == ".":
            remedy = ": use `auto`."
        raise ValueError(
            f"loss={given.name!r} for a {task} task goes with out_activation="
            f"{' or '.join(map(repr, allowed))}, got {out_activation!r}{remedy}"
        )
    return record, out_activation


def _of_independent_outputs(loss: Loss) -> Loss:
    """Return the form that a built-in loss of a softmax has for two classes or several labels."""
    if loss == LOSSES["log_loss"]:
        return LOSSES["binary_log_loss"]
    if isinstance(loss.value_and_grad, _Focal):
        return focal(loss.value_and_grad.gamma, binary=True)
    return loss


def _out_activations(loss: Loss, task: str) -> tuple[str, ...]:
    """Return the output activations that a loss goes with, first the one that "auto" means."""
    if loss.link != "identity":
        return (loss.link,)
    if task == "regression":
        return ("identity", "logistic", "tanh", "relu")
    return ("logistic",)
