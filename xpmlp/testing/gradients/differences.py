"""Derivatives of a function by evaluating it: central differences, kinks seen, or a complex step.

g is a function of one real number t, the value along a line through the arrays.
"""

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from .report import ArrayCheck

KINK = math.nan  # the derivative where there is none


class Slope(NamedTuple):
    """A derivative, or KINK, and how far rounding and the formula may have moved it."""

    value: float
    error: float


def slope_at_zero(g: Callable[[float], float], noise: float, eps: float, wanted=math.nan) -> Slope:
    """Return g'(0); `noise`: the rounding error of one value of g, `eps`: its unit roundoff.

    Two step widths must agree; if they do not, a kink lies between, and the steps shrink until
    it is outside. If it is at 0, or nearer than rounding lets one look, the answer is KINK.
    Where the slope found is not `wanted`, smaller steps, with their wider bounds, are asked
    too: many small kinks within a step look like a smooth bend.
    """
    # Fourth-order differences are at their best at eps^(1/5) (Press et al. 2007, 5.7).
    zero, h, found = g(0.0), eps**0.2, Slope(KINK, math.inf)
    while noise / h < 1e-2 * max(abs(zero), noise / eps) and h > 1e-9:
        wide, bend_wide, top = _central(g, zero, h)
        near, bend, _ = _central(g, zero, h / 4)
        rounding = 48 * max(noise, eps * top) / h  # 8 times 18 values over 12 (h / 4)
        gap = abs(wide - near)
        # A second difference over h halves (and more) with h, unless the slope jumps at 0.
        jumps = bend > 0.5 * bend_wide and bend > rounding + 1e-6 * abs(near)
        if not jumps and gap <= 1e-6 * abs(near) + rounding:
            slope = Slope(near, rounding + gap)
            if not abs(near - wanted) > slope.error:
                return slope
            if abs(near - found.value) > slope.error + found.error:
                return Slope(KINK, math.inf)  # many kinks: no two steps see the same slope
            if near == wide == bend == 0.0:
                return slope  # flat, whatever is wanted
            if slope.error > 0.02 * abs(near):
                return found
            if math.isnan(found.value):
                found = slope
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
            value = complex(np.asarray(f(line(1e-30j))).reshape(()))
    except Exception:  # whatever a user's function says to complex numbers
        return None
    if not math.isfinite(abs(value)):
        return None
    return value.imag / 1e-30


def measured_noise(f: Callable, arrays: list, eps: float) -> float:
    """Return how large the rounding errors of f at the arrays are, from its fourth differences.

    References
    ----------
    Moré & Wild 2011, "Estimating computational noise", section 3: the k-th differences of values
    close together are noise alone, of variance (2k)! / (k!)^2 times that of one value.
    """
    rng, found = np.random.default_rng(2), []
    for _ in range(3):
        step = [eps**0.4 * rng.normal(size=a.shape) for a in arrays]
        moved = ([(a + i * s).astype(a.dtype) for a, s in zip(arrays, step)] for i in range(8))
        fourth = np.diff([float(f(at)) for at in moved], 4)
        found.append(math.sqrt(np.mean(fourth**2) / 70.0))
    return min(found)  # a kink among the values looks like noise


class Derivatives(NamedTuple):
    """One array's measured derivatives: at single coordinates, and along random directions."""

    coordinates: np.ndarray  # flat indices
    slopes: np.ndarray  # KINK where there is none
    errors: np.ndarray
    directions: list  # (array, Slope)

    @property
    def measured(self):
        """Whether there is a derivative at all, and not kinks alone."""
        values = [*self.slopes, *(slope.value for _, slope in self.directions)]
        return not np.isnan(values).all()

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


class Quotients:
    """Difference quotients of f over its arrays.

    f: list of host arrays -> float; eps: its unit roundoff; noise: the error of a value of f;
    limit: the largest array that is measured at each coordinate; rtol: of a slope, atol: of the
    array's largest one, floor: what a gradient may be off. The complex step is taken where f agrees
    with it along a direction; where a gradient disagrees, and at kinks, differences have the last
    word.
    """

    def __init__(self, f, arrays, eps, noise, limit, rtol, *, atol=0.0, floor=0.0, analytic=False):
        self.f, self.arrays, self.noise, self.limit = f, arrays, noise, limit
        self.rtol, self.atol, self.floor = rtol, atol, floor
        self.eps, self.rng = eps, np.random.default_rng(0)
        self.complex = False
        if analytic:
            us = [self.rng.normal(size=a.shape) for a in arrays]
            at = lambda t: [a + t * u for a, u in zip(arrays, us)]
            step, slope = complex_step(f, at), self._slope(at)
            self.complex = step is not None and abs(step - slope.value) <= (
                slope.error + 1e-6 * abs(slope.value)
            )

    def _slope(self, at, wanted=math.nan):
        """Return the slope of f along a line of arrays, t -> at(t)."""
        dtypes = [a.dtype for a in self.arrays]
        g = lambda t: float(self.f([a.astype(dtype) for a, dtype in zip(at(t), dtypes)]))
        return slope_at_zero(g, self.noise, self.eps, wanted)

    def compare(self, i, name, gradient, kinks_pass=False):
        """Return the Derivatives of array i and the ArrayCheck of a gradient of it.

        A gradient of another shape, or that is not finite, is wrong; its error is NaN. `kinks_pass`
        says whether one passes where no coordinate has a derivative.
        """
        a, wanted, compared = self.arrays[i], gradient, gradient
        fits = gradient.shape == a.shape and bool(np.isfinite(gradient).all())
        if not fits:
            wanted, compared = np.full(a.shape, np.nan), np.zeros(a.shape)
        found = self.derivatives(i, wanted)
        error, bound, ok, kinks = found.compare(compared, self.rtol, self.atol, self.floor)
        if not fits:
            error = math.nan
        ok = fits and (ok or (kinks_pass and not found.measured))
        where = f"all {a.size}"
        if found.directions:
            where = f"{len(found.coordinates)} of {a.size:,}, {len(found.directions)} directions"
        return found, ArrayCheck(f"d{name}", ok, gradient.shape, error, bound, where, kinks)

    def derivatives(self, i, gradient) -> Derivatives:
        """Measure array i: each coordinate up to the limit, else some and three directions."""
        a, analytic = self.arrays[i], np.asarray(gradient, np.float64).reshape(-1)
        coordinates, n_directions = np.arange(a.size), 0
        if a.size > self.limit:
            coordinates, n_directions = self.rng.permutation(a.size)[: min(20, self.limit)], 3
        confirmed = 0  # how often differences agreed with a complex step that the gradient did not

        def slope_along(u, wanted):
            nonlocal confirmed
            u = u.reshape(a.shape)
            at = lambda t: [*self.arrays[:i], a + t * u, *self.arrays[i + 1 :]]
            if not self.complex or (step := complex_step(self.f, at)) is None:
                return self._slope(at, wanted)
            if confirmed > 2 or abs(step - wanted) <= self.rtol * abs(step):
                return Slope(step, 0.0)
            slope = self._slope(at, wanted)
            confirmed += abs(step - slope.value) <= 1e-6 * abs(step)
            return slope

        slopes = []
        for c in coordinates:
            unit = np.zeros(a.size)
            unit[c] = 1.0
            slopes.append(slope_along(unit, analytic[c]))
        us = [self.rng.normal(size=a.size) for _ in range(n_directions)]
        directions = [(u.reshape(a.shape), slope_along(u, float(analytic @ u))) for u in us]
        values, errors = np.asarray(slopes, np.float64).reshape(-1, 2).T
        return Derivatives(coordinates, values, errors, directions)
