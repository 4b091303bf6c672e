"""The eager tier on the stand-in, whole trainings, against the plain text in float64."""

import warnings
from itertools import product

import numpy as np
import pytest
from card import backwards, recording
from conftest import assert_close, leaves
from cuda_setting import cupy
from cuda_training import RULES, TOLERANCE, engine, oracle, outcome, started, training
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

from xpmlp import MLPClassifier, MLPRegressor
from xpmlp.engines import Plan
from xpmlp.engines.chain import LOSS_KINDS
from xpmlp.nn import Dense, Dropout, Network
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import Adam, RMSprop
from xpmlp.training import rows

X = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
Y = np.argmax(X[:, :3], axis=1)
ARGS = {"hidden_layer_sizes": (12, 8), "batch_size": 16, "max_iter": 3, "random_state": 0}


def check(made, *, fused=True, tolerance=None):
    """The eager tier's training is the plain text's in float64."""
    got = outcome(engine("eager"), made, fused=fused)
    assert_close(got, oracle(made), tolerance or TOLERANCE[made.step.dtype])


@st.composite
def networks(draw):
    """Chains of one to four Dense layers, with Dropout anywhere but at the end."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        made += [Dropout(draw(st.sampled_from([0.0, 0.1, 0.5])))] * draw(st.integers(0, 1))
        units, activation = draw(st.integers(1, 9)), draw(st.sampled_from([*ACTIVATIONS]))
        made.append(Dense(units, activation, use_bias=draw(st.booleans())))
    last = made[-1]
    made[-1] = Dense(
        last.n_out, draw(st.sampled_from(["identity", "logistic", "gelu"])), last.use_bias
    )
    return Network(made)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    network=networks(), loss=st.sampled_from([*LOSSES | LOSS_KINDS]), rule=st.sampled_from(RULES),
    dtype=st.sampled_from([*TOLERANCE]), alpha=st.sampled_from([0.0, 0.5]),
    weight_decay=st.sampled_from([0.0, 0.1]), weighted=st.booleans(), shuffle=st.booleans(),
    n=st.sampled_from([1, 2, 21, 22]), batch_size=st.sampled_from([1, 5, 20, 40]),
    K=st.sampled_from([0, 0, 3]), seed=st.integers(0, 2**20),
)  # fmt: skip
def test_a_training_equals_the_plain_one_whatever_the_network_and_the_plan(
    network, n, weighted, **options
):
    weights = np.random.default_rng(1).integers(0, 3, n).astype(float) if weighted else None
    made = training(network, n=n, weights=weights, **options)
    with np.errstate(all="ignore"):
        want = oracle(made)
        got = outcome(engine("eager"), made, fused=None)
    if all(np.isfinite(a).all() for _, a in leaves(want)):
        assert_close(got, want, TOLERANCE[made.step.dtype])


CASES = [(*case, "float64") for case in product(ACTIVATIONS, LOSS_KINDS)]
CASES += [(name, "log_loss", "float32") for name in ACTIVATIONS]


@pytest.mark.parametrize(("name", "loss", "dtype"), CASES)
def test_every_activation_and_loss_trains_as_plainly(name, loss, dtype):
    last = {"squared_error": "logistic", "poisson": "tanh"}.get(loss, "identity")
    network = Network([Dropout(0.2), Dense(7, name), Dropout(0.4), Dense(5, name), Dense(3, last)])
    check(training(network, loss=loss, dtype=dtype, alpha=0.5, rule=Adam(epsilon=1e-2), epochs=1))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("K", [0, 3, 5], ids=["one", "three", "as many as rows"])
def test_every_rule_trains_as_plainly_members_too(rule, K, dtype):
    network = Network([Dense(7, "tanh"), Dropout(0.25), Dense(6, "gelu"), Dense(3, use_bias=False)])
    tolerance = None
    if isinstance(rule, RMSprop) and dtype == "float32":
        tolerance = 5e-5  # the plain text in float32 is 1.2e-5 from the oracle here
    made = training(network, loss="log_loss", dtype=dtype, rule=rule, K=K, weight_decay=0.1)
    check(made, tolerance=tolerance)


@pytest.mark.parametrize("last", ["gelu", "softsign", "hard_tanh", "relu"])
@pytest.mark.parametrize("loss", LOSS_KINDS)
def test_activated_outputs_train_as_plainly_and_none_go_unactivated_into_a_softmax(loss, last):
    network = Network([Dense(4, "relu"), Dense(3, last)])
    check(training(network, loss=loss), fused=LOSS_KINDS[loss].link != "softmax")


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("n", "D", "widths"), [(70, 1, (1, 1)), (101, 40, (300, 33)), (33, 5, ())])
def test_layers_of_any_width_train_as_plainly(n, D, widths, dtype):
    network = Network([*(Dense(w, "silu") for w in widths), Dropout(0.3), Dense(2)])
    weights = np.random.default_rng(3).integers(0, 3, n).astype(float)
    options = {"loss": "binary_log_loss", "alpha": 0.5, "weights": weights}
    made = training(network, n=n, D=D, dtype=dtype, batch_size=64, **options)
    check(made)


def test_blocks_in_another_order_make_the_same_to_the_last_bit():
    network = Network([Dropout(0.3), Dense(70, "mish"), Dense(33, "relu"), Dense(3)])
    made = training(network, n=60, loss="log_loss", batch_size=30, dtype="float32", K=2, alpha=0.1)
    there = outcome(engine("eager"), made)
    with backwards():
        assert_close(outcome(engine("eager"), made), there, 0.0)


@pytest.mark.parametrize("cut", [1, 2, 4])
def test_chunkes_may_be_cut_anywhere(cut):
    network = Network([Dense(7, "tanh"), Dropout(0.25), Dense(3)])
    made, parts = training(network, loss="log_loss", rule=Adam()), (slice(cut), slice(cut, 5))
    plans = [Plan(*(a[part] for a in plan)) for plan in made.plans for part in parts]
    want = outcome(engine("eager"), made)
    assert_close(outcome(engine("eager"), made._replace(plans=plans)), want, 0.0)


@pytest.mark.parametrize("form", ["F", "every second", "backwards"])
def test_data_and_plans_may_lie_in_memory_in_any_way_and_are_only_read(form):
    made = training(Network([Dense(4, "relu"), Dense(3)]), loss="log_loss")
    run = engine("eager").run(made.step)
    carry, data, plans = started(made)
    want, losses = run(carry, data, plans[0])
    want = [a.get() for a in (*want.params.values(), losses)]
    shapes = {
        "F": lambda a: cupy.asarray(a.get().T.copy()).T,
        "every second": lambda a: cupy.asarray(np.repeat(a.get(), 2, 0))[::2],
        "backwards": lambda a: cupy.asarray(a.get()[::-1].copy())[::-1],
    }
    carry, data, plans = started(made)
    data, plan = tuple(map(shapes[form], data)), Plan(*map(shapes[form], plans[0]))
    before = [a.get() for a in (*data, *plan)]
    got, losses = run(carry, data, plan)
    for a, b in zip((*got.params.values(), losses), want):
        np.testing.assert_array_equal(a.get(), b)
    for a, b in zip((*data, *plan), before):
        np.testing.assert_array_equal(a.get(), b)


# ---- Estimators


def fitted(make, x, y, **changes):
    """Fit quietly: a few epochs do not converge."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=ConvergenceWarning)
        return make(**ARGS | changes).fit(x, y)


