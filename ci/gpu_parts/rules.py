"""What tests/cupy_standin.py promises of CuPy's arrays, asked of CuPy.

Each rule is an action with what it must raise, or with what it must give. Of streams, graphs,
memory and kernels tests/standin/*_checks.py ask (outside.py). Last of all NCCL, which may hang.
"""

from importlib import import_module

import numpy as np

from . import Skip, captured


def conformance(found, standin):
    """Check every rule of arrays, and tell what CuPy does where nothing depends on it."""
    for sentence, rule in _refusals().items():
        found.check(sentence, _refuses, *rule)
    for sentence, rule in (_values() | _views()).items():
        found.check(sentence, _gives, *rule)
    found.note(facts={sentence: _told(action) for sentence, action in _facts().items()})
    found.check("NCCL sums in a CUDA graph, each launch anew", _all_reduce)


def _refuses(action, errors):
    try:
        got = action()
    except errors:
        return
    raise AssertionError(f"gave {got!r}, expected {errors}")


def _gives(action, expected):
    got = action()
    assert got == expected, f"gave {got!r}, expected {expected!r}"


def _told(action):
    try:
        return repr(action())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def _refusals():
    """What raises, and what it raises."""
    cupy = import_module("cupy")
    x, i = cupy.ones((2, 3), dtype="float32"), cupy.asarray(1)
    h = np.ones((2, 3), np.float32)
    dlpack = (BufferError, RuntimeError, TypeError, ValueError)
    names = {
        "np.asarray(x)": (lambda: np.asarray(x), TypeError),
        "x + host array": (lambda: x + h, TypeError),
        "host array + x": (lambda: h + x, TypeError),
        "x += host array": (lambda: x.__iadd__(h), TypeError),
        "x + list": (lambda: x + [1.0, 1.0, 1.0], TypeError),
        "maximum(x, host array)": (lambda: cupy.maximum(x, h), TypeError),
        "where(c, host array, x)": (lambda: cupy.where(x > 0, h, x), TypeError),
        "x[...] = host array": (lambda: x.__setitem__(..., h), ValueError),
        "x[...] = list": (lambda: x.__setitem__(..., [1.0, 1.0, 1.0]), ValueError),
        "concatenate of host arrays": (lambda: cupy.concatenate([h, h]), TypeError),
        "hash(device)": (lambda: hash(x.device), TypeError),
        "hash(array)": (lambda: hash(x), TypeError),
        "range(0-d array)": (lambda: range(i), TypeError),
        "list[0-d array]": (lambda: [1, 2][i], TypeError),
        "text": (lambda: cupy.asarray(np.asarray(["a"])), ValueError),
        "np.from_dlpack(x)": (lambda: np.from_dlpack(x), dlpack),
        "a missing card": (lambda: cupy.cuda.Device(99).__enter__(), RuntimeError),
        "x.set(array of another dtype)": (lambda: x.set(h.astype(float)), TypeError),
        "x.set(array of another shape)": (lambda: x.set(h[:1]), ValueError),
        "x.set(list)": (lambda: x.set([[1.0] * 3] * 2), TypeError),
        "from_dlpack of a host array": (lambda: cupy.from_dlpack(h), TypeError),
    }
    return {f"{name} is refused": rule for name, rule in names.items()}


