"""Where gradients are checked: a wrong derivative shows at some point, a right one at none."""

import numpy as np
import pytest
from small_gradients import P, X, Y, kinds, linear, slope

from xpmlp.testing import check_gradients

draw = np.random.default_rng(4)
POSITIVE = {"W1": draw.random((8, 16)), "W2": draw.random((16, 1))}
X_POSITIVE, Y_POSITIVE = draw.random((30, 8)), draw.random((30, 1))
ACTIVATIONS = {  # f, its derivative, and one that is right on one side only
    "relu": (lambda z: np.maximum(z, 0), lambda z: (z > 0) * 1.0, np.ones_like),
    "leaky": (
        lambda z: np.where(z > 0, z, 0.1 * z),
        lambda z: np.where(z > 0, 1.0, 0.1),
        lambda z: (z > 0) * 1.0,
    ),
    "clip": (lambda z: np.clip(z, 0, 9), lambda z: ((z > 0) & (z < 9)) * 1.0, lambda z: z < 9),
    "abs": (np.abs, np.sign, np.ones_like),
    "max": (lambda z: np.maximum(z, -z / 2), lambda z: np.where(z > 0, 1, -0.5), np.ones_like),
}


def network(name, right=True):
    """Forward and backward of one hidden layer without biases."""
    f, derivative, one_sided = ACTIVATIONS[name]
    df = derivative if right else one_sided

    def forward(p, X, y):
        return np.mean((f(X @ p["W1"]) @ p["W2"] - y) ** 2)

    def backward(p, X, y):
        z = X @ p["W1"]
        d2 = 2 * (f(z) @ p["W2"] - y) / y.size
        return {"W1": X.T @ (d2 @ p["W2"].T * df(z)), "W2": f(z).T @ d2}

    return forward, backward


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_derivative_that_is_wrong_on_the_side_that_never_occurs_does_not_pass(name):
    given = POSITIVE, X_POSITIVE, Y_POSITIVE
    report = check_gradients(*network(name, right=False), *given)
    assert [check.ok for check in report.checks] == [False, True]
    assert "at parameters of both signs" in str(report)
    assert check_gradients(*network(name), *given).ok


def test_parameters_that_must_stay_positive_are_right():
    def forward(p, X, y):
        return np.sum(np.log(p["s"]) + (X @ p["W"] - y) ** 2 / (2 * p["s"] ** 2))

    def backward(p, X, y):
        r, s = X @ p["W"] - y, p["s"]
        return {"W": X.T @ r / s**2, "s": y.size / s - np.sum(r**2) / s**3}

    report = check_gradients(forward, backward, {"W": P["W"], "s": 1.3}, X, Y)
    assert report.ok and "both signs" not in str(report)


def test_functions_that_refuse_negative_parameters_are_right_with_a_note():
    def forward(p, X, y):
        assert (p["W1"] > 0).all(), "weights are positive here"
        return network("relu")[0](p, X, y)

    report = check_gradients(forward, network("relu")[1], POSITIVE, X_POSITIVE, Y_POSITIVE)
    assert report.ok and "always off, was not seen" in str(report)


def test_numbers_beside_the_parameters_keep_their_values():
    def forward(p, X, y):
        return linear(p, X, y) / np.sqrt(p["share"])

    def backward(p, X, y):
        return {"W": slope(p, X, y)["W"] / np.sqrt(p["share"])}

    assert check_gradients(forward, backward, P | {"share": 0.25}, X, Y).ok


@pytest.mark.parametrize("size", [3, 6])
@pytest.mark.parametrize("small", [0.0, 1e-15])
def test_saturated_units_are_right_though_the_cost_is_rough_there(size, small):
    def forward(p, X, y):
        a = 1 / (1 + np.exp(-X @ p["W"]))
        return -np.mean(y * np.log(a + small) + (1 - y) * np.log(1 - a + small))

    def backward(p, X, y):
        return {"W": X.T @ (1 / (1 + np.exp(-X @ p["W"])) - y) / y.size}

    report = check_gradients(forward, backward, {"W": size * P["W"]}, X, (Y > 0) * 1.0)
    assert report.ok, report
    wrong = lambda *a: {"W": 1.001 * backward(*a)["W"]}  # noqa: E731
    assert not check_gradients(forward, wrong, {"W": size * P["W"]}, X, (Y > 0) * 1.0).ok


def test_a_forward_that_computes_in_float32_is_right():
    narrow = lambda p: {k: v.astype(np.float32) for k, v in p.items()}  # noqa: E731
    forward = lambda p, X, y: float(linear(narrow(p), X.astype(np.float32), y))  # noqa: E731
    assert check_gradients(forward, slope, P, X, Y).ok
    halved = lambda p, X, y: {"W": 0.5 * slope(p, X, y)["W"]}  # noqa: E731
    assert kinds(check_gradients(forward, halved, P, X, Y)) == ["factor"]


def test_one_gradient_that_is_not_returned_is_one_mistake():
    forward, backward = network("abs")
    part = lambda p, X, y: {"W2": backward(p, X, y)["W2"]}  # noqa: E731
    report = check_gradients(forward, part, POSITIVE, X_POSITIVE, Y_POSITIVE)
    assert [m.text for m in report.mistakes] == ["backward returns no gradient of W1"]


def test_updated_parameters_are_told_once_and_a_further_mistake_beside_them():
    forward, backward = network("relu")

    def updated(p, X, y, factor=1.0):
        g = backward(p, X, y)
        return {"W1": p["W1"] - 0.1 * factor * g["W1"], "W2": p["W2"] - 0.1 * g["W2"]}

    given = POSITIVE, X_POSITIVE, Y_POSITIVE
    right = check_gradients(forward, updated, *given)
    assert kinds(right) == ["updated_weights"] and "rate 0.1" in str(right)
    half = check_gradients(forward, lambda *a: updated(*a, factor=0.5), *given)
    assert kinds(half) == ["updated_weights", "factor"]
    assert [check.ok for check in half.checks] == [False, True]


def test_a_gradient_that_lets_the_parameter_grow_is_told_with_right_values_too():
    forward, backward = network("relu")
    p = {"w": P["W"][:, 0]}
    cost = lambda p, X, y: linear({"W": p["w"][:, None]}, X, y[:, :1])  # noqa: E731
    row = lambda p, X, y: {"w": slope({"W": p["w"][:, None]}, X, y[:, :1])["W"].T}  # noqa: E731
    report = check_gradients(cost, row, p, X, Y)
    assert report.ok and "w - rate * dw would be (1, 3)" in str(report)
    column = lambda *a: {"w": row(*a)["w"].T}  # noqa: E731
    wrong = check_gradients(cost, column, p, X, Y)
    assert ("shape", "w - rate * dw would be (3, 3)" in str(wrong)) in [
        (kind, True) for kind in kinds(wrong)
    ]


def test_one_sample_is_said_to_hide_what_only_several_show():
    report = check_gradients(linear, slope, P, X[:1], Y[:1, :1] + np.zeros((1, 2)))
    assert "one sample" not in str(report)  # two targets: the 1/n is seen in them
    one = {"W": P["W"][:, :1]}
    assert "Of one sample alone" in str(check_gradients(linear, slope, one, X[:1], Y[:1, :1]))
