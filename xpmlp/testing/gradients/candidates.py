"""Errors at a layer: the right line of backprop, and the mistakes that people make in it.

dZ_L = dC/da * f'(z) at the output, dZ_k = (dZ_(k+1) W_(k+1)^T) * f'(z_k) below.
"""

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
SMOOTH = ("logistic", "softmax")  # whose error with a cross-entropy is A - Y


class Candidate(NamedTuple):
    """An error at a layer, the mistakes (kind, layer, text) in it, and their price."""

    array: np.ndarray
    mistakes: tuple = ()
    cost: float = 0.0


def our_errors(network):
    """Return our own dZ by layer, from the last to the first: each the first candidate."""
    L = len(network.W)
    dZ = {L: next(output_errors(network)).array}
    for k in range(L - 1, 0, -1):
        dZ[k] = next(hidden_errors(network, dZ, k)).array
    return dZ


def activation_derivative(network, k):
    """Return f'(Z) of layer k, and its known changes [(array, kind, text)]."""
    if k not in network.slopes:
        with np.errstate(all="ignore"):
            slope, *changes = _derivatives(network, k)
            network.slopes[k] = slope, _new(changes, slope)
    return network.slopes[k]


def _derivatives(network, k):
    """Yield f'(Z) of layer k, then the changes of it."""
    z, a, f = network.z, network.a, network.activations[k - 1]
    zk, ak, one = z[k - 1], a[k], np.ones_like(z[k - 1])
    ours = ak * (1.0 - ak) if f.name == "softmax" else f.backward(one, zk, ak, np)
    yield ours
    yield one, "derivative_missing", f"lacks the derivative of {f.name} at Z{k}"
    inner = ak
    if f.name != "softmax":
        inner = f.forward(ak, np)
    text = f"takes the derivative of {f.name} at A{k}, the activation, where Z{k} belongs"
    yield f.backward(one, ak, inner, np), "derivative_at_activation", text
    text = f"takes the derivative of {f.name}, written for the activation, at Z{k}: pass it A{k}"
    yield f.backward(one, zk, zk, np), "derivative_formula", text
    for j, g in enumerate(network.activations, 1):
        if j != k and z[j - 1].shape[-1] in (1, zk.shape[-1]):
            other = g.backward(np.ones_like(z[j - 1]), z[j - 1], a[j], np)
            text = f"takes the derivative at layer {j}'s Z{j} where Z{k} belongs"
            yield other, "derivative_wrong_layer", text
    for label, formula in FORMULAS.get(f.name, {}).items():
        yield formula(zk, ak), "derivative_formula", f"takes {label} for the derivative of {f.name}"
    for name in OTHERS:
        g = ACTIVATIONS[name]
        text = f"takes the derivative of {name}, the activation is {f.name}"
        for at, value in ((zk, ak), (zk, g.forward(zk, np)), (ak, g.forward(ak, np))):
            yield g.backward(one, at, value, np), "derivative_formula", text
    yield ours * ours, "derivative_formula", f"has f'(Z{k}) twice"


def _new(found, ours):
    """Leave out what is not finite, and what equals the right one or one before."""
    kept, weights = [], np.cos(np.arange(ours.size))

    def print_of(array):
        whole = np.broadcast_to(array, ours.shape)
        return f"{np.linalg.norm(whole):.9e} {whole.ravel() @ weights:.6e}"

    known = {print_of(ours)}
    for array, kind, text in found:
        if np.isfinite(array).all() and (mark := print_of(array)) not in known:
            known.add(mark)
            kept.append((array, kind, text))
    return kept


