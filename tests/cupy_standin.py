"""A module that array_api_compat takes for CuPy: NumPy underneath, CuPy's refusals, and a record.

It shows on a machine without a card what CuPy would refuse, launch, copy and wait for, and runs
CUDA kernels on the CPU (emulator/). It is a model of what the host sees of cupy 14.2: not of speed
or asynchrony. `ci/gpu` checks its rules against the real one (ci/gpu_parts/rules.py).

    import cupy_standin
    cupy = cupy_standin.install()              # in a process of its own, before CuPy is asked for
    with cupy_standin.recording() as record:
        float(cupy.sum(cupy.ones(3)))
    record.launches, record.to_host, record.syncs
    # ['ones', 'sum'], [8], ['get']

Stricter than CuPy: NumPy's functions (not ufuncs) refuse these arrays, which CuPy would run;
CuPy's refuse host arrays everywhere (`cupy.sum` of one works by accident); integer arrays as an
index raise where out of bounds, which in CuPy wraps as in `take`. New memory holds NaN, or for
integers the bytes 0x5A; no array may be made while a graph is captured.
"""

import sys
from importlib.machinery import ModuleSpec
from inspect import isfunction
from types import ModuleType

import numpy as np
from emulator import kernels, memory, streams
from emulator.device import Device, fill_cuda
from emulator.record import Record, note, recording
from emulator.streams import backwards
from numpy.lib.mixins import NDArrayOperatorsMixin

__all__ = ["Record", "backwards", "install", "recording"]

VERSION = "14.2.0"
OPERANDS = (np.ndarray, bool, int, float, complex, np.generic)
# A result whose size depends on the data: the host waits until it knows it.
DATA_DEPENDENT = {
    "argwhere", "compress", "extract", "flatnonzero", "nonzero", "unique",
    "unique_all", "unique_counts", "unique_inverse", "unique_values",
}  # fmt: skip
JOINS = {"concatenate", "hstack", "stack", "vstack"}
PRODUCTS = {"matmul", "dot", "tensordot", "einsum", "inner", "vdot", "linalg"}
IN_PLACE = {"copyto", "place", "put", "putmask"}
# NumPy has these in its main namespace, CuPy 14 does not: array_api_compat brings its own.
ABSENT = {"unstack", "vecdot"}
METHODS = (
    "all any argmax argmin argsort clip compress copy cumprod cumsum diagonal dot flatten max "
    "mean min nonzero prod put ravel repeat reshape round sort squeeze std sum swapaxes take trace "
    "transpose var view"
).split()


def _host(x):
    """Return NumPy's view of an argument; host arrays are refused, as CuPy's kernels do."""
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}")
    if isinstance(x, tuple | list):
        return type(x)(map(_host, x))
    return x._data if isinstance(x, ndarray) else x


def _on_device(result):
    if isinstance(result, tuple | list):
        parts = map(_on_device, result)
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return _wrap(result) if isinstance(result, np.ndarray | np.generic) else result


def _memory_of(data):
    """Return what of the card's memory an array of NumPy's lies in, or None."""
    while isinstance(data, np.ndarray):
        data = data.base
    return data if isinstance(data, memory.BaseMemory) else None


def _wrap(data):
    """Return the array of a view of the card's memory; anything else is brought there."""
    x, data = ndarray.__new__(ndarray), np.asarray(data)  # no scalars: a sum is a 0-d array
    if data.size and _memory_of(data) is None:
        fortran = data.flags.f_contiguous and not data.flags.c_contiguous
        to = memory.alloc(data.nbytes).array(data.shape, data.dtype, order="F" if fortran else "C")
        to[...] = data
        data = to
    x._data = data
    return x


def _launch(name, work, *operands):
    """Launch work(*operands). What is captured gets arrays by their addresses."""
    if not streams.capture():
        note("launches", name)
        return work(*operands)
    arrays = [a for a in operands if isinstance(a, np.ndarray) and a.size]
    owners = [memory.owner_of(a.ctypes.data, name) for a in arrays]
    frozen = [
        memory.array_at(a.ctypes.data, a.shape, a.dtype, a.strides)
        if isinstance(a, np.ndarray) and a.size
        else a
        for a in operands
    ]

    def run():
        memory.check_owners(owners, name)
        work(*frozen)

    return streams.launch(name, run)


