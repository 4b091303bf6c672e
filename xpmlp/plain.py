"""The door for arrays from outside: what is no plain number or label is refused by its name."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np

from .arrays import is_array, is_numpy, is_torch, to_host
from .transfers import note

MISSING = ("NoneType", "NAType", "NaTType")  # the last two are pandas', which may be absent
NUMBERS = (Real, Decimal, np.bool_)
IN_MEMORY = ("numpy", "pandas", "polars", "pyarrow")  # libraries whose columns are there already
NO_DATES = "turn them into numbers, or into text where they are labels."


def is_number(kind: type) -> bool:
    """Tell whether a type is one of numbers; NumPy's durations call themselves whole ones."""
    return issubclass(kind, NUMBERS) and not issubclass(kind, np.timedelta64)


def check_has_values(a: Any, name: str) -> None:
    """Raise ValueError for a tensor of torch's device meta, which is a shape alone."""
    if is_torch(a) and a.is_meta:
        raise ValueError(
            f"{name} is on torch's device meta, which holds no values: pass real ones."
        )


@contextmanager
def as_floats(name: str) -> Iterator[None]:
    """Raise ValueError for exact numbers of an argument that no float holds, such as 10**400.

    Floats that are too large become infinite, which other checks tell.
    """
    try:
        with np.errstate(over="ignore"):
            yield
    except OverflowError as error:
        raise ValueError(f"{name} holds a whole number too large for a float: scale it.") from error


def number(value: Any, name: str, low: float = -math.inf) -> float:
    """Return a finite number of `low` or more as a float.

    Raises
    ------
    TypeError
        For what is no number, and ValueError for another value.

    Examples
    --------
    >>> number(1, "alpha")
    1.0
    """
    if not (isinstance(value, NUMBERS) and is_number(type(value))):
        raise TypeError(f"{name} must be a number, got {value!r} of type {type(value).__name__}.")
    least = "" if low == -math.inf else f" of {low:g} or more"
    try:
        made = float(value)
    except (OverflowError, ValueError):  # such as 10**400, and Decimal's signalling NaN
        made = math.nan
    if not low <= made < math.inf:
        raise ValueError(f"{name} must be a finite number{least} that a float holds, got {value}.")
    return made


def boolean(value: Any, name: str) -> bool:
    """Return True or False; raise TypeError for anything else, such as "no", which is true.

    Examples
    --------
    >>> boolean(True, "resume")
    True
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {value!r:.60}.")
    return bool(value)


def host_array(a: Any, name: str) -> np.ndarray:
    """Return anything that holds an array in NumPy: of any library, a frame's column, a list.

    Parameters
    ----------
    a : array of any library, array-like, or what offers ``__array__`` or DLPack
    name : str
        Of the argument, for messages.

    Returns
    -------
    ndarray
        Text of NumPy's StringDType as objects.

    Raises
    ------
    ValueError
        For what a copy would lose or change: a mask, dates and durations, complex numbers.

    Examples
    --------
    >>> host_array([1, 2], "y")
    array([1, 2])
    """
    parts = a if isinstance(a, list | tuple) else (a,)  # rows, or numbers and np.ma.masked
    if any(isinstance(part, np.ma.MaskedArray) for part in parts):
        raise ValueError(
            f"{name} is a masked array, whose mask would be lost: fill it, {name}.filled(value)."
        )
    if isinstance(a, np.matrix):  # whose products are those of matrices
        raise TypeError(f"{name} is an np.matrix, expected an array: pass np.asarray({name}).")
    check_has_values(a, name)
    if is_array(a) and not is_numpy(a):
        a = to_host(a)
    elif hasattr(a, "__dlpack__") and not hasattr(a, "__array__"):
        a = np.from_dlpack(a)
    elif hasattr(a, "__array__") and type(a).__module__.partition(".")[0] not in IN_MEMORY:
        kind = f"{type(a).__module__}.{type(a).__qualname__}"
        note(text=f"the {kind} was read whole, as the rows are trained on in memory")
    try:
        made = np.asarray(a)
    except (TypeError, ValueError, MemoryError):
        raise
    except Exception as error:  # of a library's own, for what NumPy lacks
        raise TypeError(f"{name} is a {type(a).__name__} that makes no array: {error}.") from error
    if made.ndim == 0 and made.dtype == object:  # nothing that holds an array
        raise TypeError(f"{name} is a {type(a).__name__}, expected an array.")
    kind = made.dtype.kind
    if kind in "mM":
        raise ValueError(f"{name} holds dates or durations ({made.dtype}): {NO_DATES}")
    if kind == "c":
        raise ValueError(f"Complex data not supported: {name} holds {made.dtype}.")
    if kind == "V":
        raise ValueError(f"{name} holds records ({made.dtype}), expected an array of numbers.")
    return made.astype(object) if kind == "T" else made


def labels(a: Any, name: str) -> np.ndarray:
    """Return numbers or labels as a plain host array: objects of one kind in that kind's dtype.

    Raises
    ------
    ValueError
        For a missing value, for dates and other objects, and for kinds that are mixed.

    Examples
    --------
    >>> import numpy as np
    >>> labels(np.asarray([True, False], object), "y").dtype
    dtype('bool')
    """
    made = host_array(a, name)
    if made.dtype != object:
        return made
    values = [*made.flat]
    types = {type(value) for value in values}
    missing = [_is_missing(value) for value in values]
    if any(missing):
        row = missing.index(True) // max(1, made[:1].size)
        raise ValueError(f"Input {name} contains NaN, or no value, in row {row}: leave it out.")
    if types <= {bool, np.bool_}:
        return made.astype(bool)
    for kinds in (Integral, Real | Decimal):
        if not types & {bool, np.timedelta64} and all(issubclass(kind, kinds) for kind in types):
            return _of_numbers(values, name).reshape(made.shape)
    if types <= {str, np.str_}:
        return made
    names = ", ".join(sorted(kind.__name__ for kind in types))
    if len(types) == 1:
        raise ValueError(f"{name} holds objects of type {names}: {NO_DATES}")
    raise ValueError(f"{name} mixes labels of types {names}: use one type.")


def _is_missing(value):
    """Tell whether a value stands for none: None, pandas' own, or NaN."""
    return type(value).__name__ in MISSING or (isinstance(value, Real) and value != value)


def _of_numbers(values, name):
    """Return Python's numbers as an array; NumPy keeps whole ones of over 64 bits as objects."""
    made = np.asarray(values)
    if made.dtype != object:
        return made
    if all(isinstance(value, Integral) for value in values):
        raise ValueError(
            f"{name} holds whole numbers of more than 64 bits: turn them into floats, or into text "
            "where they are labels."
        )
    with as_floats(name):
        return made.astype(np.float64)


def numbers(a: Any, name: str) -> np.ndarray:
    """Return an array of numbers in float64 on the host.

    Raises
    ------
    ValueError
        For text, and for what `labels` refuses.

    Examples
    --------
    >>> numbers([True, 2], "sample_weight")
    array([1., 2.])
    """
    made = host_array(a, name)
    if made.dtype == object and all(is_number(type(value)) for value in made.flat):
        with as_floats(name):
            return made.astype(np.float64)  # mixed ones too, and those of more than 64 bits
    made = labels(made, name)
    if made.dtype.kind not in "biuf":
        raise ValueError(f"{name} holds text, expected numbers.")
    with as_floats(name):
        return made.astype(np.float64)
