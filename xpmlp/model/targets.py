"""Targets: from y to what a network learns, and from its outputs to predictions.

A record for each kind of task. N rows, C outputs; y on the host: (N,) or (N, n_columns); outputs
and targets in any library: (N, C), or targets (N, 1) of class codes. Outputs of classifiers are
logits z. "Beside X" means in the library and on the device of X.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from numbers import Real
from typing import ClassVar

import numpy as np

from ..arrays import dtype_name, from_host, namespace
from ..nn.loss import LINKS, one_hot
from ..nn.losses import CLASS_LOG_LOSS, LOSSES, Loss, class_weighted
from ..placing import as_library_of, rows_to_host
from ..words import listed
from .scaling import Scaling


def _linked(link, z):
    """Return predictions for outputs z; exp may underflow, whatever the caller's np.errstate."""
    with np.errstate(over="ignore", under="ignore"):
        return LINKS[link](z, _namespace(z))


class _Probabilities(ABC):
    """Probabilities of classes and of labels, from logits."""

    quantiles: ClassVar[tuple[float, ...]] = ()
    scaling: ClassVar[Scaling] = Scaling()

    @abstractmethod
    def probabilities(self, z):
        """Return probabilities (N, n_classes or n_labels) for logits."""

    def predict_proba(self, z, X):
        """Return `probabilities` for logits z, beside X."""
        return as_library_of(self.probabilities(z), X)

    def predict_log_proba(self, z, X):
        """Return the logarithm of `probabilities` beside X; -inf for 0, without a warning."""
        p = self.probabilities(z)
        xp = _namespace(p)
        tiny = float(xp.finfo(p.dtype).smallest_normal)
        return as_library_of(xp.where(p > 0, xp.log(xp.maximum(p, tiny)), -float("inf")), X)


@dataclass(frozen=True, eq=False)
class ClassTargets(_Probabilities):
    """Targets of a classifier with one class a row.

    Parameters
    ----------
    classes : ndarray (n_classes,)
        Sorted.
    link : {"softmax", "logistic", "identity"}, default="softmax"
        From logits to probabilities.
    smoothing : float, default=0.0
        Share of a target that is spread over all classes.
    weights : ndarray (n_classes,), optional
    coded : bool, default=False
        Whether targets are class codes (N, 1), for the loss that takes them, not rows (N, C).
    threshold : float, default=0.5
        Of two classes: the second is predicted where its probability is above it.
    """

    classes: np.ndarray
    link: str = "softmax"
    smoothing: float = 0.0
    weights: np.ndarray | None = None
    coded: bool = False
    threshold: float = 0.5

    @property
    def task(self):
        """Name of the task: two classes share one logistic output."""
        return "binary" if len(self.classes) <= 2 else "multiclass"

    @property
    def n_outputs(self):
        """Number C of the network's outputs."""
        return 1 if self.task == "binary" else len(self.classes)

    @property
    def n_columns(self):
        """Number of columns of the targets, which is that of outputs."""
        return self.n_outputs

    def encode(self, y, like, dtype):
        """Return targets (N, C), or class codes (N, 1), for y in a dtype, beside `like`."""
        codes = np.searchsorted(self.classes, y)[:, None]
        if self.coded:
            return from_host(codes, like, "int32")
        if self.task == "binary":
            targets = from_host(codes, like, dtype)
        else:
            targets = one_hot(from_host(codes, like, "int32"), len(self.classes), like)
        if len(self.classes) == 1:
            return targets
        n_ways = self.n_outputs if self.link == "softmax" else 2
        return _smoothed(targets, self.smoothing, n_ways)

    def row_weights(self, y, weights):
        """Return sample weights (N,) times those of the classes."""
        if self.weights is None:
            return weights
        own = self.weights[np.searchsorted(self.classes, y)]
        return own if weights is None else own * weights

    def paired(self, loss: Loss) -> tuple["ClassTargets", Loss]:
        """Return targets and loss made for each other; row weights hold those of the classes."""
        if self.task == "multiclass" and not self.smoothing and loss == LOSSES["log_loss"]:
            return replace(self, coded=True), CLASS_LOG_LOSS
        return replace(self, coded=False), loss

    def codes(self, z):
        """Return class numbers (N,) for logits z."""
        xp = _namespace(z)
        if self.task == "multiclass":
            return xp.argmax(z, axis=-1)
        if self.threshold == 0.5:
            second = z[:, 0] > 0
        else:  # not by the logit of the threshold, which rounds differently from predict_proba
            second = _linked(self.link, z)[:, 0] > self.threshold
        return xp.astype(second, xp.int32) * (len(self.classes) - 1)  # of one class all 0

    def predict(self, z, X):
        """Return classes (N,), beside X where its library has such values."""
        return labels_of(self.classes, as_library_of(self.codes(z), X))

    def decision_function(self, z, X):
        """Return logits z beside X: (N,) of two classes, else (N, C)."""
        return as_library_of(z[:, 0] if self.task == "binary" else z, X)

    def probabilities(self, z):
        """Return probabilities (N, n_classes) for logits; sigmoids are divided by their sum."""
        xp = _namespace(z)
        p = _linked(self.link, z)
        if len(self.classes) == 1:
            return xp.ones_like(p)
        if self.task == "binary":
            return xp.concat([1.0 - p, p], axis=-1)
        if self.link != "logistic":
            return p
        total = xp.sum(p, axis=-1, keepdims=True)
        # All sigmoids at 0: nothing is known, every class alike.
        return xp.where(total > 0, p / xp.where(total > 0, total, 1.0), 1.0 / p.shape[-1])

    def hits(self, outputs, targets, threshold):
        """Return which rows of host outputs are right; threshold: between an output's 0 and 1."""
        if self.coded:
            return outputs.argmax(axis=1) == targets[:, 0]
        if self.task == "multiclass":
            return outputs.argmax(axis=1) == targets.argmax(axis=1)
        one_class = len(self.classes) == 1
        return one_class | ((outputs > threshold) == (targets > 0.5)).all(axis=1)


