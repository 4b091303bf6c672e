"""The estimators as users see them: arrays in and out, state across calls, errors in words."""

import copy
import os
import pickle
import signal
import threading
import warnings

import numpy as np
import pytest
from each import each
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    make_multilabel_classification,
)
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from xpmlp import MLPClassifier, MLPRegressor, nn, optim
from xpmlp.errors import DeviceError, DivergenceError, ShapeError

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
LABELS = (X[:, 0] + X[:, 1] > 0).astype(int)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
VALUES = X @ [1.0, -2.0, 0.5, 0.0] + 0.3


def fast(kind=MLPClassifier, **kw):
    kw = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0, "batch_size": 16} | kw
    return kind(**kw)


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
        with pytest.raises(DeviceError, match="device='cuda' does not work.*doctor"):
            fast(device="cuda").fit(X, LABELS)


def _card():
    try:
        import cupy

        return cupy.is_available()
    except ImportError:
        return False


# State across calls -----------------------------------------------------------------------------


def test_a_cold_fit_forgets_everything():
    est = fast()
    first = est.fit(X, LABELS).loss_curve_
    est.coefs_[0][:] = 7.0
    assert est.fit(X, LABELS).loss_curve_ == first and est.t_ == 5 * 60


def test_warm_start_goes_on_with_new_optimizer_state():
    est = fast(warm_start=True, solver="adam").fit(X, LABELS)
    curve, coefs = list(est.loss_curve_), [c.copy() for c in est.coefs_]
    est.set_params(max_iter=3).fit(X, LABELS)
    assert est.loss_curve_[:5] == curve and len(est.loss_curve_) == 8
    assert est.n_iter_ == 3 and est.t_ == 8 * 60 and est.best_loss_ == min(est.loss_curve_)
    # A new optimizer state: Adam's first step moves every weight by about the learning rate.
    one = fast(warm_start=True, max_iter=5, shuffle=False, batch_size=60, alpha=0).fit(X, LABELS)
    before = one.coefs_[0].copy()
    one.set_params(max_iter=1).fit(X, LABELS)
    np.testing.assert_allclose(np.abs(one.coefs_[0] - before), 1e-3, rtol=1e-2)
    assert not np.array_equal(coefs[0], est.coefs_[0])


def test_partial_fit_calls_equal_epochs_of_one_fit():
    whole = fast(max_iter=4).fit(X, THREE)
    parts = fast()
    for _ in range(4):
        parts.partial_fit(X, THREE, classes=[0, 1, 2])
    for a, b in zip(whole.coefs_ + whole.intercepts_, parts.coefs_ + parts.intercepts_):
        np.testing.assert_array_equal(a, b)
    assert parts.loss_curve_ == whole.loss_curve_ and parts.n_iter_ == 1 and parts.t_ == 4 * 60


def test_partial_fit_takes_multilabel_without_classes_and_refuses_new_classes():
    Xm, Ym = make_multilabel_classification(60, 4, n_classes=3, random_state=0)
    assert fast().partial_fit(Xm, Ym).partial_fit(Xm, Ym).predict(Xm).shape == Ym.shape
    est = fast().partial_fit(X, LABELS, classes=[0, 1])
    with pytest.raises(ValueError, match="classes not in"):
        est.partial_fit(X, THREE)
    with pytest.raises(ValueError, match="classes must be passed"):
        fast().partial_fit(X, LABELS)
    with pytest.raises(ValueError, match="does not support early_stopping"):
        fast(early_stopping=True).partial_fit(X, LABELS, classes=[0, 1])
    assert not hasattr(fast(solver="lbfgs"), "partial_fit")


def test_coefs_can_be_assigned_by_list_by_item_and_in_place():
    est = fast(MLPRegressor).fit(X, VALUES)
    for assign in (
        lambda: setattr(est, "coefs_", [np.zeros_like(c) for c in est.coefs_]),
        lambda: est.coefs_.__setitem__(1, np.zeros((8, 1))),
        lambda: est.coefs_[1].__setitem__(slice(None), 0.0),
        lambda: est.coefs_.__setitem__(1, np.zeros((8, 1)).tolist()),
    ):
        est.fit(X, VALUES)
        assign()
        est.intercepts_[1][:] = 2.5
        np.testing.assert_array_equal(est.predict(X), 2.5)
    est.coefs_[0] = np.zeros((3, 8))
    with pytest.raises(ShapeError, match=r"coefs_\[0\] has shape \(3, 8\), expected \(4, 8\)"):
        est.predict(X)


