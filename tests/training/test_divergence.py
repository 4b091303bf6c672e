"""Trainings that leave the finite numbers, and the search for a learning rate that does not."""

import re

import numpy as np
import pytest
from each import each
from sklearn.datasets import load_digits, load_iris

from xpmlp import MLPClassifier, MLPRegressor, nn, plotting, train
from xpmlp.arrays import to_host
from xpmlp.engines import engine_for
from xpmlp.errors import DivergenceError
from xpmlp.training.chunk import _stays_finite, _summary

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations", "ignore:overflow")
rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
Y = X @ np.asarray([1.0, -2.0, 3.0])
ARGS = {
    "hidden_layer_sizes": (8, 8),
    "batch_size": 10,
    "solver": "sgd",
    "random_state": 0,
    "max_iter": 50,
    "n_iter_no_change": 999,
    "shuffle": False,
}
EVERY = pytest.mark.parametrize("xp64", ["numpy", "strict", "torch", "jax-x64"], indirect=True)


@EVERY
def test_the_message_names_the_step_the_layer_the_ranges_and_three_things_to_do(xp64):
    reg = MLPRegressor(**ARGS, learning_rate_init=0.5, momentum=0.0)
    x, y = xp64.asarray(1e3 * X), xp64.asarray(1e6 * Y)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError) as caught:
        reg.fit(x, y)
    text = str(caught.value)
    found = re.search(r"In epoch 1, step (\d), (.*?) went non-finite first", text)
    assert found and 1 <= int(found[1]) <= 4
    assert re.search(r"layer \d \(Dense|the loss|the update of the parameters", found[2])
    low, high = 1e3 * X.min(), 1e3 * X.max()
    ends = 1e6 * Y.min(), 1e6 * Y.max()
    assert f"X lies in [{low:.3g}, {high:.3g}], y in [{ends[0]:.3g}, {ends[1]:.3g}]" in text
    assert text.count(";") >= 2
    for fix in (
        "standardise y (target_scale='auto')",
        "standardise X (StandardScaler)",
        "lower learning_rate_init (the rate was 0.5)",
    ):
        assert fix in text
    assert not hasattr(reg, "coefs_")  # as it was


@EVERY
@each("high", [1e308, -1e308])
def test_large_weights_are_finite_though_their_sum_is_not(xp64, high):
    network = nn.Network([nn.Dense(1)])
    weights = np.asarray([[high], [high], [high], [0.5]])  # of columns that are 0, but for one
    params = {0: {"W": xp64.asarray(weights), "b": xp64.asarray(np.zeros((1, 1)))}}
    x = np.zeros((40, 4))
    x[:, 3] = X[:, 0]
    args = {"params": params, "solver": "sgd", "max_iter": 2, "tol": 0.0}
    made = train(network, xp64.asarray(x), xp64.asarray(Y[:, None]), **args)
    np.testing.assert_array_equal(to_host(made.params[0]["W"])[:3], weights[:3])
    assert made.history["loss"][1] < made.history["loss"][0]


@EVERY
@each("bad", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf]])
def test_one_number_that_is_not_finite_is_found_wherever_it_stands(xp64, bad):
    compiled = engine_for(xp64.asarray(X)).compile(_summary)
    losses = xp64.asarray(np.ones((2, 3)))
    for large in (1.0, 1e308):
        for at in (0, 500):
            a = np.full((1, 1000), large)
            good = xp64.asarray(a)
            a[0, at : at + len(bad)] = bad
            for leaves in ((good,), (good, xp64.asarray(a)), (xp64.asarray(a), good)):
                with np.errstate(all="ignore"):
                    report = to_host(compiled(losses, leaves))
                found = _stays_finite(report[:6], report[6:], leaves)
                assert found == (len(leaves) == 1), (large, at)


@EVERY
@each("rate, place", [(3e4, r"loss grew to .*? epoch \d"), (1e160, r"In epoch .*? first")])
def test_it_is_the_same_place_on_every_library(xp64, rate, place):
    args = ARGS | {"learning_rate_init": rate, "batch_size": 20}
    texts = []
    for x, y in ((X, Y), (xp64.asarray(X), xp64.asarray(Y))):
        with np.errstate(all="ignore"), pytest.raises(DivergenceError) as caught:
            MLPRegressor(**args).fit(x, y)
        texts.append(re.search(place, str(caught.value))[0])
    assert texts[0] == texts[1]


