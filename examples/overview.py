"""
Three networks in one picture
=============================

The picture of the README: the plane between two classes, a training with the epoch whose weights
are kept, and a band that nine of ten points lie in.

Run it by ``python examples/overview.py [FOLDER]``.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from sklearn.datasets import load_digits, make_moons

from xpmlp import MLPClassifier, MLPRegressor


def boundary(axes):
    """Two moons, and the probability that a network gives each point of the plane."""
    X, y = make_moons(400, noise=0.2, random_state=0)
    clf = MLPClassifier((32, 32), "tanh", solver="lbfgs", alpha=1.0, max_iter=500, random_state=0)
    clf.fit(X, y)
    x1, x2 = np.meshgrid(np.linspace(-1.7, 2.7, 200), np.linspace(-1.3, 1.8, 200))
    p = clf.predict_proba(np.c_[x1.ravel(), x2.ravel()])[:, 1].reshape(x1.shape)
    axes.contourf(x1, x2, p, np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.6)
    axes.scatter(*X.T, c=np.where(y, "tab:red", "tab:blue"), s=9)
    axes.set(title="classification", xlabel="$x_1$", ylabel="$x_2$")
    return f"two moons: {clf.score(X, y):.1%} of the points on their side"


def history(axes):
    """Training and validation loss of digits, with the epoch whose weights are kept."""
    X, y = load_digits(return_X_y=True)
    clf = MLPClassifier(
        (64,), learning_rate_init=0.01, early_stopping=True, scoring="loss",
        validation_fraction=0.3, n_iter_no_change=20, tol=0, random_state=0,
    ).fit(X / 16, y)  # fmt: skip
    losses, watched = clf.history_["loss"], clf.history_["validation_loss"]
    epochs, kept = np.arange(1, len(losses) + 1), clf.best_epoch_
    axes.semilogy(epochs, losses, label="training")
    axes.semilogy(epochs, watched, label="validation")
    axes.axvline(kept, color="0.5", linestyle=":", label=f"kept: epoch {kept}")
    axes.set(title="early stopping", xlabel="epoch", ylabel="loss")
    axes.legend(frameon=False)
    return f"digits: the lowest validation loss, {min(watched):.3f}, after {kept} epochs"


def bands(axes):
    """The median of noisy data, and the band that nine of ten points lie in."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, 1500)
    y = np.sin(2 * x) + (0.2 + x**2) / 15 * rng.normal(size=x.size)
    levels = [0.05, 0.5, 0.95]
    reg = MLPRegressor(
        "quantile", (32, 32), "tanh", quantiles=levels, learning_rate="one_cycle",
        learning_rate_init=0.01, max_iter=60, batch_size=50, random_state=0,
    )  # fmt: skip
    grid = np.linspace(-3, 3, 300)
    low, middle, high = reg.fit(x[:, None], y).predict(grid[:, None], quantiles=levels).T
    axes.scatter(x, y, s=4, color="0.6", linewidths=0)
    axes.fill_between(grid, low, high, alpha=0.3, linewidth=0, label="5 % to 95 %")
    axes.plot(grid, middle, label="median")
    axes.set(title="quantile regression", xlabel="x", ylabel="y")
    axes.legend(frameon=False)
    low, _, high = reg.predict(x[:, None], quantiles=levels).T
    return f"noisy sine: {np.mean((low < y) & (y < high)):.0%} of the points in the band"


def main(folder="."):
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    for draw, axes in zip((boundary, history, bands), figure.subplots(1, 3)):
        print(draw(axes))
    figure.savefig(Path(folder) / "overview.png", dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
