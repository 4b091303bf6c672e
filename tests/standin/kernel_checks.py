"""Kernels as the stand-in runs them. test_standins.py runs this file.

What is CUDA's or CuPy's own rule, and not the stand-in's alone, can be checked on a card, too.
"""

import numpy as np
import pytest
from card import backwards, cupy, recording, standin_only

f4, i4, i8, u4 = np.float32, np.int32, np.int64, np.uint32
CODE = r"""
#include <cuda_bf16.h>

struct Pair { float first; int second; };

extern "C" __global__ void axpy(const float *x, float *y, float a, int n) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) y[i] = a * x[i] + y[i];
}

// Any number of threads a block; one value a block, the last block adds them in order.
extern "C" __global__ void total(const float *x, float *parts, float *out, unsigned *counter,
                                 int n) {
    __shared__ float sums[32];
    __shared__ bool last;
    float v = 0;
    int first = blockIdx.x * blockDim.x + threadIdx.x;
    for (int i = first; i < n; i += gridDim.x * blockDim.x) v += x[i];
    for (int bits = 16; bits; bits >>= 1) v += __shfl_xor_sync(0xFFFFFFFFu, v, bits);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = v;
    __syncthreads();
    if (threadIdx.x < 32) {  // one warp alone
        v = threadIdx.x < blockDim.x / 32 ? sums[threadIdx.x] : 0.0f;
        for (int d = 16; d; d >>= 1) v += __shfl_down_sync(0xFFFFFFFFu, v, d);
    }
    if (threadIdx.x == 0) {
        parts[blockIdx.x] = v;
        __threadfence();
        last = atomicAdd(counter, 1u) == gridDim.x - 1;
    }
    __syncthreads();
    if (!last || threadIdx.x) return;
    for (int b = 0; b < gridDim.x; ++b) out[0] = (b ? out[0] : 0.0f) + parts[b];
    *counter = 0;
}

extern "C" __global__ void lanes(int *out) {
    int i = threadIdx.x;
    out[i] = __shfl_sync(0xFFFFFFFFu, i, i + 1);
    out[64 + i] = __shfl_xor_sync(0xFFFFFFFFu, i, 5, 8);
    out[128 + i] = __shfl_up_sync(0xFFFFFFFFu, i, 3);
    out[192 + i] = (int)__ballot_sync(0xFFFFFFFFu, i % 3 == 0);
    out[256 + i] = i % 32 < 16 ? __shfl_xor_sync(0x0000FFFFu, i, 1)
                               : __shfl_xor_sync(0xFFFF0000u, i, 2);
}

extern "C" __global__ void shapes(int *out) {
    int block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
    int thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
    out[block * blockDim.x * blockDim.y * blockDim.z + thread] = block * 1000 + thread;
}

extern "C" __global__ void reverse(float *x) {
    extern __shared__ float dynamic[];
    dynamic[threadIdx.x] = x[threadIdx.x];
    __syncthreads();
    x[threadIdx.x] = dynamic[blockDim.x - 1 - threadIdx.x];
}

extern "C" __global__ void beyond(float *x) {
    extern __shared__ float dynamic[];
    dynamic[blockDim.x] = x[0];
}

extern "C" __global__ void unset(float *out, int write) {
    __shared__ float v;
    if (write) v = 1.0f;
    else out[0] = v;
}

extern "C" __global__ void shortened(const float *x, __nv_bfloat16 *b, float *back, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        b[i] = __float2bfloat16(x[i]);
        back[i] = __bfloat162float(b[i]);
    }
}

extern "C" __global__ void atomics(int *i, unsigned *u, float *f) {
    atomicAdd(i, -1);
    atomicMax(i + 1, (int)threadIdx.x);
    atomicOr(i + 2, 1 << threadIdx.x % 8);
    atomicAdd(u, 2u);
    atomicExch(u + 1, threadIdx.x);
    atomicAdd(f, 0.5f);
}

extern "C" __global__ void maths(const double *x, double *out) {
    float f = (float)x[0];
    out[0] = exp(x[0]), out[1] = exp(f), out[2] = tanh(f), out[3] = erf(f), out[4] = rsqrtf(f);
    out[5] = fmaxf(f, __int_as_float(0x7FC00000)), out[6] = max(3, 2), out[7] = min(1.5f, 2.0f);
    out[8] = isfinite(f), out[9] = isfinite(f * 3e38f * 3e38f), out[10] = sqrt(f);
    out[11] = __int_as_float(0x3F800000);
}

extern "C" __global__ void hang(int how) {
    if (how == 0) if (threadIdx.x < 3) __syncthreads(); else __syncwarp();
    if (how == 1) if (threadIdx.x < 3) return; else __syncthreads();
    if (how == 2) if (threadIdx.x == 0) __syncwarp(3u); else __syncthreads();
}

extern "C" __global__ void pairs(const Pair *p, const void *any, float *out) { out[0] = p->first; }
extern "C" __global__ void values(long long a, unsigned b, double c, bool d, double *out) {
    out[0] = a, out[1] = b, out[2] = c, out[3] = d;
}
extern "C" __global__ void come(unsigned *counter, int *order) {
    order[atomicAdd(counter, 1u)] = blockIdx.x * blockDim.x + threadIdx.x;
}
extern "C" __global__ void fill(float *x, float v, int n) {
    for (int i = threadIdx.x; i < n; i += blockDim.x) x[i] = v;
}
extern "C" __global__ void later(float *x) { x[0] = FACTOR * x[0]; }
"""
MODULE = cupy.RawModule(code=CODE, options=("-std=c++17", "-DFACTOR=3.0f", "--fmad=false"))
k = MODULE.get_function
RNG = np.random.default_rng(0)


