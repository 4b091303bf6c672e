"""The arrays in a training's state: copied to where others are."""

from dataclasses import fields, replace

from ..arrays import copy_to, is_array
from ..training import State


def copy_arrays_to(value, like):
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
