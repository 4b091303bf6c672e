"""Errors at a layer: the right line of backprop, and the mistakes that people make in it.

dZ_L = dC/da * f'(z) at the output, dZ_k = (dZ_(k+1) W_(k+1)^T) * f'(z_k) below.
"""

import itertools
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...nn.activations import ACTIVATIONS
from .identify import data_slopes

# Derivatives that are written wrong, of z and a = f(z); right ones are filtered out by their value.
# Polynomials of both are also found as fits, if nothing else is wrong at the layer.
FORMULAS = {
    "logistic": {
        "a (1 + a)": lambda z, a: a * (1 + a),
        "exp(z) / (1 + exp(-z))^2": lambda z, a: np.exp(z) / (1 + np.exp(-z)) ** 2,
        "exp(-z) / (1 + exp(z))^2": lambda z, a: np.exp(-z) / (1 + np.exp(z)) ** 2,
        "exp(-z) / (1 - exp(-z))^2": lambda z, a: np.exp(-z) / (1 - np.exp(-z)) ** 2,
        "exp(z) / (1 + exp(-z))": lambda z, a: np.exp(z) / (1 + np.exp(-z)),
    },
    "tanh": {
        "1 + a^2": lambda z, a: 1 + a * a,
        "1 / cosh(z)": lambda z, a: 1 / np.cosh(z),
        "1 / (1 + z^2)": lambda z, a: 1 / (1 + z * z),
    },
    "relu": {
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


@np.errstate(all="ignore")  # losses of other networks may not be finite here
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
        slope, *changes = _derivatives(network, k)
        changes = _new(changes, slope)
        if network.activations[k - 1].name == "softmax":
            text = "takes a (1 - a) for the derivative of softmax, which has a whole matrix"
            changes.append((slope, "derivative_formula", text))
        network.slopes[k] = slope, changes
    return network.slopes[k]


def _derivatives(network, k):
    """Yield f'(Z) of layer k, then the changes of it."""
    z, a, f = network.z, network.a, network.activations[k - 1]
    zk, ak, one = z[k - 1], a[k], np.ones_like(z[k - 1])
    if zk.shape != ak.shape:  # the user's own function, no unit to a unit
        yield one
        return
    ours = ak * (1.0 - ak) if f.name == "softmax" else f.backward(one, zk, ak, np)
    yield ours
    yield one, "derivative_missing", f"lacks the derivative of {f.name} at Z{k}"
    if k in network.masks:
        bare = network.masks[k]
        text = f"lacks the mask by which A{k} is multiplied"
        without = bare.backward(one, zk, bare.forward(zk, np), np)
        yield without, "mask_missing", text
        kept = np.abs(without) > 1e-12
        scale = float(np.max(np.abs(ours[kept] / without[kept]), initial=0.0))
        text += f", though not the scale of those that are kept, {scale:.6g}"
        yield scale * without, "mask_missing", text
    inner = ak
    if f.name != "softmax":
        inner = f.forward(ak, np)
    text = f"takes the derivative of {f.name} at A{k}, the activation, where Z{k} belongs"
    yield f.backward(one, ak, inner, np), "derivative_at_activation", text
    text = f"takes the derivative of {f.name}, written for the activation, at Z{k}: pass it A{k}"
    yield f.backward(one, zk, zk, np), "derivative_formula", text
    for j, g in enumerate(network.activations, 1):
        if j != k and z[j - 1].shape == a[j].shape and a[j].shape[-1] in (1, zk.shape[-1]):
            other = g.backward(np.ones_like(z[j - 1]), z[j - 1], a[j], np)
            text = f"takes the derivative at layer {j}'s Z{j} where Z{k} belongs"
            yield other, "derivative_wrong_layer", text
    for label, at, kind in _beside(network, k):
        text, ones = f"takes the derivative of {f.name} at {label} where Z{k} belongs", at * 0 + 1
        yield f.backward(ones, at, f.forward(at, np), np), kind, text
        yield f.backward(ones, at, at, np), kind, text
    for label, formula in FORMULAS.get(f.name, {}).items():
        yield formula(zk, ak), "derivative_formula", f"takes {label} for the derivative of {f.name}"
    for name in OTHERS:
        g = ACTIVATIONS[name]
        text = f"takes the derivative of {name}, the activation is {f.name}"
        for at, value in ((zk, ak), (zk, g.forward(zk, np)), (ak, g.forward(ak, np))):
            yield g.backward(one, at, value, np), "derivative_formula", text
    yield ours * ours, "derivative_formula", f"has f'(Z{k}) twice"
    for label, array in ((f"A{k}", ak), (f"Z{k}", zk)):
        text = f"takes {label} for the derivative of {f.name}"
        yield array, "derivative_formula", text
    yield 1 / ours, "derivative_formula", f"is divided by f'(Z{k}), it belongs multiplied"


def _beside(network, k):
    """Yield (name, array, which mistake) of the values that Z of layer k may be confused with."""
    width, last = network.z[k - 1].shape[-1], len(network.z)
    for j in range(last + 1):
        if j != k and network.a[j].shape[-1] in (1, width):
            yield network.notation.input(j + 1), network.a[j], "derivative_wrong_layer"
            if j:
                yield f"Z{j}", network.z[j - 1], "derivative_wrong_layer"
    if k == last:
        error = network.a[k] - network.y
        yield f"A{k} - Y, the error,", error, "derivative_formula"
        yield "Y", network.y, "derivative_formula"


def _new(found, ours):
    """Leave out what is not finite, and what equals the right one or one before."""
    kept, weights = [], np.cos(np.arange(ours.size))

    def print_of(array):
        whole = np.broadcast_to(array, ours.shape)
        return f"{np.linalg.norm(whole):.9e} {whole.ravel() @ weights:.6e}"

    known = {print_of(ours)}
    for array, kind, text in found:
        if array.shape[-1] not in (1, ours.shape[-1]) or not np.isfinite(array).all():
            continue
        if (mark := print_of(array)) not in known:
            known.add(mark)
            kept.append((array, kind, text))
    return kept


def output_errors(network):
    """Yield candidates for dZ of the last layer."""
    L, y = len(network.z), network.y
    f, p = network.activations[-1], network.a[-1]
    error = p - y
    lost = "absolute", L, f"dZ{L}, the error at the output, lost its sign: it equals |true error|"
    dAs = _loss_derivatives(network)
    dA = dAs.pop(network.loss, network.output_dA)
    slope, changes = activation_derivative(network, L)
    ours = network.through(L, dA)
    yield Candidate(ours)
    if not any(np.allclose(sign * ours, np.abs(ours)) for sign in (1.0, -1.0)):
        yield Candidate(np.abs(ours), (lost,), 1.0)
    for array, text, *more in _errors_of_other_losses(network, error, slope, lost):
        other = "other_loss", L, f"dZ{L} is the error of another loss: {text}"
        yield Candidate(array, (other, *more), 1.0 + len(more))
    for d, kind, text in changes:
        if kind == "derivative_missing" and f.name in SMOOTH and network.loss == "squared_error":
            continue  # said as the error of another loss
        change = kind, L, f"dZ{L} {text}"
        yield Candidate(dA * d, (change,), 1.0)
        yield Candidate(np.abs(dA) * d, (change, lost), 2.0)
    for array, kind, text in _other_errors(network, ours, dA, slope, dAs):
        if np.isfinite(array).all():
            yield Candidate(array, ((kind, L, f"dZ{L} {text}"),), 1.1)


def _other_errors(network, ours, dA, slope, others):
    """Yield (dZ of the last layer, kind, text): other losses, averages."""
    L, eps, cost = len(network.z), network.log_eps, network.loss.replace("_", " ")
    for loss, other in others.items():
        text = f"is the error of another loss: that of {loss}, the cost is {cost}".replace("_", " ")
        yield network.through(L, other), "other_loss", text
        yield other, "other_loss", text
    if eps:
        exact = _loss_derivatives(replace(network, log_eps=0.0))[network.loss]
        text = f"takes no account of the {eps:g} that the cost adds in its logarithm"
        yield network.through(L, exact), "log_eps", text
    for array, text in _blurred(ours, "is"):
        yield array, "averaged", text
    for array, text in _blurred(dA, "comes from an error that is"):
        yield array * slope, "averaged", text


def _loss_derivatives(network):
    """Return the derivative of each loss, of the cost's scale, by the last activation."""
    slopes = data_slopes(network.a[-1], network.y, network.log_eps)
    return {loss: network.scale * dA for loss, dA in slopes}


def _blurred(error, name):
    """Yield (error, text) that is no more one of each sample and unit."""
    for axis, over in ((-2, "samples"), (-1, "units"), ((-2, -1), "samples and units")):
        if over == "units" and error.shape[-1] == 1:
            continue
        total, mean = (of(error, axis=axis, keepdims=True) for of in (np.sum, np.mean))
        for array, how in ((total, "added up"), (mean, "averaged")):
            text = f"{name} {how} over the {over} before it goes on: each has its own"
            yield np.broadcast_to(array, error.shape), text


def _errors_of_other_losses(network, error, slope, lost):
    """Yield (dZ of the last layer, which loss it belongs to, further mistakes)."""
    f, scales = network.activations[-1], (2 * network.scale, network.scale)
    if network.loss == "own":
        sizes = itertools.product((2.0, 1.0), (1, network.n, error[0].size))
        for c in (factor / size for factor, size in sizes):
            yield c * error, "that of a cross-entropy, or of a square, A - Y"
            yield c * error * slope, f"that of a square, A - Y times the derivative of {f.name}"
        return
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
    slope, changes = activation_derivative(network, k)
    back = network.sent_back(k, dZ[k + 1])
    right = network.through(k, back)
    yield Candidate(right)
    sent: list[tuple] = [(back, ())]
    for array, kind, layer, text in _wrong_ways_back(network, dZ, k, back):
        sent.append((array, ((kind, layer, f"dZ{k} {text}"),)))
    for array, mistakes in sent[1:]:
        yield Candidate(network.through(k, array), mistakes, 1.0)
    for through, text in network.variants.get(k, ()):
        yield Candidate(through(back), (("derivative_missing", k, f"dZ{k} {text}"),), 1.0)
    if slope.shape != back.shape:
        return
    for array, kind, text in _misapplied(network, back, right, slope, k):
        yield Candidate(array, ((kind, k, f"dZ{k} is {text}"),), 1.1)
    for d, kind, text in changes:
        change = kind, k, f"dZ{k} {text}"
        for array, mistakes in sent:
            yield Candidate(array * d, (*mistakes, change), 1.0 + len(mistakes))


def _misapplied(network, back, right, slope, k):
    """Yield (dZ of layer k, kind, text) where a function stands in a wrong place."""
    f, up, shape = network.activations[k - 1], f"dZ{k + 1}", back.shape
    of, belongs = f"{f.name} of the error", f"belongs; {network.notation.sent_back(k)}"
    for c in (1.0, network.n):  # the 1/n of the mean may come later
        sent = c * back
        for g in dict.fromkeys((f, ACTIVATIONS["relu"], *network.activations)):
            text = f"{g.name} of the error sent back: the derivative at Z{k} {belongs}"
            yield g.forward(sent, np) / c, "derivative_formula", text
            text = f"{g.name} of the error sent back, times f'(Z{k}): no activation {belongs}"
            yield g.forward(sent, np) * slope / c, "derivative_formula", text
            text = f"{g.name} of the error: no activation {belongs}"
            yield g.forward(c * right, np) / c, "derivative_formula", text
        for at in (f.forward(sent, np), sent):
            d = f.backward(np.ones(shape), sent, at, np)
            text = f"the derivative of {of}, where that at Z{k} {belongs}"
            yield d / c, "derivative_formula", text
            text = f"the error times the derivative of {of}, where that at Z{k} {belongs}"
            yield d * back, "derivative_formula", text
    yield np.broadcast_to(slope, shape), "layer_skipped", f"f'(Z{k}) alone: {up} is left out"
    yield back + slope, "derivative_formula", f"a sum of {up} sent back and f'(Z{k}), not a product"


def _wrong_ways_back(network, dZ, k, back):
    """Yield (error sent back to layer k, kind, layer, text) for the known mistakes."""
    W, up, shape = network.W, dZ[k + 1], back.shape
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
    skipped = f"is not sent back through {right}"
    if k in network.shortcuts:
        text = f"holds the share of layer {k + 1} alone: that of the shortcut past it is missing"
        back = network.sent_back(k, up) - network.shortcuts[k]
        yield back, "path_missing", k, text
    if up.shape[-1] in (1, shape[-1]):
        text = f"{skipped}: dZ{k + 1} is taken over as it is"
        yield np.broadcast_to(up, shape), "layer_skipped", k, text
    for j in range(k + 2, len(W) + 1):
        if dZ[j].shape[-1] in (1, shape[-1]):
            text = f"{skipped}: dZ{j} is taken over as it is"
            yield np.broadcast_to(dZ[j], shape), "layer_skipped", k, text
        for i in range(k + 1, j + 1):
            if W[i - 1].shape[-1] == dZ[j].shape[-1] and W[i - 1].shape[-2] == shape[-1]:
                text = f"comes from dZ{j} through {name(i)}: the error jumps over a layer"
                yield dZ[j] @ W[i - 1].mT, "layer_skipped", k, text
    for array, text in _blurred(back, f"comes from the error sent back through {right},"):
        yield array, "averaged", k, text
    for array, text in _blurred(up, f"comes from dZ{k + 1},"):
        yield network.sent_back(k, array), "averaged", k, text
        if "units" in text:
            yield np.broadcast_to(array[..., :1], shape), "averaged", k, text
    text = "lost its sign: an absolute value is taken of the error"
    yield np.abs(back), "absolute", k, text
    yield network.sent_back(k, np.abs(up)), "absolute", k, text
    yield from _raw_errors_sent_back(network, dZ, k)


def _raw_errors_sent_back(network, dZ, k):
    """Yield errors as above from one before f'(Z_{k+1}): that is left out on the way down only."""
    if k + 2 <= len(network.W):
        error, what = network.sent_back(k + 1, dZ[k + 2]), "an error that lacks"
    else:
        dA = _loss_derivatives(network).get(network.loss, network.output_dA)
        if network.loss != "squared_error" and np.allclose(network.through(k + 1, dA), dA):
            return
        error, what = dA, "the error A - Y without"
    text = f"comes from {what} the derivative at Z{k + 1}"
    if network.loss != "squared_error" and k + 1 == len(network.W):
        text = f"comes from the derivative of the cost at A{k + 1}, without that at Z{k + 1}"
    yield network.sent_back(k, error), "derivative_missing", k + 1, text
    shape = network.sent_back(k, dZ[k + 1]).shape
    if error.shape[-1] in (1, shape[-1]):
        text += f", and is not sent back through {network.notation.weight(k + 1)}"
        yield np.broadcast_to(error, shape), "layer_skipped", k, text


def inputs(network, k):
    """Yield (name, array) of what may stand where layer k's input belongs."""
    for j, a in enumerate(network.a):
        if j != k - 1:
            yield network.notation.input(j + 1), a
        if j:
            yield f"Z{j}", network.z[j - 1]
        if j in network.masks:
            yield f"A{j} without its mask", network.masks[j].forward(network.z[j - 1], np)
