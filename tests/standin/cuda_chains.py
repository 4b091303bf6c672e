"""What is no plain chain, on the stand-in: the plain text with fused single operations."""

from dataclasses import dataclass

import numpy as np
import pytest
from card import watching
from conftest import assert_close
from cuda_setting import cupy, seeded
from cuda_training import RULES, TOLERANCE, XP, engine, oracle, outcome, training

from xpmlp.engines.cupy.fused import KERNELS, FusedRule
from xpmlp.nn import Activation, ActivationFunction, Dense, Dropout, Layer, Loss, Network
from xpmlp.nn import layers as generic
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.layers import Group
from xpmlp.optim import Adam, Rule
from xpmlp.randomness import random_bits, step_keys

SINGLE = {"bias_act", "dact_colsum", "apply_rule", "random_bits"}
HALF_RATE = Group("slow", decay=True, rate=0.5)


@dataclass(frozen=True)
class Scale(Layer):
    """Scales each input by a trained factor, at half the rate of others."""

    groups = {"s": HALF_RATE}  # noqa: RUF012

    def init(self, n_in, stream, x=None):
        return {"s": stream.normal(size=(1, n_in))}, n_in

    def forward(self, params, x, ctx):
        return x * params["s"], (x,)

    def backward(self, params, dy, cache, ctx):
        (x,) = cache
        return dy * params["s"], {"s": ctx.xp.sum(dy * x, axis=-2, keepdims=True)}


@dataclass(frozen=True)
class Plus(Dense):
    """A layer that only looks like one of ours."""

    def forward(self, params, x, ctx):
        y, cache = super().forward(params, x, ctx)
        return y + 1.0, cache


@dataclass(frozen=True)
class SignSGD(Rule):
    """A rule of the user's."""

    def apply(self, p, g, rate, *, xp):
        p -= rate * g / (1.0 + xp.abs(g))
        return (p,)


@dataclass(frozen=True)
class Slower(Adam):
    """A rule that only looks like one of ours."""

    def rates(self, lr, steps):
        return 0.5 * super().rates(lr, steps)

    def apply(self, p, g, rate, m, v, *, xp):
        return super().apply(p, 0.5 * g, rate, m, v, xp=xp)


SQUARE = ActivationFunction("square", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * da * z)
FALSE_RELU = ACTIVATIONS["tanh"]._replace(name="relu")
HALVED = Loss(
    "squared_error",
    lambda o, y, w, xp: (0.25 * xp.sum(w * (o - y) ** 2, axis=(-2, -1)), 0.5 * w * (o - y)),
    "identity",
)
TWO = Network([Dense(6, "relu"), Dense(3)])
CASES = {
    "a user's layer": (Network([Dense(6, "gelu"), Scale(), Dense(3)]), {}, {*SINGLE}),
    "a layer that looks like ours": (Network([Plus(6, "tanh"), Dense(3)]), {}, {*SINGLE}),
    "a user's activation": (Network([Dense(6, SQUARE), Dense(7, "mish"), Dense(3)]), {}, {*SINGLE}),
    "another relu": (Network([Dense(6, FALSE_RELU), Dense(3)]), {}, {*SINGLE}),
    "a user's rule": (TWO, {"rule": SignSGD()}, SINGLE - {"apply_rule"}),
    "a rule that looks like ours": (TWO, {"rule": Slower()}, SINGLE - {"apply_rule"}),
    "a user's loss": (TWO, {"loss": HALVED}, {*SINGLE}),
    "two dropouts in a row": (Network([Dropout(0.2), Dropout(0.3), Dense(6, "silu"), Dropout(0.5),
                                       Dropout(0.1), Dense(3)]), {}, {*SINGLE}),
    "a nested network": (Network([Network([Dropout(0.2), Dense(6, "relu")]), Dense(3)]), {},
                         {*SINGLE}),
    "an activation as a layer": (Network([Dense(6), Activation("elu"), Dense(3)]), {}, {*SINGLE}),
    "no biases": (Network([Scale(), Dense(6, "selu", use_bias=False), Dense(3, use_bias=False)]),
                  {}, {"apply_rule"}),
    "dropout at the end": (Network([Dense(6, "relu"), Dense(3), Dropout(0.2)]), {}, {*SINGLE}),
}  # fmt: skip


@pytest.mark.parametrize("tier", ["eager", "graph"])
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("K", [0, 3])
@pytest.mark.parametrize(("network", "options", "single"), CASES.values(), ids=CASES)
def test_what_is_no_chain_trains_as_plainly_with_fused_single_operations(
    network, options, single, K, dtype, tier
):
    options = {"rule": Adam(epsilon=1e-2), "weight_decay": 0.1} | options
    made = training(network, K=K, dtype=dtype, alpha=0.5, lr=0.01, **options)
    with watching() as record:
        got = outcome(engine(tier), made, fused=False)
    assert_close(got, oracle(made), TOLERANCE[dtype])
    dropout = {"random_bits"} if "Dropout" in repr(network) else set()
    # Members' biases lie apart, which takes the plain text of the forward pass.
    wanted = single - {"random_bits", *(["bias_act"] if K else [])} | dropout
    assert record is None or SINGLE & {*record.launches} == wanted


