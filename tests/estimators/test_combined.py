"""All options at once: the same on every library, and through clones, pickles and files."""

import pickle

import numpy as np
import pytest
from conftest import relative_error
from sklearn.base import clone, is_classifier

from xpmlp import MLPClassifier, MLPRegressor, load_model
from xpmlp.optim import Cosine, OneCycle
from xpmlp.testing import check_gradients

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")
rng = np.random.default_rng(0)
X = rng.normal(size=(60, 5))
Z = X @ rng.normal(size=(5, 3))
WEIGHTS = rng.integers(0, 3, 60).astype(float)
BOTH = {
    "hidden_layer_sizes": (8, 8, 6), "activation": ["tanh", "gelu", "elu"], "batch_size": 25,
    "max_iter": 4, "random_state": 0, "n_iter_no_change": 999, "dropout": [0.1, 0.0, 0.2, 0.1],
    "residual": True, "max_norm": 0.9, "max_grad_norm": 0.5, "ema_decay": 0.8, "alpha": 0.01,
    "weight_decay": 0.1, "learning_rate_init": 0.01,
}  # fmt: skip
CLF = MLPClassifier(
    **BOTH,
    normalization="batch",
    learning_rate="cosine",
    class_weight="balanced",
    label_smoothing=0.1,
    scoring="accuracy",
    early_stopping=True,
    solver="nadam",
)
CASES = {
    "classes": (CLF, Z.argmax(axis=1), "predict_proba"),
    "two classes": (
        clone(CLF).set_params(loss="focal", learning_rate="one_cycle"), Z[:, 0] > 0, "predict_proba"
    ),
    "labels": (
        clone(CLF).set_params(
            class_weight=[{1: 2.0}, "balanced", None], normalization="layer",
            scoring="loss", learning_rate=OneCycle(warmup=1),
        ),
        (Z > 0).astype(int), "predict_proba",
    ),
    "values": (
        MLPRegressor("huber", **BOTH, normalization="rms", target_scale="auto", solver="adamw",
                     learning_rate=Cosine(warmup=0.5), scoring="neg_median_absolute_error",
                     early_stopping=True),
        1e6 * Z[:, :2] + 1e8, "predict",
    ),
    "quantiles": (
        MLPRegressor("quantile", **BOTH, normalization="batch", target_scale="auto",
                     quantiles=[0.1, 0.5, 0.9], solver="rmsprop", learning_rate="step"),
        1e6 * Z[:, 0], "predict",
    ),
    "rates": (
        MLPRegressor("gamma", **BOTH, normalization="batch", target_scale="auto", solver="sgd",
                     learning_rate="plateau"),
        np.exp(Z[:, 0]), "predict",
    ),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", CASES)


def curves(model):
    names = ("loss", "validation_loss", "validation_score", "learning_rate")
    return {name: values for name in names if (values := model.history_[name])}


EAGER = [(name, library) for name in CASES for library in ("numpy-readonly", "strict", "torch")]
COMPILED = [("classes", "jax-x64"), ("quantiles", "jax-x64")]  # which takes 10 s each


@pytest.mark.parametrize(("name", "xp64"), EAGER + COMPILED, indirect=["xp64"])
def test_all_options_at_once_train_alike_on_every_library(name, xp64):
    est, y, method = CASES[name]
    want = clone(est).fit(X, y, WEIGHTS)
    got = clone(est).fit(xp64.asarray(X), y, WEIGHTS)
    assert curves(got).keys() == curves(want).keys()
    for which, values in curves(want).items():
        assert relative_error(curves(got)[which], values) < 1e-9, which

    for a, b in zip([*got.coefs_, *got.intercepts_], [*want.coefs_, *want.intercepts_]):
        assert relative_error(xp64.host(a), b) < 1e-9
    made = getattr(got, method)(xp64.asarray(X))
    assert relative_error(xp64.host(made), getattr(want, method)(X)) < 1e-9
    assert {str(a.dtype).rpartition(".")[2] for a in got.coefs_} == {"float64"}


@EVERY
def test_float32_is_kept_and_near(name):
    est, y, method = CASES[name]
    got, want = (clone(est).fit(X.astype(d), y, WEIGHTS) for d in ("float32", "float64"))
    assert {a.dtype.name for a in [*got.coefs_, *got.other_params_.values()]} == {"float32"}
    assert relative_error(got.history_["loss"], want.history_["loss"]) < 1e-4
    made = getattr(got, method)(X.astype("float32"))
    assert made.dtype == "float32"
    assert relative_error(made, getattr(want, method)(X)) < 1e-3


@EVERY
def test_copies_of_every_kind_predict_alike_and_a_clone_fits_alike(name, tmp_path):
    est, y, method = CASES[name]
    model = clone(est).fit(X, y, WEIGHTS)
    want = getattr(model, method)(X)
    model.save(tmp_path / "m")
    again = clone(model).fit(X, y, WEIGHTS)
    for twin in (pickle.loads(pickle.dumps(model)), load_model(tmp_path / "m"), again):
        assert np.array_equal(getattr(twin, method)(X), want)
    assert repr(clone(model).get_params()) == repr(est.get_params())


def pickled(model, path):
    return pickle.loads(pickle.dumps(model))


def saved(model, path):
    model.save(path, training=True)
    return load_model(path)


@EVERY
@pytest.mark.parametrize("kept", [pickled, saved])
def test_a_model_that_was_kept_between_calls_trains_on_bit_for_bit(name, kept, tmp_path):
    est, y, _ = CASES[name]
    given = {"early_stopping": False, "scoring": None}
    if getattr(est, "class_weight", None) is not None:
        given["class_weight"] = None
    whole, parts = (clone(est).set_params(**given) for _ in range(2))
    if is_classifier(est) and y.ndim == 1:
        for model in (whole, parts):
            model.partial_fit(X, y, WEIGHTS, classes=np.unique(y))
    for _ in range(2):
        whole.partial_fit(X, y, WEIGHTS)
        parts = kept(parts.partial_fit(X, y, WEIGHTS), tmp_path / "m")
    for a, b in zip([*parts.coefs_, *parts.intercepts_], [*whole.coefs_, *whole.intercepts_]):
        assert np.array_equal(a, b)
    # They are the epochs of a fit.
    assert clone(whole).fit(X, y, WEIGHTS).loss_curve_[:2] == whole.loss_curve_[:2]


@pytest.mark.parametrize("name", ["classes", "quantiles"])
def test_the_gradients_of_all_options_at_once_are_right(name):
    est, y, _ = CASES[name]
    report = check_gradients(clone(est), X[:12], y[:12])
    assert report.ok, report
