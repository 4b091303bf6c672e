"""The network that the user's functions compute, in our form, and where its parameters are held.

K points (random parameters), n samples, layers 1 ... L. Rows are samples, W is (K, n_in, n_out) and
b (K, 1, n_out), whatever the user's form is: `Layer` says how they lie in the user's arrays.
"""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ...nn.activations import ActivationFunction
from .notation import Notation

ORIENTATIONS = {False: "rows", True: "columns"}  # where samples stand, by `columns`


class Part(NamedTuple):
    """Where weights or biases of a layer lie in one of the user's arrays."""

    array: int  # its number
    shape: tuple  # of the whole array
    positions: np.ndarray  # (n_in, n_out) or (1, n_out): flat indices into it

    @property
    def whole(self):
        """Whether the array holds nothing else."""
        return self.positions.size == int(np.prod(self.shape))

    @property
    def turned(self):
        """Whether the array is (n_out, n_in)."""
        if self.shape != self.positions.shape:
            return True
        return bool(np.diff(self.positions[:2, 0]).sum() == 1 and self.positions.shape[1] > 1)

    def of(self, stack):
        """Return (K, n_in, n_out) or (K, 1, n_out) of K of the user's arrays, or gradients."""
        return stack.reshape(len(stack), -1)[:, self.positions]

    def put(self, part, stack):
        """Add a part (K, ...) to K arrays (K, *shape) of zeros or of other parts."""
        stack.reshape(len(stack), -1)[:, self.positions] += part


class Layer(NamedTuple):
    """How a layer stands in the user's code."""

    weights: Part
    bias: Part | None
    columns: bool  # samples stand in columns
    turned: bool  # W is (n_out, n_in)

    @property
    def arrays(self):
        """The numbers of the user's arrays in it."""
        return {part.array for part in (self.weights, self.bias) if part is not None}

    def part(self, kind):
        """Return where the weights ("W") or biases ("b") lie, None where there are none."""
        return self.weights if kind == "W" else self.bias

    def gradient(self, kind, stack):
        """Return K of the user's gradients in our form; those of a wrong shape nearly as they are.

        Wrong ones of weights are turned as weights are, so that they are (K, rows, columns).
        """
        part = self.part(kind)
        if part is None or stack is None:
            return None
        shape, right = stack.shape[1:], part.positions.shape
        if shape == part.shape:
            return part.of(stack)
        if kind == "b":
            fits = stack[0].size == right[1] and stack[0].squeeze().ndim < 2
            return stack.reshape(len(stack), 1, -1) if fits and part.whole else stack
        if not part.whole and shape[::-1] == part.shape:
            return part.of(stack.mT).mT
        if stack.ndim == 3 and self.turned:
            return stack.mT
        return stack