def _run(name, f, *args, **kwargs):
    """Run a NumPy function on device arrays. A result that is a view of an argument is free."""
    _refuse_captured_product(name)
    host = [_host(a) for a in args]
    kwargs = {k: _host(v) for k, v in kwargs.items()}
    if name in IN_PLACE:
        return _launch(name, lambda *own: f(*own, **kwargs), *host)
    out = kwargs.pop("out", None)
    if out is not None:
        _launch(name, lambda *own: f(*own[:-1], out=own[-1], **kwargs), *host, out)
        return _wrap(out)
    if name in DATA_DEPENDENT:
        streams.refuse_copy("D2H transfers")
        streams.wait_for(name)
    result = f(*host, **kwargs)
    operands = [] if isinstance(f, np.ufunc) else [a for a in host if isinstance(a, np.ndarray)]
    view = isinstance(result, np.ndarray) and any(np.may_share_memory(result, a) for a in operands)
    if name in JOINS:
        _note_join(name, host[0])
    elif not view and not isinstance(result, tuple | np.dtype | bool):
        note("launches", name)
    return _on_device(result)


def _refuse_captured_product(name):
    if name in PRODUCTS and streams.capture():
        raise NotImplementedError(
            "calling cuBLAS API during stream capture is currently unsupported"
        )


def _note_join(name, arrays):
    """A copy for each of up to 8 arrays; one kernel for more, which is sent their addresses."""
    if len(arrays) <= 8 or len({a.dtype for a in arrays}) > 1:
        for _ in arrays:
            note("launches", name)
        return
    alike = len({a.shape for a in arrays}) == 1 and all(a.flags.c_contiguous for a in arrays)
    note("launches", name)
    for _ in range(1 if alike else 3):  # addresses; then offsets and strides
        note("to_device", 8 * len(arrays))


def _without_imatmul():
    """Return NumPy's operators but `@=`, which CuPy lacks: Python then rebinds the name."""
    own = {k: f for k, f in vars(NDArrayOperatorsMixin).items() if isfunction(f)}
    own.pop("__imatmul__")
    return type("Operators", (), own)


