"""One door for all arrays that come in: what is no plain number or label is refused by its name."""

import sys
from decimal import Decimal
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars as pl
import pytest
from each import each

from xpmlp import MLPClassifier, MLPRegressor, nn, train

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 4))
NUMBERS = 2 * X[:, 0]
LABELS = (NUMBERS > 0).astype(int)
W = np.ones(60)
NETWORK = nn.Network([nn.Dense(3, "tanh"), nn.Dense(1)])
pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")


def regressor(**options):
    return MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, random_state=0, **options)


def classifier(**options):
    return MLPClassifier((3,), max_iter=2, random_state=0, **options)


def weights(a):
    return [np.ones((4, 3)) * a, np.ones((3, 1))], [np.ones(3), np.ones(1)]


def bad(a):
    """Return what is no plain array of a's numbers, by why it is none."""
    return {
        "masked": np.ma.masked_greater(a, np.max(a) - 0.5),
        "dates": np.arange(a.size).reshape(a.shape).astype("datetime64[s]"),
        "durations": np.arange(a.size).reshape(a.shape).astype("timedelta64[s]"),
        "Complex": a + 1j,
    }


# argument -> what a call does with an array in its place
ARGUMENTS = {
    "X": (X, lambda a: regressor().fit(a, NUMBERS)),
    "y": (NUMBERS, lambda a: regressor().fit(X, a)),
    "sample_weight": (W, lambda a: regressor().fit(X, NUMBERS, a)),
    "X_val": (X, lambda a: regressor().fit(X, NUMBERS, X_val=a, y_val=NUMBERS)),
    "y_val": (NUMBERS, lambda a: regressor().fit(X, NUMBERS, X_val=X, y_val=a)),
    "sample_weight_val": (
        W,
        lambda a: regressor().fit(X, NUMBERS, X_val=X, y_val=NUMBERS, sample_weight_val=a),
    ),
    "init": (
        np.ones((4, 3)),
        lambda a: regressor(init=([a, W[:3, None]], [W[:3], W[:1]])).fit(X, NUMBERS),
    ),
    "y of labels": (LABELS, lambda a: classifier().fit(X, a)),
    "y of partial_fit": (LABELS, lambda a: classifier().partial_fit(X, a, classes=[0, 1])),
    "classes": (np.arange(3), lambda a: classifier().partial_fit(X, LABELS, classes=a)),
    "y of score": (NUMBERS, lambda a: regressor().fit(X, NUMBERS).score(X, a)),
    "y of score's labels": (LABELS, lambda a: classifier().fit(X, LABELS).score(X, a)),
    "sample_weight of score": (W, lambda a: classifier().fit(X, LABELS).score(X, LABELS, a)),
    "y of find_learning_rate": (NUMBERS, lambda a: regressor().find_learning_rate(X, a)),
    "y of explain": (NUMBERS, lambda a: regressor().explain(X, a)),
    "y of train": (NUMBERS, lambda a: train(NETWORK, X, a[:, None], max_iter=1)),
    "sample_weight of train": (
        W,
        lambda a: train(NETWORK, X, NUMBERS[:, None], sample_weight=a, max_iter=1),
    ),
}  # fmt: skip


@each("argument", ARGUMENTS)
def test_what_a_copy_would_lose_or_change_is_refused_by_the_arguments_name(argument):
    a, call = ARGUMENTS[argument]
    call(a)
    name = argument.partition(" ")[0]
    for why, given in bad(a).items():
        with pytest.raises(ValueError, match=why) as refused:
            call(given)
        assert name in str(refused.value), why


@each("argument", [name for name, (_, call) in ARGUMENTS.items() if "train" not in name])
def test_a_list_of_masked_arrays_and_a_matrix_are_refused_by_the_arguments_name(argument):
    a, call = ARGUMENTS[argument]
    name = argument.partition(" ")[0]
    with pytest.raises(ValueError, match=f"{name} is a masked array"):
        call([*np.ma.masked_greater(a, np.max(a) - 0.5)])
    with pytest.raises(TypeError, match=f"{name} is an np.matrix"):
        call(a.reshape(len(a), -1).view(np.matrix))


