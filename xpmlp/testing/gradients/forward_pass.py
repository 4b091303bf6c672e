"""What is wrong in a forward pass itself: its derivative cannot show that, for it agrees.

Parameters that the cost does without, predictions that meet each target by broadcasting, a softmax
whose rows do not sum to 1, layers without an activation between them.
"""

import itertools

import numpy as np

from ..tape import Node
from .points import DRAWN, size_of_cost
from .record import VIEWS, Record, layers_of

LARGE = 1_000_000  # numbers in X, beyond which nothing is recorded


def unused(code, points):
    """Return the names of parameters that the cost does not depend on, at any of the points."""
    rng, found = np.random.default_rng(6), []
    if points[-1].where != DRAWN:  # units that are off at the given parameters hide others
        return []
    for i, name in enumerate(code.names):
        move = 0.1 * rng.normal(size=code.arrays[i].shape)
        for point in points:
            moved = [*point.arrays[:i], point.arrays[i] + move, *point.arrays[i + 1 :]]
            if size_of_cost(code, moved) != point.size:
                break
        else:
            found.append(name)
    return found if len(found) < len(code.names) else []


def forward_remarks(code, arrays):
    """Return what the record of the user's forward with these arrays shows: remarks, and notes.

    Remarks (kind, text) say that another cost is computed than is meant, notes what may be meant.
    """
    record = Record.of(code, arrays, code.data) if np.size(code.X) < LARGE else None
    if record is None:
        return [], []
    hanging, remarks = set(record.parameters), list[tuple]()
    for node in record.nodes:
        if any(source in hanging for source in node.inputs if isinstance(source, Node)):
            hanging.add(node)
            remarks += _broadcast(node, hanging, code.X.shape)
            remarks += _softmax(node, code.X.shape)
    return [*dict.fromkeys(remarks)], list(_linear_layers(code, record))


def _linear_layers(code, record):
    """Yield where two layers follow each other without an activation."""
    for earlier, later in itertools.pairwise(layers_of(record)):
        names = [code.names[layer.weights.array] for layer in (earlier, later)]
        if names[0] != names[1] and _source(later.uses[0].x) is _source(earlier.uses[0].z):
            yield (
                f"{' and '.join(names)} follow each other without an activation between them: "
                "together they are one linear layer"
            )


def _broadcast(node, hanging, sizes):
    """Yield the remark of n predictions that meet n targets as (n, n)."""
    shape = np.shape(node.value)
    if len(node.inputs) != 2 or len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2:
        return
    n, shapes = shape[0], [np.shape(getattr(x, "value", x)) for x in node.inputs]
    predicted = [x in hanging for x in node.inputs if isinstance(x, Node)]
    if node.each and n in sizes and all(np.prod(s) == n for s in shapes) and sum(predicted) == 1:
        both = next(s for s in shapes if len(s) == 2)
        yield (
            "broadcast",
            f"forward makes {shape} of {shapes[0]} and {shapes[1]} by broadcasting, each prediction"
            f" with each target: give both the shape {both}, with y.reshape{both}",
        )


def _softmax(node, sizes):
    """Yield the remark of a softmax that does not make 1 of each sample."""
    p = node.value
    if node.operation != "divide" or np.ndim(p) != 2:
        return
    e, total = node.inputs[0], _source(node.inputs[1])
    is_exp = getattr(_source(e), "operation", "") == "exp"
    if not is_exp or getattr(total, "operation", "") != "sum" or _source(total.inputs[0]) is not e:
        return
    samples = [axis for axis in (0, 1) if p.shape[axis] == (*sizes, 0, 0)[axis]]
    if len(samples) != 1:  # as many samples as units: the shapes do not tell
        return
    units = 1 - samples[0]
    sums, over = p.sum(axis=units), "the samples" if np.size(total.value) > 1 else "all numbers"
    if p.shape[units] == 1:
        text = "the softmax has one unit, which is always 1: use a sigmoid, or a unit a class"
        yield "softmax_axis", text
    elif not np.allclose(sums, 1.0):
        yield (
            "softmax_axis",
            f"the softmax of a sample sums to {sums.min():.3g} to {sums.max():.3g}, not to 1: it "
            f"divides by the sum over {over}, use np.sum(e, axis={units}, keepdims=True)",
        )


def _source(node):
    """Return the node that a node is a view of."""
    while getattr(node, "operation", "") in VIEWS:
        node = node.inputs[0]
    return node
