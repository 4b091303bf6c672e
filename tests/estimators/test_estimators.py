"""The estimators as users see them: arrays in and out, state across calls, errors in words."""

import warnings

import numpy as np
import pytest
from each import each
from sklearn.datasets import load_breast_cancer, load_iris
from sklearn.exceptions import NotFittedError
from small_sets import LABELS, THREE, VALUES, X, fast

from xpmlp import MLPClassifier, MLPRegressor, nn, optim
from xpmlp.errors import DeviceError

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")


# Arrays of every library ------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["binary", "multiclass", "multilabel", "regression", "outputs"])
def test_every_library_gets_numpys_numbers_and_its_own_arrays_back(xp, target):
    y = {
        "binary": LABELS,
        "multiclass": THREE,
        "multilabel": np.stack([LABELS, THREE > 1], 1) * 1,
        "regression": VALUES,
        "outputs": np.stack([VALUES, -VALUES], 1),
    }[target]
    kind = MLPRegressor if target in ("regression", "outputs") else MLPClassifier
    x32 = X.astype(np.float32)
    oracle = fast(kind, dropout=0.2).fit(x32, y)
    est = fast(kind, dropout=0.2).fit(xp.asarray(x32), y)
    np.testing.assert_allclose(est.loss_curve_, oracle.loss_curve_, rtol=2e-5)
    device_x = xp.asarray(x32)
    methods = ["predict"] + ["predict_proba", "decision_function"] * (kind is MLPClassifier)
    for method in methods:
        mine, theirs = getattr(est, method)(device_x), getattr(oracle, method)(x32)
        assert type(mine) is type(device_x), method
        np.testing.assert_allclose(xp.host(mine), theirs, rtol=1e-3, atol=1e-4, err_msg=method)
    assert all(type(c) is type(device_x) for c in est.coefs_ + est.intercepts_)
    assert isinstance(est.score(device_x, y), float)


def test_y_and_weights_may_come_from_the_same_library(xp):
    x32, w = X.astype(np.float32), np.linspace(0.1, 1.0, 60).astype(np.float32)
    oracle = fast().fit(x32, THREE, sample_weight=w)
    est = fast().fit(xp.asarray(x32), xp.asarray(THREE), sample_weight=xp.asarray(w))
    np.testing.assert_allclose(est.loss_curve_, oracle.loss_curve_, rtol=2e-5)
    assert est.score(xp.asarray(x32), xp.asarray(THREE)) == oracle.score(x32, THREE)


def test_text_labels_come_back_as_numpy_text(xp):
    names = np.array(["no", "yes"])[LABELS]
    est = fast(max_iter=30).fit(xp.asarray(X.astype(np.float32)), names)
    found = est.predict(xp.asarray(X.astype(np.float32)))
    assert isinstance(found, np.ndarray) and set(found) <= {"no", "yes"}


def test_predicting_where_the_model_does_not_live_is_refused_with_the_remedy():
    torch = pytest.importorskip("torch", reason="needs two libraries")
    est = fast().fit(torch.asarray(X), LABELS)
    with pytest.raises(ValueError, match=r"must use the same namespace.*torch.*numpy"):
        est.predict(X)
    est = fast().fit(X, LABELS)
    with pytest.raises(ValueError, match=r"MLPClassifier.predict_proba\(\) must use the same"):
        est.predict_proba(torch.asarray(X))


def test_a_torch_tensor_with_a_graph_is_taken_without_it():
    torch = pytest.importorskip("torch", reason="torch only")
    x = torch.asarray(X, dtype=torch.float32).requires_grad_()
    found = fast(MLPRegressor).fit(x, VALUES).predict(x)
    assert not found.requires_grad


@each("dtype", ["float16", "float32", "float64", "int64", "bool", ">f8", ">i4"])
def test_the_compute_dtype_follows_x(dtype):
    x = (X > 0) if dtype == "bool" else (X * 4).astype(dtype)
    est = fast(MLPRegressor).fit(x, VALUES)
    expected = "float32" if dtype in ("float16", "float32") else "float64"
    assert {str(a.dtype) for a in est.coefs_ + est.intercepts_} == {expected}
    assert str(est.predict(x).dtype) == expected


def test_dtype_overrules_x_and_devices_are_named():
    est = fast(dtype="float32").fit(X, LABELS)
    assert est.coefs_[0].dtype == np.float32 and est.predict_proba(X).dtype == np.float32
    assert fast(dtype=np.float32).fit(X, LABELS).coefs_[0].dtype == np.float32
    assert est.device_ == "cpu"
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64'"):
        fast(dtype="int8").fit(X, LABELS)
    with pytest.raises(ValueError, match="device must be"):
        fast(device="tpu").fit(X, LABELS)
    if not _card():
        with pytest.raises(DeviceError, match="device='cuda' does not work: .* device='cpu' runs"):
            fast(device="cuda").fit(X, LABELS)


def _card():
    try:
        import cupy

        return cupy.is_available()
    except ImportError:
        return False


# Arguments --------------------------------------------------------------------------------------


def test_a_list_of_layers_and_a_rule_may_be_given():
    layers = [nn.Dense(6, "tanh", use_bias=False), nn.Dropout(0.1), 5]
    est = fast(hidden_layer_sizes=layers, solver=optim.RMSprop(rho=0.99)).fit(X, THREE)
    assert [c.shape for c in est.coefs_] == [(4, 6), (6, 5), (5, 3)]
    assert [b.shape for b in est.intercepts_] == [(5,), (3,)]