@dataclass(frozen=True, eq=False)
class LabelTargets(_Probabilities):
    """Targets of a classifier with several labels a row, each there or not.

    y is (N, n_outputs) of 0 and 1.

    Parameters
    ----------
    n_outputs : int
        Number of labels.
    link : {"logistic", "identity"}, default="logistic"
        From outputs to probabilities.
    smoothing : float, default=0.0
        Share of a target that is spread over 0 and 1.
    weights : sequence of pairs of float, optional
        For each label the weights of 0 and of 1.
    """

    n_outputs: int
    link: str = "logistic"
    smoothing: float = 0.0
    weights: np.ndarray | None = None
    task: ClassVar[str] = "multilabel"
    threshold: ClassVar[float] = 0.5

    @property
    def classes(self):
        """Numbers of the labels."""
        return np.arange(self.n_outputs)

    @property
    def n_columns(self):
        """Number of labels."""
        return self.n_outputs

    def encode(self, y, like, dtype):
        """Return targets (N, C) for y in a dtype, beside `like`."""
        return _smoothed(from_host(y.astype(dtype), like, dtype), self.smoothing, 2)

    def row_weights(self, y, weights):
        """Return sample weights (N,): a row has several labels, whose weights are in the loss."""
        return weights

    def paired(self, loss: Loss) -> tuple["LabelTargets", Loss]:
        """Return targets and loss, with the labels' weights in it."""
        if self.weights is not None:
            loss = class_weighted(loss, self.weights)
        return self, loss

    def codes(self, z):
        """Return 0 or 1 for each of the logits z (N, C)."""
        xp = _namespace(z)
        return xp.astype(z > 0, xp.int32)

    def predict(self, z, X):
        """Return 0 or 1 for each label, beside X."""
        return labels_of(np.arange(2), as_library_of(self.codes(z), X))

    def decision_function(self, z, X):
        """Return logits z (N, C) beside X."""
        return as_library_of(z, X)

    def probabilities(self, z):
        """Return the probability (N, C) of each label."""
        return _linked(self.link, z)

    def hits(self, outputs, targets, threshold):
        """Return which rows have all labels of host targets right, by a threshold of outputs."""
        return ((outputs > threshold) == (targets > 0.5)).all(axis=1)


