"""How much work a training is, and whether host arrays are brought to a card for it."""

import math

from ..arrays import Array, array_at
from ..engines import Options, launches, prepare
from ..nn.layout import walk
from ..nn.network import shapes_of
from ..placing import chosen, moved
from ..thresholds import Work
from .rows import SparseRows


def work_of(network, n_features: int, n_rows: int, batch_size: int, n_epochs: int) -> Work:
    """Return the work of training a network for so many epochs, which may end earlier.

    A step multiplies each row of its batch by each parameter three times: forward, for the
    parameter's gradient, and for that of the layer's input. With their sums that is six FLOP.
    """
    step = 6.0 * sum(map(math.prod, _trained(network, n_features))) * batch_size
    return Work(step, step * n_epochs * math.ceil(n_rows / batch_size))


def memory_of(network, x: Array | SparseRows, batch_size: int) -> int:
    """Return about the most bytes that a training of a network on rows x takes.

    X and targets three times, as early stopping copies them; the parameters ten times, with
    gradients, the rule's state and best weights; a batch's activations and their gradients. Of a
    sparse X a part at a time is there.
    """
    (n, d), shapes = x.shape, _trained(network, x.shape[1])
    n_out = shapes_of(network, d)[1]
    rows = 3 * n * (n_out if isinstance(x, SparseRows) else d + n_out)
    activations = batch_size * sum(shape[-1] for shape in shapes)  # of weights and offsets: twice
    return (rows + 10 * sum(map(math.prod, shapes)) + activations) * x.dtype.itemsize


def where_it_pays(
    x: Array | SparseRows, network, rule, batch_size: int, n_epochs: int, options: Options
) -> tuple[Array | SparseRows, str]:
    """Return rows x of NumPy where ``device="auto"`` trains a network on them, and why there.

    rule: an update rule, or None for L-BFGS, whose steps take all rows, by plain operations.
    """
    n, d = x.shape
    if rule is None:
        batch_size, options = n, options._replace(accelerate="generic")
    work, n_bytes = work_of(network, d, n, batch_size, n_epochs), memory_of(network, x, batch_size)
    card, why = chosen(work, launches(network, options), n_bytes, str(x.dtype))
    if card is None:
        return x, why
    like = array_at(card)
    prepare(card, str(x.dtype), options)
    return (SparseRows(x.csr, like) if isinstance(x, SparseRows) else moved(x, like)), why


def _trained(network, n_features):
    """Return the shapes of the parameters that steps train."""
    shapes, _ = shapes_of(network, n_features)
    return [shape for _, group, shape in walk(network, shapes) if group.trained]
