"""Arrays of any library: where they are, copies between libraries and devices, dtypes.

The only importer of array_api_compat. Nothing here imports a library that the caller does not hold.
"""

import ctypes
import math
import os
from collections.abc import Sequence
from contextlib import nullcontext
from functools import cache, lru_cache
from glob import glob
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeGuard

import array_api_compat as compat
import numpy as np

from .errors import DeviceError
from .host_memory import free_host_memory
from .transfers import passed
from .words import did_you_mean

Array = Any

namespace = compat.array_namespace
device = compat.device
is_cupy = compat.is_cupy_array
is_jax = compat.is_jax_array
is_numpy = compat.is_numpy_array
is_torch = compat.is_torch_array


def is_array(x: Any) -> TypeGuard[Array]:
    """Tell whether an array's library computes on it: dask's is yet to be made, sparse ones differ.

    These come in as anything else that can be made an array.
    """
    if is_numpy(x):
        return True
    others = compat.is_dask_array(x) or compat.is_pydata_sparse_array(x)
    return bool(compat.is_array_api_obj(x)) and not others


class Location(NamedTuple):
    """Place of arrays: the name of a library, and of one of its devices."""

    library: str
    device: str


HOST = Location("numpy", "cpu")


def location_of(x: Array) -> Location:
    """Return the library and device of `x`, as names that can be stored."""
    if is_numpy(x):
        return HOST
    d = device(x)
    if is_cupy(x):
        return Location("cupy", f"cuda:{d.id}")
    if is_torch(x):
        return Location("torch", str(d))
    if is_jax(x):
        if hasattr(d, "platform"):
            d = f"{d.platform}:{d.id}"
        return Location("jax", str(d))
    return Location(type(x).__module__.partition(".")[0], getattr(d, "_device", None) or str(d))


@cache
def _first_kernel(cupy, index):
    """Run a kernel: without a compiler CuPy makes arrays, and fails in the first operation."""
    return cupy.ones(1, dtype="int8") + 1


def array_at(where: Location) -> Array:
    """Make an empty array at a location, which `from_host` takes as `like`.

    An empty device is the library's default; any module that makes arrays is a library.
    """
    library, name = where
    try:
        xp = imported(library)
        index = int(name.partition(":")[2] or 0)
        if not name:
            return xp.empty(0)
        if library == "cupy":
            with xp.cuda.Device(index):
                _first_kernel(xp, index)
                return xp.empty(0)
        if library == "jax":
            return xp.empty(0, device=import_module("jax").devices(name.partition(":")[0])[index])
        return xp.empty(0, device=getattr(xp, "Device", str)(name))
    except Exception as error:  # whatever a driver raises becomes one sentence
        if name.startswith("cuda") and not _has_gpu(library):  # else the reason is its own
            check_gpu(library)
        reason = str(error).partition("\n")[0]
        place = f" on {name!r}" * bool(name)
        raise DeviceError(f"{library} does not work{place} here: {reason}") from error


def imported(library: str):
    """Import an array library's namespace; CuPy with precompiled headers where it has them.

    It looks for that wish when it is imported, so a program that has imported it chose for itself.
    """
    if library == "cupy":
        os.environ.setdefault("CUPY_NVRTC_USE_PCH", "1")
    return import_module({"jax": "jax.numpy"}.get(library, library))


def count_transfer(x, *, to_device=0, to_host=0):
    """Count the bytes of one copy to or from the device of `x`, unless that is the host."""
    if not (is_numpy(x) or in_host(location_of(x))):
        passed(to_device=to_device, to_host=to_host)


def in_host(where):
    """Tell whether arrays at a location lie in the host's memory."""
    return where.device.lower().startswith("cpu")


def to_host(x: Array) -> np.ndarray:
    """Copy an array of any library to a NumPy array of its own."""
    a = _to_host(x)
    count_transfer(x, to_host=a.nbytes)
    return a


def _to_host(x):
    if is_torch(x):
        x = x.detach().cpu()
        if "bfloat16" in str(x.dtype):
            x = x.float()
        return x.numpy().copy()
    if is_cupy(x):
        return x.get()
    if type(x).__module__.startswith("array_api_strict"):
        x = compat.to_device(x, namespace(x).Device("CPU_DEVICE"))
    try:
        a = np.array(np.asarray(x))
    except TypeError:  # a library that refuses the implicit copy from its device
        a = np.array(np.from_dlpack(x, device="cpu"))
    if a.dtype.name == "bfloat16":  # JAX's, which NumPy's functions do not know
        return a.astype(np.float32)
    return a


