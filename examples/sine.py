"""1-3-1 and 1-8-1 for sin(x), once as regression, once as 21 classes from -1.0 to 1.0.

Regression: an output without a squashing function, half the mean squared error, so that
dC/dz = (a - y) / N. With three hidden units gradient descent ends on a plateau about every second
time. That is the descent's doing: L-BFGS, which follows the curvature too, gets three units there
from the same starts (one of ten just misses), and eight always.

Classes: an output for each, and the loss decides what they learn. With N one-hot rows y (N, 21):

    cross-entropy   C = -sum y log p / N,  p = softmax(z)     dC/dz = (p - y) / N
    squared error   C = sum (a - y)^2 / 2N,  a = s(z)         dC/dz = (a - y) * a * (1 - a) / N

The mistake is to mix them. And the squared error alone is a poor choice: where a is near 0 for the
right class, so is a * (1 - a): a class that is given up gets no gradient to come back, and with 20
zeros for every 1, giving up is cheap at first.

    python examples/sine.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np

from xpmlp import nn, train
from xpmlp.errors import ShapeError
from xpmlp.plotting import plot_curves
from xpmlp.testing import check_gradients

x = np.linspace(-np.pi, np.pi, 200)[:, None]
DESCENT = {"solver": "sgd", "learning_rate_init": 0.1, "batch_size": 50, "max_iter": 500}
LBFGS = {"solver": "lbfgs", "max_iter": 2000}
LABELS = np.rint(10 * np.sin(x[:, 0])).astype(int) + 10  # 0 ... 20 stand for -1.0 ... 1.0


def forward(params, X, Y):
    a1 = np.tanh(X @ params["W1"] + params["b1"])
    z2 = a1 @ params["W2"] + params["b2"]
    p = np.exp(z2) / np.exp(z2).sum(axis=1, keepdims=True)
    return -np.sum(Y * np.log(p)) / len(X), {"a1": a1, "p": p}


def backward_wrong(params, X, Y):
    _, now = forward(params, X, Y)
    a1, p = now["a1"], now["p"]
    d2 = (p - Y) * p * (1 - p) / len(X)  # what the squared error of a sigmoid has
    d1 = (d2 @ params["W2"].T) * (1 - a1**2)
    return {"W1": X.T @ d1, "b1": d1.sum(axis=0), "W2": a1.T @ d2, "b2": d2.sum(axis=0)}


def backward(params, X, Y):
    _, now = forward(params, X, Y)
    a1, p = now["a1"], now["p"]
    d2 = (p - Y) / len(X)
    d1 = (d2 @ params["W2"].T) * (1 - a1**2)
    return {"W1": X.T @ d1, "b1": d1.sum(axis=0), "W2": a1.T @ d2, "b2": d2.sum(axis=0)}


def rmse(prediction):
    return float(np.sqrt(np.mean((prediction - np.sin(x)) ** 2)))


def fit_sine(n_hidden, seed, **how):
    layers = [nn.Dense(n_hidden, "tanh", initializer="normal"), nn.Dense(1, initializer="normal")]
    how |= {"random_state": seed, "tol": 1e-7, "n_iter_no_change": np.inf}
    return train(nn.Network(layers), x, np.sin(x), **how)


def classify(loss, seed=0):
    """Train 21 classes. Returns the values (n, 1) that the most probable classes stand for."""
    out, targets = {
        "log_loss": ("identity", LABELS),  # logits: the softmax is inside the loss
        "squared_error": ("logistic", np.eye(21)[LABELS]),
    }[loss]
    network = nn.Network([nn.Dense(16, "tanh"), nn.Dense(21, out)])
    trained = train(network, x, targets, loss=loss, solver="lbfgs", max_iter=500, random_state=seed)
    return (np.argmax(trained.outputs(x), axis=1)[:, None] - 10) / 10


def main(folder=".", seeds=10):
    rng = np.random.default_rng(0)
    sizes = {"W1": (1, 8), "b1": (8,), "W2": (8, 21), "b2": (21,)}
    params = {name: rng.normal(size=size) for name, size in sizes.items()}
    data = x[::20], np.eye(21)[LABELS[::20]]
    reports = [check_gradients(forward, b, params, *data) for b in (backward_wrong, backward)]
    print(*reports, sep="\n\n", end="\n\n")

    fits = {}
    for n_hidden, how in ((3, DESCENT), (3, LBFGS), (8, LBFGS)):
        trained = [fit_sine(n_hidden, seed, **how) for seed in range(seeds)]
        found = fits[n_hidden, how["solver"]] = [one.outputs(x) for one in trained]
        errors = np.array([rmse(fit) for fit in found])
        print(
            f"1-{n_hidden}-1 {how['solver']:<5}: RMSE < 0.02 for {np.sum(errors < 0.02)} of {seeds}"
            f" seeds; {' '.join(f'{error:.3f}' for error in errors)}"
        )
    best, worst = fits[8, "lbfgs"][0], max(fits[3, "sgd"], key=rmse)
    twice = np.array_equal(best, trained[0].outputs(x))
    again = np.array_equal(best, fit_sine(8, 0, **LBFGS).outputs(x))
    print(f"predicted twice, the same bits: {twice}; fitted twice from one seed: {again}")

    steps = {loss: classify(loss) for loss in ("log_loss", "squared_error")}
    for loss, values in steps.items():
        hits = np.mean(np.rint(10 * values[:, 0]) + 10 == LABELS)
        lost = 21 - len(np.unique(values))
        print(f"21 classes, {loss}: {hits:.0%} right, {lost} never chosen, RMSE {rmse(values):.3f}")
    try:
        train(nn.Network([nn.Dense(8, "tanh"), nn.Dense(21)]), x, LABELS, loss="squared_error")
    except ShapeError as error:
        print(f"Labels and a squared error: {error}")

    sine, look = {"sin x": np.sin(x)}, {"xlabel": "x", "ylabel": "y"}
    curves = sine | {"1-8-1, L-BFGS": best, "1-3-1, descent, stuck": worst}
    plot_curves(x, curves, path=Path(folder) / "sine.png", **look)
    curves = sine | {"cross-entropy": steps["log_loss"], "squared error": steps["squared_error"]}
    plot_curves(x, curves, path=Path(folder) / "sine-classes.png", **look)
    return reports, fits, (twice, again), steps


if __name__ == "__main__":
    main(*sys.argv[1:])
