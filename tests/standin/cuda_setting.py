"""What the checks of single kernels share: launches by name, numbers as they are stored.

Each file of checks runs in a process of its own (test_cuda_engine.py): the stand-ins must be
there before anything asks for CuPy. `ci/gpu` runs them on a card.
"""

import zlib

import numpy as np
from card import backwards, cupy

from xpmlp.engines.cupy import kernels
from xpmlp.randomness import fold_in, random_bits, step_keys

# Of parameters and of activations: each pair of types that the engine compiles kernels for.
KINDS = {
    "float64": ("float64", "float64"),
    "float32": ("float32", "float32"),
    "bfloat16": ("float32", "bfloat16"),
}
# The spacing of numbers at 1.
EPS = {"float64": 2.0**-52, "float32": 2.0**-23, "bfloat16": 2.0**-7}
PLACE = (2,)  # of a dropout layer in its network


def seeded(*what):
    """Return a generator for a case."""
    return np.random.default_rng(zlib.crc32(repr(what).encode()))


def launch(name, grid, kind, /, **args):
    """Launch a kernel of kernels.cu, its arguments by the names of its parameters."""
    declared = dict(kernels.DECLARED.findall(kernels.source()))[name]
    names = [part.split()[-1].lstrip("*") for part in declared.split(",")]
    assert sorted(names) == sorted(args), set(names) ^ set(args)
    kernels.launcher(*KINDS[kind])(name, grid, *(args[n] for n in names))()


def bits_of(a):
    """Return the bits of a host array, so that NaN equals NaN, and -0 is not 0."""
    return np.ascontiguousarray(a).view(f"u{a.dtype.itemsize}")


def rounded(a, kind):
    """Return numbers as arrays of a stored type hold them, as float64."""
    return from_card(to_card(a, kind), kind)


def to_card(a, kind):
    """Copy numbers to the card as activations of a kind are stored, rounded to the nearest."""
    stored = KINDS[kind][1]
    with np.errstate(over="ignore"):
        if stored == "bfloat16":
            raw = bits_of(np.asarray(a, np.float32)).astype(np.uint64)
            even = raw + 0x7FFF + (raw >> 16 & 1) >> 16
            nan = (raw & 0x7FFFFFFF) > 0x7F800000
            return cupy.asarray(np.where(nan, 0x7FFF, even).astype(np.uint16))
        return cupy.asarray(np.asarray(a, stored))


def from_card(a, kind):
    """Copy activations to the host, as float64."""
    a = a.get()
    if KINDS[kind][1] == "bfloat16":
        a = (a.astype(np.uint32) << 16).view(np.float32)
    return a.astype(np.float64)


def of_card(a, kind):
    """Copy numbers to the card as parameters of a kind."""
    return cupy.asarray(np.asarray(a, KINDS[kind][0]))


class Chunk:
    """A plan of B steps on the card, its step t to come; keeps alive what it points to."""

    def __init__(self, kind, *, B=3, t=1, K=1, N=1, seed=0, **arrays):
        rng = np.random.default_rng(seed)
        self.kind, self.B, self.t, self.K = kind, B, t, K
        self.key = step_keys(seed, np.arange(B * K)).reshape(B, K, 1, 2)
        host = {
            "x": np.zeros(1),
            "y": np.zeros(1),
            "rows": np.zeros((B, K, N), np.int32),
            "weights": rng.dirichlet(np.ones(N), (B, K)),
            "key": self.key,
            "rate": 0.1 + rng.random((B, K)),
            "decay": rng.random((B, K)),
            "shrink": 0.1 * rng.random((B, K)),
            "losses": np.full((2, B, K), np.nan),
        } | arrays
        self.host = host
        self.arrays = {
            name: cupy.asarray(a) if a.dtype == np.int32 else of_card(a, kind)
            for name, a in host.items()
        }
        pointers = [a.data.ptr for a in self.arrays.values()]
        self.card = cupy.asarray(np.array([*pointers, B, t], np.uint64))

    def put_targets(self, y, first=0):
        """Make y (K, n, C) this step's targets from row `first` on, in other rows of the data."""
        K, n, C = y.shape
        order = np.random.default_rng(1).permutation(K * n)
        data, rows = np.empty((K * n, C), y.dtype), self.arrays["rows"].get()
        data[order] = y.reshape(-1, C)
        rows[self.t, :, first : first + n] = order.reshape(K, n)
        on_card = cupy.asarray(data) if y.dtype == np.int32 else of_card(data, self.kind)
        self.arrays |= {"y": on_card, "rows": cupy.asarray(rows)}
        pointers = [a.data.ptr for a in self.arrays.values()]
        self.card = cupy.asarray(np.array([*pointers, self.B, self.t], np.uint64))

    def numbers(self, name):
        """This step's numbers, as float64 of what the card holds."""
        return self.arrays[name].get()[self.t].astype(np.float64)

    @property
    def losses(self):
        return self.arrays["losses"].get()

    def kept(self, rate, k, shape, first=0):
        """The factors of dropout in this step, by the plain text."""
        if not rate:
            return np.ones(shape)
        bits = random_bits(fold_in(self.key[self.t, k], PLACE), shape, xp=np, first=first)
        return (bits >= round(rate * 2**24)) / (1.0 - rate)


def dropping(rate):
    """A dropout layer as kernels take it: its place hashed, the limit, the scale."""
    word = int(fold_in(np.zeros((1, 2), np.int32), PLACE)[0, 0]) % 2**32
    return {"word": word, "limit": round(rate * 2**24), "scale": 1.0 / (1.0 - rate)}


def in_both_orders(work):
    """Return what work() gives, the same to the last bit in whatever order blocks run."""
    there = work()
    with backwards():
        back = work()
    for a, b in zip(there, back, strict=True):
        np.testing.assert_array_equal(bits_of(a), bits_of(b))
    return there