def from_host(a: np.ndarray, like: Array, dtype: str | None = None) -> Array:
    """Copy a NumPy array to the library and device of `like`; `dtype` a name such as "float32"."""
    # A copy of our own: torch would alias what it is given, and a later `+=` would change that.
    a = np.array(a, dtype=dtype)
    if is_numpy(like):
        return a
    count_transfer(like, to_device=a.nbytes)
    if is_jax(like) and not hasattr(like, "device"):  # in a traced function an array has none
        return namespace(like).asarray(a)
    return namespace(like).asarray(a, device=device(like))


def copy_to(x: Array, like: Array) -> Array:
    """Copy `x` to the library and device of `like`; not by way of the host if it is there."""
    if location_of(x) == location_of(like):
        with current_card(x):
            return namespace(x).asarray(detached(x), copy=True)
    return from_host(to_host(x), like)


def current_card(x: Any, where: str = "auto"):
    """Return a context in which the GPU of `x`, or that of ``device=where``, is CuPy's current.

    CuPy computes on the current GPU only, and refuses arrays of another.
    """
    if type(x) is not np.ndarray and is_cupy(x):
        return device(x)
    index = {"cuda": "0"}.get(str(where), str(where).removeprefix("cuda:"))
    moves = index.isdigit() and not (is_array(x) and not is_numpy(x))
    if moves and find_spec("cupy"):
        cuda = imported("cupy").cuda
        if cuda.is_available() and int(index) < cuda.runtime.getDeviceCount():
            return cuda.Device(int(index))
    return nullcontext()  # "auto" takes the current GPU; else `to_device` says what is wrong


def detached(x: Array) -> Array:
    """Return a torch tensor without its graph, anything else as it is."""
    return x.detach() if is_torch(x) else x


# What shows on Linux that there is a GPU; the last two in Windows' subsystem and on Jetson.
CARDS = ("/proc/driver/nvidia/gpus/*", "/dev/nvidia[0-9]*", "/dev/dxg", "/dev/nvhost-*")


@cache
def no_card() -> str | None:
    """Return why no GPU can be used, or None; initialises no driver, which forks would break."""
    if cuda_driver() is None:
        return "and this machine trains on its CPU"
    if not sees_gpu():
        return "and there is no CUDA GPU here"
    if find_spec("cupy") is None:
        return f"and {_no_cupy()}"
    return None


def sees_gpu() -> bool:
    """Tell whether an NVIDIA GPU and its driver are seen, without starting the driver."""
    return cuda_driver() is not None and (os.name != "posix" or any(map(glob, CARDS)))


def _has_gpu(library: str) -> bool:
    """Tell whether a library says that it can use a GPU, as those for AMD's say too."""
    try:
        return bool(imported(library).cuda.is_available())
    except (ImportError, AttributeError):
        return False


def check_gpu(library: str) -> None:
    """Raise DeviceError where no NVIDIA GPU is seen, or CuPy is asked for and not installed."""
    if not sees_gpu():
        raise DeviceError("no NVIDIA GPU is seen here")
    if library == "cupy" and find_spec("cupy") is None:
        raise DeviceError(_no_cupy())


def _no_cupy():
    """Return that CuPy is missing, with the line that installs the one for this driver."""
    extra = "cuda12" if (cuda_driver() or "").startswith("12.") else "cuda13"
    return f'CuPy is not installed (pip install "xpmlp[{extra}]")'


def cuda_driver() -> str | None:
    """Return the newest CUDA version that the NVIDIA driver runs, as "12.8"; None without one."""
    version = ctypes.c_int()
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
        driver.cuDriverGetVersion(ctypes.byref(version))
    except (OSError, AttributeError):
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def dtype_name(a: Array) -> str:
    """Return an array's dtype as "float32"."""
    return str(a.dtype).rpartition(".")[2]


