"""784-30-10 on MNIST: "how do I get past the output layer when the layers differ in size?"

The question's backward pass ends at the output: the error there is (n, 10), the hidden layer has
30 units, and nothing elementwise brings one to the other. The missing step is a product with the
weights in between. Hidden unit j reached each output k through W2[j, k], so its error sums over k:

    output error   d2 = (a2 - y) * s'(z2)                                    (n, 10)
    hidden error   d1 = (d2 @ W2.T) * s'(z1)      (n, 10) (10, 30)        -> (n, 30)
    gradients      dW2 = a1.T @ d2                (30, n) (n, 10)         -> (30, 10)
                   dW1 = x.T @ d1                 (784, n) (n, 30)        -> (784, 30)
                   db2, db1 = d2, d1 summed over the samples                 (1, 10), (1, 30)

The biases, left out in the question, cost two lines.

    python examples/mnist_by_hand.py DATA [FOLDER] [--epochs 30]

DATA is a folder of MNIST's four IDX files, or mnist.pkl.gz, of which only arrays are read.
"""

import argparse
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from xpmlp import MLPClassifier, nn
from xpmlp.errors import DataError
from xpmlp.files.datasets import load_dataset
from xpmlp.plotting import plot_curves
from xpmlp.testing import check_gradients

SIGMOIDS = {"activation": "logistic", "solver": "sgd", "momentum": 0}
# Nielsen 2015: quadratic cost (chapter 1); cross-entropy of ten sigmoids, with the penalty lambda
# = 5 over 50 000 images, which is alpha = 5 * 10 / 50 000 for a batch of 10 (chapter 3). Last, the
# book's best test epoch of 30 (of 784-100-10: validation epoch), in percent.
QUADRATIC = {"loss": "squared_error", "learning_rate_init": 3.0, "alpha": 0}
CROSS_ENTROPY = {"loss": "binary_log_loss", "learning_rate_init": 0.5, "alpha": 1e-3}
NIELSEN = {
    "784-30-10 quadratic": (30, QUADRATIC, 95.42),
    "784-30-10 cross-entropy, L2": (30, CROSS_ENTROPY, 96.49),
    "784-100-10 cross-entropy, L2": (100, CROSS_ENTROPY, 97.92),
}


def forward(params, X, y):
    a1 = 1 / (1 + np.exp(-(X @ params["W1"] + params["b1"])))
    a2 = 1 / (1 + np.exp(-(a1 @ params["W2"] + params["b2"])))
    return 0.5 * np.sum((a2 - y) ** 2), {"a1": a1, "a2": a2}


def backward_stuck(params, X, y):
    _, now = forward(params, X, y)
    a1, a2 = now["a1"], now["a2"]
    d2 = (a2 - y) * a2 * (1 - a2)
    d1 = d2 * a1 * (1 - a1)
    return {"W1": X.T @ d1, "W2": a1.T @ d2}


def backward(params, X, y):
    _, now = forward(params, X, y)
    a1, a2 = now["a1"], now["a2"]
    d2 = (a2 - y) * a2 * (1 - a2)
    d1 = (d2 @ params["W2"].T) * a1 * (1 - a1)
    return {"W1": X.T @ d1, "b1": d1.sum(axis=0), "W2": a1.T @ d2, "b2": d2.sum(axis=0)}


def recipe(data, batches):
    """Train as the question does: batches of 20, sample by sample. Returns each one's mean cost."""
    # The cost is the sum of the squares; xpmlp has half of it, so the rate 0.05 is doubled, and
    # reports the mean over the outputs, 10 here.
    clf = MLPClassifier(
        (30,), **SIGMOIDS, loss="squared_error", learning_rate_init=2 * 0.05, alpha=0,
        batch_size=1, init=nn.initializers.Uniform(-1.0, 1.0), random_state=0,
    )  # fmt: skip
    rng, costs = np.random.default_rng(0), []
    for _ in range(batches):
        rows = rng.choice(len(data.X), size=20, replace=False)
        clf.partial_fit(data.X[rows], data.y[rows], classes=np.arange(10))
        costs.append(2 * 10 * clf.loss_)
    return clf, np.array(costs)


def refusal(folder):
    """Return what is said of a mnist.pkl that runs a command when a plain unpickler loads it."""
    trap = Path(folder) / "trap.pkl"
    trap.write_bytes(b"cos\nsystem\n(S'echo gotcha'\ntR.")
    try:
        load_dataset(trap)
    except DataError as error:
        return str(error)
    finally:
        trap.unlink()


def main(data, folder=".", epochs=3, batches=5000, rows=50_000):
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    rng = np.random.default_rng(0)
    sizes = {"W1": (8, 6), "b1": (6,), "W2": (6, 4), "b2": (4,)}  # the shapes are the question
    params = {name: rng.normal(size=size) for name, size in sizes.items()}
    X, y = rng.random((5, 8)), np.eye(4)[rng.integers(0, 4, 5)]
    reports = [check_gradients(forward, b, params, X, y) for b in (backward_stuck, backward)]
    print(*reports, f"A pickle with a command in it: {refusal(folder)}", sep="\n\n", end="\n\n")

    data = load_dataset(data)
    clf, costs = recipe(data, batches)
    scores = {"recipe": clf.score(data.X_test, data.y_test)}
    print(
        f"The recipe: mean cost {costs[:50].mean():.2f} at first, {costs[-50:].mean():.2f} in the "
        f"end, {scores['recipe']:.2%} of the test images right after {20 * batches} samples"
    )
    smooth = np.convolve(costs, np.ones(100) / 100, mode="valid")
    smooth = np.concatenate([np.full(len(costs) - len(smooth), np.nan), smooth])
    plot_curves(
        np.arange(1, batches + 1), {"batch of 20": costs, "mean of the last 100": smooth},
        xlabel="batches", ylabel="mean cost", path=Path(folder) / "mnist_by_hand.png",
    )  # fmt: skip
    for name, (n_hidden, how, book) in NIELSEN.items():
        clf = MLPClassifier(
            (n_hidden,), **SIGMOIDS, **how, batch_size=10, max_iter=epochs, init="normal", tol=0,
            n_iter_no_change=np.inf, random_state=0,
        )  # fmt: skip
        clf.fit(data.X[:rows], data.y[:rows], X_val=data.X_test, y_val=data.y_test)
        curve = scores[name] = clf.history_["validation_score"]
        print(
            f"{name:<28} after {epochs} epochs {curve[-1]:.2%}, best epoch {max(curve):.2%} "
            f"(the book, 30 epochs: {book} %)"
        )
    return reports, costs, scores


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="784-30-10 on MNIST")
    parser.add_argument("data")
    parser.add_argument("folder", nargs="?", default=".")
    parser.add_argument("--epochs", type=int, default=3, help="of Nielsen's recipes; the book: 30")
    main(**vars(parser.parse_args()))
