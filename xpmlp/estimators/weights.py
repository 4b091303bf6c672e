"""A network's parameters as scikit-learn's lists `coefs_` and `intercepts_`, and back.

Between calls the lists are the truth: assigned as a whole, by item, or written in place.
"""

from dataclasses import fields, replace

import numpy as np

from ..arrays import copy_to, detached, from_host, home, is_array, namespace, to_host
from ..errors import ShapeError
from ..nn.layout import get, path_name, put
from ..training import State

# What lives where the model does.
ON_DEVICE = "coefs_", "intercepts_", "other_params_", "_state"
LISTS = {"W": "coefs_", "b": "intercepts_"}  # where a parameter of that name stands


def collect(estimator, params):
    """Set coefs_, intercepts_ (flat) and other_params_ (by path) from nested dicts of arrays."""
    xp = None
    estimator.coefs_, estimator.intercepts_, estimator.other_params_ = [], [], {}
    for leaf in estimator._layout.leaves:
        path = leaf.slots[0].path
        a = get(params, path)
        xp = xp or namespace(a)
        if path[-1] == "W":
            estimator.coefs_.append(a)
        elif path[-1] == "b":
            estimator.intercepts_.append(xp.reshape(a, (-1,)))
        else:
            estimator.other_params_[path_name(path)] = a


def nested(estimator, like):
    """Return the parameters as nested dicts beside `like`, from the lists as they now stand.

    Raises
    ------
    ShapeError
        When a list or an array in it has the wrong length or shape.
    """
    params: dict = {}
    taken = {"coefs_": 0, "intercepts_": 0}
    for leaf in estimator._layout.leaves:
        (slot,) = leaf.slots
        name = LISTS.get(slot.path[-1])
        if name is None:
            place, a = "other_params_", estimator.other_params_[path_name(slot.path)]
        else:
            i, values = taken[name], getattr(estimator, name)
            taken[name] += 1
            if i >= len(values):
                raise ShapeError(f"{name} has {len(values)} arrays, the network needs more.")
            place, a = f"{name}[{i}]", values[i]
        expected = slot.shape[-1:] if name == "intercepts_" else slot.shape
        put(
            params,
            slot.path,
            _shaped(_beside(a, like, estimator._dtype), expected, slot.shape, place),
        )
    for name, n in taken.items():
        if len(getattr(estimator, name)) != n:
            raise ShapeError(f"{name} has {len(getattr(estimator, name))} arrays, expected {n}.")
    return params


def _shaped(a, expected, shape, place):
    if tuple(a.shape) != tuple(expected):
        raise ShapeError(f"{place} has shape {tuple(a.shape)}, expected {tuple(expected)}.")
    return a if tuple(a.shape) == tuple(shape) else namespace(a).reshape(a, shape)


def _beside(a, like, dtype):
    """Return `a` in the library, on the device and in the dtype of the model."""
    if type(a) is type(like) is np.ndarray and a.dtype == dtype:
        return a
    a = detached(a)
    if is_array(a) and home(a) == home(like) and str(a.dtype).rpartition(".")[2] == dtype:
        return a
    return from_host(to_host(a) if is_array(a) else np.asarray(a), like, dtype)


def refresh(value, like):
    """Copy every array in lists, tuples, dicts and a State to where `like` is."""
    return map_arrays(value, lambda a: copy_to(a, like))


def map_arrays(value, f):
    """Return lists, tuples, dicts and a State with f of every array in them."""
    if isinstance(value, dict):
        return {k: map_arrays(v, f) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_arrays(v, f) for v in value))
    if isinstance(value, list | tuple):
        return type(value)(map_arrays(v, f) for v in value)
    if isinstance(value, State):
        own = {k.name: map_arrays(getattr(value, k.name), f) for k in fields(value)}
        return replace(value, **own)
    return f(value) if is_array(value) else value
