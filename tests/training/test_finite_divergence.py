"""Trainings that diverge within the finite numbers, and sane ones that only look alike."""

import pickle
import re
import warnings

import numpy as np
import pytest
from each import each

from xpmlp import MLPClassifier, MLPRegressor, nn, train
from xpmlp.arrays import to_host
from xpmlp.errors import DivergenceError

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations", "ignore:Got `batch_size`")
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
LABELS = (X[:, 0] > 0) + (X[:, 1] > 1)
Y = X @ np.asarray([1.0, -2.0, 3.0, 0.0])
SGD = {"solver": "sgd", "random_state": 0, "max_iter": 20, "n_iter_no_change": 99}
EVERY = pytest.mark.parametrize("xp64", ["numpy", "strict", "torch", "jax-x64"], indirect=True)
LATE = lambda epoch: 1.0 if epoch < 3 else 1e8  # times learning_rate_init


@EVERY
@each("batch_size", [60, 10])
def test_a_loss_that_grows_and_stays_finite_is_an_error_of_its_epoch(xp64, batch_size):
    clf = MLPClassifier((8,), learning_rate_init=1e10, batch_size=batch_size, **SGD)
    with pytest.raises(DivergenceError) as caught:
        clf.fit(xp64.asarray(X), LABELS)
    text = str(caught.value)
    grown, first = re.search(
        r"loss grew to (\S+), over 1,000,000 times the (\S+) that", text
    ).groups()
    assert float(grown) > 1e6 * float(first) and 0.1 < float(first) < 10
    assert (
        "It happened in epoch 1." in text
        and "lower learning_rate_init (the rate was 1e+10)" in text
    )
    assert not hasattr(clf, "coefs_")  # no epoch ended well


@pytest.mark.parametrize("xp64", ["numpy", "strict", "torch"], indirect=True)
@each("options", [{}, {"solver": "adam", "batch_size": 10}, {"ema_decay": 0.5}, {"dropout": 0.1}])
def test_the_weights_after_the_last_sane_epoch_are_kept(xp64, options):
    args = SGD | {"learning_rate": LATE, "learning_rate_init": 0.01, "batch_size": 60}
    model = MLPRegressor(hidden_layer_sizes=(8,), **args | options)
    with pytest.raises(DivergenceError, match=r"n epoch 4\b.* weights after epoch 3"):
        model.fit(xp64.asarray(X), xp64.asarray(Y))
    assert model.n_iter_ == len(model.loss_curve_) == 3
    whole = MLPRegressor(hidden_layer_sizes=(8,), **args | options).set_params(max_iter=3)
    whole.fit(xp64.asarray(X), xp64.asarray(Y))
    for ours, theirs in zip(model.coefs_, whole.coefs_):
        np.testing.assert_array_equal(to_host(ours), to_host(theirs))


def test_a_weight_that_leaps_is_an_error_though_the_loss_falls_to_zero():
    x = np.asarray([[-1.0], [1.0]])
    clf = MLPClassifier((), momentum=0.0, learning_rate_init=1e160, alpha=0.0, **SGD)
    with pytest.raises(DivergenceError, match=r"largest weight reached \S+e\+1.*float64's largest"):
        clf.fit(x, [0, 1])
    assert clf.set_params(learning_rate_init=1e6).fit(x, [0, 1]).loss_ == 0.0


def test_a_schedule_that_lowers_the_rate_repeats_the_epoch():
    args = SGD | {"learning_rate": "plateau", "learning_rate_init": 1e6, "n_iter_no_change": 10}
    model = MLPRegressor(hidden_layer_sizes=(8,), **args).set_params(max_iter=60).fit(X, Y)
    assert model.history_["learning_rate"][0] < 1e3 and model.loss_ < 1e6 * np.var(Y)


def test_early_stopping_restores_the_best_weights():
    args = SGD | {"learning_rate": LATE, "learning_rate_init": 0.01, "early_stopping": True}
    with pytest.warns(match="diverged in epoch 4; the weights of the best epoch"):
        model = MLPRegressor(hidden_layer_sizes=(8,), **args).fit(X, Y, X_val=X, y_val=Y)
    assert model.score(X, Y) == pytest.approx(max(model.history_["validation_score"]), rel=1e-12)


def test_growth_over_calls_of_partial_fit_is_measured_from_the_first():
    model = MLPRegressor(hidden_layer_sizes=(), momentum=0.0, learning_rate_init=3.0, **SGD)
    with pytest.raises(DivergenceError):
        for _ in range(60):
            model.partial_fit(X, Y)
    curve = model.loss_curve_
    assert len(curve) >= 3 and max(np.divide(curve[1:], curve[:-1])) < 1e4
    assert 1 < curve[-1] / curve[0] < 1e6


def test_a_pickled_training_of_before_goes_on_with_a_reference_of_its_own():
    model = MLPRegressor(hidden_layer_sizes=(8,), **SGD).partial_fit(X, Y)
    del vars(model.result_.state)["reference"]
    model = pickle.loads(pickle.dumps(model)).partial_fit(X, Y)
    assert model.result_.state.reference > 0.1


