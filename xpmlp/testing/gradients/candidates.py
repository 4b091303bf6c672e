"""The error at a layer: our own line of backprop, and the changes of it that people make.

dZ_L = dC/da * f'(z) at the output, dZ_k = (dZ_(k+1) W_(k+1)^T) * f'(z_k) below.
"""

import itertools
from typing import NamedTuple

import numpy as np

from ...nn.activations import ACTIVATIONS

# Derivatives that are written wrong, of z and a = f(z); right ones are filtered out by their value.
FORMULAS = {
    "logistic": {
        "a (1 + a)": lambda z, a: a * (1 + a),
        "a": lambda z, a: a,
        "1 - a": lambda z, a: 1 - a,
        "a^2": lambda z, a: a * a,
        "(1 - a)^2": lambda z, a: (1 - a) ** 2,
        "exp(z) / (1 + exp(-z))^2": lambda z, a: np.exp(z) / (1 + np.exp(-z)) ** 2,
        "exp(-z) / (1 + exp(z))^2": lambda z, a: np.exp(-z) / (1 + np.exp(z)) ** 2,
        "exp(-z) / (1 - exp(-z))^2": lambda z, a: np.exp(-z) / (1 - np.exp(-z)) ** 2,
        "exp(z) / (1 + exp(-z))": lambda z, a: np.exp(z) / (1 + np.exp(-z)),
        "z (1 - a)": lambda z, a: z * (1 - a),
        "a (1 - z)": lambda z, a: a * (1 - z),
    },
    "tanh": {
        "1 - a": lambda z, a: 1 - a,
        "1 + a": lambda z, a: 1 + a,
        "1 + a^2": lambda z, a: 1 + a * a,
        "(1 - a)^2": lambda z, a: (1 - a) ** 2,
        "1 - 2a": lambda z, a: 1 - 2 * a,
        "a^2": lambda z, a: a * a,
        "a": lambda z, a: a,
        "1 / cosh(z)": lambda z, a: 1 / np.cosh(z),
        "1 / (1 + z^2)": lambda z, a: 1 / (1 + z * z),
    },
    "relu": {
        "a": lambda z, a: a,
        "z": lambda z, a: z,
        "(z < 0)": lambda z, a: (z < 0) * 1.0,
        "sign(z)": lambda z, a: np.sign(z),
    },
}
OTHERS = ("logistic", "tanh", "relu", "softplus", "leaky_relu")


class Candidate(NamedTuple):
    """An error at a layer, the mistakes (kind, layer, text) in it, and their price."""

    array: np.ndarray
    mistakes: tuple
    cost: float


def derivatives(network, k):
    """Return the derivative at layer k, and its known changes [(array, kind, text)]."""
    if k not in network.slopes:
        network.slopes[k] = _derivatives(network, k)
    return network.slopes[k]


def _derivatives(network, k):
    z, a, f = network.z, network.a, network.activations[k - 1]
    zk, ak = z[k - 1], a[k]
    ours = f.backward(np.ones_like(zk), zk, ak, np)
    found = [(np.ones_like(zk), "derivative_missing", f"lacks the derivative of {f.name} at Z{k}")]
    inner = f.forward(ak, np) if f.name != "softmax" else ak
    text = f"takes the derivative of {f.name} at A{k}, the activation, where Z{k} belongs"
    found.append((f.backward(np.ones_like(zk), ak, inner, np), "derivative_at_activation", text))
    text = f"takes the derivative of {f.name}, written for the activation, at Z{k}: pass it A{k}"
    found.append((f.backward(np.ones_like(zk), zk, zk, np), "derivative_formula", text))
    for j, g in enumerate(network.activations, 1):
        other = g.backward(np.ones_like(z[j - 1]), z[j - 1], a[j], np)
        if j != k and other.shape[-1] in (1, zk.shape[-1]):
            text = f"takes the derivative at layer {j}'s Z{j} where Z{k} belongs"
            found.append((other, "derivative_wrong_layer", text))
    with np.errstate(all="ignore"):
        for label, formula in FORMULAS.get(f.name, {}).items():
            text = f"takes {label} for the derivative of {f.name}"
            found.append((formula(zk, ak), "derivative_formula", text))
        for name in OTHERS:
            g = ACTIVATIONS[name]
            for at, value in ((zk, ak), (zk, g.forward(zk, np)), (ak, g.forward(ak, np))):
                text = f"takes the derivative of {name}, the activation is {f.name}"
                other = g.backward(np.ones_like(zk), at, value, np)
                found.append((other, "derivative_formula", text))
        found.append((ours * ours, "derivative_formula", f"has f'(Z{k}) twice"))
    return ours, _new(found, ours)


