"""From records to compiled calls: a network as the table of layers that step.h reads."""

import ctypes
import threading
from collections.abc import Callable
from contextlib import contextmanager
from functools import lru_cache, partial

import numpy as np

from ...nn import Activation, BatchNorm, Dense, Dropout, Embedding, LayerNorm, Residual, RMSNorm
from ...nn import Network as Chain
from ...nn.activations import ACTIVATIONS, get_activation
from ...nn.layout import path_name
from ...nn.losses import LOSSES
from ...optim import SGD, Adagrad, Adam, AdamW, Lion, Nadam, RMSprop
from ...randomness import fold_in
from ..base import Plan
from ..chain import check_rows
from .library import DTYPES, Layer, Leaf, Network, Training, find_blas, library, n_threads

# In the order of the enumerations in elementwise.h and interface.h.
ACTIVATION_NAMES = (
    "identity logistic tanh relu leaky_relu elu selu gelu gelu_tanh silu mish softplus softsign "
    "hard_tanh"
).split()
ACTIVATION_CODES = {ACTIVATIONS[name]: i for i, name in enumerate(ACTIVATION_NAMES)}
NEED_Z = range(ACTIVATION_NAMES.index("gelu"), ACTIVATION_NAMES.index("hard_tanh"))
LOSS_NAMES = (
    "squared_error log_loss binary_log_loss poisson gamma absolute_error log_cosh huber quantile "
    "focal binary_focal"
).split()
LOSS_PARAMETERS = {
    "huber": "delta", "quantile": "levels", "focal": "gamma", "binary_focal": "gamma",
}  # fmt: skip
STEP_OPTIONS = {"max_grad_norm", "max_norm", "ema_decay"}
RULE_NAMES = "sgd momentum nesterov adam nadam lion rmsprop adagrad".split()
DENSE, ACTIVATION, DROPOUT, EMBEDDING, BATCH_NORM, LAYER_NORM, RMS_NORM, ENTER, LEAVE = range(9)
NORMS = {BatchNorm: BATCH_NORM, LayerNorm: LAYER_NORM, RMSNorm: RMS_NORM}

