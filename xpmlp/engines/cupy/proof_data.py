"""Random numbers for a proof, in the shapes of a program, and changes of them by roundings."""

import cupy
import numpy as np

from ...arrays import from_host
from ...nn.layers import dense_forward
from ...optim import init_state
from ..base import Carry, Plan
from .graph import UNROLLED

ROWS = 4096  # that are drawn, at the most


def drawn(program, lead, *, xp):
    """Return what a proof starts from, its data and its plan, in the shapes of a program.

    No two steps or members have the same numbers, so that one which takes another's shows.
    """
    step, rng = program.step, np.random.default_rng(0)
    N, C = program.N, program.units[-1].link.n_out
    n, like = min(2 * (N + UNROLLED), ROWS), cupy.empty(0, step.dtype)
    lead_of_plan = UNROLLED + 1, *lead

    def put(a, dtype=step.dtype):
        return from_host(a, like, dtype)

    def number(low, high):
        return put(rng.uniform(low, high, (*lead_of_plan, *[1] * 2 * len(lead))))

    def parameter(slot):
        return rng.normal(size=(*lead, 1, slot.size)) / np.sqrt(slot.shape[0])

    params = {
        leaf.name: put(np.concatenate([*map(parameter, leaf.slots)], axis=-1))
        for leaf in step.layout.leaves
    }
    y = put(np.maximum(rng.uniform(-0.2, 1.0, (n, C)), 0.0))  # some 0: losses have a case for it
    if step.loss.codes:
        y = put(rng.integers(0, C, (n, 1)), "int32")
    elif step.loss.link == "softmax":
        y = put(rng.dirichlet(np.ones(C), n))
    plan = Plan(
        rows=put(rng.integers(0, n, (*lead_of_plan, N)), "int32"),
        weights=put(rng.uniform(0.5, 1.5, (*lead_of_plan, N)) / N),
        n_rows=put(np.full(lead_of_plan, float(N))),
        key=put(rng.integers(0, 2**31, (*lead_of_plan, 1, 2)), "int32"),
        rate=number(0.5, 1.0),
        decay=number(0.01, 0.02),
        shrink=number(0.01, 0.02),
    )
    data = put(rng.normal(size=(n, program.units[0].link.n_in))), y
    return Carry(params, {}, init_state(step.rule, params, xp=xp)), data, plan


class Signs:
    """What moves the numbers of arrays by a share of each: rows, columns up or down by chance."""

    def __init__(self, by, seed):
        self.by, self.rng = by, np.random.default_rng(seed)

    def of(self, a):
        """Return an array of two or more axes with its numbers moved."""
        rows, columns = (2.0 * self.rng.integers(0, 2, n) - 1.0 for n in a.shape[-2:])
        rows, columns = (from_host(v, a, a.dtype.name) for v in (self.by * rows, columns))
        return a + a * (rows[:, None] * columns)

    def dense_forward(self, x, W, b, activation, *, xp):
        """Return what `nn.layers.dense_forward` does, the activations moved."""
        a, (x, z, _) = dense_forward(x, W, b, activation, xp=xp)
        a = self.of(a)
        return a, (x, z, a)
