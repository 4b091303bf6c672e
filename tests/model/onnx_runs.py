"""Models, and their ONNX files run by onnxruntime."""

import numpy as np
import pandas as pd
import pytest

from xpmlp import MLPClassifier, MLPRegressor
from xpmlp.tables.frame import as_text, frame_of

onnx = pytest.importorskip("onnx", reason="ONNX files need onnx (the extra `onnx`)")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime runs the files (the extra `onnx`)")


RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
THREE = np.digitize(X[:, 0], [-0.5, 0.5])
VALUE = X @ [1.0, -2.0, 0.5, 0.0] + 0.3
LABELS = {
    "two classes": THREE > 0,
    "one class": np.full(60, "only"),
    "integers": THREE * 10 - 5,
    "unsigned": THREE.astype(np.uint64) + np.uint64(2**63),
    "floats": THREE * 2.0,
    "text": np.array(["a", "bb", "ccc"])[THREE],
    "objects": np.array(["a", "bb", "ccc"], object)[THREE],
    "labels": np.stack([THREE > 0, THREE > 1], 1) * 1,
}
TABLE = pd.DataFrame(
    {
        "age": np.where(np.arange(60) % 7, 40 + 10 * X[:, 0], np.nan),
        "time": 1.7e9 + np.arange(60),
        "city": pd.array([["Rome", "Oslo", None][i] for i in THREE], dtype=object),
        "code": [f"no {i % 20}" for i in range(60)],
        "day": pd.to_datetime("2020-01-01") + pd.to_timedelta(np.arange(60) * 11, unit="D"),
        "moment": pd.to_datetime("1969-12-01") + pd.to_timedelta(X[:, 1] * 1e6, unit="s"),
        "same": 1.0,
        "label": np.array(["x", "y"])[THREE % 2],
        "n1": X[:, 2],
        "été, 2": X[:, 3],
    }
)
TABLE.loc[::9, "moment"] = pd.NaT


def new(kind, **kw):
    return kind(**{"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0} | kw)


def classifier(x=X, y=THREE, **kw):
    return new(MLPClassifier, **kw).fit(x, y)


def regressor(x=X, y=VALUE, **kw):
    return new(MLPRegressor, **kw).fit(x, y)


@pytest.fixture(name="exported")
def exported_fixture(tmp_path):
    """est -> a function from rows to the file's outputs by name."""

    def export(est):
        est.export(tmp_path / "m.onnx")
        session = ort.InferenceSession(tmp_path / "m.onnx")
        names = [out.name for out in session.get_outputs()]

        def run(rows):
            return dict(zip(names, session.run(None, feeds(session, rows))))

        return run

    return export


def feeds(session, rows):
    """What a user passes: X in its type, or a table's columns (n, 1)."""
    types = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(string)": object}
    inputs = {i.name: types[i.type] for i in session.get_inputs()}
    if isinstance(rows, np.ndarray) and [*inputs] == ["X"]:
        return {"X": rows.astype(inputs["X"])}
    frame, made = frame_of(pd.DataFrame(rows)), {}
    for i, name in enumerate(inputs):
        a = frame.column(i)
        if frame.kinds[i] == "date":
            a = (a - np.datetime64(0, "s")) / np.timedelta64(1, "D")
        if inputs[name] is object:
            a = np.asarray([as_text(value) or "" for value in a], object)
        made[name] = a[:, None]
    return made


def assert_classifies_as(est, run, rows, tolerance=1e-6):
    out, p, labels = run(rows), est.predict_proba(rows), est.predict(rows)
    assert out["probabilities"].dtype == np.float32 and out["probabilities"].shape == p.shape
    np.testing.assert_allclose(out["probabilities"], p, atol=tolerance)
    label = out["output_label" if "label" in rows else "label"]
    assert label.shape == labels.shape
    np.testing.assert_array_equal(label, labels)


def assert_predicts_as(est, run, rows, tolerance=2e-6):
    out, y = run(rows), est.predict(rows)
    assert out["prediction"].dtype == np.float32 and out["prediction"].shape == y.shape
    np.testing.assert_allclose(out["prediction"], y, rtol=tolerance, atol=tolerance)
    return out


# What layers of one's own may use -----------------------------------------------------------------

TWO = (
    "add subtract multiply divide minimum maximum equal not_equal greater greater_equal less "
    "less_equal"
).split()
CALLS = {name: lambda x, f: f(x[:, :4], x[:, 1:]) for name in TWO} | {
    "power": lambda x, f: f(x, 3),
    "matmul": lambda x, f: f(x, np.ones((5, 2))),
    "log": lambda x, f: f(x * x + 0.1),
    "sqrt": lambda x, f: f(x * x),
    "log1p": lambda x, f: f(x * x),
    "clip": lambda x, f: f(x, -0.5, 0.5),
    "logical_and": lambda x, f: f(x > 0, x < 1),
    "logical_or": lambda x, f: f(x > 1, x < 0),
    "logical_not": lambda x, f: f(x > 0),
    "isnan": lambda x, f: f(x / np.where(x > 0, x, 0.0)),
    "isfinite": lambda x, f: f(1.0 / np.where(x > 0, x, 0.0)),
    "where": lambda x, f: f(x > 0, x, -1.0),
    "argmax": lambda x, f: f(x, axis=-1),
    "concatenate": lambda x, f: f([x, x[:, :0], x > 0], axis=1),
    "stack": lambda x, f: f([x, 2 * x], axis=-1) + f([x, x], axis=1)[:, 0, :, None],
    "reshape": lambda x, f: f(x[:, :4], (x.shape[0], 2, 2)),
    "sort": lambda x, f: f(x, axis=1),
    "take": lambda x, f: f(x, np.asarray([4, 0]), axis=1),
    "astype": lambda x, f: f(x * 9, np.int64),
    **{
        name: lambda x, f: f(x, axis=-1, keepdims=True) + f(x, axis=(1,))[:, None]
        for name in ("sum", "mean", "max", "min")
    },
}
