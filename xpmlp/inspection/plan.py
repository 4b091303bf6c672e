"""Plan of a training, before anything runs: shapes, FLOPs, bytes."""

import math
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from ..arrays import dtype_name, float_dtype, free_memory, is_array, location_of
from ..model import Model
from ..nn import Dense, Dropout, Loss, Network
from ..nn.layout import walk
from ..nn.loss import check_targets
from ..nn.network import describe
from ..optim import Rule, make_rule
from ..page import bar, fragment, table, tag
from ..protocols import Rows
from ..thresholds import scaled
from ..training.inputs import network_loss
from ..training.rows import at_once
from ..words import check_word, plural
from .equations import shape_text
from .models import check_target_shape, paired
from .shapes import check_shapes, shape_of
from .text import aligned

READING = (
    "FLOP: of the matrix products, 2 x rows x elements of W forward; in all also those of dW, and "
    "of dX but in the first layer. Kept: activations of a batch that the backward pass needs."
)
LBFGS_VECTORS = 27  # of float64, on the host: 10 pairs of SciPy's, and the work beside them


class LayerCost(NamedTuple):
    """One row of the table; FLOPs and bytes of one batch."""

    name: str
    output: tuple[int, ...]
    parameters: int
    forward: int  # FLOPs
    total: int  # FLOPs, forward and backward
    activations: int  # bytes kept for the backward pass


@dataclass(frozen=True, repr=False)
class TrainingPlan:
    """Shapes, FLOPs and bytes of a training: prints as text, shows as HTML in a notebook.

    Attributes
    ----------
    title : str
    layers : tuple of LayerCost
    memory : dict
        What takes memory -> bytes: data, parameters, gradients, rule, activations.
    total, free : int
        Bytes: the sum of `memory`, and what is free on the device (None where it does not say).
    fits : bool or None
        Whether the total is no more than what is free.
    notes : tuple of str
        What looks wrong, though it can be trained on.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import nn
    >>> network = nn.Network([nn.Dense(512, "relu"), nn.Dense(10)])
    >>> costs = plan(network, np.zeros((1000, 784), "float32"), batch_size=100)
    >>> costs.layers[0].forward, costs.memory["parameters"], costs.fits
    (80281600, 1628200, True)
    """

    title: str
    layers: tuple[LayerCost, ...]
    memory: dict[str, int]
    free: int | None
    notes: tuple[str, ...]

    @property
    def total(self) -> int:
        """Bytes of everything."""
        return sum(self.memory.values())

    @property
    def fits(self) -> bool | None:
        """Whether the total is no more than what is free."""
        return None if self.free is None else self.total <= self.free

    def _rows(self):
        """Return the table of layers, its head first, the sums last."""
        rows = [("layer", "output", "parameters", "forward", "in all", "kept")]
        sums = (sum(column) for column in zip(*(c[2:] for c in self.layers)))
        for c in (*self.layers, LayerCost("a batch", (), *sums)):
            output = shape_text(c.output) * bool(c.output)
            flops = (f"{scaled(c.forward)}FLOP", f"{scaled(c.total)}FLOP")
            rows.append((c.name, output, f"{c.parameters:,}", *flops, f"{scaled(c.activations)}B"))
        return rows

    def _sum(self):
        """Return the memory of everything, and whether it is free, in a sentence."""
        total = f"Total: {scaled(self.total)}B"
        if self.free is None:
            return f"{total}; the device does not say what is free."
        fits = "fits" if self.fits else f"does not fit by {scaled(self.total - self.free)}B"
        return f"{total} of {scaled(self.free)}B free: {fits}."

    def __repr__(self):
        memory = ", ".join(f"{name} {scaled(n)}B" for name, n in self.memory.items())
        rows = [*self._rows(), "", f"Memory: {memory}.", self._sum(), READING]
        return "\n".join(aligned([self.title, "", *rows, *(f"Note: {a}" for a in self.notes)]))

    def _repr_html_(self):
        head, *rows = self._rows()
        rows[-1] = tuple(tag("strong", cell) for cell in rows[-1])
        memory = ((name, bar(n / self.total, f"{scaled(n)}B")) for name, n in self.memory.items())
        found = {None: "", True: "good", False: "bad"}[self.fits]
        parts = [tag("h2", self.title), table(head, rows, numbers=range(1, 6))]
        parts += [table(("memory", ""), memory), tag("p", self._sum(), found)]
        parts += [tag("p", f"Note: {note}") for note in self.notes]
        return str(fragment(*parts, tag("p", READING, "soft")))


def plan_training(network, X, *, dtype, rule, batch_size, like, notes=(), orientation="rows"):
    """Return the `TrainingPlan` of a network for data X; allocates nothing of its size.

    rule: an update rule, or None for lbfgs; like: an array on the device that trains.
    """
    check_word("orientation", orientation, ("rows", "columns"))
    (n, d), size = shape_of(X), np.dtype(dtype).itemsize
    where = location_of(like)
    most = at_once(d) if hasattr(X, "tocsr") else n  # of a sparse X so many rows are dense
    if rule:
        rows = min(batch_size, n)
        state, name, batches = len(rule.slots) * size, type(rule).__name__, f"batches of {rows:,}"
    else:
        rows = min(most, n)
        state, name, batches = 8 * LBFGS_VECTORS, "L-BFGS on the host", "all in one batch"
    copied = d * min(n, max(rows, most))
    if is_array(X) and location_of(X) == where and dtype_name(X) == dtype:
        copied = 0
    layers: list[LayerCost] = []
    n_out = _costs(network, d, rows, size, "", layers)
    if not any(c.parameters for c in layers):
        raise ValueError("the network has no parameters to train: give it a Dense layer.")
    n_params = sum(c.parameters for c in layers)
    widest = max(c.output[1] for c in layers)
    memory = {
        # The last are the order and the weights.
        "data": size * (n * n_out + copied) + 12 * n,
        "parameters": n_params * size,
        "gradients": 3 * n_params * size,  # a layer's, packed, and the update's work
        name: state * n_params,
        # The batch, its activations, and two gradients on their way back.
        "activations": rows * (d + 2 * widest) * size + sum(c.activations for c in layers),
    }
    if orientation == "columns":
        layers = [cost._replace(output=cost.output[::-1]) for cost in layers]
    size_of_X = f"{plural(n, 'row')} of {plural(d, 'feature')}"
    title = f"{size_of_X}, {batches}, {dtype} on {where.library} {where.device}"
    return TrainingPlan(title, tuple(layers), memory, free_memory(like), tuple(notes))