@each("argument", ["y", "y_val", "sample_weight", "y of score", "sample_weight of train"])
def test_text_is_no_number(argument):
    a, call = ARGUMENTS[argument]
    with pytest.raises(ValueError, match=f"{argument.partition(' ')[0]} holds text"):
        call(a.astype(str))


NAMES = np.asarray(["no", "yes"])[LABELS]
AS_LABELS = {  # y -> its classes
    "objects of whole numbers": (LABELS.astype(object), [0, 1]),
    "objects of NumPy's numbers": (np.asarray([np.int8(v) for v in LABELS], object), [0, 1]),
    "objects of truth": ((LABELS > 0).astype(object), [False, True]),
    "objects of floats": (LABELS.astype(float).astype(object), [0.0, 1.0]),
    "objects of text": (NAMES.astype(object), ["no", "yes"]),
    "StringDType": (NAMES.astype(np.dtypes.StringDType()), ["no", "yes"]),
    "pandas' Int64": (pd.Series(LABELS, dtype="Int64"), [0, 1]),
    "pandas' boolean": (pd.Series(LABELS > 0, dtype="boolean"), [False, True]),
    "pandas' string": (pd.Series(NAMES, dtype="string"), ["no", "yes"]),
    "pandas' category": (pd.Series(NAMES, dtype="category"), ["no", "yes"]),
    "polars": (pl.Series(NAMES), ["no", "yes"]),
}


@each("name", AS_LABELS)
def test_labels_are_what_they_are_whatever_holds_them(name):
    y, classes = AS_LABELS[name]
    model = classifier().fit(X, y)
    assert model.classes_.tolist() == classes
    assert [*map(type, model.classes_.tolist())] == [*map(type, classes)]
    expected = classifier().fit(X, LABELS).predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(X), expected)
    assert model.score(X, y) == classifier().fit(X, LABELS).score(X, LABELS)


@each("y, words", [
    (np.asarray([None, "a"] * 30, object), "no value, in row 0"),
    (np.asarray(["a", np.nan] * 30, object), "no value, in row 1"),
    (pd.Series(["a", None] * 30, dtype="string"), "no value, in row 1"),
    (pl.Series(["a", None] * 30), "no value, in row 1"),
    (np.asarray([1, "a"] * 30, object), "mixes labels of types int, str"),
    (np.asarray([True, 2] * 30, object), "mixes labels of types bool, int"),
    (pd.Series(pd.to_datetime(LABELS)), "dates"),
    ([pd.Timestamp(0)] * 60, "objects of type Timestamp: turn them into numbers"),
    (np.asarray([np.timedelta64(1, "s"), 2] * 30, object), "types int, timedelta64"),
    (np.asarray([np.timedelta64(1, "s")] * 60, object), "objects of type timedelta64"),
    (pd.cut(NUMBERS, 3), "objects of type Interval"),
    (np.asarray(["a", b"b"] * 30, object), "mixes labels of types bytes, str"),
    ([2**70, 1] * 30, "more than 64 bits"),
])  # fmt: skip
def test_labels_that_are_none_are_told_before_the_work(y, words):
    with pytest.raises(ValueError, match=words):
        classifier().fit(X, y)


def test_numbers_of_any_kind_are_targets():
    exact = regressor().fit(X, np.ones(60)).predict(X)
    large = regressor(target_scale="auto").fit(X, np.asarray([2**70, 2**71] * 30, object))
    assert large.predict(X).max() > 2**69
    for y in (
        [np.True_, 1.0] * 30,
        [Decimal(1)] * 60,
        [1] * 60,
        np.ones(60, object),
        pd.Series([1] * 60, dtype="Int64"),
    ):
        np.testing.assert_array_equal(regressor().fit(X, y).predict(X), exact)


class ByArray:
    """Has attributes that frames and lazy arrays have, and is an array by what it can do."""

    blocks = chunks = dims = compute = None

    def __init__(self, a):
        self.a, self.shape, self.dtype = a, a.shape, a.dtype

    def __array__(self, dtype=None, copy=None):
        return np.array(self.a, dtype)

    def __len__(self):
        return len(self.a)


class ByDLPack:
    def __init__(self, a):
        self.a = a

    def __dlpack__(self, **how):
        return self.a.__dlpack__(**how)

    def __dlpack_device__(self):
        return self.a.__dlpack_device__()


