"""A network as the table of layers that step.h reads."""

import ctypes
from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ...nn import Activation, BatchNorm, Dense, Dropout, Embedding, LayerNorm, Residual, RMSNorm
from ...nn import Network as Chain
from ...nn.activations import ACTIVATIONS, get_activation
from ...nn.layout import path_name
from ...randomness import fold_in
from .library import Layer, Leaf, Network

# In the order of the enumerations in elementwise.h and interface.h.
ACTIVATION_NAMES = (
    "identity logistic tanh relu leaky_relu elu selu gelu gelu_tanh silu mish softplus softsign "
    "hard_tanh"
).split()
ACTIVATION_CODES = {ACTIVATIONS[name]: i for i, name in enumerate(ACTIVATION_NAMES)}
NEED_Z = range(ACTIVATION_NAMES.index("gelu"), ACTIVATION_NAMES.index("hard_tanh"))
DENSE, ACTIVATION, DROPOUT, EMBEDDING, BATCH_NORM, LAYER_NORM, RMS_NORM, ENTER, LEAVE = range(9)
NORMS = {BatchNorm: BATCH_NORM, LayerNorm: LAYER_NORM, RMSNorm: RMS_NORM}


class Unknown(Exception):
    """A part of a network that the compiled engine does not know."""


class Table:
    """A network of chains as step.h reads it.

    rows: a dict a layer, of the fields of `Layer`; width: columns of the buffer of all outputs;
    n_sums: numbers of a thread's sums; multiplications: of a row's forward pass.
    """

    def __init__(self, network, layout, n_in):
        self.sizes = {leaf.name: sum(slot.size for slot in leaf.slots) for leaf in layout.leaves}
        self.leaves = [leaf for leaf in layout.leaves if leaf.group.trained]
        kept = [leaf for leaf in layout.leaves if not leaf.group.trained]
        self.buffers = {slot.path: slot.shape for leaf in kept for slot in leaf.slots}
        self.places, self.shapes, self.kept = {}, {}, []
        self.rows: list[dict] = []
        self.width = self.n_sums = self.multiplications = 0
        self.trained = False  # whether a layer so far has parameters, for which dx is needed
        for number, leaf in enumerate(self.leaves):
            at = 0
            for slot in leaf.slots:
                self.places[slot.path], self.shapes[slot.path] = (number, at), slot.shape
                at += slot.size
        self.D, (_, self.C) = n_in, self._add_chain(network.layers, (), (-1, n_in))

    def _columns(self, n):
        """Return where n new columns of the buffers begin."""
        self.width += n
        return self.width - n

    def _sums(self, n):
        self.n_sums += n
        return self.n_sums - n

    def _add_chain(self, layers, path, source):
        """Add layers; source and the result: where their input stands, and its columns."""
        for i, layer in enumerate(layers):
            source = self._add(layer, (*path, i), source)
        return source

    def _add(self, layer, path, source):
        """Add a layer. Returns where its output stands, and its columns."""
        add = ADDERS.get(type(layer))
        if add is None:
            raise Unknown
        return add(self, layer, path, *source)

    def _row(self, kind, at, D, H, **fields):
        """Add a row; fields of which nothing is said are none."""
        none = dict.fromkeys(("out", "aux", "W_at", "b_at"), -1)
        own = {"kind": kind, "source": at, "D": D, "H": H, "needs_dx": self.trained}
        self.rows.append(none | own | fields)
        return self.rows[-1]

    def _parameter(self, row, letter, path, name, shape):
        """Put a parameter's place into a row."""
        if self.shapes.get((*path, name)) != shape:
            raise Unknown
        row[f"{letter}_leaf"], row[f"{letter}_at"] = self.places[(*path, name)]
        self.trained = True

    def _activation(self, row, activation):
        code = ACTIVATION_CODES.get(get_activation(activation))
        if code is None:
            raise Unknown
        row["act"], row["out"] = code, self._columns(row["H"])
        if code in NEED_Z:
            row["aux"] = self._columns(row["H"])

    def add_dense(self, layer, path, at, D):
        """Add a Dense: see `_add`."""
        H = layer.n_out
        row = self._row(DENSE, at, D, H, sums=self._sums(H))
        self._activation(row, layer.activation)
        self._parameter(row, "W", path, "W", (D, H))
        if layer.use_bias:
            self._parameter(row, "b", path, "b", (1, H))
        self.multiplications += D * H
        return row["out"], H

    def add_activation(self, layer, path, at, D):
        """Add an Activation: see `_add`."""
        row = self._row(ACTIVATION, at, D, D)
        self._activation(row, layer.activation)
        return row["out"], D

    def add_dropout(self, layer, path, at, D):
        """Add a Dropout: see `_add`."""
        word = int(fold_in(np.zeros((1, 2), np.int32), path)[0, 0])
        row = self._row(DROPOUT, at, D, D, out=self._columns(D), word=word)
        row |= {"limit": round(layer.rate * 2**24), "scale": 1.0 / (1.0 - layer.rate)}
        return row["out"], D

    def add_embedding(self, layer, path, at, D):
        """Add an Embedding: see `_add`."""
        if at >= 0 or len(layer.sizes) > D:
            raise Unknown  # it reads codes, which nothing changes on their way
        shapes, H = layer.shapes(D)
        starts = np.cumsum([0, *layer.sizes])
        self.kept.append(starts)
        row = self._row(EMBEDDING, at, D, H, out=self._columns(H), sums=self._sums(layer.n_dim))
        row |= {"n_codes": len(layer.sizes), "dim": layer.n_dim, "starts": starts.ctypes.data}
        self._parameter(row, "W", path, "E", shapes["E"])
        return row["out"], H

    def add_normalization(self, layer, path, at, D):
        """Add a normalization: see `_add`."""
        kind = NORMS[type(layer)]
        row = self._row(kind, at, D, D, sums=self._sums(5 * D), epsilon=layer.epsilon)
        row |= {"out": self._columns(D), "aux": self._columns(D + 1)}
        self._parameter(row, "W", path, "g", (1, D))
        if kind != RMS_NORM:
            self._parameter(row, "b", path, "b", (1, D))
        if kind == BATCH_NORM:
            row["momentum"] = layer.momentum
            for name in ("mean", "var"):
                if self.buffers.get((*path, name)) != (1, D):
                    raise Unknown
                row[name] = path_name((*path, name))
        return row["out"], D

    def add_residual(self, layer, path, at, D):
        """Add a Residual, between two rows of its own: see `_add`."""
        enter = self._row(ENTER, at, D, D)
        last, H = self._add_chain(layer.layers, path, (at, D))
        if H != D or last == at:
            raise Unknown
        enter["skip"] = out = self._columns(D)
        self._row(LEAVE, last, D, D, out=out, skip=at)
        return out, D

    def network(self, params, buffers, slots=(), average=None):
        """Return the structure for stores of parameters, whose arrays must stay alive beside it."""
        leaves = (Leaf * len(self.leaves))()
        for leaf, to in zip(self.leaves, leaves):
            to.p, to.size = params[leaf.name].ctypes.data, self.sizes[leaf.name]
            to.decays, to.rate = leaf.group.decay, leaf.group.rate
            for field, store in zip("uv", slots):
                setattr(to, field, store[leaf.name].ctypes.data)
            if average is not None:
                to.ema = average[leaf.name].ctypes.data
        layers = (Layer * len(self.rows))()
        for row, made in zip(self.rows, layers):
            for field, value in row.items():
                if field in ("mean", "var"):
                    value = buffers[value].ctypes.data
                setattr(made, field, value)
        net = Network(
            layers=ctypes.addressof(layers), n_layers=len(layers), width=self.width, D=self.D
        )
        net.leaves, net.n_leaves = ctypes.addressof(leaves), len(leaves)
        net.C, net.n_sums = self.C, max(self.n_sums, 1)
        net.kept = layers, leaves, params, buffers, slots, average
        return net

    def holds(self, stores, K, dtype):
        """Tell whether stores are as the layout says: users may put other arrays in."""
        return all(
            a.size == K * self.sizes[name] and a.dtype == dtype
            for store in stores
            for name, a in store.items()
        )


