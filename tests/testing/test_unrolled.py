"""All weights and biases in one vector: each layer is judged by its own part of it."""

import numpy as np
from small_gradients import X

from xpmlp.testing import check_gradients

T = np.linspace(-1.0, 1.0, len(X))[:, None]


def split(theta):
    return theta[:12].reshape(3, 4), theta[12:16], theta[16:20].reshape(4, 1), theta[20]


def forward(theta, X, y):
    W1, b1, W2, b2 = split(theta)
    return np.mean((np.tanh(X @ W1 + b1) @ W2 + b2 - y) ** 2)


def backward_with(slope):
    def backward(theta, X, y):
        W1, b1, W2, b2 = split(theta)
        a = np.tanh(X @ W1 + b1)
        d2 = 2 * (a @ W2 + b2 - y) / len(X)
        d1 = d2 @ W2.T * slope(a)
        parts = (X.T @ d1, d1.sum(axis=0), a.T @ d2, d2.sum())
        return np.concatenate([np.ravel(part) for part in parts])

    return backward


def test_a_mistake_in_one_vector_is_named_with_its_layer():
    theta = np.random.default_rng(0).normal(size=21)
    assert check_gradients(forward, backward_with(lambda a: 1 - a**2), theta, X, T).ok
    report = check_gradients(forward, backward_with(lambda a: 1.0), theta, X, T)
    assert [(m.kind, m.layer) for m in report.mistakes] == [("derivative_missing", 1)]
