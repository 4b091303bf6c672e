"""Somebody's own forward and backward functions: measured, and what is wrong explained."""

import math
import re
from contextlib import suppress

import numpy as np

from ..own_code.adapters import same_draws
from ..own_code.calls import Refused
from .code import Code
from .corrections import add_corrections
from .exceptions_in_backward import explain_traceback
from .forward_pass import forward_remarks, unused
from .mistakes import find_mistakes
from .points import RTOL, points_of, rate_of_update, unseen, wrong_arrays
from .recognise import recognise
from .report import GradientReport
from .structure import structures
from .verdicts import direction_note, explain_array
from .where import where_to_look
from .whole import same

# Kinds that are told with numbers, which may hang on how many samples there are.
NUMBERS = {"factor", "regularisation_factor", "regularisation_missing", "derivative_formula"}
NUMBERS |= {"regularisation_on_bias", "error_formula", "other_loss", "updated_weights"}
MEND = "Nothing else was checked: mend this first"


def check_functions(source, dtype) -> GradientReport:
    """Check a user's own functions, or object; see `check_gradients` and `Functions`."""
    code = Code(source, dtype)
    report = GradientReport(source.subject)
    cost, again = code.cost(code.arrays), code.cost(code.arrays)
    with same_draws(0):
        drawn = code.cost(code.arrays)
    with same_draws(0):
        drawn = drawn == code.cost(code.arrays)
    if not math.isfinite(abs(cost)):
        raise ValueError(f"forward returned the cost {cost}, expected a finite number.")
    if dtype == "float64" and cost.dtype in (np.float32, np.float16):
        report = check_functions(source, "float32")
        report.notes.append(f"Its cost is {cost.dtype}, so float32 was checked")
        return report
    eps = float(np.finfo(dtype).eps)
    if abs(cost - again) > 100 * eps * abs(cost):
        costs = f"the same arguments cost {cost:.9g}, then {again:.9g}"
        text = f"forward remembers the call before: {costs}; start every array again in each call"
        if drawn:
            text = (
                f"forward draws random numbers without a seed: {costs}; call np.random.seed(0) in "
            )
            text += "it before it draws, or pass it the mask"
        report.add("state", None, text)
        report.notes.append(MEND)
        return report
    code.leave_constants_out()
    found = structures(code)
    try:
        returned, written = code.backward_of(code.arrays)
    except Refused:
        raise
    except Exception as error:  # the user's own: read where and why
        report.add("raised", *explain_traceback(code, found, error))
        return report
    gradients = code.picked(returned)
    code.writes = bool(written)
    if written:
        names = ", ".join(written)
        text = f"the functions write into {names}: compute new arrays, update after backward"
        report.add("mutates", None, text)
    gradients = _settled(code, report, gradients, eps)
    if gradients is None:
        return report
    points, wrong = _compared(code, report, gradients, cost)
    _check_form(code, report, points[0].gradients, wrong)
    remarks, notes = forward_remarks(code, points[-1].arrays)
    for name in unused(code, points):
        remarks.append(("unused", f"the cost does not depend on {name}: forward never uses it"))
    if remarks and wrong:
        for kind, text in remarks:
            report.add(kind, None, f"{text}. Mend this first: gradients are compared with it")
    else:
        report.remarks += [text for _, text in remarks]
        _diagnose(code, report, found, wrong)
    report.notes = [*notes, *report.notes]
    _say_if_an_update_may_add(code, report)
    report.notes += unseen(code, points)
    return report


def _compared(code, report, gradients, cost):
    """Return the points, and what is wrong there; of updated parameters, in what they moved by."""
    points = points_of(code, gradients, cost)
    wrong = wrong_arrays(code, report, points)
    rate = rate_of_update(points[0], code.names, wrong)
    if rate is None:
        return points, wrong
    text = f"backward returns the updated parameters (rate {rate:.4g}), not their gradients"
    report.add("updated_weights", None, text)
    code.updates_by, report.checks, report.notes = rate, [], []
    points = points_of(code, code.gradients(code.arrays), cost)
    return points, wrong_arrays(code, report, points)


def _say_if_an_update_may_add(code, report):
    """Say of gradients that all have the opposite sign where they would be right."""
    kinds = {mistake.kind for mistake in report.mistakes}
    if kinds != {"sign"} or any(check.ok for check in report.checks):
        return
    words = "right if your update adds it (W += rate * dW)"
    if code.source.measured:
        words = "the update goes up the slope, it should subtract"
    first, *others = report.mistakes
    report.mistakes[:] = [first._replace(text=f"{first.text}: {words}"), *others]


def _settled(code, report, gradients, eps):
    """Return the gradients of one call; where backward remembers calls, say so (None: no use)."""
    calls = [gradients, code.gradients(code.arrays), code.gradients(code.arrays)]
    of_each = list(zip(*calls))
    kept = [i for i, (a, b, _) in enumerate(of_each) if not _equal(a, b, eps)]
    if not kept:
        return gradients
    names = ", ".join(f"d{code.names[i]}" for i in kept)
    text = f"backward keeps state between calls: {names} of the same arguments "
    if not all(_grow(*of_each[i]) for i in kept):
        report.add("state", None, text + "differs from call to call")
        report.notes.append(MEND)
        return None
    report.add("state", None, text + "grows, each call adds to the sum of those before: start at 0")
    code.accumulated = kept
    return code.gradients(code.arrays)


