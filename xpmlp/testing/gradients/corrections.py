"""What belongs in the place of what is wrong: the right backward pass, lines that differ marked."""

import numpy as np

from .candidates import hidden_errors, output_errors
from .whole import same
from .written import Style, right_backward

TOLERANCE = 1e-6


def add_corrections(report, network, diagnosis, agrees):
    """Add the right backward pass of a network to the report of a wrong one.

    agrees: tells of gradients at the user's parameters and data whether they are right.
    """
    style = Style(late=_is_late(diagnosis), wrong=frozenset(_wrong_lines(network, diagnosis)))
    report.backward = right_backward(network, style, agrees)


def _is_late(diagnosis):
    """Tell whether 1/n belongs to dW and db: there it was forgotten, or stands once more."""
    means = [text for kind, _, text in diagnosis.mistakes if kind.endswith("_mean")]
    return any(not text.startswith("dZ") for text in means)


def _wrong_lines(network, diagnosis):
    """Yield the lines (role, layer) of the right backward pass that differ from the user's.

    Each is judged by what it gives of the values that the user's own lines hand to it.
    """
    yield from (("return", None) for _, layer, _ in diagnosis.mistakes if layer is None)
    users = network.gradients()
    for k, dZ in sorted(diagnosis.dZ.items(), reverse=True):
        right = output_errors(network)
        if k < len(network.W):
            right = hidden_errors(network, diagnosis.dZ, k)
        follows = dict(_following(network, users, k, dZ))
        if {(k, role[1:]) for role in follows} <= {*diagnosis.lost}:
            yield "dZ", k
            continue
        if not same(dZ, next(right).array, TOLERANCE):
            yield "dZ", k
        yield from ((role, k) for role, right in follows.items() if not right)


def _following(network, users, k, dZ):
    """Yield (role, whether the user's gradient follows from dZ by the right line) of layer k."""
    sums = {"W": network.inputs[k - 1].mT @ dZ, "b": np.sum(dZ, axis=-2, keepdims=True)}
    decays = {"W": network.l2[k - 1], "b": network.l2_bias[k - 1]}
    for kind, own in sums.items():
        part = network.layers[k - 1].part(kind)
        if part is not None:
            own = own + 2 * decays[kind] * network.parameters[kind][k - 1]
            user = users[part.array]
            fits = user is not None and user.shape[1:] == part.shape
            user = network.layers[k - 1].gradient(kind, user)
            yield f"d{kind}", fits and same(user, own, TOLERANCE)
