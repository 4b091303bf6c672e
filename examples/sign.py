"""
1-3-1 for the sign of x: "sometimes the error goes to 0, sometimes to 10"
=========================================================================

x is a whole number from -3 to 3, the target 1 above zero; no biases, weights ~ N(0, 1), rate 0.1,
one sample at a time. The mistakes: sums that are never reset, so that a forward pass remembers the
one before; `*` for a matrix product; one sign in s'. Right, for N samples in rows::

    d2 = (a2 - y) * a2 * (1 - a2)       (N, 1)                   dW2 = a1.T @ d2      (3, 1)
    d1 = (d2 @ W2.T) * a1 * (1 - a1)    (N, 1) (1, 3) -> (N, 3)  dW1 = X.T @ d1       (1, 3)

Run it by ``python examples/sign.py [FOLDER]``.
"""

import sys

import numpy as np

from xpmlp import nn
from xpmlp.plotting import plot_curves
from xpmlp.testing import check_gradients

WHY = """The stuck ones start with all W1 < 0: each hidden unit is on where 0 is wanted, so W2
sinks, and W1, until the units are off for x > 0. The output there is s(0) = 1/2, an error of 1/4
for 3 of 7 points, 10.7 for 100, with hardly a gradient. A bias lets the output sink without W2."""
GRID = np.arange(-3.0, 4.0)[:, None]
sums = {"z1": 0.0, "z2": 0.0}


def forward_remembers(params, X, y):
    sums["z1"] = sums["z1"] + X @ params["W1"]
    sums["z2"] = sums["z2"] + 1 / (1 + np.exp(-sums["z1"])) @ params["W2"]
    return 0.5 * np.sum((1 / (1 + np.exp(-sums["z2"])) - y) ** 2)


def forward(params, X, y):
    a1 = 1 / (1 + np.exp(-X @ params["W1"]))
    a2 = 1 / (1 + np.exp(-a1 @ params["W2"]))
    return 0.5 * np.sum((a2 - y) ** 2), {"a1": a1, "a2": a2}


def backward_wrong(params, X, y):
    (a1, a2), z1 = forward(params, X, y)[1].values(), X @ params["W1"]
    d2 = (a2 - y) * a2 * (1 - a2)
    d1 = (d2 @ params["W2"].T) * np.exp(-z1) / (1 + np.exp(z1)) ** 2  # one sign
    return {"W1": X.T @ d1, "W2": a1 * d2}  # (N, 3) for (3, 1)


def backward(params, X, y):
    a1, a2 = forward(params, X, y)[1].values()
    d2 = (a2 - y) * a2 * (1 - a2)
    d1 = (d2 @ params["W2"].T) * a1 * (1 - a1)
    return {"W1": X.T @ d1, "W2": a1.T @ d2}


def learn(use_bias, points):
    """Train 12 networks at once, along a leading axis. Returns the outputs for GRID meanwhile."""
    network = nn.Network([nn.Dense(n, "logistic", use_bias=use_bias) for n in (3, 1)])
    ctx, rngs = nn.Ctx(np), [np.random.default_rng(seed) for seed in range(12)]
    W1 = np.stack([rng.normal(size=(1, 3)) for rng in rngs])
    W2 = np.stack([rng.normal(size=(3, 1)) for rng in rngs])
    params, outputs = {0: {"W": W1}, 1: {"W": W2}}, []
    if use_bias:
        params[0]["b"], params[1]["b"] = np.zeros((12, 1, 3)), np.zeros((12, 1, 1))
    X = np.stack([rng.integers(-3, 4, points) for rng in rngs], axis=1).astype(float)
    for i, x in enumerate(X[:, :, None, None], 1):  # x: (12, 1, 1), one point for each network
        a, caches = network.forward(params, x, ctx)
        _, grads = network.backward(params, a - (x > 0), caches, ctx)  # dC/da = a - y
        for k, layer in params.items():
            params[k] = {name: value - 0.1 * grads[k][name] for name, value in layer.items()}
        if i % 100 == 0:
            outputs.append(network.forward(params, GRID, ctx)[0][..., 0])
    return np.array(outputs)  # (points / 100, 12, 7)


# %%
# The checker names each mistake. Then twelve networks are trained at once, each from its own seed,
# with biases and without.


def main(folder=".", long=100_000):
    params = {"W1": np.array([[0.5, -1.0, 2.0]]), "W2": np.array([[1.0], [0.3], [-0.7]])}
    wanted = GRID > 0
    for pair in ((forward_remembers, backward), (forward, backward_wrong), (forward, backward)):
        print(check_gradients(*pair, params, GRID, wanted), "\n")
    for use_bias, points in ((True, 10_000), (False, 10_000), (False, long)):
        outputs = learn(use_bias, points)
        errors = 100 * np.mean((outputs - wanted.T) ** 2, axis=-1)
        right = np.all((outputs[-1] > 0.5) == wanted.T, axis=-1)
        print(f"{points} points, {use_bias=}: {right.sum()} of 12 seeds learn it", end="; ")
        print("stuck:", np.flatnonzero(~right), "with errors", errors[-1, ~right].round(1))
    print(WHY)
    curves = {"the other seeds": np.delete(errors, (5, 10), 1), "seeds 5, 10": errors[:, (5, 10)]}
    look = {"xlabel": "points seen, without biases", "ylabel": "squared error of 100 points"}
    plot_curves(100 * np.arange(len(errors)), curves, path=f"{folder}/sign.png", **look)


if __name__ == "__main__":
    main(*sys.argv[1:])
