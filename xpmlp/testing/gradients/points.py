"""Where gradients are checked: at the given parameters, near them, at random ones of both signs.

Random weights and inputs in [0, 1) leave every relu on: there a backward without its derivative is
right. So parameters of both signs are drawn, and the opposite of each, which turns off in the first
layer what was on.
"""

import itertools
import math
from dataclasses import dataclass, field
from itertools import dropwhile
from typing import NamedTuple

import numpy as np

from .differences import Quotients, measured_noise
from .report import ArrayCheck
from .verdicts import proportional

NEAR, DRAWN = " near the given parameters", " at parameters of both signs"
SCALES = (1.0, 0.3, 0.1, 0.03)
RTOL = 1e-6  # of an array's largest derivative: log(a + 1e-8) in a cost is no mistake
# Up to which size an array is measured at each coordinate, where a call takes fewer numbers.
LIMITS = ((20_000, 400), (1_000_000, 30), (math.inf, 5))
FEW = 30  # the same at drawn parameters: each coordinate is looked at before
SLIGHT = 1e-3  # so little is forgiven where log(a + 1e-8) and saturated units may be the cause
MODERATE = 5.0  # parameters are drawn so that the cost is at most so many times that of zeros


class Point(NamedTuple):
    """Parameters, the user's gradients there (None where there is none), and the cost's size."""

    arrays: list
    gradients: list
    size: float
    where: str = ""


def points_of(code, gradients, cost):
    """Return the points at which to check: the user's own, then others that the functions take."""
    rng, given = np.random.default_rng(1), code.arrays
    near = [a + 0.3 * (np.std(a) + 0.3) * rng.normal(size=a.shape) for a in given]
    moved = [(NEAR, near), *((DRAWN, arrays) for arrays in _drawn(code, gradients, rng))]
    found = [Point(given, gradients, abs(cost))]
    for where, arrays in moved:
        try:
            with np.errstate(all="ignore"):
                arrays = [a.astype(code.dtype) for a in arrays]
                size = abs(code.cost(arrays))
                if math.isfinite(size):
                    found.append(Point(arrays, code.gradients(arrays), size, where))
        except Exception:  # outside their domain, functions may raise anything: `unseen` tells it
            continue
    return found


def unseen(code, points):
    """Yield what could not be seen with these data and at these points."""
    if points[-1].where != DRAWN:
        yield (
            "forward or backward refuses all parameters of both signs that were tried: the "
            "derivative of a unit that is always on, or always off, was not seen"
        )
    if code.y is not None and 1 in (code.X.ndim, *code.X.shape) and np.size(code.y) == 1:
        yield "Of one sample alone, a missing 1/n or an unsummed db is not seen: give several"


def rate_of_update(point, names, wrong):
    """Return the rate with which gradients are parameters after a step of descent, or None.

    Those of which it is so tell it of all, most of them, or the last; others have more mistakes.
    """
    rates = []
    for name, a, g in zip(names, point.arrays, point.gradients):
        if name in wrong and wrong[name][1] is a and g is not None and np.any(a):
            found, there = wrong[name][0], ~np.isnan(wrong[name][0].slopes)
            if g.size == a.size and there.sum() > 1:
                taken = (a - g.reshape(a.shape)).reshape(-1)[found.coordinates[there]]
                rates.append(proportional(taken, found.slopes[there]) or 0.0)
    rates = [rate for rate in reversed(rates) if rate > 0.0]
    return max(rates, key=lambda rate: sum(np.isclose(rate, rates, rtol=1e-4)), default=None)


def _drawn(code, gradients, rng):
    """Yield normal parameters whose cost is moderate, and opposite ones; constants are kept.

    Far out, clipped logarithms and overflow make a right backward wrong.
    """
    trained = [g is not None for g in gradients]

    def moved(units, factor):
        return [np.where(t, factor * u, a) for t, u, a in zip(trained, units, code.arrays)]

    units = [_usual_size(a, code.X) * rng.normal(size=a.shape) for a in code.arrays]
    at_zero = size_of_cost(code, moved(units, 0.0))
    if not 0.0 < at_zero < math.inf:
        at_zero = size_of_cost(code, code.arrays)
    for sign in (1.0, -1.0):
        draw = [sign * u for u in units]
        # A scale or a variance may have to stay positive.
        positive = [
            abs(u) if a.ndim < 2 and (a > 0).all() else u for u, a in zip(draw, code.arrays)
        ]
        tried = [moved(u, scale) for u, scale in itertools.product((draw, positive), SCALES)]
        yield next((p for p in tried if size_of_cost(code, p) <= MODERATE * at_zero), tried[-1])


def _usual_size(a, X):
    """Return the usual size of weights: what makes the sums over inputs about 1."""
    size = 1.0 / math.sqrt(max(a.shape, default=1))
    if X.dtype.kind in "fiu" and set(a.shape) & set(X.shape):
        size /= max(1.0, float(np.sqrt(np.mean(np.square(X, dtype=np.float64)))))
    return size