def _values():
    """Attributes, dtypes, indices, extreme values."""
    cupy = import_module("cupy")
    x = cupy.arange(6, dtype="float32").reshape(2, 3)
    inf = float("inf")
    is_0d = lambda a: isinstance(a, cupy.ndarray) and a.ndim == 0
    return {
        **{
            f"an array has no {name}": (lambda name=name: hasattr(x, name), False)
            for name in ("__array_namespace__", "to_device", "__index__", "__imatmul__")
        },
        **{
            f"cupy has no {name}": (lambda name=name: hasattr(cupy, name), False)
            for name in ("__array_namespace_info__", "vecdot", "unstack")
        },
        **{
            f"cupy has {name}": (lambda name=name: hasattr(cupy, name), True)
            for name in ("astype", "isdtype", "permute_dims", "matrix_transpose", "concat")
        },
        "float32 * np.float64(2) is float64": (lambda: (x * np.float64(2)).dtype, np.float64),
        "float32 * 2.0 is float32": (lambda: (x * 2.0).dtype, np.float32),
        "float32 * 0-d float64 array is float64": (lambda: (x * cupy.ones(())).dtype, np.float64),
        "float32 += float64 stays float32": (
            lambda: x.copy().__iadd__(cupy.ones((2, 3))).dtype,
            np.float32,
        ),
        "a sum is a 0-d array": (lambda: is_0d(x.sum()), True),
        "an element is a 0-d array": (lambda: is_0d(x[0, 0]), True),
        "take out of bounds wraps": (
            lambda: cupy.take(x, cupy.asarray([4, -1]), axis=1).tolist(),
            [[1, 2], [4, 5]],
        ),
        "a host index array is taken": (lambda: x[np.asarray([1])].tolist(), [[3, 4, 5]]),
        "a slice may end out of bounds": (lambda: x[1:9].shape, (1, 3)),
        "argmax ignores -inf": (lambda: int(cupy.argmax(cupy.asarray([-inf, -inf, -1.0]))), 2),
        "argmax of a row of only -inf is the first": (
            lambda: cupy.argmax(cupy.asarray([[-inf] * 3] * 2), axis=1).tolist(),
            [0, 0],
        ),
        "max of only -inf is -inf": (lambda: float(cupy.max(cupy.asarray([-inf] * 3))), -inf),
        "max along an axis sees inf": (
            lambda: cupy.max(cupy.asarray([[-inf, inf], [-inf, 0.0]]), axis=1).tolist(),
            [inf, 0.0],
        ),
        "maximum lets NaN through": (
            lambda: bool(cupy.isnan(cupy.maximum(cupy.asarray([np.nan]), 0.0))[0]),
            True,
        ),
        "matmul writes into out": (lambda: _into(cupy), [[10.0, 13.0], [28.0, 40.0]]),
        "one device equals itself": (lambda: x.device == cupy.cuda.Device(0), True),
    }


def _into(cupy):
    x, out = cupy.arange(6, dtype="float32").reshape(2, 3), cupy.empty((2, 2), dtype="float32")
    cupy.matmul(x, cupy.arange(6, dtype="float32").reshape(3, 2), out=out)
    return out.tolist()


def _views():
    """What is a view, what a copy, what runs where."""
    cupy = import_module("cupy")
    x = cupy.arange(6, dtype="float32")

    def written(view_of):
        flat = cupy.zeros(6, dtype="float32")
        view = view_of(flat)
        view -= 1
        return float(flat.sum()) == -view.size

    return {
        "a slice of a flat buffer is a view": (lambda: written(lambda a: a[2:5]), True),
        "a reshaped slice is a view": (lambda: written(lambda a: a[2:6].reshape(2, 2)), True),
        "its mT is a view": (lambda: written(lambda a: a.reshape(2, 3).mT), True),
        "x[..., 0, 1:3] is a view": (lambda: written(lambda a: a.reshape(1, 6)[..., 0, 1:3]), True),
        "x[...] is another array on the same memory": (
            lambda: (x[...] is x, x[...].data.ptr == x.data.ptr),
            (False, True),
        ),
        "an update of the buffer is seen by an old view": (lambda: _seen_by_view(cupy), [1.0, 1.0]),
        "astype(copy=False) of that dtype is the array": (
            lambda: x.astype("float32", copy=False) is x,
            True,
        ),
        "asarray of an array is the array": (lambda: cupy.asarray(x) is x, True),
        "ascontiguousarray of such an array is on the same memory": (
            lambda: cupy.ascontiguousarray(x).data.ptr == x.data.ptr,
            True,
        ),
        "array of an array is a copy": (lambda: cupy.array(x).data.ptr == x.data.ptr, False),
        "np.exp(x) runs on the card": (lambda: type(np.exp(x)) is cupy.ndarray, True),
        "np.float32(2) * x does too": (lambda: type(np.float32(2) * x) is cupy.ndarray, True),
        "a pickle holds a host array": (lambda: type(x.__reduce__()[1][0]) is np.ndarray, True),
        "np.from_dlpack(x, device='cpu') copies": (
            lambda: np.from_dlpack(x, device="cpu", copy=True).tolist(),
            list(range(6)),
        ),
        "from_dlpack of an array shares its memory": (
            lambda: cupy.from_dlpack(x).data.ptr == x.data.ptr,
            True,
        ),
        "f'{x:.1f}' of a number reads it": (lambda: f"{x[1]:.1f}", "1.0"),
    }