def float_dtype(x: Array, dtype: Any = None) -> str:
    """Name the dtype to compute in for data `x`: "float32" or "float64".

    That of `x` when it is one of the two, float32 for shorter floats, the widest float of the
    device for integers and bools; `dtype` overrules it.
    """
    xp, floats = namespace(x), float_dtypes(x)
    if xp.isdtype(x.dtype, "complex floating"):
        raise ValueError("Complex data not supported: pass real numbers.")
    if dtype is not None:
        name = str(getattr(dtype, "__name__", dtype)).rpartition(".")[2]
        if name not in ("float32", "float64"):
            meant = did_you_mean(name, ("float32", "float64"))
            raise ValueError(f"dtype must be 'float32' or 'float64', got {dtype!r}{meant}")
        if name not in floats:
            remedy = "use float32" + " or jax.config.update(`jax_enable_x64`, True)" * is_jax(x)
            got = f"dtype={name!r} is switched off or missing on {location_of(x)}"
            raise ValueError(f"{got}: {remedy}.")
        return name
    shorter = xp.isdtype(x.dtype, "real floating") and x.dtype != floats.get("float64")
    if shorter or "float64" not in floats:
        return "float32"
    return "float64"


def float_dtypes(x: Array) -> dict[str, Any]:
    """Return the real float dtypes that the library has on the device of `x`, by name."""
    where = None if is_numpy(x) or is_jax(x) else device(x)
    return namespace(x).__array_namespace_info__().dtypes(kind="real floating", device=where)


def as_float(x: Array, dtype: str) -> Array:
    """Return `x` in the float dtype of that name, itself if it is in it already."""
    xp = namespace(x)
    return xp.astype(x, getattr(xp, dtype), copy=False)


def constants(values: Sequence[float], like: Array) -> Array:
    """Return numbers that never change as an array (n,) beside `like`, copied there once."""
    xp = namespace(like)
    if is_jax(like):  # traced, where it is a constant anyway, and would leak
        return xp.asarray(values, dtype=like.dtype)
    return _constants(values, xp, like.dtype, location_of(like))  # a device of CuPy has no hash


@lru_cache(maxsize=128)
def _constants(values, xp, dtype, where):
    return xp.asarray(values, dtype=dtype, device=device(array_at(where)))


def erf(x: Array, xp: Any) -> Array:
    """Return the error function: the library's own, or its everywhere positive series.

    References: Abramowitz & Stegun 7.1.6.
    """
    if is_numpy(x) and x.dtype.itemsize <= 8:  # SciPy has none for longdouble
        return import_module("scipy.special").erf(x)
    if is_cupy(x):
        return import_module("cupyx.scipy.special").erf(x)
    if hasattr(xp, "erf"):  # torch, ONNX
        return xp.erf(x)
    if is_jax(x):
        return import_module("jax.scipy.special").erf(x)
    ends, x = x, xp.minimum(xp.maximum(x, -6.0), 6.0)  # erf(6) is 1 to a float64's last digit
    square, term = x * x, x
    total = x
    for n in range(1, 130):
        term = term * square * (2.0 / (2 * n + 1))
        total = total + term
    series = total * xp.exp(-square) * (2.0 / math.sqrt(math.pi))
    return xp.where(xp.abs(ends) >= 6.0, xp.sign(ends), series)


def all_finite(x):
    """Tell whether all of x is finite: by its sum, one by one only where that is not finite."""
    xp = namespace(x)
    with np.errstate(over="ignore", invalid="ignore"):
        total = xp.sum(x)
    return bool(to_host(xp.isfinite(total))) or bool(to_host(xp.all(xp.isfinite(x))))


def free_memory(x: Array) -> int | None:
    """Return the bytes that are free on the device of `x`, or None where the system does not say.

    What a library keeps in a pool of its own counts as used; on the host, what swaps nothing out.
    """
    if is_cupy(x):
        with device(x) as card:
            pool = import_module("cupy").get_default_memory_pool()
            limit = pool.get_limit() or card.mem_info[1]
            return int(min(card.mem_info[0], limit - pool.total_bytes()))
    if is_torch(x) and x.is_cuda:
        return int(import_module("torch").cuda.mem_get_info(x.device)[0])
    if is_jax(x) and (stats := device(x).memory_stats()):
        return int(stats["bytes_limit"] - stats["bytes_in_use"])
    return free_host_memory()
