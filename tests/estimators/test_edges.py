"""What stands at the edge of an argument: refused in words, or right all the same."""

import re
import warnings

import numpy as np
import pytest
from each import each
from needs import needs
from sklearn.metrics import accuracy_score, f1_score, log_loss, make_scorer
from sklearn.utils import check_array
from sklearn.utils._param_validation import validate_parameter_constraints
from sklearn.utils.class_weight import compute_sample_weight

from xpmlp import MLPClassifier, MLPRegressor, load_model, nn, optim
from xpmlp.estimators.classes import checked_labels
from xpmlp.nn.losses import LOSSES

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4))
Y = np.argmax(X[:, :3], axis=1)
V = X[:, 0] - 2 * X[:, 1]
MULTI = (X[:, :3] > 0).astype(int)
ARGS = {"hidden_layer_sizes": (8,), "batch_size": 32, "max_iter": 5, "random_state": 0}


def made(kind=MLPClassifier, **changes):
    return kind(**ARGS | changes)


REFUSED = {
    "a metric as scoring": (made(scoring=accuracy_score, early_stopping=True), Y, "scoring"),
    "a scorer that is none": (made(scoring="zzz"), Y, "or one of .*, got 'zzz'\\.$"),
    "no number from a scorer": (
        made(scoring=lambda e, X, y: None, early_stopping=True), Y, "return a number, got None",
    ),
    "numbers as class_weight": (made(class_weight=[1, 2, 3]), MULTI, "'balanced' or a dict, got 1"),
    "no weight left": (made(class_weight={0: 0, 1: 0, 2: 0}), Y, "no class a weight above 0"),
    "no row left": (made(class_weight={0: 0}), np.zeros(90, int), "no class a weight above 0"),
    "quantiles of a classifier": (
        made(loss=nn.losses.quantile([0.1, 0.9])), Y, "'quantile' is for regression",
    ),
    "rates of a classifier": (made(loss=LOSSES["poisson"]), Y, "'poisson' is for regression"),
    "a class as schedule": (made(learning_rate=optim.Cosine), Y, "must return a number"),
    "a rate of NaN": (made(learning_rate=lambda e: np.nan), Y, "gave a rate of nan in epoch 1"),
    "a rate below 0": (made(learning_rate=optim.Warmup(-1.0)), Y, "expected finite numbers"),
    "decay for lbfgs": (made(solver="lbfgs", weight_decay=0.1), Y, "weight_decay could act on"),
    "rows alone": (made(normalization="batch", batch_size=1), Y, "batches of two rows or more"),
    "an offset beyond float32": (
        made(MLPRegressor, target_scale="auto", dtype="float32"), 1e9 + V, "pass dtype='float64'",
    ),
    "text as quantiles": (
        made(MLPRegressor, loss="quantile", quantiles=["a"]), V, "must be different numbers",
    ),
    "a scale beyond float32": (
        made(MLPRegressor, target_scale="auto", dtype="float32"), 1e200 * V, "too large for",
    ),
}  # fmt: skip


@each("case", REFUSED)
def test_what_cannot_be_is_refused_in_words(case):
    est, y, words = REFUSED[case]
    with pytest.raises((ValueError, TypeError), match=words):
        est.fit(X, y)
    assert not hasattr(est, "coefs_")


def test_balanced_weights_in_a_list_are_refused_by_partial_fit_too():
    with pytest.raises(ValueError, match="partial_fit sees a part of the rows"):
        made(class_weight=["balanced"] * 3).partial_fit(X, MULTI)


def test_another_scoring_or_other_rows_begin_the_search_for_the_best_weights_anew():
    est = made(warm_start=True, early_stopping=True, max_iter=30, n_iter_no_change=5).fit(X, Y)
    before, n = [W.copy() for W in est.coefs_], est.n_iter_total_
    est.set_params(scoring="loss").fit(X, Y)
    assert est.n_iter_ > 1 and est.n_iter_total_ == n + est.n_iter_
    assert est.best_validation_score_ < 0  # minus a loss, no accuracy
    assert any((W != V).any() for W, V in zip(before, est.coefs_))


def test_what_was_learnt_is_predicted_whatever_the_arguments_then_say(tmp_path):
    est = made(MLPRegressor, loss="quantile", quantiles=[0.1, 0.5, 0.9]).fit(X, V)
    want = est.predict(X, quantiles=[0.1, 0.9])
    for changes in ({"quantiles": [0.2, 0.8]}, {"quantiles": None, "loss": "squared_error"}):
        est.set_params(**changes)
        np.testing.assert_array_equal(est.predict(X, quantiles=[0.1, 0.9]), want)
        est.save(tmp_path / "m")
        np.testing.assert_array_equal(load_model(tmp_path / "m").predict(X, [0.1, 0.9]), want)
    for wrong in (0.2, [], [["a"]]):
        with pytest.raises(ValueError, match="has learnt .0.1, 0.5, 0.9."):
            est.predict(X, quantiles=wrong)
    rate = made(MLPRegressor, loss="poisson").fit(X, np.exp(V))
    want = rate.predict(X)
    np.testing.assert_array_equal(rate.set_params(loss="squared_error").predict(X), want)


