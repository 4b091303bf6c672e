"""What bounds and averages a step: max_grad_norm, max_norm, ema_decay."""

import inspect
import pickle

import numpy as np
import pytest
from conftest import relative_error
from each import each
from sklearn.base import clone

from xpmlp import MLPClassifier, MLPRegressor, nn, train
from xpmlp.callbacks import Epoch
from xpmlp.cli import options as cli_options
from xpmlp.nn.layout import map_params
from xpmlp.optim import SGD, Adam, bound_weights, clip_gradients
from xpmlp.training import STEP_OPTIONS, StepOptions
from xpmlp.training import step as step_module

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")
rng = np.random.default_rng(0)
X = 3.0 * rng.normal(size=(40, 4))
Y = X @ rng.normal(size=(4, 2))
ARGS = {
    "hidden_layer_sizes": (6, 6),
    "batch_size": 10,
    "max_iter": 3,
    "random_state": 0,
    "n_iter_no_change": 999,
    "learning_rate_init": 0.01,
}


def stores(members=()):
    draw = np.random.default_rng(1)
    return {k: draw.normal(size=(*members, *s)) for k, s in (("W", (3, 4)), ("b", (1, 4)))}


@each("limit", [0.01, 1.0, 1e3])
def test_clipping_is_torchs(limit, xp):
    torch = pytest.importorskip("torch", reason="compares with torch")
    grads = stores()
    params = [torch.zeros(a.shape, dtype=torch.float64) for a in grads.values()]
    for p, g in zip(params, grads.values()):
        p.grad = torch.asarray(g.copy())
    torch.nn.utils.clip_grad_norm_(params, limit)
    given = {k: xp.asarray(a, "float32") for k, a in grads.items()}
    got = xp.call(lambda grads: clip_gradients(grads, limit, xp=xp.xp), given)
    for p, (k, a) in zip(params, got.items()):
        assert relative_error(xp.host(a), p.grad.numpy()) < 2e-6  # theirs adds 1e-6 to the norm
        if limit == 1e3:
            assert np.array_equal(xp.host(a), grads[k].astype("float32"))


def test_each_member_is_clipped_and_bounded_by_its_own_norm():
    grads = stores((3,))
    grads["W"][1] *= 1e-6
    grads["b"][1] *= 1e-6
    got = clip_gradients(grads, 0.5, xp=np)
    for k in range(3):
        want = clip_gradients({name: a[k] for name, a in grads.items()}, 0.5, xp=np)
        assert all(relative_error(got[name][k], want[name]) < 1e-15 for name in grads)
    W = bound_weights(grads["W"], 0.5, xp=np)
    assert np.linalg.norm(W, axis=-2).max() < 0.5 + 1e-15
    assert np.array_equal(W[1], grads["W"][1])


class Spy(SGD):
    """A rule that notes the gradients that reach it, a list for each step."""

    seen: list = []

    def apply(self, p, g, rate, *slots, xp):
        Spy.seen.append(float(np.sum(g * g)))
        return super().apply(p, g, rate, *slots, xp=xp)


@pytest.mark.parametrize("alpha", [0.0, 50.0])
def test_no_steps_gradients_exceed_the_norm_the_penaltys_included(alpha):
    Spy.seen.clear()
    reg = MLPRegressor(**ARGS, solver=Spy(0.0), max_grad_norm=0.5, alpha=alpha).fit(X, 100 * Y)
    norms = np.sqrt(np.reshape(Spy.seen, (12, -1)).sum(axis=1))  # of the leaves of each step
    assert norms == pytest.approx(np.full(12, 0.5), rel=1e-12)
    assert np.isfinite(reg.loss_)


def largest(model):
    return max(np.linalg.norm(np.asarray(W), axis=0).max() for W in model.coefs_)


