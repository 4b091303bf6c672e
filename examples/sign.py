"""1-3-1 for the sign of x: "sometimes the error goes to 0, sometimes to 10".

x is a whole number from -3 to 3, the target 1 above zero; no biases, weights ~ N(0, 1), rate 0.1,
one sample at a time. Two kinds of mistake, and a third thing that is none:

* the sums of a layer are added to and never reset, so that a forward pass remembers the last one;
* `*` where a matrix product belongs, and the sigmoid's derivative with one sign wrong. Right:
      d2 = (a2 - y) * a2 * (1 - a2)     (N, 1)           dW2 = a1.T @ d2    (3, N) (N, 1) -> (3, 1)
      d1 = (d2 @ W2.T) * a1 * (1 - a1)  (N, 1) (1, 3)    dW1 = X.T @ d1     (1, N) (N, 3) -> (1, 3)
* with the right gradient some starts still stay at 10. Without biases z2(0) is half the sum of W2,
  which must so fall below zero, while z2 must rise above zero for x > 0. Where all of W1 start
  negative (seeds 5, 8, 10 of 0 ... 11), every unit answers most to x < 0, where the target is 0:
  all of W2 become negative, all of W1 more so, until for x > 0 the hidden units are off and the
  output is s(0) = 1/2, whatever W2 is. 100 points keep an error of 100 * 3/7 * 1/4 = 10.7. It is a
  plateau, on which s'(z1), and so the gradient of W1, shrinks like exp(W1 x): 8 soon gets off it,
  10 late, 5 not within 100 000 points. With biases z2(0) can fall by itself: all twelve learn.

    python examples/sign.py [FOLDER]
"""

import sys
from pathlib import Path

import numpy as np

from xpmlp import nn
from xpmlp.plotting import plot_curves
from xpmlp.testing import check_gradients

sums = {"z1": 0.0, "z2": 0.0}
GRID = np.arange(-3.0, 4.0)[:, None]


def forward_that_remembers(params, X, y):
    sums["z1"] = sums["z1"] + X @ params["W1"]
    sums["z2"] = sums["z2"] + 1 / (1 + np.exp(-sums["z1"])) @ params["W2"]
    return 0.5 * np.sum((1 / (1 + np.exp(-sums["z2"])) - y) ** 2)


def forward(params, X, y):
    a1 = 1 / (1 + np.exp(-X @ params["W1"]))
    a2 = 1 / (1 + np.exp(-a1 @ params["W2"]))
    return 0.5 * np.sum((a2 - y) ** 2), {"a1": a1, "a2": a2}


def backward_wrong(params, X, y):
    _, now = forward(params, X, y)
    a1, a2, z1 = now["a1"], now["a2"], X @ params["W1"]
    d2 = (a2 - y) * a2 * (1 - a2)
    d1 = (d2 @ params["W2"].T) * np.exp(-z1) / (1 + np.exp(z1)) ** 2  # one sign
    return {"W1": X.T @ d1, "W2": a1 * d2}  # (N, 3) for (3, 1)


def backward(params, X, y):
    _, now = forward(params, X, y)
    a1, a2 = now["a1"], now["a2"]
    d2 = (a2 - y) * a2 * (1 - a2)
    d1 = (d2 @ params["W2"].T) * a1 * (1 - a1)
    return {"W1": X.T @ d1, "W2": a1.T @ d2}


def learn(seeds, use_bias, points):
    """Train a network per seed, all at once: layers and losses let a leading axis through.

    Returns what each puts out for GRID after every 100 points: (points / 100, seeds, 7).
    """
    layers = [nn.Dense(n, "logistic", use_bias=use_bias) for n in (3, 1)]
    network, loss, ctx = nn.Network(layers), nn.losses.LOSSES["squared_error"], nn.Ctx(np)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    W1, W2 = (np.stack([rng.normal(size=(1, 3)) for rng in rngs]) for _ in range(2))
    params = {0: {"W": W1}, 1: {"W": W2.mT}}
    if use_bias:
        params[0]["b"], params[1]["b"] = np.zeros_like(W1), np.zeros((len(seeds), 1, 1))
    X = np.stack([rng.integers(-3, 4, points) for rng in rngs], axis=1).astype(float)
    seen = []
    for i, x in enumerate(X[:, :, None, None]):  # x: (seeds, 1, 1)
        a, caches = network.forward(params, x, ctx)
        _, da = loss(a, x > 0)
        _, grads = network.backward(params, da, caches, ctx)
        for k, layer in params.items():
            params[k] = {name: p - 0.1 * grads[k][name] for name, p in layer.items()}
        if i % 100 == 99:
            seen.append(network.forward(params, GRID, ctx)[0][..., 0])
    return np.array(seen)


def main(folder=".", points=10_000, long=100_000):
    rng = np.random.default_rng(1)
    params = {"W1": rng.normal(size=(1, 3)), "W2": rng.normal(size=(3, 1))}
    X = rng.integers(-3, 4, (8, 1)).astype(float)
    y = (X > 0).astype(float)
    pairs = (forward_that_remembers, backward), (forward, backward_wrong), (forward, backward)
    reports = [check_gradients(*pair, params, X, y) for pair in pairs]
    print(*reports, sep="\n\n", end="\n\n")

    stuck = {}
    for use_bias, total in ((True, points), (False, long)):
        outputs = learn(range(12), use_bias, total)
        errors = 100 * np.mean((outputs - (GRID.T > 0)) ** 2, axis=-1)
        right = np.all((outputs > 0.5) == (GRID.T > 0), axis=-1)  # (total / 100, 12)
        for n in sorted({points, total}):
            late = stuck[use_bias, n] = np.flatnonzero(~right[n // 100 - 1])
            what = f"{n:>6} points, {'with' if use_bias else 'no'} biases"
            left = [f"seed {k} has {errors[n // 100 - 1, k]:.1f}" for k in late]
            print(f"{what}: {12 - len(late)} of 12 seeds right", *left, sep=", ")
    late = stuck[False, points]
    curves = {
        f"the other {12 - len(late)} seeds": np.delete(errors, late, axis=1),
        f"seeds {' and '.join(map(str, late))}": errors[:, late],
    }
    plot_curves(
        np.arange(1, len(errors) + 1) * 100, curves, xlabel="points seen, without biases",
        ylabel="squared error of 100 points", path=Path(folder) / "sign.png",
    )  # fmt: skip
    return reports, stuck


if __name__ == "__main__":
    main(*sys.argv[1:])
