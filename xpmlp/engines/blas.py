"""The BLAS that compiled code calls, and how many threads that of NumPy may take."""

import ctypes
import os
import platform
import sys
import threading
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

DTYPES = "float32", "float64"
SITE_PACKAGES, ENVIRONMENT = Path(np.__file__).parents[1], Path(sys.prefix)
CPUINFO = Path("/proc/cpuinfo")
ACCELERATE = Path("/System/Library/Frameworks/Accelerate.framework/Accelerate")

# Multiplications of a forward pass from which NumPy's BLAS may take all its threads. A product of
# fewer takes a few milliseconds, no more than a scheduler's slice: where other processes have the
# cores, threads that wait for each other lose more slices than they gain (docs/internals/numpy.md).
THREADED = 100_000_000


class Blas(NamedTuple):
    """A BLAS library that compiled code can call."""

    name: str
    why: str  # it was chosen
    gemm: dict[str, int]  # dtype -> address of Fortran's sgemm or dgemm, its integers of 64 bits
    threads: Callable[[], int] = lambda: 1  # how many it takes
    set_threads: Callable[[int], object] = lambda n: None


@cache
def find_blas() -> Blas:
    """Return the BLAS that compiled code calls, by what is installed, not by what is imported.

    Accelerate on macOS; MKL on Intel's processors, where it is installed; else NumPy's OpenBLAS;
    where NumPy was built with another, SciPy's.
    """
    return _accelerate() or _mkl() or numpy_openblas() or _scipys()


def _accelerate():
    if sys.platform != "darwin":
        return None
    return _opened(ACCELERATE, "Accelerate", "macOS's own", "{}gemm$NEWLAPACK$ILP64")


def _mkl():
    found = [*ENVIRONMENT.glob("lib/libmkl_rt.so*"), *ENVIRONMENT.glob("Library/bin/mkl_rt*.dll")]
    if not (found and _is_intels()):
        return None
    threads = "MKL_Get_Max_Threads", "MKL_Set_Num_Threads"
    return _opened(max(found), "MKL", "for Intel's processors", "{}gemm_64", threads)


@cache
def numpy_openblas() -> Blas | None:
    """Return the OpenBLAS that NumPy's wheels bring, or None where NumPy was built with another."""
    folders = SITE_PACKAGES / "numpy.libs", SITE_PACKAGES / "numpy" / ".dylibs"
    found = [path for folder in folders for path in folder.glob("*scipy_openblas64_*")]
    if not found:
        return None
    threads = "scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"
    return _opened(found[0], "OpenBLAS", "NumPy's own", "scipy_{}gemm_64_", threads)


def _opened(path, name, why, gemm, threads=()):
    """Return a library as a Blas, or None where it has not all of these functions.

    gemm: the name of its product, {} in the place of s or d; threads: of the functions that say
    and set their number.
    """
    try:
        handle = ctypes.CDLL(str(path))
        products = [getattr(handle, gemm.format(letter)) for letter in "sd"]
        functions = [getattr(handle, function) for function in threads]
    except (OSError, AttributeError):  # as Accelerate before macOS 13.3, MKL before 2021
        return None
    addresses = [ctypes.cast(product, ctypes.c_void_p).value or 0 for product in products]
    return Blas(name, why, dict(zip(DTYPES, addresses)), *functions)


def _scipys():
    """Return SciPy's BLAS, which takes 64-bit integers even where it reads 32 bits of them.

    The low half of a 64-bit integer comes first on all processors that are in use, and no size that
    fits a matrix in memory is above 2^31.
    """
    import scipy.linalg.cython_blas as blas  # type: ignore[import-untyped]

    capsule = ctypes.pythonapi.PyCapsule_GetPointer
    capsule.restype, capsule.argtypes = ctypes.c_void_p, (ctypes.py_object, ctypes.c_char_p)
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, (ctypes.py_object,)
    capsules = (blas.__pyx_capi__[f] for f in ("sgemm", "dgemm"))
    addresses = {d: capsule(c, name_of(c)) for d, c in zip(DTYPES, capsules)}
    return Blas("SciPy's BLAS", "NumPy has no OpenBLAS of its own", addresses)


def _is_intels():
    """Tell whether the processor is Intel's: on AMD's, MKL takes up to twice OpenBLAS's time."""
    text = CPUINFO.read_text() if CPUINFO.exists() else platform.processor()
    return "GenuineIntel" in text


def n_threads() -> int:
    """Return how many threads there may be: those of BLAS, at most the processors we may use."""
    if sys.platform == "linux":
        processors = len(os.sched_getaffinity(0))
    else:
        processors = os.cpu_count() or 1
    return min(processors, _threads_of(find_blas()))


class Holder(NamedTuple):
    """A call that holds a BLAS to one thread, and what it restores in the end."""

    blas: Blas
    thread: int  # of Python, by its identity
    before: int  # threads of the BLAS, which it has again in the end


HOLDERS: list[Holder] = []
LOCK = threading.Lock()  # of the holders, for a moment when one comes or goes


def _threads_of(blas):
    """Return how many threads a BLAS takes where it is not held to one."""
    return max((h.before for h in tuple(HOLDERS) if h.blas is blas), default=0) or blas.threads()


@contextmanager
def one_thread(blas: Blas):
    """Hold a BLAS to one thread; it has its threads back when its last holder ends or fails."""
    with LOCK:
        holder = Holder(blas, threading.get_ident(), _threads_of(blas))
        HOLDERS.append(holder)
    try:
        if blas.threads() > 1:
            blas.set_threads(1)
        yield
    finally:
        with LOCK:
            _let_go(holder)


def _let_go(holder):
    if holder.before > 1 and sum(other.blas is holder.blas for other in HOLDERS) == 1:
        holder.blas.set_threads(holder.before)
    HOLDERS.remove(holder)


def _after_fork_in_child():
    """Forget the holders of other threads, which a forked child does not have."""
    for holder in tuple(HOLDERS):
        if holder.thread != threading.get_ident():
            _let_go(holder)
    LOCK.release()


if hasattr(os, "register_at_fork"):  # a lock that another thread has would stay locked in a child
    os.register_at_fork(
        before=LOCK.acquire,
        after_in_parent=LOCK.release,
        after_in_child=_after_fork_in_child,
    )


@contextmanager
def threads_for(multiplications: int):
    """Hold NumPy's OpenBLAS to one thread where a forward pass is too small to share."""
    blas = numpy_openblas()
    if blas is None or multiplications >= THREADED:
        yield
    else:
        with one_thread(blas):
            yield