def on_card(a, dtype=None):
    return cupy.asarray(np.asarray(a, dtype))


def test_a_kernel_computes_with_its_arguments_and_is_one_launch():
    x, y = on_card(RNG.integers(-9, 9, 300), f4), on_card(np.ones(300), f4)
    k("axpy")((2,), (256,), (x, y, f4(2), i4(300)))
    np.testing.assert_array_equal(y.get(), f4(2) * x.get() + f4(1))
    with recording() as record:
        k("axpy")((2,), (256,), (x, y, f4(2), i4(300)))
    assert (record.launches, record.syncs, record.to_device) == (["axpy"], [], [])


def test_options_define_words():
    x = on_card([2], f4)
    k("later")((1,), (1,), (x,))
    assert x.tolist() == [6]
    with pytest.raises(cupy.cuda.compiler.CompileException):
        cupy.RawModule(code=CODE, options=("-O9",)).get_function("later")
    with pytest.raises(cupy.cuda.compiler.CompileException, match="FACTOR"):
        cupy.RawModule(code=CODE, options=()).get_function("later")


@pytest.mark.parametrize("threads", [32, 64, 256, 1024])
@pytest.mark.parametrize("blocks", [1, 7])
def test_blocks_reduce_and_the_last_one_adds_in_either_order(blocks, threads):
    x = on_card(RNG.integers(-9, 9, size=3000), f4)
    counter, parts, out = cupy.zeros(1, u4), cupy.empty(blocks, f4), cupy.empty(1, f4)
    for _ in range(2):  # the counter is back at 0
        k("total")((blocks,), (threads,), (x, parts, out, counter, i4(3000)))
        assert float(out[0]) == x.get().sum()
        out.fill(np.nan)
    with backwards():
        k("total")((blocks,), (threads,), (x, parts, out, counter, i4(3000)))
    assert float(out[0]) == x.get().sum()


@standin_only
def test_blocks_and_threads_come_in_the_opposite_order_backwards():
    counter, order = cupy.zeros(1, u4), cupy.empty(12, i4)
    k("come")((3,), (4,), (counter, order))
    assert order.tolist() == [*range(12)]
    counter.fill(0)
    with backwards():
        k("come")((3,), (4,), (counter, order))
    assert order.tolist() == [*range(11, -1, -1)]


def test_lanes_read_what_cuda_says():
    out = cupy.empty(320, i4)
    k("lanes")((1,), (64,), (out,))
    i = np.arange(64)
    warp, lane = i // 32 * 32, i % 32
    shfl, xor, up, ballot, halves = out.get().reshape(5, 64)
    np.testing.assert_array_equal(shfl, warp + (lane + 1) % 32)
    np.testing.assert_array_equal(xor, i ^ 5)  # within groups of 8
    np.testing.assert_array_equal(up, np.where(lane >= 3, i - 3, i))
    bits = [int(sum(1 << j for j in range(32) if (w + j) % 3 == 0)) for w in (0, 32)]
    np.testing.assert_array_equal(ballot.view(u4), np.repeat(np.asarray(bits, u4), 32))
    np.testing.assert_array_equal(halves, np.where(lane < 16, i ^ 1, i ^ 2))


