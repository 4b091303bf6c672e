"""Learning-rate schedules: their rates, and what an estimator makes of them."""

import numpy as np
import pytest
from each import each

from xpmlp import MLPClassifier, MLPRegressor
from xpmlp.estimators.arguments import rule_of
from xpmlp.optim import (
    SCHEDULES,
    SGD,
    Adam,
    ByEpoch,
    Cosine,
    InvScaling,
    OneCycle,
    Plateau,
    StepDecay,
    Warmup,
    make_schedule,
)
from xpmlp.training import chunk

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")
X = np.random.default_rng(0).normal(size=(40, 3))
Y = np.arange(40) % 2
ARGS = {"hidden_layer_sizes": (4,), "batch_size": 10, "random_state": 0, "n_iter_no_change": 999}


def walk(schedule, *, n_batches=4, n_epochs=10, lr=0.3):
    """All rates of a training."""
    epochs = range(n_epochs)
    return np.concatenate([schedule.rates(lr, e, n_batches, n_epochs) for e in epochs])


def torchs(make, n, lr=0.3):
    torch = pytest.importorskip("torch", reason="compares with torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr)
    schedule, rates = make(torch.optim.lr_scheduler, optimizer), []
    for _ in range(n):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return np.asarray(rates)


@pytest.mark.parametrize("lowest", [0.0, 0.1])
def test_cosine_is_torchs_at_the_middle_of_each_step(lowest):
    got = walk(Cosine(lowest=lowest))
    want = torchs(lambda s, o: s.CosineAnnealingLR(o, 80, 0.3 * lowest), 80)
    assert np.abs(got / want[1::2] - 1).max() < 1e-9
    assert got[0] > got[-1] > 0.3 * lowest


def test_one_cycle_is_torchs_for_many_steps():
    got = walk(OneCycle(), n_batches=300)
    want = torchs(lambda s, o: s.OneCycleLR(o, 0.3, 3000, cycle_momentum=False), 3000)
    assert np.abs(got - want).max() < 3e-4
    assert got[0] == pytest.approx(want[0], rel=1e-4) and got.argmax() in (899, 900)
    assert got[-1] == pytest.approx(0.3 * 4e-6, rel=0.1)


def test_step_decay_is_torchs():
    got = walk(StepDecay(every=3, decay=0.2), n_batches=2)
    want = torchs(lambda s, o: s.StepLR(o, 3, 0.2), 10)
    assert np.abs(got / np.repeat(want, 2) - 1).max() < 1e-12


def test_warmup_rises_in_equal_steps_and_stays():
    got = walk(Warmup(2.0))
    assert np.abs(np.diff(got[:8]) - 0.3 / 8).max() < 1e-15
    assert set(got[8:]) == {0.3} and got[0] == pytest.approx(0.3 / 16)


def test_a_schedule_after_a_warmup_is_its_own_over_the_epochs_that_are_left():
    for kind in (Cosine, OneCycle, StepDecay):
        more = {"every": 2.0} if kind is StepDecay else {}
        got, want = walk(kind(warmup=4.0, **more)), walk(kind(**more), n_epochs=6)
        assert np.abs(got[16:] - want).max() < 1e-15
        assert np.abs(got[:16] - want[0] * (np.arange(16) + 0.5) / 16).max() < 0.03


def test_a_plateau_schedule_halves_until_it_is_tiny():
    lr, n = 0.3, 0
    while (lower := Plateau().on_plateau(lr)) is not None:
        assert lower == lr / 2
        lr, n = lower, n + 1
    assert n == 19 and lr <= 1e-6
    assert Plateau(factor=0.1, lowest=0.2).on_plateau(0.3) == pytest.approx(0.03)


@each("name", SCHEDULES)
def test_every_schedule_is_made_by_its_name_and_its_rates_are_positive_numbers(name):
    rates = walk(make_schedule(name))
    assert rates.shape == (40,) and rates.dtype == np.float64
    assert (rates > 0).all() and rates.max() <= 0.3
    assert make_schedule(make_schedule(name)) == make_schedule(name)


@pytest.mark.parametrize("make", [lambda: StepDecay(every=0)])
def test_numbers_without_sense_are_refused(make):
    with pytest.raises(ValueError, match="needs every > 0"):
        make()


@pytest.fixture
def plans(monkeypatch):
    """The host plans that reach the engine."""
    seen = []

    def spy(run, carry, data, plan, dtype):
        seen.append(plan)
        return real(run, carry, data, plan, dtype)

    real = chunk.run_plan
    monkeypatch.setattr(chunk, "run_plan", spy)
    return seen


@pytest.mark.parametrize("solver", [SGD(0.0), Adam(), "adamw"], ids=str)
def test_each_step_gets_its_rate_with_the_rules_correction_and_the_decay_follows_it(solver, plans):
    clf = MLPClassifier(
        **ARGS,
        solver=solver,
        learning_rate=Cosine(warmup=1),
        max_iter=5,
        learning_rate_init=0.3,
        weight_decay=0.1,
    ).fit(X, Y)
    lr = walk(Cosine(warmup=1), n_epochs=5)
    rule = rule_of(clf)
    got = np.concatenate([plan.rate for plan in plans])
    assert np.abs(got / rule.rates(lr, np.arange(1, 21)) - 1).max() < 1e-14
    assert np.abs(np.concatenate([plan.shrink for plan in plans]) / (0.1 * lr) - 1).max() < 1e-14
    assert clf.history_["learning_rate"] == lr[3::4].tolist()


@each("learning_rate", ["cosine", "one_cycle", "step", "warmup", "callable"])
def test_partial_fit_walks_over_as_many_calls_as_fit_has_epochs(learning_rate):
    learning_rate = (lambda epoch: 0.5**epoch) if learning_rate == "callable" else learning_rate
    args = ARGS | {"learning_rate": learning_rate, "max_iter": 6, "shuffle": False}
    whole = MLPClassifier(**args).fit(X, Y)
    parts = MLPClassifier(**args)
    for _ in range(6):
        parts.partial_fit(X, Y, classes=[0, 1])
    assert parts.history_["learning_rate"] == whole.history_["learning_rate"]
    for a, b in zip(parts.coefs_, whole.coefs_):
        assert np.array_equal(a, b)
    if learning_rate == "cosine":  # at its end it stays
        before = parts.coefs_[0].copy()
        with pytest.warns(UserWarning, match="ended after max_iter=6 epochs"):
            parts.partial_fit(X, Y)
        assert parts.history_["learning_rate"][-1] == pytest.approx(0.0, abs=1e-15)
        assert np.abs(parts.coefs_[0] - before).max() < 1e-15


def test_a_function_of_the_epoch_is_called_with_whole_numbers_from_0_and_again_in_each_fit():
    seen = []

    def halve(epoch):
        seen.append(epoch)
        return 0.5**epoch

    clf = MLPClassifier(**ARGS, learning_rate=halve, max_iter=3, warm_start=True).fit(X, Y)
    clf.fit(X, Y)
    assert seen == [0, 1, 2] * 2 and all(type(epoch) is int for epoch in seen)
    assert clf.history_["learning_rate"] == [1e-3, 5e-4, 2.5e-4] * 2
    assert make_schedule(halve) == ByEpoch(halve)


FLAT = {"tol": 10.0, "n_iter_no_change": 2}  # nothing is an improvement


@pytest.mark.parametrize("name", ["cosine", "one_cycle"])
@pytest.mark.filterwarnings("error:.*Maximum iterations")  # an end that was planned is no failure
def test_a_schedule_with_an_end_is_followed_to_it_unless_a_validation_score_stops_it(name):
    args = ARGS | {"learning_rate": name, "max_iter": 12} | FLAT
    assert MLPClassifier(**args).fit(X, Y).n_iter_ == 12
    assert MLPClassifier(**args, early_stopping=True).fit(X, Y).n_iter_ == 4


def test_a_schedule_without_an_end_is_ended_by_a_plateau():
    for name in ("constant", "step", "warmup"):
        args = ARGS | {"learning_rate": name, "max_iter": 12} | FLAT
        assert MLPClassifier(**args).fit(X, Y).n_iter_ == 4


def test_a_plateau_lowers_the_rate_of_every_rule_and_goes_on():
    args = ARGS | {"learning_rate": Plateau(0.1, 1e-6), "max_iter": 12} | FLAT
    reg = MLPRegressor(**args).fit(X, X[:, 0])
    rates = reg.history_["learning_rate"]
    assert rates == pytest.approx([1e-3] * 4 + [1e-4] * 3 + [1e-5] * 3 + [1e-6] * 2, rel=1e-9)


def test_rates_that_vanish_are_0_and_raise_nothing():
    assert InvScaling(1e300).after_epoch(0.1, 0.1, n_seen=800) == 0.0
    assert StepDecay(every=1e-300).rates(0.1, 5, 2, 10).tolist() == [0.0, 0.0]


def test_fields_beyond_their_ranges_are_named():
    with pytest.raises(ValueError, match="InvScaling needs power_t from 0 to inf, got -1"):
        InvScaling(-1)
    with pytest.raises(ValueError, match="StepDecay needs decay from 0 to 1, got 2.0"):
        StepDecay(decay=2.0)
