"""Estimators on raw tables: from data frames of any library to predictions, through every call."""

import pickle
import warnings
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from each import each
from needs import needs
from sklearn.base import clone
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils.estimator_checks import check_estimator
from table_models import FLOATS, LABELS, RNG, SCORE, SMALL, TABLE, N, classifier, regressor

from xpmlp import MLPClassifier, MLPRegressor, load_model, nn
from xpmlp.errors import DataError
from xpmlp.model import encoding
from xpmlp.tables.frame import frame_of

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")


def in_frame(X):
    return frame_of(X)


def in_polars(X):
    return pytest.importorskip("polars", reason="polars is not installed").from_pandas(X)


def in_pyarrow(X):
    return pytest.importorskip("pyarrow", reason="pyarrow is not installed").table(X)


LIBRARIES = pytest.mark.parametrize("make", [in_frame, in_polars, in_pyarrow])


@LIBRARIES
def test_a_fit_and_its_predictions_are_the_same_in_every_library(make):
    model, other = classifier(), classifier(make(TABLE))
    assert other.feature_names_in_.tolist() == model.feature_names_in_.tolist() == [*TABLE]
    expected = model.predict_proba(TABLE)
    for fitted in (model, other):
        np.testing.assert_array_equal(fitted.predict_proba(make(TABLE)), expected, strict=True)


@pytest.mark.parametrize("make", [lambda X: X, in_polars, in_pyarrow])
@each("dtype", ["float64", "float32", "int64", "bool"])
def test_a_table_of_numbers_alone_fits_bit_for_bit_as_its_array(make, dtype):
    X = (FLOATS * 10).astype(dtype)
    table = make(pd.DataFrame(X, columns=["a", "b", "c"]))
    # Of polars and pyarrow scikit-learn's checks make float64.
    X = X if isinstance(table, pd.DataFrame) else X.astype(float)
    ours, plain = regressor(table), regressor(X)
    assert ours.encoder_ is None and plain.encoder_ is None
    np.testing.assert_array_equal(ours.coefs_[0], plain.coefs_[0], strict=True)
    np.testing.assert_array_equal(ours.predict(table), plain.predict(X), strict=True)


def test_a_frame_of_numbers_alone_keeps_them_as_they_are():
    frame = frame_of(pd.DataFrame(FLOATS))
    expected = regressor(FLOATS).predict(FLOATS)
    np.testing.assert_array_equal(regressor(frame).predict(frame), expected)


@pytest.mark.parametrize("make", [lambda X: X, in_polars, in_pyarrow])
def test_durations_are_as_good_as_the_seconds_that_they_are(make):
    lasting = pd.to_timedelta(FLOATS[:, 0], unit="h")
    table = pd.DataFrame({"wait": lasting, "n": FLOATS[:, 1]})
    seconds = table.assign(wait=lasting.total_seconds())
    expected = regressor(seconds, feature_scale="robust").predict(seconds)
    np.testing.assert_array_equal(regressor(make(table)).predict(make(table)), expected)


def test_missing_numbers_in_an_array_are_refused_as_scikit_learn_does():
    holes = np.where(FLOATS > 2, np.nan, FLOATS)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        regressor(holes)
    with pytest.raises(ValueError, match="Input X contains NaN"):
        regressor(FLOATS).predict(holes)
    assert np.isfinite(regressor(holes, feature_scale="robust").predict(holes)).all()


def test_a_network_learns_from_few_and_from_many_categories():
    model = classifier(max_iter=60, batch_size=32, hidden_layer_sizes=(16,))
    assert model.network_.layers[0] == nn.Embedding((71,))
    assert model.score(TABLE, LABELS) > 0.9
    assert accuracy_score(LABELS, model.predict(TABLE.assign(zip="z00", city="Rome"))) < 0.7


ROWS = pd.DataFrame({"n": [0.0, 1, 2] * 30, "t": list("xyz") * 30, "i": [5, 7, 9] * 30})
WITH_T = ROWS.assign(t=[0.5, 1.5, -1.0] * 30)
NUMBERS = WITH_T.to_numpy()
OBJECTS = ROWS.to_numpy(object)


