"""The fitted model as a value: its records, and `load` without scikit-learn."""

import subprocess
import sys
import threading
import tracemalloc
import warnings
from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest
from conftest import find
from scipy.sparse import csr_matrix
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from xpmlp import MLPClassifier, MLPRegressor, load, load_model, nn
from xpmlp.arrays import HOST
from xpmlp.container import read_container
from xpmlp.errors import DataError, ModelFileError, ShapeError
from xpmlp.model import ClassTargets, Inputs, LabelTargets, Model, NumberTargets, Scaling
from xpmlp.nn.activations import get_activation
from xpmlp.nn.losses import LOSSES

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
NAMES = np.array(["red", "green", "blue"])[np.digitize(X[:, 0], [-0.5, 0.5])]
KINDS = {"two": X[:, 0] > 0, "three": NAMES, "labels": (X[:, :3] > 0).astype(int)}
TABLE = pd.DataFrame({"size": X[:, 0], "colour": NAMES, "age": X[:, 1]})


def fitted(make, X, y, **arguments):
    with warnings.catch_warnings(action="ignore"):
        return make((6,), max_iter=3, random_state=0, **arguments).fit(X, y)


def regressor(X, y, **arguments):
    return fitted(lambda sizes, **a: MLPRegressor(hidden_layer_sizes=sizes, **a), X, y, **arguments)


# ---- Records


@pytest.mark.parametrize("y", KINDS.values(), ids=KINDS)
def test_targets_of_classes_are_their_columns_and_probabilities_lead_back_to_them(y):
    model = fitted(MLPClassifier, X, y).model_
    made = model.targets.encode(y, X, "float64")
    if model.targets.task == "multiclass":
        assert made.shape == (len(y), 1) and made.dtype == "int32"
        np.testing.assert_array_equal(model.targets.classes[made[:, 0]], y)
        assert model.targets.hits(np.eye(3)[made[:, 0]], made, 0.0).all()
        assert not model.targets.hits(np.eye(3)[made[:, 0] - 1], made, 0.0).any()
        rows, _ = model.targets.paired(LOSSES["focal"])
        made = rows.encode(y, X, "float64")
        expected = OneHotEncoder(sparse_output=False).fit_transform(y[:, None])
    else:
        expected = np.asarray(y, float).reshape(len(y), -1)
    np.testing.assert_array_equal(made, expected)
    logits = 50.0 * (made - 0.5)  # as sure as a network can be
    np.testing.assert_array_equal(model.targets.predict(logits, X), y)
    p = model.targets.predict_proba(logits, X)
    np.testing.assert_allclose(np.exp(model.targets.predict_log_proba(logits, X)), p, atol=1e-12)


