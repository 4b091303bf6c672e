"""The graph tier: captured once, replayed, equal to launches one by one."""

import gc
import warnings
from functools import partial

import numpy as np
import pytest
from card import backwards, cublaslt_standin, needs_lt, recording, standin_only, watching
from conftest import assert_close, map_tree
from cuda_setting import cupy
from cuda_training import REPEATED, RULES, TOLERANCE, engine, oracle, outcome, started, training
from emulator import memory
from sklearn.exceptions import ConvergenceWarning

from xpmlp import MLPClassifier
from xpmlp.engines import cupy as engine_module
from xpmlp.engines.cupy import graph, products, program
from xpmlp.errors import DivergenceError
from xpmlp.nn import Dense, Dropout, Network
from xpmlp.optim import SGD, Adam, make_schedule
from xpmlp.randomness import Draws, random_state
from xpmlp.training import State, TrainOptions
from xpmlp.training.loop import run_epochs

pytestmark = needs_lt
THREE = Network([Dense(16, "relu"), Dense(24, "relu"), Dense(3)])
NETWORKS = {
    "relu": THREE,
    "gelu of 8 units and not": Network([Dense(8, "gelu_tanh"), Dense(5, "gelu_tanh"), Dense(3)]),
    "odd widths": Network([Dense(129, "relu"), Dense(1, "relu"), Dense(2)]),
    "without biases": Network([Dense(9, "relu", use_bias=False), Dense(3, use_bias=False)]),
    "other activations": Network([Dense(9, "tanh"), Dense(16, "relu"), Dense(7, "mish"), Dense(3)]),
    "dropout": Network([Dropout(0.2), Dense(16, "relu"), Dropout(0.5), Dense(8, "relu"), Dense(3)]),
    "one layer": Network([Dense(3)]),
}


class Always(dict):
    """One answer to every key: which of several ways is faster."""

    __contains__ = lambda self, key: True
    __setitem__ = lambda self, key, value: None

    def __init__(self, answer):
        self.answer = answer

    def __getitem__(self, key):
        return self.answer


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    """Make programs anew, with epilogues wherever there is one."""
    engine_module.PROGRAMS.items.clear()
    monkeypatch.setattr(products.LtProducts, "chosen", {})
    monkeypatch.setattr(program, "FASTEST", Always(1))


@pytest.fixture
def captures(monkeypatch):
    """How many steps each graph holds that is captured."""
    seen = []
    monkeypatch.setattr(
        graph, "capture", lambda ops, steps, f=graph.capture: seen.append(steps) or f(ops, steps)
    )
    return seen


def one_by_one(monkeypatch, made, **options):
    """The same launches without a graph."""
    with monkeypatch.context() as patched:
        patched.setattr(graph.Player, "_capture", lambda self: None)
        with watching() as record:
            got = outcome(engine("graph", **options), made)
    launches = ["cublasLt"] if record is None else record.launches
    assert "graph" not in launches
    assert any("cublasLt" in name for name in launches)
    engine_module.PROGRAMS.items.clear()
    return got


# ---- What is computed


@pytest.mark.parametrize(
    ("way", "dtype", "K"), [(1, "float64", 0), (0, "float32", 0), (1, "float32", 3)]
)
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_replays_equal_launches_to_the_last_bit_and_the_plain_text(
    network, K, dtype, way, monkeypatch
):
    monkeypatch.setattr(program, "FASTEST", Always(way))
    options = {"rule": Adam(epsilon=1e-2), "alpha": 0.5, "epochs": 1}
    made = training(network, n=50, D=9, K=K, dtype=dtype, loss="log_loss", **options)
    want = one_by_one(monkeypatch, made)
    assert_close(want, oracle(made), TOLERANCE[dtype])
    same = REPEATED[dtype] if way else 0.0
    assert_close(outcome(engine("graph"), made), want, same)
    engine_module.PROGRAMS.items.clear()
    with backwards():  # so do the branches of the graph
        assert_close(outcome(engine("graph"), made), want, same)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("loss", ["squared_error", "binary_log_loss", "poisson"])
def test_every_rule_and_loss_replays_as_plainly(rule, loss):
    weights = np.random.default_rng(3).integers(0, 3, 43).astype(float)
    made = training(THREE, n=43, rule=rule, loss=loss, weights=weights, weight_decay=0.1)
    assert_close(outcome(engine("graph"), made), oracle(made), TOLERANCE["float64"])


