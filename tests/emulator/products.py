"""What cuBLASLt computes, on columns at addresses: op(A) op(B), an epilogue, and rounding.

Sums are taken in float64, so algorithms differ in nothing.
"""

from types import SimpleNamespace

import numpy as np

from .lt_numbers import COMPUTE_TYPES, DATA_TYPES
from .memory import array_at

STORED = {
    DATA_TYPES["bfloat16"]: np.uint16,
    DATA_TYPES["float32"]: np.float32,
    DATA_TYPES["float64"]: np.float64,
}
# TF32 is a permission: a library cuts operands to 10 bits, or computes in float32 all the same.
tf32 = SimpleNamespace(cuts=True)
# The bits of which cuBLASLt's epilogues are made.
RELU, BIAS, DRELU, BGRAD, GELU, DGELU, AUX, BGRADA, BGRADB = 2, 4, 8, 16, 32, 64, 128, 256, 512


def _columns(pointer, layout, i):
    """Return the i-th matrix of a batch, as it is stored."""
    dtype = np.dtype(STORED[layout["TYPE"]])
    pointer += i * int(layout["STRIDED_BATCH_OFFSET"]) * dtype.itemsize
    strides = dtype.itemsize, int(layout["LD"]) * dtype.itemsize
    return array_at(pointer, (int(layout["ROWS"]), int(layout["COLS"])), dtype, strides)


def _read(stored):
    """Return numbers as float64; 16 bits without a type are bfloat16."""
    if stored.dtype == np.uint16:
        stored = (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float64)


def _cut(x):
    """Return numbers of float32 with 10 bits of their mantissas, as TF32's units read them."""
    raw = np.ascontiguousarray(x, np.float32).view(np.uint32)
    short = (raw >> np.uint32(13) << np.uint32(13)).view(np.float32)
    return np.where(np.isfinite(x), short, x).astype(np.float64)


def _bfloat16(x):
    """Return the bits of float32 numbers as bfloat16, rounded to the nearest, ties to even."""
    raw = np.ascontiguousarray(x).view(np.uint32)
    even = raw + np.uint32(0x7FFF) + (raw >> np.uint32(16) & np.uint32(1))
    return np.where(np.isfinite(x), even, raw) >> np.uint32(16)


def _write(to, x):
    """Store numbers in the type of the matrix."""
    with np.errstate(over="ignore", invalid="ignore"):
        if to.dtype == np.uint16:
            to[...] = _bfloat16(x.astype(np.float32))
        else:
            to[...] = x


def multiply(p, i, alpha, beta, a, b, c, d):
    """Make the i-th product of a batch."""
    op, bits = p.operation, p.epilogue
    size = np.dtype(STORED[p.d["TYPE"]]).itemsize
    to, bias, aux = _columns(d, p.d, i), None, None
    if bits & (BIAS | BGRAD | BGRADA | BGRADB):
        at = int(op["BIAS_POINTER"]) + i * int(op["BIAS_BATCH_STRIDE"]) * size
        bias = array_at(at, (p.n if bits & BGRADB else p.m,), to.dtype)
    if bits & AUX:
        step = i * int(op["EPILOGUE_AUX_BATCH_STRIDE"])
        aux = _auxiliary(p, int(op["EPILOGUE_AUX_POINTER"]), step, to.dtype)
    old = beta * _read(_columns(c, p.c, i)) if beta else 0.0
    for written in (to, bias if not bits & BIAS else None, aux if bits & (RELU | GELU) else None):
        if written is not None:
            written.view(f"u{written.itemsize}")[...] = ~np.array(0, f"u{written.itemsize}")
    A, B = (_read(_columns(x, layout, i)) for x, layout in ((a, p.a), (b, p.b)))
    A, B = A.T if op["TRANSA"] else A, B.T if op["TRANSB"] else B
    short = op["COMPUTE_TYPE"] == COMPUTE_TYPES["tf32"] and tf32.cuts
    with np.errstate(all="ignore"):
        x, y = (_cut(A), _cut(B)) if short else (A, B)
        z = alpha * (x @ y) + old
        _finish(bits, z, A, B, to, bias, aux)


def _auxiliary(p, pointer, step, dtype):
    """Return the auxiliary matrix: bytes of bits for ReLU, else pre-activations."""
    ld = int(p.operation["EPILOGUE_AUX_LD"])
    if p.epilogue & (RELU | DRELU):
        return array_at(pointer + step // 8, (ld // 8, p.n), np.uint8, (1, ld // 8))
    size = dtype.itemsize
    return array_at(pointer + step * size, (p.m, p.n), dtype, (size, ld * size))


def _finish(bits, z, A, B, to, bias, aux):
    """Apply the epilogue and store."""
    m = len(z)
    if bits & BIAS:
        z = z + _read(bias)[:, None]
    if bits & AUX and bits & RELU:
        aux[: -(-m // 8)] = np.packbits(z > 0, axis=0, bitorder="little")
    if bits & AUX and bits & GELU:
        _write(aux, z)
    if bits & RELU:
        z = np.where(z > 0, z, 0.0)  # NaN becomes 0, as on a card
    if bits & GELU:
        z = 0.5 * z * (1 + np.tanh(_inner(z)))
    if bits & DRELU:
        z = np.where(np.unpackbits(aux, axis=0, bitorder="little")[:m], z, 0.0)
    if bits & DGELU:
        x = _read(aux)
        t = np.tanh(_inner(x))
        inner = np.sqrt(2 / np.pi) * (1 + 3 * 0.044715 * x**2)
        z = z * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * inner)
    if bits & BGRAD:
        _write(bias, z.sum(axis=1))
    if bits & (BGRADA | BGRADB):
        _write(bias, A.sum(axis=1) if bits & BGRADA else B.sum(axis=0))
    _write(to, z)


def _inner(x):
    return np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
