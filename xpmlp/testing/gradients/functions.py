"""Somebody's own forward and backward functions: measured, and what is wrong explained."""

import math
import re
from typing import Any

import numpy as np

from .code import Code
from .differences import Quotients, looked_at
from .identify import identify, structures
from .mistakes import explain, told
from .raised import explain_traceback
from .report import ArrayCheck, GradientReport
from .verdicts import explain_array

RTOL = 1e-6  # of an array's largest derivative: log(a + 1e-8) in a cost is no mistake
MEND = "Nothing else was checked: mend this first"


def check_functions(forward, backward, params, X, y=None, *, dtype) -> GradientReport:
    """Check a user's own functions; see `check_gradients`."""
    code = Code(forward, backward, params, X, y, dtype)
    report = GradientReport(f"{_name(forward)} and {_name(backward)}")
    cost, again = code.cost(code.arrays), code.cost(code.arrays)
    if not math.isfinite(abs(cost)):
        raise ValueError(f"forward returned the cost {cost}, expected a finite number.")
    if dtype == "float64" and cost.dtype in (np.float32, np.float16):
        report = check_functions(forward, backward, params, X, y, dtype="float32")
        report.notes.append(f"Its cost is {cost.dtype}, so float32 was checked")
        return report
    eps = float(np.finfo(dtype).eps)
    if abs(cost - again) > 100 * eps * abs(cost):
        report.add("state", None, _remembers(cost, again))
        report.notes.append(MEND)
        return report
    found = structures(code)
    try:
        returned, written = code.backward_of(code.arrays)
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
    wrong = _measure(code, report, gradients, cost, eps)
    if wrong:
        _explain(code, report, found, wrong)
    return report


def _name(f):
    return getattr(f, "__name__", type(f).__name__)


def _remembers(first, second):
    return (
        f"forward remembers the call before: the same arguments cost {first:.9g}, then "
        f"{second:.9g}; start every array anew in each call (and fix the seed of any random one)"
    )


def _settled(code, report, gradients, eps):
    """Call again: a backward that adds to what it kept is told, and its share of a call taken."""

    def equal(a, b):  # to rounding, which threads and cards do not repeat
        if a is None or b is None or a.shape != b.shape:
            return a is b
        size = float(np.abs(a).max(initial=0.0))
        return bool(np.all((np.abs(a - b) <= 100 * eps * size) | (np.isnan(a) & np.isnan(b))))

    calls = [gradients, code.gradients(code.arrays), code.gradients(code.arrays)]
    kept = [i for i, (a, b) in enumerate(zip(*calls[:2])) if not equal(a, b)]
    if not kept:
        return gradients
    names = ", ".join(f"d{code.names[i]}" for i in kept)
    text = f"backward keeps state between calls: {names} of the same arguments "
    first, second, third = ([call[i] for i in kept] for call in calls)
    grows = all(
        all(g is not None for g in (a, b, c)) and a.shape == b.shape == c.shape and np.any(b - a)
        and np.allclose(b - a, c - b, rtol=1e-6, atol=1e-6 * float(np.abs(b - a).max()))
        for a, b, c in zip(first, second, third)
    )  # fmt: skip
    if not grows:
        report.add("state", None, text + "differs from call to call")
        report.notes.append(MEND)
        return None
    report.add("state", None, text + "grows, each call adds to the sum of those before: start at 0")
    inner = type(code).gradients

    def fresh(arrays, X=None, y=None):
        before, after = inner(code, arrays, X, y), inner(code, arrays, X, y)
        return [b - a if i in kept else b for i, (a, b) in enumerate(zip(before, after))]

    code.gradients = fresh
    return fresh(code.arrays)


def _points(code, report, gradients):
    """Return [(arrays, gradients, where)]: the user's parameters, and others near them."""
    rng = np.random.default_rng(1)
    near = [a + 0.3 * (np.std(a) + 0.3) * rng.normal(size=a.shape) for a in code.arrays]
    near = [a.astype(code.dtype) for a in near]
    points = [(code.arrays, gradients, "")]
    try:
        with np.errstate(all="ignore"):
            if math.isfinite(abs(code.cost(near))):
                points.append((near, code.gradients(near), " near the given parameters"))
    except (ArithmeticError, ValueError) as error:
        report.notes.append(f"Parameters near the given ones were refused: {error}")
    return points


