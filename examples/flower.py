"""
2-4-1 on the planar flower: four mistakes in one backward pass
==============================================================

The network of a well-known course, samples in columns: X (2, m), Y (1, m), W1 (4, 2), b1 (4, 1), W2
(1, 4), b2 (1, 1), a sigmoid twice; the cost is the mean of (A2 - Y)^2 over the m = 400 samples. By
the chain rule, with s'(Z) = A * (1 - A) elementwise::

    dZ2 = 2/m (A2 - Y) * s'(Z2)          (1, m)
    dW2 = dZ2 @ A1.T                     (1, m) (m, 4) -> (1, 4)       db2 = row sums    (1, 1)
    dZ1 = (W2.T @ dZ2) * s'(Z1)          (4, 1) (1, m) -> (4, m)
    dW1 = dZ1 @ X.T                      (4, m) (m, 2) -> (4, 2)       db1 = row sums    (4, 1)

A gradient has the shape of its parameter: that alone tells the order of the factors. The 1/m enters
once, in dZ2; everything behind it inherits it.

Run it by ``python examples/flower.py [FOLDER]``.
"""

import sys

import numpy as np

from xpmlp import nn, train
from xpmlp.plotting import plot_boundary, plot_curves
from xpmlp.tables.datasets import load_dataset
from xpmlp.testing import check_gradients


def forward(params, X, Y):
    A1 = 1 / (1 + np.exp(-(params["W1"] @ X + params["b1"])))
    A2 = 1 / (1 + np.exp(-(params["W2"] @ A1 + params["b2"])))
    return np.mean((A2 - Y) ** 2), {"A1": A1, "A2": A2}


def backward_wrong(params, X, Y):
    (A1, A2), m = forward(params, X, Y)[1].values(), X.shape[1]
    dZ2 = 2 * np.abs(A2 - Y) * A2 * (1 - A2)  # which way the error points is lost
    dZ1 = dZ2 * (params["W2"] @ (A1 * (1 - A1)))  # s' matrix-multiplied, and W2 not transposed
    db2 = np.sum(dZ2, axis=1, keepdims=True) / m
    return {"W1": X @ dZ1.T / m, "b1": dZ1, "W2": A1 * dZ2, "b2": db2}  # 1/m here and there


def backward(params, X, Y):
    (A1, A2), m = forward(params, X, Y)[1].values(), X.shape[1]
    dZ2 = 2 / m * (A2 - Y) * A2 * (1 - A2)
    dZ1 = (params["W2"].T @ dZ2) * A1 * (1 - A1)
    db1, db2 = dZ1.sum(axis=1, keepdims=True), dZ2.sum(axis=1, keepdims=True)
    return {"W1": dZ1 @ X.T, "b1": db1, "W2": dZ2 @ A1.T, "b2": db2}


def descend(params, rate, steps, X, Y):
    """Plain gradient descent, by hand. Returns the cost before each step."""
    costs = []
    for _ in range(steps):
        costs.append(forward(params, X, Y)[0])
        grads = backward(params, X, Y)
        params = {name: value - rate * grads[name] for name, value in params.items()}
    return np.array(costs)


# %%
# The checker looks at both backward passes. Then the course's own choice, tanh and cross-entropy,
# is trained beside the sigmoids and the squared error.


def main(folder=".", steps=10_000):
    data, rng = load_dataset("flower"), np.random.RandomState(2)  # noqa: NPY002 (the course's)
    X, Y = data.X.T, data.y[None, :].astype(float)
    W1, W2 = 0.01 * rng.randn(4, 2), 0.01 * rng.randn(1, 4)
    start = {"W1": W1, "b1": np.zeros((4, 1)), "W2": W2, "b2": np.zeros((1, 1))}
    print(check_gradients(forward, backward_wrong, start, X, Y), "\n")
    print(check_gradients(forward, backward, start, X, Y), "\n")

    # The course's choice. In xpmlp samples are rows, and the cross-entropy has the sigmoid in it.
    course = train(
        nn.Network([nn.Dense(4, "tanh"), nn.Dense(1)]), X.T, Y.T, loss="binary_log_loss",
        solver="sgd", momentum=0, learning_rate_init=1.2, batch_size=400, shuffle=False,
        max_iter=steps, n_iter_no_change=np.inf,
        params={0: {"W": W1.T, "b": np.zeros((1, 4))}, 1: {"W": W2.T, "b": np.zeros((1, 1))}},
    )  # fmt: skip
    predict = lambda rows: course.outputs(rows)[:, 0] > 0
    print("The course's costs:", *(f"{cost:.6f}" for cost in course.history["loss"][:7001:1000]))
    print(f"and accuracy after {steps} steps: {np.mean(predict(X.T) == data.y):.2%}")
    plot_boundary(predict, X.T, data.y, path=f"{folder}/flower-boundary.png")

    curves = {
        "tanh, cross-entropy, rate 1.2": np.array(course.history["loss"][:3000]),
        "sigmoid, squared error, rate 0.2": descend(start, 0.2, 3000, X, Y),
        "the same, rate 48 x 0.2": descend(start, 0.2 * 48, 3000, X, Y),
    }
    for name, cost in curves.items():
        curves[name] = cost / cost[0]
        print(f"{name:<32} has 5 % less after {np.argmax(curves[name] < 0.95):>4} steps")
    print("48 = 6 (the rate) * 2 (2 s'(Z2) = 1/2, cross-entropy: 1) * 4 (s'(Z1) = 1/4, tanh': 1)")
    look = {"xlabel": "step of gradient descent", "ylabel": "cost / cost at the start"}
    plot_curves(range(3000), curves, path=f"{folder}/flower-cost.png", **look)


if __name__ == "__main__":
    main(*sys.argv[1:])

# %%
# Squared error and sigmoids learn 48 times slower. Given back as the learning rate, the factor is
# gone.
