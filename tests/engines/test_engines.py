""" """

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
from conftest import assert_close, assert_derivative, dtype_name, leaves, map_tree, relative_error
from each import each
from engine_problems import ALPHA, ROWS, C, D, N, host_plan

from xpmlp import train
from xpmlp.engines import Carry, Plan, engine_for, gather, generic_engine
from xpmlp.nn import Dense, Dropout, Layer, Layout, Network
from xpmlp.nn.layers import BUFFERS, Kernels
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import RULES, SGD, Adam, init_state
from xpmlp.training import Step
from xpmlp.training.plan import make_plan
from xpmlp.training.step import full_gradient

NETWORK = Network([Dense(7, "tanh"), Dropout(0.25), Dense(6, "gelu"), Dense(C, use_bias=False)])
TOLERANCE = {"float64": 1e-12, "float32": 3e-6}


class Problem(NamedTuple):
    """All that a run takes."""

    step: Step
    run: Any
    carry: Carry
    data: tuple
    plans: list  # one an epoch


def setting(seed=0, n=N):
    """Data and parameters of float64 on the host."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(n, D)), rng.dirichlet(np.ones(C), n)
    return x, y, NETWORK.init(D, rng)[0]


def problem(
    backend,
    dtype,
    *,
    network=NETWORK,
    params=None,
    data=None,
    plans=None,
    rule=None,
    loss="log_loss",
    epochs=2,
    contiguous=None,
):
    """A training run on a backend; `contiguous` None takes the library's engine."""
    rule = rule or Adam()
    x, y, drawn = setting()
    own = lambda a: backend.owned(a, dtype)
    params = map_tree(own, params or drawn)
    data = tuple(backend.asarray(a, dtype) for a in data or (x, y))
    engine = (
        engine_for(data[0])
        if contiguous is None
        else generic_engine(backend.xp, contiguous=contiguous)
    )
    layout = Layout.of(network, params, contiguous=engine.contiguous)
    store = {
        k: backend.xp.asarray(a, copy=True) for k, a in layout.pack(params, xp=backend.xp).items()
    }
    buffers = {leaf.name: store.pop(leaf.name) for leaf in layout.leaves if not leaf.group.trained}
    step = Step(network, LOSSES[loss], rule, layout, ROWS, dtype, penalised=True, decoupled=True)
    plans = [
        Plan(*(backend.asarray(a, "int32" if a.dtype.kind == "i" else dtype) for a in plan))
        for plan in plans or [host_plan(rule, epoch) for epoch in range(epochs)]
    ]
    carry = Carry(store, buffers, init_state(rule, store, xp=backend.xp))
    return Problem(step, engine.run(step), carry, data, plans)


def outcome(p, backend, *, before=lambda carry: carry):
    """Parameters by name and the losses, as host arrays; the dtypes must stay."""
    carry, losses = p.carry, []
    for plan in p.plans:
        carry, made = p.run(before(carry), p.data, plan)
        losses.append(backend.host(made))
    assert {dtype_name(a) for _, a in leaves([carry, made])} == {p.step.dtype}
    params = p.step.layout.unpack(carry.params | carry.buffers, xp=backend.xp)
    return {"params": map_tree(backend.host, params), "losses": np.concatenate(losses, axis=1)}


@pytest.fixture
def oracle(plain):
    """What the plain loop on NumPy makes in float64."""
    return outcome(problem(plain, "float64"), plain)


def test_every_engine_equals_the_plain_loop_on_numpy_with_dropout_over_epochs(xp64, oracle):
    for dtype in xp64.floats:
        made = outcome(problem(xp64, dtype), xp64)
        assert_close(made, oracle, TOLERANCE[dtype])


@pytest.mark.parametrize("xp", ["jax"], indirect=True)
def test_jax_in_float32_equals_the_plain_loop_on_numpy_to_a_millionth(xp, plain):
    want = outcome(problem(plain, "float32"), plain)
    assert_close(outcome(problem(xp, "float32"), xp), want, 1e-6)