@each(
    "X, given, kinds",
    [
        (ROWS, "auto", "n c n"),
        (ROWS, "from_dtype", "n c n"),
        (ROWS, ["t"], "n c n"),
        (ROWS, ["t", "i"], "n c c"),
        (ROWS, (2, 1), "n c c"),
        (ROWS, np.asarray([1]), "n c n"),
        (ROWS, [False, True, True], "n c c"),
        (ROWS, np.asarray([True, True, False]), "c c n"),
        (ROWS.astype({"i": "category"}), "auto", "n c c"),
        (WITH_T, ["i"], "n n c"),
        (WITH_T, None, None),
        (WITH_T, [], None),
        (WITH_T, [False] * 3, None),
        (NUMBERS, "auto", None),
        (NUMBERS, [], None),
        (NUMBERS, [False] * 3, None),
        (NUMBERS, [2], "n n c"),
        (NUMBERS.astype("float32"), [0, 2], "c n c"),
        (NUMBERS.tolist(), [True, False, False], "c n n"),
        (OBJECTS, [1], "n c n"),
        (OBJECTS.tolist(), [1, 2], "n c c"),
        (np.asarray([["a"], ["b"], ["a"]] * 30), [0], "c"),
    ],
)
def test_categorical_features_by_names_places_and_masks(X, given, kinds):
    model = regressor(X, np.arange(90.0), categorical_features=given)
    found = model.encoder_ and " ".join(c.kind[0] for c in model.encoder_.columns)
    assert found == kinds
    assert model.predict(X).shape == (90,)
    assert clone(model).fit(X, np.arange(90.0)).predict(X).tolist() == model.predict(X).tolist()
    assert model.coefs_[0].dtype == (X.dtype if getattr(X, "dtype", "") == "float32" else "float64")


@each(
    "X, given, words",
    [
        (ROWS, ["u"], "has 'u', X has the columns 'n', 't', 'i'"),
        (ROWS, [3], "has 3, X has"),
        (ROWS, [-1], "has -1, X has"),
        (ROWS, [1.0], "has 1.0, X has"),
        (ROWS, [True], "is a mask of 1, X has 3 columns"),
        (ROWS, None, "'t' holds text: name it in categorical_features"),
        (ROWS, ["i"], "'t' holds text: name it in categorical_features"),
        (TABLE, ["when", "city", "zip"], "'when' holds dates, which are no categories"),
        (NUMBERS, ["x0"], r"has 'x0', X has the columns 0 \.\.\. 2"),
        (NUMBERS, [3], r"has 3, X has the columns 0 \.\.\. 2"),
        (OBJECTS, [0], "'x1' holds text: name it"),
        (NUMBERS[0], [0], "Expected 2D array, got 1D array"),
        (NUMBERS + 2.0**53, [0], r"'x0' holds numbers of 2\^53 or more"),
        (np.ma.masked_less(NUMBERS, 1), [0], "X is a masked array"),
        (ROWS[:0], "auto", r"Found array with 0 sample\(s\)"),
        (ROWS[[]], "auto", r"0 feature\(s\)|at least one array or dtype"),
        (ROWS.assign(i=np.inf), "auto", "'i' holds infinity in row 0"),
        (WITH_T.assign(i=1j), "auto", "'i' holds complex128"),
    ],
)
def test_a_table_that_cannot_be_encoded_is_refused_and_nothing_changes(X, given, words):
    model = classifier()
    before, expected = dict(vars(model)), model.predict_proba(TABLE)
    model.set_params(categorical_features=given)
    with pytest.raises(ValueError, match=words):
        model.fit(X, np.resize(LABELS, len(X)))
    model.set_params(categorical_features="auto")
    assert vars(model).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(model).items())
    np.testing.assert_array_equal(model.predict_proba(TABLE), expected)


@pytest.mark.parametrize(
    "arguments", [{"categorical_features": [0]}, {"feature_scale": "robust"}, {"n_bins": 4}]
)
def test_sparse_and_device_arrays_are_no_tables(arguments):
    from scipy.sparse import csr_array

    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    with pytest.raises(ValueError, match="a table is encoded on the host.*got Array"):
        regressor(strict.asarray(NUMBERS), np.arange(90.0), **arguments)
    with pytest.raises(TypeError, match="Sparse data was passed for X, but dense data is required"):
        regressor(csr_array(NUMBERS), np.arange(90.0), **arguments)