class ndarray(_without_imatmul()):  # noqa: N801, the name is CuPy's
    """`cupy.ndarray`. It has no __array_namespace__, to_device or __index__, as in CuPy 14."""

    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        dtype, shape = np.dtype(dtype), tuple(map(int, np.atleast_1d(shape)))
        n_bytes = int(np.prod(shape)) * dtype.itemsize
        new = memptr is None and n_bytes
        memptr = memory.alloc(n_bytes) if new else memptr
        if new and dtype.kind not in "fcV":  # -1 would be a fine number
            memory.bytes_at(memptr.ptr, n_bytes)[:] = 0x5A
        self._data = (
            memptr.array(shape, dtype, strides, order) if n_bytes else np.empty(shape, dtype)
        )

    # Refusals

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        """Run an operator or a NumPy ufunc: one kernel. Host arrays are refused."""
        inputs, n = [_host(x) for x in inputs], len(inputs)
        if method != "__call__" or not all(isinstance(x, OPERANDS) for x in inputs):
            return NotImplemented
        _refuse_captured_product(ufunc.__name__)
        if out is not None:
            work = lambda *own: ufunc(*own[:n], out=own[n:], **kwargs)
            _launch(ufunc.__name__, work, *inputs, *map(_host, out))
            return out[0]
        note("launches", ufunc.__name__)
        return _on_device(ufunc(*inputs, **kwargs))

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if dl_device != (1, 0):  # since CuPy 14 the host is a target, if it is asked for
            raise BufferError("Unsupported device in DLTensor")
        return self.get().__dlpack__(max_version=max_version)

    # What reads the card, and so waits for it

    def get(self, stream=None, order="C", out=None, blocking=True):
        """Copy to the host."""
        streams.refuse_copy("D2H transfers")
        if blocking:
            streams.wait_for("get")
        note("to_host", self._data.nbytes)
        if out is None:
            return self._data.copy(order)
        out[...] = self._data
        return out

    def set(self, arr, stream=None):
        """Copy from a host array of this shape and dtype."""
        if not isinstance(arr, np.ndarray):
            raise TypeError("Only numpy.ndarray can be set to cupy.ndarray")
        if self.dtype != arr.dtype:
            raise TypeError(f"{arr.dtype} array cannot be set to {self.dtype} array")
        if self.shape != arr.shape:
            raise ValueError(f"Shape mismatch. Old shape: {self.shape}, new shape: {arr.shape}")
        if not (self.flags.c_contiguous or self.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        streams.refuse_copy("H2D transfers")
        note("to_device", arr.nbytes)
        self._data[...] = arr

    def item(self, *index):
        """Copy one number to the host."""
        return self.get().item(*index)

    def tolist(self):
        """Copy to the host, as lists."""
        return self.get().tolist()

    __bool__ = lambda self: bool(self.get())
    __int__ = lambda self: int(self.get())
    __float__ = lambda self: float(self.get())
    __complex__ = lambda self: complex(self.get())
    __repr__ = lambda self: repr(self.get())
    __str__ = lambda self: str(self.get())
    __format__ = lambda self, spec: format(self.get()[()], spec)
    __reduce__ = lambda self: (array, (self.get(),))  # a pickle of it needs CuPy

    # What costs nothing, or a kernel

    @property
    def data(self):
        """Return where it lies."""
        mem = _memory_of(self._data) or memory.BaseMemory()
        at = self._data.__array_interface__["data"][0] if mem.ptr else 0
        return memory.MemoryPointer(mem, at - mem.ptr)

    itemsize = property(lambda self: self._data.itemsize)
    shape = property(lambda self: self._data.shape)
    dtype = property(lambda self: self._data.dtype)
    ndim = property(lambda self: self._data.ndim)
    size = property(lambda self: self._data.size)
    nbytes = property(lambda self: self._data.nbytes)
    strides = property(lambda self: self._data.strides)
    flags = property(lambda self: self._data.flags)
    device = property(lambda self: Device(0))
    T = property(lambda self: _wrap(self._data.T))
    mT = property(lambda self: _wrap(self._data.mT))
    real = property(lambda self: _wrap(self._data.real))

    def __len__(self):
        return len(self._data)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def astype(self, dtype, order="K", copy=True):
        """Return the array in a dtype: itself if nothing changes and `copy` is False."""
        if self.dtype == dtype and not copy:
            return self
        return _run("astype", np.ndarray.astype, self, dtype)

    def __getitem__(self, index):
        index, copies = _index(index)
        result = self._data[index]
        if copies:
            note("launches", "getitem")
        elif not isinstance(result, np.ndarray):  # an element: a 0-d view, without a read
            result = self._data[(*(index if isinstance(index, tuple) else (index,)), ...)]
        return _wrap(result)

    def __setitem__(self, index, value):
        index, copies = _index(index)
        if copies:  # in a capture NumPy would keep the index alive
            streams.refuse_in_capture("the stand-in's x[array] = y", invalidates=False)
            value = array(value, self.dtype, copy=False)
            note("launches", "setitem")
            self._data[index] = value._data
            return
        to = self._data[index]
        if not isinstance(to, np.ndarray):
            to = self._data[(*(index if isinstance(index, tuple) else (index,)), ...)]
        if not isinstance(value, ndarray):
            _wrap(to).fill(value)
        elif not _is(to, value._data):  # `x[1:] += y` ends with an array assigned to itself
            _launch("setitem", lambda to, value: to.__setitem__(..., value), to, value._data)

    def fill(self, value):
        """Give all elements one value, a number or a 0-d array; an array of the host is refused."""
        library, one = "cupy", getattr(value, "_data", None)
        if not isinstance(value, ndarray):
            library, one = "numpy", np.asarray(value, self.dtype)
        if one.shape != ():
            raise ValueError(f"non-scalar {library}.ndarray cannot be used for fill")
        _launch("fill", lambda to, one: to.__setitem__(..., one), self._data, one)


def _method(name):
    f = getattr(np.ndarray, name)
    extra = {"mode": "wrap"} if name == "take" else {}  # out of bounds wraps, silently
    return lambda self, *args, **kwargs: _run(name, f, self, *args, **extra, **kwargs)


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))


def _is(a, b):
    """Tell whether two of NumPy's arrays are the same view of the same memory."""
    about = ("shape", "strides")
    same = all(getattr(a, name) == getattr(b, name) for name in about)
    return same and a.ctypes.data == b.ctypes.data


def _index(index):
    """Return an index for NumPy, and whether it copies; host arrays in it travel to the card."""
    parts, copies = [], False
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, np.ndarray | list):
            part = array(part)
        if isinstance(part, ndarray):
            copies = True
            if part.dtype == bool:
                streams.refuse_copy("D2H transfers")
                streams.wait_for("boolean index")
            part = part._data
        parts.append(part)
    return tuple(parts) if isinstance(index, tuple) else parts[0], copies


def array(obj, dtype=None, copy=True, order="K", ndmin=0):
    """`cupy.array`: a host object is copied to the card, a device array on it."""
    if isinstance(obj, ndarray):
        return obj.astype(dtype or obj.dtype, copy=bool(copy))
    data = np.array(_scalars(obj), dtype=dtype, ndmin=ndmin)
    if data.dtype.kind not in "biufc":
        raise ValueError(f"Unsupported dtype {data.dtype}")
    if data.ndim == 0:  # a number goes along with the kernel that fills
        note("launches", "fill")
        return _wrap(data)
    streams.refuse_copy("H2D transfers")
    note("to_device", data.nbytes)
    return _wrap(data)