def _new(found, ours):
    """Leave out what is not finite, and what is the same as ours or one before."""
    kept, shape = [], ours.shape

    def print_of(array):
        whole = np.broadcast_to(array, shape) if array.shape != shape else array
        return f"{np.linalg.norm(whole):.9e} {whole.ravel() @ weights:.6e}"

    weights = np.cos(np.arange(ours.size))
    known = {print_of(ours)}
    for array, kind, text in found:
        if np.isfinite(array).all() and (mark := print_of(array)) not in known:
            known.add(mark)
            kept.append((array, kind, text))
    return kept


def output_errors(network):
    """Yield candidates for dZ of the last layer."""
    a, L = network.a, len(network.z)
    y, s, eps = network.points.y, network.scale, network.log_eps
    f, p, error = network.activations[-1], a[-1], a[-1] - network.points.y
    squared = network.loss == "squared_error"

    def plain(array, *mistakes):
        return Candidate(array, tuple((kind, L, text) for kind, text in mistakes), len(mistakes))

    with np.errstate(all="ignore"):
        dA = {
            "squared_error": 2 * s * error,
            "absolute_error": s * np.sign(error),
            "log_loss": -s * y / (p + eps),
            "binary_log_loss": s * ((1 - y) / (1 - p + eps) - y / (p + eps)),
        }[network.loss]
        slope, changes = derivatives(network, L)
        ours = _through(f, dA, p, slope)
        yield plain(ours)
        lost = (
            "absolute",
            f"dZ{L}, the error at the output, lost its sign: it equals |true error|",
        )
        if not np.allclose(ours, np.abs(ours)):
            yield plain(np.abs(ours), lost)
        smooth = f.name in ("logistic", "softmax")
        form = f"the derivative of {f.name}"
        if squared and smooth:
            text = f"the cost is a squared error, but A - Y without {form} is "
            text = f"dZ{L} is the error of another loss: {text}that of a cross-entropy"
            for c in (2 * s, s):
                yield plain(c * error, ("other_loss", text))
                yield plain(c * np.abs(error), ("other_loss", text), lost)
        if not squared and smooth:
            for c, whole in itertools.product((2 * s, s), (False, True)):
                other = _through(f, c * error, p, slope) if whole else c * error * slope
                by = form if whole or f.name != "softmax" else "a (1 - a)"
                text = f"the cost is a cross-entropy, but A - Y times {by} is that of a squared "
                text = f"dZ{L} is the error of another loss: {text}error"
                yield plain(other, ("other_loss", text))
        if network.loss == "absolute_error":
            yield plain(
                2 * s * error * slope,
                ("other_loss", f"dZ{L} is the error of another loss: that of a squared error"),
            )
        for d, kind, text in changes:
            if kind == "derivative_missing" and squared and smooth:
                continue
            for base, more in ((dA, ()), (np.abs(dA), (lost,))):
                yield plain(base * d, (kind, f"dZ{L} {text}"), *more)
        if f.name == "softmax":
            text = f"dZ{L} takes a (1 - a) for the derivative of softmax, which has a whole matrix"
            yield plain(dA * slope, ("derivative_formula", text))
        n, mean = error.shape[-2], np.mean(ours, axis=-2, keepdims=True)
        text = f"dZ{L} is averaged over the samples before it goes back: each has its own"
        for array in (mean, np.mean(dA, axis=-2, keepdims=True) * slope):
            yield plain(np.broadcast_to(array * n, ours.shape), ("averaged", text))


