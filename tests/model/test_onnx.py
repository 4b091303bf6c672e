"""ONNX: onnxruntime predicts from the file what the model predicts, from raw tables too."""

import json

import numpy as np
import pytest
from each import each
from onnx_runs import (
    CALLS,
    LABELS,
    RNG,
    TABLE,
    THREE,
    VALUE,
    X,
    assert_classifies_as,
    assert_predicts_as,
    classifier,
    exported_fixture,  # noqa: F401 - fixtures among them
    new,
    onnx,
    ort,
    regressor,
)

from xpmlp import MLPClassifier, load_model, nn
from xpmlp.model import onnx_export, onnx_graph
from xpmlp.model.onnx_graph import FUNCTIONS, Graph
from xpmlp.nn import Ctx
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.layout import map_params
from xpmlp.nn.loss import LINKS
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.network import LAYERS
from xpmlp.testing.parity.operations import EXAMPLES

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")


def graph_of(f, x):
    """f(traced x), run on rows x."""
    graph = Graph()
    graph.output("y", f(graph.input("x", str(x.dtype), x.shape[1])))
    session = ort.InferenceSession(graph.model("f", "", {}).SerializeToString())
    return session.run(None, {"x": x})[0]


# The registries: a new row without a form in ONNX fails here --------------------------------------


def points():
    sizes = np.logspace(-8, 2, 400)
    return np.concatenate([-sizes[::-1], [0.0], sizes])


@each("dtype, digits", [("float32", 3e-7), ("float64", 1e-14)])
@each("name", [*ACTIVATIONS, "link logistic", "link exp"])
def test_activations_and_links_are_exact_in_their_tails_too(name, dtype, digits):
    kind, _, row = name.rpartition(" ")
    f = LINKS[row] if kind else ACTIVATIONS[row].forward
    x = points().astype(dtype)
    x = x[x < 80] if row == "exp" else x
    want = f(x.astype(np.float64), np)
    got = graph_of(lambda x: f(x, FUNCTIONS), x[:, None])[:, 0]
    assert got.dtype == dtype
    # 1 + erf and 1 + tanh cancel, as they do in NumPy; Erf is there in float32 only.
    cancels = row in ("gelu", "gelu_tanh") and np.abs(x).max()
    digits = 3e-7 if row == "gelu" else digits
    smallest = np.finfo(np.float32).tiny  # which runtimes may flush to 0
    rounding = digits * np.abs(x) * 2 if cancels else smallest
    # An exponential multiplies the rounding of its argument.
    assert (np.abs(got - want) <= digits * (8 + np.abs(x) / 4) * np.abs(want) + rounding).all()


def test_softmax_is_a_link_that_does_not_overflow():
    x = RNG.normal(size=(50, 4)).astype(np.float32) * 200
    got = graph_of(lambda x: LINKS["softmax"](x, FUNCTIONS), x)
    np.testing.assert_allclose(got, LINKS["softmax"](x.astype(float), np), atol=1e-7, rtol=1e-5)
    assert {*LINKS} == {"softmax", "identity", "logistic", "exp"}


@each("name", LAYERS)
def test_every_layer_computes_in_onnx_what_it_computes_in_predictions(name):
    layer, x = EXAMPLES[name], RNG.normal(size=(40, 6))
    x[:, -2:] = RNG.integers(-3, 6, size=(40, 2))  # codes of an Embedding, some out of range
    params, _ = layer.init(6, np.random.default_rng(1))
    noise = np.random.default_rng(2)  # no gain of 1, no mean of 0
    params = map_params(lambda a: (a + noise.uniform(0.1, 1.0, a.shape)).astype("f4"), params)
    want, _ = layer.forward(map_params(lambda a: a.astype(float), params), x, Ctx(np))
    ctx = Ctx(FUNCTIONS, kernels=onnx_export.KERNELS)
    got = graph_of(lambda x: layer.forward(params, x, ctx)[0], x.astype(np.float32))
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)


@each(
    "kw",
    [
        {"activation": "gelu", "dtype": "float32"},
        {"activation": ["selu", "mish"]},
        {"normalization": "batch", "dropout": 0.2},
        {"normalization": "layer", "residual": True},
        {"normalization": "rms"},
        {"hidden_layer_sizes": ()},
        {"ema_decay": 0.9},
        {
            "hidden_layer_sizes": (
                nn.Residual([nn.Dense(4, "tanh"), nn.Residual([nn.LayerNorm()])]),
                5,
            )
        },
        {"hidden_layer_sizes": (nn.Dense(5, "silu", use_bias=False),)},
        {"batch_size": 1},
    ],
    ids=str,
)
def test_networks_classify_in_onnxruntime_as_here(kw, exported):
    est = classifier(**{"hidden_layer_sizes": (8, 8)} | kw)
    assert_classifies_as(est, exported(est), X)