def test_a_host_array_assigned_to_a_device_model_is_taken_home():
    torch = pytest.importorskip("torch", reason="torch only")
    x = torch.asarray(X)
    est = fast(MLPRegressor).fit(x, VALUES)
    est.coefs_[0] = np.zeros((4, 8))
    est.intercepts_ = [np.zeros(8), np.ones(1)]
    assert torch.equal(est.predict(x), torch.ones(60, dtype=torch.float64))
    assert isinstance(pickle.loads(pickle.dumps(est)).coefs_[0], torch.Tensor)


def test_validation_data_on_the_host_follow_x():
    torch = pytest.importorskip("torch", reason="torch only")
    est = fast().fit(torch.asarray(X), LABELS, X_val=X[:20], y_val=LABELS[:20])
    assert est.history_["validation_score"][-1] == est.score(torch.asarray(X[:20]), LABELS[:20])


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_pickling_a_device_model_leaves_the_live_one_at_home(library):
    pytest.importorskip(library, reason=f"{library} is not installed")
    xp = __import__("torch") if library == "torch" else __import__("jax.numpy").numpy
    x = xp.asarray(X.astype(np.float32))
    est = fast().fit(x, LABELS)
    pickle.dumps(est)
    assert type(est.coefs_[0]) is type(x) and est.predict(x).shape == (60,)


def test_torch_weights_with_a_graph_train_without_it():
    torch = pytest.importorskip("torch", reason="torch only")
    est = fast(warm_start=True).fit(torch.asarray(X), LABELS)
    est.coefs_[0].requires_grad_()
    est.fit(torch.asarray(X), LABELS)
    assert not est.coefs_[0].requires_grad and not est.predict_proba(torch.asarray(X)).requires_grad


def test_labels_that_a_library_cannot_hold_come_back_in_numpy():
    jnp = pytest.importorskip("jax.numpy", reason="JAX without x64 has no int64")
    x, y = jnp.asarray(X.astype(np.float32)), LABELS + 2**40
    est = fast(max_iter=30).fit(x, y)
    assert set(np.asarray(est.predict(x)).tolist()) <= set(y.tolist()) and est.score(x, y) > 0.6


@pytest.mark.parametrize("solvers", [("sgd", "rmsprop"), ("adagrad", "rmsprop"), ("sgd", "adam")])
def test_another_solver_or_rate_starts_with_a_state_of_its_own(solvers):
    est = fast(solver=solvers[0], learning_rate_init=0.1)
    for _ in range(3):
        est.partial_fit(X, LABELS, classes=[0, 1])
    fresh = fast(solver=solvers[1], max_iter=1, init=(list(est.coefs_), list(est.intercepts_)))
    fresh.set_params(shuffle=False).fit(X, LABELS)
    est.set_params(solver=solvers[1], learning_rate_init=1e-3, shuffle=False).partial_fit(X, LABELS)
    np.testing.assert_allclose(est.coefs_[0], fresh.coefs_[0], rtol=1e-12)


def test_a_new_learning_rate_holds_from_the_next_partial_fit():
    est = fast(solver="sgd", momentum=0.0, batch_size=60, alpha=0.0, learning_rate_init=0.1)
    twin = copy.deepcopy(est.partial_fit(X, LABELS, classes=[0, 1]))
    before = est.coefs_[0].copy()
    est.partial_fit(X, LABELS)
    twin.set_params(learning_rate_init=0.02).partial_fit(X, LABELS)
    np.testing.assert_allclose(twin.coefs_[0] - before, (est.coefs_[0] - before) / 5, rtol=1e-9)