class ByInterface:
    """NumPy's older way, of which arrays of databases and images are."""

    def __init__(self, a):
        self.a, self.__array_interface__ = a, a.__array_interface__


def lazy(monkeypatch):
    """Return a class that the Array API's helpers take for dask's: lazy, without mT and DLPack."""

    class Array(ByArray):
        ndim = 2

        def __array_namespace__(self, api_version=None):
            return np

    monkeypatch.setitem(sys.modules, "dask.array", SimpleNamespace(Array=Array))
    return Array


def as_others_are(monkeypatch):
    kinds = ByArray, ByDLPack, ByInterface, np.ndarray.tolist, memoryview, lazy(monkeypatch)
    return (*kinds, lambda a: a.astype(object))


def test_an_array_is_what_can_be_made_one(monkeypatch):
    expected = classifier().fit(X, LABELS).predict_proba(X)
    for make in as_others_are(monkeypatch):
        x, y = make(X), make(LABELS)
        model = classifier().fit(x, y)
        np.testing.assert_array_equal(model.predict_proba(x), expected)
        assert model.score(x, y) == classifier().fit(X, LABELS).score(X, LABELS)
        model.fit(X, LABELS, X_val=x, y_val=y).partial_fit(x, y)
    for nothing in (object(), "text", 3):
        with pytest.raises((TypeError, ValueError)):
            classifier().fit(nothing, LABELS)


def test_every_argument_may_be_what_can_be_made_an_array(monkeypatch):
    for make in as_others_are(monkeypatch):
        x, t, w = make(X), make(NUMBERS), make(W)
        model = regressor().fit(x, t, w, X_val=x, y_val=t, sample_weight_val=w)
        expected = regressor().fit(X, NUMBERS, W, X_val=X, y_val=NUMBERS, sample_weight_val=W)
        np.testing.assert_array_equal(model.predict(x), expected.predict(X))
        assert model.history_["validation_loss"] == expected.history_["validation_loss"]
        assert model.score(x, t, w) == expected.score(X, NUMBERS, W)
        init = weights(1.0)
        init[0][0] = make(init[0][0])
        regressor(init=init).fit(x, t)
        classifier().partial_fit(x, make(LABELS), classes=make(np.arange(2)))


def test_what_is_read_into_memory_is_said_once(monkeypatch):
    for make in (ByArray, lazy(monkeypatch)):
        notes = classifier().fit(make(X), make(LABELS)).fit_report_["notes"]
        assert len(notes) == 1 and f"{make.__qualname__} was read whole" in notes[0]
    for x, y in (
        (X, LABELS),
        (X.tolist(), pd.Series(LABELS)),
        (pd.DataFrame(X), pl.Series(LABELS)),
    ):
        assert classifier().fit(x, y).fit_report_["notes"] == []


def test_text_and_dates_in_an_array_name_the_way_to_encode_them():
    mixed = np.asarray([[1.0, "u"], [2.0, "v"]] * 30, object)
    when = np.asarray([[1.0, np.datetime64("2024-01-01")]] * 60, object)
    for given, words in (
        (mixed, r"'u' in column 1.*categorical_features=\[1\], or pass a data frame"),
        (np.asarray([["1.5", "2"]] * 60), r"'1.5' in column 0.*categorical_features=\[0, 1\]"),
        (when, "'2024-01-01' in column 1.*or pass a data frame"),
    ):
        with pytest.raises(ValueError, match=words):
            classifier().fit(given, LABELS)
    assert classifier(categorical_features=[1]).fit(mixed, LABELS).encoder_ is not None


def test_a_lazy_frame_is_computed_and_said():
    table = pl.DataFrame({"a": X[:, 0], "b": NAMES})
    model = classifier().fit(table.lazy(), LABELS)
    assert "lazy data frame" in model.fit_report_["notes"][0]
    np.testing.assert_array_equal(model.predict_proba(table.lazy()), model.predict_proba(table))