@each("loss", ["log_loss", "binary_log_loss", "squared_error", "focal"], parts=5)
@each("y", LABELS)
def test_labels_come_out_as_predict_gives_them(y, loss, exported):
    est = classifier(y=LABELS[y], loss=loss)
    run = exported(est)
    assert_classifies_as(est, run, X)
    kinds = {"two classes": "b", "unsigned": "u", "floats": "f", "integers": "i", "labels": "i"}
    assert run(X[:1])["label"].dtype.kind == kinds.get(y, "O")


REGRESSIONS = [
    *({"loss": name} for name in sorted(LOSSES) if "log_loss" not in name and "focal" not in name),
    {"loss": nn.losses.huber(0.5)},
    {"loss": "quantile", "quantiles": [0.1, 0.6, 0.9]},
    {"loss": "quantile", "quantiles": [0.2, 0.8], "target_scale": "auto"},
    {"target_scale": "auto"},
    {"out_activation": "tanh"},
    {"out_activation": "logistic"},
    {"loss": "gamma", "target_scale": "auto"},
]


@each("n_outputs", [1, 2], parts=5)
@each("kw", REGRESSIONS, ids=str)
def test_regressions_predict_in_onnxruntime_as_here(kw, n_outputs, exported):
    y = np.abs(np.stack([VALUE, 3 - VALUE], 1) + 0.1)
    est = regressor(y=y if n_outputs == 2 else y[:, 0], **kw)
    out = assert_predicts_as(est, exported(est), X)
    levels = kw.get("quantiles", ())
    assert ("quantiles" in out) == (len(levels) > 1)
    if len(levels) > 1:
        np.testing.assert_allclose(out["quantiles"], est.predict(X, levels), rtol=2e-6, atol=2e-6)


def test_a_model_that_scales_its_inputs_takes_them_as_double(exported):
    far = 1.7e9 + 100 * X  # float32 would round to 128
    est = classifier(far, feature_scale="standard")
    assert_classifies_as(est, exported(est), far)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@each("name", onnx_graph.FORMS)
def test_functions_give_what_numpy_gives(name):
    x = np.random.default_rng(3).normal(size=(30, 5))
    x[:3] = np.round(x[:3])
    call = CALLS.get(name, lambda x, f: f(x))
    got, want = graph_of(lambda x: call(x, getattr(FUNCTIONS, name)), x), call(x, getattr(np, name))
    assert got.dtype == want.dtype and got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=1e-13, atol=1e-15)


@each(
    "key",
    [
        (..., 0),
        (slice(None), -1),
        (slice(None), slice(1, None)),
        (slice(None), slice(-3, -1)),
        (..., None),
        (None, ..., 2),
        (slice(None), None, slice(None, 2)),
        (slice(2, None), 1),
        ...,
    ],
    ids=str,
)
def test_indices_give_what_numpy_gives(key):
    x = np.random.default_rng(3).normal(size=(30, 5))
    np.testing.assert_array_equal(graph_of(lambda x: x[key] + 0.0, x), x[key])


# The file ----------------------------------------------------------------------------------------


def test_the_file_is_of_a_format_that_old_runtimes_read_and_says_what_it_is(tmp_path):
    est = classifier(TABLE, np.array(["low", "mid", "high"])[THREE])
    est.export(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx", load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version == 10
    assert {o.domain: o.version for o in model.opset_import} == {"": 13, "ai.onnx.ml": 2}
    assert model.producer_name == "xpmlp" and model.producer_version
    found = {p.key: json.loads(p.value) for p in model.metadata_props}
    assert found["classes"] == ["high", "low", "mid"] and found["task"] == "multiclass"
    assert found["feature_names"] == [*TABLE.columns] == [i.name for i in model.graph.input]
    assert [*tmp_path.iterdir()] == [tmp_path / "m.onnx"]


def test_a_model_of_arrays_needs_no_operators_beyond_the_standard_ones(tmp_path):
    classifier().export(tmp_path / "m.onnx")
    model = onnx.load(tmp_path / "m.onnx")
    assert [o.domain for o in model.opset_import] == [""]
    (x,) = model.graph.input
    kind = x.type.tensor_type
    assert kind.elem_type == onnx.TensorProto.FLOAT
    assert [d.dim_param or d.dim_value for d in kind.shape.dim] == ["N", 4]


def test_a_model_read_from_its_file_exports_the_same_bytes(tmp_path):
    est = classifier(TABLE, n_bins=4)
    est.save(tmp_path / "m.safetensors")
    est.export(tmp_path / "a.onnx")
    load_model(tmp_path / "m.safetensors").export(tmp_path / "b.onnx")
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_models_of_every_library_are_exported(xp, exported):
    rows = xp.asarray(X, "float32")
    est = new(MLPClassifier, max_iter=2).fit(rows, THREE)
    host = new(MLPClassifier, max_iter=2).fit(X.astype(np.float32), THREE)
    out = exported(est)(X)
    np.testing.assert_allclose(out["probabilities"], host.predict_proba(X), atol=1e-5)
