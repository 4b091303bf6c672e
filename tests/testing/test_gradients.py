"""`check_gradients` of layers, losses, networks, estimators; bad input; what a report looks like.

The mistakes of hand-written functions are in test_planted.py.
"""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from each import each
from small_gradients import P, X, Y, kinds, linear, rng, slope

from xpmlp import MLPClassifier, MLPRegressor, nn
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.network import LAYERS
from xpmlp.testing import assert_gradients, check_gradients
from xpmlp.testing.gradients.report import Mistake

POSITIVE = np.abs(rng.normal(size=(6, 3))) + 0.1
ONE_HOT = np.eye(3)[np.arange(6) % 3]
EXAMPLES = {
    "Dense": nn.Dense(4, "tanh"),
    "Activation": nn.Activation("silu"),
    "Dropout": nn.Dropout(0.4),
    "Embedding": nn.Embedding((3, 2), 4),
    "BatchNorm": nn.BatchNorm(),
    "LayerNorm": nn.LayerNorm(),
    "RMSNorm": nn.RMSNorm(),
    "Residual": nn.Residual([nn.Dense(4, "tanh"), nn.LayerNorm(), nn.Dense(3)]),
}
WIDEST = {"float64": 1e-6, "float32": 0.1}  # a bound as wide as the gradient would pass anything


def test_every_layer_of_the_package_has_an_example_here():
    assert EXAMPLES.keys() == LAYERS.keys()


@each("dtype", ["float64", "float32"], parts=3)
@each("name", EXAMPLES)
def test_a_layer_is_right_on_every_library(xp64, name, dtype):
    if dtype not in xp64.floats:
        with pytest.raises(ValueError, match="float64"):
            check_gradients(EXAMPLES[name], xp64.asarray(X.astype("float32")), dtype=dtype)
        return
    report = check_gradients(EXAMPLES[name], xp64.asarray(X.astype(dtype)), dtype=dtype)
    assert report.ok, report
    assert all(0 < check.bound < WIDEST[dtype] for check in report.checks)


@each("dtype", ["float64", "float32"])
@each("name", ACTIVATIONS)
def test_an_activation_is_right(name, dtype):
    assert_gradients(ACTIVATIONS[name], X.astype(dtype), dtype=dtype)


@each("name", LOSSES)
def test_a_loss_is_right(xp_eager, name):
    y = ONE_HOT if LOSSES[name].link == "softmax" else POSITIVE
    dtype = xp_eager.floats[0]
    outputs, targets = (xp_eager.asarray(a.astype(dtype)) for a in (X, y))
    assert_gradients(LOSSES[name], outputs, targets, dtype=dtype)


def test_a_network_is_right_with_and_without_targets():
    inner = nn.Network([nn.Dense(4, "silu"), nn.Dropout(0.2)])
    network = nn.Network([nn.Dense(5, "relu"), inner, nn.Dense(3)])
    assert_gradients(network, X)
    assert_gradients(network, X, POSITIVE)
    assert_gradients(network, X, np.arange(6) % 3, loss="log_loss")


@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_an_estimator_is_right_with_its_penalty_and_stays_as_it_was(fitted):
    clf = MLPClassifier((5,), alpha=0.3, dropout=0.2, max_iter=3, random_state=0)
    clf = clf.fit(X, np.arange(6) % 3) if fitted else clf
    before = set(vars(clf))
    report = check_gradients(clf, X, np.arange(6) % 3)
    assert report.ok, report
    assert set(vars(clf)) == before
    assert_gradients(MLPRegressor(hidden_layer_sizes=(4,), random_state=0), X, POSITIVE[:, 0])


def test_large_parameters_are_looked_at_in_places_and_along_directions():
    report = check_gradients(nn.Dense(30, "tanh"), rng.normal(size=(4, 40)))
    (check,) = (c for c in report.checks if c.name == "dW")
    assert report.ok and check.where == "20 of 1,200, 3 directions"