@pytest.mark.parametrize("model", [MLPClassifier(feature_scale="robust"), MLPRegressor(n_bins=4)])
def test_scikit_learns_checks_pass_where_arrays_are_encoded(model):
    reason = "medians and quartiles are of all rows, whatever they weigh"
    weighed = dict.fromkeys(["check_sample_weight_equivalence_on_dense_data"], reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = check_estimator(model, on_skip=None, expected_failed_checks=weighed)
    assert {row["status"] for row in found} <= {"passed", "skipped", "xfail"} and len(found) > 55


@each("X", [FLOATS, pd.DataFrame(FLOATS), TABLE], ids=["array", "plain", "raw"])
@each("feature_scale", ["auto", "robust", None])
@each("n_bins", [None, 6])
def test_scaling_and_bins_in_every_combination(tmp_path, X, feature_scale, n_bins):
    given = {"feature_scale": feature_scale, "n_bins": n_bins}
    model = regressor(X, SCORE, **given)
    encoder = model.encoder_
    if X is not TABLE and feature_scale != "robust" and n_bins is None:
        assert encoder is None
        return
    assert encoder.robust == (feature_scale is not None) and bool(encoder.edges) == bool(n_bins)
    assert encoder.width == len(encoder.names)
    expected = model.predict(X)
    model.save(tmp_path / "m")
    for twin in (load_model(tmp_path / "m"), pickle.loads(pickle.dumps(model)), clone(model)):
        twin = twin if hasattr(twin, "coefs_") else twin.fit(X, SCORE)
        assert {name: getattr(twin, name) for name in given} == given
        np.testing.assert_array_equal(twin.predict(X), expected, strict=True)
        assert twin.encoder_.columns == encoder.columns
        assert twin.encoder_.names == encoder.names


@each("method", ["predict", "predict_proba", "transform", "score"])
def test_columns_are_found_by_their_names_and_others_left_out_with_a_word(method):
    model = classifier()
    ask = lambda table: getattr(model, method)(table, *[LABELS] * (method == "score"))
    expected = ask(TABLE)
    np.testing.assert_array_equal(ask(TABLE[[*TABLE][::-1]]), expected)
    with pytest.warns(UserWarning, match="does not know: left out 'more'"):
        np.testing.assert_array_equal(ask(TABLE.assign(more=1)), expected)
    with pytest.warns(UserWarning, match="not have valid feature names"):  # a wrapper took them
        np.testing.assert_array_equal(ask(TABLE.to_numpy()), expected)


@each(
    "change, words",
    [
        (lambda t: t[["age", "zip"]].to_numpy(), "X has 2 features, .* is expecting 5"),
        (lambda t: t.drop(columns="zip"), "it lacks 'zip'"),
        (lambda t: t.assign(age="old"), "'age' holds text such as 'old', .* numbers there"),
        (lambda t: t.assign(when="soon"), "'when' holds text such as 'soon', .* dates there"),
        (lambda t: t.assign(zip=7), "'zip' holds numbers such as 7.0, .* text there"),
        (lambda t: t[:0], r"Found array with 0 sample\(s\)"),
    ],
)
@each("method", ["predict", "predict_proba", "transform", "partial_fit"])
def test_predictions_for_another_table_say_what_differs(method, change, words):
    model, table = classifier(), change(TABLE)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=words):
        getattr(model, method)(table, *[LABELS[: len(table)]] * (method == "partial_fit"))
    assert vars(model).keys() == before.keys()
    assert all(value is before[name] for name, value in vars(model).items())


def test_what_is_unknown_counts_as_missing_and_what_is_missing_first_is_no_error():
    model = regressor(max_iter=20)
    for name in ("city", "zip"):
        unknown, missing = TABLE.assign(**{name: "?"}), TABLE.assign(**{name: None})
        np.testing.assert_array_equal(model.predict(unknown), model.predict(missing))
    assert "when missing" not in model.encoder_.names
    assert np.isfinite(model.predict(TABLE.assign(when=pd.NaT, member=None))).all()


@each(
    "arguments",
    [
        {"early_stopping": True},
        {"early_stopping": True, "scoring": "roc_auc"},
        {"scoring": lambda model, X, y: float(np.mean(model.predict(X[:9]) == y[:9]))},
        {"class_weight": "balanced"},
        {"class_weight": {"yes": 2.0, "no": 1.0}},
        {"residual": True, "hidden_layer_sizes": (8, 8), "dropout": [0.1, 0.2, 0.0]},
        {"normalization": "batch", "max_norm": 1.0, "ema_decay": 0.9},
        {"solver": "lbfgs"},
        {"solver": "sgd", "matmul_precision": "medium", "dtype": "float32"},
        {"init": "normal", "weight_decay": 0.1, "max_grad_norm": 1.0},
        {"hidden_layer_sizes": [nn.Dense(5, "tanh"), 4], "deterministic": True},
        {"hidden_layer_sizes": ()},
        {"n_bins": 4, "feature_scale": None},
    ],
)
def test_every_way_of_training_takes_a_table_with_an_embedding_in_front(tmp_path, arguments):
    seen = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "lbfgs failed")
        arguments = {"callbacks": lambda epoch: seen.append(epoch.loss)} | arguments
        model = MLPClassifier(**SMALL | arguments)
        weights = RNG.random(N)
        early = {} if model.early_stopping else {"X_val": TABLE[:50], "y_val": LABELS[:50]}
        model.fit(TABLE, LABELS, weights, **early)
    assert type(model.network_.layers[0]) is nn.Embedding and np.isfinite(model.loss_) and seen
    assert model.predict(TABLE).shape == (N,)
    model.set_params(scoring=None).save(tmp_path / "m")
    expected = model.predict_proba(TABLE)
    np.testing.assert_array_equal(load_model(tmp_path / "m").predict_proba(TABLE), expected)


