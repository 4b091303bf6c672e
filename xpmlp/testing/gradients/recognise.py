"""Which network is it? Read off the record of the user's NumPy forward, whatever its form.

A product of data with parameters is a layer: its sum with biases is Z. What stands between two
layers is an activation of the table, or some function of the user's own, whose derivative the
record knows. Parameters are drawn at random, so each number tells where it is from: weights are
found in products by their values, through any slicing, reshaping or transposing.
"""

from functools import partial

import numpy as np

from ...nn.activations import ActivationFunction
from ..tape import gradients
from ..tape.rules import PARTIALS
from .identify import (
    EXP,
    HIDDEN,
    LOG_EPS,
    OUTPUT,
    SOFTMAX,
    WRONG_SIGN,
    data_slopes,
    few_samples,
    identify,
    takes_samples,
)
from .network import Layer, Network
from .record import Record, between, layers_of
from .whole import gradients_of

EXACT = 1e-9
STATISTICS = {"sum", "mean", "var", "std", "max", "min"}
TRIES = 9  # draws of parameters, of which Network.FEW are taken
LARGE = 10_000_000  # numbers in X, beyond which nothing is recorded


def recognise(code, structures, own=False):
    """Return the Network that the user's functions are, None where it is not known.

    It is read off the record, or where there is none, found by the costs of other networks; own:
    look at all of the user's samples, not at a few.
    """
    network = _recorded(code, own)
    if network is None:
        return identify(code, structures, own)
    # In exp(-X @ W) the record multiplies -X; the cost alone tells the usual network.
    turned = any(f.name == WRONG_SIGN.name for f in network.activations)
    return (turned and identify(code, structures, own)) or network


def _recorded(code, own):
    """Return the Network that the record of the user's forward shows, or None."""
    if np.size(code.X) > LARGE or code.dtype != "float64":
        return None
    layers = _layers(code, _near(code), code.data)
    for seed in range(
        3
    ):  # near the user's numbers a relu may be off for all samples, and hide some
        if layers:
            layers = max(layers, _layers(code, _drawn(code, layers, seed), code.data), key=len)
    if not layers:
        return None
    n, data = layers[0].input.shape[0], code.data
    few = None if own else few_samples(code, layers[0].columns, _sizes(layers), n)
    arrays = [_drawn(code, layers, seed) for seed in range(TRIES)]
    if few and takes_samples(code, arrays[0], few, n, few[0].shape[int(layers[0].columns)]):
        data = few
    points = []
    for drawn in arrays:
        record = Record.of(code, drawn, data)
        found = record and layers_of(record)
        if found and _alike(layers, found):
            points.append((drawn, record, found))
        if len(points) == Network.FEW:
            drawn, records, found = zip(*points)
            return _Reading(code, drawn, records, found, n, data).network()
    return None


def _sizes(layers):
    return [layers[0].input.shape[1], *(layer.z.shape[1] for layer in layers)]


def _layers(code, arrays, data):
    record = Record.of(code, arrays, data)
    return layers_of(record) if record else []


def _near(code):
    """Return parameters near the user's, all numbers different."""
    rng = np.random.default_rng(5)
    return [_moved(a, rng) for a in code.arrays]


def _moved(a, rng):
    return a + 0.3 * (np.std(a) + 0.3) * rng.normal(size=a.shape)


def _drawn(code, layers, seed):
    """Return parameters of a usual size for layers that get inputs of a usual size."""
    rng = np.random.default_rng(seed)
    arrays = [_moved(a, rng) for a in code.arrays]
    for k, layer in enumerate(layers):
        n_in, _ = layer.weights.positions.shape
        size = 1.0
        if k == 0:
            size = max(float(np.sqrt(np.mean(layer.input**2))), 1e-12)
        flat = arrays[layer.weights.array].reshape(-1)
        scale = 1.4 / np.sqrt(n_in) / size
        flat[layer.weights.positions] = scale * rng.normal(size=layer.weights.positions.shape)
        if layer.bias is not None:
            flat = arrays[layer.bias.array].reshape(-1)
            flat[layer.bias.positions] = 0.5 * rng.normal(size=layer.bias.positions.shape)
    return arrays


