"""Somebody's own forward and backward functions: called with care, measured, and explained."""

import copy
import math
import re
from typing import Any, NamedTuple

import numpy as np

from ...arrays import from_host, is_array, is_numpy, to_host
from .differences import Quotients, looked_at
from .identify import identify, structures
from .mistakes import explain
from .raised import explain_traceback
from .report import ArrayCheck, GradientReport
from .verdicts import explain_array

RTOL = 1e-6  # of an array's largest derivative: log(a + 1e-8) in a cost is no mistake


class Leaf(NamedTuple):
    """One array among the parameters."""

    path: tuple
    name: str
    like: Any


class Code:
    """A forward and a backward function with their parameters as a flat list of host arrays."""

    def __init__(self, forward, backward, params, X, y, dtype):
        self.forward, self.backward, self.dtype = forward, backward, dtype
        self.params, self.X, self.y = params, X, y
        self.writes = True  # until it is known that the functions do not write into the data
        self.leaves = list(_leaves(params))
        if not self.leaves:
            raise TypeError(
                f"params holds no arrays, got {type(params).__name__}: pass a dict or list of them."
            )
        self.arrays = [np.asarray(_host(leaf.like), dtype) for leaf in self.leaves]
        self.names = [leaf.name for leaf in self.leaves]

    def built(self, arrays):
        """Return fresh parameters in the user's form."""
        made = {leaf.path: self._like(a, leaf.like) for leaf, a in zip(self.leaves, arrays)}
        return _rebuild(self.params, made)

    def _like(self, a, like):
        if isinstance(like, np.ndarray | float | int) or not is_array(like):
            a = np.array(a)
            return a if isinstance(like, np.ndarray) else a[()]
        return from_host(a, like, self.dtype)

    def data(self, X=None, y=None):
        """Return fresh copies of the data as arguments."""
        values = (self.X, self.y) if X is None else (X, y)
        values = values[: 1 if self.y is None else 2]
        return [copy.deepcopy(a) for a in values] if self.writes else list(values)

    def run(self, arrays, X=None, y=None):
        """Return the cost, as it is, and the intermediate values by name."""
        out = self.forward(self.built(arrays), *self.data(X, y))
        cost, values = out if isinstance(out, tuple) and len(out) == 2 else (out, {})
        host = np.asarray(_host(cost))
        if host.size != 1 or host.dtype.kind not in "fciub":
            what = f"an array of shape {host.shape}" if host.size != 1 else type(cost).__name__
            raise TypeError(
                f"forward returned {what}, expected the cost, one number: take the sum or mean "
                "over the samples."
            )
        return host.reshape(())[()], values if isinstance(values, dict) else {}

    def cost(self, arrays, X=None, y=None):
        """Return the cost alone."""
        return self.run(arrays, X, y)[0]

    def backward_of(self, arrays, X=None, y=None):
        """Return what the user's backward returns, and the arguments that it wrote into."""
        params, data = self.built(arrays), self.data(X, y)
        self.forward(params, *data)  # backward may rest on what forward left somewhere
        found = self.backward(params, *data)
        if not self.writes:
            return found, []
        before = [*zip(self.names, arrays), *zip("Xy", self.data(X, y))]
        after = [*(leaf.like for leaf in _leaves(params)), *data]
        written = [
            name for (name, a), b in zip(before, after)
            if not np.array_equal(np.asarray(_host(a)), np.asarray(_host(b)))
        ]  # fmt: skip
        return found, written

    def gradients(self, arrays, X=None, y=None):
        """Return the user's gradients as host arrays, None where there is none."""
        return self.picked(self.backward_of(arrays, X, y)[0])

    def picked(self, found):
        """Return the gradient of each array from what backward returned."""
        return [_pick(found, leaf, len(self.leaves)) for leaf in self.leaves]


def _host(a):
    return to_host(a) if is_array(a) and not is_numpy(a) else a


