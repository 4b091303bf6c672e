"""The estimators inside scikit-learn's own tools, each held to what a few plain lines compute."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import sklearn
from needs import needs
from scipy.special import softmax
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import PartialDependenceDisplay, partial_dependence, permutation_importance
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, get_scorer
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    StratifiedKFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xpmlp import MLPClassifier, MLPRegressor, nn

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(0)) / X.std(0)
TWO = np.where(Y == 1, "yes", "no")
VALUES = np.stack([X[:, 2] * X[:, 3], X[:, 0] - X[:, 1]], axis=1)
WEIGHTS = np.random.default_rng(0).uniform(0.1, 3.0, len(X))


def fast(kind=MLPClassifier, **kw):
    kw = {"hidden_layer_sizes": (6,), "max_iter": 8, "random_state": 0, "batch_size": 30} | kw
    return kind(**({"learning_rate_init": 0.05} | kw))


def same(a, b):
    """Whether two models have the same weights to the last bit."""
    return all(np.array_equal(u, v) for u, v in zip(a.coefs_, b.coefs_, strict=True))


# Searches and scores ----------------------------------------------------------------------------


def test_a_grid_search_finds_what_a_loop_by_hand_finds():
    pipe = make_pipeline(StandardScaler(), fast())
    grid = {"mlpclassifier__hidden_layer_sizes": [(1,), (6,)], "mlpclassifier__alpha": [1e-4, 30.0]}
    folds = list(StratifiedKFold(3).split(X, Y))
    search = GridSearchCV(pipe, grid, cv=folds, error_score="raise").fit(X, Y)
    for params, found in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"]):
        scores = []
        for train, test in folds:
            mean, scale = X[train].mean(0), X[train].std(0)
            sizes, alpha = (params[key] for key in grid)
            est = fast(hidden_layer_sizes=sizes, alpha=alpha).fit(
                (X[train] - mean) / scale, Y[train]
            )
            scores.append(np.mean(est.predict((X[test] - mean) / scale) == Y[test]))
        assert found == pytest.approx(np.mean(scores))
    assert search.best_score_ == search.cv_results_["mean_test_score"].max() > 0.8
    assert search.best_params_ == dict(zip(grid, [(6,), 1e-4]))


def test_a_halving_search_spends_epochs_and_keeps_the_better_model():
    grid = {"alpha": [1e-4, 100.0, 200.0]}
    search = HalvingGridSearchCV(
        fast(),
        grid,
        resource="max_iter",
        min_resources=2,
        max_resources=8,
        factor=2,
        cv=3,
        error_score="raise",
    ).fit(X, Y)
    assert search.n_resources_ == [2, 4] and search.best_params_ == {"alpha": 1e-4, "max_iter": 4}


def test_cross_validation_is_a_loop_and_two_processes_give_the_same():
    folds = list(KFold(2, shuffle=True, random_state=0).split(X))
    by_hand, predicted = [], np.empty_like(TWO)
    for train, test in folds:
        est = fast().fit(X[train], TWO[train])
        predicted[test] = est.predict(X[test])
        by_hand.append(accuracy_score(TWO[test], predicted[test]))
    for jobs in (1, 2):
        np.testing.assert_array_equal(
            cross_val_score(fast(), X, TWO, cv=folds, n_jobs=jobs), by_hand
        )
    np.testing.assert_array_equal(cross_val_predict(fast(), X, TWO, cv=folds), predicted)


@pytest.mark.parametrize(
    "scoring",
    [
        "neg_log_loss",
        "roc_auc_ovr",
        pytest.param("neg_brier_score", marks=needs("sklearn", "1.7", "of several classes")),
        pytest.param("d2_log_loss_score", marks=needs("sklearn", "1.8", "a name for it")),
    ],
)
def test_scorers_of_probabilities_take_the_classifier(scoring):
    est = fast().fit(X, Y)
    assert get_scorer(scoring)(est, X, Y) > get_scorer(scoring)(fast(max_iter=1).fit(X, Y), X, Y)


# Models around the model ------------------------------------------------------------------------


def squares(model, y):
    """The Brier score: mean over rows of the squared distance to the class that it is."""
    p = model.predict_proba(X)
    return np.mean(((p - (y[:, None] == model.classes_)) ** 2).sum(axis=1))


TEMPERATURE = pytest.param("temperature", marks=needs("sklearn", "1.8", "one factor for all"))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", TEMPERATURE])
@pytest.mark.parametrize("y", [TWO, Y], ids=["binary", "multiclass"])
def test_calibration_improves_the_probabilities_of_a_model_that_knows_too_little(method, y):
    est = fast(max_iter=4).fit(X, y)
    calibrated = CalibratedClassifierCV(FrozenEstimator(est), method=method).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)
    assert squares(calibrated, y) < 0.95 * squares(est, y)
    if method == "temperature":  # one factor for all logits, which moves no class
        np.testing.assert_array_equal(calibrated.predict(X), est.predict(X))
        z, beta = (
            est.decision_function(X),
            calibrated.calibrated_classifiers_[0].calibrators[0].beta_,
        )
        z = np.stack([-z, z], axis=1) if y is TWO else z
        np.testing.assert_allclose(
            calibrated.predict_proba(X), softmax(beta * z, axis=1), rtol=1e-6
        )


def test_permutation_importance_is_nothing_for_a_column_that_says_nothing():
    padded = np.concatenate([X, np.zeros((len(X), 1))], axis=1)
    found = permutation_importance(fast(max_iter=20).fit(padded, Y), padded, Y, random_state=0)
    assert found.importances_mean[4] == 0 and found.importances_mean[2:4].min() > 0.05


def test_partial_dependence_is_the_mean_prediction_at_each_value():
    est = fast(MLPRegressor).fit(X, VALUES[:, 0])
    found = partial_dependence(est, X, [2], grid_resolution=4, kind="average")
    for value, mean in zip(found["grid_values"][0], found["average"][0]):
        moved = X.copy()
        moved[:, 2] = value
        assert est.predict(moved).mean() == pytest.approx(mean)
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    clf = fast().fit(X, Y)
    drawn = PartialDependenceDisplay.from_estimator(
        clf, X, [0, (2, 3)], target=2, grid_resolution=4
    )
    assert len(drawn.pd_results) == 2
    matplotlib.pyplot.close("all")


def test_one_model_a_class_or_an_output_is_what_fitting_each_gives():
    many = OneVsRestClassifier(fast()).fit(X, Y)
    for k, est in enumerate(many.estimators_):
        assert same(est, fast().fit(X, (Y == k).astype(int)))
    outputs = MultiOutputRegressor(fast(MLPRegressor)).fit(X, VALUES)
    for k, est in enumerate(outputs.estimators_):
        assert same(est, fast(MLPRegressor).fit(X, VALUES[:, k]))


def test_a_transformed_target_is_fitted_transformed_and_predicted_back():
    y = np.exp(VALUES[:, 0])
    model = TransformedTargetRegressor(fast(MLPRegressor), func=np.log, inverse_func=np.exp)
    direct = fast(MLPRegressor).fit(X, np.log(y))
    np.testing.assert_allclose(model.fit(X, y).predict(X), np.exp(direct.predict(X)))


@pytest.mark.parametrize(
    "model",
    [
        BaggingClassifier(fast(max_iter=20), n_estimators=3, random_state=0),
        StackingClassifier([("a", fast()), ("b", fast(activation="tanh"))], LogisticRegression()),
    ],
    ids=["bagging", "stacking"],
)
def test_ensembles_of_it_learn(model):
    assert model.fit(X, TWO).score(X, TWO) > 0.9


# Parameters and names ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_parameters_come_back_as_they_were_given_and_a_clone_has_only_them(kind):
    sizes = [nn.Dense(5, "tanh"), 3]
    est = kind(hidden_layer_sizes=sizes, alpha=0.5).fit(X, Y)
    params = est.get_params()
    assert params["hidden_layer_sizes"] is sizes and params["alpha"] == 0.5
    twin = clone(est)
    assert vars(twin).keys() == params.keys() and repr(twin) == repr(est)
    assert kind().set_params(**params).get_params() == params
    with pytest.raises(ValueError, match="Invalid parameter 'nonsense'"):
        est.set_params(nonsense=1)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_columns_are_known_by_name_and_another_order_is_an_error(kind):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=["a", "b", "c", "d"])
    est = fast(kind).fit(frame, Y, X_val=frame, y_val=Y)
    assert est.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(est.predict(frame), fast(kind).fit(X, Y).predict(X))
    turned = frame[["b", "a", "c", "d"]]
    for use in (est.predict, lambda f: est.score(f, Y), lambda f: est.partial_fit(f, Y)):
        with pytest.raises(ValueError, match="must be in the same order as they were in fit"):
            use(turned)
    with pytest.raises(ValueError, match="must be in the same order as they were in fit"):
        est.fit(frame, Y, X_val=turned, y_val=Y)
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        est.predict(X)


# Metadata routing -------------------------------------------------------------------------------


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_weights_are_routed_through_a_pipeline_to_fit_and_to_partial_fit(routing):
    est = fast().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    pipe = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), est)
    direct = fast().fit(StandardScaler().fit_transform(X), Y, sample_weight=WEIGHTS)
    assert same(pipe.fit(X, Y, sample_weight=WEIGHTS)[-1], direct)
    assert not same(pipe.fit(X, Y)[-1], direct)
    wrong = pipe.predict(X) != Y
    assert wrong.any()
    found = pipe.score(X, Y, sample_weight=wrong.astype(float))
    assert found == 0 and pipe.score(X, Y) > 0.8


def test_weights_are_routed_through_searches_and_cross_validation(routing):
    est = fast().set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    search = GridSearchCV(est, {"alpha": [1e-4, 30.0]}, cv=3).fit(X, Y, sample_weight=WEIGHTS)
    best = fast(**search.best_params_).fit(X, Y, sample_weight=WEIGHTS)
    assert same(search.best_estimator_, best)
    folds = list(StratifiedKFold(3).split(X, Y))
    given = {"sample_weight": WEIGHTS}
    found = cross_validate(est, X, Y, cv=folds, params=given, return_estimator=True)
    for (train, test), model, score in zip(folds, found["estimator"], found["test_score"]):
        assert same(model, fast().fit(X[train], Y[train], sample_weight=WEIGHTS[train]))
        assert not same(model, fast().fit(X[train], Y[train]))
        assert score == model.score(X[test], Y[test], sample_weight=WEIGHTS[test])


def test_classes_are_routed_to_partial_fit(routing):
    one = OneVsRestClassifier(fast().set_partial_fit_request(classes=True))
    request = one.estimator.get_metadata_routing().partial_fit.requests
    assert request["classes"] is True and request["sample_weight"] is None
    with pytest.raises(sklearn.exceptions.UnsetMetadataPassedError, match="sample_weight"):
        GridSearchCV(fast(), {"alpha": [1.0]}).fit(X, Y, sample_weight=WEIGHTS)


# Arrays of another library ----------------------------------------------------------------------

DISPATCH = """
import json, warnings
import torch
from sklearn import config_context
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xpmlp import MLPClassifier, MLPRegressor