def output_errors(network):
    """Yield candidates for dZ of the last layer."""
    L, s, eps, y = len(network.z), network.scale, network.log_eps, network.y
    f, p = network.activations[-1], network.a[-1]
    error = p - y
    lost = "absolute", L, f"dZ{L}, the error at the output, lost its sign: it equals |true error|"
    with np.errstate(all="ignore"):
        dA = {
            "squared_error": 2 * s * error,
            "absolute_error": s * np.sign(error),
            "log_loss": -s * y / (p + eps),
            "binary_log_loss": s * ((1 - y) / (1 - p + eps) - y / (p + eps)),
        }[network.loss]
        slope, changes = activation_derivative(network, L)
        ours = network.through(L, dA)
        yield Candidate(ours)
        if not np.allclose(ours, np.abs(ours)):
            yield Candidate(np.abs(ours), (lost,), 1.0)
        for array, text, *more in _errors_of_other_losses(network, error, slope, lost):
            other = "other_loss", L, f"dZ{L} is the error of another loss: {text}"
            yield Candidate(array, (other, *more), 1.0 + len(more))
        for d, kind, text in changes:
            if (
                kind == "derivative_missing"
                and f.name in SMOOTH
                and network.loss == "squared_error"
            ):
                continue  # said as the error of another loss
            change = kind, L, f"dZ{L} {text}"
            yield Candidate(dA * d, (change,), 1.0)
            yield Candidate(np.abs(dA) * d, (change, lost), 2.0)
        if f.name == "softmax":
            text = f"dZ{L} takes a (1 - a) for the derivative of softmax, which has a whole matrix"
            yield Candidate(dA * slope, (("derivative_formula", L, text),), 1.0)
        text = f"dZ{L} is averaged over the samples before it goes back: each has its own"
        for mean in (ours.mean(axis=-2, keepdims=True), dA.mean(axis=-2, keepdims=True) * slope):
            array = np.broadcast_to(mean * error.shape[-2], ours.shape)
            yield Candidate(array, (("averaged", L, text),), 1.0)


def _errors_of_other_losses(network, error, slope, lost):
    """Yield (dZ of the last layer, which loss it belongs to, further mistakes)."""
    f, scales = network.activations[-1], (2 * network.scale, network.scale)
    if network.loss == "squared_error" and f.name in SMOOTH:
        text = "the cost is a squared error, but A - Y without the derivative of "
        text += f"{f.name} is that of a cross-entropy"
        for c in scales:
            yield c * error, text
            yield c * np.abs(error), text, lost
    elif f.name in SMOOTH:
        whole = f"the derivative of {f.name}"
        units = whole.replace("the derivative of softmax", "a (1 - a)")
        text = "the cost is a cross-entropy, but A - Y times {} is that of a squared error"
        for c in scales:
            yield c * error * slope, text.format(units)
            yield network.through(len(network.z), c * error), text.format(whole)
    if network.loss == "absolute_error":
        yield scales[0] * error * slope, "that of a squared error"


def hidden_errors(network, dZ, k):
    """Yield candidates for dZ of layer k, given those of the layers behind it."""
    _, changes = activation_derivative(network, k)
    back = network.sent_back(k, dZ[k + 1])
    yield Candidate(network.through(k, back))
    sent: list[tuple] = [(back, ())]
    for array, kind, layer, text in _wrong_ways_back(network, dZ, k):
        sent.append((array, ((kind, layer, f"dZ{k} {text}"),)))
    text = f"dZ{k} lost its sign: an absolute value is taken of the error"
    sent.append((np.abs(back), (("absolute", k, text),)))
    for array, mistakes in sent[1:]:
        yield Candidate(network.through(k, array), mistakes, 1.0)
    for d, kind, text in changes:
        change = kind, k, f"dZ{k} {text}"
        for array, mistakes in sent:
            yield Candidate(array * d, (*mistakes, change), 1.0 + len(mistakes))


def _wrong_ways_back(network, dZ, k):
    """Yield (error sent back to layer k, kind, layer, text) for the known mistakes."""
    W, up, shape = network.W, dZ[k + 1], network.z[k - 1].shape
    name, right = network.notation.weight, network.notation.weight(k + 1)
    for j, other in enumerate(W, 1):
        ways = [
            (other.mT, f"{name(j)} where {right} belongs"),
            (other, f"the transpose of {name(j)} where {right} belongs"),
        ]
        if j == k + 1:
            ways = [(other, f"{right} turned the wrong way")]
        for matrix, how in ways:
            if matrix.shape[1:] == (up.shape[-1], shape[-1]):
                text = f"is sent back through {how}; {network.notation.sent_back(k)}"
                yield up @ matrix, "wrong_weights", k, text
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
        error = network.sent_back(k, network.sent_back(k + 1, dZ[k + 2]))
        yield error, "derivative_missing", k + 1, text
    elif network.loss == "squared_error":
        text = f"comes from the error A - Y without the derivative at Z{k + 1}"
        error = network.sent_back(k, 2 * network.scale * (network.a[-1] - network.y))
        yield error, "derivative_missing", k + 1, text


def inputs(network, k):
    """Yield (name, array) of what may stand where layer k's input belongs."""
    z, a = network.z, network.a
    width = network.inputs[k - 1].shape[-1]
    for j in range(len(a)):
        if j != k - 1 and a[j].shape[-1] == width:
            yield network.notation.input(j + 1), a[j]
        if j and z[j - 1].shape[-1] == width:
            yield f"Z{j}", z[j - 1]
