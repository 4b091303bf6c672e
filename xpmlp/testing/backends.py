"""Array libraries and devices by name, as ``LIBRARY[:DEVICE]``: which there are, which work.

numpy, cupy, torch:cuda, jax, array_api_strict:device1, or any module that makes arrays which
array_api_compat knows or which are of an Array API namespace themselves. On numpy steps run as
plain operations, on numpy:compiled in the compiled engine.
"""

import os
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..arrays import (
    Array,
    Location,
    array_at,
    float_dtypes,
    from_host,
    is_jax,
    location_of,
    namespace,
    to_host,
)
from ..engines.native.library import library as native_library
from ..errors import DeviceError

COMPILED = "numpy:compiled"  # NumPy's arrays in the compiled engine
# Looked for when none is named.
LIBRARIES = ("numpy", COMPILED, "cupy", "torch", "jax", "array_api_strict")
FLOATS = ("float64", "float32")


@dataclass(frozen=True)
class Backend:
    """An array library on one device, with copies to it and back."""

    name: str
    like: Array  # an empty array there
    floats: tuple[str, ...] = FLOATS  # its float dtypes, the widest first
    accelerate: str | None = None  # how steps run; None: as an estimator's argument says

    @property
    def xp(self) -> Any:
        """The Array API namespace."""
        return namespace(self.like)

    def asarray(self, a, dtype=None) -> Array:
        """Return a host array there; writable, for arguments that a function takes ("Donates")."""
        a = np.array(a, dtype=dtype)
        if a.dtype.kind == "f" and a.dtype.name not in self.floats:
            raise ValueError(f"{self.name} has no {a.dtype}: use {' or '.join(self.floats)}.")
        return from_host(a, self.like)

    owned = asarray

    def host(self, x: Array) -> np.ndarray:
        """Return a NumPy copy."""
        return to_host(x)

    def call(self, f, *args):
        """Return f(*args), compiled on JAX, which would compile each operation in it by itself."""
        if is_jax(self.like):
            f = import_module("jax").jit(f)
        return f(*args)

    def computing_in(self, dtype: str):
        """Return a context in which `dtype` works: JAX has float64 only where it is switched on."""
        if dtype != "float64" or not is_jax(self.like):
            return nullcontext()
        jax = import_module("jax")
        if not hasattr(jax, "enable_x64"):
            jax = import_module("jax.experimental")
        return jax.enable_x64(True)


@cache
def find(name: str) -> Backend:
    """Return the backend of a name, after it has made arrays, run a kernel and handed them back.

    An import proves nothing: CuPy imports without a GPU, without a driver, and without a compiler.

    Raises
    ------
    DeviceError
        When it does not work; the message says why.

    Examples
    --------
    >>> find("numpy").floats
    ('float64', 'float32')
    """
    library, colon, device = str(name).partition(":")
    if name == COMPILED:
        built, device = native_library(), "cpu"
        if isinstance(built, str):
            raise DeviceError(built)
    if not all(part.isidentifier() for part in library.split(".")) or (colon and not device):
        raise DeviceError(f"a library is named as numpy, or with a device torch:cuda, got {name!r}")
    accelerate = None
    if library == "numpy":
        accelerate = "auto" if name == COMPILED else "generic"
    backend = Backend(name, array_at(Location(library, device)), accelerate=accelerate)
    try:
        with backend.computing_in("float64"):
            known = float_dtypes(backend.like)
        backend = replace(backend, floats=tuple(dtype for dtype in FLOATS if dtype in known))
        ones = backend.asarray(np.ones((2, 2)), "float32")
        total = to_host(ones @ ones + ones).tolist()
    except Exception as error:  # a library raises what it likes
        raise DeviceError(
            f"{name} imports, but does not work here: {type(error).__name__}: {one_line(error)}"
        ) from error
    if total != [[3.0, 3.0], [3.0, 3.0]]:
        raise DeviceError(f"{name} computes wrongly here: ones @ ones + ones is {total}")
    return backend


def choose(
    names: str | Iterable[str] = (), required: Iterable[str] = ()
) -> tuple[list[Backend], dict[str, str], dict[str, str]]:
    """Return the backends of these names, why others of them do not work, and what is left out.

    Without names, XPMLP_BACKENDS ("numpy,torch:cuda") says them; without it, what is installed is
    taken, and what of it does not work is left out (name -> why), but for what is `required`.
    """
    said = os.environ.get("XPMLP_BACKENDS", "").replace(",", " ").split()
    if isinstance(names, str):
        names = [names]
    asked = [*names] or said
    roots = {name: name.partition(":")[0] for name in LIBRARIES}
    installed = [name for name, root in roots.items() if not asked and find_spec(root)]
    needed = {*asked, *required}
    working: list[Backend] = []
    broken: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys((*installed, *asked, *required)):
        try:
            working.append(find(name))
        except DeviceError as error:
            where = broken if name in needed else left_out
            where[name] = str(error)
    return working, broken, left_out


def facts(name: str) -> dict[str, str]:
    """Return the version of a library and its device, "-" where it does not work."""
    try:
        device = location_of(find(name).like).device
    except DeviceError:
        return {"version": "-", "device": "-"}
    root = import_module(name.partition(":")[0].partition(".")[0])
    return {"version": str(getattr(root, "__version__", "unknown")), "device": device}


def one_line(text: object) -> str:
    """Return a text, as an error's, on one line of bounded length, without control characters."""
    text = str(text)
    blanks = dict.fromkeys((ord(c) for c in text if not c.isprintable()), " ")
    return " ".join(text.translate(blanks).split())[:300]