def test_numbers_that_the_dtype_cannot_hold_are_refused():
    for dtype, size in (("float32", 1e39), ("float64", np.inf)):
        with pytest.raises(ValueError, match="init holds NaN or infinity, or numbers too large"):
            regressor(dtype=dtype, init=weights(size)).fit(X, NUMBERS)
    for weight in (1e308, 1e-320):
        with pytest.raises(ValueError, match="scale them, to a mean of 1"):
            regressor(dtype="float32").fit(X, NUMBERS, weight * W)
    with pytest.raises(ValueError, match="scale them"):
        classifier(dtype="float32", class_weight={0: 1e300}).fit(X, LABELS)
    broken = {0: {"W": np.full((4, 3), np.nan), "b": np.ones((1, 3))},
              1: {"W": np.ones((3, 1)), "b": np.ones((1, 1))}}  # fmt: skip
    with pytest.raises(ValueError, match=r"params 0\.W holds NaN"):
        train(NETWORK, X, NUMBERS[:, None], params=broken)


def test_class_weight_may_name_classes_that_a_fold_lacks():
    expected = classifier(class_weight={0: 1, 1: 3}).fit(X, LABELS).predict_proba(X)
    more = classifier(class_weight={0: 1, 1: 3, 2: 5}).fit(X, LABELS)
    np.testing.assert_array_equal(more.predict_proba(X), expected)
    for given in ({"0": 1, "1": 3}, {2: 5}, {0: 1, 2: 5}):
        with pytest.raises(ValueError, match="class_weight must give classes of"):
            classifier(class_weight=given).fit(X, LABELS)


def test_numpys_error_state_of_the_caller_is_for_the_callers_code():
    far, three = 300 * X, rng.integers(0, 3, 60)
    with np.errstate(all="raise"):
        for y in (LABELS, three):
            model = classifier(early_stopping=True, scoring="neg_log_loss").fit(far, y)
            for made in (model.predict_proba(3 * far), model.model_.predict_proba(3 * far)):
                assert np.isfinite(made).all()
            model.predict_log_proba(3 * far)
            model.score(3 * far, y)
        with pytest.raises(FloatingPointError):
            np.exp(np.float64(-1e4))


HUGE = 10**400
LONG = np.asarray([np.longdouble("1e4000"), *[1] * 59])
BEYOND = {
    "X": lambda: regressor().fit([[HUGE, 1]] * 60, NUMBERS),
    "X of objects": lambda: regressor().fit(np.asarray([[HUGE, 1]] * 60, object), NUMBERS),
    "X to predict": lambda: regressor().fit(X, NUMBERS).predict([[HUGE, 1, 1, 1]]),
    "X_val": lambda: regressor().fit(X, NUMBERS, X_val=[[HUGE, 1, 1, 1]], y_val=[1.0]),
    "y": lambda: regressor().fit(X, [HUGE, *NUMBERS[1:]]),
    "sample_weight": lambda: regressor().fit(X, NUMBERS, sample_weight=[HUGE, *W[1:]]),
    "X of long floats": lambda: regressor().fit(LONG[:, None], NUMBERS),
    "y of long floats": lambda: regressor().fit(X, LONG),
    "sample_weight of long floats": lambda: regressor().fit(X, NUMBERS, sample_weight=LONG),
    "classes": lambda: classifier().partial_fit(X, LABELS, classes=[0, np.nan]),
    "classes with infinity": lambda: classifier().partial_fit(X, LABELS, classes=[0, 1, np.inf]),
}


@pytest.mark.filterwarnings("error::RuntimeWarning")
@each("name, call", BEYOND.items(), ids=BEYOND, parts=1)
def test_numbers_beyond_floats_are_refused_by_the_arguments_name(name, call):
    with pytest.raises(ValueError, match=rf"\b{name.split()[0]} (holds|contains)") as caught:
        call()
    assert "\n" not in str(caught.value)


def test_a_tensor_without_values_is_refused_by_the_arguments_name():
    torch = pytest.importorskip("torch", reason="has the device meta")
    none, rows = torch.empty(60, 4, device="meta"), torch.ones(60, 4)
    model = regressor().fit(rows, torch.ones(60))
    for name, call in {
        "X": lambda: regressor().fit(none, NUMBERS),
        "y": lambda: regressor().fit(rows, none[:, 0]),
        "sample_weight": lambda: regressor().fit(rows, W, sample_weight=none[:, 0]),
        "X to predict": lambda: model.predict(none),
    }.items():
        with pytest.raises(ValueError, match=f"^{name.split()[0]} is on torch's device meta"):
            call()