@each("rule", RULES)
def test_both_layouts_of_the_store_agree(rule, plain):
    flat, split = (
        outcome(problem(plain, "float64", rule=RULES[rule](), contiguous=contiguous), plain)
        for contiguous in (True, False)
    )
    assert_close(flat, split, 1e-14)


def test_chunks_may_be_cut_anywhere(plain, oracle):
    p = problem(plain, "float64")
    cut = [Plan(*(a[part] for a in plan)) for plan in p.plans for part in (slice(2), slice(2, 5))]
    assert_close(outcome(p._replace(plans=cut), plain), oracle, 0.0)


def members(K):
    """K runs on the same data: parameters, order, dropout and rate of their own."""
    rule = Adam()
    starts = [setting(seed)[2] for seed in range(K)]
    plans = [[host_plan(rule, e, seed=k, lr=0.02 * (k + 1)) for e in range(2)] for k in range(K)]
    together = []
    for epoch in zip(*plans):
        made = {f: np.stack([getattr(plan, f) for plan in epoch], axis=1) for f in Plan._fields}
        for f in ("rate", "decay", "shrink"):
            made[f] = made[f][..., None, None]
        together.append(Plan(**made))
    return starts, plans, together


def stacked(trees):
    if isinstance(trees[0], dict):
        return {key: stacked([tree[key] for tree in trees]) for key in trees[0]}
    return np.stack(trees)


@pytest.mark.parametrize("K", [3, ROWS])
def test_members_trained_at_once_equal_runs_one_by_one(K, xp, plain):
    starts, plans, together = members(K)
    dtype = xp.floats[0]
    got = outcome(problem(xp, dtype, params=stacked(starts), plans=together), xp)
    each = [
        outcome(problem(plain, "float64", params=start, plans=plan), plain)
        for start, plan in zip(starts, plans)
    ]
    losses = np.stack([made["losses"] for made in each], axis=-1)
    assert_close(
        got,
        {"params": stacked([made["params"] for made in each]), "losses": losses},
        TOLERANCE[dtype],
    )


@each("contiguous", [True, False])
@each("loss", LOSSES)
def test_a_steps_gradient_is_the_derivative_of_its_objective_penalty_included(
    loss, contiguous, plain
):
    p = problem(plain, "float64", loss=loss, contiguous=contiguous)
    batch = gather(p.data, p.plans[0].at(4), xp=np)  # the padded one
    objective = full_gradient(p.step, xp=np, kernels=Kernels())
    _, _, grads = objective(p.carry.params, p.carry.buffers, batch)
    value = lambda at: float(objective(at, p.carry.buffers, batch)[0])
    assert_derivative(value, p.carry.params, grads)


def test_the_penalty_is_half_alpha_times_the_squared_weights_over_the_rows_without_biases(plain):
    p = problem(plain, "float64", epochs=1)
    _, losses = p.run(p.carry, p.data, Plan(*(a[:1] for a in p.plans[0])))
    _, _, params = setting()
    squares = sum((layer["W"] ** 2).sum() for layer in params.values() if layer)
    assert losses[1, 0] == pytest.approx(0.5 * ALPHA * squares / ROWS, rel=1e-13)


def test_padding_rows_change_nothing(plain):
    """The padded last batch equals one of its two real rows alone."""
    network = Network([Dense(7, "tanh"), Dense(C)])  # masks go by the number of rows
    x, y, _ = setting()
    params, _ = network.init(D, np.random.default_rng(5))
    p = problem(plain, "float64", network=network, params=params)
    last = Plan(*(a[4:] for a in p.plans[0]))
    assert int(last.n_rows[0]) == 2
    short = last._replace(rows=last.rows[:, :2], weights=last.weights[:, :2])
    results = []
    for plan in (last, short):
        fresh = problem(plain, "float64", network=network, params=params)
        results.append(outcome(fresh._replace(plans=[plan]), plain))
    assert_close(*results, 1e-14)


