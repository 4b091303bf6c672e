"""What happens to models of tables: moved, saved, loaded, spoilt."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from each import each
from table_models import FLOATS, LABELS, TABLE, classifier, regressor

from xpmlp import load_model
from xpmlp.container import read_container, write_container
from xpmlp.errors import DataError, DivergenceError, ModelFileError
from xpmlp.tables.frame import Frame

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")


def test_a_predictor_takes_rows_of_the_table():
    model = regressor()
    predict = model.predictor(4)
    np.testing.assert_array_equal(predict(TABLE[:4]), model.predict(TABLE[:4]))
    with pytest.raises(ValueError, match="the predictor was made for"):
        predict(TABLE[:5])
    robust = regressor(FLOATS, feature_scale="robust")
    np.testing.assert_array_equal(robust.predictor(4)(FLOATS[:4]), robust.predict(FLOATS[:4]))


def test_a_model_of_a_table_moves_and_goes_on_taking_tables():
    torch = pytest.importorskip("torch", reason="torch is not installed")
    model = classifier()
    expected = model.predict_proba(TABLE)
    for device in ("cpu", torch.zeros(1), np.empty(0)):
        made = model.to(device).predict_proba(TABLE)
        assert type(made) is np.ndarray
        np.testing.assert_allclose(made, expected, atol=1e-9)
        model.partial_fit(TABLE, LABELS)
        expected = model.predict_proba(TABLE)
        again = pickle.loads(pickle.dumps(model))
        np.testing.assert_allclose(again.predict_proba(TABLE), expected, atol=1e-9)
    named = classifier(device="cpu").predict(TABLE)
    np.testing.assert_array_equal(named, classifier().predict(TABLE))


def test_a_fit_that_fails_leaves_the_encoder_of_the_last_one():
    model = classifier()
    encoder, expected = model.encoder_, model.predict_proba(TABLE)
    for X, y, error in (
        (FLOATS, LABELS[:-1], ValueError),
        (TABLE.assign(age=object()), LABELS, DataError),
        (TABLE.rename(columns={"age": "AGE"}), LABELS[:-1], ValueError),
    ):
        with pytest.raises(error):
            model.fit(X, y)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError):  # NumPy's loop would warn
        model.set_params(learning_rate_init=1e300, solver="sgd").fit(TABLE[["age", "city"]], LABELS)
    assert model.encoder_ is encoder and model.n_features_in_ == 5
    np.testing.assert_array_equal(model.predict_proba(TABLE), expected)


def test_many_long_categories_are_saved(tmp_path):
    names = [f"{'x' * 200}{i}" for i in range(1000)] * 2  # 1 MB in five columns
    columns = [np.roll(np.asarray(names, object), k) for k in range(6)]
    odd = np.asarray(["\udfff", "\u00e9 "] * 1000, object)  # the first has no UTF-8
    table = Frame(tuple("abcdef") + ("\udfff",), ("category",) * 7, (*columns, odd))
    model = regressor(table, np.arange(2000.0), max_iter=1)
    model.save(tmp_path / "m")
    twin = load_model(tmp_path / "m")
    assert twin.encoder_.columns == model.encoder_.columns
    np.testing.assert_array_equal(twin.predict(table), model.predict(table))


def test_thousands_of_columns_with_bins_are_saved(tmp_path):
    X = np.random.default_rng(0).normal(size=(9, 5000))
    model = regressor(X, X[:, 0], n_bins=2, max_iter=1, batch_size=9)
    model.save(tmp_path / "m")
    np.testing.assert_array_equal(load_model(tmp_path / "m").predict(X), model.predict(X))


def test_thousands_of_columns_with_long_names_are_saved(tmp_path):
    names = [f"a column with a name of some length, the {i}th of all" for i in range(12_000)]
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(9, len(names))), columns=names)
    model = regressor(X, X[names[0]], feature_scale="robust", max_iter=1, batch_size=9)
    model.table_types_ = dict.fromkeys(names, "number") | {names[1]: "boolean"}
    model.save(tmp_path / "m")
    loaded = load_model(tmp_path / "m")
    assert loaded.feature_names_in_.tolist() == names
    assert loaded.table_types_ == model.table_types_
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def text_of(arrays):
    return json.loads(arrays["encoder.text"].tobytes())


def with_text(**changes):
    def change(arrays, meta):
        made = json.dumps(text_of(arrays) | changes).encode()
        arrays["encoder.text"] = np.frombuffer(made + b" " * (-len(made) % 4), "<i4")

    return change


def with_column(k, **changes):
    def change(arrays, meta):
        columns = text_of(arrays)["columns"]
        fields = ("name", "kind", "missing", "categories", "times", "embedded")
        columns[k] = [*(dict(zip(fields, columns[k])) | changes).values()]
        with_text(columns=columns)(arrays, meta)

    return change


def with_array(name, f):
    key = f"encoder.{name}"
    return lambda arrays, meta: arrays.update({key: f(arrays[key])})


def with_a_feature_more(arrays, meta):
    meta["model"]["n_features"] += 1


@each(
    "change",
    [
        with_column(0, kind="text"),
        with_column(0, name=7),
        with_column(0, name="city"),
        with_column(0, kind="date"),
        with_column(0, categories=["a"]),
        with_column(1, categories=["Rome", "Rome"]),
        with_column(1, categories=["Rome", 3]),
        with_column(1, categories="Rome and a half"),
        with_column(1, missing=False),
        with_column(2, categories=[f"z{i:02d}" for i in range(66)]),
        with_text(columns=[]),
        with_text(columns=None),
        with_text(n_edges=[1, 2, 3]),
        with_text(n_edges=[2, 2, 1]),
        with_a_feature_more,
        with_text(n_edges=[5, -1, 5]),
        with_text(n_edges=[10**30]),
        with_array("text", lambda a: a[:-4]),
        with_array("text", lambda a: np.frombuffer(b"[" * 40000, "<i4")),
        with_array("scale", lambda a: -a),
        with_array("scale", lambda a: a.astype("float32")),
        with_array("scale", lambda a: a[:, 1:]),
        with_array("center", lambda a: a.T),
        with_array("fill", lambda a: a[0]),
        with_array("edges", lambda a: a[::-1]),
        with_array("edges", lambda a: a * 0),
        with_array("edges", lambda a: a[None]),
        with_array("edges", lambda a: np.where(a == a[0], -1.7e308, 1.7e308 + a)),
        lambda arrays, meta: arrays.pop("encoder.edges"),
        lambda arrays, meta: arrays.pop("encoder.fill"),
        lambda arrays, meta: arrays.pop("encoder.text"),
    ],
)
def test_a_model_file_with_another_encoder_is_refused(tmp_path, change):
    model = classifier(n_bins=3)
    model.save(tmp_path / "m")
    arrays, meta = read_container(tmp_path / "m")
    change(arrays, meta)
    write_container(tmp_path / "bad", {k: np.ascontiguousarray(a) for k, a in arrays.items()}, meta)
    with pytest.raises(ModelFileError, match="model file"):
        load_model(tmp_path / "bad").predict(TABLE)
