"""Streams, graphs and memory as the stand-in has them. test_standins.py runs this file.

What is CUDA's or CuPy's own rule, and not the stand-in's alone, can be checked on a card, too.
"""

import ctypes
import gc
import weakref
from contextlib import nullcontext

import numpy as np
import pytest
from card import REAL, backwards, cupy, recording, standin_only
from emulator import memory

f4, i4 = np.float32, np.int32
CODE = r"""
extern "C" __global__ void axpy(const float *x, float *y, float a, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}
extern "C" __global__ void fill(float *x, float v, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = v;
}
"""
k = cupy.RawModule(code=CODE).get_function


# ---- Streams and graphs


ONES = cupy.ones(3, f4)


def add(x, v=1.0):
    k("axpy")((1,), (32,), (ONES, x, f4(v), i4(3)))


def captured(work):
    """Return the graph of work()."""
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            work()
        finally:
            graph = stream.end_capture()
    return graph


def several(x, y):
    """Add to x and y in place, by kernels of several kinds."""
    add(x, 2.0)
    y[...] = x
    y[1:] += x[1:]
    cupy.multiply(y, x, out=y)
    cupy.copyto(y[:1], x[:1])
    x.data.copy_from_device_async(y.data, 4)


def test_a_capture_runs_nothing_and_its_graph_runs_all():
    x, y = cupy.zeros(3, f4), cupy.zeros(3, f4)
    several(x, y)  # loads the kernels
    x.fill(0)
    y.fill(0)
    graph = captured(lambda: several(x, y))
    assert (x.tolist(), y.tolist()) == ([0] * 3, [0] * 3)
    graph.launch()
    assert (x.tolist(), y.tolist()) == ([2, 2, 2], [2, 8, 8])
    graph.launch()
    assert (x.tolist(), y.tolist()) == ([4, 4, 4], [4, 32, 32])


def test_a_graph_is_one_launch():
    x, y = cupy.zeros(3, f4), cupy.zeros(3, f4)
    with recording() as record:
        graph = captured(lambda: several(x, y))
        assert record.launches == []
        graph.launch()
    once = ["axpy", "setitem", "add", "multiply", "copyto", "memcpy"]
    assert (record.launches, record.nodes) == (["graph"], once)


def test_numbers_are_frozen_by_a_capture_and_arrays_are_read_anew():
    x, v = cupy.zeros(3, f4), 2.0
    graph = captured(lambda: add(x, v))
    v = 100.0
    x[...] = 5
    graph.launch()
    assert x.tolist() == [7, 7, 7]


UNCAPTURABLE = {
    "a copy from the host": lambda x: cupy.asarray([1.0]),
    "set": lambda x: x.set(np.ones(3, f4)),
    "get": lambda x: x.get(),
    "float": lambda x: float(x[0]),
    "if": lambda x: bool(x[0] > 0),
    "a boolean index": lambda x: x[ONES > 0],
    "stream.synchronize": lambda x: cupy.cuda.get_current_stream().synchronize(),
    "device.synchronize": lambda x: cupy.cuda.Device().synchronize(),
    "event.synchronize": lambda x: cupy.cuda.get_current_stream().record().synchronize(),
}
STRICTER = {
    "a new array": lambda x: x + 1,
    "a number": lambda x: cupy.asarray(1.0),
    "empty": lambda x: cupy.empty(3),
    "another capture": lambda x: cupy.cuda.Stream(non_blocking=True).begin_capture(),
    "a module": lambda x: cupy.RawModule(code=CODE, options=("-DNEW",)).compile(),
}
ACTIONS = UNCAPTURABLE if REAL else UNCAPTURABLE | STRICTER


@pytest.mark.parametrize("action", ACTIONS.values(), ids=ACTIONS)
def test_what_cannot_be_captured_raises_and_the_stream_works_afterwards(action):
    x, stream = cupy.ones(3, f4), cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(RuntimeError):
            action(x)
        try:
            stream.end_capture()
        except cupy.cuda.runtime.CUDARuntimeError as ended:
            assert ended.status == 901  # the capture was invalidated
    assert not stream.is_capturing()
    add(x)
    assert x.tolist() == [2, 2, 2]


