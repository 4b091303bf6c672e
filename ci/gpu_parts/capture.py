"""What the stand-ins promise of streams, graphs, memory and kernels, for rules.py to ask."""

import gc
import weakref
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec

import numpy as np

from . import Skip, captured

KERNELS = r"""
struct Two { const float *x; long long n; };

extern "C" __global__ void tell(double *out, const float *x, const float *none, int i, long long l,
                                unsigned u, float f, double d) {
    out[0] = x[1]; out[1] = none == 0; out[2] = i; out[3] = l; out[4] = u; out[5] = f; out[6] = d;
}

extern "C" __global__ void number(int *out) {
    int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}

extern "C" __global__ void through(const Two *two, float *out) {
    out[threadIdx.x] = WITH + (threadIdx.x < two->n ? two->x[threadIdx.x] : 0.0f);
}
"""


def _module():
    return import_module("cupy").RawModule(code=KERNELS, options=("-std=c++17", "-DWITH=100.0f"))


def _forgiven(action):
    """Do in a capture what raises, or may: the capture ends as it will."""
    stream = import_module("cupy").cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            return action(stream)
        finally:
            try:
                stream.end_capture()
            except RuntimeError:  # of a capture that the action made invalid
                pass


def refusals():
    """Return what raises, and what it raises."""
    cupy = import_module("cupy")
    cuda, h = cupy.cuda, np.ones((4, 4), np.float32)
    x = cupy.asarray(h)
    x @ x  # what a first call loads is not captured
    event = cuda.Event()
    event.record()

    def unjoined():
        main, side = (cuda.Stream(non_blocking=True) for _ in range(2))
        main.begin_capture()
        try:
            side.wait_event(main.record())
            with side:
                x.__iadd__(0.0)
        finally:
            main.end_capture()

    def invalidated():
        stream = cuda.Stream(non_blocking=True)
        stream.begin_capture()
        try:
            stream.synchronize()
        except RuntimeError:
            stream.end_capture()

    def untimed():
        a, b = (cuda.Event(disable_timing=True) for _ in range(2))
        a.record(), b.record()
        b.synchronize()
        return cuda.get_elapsed_time(a, b)

    inside = {
        "cupy.matmul": (lambda s: cupy.matmul(x, x), NotImplementedError),
        "cupy.matmul into an array": (lambda s: cupy.matmul(x, x, out=x), NotImplementedError),
        "cupy.tensordot": (lambda s: cupy.tensordot(x, x, 1), NotImplementedError),
        "asarray of a host array": (lambda s: cupy.asarray(h), RuntimeError),
        "x.set(host array)": (lambda s: x.set(h), RuntimeError),
        "x.get()": (lambda s: x.get(), RuntimeError),
        "float(x)": (lambda s: float(x[0, 0]), RuntimeError),
        "stream.synchronize()": (lambda s: s.synchronize(), RuntimeError),
        "to wait for an event from outside": (lambda s: s.wait_event(event), RuntimeError),
        "to synchronize an event of its own": (lambda s: s.record().synchronize(), RuntimeError),
        "a second begin_capture": (lambda s: s.begin_capture(), RuntimeError),
    }
    pool = cuda.MemoryPool()
    pool.set_limit(size=8192)
    return {
        **{
            f"{name} is refused in a capture": (partial(_forgiven, action), error)
            for name, (action, error) in inside.items()
        },
        "a capture that ends with a branch open is refused": (unjoined, RuntimeError),
        "a capture in which somebody waited is lost": (invalidated, RuntimeError),
        "begin_capture on the null stream is refused": (
            lambda: cuda.Stream.null.begin_capture(), RuntimeError,
        ),
        "Graph() is refused": (lambda: cuda.Graph(), NotImplementedError),
        "the time between events without timing is refused": (untimed, RuntimeError),
        "more than a pool's limit is a MemoryError": (lambda: pool.malloc(8193), MemoryError),
        "a kernel that is not there is refused": (
            lambda: _module().get_function("absent"), RuntimeError,
        ),
        "an array of the host is refused by a kernel": (
            lambda: _module().get_function("number")((1,), (1,), (np.zeros(1, np.int32),)),
            TypeError,
        ),
    }  # fmt: skip


