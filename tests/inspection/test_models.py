"""A fitted model is explained and planned without its estimator, and by the same numbers."""

import warnings

import numpy as np
import pandas as pd
import pytest

import xpmlp
from xpmlp import MLPClassifier, MLPRegressor

X = np.random.default_rng(0).normal(size=(64, 2))
CODES = np.digitize(X[:, 0], [-0.5, 0.5])
TABLE = pd.DataFrame({"size": np.sin(np.arange(64.0)), "city": ["Rome", None, "Oslo", "Bonn"] * 16})
MODELS = {
    "two": lambda: (MLPClassifier(label_smoothing=0.1), X, np.where(X[:, 0] > 0, "up", "down")),
    "three": lambda: (MLPClassifier(feature_scale="standard"), X, CODES),
    "sigmoids": lambda: (MLPClassifier(loss="binary_log_loss"), X, CODES),
    "squares": lambda: (MLPClassifier(loss="squared_error"), X, CODES),
    "labels": lambda: (MLPClassifier(class_weight=[{0: 2.0}, None]), X, (X > 0).astype(int)),
    "number": lambda: (MLPRegressor(target_scale="auto", dtype="float32"), X, 9 + X[:, 0]),
    "numbers": lambda: (MLPRegressor(out_activation="tanh"), X, np.tanh(X)),
    "quantiles": lambda: (MLPRegressor(loss="quantile", quantiles=[0.1, 0.9]), X, X[:, 0]),
    "counts": lambda: (MLPRegressor(loss="poisson"), X, np.round(X[:, 0] ** 2)),
    "table": lambda: (MLPClassifier(), TABLE, CODES),
}


def fitted_model(kind):
    est, x, y = MODELS[kind]()
    est.set_params(hidden_layer_sizes=(5,), max_iter=3, random_state=0, alpha=0.1)
    with warnings.catch_warnings(action="ignore"):
        return est.fit(x, y), x, y


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_is_explained_and_planned_as_its_estimator(kind):
    est, x, y = fitted_model(kind)
    expected, found = est.explain(x, y), xpmlp.explain(est.model_, x, y, alpha=0.1)
    assert str(found) == str(expected) and found.loss == expected.loss
    for a, b in zip(found.parameters, expected.parameters):
        np.testing.assert_array_equal(a.gradient, b.gradient)
    assert "targets are random" in str(xpmlp.explain(est.model_, x))
    known, again = xpmlp.plan(est.model_, x, y), est.plan(x, y)
    assert (known.layers, known.memory) == (again.layers, again.memory)


def test_a_model_read_from_its_file_is_explained(tmp_path):
    est, x, y = fitted_model("three")
    est.save(tmp_path / "m")
    model = xpmlp.load(tmp_path / "m")
    assert xpmlp.explain(model, x, y, alpha=0.1).loss == est.explain(x, y).loss


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("three", {"y": CODES[:, None]}, r"y is \(64, 1\), expected \(64,\)"),
        ("three", {"y": CODES + 7}, "y holds 7, 8, 9, the model knows 0, 1, 2"),
        ("labels", {"y": np.full((64, 2), 0.5)}, "y holds 0.5, the model knows 0, 1"),
        ("number", {"y": np.full(64, np.nan)}, "y holds NaN or infinity"),
        ("number", {"X": X[:, :1]}, r"X is \(64, 1\), the network takes \(n_samples, 2\)"),
        ("two", {"loss": "squared_error"}, "leave it out, which means 'binary_log_loss'"),
        ("squares", {"loss": "binary_log_loss"}, "leave it out, which means 'squared_error'"),
        ("quantiles", {"loss": "absolute_error"}, "leave it out, which means 'quantile'"),
        ("counts", {"loss": "squared_error"}, "goes with out_activation='identity'"),
        ("three", {"params": {}}, "params go with a Network"),
    ],
)
def test_what_does_not_go_with_a_model_is_told(kind, change, message):
    est, x, y = fitted_model(kind)
    with pytest.raises(ValueError, match=message):
        xpmlp.explain(est.model_, **({"X": x, "y": y} | change))
