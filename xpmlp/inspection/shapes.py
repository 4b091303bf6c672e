"""Shapes of X and y, and what was probably meant where they do not fit."""

import warnings

import numpy as np

from ..errors import ShapeError


def shape_of(a):
    """Return the shape of an array, a table or nested lists."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of masks, which the door refuses
            return tuple(int(n) for n in np.shape(a))
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"a {type(a).__name__} of uneven rows has no shape: pass an array of (n_samples, ...)."
        ) from error


def check_shapes(X, y=None, n_features=None):
    """Check that X is (n, d) and y (n, ...) or None.

    n_features: what the network takes, where that is fixed.

    Raises
    ------
    ShapeError
        The message says which index, reshape or transpose was probably meant.
    """
    x = shape_of(X)
    if len(x) != 2 or not all(x):
        meant = "."
        if len(x) == 1:
            meant = "; did you mean X[:, None] (one feature) or X[None, :] (one sample)?"
        elif len(x) > 2 and all(x):
            meant = f"; did you mean X.reshape({x[0]}, -1)?"
        raise ShapeError(
            f"X is {x or 'no array'}, expected (n_samples, n_features), 1 or more{meant}"
        )
    n, d = x
    if n_features not in (None, d):
        meant = "."
        if n == n_features:
            meant = "; its samples seem to stand in columns, did you mean X.T?"
        raise ShapeError(f"X is {x}, the network takes (n_samples, {n_features}){meant}")
    if y is None or shape_of(y)[:1] == (n,):
        return
    y = shape_of(y)
    if d in (y[:1] + y[-1:]) and d != n:
        both = " and y.T" * (y[0] != d)
        raise ShapeError(
            f"X is {x} and y is {y}: samples seem to stand in columns, did you mean X.T{both}?"
        )
    if y == (1, n):
        raise ShapeError(f"y is {y}, X has {n} samples; did you mean y[0]?")
    if len(y) == 2 and y[1] == n:
        raise ShapeError(f"y is {y}, X has {n} samples; did you mean y.T?")
    raise ShapeError(f"y is {y or 'a single number'}, X is {x}: pass a row of y for each row of X.")