@pytest.mark.parametrize("xp64", ["numpy", "strict", "torch", "jax-x64"], indirect=True)
@pytest.mark.parametrize("normalization", [None, "batch"])
def test_no_units_weights_exceed_the_norm_after_any_step_on_any_library(xp64, normalization):
    norms = []
    options = {"callbacks": lambda epoch: norms.append(largest(epoch.estimator))}
    reg = MLPRegressor(max_norm=0.3, normalization=normalization, residual=True, **options, **ARGS)
    reg.fit(xp64.asarray(X), xp64.asarray(Y))
    assert len(norms) == 3 and max(norms) < 0.3 * (1 + 1e-12)
    assert max(norms) > 0.29  # some are held
    free = MLPRegressor(**ARGS, max_norm=1e9, normalization=normalization, residual=True)
    plain = MLPRegressor(**ARGS, normalization=normalization, residual=True)
    for a, b in zip(*(model.fit(X, Y).coefs_ for model in (free, plain))):
        assert np.array_equal(a, b)


# The average


def raw_steps(monkeypatch):
    """The parameters after every step, in order, without the average."""
    steps, plain = [], step_module.update

    def update(*args, **options):
        params, state = plain(*args, **options)
        steps.append({k: a.copy() for k, a in params.items()})
        return params, state

    monkeypatch.setattr(step_module, "update", update)
    return steps


@pytest.mark.parametrize("batch_size", [40, 10])
@pytest.mark.parametrize("decay", [0.5, 0.99])
def test_the_coefficients_are_the_corrected_average_of_all_steps(decay, batch_size, monkeypatch):
    steps = raw_steps(monkeypatch)
    reg = MLPRegressor(
        **ARGS | {"batch_size": batch_size},
        ema_decay=decay,
        activation=nn.ActivationFunction(
            "own", lambda z, xp: 1.0 * z, lambda da, z, a, xp: 1.0 * da
        ),
    ).fit(X, Y)
    n = len(steps)
    assert n == 3 * 40 // batch_size  # whole leaves, not blocks of them
    shares = decay ** np.arange(n)[::-1]
    want = sum(share * made["weights"] for share, made in zip(shares, steps)) / shares.sum()
    got = np.concatenate([W.ravel() for W in reg.coefs_])
    assert relative_error(got, want[0]) < 1e-13
    assert relative_error(got, steps[-1]["weights"][0]) > 1e-4


def test_the_average_follows_the_very_steps_of_a_training_without_it():
    steps = []
    args = ARGS | {"batch_size": 40, "max_iter": 5}
    MLPRegressor(
        **args, callbacks=lambda e: steps.append([W.copy() for W in e.estimator.coefs_])
    ).fit(X, Y)
    got = MLPRegressor(**args, ema_decay=0.7).fit(X, Y)
    shares = 0.7 ** np.arange(5)[::-1]
    for i, W in enumerate(got.coefs_):
        want = sum(share * made[i] for share, made in zip(shares, steps)) / shares.sum()
        assert relative_error(W, want) < 1e-13


@each("made", [
    MLPRegressor(**ARGS, ema_decay=0.9, shuffle=False),
    MLPRegressor(**ARGS, ema_decay=0.9, shuffle=False, solver=Adam(), normalization="batch"),
    MLPRegressor(**ARGS, ema_decay=0.9, shuffle=False, dropout=0.2, max_norm=0.4, residual=True),
], ids=["plain", "batch normalization", "dropout"])  # fmt: skip
@each("between", [lambda est: est, lambda est: pickle.loads(pickle.dumps(est))])
def test_calls_of_partial_fit_are_the_epochs_of_a_fit_bit_for_bit(made, between):
    whole, parts = clone(made).fit(X, Y), clone(made)
    for _ in range(3):
        parts = between(parts.partial_fit(X, Y))
    for a, b in zip([*parts.coefs_, *parts.intercepts_], [*whole.coefs_, *whole.intercepts_]):
        assert np.array_equal(a, b)
    assert parts.loss_curve_ == whole.loss_curve_


def test_weights_that_were_written_by_hand_are_what_training_goes_on_from():
    args = ARGS | {"ema_decay": 0.9, "batch_size": 40, "learning_rate_init": 1e-12}
    reg = MLPRegressor(**args).partial_fit(X, Y)
    reg.coefs_[0][...] = 7.0
    reg.partial_fit(X, Y)
    assert np.abs(reg.coefs_[0] - 7.0).max() < 1e-9


