"""2-4-1 on the planar flower, samples in columns: four mistakes in one backward pass.

The network of a well-known course: X (2, m), Y (1, m), W1 (4, 2), b1 (4, 1), W2 (1, 4),
b2 (1, 1), a sigmoid twice; the cost is the mean of (A2 - Y)^2 over the m = 400 samples. By the
chain rule, with s'(Z) = A * (1 - A) elementwise:

    dZ2 = 2/m (A2 - Y) * s'(Z2)          (1, m)
    dW2 = dZ2 @ A1.T                     (1, m) (m, 4) -> (1, 4)       db2 = row sums    (1, 1)
    dZ1 = (W2.T @ dZ2) * s'(Z1)          (4, 1) (1, m) -> (4, m)
    dW1 = dZ1 @ X.T                      (4, m) (m, 2) -> (4, 2)       db1 = row sums    (4, 1)

A gradient has the shape of its parameter: that alone tells the order of the factors. The 1/m enters
once, in dZ2, and everything behind it inherits it.

    python examples/flower.py [FOLDER]
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from xpmlp import MLPClassifier
from xpmlp.files.datasets import load_dataset
from xpmlp.plotting import plot_boundary, plot_curves
from xpmlp.testing import check_gradients


def forward(params, X, Y):
    A1 = 1 / (1 + np.exp(-(params["W1"] @ X + params["b1"])))
    A2 = 1 / (1 + np.exp(-(params["W2"] @ A1 + params["b2"])))
    return np.mean((A2 - Y) ** 2), {"A1": A1, "A2": A2}


def backward_wrong(params, X, Y):
    _, now = forward(params, X, Y)
    A1, A2, m = now["A1"], now["A2"], X.shape[1]
    dZ2 = 2 * np.abs(A2 - Y) * A2 * (1 - A2)  # which way the error points is lost
    dZ1 = dZ2 * (params["W2"] @ (A1 * (1 - A1)))  # s' matrix-multiplied, and W2 not transposed
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    return {"W1": X @ dZ1.T / m, "b1": dZ1, "W2": A1 * dZ2, "b2": db2}  # 1/m here and there


def backward(params, X, Y):
    _, now = forward(params, X, Y)
    A1, A2, m = now["A1"], now["A2"], X.shape[1]
    dZ2 = 2 / m * (A2 - Y) * A2 * (1 - A2)
    dZ1 = (params["W2"].T @ dZ2) * A1 * (1 - A1)
    db1, db2 = dZ1.sum(axis=1, keepdims=True), dZ2.sum(axis=1, keepdims=True)
    return {"W1": dZ1 @ X.T, "b1": db1, "W2": dZ2 @ A1.T, "b2": db2}


def start():
    """The course's own draws: W ~ 0.01 N(0, 1), biases 0."""
    rng = np.random.RandomState(2)  # noqa: NPY002
    W1, W2 = 0.01 * rng.randn(4, 2), 0.01 * rng.randn(1, 4)
    return {"W1": W1, "b1": np.zeros((4, 1)), "W2": W2, "b2": np.zeros((1, 1))}


def descend(activation, loss, learning_rate, steps, data):
    """Train by plain gradient descent from `start`. xpmlp has samples in rows: W is transposed."""
    p = start()
    clf = MLPClassifier(
        (4,), activation, loss=loss, solver="sgd", momentum=0, learning_rate_init=learning_rate,
        alpha=0, batch_size=400, max_iter=steps, tol=0, n_iter_no_change=np.inf, shuffle=False,
        init=([p["W1"].T, p["W2"].T], [p["b1"][:, 0], p["b2"][:, 0]]),
    )  # fmt: skip
    return clf.fit(data.X, data.y)


def main(folder=".", steps=10_000, recipe_steps=3000):
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    data, folder = load_dataset("flower"), Path(folder)
    X, Y = data.X.T, data.y[None, :].astype(float)
    reports = [check_gradients(forward, b, start(), X, Y) for b in (backward_wrong, backward)]
    print(*reports, sep="\n\n", end="\n\n")

    course = descend("tanh", "log_loss", 1.2, steps, data)
    costs = [f"{cost:.6f}" for cost in course.loss_curve_[:7001:1000]]
    print("The course (tanh, cross-entropy, rate 1.2), cost at 0, 1000, ...:", *costs)
    print(f"accuracy after {steps} steps: {course.score(data.X, data.y):.2%}")
    # xpmlp's squared error is half the square, so the rate for the whole square is doubled.
    recipe = descend("logistic", "squared_error", 2 * 0.2, recipe_steps, data)
    faster = descend("logistic", "squared_error", 2 * 0.2 * 48, recipe_steps, data)
    curves = {
        "tanh, cross-entropy, rate 1.2": course,
        "sigmoid, squared error, rate 0.2": recipe,
        "the same, rate 48 x 0.2": faster,
    }
    # Near the start all is linear in the small weights: they grow by 1 + rate * f * c a step, with
    # one c for all three. Cross-entropy has no s'(Z2), and tanh'(0) = 1: f = 1. The squared error
    # has 2 s'(0) = 1/2, its hidden sigmoid s'(0) = 1/4: f = 1/8. The rate is 6 times smaller too.
    for name, clf in curves.items():
        curve = curves[name] = np.divide(clf.loss_curve_[:recipe_steps], clf.loss_curve_[0])
        fallen = f"at step {np.argmax(curve < 0.95)}" if curve.min() < 0.95 else "not yet"
        print(f"{name:<33} accuracy {clf.score(data.X, data.y):.2%}, cost down by 5 % {fallen}")
    plot_boundary(course.predict, data.X, data.y, path=folder / "flower-boundary.png")
    plot_curves(
        np.arange(recipe_steps), curves, xlabel="step of gradient descent",
        ylabel="cost / cost at the start", path=folder / "flower-cost.png",
    )  # fmt: skip
    return reports, course, curves


if __name__ == "__main__":
    main(*sys.argv[1:])
