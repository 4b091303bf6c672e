"""Arrays in nested dicts, lists, tuples and arrays of objects: listed by path, and rebuilt."""

from typing import Any, NamedTuple

import numpy as np

from ...arrays import is_array, is_numpy, to_host


class Parameter(NamedTuple):
    """One array (or number) among the parameters."""

    path: tuple  # the keys that lead to it
    name: str
    like: Any


def host_array(a):
    """Return an array of any library, or what NumPy makes an array of, on the host."""
    if is_array(a) and not is_numpy(a):
        a = to_host(a)
    return np.asarray(a)


def parts_of(tree):
    """Return [(key, part)] of a dict, list, tuple or array of objects; None of anything else."""
    if isinstance(tree, dict):
        return list(tree.items())
    if isinstance(tree, list | tuple):
        return list(enumerate(tree))
    if isinstance(tree, np.ndarray) and tree.dtype == object:
        return [(at[0] if len(at) == 1 else at, tree[at]) for at in np.ndindex(tree.shape)]
    return None


def parameters_of(tree, path=(), name="params"):
    """Yield the arrays in nested dicts, lists, tuples and arrays of objects."""
    parts = parts_of(tree)
    if parts is None and (is_array(tree) or isinstance(tree, np.ndarray | float)):
        if not isinstance(tree, np.ndarray) or tree.dtype.kind in "fiu":
            yield Parameter(path, name, tree)
    for key, part in parts or ():
        inner = f"{name}[{key}]"
        if isinstance(tree, dict) and not path:
            inner = str(key)
        yield from parameters_of(part, (*path, key), inner)


def rebuilt(tree, made, path=()):
    """Return the parameters in their form with the arrays `made`, by path."""
    if path in made:
        return made[path]
    parts = {key: rebuilt(part, made, (*path, key)) for key, part in parts_of(tree) or ()}
    if isinstance(tree, dict):
        return parts
    if isinstance(tree, list | tuple):
        values = list(parts.values())
        return type(tree)(*values) if hasattr(tree, "_fields") else type(tree)(values)
    if parts:
        new = tree.copy()
        for key, part in parts.items():
            new[key] = part
        return new
    return tree


def first_part(out):
    """Return the first part of a tuple or list; of anything else, itself."""
    if isinstance(out, tuple | list):
        return out[0]
    return out


def leaves(tree, path=()):
    """Yield (path, value) of all that is no container, None left out."""
    parts = parts_of(tree)
    if parts is None and tree is not None:
        yield path, tree
    for key, part in parts or ():
        yield from leaves(part, (*path, key))
