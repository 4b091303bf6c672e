"""A network's parameters as the lists `coefs_` and `intercepts_`, and back."""

import numpy as np

from ..arrays import detached, from_host, is_array, location_of, namespace, to_host
from ..errors import ShapeError
from ..nn.layout import get, path_name, put

LISTS = {"W": "coefs_", "b": "intercepts_"}  # where a parameter of that name stands


def params_to_lists(layout, params):
    """Return coefs, flat intercepts and the others by path, of nested dicts of arrays."""
    coefs, intercepts, others, xp = [], [], {}, None
    for leaf in layout.leaves:
        path = leaf.slots[0].path
        a = get(params, path)
        xp = xp or namespace(a)
        if path[-1] == "W":
            coefs.append(a)
        elif path[-1] == "b":
            intercepts.append(xp.reshape(a, (-1,)))
        else:
            others[path_name(path)] = a
    return coefs, intercepts, others


def lists_to_params(layout, coefs, intercepts, others, *, like, dtype):
    """Return the parameters as nested dicts beside `like`, from the lists as they now stand.

    Raises
    ------
    ShapeError
        When a list or an array in it has the wrong length or shape.
    """
    params: dict = {}
    lists, taken = {"coefs_": coefs, "intercepts_": intercepts}, {"coefs_": 0, "intercepts_": 0}
    for leaf in layout.leaves:
        (slot,) = leaf.slots
        name = LISTS.get(slot.path[-1])
        if name is None:
            place, a = "other_params_", others[path_name(slot.path)]
        else:
            i = taken[name]
            taken[name] += 1
            if i >= len(lists[name]):
                raise ShapeError(f"{name} has {len(lists[name])} arrays, the network needs more.")
            place, a = f"{name}[{i}]", lists[name][i]
        expected = slot.shape[-1:] if name == "intercepts_" else slot.shape
        a = _shaped(_beside(a, like, dtype), expected, slot.shape, place)
        put(params, slot.path, a)
    for name, n in taken.items():
        if len(lists[name]) != n:
            raise ShapeError(f"{name} has {len(lists[name])} arrays, expected {n}.")
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
    if (
        is_array(a)
        and location_of(a) == location_of(like)
        and str(a.dtype).rpartition(".")[2] == dtype
    ):
        return a
    return from_host(to_host(a) if is_array(a) else np.asarray(a), like, dtype)
