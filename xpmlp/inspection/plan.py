"""What a training will take, told before anything runs: shapes, FLOPs, bytes."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..arrays import free_memory, home
from ..nn import Activation, Dense, Dropout, Network
from ..nn.layout import walk
from ..nn.network import describe
from ..randomness import stream
from .equations import aligned

LBFGS_VECTORS = 27  # of float64, on the host: 10 pairs of SciPy's, and the work beside them


class LayerCost(NamedTuple):
    """One row of the table; FLOPs and bytes of one batch."""

    name: str
    output: tuple[int, int]
    parameters: int
    forward: int  # FLOPs
    total: int  # FLOPs, forward and backward
    activations: int  # bytes kept for the backward pass


@dataclass(frozen=True, repr=False)
class TrainingPlan:
    """What a training will take. Print it.

    Attributes
    ----------
    layers : tuple of LayerCost
    memory : dict
        What takes memory -> bytes: data, parameters, gradients, rule, activations.
    total, free : int
        Bytes: the sum of `memory`, and what is free on the device (None where it does not say).
    fits : bool or None
    notes : tuple of str
        What looks wrong, though it can be trained on.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import nn
    >>> network = nn.Network([nn.Dense(512, "relu"), nn.Dense(10)])
    >>> plan = network.plan(np.zeros((1000, 784), "float32"), batch_size=100)
    >>> plan.layers[0].forward, plan.memory["parameters"], plan.fits
    (80281600, 1628200, True)
    """

    title: str
    layers: tuple[LayerCost, ...]
    memory: dict[str, int]
    free: int | None
    notes: tuple[str, ...]

    @property
    def total(self):
        """The bytes of everything."""
        return sum(self.memory.values())

    @property
    def fits(self):
        """Whether that is less than what is free."""
        return None if self.free is None else self.total <= self.free

    def __repr__(self):
        rows = [("layer", "output", "parameters", "forward", "with backward", "activations")]
        rows += [
            (
                c.name, f"({', '.join(map(str, c.output))})", f"{c.parameters:,}",
                scaled(c.forward, "FLOP"), scaled(c.total, "FLOP"), scaled(c.activations, "B"),
            )
            for c in self.layers
        ]  # fmt: skip
        sums = [sum(column) for column in zip(*(c[2:] for c in self.layers))]
        flops = (scaled(sums[1], "FLOP"), scaled(sums[2], "FLOP"))
        rows.append(("a batch", "", f"{sums[0]:,}", *flops, scaled(sums[3], "B")))
        memory = ", ".join(f"{name} {scaled(n, 'B')}" for name, n in self.memory.items())
        lines = [self.title, "", *aligned(rows, 2), "", f"Memory: {memory}.", self._verdict()]
        lines += [
            "FLOP: of the matrix products, 2 x rows x elements of W forward; as many again for dW,",
            "and for dX in all layers but the first. Activations: what backward needs of a batch.",
        ]
        return "\n".join([*lines, *(f"Note: {note}" for note in self.notes)])

    def _verdict(self):
        if self.free is None:
            return f"Total: {scaled(self.total, 'B')}; the device does not say what is free."
        gap = f"does not fit by {scaled(self.total - self.free, 'B')}"
        verdict = "fits" if self.fits else gap
        return f"Total: {scaled(self.total, 'B')} of {scaled(self.free, 'B')} free: {verdict}."


def scaled(n, unit):
    """Write a count with a unit: 1.5 MB."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(n) >= factor:
            return f"{n / factor:.3g} {prefix}{unit}"
    return f"{n} {unit}"


def plan_training(network, shape, *, dtype, rule, batch_size, like, held=False, notes=()):
    """Return the `TrainingPlan` of a network for data X of a shape; allocates nothing of that size.

    rule: an update rule, or None for lbfgs; like: an array on the device; held: X is there already,
    in the dtype.
    """
    n, d = shape
    rows, size = min(batch_size, n) if rule else n, np.dtype(dtype).itemsize
    layers: list[LayerCost] = []
    if not network.layers:
        raise ValueError("the network has no layers: give it a Dense layer.")
    n_out = _costs(network, d, rows, size, "", layers)
    n_params = sum(c.parameters for c in layers)
    state = len(rule.slots) * n_params * size if rule else 8 * LBFGS_VECTORS * n_params
    widest = max(c.output[1] for c in layers)
    memory = {
        "data": n * size * (n_out + (0 if held else d)) + 12 * n,  # and the order, the weights
        "parameters": n_params * size,
        "gradients": 3 * n_params * size,  # a layer's, packed, and the update's work
        type(rule).__name__ if rule else "L-BFGS on the host": state,
        # The batch, its activations, and two gradients on their way back.
        "activations": rows * d * size
        + sum(c.activations for c in layers)
        + 2 * rows * widest * size,
    }
    where = home(like)
    batches = f"batches of {rows:,}" if rule else "all in one batch"
    title = f"{n:,} rows of {d:,} features, {batches}, {dtype} on {where.library} {where.device}"
    return TrainingPlan(title, tuple(layers), memory, free_memory(like), tuple(notes))


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
        kept = 2 if isinstance(layer, Dense | Dropout) else 1
        kept -= isinstance(layer, Dense) and layer.activation == "identity"
        name = f"{here} {describe(layer, n_in)}"
        layers.append(
            LayerCost(
                name, (rows, n_out), n_params, forward, forward * (2 if first else 3),
                rows * n_out * size * kept,
            )
        )  # fmt: skip
        n_in = n_out
    return n_in


def _parameters(layer, n_in):
    """Return a layer's numbers of parameters, of those in matrix products, and of outputs."""
    if isinstance(layer, Dense):  # without drawing them
        n = n_in * layer.n_out
        return n + layer.n_out * layer.use_bias, n, layer.n_out
    if isinstance(layer, Activation | Dropout):
        return 0, 0, n_in
    params, n_out = layer.init(n_in, stream(0, "init"))
    sizes = [(a.size, group) for _, group, a in walk(layer, params)]
    return (
        sum(n for n, group in sizes if group.trained),
        sum(n for n, group in sizes if group.decay),
        n_out,
    )