WORK = 1_000_000  # multiplications a step for each thread: less does not pay for the waiting
LIGHT = 250_000  # multiplications of a product: up to here OpenBLAS takes one thread by itself
PAUSE = 5_000_000_000  # multiplications, about half a second, after which an interrupt is heeded
CHUNK = 256  # rows of a prediction at once: the outputs of layers of 1000 units fit the cache
ONE_TEAM = threading.Lock()  # who comes while a team works goes alone: two would fight for cores


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
        row = {
            "kind": kind, "source": at, "D": D, "H": H, "out": -1, "aux": -1, "W_at": -1,
            "b_at": -1, "needs_dx": self.trained, **fields,
        }  # fmt: skip
        self.rows.append(row)
        return row

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
        out = self._columns(D)
        self._row(
            DROPOUT, at, D, D, out=out, word=word, limit=round(layer.rate * 2**24),
            scale=1.0 / (1.0 - layer.rate),
        )  # fmt: skip
        return out, D

    def add_embedding(self, layer, path, at, D):
        """Add an Embedding: see `_add`."""
        if at >= 0 or len(layer.sizes) > D:
            raise Unknown  # it reads codes, which nothing changes on their way
        shapes, H = layer.shapes(D)
        starts = np.cumsum([0, *layer.sizes])
        self.kept.append(starts)
        row = self._row(
            EMBEDDING, at, D, H, out=self._columns(H), n_codes=len(layer.sizes), dim=layer.n_dim,
            starts=starts.ctypes.data, sums=self._sums(layer.n_dim),
        )  # fmt: skip
        self._parameter(row, "W", path, "E", shapes["E"])
        return row["out"], H

    def add_normalization(self, layer, path, at, D):
        """Add a normalization: see `_add`."""
        kind = NORMS[type(layer)]
        aux = self._columns(D if kind == BATCH_NORM else D + 1)
        row = self._row(
            kind, at, D, D, out=self._columns(D), aux=aux, sums=self._sums(5 * D),
            epsilon=layer.epsilon,
        )  # fmt: skip
        self._parameter(row, "W", path, "g", (1, D))
        if kind != RMS_NORM:
            self._parameter(row, "b", path, "b", (1, D))
        if kind == BATCH_NORM:
            row["momentum"] = layer.momentum
            row["mean"], row["var"] = (path_name((*path, name)) for name in ("mean", "var"))
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
            ctypes.addressof(layers), len(layers), ctypes.addressof(leaves), len(leaves), self.D,
            self.C, self.width, max(self.n_sums, 1),
        )  # fmt: skip
        net.kept = layers, leaves, params, buffers, slots, average
        return net

    def holds(self, stores, K, dtype):
        """Tell whether stores are as the layout says: users may put other arrays in."""
        return all(
            a.dtype == dtype and a.flags.c_contiguous and a.size == K * self.sizes[name]
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
            return width_before(layers[i].layers, shapes, (*path, i))
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


def native_run(step, otherwise):
    """Return the run of a step as compiled code, or None where a part of it is not known here.

    otherwise: the run where arrays are of another form than the layout says.
    """
    built, fixed, table = library(), training_of(step), table_of(step.network, step.layout)
    if isinstance(built, str) or fixed is None or table is None or step.dtype not in DTYPES:
        return None
    dtype = np.dtype(step.dtype)

    def run(carry, data, plan):
        x, y = data
        K = plan.rows.shape[1] if plan.rows.ndim == 3 else 1
        stores = carry.params, carry.buffers, *carry.state.values()
        if x.shape[-1] != table.D or not table.holds(stores, K, dtype):
            return otherwise(carry, data, plan)
        t = Training.from_buffer_copy(fixed)
        t.N, t.K, t.y_columns = plan.rows.shape[-1], K, 0 if step.loss.codes else y.shape[-1]
        x, y = (np.require(a, requirements=["C", "A"]) for a in (x, y))
        t.x, t.y = x.ctypes.data, y.ctypes.data
        plan = Plan(*(np.ascontiguousarray(a) for a in plan))
        losses = np.zeros((2, *plan.n_rows.shape), dtype)
        slots = [carry.state[slot] for slot in step.rule.slots]
        net = table.network(carry.params, carry.buffers, slots, carry.state.get("ema"))
        work = t.N * table.multiplications
        with team(K if K > 1 else min(t.N // 8, work // WORK)) as size:
            pause = max(1, PAUSE // max(1, K * work))
            for start in range(0, len(plan.rows), pause):
                part = plan.part(start, start + pause)
                made = losses[:, start : start + pause].copy()
                t.B, t.losses = len(part.rows), made.ctypes.data
                for field, a in zip(Plan._fields, part):
                    setattr(t, field, a.ctypes.data)
                built.xpmlp_train(
                    dtype.itemsize == 8, find_blas().gemm[step.dtype], ctypes.byref(net),
                    ctypes.byref(t), size,
                )  # fmt: skip
                losses[:, start : start + pause] = made
        return carry, losses

    return run


@contextmanager
def team(wanted):
    """Yield how many threads may work, with BLAS told to take one in each.

    There is one team at a time: two would fight for the cores, and wait for each other.
    """
    size = max(1, min(wanted, n_threads()))
    if size > 1 and not ONE_TEAM.acquire(blocking=False):
        size = 1
    blas = find_blas()
    before = blas.threads()
    if before > 1:
        blas.set_threads(1)
    try:
        yield size
    finally:
        if before > 1:
            blas.set_threads(before)
        if size > 1:
            ONE_TEAM.release()


def training_of(step):
    """Return what is fixed of a step as step.h reads it, or None where it is not known here."""
    loss, rule = loss_of(step.loss), rule_of(step.rule)
    if loss is None or rule is None or {*step.options.given} - STEP_OPTIONS:
        return None
    (code, levels), own = loss, step.options
    kept = (ctypes.c_double * max(1, len(levels)))(*levels)
    made = Training(
        loss=code, levels=ctypes.addressof(kept), n_levels=len(levels),
        max_grad_norm=own.max_grad_norm or 0.0, max_norm=own.max_norm or 0.0,
        ema_decay=own.ema_decay or 0.0, **rule,
    )  # fmt: skip
    KEPT.append(kept)  # as long as steps are cached, which is for good
    return made


KEPT: list = []


def loss_of(loss):
    """Return the number of a built-in loss and its parameters, or None of another."""
    if loss.name not in LOSS_NAMES:
        return None
    made = loss.value_and_grad
    field = LOSS_PARAMETERS.get(loss.name)
    if field is None:
        known = loss.codes or made == LOSSES[loss.name].value_and_grad
        return (LOSS_NAMES.index(loss.name), ()) if known else None
    if type(made) is not type(LOSSES[loss.name].value_and_grad):
        return None
    levels = getattr(made, field)
    return LOSS_NAMES.index(loss.name), levels if isinstance(levels, tuple) else (levels,)


def rule_of(rule):
    """Return the number of a built-in rule and its factors, or None of another."""
    kind = type(rule)
    if kind is SGD:
        name = ("momentum", "nesterov")[rule.nesterovs_momentum] if rule.momentum else "sgd"
        c, d, epsilon = rule.momentum, 0.0, 0.0
    elif kind in (Adam, AdamW, Nadam, Lion):
        name = {Nadam: "nadam", Lion: "lion"}.get(kind, "adam")
        c, d, epsilon = rule.beta_1, rule.beta_2, getattr(rule, "epsilon", 0.0)
    elif kind in (RMSprop, Adagrad):
        name, c, d, epsilon = kind.__name__.lower(), getattr(rule, "rho", 0.0), 0.0, rule.epsilon
    else:
        return None
    numbers = {"c": c, "c1": 1.0 - c, "d": d, "d1": 1.0 - d, "epsilon": epsilon}
    return {"rule": RULE_NAMES.index(name), **numbers}


def native_outputs(network, layout, dtype):
    """Return (store, n) -> x -> outputs as compiled code; None where a part is not known here."""
    built, table = library(), table_of(network, layout)
    if isinstance(built, str) or table is None or dtype not in DTYPES:
        return None

    def prepared(store, n):
        # Whoever predicts holds these arrays, to whose addresses the structure points.
        store = {name: np.ascontiguousarray(a) for name, a in store.items()}
        if not table.holds([store], 1, dtype):
            return None
        net = table.network(store, store)
        work, rows = n * table.multiplications, min(max(n, 1), CHUNK)
        wanted = min(n // 64, work // WORK)
        call = partial(
            built.xpmlp_predict, dtype == "float64", find_blas().gemm[dtype], ctypes.byref(net)
        )

        def outputs(x):
            check_rows(x, n, table.D)
            x = np.require(x, requirements=["C", "A"])
            made = np.empty((n, table.C), x.dtype)
            addresses = x.ctypes.data, 0, made.ctypes.data
            if work <= LIGHT:  # products so small that no BLAS takes threads for them
                call(*addresses, n, 1, rows, 1)
            else:
                with team(wanted) as size:
                    call(*addresses, n, 1, rows, size)
            return made

        return outputs

    return prepared