def _scalars(obj):
    """Lists may hold device numbers, which CuPy stacks; NumPy would ask them for __array__."""
    if isinstance(obj, tuple | list):
        return [_scalars(part) for part in obj]
    return obj._data if isinstance(obj, ndarray) else obj


def asarray(obj, dtype=None, order=None):
    """`cupy.asarray`: a device array of that dtype is returned as it is."""
    return array(obj, dtype, copy=False)


def asnumpy(a, **kwargs):
    """`cupy.asnumpy`: the explicit way to the host."""
    return a.get() if isinstance(a, ndarray) else np.asarray(a)


def empty(shape, dtype=float, order="C"):
    """`cupy.empty`: NaN, or bytes that make no likely number."""
    return ndarray(shape, dtype, order=order)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    """`cupy.empty_like`, in C's order unless the prototype is in Fortran's alone."""
    flags = prototype.flags
    fortran = order == "F" or (order in "KA" and flags.f_contiguous and not flags.c_contiguous)
    shape = prototype.shape if shape is None else shape
    return ndarray(shape, dtype or prototype.dtype, order="F" if fortran else "C")


def from_dlpack(array, *, device=None, copy=None):
    """`cupy.from_dlpack`: the array that another library has on the card, without a copy."""
    if isinstance(array, ndarray):
        return array.copy() if copy else _wrap(array._data[...])
    kind, _ = array.__dlpack_device__()
    if kind != 2:
        raise TypeError(
            "CPU arrays cannot be directly imported to CuPy. "
            "Use `cupy.array(numpy.from_dlpack(input))` instead."
        )
    host = np.from_dlpack(_Exporter(array))
    mem = memory.UnownedMemory(host.ctypes.data, host.nbytes, host)
    return ndarray(host.shape, host.dtype, memory.MemoryPointer(mem, 0), host.strides)


class _Exporter:
    """An array that says to be on the card, for NumPy."""

    def __init__(self, array):
        self.__dlpack__ = lambda **kwargs: array.__dlpack__(**kwargs)

    __dlpack_device__ = lambda self: (1, 0)


def astype(x, dtype, /, *, copy=True):
    """`cupy.astype`."""
    return x.astype(dtype, copy=copy)


def take(a, indices, axis=None, out=None):
    """`cupy.take`: an index out of bounds wraps, silently."""
    return _run("take", np.take, a, indices, axis, out=out, mode="wrap")


def _function(name, f):
    return lambda *args, **kwargs: _run(name, f, *args, **kwargs)


def _fill(module, source):
    """Give a module the types, constants and functions of one of NumPy's."""
    for name, value in vars(source).items():
        if name.startswith("_") or name in ABSENT or isinstance(value, ModuleType):
            continue
        plain = isinstance(value, type) or not callable(value) or name == "isdtype"
        setattr(module, name, value if plain else _function(name, value))


MODULES = (
    "cupy cupy.linalg cupy.fft cupy.cuda cupy.cuda.device cupy.cuda.memory cupy.cuda.stream "
    "cupy.cuda.graph cupy.cuda.compiler cupy.cuda.driver cupy.cuda.runtime cupy.cuda.nccl cupyx "
    "cupyx.scipy cupyx.scipy.special"
).split()


def install():
    """Put the stand-in where `import cupy` finds it, and return it."""
    if "cupy" in sys.modules:
        raise RuntimeError("CuPy is imported already: install the stand-in in a new process.")
    modules = {name: ModuleType(name) for name in MODULES}
    for name, module in modules.items():
        module.__path__, module.__spec__ = [], ModuleSpec(name, None)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    cupy = modules["cupy"]
    _fill(cupy, np)
    _fill(cupy.linalg, np.linalg)
    _fill(cupy.fft, np.fft)
    own = (ndarray, array, asarray, asnumpy, astype, empty, empty_like, from_dlpack, take)
    own += (kernels.RawKernel, kernels.RawModule)
    vars(cupy).update({f.__name__: f for f in own}, __version__=VERSION)
    cupy.is_available = lambda: True
    cupy.get_default_memory_pool = lambda: memory.default_pool
    fill_cuda(cupy.cuda)
    special = modules["cupyx.scipy.special"]
    special.erf = _function("erf", _erf)
    sys.modules.update(modules)
    return cupy


def _erf(x):
    from scipy.special import erf

    return erf(x)
