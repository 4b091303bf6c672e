"""Predictions: a predictor gives what the method gives, and neither is fooled by its inputs."""

import copy
import pickle
import threading

import numpy as np
import pytest
from each import each
from sklearn.exceptions import NotFittedError

import xpmlp.engines.numpy as numpy_engine
from xpmlp import MLPClassifier, MLPRegressor, nn
from xpmlp.engines import engine_for
from xpmlp.engines.native.library import library
from xpmlp.errors import ShapeError
from xpmlp.model import Inputs, Model

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
VALUES = (X @ [1.0, -2.0, 0.5, 0.0] + 0.3).astype(np.float64)
TARGETS = {
    "binary": THREE > 0,
    "one class": np.full(60, "only"),
    "multiclass": THREE * 10,
    "text": np.array(["a", "bb", "ccc"])[THREE],
    "multilabel": np.stack([THREE > 0, THREE > 1], 1) * 1,
    "regression": VALUES,
    "outputs": np.stack([VALUES, -VALUES], 1),
}
METHODS = "predict", "predict_proba", "predict_log_proba", "decision_function"


def fitted(x=X, y="multiclass", **kw):
    kind = MLPRegressor if y in ("regression", "outputs") else MLPClassifier
    kw = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0} | kw
    return kind(**kw).fit(x, TARGETS[y])


@pytest.fixture(params=["compiled", "plain"])
def engine(request, monkeypatch):
    """The NumPy engine with and without compiled code."""
    if request.param == "plain":
        monkeypatch.setattr(numpy_engine, "native_outputs", lambda network, layout, dtype: None)
        numpy_engine.numpy_engine.cache_clear()
    elif isinstance(library(), str):
        pytest.skip("needs the compiled engine, which a C++ compiler makes")
    yield request.param
    if request.param == "plain":
        numpy_engine.numpy_engine.cache_clear()


def assert_same(got, want, **tolerance):
    """One kind of array, dtype and shape; the numbers within the tolerance."""
    assert type(got) is type(want) and got.dtype == want.dtype and got.shape == want.shape
    if np.asarray(want).dtype.kind in "fc":
        np.testing.assert_allclose(np.asarray(got), np.asarray(want), **tolerance)
    else:
        np.testing.assert_array_equal(np.asarray(got), np.asarray(want))


# A predictor equals its method ------------------------------------------------------------------


@each("n_rows", [1, 3])
@each("y", TARGETS)
def test_a_predictor_returns_what_the_method_returns(engine, y, n_rows):
    for dtype in (np.float32, np.float64):
        est = fitted(X.astype(dtype), y)
        for method in (name for name in METHODS if hasattr(est, name)):
            predict = est.predictor(n_rows, method=method)
            for start in (0, 7, 20):
                x = X[start : start + n_rows].astype(dtype)
                want = getattr(est, method)(x)
                assert_same(predict(x), want, rtol=1e-6, atol=1e-6)


@each("y", ["text", "outputs"])
def test_a_predictor_answers_in_the_library_of_its_argument(xp, y):
    est = fitted(xp.asarray(X), y)
    predict, x = est.predictor(2), xp.asarray(X[:2])
    got, want = predict(x), est.predict(x)
    assert type(got) is type(want) and got.dtype == want.dtype
    host = [a if isinstance(a, np.ndarray) else xp.host(a) for a in (got, want)]
    np.testing.assert_array_equal(*host)