def _measure(code, report, gradients, cost, eps):
    """Add a line an array, at the user's parameters and near them; return the wrong ones."""
    wrong: dict[str, tuple] = {}
    points = _points(code, report, gradients)
    analytic = all(isinstance(leaf.like, np.ndarray | float) for leaf in code.leaves)
    sizes = [np.size(a) for a in (code.host_X, *code.arrays)]
    longest, work = max(sizes), sum(sizes)
    limit = 400 if work < 20_000 else 30 if work < 1_000_000 else 5
    rtol = max(RTOL, 16 * eps * math.sqrt(longest))
    costs = [abs(code.cost(arrays)) for arrays, _, _ in points]
    flat = True  # whether the cost does not change with anything
    for (arrays, grads, where), size in zip(points, costs):
        noise = eps * (2 + math.sqrt(longest)) * max(size, 1e-3 * cost, eps)
        quotients = Quotients(code.cost, arrays, code.dtype, noise, analytic=analytic)
        for i, (name, g) in enumerate(zip(code.names, grads)):
            if name in wrong:
                continue
            a, given = arrays[i], g is not None
            g = np.zeros(a.shape) if g is None else g
            fits = _fits(g, a) and np.isfinite(g).all()
            shaped = g.reshape(a.shape) if fits else np.full(a.shape, np.nan)
            found = quotients.look(i, shaped, limit=limit, rtol=rtol)
            flat = flat and not np.any(np.nan_to_num(found.slopes))
            off, bound, ok, kinks = found.compare(
                shaped if fits else np.zeros(a.shape), rtol, rtol, 1e-10 * max(costs)
            )
            # All kinks here, as with zero biases: the parameters near these decide.
            ok = bool(fits and (ok or (not where and len(points) > 1 and kinks == a.size)))
            looked = looked_at(found, a.size) + where
            if not ok and not given:
                report.add("zero", None, f"backward returns no gradient of {name}")
            elif not where or not ok:
                report.checks = [c for c in report.checks if c.name != f"d{name}"]
                report.checks.append(ArrayCheck(
                    f"d{name}", ok, g.shape, off if fits else math.nan, bound, looked, kinks
                ))  # fmt: skip
            if not ok:
                wrong[name] = (found, a, g)
            elif not where and given and not np.any(g) and kinks < a.size:
                report.notes.append(f"d{name} is 0 at the given parameters, and so says little")
    how = "the complex step" if quotients.complex else "central differences"
    report.notes.append(
        f"Checked in {code.dtype} by {how}; a bound is {rtol:.0e} of the largest derivative, and "
        f"what rounding (eps {eps:.1e}) does to sums of up to {longest:,} terms"
    )
    if flat and wrong:
        text = "the cost changes with none of the parameters: does forward use others than it gets?"
        report.add("unknown", None, text)
        return {}
    return wrong


def _fits(g, a):
    """Tell whether ``a - g`` has a's shape and no element is used twice."""
    return _tail(g.shape) == _tail(a.shape)


def _tail(shape):
    return tuple(shape) if not shape or shape[0] != 1 else _tail(shape[1:])


def _explain(code, report, found, wrong):
    """Name the mistakes: by our own backward pass if the network is known, else array by array."""
    for name, (_, a, g) in list(wrong.items()):
        number = re.fullmatch(r"[A-Za-z_]+(\d+)", name)
        layer = int(number[1]) if number else None
        if not np.isfinite(g).all():
            report.add("unknown", layer, f"d{name} holds NaN or infinity")
            del wrong[name]
        elif g.ndim != a.ndim and g.squeeze().shape == a.squeeze().shape:
            text = f"d{name} has shape {g.shape}, expected {a.shape} as {name}"
            if all(m == 1 or n in (1, m) for m, n in zip(a.shape[::-1], g.shape[::-1])):
                shape = np.broadcast_shapes(g.shape, a.shape)
                text += f": {name} - rate * d{name} would be {shape}"
            report.add("shape", layer, text)
    if not wrong:
        return
    mistakes: list | None = None
    network: Any = None
    right = [i for i, name in enumerate(code.names) if name not in wrong]
    for own in (False, True):  # on a few samples, and if these say otherwise than all, on all
        network = identify(code, found, own=own)
        mistakes = None if network is None else told(network, right)
        if mistakes is not None:
            break
    if mistakes is None:
        _by_array(code, report, wrong)
        return
    report.notes.append(f"Recognised: {network}")
    if not own and any(kind.startswith(("factor", "regul")) for kind, _, _ in mistakes):
        # Numbers that go with the number of samples are told for the user's samples.
        on_all = identify(code, found, own=True) if np.size(code.host_X) < 100_000 else None
        again = None if on_all is None else told(on_all, right)
        if again is not None:
            few, many = ({m[:2] for m in found} for found in (mistakes, again))
            # Fewer of them: the functions know how many samples there are.
            mistakes = again if many == few or len(many) < len(few) else mistakes
    explain(network, report, mistakes, wrong)


def _by_array(code, report, wrong):
    """Say what each array shows by itself."""
    report.notes.append(
        "The network was not recognised from its cost, so only what each array shows by itself is "
        "said"
    )
    n = max(np.shape(code.host_X), default=1)
    for name, (looked, a, g) in wrong.items():
        others = {k: v[0] for k, v in wrong.items() if k != name and v[1].shape == a.shape}
        kind, text = explain_array(name, looked, a, g, others, RTOL, n)
        number = re.fullmatch(r"[A-Za-z_]+(\d+)", name)
        report.add(kind, int(number[1]) if number else None, text)
