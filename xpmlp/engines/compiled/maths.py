"""Elementary functions of one number, in float32 and float64, that LLVM turns into vector code.

A call of the C library's exp takes 5 ns and stops vectorisation; these polynomials take 0.6.
"""

import math
from hashlib import sha256
from pathlib import Path

import numpy as np
from llvmlite import ir
from numba import float32, float64, int32, int64, njit, types
from numba.core.imputils import impl_ret_borrowed
from numba.extending import intrinsic, overload, register_jitable
from numba.np.arrayobj import populate_array

# No exception on a division by zero, and products may be contracted into additions.
CALLED: dict = {
    "error_model": "numpy", "fastmath": {"contract"}, "cache": True, "nogil": True,
}  # fmt: skip
# A call that passes arrays costs 50 ns, and a step of a tiny network makes thirty.
OPTIONS = CALLED | {"forceinline": True}
_SOURCES = sorted(Path(__file__).parent.glob("*.py"))
_DIGEST = sha256(b"".join(path.read_bytes() for path in _SOURCES)).hexdigest()[:12]


def jit(options):
    """Return a decorator that compiles a function."""

    def decorate(f):
        # numba keeps code in files by this name, and would notice changes of f's own file only.
        f.__qualname__ += f"_{_DIGEST}"
        return njit(**options)(f)

    return decorate


f4, f8, i4, i8 = np.float32, np.float64, np.int32, np.int64


def like(x, c):
    """Return the constant c in the type of x."""


@overload(like, inline="always")
def _like(x, c):
    return (lambda x, c: f4(c)) if x == float32 else (lambda x, c: f8(c))


@intrinsic
def _bits(context, x):
    wide = x == float64
    cast = lambda ctx, builder, signature, args: builder.bitcast(
        args[0], ir.IntType(64 if wide else 32)
    )
    return (int64 if wide else int32)(x), cast


@intrinsic
def _unbits(context, i):
    wide = i == int64
    cast = lambda ctx, builder, signature, args: builder.bitcast(
        args[0], ir.DoubleType() if wide else ir.FloatType()
    )
    return (float64 if wide else float32)(i), cast


@register_jitable
def _exp32(x):
    # exp(x) = 2^n exp(r), |r| <= log(2) / 2: Cephes' polynomial. Adding 1.5 * 2^23 rounds to n and
    # leaves it in the low bits, so that 2^n is a shift.
    y = f4(88.72) if x > f4(88.72) else x
    y = f4(-86.64) if y < f4(-86.64) else y
    t = y * f4(1.4426950408889634) + f4(12582912.0)
    n = t - f4(12582912.0)
    r = (y - n * f4(0.693359375)) - n * f4(-2.12194440e-4)
    p = f4(1.9875691500e-4)
    p = p * r + f4(1.3981999507e-3)
    p = p * r + f4(8.3334519073e-3)
    p = p * r + f4(4.1665795894e-2)
    p = p * r + f4(1.6666665459e-1)
    p = p * r + f4(5.0000001201e-1)
    p = p * (r * r) + r + f4(1.0)
    # Halved, so that n = 128 does not overflow before p, which is less than 1 then, is there.
    p = p * _unbits(i4((_bits(t) + i4(126)) << i4(23))) * f4(2.0)
    p = f4(np.inf) if x > f4(88.72) else p
    return f4(0.0) if x < f4(-86.64) else p


@register_jitable
def _exp64(x):
    y = 709.78 if x > 709.78 else x
    y = -707.7 if y < -707.7 else y
    t = y * 1.4426950408889634 + 6755399441055744.0
    n = t - 6755399441055744.0
    r = (y - n * 6.93145751953125e-1) - n * 1.42860682030941723212e-6
    p = 1.0 / 6227020800.0  # Taylor's series up to r^13 / 13!
    for k in (479001600.0, 39916800.0, 3628800.0, 362880.0, 40320.0, 5040.0, 720.0, 120.0, 24.0):
        p = p * r + 1.0 / k
    p = (p * r + 1.0 / 6.0) * r + 0.5
    p = p * (r * r) + r + 1.0
    p = p * _unbits(i8((_bits(t) + i8(1022)) << i8(52))) * 2.0
    p = np.inf if x > 709.78 else p
    return 0.0 if x < -707.7 else p


@intrinsic
def bare(context, array):
    """Return an array without its reference count, whose upkeep would cost a slice 10 ns."""

    def generate(ctx, builder, signature, args):
        made = ctx.make_array(array)(ctx, builder, args[0])
        for field in ("meminfo", "parent"):
            empty = ir.Constant(getattr(made, field).type, None)
            setattr(made, field, empty)
        return impl_ret_borrowed(ctx, builder, array, made._getvalue())

    return array(array), generate


@intrinsic
def view(context, address, n, kind):
    """Return the n numbers at an address as an array of the kind of another."""

    def generate(ctx, builder, signature, args):
        made = ctx.make_array(kind)(ctx, builder)
        size = ctx.get_constant(types.intp, 8 if kind.dtype == float64 else 4)
        data = builder.inttoptr(args[0], made.data.type)
        populate_array(made, data, [args[1]], [size], size, None)
        return made._getvalue()

    return kind(types.intp, types.intp, kind), generate


def exp(x):
    """Return exp(x), within 1 ulp; 0 below twice the smallest normal number."""


@overload(exp)
def _exp(x):
    return _exp32 if x == float32 else _exp64


@register_jitable
def sigmoid(x):
    """Return 1 / (1 + exp(-x)), exact in both tails."""
    one = like(x, 1.0)
    e = exp(-abs(x))
    return (e if x < 0 else one) / (one + e)


@register_jitable
def tanh(x):
    """Return tanh(x): Taylor's series in the middle, where 1 - 2 / (exp(2x) + 1) cancels."""
    one, y = like(x, 1.0), abs(x)
    e = exp(y + y)
    far = one - like(x, 2.0) / (e + one)
    far = -far if x < 0 else far
    s = x * x
    # Cephes' rational function, right to the last digits of a float64 for |x| < 0.625.
    p = (like(x, -9.64399179425052238628e-1) * s + like(x, -9.92877231001918586564e1)) * s
    p = p + like(x, -1.61468768441708447952e3)
    q = ((s + like(x, 1.12811678491632931402e2)) * s + like(x, 2.23548839060100448583e3)) * s
    q = q + like(x, 4.84406305325125486048e3)
    return x + x * s * (p / q) if y < like(x, 0.625) else far


@register_jitable
def softplus(x):
    """Return log(1 + exp(x)) without overflow."""
    return (like(x, 0.0) if x <= 0 else x) + math.log1p(exp(-abs(x)))
