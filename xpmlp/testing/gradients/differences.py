"""Derivatives of a function by evaluating it: central differences, kinks seen, or a complex step.

g is a function of one real number t, the value along a line through the point looked at.
"""

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

KINK = math.nan  # the derivative where there is none


class Slope(NamedTuple):
    """A derivative, or KINK, and how far rounding and the formula may have moved it."""

    value: float
    error: float


class Line(NamedTuple):
    """How lines are measured: the unit roundoff of the function, and the largest step."""

    eps: float
    step: float

    @staticmethod
    def of(dtype):
        """Fourth-order differences are at their best at eps^(1/5) (Press et al. 2007, 5.7)."""
        eps = float(np.finfo(dtype).eps)
        return Line(eps, eps**0.2)

    def slope(self, g: Callable[[float], float], noise: float, wanted=math.nan) -> Slope:
        """Return g'(0); `noise`: the rounding error of one value of g.

        Two step widths must agree; if they do not, a kink lies between, and the steps shrink until
        it is outside. If it is at 0, or nearer than rounding lets one look, the answer is KINK.
        Where the slope found is not `wanted`, smaller steps, with their wider bounds, are asked
        too: many small kinks within a step look like a smooth bend.
        """
        zero, h, found = g(0.0), self.step, Slope(KINK, math.inf)
        while noise / h < 1e-2 * max(abs(zero), noise / self.eps) and h > 1e-9:
            wide, bend_wide, top = _central(g, zero, h)
            near, bend, _ = _central(g, zero, h / 4)
            rounding = 48 * max(noise, self.eps * top) / h
            gap = abs(wide - near)
            # A second difference over h halves (and more) with h, unless the slope jumps at 0.
            jumps = bend > 0.5 * bend_wide and bend > rounding + 1e-6 * abs(near)
            if not jumps and gap <= 1e-6 * abs(near) + rounding:
                slope = Slope(near, rounding + gap)
                if not abs(near - wanted) > slope.error:
                    return slope
                if abs(near - found.value) > slope.error + found.error:
                    return Slope(KINK, math.inf)  # many kinks: no two steps see the same slope
                if slope.error > 0.02 * abs(near):
                    return found
                found = slope if math.isnan(found.value) else found
            h /= 16
        return found


def _central(g, zero, h):
    """Return the five-point derivative, the jump that one-sided slopes show, the largest value."""
    a, b = g(h), g(-h)
    far = g(2 * h) - g(-2 * h)
    return (8 * (a - b) - far) / (12 * h), abs(a - 2 * zero + b) / h, max(abs(a), abs(b))


def complex_step(f: Callable, line: Callable[[complex], list]) -> float | None:
    """Return the derivative of f along a line by one complex step, or None where f refuses.

    f takes the list of arrays that `line(t)` makes. The step has no subtraction and so no rounding
    (Squire & Trapp 1998), but is wrong where f is not analytic: the caller compares.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            value = f(line(1e-30j))
            value = complex(np.asarray(value).reshape(()))
    except Exception:  # whatever a user's function says to complex numbers
        return None
    return value.imag / 1e-30 if math.isfinite(abs(value)) else None


class Looked(NamedTuple):
    """One array's derivatives: at single coordinates, and along random directions."""

    coordinates: np.ndarray  # flat indices
    slopes: np.ndarray  # KINK where there is none
    errors: np.ndarray
    directions: list  # (array, Slope)

    def compare(self, gradient, rtol, atol=0.0, floor=0.0):
        """Return (error, bound, ok, kinks) of the worst coordinate, over the largest slope.

        A coordinate passes by its own bound: what rounding and the difference formula allow, and
        `rtol` of the slope, `atol` of the largest one, and `floor`.
        """
        flat = np.asarray(gradient, np.float64).reshape(-1)
        along = [float(np.vdot(gradient, u)) for u, _ in self.directions]
        got = np.concatenate([flat[self.coordinates], along])
        want = np.concatenate([self.slopes, [s.value for _, s in self.directions]])
        room = np.concatenate([self.errors, [s.error for _, s in self.directions]])
        kinks = np.isnan(want)
        got, want, room = got[~kinks], want[~kinks], room[~kinks]
        if not len(want):
            return math.nan, math.nan, False, int(kinks.sum())
        size = max(float(np.abs(want).max()), float(np.abs(got).max())) or 1.0
        bound = room + rtol * np.maximum(np.abs(want), 1e-3 * size) + atol * size + floor
        off = np.abs(got - want)
        worst = int(np.argmax(np.where(np.isnan(off), np.inf, off) / bound))
        ok = bool(np.all(off <= bound))  # a NaN is not
        n_kinks = int(kinks[: len(self.coordinates)].sum())
        return float(off[worst] / size), float(bound[worst] / size), ok, n_kinks