def test_lbfgs_watches_validation_data_too():
    est = fast(solver="lbfgs", max_iter=8).fit(X, LABELS, X_val=X[:20], y_val=LABELS[:20])
    scores = est.history_["validation_score"]
    assert len(scores) == est.n_iter_ == len(est.history_["validation_loss"])
    assert scores[-1] == est.score(X[:20], LABELS[:20]) and est.t_ == 0


def test_warm_start_with_early_stopping_never_ends_below_the_best():
    est = fast(warm_start=True, early_stopping=True, max_iter=20, learning_rate_init=0.02)
    est.fit(X, LABELS)
    best, coefs = est.best_validation_score_, est.coefs_[0].copy()
    est.set_params(learning_rate_init=5.0, max_iter=3).fit(X, LABELS)
    if est.best_validation_score_ == best:
        np.testing.assert_array_equal(est.coefs_[0], coefs)
    assert max(est.validation_scores_) == est.best_validation_score_


def test_a_validation_part_that_weighs_nothing_is_refused_and_a_nan_score_ends_the_training():
    w = np.zeros(60)
    w[:3] = 1.0
    with pytest.raises(ValueError, match="validation rows have weight 0"):
        fast(early_stopping=True).fit(X, LABELS, sample_weight=w)
    est = fast(MLPRegressor, early_stopping=True, max_iter=100, n_iter_no_change=4)
    with pytest.warns(UserWarning, match="scoring gave no number for the validation rows"):
        est.fit(X, VALUES, X_val=X[:1], y_val=VALUES[:1])
    assert np.isnan(est.validation_scores_).all() and est.n_iter_ == 5


def test_a_saved_model_goes_on_where_it_was(tmp_path):
    est = fast(warm_start=True, dropout=0.3, max_iter=30).fit(X, LABELS)
    est.save(tmp_path / "m")
    from xpmlp import load_model

    twin = load_model(tmp_path / "m").fit(X, LABELS)
    est.fit(X, LABELS)
    assert twin.loss_curve_ == est.loss_curve_ and twin.best_loss_ == est.best_loss_


def test_partial_fit_refuses_other_classes_than_in_the_first_call():
    est = fast().partial_fit(X, LABELS, classes=[0, 1])
    with pytest.raises(ValueError, match="not the same as on last call"):
        est.partial_fit(X, LABELS, classes=[0, 1, 2])


def test_bad_input_never_changes_a_fitted_model():
    est = fast(MLPClassifier, warm_start=True).fit(X, LABELS)
    before = pickle.dumps(est)
    bad = X.copy()
    bad[3, 2] = np.nan
    for call in (
        lambda: est.fit(bad, LABELS),
        lambda: est.partial_fit(X, LABELS + 5),
        lambda: est.fit(X, LABELS[:10]),
        lambda: est.fit(X, VALUES),
        lambda: est.fit(X, LABELS, sample_weight=-np.ones(60)),
        lambda: est.fit(X, LABELS, sample_weight=np.zeros(60)),
        lambda: est.fit(X[:, :2], LABELS),
    ):
        with pytest.raises(ValueError):
            call()
        assert pickle.dumps(est) == before


def test_inputs_are_never_written():
    x, y, w = X.copy(), VALUES.copy(), np.ones(60)
    for a in (x, y, w):
        a.flags.writeable = False
    coefs = [np.ones((4, 8)), np.ones((8, 1))], [np.zeros(8), np.zeros(1)]
    fast(MLPRegressor, init=coefs).fit(x, y, sample_weight=w).predict(x)
    assert all((c == 1).all() for c in coefs[0]) and all((b == 0).all() for b in coefs[1])


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
    lr = {"sgd": 0.05, "adagrad": 0.2}.get(solver, 0.02)
    est = fast(kind, solver=solver, learning_rate_init=lr, max_iter=100).fit(X, y)
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
        (lambda x, y: (x, [None, "a"] * 30), "types|None"),
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


# The loop ---------------------------------------------------------------------------------------


