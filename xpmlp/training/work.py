"""Work of a training in FLOP and bytes, and whether host arrays go to a GPU for it."""

import math
from collections.abc import Callable

from ..arrays import Array, array_at
from ..engines import launches, prepare
from ..nn.layout import walk
from ..nn.network import shapes_of
from ..placing import Needs, chosen, moved
from ..thresholds import Work
from .rows import SparseRows


def needs_of(network, loss_for: Callable, rule, options, x: Array | SparseRows) -> Needs:
    """Return what a training of a network on rows x takes; it may end before its last epoch.

    A step multiplies each row of its batch by each parameter three times: forward, for the
    parameter's gradient, and for that of the layer's input. With their sums that is six FLOP.

    loss_for: returns the loss for a number of outputs; rule: an update rule, or None for L-BFGS,
    whose steps take all rows, by plain operations.

    Memory has to hold X and targets three times, as early stopping copies them (of a sparse X a
    part at a time); the parameters ten times, with gradients, the rule's state and best weights;
    a batch's activations and their gradients.
    """
    (n, d), (tree, n_out) = x.shape, shapes_of(network, x.shape[1])
    shapes = [shape for _, group, shape in walk(network, tree) if group.trained]
    n_params = sum(map(math.prod, shapes))
    batch_size = options.rows_a_step(rule, n)
    step = 6.0 * n_params * batch_size
    work = Work(step, step * options.max_iter * math.ceil(n / batch_size))
    loss = loss_for(n_out)
    columns = loss.n_targets(n_out)
    if not isinstance(x, SparseRows):
        columns += d
    activations = batch_size * sum(shape[-1] for shape in shapes)  # of weights and offsets: twice
    n_bytes = (3 * n * columns + 10 * n_params + activations) * x.dtype.itemsize
    plain = not options.steps.given
    operations = launches(network, loss, rule, plain=plain, options=options.engine)
    return Needs(work=work, launches=operations, n_bytes=n_bytes)


def where_it_pays(
    x: Array | SparseRows, network, loss_for: Callable, rule, options
) -> tuple[Array | SparseRows, str]:
    """Return rows x of NumPy where ``device="auto"`` trains a network on them, and why there."""
    dtype = str(x.dtype)
    # Only where a GPU may be: a layer of one's own may have to draw its parameters for it.
    card, why = chosen(lambda: needs_of(network, loss_for, rule, options, x), dtype)
    if card is None:
        return x, why
    like = array_at(card)
    if rule is not None:
        prepare(card, dtype, options.engine)
    if isinstance(x, SparseRows):
        return SparseRows(x.csr, like), why
    return moved(x, like), why
