"""`best_epoch_`: the epoch whose weights a model has."""

import copy
import pickle

import numpy as np
import pytest
from small_sets import LABELS, X, fast

from xpmlp import MLPClassifier, load_model

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")


def scored(*scores):
    """Return a scorer that says one after the other."""
    told = iter(scores)
    return lambda model, X, y: next(told)


def test_it_is_the_earliest_epoch_of_the_best_score():
    scores, seen = (0.2, 0.7, 0.5, 0.7, 0.6), []
    look = lambda epoch: seen.append((epoch.estimator.best_epoch_, epoch.estimator.coefs_))
    est = fast(early_stopping=True, scoring=scored(*scores), callbacks=look).fit(X, LABELS)
    assert est.best_epoch_ == 2 and est.n_iter_ == 5
    assert est.history_["validation_score"][est.best_epoch_ - 1] == est.best_validation_score_
    assert [n for n, _ in seen] == [1, 2, 3, 4, 5]  # each stands at its own weights
    for a, b in zip(est.coefs_, seen[1][1], strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("average", [None, 0.5])
def test_a_fit_of_so_many_epochs_has_the_same_weights(average):
    kw = {"max_iter": 8, "learning_rate_init": 0.2, "ema_decay": average}
    held = {"X_val": X[:20], "y_val": LABELS[:20]}
    est = fast(early_stopping=True, **kw).fit(X, LABELS, **held)
    again = fast(**kw | {"max_iter": est.best_epoch_}).fit(X, LABELS)
    assert 0 < est.best_epoch_ < 8
    for a, b in zip(est.coefs_, again.coefs_, strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_is_the_last_where_no_rows_decide():
    for kw in ({}, {"solver": "lbfgs"}, {"solver": "lbfgs", "early_stopping": True}):
        est = fast(**kw).fit(X, LABELS)
        assert est.best_epoch_ == est.n_iter_total_ == len(est.loss_curve_) == 5
    watched = fast(scoring=scored(*"98765")).fit(X, LABELS, X_val=X[:9], y_val=LABELS[:9])
    assert watched.best_epoch_ == 5  # rows that are looked at, and decide nothing
    with pytest.warns(UserWarning, match="scoring gave no number"):
        est = fast(early_stopping=True, scoring=scored(*["nan"] * 5)).fit(X, LABELS)
    assert est.best_epoch_ == 5


def test_it_counts_through_warm_starts_and_partial_fits():
    est = fast(warm_start=True, early_stopping=True)
    held = {"X_val": X[:9], "y_val": LABELS[:9]}
    assert est.set_params(scoring=scored(1, 3, 2, 2, 2)).fit(X, LABELS, **held).best_epoch_ == 2
    # A warm start is scored at its first weights too, which are those of epoch 2.
    est.set_params(scoring=scored(3, 1, 2, 3, 1, 2)).fit(X, LABELS, **held)
    assert (est.best_epoch_, est.n_iter_total_) == (2, 10)
    est.set_params(scoring=scored(3, 1, 2, 3, 4, 2)).fit(X, LABELS, **held)
    assert (est.best_epoch_, est.n_iter_total_) == (14, 15)
    est.set_params(early_stopping=False).partial_fit(X, LABELS)
    assert est.best_epoch_ == est.n_iter_total_ == 16
    assert est.set_params(warm_start=False).fit(X, LABELS).best_epoch_ == 5


def test_it_comes_back_with_files_pickles_and_copies(tmp_path):
    est = fast(early_stopping=True, scoring=scored(1, 3, 2, 2, 2)).fit(X, LABELS)
    est.set_params(scoring=None).save(tmp_path / "m", training=True)
    twins = load_model(tmp_path / "m"), pickle.loads(pickle.dumps(est)), copy.deepcopy(est)
    for twin in twins:
        assert (twin.best_epoch_, twin.n_iter_total_) == (2, 5)
        assert twin.set_params(early_stopping=False).partial_fit(X, LABELS).best_epoch_ == 6


def test_a_model_that_is_set_has_no_epoch():
    est = MLPClassifier()
    est.model_ = fast().fit(X, LABELS).model_
    assert est.best_epoch_ == 0
