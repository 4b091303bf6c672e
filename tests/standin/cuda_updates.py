"""The kernels that update parameters, on the stand-in, against the plain text of the rules.

K members; of each Pw weights and Pb offsets: all weights first, then all offsets.
"""

import numpy as np
import pytest
from conftest import relative_error
from cuda_setting import (
    EPS,
    KINDS,
    Stretch,
    bits_of,
    cupy,
    from_card,
    in_both_orders,
    launch,
    of_card,
    rounded,
    seeded,
    to_card,
)  # fmt: skip
from cuda_training import RULES

from xpmlp.engines.cupy.kernels import blocks_of
from xpmlp.engines.cupy.program import rule_of
from xpmlp.nn.layers import OFFSETS, WEIGHTS
from xpmlp.optim import update as plain_update

GROUPS = {"weights": WEIGHTS, "offsets": OFFSETS}
FACTORS = ("rule", "c", "c1", "e", "e1", "epsilon")


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


def plainly(s, parameters, stores, *, penalised, decoupled, unscale=1.0):
    """Return what a step makes of (parameters, gradient, state), and the penalty."""
    p, g, state = stores
    numbers = {name: s.numbers(name)[:, None, None] for name in ("rate", "decay", "shrink")}
    g = {name: a * unscale for name, a in g.items()}
    penalty = np.zeros(parameters.K)
    if penalised:
        shrunk = numbers["decay"] * p["weights"]
        penalty = 0.5 * np.sum(shrunk * p["weights"], axis=(-2, -1))
        g["weights"] = g["weights"] + shrunk
    shrink = numbers["shrink"] if decoupled else None
    p, state = plain_update(parameters.rule, g, state, p, numbers["rate"], shrink, GROUPS, xp=np)
    return p, state, penalty


def update(
    s, parameters, *, penalised=True, decoupled=True, scaled=None, shadow=None, grid=None
):  # fmt: skip
    own, K = parameters, parameters.K
    grid, counter = grid or blocks_of(own.Pw + own.Pb, K), cupy.zeros(K + 1, np.uint32)
    u, v = (*own.slots, None, None)[:2]
    launch(
        "update", grid, own.kind, s=s.card, p=own.p, g=own.g, u=u, v=v, shadow=shadow,
        partial=of_card(np.full(grid[0] * K, np.nan), own.kind), counters=counter, scaled=scaled,
        Pw=own.Pw, Pb=own.Pb, penalised=penalised, decoupled=decoupled,
        **dict(zip(FACTORS, rule_of(own.rule))),
    )  # fmt: skip
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
    s, own = Stretch(kind, K=K, B=3, t=0), Parameters(kind, rule, K, Pw, Pb)
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
        s, own = Stretch(kind, K=3, t=1), Parameters(kind, rule, 3, 700, 33)
        update(s, own, grid=grid)
        return s.losses, own.p.get(), *(a.get() for a in own.slots)

    want_losses, *want = step(None)
    for grid in ((1, 1, 3), (7, 1, 3)):
        losses, *arrays = in_both_orders(lambda grid=grid: step(grid))
        np.testing.assert_allclose(losses, want_losses, rtol=4 * EPS[kind])  # sums of parts
        for a, b in zip(arrays, want, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_products_get_the_new_parameters_rounded_once(kind):
    s, own = Stretch(kind, K=2, t=0), Parameters(kind, RULES[3], 2, 300, 7)
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


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_casts_round_to_the_nearest_ties_to_even_and_overflow_to_infinity(kind):
    p = of_card(ROUNDED, kind)
    cast = to_card(np.zeros(p.size), kind)
    launch("cast", (1, 1, 1), kind, shadow=cast, p=p, n=p.size)
    got, want = cast.get(), to_card(p.get(), kind).get()
    nan = np.isnan(p.get())
    np.testing.assert_array_equal(bits_of(got)[~nan], bits_of(want)[~nan])
    assert np.isnan(from_card(cast, kind)[nan]).all()


# ---- The scale of the loss


def scale_after(scale, overflows):
    """Return factor, good steps, steps left out, overflow after one more step."""
    factor, good, left_out, _ = scale
    if overflows and good < 0:  # none has been good yet
        return max(factor / 64, np.float32(1e-6)), -1.0, left_out + 1, 0.0
    if overflows:
        return max(factor / 2, np.float32(1e-6)), 0.0, left_out + 1, 0.0
    if good + 1 < 2000:
        return factor, max(good, 0.0) + 1, left_out, 0.0
    return min(2 * factor, 2.0**24), 0.0, left_out, 0.0


@pytest.mark.parametrize("overflows", [True, False])
@pytest.mark.parametrize("good", [-1.0, 0.0, 5.0, 1998.0, 1999.0])
@pytest.mark.parametrize("factor", [1e-6, 1024.0, 2.0**24, 2.0**23])
def test_the_scale_falls_by_half_at_an_overflow_and_doubles_after_2000_steps_without(
    overflows, good, factor
):
    s, own = Stretch("float16", K=1, t=0), Parameters("float16", RULES[3], 1, 300, 7)
    factor = float(np.float32(factor))
    scale = of_card([factor, good, 3, 0], "float16")
    own.g *= np.float32(factor)
    if overflows:
        own.g[17:18] = np.float32(np.nan)
    before = own.stores()
    launch("find_overflow", (1, 1, 1), "float16", scaled=scale, g=own.g, n=own.g.size)
    want = plainly(s, own, own.stores(), penalised=True, decoupled=True, unscale=1 / factor)
    update(s, own, scaled=scale, shadow=own.shadow)
    after = own.stores()
    if overflows:  # nothing else moves
        want, bound = (before[0], before[2], want[2]), 0.0
    else:
        bound = 4 * EPS["float32"]
    assert_stores(after[0], want[0], bound, before[0])
    for slot in want[1]:
        assert_stores(after[2][slot], want[1][slot], bound, before[2][slot])
    assert s.t == 1
    assert relative_error(s.losses[1, 0], want[2]) <= 4 * EPS["float32"]
    np.testing.assert_array_equal(scale.get(), scale_after((factor, good, 3, 0), overflows))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("n", [1, 700])
def test_an_overflow_is_found_wherever_it_is_whatever_the_grid(kind, bad, n):
    for at in (None, 0, n - 1):
        for grid in (blocks_of(n), (1, 1, 1), (7, 1, 1)):
            g = np.linspace(-1e30, 1e30, n)
            if at is not None:
                g[at] = bad
            scale = of_card([1024, 3, 5, 0], kind)
            launch("find_overflow", grid, kind, scaled=scale, g=of_card(g, kind), n=n)
            factor, good, left_out, overflow = scale.get()
            assert (factor, good, left_out) == (1024, 3, 5)
            assert (overflow != 0) == (at is not None)


# ---- A rule for one leaf


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(("K", "rates"), [(1, 1), (3, 3), (3, 1)])
@pytest.mark.parametrize("P", [1, 700])
def test_a_rule_for_one_leaf_is_the_plain_texts_whatever_the_grid(kind, rule, K, rates, P):
    factors = dict(zip(FACTORS, rule_of(rule)))
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
