"""ONNX files of models of tables."""

import numpy as np
import pandas as pd
import pytest
from each import each
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx_runs import (
    RNG,
    TABLE,
    THREE,
    VALUE,
    X,
    assert_classifies_as,
    assert_predicts_as,
    classifier,
    exported_fixture,  # noqa: F401 - fixtures among them
    feeds,
    ort,
    regressor,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")


# Tables -----------------------------------------------------------------------------------------


def rows_with_news():
    rows = TABLE.copy()
    rows.loc[::5, "city"] = "Paris"
    rows.loc[::3, "code"] = None
    rows.loc[::4, ["age", "n1"]] = np.nan
    rows.loc[1, "n1"], rows.loc[2, "n1"] = 1e300, -1e300
    rows.loc[::6, "day"] = pd.NaT
    return rows


@pytest.mark.parametrize(
    "kw",
    [
        {},
        {"n_bins": 6},
        {"feature_scale": None},
        {"dtype": "float32"},
        {"normalization": "layer"},
        {"categorical_features": ["city", "code", "label", "same", "n1"]},
    ],
    ids=str,
)
def test_raw_rows_are_encoded_in_the_file_as_in_the_model(kw, exported):
    table = TABLE.assign(n1=np.round(TABLE["n1"]))
    est = classifier(table, np.array(["low", "mid", "high"])[THREE], **kw)
    run = exported(est)
    assert_classifies_as(est, run, table)
    news = rows_with_news()
    if not kw.get("feature_scale", "auto"):  # 1e300 is more than float32 holds
        news["n1"] = table["n1"]
    assert_classifies_as(est, run, news)
    assert_classifies_as(est, run, news[1:2])


@each("column", TABLE.columns.drop("same"))
def test_a_table_of_one_column_is_enough(column, exported):
    est = regressor(TABLE[[column]], VALUE, feature_scale="robust")
    assert_predicts_as(est, exported(est), rows_with_news()[[column]])


def test_columns_that_hold_nothing_are_inputs_too(exported):
    table = pd.DataFrame(
        {"none": pd.array([None] * 60, dtype=object), "hole": np.nan, "x": X[:, 0]}
    )
    est = regressor(table, VALUE)
    news = pd.DataFrame({"none": ["new", None], "hole": [np.nan, 1.0], "x": [0.5, np.nan]})
    assert_predicts_as(est, exported(est), table)
    assert_predicts_as(est, exported(est), news)


def test_arrays_with_holes_stay_one_input_and_arrays_with_text_become_columns(exported):
    holes = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
    est = regressor(holes, feature_scale="robust")
    assert_predicts_as(est, exported(est), holes)
    mixed = np.column_stack([X.astype(object), np.array(["a", "b", "c"])[THREE]])
    est = regressor(mixed, categorical_features=[4])
    out = exported(est)(mixed)
    np.testing.assert_allclose(out["prediction"], est.predict(mixed), rtol=2e-6, atol=2e-6)


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.floats(-1e12, 1e12) | st.just(np.nan),
            st.text(max_size=4) | st.none(),
            st.sampled_from(["no 1", "no 7", "no", "NO 1"]),
            st.datetimes(pd.Timestamp("1700-01-01"), pd.Timestamp("2250-01-01")),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_row_is_predicted_as_the_model_predicts_it(rows, wild):
    est, session = wild
    table = pd.DataFrame(rows, columns=["time", "city", "code", "moment"])
    table["city"] = pd.array(table["city"], dtype=object)
    table["moment"] = pd.to_datetime(table["moment"]).astype("datetime64[us]")
    out = session.run(None, feeds(session, table))[0]
    np.testing.assert_allclose(out, est.predict(table), rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def wild(tmp_path_factory):
    """A fitted model of raw rows, and its session."""
    path = tmp_path_factory.mktemp("onnx") / "m.onnx"
    est = regressor(TABLE[["time", "city", "code", "moment"]], VALUE, n_bins=5)
    est.export(path)
    return est, ort.InferenceSession(path)
