"""3-5-5-1, one sample at a time: "shapes (1,5) and (1,1) not aligned".

The mistake: the error is sent back as W.T @ delta and the weights' gradient formed as delta @ a.T.
Those are the formulas of books that keep samples in columns; here they are in rows. With N samples
as rows, the cost half the sum of squared errors and s'(z) = a * (1 - a), elementwise:

    forward    a_k = s(a_{k-1} @ W_k + b_k)              (N, 5) (5, 1) -> (N, 1)     b: (1, 1)
    output     delta = (a_3 - y) * s'(z_3)                                 (N, 1)
    back       delta_{k-1} = (delta @ W_k.T) * s'(z_{k-1})   (N, 1) (1, 5) -> (N, 5)
    gradients  dW_k = a_{k-1}.T @ delta                      (5, N) (N, 1) -> (5, 1)
               db_k = delta summed over the samples                        (1, 1)

Nothing in it knows N, the number of layers or their widths.

    python examples/three_five_five_one.py [FOLDER]
"""

import sys
import warnings
from pathlib import Path

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from xpmlp import MLPClassifier
from xpmlp.plotting import plot_history
from xpmlp.testing import check_gradients


def forward(params, X, y):
    a = {"a0": X}
    for k in (1, 2, 3):
        a[f"a{k}"] = 1 / (1 + np.exp(-(a[f"a{k - 1}"] @ params[f"W{k}"] + params[f"b{k}"])))
    return 0.5 * np.sum((a["a3"] - y) ** 2), a


def backward_wrong(params, X, y):
    _, a = forward(params, X, y)
    delta, grads = (a["a3"] - y) * a["a3"] * (1 - a["a3"]), {}
    for k in (3, 2, 1):
        before, W = a[f"a{k - 1}"], params[f"W{k}"]
        sent_back = np.dot(W.T, delta)
        grads |= {f"W{k}": np.dot(delta, before.T), f"b{k}": delta}
        delta = sent_back * before * (1 - before)
    return grads


def backward(params, X, y):
    _, a = forward(params, X, y)
    delta, grads = (a["a3"] - y) * a["a3"] * (1 - a["a3"]), {}
    for k in (3, 2, 1):
        before, W = a[f"a{k - 1}"], params[f"W{k}"]
        sent_back = delta @ W.T
        grads |= {f"W{k}": before.T @ delta, f"b{k}": delta.sum(axis=0, keepdims=True)}
        delta = sent_back * before * (1 - before)
    return grads


def main(folder="."):
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    rng = np.random.default_rng(0)
    X, y = rng.integers(1, 5, (500, 3)).astype(float), rng.integers(0, 2, 500)
    (X, X_test), (y, y_test), Y = np.split(X, [400]), np.split(y, [400]), y[:400, None]
    sizes = ((3, 5), (5, 5), (5, 1))
    params = {f"W{k}": rng.normal(size=size) for k, size in enumerate(sizes, 1)}
    params |= {f"b{k}": np.zeros((1, size[1])) for k, size in enumerate(sizes, 1)}

    wrong = check_gradients(forward, backward_wrong, params, X[:1], Y[:1])
    print(wrong, "", sep="\n")
    sgd = {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.1, "max_iter": 5, "tol": 0}
    same = {"activation": "logistic", "loss": "squared_error", "alpha": 0, "random_state": 0}
    reports, scores = [], {}
    for n in (1, 25, 400):
        clf = MLPClassifier((5, 5), batch_size=n, **sgd, **same).fit(X, y)
        ours = check_gradients(clf, X[:n], y[:n])
        right = check_gradients(forward, backward, params, X[:n], Y[:n])
        reports, scores[n] = [*reports, right, ours], clf.score(X_test, y_test)
        print(
            f"batches of {n:>3}: the gradient above is right: {right.ok}, xpmlp's: {ours.ok}; "
            f"test accuracy after 5 epochs {scores[n]:.0%}"
        )
    print("The labels are coin tosses: nothing but 50 % (5 more or less, by chance) can come out.")

    # 400 rows, but only 4^3 different ones: the best guess is each row's more frequent label.
    cells = np.unique(X, axis=0, return_inverse=True)[1]
    ones, all_ = np.bincount(cells, y), np.bincount(cells)
    best = np.maximum(ones, all_ - ones).sum() / len(y)
    clf = MLPClassifier((64,), solver="lbfgs", max_iter=1000, max_fun=10**6, tol=0, **same)
    clf.fit(X, y, X_val=X_test, y_val=y_test)
    fitted, scores["room"] = clf.score(X, y), clf.score(X_test, y_test)
    print(
        f"3-64-1 learns the 400 by heart: {fitted:.2%} of them right (possible: {best:.2%}), "
        f"{scores['room']:.0%} of the test rows."
    )
    plot_history(clf.history_, path=Path(folder) / "three_five_five_one.png")
    return wrong, reports, scores, fitted, best


if __name__ == "__main__":
    main(*sys.argv[1:])