def looked_at(found, size):
    """Say at which coordinates an array of this size was looked."""
    n = len(found.coordinates)
    return f"all {size}" if n == size else f"{n} of {size:,}, 3 directions"


class Quotients:
    """Difference quotients of f over its arrays.

    f: list of host arrays -> float; noise: the rounding error of a value of f. The complex step is
    taken where f agrees with it along a direction; where a gradient disagrees, and at kinks,
    differences have the last word.
    """

    def __init__(self, f, arrays, dtype, noise, *, analytic=False, seed=0):
        self.f, self.arrays, self.noise = f, arrays, noise
        self.line, self.rng = Line.of(dtype), np.random.default_rng(seed)
        self.complex = False
        if analytic:
            us = [self.rng.normal(size=a.shape) for a in arrays]
            step = complex_step(f, lambda t: [a + t * u for a, u in zip(arrays, us)])
            slope = self._slope(us)
            self.complex = step is not None and abs(step - slope.value) <= (
                slope.error + 1e-6 * abs(slope.value)
            )

    def _slope(self, us, wanted=math.nan):
        """Return the slope along directions, one an array (None: stays)."""

        def g(t):
            moved = [a if u is None else a + t * u for a, u in zip(self.arrays, us)]
            return float(self.f([m.astype(a.dtype) for m, a in zip(moved, self.arrays)]))

        return self.line.slope(g, self.noise, wanted)

    def look(self, i, gradient, *, limit, rtol) -> Looked:
        """Measure array i: each coordinate up to `limit`, else some and three directions."""
        a = self.arrays[i]
        every, some = a.size <= limit, min(20, limit)
        coordinates = np.arange(a.size) if every else self.rng.permutation(a.size)[:some]
        analytic = np.asarray(gradient, np.float64).reshape(-1)

        confirmed = 0  # how often differences agreed with a complex step that the gradient did not

        def along(u, wanted):
            nonlocal confirmed
            step = complex_step(self.f, lambda t: self._moved(i, t * u)) if self.complex else None
            if step is not None and (confirmed > 2 or abs(step - wanted) <= rtol * abs(step)):
                return Slope(step, 0.0)
            slope = self._slope([u if j == i else None for j in range(len(self.arrays))], wanted)
            confirmed += step is not None and abs(step - slope.value) <= 1e-6 * abs(step)
            return slope

        slopes = []
        for c in coordinates:
            u = np.zeros(a.size)
            u[c] = 1.0
            slopes.append(along(u.reshape(a.shape), analytic[c] if len(analytic) > c else math.nan))
        directions = []
        for _ in range(0 if every else 3):
            u = self.rng.normal(size=a.shape)
            wanted = float(analytic @ u.reshape(-1)) if analytic.size == u.size else math.nan
            directions.append((u, along(u, wanted)))
        values = np.asarray([s.value for s in slopes])
        return Looked(coordinates, values, np.asarray([s.error for s in slopes]), directions)

    def _moved(self, i, step):
        return [a + step if j == i else a for j, a in enumerate(self.arrays)]
