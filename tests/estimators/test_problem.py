import numpy as np
import pytest
from sklearn.base import clone

from xpmlp import MLPClassifier, MLPRegressor
from xpmlp.estimators.explaining import present_problem
from xpmlp.estimators.problem import problem_of
from xpmlp.estimators.validation import split

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(60, 4)), RNG.uniform(0.5, 2.0, 60)
LABELS, NUMBERS = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0), X @ RNG.normal(size=4)
ARGS = {"hidden_layer_sizes": (8,), "max_iter": 3, "batch_size": 50, "random_state": 0}
NOTHING = None, None, None


@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged, a clipped batch
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize(("kind", "y"), [(MLPClassifier, LABELS), (MLPRegressor, NUMBERS)])
def test_a_problem_trains_to_the_weights_that_fit_ends_with(kind, y, early_stopping):
    est = kind(**ARGS, early_stopping=early_stopping, validation_fraction=0.25)
    problem = split(est, problem_of(est, X, y, W), NOTHING)
    assert problem.options.batch_size == (45 if early_stopping else 50)
    assert (problem.held_out is not None) == early_stopping
    made, _, _ = problem.trained()
    fit = clone(est).fit(X, y, W)
    for coef, layer in zip(fit.coefs_, (0, 1)):
        np.testing.assert_array_equal(made[layer]["W"], coef)
    assert not hasattr(est, "model_") and not hasattr(est, "seed_")


def test_a_fitted_estimators_problem_starts_at_its_weights_and_leaves_it_alone():
    est = MLPClassifier(**ARGS, solver="sgd", tol=1.0, n_iter_no_change=1).fit(X, LABELS)
    before = [W.copy() for W in est.coefs_]
    problem = present_problem(est, X[:9], LABELS[:9])
    np.testing.assert_array_equal(problem.params[0]["W"], before[0])
    problem.trained()
    for now, then in zip(est.coefs_, before):
        np.testing.assert_array_equal(now, then)


def test_a_model_is_handed_from_one_estimator_to_another():
    first = MLPRegressor(**ARGS, tol=1.0, n_iter_no_change=1).fit(X, NUMBERS)
    second = MLPRegressor(**ARGS)
    second.model_ = first.model_
    np.testing.assert_array_equal(second.predict(X), first.predict(X))