def _leaves(tree, path=(), name=""):
    if isinstance(tree, dict | list | tuple):
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            whole = (
                str(key) if isinstance(tree, dict) and not name else f"{name or 'params'}[{key}]"
            )
            yield from _leaves(part, (*path, key), whole)
    elif is_array(tree) or isinstance(tree, np.ndarray | float | np.floating):
        yield Leaf(path, name or "params", tree)


def _rebuild(tree, made, path=()):
    if isinstance(tree, dict):
        return {k: _rebuild(v, made, (*path, k)) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [_rebuild(v, made, (*path, i)) for i, v in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return made.get(path, tree)


def _pick(found, leaf, n):
    """Return the gradient of one parameter from what backward returned."""
    part = found
    if not leaf.path:
        return np.asarray(_host(part))
    for key in leaf.path:
        if isinstance(part, dict):
            keys = [key, f"d{key}", f"grad_{key}"]
            key = next((k for k in keys if k in part), None)
            part = None if key is None else part[key]
        elif isinstance(part, list | tuple):
            part = part[key] if isinstance(key, int) and key < len(part) else None
        else:
            raise TypeError(
                f"backward returned {type(part).__name__}, expected the gradients in the form of "
                f"params, of {n} arrays: a dict with the same keys, or a list in the same order."
            )
    return None if part is None else np.asarray(_host(part))


def check_functions(forward, backward, params, X, y=None, *, dtype) -> GradientReport:
    """Check a user's own functions; see `check_gradients`."""
    code = Code(forward, backward, params, X, y, dtype)
    report = GradientReport(f"{_name(forward)} and {_name(backward)}")
    cost = code.cost(code.arrays)
    if not math.isfinite(abs(cost)):
        raise ValueError(f"forward returned the cost {cost}, expected a finite number.")
    if code.cost(code.arrays) != cost:
        report.add("state", None, _remembers(cost, code.cost(code.arrays)))
        report.notes.append("Nothing else was checked: mend this first.")
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
        text = f"The functions write into {names}: compute new arrays, update after backward."
        report.add("mutates", None, text)
    gradients = _settled(code, report, gradients)
    if gradients is None:
        return report
    missing = [name for name, g in zip(code.names, gradients) if g is None]
    if missing:
        report.add("zero", None, f"backward returns no gradient of {', '.join(missing)}.")
    wrong = _measure(code, report, gradients, cost)
    if wrong:
        _explain(code, report, found, wrong)
    return report


def _name(f):
    return getattr(f, "__name__", type(f).__name__)


def _remembers(first, second):
    return (
        f"forward remembers the call before: the same arguments cost {first:.6g}, then "
        f"{second:.6g}; start every array anew in each call (and fix the seed of any random one)."
    )


def _settled(code, report, gradients):
    """Call again: a backward that adds to what it kept is told, and its share of a call taken."""
    second = code.gradients(code.arrays)

    def same(a, b):
        return all(_equal(p, q) for p, q in zip(a, b))

    if same(gradients, second):
        return gradients
    third = code.gradients(code.arrays)
    kept = [n for n, a, b in zip(code.names, gradients, second) if not _equal(a, b)]
    try:
        steps = [[b - a for a, b in zip(*pair)] for pair in ((gradients, second), (second, third))]
        grows = all(np.allclose(a, b) for a, b in zip(*steps))
    except (TypeError, ValueError):
        grows = False
    text = f"backward keeps state between calls: d{', d'.join(kept)} of the same arguments "
    if not grows:
        report.add("state", None, text + "differs from call to call.")
        report.notes.append("Nothing else was checked: mend this first.")
        return None
    report.add(
        "state", None, text + "grows, each call adds to the sum of those before: start at 0."
    )
    inner = type(code).gradients

    def fresh(arrays, X=None, y=None):
        before, after = inner(code, arrays, X, y), inner(code, arrays, X, y)
        # What does not grow is as it is.
        return [b if _equal(a, b) else b - a for a, b in zip(before, after)]

    code.gradients = fresh
    return fresh(code.arrays)


def _equal(a, b):
    return (a is None) == (b is None) and (a is None or np.array_equal(a, b, equal_nan=True))


def _measure(code, report, gradients, cost):
    """Add a line an array, at the user's parameters and near them; return the wrong ones."""
    wrong: dict[str, tuple] = {}
    rng = np.random.default_rng(1)
    eps = float(np.finfo(code.dtype).eps)
    near = [a + 0.3 * (np.std(a) + 0.3) * rng.normal(size=a.shape) for a in code.arrays]
    near = [a.astype(code.dtype) for a in near]
    points = [(code.arrays, gradients, "")]
    try:
        with np.errstate(all="ignore"):
            if math.isfinite(abs(code.cost(near))):
                points.append((near, code.gradients(near), " near the given parameters"))
    except (ArithmeticError, ValueError) as error:
        report.notes.append(f"Parameters near the given ones were refused: {error}")
    numpy = all(isinstance(leaf.like, np.ndarray | float) for leaf in code.leaves)
    sizes = [np.asarray(_host(a)).size for a in (code.X, *code.arrays)]
    longest, work = max(sizes), sum(sizes)
    limit = 400 if work < 20_000 else 30 if work < 1_000_000 else 5
    rtol = max(RTOL, 16 * eps * math.sqrt(longest))
    for arrays, grads, where in points:
        noise = eps * (2 + math.sqrt(longest)) * max(abs(code.cost(arrays)), 1e-3 * abs(cost), eps)
        quotients = Quotients(
            lambda moved: code.cost(moved), arrays, code.dtype, noise, analytic=numpy
        )
        for i, (name, g) in enumerate(zip(code.names, grads)):
            if g is None or name in wrong:
                continue
            a = arrays[i]
            fits = _fits(g, a) and np.isfinite(g).all()
            shaped = g.reshape(a.shape) if fits else np.full(a.shape, np.nan)
            found = quotients.look(i, shaped, limit=limit, rtol=rtol)
            off, bound, ok, kinks = found.compare(shaped if fits else np.zeros(a.shape), rtol, rtol)
            looked = looked_at(found, a.size) + where
            ok = ok and fits
            if not where or not ok:
                report.checks = [c for c in report.checks if c.name != f"d{name}"]
                report.checks.append(ArrayCheck(
                    f"d{name}", ok, g.shape, off if fits else math.nan, bound, looked, kinks
                ))  # fmt: skip
            if not ok:
                wrong[name] = (found, a, g)
        how = "the complex step" if quotients.complex else "central differences"
    report.notes.append(f"Checked in {code.dtype} by {how}, a bound is what rounding allows.")
    return wrong


def _fits(g, a):
    """Tell whether ``a - g`` has a's shape and no element is used twice."""
    return _tail(g.shape) == _tail(a.shape)


def _tail(shape):
    return tuple(shape) if not shape or shape[0] != 1 else _tail(shape[1:])


def _explain(code, report, found, wrong):
    """Name the mistakes: by our own backward pass if the network is known, else array by array."""
    network = identify(code, found)
    if network is not None:
        report.notes.append(f"Recognised: {network}.")
        explain(network, report, wrong)
        return
    report.notes.append(
        "The network was not recognised from its cost, so only what each array shows by itself is "
        "said."
    )
    n = max(np.asarray(_host(code.X)).shape, default=1)
    for name, (looked, a, g) in wrong.items():
        others = {k: v[0] for k, v in wrong.items() if k != name and v[1].shape == a.shape}
        kind, text = explain_array(name, looked, a, g, others, RTOL, n)
        number = re.fullmatch(r"[A-Za-z_]+(\d+)", name)
        report.add(kind, int(number[1]) if number else None, text)