def test_grids_and_blocks_have_three_dimensions():
    out = cupy.empty(24 * 30, i4)
    k("shapes")((2, 3, 4), (5, 3, 2), (out,))
    want = np.arange(24)[:, None] * 1000 + np.arange(30)
    np.testing.assert_array_equal(out.get().reshape(24, 30), want)


def test_dynamic_shared_memory_is_as_large_as_asked_for():
    x = on_card(np.arange(64), f4)
    k("reverse")((1,), (64,), (x,), shared_mem=256)
    np.testing.assert_array_equal(x.get(), np.arange(64)[::-1])
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="CUDA_ERROR_INVALID_VALUE"):
        k("reverse")((1,), (64,), (x,), shared_mem=60000)
    more = k("reverse")
    more.max_dynamic_shared_size_bytes = 60000
    more((1,), (64,), (x,), shared_mem=60000)


@standin_only
def test_a_write_past_the_end_of_shared_memory_is_told_of():
    with pytest.raises(RuntimeError, match="past the end of its dynamic shared memory"):
        k("beyond")((1,), (64,), (cupy.ones(1, f4),), shared_mem=256)


@standin_only
def test_shared_memory_and_new_arrays_hold_no_likely_number():
    out = cupy.zeros(1, f4)
    k("unset")((1,), (1,), (out, i4(1)))
    k("unset")((1,), (1,), (out, i4(0)))
    assert np.isnan(out.get()).all()
    assert np.isnan(cupy.empty((3, 4)).get()).all()
    assert np.isnan(cupy.empty_like(cupy.ones(5, np.float16)).get()).all()
    assert set(cupy.empty(9, i4).tolist()) == {0x5A5A5A5A}


SPECIAL = [
    0.0, -0.0, np.inf, -np.inf, np.nan, 65504.0, 65519.99, 65520.0, 6e-8, 2.9e-8, 2.99e-8, 6.1e-5,
    6.0975e-5, 3.4e38, 1e-40, 1.0 + 2**-8, 1.0 + 3 * 2**-8, 1.0 + 2**-11,
]  # fmt: skip


def bfloat16(x):
    """Bits of float32 numbers rounded to bfloat16, by NumPy's integers."""
    bits = np.asarray(x, f4).view(u4).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    return np.where(np.isnan(x), 0x7FFF, rounded).astype(np.uint16)


def test_bfloat16_is_rounded_to_the_nearest_ties_to_even():
    x = np.concatenate([np.asarray(SPECIAL, f4), RNG.normal(size=5000).astype(f4)])
    x = np.concatenate([x, (x * f4(1e-5)), -x, RNG.integers(0, 2**32, 5000, u4).view(f4)])
    n = len(x)
    b, back = cupy.empty(n, np.uint16), cupy.empty(n, f4)
    k("shortened")((1,), (256,), (on_card(x), b, back, i4(n)))
    np.testing.assert_array_equal(b.get(), bfloat16(x))
    np.testing.assert_array_equal(back.get(), (b.get().astype(u4) << 16).view(f4))


def test_atomics_see_every_thread():
    i, u, f = cupy.zeros(3, i4), cupy.zeros(2, u4), cupy.zeros(1, f4)
    k("atomics")((2,), (40,), (i, u, f))
    assert (i.tolist(), int(u[0]), f.tolist()) == ([-80, 39, 255], 160, [40.0])
    assert int(u[1]) < 40


def test_functions_are_overloaded_for_float():
    x, out = 0.7, cupy.empty(12)
    k("maths")((1,), (1,), (on_card([x]), out))
    f = f4(x)
    want = [np.exp(x), np.exp(f), np.tanh(f), 0.6778012, 1 / np.sqrt(f), f, 3, 1.5, 1, 0,
            np.sqrt(f), 1]  # fmt: skip
    np.testing.assert_allclose(out.get(), want, rtol=5e-7)
    assert out.get()[1] == f4(out.get()[1])