ADDERS: dict[type, Callable] = {
    Dense: Table.add_dense,
    Activation: Table.add_activation,
    Dropout: Table.add_dropout,
    Embedding: Table.add_embedding,
    Residual: Table.add_residual,
    **dict.fromkeys(NORMS, Table.add_normalization),
}


def width_before(layers, shapes, path=(), first=0):
    """Return how many columns the input of layers has, by the shapes of parameters, or None."""
    for i in range(first, len(layers)):
        own = {name: shapes.get((*path, i, name)) for name in ("W", "g", "E")}
        if own["E"]:
            after = width_before(layers, shapes, path, i + 1)
            return after and after - len(layers[i].sizes) * (layers[i].n_dim - 1)
        if own["W"] or own["g"]:
            return own["W"][0] if own["W"] else own["g"][1]
        if isinstance(layers[i], Residual):
            width = width_before(layers[i].layers, shapes, (*path, i))
            if width is not None:
                return width
    return None


@lru_cache(maxsize=128)
def table_of(network, layout) -> Table | None:
    """Return the table of a network, or None where a part of it is not known here."""
    shapes = {slot.path: slot.shape for leaf in layout.leaves for slot in leaf.slots}
    n_in = width_before(network.layers, shapes) if type(network) is Chain else None
    if n_in is None:
        return None
    try:
        return Table(network, layout, n_in)
    except Unknown:
        return None
