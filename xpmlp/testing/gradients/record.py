"""The record of one run of the user's forward, and the layers in it: products of data with weights.

Values are found by looking them up: the parameters' numbers are all different, so a slice, a
reshape or a transpose of them tells where each number is from.
"""

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..tape import Node, Traced, ancestors, gradients, pull, recording
from .network import Part

PRODUCTS = {"matmul", "outer", "einsum", "tensordot", "multiply"}
VIEWS = {"reshape", "transpose", "getitem", "copy"}  # that may stand between a product and its bias


class Use(NamedTuple):
    """One product of data with parameters, with samples in rows."""

    product: Any  # its node
    z: Any  # the node of its sum with the bias
    x: Any  # the node of the data, or a constant array
    x_flip: bool | None  # how a value becomes rows, see `rows_of`
    z_flip: bool | None
    weights: Part
    W: np.ndarray  # (n_in, n_out)
    bias: Part | None
    b: np.ndarray  # (1, n_out), a fixed one too


@dataclass(eq=False)
class Found:
    """A layer in a record: its uses, one for all samples or one a sample, and their values."""

    uses: list[Use]

    def __post_init__(self):
        first = self.uses[0]
        self.weights, self.bias = first.weights, first.bias
        self.turned = first.weights.turned
        self.W = first.W
        self.columns = bool(first.z_flip) and np.ndim(first.z.value) == 2
        self.b = first.b
        self.input = np.concatenate([rows_of(_value(u.x), u.x_flip) for u in self.uses])
        self.z = np.concatenate([rows_of(u.z.value, u.z_flip) for u in self.uses])

    def split(self, rows):
        """Return rows (n, units) as one array for each use."""
        sizes = [rows_of(u.z.value, u.z_flip).shape[0] for u in self.uses]
        return np.split(rows, np.cumsum(sizes)[:-1])


def rows_of(a, flip):
    """Return a value as a matrix with samples in rows; flip: of a matrix, turn it.

    A vector is one sample's units, or, flipped, one unit of all samples.
    """
    a = np.asarray(a, np.float64)
    if a.ndim == 2:
        return a.T if flip else a
    return a.reshape(-1, 1) if flip else a.reshape(1, -1)


def from_rows(rows, flip, shape):
    """Return rows in the shape and orientation of a value."""
    return (rows.T if flip and len(shape) == 2 else rows).reshape(shape)


def _value(x):
    return getattr(x, "value", x)


