"""The kernels that update parameters, on the stand-in, against the plain text of the rules.

K members; of each Pw weights and Pb offsets: all weights first, then all offsets.
"""

import numpy as np
import pytest
from conftest import relative_error
from cuda_setting import (
    EPS,
    Chunk,
    bits_of,
    cupy,
    from_card,
    in_both_orders,
    launch,
    of_card,
    rounded,
    seeded,
    to_card,
)
from cuda_training import RULES

from xpmlp.engines.cupy.kernels import blocks_of
from xpmlp.engines.cupy.program import rule_numbers
from xpmlp.nn.layers import OFFSETS, WEIGHTS
from xpmlp.optim import update as plain_update

GROUPS = {"weights": WEIGHTS, "offsets": OFFSETS}
FACTORS = ("rule", "c", "c1", "d", "d1", "epsilon")


class Parameters:
    """Parameters, gradient and slots of a rule: on the card, and as stores of float64."""

    def __init__(self, kind, rule, K, Pw, Pb):
        rng, n = seeded(kind, str(rule), Pw), K * (Pw + Pb)
        self.kind, self.rule, self.K, self.Pw, self.Pb = kind, rule, K, Pw, Pb
        own = lambda a: of_card(a, kind)
        self.p, self.g = own(rng.normal(size=n)), own(rng.normal(size=n))
        self.slots = [own(rng.random(n)) for _ in rule.slots]  # none at 0: roots are taken
        self.shadow = to_card(np.full(n, 8.0), kind)

    def store(self, a):
        a, (K, Pw) = a.get().astype(np.float64), (self.K, self.Pw)
        return {
            "weights": a[: K * Pw].reshape(K, 1, Pw),
            "offsets": a[K * Pw :].reshape(K, 1, self.Pb),
        }

    def stores(self):
        """Return parameters, gradient and state."""
        state = {slot: self.store(a) for slot, a in zip(self.rule.slots, self.slots)}
        return self.store(self.p), self.store(self.g), state


def plainly(s, parameters, stores, *, penalised, decoupled):
    """Return what a step makes of (parameters, gradient, state), and the penalty."""
    p, g, state = stores
    numbers = {name: s.numbers(name)[:, None, None] for name in ("rate", "decay", "shrink")}
    penalty = np.zeros(parameters.K)
    if penalised:
        shrunk = numbers["decay"] * p["weights"]
        penalty = 0.5 * np.sum(shrunk * p["weights"], axis=(-2, -1))
        g["weights"] = g["weights"] + shrunk
    shrink = numbers["shrink"] if decoupled else None
    p, state = plain_update(parameters.rule, g, state, p, numbers["rate"], shrink, GROUPS, xp=np)
    return p, state, penalty


def update(s, parameters, *, penalised=True, decoupled=True, shadow=None, grid=None):
    own, K = parameters, parameters.K
    grid, counter = grid or blocks_of(own.Pw + own.Pb, K), cupy.zeros(K + 1, np.uint32)
    u, v = (*own.slots, None, None)[:2]
    launch(
        "update",
        grid,
        own.kind,
        s=s.card,
        p=own.p,
        g=own.g,
        u=u,
        v=v,
        shadow=shadow,
        partial=of_card(np.full(grid[0] * K, np.nan), own.kind),
        counters=counter,
        Pw=own.Pw,
        Pb=own.Pb,
        penalised=penalised,
        decoupled=decoupled,
        **dict(zip(FACTORS, rule_numbers(own.rule))),
    )
    assert not counter.get().any()
    s.t = int(s.card.get()[-1])