@pytest.mark.parametrize("product", [cupy.matmul, cupy.dot, lambda a, b, out: a @ b])
def test_products_of_cupy_cannot_be_captured(product):
    x, out = cupy.ones((3, 3), f4), cupy.empty((3, 3), f4)
    with pytest.raises(NotImplementedError, match="calling cuBLAS API during stream capture"):
        captured(lambda: product(x, x, out=out))


def test_a_wait_for_the_card_invalidates_the_capture():
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="CaptureUnsupported"):
            stream.synchronize()
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Invalidated") as caught:
            stream.end_capture()
    assert caught.value.status == 901


def test_a_query_never_raises_but_it_invalidates_the_capture():
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        assert stream.done is False
        with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match="Invalidated"):
            stream.end_capture()
    stream.synchronize()
    assert stream.done is True
    event = stream.record()
    event.synchronize()
    assert event.done is True


def test_a_copy_that_cupy_refuses_leaves_the_capture_as_it_is():
    x, y = cupy.ones(3, f4), cupy.zeros(3, f4)

    def work():
        with pytest.raises(RuntimeError, match="capturing, so D2H transfers are disallowed"):
            float(x[0])
        with pytest.raises(RuntimeError, match="capturing, so H2D transfers are disallowed"):
            x.set(np.ones(3, f4))
        add(y)

    captured(work).launch()
    assert y.tolist() == [1] * 3


def branches(x, y, *, fork=True, join=True):
    """x twice on the capturing stream; in between y from x, on a second stream."""
    main, side = cupy.cuda.get_current_stream(), cupy.cuda.Stream(non_blocking=True)
    add(x)
    if fork:
        side.wait_event(main.record())
    with side:
        k("axpy")((1,), (32,), (x, y, f4(1), i4(3)))
    if join:
        main.wait_event(side.record())
    add(x)


def test_branches_that_join_run_after_what_they_wait_for_in_any_order():
    for order in (nullcontext, backwards):
        x, y = cupy.zeros(3, f4), cupy.zeros(3, f4)
        graph = captured(lambda: branches(x, y))  # noqa: B023
        with order():
            graph.launch()
        assert (x.tolist(), y.tolist()) == ([2] * 3, [1] * 3)


@standin_only
def test_branches_that_race_show_in_the_other_order():
    x, y = cupy.zeros(3, f4), cupy.zeros(3, f4)

    def work():
        main, side = cupy.cuda.get_current_stream(), cupy.cuda.Stream(non_blocking=True)
        side.wait_event(main.record())
        add(x)
        with side:  # does not wait for x
            k("axpy")((1,), (32,), (x, y, f4(1), i4(3)))
        main.wait_event(side.record())

    graph = captured(work)
    graph.launch()
    assert y.tolist() == [1] * 3
    with backwards():
        graph.launch()
    assert y.tolist() == [2] * 3  # would be 3 after x's second addition


@pytest.mark.parametrize(
    ("how", "match"),  # a capture that ends by an error says so a second time
    [({"fork": False}, "Isolation|Invalidated"), ({"join": False}, "Unjoined")],
)
def test_branches_that_do_not_fork_or_join_raise(how, match):
    x, y = cupy.zeros(3, f4), cupy.zeros(3, f4)
    with pytest.raises(cupy.cuda.runtime.CUDARuntimeError, match=match):
        captured(lambda: branches(x, y, **how))


def test_events_of_a_capture_cannot_be_waited_for_outside_nor_others_inside():
    inside, outside = [], cupy.cuda.Stream.null.record()
    captured(lambda: inside.append(cupy.cuda.get_current_stream().record()))
    with pytest.raises(RuntimeError):
        cupy.cuda.Stream(non_blocking=True).wait_event(inside[0])
    with pytest.raises(RuntimeError, match="cudaErrorCapturedEvent"):
        inside[0].synchronize()
    with pytest.raises(RuntimeError, match="Isolation|Invalidated"):
        captured(lambda: cupy.cuda.get_current_stream().wait_event(outside))