class Record:
    """A run of the user's forward: nodes of parameters and data, the cost, who uses what."""

    def __init__(self, parameters, cost):
        self.parameters, self.cost = parameters, cost
        self.nodes = ancestors([cost])
        self.consumers: dict = {node: [] for node in self.nodes}
        for node in self.nodes:
            for source in node.inputs:
                if isinstance(source, Node):
                    self.consumers[source].append(node)
        values = [p.value.ravel() for p in parameters]
        of = np.concatenate([np.full(v.size, i) for i, v in enumerate(values)])
        at = np.concatenate([np.arange(v.size) for v in values])
        flat = np.concatenate(values)
        self._order = np.argsort(flat)
        self._sorted, self._of, self._at = flat[self._order], of[self._order], at[self._order]

    @classmethod
    def of(cls, code, arrays, data):
        """Return the record of a run with these arrays and data, None where nothing is recorded."""
        try:
            with recording(*code.functions()) as tape, np.errstate(all="ignore"):
                leaves = [tape.leaf(a, name) for a, name in zip(arrays, code.names)]
                given = [tape.leaf(a) if _is_numeric(a) else a for a in data]
                cost = code.raw_cost(leaves, given)
                nodes = [a.node for a in leaves]
        except Exception:  # a user's function may refuse such arrays in any way
            return None
        if not isinstance(cost, Traced) or cost.size != 1:
            return None
        return cls(nodes, cost.node)

    def part(self, array):
        """Return which numbers of which parameter an array holds, as (number, positions)."""
        array = np.asarray(array)
        if not array.size or array.dtype.kind != "f":
            return None
        at = np.minimum(np.searchsorted(self._sorted, array.ravel()), len(self._sorted) - 1)
        owners = self._of[at]
        if np.any(self._sorted[at] != array.ravel()) or np.ptp(owners):
            return None
        return int(owners[0]), self._at[at].reshape(array.shape)

    # -- derivatives -------------------------------------------------------------------------------
    def pull_cost(self, sources):
        """Return the derivative of the cost by nodes."""
        return pull(self.cost, sources, np.ones_like(self.cost.value))

    def errors(self, layer):
        """Return dZ (n, n_out) of a layer."""
        pulled = self.pull_cost([u.z for u in layer.uses])
        return np.concatenate([rows_of(g, u.z_flip) for u, g in zip(layer.uses, pulled)])

    def errors_at(self, layer, f):
        """Return dA (n, n_out) of a layer, None where no node holds its activation f(z)."""
        nodes, flips = [], []
        for use in layer.uses:
            with np.errstate(all="ignore"):
                a = f.forward(rows_of(use.z.value, use.z_flip), np)
            held = ((n, flip) for n in self.nodes for flip in (False, True) if _holds(n, flip, a))
            node, flip = next(held, (None, False))
            if node is None:
                return None
            nodes.append(node)
            flips.append(flip)
        pulled = self.pull_cost(nodes)
        return np.concatenate([rows_of(g, flip) for g, flip in zip(pulled, flips)])

    def pull_input(self, layer, rows, sources, change=None):
        """Return what an error (n, n_in) at a layer's input is at nodes before it.

        change: the nodes between -> what passes through one, see `pull`.
        """
        total = [np.zeros(s.value.shape) for s in sources]
        for use, part in zip(layer.uses, layer.split(rows)):
            dy = from_rows(part, use.x_flip, use.x.value.shape)
            local = gradients if change is None else change(between(use.x, sources))
            for sum_, g in zip(total, pull(use.x, sources, dy, local)):
                sum_ += g
        return total

    def hangs(self, layer, i):
        """Tell whether a layer's input hangs on parameter i."""
        return self.parameters[i] in set(ancestors([use.x for use in layer.uses]))

    def pull_between(self, later, earlier, rows, change=None):
        """Return dZ (n, n_out) of a layer from the error (n, n_in) at a later one's input."""
        pulled = self.pull_input(later, rows, [u.z for u in earlier.uses], change)
        return np.concatenate([rows_of(g, u.z_flip) for u, g in zip(earlier.uses, pulled)])


def between(node, sources):
    """Return the nodes on the way from the sources to a node, in the order of computation."""
    found, hanging = [], set(sources)
    for other in ancestors([node]):
        if any(isinstance(i, Node) and i in hanging for i in other.inputs):
            hanging.add(other)
            found.append(other)
    return found


def _holds(node, flip, rows):
    """Tell whether a node's value is these rows."""
    value = node.value
    if value.ndim > 2 or value.size != rows.size or value.dtype.kind != "f":
        return False
    own = rows_of(value, flip)
    return own.shape == rows.shape and np.allclose(own, rows, rtol=1e-9, atol=0.0)


def _is_numeric(a):
    return isinstance(a, np.ndarray) and a.dtype.kind in "biuf"


# -- layers --------------------------------------------------------------------------------------
def layers_of(found):
    """Return the `Found` layers from X to the cost, each fed by the one before; [] where none."""
    groups: dict = {}
    for use in filter(None, (_use(found, node) for node in found.nodes)):
        key = use.weights.array, use.weights.positions.tobytes(), use.weights.positions.shape
        groups.setdefault(key, []).append(use)
    layers = [Found(uses) for uses in groups.values()]
    layers.sort(key=lambda layer: layer.uses[0].product.index)
    chain: list = max((_chain(layers[:i]) for i in range(len(layers), 0, -1)), key=len, default=[])
    if any(layer.input.shape[0] != chain[0].input.shape[0] for layer in chain):
        return []
    return chain


