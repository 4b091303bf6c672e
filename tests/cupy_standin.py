"""A module that array_api_compat takes for CuPy: NumPy underneath, CuPy's refusals, and a record.

It shows on a machine without a card what CuPy would refuse, launch, copy and wait for. It is a
model of what the host sees of cupy 14.2: not of arithmetic, speed, memory or asynchrony. `ci/gpu`
checks its rules against the real one (ci/gpu_parts.py, `conformance`).

    import cupy_standin
    cupy = cupy_standin.install()              # in a process of its own, before CuPy is asked for
    with cupy_standin.recording() as record:
        float(cupy.sum(cupy.ones(3)))
    record.launches, record.to_host, record.syncs
    # ['ones', 'sum'], [8], ['get']

Stricter than CuPy: NumPy's functions (not ufuncs) refuse these arrays, which CuPy would run;
CuPy's refuse host arrays everywhere (`cupy.sum` of one works by accident); integer arrays as an
index raise where out of bounds, which in CuPy wraps as in `take`.
"""

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from inspect import isfunction
from types import ModuleType

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

VERSION = "14.2.0"
OPERANDS = (np.ndarray, bool, int, float, complex, np.generic)
# A result whose size depends on the data: the host waits until it knows it.
DATA_DEPENDENT = {
    "argwhere", "compress", "extract", "flatnonzero", "nonzero", "unique",
    "unique_all", "unique_counts", "unique_inverse", "unique_values",
}  # fmt: skip
JOINS = {"concatenate", "hstack", "stack", "vstack"}
# NumPy has these in its main namespace, CuPy 14 does not: array_api_compat brings its own.
ABSENT = {"astype", "isdtype", "unstack", "vecdot"}
METHODS = (
    "all any argmax argmin argsort clip compress copy cumprod cumsum diagonal dot fill flatten max "
    "mean min nonzero prod put ravel repeat reshape round sort squeeze std sum swapaxes take trace "
    "transpose var view"
).split()


@dataclass
class Record:
    """What happened on the card: kernels by name, bytes of each copy, waits by cause."""

    launches: list[str] = field(default_factory=list)
    to_device: list[int] = field(default_factory=list)
    to_host: list[int] = field(default_factory=list)
    syncs: list[str] = field(default_factory=list)


_records: list[Record] = []


@contextmanager
def recording():
    """Record what happens inside the block; blocks may be nested."""
    _records.append(Record())
    try:
        yield _records[-1]
    finally:
        _records.pop()


def _note(kind, what):
    for record in _records:
        getattr(record, kind).append(what)


class Device:
    """`cupy.cuda.Device`: compared by number, unhashable, a context manager. There is one card."""

    __hash__ = None
    mem_info = (3 << 30, 4 << 30)  # bytes: free, total

    def __init__(self, device=None):
        self.id = 0 if device is None else int(getattr(device, "id", device))

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def __enter__(self):
        if self.id:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        return self

    def __exit__(self, *error):
        pass

    def synchronize(self):
        """Wait for the card."""
        _note("syncs", "synchronize")


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


def _wrap(data):
    x = ndarray.__new__(ndarray)
    x._data = np.asarray(data)  # CuPy has no scalars of its own: a sum is a 0-d array
    return x


def _run(name, f, *args, **kwargs):
    """Run a NumPy function on device arrays. A result that is a view of an argument is free."""
    host = [_host(a) for a in args]
    result = f(*host, **{k: _host(v) for k, v in kwargs.items()})
    operands = [] if isinstance(f, np.ufunc) else [a for a in host if isinstance(a, np.ndarray)]
    view = isinstance(result, np.ndarray) and any(np.may_share_memory(result, a) for a in operands)
    if name in DATA_DEPENDENT:
        _note("syncs", name)
    if name in JOINS:
        _note_join(name, host[0])
    elif name != "empty" and not view and not isinstance(result, tuple | np.dtype | bool):
        _note("launches", name)
    return kwargs["out"] if kwargs.get("out") is not None else _on_device(result)


def _note_join(name, arrays):
    """A copy for each of up to 8 arrays; one kernel for more, which is sent their addresses."""
    if len(arrays) <= 8 or len({a.dtype for a in arrays}) > 1:
        for _ in arrays:
            _note("launches", name)
        return
    alike = len({a.shape for a in arrays}) == 1 and all(a.flags.c_contiguous for a in arrays)
    _note("launches", name)
    for _ in range(1 if alike else 3):  # addresses; then offsets and strides
        _note("to_device", 8 * len(arrays))