def test_a_residual_layer_adds_what_the_embedding_puts_out():
    width = classifier().encoder_.width
    for size, residual in ((width, False), (width + 7, True)):
        block = classifier(hidden_layer_sizes=(size,), residual=True).network_.layers[1]
        assert (type(block) is nn.Residual) == residual


def test_partial_fit_and_warm_start_keep_the_first_measure():
    model = MLPClassifier(**SMALL)
    model.partial_fit(TABLE[:150], LABELS[:150], classes=["no", "yes"])
    encoder = model.encoder_
    model.partial_fit(TABLE[150:], LABELS[150:])
    assert model.encoder_ is encoder and model.n_iter_total_ == 2
    model.set_params(warm_start=True).fit(TABLE[::2], LABELS[::2])
    assert model.encoder_ is encoder
    model.set_params(warm_start=False).fit(TABLE, LABELS)
    assert model.encoder_ is not encoder
    for feature_scale in ("robust", "auto"):
        model.fit(TABLE, LABELS).set_params(feature_scale=feature_scale).fit(FLOATS, LABELS)
        assert (model.encoder_ is None) == (feature_scale == "auto")
        assert not hasattr(model, "feature_names_in_") and model.n_features_in_ == 3


FOLDS = needs("sklearn", "1.7", "it takes rows of an Arrow table")


@pytest.mark.parametrize("make", [in_frame, in_polars, pytest.param(in_pyarrow, marks=FOLDS)])
def test_searches_folds_and_pipelines_take_tables(make):
    X = make(TABLE)
    search = GridSearchCV(MLPClassifier(**SMALL), {"n_bins": [None, 4]}, cv=2).fit(X, LABELS)
    assert search.best_estimator_.encoder_ is not None and not np.isnan(search.best_score_)
    assert cross_val_score(MLPClassifier(**SMALL), X, LABELS, cv=2).shape == (2,)
    whole = make_pipeline(FunctionTransformer(), MLPClassifier(**SMALL)).fit(X, LABELS)
    np.testing.assert_array_equal(whole.predict(X), classifier().predict(TABLE))
    train, test, y, _ = train_test_split(X, LABELS, random_state=0)
    assert classifier(train, y).predict(test).shape == (75,)


def test_hidden_features_come_as_a_data_frame_with_its_index():
    model = classifier().set_output(transform="pandas")
    table = TABLE.set_index(np.arange(N) + 7)
    made = model.transform(table)
    names = [f"mlpclassifier{i}" for i in range(8)]
    assert [*made] == model.get_feature_names_out().tolist() == names
    assert made.index.equals(table.index) and model.transform(table, layer=-1).shape == (N, 1)


def test_explain_plan_and_the_range_of_rates_take_tables(monkeypatch):
    plans = import_module("xpmlp.inspection.plan")
    monkeypatch.setattr(plans, "free_memory", lambda x: 10**9)  # it varies
    model = MLPClassifier(**SMALL)
    fresh = model.plan(TABLE, LABELS)
    assert model.find_learning_rate(TABLE, LABELS, n_steps=30, high=1.0).suggestion > 0
    assert "Embedding" in model.explain(TABLE, LABELS).layers[0].title
    assert not hasattr(model, "coefs_") and not hasattr(model, "encoder_")
    model.fit(TABLE, LABELS)
    monkeypatch.setattr(encoding.Encoder, "encode", None)  # no rows are made to plan
    assert str(model.plan(TABLE)) == str(fresh)
    with pytest.raises(DataError, match="it lacks 'age'"):
        model.plan(TABLE.rename(columns={"age": "years"}))
