"""Numbers at the ends of what floats hold: they work, or get the right error, without a warning."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from each import each
from sklearn.metrics import r2_score

from xpmlp import MLPClassifier, MLPRegressor, nn, train

pytestmark = pytest.mark.filterwarnings("error", "ignore:.*Maximum iterations")
X = np.random.default_rng(0).normal(size=(20, 2))
Y, LABELS = X[:, 0], np.arange(20) % 2
ARGS = {"hidden_layer_sizes": (3,), "max_iter": 2, "random_state": 0}
NETWORK = nn.Network([nn.Dense(3, "tanh"), nn.Dense(1)])
ODD = [1e300, -1e300, 1e155, 1.7e308, 1e20, 5e-324, 1e-300, np.inf, np.nan]
ODD += [np.longdouble("1e4000"), np.longdouble("1e-4000"), np.float16(65504), np.float16(np.inf)]
ODD += [10**400, Decimal("1e400"), Fraction(10**400, 3), Fraction(1, 3)]


def holding(a, number):
    """Return an array with a number in it, in the dtype that holds it."""
    made = np.asarray(a).astype(np.asarray(number).dtype)
    made.flat[3] = number
    return made


PLACES = {
    "X of a classifier": lambda v: MLPClassifier(**ARGS).fit(holding(X, v), LABELS),
    "X of a regressor": lambda v: MLPRegressor(**ARGS).fit(holding(X, v), Y),
    "X of L-BFGS": lambda v: MLPRegressor(solver="lbfgs", **ARGS).fit(holding(X, v), Y),
    "X standardised": lambda v: MLPRegressor(feature_scale="standard", **ARGS).fit(
        holding(X, v), Y
    ),
    "y of a classifier": lambda v: MLPClassifier(**ARGS).fit(X, holding(LABELS, v)),
    "y of a regressor": lambda v: MLPRegressor(**ARGS).fit(X, holding(Y, v)),
    "y standardised": lambda v: MLPRegressor(target_scale="auto", **ARGS).fit(X, holding(Y, v)),
    "sample_weight": lambda v: MLPRegressor(**ARGS).fit(X, Y, holding(np.ones(20), v)),
    "X_val": lambda v: MLPRegressor(**ARGS).fit(X, Y, X_val=holding(X, v), y_val=Y),
    "y_val": lambda v: MLPRegressor(**ARGS).fit(X, Y, X_val=X, y_val=holding(Y, v)),
    "sample_weight_val": lambda v: MLPRegressor(**ARGS).fit(
        X, Y, X_val=X, y_val=Y, sample_weight_val=holding(np.ones(20), v)
    ),
    "class_weight": lambda v: MLPClassifier(class_weight={0: 1.0, 1: v}, **ARGS).fit(X, LABELS),
    "alpha": lambda v: MLPRegressor(alpha=v, **ARGS).fit(X, Y),
    "learning_rate_init": lambda v: MLPRegressor(learning_rate_init=v, **ARGS).fit(X, Y),
    "tol": lambda v: MLPRegressor(tol=v, **ARGS).fit(X, Y),
    "max_norm": lambda v: MLPRegressor(max_norm=v, **ARGS).fit(X, Y),
    "quantiles": lambda v: MLPRegressor("quantile", quantiles=[v], **ARGS).fit(X, Y),
    "predict": lambda v: MLPRegressor(**ARGS).fit(X, Y).predict(holding(X, v)),
    "score": lambda v: MLPRegressor(**ARGS).fit(X, Y).score(X, holding(Y, v)),
    "score of classes": lambda v: MLPClassifier(**ARGS).fit(X, LABELS).score(X, holding(LABELS, v)),
    "score by weight": lambda v: MLPRegressor(**ARGS).fit(X, Y).score(X, Y, holding(0 * Y + 1, v)),
    "explain": lambda v: str(MLPRegressor(**ARGS).explain(holding(X, v), Y)),
    "X of train": lambda v: train(NETWORK, holding(X, v), Y[:, None], max_iter=2),
    "y of train": lambda v: train(NETWORK, X, holding(Y[:, None], v), max_iter=2),
    "sample_weight of train": lambda v: train(
        NETWORK, X, Y[:, None], sample_weight=holding(np.ones(20), v), max_iter=2
    ),
    "alpha of train": lambda v: train(NETWORK, X, Y[:, None], alpha=v, max_iter=2),
    "rate of train": lambda v: train(NETWORK, X, Y[:, None], learning_rate_init=v, max_iter=2),
    "Trained.outputs": lambda v: train(NETWORK, X, Y[:, None], max_iter=1).outputs(holding(X, v)),
}


@each("place", PLACES)
@each("number", ODD, ids=lambda v: f"{type(v).__name__} {str(v)[:9]}")
def test_a_number_at_the_ends_of_floats_works_or_gets_its_error_without_a_warning(place, number):
    try:
        PLACES[place](number)
    except (ValueError, TypeError) as error:
        assert "\n" not in str(error) and len(str(error)) > 20


def test_weights_that_are_assigned_are_plain_floats_or_refused_by_name():
    reg = MLPRegressor(**ARGS).fit(X, Y)
    for bad in (10**400, 1 + 2j, np.datetime64("2020")):
        with pytest.raises(ValueError, match="coefs_ holds|coefs_$|coefs_ .*complex"):
            reg.coefs_ = [np.full(W.shape, bad) for W in reg.coefs_]
    reg.coefs_ = own = [W + 1.0 for W in reg.coefs_]
    assert all(a is b for a, b in zip(reg.coefs_, own))
    reg.coefs_ = [W.tolist() for W in own]
    np.testing.assert_array_equal(reg.predict(X), reg.predict(X))


@each("factor", [1e300, 1e-300, 1.0])
def test_the_score_of_numbers_whose_squares_overflow_is_that_of_smaller_ones(factor):
    reg = MLPRegressor(**ARGS, target_scale="auto").fit(X, factor * Y)
    want = r2_score(Y, reg.predict(X) / factor)
    assert reg.score(X, factor * Y) == pytest.approx(want, rel=1e-12)
    assert reg.score(X, 1e-10 * Y) < -1e10 or factor < 1e300
