from dataclasses import dataclass

import numpy as np
import pytest
from conftest import relative_error
from each import each

from xpmlp import nn, train
from xpmlp.engines import Carry, engine_for, generic_engine
from xpmlp.nn import Layout
from xpmlp.nn.activations import ACTIVATIONS, ActivationFunction
from xpmlp.nn.layers import Kernels, dense_backward, dense_forward
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import Adam, init_state
from xpmlp.optim.rules import AdamW
from xpmlp.training import Step
from xpmlp.training.plan import copy_plan, make_plan

torch = pytest.importorskip("torch", reason="the engine of torch tensors")
EPS = {"float64": 1e-14, "float32": 4e-6}
SHAPES = [(1, 1, 1), (7, 3, 5), (0, 3, 2), (64, 33, 17)]


def drawn(*shape, dtype="float64", seed=0):
    a = np.random.default_rng([seed, *shape]).normal(size=shape)
    return torch.asarray(a, dtype=getattr(torch, dtype))


def close(got, want, dtype):
    return (
        got.shape == want.shape
        and got.dtype == want.dtype
        and (relative_error(got.numpy(), want.numpy()) < EPS[dtype])
    )


def engine():
    return engine_for(torch.empty(0))


def both_passes(kernels, activation, x, W, b, da):
    """Output, dx, dW, db of a dense layer."""
    xp = engine().xp
    a, cache = kernels.dense_forward(x, W, b, activation, xp=xp)
    return a, *kernels.dense_backward(da, cache, W, activation, need_dx=True, need_db=True, xp=xp)


@each("dtype", EPS)
@each("members", [(), (3,)], ids=["one", "three"])
@each("shape", SHAPES)
@each("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_a_dense_layers_kernels_equal_the_plain_ones(activation, shape, members, dtype):
    n, d, h = shape
    given = [(n, d), (d, h), (1, h), (n, h)]
    given = [drawn(*members, *s, dtype=dtype, seed=i) for i, s in enumerate(given)]
    kept = [a.clone() for a in given]
    got = both_passes(engine().kernels, activation, *given)
    want = both_passes(Kernels(dense_forward, dense_backward), activation, *given)
    assert all(map(close, got, want, [dtype] * 4))
    assert all(torch.equal(a, b) for a, b in zip(given, kept))


@each("activation", ACTIVATIONS.values(), ids=ACTIVATIONS)
def test_a_nan_in_a_row_stays_in_the_outputs_of_that_row(activation):
    x = drawn(4, 3)
    x[1, 0] = float("nan")
    a, _ = engine().kernels.dense_forward(x, drawn(3, 2), None, activation, xp=engine().xp)
    assert a[1].isnan().all() and a[[0, 2, 3]].isfinite().all()


def test_an_activation_of_ones_own_is_not_taken_for_torchs_by_its_name():
    own = ActivationFunction("relu", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * da * z)
    x, W, b, da = drawn(4, 3), drawn(3, 2), drawn(1, 2), drawn(4, 2)
    got = both_passes(engine().kernels, own, x, W, b, da)
    z = x @ W + b
    assert torch.equal(got[0], z * z) and torch.allclose(got[2], x.mT @ (2 * da * z))


def after_updates(engine, rule, dtype, *, members=(), column_order=False):
    """A dense layer's W after a run over three batches, and the rule's state."""
    network = nn.Network([nn.Dense(4, "tanh"), nn.Dense(2)])
    sizes = {0: {"W": (5, 4), "b": (1, 4)}, 1: {"W": (4, 2), "b": (1, 2)}}
    params = {
        i: {k: drawn(*members, *s, dtype=dtype) for k, s in layer.items()}
        for i, layer in sizes.items()
    }
    layout = Layout.of(network, params, contiguous=engine.contiguous)
    store = {k: a.clone() for k, a in layout.pack(params, xp=engine.xp).items()}
    if column_order:
        store = {k: a.mT.contiguous().mT for k, a in store.items()}
    step = Step(
        network, LOSSES["squared_error"], rule, layout, 6, dtype, penalised=True, decoupled=True
    )
    plan = make_plan(rule, np.arange(17), batch_size=6, lr=0.1, seed=0, alpha=0.1, weight_decay=0.1)
    if members:  # each with a rate of its own
        plan = type(plan)(*(np.stack([a] * members[0], axis=1) for a in plan))
        own = np.arange(1.0, members[0] + 1)
        plan = plan._replace(
            **{k: (getattr(plan, k) * own)[..., None, None] for k in ("rate", "decay", "shrink")}
        )
    data = drawn(17, 5, dtype=dtype), drawn(17, 2, dtype=dtype)
    carry = Carry(store, {}, init_state(rule, store, xp=engine.xp))
    carry, losses = engine.run(step)(carry, data, copy_plan(plan, data[0], dtype))
    trained = layout.unpack(carry.params, xp=engine.xp)
    return [trained[i][k] for i in sizes for k in sizes[i]] + [losses]


RULES = {
    "adam": Adam(),
    "adamw": AdamW(),
    "other betas": Adam(0.5, 0.9999999),
    "no betas": Adam(0, 0),
    "large epsilon": Adam(epsilon=0.1),
}


@each("column_order", [False, True], ids=["rows", "columns"])
@each("members", [(), (3,)], ids=["one", "three"])
@each("dtype", EPS)
@each("rule", RULES)
def test_adam_as_torchs_kernel_equals_our_text(rule, dtype, members, column_order):
    options = {"members": members, "column_order": column_order}
    plain = generic_engine(engine().xp, contiguous=False)
    want = after_updates(plain, RULES[rule], dtype, **options)
    got = after_updates(engine(), RULES[rule], dtype, **options)
    assert all(map(close, got, want, [dtype] * 5))


@dataclass(frozen=True)
class Halved(Adam):
    """An update of one's own, built on ours."""

    def apply(self, p, g, rate, m, v, *, xp):
        return Adam.apply(self, p, g, 0.5 * rate, m, v, xp=xp)


def test_an_update_rule_of_ones_own_that_extends_adam_is_left_alone():
    rule = Halved()
    want = after_updates(generic_engine(engine().xp, contiguous=False), rule, "float64")
    got = after_updates(engine(), rule, "float64")
    assert all(map(close, got, want, ["float64"] * 5))
    assert not close(got[0], after_updates(engine(), Adam(), "float64")[0], "float64")


def test_adam_really_runs_as_one_kernel(monkeypatch):
    calls, fused = [], torch._fused_adam_
    monkeypatch.setattr(torch, "_fused_adam_", lambda *a, **k: (calls.append(1), fused(*a, **k)))
    after_updates(engine(), Adam(), "float32")
    assert len(calls) == 3 * 4  # a batch and a parameter


def test_nothing_of_a_training_or_a_prediction_is_in_a_graph():
    factor = torch.ones((), requires_grad=True)
    own = ActivationFunction("own", lambda z, xp: z * factor, lambda da, z, a, xp: da * factor)
    network = nn.Network([nn.Dense(3, own), nn.Dense(1)])
    trained = train(network, drawn(20, 2), drawn(20, 1), max_iter=2)
    assert not any(a.requires_grad for p in trained.params.values() for a in p.values())
    assert not trained.outputs(drawn(20, 2)).requires_grad


def test_on_a_card_there_is_one_leaf_a_group_and_on_the_cpu_one_a_parameter():
    assert not engine_for(torch.empty(0)).contiguous
    assert engine_for(torch.empty(0, device="meta")).contiguous