@dataclass(eq=False)
class Network:
    """A network whose cost is the user's: activations, loss, scale and penalty."""

    FEW: ClassVar[int] = 3  # points at which mistakes are looked for

    code: Any
    arrays: list  # K lists of the user's arrays
    data: tuple  # X and y as the user's functions take them
    layers: tuple[Layer, ...]
    W: list  # of each layer (K, n_in, n_out)
    b: list  # (K, 1, n_out), zeros where the layer has none
    z: list  # (K, n, n_out)
    a: list  # of layers 0 ... L, a[0] is X
    y: np.ndarray  # (n, n_outputs)
    n_user: int  # samples in the user's data
    activations: tuple[ActivationFunction, ...]
    loss: str
    scale: float  # the data cost is scale * sum over samples (and outputs)
    l2: tuple[float, ...] = ()  # of each layer's weights: the cost has l2 * sum(W^2)
    l2_bias: tuple[float, ...] = ()  # likewise of each layer's biases
    log_eps: float = 0.0
    decayed: tuple = ()  # of each layer: its weights, with 0 for those that no penalty is on
    inputs: list = field(default_factory=list)  # of each layer: a[k - 1], perhaps with ones
    units: list = field(default_factory=list)  # which columns of the input of layers 2 ... are a
    masks: dict = field(default_factory=dict)  # layer -> its activation without the mask behind it
    variants: dict = field(default_factory=dict)  # layer -> [(dA -> a wrong dZ, text)] of an F
    shortcuts: dict = field(default_factory=dict)  # layer -> what reaches it past the next one
    output_dA: Any = None  # the derivative by a[-1] of a loss that is none of the table
    others: dict = field(default_factory=dict)  # arrays of no layer: dZ by layer -> gradient
    slopes: dict = field(default_factory=dict)  # layer -> its derivative and known changes of it

    def __post_init__(self):
        self.inputs = self.inputs or self.a[:-1]
        self.penalised = {"W": self.decayed or self.W, "b": self.b}
        self.l2 = self.l2 or (0.0,) * len(self.W)
        self.l2_bias = self.l2_bias or (0.0,) * len(self.W)
        self.shared = _shared(self.layers)
        self.parameters = {"W": self.W, "b": self.b}
        self.notation = Notation(self)

    @property
    def n(self):
        """How many samples the arrays hold."""
        return self.z[0].shape[1]

    @property
    def sizes(self):
        """Return the number of inputs, then of each layer's units."""
        return (self.W[0].shape[1], *(W.shape[2] for W in self.W))

    @property
    def columns(self):
        """Whether samples stand in columns."""
        return self.layers[0].columns

    def with_activation(self, k, f):
        """Return this network with another activation of layer k; None if it is no plain chain."""
        plain = all(x.shape == a.shape for x, a in zip(self.inputs, self.a))
        if not plain or self.shortcuts or any(g.name in ("f", "F") for g in self.activations):
            return None
        chain = (*self.activations[: k - 1], f, *self.activations[k:])
        z, a = [], [self.a[0]]
        for W, b, g in zip(self.W, self.b, chain):
            z.append(a[-1] @ W + b)
            a.append(g.forward(z[-1], np))
        return replace(self, activations=chain, z=z, a=a, inputs=[], slopes={})

    def gradients(self):
        """Return the user's gradients at the points, (K, ...); None where of no use."""
        found = [self.code.gradients(a, self.data) for a in self.arrays]
        return [_stacked(parts, a) for parts, a in zip(zip(*found), self.code.arrays)]

    def gradient_for(self, part, gradients):
        """Return the user's gradient of the array of a part, None where other layers share it."""
        if part is None or part.array in self.shared:
            return None
        return gradients[part.array]

    def sent_back(self, k, dZ, W=None):
        """Return the error dZ of layer k + 1 at the units of layer k, (K, n, units).

        W: other weights than layer k + 1's.
        """
        back = dZ @ (self.W[k] if W is None else W).mT
        if self.units:
            back = back[..., self.units[k - 1]]
        return back + self.shortcuts.get(k, 0.0)

    def through(self, k, dA):
        """Return the error at layer k from that at its activations."""
        return self.activations[k - 1].backward(dA, self.z[k - 1], self.a[k], np)

    def __str__(self):
        chain = " -> ".join(map(str, self.sizes))
        names = ", ".join(a.name for a in self.activations)
        penalty = " with an L2 penalty" * any((*self.l2, *self.l2_bias))
        where = ORIENTATIONS[self.columns]
        weights = "n_out, n_in" if self.layers[0].turned else "n_in, n_out"
        loss = self.loss.replace("_", " ").replace("own", "a loss of its own")
        return f"{chain} ({names}), {loss}{penalty}, samples in {where}, weights ({weights})"


def _shared(layers):
    """Return the numbers of arrays that hold the same elements for several layers."""
    held: dict = {}
    for layer in layers:
        of = [part for part in (layer.weights, layer.bias) if part is not None]
        for i in layer.arrays:
            places = [part.positions.ravel() for part in of if part.array == i]
            held.setdefault(i, []).append(np.unique(np.concatenate(places)))
    return [i for i, of in held.items() if len(np.unique(np.concatenate(of))) < sum(map(len, of))]


def _stacked(parts, a):
    """Return the gradients of array `a` at several points as one array, None if they differ."""
    if any(g is None or g.shape != parts[0].shape for g in parts):
        return None
    g = np.stack(parts).astype(np.float64)
    if g.ndim - 1 != a.ndim and g[0].squeeze().shape == a.squeeze().shape:
        return g.reshape(len(g), *a.shape)  # its number of axes is another mistake
    return g
