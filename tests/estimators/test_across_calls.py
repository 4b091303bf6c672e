"""What one call of fit or partial_fit leaves to the next."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
from each import each
from needs import needs

from xpmlp import MLPClassifier, MLPRegressor, load_model, nn

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
SUM = X[:, 0] + X[:, 1]
TARGETS = {
    "binary": np.where(SUM > 0, 7, 3),
    "multiclass": np.digitize(SUM, [-0.5, 0.5]),
    "multilabel": (X[:, :3] > 0).astype(int),
    "regression": SUM,
    "outputs": X[:, :2] + X[:, 2:],
}
SOLVERS = {"adam": {"solver": "adam"}, "sgd": {"solver": "sgd", "learning_rate": "invscaling"}}


def fast(kind=MLPClassifier, **kw):
    kw = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0, "batch_size": 16} | kw
    return kind(**kw)


def host(arrays):
    return [np.asarray(a) for a in arrays]


@pytest.mark.parametrize("library", ["numpy", "torch"])
@each("solver", SOLVERS)
@each("target", TARGETS)
def test_partial_fit_is_an_unshuffled_epoch_of_fit_to_the_last_bit(target, solver, library):
    x, y = pytest.importorskip(library).asarray(X), TARGETS[target]
    regression = target in ("regression", "outputs")
    kind = MLPRegressor if regression else MLPClassifier
    first = {} if regression or target == "multilabel" else {"classes": np.unique(y)}
    same = SOLVERS[solver] | {"shuffle": False, "dropout": 0.2}
    whole, parts = fast(kind, **same, max_iter=3).fit(x, y), fast(kind, **same)
    for more in (first, {}, {}):
        parts.partial_fit(x, y, **more)
    assert parts.loss_curve_ == whole.loss_curve_ and parts.t_ == whole.t_ == 3 * len(X)
    for a, b in zip(host(whole.coefs_ + whole.intercepts_), host(parts.coefs_ + parts.intercepts_)):
        np.testing.assert_array_equal(a, b)


@dataclass(frozen=True)
class Shift(nn.Layer):
    """A user's layer without weights."""

    def init(self, n_in, stream, x=None):
        return {"s": np.zeros((1, n_in))}, n_in

    def forward(self, params, x, ctx):
        return x + params["s"], ()

    def backward(self, params, dy, cache, ctx):
        return dy, {"s": ctx.xp.sum(dy, axis=-2, keepdims=True)}


OPTIONS = {
    "batch normalization": {"normalization": "batch", "hidden_layer_sizes": (8, 8)},
    "residual blocks": {"normalization": "layer", "hidden_layer_sizes": (8, 8), "residual": True},
    "a layer without weights in front": {"hidden_layer_sizes": [Shift(), 8]},
    "averaged weights": {"ema_decay": 0.9},
    "bounds": {"max_norm": 1.0, "max_grad_norm": 0.1},
    "a schedule": {"learning_rate": "warmup"},
}


@pytest.mark.parametrize("library", ["numpy", "torch"])
@each("option", OPTIONS)
def test_whatever_a_step_does_partial_fit_goes_on_with_it(option, library):
    x, y = pytest.importorskip(library).asarray(X), TARGETS["multiclass"]
    whole, parts = (fast(**{"max_iter": 3} | OPTIONS[option]) for _ in range(2))
    whole.fit(x, y)
    for _ in range(3):
        parts.partial_fit(x, y, classes=[0, 1, 2])
    assert parts.loss_curve_ == whole.loss_curve_
    np.testing.assert_array_equal(host([whole.predict_proba(x)]), host([parts.predict_proba(x)]))


def test_n_iter_counts_a_call_and_n_iter_total_all_since_the_weights_were_made(tmp_path):
    est = fast(warm_start=True).fit(X, TARGETS["binary"])
    assert (est.n_iter_, est.n_iter_total_) == (5, 5)
    est.partial_fit(X, TARGETS["binary"])
    assert (est.n_iter_, est.n_iter_total_) == (1, 6)
    est.set_params(max_iter=3).fit(X, TARGETS["binary"])
    assert (est.n_iter_, est.n_iter_total_) == (3, 9)
    est.save(tmp_path / "model", training=True)
    for twin in (pickle.loads(pickle.dumps(est)), load_model(tmp_path / "model")):
        assert (twin.n_iter_, twin.n_iter_total_) == (3, 9)
        assert twin.partial_fit(X, TARGETS["binary"]).n_iter_total_ == 10
    assert est.set_params(warm_start=False).fit(X, TARGETS["binary"]).n_iter_total_ == 3


def test_iterations_of_lbfgs_count_and_a_saved_model_goes_on_as_the_live_one_does(tmp_path):
    est = fast(warm_start=True, solver="lbfgs").fit(X, TARGETS["binary"])
    est.fit(X, TARGETS["binary"])
    assert est.n_iter_ == 5 and est.n_iter_total_ == len(est.loss_curve_) == 10
    est.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    for model in (est, loaded):  # the number of the epoch names the order of its rows
        model.set_params(solver="adam").partial_fit(X, TARGETS["binary"])
    for a, b in zip(est.coefs_, loaded.coefs_):
        np.testing.assert_array_equal(a, b)


def test_warm_start_wants_the_same_classes_and_partial_fit_takes_some_of_them():
    est = fast(warm_start=True).fit(X, TARGETS["multiclass"])
    some = TARGETS["multiclass"] > 0
    with pytest.raises(ValueError, match="same classes as in the previous call .* partial_fit"):
        est.fit(X[some], TARGETS["multiclass"][some])
    est.partial_fit(X[some], TARGETS["multiclass"][some])
    held_out = {"X_val": X[some], "y_val": TARGETS["multiclass"][some]}
    assert est.fit(X, TARGETS["multiclass"], **held_out).n_iter_total_ == 11


@needs("sklearn", "1.8", "the message of the split names the label")
def test_a_split_that_cannot_be_names_the_label_as_the_user_does():
    y = np.asarray(["rare"] + ["usual"] * 59)
    label = r"are: \['False'\] \(False is label rare, True usual\): pass X_val and y_val"
    with pytest.raises(ValueError, match=label):
        fast(early_stopping=True).fit(X, y)
