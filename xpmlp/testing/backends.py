"""Array libraries and devices by name, as ``LIBRARY[:DEVICE]``: what there is, and what works.

numpy, cupy, torch:cuda, jax, array_api_strict:device1, or any module that makes arrays which
array_api_compat knows or which are of an Array API namespace themselves.
"""

import os
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..arrays import (
    Array,
    Home,
    array_at,
    float_dtypes,
    from_host,
    home,
    is_jax,
    namespace,
    to_host,
)
from ..errors import DeviceError

LIBRARIES = ("numpy", "cupy", "torch", "jax", "array_api_strict")  # looked for when none is named


@dataclass(frozen=True)
class Backend:
    """An array library on one device, with the ways there and back."""

    name: str
    like: Array  # an empty array there
    floats: tuple[str, ...]  # its float dtypes, the widest first
    readonly: bool = False  # of NumPy: arrays that cannot be written to

    @property
    def xp(self) -> Any:
        """The Array API namespace."""
        return namespace(self.like)

    @property
    def eager(self) -> bool:
        """False on JAX, which compiles each operation that is run by itself."""
        return not is_jax(self.like)

    def asarray(self, a, dtype=None) -> Array:
        """Return a host array there; read-only where the backend is."""
        x = self.owned(a, dtype)
        if self.readonly:
            x.flags.writeable = False
        return x

    def owned(self, a, dtype=None) -> Array:
        """Return the same, but writable: for arguments that a function takes over ("Donates")."""
        a = np.array(a, dtype=dtype)
        if a.dtype.kind == "f" and a.dtype.name not in self.floats:
            raise ValueError(f"{self.name} has no {a.dtype}: use {' or '.join(self.floats)}.")
        return from_host(a, self.like)

    def host(self, x: Array) -> np.ndarray:
        """Return a NumPy copy."""
        return to_host(x)

    def call(self, f, *args):
        """Return f(*args), compiled where single operations would each be compiled."""
        return f(*args) if self.eager else import_module("jax").jit(f)(*args)

    def computing_in(self, dtype: str):
        """Return a context in which `dtype` works: JAX has float64 only where it is switched on."""
        if self.eager:
            return nullcontext()
        jax = import_module("jax")
        jax = jax if hasattr(jax, "enable_x64") else import_module("jax.experimental")
        return jax.enable_x64(dtype == "float64")


@cache
def find(name: str) -> Backend:
    """Return the backend of a name, after it has made arrays, run a kernel and handed them back.

    An import proves nothing: CuPy imports without a card, without a driver, and without a compiler.

    Raises
    ------
    DeviceError
        When it does not work; the message says why.

    Examples
    --------
    >>> find("numpy").floats
    ('float64', 'float32')
    """
    library, colon, device = name.partition(":")
    if not library or (colon and not device):
        raise ValueError(f"a library is named as LIBRARY or LIBRARY:DEVICE, got {name!r}.")
    like = array_at(Home(library, device))
    try:
        backend = Backend(name, like, ())
        with backend.computing_in("float64"):
            known = float_dtypes(like)
        floats = tuple(dtype for dtype in ("float64", "float32") if dtype in known)
        backend = Backend(name, like, floats)
        ones = backend.asarray(np.ones((2, 2)), "float32")
        total = to_host(ones @ ones + ones).tolist()
    except Exception as error:  # a library raises what it likes
        reason = str(error).partition("\n")[0]
        raise DeviceError(
            f"{name} imports, but does not work here: {type(error).__name__}: {reason}"
        ) from error
    if total != [[3.0, 3.0], [3.0, 3.0]]:
        raise DeviceError(f"{name} computes wrongly here: ones @ ones + ones is {total}.")
    return backend


def choose(
    names: Iterable[str] = (), required: Iterable[str] = ()
) -> tuple[list[Backend], dict[str, str], dict[str, str]]:
    """Return the backends of these names, why others of them do not work, and what is left out.

    Without names, XPMLP_BACKENDS ("numpy,torch:cuda") says them; without it, what is installed is
    taken, and what of it does not work is left out (name -> why), but for what is `required`.
    """
    said = os.environ.get("XPMLP_BACKENDS", "")
    asked = [*names] or [name.strip() for name in said.split(",") if name.strip()]
    installed = [] if asked else [library for library in LIBRARIES if find_spec(library)]
    must = {*asked, *required}
    working: list[Backend] = []
    broken: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name in dict.fromkeys((*installed, *asked, *required)):
        try:
            working.append(find(name))
        except DeviceError as error:
            (broken if name in must else left_out)[name] = str(error)
    return working, broken, left_out


def version(backend: Backend) -> str:
    """Return the library's version."""
    root = import_module(backend.name.partition(":")[0].partition(".")[0])
    return str(getattr(root, "__version__", "unknown"))


def device_name(backend: Backend) -> str:
    """Return the device that arrays land on, with its model if it is a card."""
    name = home(backend.like).device
    return name if len(name) < 40 else "default"


def dtype_name(x: Array) -> str:
    """Return an array's dtype as "float32"."""
    return str(x.dtype).rpartition(".")[2]


def blas() -> list[str]:
    """Return what computes products on the host, with the number of threads."""
    from threadpoolctl import threadpool_info

    return sorted(
        {
            f"{p['internal_api']} {p['version'] or ''}".strip() + f", {p['num_threads']} threads"
            for p in threadpool_info()
        }
    )