@each(
    "turn",
    [
        np.ndarray.tolist,
        np.asfortranarray,
        lambda x: x.astype(np.float64),
        lambda x: x[::2][:2],
        lambda x: x.astype(">f4"),
        lambda x: x[:, ::-1],
    ],
    ids=["list", "columns first", "float64", "every second row", "other byte order", "backwards"],
)
def test_a_predictor_takes_every_kind_of_array_that_predict_takes(engine, turn):
    est, x = fitted(), turn(X[:4])
    predict = est.predictor(len(x), method="decision_function")
    np.testing.assert_allclose(predict(x), est.decision_function(x), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_predictor_standardises_as_the_model_does(engine, dtype):
    rows, y = (X * 50 + 1000).astype(dtype), VALUES * 7 - 3
    scaled = {"feature_scale": "standard", "target_scale": "auto"}
    est = MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0, **scaled).fit(rows, y)
    assert est.scaling_.x_mean.shape == (1, 4)
    x = rows[:3]
    assert np.ptp(est.predict(x)) > 0
    assert_same(est.predictor(3)(x), est.predict(x), rtol=1e-5, atol=0)


def test_a_predictor_of_rows_that_fill_several_chunks(engine):
    est, x = fitted(y="outputs"), RNG.normal(size=(2500, 4)).astype(np.float32)
    assert_same(est.predictor(2500)(x), est.predict(x), rtol=1e-6, atol=1e-6)


class Own(nn.Dense):
    """A layer that no engine knows."""


def test_a_predictor_of_a_layer_that_no_engine_knows():
    est = fitted(hidden_layer_sizes=(Own(6, "tanh"),))
    assert_same(est.predictor()(X[:1]), est.predict(X[:1]))


def test_a_predictor_takes_plain_rows_of_named_columns_without_a_word(engine, monkeypatch):
    est = fitted()
    want = est.predict(X[:1])
    est.feature_names_in_ = list("abcd")
    predict = est.predictor()
    monkeypatch.setattr(Model, "outputs", None)  # of rows that want more checks
    np.testing.assert_array_equal(predict(X[:1]), want)


# A snapshot -------------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [X, X.astype(np.float64)], ids=["float32", "float64"])
def test_later_changes_of_the_model_do_not_reach_a_predictor(engine, x):
    est = fitted(x)
    predict, before = est.predictor(5, method="decision_function"), est.decision_function(x[:5])
    slow = x[:5].astype(np.float64 if x is X else np.float32)
    est.coefs_[0][...] = 0.0
    est.intercepts_[-1] += 1.0
    np.testing.assert_allclose(predict(x[:5]), before, rtol=1e-6, atol=1e-6)
    est.fit(-x, TARGETS["binary"])
    np.testing.assert_allclose(predict(x[:5]), before, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(predict(slow), before, rtol=1e-5, atol=1e-5)
    assert not np.array_equal(est.decision_function(x[:5]), before[:, 0])


def test_a_predictor_sees_what_was_assigned_before_it_was_made(engine):
    est = fitted()
    est.coefs_[0] = np.asfortranarray(est.coefs_[0])
    est.coefs_[1] = est.coefs_[1] * 3
    assert_same(
        est.predictor(4, method="predict_proba")(X[:4]), est.predict_proba(X[:4]), rtol=1e-6
    )


def test_making_and_using_a_predictor_changes_nothing_in_the_model():
    est = fitted()
    before = pickle.dumps(est)
    est.predictor()(X[:1])
    assert pickle.dumps(est) == before


def test_results_of_a_predictor_are_nobody_elses(engine):
    predict = fitted(y="regression").predictor(2)
    first = predict(X[:2])
    kept = first.copy()
    predict(X[2:4])
    np.testing.assert_array_equal(first, kept)


def test_threads_that_share_a_predictor_get_their_own_rows(engine):
    est = fitted(y="outputs", hidden_layer_sizes=(64, 64))
    predict, wrong = est.predictor(1), []
    want = est.predict(X)

    def work(i):
        for _ in range(200):
            wrong.extend([i] * (not np.allclose(predict(X[i : i + 1]), want[i], atol=1e-5)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert wrong == []


# What is refused --------------------------------------------------------------------------------


@pytest.mark.parametrize("x", [X[0], X[:2], X[:1, :3], [[1.0, 2.0]], 3.0], ids=np.shape)
def test_a_predictor_refuses_another_shape_than_it_was_made_for(x):
    with pytest.raises(ShapeError, match=r"x is \(.*\), the predictor was made for \(1, 4\)"):
        fitted().predictor()(x)


@each("bad", [np.nan, np.inf, -np.inf])
@each("y", ["multiclass", "regression"])
def test_nan_and_infinity_are_refused_by_predict_and_its_predictor(engine, y, bad):
    for dtype in (np.float32, np.float64):
        est, x = fitted(y=y), X[:1].astype(dtype)
        x[0, 2] = bad
        for predict in (est.predict, est.predictor()):
            with pytest.raises(ValueError, match="Input X contains NaN, infinity or a value too"):
                predict(x)


def test_numbers_whose_sum_overflows_are_no_infinities(engine):
    est, x = fitted(y="regression"), np.full((1, 4), 3e38, np.float32)
    est.coefs_[0] *= 1e-38
    assert np.isfinite(est.predict(x)).all()
    assert_same(est.predictor()(x), est.predict(x), rtol=1e-6)
    with pytest.raises(ValueError, match="too large for dtype"):
        est.predict(x.astype(np.float64) * 10)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"n_rows": 0}, "n_rows must be a whole number > 0, got 0"),
        ({"n_rows": 1.5}, "n_rows must be a whole number > 0, got 1.5"),
        ({"method": "fit"}, "method must be one of predict, predict_proba, .*, got 'fit'"),
        ({"method": None}, "got None"),
    ],
)
def test_arguments_that_make_no_predictor_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        fitted().predictor(**arguments)


