"""The NumPy engine, plain and compiled, against the generic engine on the same arrays."""

import os
import subprocess
import sys
from dataclasses import dataclass
from threading import Thread

import numpy as np
import pytest
from conftest import assert_close, assert_derivative, leaves
from each import each
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpmlp import optim, train
from xpmlp.engines import Carry, generic_engine
from xpmlp.engines import numpy as numpy_module
from xpmlp.engines.native import program
from xpmlp.engines.native.library import library
from xpmlp.errors import ShapeError
from xpmlp.nn import Activation, Ctx, Dense, Dropout, Embedding, Layer, Layout, Loss, Network
from xpmlp.nn.activations import ACTIVATIONS, ActivationFunction
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import SGD, Adagrad, Adam, AdamW, RMSprop, Rule, init_state
from xpmlp.training import Step, StepOptions
from xpmlp.training.outputs import network_outputs
from xpmlp.training.plan import epoch_order, make_plan, to_device

with_native = pytest.mark.skipif(
    isinstance(library(), str), reason="needs the compiled engine, which a C++ compiler makes"
)
KINDS = ["blocks", pytest.param("native", marks=with_native)]

# Of the norm, after a few steps. Rules that divide by the root of the squares get an epsilon that
# is not tiny: else a gradient of zero but for its rounding becomes a step of any size.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}
RULES = [SGD(0.0), SGD(0.9, False), SGD(0.9), Adam(epsilon=1e-2), AdamW(epsilon=1e-2),
         RMSprop(epsilon=1e-2), Adagrad(epsilon=1e-2)]  # fmt: skip


BOUNDS = {"max_grad_norm": 0.01, "max_norm": 0.5, "ema_decay": 0.9}


@pytest.fixture(params=KINDS)
def engine(request, monkeypatch, plain):
    """A NumPy engine of its own, without what earlier tests made."""
    if request.param == "blocks":
        monkeypatch.setattr(numpy_module, "native_run", lambda step, otherwise: None)
        monkeypatch.setattr(numpy_module, "native_outputs", lambda network, layout, dtype: None)
    return numpy_module.numpy_engine.__wrapped__(plain.xp)


@pytest.fixture
def compiled(plain):
    """The NumPy engine in its compiled form."""
    if isinstance(library(), str):
        pytest.skip("needs the compiled engine, which a C++ compiler makes")
    return numpy_module.numpy_engine.__wrapped__(plain.xp)


@pytest.fixture
def generic(plain):
    """The oracle."""
    return generic_engine(plain.xp)


def path_of(engine, f):
    """Which module a run or outputs come from: the fast one, or another."""
    code = {"blocks": "xpmlp.engines.numpy", "native": "xpmlp.engines.native.program"}
    return next((kind for kind, module in code.items() if f.__module__ == module), "generic")


def targets(loss, n, C, rng):
    """Targets that a loss may have."""
    if loss == "log_loss":
        return rng.dirichlet(np.ones(C), n)
    return rng.integers(0, 2 if loss == "binary_log_loss" else 4, (n, C)).astype(np.float64)


