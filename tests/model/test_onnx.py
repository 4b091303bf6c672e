"""ONNX: onnxruntime predicts from the file what the model predicts, from raw tables too."""

import json
import sys

import numpy as np
import pandas as pd
import pytest
from each import each
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import NotFittedError

from xpmlp import MLPClassifier, MLPRegressor, load_model, nn
from xpmlp.errors import DataError
from xpmlp.model import onnx_export, onnx_graph
from xpmlp.model.onnx_graph import FUNCTIONS, Graph
from xpmlp.nn import Ctx
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.layout import map_params
from xpmlp.nn.losses import LINKS, LOSSES
from xpmlp.nn.network import LAYERS
from xpmlp.tables.frame import as_text, frame_of
from xpmlp.testing.parity.operations import EXAMPLES

onnx = pytest.importorskip("onnx", reason="ONNX files need onnx (the extra `onnx`)")
ort = pytest.importorskip("onnxruntime", reason="onnxruntime runs the files (the extra `onnx`)")
pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")

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


@pytest.fixture
def exported(tmp_path):
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
            "it computes cum",
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