@standin_only
@pytest.mark.parametrize(("how", "match"), [(0, "hangs: of 8 threads, 3 wait"), (2, "hangs")])
def test_threads_that_wait_at_different_barriers_are_told_of(how, match):
    with pytest.raises(RuntimeError, match=match):
        k("hang")((1,), (8,), (i4(how),))
    k("hang")((1,), (8,), (i4(1),))  # who has returned is not waited for
    test_atomics_see_every_thread()  # and the next launch works


@standin_only
@pytest.mark.parametrize(
    ("name", "args", "match"),
    [
        ("fill", ("x", f4(1)), "fill takes 3 arguments, got 2"),
        ("fill", ("x", 1.0, i4(1)), "fill: argument 1 is of type float"),
        ("fill", ("x", f4(1), 1), "fill: argument 2 is of type int"),
        ("fill", ("x", np.float64(1), i4(1)), "argument 1 is float64, the kernel takes f4"),
        ("fill", ("x", f4(1), i8(1)), "argument 2 is int64, the kernel takes i4"),
        ("fill", (f4(1), f4(1), i4(1)), r"argument 0 is float32, the kernel takes \*f4"),
        ("fill", ("x", "x", i4(1)), "argument 1 is an array, the kernel takes a number"),
        ("fill", ("double", f4(1), i4(1)), "argument 0 is an array of float64"),
        ("fill", (np.ones(3, f4), f4(1), i4(1)), "argument 0 is of type ndarray"),
        ("shortened", ("x", "x", "x", i4(1)), "argument 1 is an array of float32"),
        ("fill", (None, f4(1), i4(1)), "argument 0 is of type NoneType"),
    ],
)
def test_arguments_that_cuda_would_misread_are_refused(name, args, match):
    arrays = {"x": cupy.ones(3, f4), "double": cupy.ones(3)}
    args = tuple(arrays[a] if isinstance(a, str) else a for a in args)
    with pytest.raises(TypeError, match=match):
        k(name)((1,), (1,), args)


def test_all_kinds_of_numbers_and_pointers_pass():
    out = cupy.empty(4)
    k("values")((1,), (1,), (i8(-(2**40)), u4(2**31), np.float64(0.1), np.bool_(True), out))
    assert out.tolist() == [-(2**40), 2**31, 0.1, 1.0]
    pair, got = on_card(np.asarray([1.5], f4)), cupy.empty(1, f4)
    raw = on_card(np.frombuffer(pair.get().tobytes() + bytes(4), np.uint8))
    k("pairs")((1,), (1,), (raw, np.uintp(0), got))
    k("pairs")((1,), (1,), (np.uintp(raw.data.ptr), np.uintp(0), got))
    assert got.tolist() == [1.5]


@pytest.mark.parametrize(
    ("grid", "block"), [((1,), (1025,)), ((1, 65536), (1,)), ((1,), (8, 8, 65))]
)
def test_grids_that_no_card_has_are_refused(grid, block):
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="CUDA_ERROR_INVALID_VALUE"):
        k("fill")(grid, block, (cupy.ones(1, f4), f4(1), i4(1)))


def test_a_grid_or_a_block_of_nothing_is_one_of_one():
    out = cupy.zeros(2, i4)
    k("shapes")((0,), (0, 0), (out,))
    k("shapes")((0,), (2,), (out,))
    assert out.tolist() == [0, 1]


@standin_only
def test_a_write_past_the_end_of_an_array_is_told_of():
    with pytest.raises(RuntimeError, match="fill wrote past the end of 12 bytes"):
        k("fill")((1,), (1,), (cupy.ones(3, f4), f4(1), i4(4)))


@standin_only
def test_addresses_that_are_no_memory_of_the_card_are_refused():
    host, x = np.ones(3, f4), cupy.ones(3, f4)
    gone = np.uintp(x.data.ptr)
    del x
    for address, match in ((np.uintp(host.ctypes.data), "not in the card's"), (gone, "freed")):
        with pytest.raises(RuntimeError, match=f"cudaErrorIllegalAddress: .*{match}"):
            k("fill")((1,), (1,), (address, f4(1), i4(3)))


def test_a_kernel_that_is_not_there_is_not_found():
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="CUDA_ERROR_NOT_FOUND"):
        MODULE.get_function("nothing")