def problem(
    network,
    *,
    n=22,
    D=4,
    dtype="float64",
    loss="squared_error",
    rule=None,
    batch_size=5,
    alpha=0.0,
    weight_decay=0.0,
    weights=None,
    shuffle=True,
    epochs=2,
    seed=0,
    contiguous=True,
    data=None,
    **bounds,
):
    """A step, and () -> (carry, data, plans) afresh; bounds: max_grad_norm and so on."""
    rng, rule = np.random.default_rng(seed), rule or SGD(0.9)
    params, C = network.init(D, rng)
    given = data or (rng.normal(size=(n, D)), targets(getattr(loss, "name", loss), n, C, rng))
    x, y = (a if a.dtype == dtype else a.astype(dtype) for a in given)
    layout = Layout.of(network, params, contiguous=contiguous)
    record = loss if isinstance(loss, Loss) else LOSSES[loss]
    options = {"decoupled": weight_decay > 0, "options": StepOptions(**bounds)}
    step = Step(network, record, rule, layout, batch_size, dtype, penalised=alpha > 0, **options)
    B = -(-n // batch_size)
    plans = [
        make_plan(
            rule,
            epoch_order(n, seed=seed, epoch=epoch, shuffle=shuffle),
            batch_size=batch_size,
            lr=0.05,
            seed=seed,
            first_step=B * epoch,
            rule_step=B * epoch,
            alpha=alpha,
            weight_decay=weight_decay,
            sample_weight=weights,
        )
        for epoch in range(epochs)
    ]

    def start():
        store = {k: a.astype(dtype) for k, a in layout.pack(params, xp=np).items()}
        state = init_state(rule, store, xp=np)
        if step.options.ema_decay:
            state["ema"] = {k: np.zeros_like(a) for k, a in store.items()}
        carry = Carry(store, {}, state)
        return carry, (x, y), [to_device(plan, x, dtype) for plan in plans]

    return step, start


def outcome(engine, step, start, *, path=None):
    """Everything that a training makes: parameters, the rule's state, losses."""
    run, (carry, data, plans), losses = engine.run(step), start(), []
    assert path is None or path_of(engine, run) == path
    before = [a.copy() for a in (*data, *plans[0])]
    for plan in plans:
        carry, made = run(carry, data, plan)
        losses.append(made)
    assert all(np.array_equal(a, b) for a, b in zip((*data, *plans[0]), before))
    made = {"params": carry.params, "state": carry.state, "losses": np.concatenate(losses, axis=1)}
    assert {a.dtype.name for _, a in leaves(made)} == {step.dtype}
    return made


def check(engine, generic, made, *, path=None, tolerance=None):
    """Equal to the oracle, array by array."""
    step, _ = made
    want = outcome(generic, *made)
    assert_close(outcome(engine, *made, path=path), want, tolerance or TOLERANCE[step.dtype])


def kind_of(request):
    return request.node.callspec.params["engine"]


# Whole trainings.


@st.composite
def networks(draw):
    """Chains of one to four Dense layers, with Dropout anywhere but at the end."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        made += [Dropout(draw(st.sampled_from([0.0, 0.1, 0.5])))] * draw(st.integers(0, 1))
        units, activation = draw(st.integers(1, 9)), draw(st.sampled_from([*ACTIVATIONS]))
        made.append(Dense(units, activation, use_bias=draw(st.booleans())))
    return Network(made)


@settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    network=networks(), loss=st.sampled_from(sorted({*LOSSES} - {"focal", "binary_focal"})),
    rule=st.sampled_from(RULES),
    dtype=st.sampled_from([*TOLERANCE]), alpha=st.sampled_from([0.0, 0.5]),
    weight_decay=st.sampled_from([0.0, 0.1]), weighted=st.booleans(), shuffle=st.booleans(),
    n=st.sampled_from([1, 2, 21, 22]), batch_size=st.sampled_from([1, 5, 20, 40]),
    contiguous=st.booleans(), seed=st.integers(0, 2**20),
)  # fmt: skip
def test_a_training_equals_the_plain_one_whatever_the_network_and_the_plan(
    engine, generic, request, network, dtype, n, weighted, contiguous, **options
):
    weights = np.random.default_rng(1).integers(0, 3, n).astype(float) if weighted else None
    step, start = problem(
        network, n=n, dtype=dtype, weights=weights, contiguous=contiguous, **options
    )
    with np.errstate(all="ignore"):
        want = outcome(generic, step, start)
        got = outcome(engine, step, start, path=kind_of(request))
    if all(np.isfinite(a).all() for _, a in leaves(want)):
        assert_close(got, want, TOLERANCE[dtype])


WIDE = Network([Dropout(0.2), Dense(70, "relu"), Dropout(0.5), Dense(300, "gelu"), Dense(3)])


@each("dtype", TOLERANCE)
@each("rule", RULES)
def test_layers_wider_than_tiles_and_blocks_train_as_plainly(engine, generic, rule, dtype, request):
    options = {"batch_size": 50, "alpha": 0.5, "weight_decay": 0.1}
    made = problem(WIDE, n=101, D=200, loss="log_loss", rule=rule, dtype=dtype, **options)
    assert made[1]()[0].params["weights"].size > numpy_module.BLOCK
    check(engine, generic, made, path=kind_of(request))


EMBEDDED = Network([Embedding((3, 300, 1), 5), Dropout(0.2), Dense(70, "gelu"), Dense(3)])


def coded(n):
    """Two numbers and three codes a row, some of them unknown, and one-hot targets."""
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(-1, size + 1, n) for size in (3, 300, 1)], axis=1)
    x = np.concatenate([rng.normal(size=(n, 2)), codes + rng.uniform(-0.4, 0.4, (n, 3))], axis=1)
    x[:2, 2:] = [[1e30, -1e30, 0.2], [2.49, 299.49, -0.49]]
    return x, np.eye(3)[rng.integers(0, 3, n)]


@each("dtype", TOLERANCE, parts=4)
@each("rule", RULES)
@each("shuffle", [True, False])
def test_an_embedding_in_front_trains_and_predicts_as_plainly(
    engine, generic, rule, dtype, shuffle, request
):
    options = {"dtype": dtype, "batch_size": 50, "alpha": 0.5, "weight_decay": 0.1}
    options |= {"shuffle": shuffle}
    made = problem(EMBEDDED, n=101, D=5, data=coded(101), loss="log_loss", rule=rule, **options)
    compiled = kind_of(request) == "native"
    check(engine, generic, made, path="native" if compiled else "generic")
    (step, start), x = made, coded(3000)[0].astype(dtype)
    store = start()[0].params
    assert (engine.outputs(EMBEDDED, step.layout, dtype) is not None) == compiled
    want, _ = EMBEDDED.forward(step.layout.unpack(store, xp=np), x, Ctx(np))
    assert_close(network_outputs(EMBEDDED, step.layout, store, x, engine), want, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_batches_that_weigh_nothing_leave_all_but_the_rules_state_as_it_is(engine, generic, dtype):
    options = {"weights": np.arange(22) >= 10.0, "shuffle": False, "alpha": 0.5, "rule": SGD(0.0)}
    made = problem(Network([Dense(5, "tanh"), Dense(2)]), dtype=dtype, **options)
    check(engine, generic, made)
    run, (carry, data, plans) = engine.run(made[0]), made[1]()
    before = {name: a.copy() for name, a in carry.params.items()}
    after, losses = run(carry, data, type(plans[0])(*(a[:2] for a in plans[0])))
    assert not losses.any()
    assert_close(after.params, before, 0.0)


def test_rows_out_of_order_between_the_ends_of_a_run_are_gathered(engine, generic):
    step, start = problem(Network([Dense(5, "tanh"), Dense(2)]), n=20, epochs=1)
    rows = np.asarray([[0, 7, 19, 3, 4], [5, 2, 2, 8, 9], [3, 1, 6, 6, 7]], np.int32)

    def mixed():
        carry, data, (plan,) = start()
        return carry, data, [type(plan)(*(a[:3] for a in plan))._replace(rows=rows)]

    check(engine, generic, (step, mixed))


def _memmap(a, folder):
    a.tofile(folder / "x")
    return np.memmap(folder / "x", a.dtype, "r", shape=a.shape)


def _unaligned(a, folder):
    made = np.zeros(a.nbytes + 1, np.uint8)[1:].view(a.dtype).reshape(a.shape)
    made[...] = a
    return made


def _readonly(a, folder):
    a = a.copy()
    a.flags.writeable = False
    return a


FORMS = {
    "F-ordered": lambda a, folder: np.asfortranarray(a),
    "read-only": _readonly,
    "every second row and column": lambda a, folder: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
    "backwards": lambda a, folder: a[::-1, ::-1].copy()[::-1, ::-1],
    "memmap": _memmap,
    "unaligned": _unaligned,
}


@each("form", FORMS)
@each("shuffle", [True, False])
@each("dtype", TOLERANCE)
def test_the_memory_of_the_data_may_lie_in_any_way_and_is_only_read(
    engine, form, shuffle, dtype, tmp_path
):
    network = Network([Dense(5, "relu"), Dense(3, "relu")])
    rng = np.random.default_rng(3)
    data = tuple(rng.normal(size=(22, k)).astype(dtype) for k in (4, 3))
    want = outcome(engine, *problem(network, dtype=dtype, data=data, shuffle=shuffle))
    formed = FORMS[form](data[0], tmp_path), FORMS[form](data[1], tmp_path / "..")
    step, start = problem(network, dtype=dtype, data=formed, shuffle=shuffle)
    assert all(a is b for a, b in zip(start()[1], formed))
    assert_close(outcome(engine, step, start), want, 0.0)
    assert all(np.array_equal(a, b) for a, b in zip(formed, data))
    store = start()[0].params
    args = network, step.layout, store
    want = network_outputs(*args, data[0], engine)
    assert_close(network_outputs(*args, formed[0], engine), want, 0.0)


# Several threads.


@pytest.fixture
def crew(monkeypatch):
    """(n) -> teams of up to n threads, however small the work."""
    if isinstance(library(), str):
        pytest.skip("teams need the compiled engine, which a C++ compiler makes")
    monkeypatch.setattr(program, "WORK", 1)
    monkeypatch.setattr(program, "LIGHT", 0)
    return lambda n: monkeypatch.setattr(program, "n_threads", lambda: n)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rule", [SGD(0.9), Adam(epsilon=1e-2)], ids=str)
@pytest.mark.parametrize("network", [WIDE, EMBEDDED], ids=["wide", "embedded"])
def test_a_team_of_any_size_trains_the_same_and_twice_bit_by_bit(network, dtype, rule, crew, plain):
    """Products of fewer rows may sum in another order, so sizes agree to rounding."""
    own = {"D": 200} if network is WIDE else {"D": 5, "data": coded(101)}
    make = lambda: problem(
        network,
        n=101,
        loss="log_loss",
        rule=rule,
        dtype=dtype,
        batch_size=50,
        alpha=0.5,
        weight_decay=0.1,
        **own,
    )
    made = []
    for size in (1, 2, 3):
        crew(size)
        engine = numpy_module.numpy_engine.__wrapped__(plain.xp)
        made.append(outcome(engine, *make(), path="native"))
        assert_close(outcome(engine, *make()), made[-1], 0.0)
    for other in made[1:]:
        assert_close(other, made[0], 50 * np.finfo(dtype).eps)


@each("n", [1, 2, 511, 512, 513, 2000])
def test_a_team_of_any_size_predicts_the_same(n, crew, compiled, generic):
    x = np.random.default_rng(0).normal(size=(n, 4))
    step, start = problem(Network([Dense(7, "mish"), Dropout(0.5), Dense(2)]))
    args = step.network, step.layout, start()[0].params, x
    want = network_outputs(*args, generic)
    for size in (1, 2, 3):
        crew(size)
        assert_close(network_outputs(*args, compiled), want, 1e-14)


def test_threads_that_train_at_the_same_time_do_not_disturb_each_other(engine, generic):
    problems = [
        problem(WIDE, n=200, D=30, seed=seed, batch_size=64, loss="log_loss") for seed in range(4)
    ]
    made = [None] * len(problems)

    def fit(i):
        made[i] = outcome(engine, *problems[i])

    threads = [Thread(target=fit, args=(i,)) for i in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for got, one in zip(made, problems):
        assert_close(got, outcome(generic, *one), TOLERANCE["float64"])


def test_more_teams_than_threads_do_not_wait_for_each_other_for_ever(crew, compiled, generic):
    crew(3)
    test_threads_that_train_at_the_same_time_do_not_disturb_each_other(compiled, generic)


FORKED = """
import os, sys
import numpy as np
from xpmlp import nn, train
from xpmlp.engines.native import program
program.WORK, program.n_threads = 1, lambda: 2
x = np.random.default_rng(0).normal(size=(300, 4))
fit = lambda: train(nn.Network([nn.Dense(9, "tanh"), nn.Dense(1)]), x, x[:, :1], max_iter=3)
before = fit().outputs(x)  # makes the threads, which a child does not have
child = os.fork()
if not child:
    os._exit(0 if np.array_equal(fit().outputs(x), before) else 3)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@with_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_that_was_forked_off_after_a_fit_can_fit():
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    assert subprocess.run(command, timeout=120, check=False).returncode == 0


def blas_threads():
    import threadpoolctl

    return {lib["filepath"]: lib["num_threads"] for lib in threadpoolctl.threadpool_info()}


def test_the_threads_of_blas_are_as_many_after_a_fit_as_before_also_after_an_error(engine, crew):
    import threadpoolctl

    crew(2)
    step, start = problem(Network([Dense(9, "tanh"), Dense(2)]), n=60, batch_size=30)
    outcome(engine, step, start)  # loads what it needs
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        assert 2 in before.values()
        outcome(engine, step, start)
        assert blas_threads() == before
        with pytest.raises(ZeroDivisionError):
            with program.team(2):
                1 // 0  # noqa: B018
        assert blas_threads() == before


@each("loss", LOSSES)
@each("activation", ACTIVATIONS)
def test_a_step_of_plain_descent_goes_along_the_derivative(engine, activation, loss):
    network = Network([Dense(5, activation), Dropout(0.2), Dense(4, "tanh"), Dense(3)])
    options = {"n": 6, "batch_size": 6, "rule": SGD(0.0), "loss": loss, "epochs": 1}
    step, start = problem(network, **options)
    carry, (x, y), (plan,) = start()
    before = {name: p.copy() for name, p in carry.params.items()}
    rows = plan.rows[0]
    ctx = Ctx(np, True, weights=plan.weights[0], key=plan.key[0])

    def value(store):
        outputs, _ = network.forward(step.layout.unpack(store, xp=np), x[rows], ctx)
        return float(step.loss(outputs, y[rows])[0])

    after, _ = engine.run(step)(carry, (x, y), plan)
    grads = {name: (p - after.params[name]) / plan.rate[0] for name, p in before.items()}
    assert_derivative(value, before, grads)


# Predictions.


@each("dtype", TOLERANCE)
@each("n", [0, 1, 511, 512, 513, 1024, 1025, 5000])
@each("contiguous", [True, False])
def test_predictions_equal_the_networks_own_forward(engine, n, contiguous, dtype):
    network = Network([Dropout(0.5), Dense(7, "relu"), Dense(6, "silu", use_bias=False), Dense(2)])
    step, start = problem(network, contiguous=contiguous, dtype=dtype)
    store = start()[0].params
    assert engine.outputs(network, step.layout, dtype)(store, n) is not None
    x = np.random.default_rng(0).normal(size=(n, 4)).astype(dtype)
    made = network_outputs(network, step.layout, store, x, engine)
    want, _ = network.forward(step.layout.unpack(store, xp=np), x, Ctx(np))
    assert made.dtype == dtype and made.shape == (n, 2)
    assert_close(made, want, TOLERANCE[dtype])


def test_parameters_that_were_changed_by_hand_predict_as_they_are(engine, plain, monkeypatch):
    monkeypatch.setattr("xpmlp.training.fit.engine_for", lambda *args: engine)
    x = np.random.default_rng(0).normal(size=(40, 4))
    trained = train(Network([Dense(5, "tanh"), Dense(2)]), x, x[:, :2], max_iter=2)
    want, params = trained.outputs(x), trained.params
    W = params[0]["W"]
    trained.params = {0: params[0] | {"W": np.asfortranarray(W)}, 1: params[1]}
    assert_close(trained.outputs(x), want, 0.0)
    trained.params = {0: params[0] | {"W": W.astype("float32")}, 1: params[1]}
    assert_close(trained.outputs(x), want, 1e-6)
    W2 = params[1]["W"]
    for i, other in ((0, W[:3]), (0, W[:, :3]), (1, W2[:3]), (1, np.vstack([W2, W2]))):
        trained.params = params | {i: params[i] | {"W": other}}
        with pytest.raises(ValueError, match="shape|expected"):
            trained.outputs(x)
    trained.params = {0: params[0] | {"W": np.full_like(W, np.nan)}, 1: params[1]}
    assert np.isnan(trained.outputs(x)).all()


def test_rows_of_another_width_are_refused_by_their_shape(engine, monkeypatch):
    monkeypatch.setattr("xpmlp.training.fit.engine_for", lambda *args: engine)
    x = np.random.default_rng(0).normal(size=(40, 4))
    trained = train(Network([Dense(5, "tanh"), Dense(2)]), x, x[:, :2], max_iter=2)
    for wrong in (x[:, :3], np.hstack([x, x]), x[0]):
        with pytest.raises(ShapeError, match=r"expected"):
            trained.outputs(wrong)


# What is not of ours.


@dataclass(frozen=True)
class Doubled(Dense):
    """A subclass may compute anything."""

    def forward(self, params, x, ctx):
        a, cache = super().forward(params, x, ctx)
        return 2.0 * a, cache

    def backward(self, params, dy, cache, ctx):
        return super().backward(params, 2.0 * dy, cache, ctx)


@dataclass(frozen=True)
class Shift(Layer):
    """A layer of one's own."""

    def init(self, n_in, stream, x=None):
        return {"W": np.ones((1, n_in))}, n_in

    def forward(self, params, x, ctx):
        return x + params["W"], ()

    def backward(self, params, dy, cache, ctx):
        return dy, {"W": ctx.xp.sum(dy, axis=-2, keepdims=True)}


NOT_CHAINS = {
    "a subclass of Dense": Network([Doubled(5, "relu"), Dense(2)]),
    "a layer of one's own": Network([Shift(), Dense(2)]),
    "a nested network": Network([Network([Dense(5, "relu")]), Dense(2)]),
    "an activation as a layer": Network([Dense(5), Activation("relu"), Dense(2)]),
    "a dropout at the end": Network([Dense(2), Dropout(0.5)]),
    "an embedding behind": Network([Dropout(0.5), Embedding((3, 2), 2), Dense(2)]),
    "two embeddings": Network([Embedding((3,), 2), Embedding((3,), 2), Dense(2)]),
}

ONLY_COMPILED = {"an activation as a layer", "a dropout at the end"}


@each("name", NOT_CHAINS)
def test_networks_that_are_no_chains_run_generically(name, engine, generic, request):
    network = NOT_CHAINS[name]
    made = problem(network, alpha=0.5)
    if kind_of(request) == "native" and name in ONLY_COMPILED:
        check(engine, generic, made, path="native")
    else:
        check(engine, generic, made, path="generic", tolerance=1e-15)
        assert engine.outputs(network, made[0].layout, "float64") is None


@dataclass(frozen=True)
class Clipped(Rule):
    """Looks at a whole leaf, and returns other arrays than it was given."""

    slots = ("m",)

    def apply(self, p, g, rate, m, *, xp):
        g = g / xp.sqrt(xp.sum(g * g))
        return p - rate * g - 0.1 * m, m + g


@dataclass(frozen=True)
class Remembering(Rule):
    """Heavy-ball descent (Polyak 1964): its slot becomes the array that p was."""

    slots = ("before",)

    def apply(self, p, g, rate, before, *, xp):
        return p - rate * g + 0.5 * (p - before), p


class Slower(SGD):
    """A subclass of a rule may compute anything."""

    def apply(self, p, g, rate, *slots, xp):
        return super().apply(p, 0.5 * g, rate, *slots, xp=xp)


def _sums(outputs, y, w, xp):
    """For whole batches; its gradient is the targets' own memory, in which nobody may write."""
    return -xp.sum(y * outputs), y


SQUARE = ActivationFunction("relu", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * da * z)
CHAIN = Network([Dense(5, "tanh"), Dense(2)])
OWN = {
    "a rule": {"network": Network([Dense(300, "relu"), Dense(2)]), "D": 200, "rule": Clipped()},
    "a rule that keeps an old array": {"network": CHAIN, "rule": Remembering()},
    "a subclass of a rule": {"network": CHAIN, "rule": Slower(0.9)},
    "a loss": {"network": CHAIN, "loss": Loss("squared_error", _sums, "identity")},
    "a loss that hands out the targets": {
        "network": Network([Dense(5, "tanh"), Dense(2, "relu")]),
        "shuffle": False,
        "loss": Loss("sums", _sums, "identity"),
    },
    "an activation with a name of ours": {"network": Network([Dense(5, SQUARE), Dense(2)])},
}


@each("name", OWN)
def test_parts_of_ones_own_in_a_chain_run_without_compiled_code(name, engine, generic):
    made = problem(**OWN[name], n=20, alpha=0.1)
    check(engine, generic, made, path="blocks")


def test_rows_that_are_added_to_the_registries_run_without_compiled_code(
    engine, generic, monkeypatch
):
    monkeypatch.setitem(ACTIVATIONS, "square", SQUARE._replace(name="square"))
    monkeypatch.setitem(LOSSES, "sums", Loss("sums", _sums, "identity"))
    for options in (
        {"network": Network([Dense(5, "square"), Dense(2)])},
        {"network": CHAIN, "loss": "sums"},
    ):
        check(engine, generic, problem(**options, n=20), path="blocks")


@with_native
def test_every_activation_loss_and_rule_that_is_built_in_has_a_compiled_form(compiled):
    rows = [
        ("activation", name, problem(Network([Dense(5, name), Dense(2)]))) for name in ACTIVATIONS
    ]
    rows += [("loss", name, problem(CHAIN, loss=name)) for name in LOSSES]
    rows += [("rule", name, problem(CHAIN, rule=rule())) for name, rule in optim.RULES.items()]
    for kind, name, (step, _) in rows:
        assert path_of(compiled, compiled.run(step)) == "native", (kind, name)


# More weights than one block holds: what looks at a whole leaf must get it whole.
BROAD = Network([Dropout(0.2), Dense(300, "relu"), Dense(3)])
ALONE = {
    **{name: {"loss": name} for name in LOSSES},
    **{name: {"rule": optim.RULES[name]()} for name in ("nadam", "lion")},
    **{f"{name} {value}": {name: value} for name, value in BOUNDS.items()},
}


@each("dtype", TOLERANCE)
@each("name", [*ALONE, "all bounds"])
def test_losses_rules_and_bounds_equal_the_plain_steps(engine, generic, name, dtype, request):
    options = BOUNDS if name == "all bounds" else ALONE[name]
    made = problem(BROAD, D=200, alpha=0.1, dtype=dtype, n=12, epochs=1, **options)
    if name == "lion":  # a sign flips where a gradient is zero but for its rounding
        made = problem(CHAIN, dtype=dtype, **options)
    check(engine, generic, made, path=kind_of(request))


def test_the_slots_of_a_rules_state_go_by_their_names(engine, generic):
    step, start = problem(CHAIN, rule=Adam(epsilon=1e-2))

    def swapped():
        carry, data, plans = start()
        return carry._replace(state={slot: carry.state[slot] for slot in ("v", "m")}), data, plans

    check(engine, generic, (step, swapped))
