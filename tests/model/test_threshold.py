"""The threshold of two classes: kept in the model, and heeded wherever labels are decided."""

import copy
import pickle

import numpy as np
import pytest
from each import each
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import FixedThresholdClassifier
from stored_models import saved

from xpmlp import MLPClassifier, load
from xpmlp.container import read_container, write_container
from xpmlp.errors import ModelFileError

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3)).astype(np.float32)
LABELS = np.where(X[:, 0] + RNG.normal(size=80) > 0.7, "yes", "no")
T = 0.2  # above and below which the probabilities lie


def fitted(y=LABELS, **kw):
    kw = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0} | kw
    return MLPClassifier(**kw).fit(X, y)


def at(threshold, **kw):
    model = fitted(**kw)
    model.threshold_ = threshold
    return model


def expected(model, threshold=T):
    return np.where(model.predict_proba(X)[:, 1] > threshold, "yes", "no")


def test_the_second_class_is_predicted_above_the_threshold_of_its_probability():
    model, before = at(T), fitted()
    assert before.threshold_ == 0.5 and model.threshold_ == T
    np.testing.assert_array_equal(model.predict(X), expected(before))
    assert (model.predict(X) != before.predict(X)).any()
    np.testing.assert_array_equal(model.decision_function(X), before.decision_function(X))
    peer = FixedThresholdClassifier(fitted(), threshold=T, response_method="predict_proba")
    np.testing.assert_array_equal(model.predict(X), peer.fit(X, LABELS).predict(X))
    assert model.score(X, LABELS) == np.mean(expected(before) == LABELS)


def test_a_threshold_that_is_a_probability_itself_is_not_above_it():
    model = fitted()
    p = model.predict_proba(X)[:, 1]
    for row in range(20):
        model.threshold_ = p[row]
        np.testing.assert_array_equal(model.predict(X), expected(model, p[row]))
        assert model.predict(X)[row] == "no"


@each("loss", ["log_loss", "binary_log_loss", "squared_error", "focal"])
def test_every_loss_of_two_classes_heeds_it(loss):
    model = at(T, loss=loss)
    np.testing.assert_array_equal(model.predict(X), expected(model))


def test_every_library_and_every_fast_way_decide_alike(xp):
    model = at(T)
    want = expected(model)
    x = xp.asarray(X)
    there = MLPClassifier((8,), max_iter=1, random_state=0).fit(x, LABELS)
    there.model_ = model.model_.mapped(lambda a: xp.asarray(np.asarray(a)))
    for predict in (there.predict, there.predictor(len(X)), there.model_.predict):
        np.testing.assert_array_equal(predict(x), want)
    for predict in (model.predict, model.predictor(len(X)), model.model_.predict):
        np.testing.assert_array_equal(predict(X), want)


@each("turn", [copy.copy, copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_keep_it(turn):
    twin = turn(at(T))
    assert twin.threshold_ == T
    np.testing.assert_array_equal(twin.predict(X), expected(twin))


def test_a_model_file_keeps_it_and_one_without_it_means_a_half(tmp_path):
    model = at(T)
    assert saved(model, tmp_path / "m").threshold_ == T
    read = load(tmp_path / "m")
    np.testing.assert_array_equal(read.predict(X), expected(model))
    read.with_threshold(0.9).save(tmp_path / "n")
    assert load(tmp_path / "n").targets.threshold == 0.9
    arrays, meta = read_container(tmp_path / "m")
    del meta["threshold"]
    write_container(tmp_path / "m", arrays, meta)
    assert load(tmp_path / "m").targets.threshold == 0.5


@each("threshold", [0, 1, -0.1, "0.3", None, True, [0.3], {}])
def test_a_model_file_with_a_threshold_that_is_none_is_refused(tmp_path, threshold):
    fitted().save(tmp_path / "m")
    arrays, meta = read_container(tmp_path / "m")
    write_container(tmp_path / "m", arrays, meta | {"threshold": threshold})
    with pytest.raises(ModelFileError, match="above 0 and below 1"):
        load(tmp_path / "m")


def test_onnxruntime_decides_by_it_too(tmp_path):
    ort = pytest.importorskip("onnxruntime", reason="the file is run by it (extra `onnx`)")
    model = at(T)
    model.export(tmp_path / "m.onnx")
    session = ort.InferenceSession(tmp_path / "m.onnx")
    label, probabilities = session.run(None, {"X": X})
    np.testing.assert_array_equal(label, model.predict(X))
    np.testing.assert_array_equal(label, np.where(probabilities[:, 1] > T, "yes", "no"))
    assert session.get_modelmeta().custom_metadata_map["threshold"] == str(T)


def test_a_fit_from_the_start_forgets_it_and_one_that_goes_on_keeps_it():
    model = at(T)
    assert model.fit(X, LABELS).threshold_ == 0.5
    model.threshold_ = T
    assert model.partial_fit(X, LABELS).threshold_ == T
    assert model.set_params(warm_start=True).fit(X, LABELS).threshold_ == T
    with pytest.raises(NotFittedError):
        clone(model).threshold_  # noqa: B018


@each("loss", ["log_loss", "squared_error"])
def test_the_accuracy_that_stops_a_training_is_that_of_predict(loss):
    model = at(T, loss=loss, early_stopping=True, warm_start=True, n_iter_no_change=30)
    model.fit(X, LABELS, X_val=X, y_val=LABELS)
    assert model.best_validation_score_ == pytest.approx(model.score(X, LABELS))


@each("threshold", [0, 1, -1, 2, np.nan, np.inf, "0.3", None, True, np.array([0.3])], ids=str)
def test_what_is_no_share_is_refused(threshold):
    model = at(T)
    with pytest.raises(ValueError, match="above 0 and below 1, got"):
        model.threshold_ = threshold
    assert model.threshold_ == T


@each(
    "y, words",
    [
        (np.arange(80) % 3, "the classes 0, 1, 2"),
        (np.full(80, "a"), "the classes 'a'"),
        ((X[:, :2] > 0) * 1, "several labels"),
    ],
)
def test_other_models_have_no_threshold_to_set(y, words):
    with pytest.raises(ValueError, match=words):
        fitted(y).threshold_ = T
