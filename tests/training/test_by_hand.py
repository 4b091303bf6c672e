"""Whole trainings against a loop written by hand: all that a step does, in its order.

Its gradients are the objective's complex-step derivatives (Squire & Trapp 1998), exact to rounding:
no backward pass stands in for another.
"""

import numpy as np
from conftest import assert_close
from each import each

from xpmlp import train
from xpmlp.engines import generic_engine
from xpmlp.nn import Activation, BatchNorm, Dense, Network
from xpmlp.optim import RULES

NETWORK = Network([Dense(5, use_bias=False), BatchNorm(momentum=0.2), Activation("tanh"), Dense(3)])
WEIGHTS = [(0, "W"), (3, "W")]
TRAINED = [(0, "W"), (1, "g"), (1, "b"), (3, "W"), (3, "b")]
RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(22, 4)), np.eye(3)[RNG.integers(0, 3, 22)]
SAMPLE_WEIGHT = RNG.integers(0, 3, 22) * 1.5
ROWS, EPOCHS, LR, ALPHA, DECAY, EPSILON = 5, 3, 0.06, 0.2, 0.05, 1e-2  # the last batch has 2 rows
BOUNDS = {"max_grad_norm": 1.0, "max_norm": 0.6, "ema_decay": 0.8}
B1, B2 = 0.8, 0.95


def sgd(p, g, s, t):
    """Sutskever et al. 2013, at the look-ahead point."""
    s["v"] = 0.7 * s.get("v", 0.0) - LR * g
    return p + 0.7 * s["v"] - LR * g


def adam(p, g, s, t, ahead=0):
    """Kingma & Ba 2015, the form before section 2.1, whose epsilon stands by the plain root."""
    s["m"] = B1 * s.get("m", 0.0) + (1 - B1) * g
    s["v"] = B2 * s.get("v", 0.0) + (1 - B2) * g**2
    m = s["m"]
    if ahead:
        m = B1 * m + (1 - B1) * g
    rate = LR * np.sqrt(1 - B2**t) / (1 - B1 ** (t + ahead))
    return p - rate * m / (np.sqrt(s["v"]) + EPSILON)


def nadam(p, g, s, t):
    """Dozat 2016."""
    return adam(p, g, s, t, ahead=1)


def lion(p, g, s, t):
    """Chen et al. 2023, algorithm 2."""
    m = s.get("m", 0.0)
    s["m"] = 0.99 * m + 0.01 * g
    return p - LR * np.sign(0.9 * m + 0.1 * g)


def rmsprop(p, g, s, t):
    """Tieleman & Hinton 2012."""
    s["v"] = 0.9 * s.get("v", 0.0) + 0.1 * g**2
    return p - LR * g / (np.sqrt(s["v"]) + EPSILON)


def adagrad(p, g, s, t):
    """Duchi et al. 2011."""
    s["v"] = s.get("v", 0.0) + g**2
    return p - LR * g / (np.sqrt(s["v"]) + EPSILON)


BY_HAND = {
    "sgd": sgd, "adam": adam, "adamw": adam, "nadam": nadam,
    "lion": lion, "rmsprop": rmsprop, "adagrad": adagrad,
}  # fmt: skip


def objective(p, x, y, w):
    """Data loss, penalty and the batch's statistics; p: (layer, name) -> array, real or complex."""
    share = w[:, None] / w.sum()
    z = x @ p[0, "W"]
    mean = (share * z).sum(axis=0)
    var = (share * (z - mean) ** 2).sum(axis=0)
    a = np.tanh(p[1, "g"] * (z - mean) / np.sqrt(var + 1e-5) + p[1, "b"])
    logits = a @ p[3, "W"] + p[3, "b"]
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    penalty = 0.5 * ALPHA * sum((p[k] ** 2).sum() for k in WEIGHTS) / w.sum()
    return -(share * y * log_p).sum(), penalty, mean, var


def gradient(p, *batch):
    """The objective's derivative, penalty included, with respect to each trained parameter."""
    grads = {}
    for k in TRAINED:
        grads[k] = np.empty_like(p[k])
        for at in np.ndindex(p[k].shape):
            moved = p[k].astype(complex)
            moved[at] += 1e-30j
            value, penalty, _, _ = objective(p | {k: moved}, *batch)
            grads[k][at] = (value + penalty).imag / 1e-30
    return grads


def by_hand(p, solver):
    """Parameters to predict with, the loss of each epoch, and how often each bound acted."""
    p, slots = dict(p), {k: {} for k in TRAINED}
    average, losses = {k: np.zeros_like(p[k]) for k in TRAINED}, []
    clipped, bounded, t = [], [], 0
    for _ in range(EPOCHS):
        total = 0.0
        for start in range(0, len(X), ROWS):
            batch = [a[start : start + ROWS] for a in (X, Y, SAMPLE_WEIGHT)]
            n, t = len(batch[0]), t + 1
            value, penalty, mean, var = objective(p, *batch)
            total += n * (value + penalty)
            grads = gradient(p, *batch)
            norm = np.sqrt(sum((g**2).sum() for g in grads.values()))
            clipped.append(norm > BOUNDS["max_grad_norm"])
            for k in TRAINED:
                g = grads[k] * min(1.0, BOUNDS["max_grad_norm"] / norm)
                if k in WEIGHTS:
                    p[k] = p[k] * (1 - LR * DECAY)
                p[k] = BY_HAND[solver](p[k], g, slots[k], t)
                if k in WEIGHTS:
                    norms = np.linalg.norm(p[k], axis=0)
                    bounded += [*(norms > BOUNDS["max_norm"])]
                    p[k] = p[k] * np.minimum(1.0, BOUNDS["max_norm"] / norms)
                average[k] = 0.8 * average[k] + 0.2 * p[k]
            for name, now in (("mean", mean), ("var", var)):
                p[1, name] = p[1, name] + 0.2 * n / ROWS * (now - p[1, name])
        losses.append(total / len(X))
    made = p | {k: a / (1 - 0.8**t) for k, a in average.items()}
    return made, losses, [np.mean(clipped), np.mean(bounded)]


@each("solver", RULES)
@each("engine", ["generic", "numpy"])
def test_a_training_equals_the_loop_by_hand(engine, solver, plain, monkeypatch):
    if engine == "generic":
        monkeypatch.setattr("xpmlp.training.fit.engine_for", lambda *_: generic_engine(plain.xp))
    params, _ = NETWORK.init(4, np.random.default_rng(1))
    flat = {(i, k): a for i, layer in params.items() for k, a in layer.items()}
    want, losses, shares = by_hand(flat, solver)
    assert all(0.07 < share < 0.93 for share in shares), shares  # each acts now and then
    made = train(
        NETWORK, X, Y, params=params, loss="log_loss", solver=solver, sample_weight=SAMPLE_WEIGHT,
        learning_rate_init=LR, batch_size=ROWS, max_iter=EPOCHS, shuffle=False, alpha=ALPHA,
        weight_decay=DECAY, momentum=0.7, beta_1=B1, beta_2=B2, epsilon=EPSILON, **BOUNDS,
    )  # fmt: skip
    got = {(i, k): a for i, layer in made.params.items() for k, a in layer.items()}
    assert_close(got, want, 1e-10)
    np.testing.assert_allclose(made.history["loss"], losses, rtol=1e-10)