def test_early_stopping_restores_the_best_weights():
    Xd, yd = load_digits(return_X_y=True)
    Xd = (Xd / 16).astype(np.float32)
    est = MLPClassifier(
        (32,),
        early_stopping=True,
        max_iter=60,
        learning_rate_init=0.03,
        n_iter_no_change=3,
        random_state=1,
    ).fit(Xd[:600], yd[:600])
    scores = est.validation_scores_
    assert est.best_validation_score_ == max(scores) and est.n_iter_ == len(scores) < 60
    assert est.best_loss_ is None
    from sklearn.model_selection import train_test_split

    _, held = train_test_split(
        np.arange(600), test_size=0.1, random_state=1, stratify=yd[:600].astype(np.float32)
    )
    assert est.score(Xd[held], yd[held]) == pytest.approx(max(scores))


def test_validation_data_are_watched_without_touching_the_training():
    plain = fast().fit(X, LABELS)
    watched = fast().fit(X, LABELS, X_val=X[:20], y_val=LABELS[:20])
    assert watched.loss_curve_ == plain.loss_curve_
    assert watched.history_["validation_score"][-1] == watched.score(X[:20], LABELS[:20])
    from sklearn.metrics import log_loss

    expected = log_loss(LABELS[:20], watched.predict_proba(X[:20]))
    assert watched.history_["validation_loss"][-1] == pytest.approx(expected)
    with pytest.raises(ValueError, match="X_val, y_val and sample_weight_val go together"):
        fast().fit(X, LABELS, X_val=X)


def test_divergence_names_the_epoch_and_leaves_the_model_alone():
    est = fast(MLPRegressor, solver="sgd", activation="identity", max_iter=200)
    est.fit(X, VALUES)
    before = pickle.dumps(est)
    est.set_params(learning_rate_init=1e30)
    with (
        np.errstate(all="ignore"),
        pytest.raises(
            DivergenceError,
            match=r"Solver produced non-finite parameter weights.*epoch \d+.*standardise",
        ),
    ):
        est.fit(X, VALUES)
    est.set_params(learning_rate_init=1e-3)
    assert pickle.dumps(est) == before


def test_a_weight_that_is_not_finite_is_found_though_the_loss_is():
    est = fast(MLPRegressor, activation="relu", max_iter=1, init=_dead_unit()).fit
    with pytest.raises(DivergenceError):
        est(X, VALUES)


def _dead_unit():
    """A hidden bias of -inf: relu hides it from the loss."""
    W = np.ones((4, 8)), np.ones((8, 1))
    b = np.zeros(8), np.zeros(1)
    b[0][3] = -np.inf
    return W, b


def test_early_stopping_outlives_divergence():
    y = np.where(np.arange(60) % 2, 1.0, -1.0)
    est = MLPRegressor(
        hidden_layer_sizes=(8,),
        activation="identity",
        early_stopping=True,
        max_iter=500,
        tol=0,
        random_state=0,
        solver="sgd",
        learning_rate_init=2.5,
        momentum=0.0,
        batch_size=54,
        n_iter_no_change=500,
    )
    with np.errstate(all="ignore"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        est.fit(X, y)
    assert any("diverged" in str(w.message) for w in caught)
    assert max(est.validation_scores_) == est.best_validation_score_
    from sklearn.model_selection import train_test_split

    _, held = train_test_split(np.arange(60), test_size=0.1, random_state=0)
    assert est.score(X[held], y[held]) == pytest.approx(est.best_validation_score_)
    assert all(np.isfinite(c).all() for c in est.coefs_)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_keeps_the_weights_and_warns():
    est = MLPClassifier((8,), max_iter=20_000, tol=0, n_iter_no_change=np.inf, random_state=0)
    # A run in the background inherits an ignored SIGINT, and would train to the end.
    inherited = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        with pytest.warns(UserWarning, match="interrupted by user"):
            est.fit(X, LABELS)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        timer.join()
        signal.signal(signal.SIGINT, inherited)
    assert 0 < est.n_iter_ < 20_000 and est.score(X, LABELS) > 0.5


def test_verbose_prints_where_it_trains_and_scikit_learns_lines(capsys):
    fast(verbose=True, max_iter=2).fit(X, LABELS)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("Training on cpu: X is a host array, ")
    assert lines[0].startswith("Iteration 1, loss = 0.") and lines[1].startswith("Iteration 2,")
    assert len(lines) == 3 and "dtype='float32'" in lines[2]  # the one hint for float64 data
    fast(verbose=True, max_iter=2, early_stopping=True).fit(X, LABELS)
    assert "Validation score: " in capsys.readouterr().out


def test_max_iter_warns_and_a_large_batch_is_clipped_with_a_warning():
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\)"):
        fast(max_iter=2).fit(X, LABELS)
    with pytest.warns(UserWarning, match="going to be clipped"):
        fast(batch_size=1000).fit(X, LABELS)


