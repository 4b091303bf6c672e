"""Scaling: statistics by which inputs and regression targets are standardised."""

from collections import namedtuple
from typing import Any, NamedTuple

import numpy as np

from ..arrays import dtype_name, from_host


class Scaling(NamedTuple):
    """Mean and scale of each column.

    Parameters
    ----------
    mean, scale : ndarray (1, n) or None
        None where columns stay as they are.

    Examples
    --------
    >>> scaling = Scaling.of(np.asarray([[1.0, 5.0], [3.0, 5.0]]))
    >>> scaling.apply(np.asarray([[3.0, 6.0]]))
    array([[1., 1.]])
    """

    mean: np.ndarray | None = None
    scale: np.ndarray | None = None

    @staticmethod
    def of(X, *, shared=False):
        """Return mean and scale of X (n, d); shared: the same for all columns, as for pixels."""
        a = np.asarray(X, np.float64)
        axis = (0, None)[shared]
        with np.errstate(over="ignore", invalid="ignore"):  # who asks checks that they are finite
            mean, scale = a.mean(axis=axis), a.std(axis=axis)
        scale = np.where(scale > 0, scale, 1.0)  # a constant column stays what it is, centred
        return Scaling(*(np.broadcast_to(s, (1, a.shape[1])).copy() for s in (mean, scale)))

    @staticmethod
    def of_targets(y, weights=None, *, by_mean=False):
        """Return mean and scale of targets (n, n_outputs), rows by their weights (n,).

        by_mean: the scale is the mean, and nothing is centred: for targets that are never negative.
        """
        y = np.asarray(y, np.float64)
        if weights is not None:
            y, weights = y[weights > 0], weights[weights > 0]
        mean = np.average(y, axis=0, weights=weights)
        if by_mean:
            return Scaling(np.zeros((1, y.shape[1])), np.where(mean > 0, mean, 1.0)[None, :])
        inside = np.clip(mean, y.min(axis=0), y.max(axis=0))  # of a constant the very number
        mean = np.where(np.isfinite(mean), inside, mean)
        size = np.abs(y - mean).max(axis=0)  # squares of large numbers would overflow
        size = np.where(size > 0, size, 1.0)
        squares = np.average(((y - mean) / size) ** 2, axis=0, weights=weights)
        scale = np.where(constant_columns(y), np.maximum(size, 1.0), size * np.sqrt(squares))
        return Scaling(mean[None, :], scale[None, :])

    def apply(self, x):
        """Return inputs or targets x (n, n_columns) standardised, in their library."""
        return x if self.mean is None else (x - _at(self.mean, x)) / _at(self.scale, x)

    def restore(self, y) -> Any:
        """Return predictions y (n, n_outputs) in the units of the targets."""
        return y if self.mean is None else y * _at(self.scale, y) + _at(self.mean, y)


def constant_columns(y: np.ndarray) -> np.ndarray:
    """Return which columns of y hold one number, or it and a neighbour that rounding made of it."""
    return np.ptp(y, axis=0) <= np.spacing(np.abs(y).max(axis=0))


# The scaling of inputs and that of targets, as `scaling_` of an estimator shows them.
Scalings = namedtuple("Scalings", "x_mean x_scale y_mean y_scale")


def _at(a, like):
    return from_host(a, like, dtype_name(like))
