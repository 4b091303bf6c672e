"""`save` and `load_model`: nothing is lost on the way, and hostile files are refused in words."""

import copy
import json
import pickle
import time
from dataclasses import dataclass, fields, is_dataclass, replace
from types import SimpleNamespace

import numpy as np
import pytest
from each import each

from xpmlp import MLPClassifier, MLPRegressor, load_model, nn
from xpmlp.errors import ModelFileError
from xpmlp.estimators.model_file import ONLY_FIT_USES, _arguments
from xpmlp.model import Scaling
from xpmlp.model.container import read_container, write_container
from xpmlp.model.json_records import MAX_DEPTH, decode, encode
from xpmlp.nn.activations import ACTIVATIONS, ActivationFunction
from xpmlp.nn.initializers import INITIALIZERS, Normal, Orthogonal
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import RULES, SGD, Adam, make_schedule
from xpmlp.testing.parity.operations import EXAMPLES

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")

X = np.random.default_rng(0).normal(size=(60, 3))
SIGN = X[:, 0] > 0
# The state of the optimizer, the report of a run; what is made anew.
NOT_STORED = {"state_", "_why", "fit_report_"}
USER_INIT = ([np.ones((3, 4)), np.full((4, 1), 0.5)], [np.zeros(4), np.ones(1)])


BLOCK = nn.Network([nn.Dense(4, "tanh"), nn.Network([nn.Dropout(0.5), nn.Dense(2)])])
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}


def classifier(y, X=X, **arguments):
    return MLPClassifier(**SMALL | arguments).fit(X, y)


def regressor(y=X[:, 0] + X[:, 1], X=X, **arguments):
    return MLPRegressor(**SMALL | arguments).fit(X, y)


def saved(model, path):
    model.save(path)
    return load_model(path)


def assert_same(a, b, name):
    """Equal in value and type, through lists and dicts."""
    assert type(a) is type(b), name
    if isinstance(a, list | tuple):
        assert len(a) == len(b), name
        for x, y in zip(a, b):
            assert_same(x, y, name)
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), name
        for key in a:
            assert_same(a[key], b[key], f"{name}[{key!r}]")
    elif is_dataclass(a) and not a.__dataclass_params__.eq:  # a model and its records
        for field in fields(a):
            if field.name not in ("layout", "weights", "smoothing", "coded"):  # of the next fit
                assert_same(getattr(a, field.name), getattr(b, field.name), field.name)
    elif isinstance(a, np.ndarray):
        np.testing.assert_array_equal(a, b, strict=True)
    else:
        assert a == b or a != a, name


@each(
    "y",
    [
        SIGN.astype(int),
        np.where(SIGN, "yes", "a longer no"),
        SIGN,
        np.where(SIGN, 1.0, -2.0),
        np.array(["b", "a"], object)[SIGN.astype(int)],
        np.digitize(X[:, 0], [-0.5, 0.5]).astype("int8"),
        (X > 0).astype(int),
        np.array(["only"] * 60),
    ],
    ids="int text bool float object small-int multilabel one-class".split(),
)
@each("dtype", ["float32", "float64"])
def test_a_classifier_comes_back_with_its_labels_and_predicts_bit_for_bit(tmp_path, y, dtype):
    model = classifier(y, X.astype(dtype), early_stopping=True)
    twin = saved(model, tmp_path / "m")
    for name in vars(model).keys() - NOT_STORED:
        assert_same(getattr(model, name), getattr(twin, name), name)
    assert model.network_ == twin.network_
    for method in ("predict", "predict_proba", "decision_function"):
        data = X.astype(dtype)
        assert_same(getattr(model, method)(data), getattr(twin, method)(data), method)