def test_a_random_state_none_is_drawn_and_reported():
    a, b = (fast(random_state=None).fit(X, LABELS) for _ in range(2))
    assert a.seed_ != b.seed_
    again = fast(random_state=a.seed_).fit(X, LABELS)
    assert again.loss_curve_ == a.loss_curve_
    one, two = (fast(random_state=np.random.RandomState(3)).fit(X, LABELS) for _ in range(2))  # noqa: NPY002
    assert one.loss_curve_ == two.loss_curve_


# Copies -----------------------------------------------------------------------------------------


def test_pickle_and_deepcopy_keep_predictions_and_the_optimizers_state():
    est = fast().partial_fit(X, LABELS, classes=[0, 1])
    for twin in (pickle.loads(pickle.dumps(est)), copy.deepcopy(est)):
        np.testing.assert_array_equal(twin.predict_proba(X), est.predict_proba(X))
        on = copy.deepcopy(est).partial_fit(X, LABELS)
        assert twin.partial_fit(X, LABELS).loss_ == on.loss_


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_device_model_pickles_with_host_arrays_and_returns_home(library):
    pytest.importorskip(library, reason=f"{library} is not installed")
    import array_api_compat

    xp = __import__("torch") if library == "torch" else __import__("jax.numpy").numpy
    x = xp.asarray(X.astype(np.float32))
    est = fast().fit(x, LABELS)
    state = est.__getstate__()
    assert isinstance(state["_model"].coefs[0], np.ndarray)
    twin = pickle.loads(pickle.dumps(est))
    assert array_api_compat.array_namespace(twin.coefs_[0]) == array_api_compat.array_namespace(x)
    np.testing.assert_array_equal(
        np.asarray(twin.predict_proba(x)), np.asarray(est.predict_proba(x))
    )
    state["_location"] = type(state["_location"])("no_such_library", "cuda:0")
    with pytest.warns(UserWarning, match="stays in NumPy"):
        stranded = MLPClassifier()
        stranded.__setstate__(state)
    assert stranded.predict(X.astype(np.float32)).shape == (60,)


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_stranded_model_goes_on_with_the_rules_state_on_numpy(library):
    """Other libraries may keep that state in other leaves."""
    pytest.importorskip(library)
    xp = __import__("torch") if library == "torch" else __import__("jax.numpy").numpy
    x = xp.asarray(X.astype(np.float32))
    est = fast().partial_fit(x, LABELS, classes=np.unique(LABELS))
    state = est.__getstate__()
    state["_location"] = type(state["_location"])("no_such_library", "cpu")
    stranded = MLPClassifier()
    with pytest.warns(UserWarning, match="stays in NumPy"):
        stranded.__setstate__(state)
    stranded.partial_fit(X.astype(np.float32), LABELS)
    est.partial_fit(x, LABELS)
    for got, want in zip(stranded.coefs_, est.coefs_):
        np.testing.assert_allclose(got, np.asarray(want), rtol=1e-3, atol=1e-5)


def test_breast_cancer_in_a_pipeline_and_a_search():
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    Xb, yb = load_breast_cancer(return_X_y=True)
    pipe = make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=60, random_state=0))
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
    ).fit(x, 3 * x[:, 0])
    halvings = np.log2(30.0 / reg.history_["learning_rate"][0])
    assert halvings >= 3 and halvings == round(halvings)
    assert capsys.readouterr().out.count("Epoch 1 diverged, again at learning rate") == halvings
    assert reg.score(x, 3 * x[:, 0]) > 0.99 and reg.n_iter_ == len(reg.loss_curve_)