def assert_same_model(card, host, tolerance=5e-6):
    for a, b in zip((*card.coefs_, *card.intercepts_), (*host.coefs_, *host.intercepts_)):
        assert isinstance(a, cupy.ndarray)
        assert np.linalg.norm(a.get() - b) <= tolerance * max(np.linalg.norm(b), 1e-3)
    np.testing.assert_allclose(card.loss_curve_, host.loss_curve_, rtol=tolerance)


MODELS = {
    "classifier": (MLPClassifier, Y, {}),
    "binary": (MLPClassifier, Y > 0, {"solver": "sgd", "alpha": 0.1}),
    "early stopping": (MLPClassifier, Y, {"early_stopping": True, "max_iter": 6}),
    "adaptive": (MLPClassifier, Y, {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.5,
                                    "n_iter_no_change": 1, "max_iter": 8}),
    "dropout": (MLPClassifier, Y, {"dropout": 0.3, "activation": "gelu"}),
    "adamw": (MLPClassifier, Y, {"solver": "adamw"}),
    "L-BFGS": (MLPClassifier, Y, {"solver": "lbfgs"}),
    "squared error": (MLPClassifier, Y, {"loss": "squared_error"}),
    "regressor": (MLPRegressor, X[:, 0] * 2, {}),
    "two targets": (MLPRegressor, np.abs(X[:, :2]), {"loss": "poisson"}),
}  # fmt: skip


@pytest.mark.parametrize(("make", "y", "changes"), MODELS.values(), ids=MODELS)
def test_estimators_train_and_predict_as_on_numpy(make, y, changes):
    x, y = X.astype(float), np.asarray(y)
    host = fitted(make, x, y, **changes)
    card = fitted(make, cupy.asarray(x), cupy.asarray(y), accelerate="eager", **changes)
    assert card.fit_report_["engine"] == "cupy eager"
    assert_same_model(card, host, 1e-9)
    got = card.predict(cupy.asarray(x))
    np.testing.assert_allclose(got.get(), host.predict(x), rtol=1e-8)