@each(
    "y, arguments",
    [
        (X[:, 0], {}),
        (X[:, :2], {}),
        (np.exp(X[:, 0]), {"loss": "poisson"}),
        (X[:, 0], {"solver": "lbfgs"}),
        (X[:, 0], {"dropout": 0.5, "weight_decay": 0.1, "n_iter_no_change": np.inf}),
        (X[:, 0], {"hidden_layer_sizes": [nn.Dense(4, "tanh"), nn.Dropout(0.25)]}),
        (X[:, 0], {"hidden_layer_sizes": [3, nn.Dense(2, use_bias=False)]}),
        (X[:, 0], {"hidden_layer_sizes": [nn.Dense(3), nn.Activation("gelu")]}),
        (X[:, 0], {"hidden_layer_sizes": [nn.Network([nn.Dense(5, "elu"), BLOCK]), 3]}),
        (X[:, 0], {"hidden_layer_sizes": BLOCK}),
        (X[:, 0], {"hidden_layer_sizes": ()}),
        (X[:, 0], {"solver": SGD(0.5, False)}),
        (X[:, 0], {"solver": Adam(beta_1=0.5), "init": Normal(0.1)}),
        (X[:, 0], {"init": Orthogonal(2.0)}),
        (X[:, 0], {"dtype": np.float32}),
        (X[:, 0], {"dtype": "float32", "out_activation": "tanh"}),
    ],
)
def test_a_regressor_comes_back_with_its_arguments_and_predicts_bit_for_bit(tmp_path, y, arguments):
    model = regressor(y, **arguments)
    twin = saved(model, tmp_path / "m")
    for name in vars(model).keys() - NOT_STORED - arguments.keys():
        assert_same(getattr(model, name), getattr(twin, name), name)
    for name, value in arguments.items():  # np.float32 becomes its name
        value = value.__name__ if isinstance(value, type) else value
        assert getattr(twin, name) == value and isinstance(getattr(twin, name), type(value))
    assert model.network_ == twin.network_
    assert_same(model.predict(X), twin.predict(X), "predict")


@each("name", EXAMPLES)
def test_every_layer_comes_back_on_its_own_and_inside_a_network(tmp_path, name):
    sizes = (6, EXAMPLES[name], nn.Network([nn.Dense(6), EXAMPLES[name]]))
    twin = saved(model := regressor(hidden_layer_sizes=sizes), tmp_path / "m")
    assert twin.hidden_layer_sizes == sizes and twin.network_ == model.network_
    assert_same(model.other_params_, twin.other_params_, "other_params_")
    assert_same(model.predict(X), twin.predict(X), "predict")
    assert_same(model.transform(X, 1), twin.transform(X, 1), "transform")


@each("activation", ACTIVATIONS)
def test_every_activation_comes_back(tmp_path, activation):
    for given in (activation, ACTIVATIONS[activation]):
        twin = saved(model := regressor(activation=given), tmp_path / "m")
        assert twin.activation == activation
        assert_same(model.predict(X), twin.predict(X), activation)


def test_weights_that_the_user_gave_or_wrote_are_the_ones_saved(tmp_path):
    model = regressor(init=USER_INIT, learning_rate_init=1e-9)
    model.coefs_[0] = np.asfortranarray(np.arange(12.0).reshape(3, 4))  # not contiguous
    twin = saved(model, tmp_path / "m")
    np.testing.assert_array_equal(twin.coefs_[0], np.arange(12.0).reshape(3, 4))
    assert_same(model.predict(X), twin.predict(X), "predict")
    assert twin.init == "auto"
    twin.fit(X, X[:, 0])  # a loaded model can be fitted anew


def test_a_loaded_model_trains_on_with_partial_fit_and_warm_start(tmp_path):
    model = regressor(solver="sgd", momentum=0.0, warm_start=True)
    twin = saved(model, tmp_path / "m")
    for one in (model, twin):  # without momentum there is no state that the file could lack
        one.partial_fit(X, X[:, 0])
    assert_same(model.coefs_, twin.coefs_, "coefs_")
    twin.fit(X, X[:, 0])
    assert len(twin.loss_curve_) == 5


def test_statistics_come_back_and_predictions_stay_in_the_units_of_the_targets(tmp_path):
    model = regressor(
        1000 * X[:, 0], 7 * X + 3, feature_scale="standard", target_scale="auto", max_iter=50
    )
    twin = saved(model, tmp_path / "m")
    assert_same(tuple(model.scaling_), tuple(twin.scaling_), "scaling_")
    assert_same(model.predict(7 * X + 3), twin.predict(7 * X + 3), "predict")
    assert np.abs(twin.predict(7 * X + 3)).max() > 10


@dataclass(frozen=True)
class Own(nn.Layer):
    def init(self, n_in, stream, x=None):
        return {}, n_in

    def forward(self, params, x, ctx):
        return x, ()

    def backward(self, params, dy, cache, ctx):
        return dy, {}


class OwnRegressor(MLPRegressor):
    pass