@dataclass(frozen=True, eq=False)
class NumberTargets:
    """Targets of a regressor: numbers, standardised or not, with an output for each quantile.

    Parameters
    ----------
    n_columns : int
        Of y.
    link : {"identity", "exp"}, default="identity"
        From outputs to values; "identity" where the network ends with it.
    quantiles : tuple of float, optional
        Levels that are learnt; each column of y has an output for each.
    scaling : Scaling
        Of y.
    """

    n_columns: int
    link: str = "identity"
    quantiles: tuple[float, ...] = ()
    scaling: Scaling = Scaling()
    task: ClassVar[str] = "regression"
    classes: ClassVar[np.ndarray | None] = None

    @property
    def n_levels(self):
        """Number of outputs for each column of y."""
        return len(self.quantiles) or 1

    @property
    def n_outputs(self):
        """Number C of the network's outputs; the quantiles of a column stand side by side."""
        return self.n_columns * self.n_levels

    @property
    def middle(self):
        """Index of the learnt quantile nearest to 0.5."""
        levels = self.quantiles or (0.5,)
        return min(range(len(levels)), key=lambda i: abs(levels[i] - 0.5))

    def encode(self, y, like, dtype):
        """Return targets (N, C) for y in a dtype, beside `like`."""
        y = self.scaling.apply(y)
        with np.errstate(over="ignore"):
            finite = np.isfinite(y.astype(dtype)).all()
        if not finite:
            raise ValueError(
                f"y holds values too large for {dtype}: set target_scale='auto', or divide y by "
                "its scale."
            )
        return from_host(np.repeat(y, self.n_levels, axis=1), like, dtype)

    def row_weights(self, y, weights):
        """Return sample weights (N,)."""
        return weights

    def paired(self, loss: Loss) -> tuple["NumberTargets", Loss]:
        """Return targets and loss as they are."""
        return self, loss

    def predict(self, outputs, X, quantiles=None):
        """Return predictions beside X; quantiles: which of the learnt ones, or None."""
        if quantiles is None:
            return as_library_of(self.values(outputs), X)
        values = self.at_quantiles(outputs, self.places_of(quantiles))
        return as_library_of(values if np.ndim(quantiles) else values[..., 0], X)

    def places_of(self, quantiles):
        """Return the indices of quantiles among the learnt; an error for one that is not there."""
        at = [[i for i, q in enumerate(self.quantiles) if _same(q, w)] for w in np.ravel(quantiles)]
        if not at or not all(at):
            raise ValueError(
                f"quantiles={quantiles!r} are not there: the model has learnt "
                f"{list(self.quantiles) or 'no quantiles'}."
            )
        return [found[0] for found in at]

    def values(self, outputs):
        """Return predictions (N,) or (N, n_columns) in the units of y."""
        if self.quantiles:
            return self.at_quantiles(outputs, [self.middle])[..., 0]
        y = self.scaling.restore(_linked(self.link, outputs))
        return self._columns(y)

    def at_quantiles(self, outputs, wanted):
        """Return values (N, [n_columns,] len(wanted)) of quantiles, sorted: they never cross.

        wanted: their places among the learnt ones.
        """
        xp = _namespace(outputs)
        y = xp.reshape(outputs, (outputs.shape[0], self.n_columns, self.n_levels))
        y = xp.sort(y, axis=-1)
        return self._columns(xp.stack([self.scaling.restore(y[..., i]) for i in wanted], axis=-1))

    def _columns(self, y):
        """Return y without the axis of its columns where there is one column only."""
        return y[:, 0, ...] if self.n_columns == 1 else y

    def compared(self, outputs, targets):
        """Return y and predictions (N, n_columns), standardised, of host targets and outputs."""
        made = _linked(self.link, outputs[:, self.middle :: self.n_levels])
        return targets[:, :: self.n_levels], made


def labels_of(values, codes):
    """Return values[codes]: in the library of codes if it has such values, else in NumPy."""
    if isinstance(codes, np.ndarray):
        return values[codes]
    if values.dtype.kind not in "biuf":
        return values[_host_codes(codes)]
    if values.dtype.kind == "u" and int(values.max()) < 2**63:
        values = values.astype(np.int64)  # torch does arithmetic on few unsigned types
    moved = from_host(values, codes)
    name = dtype_name(moved)
    if not np.array_equal(values.astype(name), values):  # JAX without x64: 2**40 would become 0
        return values[_host_codes(codes)]
    xp = namespace(codes)
    return xp.reshape(xp.take(moved, xp.reshape(codes, (-1,)), axis=0), codes.shape)


def with_threshold(targets, threshold):
    """Return targets of two classes with another threshold of the second one's probability.

    Raises
    ------
    ValueError
        When there are not two classes, or the threshold is no number between 0 and 1.
    """
    others = {"regression": "predicts numbers", "multilabel": "has several labels a row"}
    if targets.task in others or len(targets.classes) != 2:
        own = others.get(targets.task) or f"has the classes {listed(targets.classes.tolist())}"
        raise ValueError(f"a threshold decides between two classes, and this model {own}.")
    number = isinstance(threshold, Real) and not isinstance(threshold, bool)
    if not number or not 0 < float(threshold) < 1:
        raise ValueError(f"the threshold must be a number above 0 and below 1, got {threshold!r}.")
    return replace(targets, threshold=float(threshold))


def _host_codes(codes):
    return rows_to_host(
        codes, "the predicted labels", "fit small numbers as labels, or call predict_proba"
    )


def _same(a, b):
    return isinstance(b, Real) and abs(a - float(b)) < 1e-6


def _smoothed(targets, share, n_ways):
    """Return targets of 0 and 1 with a share spread over n ways. Donates: targets, often large."""
    if share:
        targets *= 1.0 - share
        targets += share / n_ways
    return targets


def _namespace(a):
    """Return the namespace of `a`: of NumPy's arrays NumPy itself, which costs no look-up."""
    return np if type(a) is np.ndarray else namespace(a)