warnings.simplefilter("error")
warnings.filterwarnings("ignore", ".*Maximum iterations")
X, y = load_iris(return_X_y=True)
same = {"max_iter": 8, "random_state": 0, "learning_rate_init": 0.05}
rows = []
for kind, y in ((MLPClassifier, y), (MLPRegressor, X[:, 0] * X[:, 3])):
    pipe = make_pipeline(StandardScaler(), kind(hidden_layer_sizes=(6,), **same))
    grid = {f"{kind.__name__.lower()}__alpha": [1e-4, 100.0]}
    found = []
    for convert in (lambda a: a, torch.asarray):
        x, t = convert(X), convert(y)
        with config_context(array_api_dispatch=True):
            search = GridSearchCV(pipe, grid, cv=3, error_score="raise").fit(x, t)
            scores = cross_val_score(pipe, x, t, cv=3, error_score="raise")
            out = search.predict(x)
            kept = [type(a).__module__ for a in (out, *search.best_estimator_[-1].coefs_)]
        found.append([search.best_params_, scores.tolist(), out.tolist(), kept])
    rows.append(found)
print(json.dumps(rows))
"""


def test_with_dispatch_on_torch_arrays_stay_torch_through_pipelines_and_searches():
    pytest.importorskip("torch")
    # The switch is read when SciPy is imported: a process of its own.
    options = {"text": True, "timeout": 300, "env": os.environ | {"SCIPY_ARRAY_API": "1"}}
    done = subprocess.run([sys.executable, "-c", DISPATCH], capture_output=True, **options)
    assert done.returncode == 0, done.stderr
    for plain, torch in json.loads(done.stdout.splitlines()[-1]):
        assert plain[0] == torch[0]  # the best parameters
        np.testing.assert_allclose(plain[1], torch[1], rtol=1e-6)
        np.testing.assert_allclose(plain[2], torch[2], rtol=1e-6)
        assert set(plain[3]) == {"numpy"} and set(torch[3]) == {"torch"}