def _through(f, dA, p, slope):
    """Return dZ from dA at the output; a softmax's units depend on each other."""
    if f.name == "softmax":
        return p * (dA - np.sum(dA * p, axis=-1, keepdims=True))
    return dA * slope


def hidden_errors(network, dZ, k):
    """Yield candidates for dZ of layer k, given those of the layers behind it."""
    W, up = network.W, dZ[k + 1]
    slope, changes = derivatives(network, k)
    back = up @ W[k].mT
    yield Candidate(back * slope, (), 0.0)
    sent: list[tuple] = [(back, ())]
    lines = list(_sent(network, dZ, k))
    sent += [(array, ((kind, layer, f"dZ{k} {text}"),)) for array, kind, layer, text in lines]
    text = f"dZ{k} lost its sign: an absolute value is taken of the error"
    sent.append((np.abs(back), (("absolute", k, text),)))
    for array, mistakes in sent[1:]:
        yield Candidate(array * slope, mistakes, 1.0)
    for d, kind, text in changes:
        for array, mistakes in sent:
            of = ((kind, k, f"dZ{k} {text}"),)
            yield Candidate(array * d, mistakes + of, 1.0 + len(mistakes))


def _sent(network, dZ, k):
    """Yield (error sent back to layer k, kind, layer, text) for the known wrong ways."""
    W, up, shape = network.W, dZ[k + 1], network.z[k - 1].shape
    name = network.notation.weight
    for j, other in enumerate(W, 1):
        for turned, form in ((other.mT, name(j)), (other, f"the transpose of {name(j)}")):
            fits = turned.shape[1] == up.shape[-1] and turned.shape[2] == shape[-1]
            if fits and not (j == k + 1 and turned is not other):
                how = "turned the wrong way" if j == k + 1 else f"where {name(k + 1)} belongs"
                form = name(j) if j == k + 1 else form
                text = f"is sent back through {form} {how}; {network.notation.sent_back(k)}"
                yield up @ turned, "wrong_weights", k, text
    if up.shape[-1] in (1, shape[-1]):
        text = f"is not sent back through W{k + 1}: dZ{k + 1} is taken over as it is"
        yield np.broadcast_to(up, shape), "layer_skipped", k, text
    for j in range(k + 2, len(W) + 1):
        for i in range(k + 1, j + 1):
            if W[i - 1].shape[-1] == dZ[j].shape[-1] and W[i - 1].shape[-2] == shape[-1]:
                text = f"comes from dZ{j} through W{i}: the error jumps over a layer"
                yield dZ[j] @ W[i - 1].mT, "layer_skipped", k, text
    # The error behind f'(Z_{k+1}): that derivative is left out on the way down only.
    if k + 2 <= len(W):
        text = f"comes from an error that lacks the derivative at Z{k + 1}"
        error = dZ[k + 2] @ W[k + 1].mT @ W[k].mT
        yield error, "derivative_missing", k + 1, text
    elif network.loss == "squared_error":
        text = f"comes from the error A - Y without the derivative at Z{k + 1}"
        error = 2 * network.scale * (network.a[-1] - network.points.y) @ W[k].mT
        yield error, "derivative_missing", k + 1, text


def inputs(network, k):
    """Yield (name, array) of what may stand where layer k's input belongs."""
    z, a = network.z, network.a
    width = a[k - 1].shape[-1]
    for j in range(len(a)):
        if j != k - 1 and a[j].shape[-1] == width:
            yield (f"A{j}" if j else "X"), a[j]
        if j and z[j - 1].shape[-1] == width:
            yield f"Z{j}", z[j - 1]
