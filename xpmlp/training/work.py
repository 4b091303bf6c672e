"""How much work a training is, and whether host arrays are brought to a card for it."""

import math

from ..arrays import Array, array_at
from ..engines import Options, launches, prepare
from ..nn.layout import walk
from ..nn.network import shapes_of
from ..placing import Needs, chosen, moved
from ..thresholds import Work
from .rows import SparseRows


def needs_of(
    network, x: Array | SparseRows, batch_size: int, n_epochs: int, options: Options
) -> Needs:
    """Return what a training of a network on rows x takes; it may end before so many epochs.

    A step multiplies each row of its batch by each parameter three times: forward, for the
    parameter's gradient, and for that of the layer's input. With their sums that is six FLOP.

    Memory has to hold X and targets three times, as early stopping copies them (of a sparse X a
    part at a time); the parameters ten times, with gradients, the rule's state and best weights;
    a batch's activations and their gradients.
    """
    (n, d), (tree, n_out) = x.shape, shapes_of(network, x.shape[1])
    shapes = [shape for _, group, shape in walk(network, tree) if group.trained]
    n_params = sum(map(math.prod, shapes))
    step = 6.0 * n_params * batch_size
    work = Work(step, step * n_epochs * math.ceil(n / batch_size))
    rows = 3 * n * (n_out if isinstance(x, SparseRows) else d + n_out)
    activations = batch_size * sum(shape[-1] for shape in shapes)  # of weights and offsets: twice
    n_bytes = (rows + 10 * n_params + activations) * x.dtype.itemsize
    return Needs(work, launches(network, options), n_bytes)


def where_it_pays(
    x: Array | SparseRows, network, rule, batch_size: int, n_epochs: int, options: Options
) -> tuple[Array | SparseRows, str]:
    """Return rows x of NumPy where ``device="auto"`` trains a network on them, and why there.

    rule: an update rule, or None for L-BFGS, whose steps take all rows, by plain operations.
    """
    if rule is None:
        batch_size, options = x.shape[0], options._replace(accelerate="generic")
    dtype = str(x.dtype)
    # Only where a card may be: a layer of one's own may have to draw its parameters for it.
    card, why = chosen(lambda: needs_of(network, x, batch_size, n_epochs, options), dtype)
    if card is None:
        return x, why
    like = array_at(card)
    prepare(card, dtype, options)
    return (SparseRows(x.csr, like) if isinstance(x, SparseRows) else moved(x, like)), why
