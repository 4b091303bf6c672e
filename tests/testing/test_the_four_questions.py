"""The four networks that the package grew out of, in the askers' sizes: each mistake is named."""

import numpy as np
import pytest
from small_gradients import kinds

from xpmlp.tables.datasets import load_dataset
from xpmlp.testing import check_gradients


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


# 3-5-5-1 on whole numbers from 1 to 4, with the formulas of samples in columns.


def feedforward(params, x, y):
    for w, b in params:
        x = sigmoid(np.dot(x, w) + b)
    return 0.5 * np.sum((x - y) ** 2)


def backprop(params, x, y):
    activations, zs, nabla = [x], [], [None] * len(params)
    for w, b in params:
        zs.append(np.dot(activations[-1], w) + b)
        activations.append(sigmoid(zs[-1]))
    delta = (activations[-1] - y) * sigmoid_prime(zs[-1])
    for layer in range(1, len(params) + 1):
        before = activations[-layer - 1]
        nabla[-layer] = (before.T @ delta, delta.sum(axis=0, keepdims=True))
        if layer < len(params):
            sent_back = np.dot(params[-layer][0].T, delta)
            delta = sent_back * sigmoid_prime(zs[-layer - 1])
    return nabla


@pytest.mark.parametrize("n", [1, 25, 400])
def test_3_5_5_1_is_told_which_factor_is_to_be_transposed(n):
    rng, sizes = np.random.default_rng(0), (3, 5, 5, 1)
    x, y = rng.integers(1, 5, (n, 3)).astype(float), rng.integers(0, 2, (n, 1)).astype(float)
    params = [(rng.normal(size=s), np.zeros((1, s[1]))) for s in zip(sizes, sizes[1:])]
    report = check_gradients(feedforward, backprop, params, x, y)
    assert [(m.kind, m.layer) for m in report.mistakes] == [("raised", 2)]
    assert "np.dot(params[-layer][0].T, delta)" in str(report)
    assert f"({n},1) " in str(report) and f"-> ({n},5)" in str(report)


# 2-4-1 on the flower, 400 samples in columns that the functions read from outside.


def flower():
    data, rng = load_dataset("flower"), np.random.RandomState(2)  # noqa: NPY002 (the course's)
    X, Y = data.X.T, data.y[None, :].astype(float)
    W1, W2 = 0.01 * rng.randn(4, 2), 0.01 * rng.randn(1, 4)
    return X, Y, {"W1": W1, "B1": np.zeros((4, 1)), "W2": W2, "B2": np.zeros((1, 1))}


@pytest.mark.parametrize("reads", ["its arguments", "the global X and Y"])
def test_the_flower_is_told_all_that_is_wrong_with_400_samples(reads):
    the_X, the_Y, params = flower()

    def forward(P, X, Y):
        A1 = sigmoid(np.dot(P["W1"], X) + P["B1"])
        return np.mean((sigmoid(np.dot(P["W2"], A1) + P["B2"]) - Y) ** 2)

    def backward(P, X, Y):
        if reads != "its arguments":
            X, Y = the_X, the_Y
        Z1, m = np.dot(P["W1"], X) + P["B1"], X.shape[1]
        A1 = sigmoid(Z1)
        Z2 = np.dot(P["W2"], A1) + P["B2"]
        dZ2 = 2 * np.abs(sigmoid(Z2) - Y) * sigmoid_prime(Z2)
        dB2 = np.sum(dZ2, axis=1, keepdims=True) / m
        dZ1 = dZ2 * np.dot(P["W2"], sigmoid_prime(Z1))
        return {"W1": np.dot(X, dZ1.T) / m, "B1": dZ1, "W2": A1 * dZ2, "B2": dB2}

    report = check_gradients(forward, backward, params, the_X, the_Y)
    found = {(m.kind, m.layer) for m in report.mistakes}
    assert found >= {("absolute", 2), ("missing_mean", 1), ("elementwise_for_matmul", 2)}
    assert found & {("not_summed", 1), ("wrong_axis", 1)}  # dB1
    assert found & {("matmul_for_elementwise", 1), ("wrong_order", 1)}  # dW1
    assert "unknown" not in kinds(report)
    assert "dB1 is not summed over the 400 samples" in str(report)


# 784-30-10: how to get past the output layer. Sizes as asked, and 20 samples of a batch.


def test_the_digits_are_told_the_product_that_is_missing():
    rng = np.random.default_rng(0)
    images = rng.random((20, 784)) * (rng.random((20, 784)) < 0.2)
    targets = np.eye(10)[rng.integers(0, 10, 20)]
    params = [rng.uniform(-1, 1, (784, 30)), rng.uniform(-1, 1, (30, 10))]

    def forward(p, x, y):
        return np.sum((sigmoid(sigmoid(x @ p[0]) @ p[1]) - y) ** 2)

    def backward(p, x, y):
        hidden = sigmoid(x @ p[0])
        output = sigmoid(hidden @ p[1])
        output_error = 2 * (output - y) * output * (1 - output)
        hidden_error = output_error * hidden * (1 - hidden)
        return [x.T @ hidden_error, hidden.T @ output_error]

    report = check_gradients(forward, backward, params, images, targets)
    assert [(m.kind, m.layer) for m in report.mistakes] == [("raised", 1)]
    assert "hidden_error = output_error * hidden * (1 - hidden)" in str(report)
    assert "(20,10) " in str(report) and "-> (20,30)" in str(report)


# 1-3-1 for the sign of x: sums that remember, `*` for a matrix product, one sign in s'.


def test_the_sign_is_told_that_forward_remembers_and_what_backward_has_wrong():
    rng = np.random.default_rng(0)
    x, params = rng.integers(-3, 4, (40, 1)).astype(float), [rng.normal(size=(1, 3))]
    params += [rng.normal(size=(3, 1))]
    y, sums = (x > 0).astype(float), [0.0, 0.0]

    def forward_remembers(p, x, y):
        sums[0] = sums[0] + x @ p[0]
        sums[1] = sums[1] + sigmoid(sums[0]) @ p[1]
        return 0.5 * np.sum((sigmoid(sums[1]) - y) ** 2)

    def forward(p, x, y):
        return 0.5 * np.sum((sigmoid(sigmoid(x @ p[0]) @ p[1]) - y) ** 2)

    def backward(p, x, y):
        z1 = x @ p[0]
        a1 = sigmoid(z1)
        a2 = sigmoid(a1 @ p[1])
        d2 = (a2 - y) * a2 * (1 - a2)
        d1 = (d2 @ p[1].T) * np.exp(-z1) / (1 + np.exp(z1)) ** 2
        return [x.T @ d1, a1 * d2]

    assert kinds(check_gradients(forward_remembers, backward, params, x, y)) == ["state"]
    report = check_gradients(forward, backward, params, x, y)
    assert {(m.kind, m.layer) for m in report.mistakes} >= {("elementwise_for_matmul", 2)}
    assert "unknown" not in kinds(report)
