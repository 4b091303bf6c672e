"""Fused forms of single operations, for networks that are no plain chain.

Each has the signature of what it replaces, and takes that where its kernel does not fit.
"""

from dataclasses import dataclass
from typing import Any

import cupy

from ...nn import Kernels
from ...nn import layers as generic
from ...nn.activations import ACTIVATIONS as RECORDS
from ...optim import Rule
from ...randomness import random_bits as plain_bits
from .kernels import blocks_of, grid_of, launcher, splits_of
from .units import code_of, rule_numbers

NONE = (0, 0, 1.0)  # no dropout


def _fits(activation, *arrays):
    """Tell whether a kernel takes an activation and arrays."""
    floats = {a.dtype.name for a in arrays} in ({"float32"}, {"float64"})
    known = activation in RECORDS.values()
    return known and floats and all(a.flags.c_contiguous and a.ndim in (2, 3) for a in arrays)


def _sizes(a):
    """Return the bind of an array's dtype, and K, N, H."""
    return launcher(a.dtype.name, a.dtype.name), *(1, *a.shape)[-3:]


def dense_forward(x, W, b, activation, *, xp):
    """Affine map and activation, in two launches: see `nn.layers.dense_forward`."""
    z = x @ W
    if b is None or not _fits(activation, z, b) or b.ndim != z.ndim:
        return generic.dense_forward(x, W, b, activation, xp=xp)
    out = xp.empty_like(z)
    bind, K, N, H = _sizes(z)
    numbers = H, *code_of(activation.name), N, 0, H, *NONE
    bind("bias_act", grid_of(N, K, H), None, z, out, b, *numbers)()
    return out, (x, z, out)  # z holds the activation where the backward pass does not take z


def dense_backward(da, cache, W, activation, *, need_dx, need_db, xp):
    """Gradients of `dense_forward`, the derivative and db in one launch."""
    x, z, a = cache
    if not _fits(activation, da, z, a) or not need_db:
        return generic.dense_backward(
            da, cache, W, activation, need_dx=need_dx, need_db=need_db, xp=xp
        )
    dz = da.copy()
    bind, K, N, H = _sizes(dz)
    db = xp.empty((*dz.shape[:-2], 1, H), dtype=dz.dtype)
    tiles = -(-H // 32)
    splits = splits_of(N, tiles * K)
    partial = xp.empty(K * splits * H, dtype=dz.dtype)
    counters = xp.zeros(K * tiles, dtype=xp.uint32)
    code, of_z = code_of(activation.name)
    arrays = None, dz, (a, z)[of_z], db, H, partial, counters
    bind("dact_colsum", (tiles, splits, K), *arrays, code, N, 0, H, *NONE)()
    return (dz @ W.mT if need_dx else None), x.mT @ dz, db


def random_bits(key, shape, *, xp, first=0):
    """Random bits in one launch: see `randomness.random_bits`."""
    n, d = shape[-2:]
    K = key.size // 2
    if key.shape[:-2] != tuple(shape[:-2]) or not key.flags.c_contiguous:
        return plain_bits(key, shape, xp=xp, first=first)
    bits = cupy.empty(shape, "int32")
    bind = launcher("float32", "float32")
    bind("random_bits", blocks_of(n * d, K), bits, key, n * d, first * d)()
    return bits


KERNELS = Kernels(dense_forward, dense_backward, random_bits)


@dataclass(frozen=True)
class FusedRule(Rule):
    """A built-in rule, its whole update of a leaf in one launch."""

    rule: Any

    @property
    def slots(self):
        """The rule's own."""
        return self.rule.slots

    def apply(self, p, g, rate, *slots, xp):
        """Return p and the slots."""
        arrays = p, g, rate, *slots
        if p.dtype.name not in ("float32", "float64") or not all(
            a.flags.c_contiguous and a.dtype == p.dtype for a in arrays
        ):
            return self.rule.apply(p, g, rate, *slots, xp=xp)
        kind, *factors = rule_numbers(self.rule)
        K = rate.size
        P = p.size // K
        u, v = (*slots, None, None)[:2]
        bind = launcher(p.dtype.name, p.dtype.name)
        bind("apply_rule", blocks_of(P, K), p, g, u, v, rate, K, P, kind, *factors)()
        return p, *slots
