"""Networks are recognised from the record of the forward pass, whatever the form of their code."""

import numpy as np
import pytest
from each import each
from planted import CASES

from xpmlp.testing.gradients.code import Code
from xpmlp.testing.gradients.identify import identify
from xpmlp.testing.gradients.recognise import recognise
from xpmlp.testing.gradients.structure import structures
from xpmlp.testing.own_code.adapters import Functions

rng = np.random.default_rng(0)
X, Y = rng.normal(size=(9, 3)), rng.normal(size=(9, 2))


def network_of(forward, params, *data):
    return recognise(
        Code(Functions(forward, None, params, data or (X, Y)), "float64"), [], own=True
    )


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def theta(p, X, y):
    a0 = np.c_[np.ones(len(X)), X]
    a1 = np.hstack([np.ones((len(X), 1)), sigmoid(a0 @ p["T1"].T)])
    return np.mean((a1 @ p["T2"].T - y) ** 2)


def unrolled(p, X, y):
    W1, b1 = p[:12].reshape(3, 4), p[12:16]
    W2 = p[16:].reshape(4, 2, order="F")
    return np.sum((np.tanh(X @ W1 + b1) @ W2 - y) ** 2)


def looped(p, X, y):
    cost = 0.0
    for x, t in zip(X, y):
        a = sigmoid(p["W1"].dot(x) + p["b1"])
        cost += 0.5 * np.sum((p["W2"].dot(a) - t) ** 2)
    return cost / len(X)


def written_into(p, X, y):
    out = np.zeros((len(X), 2))
    for i in range(len(X)):
        out[i] = np.tanh(X[i] @ p["W1"]) @ p["W2"]
    return np.sum((out - y) ** 2)


def masked(p, X, y):
    mask = np.random.default_rng(1).random((len(X), 4)) < 0.6
    return np.sum((np.tanh(X @ p["W1"]) * mask @ p["W2"] - y) ** 2)


def normalized(p, X, y):
    z = X @ p["W1"]
    a = np.maximum(p["g"] * (z - z.mean(0)) / np.sqrt(z.var(0) + 1e-5) + p["c"], 0)
    return np.mean((a @ p["W2"] - y) ** 2)


W1, W2 = rng.normal(size=(3, 4)), rng.normal(size=(4, 2))
FORMS = {
    "biases in the weights": (
        theta,
        {"T1": rng.normal(size=(4, 4)), "T2": rng.normal(size=(2, 5))},
        "4 -> 4 -> 2 (logistic, identity), squared error",
    ),
    "one vector": (
        lambda p, X, y: unrolled(p[0], X, y),
        [rng.normal(size=24)],
        "3 -> 4 -> 2 (tanh, identity), squared error",
    ),
    "a loop over samples": (
        looped,
        {"W1": W1.T, "b1": np.zeros(4), "W2": W2.T},
        "3 -> 4 -> 2 (logistic, identity), squared error",
    ),
    "an array that is written into": (
        written_into,
        {"W1": W1, "W2": W2},
        "3 -> 4 -> 2 (tanh, identity), squared error",
    ),
    "a mask": (masked, {"W1": W1, "W2": W2}, "3 -> 4 -> 2 (tanh, identity), squared error"),
    "batch normalization": (
        normalized,
        {"W1": W1, "g": np.ones(4), "c": np.zeros(4), "W2": W2},
        "3 -> 4 -> 2 (F, identity), squared error",
    ),
}


@each("form", FORMS.values(), ids=FORMS.keys())
def test_a_network_is_recognised_in_each_form(form):
    forward, params, text = form
    assert str(network_of(forward, params)).startswith(text)


@each("case", [case for case in CASES if case.name.startswith("right: ")][::4])
def test_plain_networks_are_recognised_as_by_their_costs(case):
    forward, backward = case.functions()
    params, *data = case.arguments()
    code = Code(Functions(forward, backward, params, data), "float64")
    network, other = recognise(code, []), identify(code, structures(code))
    if other is None:  # costs alone do not tell it
        return
    assert str(network) == str(other)
    assert network.scale == pytest.approx(other.scale)
    assert network.l2 == pytest.approx(other.l2, abs=1e-9)


def test_numpy_is_as_before_after_a_record():
    before = np.zeros, np.array
    network_of(looped, {"W1": W1.T, "b1": np.zeros(4), "W2": W2.T})
    assert (np.zeros, np.array) == before and type(np.zeros(2)) is np.ndarray


def test_the_minus_of_a_sigmoid_may_stand_at_its_input():
    def forward(p, X, y):
        a = 1 / (1 + np.exp(-X @ p["W1"]))
        return np.sum((1 / (1 + np.exp(-a @ p["W2"])) - y) ** 2)

    code = Code(Functions(forward, None, {"W1": W1, "W2": W2}, (X, Y)), "float64")
    network = recognise(code, structures(code), own=True)
    assert [f.name for f in network.activations] == ["logistic", "logistic"]
