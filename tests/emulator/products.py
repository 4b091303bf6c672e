"""What cuBLASLt computes, on columns at addresses: op(A) op(B), an epilogue, and rounding.

Sums are taken in float64, so algorithms differ in nothing.
"""

import numpy as np

from .memory import array_at

F32, F64, F16, BF16 = 0, 1, 2, 14  # of cudaDataType
STORED = {F16: np.float16, BF16: np.uint16, F32: np.float32, F64: np.float64}
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


def _shortened(x, bits):
    """Return float32 numbers rounded to so many bits of the mantissa, ties to even."""
    raw, drop = np.ascontiguousarray(x, np.float32).view(np.uint32), 23 - bits
    even = raw + np.uint32((1 << drop - 1) - 1) + (raw >> np.uint32(drop) & np.uint32(1))
    short = (even >> np.uint32(drop) << np.uint32(drop)).view(np.float32)
    return np.where(np.isfinite(x), short, x)


def _write(to, x):
    """Store numbers in the type of the matrix."""
    with np.errstate(over="ignore", invalid="ignore"):
        if to.dtype == np.uint16:
            to[...] = _shortened(x.astype(np.float32), 7).view(np.uint32) >> 16
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
    short = {74: 10, 75: 7, 77: 10}.get(op["COMPUTE_TYPE"])
    with np.errstate(all="ignore"):
        x, y = (_shortened(m, short).astype(np.float64) for m in (A, B)) if short else (A, B)
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
