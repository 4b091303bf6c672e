"""Whether host arrays pay on a card: the rule, its thresholds, and who is asked when.

array_api_strict's "device1" stands for a card that is timed, made-up paces for fast and slow ones.
"""

import os
import threading
from dataclasses import dataclass
from math import inf

import numpy as np
import pytest
from scipy.sparse import csr_array

from xpmlp import (
    MLPClassifier,
    MLPRegressor,
    forbid_transfers,
    nn,
    placing,
    plan,
    thresholds,
    train,
)
from xpmlp.arrays import Location
from xpmlp.engines import Options, launches
from xpmlp.errors import DeviceError
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import Adam, make_rule
from xpmlp.thresholds import LEAST, Pace, Thresholds, Work, choose, pace_of
from xpmlp.training import TrainOptions
from xpmlp.training.work import needs_of

FAST = Pace(host=1e11, card=1e13, launch=1e-5, start=2.0)
X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
Y = X[:, 0] - X[:, 1]
ARGS = {"hidden_layer_sizes": (6,), "batch_size": 10, "random_state": 0, "tol": 0.0}


def fitted(x=X, y=Y, **changes):
    with pytest.warns(UserWarning, match="Maximum iterations"):
        return MLPRegressor(**ARGS | {"max_iter": 2} | changes).fit(x, y)


@pytest.fixture
def card(monkeypatch):
    """Pretend that there is a card, and return where its pace, or its error, is put."""
    found = {"pace": FAST, "asked": 0}

    def pace(card, dtype):
        found["asked"] += 1
        if isinstance(found["pace"], Exception):
            raise found["pace"]
        return found["pace"]

    monkeypatch.setattr(placing, "no_card", lambda: None)
    monkeypatch.setattr(placing, "pace_of", pace)
    return found


# ---- The rule


def test_at_the_thresholds_the_card_takes_half_of_the_hosts_time_and_what_it_spares_is_its_start():
    step, fit = Thresholds.of(FAST, launches=20)
    assert 20 * 1e-5 + step / 1e13 == pytest.approx(0.5 * step / 1e11)
    assert 0.5 * fit / 1e11 == pytest.approx(2.0)


@pytest.mark.parametrize("card", [1e10, 2e11])
def test_a_card_that_is_not_twice_as_fast_in_products_pays_for_no_step(card):
    thresholds = Thresholds.of(FAST._replace(card=card), launches=1)
    assert thresholds.step == inf
    pays, why = choose(Work(1e18, 1e24), thresholds, "cuda:0")
    assert not pays
    assert why == "and stay there: in products of matrices cuda:0 is hardly faster"


@pytest.mark.parametrize(
    ("work", "pays"),
    [((2e6, 3e9), True), ((1e8, 1e12), True), ((1.9e6, 1e12), False), ((1e8, 2.9e9), False)],
)
def test_both_the_step_and_the_fit_must_reach_their_thresholds(work, pays):
    found, why = choose(Work(*work), Thresholds(2e6, 3e9), "cuda:0")
    assert found is pays
    assert why.startswith("and were moved to the GPU: " if pays else "and stay there: ")
    assert why.endswith("and cuda:0 pays from 2 MFLOP a step and 3 GFLOP in all on")


def test_no_usual_card_pays_below_the_least_work():
    for start, launch in ((0.5, 5e-6), (3.0, 1e-5)):
        for host in (1e11, 1e12):
            thresholds = Thresholds.of(Pace(host, 1e14, launch, start), launches=1)
            assert thresholds.step >= LEAST.step
            assert thresholds.fit >= LEAST.fit


def test_the_work_is_six_flop_a_row_and_parameter_and_at_least_what_a_plan_counts():
    network = nn.Network([nn.Dense(70, "relu"), nn.BatchNorm(), nn.Dense(2)])
    options = TrainOptions(schedule=None, batch_size=20, max_iter=3)
    squares = lambda n_outputs: LOSSES["squared_error"]
    work = needs_of(network, squares, Adam(), options, np.zeros((64, 50))).work
    n_params = 50 * 70 + 70 + 2 * 70 + 70 * 2 + 2  # no statistics, which no step trains
    assert work.step == 6 * 20 * n_params
    assert work.fit == work.step * 4 * 3  # of four batches, the last one is padded
    planned = sum(layer.total for layer in plan(network, np.zeros((64, 50)), batch_size=20).layers)
    assert planned < work.step < 1.6 * planned  # which leaves out offsets and the first dX


