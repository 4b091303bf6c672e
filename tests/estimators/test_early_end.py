"""How a fit ends: early stopping, divergence, Ctrl-C, the last epoch."""

import os
import pickle
import signal
import threading
import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from small_sets import LABELS, VALUES, X, fast

from xpmlp import MLPClassifier, MLPRegressor
from xpmlp.errors import DivergenceError

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")


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
    est = fast(MLPRegressor, activation="relu", max_iter=1, warm_start=True).fit(X, VALUES)
    est.intercepts_[0][3] = -np.inf  # relu hides it from the loss
    with pytest.raises(DivergenceError):
        est.fit(X, VALUES)


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

    drawn = np.random.RandomState(0)  # after the weights, as scikit-learn splits
    drawn.uniform(size=sum(a.size for a in est.coefs_ + est.intercepts_))
    _, held = train_test_split(np.arange(60), test_size=0.1, random_state=drawn)
    assert est.score(X[held], y[held]) == pytest.approx(est.best_validation_score_)
    assert all(np.isfinite(c).all() for c in est.coefs_)


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_keeps_the_weights_and_warns():
    est = MLPClassifier((8,), max_iter=1_000_000, tol=0, n_iter_no_change=np.inf, random_state=0)
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
    assert 0 < est.n_iter_ < 1_000_000 and est.score(X, LABELS) > 0.5


def test_verbose_prints_where_it_trains_and_scikit_learns_lines(capsys):
    fast(verbose=True, max_iter=2).fit(X, LABELS)
    first, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("Training on cpu: The data are in main memory, ")
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