def test_a_regressor_has_no_probabilities_to_make_a_predictor_of():
    with pytest.raises(ValueError, match="method must be one of predict, got 'predict_proba'"):
        fitted(y="regression").predictor(method="predict_proba")


def test_a_predictor_needs_a_fitted_model():
    with pytest.raises(NotFittedError):
        MLPClassifier().predictor()


# Many rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "turn", [lambda x: x.astype(np.float64), np.asfortranarray], ids=["float64", "columns first"]
)
def test_rows_that_are_converted_part_by_part_give_the_same(monkeypatch, engine, turn):
    est = fitted(y="outputs")
    want = est.predict(X)
    monkeypatch.setattr("xpmlp.model.inputs.PART", 28)  # 7 rows of 4
    sizes, whole = [], Inputs.computed
    monkeypatch.setattr(Inputs, "computed", lambda self, x: sizes.append(len(x)) or whole(self, x))
    np.testing.assert_allclose(est.predict(turn(X)), want, rtol=1e-6, atol=1e-6)
    assert sizes == [7] * 8 + [4]
    est.predict(X)
    assert not sizes[9:]  # as they are


def test_rows_are_looked_through_once_and_not_copied(monkeypatch):
    est, seen = MLPClassifier((Own(6),), max_iter=1).fit(X, THREE), []
    monkeypatch.setattr(
        "xpmlp.model.inputs.all_finite", lambda x: seen.append(x.ctypes.data) or True
    )
    est.predict(X)
    assert seen == [X.ctypes.data]


@each("method", METHODS)
def test_plain_rows_are_left_to_what_is_kept_between_calls(engine, monkeypatch, method):
    est = fitted()
    want = getattr(est, method)(X)
    monkeypatch.setattr(Model, "outputs", None)
    monkeypatch.setattr(Model, "_prepare", None)
    np.testing.assert_array_equal(getattr(est, method)(X), want)
    np.testing.assert_allclose(getattr(est, method)(X.astype(np.float64)), want, rtol=1e-6)
    np.testing.assert_array_equal(getattr(est.model_, method)(X), want)