@each("solver", [*optim.RULES, "lbfgs"])
@each("kind", [MLPClassifier, MLPRegressor])
def test_every_solver_learns(solver, kind):
    y = LABELS if kind is MLPClassifier else VALUES
    lr = {"sgd": 0.05, "adagrad": 0.2, "lion": 0.01}.get(solver, 0.02)
    est = fast(kind, solver=solver, learning_rate_init=lr, max_iter=150).fit(X, y)
    assert est.score(X, y) > 0.93


@pytest.mark.parametrize("loss", ["log_loss", "binary_log_loss", "squared_error"])
def test_every_classifier_loss_gives_probabilities_and_learns_iris(loss):
    Xi, yi = load_iris(return_X_y=True)
    Xi = (Xi - Xi.mean(0)) / Xi.std(0)
    est = fast(loss=loss, max_iter=300, learning_rate_init=0.02).fit(Xi, yi)
    p = est.predict_proba(Xi)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    assert (p >= 0).all() and est.score(Xi, yi) > 0.95
    np.testing.assert_array_equal(p.argmax(1), est.predict(Xi))
    np.testing.assert_allclose(est.predict_log_proba(Xi), np.log(p))


def test_predict_log_proba_of_a_probability_of_zero_is_minus_infinity_without_a_warning():
    est = fast().fit(X, LABELS)
    est.coefs_[1] *= 1e6
    assert np.isneginf(est.predict_log_proba(X)).any()


@each(
    "kind, kw, words",
    [
        (MLPClassifier, {"out_activation": "softmax", "loss": "squared_error"}, "log_loss"),
        (MLPClassifier, {"out_activation": "identity"}, "logistic"),
        (MLPRegressor, {"loss": "poisson", "out_activation": "relu"}, "exp"),
        (MLPClassifier, {"activation": "nonsense"}, "activation must be one of"),
        (MLPClassifier, {"init": "nonsense"}, "init must be"),
        (MLPClassifier, {"init": 3}, "init must be"),
        (MLPClassifier, {"solver": "nonsense"}, "'solver' parameter"),
        (MLPClassifier, {"dropout": 1.0}, "'dropout' parameter"),
        (MLPClassifier, {"hidden_layer_sizes": (3, 0)}, "must be > 0"),
        (MLPClassifier, {"hidden_layer_sizes": 10**30}, r"below 2\*\*31"),
        (MLPClassifier, {"hidden_layer_sizes": ("a",)}, "hidden_layer_sizes"),
        (MLPClassifier, {"solver": "lbfgs", "dropout": 0.5}, "leave dropout"),
        (MLPClassifier, {"learning_rate_init": float("nan")}, "learning_rate_init"),
        (MLPClassifier, {"early_stopping": True, "validation_fraction": 0.01}, "validation"),
        (MLPRegressor, {"loss": "poisson"}, "y >= 0"),
    ],
)
def test_arguments_that_cannot_be_are_refused_in_words(kind, kw, words):
    y = VALUES if kind is MLPRegressor else LABELS
    y = np.abs(y) if words == "exp" else y
    with pytest.raises(ValueError, match=words):
        fast(kind, **kw).fit(X, y)


@each(
    "change, words",
    [
        (lambda x, y: (np.ma.masked_array(x, x > 1), y), "masked"),
        (lambda x, y: (x.astype("datetime64[s]"), y), "dates"),
        (lambda x, y: (x.astype(complex), y), "[Cc]omplex"),
        (lambda x, y: (x, np.array(["a", 1] * 30, dtype=object)), "types"),
        (lambda x, y: (x, [None, "a"] * 30), "no value, in row 0"),
        (lambda x, y: (x, None), "requires y"),
        (lambda x, y: (x[0], y), "2D"),
        (lambda x, y: (x * 1e300, y), "too large|infinity"),
        (lambda x, y: (x[:0], y[:0]), "0 sample"),
        (
            lambda x, y: (x, np.stack([y, y + 1], 1)),
            "several columns|Unknown label|multiclass-multioutput",
        ),
    ],
)
def test_data_that_cannot_be_are_refused_in_words(change, words):
    x, y = change(X, LABELS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        with pytest.raises((ValueError, TypeError), match=words):
            fast(dtype="float32").fit(x, y)


def test_an_unfitted_estimator_says_so():
    with pytest.raises(NotFittedError):
        fast().predict(X)


def test_breast_cancer_in_a_pipeline_and_a_search():
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    Xb, yb = load_breast_cancer(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=100, random_state=0))
    search = GridSearchCV(pipe, {"mlpclassifier__alpha": [1e-4, 1.0]}, cv=3).fit(Xb, yb)
    assert search.best_score_ > 0.94


def test_a_plateau_schedule_takes_a_diverged_epoch_back_at_half_the_rate(capsys):
    x = np.random.default_rng(0).normal(size=(2000, 4))
    reg = MLPRegressor(
        hidden_layer_sizes=(20,),
        solver="sgd",
        learning_rate="plateau",
        learning_rate_init=30.0,
        batch_size=10,
        max_iter=20,
        random_state=0,
        verbose=1,
    )
    with np.errstate(all="ignore"):  # NumPy's loop would warn
        reg.fit(x, 3 * x[:, 0])
    halvings = np.log2(30.0 / reg.history_["learning_rate"][0])
    assert halvings >= 3 and halvings == round(halvings)
    assert capsys.readouterr().out.count("Epoch 1 diverged, again at learning rate") == halvings
    assert reg.score(x, 3 * x[:, 0]) > 0.99 and reg.n_iter_ == len(reg.loss_curve_)