def values():
    """Return what gives what."""
    return {
        "captured work waits for the graph's launch": (_replayed, [0.0, 1.0, 4.0, 14.0]),
        "a branch joined by events belongs to the graph": (_branched, [2.0, 20.0, 22.0]),
        "a refused product leaves the capture valid": (_after_refusal, 1.0),
        "a stream is current inside its block": (_current, [True, True, False]),
        "a copy and a memset on the card are captured": (_copied, [[3.0] * 4, [0.0] * 4]),
        "events tell the time between them": (_elapsed, True),
        **_pool_values(),
        "a kernel gets numbers in their width, and null": (
            _numbers, [2.0, 1.0, -3.0, 2.0**40, 2.0**31, 0.5, 0.1],
        ),
        "a kernel runs on a grid and blocks of three dimensions": (_indices, True),
        "a kernel reads through addresses in memory, with options": (
            _through, [107.0, 108.0, 100.0, 100.0],
        ),
        "a kernel reads memory of the host that is pinned": (_pinned, [1.0, 2.0, 3.0]),
        "torch's tensors on the card are seen without a copy, and back": (_torch, True),
    }  # fmt: skip


def facts():
    """Return what is told, without being right or wrong: gpu.md's fifth line among it."""
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
        "Device.synchronize in a capture": lambda: _forgiven(
            lambda s: cupy.cuda.Device().synchronize()
        ),
        "a new array in a capture": lambda: _forgiven(lambda s: cupy.empty(1 << 20).shape),
        "x.get() in a capture, which then ends": lambda: _ended(x.get),
        "stream.done in a capture, which then ends": lambda: _ended(
            lambda: cupy.cuda.get_current_stream().done
        ),
        "stream memory operations, pools": lambda: _pools(cupy),
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


def _pools(cupy):
    pool = cupy.get_default_memory_pool()
    return {"used": pool.used_bytes(), "total": pool.total_bytes(), "limit": pool.get_limit()}


# ---- Streams and graphs


def _replayed():
    cupy = import_module("cupy")
    x, y = cupy.zeros(1), cupy.ones(1)
    (x + y) * 0.0  # loads what is captured
    graph = captured(lambda: x.__iadd__(y))
    seen, stream = [float(x[0])], cupy.cuda.Stream(non_blocking=True)
    graph.launch()
    seen.append(float(x[0]))
    for _ in range(3):
        graph.launch(cupy.cuda.Stream.null)
    seen.append(float(x[0]))
    y[...] = 10.0  # the graph reads arrays where they lie, when it runs
    cupy.cuda.Device().synchronize()
    graph.launch(stream)
    stream.synchronize()
    return [*seen, float(x[0])]


def _branched():
    cupy = import_module("cupy")
    main, side = (cupy.cuda.Stream(non_blocking=True) for _ in range(2))
    a, b, c = cupy.ones(1), cupy.ones(1), cupy.zeros(1)
    a * 2.0 + b
    main.begin_capture()
    with main:
        a *= 2.0
        side.wait_event(main.record())
        with side:
            cupy.multiply(a, 10.0, out=b)
        main.wait_event(side.record())
        cupy.add(a, b, out=c)
        graph = main.end_capture()
        graph.launch()
    main.synchronize()
    return [float(v[0]) for v in (a, b, c)]


def _after_refusal():
    cupy = import_module("cupy")
    x, a = cupy.zeros(1), cupy.ones((2, 2))
    x + 1.0

    def both():
        try:
            cupy.matmul(a, a)
        except NotImplementedError:
            x.__iadd__(1.0)

    captured(both).launch()
    return float(x[0])


def _current():
    cuda = import_module("cupy").cuda
    stream, said = cuda.Stream(non_blocking=True), []
    with stream:
        said.append(cuda.get_current_stream() == stream)
        stream.begin_capture()
        said.append(stream.is_capturing())
        stream.end_capture()
    return [*said, cuda.get_current_stream() == stream]


def _copied():
    cupy = import_module("cupy")
    a, b, c = cupy.full(4, 3.0), cupy.zeros(4), cupy.ones(4)

    def work():
        b.data.copy_from_device_async(a.data, a.nbytes)
        c.data.memset_async(0, c.nbytes)

    captured(work).launch()
    return [b.tolist(), c.tolist()]


def _elapsed():
    cuda = import_module("cupy").cuda
    a, b = cuda.Event(), cuda.Event()
    a.record()
    b.record(cuda.get_current_stream())
    b.synchronize()
    return cuda.get_elapsed_time(a, b) >= 0.0 and b.done


# ---- Memory