def test_a_record_of_several_quantiles_serves_as_the_names_do():
    one = made(MLPRegressor, loss="quantile", quantiles=[0.1, 0.9]).fit(X, V)
    two = made(MLPRegressor, loss=nn.losses.quantile([0.1, 0.9])).fit(X, V)
    np.testing.assert_array_equal(one.predict(X, [0.1, 0.9]), two.predict(X, [0.1, 0.9]))
    assert two.quantiles_ == (0.1, 0.9)


def test_a_regressor_links_what_its_loss_links():
    share = 1.0 / (1.0 + np.exp(-V))
    est = made(MLPRegressor, loss=LOSSES["binary_log_loss"], max_iter=400).fit(X, share)
    assert 0 < est.predict(X).min() < est.predict(X).max() < 1
    assert est.score(X, share) > 0.9


def test_a_loss_of_ones_own_is_taken_whatever_its_name():
    seen = []

    def mine(outputs, y, w, xp):
        seen.append(outputs.shape)
        return LOSSES["binary_log_loss"].value_and_grad(outputs, y, w, xp)

    made(loss=nn.Loss("log_loss", mine, "logistic")).fit(X, Y > 0)
    assert seen
    made(MLPRegressor, loss=nn.Loss("poisson", mine, "identity")).fit(X, V)
    with pytest.raises(ValueError, match="is of a softmax"):
        made(loss=nn.Loss("focal", mine, "softmax")).fit(X, Y > 0)


def test_validation_weighs_classes_as_training_does():
    few = np.flatnonzero((Y != 0) | (np.arange(90) < 30))
    est = made(class_weight="balanced").fit(X, Y, X_val=X[few], y_val=Y[few])
    weights = dict(zip(Y.tolist(), compute_sample_weight("balanced", Y)))
    w = [weights[label] for label in Y[few].tolist()]
    want = log_loss(Y[few], est.predict_proba(X[few]), sample_weight=w)
    assert est.history_["validation_loss"][-1] == pytest.approx(want)


def test_a_schedule_that_has_ended_is_told_of_in_partial_fit():
    est = made(learning_rate="cosine", max_iter=2)
    for _ in range(2):
        est.partial_fit(X, Y, classes=[0, 1, 2])
    with pytest.warns(UserWarning, match="ended after max_iter=2 epochs"):
        est.partial_fit(X, Y)


def test_the_lists_of_a_history_have_an_entry_an_epoch_or_none_at_all():
    est = made(warm_start=True).fit(X, Y)
    assert est.history_["validation_loss"] == []
    est.fit(X, Y, X_val=X, y_val=Y).set_params(solver="lbfgs").fit(X, Y)
    assert {len(values) for values in est.history_.values()} == {est.n_iter_total_}
    here = ~np.isnan(est.history_["validation_loss"])
    assert here[5:10].all() and not here[:5].any() and not here[10:].any()
    assert np.isnan(est.history_["learning_rate"][10:]).all()


def test_a_short_last_batch_hardly_moves_running_statistics():
    x = rng.normal(size=(201, 4)) * [1, 2, 3, 4]
    est = made(MLPRegressor, normalization="batch", batch_size=200, max_iter=200).fit(x, x[:, 0])
    z = x @ est.coefs_[0]
    np.testing.assert_allclose(est.other_params_["1.var"][0], z.var(axis=0), rtol=0.15)


def test_no_hidden_layer_takes_lists_of_nothing():
    est = made(hidden_layer_sizes=(), activation=[], dropout=[]).fit(X, Y)
    assert len(est.coefs_) == 1
    two = made(hidden_layer_sizes=(8, 8), activation=np.array(["relu", "tanh"])).fit(X, Y)
    assert [layer.activation for layer in two.network_.layers] == ["relu", "tanh", "identity"]


@pytest.mark.parametrize("batch_size", ["auto", 16])
def test_suggested_rates_hardly_depend_on_the_seed(batch_size):
    found = [
        made(batch_size=batch_size, random_state=seed).find_learning_rate(X, Y).suggestion
        for seed in range(8)
    ]
    middle = np.median(found)
    assert 1e-3 < middle < 0.3
    assert max(max(found) / middle, middle / min(found)) < 10


def test_scorers_may_use_hidden_features_and_attributes():
    def norm(est, X, y):
        return float((est.transform(X) ** 2).mean()) + 0 * est.predict_proba(X[:3]).sum()

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        est = made().set_params(scoring=norm).fit(X, Y, X_val=X, y_val=Y)
    want = float((est.transform(X) ** 2).mean())
    assert est.history_["validation_score"][-1] == pytest.approx(want)


def test_a_fit_that_goes_on_keeps_the_meaning_of_the_outputs():
    est = made(MLPRegressor, loss="quantile", quantiles=[0.1, 0.9]).fit(X, V)
    want = est.predict(X)
    for changes in ({"quantiles": [0.2, 0.8]}, {"quantiles": None, "loss": "poisson"}):
        est.set_params(warm_start=True, **changes)
        for go_on in (est.fit, est.partial_fit):
            with pytest.raises(ValueError, match="others than those that the model was fitted"):
                go_on(X, np.abs(V))
    np.testing.assert_array_equal(est.predict(X), want)


