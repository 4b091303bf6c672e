"""Data and small functions with their gradients."""

import numpy as np

rng = np.random.default_rng(0)
X = rng.normal(size=(6, 3))


def kinds(report):
    return [mistake.kind for mistake in report.mistakes]


def linear(p, X, y):
    return np.mean((X @ p["W"] - y) ** 2)


def slope(p, X, y):
    return {"W": 2 * X.T @ (X @ p["W"] - y) / y.size}


P, Y = {"W": rng.normal(size=(3, 2))}, rng.normal(size=(6, 2))


def backward_of_two(p, X, y):
    a1 = np.maximum(X @ p["W1"] + p["b1"], 0)
    d2 = 2 * (a1 @ p["W2"] + p["b2"] - y) / y.size
    d1 = d2 @ p["W2"].T * (a1 > 0)
    return {"W1": X.T @ d1, "b1": d1.sum(0), "W2": a1.T @ d2, "b2": d2.sum(0)}


def changed(**edits):
    """The right backward with some gradients replaced by functions of all of them."""

    def backward(p, X, y):
        g = backward_of_two(p, X, y)
        return g | {name: edit(g, p) for name, edit in edits.items()}

    return backward