def _chain(layers):
    """Return the last layer and those before it, each fed by the one before."""
    *before, last = layers
    chain = [last]
    for layer in reversed(before):
        if _feeds(layer, chain[0]):
            chain.insert(0, layer)
    return chain


def _feeds(earlier, later):
    """Tell whether a layer's input hangs on another's Z."""
    before = set(ancestors([later.uses[0].x]))
    return any(use.z in before for use in earlier.uses)


def _use(found, node):
    """Return the product of data with parameters that a node is, or None."""
    if node.operation not in PRODUCTS or len(node.inputs) != 2:
        return None
    for w, x in (node.inputs, node.inputs[::-1]):
        held = isinstance(w, Node) and found.part(w.value)
        constant = not isinstance(x, Node)
        if not held or (constant and (node.operation == "multiply" or np.ndim(x) == 0)):
            continue
        if not constant and found.part(x.value):
            continue  # both are parameters, as in a penalty
        product = node
        if node.operation == "multiply":
            product = _summed(found, node)
        matched = _matrices(_value(x), w.value, product.value)
        if matched:
            return _with_bias(found, product, w, x, held, *matched)
    return None


def _summed(found, node):
    """Return the sum right behind an elementwise product, or the product itself."""
    users = found.consumers[node]
    if len(users) == 1 and users[0].operation == "sum":
        return users[0]
    return node


def _matrices(x, w, z):
    """Return (x_flip, turned, z_flip) with which rows_of(x) @ W is rows_of(z), or None."""
    if not np.any(z):  # as where each relu before is off: it says nothing of its factors
        return None
    for flips in itertools.product((False, True), repeat=3):
        X, W, Z = (rows_of(a, flip) for a, flip in zip((x, w, z), flips))
        fits = X.shape[1] == W.shape[0] and Z.shape == (X.shape[0], W.shape[1])
        if fits and np.allclose(X @ W, Z, rtol=1e-9, atol=1e-12):
            return flips
    return None


def _with_bias(found, product, w, x, held, x_flip, turned, z_flip):
    """Return the Use of a product, with the bias that is added to it."""
    number, positions = held
    shape = found.parameters[number].value.shape
    positions = (
        positions if positions.ndim == 2 else positions.reshape(rows_of(w.value, turned).shape)
    )
    if w.value.ndim == 2 and turned:
        positions = positions.T
    weights = Part(number, shape, positions)
    rows = rows_of(product.value, z_flip)
    z, bias, b = product, None, np.zeros((1, rows.shape[1]))
    node = product
    while True:
        users = found.consumers[node]
        if len(users) != 1:
            break
        (user,) = users
        if user.operation in VIEWS and user.value.size == node.value.size:
            node = user
            continue
        if user.operation != "add" or len(user.inputs) != 2:
            break
        other = next((i for i in user.inputs if i is not node), None)
        flip = _flip_of(user.value, rows, z_flip)
        held = isinstance(other, Node) and found.part(other.value)
        if flip is None or (isinstance(other, Node) and not held):
            break
        z, z_flip, node = user, flip, user
        b = rows_of(z.value, flip)[:1] - rows[:1]
        if held:
            number, at = held
            at = np.broadcast_to(at.reshape(1, -1), b.shape)
            bias = Part(number, found.parameters[number].value.shape, at)
            break
    W = rows_of(w.value, turned)
    return Use(product, z, x, x_flip, z_flip, weights, W, bias, b)


def _flip_of(value, rows, likely):
    """Return the flip with which a value is these rows plus one row, or None."""
    for flip in (likely, not likely):
        Z = rows_of(value, flip)
        if Z.shape == rows.shape and np.allclose(Z - rows, (Z - rows)[:1], atol=1e-9):
            return flip
    return None