@each("name", ["relu", "leaky_relu", "hard_tanh"])
def test_a_kink_is_reported_and_left_out(name):
    at = np.asarray([[0.0, 1.0 if name == "hard_tanh" else 0.0, 0.5]])
    report = check_gradients(nn.Activation(name), at)
    assert report.ok, report
    assert report.checks[0].kinks == (1 if name == "hard_tanh" else 2)
    assert "at kinks left out" in str(report)


def test_a_kink_hides_no_mistake_beside_it():
    relu = ACTIVATIONS["relu"]
    wrong = relu._replace(backward=lambda da, z, a, xp: 2 * relu.backward(da, z, a, xp))
    report = check_gradients(wrong, np.asarray([[0.0, 0.3, -0.5]]))
    assert not report.ok and kinds(report) == ["factor"]


def test_a_function_that_is_all_kinks_is_not_passed():
    report = check_gradients(ACTIVATIONS["relu"], np.zeros((2, 2)))
    assert not report.ok and "every coordinate is a kink" in str(report)


@dataclass(frozen=True)
class Spoilt(nn.Dense):
    """A layer whose backward has one line changed."""

    change: str = ""

    def backward(self, params, dy, cache, ctx):
        dx, updates = super().backward(params, dy, cache, ctx)
        n = dy.shape[-2]
        if self.change == "dx":
            return dx * -1.0, updates
        if self.change == "missing":
            return dx, {"b": updates["b"]}
        W = updates["W"]
        changed = {
            "factor": 2 * W,
            "sign": -W,
            "absolute": abs(W),
            "transposed": W.T,
            "zero": 0 * W,
            "unknown": W + np.cos(np.arange(W.size)).reshape(W.shape),
            "regularisation_factor": W + 0.01 * params["W"],
            "other": W * n,
        }
        return dx, updates | {"W": changed[self.change]}


@each(
    "change, kind",
    [(k, k) for k in ("factor", "sign", "absolute", "transposed", "zero", "unknown")]
    + [("regularisation_factor",) * 2, ("dx", "sign"), ("missing", "zero"), ("other", "factor")],
)
@each("n_out", [2, 3])
def test_a_layers_mistake_is_named_by_what_its_array_shows(change, kind, n_out):
    report = check_gradients(Spoilt(n_out, "tanh", change=change), X)
    assert not report.ok
    assert kinds(report) == [kind]


def test_a_float32_check_still_sees_a_small_mistake():
    @dataclass(frozen=True)
    class Slightly(nn.Dense):
        def backward(self, params, dy, cache, ctx):
            dx, updates = super().backward(params, dy, cache, ctx)
            return dx, updates | {"W": updates["W"] * 1.05}

    assert not check_gradients(Slightly(4, "tanh"), X.astype("float32"), dtype="float32").ok
    assert "eps 1.2e-07" in str(check_gradients(nn.Dense(2), X.astype("float32"), dtype="float32"))


