"""A value as text that is the same in every process, and another for another value."""

import hashlib
import re
from dataclasses import fields, is_dataclass
from functools import partial, singledispatch
from types import CodeType, FunctionType, MethodType
from typing import Any

import numpy as np

PLAIN = int, float, str, tuple  # of the names that a user's function finds in its module


def short_digest(text: str) -> str:
    """Return a name for a text: the first letters of its SHA-256."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@singledispatch
def stable_text(value: Any) -> str:
    """Return a value as text that is the same in every process, and another for another value."""
    if is_dataclass(value):
        inside = stable_text({f.name: getattr(value, f.name) for f in fields(value)})
        return f"{type(value).__name__}({inside})"
    if type(value).__repr__ is object.__repr__:  # of a user's own class
        called = vars(type(value)).get("__call__")
        return stable_text([type(value), called, getattr(value, "__dict__", {})])
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


@stable_text.register(MethodType)
def _text_of_method(value):
    return stable_text([value.__func__, value.__self__])


@stable_text.register(type)
def _text_of_type(value):
    return f"{value.__module__}.{value.__qualname__}"


@stable_text.register(dict)
def _text_of_dict(value):
    return ", ".join(f"{name}={stable_text(inside)}" for name, inside in value.items())


@stable_text.register(tuple)
@stable_text.register(list)
def _text_of_sequence(value):
    return f"({', '.join(map(stable_text, value))})"


@stable_text.register(set)
@stable_text.register(frozenset)
def _text_of_set(value):
    return stable_text(sorted(map(stable_text, value)))


@stable_text.register(np.ndarray)
def _text_of_array(value):
    if value.size <= 10:
        return repr(value.tolist())
    return f"{value.shape} {short_digest(stable_text(value.ravel().tolist()))}"


@stable_text.register(partial)
def _text_of_partial(value):
    return stable_text([value.func, *value.args, value.keywords])


@stable_text.register(FunctionType)
def _text_of_function(value):
    """Return a function's name, and of a user's own what it computes."""
    name = f"{value.__module__}.{value.__qualname__}"
    if name.startswith("xpmlp."):
        return name
    cells = [cell.cell_contents for cell in value.__closure__ or ()]
    known = {name: value.__globals__.get(name) for name in value.__code__.co_names}
    numbers = {name: a for name, a in known.items() if isinstance(a, PLAIN)}
    inside = [value.__code__, cells, value.__defaults__, value.__kwdefaults__, numbers]
    return f"{name} {short_digest(stable_text(inside))}"


@stable_text.register(CodeType)
def _text_of_code(value):
    return stable_text([value.co_code, value.co_names, value.co_consts])