def plan(
    network_or_model: Network | Model,
    X: Rows,
    y: Rows | None = None,
    *,
    loss: str | Loss | None = None,
    solver: str | Rule = "adam",
    batch_size: int | None = None,
    dtype: DTypeLike | None = None,
    orientation: Literal["rows", "columns"] = "rows",
) -> TrainingPlan:
    """Return the shapes, FLOPs and bytes that the training of a network will take.

    Nothing of that size is allocated.

    Parameters
    ----------
    network_or_model : Network or Model
        A fitted model (of `xpmlp.load`, or an estimator's `model_`) is trained on its device.
    X : array (n_samples, n_features)
        Only its shape, dtype and device count, as of y. Of a model: what `predict` takes.
    y : array, optional
    loss : str or Loss, optional
        As in `xpmlp.train`; a model has one that fits its targets.
    solver : str or Rule, default="adam"
    batch_size : int, optional
        Rows of a step, by default 200.
    dtype : str, optional
        "float32" or "float64"; by default that of X, or of the model.
    orientation : {"rows", "columns"}, default="rows"
        How samples stand in the shapes of outputs; in X and y they stand in rows.

    Returns
    -------
    TrainingPlan
        To print: shapes, parameters, FLOPs, bytes, and whether they fit the device.

    Raises
    ------
    ShapeError
        When X, y and the network do not fit; the message says what was probably meant.
    ValueError
        When `batch_size` is no whole number of 1 or more, or the network has no parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import nn, plan
    >>> plan(nn.Network([nn.Dense(1)]), np.ones((64, 3)), np.ones(64))
    Traceback (most recent call last):
    xpmlp.errors.ShapeError: y is (64,), the outputs are (64, 1); did you mean y[:, None]?
    """
    if not isinstance(batch_size, Integral | None) or (batch_size is not None and batch_size < 1):
        raise ValueError(f"batch_size must be a whole number of 1 or more, got {batch_size!r}.")
    rule, size = make_rule(solver), batch_size or 200
    costs = partial(plan_training, rule=rule, batch_size=size, orientation=orientation)
    if isinstance(network_or_model, Model):
        return _plan_of_model(network_or_model, X, y, loss, dtype, costs)
    check_shapes(X, y)
    n, d = shape_of(X)
    notes = []
    if d > n and y is None:
        notes = [f"X is {(n, d)}, wider than long; if its samples stand in columns, pass X.T."]
    like: Any = np.empty((0, 1))
    if is_array(X):
        like = X[:0, ...]
    found = costs(network_or_model, X, dtype=float_dtype(like, dtype), like=like, notes=notes)
    n_out = network_or_model.shapes(d)[1]
    network_loss(loss or "squared_error", n_out)
    if y is not None and not (loss == "log_loss" and len(shape_of(y)) == 1):
        check_targets((n, n_out), shape_of(y))
    return found


def _plan_of_model(model, X, y, loss, dtype, costs):
    """Return the plan of a fitted model on X and y, of which the values are not looked at."""
    inputs = model.inputs
    check_shapes(X, y, inputs.n_features)
    if dtype is not None and np.dtype(dtype) != inputs.dtype:
        raise ValueError(
            f"dtype={dtype!r}, but the model computes in {inputs.dtype}: leave it out."
        )
    paired(model, loss)
    if y is not None:
        check_target_shape(model.targets, shape_of(y))
    if inputs.encoder is not None:  # of a table the network sees the encoding
        X = np.broadcast_to(np.zeros((), inputs.dtype), (shape_of(X)[0], inputs.width))
    return costs(model.network, X, dtype=inputs.dtype, like=inputs.like)


def _costs(network, n_in, rows, size, number, layers):
    """Append the costs of a network's layers. Returns its number of outputs."""
    for i, layer in enumerate(network.layers):
        here = f"{number}{i + 1}"
        if type(layer) is Network:
            n_in = _costs(layer, n_in, rows, size, f"{here}.", layers)
            continue
        n_params, products, n_out = _parameters(layer, n_in)
        forward = 2 * rows * products
        first = not any(c.parameters for c in layers)  # nobody reads its dX
        kept = 1 + isinstance(layer, Dense | Dropout)
        kept -= isinstance(layer, Dense) and layer.activation == "identity"
        cost = forward, forward * (3 - first), rows * n_out * size * kept
        name = f"{here} {describe(layer, n_in)}"
        layers.append(LayerCost(name, (rows, n_out), n_params, *cost))
        n_in = n_out
    return n_in


def _parameters(layer, n_in):
    """Return a layer's numbers of parameters, of those in matrix products, and of outputs."""
    shapes, n_out = layer.shapes(n_in)
    found = [(math.prod(shape), group) for _, group, shape in walk(layer, shapes) if group.trained]
    return sum(n for n, _ in found), sum(n for n, group in found if group.decay), n_out