@each(
    "change",
    [
        lambda est: est.coefs_[0].__imul__(2),
        lambda est: est.intercepts_.__setitem__(0, est.intercepts_[0] + 1),
        lambda est: est.coefs_.__setitem__(0, np.asfortranarray(est.coefs_[0]) * 2),
        lambda est: setattr(est, "coefs_", [W * 2 for W in est.coefs_]),
        lambda est: est.set_params(max_iter=9).fit(-X, THREE),
    ],
    ids=["written in place", "an item", "columns first", "all", "another fit"],
)
def test_what_is_kept_between_calls_follows_every_change(engine, change):
    est = fitted()
    before = est.decision_function(X)
    for _ in range(2):  # the second time the arrays may not be as compiled code wants them
        change(est)
        twin = pickle.loads(pickle.dumps(est))
        got = est.decision_function(X)
        np.testing.assert_allclose(got, twin.decision_function(X), rtol=1e-6, atol=1e-6)
        assert np.abs(got - before).max() > 1e-3


def test_weights_in_columns_first_are_read_again_in_each_call(engine):
    est = fitted()
    est.coefs_[0] = np.asfortranarray(est.coefs_[0])
    before = est.decision_function(X)
    est.coefs_[0] *= 2
    assert np.abs(est.decision_function(X) - before).max() > 1e-3


@pytest.fixture
def constant(monkeypatch):
    """Compiled predictions that are one number."""
    outputs = lambda x: np.full((len(x), 1), 7, x.dtype)
    monkeypatch.setattr(numpy_engine, "native_outputs", lambda *known: lambda store: outputs)
    numpy_engine.numpy_engine.cache_clear()
    yield
    numpy_engine.numpy_engine.cache_clear()


@pytest.mark.usefixtures("constant")
def test_each_prediction_heeds_accelerate_as_it_then_stands():
    est = fitted(y="regression")
    for accelerate, is_plain in (("auto", False), ("generic", True), ("auto", False)):
        est.set_params(accelerate=accelerate)
        assert (np.ptp(est.predict(X)) > 0) == is_plain
        assert (np.ptp(est.transform(X, -1)) > 0) == is_plain
        assert (np.ptp(est.predictor(60)(X)) > 0) == is_plain


def test_a_weight_that_gets_another_shape_in_place_is_refused(engine):
    est = fitted()
    want = est.predict(X)
    est.coefs_[0].resize((8, 4), refcheck=False)
    for _ in range(2):
        with pytest.raises(ShapeError, match=r"coefs_\[0\] has shape \(8, 4\), expected \(4, 8\)"):
            est.predict(X)
    est.coefs_[0].resize((4, 8), refcheck=False)
    np.testing.assert_array_equal(est.predict(X), want)


def test_threads_that_predict_at_once_get_their_own_rows(engine):
    est, wrong = fitted(y="outputs", hidden_layer_sizes=(64, 64)), []
    want = est.predict(X)

    def work(i):
        for _ in range(200):
            wrong.extend([i] * (not np.allclose(est.predict(X[i : i + 1]), want[i], atol=1e-5)))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert wrong == []


def test_predictions_with_weights_in_any_order_of_memory(engine):
    est = fitted(y="outputs", hidden_layer_sizes=(16, 16))
    want = est.predict(X)
    est.coefs_ = [np.asfortranarray(W) for W in est.coefs_]
    np.testing.assert_allclose(est.predict(X), want, rtol=1e-5, atol=1e-6)


def test_engines_hold_the_parameters_that_their_compiled_code_reads():
    est = fitted(y="outputs")
    engine, layout = engine_for(X), est.model_.layout
    own = engine.outputs(est.network_, layout, "float32")
    store = {leaf.name: np.asfortranarray(copy.deepcopy(W)) for leaf, W in _leaves(est)}
    outputs = own(store)
    store.clear()
    rubbish = [np.full((4, 8), np.nan, np.float32) for _ in range(1000)]
    np.testing.assert_allclose(outputs(X), est.predict(X), rtol=1e-6, atol=1e-6)
    assert rubbish


def _leaves(est):
    """Pairs of a leaf and its array as the layout shapes it."""
    lists = {"W": iter(est.coefs_), "b": iter(est.intercepts_)}
    for leaf in est.model_.layout.leaves:
        slot = leaf.slots[0]
        yield leaf, next(lists[slot.path[-1]]).reshape(slot.shape)