def test_as_many_classes_as_rows_train_without_a_row_of_targets_for_each():
    n = 3000
    rng = np.random.default_rng(1)
    rows, labels = rng.normal(size=(n, 3)).astype("float32"), rng.permutation(n)
    model = MLPClassifier((4,), batch_size=50, max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it has not converged, that classes are many
        model.fit(rows[:60], labels[:60] % 3)  # compiled by now
        tracemalloc.start()
        model.fit(rows, labels)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 0.25 * 4 * n * n, f"{peak:,} bytes at the most"
    np.testing.assert_array_equal(model.classes_, np.arange(n))


def test_smoothing_and_weights_of_classes_follow_their_formulas():
    three = ClassTargets(np.array([3, 5, 9]), "softmax", 0.3, np.array([1.0, 2.0, 4.0]))
    np.testing.assert_allclose(
        three.encode([5, 9], X, "float64"), [[0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    )
    np.testing.assert_allclose(three.row_weights([9, 3], np.array([0.5, 3.0])), [2.0, 3.0])
    labels = LabelTargets(3, smoothing=0.2)  # a label is there or not: two ways, however many
    made = labels.encode(np.eye(3), X, "float64")
    np.testing.assert_allclose(made, 0.1 + 0.8 * np.eye(3))


def test_a_weight_of_two_is_two_rows_in_the_statistics_of_targets():
    y, counts = 5.0 + 3.0 * X[:, :2], np.arange(len(X)) % 3
    made = Scaling.of_targets(y, counts)
    scaler = StandardScaler().fit(np.repeat(y, counts, axis=0))
    np.testing.assert_allclose(made.mean[0], scaler.mean_)
    np.testing.assert_allclose(made.scale[0], scaler.scale_)


def test_numbers_are_standardised_and_quantiles_never_cross():
    y = 5.0 + 3.0 * X[:, :2]
    scaler = StandardScaler().fit(y)
    scaling = Scaling(scaler.mean_[None], scaler.scale_[None])
    targets = NumberTargets(2, quantiles=(0.1, 0.9), scaling=scaling)
    outputs = targets.encode(y, X, "float64")
    np.testing.assert_allclose(outputs[:, ::2], scaler.transform(y))
    np.testing.assert_array_equal(outputs[:, ::2], outputs[:, 1::2])  # once for each quantile
    crossed = outputs + np.array([1.0, 0.0, 1.0, 0.0])
    low, high = np.moveaxis(targets.predict(crossed, X, [0.1, 0.9]), -1, 0)
    np.testing.assert_allclose(low, y)
    np.testing.assert_allclose(high, y + scaler.scale_)
    with pytest.raises(ValueError, match=r"0\.5.* are not there: .* \[0\.1, 0\.9\]"):
        targets.predict(outputs, X, 0.5)


def test_a_model_is_frozen_and_its_lists_are_the_estimators():
    est = fitted(MLPClassifier, X, NAMES)
    model, before = est.model_, est.predict_proba(X)
    with pytest.raises(FrozenInstanceError):
        model.coefs = []
    est.coefs_[0] = np.zeros_like(est.coefs_[0])
    assert model.coefs[0] is est.coefs_[0] and np.ptp(est.predict_proba(X), axis=0).max() == 0
    np.testing.assert_array_equal(fitted(MLPClassifier, X, NAMES).predict_proba(X), before)


def test_a_fit_in_another_thread_never_mixes_two_models_in_one_answer():
    est, other = fitted(MLPClassifier, X, NAMES), -5.0 * X
    answers = {est.predict_proba(X).tobytes()}
    answers.add(fitted(MLPClassifier, other, NAMES).predict_proba(X).tobytes())
    seen, over = set(), threading.Event()

    def look():
        while not over.is_set():
            seen.add(est.predict_proba(X).tobytes())

    thread = threading.Thread(target=look)
    thread.start()
    with warnings.catch_warnings(action="ignore"):
        for i in range(10):
            est.fit(other if i % 2 == 0 else X, NAMES)
    over.set()
    thread.join()
    assert seen and seen <= answers


@pytest.mark.parametrize("kind", ["standard", "global"])
def test_features_are_scaled_by_column_or_all_alike_and_tables_by_neither(kind):
    far = X * [1.0, 5.0, 9.0, 0.1] + 1e3
    by_hand = StandardScaler().fit_transform(far)
    if kind == "global":
        by_hand = (far - far.mean()) / np.std(far - far.mean())
    est = fitted(MLPClassifier, far, NAMES, feature_scale=kind)
    want = fitted(MLPClassifier, by_hand, NAMES)
    np.testing.assert_allclose(est.predict_proba(far), want.predict_proba(by_hand), atol=1e-9)
    again = est.partial_fit(far, NAMES).predict_proba(far)  # by the same statistics
    np.testing.assert_allclose(again, want.partial_fit(by_hand, NAMES).predict_proba(by_hand))
    with pytest.raises(ValueError, match=f"feature_scale='{kind}' is for arrays of numbers"):
        fitted(MLPClassifier, TABLE, NAMES, feature_scale=kind)
    with pytest.raises(ValueError, match="contains NaN"):
        fitted(MLPClassifier, np.where(X > 1, np.nan, X), NAMES, feature_scale=kind)


# ---- load

CHILD = """
import sys
import numpy as np
from xpmlp import load
folder = sys.argv[1]
model = load(f"{folder}/m")
X = np.load(f"{folder}/x.npy")
np.testing.assert_allclose(model.predict_proba(X), np.load(f"{folder}/p.npy"), atol=1e-12)
model.save(f"{folder}/again")
one = load(f"{folder}/again").predictor(1, method="predict_proba")
np.testing.assert_array_equal(one(X[:1]), model.predict_proba(X[:1]))
known = "array_api_compat click joblib narwhals numpy pandas safetensors scipy sklearn torch tqdm"
print(*[name for name in known.split() if name in sys.modules])
"""


def test_a_model_is_loaded_predicts_and_is_saved_without_scikit_learn_and_scipy(tmp_path):
    est = fitted(MLPClassifier, X, NAMES, feature_scale="standard")
    est.save(tmp_path / "m")
    np.save(tmp_path / "x.npy", X)
    np.save(tmp_path / "p.npy", est.predict_proba(X))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CHILD, str(tmp_path)], capture_output=True, text=True
    )
    needed = ["array_api_compat", "narwhals", "numpy"]
    assert (done.stdout.split(), done.returncode) == (needed, 0), done.stderr


@pytest.mark.parametrize("y", KINDS.values(), ids=KINDS)
def test_a_loaded_model_answers_as_the_estimator(tmp_path, y):
    est = fitted(MLPClassifier, X, y, feature_scale="standard")
    est.save(tmp_path / "m")
    model = load(tmp_path / "m")
    for method in ("predict", "predict_proba", "predict_log_proba", "decision_function"):
        np.testing.assert_array_equal(getattr(model, method)(X), getattr(est, method)(X))
    np.testing.assert_array_equal(model.predict(X.tolist()), est.predict(X))
    np.testing.assert_array_equal(model.transform(X, 1), est.transform(X))
    strict = find("array_api_strict")
    moved = model.to(strict.asarray(X))
    np.testing.assert_allclose(
        strict.host(moved.predict_proba(strict.asarray(X))), est.predict_proba(X), atol=1e-12
    )


def test_a_loaded_model_of_a_table_takes_tables_and_one_of_quantiles_gives_them(tmp_path):
    est = regressor(TABLE, X[:, 2], loss="quantile", quantiles=[0.1, 0.5, 0.9], target_scale="auto")
    est.save(tmp_path / "m")
    model = load(tmp_path / "m")
    np.testing.assert_array_equal(model.predict(TABLE), est.predict(TABLE))
    wanted = [0.1, 0.9]
    np.testing.assert_array_equal(
        model.predict(TABLE, quantiles=wanted), est.predict(TABLE, wanted)
    )
    with pytest.raises(AttributeError, match="a model of numbers has no predict_proba"):
        model.predict_proba(TABLE)


def test_what_does_not_fit_a_loaded_model_is_told(tmp_path):
    fitted(MLPClassifier, X, NAMES).save(tmp_path / "m")
    model = load(tmp_path / "m")
    for bad in (X[:, :3], X[0]):
        with pytest.raises(ShapeError, match=r"expected \(n_samples, 4\)"):
            model.predict(bad)
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict(np.full((1, 4), np.nan))
    with pytest.raises(TypeError, match=r"X is a csr_matrix, .* pass X\.toarray\(\)"):
        model.predict(csr_matrix(X))
    with pytest.raises(DataError, match="X has 3 columns, fit had 4"):
        fitted(MLPClassifier, X, NAMES, feature_scale="robust").model_.predict(X[:, :3])
    with pytest.raises(TypeError, match="a model of classes has no quantiles: take predict_proba"):
        model.predict(X, quantiles=[0.1, 0.9])
    (tmp_path / "no").write_bytes(b"no model")
    with pytest.raises(ModelFileError):
        load(tmp_path / "no")


def test_transform_counts_every_layer_of_the_network_and_takes_none_but_those():
    model = fitted(MLPClassifier, X, NAMES, dropout=[0.2, 0.1]).model_
    assert [type(layer).__name__ for layer in model.network.layers[::2]] == ["Dropout"] * 2
    hidden = np.maximum(X @ model.coefs[0] + model.intercepts[0], 0.0)
    for n, want in ((1, X), (np.int64(2), hidden), (4, model.decision_function(X))):
        np.testing.assert_allclose(model.transform(X, n), want)
    for bad in (0, -1, 5, 99, 1.5, 2.0, "1", None):
        with pytest.raises(ValueError, match="n_layers must be a whole number from 1 to 4, got "):
            model.transform(X, bad)


@pytest.mark.parametrize("y", [*KINDS.values(), X[:, 0], X[:, :2]], ids=[*KINDS, "value", "values"])
def test_a_model_saved_by_itself_is_the_same_model(tmp_path, y):
    make = regressor if np.asarray(y).dtype.kind == "f" else fitted
    est = make(*([] if make is regressor else [MLPClassifier]), X, y, feature_scale="standard")
    est.model_.to("cpu").save(tmp_path / "m")
    model = load(tmp_path / "m")
    np.testing.assert_array_equal(model.predict(X), est.predict(X))
    model.save(tmp_path / "again")
    (first, meta), (second, again) = (read_container(tmp_path / f) for f in ("m", "again"))
    assert meta == again and all((second[k] == a).all() for k, a in first.items())
    with pytest.raises(
        ModelFileError, match=r"/m': it holds a model alone, .* xpmlp\.load reads it\.$"
    ):
        load_model(tmp_path / "m")


def test_a_loaded_table_is_saved_exported_and_predicted_row_by_row(tmp_path):
    est = fitted(MLPClassifier, TABLE, NAMES)
    est.save(tmp_path / "m")
    load(tmp_path / "m").save(tmp_path / "again")
    model = load(tmp_path / "again")
    one = model.predictor(1)
    assert [one(TABLE[i : i + 1])[0] for i in range(9)] == est.predict(TABLE[:9]).tolist()
    model.coefs[0][:] = np.nan  # which the predictor, made before, does not see
    assert [one(TABLE[i : i + 1])[0] for i in range(9)] == est.predict(TABLE[:9]).tolist()
    model = load(tmp_path / "again")
    with pytest.raises(ValueError, match="n_rows must be a whole number > 0, got 0"):
        model.predictor(0)
    with pytest.raises(ValueError, match="method must be one of predict, predict_proba"):
        model.predictor(1, method="save")
    onnx = pytest.importorskip("onnx")
    model.export(tmp_path / "m.onnx", about={"target": "colour"})
    found = {p.key: p.value for p in onnx.load(tmp_path / "m.onnx").metadata_props}
    assert found["task"] == '"multiclass"' and found["target"] == '"colour"'


def test_a_model_that_could_not_be_read_is_not_saved(tmp_path):
    network = nn.Network([nn.Dense(2), nn.Activation("tanh")])
    params, _ = network.init(4, np.random.default_rng(0))
    with pytest.raises(ValueError, match="its last layer is .*, expected a Dense"):
        Model.of(network, Inputs(4, "float64", HOST), NumberTargets(2), params).save(tmp_path / "m")
    assert not [*tmp_path.iterdir()]


def test_a_model_with_code_of_your_own_is_not_saved(tmp_path):
    own = get_activation("relu")._replace(name="mine")
    with pytest.raises(TypeError, match="a model file holds no code of your own"):
        fitted(MLPClassifier, X, NAMES, activation=own).model_.save(tmp_path / "m")
    assert not [*tmp_path.iterdir()]