@pytest.mark.parametrize(
    "model, error, words",
    [
        (lambda: regressor(hidden_layer_sizes=[nn.Dense(3), Own()]), TypeError, "code of your own"),
        (
            lambda: regressor(activation=ActivationFunction("mine", *ACTIVATIONS["tanh"][1:])),
            TypeError,
            "code of your own",
        ),
        (lambda: OwnRegressor(max_iter=1).fit(X, X[:, 0]), TypeError, "OwnRegressor"),
        (lambda: regressor().set_params(alpha=-1.0), ValueError, "alpha"),
    ],
    ids="layer activation subclass argument".split(),
)
def test_what_could_not_be_loaded_is_not_saved_and_the_old_file_stays(
    tmp_path, model, error, words
):
    path = tmp_path / "m"
    with pytest.raises(error, match=words):
        model().save(path)
    assert list(tmp_path.iterdir()) == []
    path.write_bytes(b"old")
    with pytest.raises(error, match=words):
        model().save(path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@each(
    "value",
    [
        *EXAMPLES.values(),
        *INITIALIZERS.values(),
        *(make() for make in RULES.values()),
        *map(make_schedule, ("constant", "invscaling", "adaptive")),
        BLOCK,
        "balanced",
        {0: 1.0, 1: 2.5},
        {"a": 1, "b": np.inf},
        [{0: 1.0}, {1: 2.0}],
        [0.5, (1, [2])],
        {True: 0.5, 2.5: None},
        [],
        (),
        {},
    ],
    ids=str,
)
def test_records_of_ours_and_plain_arguments_come_back_as_they_were(value):
    assert_same(decode(json.loads(json.dumps(encode(value, "it")))), value, "it")


def test_code_that_only_a_fit_runs_stays_out_of_the_file_and_all_else_is_in_it(tmp_path):
    model = regressor(momentum=0.5)
    for name in ONLY_FIT_USES:
        setattr(model, name, own := [lambda *a: None])
        assert dict(_arguments({name: own, "alpha": 1.0})) == {"alpha": 1.0}
        assert dict(_arguments({name: "constant"})) == {name: "constant"}
    twin = saved(model, tmp_path / "m")
    assert (twin.learning_rate, twin.momentum) == ("constant", 0.5)
    assert_same(model.predict(X), twin.predict(X), "predict")
    for loss in LOSSES.values():
        assert dict(_arguments({"loss": loss})) == {"loss": loss.name}
        with pytest.raises(TypeError, match="the argument loss holds"):
            dict(_arguments({"loss": replace(loss, value_and_grad=print)}))


def put(value, *path):
    """An edit that sets one entry of the metadata."""

    def edit(meta, arrays):
        for part in path[:-1]:
            meta = meta[part]
        meta[path[-1]] = value

    return edit


def arrays_with(**changes):
    """An edit that replaces (None: removes) arrays; `_` in a name stands for a dot."""

    def edit(meta, arrays):
        for name, a in changes.items():
            name = name if name in Scaling._fields else name.replace("_", ".")
            arrays.pop(name, None)
            if a is not None:
                arrays[name] = a

    return edit


def dense(n_out=3, activation="identity", **fields):
    own = {"n_out": n_out, "activation": activation, "use_bias": True, "initializer": "auto"}
    return {"record": "Dense", "fields": own | fields}


def nested(depth, kind=None):
    value = []
    for _ in range(depth):
        value = {kind: [value]} if kind else [value]
    return value


def record(name, /, **own):
    return {"record": name, "fields": own}


def network(*layers):
    return record("Network", layers=list(layers))


def nested_networks(depth):
    value = dense()
    for _ in range(depth):
        value = network(value)
    return value


HOSTILE = {
    "no metadata": lambda meta, arrays: meta.clear(),
    "unknown estimator": put("Popen", "estimator"),
    "estimator a list": put([], "estimator"),
    "unknown argument": put(1, "params", "evil"),
    "params a list": put([1], "params"),
    "unknown activation": put("nonsense", "params", "activation"),
    "dotted path": put("os.system", "params", "activation"),
    "dotted path in a layer": put(dense(activation="os.system"), "layers", 1),
    "unknown record": put({"record": "os.system", "fields": {}}, "params", "solver"),
    "rule as layer": put({"record": "Adam", "fields": {}}, "layers", 1),
    "record without fields": put({"record": "Dense"}, "layers", 1),
    "layers without end": put([0] * 250_000, "layers"),
    "no layer": put([], "layers"),
    "deep nesting": put(nested(900), "params", "hidden_layer_sizes"),
    "networks 250 deep": put(nested_networks(250), "layers", 0),
    "networks 250 deep in an argument": put(nested_networks(250), "params", "hidden_layer_sizes"),
    "networks beyond the limit": put(nested_networks(MAX_DEPTH // 2 + 1), "layers", 0),
    "lists in lists": put(nested(MAX_DEPTH + 1, "list"), "params", "hidden_layer_sizes"),
    "dicts of lists": put({"dict": [1]}, "params", "hidden_layer_sizes"),
    "a dict of no pairs": put({"dict": "ab"}, "params", "hidden_layer_sizes"),
    "a key that is a list": put({"dict": [[{"list": []}, 1]]}, "params", "hidden_layer_sizes"),
    "network of numbers": put(network(1, 2), "layers", 0),
    "network of records that are no layers": put(network(record("SGD")), "layers", 0),
    "a layer in place of layers": put(record("Network", layers=dense()), "layers", 0),
    "arrays of a layer inside missing": put(network(dense(4)), "layers", 0),
    "a module's function": put(record("make_schedule"), "params", "learning_rate"),
    "a billion units": put(dense(10**9), "layers", 0),
    "a billion units inside": put(network(dense(10**9), dense(10**9)), "layers", 0),
    "units beyond int64": put(dense(10**30), "layers", 1),
    "negative units": put(dense(-3), "layers", 1),
    "units a float": put(dense(3.0), "layers", 1),
    "dropout of 1": put({"record": "Dropout", "fields": {"rate": 1.0}}, "layers", 1),
    "negative rate": put(-1.0, "params", "learning_rate_init"),
    "rate NaN": put({"float": "nan"}, "params", "learning_rate_init"),
    "alpha text": put("0.1", "params", "alpha"),
    "sizes negative": put(-1, "params", "hidden_layer_sizes"),
    "a billion features": put(10**9, "model", "n_features"),
    "features true": put(True, "model", "n_features"),
    "fitted missing": put({}, "fitted"),
    "loss a list": put([1], "fitted", "best_loss"),
    "count text": put("many", "fitted", "n_iter"),
    "steps below 0": put(-1, "fitted", "step"),
    "unknown task": put("regression", "model", "task"),
    "a task of its own": put("ranking", "model", "task"),
    "unknown dtype": put("float16", "model", "dtype"),
    "unknown link": put("exp", "model", "link"),
    "wrong shape": arrays_with(**{"0_W": np.zeros((2, 4))}),
    "wrong dtype": arrays_with(**{"0_W": np.zeros((3, 4), np.float32)}),
    "missing array": arrays_with(**{"1_b": None}),
    "extra array": arrays_with(**{"2_W": np.zeros((3, 3))}),
    "named like a path": arrays_with(**{"../x": np.zeros(1)}),
    "classes missing": put(None, "classes"),
    "classes too few": put(["a", "b"], "classes", "values"),
    "classes repeated": put(["a", "a", "b"], "classes", "values"),
    "classes unsorted": put(["b", "a", "c"], "classes", "values"),
    "classes mixed": put(["a", 1, "c"], "classes", "values"),
    "classes cut": put({"dtype": "<i4", "values": [0.5, 1.5, 2.5]}, "classes"),
    "classes nested": put([["a"], ["b"], ["c"]], "classes", "values"),
    "class null": put(["a", "b", None], "classes", "values"),
    "classes of dates": put("<M8[s]", "classes", "dtype"),
    "classes of voids": put("V9", "classes", "dtype"),
    "std 0": arrays_with(x_scale=np.array([[1.0, 0.0, 1.0]])),
    "std negative": arrays_with(x_scale=np.array([[1.0, -1.0, 1.0]])),
    "std too short": arrays_with(x_scale=np.ones((1, 2))),
    "mean missing": arrays_with(x_mean=None),
    "half the target's": arrays_with(y_mean=np.zeros((1, 3))),
    "history a number": put(7, "history"),
    "history of text": put(["bad"], "history", "loss"),
    "history of lists": put([[1]], "history", "loss"),
    "feature names a number": put(5, "feature_names"),
    "too few feature names": put(["a"], "feature_names"),
    "binary of three": put("binary", "model", "task"),
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    path = tmp_path_factory.mktemp("stored") / "m"
    y = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-0.5, 0.5])]
    model = classifier(y, feature_scale="standard")
    model.feature_names_in_ = np.array(["u", "v", "w"], object)
    model.save(path)
    return read_container(path)


def edited(stored, path, edit):
    arrays, meta = dict(stored[0]), json.loads(json.dumps(stored[1]))
    edit(meta, arrays)
    write_container(path, arrays, meta)


@each("edit", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_metadata_are_refused_in_words_and_at_once(stored, tmp_path, edit):
    path = tmp_path / "hostile"
    edited(stored, path, edit)
    start = time.process_time()
    with pytest.raises(ModelFileError, match="hostile") as error:
        load_model(path)
    assert time.process_time() - start < 0.1
    assert "\n" not in str(error.value) and len(str(error.value)) < 1000
    assert list(tmp_path.iterdir()) == [path]


@each(
    "edit",
    [
        arrays_with(**{"0_0_W": np.zeros((4, 3))}),
        arrays_with(**{"0_1_1_b": np.zeros((1, 4), np.float32)}),
        arrays_with(**{"0_1_1_b": None}),
        arrays_with(**{"0_1_0_W": np.zeros((4, 4))}),
        put(dense(10**12), "layers", 0, "fields", "layers", 0),
        put(network(), "layers", 0, "fields", "layers", 1),
        put(nested_networks(200), "layers", 0, "fields", "layers", 1),
    ],
    ids="shape dtype missing extra huge emptied deep".split(),
)
def test_hostile_networks_in_networks_are_refused(tmp_path, edit):
    regressor(hidden_layer_sizes=BLOCK).save(tmp_path / "m")
    path = tmp_path / "hostile"
    edited(read_container(tmp_path / "m"), path, edit)
    with pytest.raises(ModelFileError, match="hostile") as error:
        load_model(path)
    assert len(str(error.value)) < 1000
    edited(read_container(tmp_path / "m"), path, lambda meta, arrays: None)
    assert load_model(path).network_.layers[0] == BLOCK


@each(
    "edit, words",
    [
        (put(network(dense()), "layers", 1), "expected a Dense"),
        (put(record("Activation", activation="tanh"), "layers", 1), "expected a Dense"),
        (
            put(record("Loss", name="x", value_and_grad="print", link="exp"), "params", "loss"),
            "unknown or missing 'Loss'",
        ),
    ],
)
def test_what_makes_no_model_is_named(stored, tmp_path, edit, words):
    edited(stored, tmp_path / "m", edit)
    with pytest.raises(ModelFileError, match=words):
        load_model(tmp_path / "m")


def test_a_network_a_thousand_deep_is_refused_where_its_text_is_read(stored, tmp_path, monkeypatch):
    text, dumps = '{"record":"Network","fields":{"layers":[' * 1000 + "]}}" * 1000, json.dumps
    deep = SimpleNamespace(dumps=lambda *a, **k: dumps(*a, **k).replace('"DEEP"', text))
    monkeypatch.setattr("xpmlp.model.container.json", deep)
    arrays, meta = stored
    write_container(tmp_path / "hostile", arrays, meta | {"layers": "DEEP"})
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match="hostile"):
        load_model(tmp_path / "hostile")


def test_the_unedited_file_is_accepted(stored, tmp_path):
    edited(stored, tmp_path / "m", lambda meta, arrays: None)
    assert load_model(tmp_path / "m").classes_.tolist() == ["a", "b", "c"]


def test_text_labels_are_as_wide_as_they_are_not_as_wide_as_declared(stored, tmp_path):
    edited(stored, tmp_path / "m", put("<U200000000", "classes", "dtype"))  # 2.4 GB
    assert load_model(tmp_path / "m").classes_.dtype == "<U1"


def test_a_newer_format_names_the_remedy(stored, tmp_path, monkeypatch):
    monkeypatch.setattr("xpmlp.model.container.FORMAT_VERSION", 99)
    edited(stored, tmp_path / "m", lambda meta, arrays: None)
    monkeypatch.undo()
    with pytest.raises(ModelFileError, match="format 99.*newer xpmlp"):
        load_model(tmp_path / "m")


@pytest.mark.parametrize(
    "twin_of", [lambda m: pickle.loads(pickle.dumps(m)), copy.deepcopy], ids=["pickle", "deepcopy"]
)
def test_pickle_and_deepcopy_work_on_a_loaded_model(tmp_path, twin_of):
    model = saved(classifier(SIGN), tmp_path / "m")
    twin = twin_of(model)
    assert_same(model.predict_proba(X), twin.predict_proba(X), "predict_proba")
    twin.coefs_[0][:] = 0.0  # its own weights
    assert model.coefs_[0].any()


@pytest.mark.parametrize("library", ["torch", "jax"])
def test_a_model_trained_elsewhere_loads_with_numpy(tmp_path, library):
    xp = pytest.importorskip(
        "jax.numpy" if library == "jax" else library, reason=f"{library} is not installed"
    )
    x, y = X.astype(np.float32), SIGN.astype(np.int32)
    model = classifier(xp.asarray(y), xp.asarray(x))
    twin = saved(model, tmp_path / "m")
    assert {type(a) for a in (*twin.coefs_, *twin.intercepts_, twin.classes_)} == {np.ndarray}
    assert twin.device_ == "cpu"
    np.testing.assert_array_equal(twin.predict(x), np.asarray(model.predict(xp.asarray(x))))
    theirs = np.asarray(model.predict_proba(xp.asarray(x)))
    np.testing.assert_allclose(twin.predict_proba(x), theirs, rtol=1e-5)