CHAIN = nn.Network([nn.Dense(3, "relu"), nn.Dropout(0.1), nn.Dense(1)])


def launches_of(network=CHAIN, loss="squared_error", solver="adam", tier="auto", plain=True):
    options = Options(accelerate=tier)
    return launches(network, LOSSES[loss], make_rule(solver), plain=plain, options=options)


def test_launches_are_the_tiers_and_grow_with_the_layers():
    found = [launches_of(tier=tier) for tier in ("generic", "eager", "graph")]
    assert found == [72, 16, 4]
    assert launches_of() == 4
    deeper = nn.Network([*CHAIN.layers, *CHAIN.layers])
    assert launches_of(deeper) == 8
    wrapped = nn.Network([nn.Residual(CHAIN.layers), nn.BatchNorm(), nn.Dense(1)])
    assert launches_of(wrapped) == 72 * 5 / 3
    assert launches(nn.Network([nn.Dense(1)]), LOSSES["squared_error"], None) == 24  # of L-BFGS


@pytest.mark.parametrize(
    "changes",
    [
        {"plain": False},
        {"solver": "nadam"},
        {"solver": "lion"},
        {"loss": "huber"},
        {"loss": "quantile"},
        {"loss": "log_cosh"},
        {"loss": "gamma"},
        {"network": nn.Network([nn.Dense(3), nn.BatchNorm(), nn.Dense(1)])},
        {"network": nn.Network([*CHAIN.layers[:2], nn.Dense(3, "relu")]), "loss": "log_loss"},
        {"network": nn.Network([nn.Dropout(0.1), nn.Dropout(0.2), nn.Dense(3)])},
    ],
)
def test_what_only_plain_operations_know_takes_the_launches_of_these(changes):
    for tier in ("auto", "eager", "graph"):
        assert launches_of(**changes, tier=tier) == 72


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [({}, 4), ({"max_norm": 1.0}, 72), ({"max_grad_norm": 1.0}, 72), ({"ema_decay": 0.9}, 72)],
)
def test_the_bounds_of_a_fit_are_heeded(arguments, expected, card, monkeypatch):
    seen = []
    monkeypatch.setattr(placing, "LEAST", Thresholds(0, 0))
    monkeypatch.setattr(placing, "free_memory", lambda like: 1e9)
    monkeypatch.setattr(placing, "array_at", lambda at: np.empty(0))
    plain = Thresholds.of
    monkeypatch.setattr(
        placing.Thresholds,
        "of",
        lambda pace, launches: seen.append(launches) or plain(pace, launches),
    )
    fitted(**arguments, hidden_layer_sizes=(3, 3))
    network = nn.Network([nn.Dense(3), nn.Dense(3), nn.Dense(1)])
    train(network, X, Y[:, None], max_iter=1, **arguments)
    assert seen == [expected] * 2


# ---- Who is asked, and what is told


@pytest.mark.parametrize("there", [False, True])
def test_a_layer_without_shapes_is_drawn_once_more_only_where_a_card_may_be(there, monkeypatch):
    drawn = []

    @dataclass(frozen=True)
    class Scale(nn.Layer):
        def init(self, n_in, stream, x=None):
            drawn.append(n_in)
            return {"s": np.ones((1, n_in))}, n_in

        def forward(self, p, x, ctx):
            return x * p["s"], x

        def backward(self, p, dy, x, ctx):
            return dy * p["s"], {"s": ctx.xp.sum(dy * x, axis=-2, keepdims=True)}

    monkeypatch.setattr(placing, "no_card", lambda: None if there else "and there is none")
    network = nn.Network([Scale(), nn.Dense(1)])
    train(network, X, Y[:, None], max_iter=1)
    with forbid_transfers():
        train(network, X, Y[:, None], max_iter=1)
    assert drawn == [4] * (2 + there)


def test_a_small_fit_asks_no_card(card):
    report = fitted().fit_report_
    assert card["asked"] == 0
    assert report["device"] == "cpu"
    # 37 parameters, 10 rows a step, 4 steps, 2 epochs.
    assert report["why"] == (
        "The data are in main memory, and stay there: the fit takes 2.22 kFLOP a step and "
        "17.8 kFLOP in all at most, and the best GPU pays from 1 MFLOP a step and 100 GFLOP in "
        "all on."
    )