def test_a_constant_target_with_the_noise_of_rounding_is_a_constant():
    y = np.where(X[:, 0] > 0, 0.1 + 0.2, 0.3)
    assert np.ptp(y) > 0
    est = made(MLPRegressor, target_scale="auto").fit(X, y)
    assert est.scaling_.y_scale == 1.0 and est.loss_ < 1.0


def test_targets_below_the_range_of_the_dtype_are_refused():
    with pytest.raises(ValueError, match="too small for float32"):
        made(MLPRegressor, target_scale="auto", dtype="float32").fit(X, 1e-60 * V)


def test_a_class_may_be_called_balanced():
    y = np.asarray(["balanced", "other"])[(X[:, 0] > 0).astype(int)]
    est = made(class_weight={"balanced": 2.0}).partial_fit(X, y, classes=["balanced", "other"])
    assert est.n_iter_ == 1


@pytest.mark.parametrize("kind", [np.asarray, np.float32, lambda x: x])
def test_a_scorer_may_return_any_number(kind):
    est = made(scoring=lambda e, X, y: kind(0.5)).fit(X, Y, X_val=X, y_val=Y)
    assert est.history_["validation_score"] == [0.5] * 5


def test_a_narrow_range_of_rates_is_refused_at_the_door():
    with pytest.raises(ValueError, match="needs 0 < 100 low <= high"):
        made().find_learning_rate(X, Y, low=1e-3, high=5e-3)


def test_smoothed_targets_of_independent_outputs_go_half_way():
    est = made(loss="binary_log_loss", label_smoothing=0.2).fit(X, Y, X_val=X, y_val=Y)
    z, y = est.decision_function(X), 0.8 * np.eye(3)[Y] + 0.1
    want = (np.logaddexp(0.0, z) - y * z).sum(axis=1).mean()
    assert est.history_["validation_loss"][-1] == pytest.approx(want)


NAMES = np.asarray(["a", "b", "c"])[Y]


@each("y, some, scoring, words", [
    (Y, Y != 2, "roc_auc_ovr", "'roc_auc_ovr' failed .* no row of 2: pass X_val .*scoring='loss'"),
    (NAMES, Y == 1, "neg_log_loss", "they have no row of a, c: pass X_val and y_val"),
    (NAMES, Y < 3, "f1", "for two classes, and y has 3: take scoring='f1_macro'.$"),
    (NAMES, Y < 3, "roc_auc", "for two classes, and y has 3: take scoring='roc_auc_ovr'.$"),
    (np.where(Y, "yes", "no"), Y < 3, make_scorer(f1_score), r"make_scorer\(.*, pos_label='yes'\)"),
    (NAMES, Y < 3, "r2", "'r2' failed on the validation rows: could not convert .*[^:]$"),
])  # fmt: skip
def test_a_score_that_cannot_be_says_why_and_what_to_do(y, some, scoring, words):
    with pytest.raises(ValueError, match=words):
        made(scoring=scoring).fit(X, y, X_val=X[some], y_val=y[some])


def test_validation_rows_from_elsewhere_are_called_so():
    xs = pytest.importorskip("array_api_strict")
    with pytest.raises(ValueError, match="X_val is in array_api_strict .* pass X_val from where X"):
        made().fit(X, Y, X_val=xs.asarray(X), y_val=Y)


def test_one_row_says_nothing_of_the_targets_scale():
    with pytest.raises(ValueError, match="cannot be measured on one row"):
        made(MLPRegressor, target_scale="auto").partial_fit(X[:1], V[:1])


@each("kind", [MLPClassifier, MLPRegressor])
def test_arguments_that_are_not_looked_at_are_right(kind):
    rows = kind._parameter_constraints
    validate_parameter_constraints(rows, kind().get_params(), kind.__name__)
    with pytest.raises(ValueError, match="The 'alpha' parameter of"):
        kind(alpha=-1.0).fit(X, Y)


@each(
    "y",
    [
        np.full(9, np.nan),
        np.asarray([1.0, np.inf]),
        np.zeros(0),
        np.zeros((9, 0)),
        np.zeros((9, 1, 1)),
    ],
)
def test_targets_are_refused_as_scikit_learn_refuses_them(y):
    with pytest.raises(ValueError) as theirs:  # noqa: PT011
        check_array(y, ensure_2d=False, input_name="y")
    with pytest.raises(ValueError, match="^" + re.escape(str(theirs.value).partition("\n")[0])):
        MLPRegressor().fit(np.ones((9, 1)), y)


@needs("sklearn", "1.7", "it warns of labels that look like numbers")
@each("n, told", [(10, 0), (11, 1)])
@each("kind", [int, np.int8])
def test_whole_numbers_are_looked_at_where_they_may_be_no_classes(n, told, kind):
    y = np.zeros(21, kind)
    y[:n] = np.arange(n)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        found = checked_labels(y, None, None)[1].classes
    assert np.array_equal(found, np.unique(y))
    assert len(warned) == told