def assert_stores(got, want, bound, before):
    """Equal norm-wise, to a bound in units of what stood there before."""
    for name in want:
        size = max(np.linalg.norm(want[name]), np.linalg.norm(before[name]))
        assert np.linalg.norm(got[name] - want[name]) <= bound * size, name


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize(("Pw", "Pb"), [(1, 0), (255, 3), (700, 33)])
@pytest.mark.parametrize(("penalised", "decoupled"), [(True, False), (False, True), (False, False)])
def test_an_update_is_the_plain_texts_penalty_included(kind, rule, K, Pw, Pb, penalised, decoupled):
    s, own = Chunk(kind, K=K, B=3, t=0), Parameters(kind, rule, K, Pw, Pb)
    for t in range(2):
        assert s.t == t
        before, options = own.stores(), {"penalised": penalised, "decoupled": decoupled}
        want, state, penalty = plainly(s, own, own.stores(), **options)
        update(s, own, **options)
        got, _, slots = own.stores()
        assert_stores(got, want, 4 * EPS[kind], before[0])
        for slot in state:
            assert_stores(slots[slot], state[slot], 4 * EPS[kind], before[2][slot])
        assert relative_error(s.losses[1, t], penalty) <= 4 * EPS[kind]
    assert np.isnan(s.losses[0]).all() and np.isnan(s.losses[1, 2]).all()  # of others


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("rule", RULES, ids=str)
def test_an_update_is_the_same_whatever_the_grid_and_the_order_of_blocks(kind, rule):
    def step(grid):
        s, own = Chunk(kind, K=3, t=1), Parameters(kind, rule, 3, 700, 33)
        update(s, own, grid=grid)
        return s.losses, own.p.get(), *(a.get() for a in own.slots)

    want_losses, *want = step(None)
    for grid in ((1, 1, 3), (7, 1, 3)):
        losses, *arrays = in_both_orders(lambda grid=grid: step(grid))
        np.testing.assert_allclose(losses, want_losses, rtol=4 * EPS[kind])  # sums of parts
        for a, b in zip(arrays, want, strict=True):
            np.testing.assert_array_equal(a, b)


def test_products_get_the_new_parameters_rounded_once():
    kind = "bfloat16"
    s, own = Chunk(kind, K=2, t=0), Parameters(kind, RULES[3], 2, 300, 7)
    update(s, own, shadow=own.shadow)
    np.testing.assert_array_equal(from_card(own.shadow, kind), rounded(own.p.get(), kind))
    cast = to_card(np.full(own.p.size + 5, 8.0), kind)
    for grid in (blocks_of(own.p.size), (1, 1, 1), (9, 1, 1)):
        launch("cast", grid, kind, shadow=cast, p=own.p, n=own.p.size)
        np.testing.assert_array_equal(from_card(cast, kind)[:-5], rounded(own.p.get(), kind))
        np.testing.assert_array_equal(from_card(cast, kind)[-5:], 8.0)


ROUNDED = [0.0, -0.0, 1.0 + 2**-9, 1.0 + 3 * 2**-9, 1.0 + 2**-12, 1.0 + 3 * 2**-12, 65504.0,
           65519.0, 65520.0, -65536.0, 6e-8, 2e-8, 3e-8, -1e-40, 3.39e38, 3.4e38, np.inf, -np.inf,
           np.nan]  # fmt: skip


def test_casts_round_to_the_nearest_ties_to_even_and_overflow_to_infinity():
    kind = "bfloat16"
    p = of_card(ROUNDED, kind)
    cast = to_card(np.zeros(p.size), kind)
    launch("cast", (1, 1, 1), kind, shadow=cast, p=p, n=p.size)
    got, want = cast.get(), to_card(p.get(), kind).get()
    nan = np.isnan(p.get())
    np.testing.assert_array_equal(bits_of(got)[~nan], bits_of(want)[~nan])
    assert np.isnan(from_card(cast, kind)[nan]).all()


# ---- A rule for one leaf


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(("K", "rates"), [(1, 1), (3, 3), (3, 1)])
@pytest.mark.parametrize("P", [1, 700])
def test_a_rule_for_one_leaf_is_the_plain_texts_whatever_the_grid(kind, rule, K, rates, P):
    factors = dict(zip(FACTORS, rule_numbers(rule)))
    for grid in (blocks_of(P, K), (1, 1, K), (7, 1, K)):
        rng = seeded(kind, str(rule), P)
        p, g, *slots = (of_card(rng.random((K, 1, P)), kind) for _ in range(2 + len(rule.slots)))
        rate = of_card(rng.random((rates, 1, 1)), kind)
        host = [a.get().astype(np.float64) for a in (p, g, rate, *slots)]
        u, v = (*slots, None, None)[:2]
        launch("apply_rule", grid, kind, p=p, g=g, u=u, v=v, rate=rate, rates=rates, P=P, **factors)
        want = rule.apply(*host, xp=np)
        for got, one in zip((p, *slots), want, strict=True):
            assert relative_error(got.get(), one) <= 4 * EPS[kind]