def _alike(layers, others):
    """Tell whether two records show the same layers."""
    return len(layers) == len(others) and all(
        a.weights.array == b.weights.array
        and np.array_equal(a.weights.positions, b.weights.positions)
        for a, b in zip(layers, others)
    )


class _Reading:
    """Layers of the same network in K records, and what stands between them."""

    def __init__(self, code, arrays, records, found, n_user, data):
        self.code, self.records, self.n_user = code, records, n_user
        self.data, self.arrays = data, arrays
        self.masked: dict = {}
        self.variants: dict = {}
        self.points = list(zip(records, found))
        self.layers = list(zip(*found))  # of each layer its K `Found`
        self.z = [np.stack([f.z for f in of_k]) for of_k in self.layers]
        self.inputs = [np.stack([f.input for f in of_k]) for of_k in self.layers]
        self.units = [self._units(k) for k in range(1, len(self.layers))]

    def _units(self, k):
        """Return which columns of the input of layer k + 1 are no constant ones."""
        x = self.inputs[k]
        return np.flatnonzero(~np.all(x == 1.0, axis=(0, 1)))

    def network(self):
        """Return the network, None where the record is not that of the cost."""
        totals = [record.pull_cost(record.parameters) for record in self.records]
        if not self._true(totals[0]):
            return None
        totals = [np.stack(of_points) for of_points in zip(*totals)]
        a = [self.inputs[0][:1]]
        if np.ptp(self.inputs[0], axis=0).any():
            a = [self.inputs[0]]
        activations = []
        for k in range(1, len(self.layers)):
            a.append(self.inputs[k][..., self.units[k - 1]])
            activations.append(self._activation(k, a[k]))
        errors = np.stack([record.errors(layers[-1]) for record, layers in self.points])
        last, loss, scale, y, eps, dA = self._loss(errors)
        a.append(last.forward(self.z[-1], np))
        few, kept = self.layers, [f[0] for f in self.layers]
        network = Network(
            code=self.code,
            arrays=self.arrays,
            data=self.data,
            layers=tuple(Layer(f.weights, f.bias, f.columns, f.turned) for f in kept),
            W=[np.stack([f.W for f in of_k]) for of_k in few],
            b=[np.stack([f.b for f in of_k]) for of_k in few],
            z=self.z,
            a=a,
            inputs=[a[0], *self.inputs[1:]],
            units=self.units,
            masks=self.masked,
            variants=self.variants,
            y=y,
            n_user=self.n_user,
            activations=(*activations, last),
            loss=loss,
            scale=scale,
            log_eps=eps,
            output_dA=dA,
        )
        self._penalties(network, totals)
        return network

    def _true(self, total):
        """Tell whether the record's gradient is the cost's: along a line, at the first point."""
        rng, arrays = np.random.default_rng(2), self.arrays[0]
        us = [rng.normal(size=a.shape) for a in arrays]
        slope = sum(float(np.vdot(g, u)) for g, u in zip(total, us))
        h = 1e-6
        ahead, behind = (
            float(self.code.cost([a + t * u for a, u in zip(arrays, us)], self.data))
            for t in (h, -h)
        )
        size = max(abs(slope), 1e-3 * abs(ahead), 1e-12)
        return abs((ahead - behind) / (2 * h) - slope) <= 1e-4 * size

    # -- what stands between layers --------------------------------------------------------------
    def _activation(self, k, a):
        """Return the activation of layer k: of the table, perhaps behind a mask, or some f."""
        z = self.z[k - 1]
        for f in (*HIDDEN, SOFTMAX, EXP) if a.shape == z.shape else ():
            with np.errstate(all="ignore"):
                made = f.forward(z, np)
            if not np.isfinite(made).all():
                continue
            if _close(made, a):
                return f
            mask = np.divide(a, made, out=np.ones_like(a), where=np.abs(made) > 1e-12)[:1]
            if f.name != "identity" and np.ptp(mask) and _close(made * mask, a):
                self.masked[k] = f
                return _masked(f, mask)
        return self._own(k, z, a)

    def _own(self, k, z, a):
        """Return a function of the user's own as an activation: its derivative is known."""

        def backward(da, _z, _a, xp):
            da = np.broadcast_to(da, a.shape)
            return np.stack([self._back(p, k, da[p]) for p in range(len(da))])

        unknown = lambda x, xp: np.full_like(x, np.nan)  # noqa: E731
        if a.shape != z.shape:
            return ActivationFunction("f", unknown, backward)
        slope = backward(np.ones_like(a), z, a, np)
        waves = np.cos(np.arange(a.size)).reshape(a.shape)
        if _close(backward(waves, z, a, np), waves * slope):
            return ActivationFunction("f", unknown, lambda da, z, a, xp: da * slope)
        self.variants[k] = list(self._variants(k))
        return ActivationFunction("F", unknown, backward)

    def _variants(self, k):
        """Yield (dA -> a wrong dZ of layer k, text) of its function where a part of it is wrong."""
        later, earlier = self.layers[k][0], self.layers[k - 1][0]
        nodes = between(later.uses[0].x, [use.z for use in earlier.uses])
        changes = []
        if any(node.operation in STATISTICS for node in nodes):
            changes.append((_without_statistics, "takes mean and deviation for constants"))
        for i, node in enumerate(nodes):
            if node.operation in PARTIALS and node.operation not in ("add", "subtract"):
                text = f"lacks the derivative of {node.operation} behind Z{k}"
                changes.append((partial(_without, i), text))
        for change, text in changes:
            through = lambda dA, change=change: np.stack(
                [self._back(p, k, da, change) for p, da in enumerate(dA)]
            )
            yield through, text

    def _back(self, p, k, da, change=None):
        """Return the error at layer k from that at its activations (n, units), at point p."""
        later = self.layers[k][p]
        whole = np.zeros(later.input.shape)
        whole[:, self.units[k - 1]] = da
        return self.records[p].pull_between(later, self.layers[k - 1][p], whole, change)

    # -- the cost ---------------------------------------------------------------------------------
    def _loss(self, errors):
        """Return (last activation, loss, its scale, targets, eps of a logarithm, an own loss' dA).

        The loss is one of the table if its dZ is the record's, up to one factor at all points.
        """
        z = self.z[-1]
        n, c = z.shape[1:]
        for y in _targets(self.data, n, c):
            for f in OUTPUT:
                with np.errstate(all="ignore"):
                    a = f.forward(z, np)
                    for eps in LOG_EPS:
                        for loss, dA in data_slopes(a, y, eps):
                            if scale := _multiple(errors, f.backward(dA, z, a, np)):
                                return f, loss, scale, y, eps, None
        y = next(_targets(self.data, n, c), np.full((n, c), np.nan))
        for f in OUTPUT[1:]:
            dA = [record.errors_at(layers[-1], f) for record, layers in self.points]
            if all(d is not None for d in dA):
                return f, "own", 1.0, y, 0.0, np.stack(dA)
        return OUTPUT[0], "own", 1.0, y, 0.0, errors

    def _penalties(self, network, totals):
        """Set what the record's gradients hold beside the layers': penalties, other arrays."""
        errors = self._errors(network)
        data = gradients_of(network, errors)
        layers = [(k, kind) for k in range(1, len(network.layers) + 1) for kind in "Wb"]
        l2, held, decayed = dict.fromkeys(layers, 0.0), set(), []
        for k, kind in layers:
            part = network.layers[k - 1].part(kind)
            if part is None:
                continue
            held.add(part.array)
            rest, p = (
                part.of(totals[part.array] - data[part.array]),
                network.parameters[kind][k - 1],
            )
            if kind == "W":  # biases in them may be left out
                size = np.abs(rest).max(axis=(0, 2))
                penalised = size > 1e-6 * size.max()
                if size.max() > EXACT * np.abs(totals[part.array]).max() and penalised.any():
                    p = p * penalised[:, None]
                decayed.append(p)
            l2[k, kind] = (_multiple(rest, p) or 0.0) / 2
        network.penalised["W"] = decayed
        network.l2 = tuple(l2[k, "W"] for k in range(1, len(network.layers) + 1))
        network.l2_bias = tuple(l2[k, "b"] for k in range(1, len(network.layers) + 1))
        for i in {*range(len(totals))} - held:
            network.others[i] = self._other(network, i, totals[i], errors)

    def _other(self, network, i, total, errors):
        """Return the function dZ by layer -> gradient of array i, which no layer holds."""
        k = next((k for k, of in enumerate(self.layers) if self._hangs(of[0], i)), None)
        if k is None:  # it stands behind the last layer
            return lambda dZ: total

        def linear(dZ):
            rows = dZ[k + 1] @ network.W[k].mT
            pulled = zip(self.records, self.layers[k], rows)
            return np.stack([r.pull_input(f, d, [r.parameters[i]])[0] for r, f, d in pulled])

        rest = total - linear(errors)
        return lambda dZ: linear(dZ) + rest

    def _hangs(self, layer, i):
        """Tell whether a layer's input hangs on array i, at the first point."""
        return self.records[0].hangs(layer, i)

    def _errors(self, network):
        """Return dZ by layer; what does not come through the next layer is a shortcut's."""
        true = [np.stack(of) for of in zip(*([r.errors(f) for f in fs] for r, fs in self.points))]
        for k in range(len(true) - 1, 0, -1):
            rest = true[k - 1] - network.through(k, network.sent_back(k, true[k]))
            if np.abs(rest).max() > EXACT * np.abs(true[k - 1]).max():
                slope = network.through(k, np.ones_like(rest))
                lost = np.zeros_like(rest)
                network.shortcuts[k] = np.divide(rest, slope, out=lost, where=slope != 0)
        return dict(enumerate(true, 1))