def test_a_fit_that_might_pay_asks_the_card_once_and_stays_where_it_does_not(card, monkeypatch):
    monkeypatch.setattr(placing, "LEAST", Thresholds(2e3, 1e4))
    monkeypatch.setattr(placing, "free_memory", lambda like: 1e9)
    monkeypatch.setattr(placing, "array_at", lambda at: np.empty(0))
    model = fitted(accelerate="generic")
    assert (card["asked"], model.device_) == (1, "cpu")
    assert model.fit_report_["why"] == (
        "The data are in main memory, and stay there: the fit takes 2.22 kFLOP a step and "
        "17.8 kFLOP in all at most, and cuda:0 pays from 98 MFLOP a step and 400 GFLOP in all on."
    )


@pytest.fixture
def eager_card(card, monkeypatch):
    """A card that every fit would ask."""
    monkeypatch.setattr(placing, "LEAST", Thresholds(0, 0))
    card["pace"] = DeviceError("cupy does not work on 'cuda:0' here: out of order")
    return card


def test_a_card_that_fails_leaves_the_fit_on_the_cpu_and_is_why(eager_card):
    model = fitted()
    assert (eager_card["asked"], model.device_) == (1, "cpu")
    assert model.fit_report_["why"] == (
        "The data are in main memory, and stay there: cuda:0 fails (cupy does not work on 'cuda:0' "
        "here: out of order), see `xpmlp doctor`."
    )


def test_forbidden_transfers_keep_host_arrays_on_the_host(eager_card):
    with forbid_transfers():
        why = fitted().fit_report_["why"]
    assert eager_card["asked"] == 0
    assert (
        why == "The data are in main memory, and stay there: forbid_transfers forbids to move them."
    )


def test_only_auto_and_host_arrays_ask(eager_card):
    fitted(device="cpu")
    fitted(pytest.importorskip("torch").asarray(X))
    MLPRegressor(**ARGS).explain(X, Y)
    MLPRegressor(**ARGS, max_iter=2).find_learning_rate(X, Y)
    assert eager_card["asked"] == 0
    for x in (X, X.tolist(), csr_array(X)):
        fitted(x)
    train(nn.Network([nn.Dense(1)]), X, Y[:, None], max_iter=1)
    assert eager_card["asked"] == 4


def test_of_partial_fits_and_warm_starts_the_first_call_asks(eager_card):
    model = MLPClassifier(**ARGS, warm_start=True, max_iter=1)
    for _ in range(2):
        model.partial_fit(X, Y > 0, classes=[False, True])
        assert "out of order" in model.fit_report_["why"]
    with pytest.warns(UserWarning, match="Maximum iterations"):
        model.fit(X, Y > 0)
    assert eager_card["asked"] == 1


# ---- Timing

STANDIN = Location("array_api_strict", "device1")


@pytest.fixture
def strict():
    pytest.importorskip("array_api_strict", reason="its devices stand for a card")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_host_and_card_are_timed_once_a_process(dtype, strict, monkeypatch):
    pace = pace_of(STANDIN, dtype)
    assert all(0 < number < inf for number in pace)
    assert pace.launch < pace.start
    assert pace_of(STANDIN, dtype) is pace
    monkeypatch.setattr(os, "getpid", lambda: -1)  # in a forked child CUDA may work no more
    assert pace_of(STANDIN, dtype) is not pace


def test_a_card_that_fails_is_tried_once_a_process(monkeypatch):
    tries = []

    def broken(card):
        tries.append(card)
        raise DeviceError("out of order\nsince long")

    monkeypatch.setattr(thresholds, "array_at", broken)
    monkeypatch.setattr(placing, "LEAST", Thresholds(0, 0))
    monkeypatch.setattr(placing, "no_card", lambda: None)
    monkeypatch.setattr(os, "getpid", lambda: -3)
    for _ in range(2):
        assert "cuda:0 fails (out of order), see" in fitted().fit_report_["why"]
    assert tries == [placing.CARD]


def test_threads_that_ask_at_once_are_told_the_same(strict, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: -2)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(pace_of(STANDIN, "float32"))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert all(pace is found[0] for pace in found)
