"""
3-5-5-1: "shapes (1,5) and (1,1) not aligned"
=============================================

W.T @ delta and delta @ a.T are the formulas of books that keep samples in columns. Here each sample
is a row. For N rows, a cost of half the sum of squared errors and s'(z) = a * (1 - a)::

    forward    a = s(a_before @ W + b)                      (N, 5) (5, 1) -> (N, 1)
    output     delta = (a - y) * s'(z)                                       (N, 1)
    back       delta_before = (delta @ W.T) * s'(z_before)  (N, 1) (1, 5) -> (N, 5)
    gradients  dW = a_before.T @ delta                      (5, N) (N, 1) -> (5, 1)
               db = sum of delta over the samples                            (1, 1)

Run it by ``python examples/three_five_five_one.py [FOLDER]``.
"""

import sys

import numpy as np

from xpmlp import MLPClassifier, nn, train
from xpmlp.plotting import plot_curves
from xpmlp.testing import check_gradients


def activations(params, X):
    a = [X]
    for k in range(1, len(params) // 2 + 1):
        a.append(1 / (1 + np.exp(-(a[-1] @ params[f"W{k}"] + params[f"b{k}"]))))
    return a


def forward(params, X, y):
    return 0.5 * np.sum((activations(params, X)[-1] - y) ** 2)


def backward_wrong(params, X, y):
    a, grads = activations(params, X), {}
    delta = (a[-1] - y) * a[-1] * (1 - a[-1])
    for k in range(len(a) - 1, 0, -1):
        sent_back = np.dot(params[f"W{k}"].T, delta)
        grads |= {f"W{k}": np.dot(delta, a[k - 1].T), f"b{k}": delta}
        delta = sent_back * a[k - 1] * (1 - a[k - 1])
    return grads


def backward(params, X, y):
    a, grads = activations(params, X), {}
    delta = (a[-1] - y) * a[-1] * (1 - a[-1])
    for k in range(len(a) - 1, 0, -1):
        sent_back = delta @ params[f"W{k}"].T
        grads |= {f"W{k}": a[k - 1].T @ delta, f"b{k}": delta.sum(axis=0, keepdims=True)}
        delta = sent_back * a[k - 1] * (1 - a[k - 1])
    return grads


def start(sizes):
    params, rng = {}, np.random.default_rng(0)
    for k, (n_in, n_out) in enumerate(zip(sizes, sizes[1:]), 1):
        params |= {f"W{k}": rng.normal(size=(n_in, n_out)), f"b{k}": np.zeros((1, n_out))}
    return params


# %%
# The checker looks at the wrong backward pass for one sample, and at the right one for one sample
# and for many. Then the network is trained, on labels that are coin tosses.


def main(folder="."):
    rng = np.random.default_rng(0)
    X, y = rng.integers(1, 5, (500, 3)).astype(float), rng.integers(0, 2, (500, 1))
    X, y, X_test, y_test = X[:400], y[:400], X[400:], y[400:]
    print(check_gradients(forward, backward_wrong, start((3, 5, 5, 1)), X[:1], y[:1]), "\n")

    for sizes in ((3, 5, 5, 1), (3, 9, 7, 4, 1)):
        batches = [(start(sizes), X[:n], y[:n]) for n in (1, 25, 400)]
        right = [check_gradients(forward, backward, *batch).ok for batch in batches]
        network = nn.Network([nn.Dense(size, "logistic") for size in sizes[1:]])
        descent = {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.1, "max_iter": 5}
        trained = train(network, X, y, batch_size=25, **descent)
        score = np.mean((trained.outputs(X_test) > 0.5) == y_test)
        print(f"{sizes}: right gradient for 1, 25, 400 rows: {right}; test rows right: {score:.0%}")
    print("The labels are coin tosses: 50 % is all there is to learn, 5 more or less by luck.\n")

    clf = MLPClassifier((64,), "tanh", solver="lbfgs", max_iter=1000, tol=1e-3, random_state=0)
    clf.fit(X, y[:, 0], X_val=X_test, y_val=y_test[:, 0])
    inputs = X @ [16, 4, 1]  # the 4^3 possible ones, as numbers: rows of the same get one answer
    best = sum(np.bincount(y[inputs == i, 0]).max() for i in np.unique(inputs)) / 400
    fitted, score = clf.score(X, y[:, 0]), clf.score(X_test, y_test[:, 0])
    print(f"3-64-1 learns the 400 by heart: {fitted:.2%} right, of {best:.2%} that can be;")
    print(f"of the 100 others it knows nothing: {score:.0%} right.")
    curves = {
        "always answering 1/2": np.full(clf.n_iter_, np.log(2)),
        "3-64-1 on the 400 rows": clf.history_["loss"],
        "3-64-1 on the 100 test rows": clf.history_["validation_loss"],
    }
    look = {"xlabel": "iteration of L-BFGS", "ylabel": "cross-entropy"}
    plot_curves(range(clf.n_iter_), curves, path=f"{folder}/three_five_five_one.png", **look)


if __name__ == "__main__":
    main(*sys.argv[1:])

# %%
# A network with room learns the 400 training rows as far as they can be learned: of rows with equal
# inputs and different labels, some must stay wrong. Its loss on the other rows grows.
