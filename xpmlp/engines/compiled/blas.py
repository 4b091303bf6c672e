"""Matrix products inside compiled code: a BLAS called at its address, small ones in plain loops.

The address is an argument, so that compiled code can be cached on disk. Integers are handed over as
64 bits: where the BLAS wants 32, it reads the lower half.
"""

import ctypes
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from llvmlite import ir
from numba import float64, intp, types
from numba.extending import get_cython_function_address, intrinsic
from threadpoolctl import ThreadpoolController

from .maths import OPTIONS, jit, like

DTYPES = "float32", "float64"
SMALL = 400  # multiplications: below, plain loops are faster than the call


class Blas(NamedTuple):
    """A BLAS library that compiled code can call."""

    name: str
    gemm: dict[str, int]  # dtype -> address of Fortran's sgemm or dgemm
    set_threads: Callable  # sets how many threads this one may use, returns how many it might


@cache
def find_blas() -> Blas:
    """Return the fastest BLAS here: MKL's wheel (the extra `mkl`), NumPy's OpenBLAS, or SciPy's."""
    for path in sorted(Path(sys.prefix).glob("lib*/libmkl_rt.*")):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:  # for another processor, or without its parts
            continue
        addresses = _addresses(library, "sgemm_", "dgemm_")
        return Blas("MKL", addresses, library.MKL_Set_Num_Threads_Local)
    for found in ThreadpoolController().lib_controllers:
        library = ctypes.CDLL(found.filepath)
        if hasattr(library, "scipy_sgemm_64_"):
            addresses = _addresses(library, "scipy_sgemm_64_", "scipy_dgemm_64_")
            return Blas(f"OpenBLAS {found.version}", addresses, lambda n: n)
    module = "scipy.linalg.cython_blas"
    addresses = {
        d: get_cython_function_address(module, f) for d, f in zip(DTYPES, ("sgemm", "dgemm"))
    }
    return Blas("SciPy's BLAS", addresses, lambda n: n)


def _addresses(library, *names):
    found = (ctypes.cast(getattr(library, name), ctypes.c_void_p).value for name in names)
    return dict(zip(DTYPES, found))


@intrinsic
def _gemm(context, address, ta, tb, m, n, k, a, lda, b, ldb, c, ldc):
    """C = op(A) op(B), columns first (Fortran); a, b, c are one-dimensional arrays."""
    real = a.dtype
    signature = types.void(address, *[intp] * 5, a, intp, b, intp, c, intp)

    def generate(ctx, builder, signature, args):
        address, ta, tb, m, n, k, a, lda, b, ldb, c, ldc = args
        number = ir.DoubleType() if real == float64 else ir.FloatType()
        byte = ir.IntType(8).as_pointer()

        def at(value):
            place = builder.alloca(value.type)
            builder.store(value, place)
            return builder.bitcast(place, byte)

        def data(i, value):
            array = ctx.make_array(signature.args[i])(ctx, builder, value)
            return builder.bitcast(array.data, byte)

        one, zero = (at(ir.Constant(number, v)) for v in (1.0, 0.0))
        call = [
            *map(at, (ta, tb, m, n, k)), one, data(6, a), at(lda), data(8, b), at(ldb), zero,
            data(10, c), at(ldc),
        ]  # fmt: skip
        kind = ir.FunctionType(ir.VoidType(), [byte] * len(call))
        builder.call(builder.inttoptr(address, kind.as_pointer()), call)
        return ctx.get_dummy_value()

    return signature, generate


N, T = ord("N"), ord("T")


@jit(OPTIONS)
def product(address, x, W, out, rows, inner, columns):
    """out = x @ W. x: (rows, inner), W: (inner, columns), all flat."""
    if rows * inner * columns > SMALL:
        _gemm(address, N, N, columns, rows, inner, W, columns, x, inner, out, columns)
        return
    for i in range(rows):
        for j in range(columns):
            total = like(x[0], 0.0)
            for k in range(inner):
                total += x[i * inner + k] * W[k * columns + j]
            out[i * columns + j] = total


@jit(OPTIONS)
def product_backward(address, d, W, out, rows, inner, columns):
    """out = d @ W.T. d: (rows, columns), W: (inner, columns), all flat."""
    if rows * inner * columns > SMALL:
        _gemm(address, T, N, inner, rows, columns, W, columns, d, columns, out, inner)
        return
    for i in range(rows):
        for k in range(inner):
            total = like(d[0], 0.0)
            for j in range(columns):
                total += d[i * columns + j] * W[k * columns + j]
            out[i * inner + k] = total


@jit(OPTIONS)
def product_weights(address, x, d, out, rows, inner, columns, wide):
    """out = x[:, :wide].T @ d. x: (rows, inner), d: (rows, columns), out: (wide, columns), flat."""
    if rows * wide * columns > SMALL:
        _gemm(address, N, T, columns, wide, rows, d, columns, x, inner, out, columns)
        return
    for k in range(wide):
        for j in range(columns):
            total = like(x[0], 0.0)
            for i in range(rows):
                total += x[i * inner + k] * d[i * columns + j]
            out[k * columns + j] = total


@jit(OPTIONS)
def product_offsets(address, ones, d, out, rows, columns, start, stop):
    """out = the sums over the rows of d[:, start:stop]. d: (rows, columns), flat; ones: (rows,)."""
    if rows * (stop - start) > SMALL:
        wide = stop - start
        _gemm(address, N, N, wide, 1, rows, d[start:], columns, ones, rows, out, wide)
        return
    for j in range(start, stop):
        total = like(d[0], 0.0)
        for i in range(rows):
            total += d[i * columns + j]
        out[j - start] = total