def _equal(a, b, eps):
    """Tell whether two gradients are equal to rounding, which threads and GPUs do not repeat."""
    if a is None or b is None or a.shape != b.shape:
        return a is b
    size = float(np.abs(a).max(initial=0.0))
    return bool(np.all((np.abs(a - b) <= 100 * eps * size) | (np.isnan(a) & np.isnan(b))))


def _grow(a, b, c):
    """Tell whether a gradient grows by the same array from call to call."""
    if any(g is None or g.shape != a.shape for g in (a, b, c)) or not np.any(b - a):
        return False
    return np.allclose(b - a, c - b, rtol=1e-6, atol=1e-6 * float(np.abs(b - a).max()))


def _diagnose(code, report, found, wrong):
    """Name the mistakes: by our own backward pass if the network is known, else array by array."""
    if not wrong:
        return
    if where := where_to_look(code.names, code.arrays, wrong):
        report.notes.insert(0, f"Where to look: {where}")
    if note := direction_note(wrong, len(code.names)):
        report.notes.insert(0, note)
    right = [i for i, name in enumerate(code.names) if name not in wrong]
    for own in (False, True):  # on a few samples, and if these say otherwise than all, on all
        network = recognise(code, found, own=own)
        diagnosis = network and find_mistakes(network, right)
        if diagnosis is not None:
            break
    if diagnosis is None:
        _explain_arrays(code, report, wrong)
        return
    report.notes.append(f"Recognised: {network}")
    if not own:
        network, diagnosis = _on_all_samples(code, found, right, network, diagnosis)
    for kind, layer, text in diagnosis.mistakes:
        report.add(kind, layer, text)
    if not report.mistakes:
        names = ", ".join(f"d{name}" for name in wrong)
        report.add("unknown", None, f"{names}: right elsewhere, wrong at the given parameters")
    given = code.gradients(code.arrays)
    add_corrections(report, network, diagnosis, lambda own: _agree(code, wrong, own, given))


def _agree(code, wrong, own, given):
    """Tell whether gradients at the user's parameters are those of the differences, and theirs."""
    for name, a, g, user in zip(code.names, code.arrays, own, given):
        if name in wrong and wrong[name][1] is a:
            _, _, ok, _ = wrong[name][0].compare(g, RTOL, 1e-6)
        else:
            ok = user is None or same(g, user)
        if not ok:
            return False
    return True


def _check_form(code, report, gradients, wrong):
    """Report gradients that are not finite, which are taken out, or of which updates grow."""
    for name, a, g in zip(code.names, code.arrays, gradients):
        if g is None:
            continue
        if name in wrong and not np.isfinite(g).all():
            report.add("unknown", _layer(name), f"d{name} holds NaN or infinity")
            del wrong[name]
        elif a.size > 1 and g.shape == a.shape[::-1] and name in wrong:
            continue  # told as a transpose
        elif a.size > 1 and g.shape != a.shape and g.squeeze().shape == a.squeeze().shape:
            shape: tuple | None = None
            text = f"d{name} has shape {g.shape}, expected {a.shape} as {name}"
            with suppress(ValueError):  # else no update can be computed
                shape = np.broadcast_shapes(g.shape, a.shape)
                text += f": {name} - rate * d{name} would be {shape}"
            # One that is turned as a whole is told as that, with its values.
            if name in wrong and shape != a.shape and g.T.shape != a.shape:
                report.add("shape", _layer(name), text)
            elif shape != a.shape:
                report.notes.insert(0, text)


def _layer(name):
    """Return the layer that a name such as W2 or b_2 says, or None."""
    number = re.fullmatch(r"[A-Za-z_]+(\d+)", name)
    return number and int(number[1])


def _on_all_samples(code, found, right, network, diagnosis):
    """Return the network and its diagnosis with numbers that hold for all of the user's samples."""
    kinds = {kind for kind, _, _ in diagnosis.mistakes}
    numbers = any((*network.l2, *network.l2_bias)) or kinds & NUMBERS
    if np.size(code.X) >= 100_000 or not numbers:
        return network, diagnosis
    whole = recognise(code, found, own=True)
    again = whole and find_mistakes(whole, right)
    if again is not None:
        few, many = ({m[:2] for m in of.mistakes} for of in (diagnosis, again))
        # Fewer: the functions know how many samples there are.
        if many == few or len(many) < len(few):
            return whole, again
    return network, diagnosis


def _explain_arrays(code, report, wrong):
    """Say what each array shows by itself; of several that show the same in one sentence."""
    report.notes.append(
        "The network was not recognised from its cost, so only what each array shows is said"
    )
    n, outputs = max(np.shape(code.X), default=1), 1
    if code.y is not None and np.ndim(code.y) == 2 and n in code.y.shape:
        outputs = code.y.size // n
    same: dict[tuple, list] = {}
    for name in (name for name, (_, _, g) in wrong.items() if g is not None):
        same.setdefault(explain_array(name, wrong, RTOL, n, outputs), []).append(name)
    for (kind, words), names in same.items():
        layers, each = {_layer(name) for name in names}, ": each" * (len(names) > 1)
        layer = layers.pop() if len(layers) == 1 else None
        report.add(kind, layer, f"{', '.join(f'd{name}' for name in names)}{each} {words}")
