"""State across calls, and copies of estimators."""

import copy
import pickle

import numpy as np
import pytest
from sklearn.datasets import make_multilabel_classification
from small_sets import LABELS, THREE, VALUES, X, fast

from xpmlp import MLPClassifier, MLPRegressor
from xpmlp.errors import ShapeError

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")


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
    est.save(tmp_path / "m", training=True)
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
    assert isinstance(state["_result"].model.coefs[0], np.ndarray)
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


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_what_was_planned_ahead_of_an_end_is_drawn_again(library):
    """Beside arrays of other libraries the host plans an epoch ahead, which may not come."""
    pytest.importorskip(library)
    xp = __import__("torch") if library == "torch" else __import__("jax.numpy").numpy
    options = {"tol": 10.0, "n_iter_no_change": 1, "max_iter": 9}
    places = []
    for x in (X.astype(np.float32), xp.asarray(X.astype(np.float32))):
        est = fast(**options).fit(x, LABELS).partial_fit(x, LABELS)
        assert est.n_iter_total_ < 9
        (_, words, at, *_), order = est.state_.draws.place()
        places.append((words.tolist(), at, order.tolist()))
    assert places[0] == places[1]
