"""The NumPy engine, plain and compiled, against the generic engine on the same arrays."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from conftest import assert_close, leaves
from each import each
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy_problems import (  # noqa: F401 - fixtures among them
    EMBEDDED,
    TOLERANCE,
    WIDE,
    check,
    coded,
    compiled_fixture,
    engine_fixture,
    generic_fixture,
    kind_of,
    outcome,
    problem,
)

from xpmlp import train
from xpmlp.errors import ShapeError
from xpmlp.nn import Ctx, Dense, Dropout, Network
from xpmlp.nn.activations import ACTIVATIONS, ActivationFunction
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from xpmlp.training.outputs import network_outputs

RULES = [SGD(0.0), SGD(0.9, False), SGD(0.9), Adam(epsilon=1e-2), AdamW(epsilon=1e-2),
         RMSprop(epsilon=1e-2), Adagrad(epsilon=1e-2)]  # fmt: skip


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
        # Where large terms cancel, only their rounding is left.
        assert_close(got, want, TOLERANCE[dtype], least=0.1)


@each("dtype", TOLERANCE)
@each("rule", RULES)
def test_layers_wider_than_tiles_train_as_plainly(engine, generic, rule, dtype, request):
    options = {"batch_size": 50, "alpha": 0.5, "weight_decay": 0.1}
    made = problem(WIDE, n=101, D=200, loss="log_loss", rule=rule, dtype=dtype, **options)
    check(engine, generic, made, path=kind_of(request))


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


def _backwards(a):
    return a[::-1, ::-1].copy()[::-1, ::-1]


FORMS = {
    "F-ordered": lambda a, folder: np.asfortranarray(a),
    "read-only": _readonly,
    "every second row and column": lambda a, folder: np.repeat(np.repeat(a, 2, 0), 2, 1)[::2, ::2],
    "backwards": lambda a, folder: _backwards(a),
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
    tolerance = 0.0
    if not np.array_equal(_backwards(data[0]) @ data[0].T, data[0] @ data[0].T):
        tolerance = TOLERANCE[dtype]  # what BLAS cannot read, an older NumPy multiplies itself
    formed = FORMS[form](data[0], tmp_path), FORMS[form](data[1], tmp_path / "..")
    step, start = problem(network, dtype=dtype, data=formed, shuffle=shuffle)
    assert all(a is b for a, b in zip(start()[1], formed))
    assert_close(outcome(engine, step, start), want, tolerance)
    assert all(np.array_equal(a, b) for a, b in zip(formed, data))
    store = start()[0].params
    args = network, step.layout, store
    want = network_outputs(*args, data[0], engine)
    assert_close(network_outputs(*args, formed[0], engine), want, tolerance)


# Predictions.


@each("dtype", TOLERANCE)
@each("n", [0, 1, 511, 512, 513, 1024, 1025, 5000])
@each("contiguous", [True, False])
def test_predictions_equal_the_networks_own_forward(engine, n, contiguous, dtype):
    network = Network([Dropout(0.5), Dense(7, "relu"), Dense(6, "silu", use_bias=False), Dense(2)])
    step, start = problem(network, contiguous=contiguous, dtype=dtype)
    store = start()[0].params
    assert engine.outputs(network, step.layout, dtype)(store) is not None
    x = np.random.default_rng(0).normal(size=(n, 4)).astype(dtype)
    made = network_outputs(network, step.layout, store, x, engine)
    want, _ = network.forward(step.layout.unpack(store, xp=np), x, Ctx(np))
    assert made.dtype == dtype and made.shape == (n, 2)
    assert_close(made, want, TOLERANCE[dtype])


def test_threads_predict_at_once(engine):
    both = Barrier(2, timeout=10)
    meeting = ActivationFunction("meeting", lambda z, xp: both.wait() * 0 + z, None)
    step, start = problem(Network([Dense(5, meeting), Dense(2)]))
    store = start()[0].params
    outputs = engine.outputs(step.network, step.layout, "float64")(store)
    rows = [np.random.default_rng(i).normal(size=(3, 4)) for i in range(2)]
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(outputs, rows))
    params, plain = step.layout.unpack(store, xp=np), Network([Dense(5), Dense(2)])
    assert_close(made, [plain.forward(params, x, Ctx(np))[0] for x in rows], 1e-14)


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