def size_of_cost(code, arrays):
    """Return the size of the cost, infinity where it is refused or not finite."""
    try:
        with np.errstate(all="ignore"):
            size = abs(code.cost([a.astype(code.dtype) for a in arrays]))
    except Exception:  # outside their domain, functions may raise anything
        return math.inf
    return float(size) if math.isfinite(size) else math.inf


@dataclass
class Findings:
    """What the points show of each array by its name.

    wrong: (Derivatives, array, gradient or None); lines: of the report; measured: those of which a
    derivative could be measured; slight: what is off by little at or near the given parameters;
    flat: whether the cost changes with nothing.
    """

    wrong: dict[str, tuple] = field(default_factory=dict)
    lines: dict[str, ArrayCheck] = field(default_factory=dict)
    measured: set[str] = field(default_factory=set)
    slight: dict[str, tuple] = field(default_factory=dict)
    flat: bool = True

    def look(self, name, i, point, quotients, last):
        """Compare array i at a point; the line kept is that of the first that is wrong, or any."""
        a, given = point.arrays[i], point.gradients[i]
        g = np.zeros(a.shape) if given is None else given
        # Kinks alone, as with zero biases on zero rows, pass where another point decides.
        passes = name in self.measured or not last
        found, check = quotients.compare(i, name, _shaped(g, a), kinks_pass=passes)
        self.flat = self.flat and not np.any(np.nan_to_num(found.slopes))
        line = check._replace(shape=g.shape, where=check.where + point.where)
        if not check.ok and check.error < SLIGHT and point.where != DRAWN:
            self.slight.setdefault(name, ((found, a, given), line))
            return
        if not check.ok:
            self.wrong[name] = (found, a, given)
        if given is not None and not (check.ok and name in self.measured):
            self.lines[name] = line
        if found.measured:
            self.measured.add(name)

    def settle(self, points):
        """Count what is off by little as wrong, unless it is right at parameters of both signs."""
        drawn = any(point.where == DRAWN for point in points)
        for name, (wrong, line) in self.slight.items():
            if name not in self.wrong and not (drawn and name in self.measured):
                self.wrong[name], self.lines[name] = wrong, line
            elif name not in self.wrong:
                yield (
                    f"d{name} is off by {line.error:.1e} at the given parameters alone, as a small "
                    "number in a logarithm or saturated units do"
                )


def wrong_arrays(code, report, points):
    """Add a line an array to the report; return the wrong ones as Findings has them."""
    eps, seen = float(np.finfo(code.dtype).eps), Findings()
    sizes = [np.size(a) for a in (code.X, *code.arrays)]
    longest, limit = max(sizes), next(limit for work, limit in LIMITS if sum(sizes) < work)
    rtol = max(RTOL, 16 * eps * math.sqrt(longest))
    most = max(point.size for point in points)
    options = {"rtol": rtol, "atol": rtol, "floor": 1e-10 * most}
    options["analytic"] = all(isinstance(p.like, np.ndarray | float) for p in code.parameters)
    for point in points:
        size = max(point.size, 1e-3 * points[0].size, eps)
        noise, unit = eps * (2 + math.sqrt(longest)) * size, eps
        # log(1 - a) where a is nearly 1, or float32 inside: rougher than the size of values says.
        if (rough := measured_noise(code.cost, point.arrays, eps)) > 4 * noise:
            noise, unit = 2 * rough, rough / size
        few = min(limit, FEW) if point.where == DRAWN else limit
        quotients = Quotients(code.cost, point.arrays, unit, noise, few, **options)
        for i, name in enumerate(code.names):
            if name not in seen.wrong:
                seen.look(name, i, point, quotients, point is points[-1])
    report.notes += seen.settle(points)
    report.checks += [seen.lines[name] for name in code.names if name in seen.lines]
    how = "the complex step" if quotients.complex else "central differences"
    report.notes.append(
        f"Checked in {code.dtype} by {how}; a bound is {rtol:.0e} of the largest derivative, and "
        f"what rounding (eps {eps:.1e}) does to sums of up to {longest:,} terms"
    )
    if seen.flat and seen.wrong:
        text = "the cost changes with none of the parameters: does forward use others than it gets?"
        report.add("unknown", None, text)
        return {}
    for name in (name for name, (_, _, given) in seen.wrong.items() if given is None):
        report.add("zero", None, f"backward returns no gradient of {name}")
    return seen.wrong


def _shaped(g, a):
    """Return g in a's shape where only leading ones differ: then a - g uses no element twice."""
    ours, theirs = (list(dropwhile(lambda m: m == 1, x.shape)) for x in (a, g))
    return g.reshape(a.shape) if ours == theirs else g