BAD = [
    ((lambda p, X, y: X @ p["W"] - y, slope, P, X, Y), TypeError, "expected the cost, one number"),
    ((lambda p, X, y: "high", slope, P, X, Y), TypeError, "forward returned str"),
    ((lambda p, X, y: np.nan, slope, P, X, Y), ValueError, "expected a finite number"),
    ((linear, lambda p, X, y: 3.0, P, X, Y), TypeError, "a dict with the keys W"),
    ((linear, slope, {"n": 3}, X, Y), TypeError, "params holds no arrays"),
    ((linear, slope, P), TypeError, "takes parameters and data"),
    ((linear, slope, P, X[:, :2], Y), ValueError, "forward raised ValueError on these params"),
    ((lambda p, X, y: True, slope, P, X, Y), TypeError, "forward returned bool"),
    ((linear,), TypeError, "got function"),
    ((nn.Dense(2),), TypeError, "check_gradients of a layer takes X"),
    ((nn.Dense(2), X[0]), ValueError, r"expected \(n_samples, n_features\)"),
    ((nn.Dense(2), X[:0]), ValueError, "one row or more"),
    ((nn.Dense(2), X * np.nan), ValueError, "X holds NaN"),
    ((nn.Dense(2), "hello"), TypeError, "array of numbers"),
    ((nn.Dense(2), X, np.arange(6) % 2), ValueError, "or a 0/1 column for each class"),
    ((nn.Dense, X), TypeError, "the class Dense: make one first"),
    ((LOSSES["poisson"], X), TypeError, "takes X and y"),
    ((LOSSES["poisson"], X[0], X[0]), ValueError, "expected .n_samples, n_features"),
    ((linear, lambda p, X, y: {"W2": 1.0, "V": 2.0}, P, X, Y), TypeError, "the keys W2, V"),
    (
        (linear, lambda p, X, y: None, P, X, Y),
        TypeError,
        "returned no gradients: let it return",
    ),
    (
        (linear, lambda a, b, c, d, e: 3.0, P, X, Y),
        TypeError,
        r"write it as <lambda>\(params, X, y\)",
    ),
    ((linear, P, X, Y), TypeError, "a function alone must return the cost and its gradients"),
    ((linear, lambda p, X, y: {"W": 1j * X}, P, X, Y), TypeError, "no array of real numbers"),
    (
        (lambda p, X, y: (X, 1.0), slope, P, X, Y),
        TypeError,
        "returned an array of shape .6, 3. first",
    ),
    ((LOSSES["log_loss"], X, POSITIVE), ValueError, "rows sum to one"),
    ((3, X), TypeError, "got int"),
]


@each("args, error, words", BAD)
def test_bad_input_gets_a_sentence(args, error, words):
    with pytest.raises(error, match=words):
        check_gradients(*args)


@each("options", [{"dtype": "float16"}, {"loss": "hinge"}])
def test_unknown_options_are_refused(options):
    with pytest.raises(ValueError, match="must be"):
        check_gradients(nn.Dense(2), X, Y, **options)


def test_options_that_say_nothing_are_refused():
    with pytest.raises(ValueError, match="leave it out"):
        check_gradients(linear, slope, P, X, Y, loss="log_loss")
    with pytest.raises(TypeError, match="no argument z"):
        check_gradients(nn.Dense(2), X, z=3)
    assert check_gradients(nn.Dense(2), X=X, y=Y, dtype=np.float64).ok


@each("dtype", ["float64", "float32"])
@each("activation", ["relu", "elu"])
def test_right_networks_pass_whatever_their_kinks(activation, dtype):
    network = nn.Network([nn.Dense(40, activation), nn.Dense(30, activation), nn.Dense(3)])
    for seed in range(3):
        Z = np.random.default_rng(seed).normal(size=(50, 20)).astype(dtype)
        assert_gradients(network, Z, dtype=dtype)


def test_assert_gradients_raises_with_the_reports_text_and_html_says_the_same():
    wrong = lambda p, X, y: {"W": 2 * slope(p, X, y)["W"].T}  # noqa: E731
    report = check_gradients(linear, wrong, P, X, Y)
    with pytest.raises(AssertionError) as caught:
        assert_gradients(linear, wrong, P, X, Y)
    assert str(caught.value) == str(report)
    assert "    dW = X.T @ dZ1 / n  # <- yours differs\n" in str(report)
    html = report._repr_html_()
    assert all(mistake.text.replace("'", "&#x27;") in html for mistake in report.mistakes)
    assert "<pre>def backward(p, X, y):\n" in html
    assert "<script" not in html


def test_text_from_outside_is_escaped_in_html():
    def backward(p, X, y):
        raise RuntimeError("<b>bold</b>")

    html = check_gradients(linear, backward, P, X, Y)._repr_html_()
    assert "<b>bold" not in html and "&lt;b&gt;bold" in html


def test_a_report_is_ok_only_without_mistakes():
    report = check_gradients(nn.Dense(2), X)
    assert report.ok and not report.mistakes
    report.checks[0] = report.checks[0]._replace(ok=False)
    assert not report.ok
    assert not replace(report, checks=[], mistakes=[Mistake("sign", 1, "dW1")]).ok
