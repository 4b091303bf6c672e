"""The compiled library: where it is, its structures, and the BLAS that it calls."""

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from threadpoolctl import ThreadpoolController

DTYPES = "float32", "float64"
_KINDS: dict = {
    "int": ctypes.c_int,
    "i": ctypes.c_int64,
    "d": ctypes.c_double,
    "p": ctypes.c_void_p,
}
FUNCTIONS = {  # of engine.cpp, and the kinds of their arguments
    "xpmlp_train": "int p p p i",
    "xpmlp_predict": "int p p p i p i i i i",
    "xpmlp_elementwise": "int int int i p p d p p",
}


def _structure(name, fields):
    """Return a structure of interface.h; fields: words such as "i:size" (integer, double, p)."""
    pairs = (word.split(":") for word in fields.split())
    members = [(field, _KINDS[kind]) for kind, field in pairs]
    return type(name, (ctypes.Structure,), {"_fields_": members})


Leaf = _structure("Leaf", "p:p p:u p:v p:ema i:size i:decays d:rate")
Layer = _structure(
    "Layer",
    "i:kind i:D i:H i:act i:source i:out i:aux i:skip i:needs_dx i:W_leaf i:W_at i:b_leaf i:b_at "
    "i:sums i:word i:limit i:n_codes i:dim p:starts p:mean p:var d:scale d:epsilon d:momentum",
)
Network = _structure("Network", "p:layers i:n_layers p:leaves i:n_leaves i:D i:C i:width i:n_sums")
Training = _structure(
    "Training",
    "i:loss i:rule i:N i:K i:B i:y_columns p:levels i:n_levels d:c d:c1 d:d d:d1 d:epsilon "
    "d:max_grad_norm d:max_norm d:ema_decay p:x p:y p:rows p:weights p:n_rows p:key p:rate p:decay "
    "p:shrink p:losses",
)


class Blas(NamedTuple):
    """A BLAS library that compiled code can call."""

    name: str
    gemm: dict[str, int]  # dtype -> address of Fortran's sgemm or dgemm
    threads: Callable[[], int]  # how many it takes
    set_threads: Callable[[int], object]


def version() -> int:
    """Return a number of the sources, as setup.py puts it into the library."""
    engines = Path(__file__).parents[1]
    sources = sorted([*engines.glob("native/*.h"), *engines.glob("native/*.cpp")])
    sources += sorted(engines.glob("kernels/*.h"))
    return crc32(b"".join(path.read_bytes() for path in sources))


@cache
def library():
    """Return the compiled library, or a sentence that says why there is none."""
    found = sorted(Path(__file__).parent.glob("_native*"))
    found = [path for path in found if path.suffix in (".so", ".pyd", ".dylib")]
    if not found:
        return (
            "xpmlp was installed without its compiled engine, for want of a C++ compiler: install "
            "one and xpmlp again"
        )
    try:
        made = ctypes.CDLL(str(found[0]))
    except OSError as error:
        return f"{found[0].name} cannot be loaded: {error}"
    sizes = (ctypes.c_int64 * 5)()
    made.xpmlp_sizes(sizes)
    wanted = [ctypes.sizeof(kind) for kind in (Leaf, Layer, Network, Training)]
    if [*sizes] != [*wanted, version()]:
        return f"{found[0].name} is of another version of xpmlp: install xpmlp again"
    for name, kinds in FUNCTIONS.items():
        function = getattr(made, name)
        function.argtypes, function.restype = [_KINDS[kind] for kind in kinds.split()], None
    for function in (made.xpmlp_train, made.xpmlp_predict):
        function.restype, function.errcheck = ctypes.c_int, _check
    made.xpmlp_generation(4)  # the best that this processor has
    return made


def _check(failed, function, arguments):
    """Raise what a function of the library could not."""
    if failed:
        raise MemoryError("The compiled engine could not allocate the buffers of its layers.")


@cache
def find_blas() -> Blas:
    """Return NumPy's own OpenBLAS, or SciPy's where NumPy has another."""
    for found in ThreadpoolController().lib_controllers:
        handle = ctypes.CDLL(found.filepath)
        if hasattr(handle, "scipy_sgemm_64_"):
            addresses = _addresses(handle, "scipy_sgemm_64_", "scipy_dgemm_64_")
            name = f"OpenBLAS {found.version}"
            return Blas(name, addresses, found.get_num_threads, found.set_num_threads)
    import scipy.linalg.cython_blas as blas  # type: ignore[import-untyped]

    capsule = ctypes.pythonapi.PyCapsule_GetPointer
    capsule.restype, capsule.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, (ctypes.py_object,)
    capsules = (blas.__pyx_capi__[f] for f in ("sgemm", "dgemm"))
    addresses = {d: capsule(c, name_of(c)) for d, c in zip(DTYPES, capsules)}
    return Blas("SciPy's BLAS", addresses, lambda: 1, lambda n: None)


def _addresses(handle, *names):
    found = (ctypes.cast(getattr(handle, name), ctypes.c_void_p).value for name in names)
    return dict(zip(DTYPES, found))


def n_threads() -> int:
    """Return how many threads there may be: those of BLAS, at most the processors we may use."""
    if sys.platform == "linux":
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    return min(processors, find_blas().threads())