@standin_only
def test_a_graph_keeps_no_array_alive_and_using_freed_memory_shows():
    held, out = [cupy.zeros(3, f4), cupy.zeros(3, f4)], cupy.zeros(3, f4)
    graphs = captured(lambda: add(held[0])), captured(lambda: cupy.add(held[1], out, out=out))
    for graph in graphs:
        graph.launch()
    held.clear()
    reused = cupy.full(3, 7, f4), cupy.full(3, 7, f4)  # take the same blocks
    for graph, name in zip(graphs, ("axpy", "add")):
        with pytest.raises(RuntimeError, match=f"{name} uses memory that was freed"):
            graph.launch()
    assert [x.tolist() for x in reused] == [[7] * 3] * 2


def test_streams_are_current_inside_of_their_block_and_events_tell_time():
    a, b = cupy.cuda.Stream(), cupy.cuda.Stream(non_blocking=True)
    assert len({a.ptr, b.ptr, cupy.cuda.Stream.null.ptr}) == 3
    with a:
        with b:
            assert cupy.cuda.get_current_stream() == b
        assert cupy.cuda.get_current_stream() == a
    assert cupy.cuda.get_current_stream() == cupy.cuda.Stream.null
    start, stop = cupy.cuda.Event(), cupy.cuda.Event()
    start.record()
    stop.record()
    stop.synchronize()
    assert 0 <= cupy.cuda.get_elapsed_time(start, stop) < 1000
    untimed = cupy.cuda.Event(disable_timing=True)
    untimed.record()
    with pytest.raises(RuntimeError, match="InvalidResourceHandle"):
        cupy.cuda.get_elapsed_time(untimed, stop)
    with recording() as record:
        stop.synchronize()
        stream = cupy.cuda.get_current_stream()
        stream.synchronize()
    assert record.syncs == ["event.synchronize", "stream.synchronize"]


# ---- Memory

TOO_MUCH = r"allocating {} bytes \(allocated so far: 4,096 bytes, limit set to: 4,096 bytes\)"


def test_a_pool_counts_what_lives_and_keeps_what_is_freed():
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        x, y = cupy.empty(100, f4), cupy.ones((3, 200))
        view = y[1]
    assert (pool.used_bytes(), pool.total_bytes()) == (512 + 5120, 512 + 5120)
    del x, y
    assert (pool.used_bytes(), pool.n_free_blocks(), pool.free_bytes()) == (5120, 1, 512)
    del view
    assert (pool.used_bytes(), pool.total_bytes()) == (0, 5632)
    before = cupy.cuda.Device().mem_info[0]
    pool.free_all_blocks()
    assert (pool.total_bytes(), pool.n_free_blocks()) == (0, 0)
    assert REAL or cupy.cuda.Device().mem_info[0] == before + 5632


def test_blocks_are_aligned_and_reused():
    pool = cupy.cuda.MemoryPool()
    with cupy.cuda.using_allocator(pool.malloc):
        x = cupy.ones(100)
        at, dies = x.data.ptr, weakref.ref(x)
        del x
        assert dies() is None
        assert cupy.empty(99).data.ptr == at
    assert at % 256 == 0


@standin_only
def test_freed_memory_holds_nan():
    x = cupy.ones(100)
    stale = memory.array_at(x.data.ptr, (100,), np.float64)
    del x
    assert np.isnan(stale).all()


def test_a_limit_raises_when_freed_blocks_and_garbage_are_not_enough():
    pool = cupy.cuda.MemoryPool()
    pool.set_limit(size=4096)
    with cupy.cuda.using_allocator(pool.malloc):
        kept, gone = cupy.empty(128), cupy.empty(256)
        del gone
        ring = [cupy.empty(384)]  # 3072 bytes: those that were freed are given back for it
        ring.append(ring)
        assert (pool.used_bytes(), pool.total_bytes()) == (4096, 4096)
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match=TOO_MUCH.format("512")):
            cupy.empty(1)
        del ring
        kept = kept, cupy.empty(384)  # the ring is collected for it
        with pytest.raises(cupy.cuda.memory.OutOfMemoryError, match=TOO_MUCH.format("4,608")):
            cupy.empty(576)
    assert issubclass(cupy.cuda.memory.OutOfMemoryError, MemoryError)
    pool.set_limit(fraction=0.5)
    assert pool.get_limit() == cupy.cuda.Device().mem_info[1] // 2
    assert [x.size for x in kept] == [128, 384]