@contextmanager
def _own_pool():
    cuda = import_module("cupy").cuda
    pool = cuda.MemoryPool()
    with cuda.using_allocator(pool.malloc):
        yield pool


def _pool_values():
    cupy = import_module("cupy")
    x = cupy.arange(6, dtype="float32")
    sizes = lambda pool: [pool.used_bytes(), pool.total_bytes(), pool.free_bytes()]

    def counted():
        with _own_pool() as pool:
            x = cupy.empty(1000, dtype="float32")
            seen = [sizes(pool)]
            del x
            gc.collect()
            seen.append(sizes(pool))
            pool.free_all_blocks()
            return [*seen, sizes(pool)]

    def limited():
        with _own_pool() as pool:
            pool.set_limit(size=8192)
            kept = cupy.empty(1000, dtype="float32")
            try:
                cupy.empty(5000, dtype="float32")
            except cupy.cuda.memory.OutOfMemoryError as error:
                said = str(error)
            pool.set_limit(size=0)
            return said, pool.get_limit(), cupy.empty(5000).size + kept.size

    def own_memory():
        a = cupy.ndarray((2,), "float32", x.data + 8)
        return a.tolist(), a.data.ptr - x.data.ptr, a.data.device_id

    def referred():
        a = cupy.empty(3)
        ref = weakref.ref(a)
        alive = ref() is a
        del a
        return alive, ref()

    return {
        "a pool keeps what is freed until it is asked for it": (
            counted, [[4096, 4096, 0], [0, 4096, 4096], [0, 0, 0]],
        ),
        "the error of a pool's limit names all sizes": (
            limited, (
                "Out of memory allocating 20,480 bytes (allocated so far: 4,096 bytes, limit set "
                "to: 8,192 bytes).", 0, 6000,
            ),
        ),
        "new arrays begin at a multiple of 256 bytes": (
            lambda: {cupy.empty(n, dtype="uint8").data.ptr % 256 for n in (1, 3, 700, 5000)}, {0},
        ),
        "an array is made on memory that is there": (own_memory, ([2.0, 3.0], 8, 0)),
        "arrays can be referred to weakly": (referred, (True, None)),
        "an array of no elements can be made": (lambda: cupy.empty((0, 3)).get().shape, (0, 3)),
    }  # fmt: skip


# ---- Kernels


def _numbers():
    cupy = import_module("cupy")
    out, x = cupy.zeros(7), cupy.arange(4, dtype="float32")
    args = (
        out, x[1:], np.uintp(0), np.int32(-3), np.int64(2**40), np.uint32(2**31), np.float32(0.5),
        np.float64(0.1),
    )  # fmt: skip
    _module().get_function("tell")((1,), (1,), args)
    return out.tolist()


def _indices():
    cupy = import_module("cupy")
    out = cupy.zeros(2 * 3 * 2 * 24, dtype="int32")
    _module().get_function("number")((2, 3, 2), (4, 3, 2), (out,))
    return out.tolist() == [1000 * b + t for b in range(12) for t in range(24)]


def _through():
    cupy = import_module("cupy")
    x, out = cupy.asarray([7.0, 8.0], dtype="float32"), cupy.empty(4, dtype="float32")
    two = cupy.asarray(np.array([x.data.ptr, 2], np.uint64))
    _module().get_function("through")((1,), (4,), (two, out))
    return out.tolist()


def _pinned():
    cupy = import_module("cupy")
    cuda, n = cupy.cuda, 3
    mem = cuda.PinnedMemory(4 * n)
    pointer = cuda.PinnedMemoryPointer(mem, 0)
    np.frombuffer(pointer, np.float32, n)[:] = 1.0, 2.0, 3.0
    there = cuda.UnownedMemory(pointer.ptr, 4 * n, pointer, 0)
    x = cupy.ndarray((n,), "float32", cuda.MemoryPointer(there, 0))
    return (x + 0.0).tolist()


def _torch():
    if find_spec("torch") is None:
        raise Skip("torch is not installed")
    cupy, torch = import_module("cupy"), import_module("torch")
    if not torch.cuda.is_available():
        raise Skip("torch sees no CUDA card")
    t = torch.arange(6.0, device="cuda")
    x = cupy.from_dlpack(t)
    x += 1.0
    back = torch.from_dlpack(x)
    same = x.data.ptr == t.data_ptr() == back.data_ptr()
    return same and t.tolist() == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
