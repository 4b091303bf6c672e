"""A network's parameters as the lists `coefs_` and `intercepts_`, and back."""

import numpy as np

from ..arrays import detached, dtype_name, from_host, is_array, location_of, namespace, to_host
from ..errors import ShapeError
from ..nn.layout import get, path_name, put


def params_to_lists(layout, params) -> dict:
    """Return coefs, flat intercepts and the others by path, as `Model` has them, by their names."""
    coefs, intercepts, others = [], [], {}
    for leaf in layout.leaves:
        path = leaf.slots[0].path
        a = get(params, path)
        if path[-1] == "W":
            coefs.append(a)
        elif path[-1] == "b":
            intercepts.append(namespace(a).reshape(a, (-1,)))
        else:
            others[path_name(path)] = a
    return {"coefs": coefs, "intercepts": intercepts, "others": others}


def lists_to_params(layout, coefs, intercepts, others, *, like, dtype):
    """Return the parameters as nested dicts beside `like`, from the lists as they now stand.

    Raises
    ------
    ShapeError
        When a list or an array in it has the wrong length or shape.
    """
    params: dict = {}
    letters = [leaf.slots[0].path[-1] for leaf in layout.leaves]
    for name, given, letter in (("coefs_", coefs, "W"), ("intercepts_", intercepts, "b")):
        n = letters.count(letter)
        if len(given) != n:
            raise ShapeError(f"{name} has {len(given)} arrays, expected {n}.")
    weights, biases = enumerate(coefs), enumerate(intercepts)
    for leaf in layout.leaves:
        path, shape = leaf.slots[0].path, leaf.slots[0].shape
        expected = shape
        if path[-1] == "W":
            i, a = next(weights)
            name = f"coefs_[{i}]"
        elif path[-1] == "b":
            i, a = next(biases)
            name, expected = f"intercepts_[{i}]", shape[-1:]
        else:
            name, a = "other_params_", others[path_name(path)]
        put(params, path, _shaped(_beside(a, like, dtype), expected, shape, name))
    return params


def _shaped(a, expected, shape, place):
    if tuple(a.shape) != tuple(expected):
        raise ShapeError(f"{place} has shape {tuple(a.shape)}, expected {tuple(expected)}.")
    return a if expected == shape else namespace(a).reshape(a, shape)


def _beside(a, like, dtype):
    """Return `a` in the library, on the device and in the dtype of the model."""
    if type(a) is type(like) is np.ndarray and a.dtype == dtype:
        return a
    a = detached(a)
    if is_array(a) and location_of(a) == location_of(like) and dtype_name(a) == dtype:
        return a
    return from_host(to_host(a) if is_array(a) else np.asarray(a), like, dtype)