def _seen_by_view(cupy):
    flat = cupy.zeros(4)
    view = flat[1:3].reshape(1, 2)
    flat += 1
    return view[0].tolist()


def _all_reduce():
    """Capture a sum over the processes, of which there is one."""
    cupy, nccl = import_module("cupy"), import_module("cupy.cuda.nccl")
    if not nccl.available:
        raise Skip("CuPy finds no NCCL (libnccl.so.2)")
    comm = nccl.NcclCommunicator(1, nccl.get_unique_id(), 0)
    x, out = cupy.arange(5, dtype="float32"), cupy.zeros(5, dtype="float32")

    def launch():
        stream = cupy.cuda.get_current_stream().ptr
        comm.allReduce(x.data.ptr, out.data.ptr, 5, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, stream)

    launch()  # what a first call sets up is not for a capture
    graph, seen = captured(launch), []
    for _ in range(2):
        x += 1
        graph.launch()
        seen.append(out.tolist())
    comm.destroy()
    assert seen == [[1, 2, 3, 4, 5], [2, 3, 4, 5, 6]], seen
    return {"version": nccl.get_version()}


# ---- What is told


def _facts():
    """Return what is neither right nor wrong, with what is expected."""
    cupy = import_module("cupy")
    x = cupy.ones((4, 4), dtype="float32")

    def random():
        generator, out = cupy.random.default_rng(0), []
        generator.random(4, dtype="float32")
        graph = captured(lambda: out.append(generator.random(4, dtype="float32")))
        both = []
        for _ in range(2):
            graph.launch()
            both.append(out[0].tolist())
        return both

    def short(*shape):
        a = cupy.ones(shape, dtype=import_module("ml_dtypes").bfloat16)
        made = a @ a
        return made.dtype, float(made.astype("float32").sum())

    return {
        "default_rng().random in a capture (expected: fresh numbers a launch)": random,
        "a bfloat16 product of 3-D arrays (expected to fail)": lambda: short(2, 4, 4),
        "a bfloat16 product of 2-D arrays (expected: 64)": lambda: short(4, 4),
        # CUB begins with the lowest finite number, in a place of its own.
        "argmax of all of an array of only -inf (expected: 1)": lambda: int(
            cupy.argmax(cupy.full(3, -np.inf))
        ),
        "Device.synchronize in a capture, which then ends": lambda: _ended(
            cupy.cuda.Device().synchronize
        ),
        "a new array in a capture, which then ends": lambda: _ended(
            lambda: cupy.empty(1 << 20).shape
        ),
        "x.get() in a capture, which then ends": lambda: _ended(x.get),
        "stream.done in a capture, which then ends": lambda: _ended(
            lambda: cupy.cuda.get_current_stream().done
        ),
    }


def _ended(action):
    """Tell what an action in a capture does, and how the capture ends."""
    stream = import_module("cupy").cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            said = repr(action())
        except RuntimeError as error:
            said = str(error)
        try:
            stream.end_capture()
        except RuntimeError as error:
            return said, str(error)
    return said, "a graph"