def test_validation_sees_the_average():
    args, y = ARGS | {"learning_rate_init": 0.1, "max_iter": 4}, Y[:, 0] > 0
    clf = MLPClassifier(**args, ema_decay=0.9, scoring="neg_log_loss").fit(X, y, X_val=X, y_val=y)
    z = clf.decision_function(X)
    want = np.mean(np.logaddexp(0.0, np.where(y, -z, z)))
    assert clf.history_["validation_loss"][-1] == pytest.approx(want, rel=1e-12)
    assert clf.history_["validation_score"][-1] == pytest.approx(-want, rel=1e-12)


def test_callbacks_see_the_average_too():
    seen = []

    def look(epoch: Epoch):
        seen.append([W.copy() for W in epoch.estimator.coefs_])

    reg = MLPRegressor(**ARGS, ema_decay=0.9, callbacks=look).fit(X, Y)
    assert all(np.array_equal(a, b) for a, b in zip(seen[-1], reg.coefs_))


@pytest.mark.parametrize("change", [{"ema_decay": None}, {"ema_decay": 0.5}, {"solver": "sgd"}])
def test_another_average_or_rule_begins_at_the_last_average(change):
    reg = MLPRegressor(**ARGS | {"batch_size": 40}, ema_decay=0.9).fit(X, Y)
    before = [W.copy() for W in reg.coefs_]
    reg.set_params(**change, learning_rate_init=1e-12).partial_fit(X, Y)
    assert all(np.abs(a - b).max() < 1e-9 for a, b in zip(reg.coefs_, before))


@each("name", ["max_norm", "max_grad_norm", "ema_decay"])
@each("value", [0.0, -1.0, float("nan"), "much"])
def test_bounds_without_sense_are_refused_in_a_sentence(name, value):
    model = MLPRegressor(**ARGS, **{name: value})
    with pytest.raises(ValueError, match=f"The '{name}' parameter of MLPRegressor must be"):
        model.fit(X, Y)
    with pytest.raises(ValueError, match=f"makes no steps that {name} could act on"):
        MLPRegressor(solver="lbfgs", **{name: 0.5}).fit(X, Y)
    with pytest.raises(ValueError, match=f"makes no steps that {name} could act on"):
        train(nn.Network([nn.Dense(2)]), X, Y, solver="lbfgs", **{name: 0.5})
    for bad in (0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match=f"{name} must be None or a number above 0 and below"):
            train(nn.Network([nn.Dense(2)]), X, Y, **{name: bad})


def test_a_row_of_the_options_of_a_step_is_all_that_estimators_train_and_command_line_need():
    assert [*STEP_OPTIONS] == ["max_norm", "max_grad_norm", "ema_decay"]
    for name, row in STEP_OPTIONS.items():
        assert inspect.signature(MLPClassifier).parameters[name].default is None
        assert cli_options.TABLE["Training"][name][1] == row["help"]
        given = StepOptions(**{name: 0.5})
        assert given.given == [name] and hash(given) != hash(StepOptions())
        trained = train(nn.Network([nn.Dense(2)]), X, Y, max_iter=3, random_state=0, **{name: 0.5})
        plain = train(nn.Network([nn.Dense(2)]), X, Y, max_iter=3, random_state=0)
        assert not np.array_equal(trained.params[0]["W"], plain.params[0]["W"])
    with pytest.raises(TypeError, match="train.. got an unexpected keyword argument 'max_nor'"):
        train(nn.Network([nn.Dense(2)]), X, Y, max_nor=1.0)


def test_only_weights_are_bounded_and_averaged_parameters_keep_their_shapes():
    network = nn.Network([nn.Dense(3), nn.BatchNorm(), nn.Dense(1)])
    params, _ = network.init(2, np.random.default_rng(0))
    layout = nn.Layout.of(network, params, contiguous=True)
    names = [slot.path for leaf in layout.decayed.leaves for slot in leaf.slots]
    assert names == [(0, "W"), (2, "W")]
    assert map_params(np.shape, params)[1]["g"] == (1, 3)