def test_partial_fit_and_warm_start_go_on_as_on_numpy():
    x = cupy.asarray(X)
    card, host = (MLPClassifier(**ARGS, accelerate="eager") for _ in range(2))
    for _ in range(3):
        card.partial_fit(x, Y, classes=np.arange(3))
        host.partial_fit(X, Y, classes=np.arange(3))
    assert_same_model(card, host)
    card, host = (MLPClassifier(**ARGS, warm_start=True, accelerate="eager") for _ in range(2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=ConvergenceWarning)
        for _ in range(2):
            card.fit(x, Y)
            host.fit(X, Y)
    assert_same_model(card, host)


def test_an_estimators_weights_are_its_own_and_may_be_written_between_calls():
    x = cupy.asarray(X)
    card, host = (MLPClassifier(**ARGS, accelerate="eager") for _ in range(2))
    for model, data in ((card, x), (host, X)):
        model.partial_fit(data, Y, classes=np.arange(3))
        model.coefs_[0] *= 0.5
        model.partial_fit(data, Y)
    assert_same_model(card, host)


@pytest.mark.parametrize("tier", ["generic", "eager", "graph"])
@pytest.mark.parametrize("changes", [{}, {"early_stopping": True}, {"solver": "lbfgs"}])
def test_sparse_rows_train_as_on_numpy_with_one_read_an_epoch(tier, changes, monkeypatch):
    monkeypatch.setattr(rows, "CHUNK", 2 * ARGS["batch_size"] * X.shape[1])
    sparse = csr_array(X.astype(float) * (X > 0))
    host = fitted(MLPClassifier, sparse.toarray(), Y, **changes)
    card = fitted(MLPClassifier, sparse, Y, device="cuda", accelerate=tier, **changes)
    assert_same_model(card, host, 1e-6 if "solver" in changes else 1e-9)
    np.testing.assert_allclose(card.predict_proba(sparse), host.predict_proba(sparse), rtol=1e-6)
    if not changes:
        assert card.fit_report_["host_reads"] == ARGS["max_iter"]


# ---- Budgets


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("name", ["relu", "gelu"])
@pytest.mark.parametrize("rate", [0.0, 0.2])
def test_a_step_of_three_layers_is_16_launches_without_a_copy_or_a_pause(rule, name, rate):
    layers = [Dense(12, name), Dropout(rate), Dense(8, name), Dense(3)]
    made = training(
        Network(layers), n=20, loss="log_loss", rule=rule, alpha=0.1, weight_decay=0.1, epochs=1
    )
    run, (carry, data, (plan,)) = engine("eager").run(made.step), started(made)
    carry, _ = run(carry, data, plan)  # the program is made
    with recording() as record:
        run(carry, data, plan)
    assert len(record.launches) == 16 * 4
    assert (record.to_host, record.syncs) == ([], [])
    assert record.to_device == [11 * 8]  # addresses of the chunk's arrays, and its length


def recorded(n_batches, epochs):
    """Return what a fit of so many batches does on the card."""
    n = 16 * n_batches
    x, y = cupy.asarray(np.tile(X, (4, 1))[:n]), cupy.asarray(np.tile(Y, 4)[:n])
    with recording() as record:
        model = fitted(MLPClassifier, x, y, accelerate="eager", max_iter=epochs)
    return record, model.fit_report_


@pytest.mark.parametrize("n_batches", [1, 20])
def test_an_epoch_reads_the_card_once_and_sends_it_the_plan(n_batches):
    (three, _), (two, _) = recorded(n_batches, 3), recorded(n_batches, 2)
    assert len(three.to_host) - len(two.to_host) == 1
    assert len(three.syncs) - len(two.syncs) == 1
    assert len(three.to_device) - len(two.to_device) == 8  # the plan's 7 arrays, and where they are


def test_the_report_of_a_fit_counts_what_the_card_saw():
    recorded(1, 1)
    record, report = recorded(6, 3)
    assert report["engine"] == "cupy eager"
    assert (
        report["launches"]
        == 16 * 6 * 3
        == sum(
            name in {"gather", "matmul", "bias_act", "dact_colsum", "loss_grad", "update"}
            for name in record.launches
        )
    )
    assert report["notes"] == []
    assert report["host_reads"] == len(record.to_host)
    assert report["bytes_to_host"] == sum(record.to_host)
    # Where an epoch's arrays lie is not counted.
    assert report["bytes_to_device"] == sum(record.to_device) - 3 * 11 * 8
