"""`save` and `load_model`: nothing is lost on the way, and hostile files are refused in words."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
from each import each
from stored_models import BLOCK, SIGN, X, assert_same, classifier, regressor, saved

from xpmlp import MLPRegressor, nn
from xpmlp.estimators.model_file import ONLY_FIT_USES, _arguments
from xpmlp.model.json_records import decode, encode
from xpmlp.nn.activations import ACTIVATIONS, ActivationFunction
from xpmlp.nn.initializers import INITIALIZERS, Normal, Orthogonal
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import RULES, SGD, Adam, make_schedule
from xpmlp.testing.parity.operations import EXAMPLES

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")
# The state of the optimizer, the report of a run; what is made anew.
NOT_STORED = {"state_", "result_", "fit_report_"}


def shown(model):
    """The names of the arguments and of the fitted attributes."""
    names = (name for name in dir(type(model)) if name.endswith("_") and not name.startswith("_"))
    return {*model.get_params(), *(name for name in names if hasattr(model, name))}


USER_INIT = ([np.ones((3, 4)), np.full((4, 1), 0.5)], [np.zeros(4), np.ones(1)])


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
    for name in shown(model) - NOT_STORED:
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
    for name in shown(model) - NOT_STORED - arguments.keys():
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


def test_a_file_keeps_some_epochs_of_a_long_history_and_all_of_a_short_one(tmp_path):
    sgd = {"solver": "sgd", "momentum": 0.0, "shuffle": False}  # which has no state to lose
    model = regressor(**sgd, max_iter=1000, tol=0, n_iter_no_change=np.inf)
    assert saved(model, tmp_path / "m").history_ == model.history_
    for _ in range(1001):
        model.partial_fit(X, X[:, 0])
    twin = saved(model, tmp_path / "m")
    n = model.n_iter_total_
    assert n == twin.n_iter_total_ == len(twin.loss_curve_) == 2001 and twin.n_iter_ == 1
    assert (twin.best_epoch_, twin.loss_, twin.best_loss_) == (n, model.loss_, model.best_loss_)
    assert twin.history_["validation_loss"] == []
    kept = np.flatnonzero(np.isfinite(twin.loss_curve_))
    assert kept.tolist() == [0, *range(3, n, 4), n - 1]
    np.testing.assert_array_equal(np.take(twin.loss_curve_, kept), np.take(model.loss_curve_, kept))
    for _ in range(4):
        twin.partial_fit(X, X[:, 0])
    again = saved(twin, tmp_path / "again")
    assert np.isfinite(again.loss_curve_).tolist() == [
        epoch == 1 or epoch % 4 == 0 or epoch == n + 4 for epoch in range(1, n + 5)
    ]


def test_a_file_keeps_the_best_epoch_whichever_it_is(tmp_path):
    model = regressor(early_stopping=True, n_iter_no_change=np.inf, max_iter=1500, tol=0)
    model.result_.state.best_epoch = 1111
    twin = saved(model, tmp_path / "m")
    for name in ("loss", "validation_score", "seconds"):
        assert twin.history_[name][1110] == model.history_[name][1110]
        assert np.isnan(twin.history_[name][1112])


@pytest.mark.filterwarnings("ignore:Training goes on with a model from a file")
def test_a_file_of_more_than_a_million_epochs_keeps_their_number_and_no_history(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("xpmlp.estimators.model_file.MOST_EPOCHS", 5)
    model = regressor(solver="sgd")
    for _ in range(6):
        model.partial_fit(X, X[:, 0])
    twin = saved(model, tmp_path / "m")
    assert twin.n_iter_total_ == model.n_iter_total_ == 8 and twin.best_epoch_ == 8
    assert twin.loss_curve_ == [] and twin.loss_ == model.best_loss_
    again = saved(twin.partial_fit(X, X[:, 0]), tmp_path / "again")
    assert again.n_iter_total_ == 9 and len(again.loss_curve_) == 1


def test_a_loaded_model_trains_on_with_partial_fit_and_warm_start(tmp_path):
    model = regressor(solver="sgd", momentum=0.0, warm_start=True, shuffle=False)
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
        assert dict(_arguments({name: own, "alpha": 1.0}, [name])) == {"alpha": 1.0}
        assert dict(_arguments({name: "constant"}, [name])) == {name: "constant"}
    twin = saved(model, tmp_path / "m")
    assert (twin.learning_rate, twin.momentum) == ("constant", 0.5)
    assert_same(model.predict(X), twin.predict(X), "predict")
    for loss in LOSSES.values():
        assert dict(_arguments({"loss": loss}, ())) == {"loss": loss.name}
        with pytest.raises(TypeError, match="the argument loss holds"):
            dict(_arguments({"loss": replace(loss, value_and_grad=print)}, ()))


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
