"""ONNX files that are not written, and why."""

import sys

import numpy as np
import pytest
from each import each
from onnx_runs import (
    LABELS,
    TABLE,
    X,
    assert_classifies_as,
    classifier,
    exported_fixture,  # noqa: F401 - fixtures among them
    onnx,
    regressor,
)
from sklearn.exceptions import NotFittedError

from xpmlp import MLPClassifier, nn
from xpmlp.errors import DataError
from xpmlp.model import onnx_export, onnx_graph

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")


# What is refused ---------------------------------------------------------------------------------


def inaccurate():
    """A float64 model that takes differences which float32 cannot hold."""
    est = regressor(solver="lbfgs", activation="identity", hidden_layer_sizes=(1,))
    est.coefs_ = [np.ones((4, 1)), np.ones((1, 1))]
    est.intercepts_ = [np.full(1, 1e9), np.full(1, -1e9)]
    return est


def test_a_file_that_would_predict_something_else_is_not_written(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="float32.* differ by .* from those of predict.*check=Fal"):
        inaccurate().export(path)
    assert path.read_bytes() == b"old" and [*tmp_path.iterdir()] == [path]
    inaccurate().export(path, check=False)
    onnx.checker.check_model(path)


@pytest.mark.parametrize(
    "make",
    [
        lambda: classifier(),
        lambda: classifier(TABLE, LABELS["text"]),
        lambda: regressor(TABLE),
        lambda: regressor(loss="quantile", quantiles=[0.1, 0.9]),
    ],
    ids=["classes", "table", "numbers", "quantiles"],
)
def test_the_check_notices_a_wrong_operator(make, tmp_path, monkeypatch):
    est = make()
    monkeypatch.setitem(onnx_graph.FORMS, "matmul", onnx_graph._elementwise("matmul", "MatMul"))
    est.export(tmp_path / "m.onnx")
    wrong = lambda a, b: onnx_graph._elementwise("matmul", "MatMul")(a, b * np.float32(1.01))  # noqa: E731
    monkeypatch.setitem(onnx_graph.FORMS, "matmul", wrong)
    with pytest.raises(ValueError, match="in onnxruntime"):
        est.export(tmp_path / "n.onnx")
    assert not (tmp_path / "n.onnx").exists()


def own(name, forward):
    return nn.ActivationFunction(name, forward, lambda da, z, a, xp: da)


def test_an_activation_of_ones_own_is_exported_if_it_is_plain_mathematics(exported):
    f = own("mine", lambda z, xp: xp.where(z > 0, xp.log1p(z * z), 0.1 * xp.clip(z, -2.0, 0.5)))
    est = classifier(activation=f)
    assert_classifies_as(est, exported(est), X)


@each(
    "forward, said",
    [
        (
            lambda z, xp: xp.cumulative_sum(z, axis=-1) if hasattr(z, "graph") else z,
            "cumulative_sum",  # which NumPy has since 2.1
        ),
        (lambda z, xp: np.arctan2(z, 1.0), "it computes arctan2: known are abs"),
        (lambda z, xp: z if xp.any(z > 0) else -z, "it computes any"),
        (lambda z, xp: z if (z > 0)[0, 0] else -z, "it decides by"),
        (lambda z, xp: z * float(np.asarray(z)[0, 0]), "reads the numbers"),
        (lambda z, xp: z[:, ::-1], "slices without steps"),
        (lambda z, xp: z.clip(0), "has no ONNX form, .* no attribute 'clip'"),
    ],
    ids=["cumsum", "arctan2", "any", "if", "read", "steps", "method"],
)
def test_an_activation_that_no_graph_can_hold_is_refused_in_words(forward, said, tmp_path):
    est = classifier(activation=own("mine", forward), max_iter=1)
    with pytest.raises(TypeError, match=said):
        est.export(tmp_path / "m.onnx")
    assert not any(tmp_path.iterdir())


def test_arrays_of_two_gigabytes_are_refused_before_they_are_copied(tmp_path, monkeypatch):
    est = classifier()
    monkeypatch.setattr(onnx_graph, "LARGEST", 100)
    with pytest.raises(ValueError, match="an ONNX file holds less than 2 GB"):
        est.export(tmp_path / "m.onnx")


def test_without_onnx_the_error_names_the_extra(tmp_path, monkeypatch):
    est = classifier()
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'xpmlp\[onnx\]'"):
        est.export(tmp_path / "m.onnx")


def test_without_onnxruntime_the_file_is_written_unchecked(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    inaccurate().export(tmp_path / "m.onnx")
    onnx.checker.check_model(tmp_path / "m.onnx")


def test_an_unfitted_model_is_not_exported(tmp_path):
    with pytest.raises(NotFittedError):
        MLPClassifier().export(tmp_path / "m.onnx")


def test_a_dataframe_with_another_column_is_refused_here_and_there(exported):
    est = classifier(TABLE)
    run = exported(est)
    with pytest.raises(DataError, match="lacks 'age'"):
        est.predict(TABLE.drop(columns="age"))
    with pytest.raises(IndexError):
        run(TABLE.drop(columns="age"))
