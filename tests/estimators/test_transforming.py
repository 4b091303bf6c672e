"""`transform`: hidden features in X's library, and scikit-learn's contract of a transformer."""

import numpy as np
import pytest
import sklearn
from each import each
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from xpmlp import MLPClassifier, MLPRegressor, nn
from xpmlp.errors import ShapeError

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")

X = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
THREE = np.digitize(X[:, 0], [-0.5, 0.5])


def fitted(kind=MLPClassifier, y=THREE, x=X, **kw):
    small = {"hidden_layer_sizes": (7, 5), "max_iter": 3, "random_state": 0, "batch_size": 16}
    return kind(**small | kw).fit(x, y)


def by_hand(model, n, activation=np.tanh):
    """The activations after n layers, from coefs_ and intercepts_."""
    a = X
    for W, b in list(zip(model.coefs_, model.intercepts_))[:n]:
        a = activation(a @ W + b)
    return a


@each("dropout", [0.0, 0.5])
@each("layer, n", [(0, 1), (1, 2), (-2, 2), (-3, 1), (np.int64(-2), 2)])
def test_hidden_features_are_the_activations_without_dropout(layer, n, dropout):
    model = fitted(activation="tanh", dropout=dropout)
    np.testing.assert_allclose(model.transform(X, layer), by_hand(model, n), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("sizes", [(), (6,), (7, 5)])
def test_the_last_layer_puts_out_logits_and_predictions(sizes):
    model = fitted(hidden_layer_sizes=sizes)
    for layer in (-1, len(sizes)):
        np.testing.assert_array_equal(model.transform(X, layer), model.decision_function(X))
    regressor = fitted(MLPRegressor, X[:, 0], hidden_layer_sizes=sizes)
    np.testing.assert_array_equal(regressor.transform(X, -1)[:, 0], regressor.predict(X))
    logistic = fitted(loss="squared_error", hidden_layer_sizes=sizes)
    np.testing.assert_array_equal(logistic.transform(X, -1), logistic.decision_function(X))


def test_the_default_is_the_last_hidden_layer_and_the_fit_may_come_first():
    features = fitted().transform(X)
    assert features.shape == (60, 5) and features.dtype == np.float32
    again = MLPClassifier((7, 5), max_iter=3, random_state=0, batch_size=16)
    np.testing.assert_array_equal(features, again.fit_transform(X, THREE))
    weighted = again.fit_transform(X, THREE, layer=0, sample_weight=np.linspace(0.1, 1, 60))
    assert weighted.shape == (60, 7) and not np.allclose(weighted, fitted().transform(X, 0))


def test_features_come_in_the_library_of_x(xp):
    oracle, model = fitted(dropout=0.2), fitted(x=xp.asarray(X), dropout=0.2)
    for layer in (0, 1, -1):
        features = model.transform(xp.asarray(X), layer)
        assert type(features) is type(xp.asarray(X))
        theirs = oracle.transform(X, layer)
        np.testing.assert_allclose(xp.host(features), theirs, rtol=1e-3, atol=1e-4)


@each(
    "sizes, widths",
    [
        ([nn.Dense(6, "tanh"), nn.Dropout(0.5), 3], [6, 6, 3]),
        ([nn.Dropout(0.5), 5], [4, 5]),
        ([5, nn.Network([nn.Dense(6), nn.Activation("gelu"), nn.Dense(2)])], [5, 2]),
        (nn.Dense(6, "tanh"), [6]),
        (np.array([6, 3]), [6, 3]),
        (5, [5]),
    ],
)
@each("dropout", [0.0, 0.2])
def test_an_entry_of_hidden_layer_sizes_is_one_layer_whatever_it_is_made_of(sizes, widths, dropout):
    model = fitted(hidden_layer_sizes=sizes, dropout=dropout)
    found = [model.transform(X, layer) for layer in range(len(widths) + 1)]
    assert [a.shape[1] for a in found] == [*widths, 3]
    assert len(model.get_feature_names_out()) == widths[-1]
    # The features are what the layers above start from.
    logits = found[-2] @ model.coefs_[-1] + model.intercepts_[-1]
    np.testing.assert_allclose(found[-1], logits, rtol=1e-5, atol=1e-5)


def test_weights_that_were_written_and_many_rows_count():
    model = fitted()
    model.coefs_[0][:] = 0.0
    model.intercepts_[0][:] = 2.0
    many = np.tile(X, (200, 1))  # more than one chunk
    np.testing.assert_array_equal(model.transform(many, 0), np.full((12000, 7), 2.0, np.float32))
    model.coefs_[1] = np.zeros((3, 3))
    with pytest.raises(ShapeError, match=r"coefs_\[1\]"):
        model.transform(X, 0)


@each("layer", [2.0, True, "last", None, 3, -4, 10**30])
def test_a_layer_that_is_not_there_is_refused_with_those_that_are(layer):
    with pytest.raises(ValueError, match=r"layer must be a whole number from -3 to 2 .*got") as e:
        fitted().transform(X, layer)
    assert "\n" not in str(e.value)


def test_a_network_without_hidden_layers_has_no_hidden_features():
    model = fitted(hidden_layer_sizes=())
    for call in (lambda: model.transform(X), model.get_feature_names_out):
        with pytest.raises(ValueError, match="there is no hidden layer"):
            call()
    assert "transform" in dir(model) and "MLPClassifier" in model._repr_html_()


def test_before_the_fit_and_after_arguments_changed_it_is_said():
    with pytest.raises(NotFittedError):
        MLPClassifier().transform(X)
    with pytest.raises(NotFittedError):
        MLPClassifier().get_feature_names_out()
    model = fitted().set_params(hidden_layer_sizes=(7, 6, 5))
    with pytest.raises(ValueError, match="another network.*call fit before transform"):
        model.transform(X)


@pytest.mark.parametrize("container", ["pandas", "polars"])
@each("layer, width", [(-2, 5), (0, 7), (-1, 3)])
def test_set_output_gives_frames_whose_columns_fit_the_layer(xp_eager, container, layer, width):
    frames = pytest.importorskip(container, reason=f"{container} is not installed")
    model = fitted(x=xp_eager.asarray(X)).set_output(transform=container)
    frame = model.transform(xp_eager.asarray(X), layer)
    assert type(frame) is frames.DataFrame
    assert list(frame.columns) == [f"mlpclassifier{i}" for i in range(width)]
    plain = model.set_output(transform="default").transform(xp_eager.asarray(X), layer)
    np.testing.assert_array_equal(frame.to_numpy(), xp_eager.host(plain))


def test_a_frame_keeps_the_index_of_x_and_checks_its_names():
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    x = pd.DataFrame(X, columns=list("abcd"), index=np.arange(60) * 10)
    model = fitted(x=x).set_output(transform="pandas")
    assert model.transform(x).index.tolist() == x.index.tolist()
    assert model.get_feature_names_out(list("abcd")).shape == (5,)
    with pytest.raises(ValueError, match="feature_names_in_"):
        model.get_feature_names_out(list("abce"))
    with sklearn.config_context(transform_output="pandas"):
        assert list(fitted(x=x).fit_transform(x, THREE).columns) == [
            f"mlpclassifier{i}" for i in range(5)
        ]


def test_it_is_a_step_in_the_middle_of_a_pipeline():
    mlp = MLPClassifier((5,), max_iter=3, random_state=0)
    pipe = make_pipeline(StandardScaler(), mlp, LogisticRegression()).fit(X, THREE)
    assert pipe[:-1].get_feature_names_out().tolist() == [f"mlpclassifier{i}" for i in range(5)]
    assert pipe[-1].coef_.shape == (3, 5)
    assert pipe.predict(X).shape == (60,)


def test_the_layer_can_be_routed_through_a_pipeline():
    with sklearn.config_context(enable_metadata_routing=True):
        mlp = MLPClassifier((7, 5), max_iter=3, random_state=0).set_transform_request(layer=True)
        pipe = make_pipeline(mlp, LogisticRegression()).fit(X, THREE, layer=0)
        assert pipe[-1].coef_.shape == (3, 7)
        assert pipe.predict(X, layer=0).shape == (60,)
        assert make_pipeline(mlp).fit(X, THREE).transform(X, layer=-1).shape == (60, 3)