def test_an_epoch_of_plain_descent_equals_the_loop_in_a_textbook(plain):
    network, rule = Network([Dense(6, "logistic"), Dense(C)]), SGD(0.0)
    x, y, _ = setting(n=20)
    params, _ = network.init(D, np.random.default_rng(5))
    plan = make_plan(rule, np.arange(20), batch_size=ROWS, lr=0.3, seed=0, alpha=ALPHA)
    options = {"loss": "squared_error", "plans": [plan]}
    p = problem(plain, "float64", network=network, params=params, data=(x, y), rule=rule, **options)
    W1, b1, W2, b2 = (params[i][k].copy() for i in (0, 1) for k in "Wb")
    for start in range(0, 20, ROWS):
        xb, yb = x[start : start + ROWS], y[start : start + ROWS]
        a = 1 / (1 + np.exp(-(xb @ W1 + b1)))
        d2 = (a @ W2 + b2 - yb) / ROWS
        d1 = d2 @ W2.T * a * (1 - a)
        g1, g2 = xb.T @ d1 + ALPHA * W1 / ROWS, a.T @ d2 + ALPHA * W2 / ROWS
        W1, W2 = W1 - 0.3 * g1, W2 - 0.3 * g2
        b1, b2 = b1 - 0.3 * d1.sum(0, keepdims=True), b2 - 0.3 * d2.sum(0, keepdims=True)
    want = {0: {"W": W1, "b": b1}, 1: {"W": W2, "b": b2}}
    assert_close(outcome(p, plain)["params"], want, 1e-13)


TRACES = []


@dataclass(frozen=True)
class Counting(Layer):
    """Notes each time that Python runs its forward: on JAX, each trace."""

    name: str

    def init(self, n_in, stream, x=None):
        return {}, n_in

    def forward(self, params, x, ctx):
        TRACES.append(self.name)
        return x, ()

    def backward(self, params, dy, cache, ctx):
        return dy, {}


@pytest.mark.parametrize("xp", ["jax"], indirect=True)
def test_a_second_fit_of_the_same_shapes_compiles_nothing(xp):
    x, y, _ = setting()
    X, Y = xp.asarray(x, "float32"), xp.asarray(y, "float32")
    make = lambda: Network([Dense(3, "tanh"), Counting("second fit"), Dense(C)])
    options = {"loss": "log_loss", "batch_size": ROWS, "max_iter": 2}
    TRACES.clear()
    first = train(make(), X, Y, learning_rate_init=0.01, alpha=0.1, **options)
    after_one = len(TRACES)
    assert after_one >= 1
    second = train(make(), -X, Y, learning_rate_init=0.2, alpha=3.0, random_state=5, **options)
    assert len(TRACES) == after_one
    assert second.history["loss"] != first.history["loss"]
    first.outputs(X), second.outputs(X)
    with_outputs = len(TRACES)
    second.outputs(X[:20])  # padded to the same number of rows
    assert len(TRACES) == with_outputs <= after_one + 1


def test_nothing_keeps_hold_of_a_carry_that_was_handed_over(xp_eager, oracle):
    xp = xp_eager

    def handed_over(carry):
        copy = map_tree(lambda a: xp.xp.asarray(a, copy=True), carry)
        for _, a in leaves(carry):
            a[...] = float("nan")
        return copy

    for dtype in xp.floats:
        p = problem(xp, dtype)
        assert_close(outcome(p, xp, before=handed_over), oracle, TOLERANCE[dtype])


def test_data_and_plan_are_only_read(xp_eager):
    p = problem(xp_eager, "float32")
    before = map_tree(xp_eager.host, [list(p.data), [list(plan) for plan in p.plans]])
    outcome(p, xp_eager)
    after = map_tree(xp_eager.host, [list(p.data), [list(plan) for plan in p.plans]])
    assert all(np.array_equal(a, b) for (_, a), (_, b) in zip(leaves(before), leaves(after)))


def test_no_array_stands_twice_in_a_carry(plain):
    p = problem(plain, "float64")
    carry = p.carry
    for plan in p.plans:
        carry, losses = p.run(carry, p.data, plan)
        made = [a for _, a in leaves([list(carry), losses])]
        assert not any(np.shares_memory(a, b) for i, a in enumerate(made) for b in made[:i])