@standin_only
def test_the_card_ends_where_all_pools_together_fill_it(monkeypatch):
    gc.collect()
    monkeypatch.setattr(memory.Card, "total", memory.Card.taken + 8192)
    one, two = cupy.cuda.MemoryPool(), cupy.cuda.MemoryPool()
    kept = one.malloc(6000)
    with pytest.raises(MemoryError):
        two.malloc(3000)
    assert two.malloc(2000).mem.size == 2048
    del kept
    one.free_all_blocks()
    two.malloc(6000)


def test_arrays_are_made_on_memory_of_others():
    pinned = cupy.cuda.alloc_pinned_memory(24)
    host = np.frombuffer(pinned, f4, 6).reshape(2, 3)
    host[...] = np.arange(6).reshape(2, 3)
    mem = cupy.cuda.UnownedMemory(pinned.ptr, 24, pinned, 0)
    x = cupy.ndarray((2, 3), f4, cupy.cuda.MemoryPointer(mem, 0))
    assert x.get().tolist() == host.tolist()
    k("fill")((1,), (1,), (x, f4(9), i4(2)))
    cupy.cuda.Device().synchronize()
    assert host[0].tolist() == [9, 9, 2]
    second = cupy.ndarray((3,), f4, cupy.cuda.MemoryPointer(mem, 12))
    assert second.tolist() == [3, 4, 5]
    assert second.data.ptr == x.data.ptr + 12 and second.data.mem is mem


@standin_only
def test_dlpack_brings_another_librarys_array_without_a_copy():
    theirs = np.arange(6, dtype=f4)

    class Tensor:
        __dlpack__ = theirs.__dlpack__
        __dlpack_device__ = lambda self: (2, 0)

    x = cupy.from_dlpack(Tensor())
    x += 1
    assert theirs.tolist() == [1, 2, 3, 4, 5, 6]
    k("fill")((1,), (1,), (x, f4(9), i4(2)))
    assert theirs[0] == 9


def test_dlpack_brings_no_array_of_the_host():
    with pytest.raises(TypeError, match="CPU arrays cannot be directly imported"):
        cupy.from_dlpack(np.ones(3, f4))


def test_numbers_fill_and_arrays_of_the_host_are_refused():
    x, y = cupy.zeros((2, 3), f4), cupy.arange(3, dtype=f4)
    x[0] = 2
    x[1] = np.asarray(3.0)  # 0-d
    x[:, 2] += y[:2]
    x[0, 0] = y[2]
    assert x.tolist() == [[2, 2, 2], [3, 3, 4]]
    for value in (np.ones(3, f4), [1.0, 2.0, 3.0]):
        with pytest.raises(ValueError, match="non-scalar numpy.ndarray cannot be used for fill"):
            x[0] = value
    x[:, cupy.asarray([0, 1])] = np.asarray([5.0, 6.0])  # by an array as an index it is copied
    assert x.tolist() == [[5, 6, 2], [5, 6, 4]]
    with recording() as record:
        cupy.asarray(1.0)
        x[...] = 1.0
        x[1:] += 1.0
    assert (record.launches, record.to_device) == (["fill", "fill", "add"], [])


def test_dlpack_of_an_array_is_the_same_memory():
    x = cupy.ones(3)
    assert cupy.from_dlpack(x).data.ptr == x.data.ptr


def test_pointers_copy_to_and_from_the_host():
    x, host = cupy.zeros(4, f4), np.arange(4, dtype=f4)
    x.data.copy_from_host_async(ctypes.c_void_p(host.ctypes.data), 16)
    x.data.memset_async(0, 8)
    out = np.empty(4, f4)
    x.data.copy_to_host(out.ctypes.data, 16)
    x.set(host)
    assert (out.tolist(), x.tolist()) == ([0, 0, 2, 3], [0, 1, 2, 3])
    with pytest.raises(ValueError, match="Shape mismatch"):
        x.set(host[:2])
    with pytest.raises(TypeError, match="cannot be set"):
        x.set(host.astype(np.float64))
    with recording() as record:
        x.set(host)
        x.data.copy_from_host_async(host.ctypes.data, 8)
        x.data.copy_to_host(out.ctypes.data, 16)
    assert (record.to_device, record.to_host, record.syncs) == ([16, 8], [16], ["copy_to_host"])
