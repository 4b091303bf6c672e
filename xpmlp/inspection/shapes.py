"""Shapes of X and y, and what was probably meant where they do not fit."""

import numpy as np

from ..errors import ShapeError


def shape_of(a):
    """Return the shape of an array, a table or nested lists."""
    try:
        return tuple(int(n) for n in (a.shape if hasattr(a, "shape") else np.shape(a)))
    except (TypeError, ValueError) as error:
        raise ShapeError(
            f"a {type(a).__name__} of uneven rows has no shape: pass an array of (n_samples, ...)."
        ) from error


def check_shapes(x, y=None, n_features=None):
    """Check the shapes of X and y, (n, d) and (n, ...). Returns what looks wrong, as notes.

    n_features: what the network takes, where that is fixed.

    Raises
    ------
    ShapeError
        The message says which index, reshape or transpose was probably meant.
    """
    if len(x) == 1:
        raise ShapeError(
            f"X is {x}, expected (n_samples, n_features); did you mean X[:, None] (one feature) or "
            "X[None, :] (one sample)?"
        )
    if len(x) != 2:
        meant = f"; did you mean X.reshape({x[0]}, -1)?" if len(x) > 2 else "."
        raise ShapeError(f"X is {x}, expected (n_samples, n_features){meant}")
    if not all(x):
        raise ShapeError(f"X is {x}, expected one sample and one feature or more.")
    n, d = x
    if n_features not in (None, d):
        columns = "; its samples seem to stand in columns, did you mean X.T?"
        raise ShapeError(
            f"X is {x}, the network takes (n_samples, {n_features})"
            f"{columns if n == n_features else '.'}"
        )
    if y is not None and (not y or y[0] != n):
        _refuse(x, y)
    if d > n and n_features is None and y is None:
        return [f"X is {x}, wider than long; if its samples stand in columns, pass X.T."]
    return []


def _refuse(x, y):
    """Say what X and y of different lengths may have meant."""
    d = x[1]
    if d in (y[:1] + y[-1:]) and d != x[0]:
        meant = "X.T and y.T" if y[0] != d else "X.T"
        raise ShapeError(
            f"X is {x} and y is {y}: samples seem to stand in columns, did you mean {meant}?"
        )
    if len(y) == 2 and y[1] == x[0]:
        meant = "y[0]" if y[0] == 1 else "y.T"
        raise ShapeError(f"y is {y}, X has {x[0]} samples; did you mean {meant}?")
    raise ShapeError(f"y is {y or 'a single number'}, X is {x}: pass a row of y for each row of X.")


def check_outputs(y, n_out, *, labels):
    """Check targets for outputs (n, n_out); `labels`: class numbers (n,) are taken too."""
    n, wanted = y[0], (y[0], n_out)
    if y == wanted or (labels and y == (n,)):
        return
    if labels and y == (n, 1):
        raise ShapeError(
            f"y is {y}, labels for the outputs {wanted} are ({n},); did you mean y[:, 0]?"
        )
    meant = "; did you mean y[:, None]?" if len(y) == 1 and n_out == 1 else "."
    if len(y) == 1 and n_out > 1:
        meant = ": pass a column for each output, or labels with loss='log_loss'."
    if len(y) == 2:
        meant = f": the last layer needs {y[1]} units, or y {n_out} columns."
    raise ShapeError(f"y is {y}, the outputs are {wanted}{meant}")