def _without_statistics(nodes):
    """Return what passes through nodes where means and the like are constants."""
    return lambda node, d, wanted: (
        {} if node.operation in STATISTICS and node in nodes else gradients(node, d, wanted)
    )


def _without(i, nodes):
    """Return what passes through nodes where the derivative of the i-th is left out."""

    def local(node, d, wanted):
        if i < len(nodes) and node is nodes[i]:
            return {j: d for j in wanted if node.inputs[j].shape == d.shape}
        return gradients(node, d, wanted)

    return local


def _masked(f, mask):
    """Return an activation whose values are multiplied by a fixed mask (1, n, units)."""

    def behind(a):  # values of another layer have no mask here
        return a * mask if a.shape[1:] == mask.shape[1:] else a

    return ActivationFunction(
        f.name,
        lambda z, xp: behind(f.forward(z, xp)),
        lambda da, z, a, xp: f.backward(behind(da), z, f.forward(z, xp), xp),
    )


def _close(a, b):
    return np.allclose(a, b, rtol=EXACT, atol=EXACT * float(np.abs(b).max(initial=0.0)))


def _multiple(array, of):
    """Return c with array = c of, or 0.0 where there is none."""
    square = float(np.vdot(of, of))
    if not np.isfinite(square) or not square:
        return 0.0
    c = float(np.vdot(of, array)) / square
    size = float(np.linalg.norm(array))
    return c if np.linalg.norm(array - c * of) <= EXACT * size else 0.0


def _targets(data, n, c):
    """Yield y as rows (n, c) in each way that fits: as it is, turned, one-hot of labels."""
    y = np.asarray(data[1]) if len(data) > 1 else np.empty(0)
    if y.dtype.kind not in "biuf":
        return
    for a in (y, y.T):
        if a.ndim == 2 and a.shape == (n, c):
            yield np.asarray(a, np.float64)
    if y.size == n * c and (c == 1 or n == 1):
        yield np.asarray(y, np.float64).reshape(n, c)
    if y.size == n and c > 1 and np.all(y == np.round(y)):
        for first in (0, 1):
            labels = y.reshape(-1).astype(int) - first
            if labels.min() >= 0 and labels.max() < c:
                yield np.eye(c)[labels]
