"""From arguments to a network: residual blocks, lists of activations and of dropout rates."""

import numpy as np
import pytest
from each import each

from xpmlp import MLPClassifier, MLPRegressor, nn
from xpmlp.nn import Activation, Dense, Dropout, Residual

pytestmark = pytest.mark.filterwarnings("ignore:.*Maximum iterations")
X = np.random.default_rng(0).normal(size=(30, 5))
Y = np.arange(30) % 3


def network(**options):
    clf = MLPClassifier(**{"max_iter": 1, "random_state": 0} | options).fit(X, Y)
    assert np.isfinite(clf.predict_proba(X)).all()
    return clf.network_.layers


def kinds(layers):
    """The kinds of layers in short, those of a block in brackets."""
    return [
        f"[{' '.join(kinds(layer.layers))}]" if type(layer) is Residual else type(layer).__name__
        for layer in layers
    ]


def test_a_block_passes_its_input_on_only_where_the_widths_agree():
    sizes = (5, 7, 7, 7, 4)  # 5 features
    assert kinds(network(hidden_layer_sizes=sizes, residual=True)) == [
        "[Dense]",
        "Dense",
        "[Dense]",
        "[Dense]",
        "Dense",
        "Dense",
    ]
    assert kinds(network(hidden_layer_sizes=sizes)) == ["Dense"] * 6
    mixed = (6, nn.Dense(8, "tanh"), 8, 8)
    assert kinds(network(hidden_layer_sizes=mixed, residual=True)) == [
        "Dense",
        "Dense",
        "[Dense]",
        "[Dense]",
        "Dense",
    ]


def test_a_block_holds_normalization_before_the_activation_and_dropout_last():
    options = {"residual": True, "activation": "tanh"}
    layers = network(hidden_layer_sizes=(6, 6), normalization="batch", dropout=0.2, **options)
    assert kinds(layers) == [
        "Dense",
        "BatchNorm",
        "Activation",
        "Dropout",
        "[Dense BatchNorm Activation Dropout]",
        "Dense",
    ]
    assert not layers[0].use_bias  # the normalization has one
    assert network(hidden_layer_sizes=(6,), normalization="rms")[0].use_bias


def test_a_residual_network_adds_the_input_to_each_block():
    reg = MLPRegressor(
        hidden_layer_sizes=(5, 5), residual=True, max_iter=1, random_state=0, activation="tanh"
    ).fit(X, Y)
    a = X
    for W, b in zip(reg.coefs_[:-1], reg.intercepts_[:-1]):
        a = a + np.tanh(a @ W + b)
    want = a @ reg.coefs_[-1] + reg.intercepts_[-1]
    assert np.abs(reg.predict(X) - want[:, 0]).max() < 1e-12


def test_each_hidden_layer_has_its_own_activation_and_start():
    own = nn.ActivationFunction("own", lambda z, xp: 2 * z, lambda da, z, a, xp: 2 * da)
    layers = network(hidden_layer_sizes=(4, 3, 2), activation=["relu", "tanh", own])
    assert [layer.activation for layer in layers[:-1]] == ["relu", "tanh", own]
    blocks = network(hidden_layer_sizes=(4, 3), activation=("elu", "gelu"), normalization="layer")
    found = [layer.activation for layer in blocks if type(layer) is Activation]
    assert found == ["elu", "gelu"]


@each(
    "rates, want",
    [
        (0.0, [0, 0, 0]),
        (0.3, [0, 0.3, 0.3]),
        ([0.1, 0.2], [0, 0.1, 0.2]),
        ([0.4, 0.1, 0.2], [0.4, 0.1, 0.2]),
        ((0.4, 0, 0.2), [0.4, 0, 0.2]),
        (np.asarray([0.4, 0.0, 0.0]), [0.4, 0, 0]),
    ],
)
def test_dropout_is_one_rate_or_one_a_layer_and_in_front_the_inputs(rates, want):
    layers = network(hidden_layer_sizes=(6, 4), dropout=rates)
    found, at = [0.0, 0.0, 0.0], 0
    for layer in layers:
        at += type(layer) is Dense
        if type(layer) is Dropout:
            found[at] = layer.rate
    assert found == want


@each(
    "options, said",
    [
        ({"activation": ["relu"]}, "a list of 2, one for each hidden layer, got 1"),
        ({"activation": []}, "got 0"),
        ({"activation": ["relu", "rleu"]}, "rleu"),
        ({"dropout": [0.1]}, r"a list of 2 .* or 3 \(the input first\), got \[0.1\]"),
        ({"dropout": [0.1] * 4}, "or 3"),
        ({"dropout": [0.1, 1.0]}, "below 1"),
        ({"dropout": [0.1, -0.1]}, "0 or more"),
        ({"dropout": ["a", 0.1]}, "must be a number"),
        ({"dropout": 1.0}, "'dropout' parameter"),
        ({"normalization": "group"}, "'normalization' parameter"),
        ({"residual": 1}, "'residual' parameter"),
    ],
)
def test_what_describes_no_network_is_refused_in_a_sentence(options, said):
    clf = MLPClassifier((6, 4), **options)
    with pytest.raises(ValueError, match=said):
        clf.fit(X, Y)
    assert not hasattr(clf, "coefs_")


def test_lbfgs_refuses_what_is_drawn_anew_in_each_evaluation():
    for options in ({"dropout": [0.0, 0.1, 0.0]}, {"normalization": "batch"}):
        with pytest.raises(ValueError, match="needs a fixed objective"):
            MLPClassifier((6, 4), solver="lbfgs", residual=True, **options).fit(X, Y)


def test_a_plan_counts_the_parameters_of_every_layer_that_a_fit_makes():
    clf = MLPClassifier((6, 6), normalization="batch", residual=True, max_iter=1, random_state=0)
    plan = clf.plan(X, Y)
    clf.fit(X, Y)
    gains = [a for k, a in clf.other_params_.items() if k.endswith(".g")]
    n = sum(a.size for a in [*clf.coefs_, *clf.intercepts_, *gains])  # statistics are not trained
    assert sum(layer.parameters for layer in plan.layers) == n
    assert clf.network_.summary(5).split()[-1] == str(n)