@each("start", ["warm_start", "partial_fit", "train"])
def test_going_on_from_a_loss_near_zero_raises_no_alarm(start):
    args = {"hidden_layer_sizes": (), "random_state": 0, "tol": 1e-12, "learning_rate_init": 0.1}
    model = MLPRegressor(solver="lbfgs", alpha=0.0, **args).fit(X, Y)
    assert model.loss_ < 1e-12
    model.set_params(solver="adam", max_iter=5, warm_start=True)
    if start == "train":
        params = model.model_.params(X)
        losses = train(
            nn.Network([nn.Dense(1)]), X, Y[:, None], params=params, learning_rate_init=0.1
        ).history["loss"]
    elif start == "partial_fit":
        losses = [model.partial_fit(X, Y).loss_ for _ in range(5)]
    else:
        losses = model.fit(X, Y).loss_curve_
    assert max(losses) > 1e6 * min(losses)


def test_a_leap_within_an_epoch_that_ends_well_is_none():
    args = {"random_state": 0, "batch_size": 5, "max_iter": 40, "learning_rate_init": 0.1}
    model = MLPRegressor("gamma", (20,), solver="rmsprop", **args).fit(10.0 * X, np.exp(X[:, 0]))
    curve = model.loss_curve_  # exponential, of rows that are not standardised
    assert max(curve) > 1e6 * model.result_.state.reference and curve[-1] < 10


@each("y", [1e80, -1e90])
@each("solver", ["sgd", "adam", "lbfgs"])
def test_numbers_whose_squares_overflow_are_refused_with_what_to_do(y, solver):
    model = MLPRegressor(solver=solver, random_state=0)
    with pytest.raises(DivergenceError, match=r"target_scale='auto'"):
        model.fit(X, y * Y)
    model.set_params(target_scale="auto").fit(X, y * Y)


def test_an_own_loss_below_zero_may_fall_as_far_as_it_likes():
    loss = nn.Loss(
        "own",
        lambda o, y, w, xp: (xp.sum(w * o, axis=(-2, -1)), w * xp.ones_like(o)),
        link="identity",
    )
    args = {"loss": loss, "solver": "sgd", "learning_rate_init": 1e6, "max_iter": 50, "tol": 0.0}
    made = train(nn.Network([nn.Dense(1)]), X, Y[:, None], **args)
    assert made.history["loss"][-1] < -1e7 * abs(made.history["loss"][0])


# Sane fits that raise no alarm


def _targets(kind, signal, r):
    """Return targets of a kind, and the losses that may be theirs."""
    numbers = ["squared_error", "absolute_error", "huber", "log_cosh", "quantile"]
    made = {
        "unscaled": (1e8 * signal, numbers),
        "tiny": (1e-8 * signal, numbers),
        "all 0": (0.0 * signal, numbers),
        "constant": (0.0 * signal + 1e6, numbers),
        "far from 0": (1e6 + signal, numbers),
        "one far out": (np.where(np.arange(len(signal)) == 1, 1e6, signal), numbers),
        "several": (np.stack([signal, 1e4 * signal], axis=1), numbers),
        "counts": (r.poisson(100.0 * np.exp(signal)), ["poisson"]),
        "positive": (1e3 * np.exp(5.0 * signal), ["gamma"]),
        "classes": ((3.0 * (signal - signal.min())).astype(int), ["log_loss", "focal"]),
        "labels": ((r.random((len(signal), 3)) < 0.4).astype(int), ["log_loss", "focal"]),
    }
    return made[kind]


KINDS = ["unscaled", "tiny", "all 0", "constant", "far from 0", "one far out", "several"]
KINDS += ["counts", "positive", "classes", "labels"]


def sane_fit(seed):
    """Return a random estimator, rows and targets whose training a user would call sane."""
    r = np.random.default_rng(seed)
    n, kind = int(r.integers(5, 200)), KINDS[seed % len(KINDS)]
    x = r.normal(size=(n, 3)).astype(r.choice(["float32", "float64"]))
    y, losses = _targets(kind, np.tanh(x[:, 0].astype(float)), r)
    solvers = ["adam", "adamw", "nadam", "rmsprop", "adagrad", "lion", "lbfgs"]
    if np.abs(y).max() < 10:
        solvers.append("sgd")
    model = MLPRegressor
    if kind in ("classes", "labels"):
        model = MLPClassifier
    return (
        model(
            loss=str(r.choice(losses)),
            hidden_layer_sizes=tuple(map(int, r.integers(1, 30, size=r.integers(0, 4)))),
            activation=str(r.choice(["relu", "tanh", "gelu", "logistic"])),
            solver=str(r.choice(solvers)),
            learning_rate_init=float(r.choice([1e-4, 1e-3, 1e-2])),
            alpha=float(r.choice([0.0, 1e-4, 1.0])),
            batch_size=int(r.choice([8, 32, 200])),
            max_iter=int(r.integers(2, 40)),
            random_state=seed,
        ),
        x,
        y,
    )


@each("seed", range(66))
def test_a_sane_fit_raises_no_alarm(seed):
    model, x, y = sane_fit(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y)
        if model.solver != "lbfgs":
            model.partial_fit(x[: len(x) // 2], y[: len(x) // 2])
        model.set_params(warm_start=True, max_iter=2).fit(x, y)
    assert np.isfinite(model.loss_curve_).all()
