"""Checks of what `train` is given: X, y, weights and starting parameters."""

import numpy as np

from ..arrays import (
    Array,
    all_finite,
    as_float,
    detached,
    dtype_name,
    float_dtype,
    from_host,
    is_array,
    is_numpy,
    location_of,
    namespace,
    to_host,
)
from ..errors import ShapeError
from ..nn.layout import get, map_params, path_name, walk
from ..nn.loss import check_domain, check_targets
from ..nn.losses import CLASS_LOG_LOSS, LOSSES, Loss, named_loss
from ..plain import as_floats, labels, numbers
from ..randomness import Draws, InitialStream, random_state


def checked_inputs(X, dtype=None) -> Array:
    """Return X (n_samples, n_features) as finite numbers in the compute dtype."""
    if not is_array(X):
        dense = "np.asarray(X)"
        if hasattr(X, "toarray"):
            dense = "X.toarray()"
        raise ShapeError(f"X is a {type(X).__name__}, expected an array: pass {dense}.")
    if X.ndim != 2 or 0 in X.shape:
        raise ShapeError(
            f"X is {tuple(X.shape)}, expected (n_samples, n_features) of one row or more."
        )
    X = detached(X)
    if isinstance(X, np.ma.MaskedArray | np.matrix) or not namespace(X).isdtype(
        X.dtype, ("bool", "numeric")
    ):
        raise ValueError(f"X is a {type(X).__name__} of {X.dtype}, expected an array of numbers.")
    with as_floats("X"):
        x = as_float(X, float_dtype(X, dtype))
    _check_finite(x, "X")
    return x


def starting_params(network, x, params, seed):
    """Return parameters beside x, drawn if none are given, the number of outputs, and the draws."""
    generator = random_state(seed)
    host, n_out = network.init(x.shape[1], InitialStream.of(seed, generator))
    if not any(True for _ in walk(network, host)):
        raise ValueError("the network has no parameters to train: give it a Dense layer.")
    if params is None:
        params = host
    for path, _, a in walk(network, host):
        try:
            found = tuple(get(params, path).shape)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ShapeError(
                f"params lack an array {path_name(path)}, of shape {a.shape}."
            ) from error
        if found != a.shape:
            raise ShapeError(f"params hold {path_name(path)} as {found}, expected {a.shape}.")
    dtype = dtype_name(x)
    given = map_params(lambda _, a: numbers(a, "params").astype(dtype, copy=False), host, params)
    for path, _, a in walk(network, given):
        _check_finite(a, f"params {path_name(path)}")
    params = map_params(lambda a: from_host(a, x, dtype), given)
    return params, n_out, Draws(generator)


def network_loss(loss, n_out):
    """Return the record of a loss that is given by name, or itself."""
    if loss == "log_loss" and n_out == 1:
        return named_loss("binary_log_loss")
    return named_loss(loss)


def loss_and_targets(loss, y, x, n_out) -> tuple[Loss, Array]:
    """Return the record of a loss, and targets beside x, or say which reshape gives them.

    Targets: (n, C), or of integer labels for log_loss class codes (n, 1).
    """
    record = network_loss(loss, n_out)
    xp = namespace(x)
    y = detached(y) if is_array(y) and not is_numpy(y) else labels(y, "y")
    if type(y) is not type(x) or location_of(y) != location_of(x):
        y = from_host(to_host(y), x)
    if y.ndim == 1 and xp.isdtype(y.dtype, "integral") and (n_out > 1 or loss == "log_loss"):
        if loss not in ("log_loss", LOSSES["log_loss"]):
            raise ShapeError(
                f"y holds integer class labels of shape {tuple(y.shape)}, but "
                f"loss={record.name!r} needs {(x.shape[0], n_out)}: use loss='log_loss', or a 0/1 "
                "column for each class."
            )
        n_classes = max(n_out, 2)
        if not bool(to_host(xp.all((y >= 0) & (y < n_classes)))):
            raise ValueError(
                f"y holds labels outside 0 ... {n_classes - 1}: number the classes from 0, and "
                "give the last layer an output for each."
            )
        if n_out > 1:
            check_targets((x.shape[0], n_out), (y.shape[0], n_out))
            return CLASS_LOG_LOSS, xp.astype(y[:, None], xp.int32)
        y = y[:, None]
    check_targets((x.shape[0], n_out), tuple(y.shape))
    if is_numpy(y):
        y = numbers(y, "y")
    with as_floats("y"):
        y = as_float(y, dtype_name(x))
    _check_finite(y, "y")
    check_domain(record, y)
    return record, y


def checked_weights(sample_weight, n, dtype):
    """Return weights (n,) on the host, or None."""
    if sample_weight is None:
        return None
    w = numbers(sample_weight, "sample_weight")
    if w.shape != (n,) or not np.isfinite(w).all() or w.min() < 0:
        raise ValueError(
            f"sample_weight of shape {w.shape} must be ({n},), finite, 0 or more, and not all 0."
        )
    check_total(w, dtype, "sample_weight")
    return w


def check_total(weights, dtype, name):
    """Refuse weights of rows that are all 0, or whose sum the compute dtype cannot divide by."""
    if not weights.any():
        raise ValueError(f"{name} must leave a row a weight above 0: all are 0.")
    least, largest = np.finfo(dtype).tiny, np.finfo(dtype).max
    if not (least <= np.max(weights) and np.max(weights) < largest / weights.size):
        raise ValueError(
            f"{name} must not give rows weights of up to {np.max(weights):.3g}, which {dtype} "
            "cannot sum or divide by: scale them, to a mean of 1."
        )


def _check_finite(a, name):
    if not all_finite(a):
        raise ValueError(f"{name} holds NaN or infinity, or numbers too large for {a.dtype}.")