@each("solver", [*RULES, "lbfgs"])
def test_training_writes_to_nothing_that_it_is_given(solver, plain):
    x, y, params = setting()
    locked = map_tree(np.copy, {"x": x, "y": y, "params": params, "w": np.arange(1.0, N + 1)})
    for _, a in leaves(locked):
        a.flags.writeable = False
    made = [
        train(
            NETWORK,
            given["x"],
            given["y"],
            params=given["params"],
            sample_weight=given["w"],
            loss="log_loss",
            solver=solver,
            max_iter=2,
            batch_size=ROWS,
            alpha=ALPHA,
        )
        for given in (locked, map_tree(np.copy, locked))
    ]
    assert_close(made[0].params, made[1].params, 0.0)
    assert not any(
        np.shares_memory(a, b) for _, a in leaves(made[0].params) for _, b in leaves(locked)
    )


def test_parameters_to_start_from_stay_the_callers(xp):
    x, y, params = setting()
    given = map_tree(lambda a: xp.owned(a, "float32"), params)
    X, Y = xp.asarray(x, "float32"), xp.asarray(y, "float32")
    train(NETWORK, X, Y, params=given, loss="log_loss", batch_size=ROWS, max_iter=1)
    assert_close(map_tree(xp.host, given), map_tree(np.float32, params), 0.0)


def test_train_stays_in_the_dtype_and_library_of_x(xp, plain):
    x, y, _ = setting()
    options = {"loss": "log_loss", "batch_size": ROWS, "max_iter": 3, "alpha": ALPHA}
    want = train(NETWORK, x, y, **options)
    made = train(NETWORK, xp.asarray(x, "float32"), xp.asarray(y, "float32"), **options)
    arrays = [a for _, a in leaves(made.params)] + [made.outputs(xp.asarray(x, "float32"))]
    assert {dtype_name(a) for a in arrays} == {"float32"}
    assert {type(a) for a in arrays} == {type(xp.asarray(x, "float32"))}
    assert_close(map_tree(xp.host, made.params), want.params, TOLERANCE["float32"])
    assert np.allclose(made.history["loss"], want.history["loss"], rtol=1e-5)


def test_gradients_and_losses_of_a_step_stay_in_the_compute_dtype(xp_eager):
    xp = xp_eager
    for dtype in xp.floats:
        p = problem(xp, dtype)
        batch = gather(p.data, p.plans[0].at(0), xp=xp.xp)
        value, grads, _ = p.step.gradient(
            p.carry.params, p.carry.buffers, batch, xp=xp.xp, kernels=Kernels()
        )
        penalty, grads = p.step.penalise(grads, p.carry.params, batch.hyper, xp=xp.xp)
        assert {dtype_name(a) for _, a in leaves([value, penalty, grads])} == {dtype}


@dataclass(frozen=True)
class RunningMean(Layer):
    """A user's layer with a buffer: what it subtracts follows the data and no rule."""

    groups = {"mean": BUFFERS}

    def init(self, n_in, stream, x=None):
        return {"mean": np.zeros((1, n_in))}, n_in

    def forward(self, params, x, ctx):
        now = ctx.xp.sum(ctx.weights[..., None] * x, axis=-2, keepdims=True)
        return x - params["mean"], (0.5 * params["mean"] + 0.5 * now,)

    def backward(self, params, dy, cache, ctx):
        return dy, {"mean": cache[0]}


def test_a_buffer_takes_the_layers_next_value_and_neither_rule_nor_decay_touches_it(xp):
    network = Network([RunningMean(), Dense(C)])
    params, _ = network.init(D, np.random.default_rng(0))
    x, y, _ = setting()
    made = outcome(problem(xp, "float32", network=network, params=params, epochs=1), xp)
    mean = np.zeros((1, D))
    plan = host_plan(Adam(), 0)
    for rows, weights in zip(plan.rows, plan.weights):
        mean = 0.5 * mean + 0.5 * (weights[:, None] * x[rows]).sum(0, keepdims=True)
    assert relative_error(made["params"][0]["mean"], mean) < 1e-6
