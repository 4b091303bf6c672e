"""
sin(x) as regression, and as 21 classes
=======================================

Regression, by 1-3-1 and 1-8-1: an output without a squashing function. With 3 hidden units gradient
descent ends on a plateau about every second time; L-BFGS, which follows the curvature too, hardly
ever does.

21 classes, from -1.0 to 1.0: an output for each, and the loss decides what they learn. With N
one-hot rows y (N, 21)::

    cross-entropy   C = -sum y log p / N,  p = softmax(z)     dC/dz = (p - y) / N
    squared error   C = sum (a - y)^2 / 2N,  a = s(z)         dC/dz = (a - y) * a * (1 - a) / N

The mistake is to mix them. The squared error by itself loses classes: 20 zeros for each 1 push all
outputs down, and where a is near 0, so is a * (1 - a), and nothing brings it back.

Run it by ``python examples/sine.py [FOLDER]``.
"""

import sys

import numpy as np

from xpmlp import nn, train
from xpmlp.plotting import plot_curves
from xpmlp.testing import check_gradients

x = np.linspace(-np.pi, np.pi, 200)[:, None]
LABELS = np.rint(10 * np.sin(x[:, 0])).astype(int) + 10  # 0 ... 20 stand for -1.0 ... 1.0
DESCENT = {"solver": "sgd", "learning_rate_init": 0.1, "batch_size": 50, "max_iter": 500}
LBFGS = {"solver": "lbfgs", "max_iter": 500}


def forward(params, X, Y):
    a1 = np.tanh(X @ params["W1"])
    e = np.exp(a1 @ params["W2"])
    p = e / e.sum(axis=1, keepdims=True)
    return -np.sum(Y * np.log(p)) / len(X), {"a1": a1, "p": p}


def backward_wrong(params, X, Y):
    a1, p = forward(params, X, Y)[1].values()
    d2 = (p - Y) * p * (1 - p) / len(X)  # what the squared error of a sigmoid has
    d1 = (d2 @ params["W2"].T) * (1 - a1**2)
    return {"W1": X.T @ d1, "W2": a1.T @ d2}


def backward(params, X, Y):
    a1, p = forward(params, X, Y)[1].values()
    d2 = (p - Y) / len(X)
    d1 = (d2 @ params["W2"].T) * (1 - a1**2)
    return {"W1": X.T @ d1, "W2": a1.T @ d2}


def fit(n_hidden, seed, **how):
    layers = [nn.Dense(n_hidden, "tanh", initializer="normal"), nn.Dense(1, initializer="normal")]
    how |= {"random_state": seed, "tol": 1e-7, "n_iter_no_change": np.inf}
    return train(nn.Network(layers), x, np.sin(x), **how).outputs(x)


def rmse(prediction):
    return np.sqrt(np.mean((prediction - np.sin(x)) ** 2))


# %%
# The checker looks at both backward passes. Then ten seeds of each regression are fitted, and the
# classes are learnt with either loss.


def main(folder=".", seeds=range(10)):
    rng, some, one_hot = np.random.default_rng(0), np.arange(0, 200, 20), np.eye(21)[LABELS]
    params = {"W1": rng.normal(size=(1, 8)), "W2": rng.normal(size=(8, 21))}
    print(check_gradients(forward, backward_wrong, params, x[some], one_hot[some]), "\n")
    print(check_gradients(forward, backward, params, x[some], one_hot[some]), "\n")

    curves = {"sin x": np.sin(x)}
    for n_hidden, how in ((3, DESCENT), (3, LBFGS), (8, LBFGS)):
        fits = [fit(n_hidden, seed, **how) for seed in seeds]
        errors = np.array([rmse(found) for found in fits])
        name, good = f"1-{n_hidden}-1 by {how['solver']}", np.sum(errors < 0.02)
        print(f"{name}: RMSE < 0.02 for {good} of {len(seeds)} seeds;", *errors.round(3))
        curves[f"{name}, seed 0"] = fits[0]
    print("trained twice, the same bits:", np.array_equal(fits[0], fit(8, 0, **LBFGS)))
    plot_curves(x, curves, xlabel="x", ylabel="y", path=f"{folder}/sine.png")

    curves = {"sin x": np.sin(x)}
    for loss, out, y in (("log_loss", "identity", LABELS), ("squared_error", "logistic", one_hot)):
        network = nn.Network([nn.Dense(16, "tanh"), nn.Dense(21, out)])
        trained = train(network, x, y, loss=loss, **LBFGS)
        chosen = np.argmax(trained.outputs(x), axis=1)
        right, never = np.mean(chosen == LABELS), 21 - len(np.unique(chosen))
        steps = curves[loss] = (chosen[:, None] - 10) / 10
        print(f"21 classes, {loss}: {right:.0%} right, {never} never used, RMSE {rmse(steps):.3f}")
    plot_curves(x, curves, xlabel="x", ylabel="y", path=f"{folder}/sine-classes.png")
    print("asked twice, the same bits:", np.array_equal(trained.outputs(x), trained.outputs(x)))
    try:
        train(network, x, LABELS, loss="squared_error")
    except ValueError as error:
        print("Labels and a squared error:", error)


if __name__ == "__main__":
    main(*sys.argv[1:])