# ---- What is launched


@pytest.mark.parametrize(
    ("n_steps", "graphs"), [(1, 0), (2, 1), (8, 7), (9, 1), (10, 2), (25, 3), (26, 4)]
)
def test_a_step_is_one_launch_and_so_are_8(n_steps, graphs, captures):
    made = training(THREE, n=5 * n_steps, loss="log_loss", epochs=3)
    run, (carry, data, plans) = engine("graph").run(made.step), started(made)
    with recording() as record:  # the first step loads the kernels
        carry, _ = run(carry, data, plans[0])
    assert record.launches.count("graph") == graphs
    assert record.launches.count("update") == 1
    for plan in plans[1:]:
        with recording() as record:
            carry, _ = run(carry, data, plan)
        assert record.launches == ["graph"] * (n_steps // 8 + n_steps % 8)
        assert record.nodes.count("update") == n_steps
        assert (record.to_device, record.to_host, record.syncs) == ([88], [], [])
    assert captures == [1, 8]


def test_three_layers_of_relu_are_11_kernels_a_step():
    made = training(THREE, n=50, loss="log_loss", rule=Adam(), alpha=0.1, epochs=1)
    with recording() as record:
        outcome(engine("graph"), made)
    assert len(record.nodes) == 11 * 9
    assert {*record.nodes} == {
        "gather",
        "cublasLt:RELU_AUX_BIAS",
        "cublasLt",
        "loss_grad",
        "cublasLt:BGRADA",
        "cublasLt:DRELU_BGRAD",
        "update",
    }


def test_where_kernels_are_faster_there_are_no_epilogues(monkeypatch):
    monkeypatch.setattr(program, "FASTEST", Always(0))
    with recording() as record:
        outcome(engine("graph"), training(THREE, loss="log_loss"))
    assert {n for n in record.nodes if "cublasLt" in n} == {"cublasLt"}
    assert len(record.nodes) == 16 * 9


def test_ways_and_algorithms_are_chosen_by_time_once_for_each_shape(monkeypatch):
    asked = []

    def timed(run, *args, **options):
        asked.append(run)
        return 1.0 / len(asked)  # the next is always the faster

    for module in (products, program):
        monkeypatch.setattr(module, "seconds", timed)
    monkeypatch.setattr(program, "FASTEST", {})
    made = training(THREE, loss="log_loss")
    want = oracle(made)
    assert_close(outcome(engine("graph"), made), want, 1e-12)
    assert asked
    assert set(program.FASTEST.values()) == {1}
    asked.clear()
    engine_module.PROGRAMS.items.clear()
    assert_close(outcome(engine("graph"), made), want, 1e-12)
    assert asked == []


# ---- What a replay may and may not depend on


def test_a_graph_serves_other_data_plans_and_fits_of_the_same_step(captures):
    one, two = (
        training(THREE, n=40, loss="log_loss", seed=seed, lr=lr, alpha=alpha)
        for seed, lr, alpha in ((0, 0.05, 0.5), (7, 0.2, 0.1))
    )
    assert one.step == two.step
    for made in (one, two, one):
        gc.collect()
        assert_close(outcome(engine("graph"), made), oracle(made), 1e-12)
    assert captures == [1, 8]
    other = training(THREE, n=40, loss="log_loss", batch_size=8, alpha=0.5)
    assert_close(outcome(engine("graph"), other), oracle(other), 1e-12)
    assert captures == [1, 8] * 2


def buffers(program):
    """Return what a program holds: address -> bytes of each block of its pool."""
    owned = ((b, b.owner and b.owner()) for b in memory._blocks.values())
    return {
        b.ptr: b.bytes[: owner.nbytes]
        for b, owner in owned
        if getattr(owner, "pool", None) is program.pool
    }


def kept_by_contract(program):
    """Return the addresses of what a program keeps from run to run: not scratch."""
    launches = [op.launch for op in program.ops if isinstance(op.launch, partial)]
    arrays = [a for launch in launches for a in launch.args[-1] if hasattr(a, "data")]
    counters = [a for a in arrays if isinstance(a, cupy.ndarray) and a.dtype == np.uint32]
    kept = [program.theta, program.shadow, *program.slots, *counters]
    return {a.data.ptr for a in kept if a is not None}


@standin_only
@pytest.mark.parametrize("precision", ["highest", "medium"])
@pytest.mark.parametrize("name", ["relu", "dropout", "gelu of 8 units and not"])
def test_nothing_but_parameters_and_state_lives_from_run_to_run(name, precision):
    made = training(NETWORKS[name], n=40, loss="log_loss", dtype="float32", alpha=0.5)
    tier = engine("graph", precision)
    want = outcome(tier, made)
    run, (carry, data, plans) = tier.run(made.step), started(made)
    losses = []
    for plan in plans:
        carry, more = run(carry, data, plan)
        losses.append(more.get())
        (only,) = [item[1] for item in engine_module.PROGRAMS.items if item[1].owns(carry)]
        kept, held = kept_by_contract(only), buffers(only)
        assert kept <= set(held)
        for ptr in set(held) - kept:
            held[ptr][:] = 0xFF
    np.testing.assert_array_equal(np.concatenate(losses, axis=1), want["losses"])
    for name, a in carry.params.items():
        np.testing.assert_array_equal(a.get(), want["params"][name])


@standin_only
def test_what_is_made_after_the_capture_is_not_written_by_replays():
    made = training(THREE, n=40, loss="log_loss", epochs=3)
    run, (carry, data, plans) = engine("graph").run(made.step), started(made)
    carry, _ = run(carry, data, plans[0])
    sizes = [b.nbytes for b in buffers(engine_module.PROGRAMS.items[-1][1]).values()]
    canaries = [cupy.ones(n, np.uint8) for n in sizes]
    for plan in plans[1:]:
        carry, _ = run(carry, data, plan)
    assert all((a.get() == 1).all() for a in canaries)


@standin_only
def test_ten_captures_take_no_more_memory_than_one():
    def captured(batch_size):
        outcome(engine("graph"), training(THREE, n=60, loss="log_loss", batch_size=batch_size))
        engine_module.PROGRAMS.clear()
        gc.collect()
        return memory.Card.taken, len(cublaslt_standin._things)

    captured(5)
    first = captured(20)
    assert [captured(batch_size) for batch_size in range(10, 20)] == [first] * 10


@pytest.mark.parametrize("tier", ["eager", "graph"])
@pytest.mark.parametrize("where", ["W0", "W1", "W2", "b0", "b1", "x", "y", "inf"])
@pytest.mark.parametrize("activation", ["relu", "gelu_tanh"])
def test_nan_is_told_at_the_end_of_the_epoch_though_relus_epilogue_hides_it(
    tier, where, activation
):
    network = Network([Dense(16, activation), Dense(8, activation), Dense(3)])
    made = training(network, n=40, loss="log_loss", dtype="float32")
    params, (x, y) = map_tree(np.copy, made.params), map(np.copy, made.data)
    if where in ("x", "y"):
        {"x": x, "y": y}[where][7, 1] = np.nan
    elif where == "inf":
        params[0]["W"][0, 0] = np.inf
    else:
        params[int(where[1])][where[0]][0, 1] = np.nan
    made = made._replace(params=params, data=(x, y))
    carry, data, _ = started(made)
    options = TrainOptions(
        schedule=make_schedule("constant"), learning_rate=0.01, batch_size=5, max_iter=3
    )
    state = State(carry, 0.01, rule=SGD(), draws=Draws(random_state(0)))
    with np.errstate(all="ignore"):
        error = run_epochs(made.step, engine(tier), data, options, state)
    assert isinstance(error, DivergenceError) and "In epoch 1, step " in str(error)


# ---- Deterministic, and what falls short


def test_deterministic_fits_are_equal_to_the_last_bit_untimed_and_without_epilogues(monkeypatch):
    def untimed(*args, **options):
        raise AssertionError("timed")

    monkeypatch.setattr(products, "seconds", untimed)
    monkeypatch.setattr(program, "seconds", untimed)
    monkeypatch.setattr(program, "FASTEST", {})
    made = training(THREE, n=60, loss="log_loss", dtype="float32", alpha=0.1)
    with recording() as record:
        one = outcome(engine("graph", deterministic=True), made)
    assert {n for n in record.nodes if "cublasLt" in n} == {"cublasLt"}
    engine_module.PROGRAMS.items.clear()
    products.LtProducts.chosen.clear()
    with backwards():
        assert_close(outcome(engine("graph", deterministic=True), made), one, 0.0)
    assert_close(one, oracle(made), TOLERANCE["float32"])


X = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
Y = np.argmax(X[:, :3], axis=1)


def fitted(**changes):
    """Fit an estimator on the card; returns it and the RuntimeWarnings."""
    given = {"hidden_layer_sizes": (16, 8), "batch_size": 10, "max_iter": 2, "random_state": 0}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = MLPClassifier(**given | {"accelerate": "graph"} | changes).fit(
            cupy.asarray(X), cupy.asarray(Y)
        )
    assert {w.category for w in caught} <= {ConvergenceWarning, RuntimeWarning}
    return made, [str(w.message) for w in caught if w.category is RuntimeWarning]


def assert_same_weights(a, b, tolerance=0.0):
    assert_close(*([w.get() for w in (*m.coefs_, *m.intercepts_)] for m in (a, b)), tolerance)


def test_an_estimators_report_names_the_tier_and_counts_a_launch_for_8_steps():
    model, told = fitted()
    assert (model.fit_report_["engine"], told, model.fit_report_["notes"]) == ("cupy graph", [], [])
    again, _ = fitted()  # 9 steps an epoch: 8 and 1
    assert again.fit_report_["launches"] == 2 * 2
    assert_same_weights(model, again, REPEATED["float32"])
    assert_same_weights(model, fitted(accelerate="generic")[0], TOLERANCE["float32"])


@pytest.mark.parametrize("step", ["begin_capture", "end_capture", "in between"])
def test_a_capture_that_fails_leaves_launches_one_by_one_and_says_so_once(step, monkeypatch):
    want, _ = fitted()
    engine_module.PROGRAMS.items.clear()
    refusal = RuntimeError("cudaErrorStreamCaptureInvalidated: something went wrong")

    def refuse(self, *args):
        if step == "end_capture":
            end(self)
        raise refusal

    end = cupy.cuda.Stream.end_capture
    if step == "in between":
        monkeypatch.setattr(cupy.cuda.Stream, "wait_event", refuse)
    else:
        monkeypatch.setattr(cupy.cuda.Stream, step, refuse)
    model, told = fitted()
    assert len(told) == 1
    assert "no CUDA graph could be captured, so kernels are launched one by one" in told[0]
    assert "cudaErrorStreamCaptureInvalidated" in told[0]
    assert model.fit_report_["notes"] == told
    assert_same_weights(model, want, REPEATED["float32"])
    assert not cupy.cuda.get_current_stream().is_capturing()


def test_without_cublaslt_launches_go_one_by_one_and_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setattr(engine_module, "lt_here", lambda: None)
    with recording() as record:
        model, told = fitted()
    assert len(told) == 1
    assert "pip install" in told[0] and "cuBLASLt does not work here" in told[0]
    assert model.fit_report_["notes"] == told
    assert "graph" not in record.launches and "update" in record.launches
    assert_same_weights(model, fitted(accelerate="generic")[0], TOLERANCE["float32"])


@standin_only
@pytest.mark.parametrize("refusal", ["an error", "none found", "none usable"])
def test_an_epilogue_that_cublaslt_has_not_is_done_by_kernels(refusal, monkeypatch):
    name = "cublasLtMatmulAlgoGetHeuristic"
    plain = getattr(cublaslt_standin, name)

    def asked(handle, description, *args):
        if cublaslt_standin._things[description]["EPILOGUE"] == 1:
            return plain(handle, description, *args)
        results, count = args[-2:]
        if refusal == "an error":
            raise cublaslt_standin.Refused(15)
        plain(handle, description, *args)
        if refusal == "none found":
            memory.bytes_at(count, 4)[:] = 0
        else:  # each says that it does not work
            memory.bytes_at(results, 2 * 96).reshape(2, 96)[:, 72:76] = [15, 0, 0, 0]
        return None

    assert cublaslt_standin.RECOMMENDATION.fields["state"][1] == 72
    assert cublaslt_standin.RECOMMENDATION.itemsize == 96
    monkeypatch.setattr(cublaslt_standin, name, asked)
    made = training(THREE, n=40, loss="log_loss")
    with recording() as record:
        got = outcome(engine("graph"), made)
    assert {n for n in record.nodes if "cublasLt" in n} == {"cublasLt"}
    assert_close(got, oracle(made), 1e-12)