@pytest.mark.parametrize("solver", ["sgd", "adam", "nadam"])
def test_the_rate_that_is_told_is_the_one_that_was_given_without_a_rules_corrections(solver):
    reg = MLPRegressor(**ARGS | {"solver": solver}, learning_rate_init=1e200)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError, match=r"rate was 1e\+200"):
        reg.fit(X, Y)


PLANTED = {
    "outputs": (lambda z, xp: xp.log(z - 1e3), lambda da, z, a, xp: da,
                "the outputs of layer 2 (Activation"),
    "gradient": (lambda z, xp: 1.0 * z, lambda da, z, a, xp: da / (z - z),
                 "the gradient of W in layer 1 (Dense 3 -> 4)"),
}  # fmt: skip


@each("name", PLANTED)
def test_the_layer_where_a_fault_was_planted_is_named(name):
    forward, backward, said = PLANTED[name]
    own = nn.ActivationFunction("own", forward, backward)
    network = nn.Network([nn.Dense(4), nn.Activation(own), nn.Dense(1)])
    with np.errstate(all="ignore"), pytest.raises(DivergenceError) as caught:
        train(network, X, Y[:, None], max_iter=2)
    assert f"In epoch 1, step 1, {said}" in str(caught.value)


def test_the_step_in_an_epoch_is_found_and_a_layer_in_a_block_is_named():
    x = X.copy()
    x[25] = 1e200  # in the third batch
    reg = MLPRegressor(**ARGS | {"hidden_layer_sizes": (3, 4)}, residual=True)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError) as caught:
        reg.fit(x, Y)
    assert "In epoch 1, step 3, " in str(caught.value)
    assert "loss" in str(caught.value) or "layer 1 (Residual of 1 layers)" in str(caught.value)


def blown(**options):
    """Fit a model whose rate explodes after epochs that went well."""
    rate = lambda epoch: 1.0 if epoch < 3 else 1e160
    args = ARGS | {"learning_rate": rate, "learning_rate_init": 0.01} | options
    model = MLPRegressor(**args)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError) as caught:
        model.fit(X, Y)
    return model, caught.value


@pytest.mark.parametrize("options", [
    {}, {"normalization": "batch"}, {"solver": "adam"}, {"ema_decay": 0.5}, {"dropout": 0.2},
], ids=str)  # fmt: skip
def test_the_weights_after_the_last_epoch_that_went_well_are_kept(options):
    model, error = blown(**options)
    n = error.n_finite
    assert n == model.n_iter_ == len(model.loss_curve_) >= 3
    assert f"The estimator holds the weights after epoch {n}." in str(error)
    assert all(np.isfinite(a).all() for a in [*model.coefs_, *model.intercepts_])
    assert np.isfinite(model.predict(X)).all()
    args = ARGS | {"learning_rate_init": 0.01, "max_iter": 3} | options
    if n == 3:
        whole = MLPRegressor(**args).fit(X, Y)
        for a, b in zip(model.coefs_, whole.coefs_):
            assert np.array_equal(a, b)
    model.set_params(learning_rate="constant").partial_fit(X, Y)  # it goes on from there
    assert len(model.loss_curve_) == n + 1


def test_early_stopping_restores_the_best_weights_and_warns():
    rate = lambda epoch: 1.0 if epoch < 3 else 1e160
    args = ARGS | {"learning_rate": rate, "learning_rate_init": 0.01}
    with np.errstate(all="ignore"), pytest.warns(match=r"diverged in epoch \d+; the weights of"):
        model = MLPRegressor(**args, early_stopping=True).fit(X, Y, X_val=X, y_val=Y)
    assert model.score(X, Y) == pytest.approx(max(model.history_["validation_score"]), rel=1e-12)


def test_a_fitted_model_stays_as_it_was_if_its_next_fit_diverges_at_once():
    model = MLPRegressor(**ARGS | {"max_iter": 2}, warm_start=True).fit(X, Y)
    before, curve = [W.copy() for W in model.coefs_], list(model.loss_curve_)
    model.set_params(learning_rate_init=1e300)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError):
        model.fit(X, Y)
    assert all(np.array_equal(a, b) for a, b in zip(model.coefs_, before))
    assert model.loss_curve_ == curve


