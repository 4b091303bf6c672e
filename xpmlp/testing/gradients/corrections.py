"""What belongs in the place of what is wrong: the right lines, and the whole backward pass."""

import numpy as np

from .candidates import hidden_errors, output_errors
from .repairs import find_repairs, recorded, style_of
from .whole import same
from .written import right_backward

TOLERANCE = 1e-6


def add_corrections(report, network, diagnosis, agrees):
    """Add the right backward pass of a network to the report of a wrong one.

    agrees: tells of gradients at the user's parameters and data whether they are right.
    """
    try:
        _add(report, network, diagnosis, agrees)
    except Exception:  # code of a kind that cannot be traced or changed: what was found stands
        report.notes.append("The right lines could not be made out in this code")


def _add(report, network, diagnosis, agrees):
    """Add the right lines and the whole backward pass to the report."""
    recording = recorded(network)
    wrong, style = [*wrong_lines(network, diagnosis)], style_of(network, recording, diagnosis.dZ)
    repairs = find_repairs(network, recording, style, wrong, diagnosis.dZ)
    for repair in repairs:
        _attach(report, network, repair)
    _share(report, network, repairs)
    if repairs and repairs[-1].is_last:
        wrong = [(repair.role, repair.layer) for repair in repairs]
    report.backward = right_backward(network, style, wrong, agrees)


def _attach(report, network, repair):
    """Add a right line to the mistake that it mends."""
    role, k = repair.role, repair.layer
    name = f"dZ{k}"
    if role != "dZ":
        name = f"d{network.notation.parameter(role[1:], k)}"
    tests = (
        lambda m: m.layer == k and m.text.startswith(f"{name} "),
        lambda m: m.layer == k and not m.lines,
        lambda m: m.layer in (k, None),
        lambda m: True,
    )
    fitting = (i for test in tests for i, m in enumerate(report.mistakes) if test(m))
    i = next(fitting, None)
    if i is not None:
        mistake = report.mistakes[i]
        report.mistakes[i] = mistake._replace(lines=(*mistake.lines, repair.line))


def _share(report, network, repairs):
    """Give mistakes without a line that which mends others of their layer too."""
    for i, mistake in enumerate(report.mistakes):
        if not mistake.lines and mistake.layer:
            layer = network.layers[mistake.layer - 1]
            parts = filter(None, (layer.weights, layer.bias))
            names = {f"d{network.code.names[part.array]}" for part in parts}
            lines = [repair.line for repair in repairs if names & {*repair.line.right}]
            lines.sort(key=lambda line: mistake.text.partition(" ")[0] not in line.right)
            report.mistakes[i] = mistake._replace(lines=tuple(lines[:1]))


def wrong_lines(network, diagnosis):
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
            own = own + 2 * decays[kind] * network.penalised[kind][k - 1]
            user = users[part.array]
            fits = user is not None and user.shape[1:] == part.shape
            user = network.layers[k - 1].gradient(kind, user)
            yield f"d{kind}", fits and same(user, own, TOLERANCE)