def _without_imatmul():
    """Return NumPy's operators but `@=`, which CuPy lacks: Python then rebinds the name."""
    own = {k: f for k, f in vars(NDArrayOperatorsMixin).items() if isfunction(f)}
    own.pop("__imatmul__")
    return type("Operators", (), own)


class ndarray(_without_imatmul()):  # noqa: N801, the name is CuPy's
    """`cupy.ndarray`. It has no __array_namespace__, to_device or __index__, as in CuPy 14."""

    __hash__ = None

    def __init__(self, shape, dtype=float):
        self._data = np.empty(shape, dtype)

    # Refusals

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        """Run an operator or a NumPy ufunc: one kernel. Host arrays are refused."""
        inputs = [_host(x) for x in inputs]
        if method != "__call__" or not all(isinstance(x, OPERANDS) for x in inputs):
            return NotImplemented
        _note("launches", ufunc.__name__)
        if out is not None:
            kwargs["out"] = tuple(map(_host, out))
        result = ufunc(*inputs, **kwargs)
        return out[0] if out is not None else _on_device(result)

    def __dlpack_device__(self):
        return 2, 0

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        if dl_device != (1, 0):  # since CuPy 14 the host is a target, if it is asked for
            raise BufferError("Unsupported device in DLTensor")
        return self.get().__dlpack__(max_version=max_version)

    # What reads the card, and so waits for it

    def get(self, stream=None, order="C", out=None):
        """Copy to the host."""
        _note("syncs", "get")
        _note("to_host", self._data.nbytes)
        return self._data.copy(order)

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
            _note("launches", "getitem")
        elif not isinstance(result, np.ndarray):  # an element: a 0-d view, without a read
            result = self._data[(*(index if isinstance(index, tuple) else (index,)), ...)]
        return _wrap(result)

    def __setitem__(self, index, value):
        value = _host(value)
        index, _ = _index(index)
        _note("launches", "setitem")
        self._data[index] = value


def _method(name):
    f = getattr(np.ndarray, name)
    extra = {"mode": "wrap"} if name == "take" else {}  # out of bounds wraps, silently
    return lambda self, *args, **kwargs: _run(name, f, self, *args, **extra, **kwargs)


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))


def _index(index):
    """Return an index for NumPy, and whether it copies; host arrays in it travel to the card."""
    parts, copies = [], False
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, np.ndarray | list):
            part = array(part)
        if isinstance(part, ndarray):
            copies = True
            if part.dtype == bool:
                _note("syncs", "boolean index")
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
    _note("to_device", data.nbytes)
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
        plain = isinstance(value, type) or not callable(value)
        setattr(module, name, value if plain else _function(name, value))


def install():
    """Put the stand-in where `import cupy` finds it, and return it."""
    if "cupy" in sys.modules:
        raise RuntimeError("CuPy is imported already: install the stand-in in a new process.")
    names = ("cupy", "cupy.linalg", "cupy.fft", "cupy.cuda", "cupy.cuda.device")
    names += ("cupy.cuda.runtime", "cupyx", "cupyx.scipy", "cupyx.scipy.special")
    modules = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        module.__path__, module.__spec__ = [], ModuleSpec(name, None)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    cupy, cuda = modules["cupy"], modules["cupy.cuda"]
    _fill(cupy, np)
    _fill(cupy.linalg, np.linalg)
    _fill(cupy.fft, np.fft)
    own = (ndarray, array, asarray, asnumpy, take)
    vars(cupy).update({f.__name__: f for f in own}, __version__=VERSION)
    cupy.is_available = cuda.is_available = lambda: True
    cuda.Device = cuda.device.Device = Device
    cuda.Stream = type("Stream", (), {})
    cuda.runtime.getDeviceCount = lambda: 1
    cuda.runtime.getDeviceProperties = lambda i: {"name": b"a stand-in, no card"}
    cuda.runtime.driverGetVersion = cuda.runtime.runtimeGetVersion = lambda: 0
    special = modules["cupyx.scipy.special"]
    special.erf = _function("erf", _erf)
    sys.modules.update(modules)
    return cupy


def _erf(x):
    from scipy.special import erf

    return erf(x)