def test_lbfgs_tells_of_itself_and_of_other_things_to_do():
    with np.errstate(all="ignore"), pytest.raises(DivergenceError) as caught:
        MLPRegressor(solver="lbfgs", max_iter=5, random_state=0).fit(1e200 * X, Y)
    assert "of L-BFGS" in str(caught.value) and "take solver='adam'" in str(caught.value)


# The range test of learning rates

DIGITS = load_digits(return_X_y=True)


def test_a_rate_that_is_suggested_trains_well_and_the_estimator_is_not_touched():
    x, y = DIGITS[0] / 16.0, DIGITS[1]
    clf = MLPClassifier((32,), batch_size=64, max_iter=10, random_state=0)
    before = dict(vars(clf))
    found = clf.find_learning_rate(x, y)
    assert vars(clf) == before
    assert 1e-4 < found.suggestion < 0.3
    n = len(found.rates)
    assert n == len(found.losses) == len(found.smoothed) >= 50
    assert found.rates[0] == 1e-6 and np.ptp(np.diff(np.log(found.rates))) < 1e-9
    best = clf.set_params(learning_rate_init=found.suggestion).fit(x, y).loss_
    for other in (found.suggestion / 100, found.suggestion * 100):
        with np.errstate(all="ignore"):
            assert best < clf.set_params(learning_rate_init=other).fit(x, y).loss_
    assert clf.find_learning_rate(x, y).suggestion == found.suggestion  # fitted, and again


def test_the_batches_losses_are_those_of_a_training_with_these_rates():
    x, y = DIGITS[0][:320] / 16.0, DIGITS[1][:320]
    args = {
        "hidden_layer_sizes": (8,),
        "batch_size": 320,
        "random_state": 0,
        "solver": "sgd",
        "momentum": 0.0,
    }
    found = MLPClassifier(**args).find_learning_rate(x, y, low=1e-3, high=1.0, n_steps=30)
    rates = 1e-3 * 1e3 ** (np.arange(30) / 29)
    clf = MLPClassifier(
        **args, max_iter=30, learning_rate=lambda epoch: rates[epoch], learning_rate_init=1.0
    ).fit(x, y)
    assert found.losses == pytest.approx(clf.loss_curve_[: len(found.losses)], rel=1e-9)


def test_every_option_takes_part_in_the_range_test():
    x, y = DIGITS[0][:300] / 16.0, DIGITS[1][:300]
    weights = np.random.default_rng(0).random(300)
    clf = MLPClassifier(
        (16, 16),
        normalization="batch",
        residual=True,
        dropout=[0.1, 0.1, 0.0],
        ema_decay=0.9,
        max_grad_norm=1.0,
        class_weight="balanced",
        early_stopping=True,
        learning_rate="cosine",
        random_state=0,
        batch_size=50,
        callbacks=lambda epoch: pytest.fail("called"),
    )
    found = clf.find_learning_rate(x, y, weights)
    assert 1e-5 < found.suggestion < 1.0


def test_the_picture_shows_the_smoothed_loss_and_the_suggestion():
    x, y = load_iris(return_X_y=True)
    found = MLPClassifier(batch_size=32, random_state=0).find_learning_rate(x, y)
    axes = plotting.plot_learning_rates(found).axes[0]
    drawn = [line.get_ydata() for line in axes.lines]
    assert any(np.array_equal(found.smoothed, line) for line in drawn)
    assert axes.get_xscale() == "log"
    assert any(np.allclose(line.get_xdata(), found.suggestion) for line in axes.lines)


@pytest.mark.parametrize(
    ("options", "args", "said"),
    [
        ({"solver": "lbfgs"}, {}, "no learning rate to look for"),
        ({}, {"low": 1.0, "high": 0.1}, "needs 0 < 100 low <= high"),
        ({}, {"n_steps": 3}, "n_steps >= 30"),
        ({"solver": "sgd"}, {"low": 1e100, "high": 1e200}, "exploded after . steps"),
    ],
)
def test_ranges_without_sense_are_refused_in_a_sentence(options, args, said):
    x, y = load_iris(return_X_y=True)
    clf = MLPClassifier(batch_size=32, random_state=0, **options)
    with np.errstate(all="ignore"), pytest.raises(ValueError, match=said):
        clf.find_learning_rate(x, y, **args)
    assert not hasattr(clf, "coefs_")