# ---- Single operations


def drawn(*shape, dtype="float64", seed=0):
    return cupy.asarray(seeded(shape, seed).normal(size=shape).astype(dtype))


@pytest.mark.parametrize("members", [(), (1,), (3,)])
@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("fused", [(1, 1), (1, 0), (0, 1)], ids=["both", "forward", "backward"])
def test_either_pass_of_a_dense_layer_fits_the_plain_one_of_the_other(name, fused, members):
    activation, shapes = ACTIVATIONS[name], ((9, 5), (5, 70), (1, 70), (9, 70))
    x, W, b, da = (drawn(*members, *shape, seed=i) for i, shape in enumerate(shapes))
    before = [a.get() for a in (x, W, b, da)]
    needs = {"need_dx": True, "need_db": True, "xp": XP}
    plain, cache = generic.dense_forward(x, W, b, activation, xp=XP)
    want = (plain, *generic.dense_backward(da, cache, W, activation, **needs))
    forward, backward = (KERNELS if own else generic for own in fused)
    a, cache = forward.dense_forward(x, W, b, activation, xp=XP)
    got = (a, *backward.dense_backward(da, cache, W, activation, **needs))
    assert_close([g.get() for g in got], [w.get() for w in want], 1e-14)
    for given, a in zip((x, W, b, da), before):
        np.testing.assert_array_equal(given.get(), a)


@pytest.mark.parametrize("case", ["no bias", "no dx", "strided da", "float16", "no member in b"])
def test_where_a_kernel_does_not_fit_the_plain_text_is_taken(case):
    dtype = "float16" if case == "float16" else "float64"
    members = (3,) if case == "no member in b" else ()
    x, W, da = (drawn(*members, *shape, dtype=dtype) for shape in ((9, 5), (5, 7), (9, 7)))
    b = None if case == "no bias" else drawn(1, 7, dtype=dtype)
    da = cupy.asarray(np.repeat(da.get(), 2, -1))[:, ::2] if case == "strided da" else da
    needs = {"need_dx": case != "no dx", "need_db": b is not None, "xp": XP}
    made = []
    for kernels in (generic, KERNELS):
        a, cache = kernels.dense_forward(x, W, b, ACTIVATIONS["silu"], xp=XP)
        back = kernels.dense_backward(da, cache, W, ACTIVATIONS["silu"], **needs)
        made.append([None if g is None else g.get() for g in (a, *back)])
    assert_close(made[1], made[0], 1e-3 if dtype == "float16" else 1e-14)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(
    "case", ["whole", "members", "one rate for all", "column order", "strided"]
)
def test_a_fused_rule_is_the_plain_one_whatever_the_memory(rule, case, dtype):
    shape = (3, 1, 50) if case in ("members", "one rate for all") else (1, 50)
    rate = np.asarray([[[0.1]], [[0.2]], [[0.3]]]) if case == "members" else np.asarray(0.1)

    def arrays():
        made = [seeded(i).random(shape).astype(dtype) for i in range(2 + len(rule.slots))]
        if case == "column order":
            made = [np.asfortranarray(a.reshape(5, 10)) for a in made]
        if case == "strided":
            return [cupy.asarray(np.repeat(a, 2, -1))[..., ::2] for a in made]
        return list(map(cupy.asarray, made))

    p, g, *slots = arrays()
    got = FusedRule(rule).apply(p, g, cupy.asarray(rate.astype(dtype)), *slots, xp=XP)
    q, h, *plain = (a.get().astype(np.float64) for a in arrays())
    want = rule.apply(q, h, rate, *plain, xp=np)
    assert_close([a.get() for a in got], list(want), TOLERANCE[dtype])


@pytest.mark.parametrize("members", [(), (1,), (3,)])
@pytest.mark.parametrize(("n", "d", "first"), [(1, 1, 0), (7, 33, 0), (5, 100, 64)])
def test_fused_bits_are_the_plain_ones(members, n, d, first):
    keys = step_keys(5, np.arange(3))[: members[0] if members else 1]
    key = keys if members else keys[0]
    want = random_bits(key, (*members, n, d), xp=np, first=first)
    for card in (cupy.asarray(key), cupy.asarray(np.repeat(key, 2, -1))[..., ::2]):
        got = KERNELS.random_bits(card, (*members, n, d), xp=XP, first=first)
        np.testing.assert_array_equal(got.get(), want)
    if not members:  # one key for several members
        got = KERNELS.random_bits(cupy.asarray(key), (4, n, d), xp=XP, first=first)
        want = random_bits(key, (4, n, d), xp=np, first=first)
        np.testing.assert_array_equal(got.get(), want)
