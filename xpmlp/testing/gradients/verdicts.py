"""What is wrong with one array, seen from the true derivatives alone: ratio, transpose, sums."""

import math

import numpy as np


def name_ratio(r: float, n: int | None = None, tolerance: float = 1e-6, said=None):
    """Say a ratio of a gradient to the true one as mistakes [(kind, words)]; [] for 1.

    n: the number of samples, where known; `said`: the number to say for it.
    """
    found, said = [], said or n
    if r < 0:
        found.append(("sign", "has the opposite sign"))
        r = -r

    def near(x):
        return abs(r - x) <= tolerance * x

    if near(1.0):
        return found
    if n and n > 1:
        for c, more in ((1.0, []), (2.0, [_factor(2.0)]), (0.5, [_factor(0.5)])):
            if near(c * n):
                text = f"is {said} times too large: the 1/n of the mean over the samples is missing"
                return [*found, ("missing_mean", text), *more]
            if near(c / n):
                text = f"is {said} times too small: it is divided by n, the samples, once too often"
                return [*found, ("extra_mean", text), *more]
    return [*found, _factor(r)]


def _factor(r):
    if abs(r - 2.0) < 1e-5:
        return "factor", "is twice the true one: a factor 2 too much, or it was added up twice"
    if abs(r - 0.5) < 1e-5:
        return "factor", "is half the true one (the factor 2 of a square?)"
    return "factor", f"is {r:.6g} times the true one"


def proportional(got, want, tolerance=1e-5, n=None):
    """Return r where got = r want, or None; n: the number of samples, where known."""
    size = float(np.vdot(want, want))
    if np.size(want) < 2 and size:  # of one number any is a multiple: only known ratios count
        r = float(np.ravel(got)[0] / np.ravel(want)[0])
        known = [1.0, 2.0, 0.5]
        if n:
            known += [n, 1 / n]
        return r if any(abs(abs(r) - x) < tolerance * x for x in known) else None
    if not size > 0 or not np.isfinite(got).all():
        return None
    r = float(np.vdot(want, got)) / size
    off = float(np.linalg.norm(got - r * want))
    return r if r and off <= tolerance * float(np.linalg.norm(got)) else None


def explain_array(name, measured, rtol, n=None):
    """Return (kind, sentence) for an array's gradient that does not agree.

    measured: (true `Derivatives`, array, gradient, ...) by name, of this and of other arrays.
    """
    derivatives, a, g, *_ = measured[name]
    there = ~np.isnan(derivatives.slopes)
    at, want = derivatives.coordinates[there], derivatives.slopes[there]
    tolerance = max(1e-5, 20 * rtol)
    if not there.any():
        return "unknown", f"d{name}: no derivative could be measured, every coordinate is a kink."

    def ratio(values, true=want, n=None):
        return proportional(np.asarray(values, np.float64).reshape(-1)[at], true, tolerance, n)

    def say(kind, text, r=1.0):
        more = [words for _, words in name_ratio(r, n, 10 * tolerance)]
        joined = ", and " * bool(more) + ", ".join(more)
        return kind, f"d{name} {text}{joined}."

    shape, expected = tuple(g.shape), tuple(a.shape)
    if not np.isfinite(g).all():
        return "unknown", f"d{name} holds NaN or infinity."
    if g.ndim == 2 and g.T.shape == expected and (r := ratio(g.T, n=n)):
        words = f"{shape} is the transpose of the true gradient {expected}"
        if shape == expected:
            words = "is the transpose of the true gradient"
        return say("transposed", words, r)
    if shape != expected:
        for axis in range(g.ndim):
            total = g.sum(axis)
            if g.size != a.size and total.size == a.size and (r := ratio(total, n=n)):
                words = f"{shape} is not summed over the {g.shape[axis]} samples"
                return say("not_summed", words, r)
        return "shape", f"d{name} has shape {shape}, expected {expected} as {name} itself."
    if not np.any(g):
        return "zero", f"d{name} is zero everywhere, the true gradient is not."
    if (r := ratio(g, n=n)) and (kinds := name_ratio(r, n, 10 * tolerance)):
        return kinds[0][0], f"d{name} {' and '.join(words for _, words in kinds)}."
    if (r := ratio(g, np.abs(want))) and r > 0:
        return say("absolute", "lost its sign: it equals |true gradient|", r)
    for other, (theirs, b, *_) in measured.items():
        alike = other != name and b.shape == expected and not np.isnan(theirs.slopes).any()
        if alike and np.array_equal(theirs.coordinates, derivatives.coordinates):
            if ratio(g, theirs.slopes[there]):
                return "swapped", f"d{name} is the gradient of {other}: the two are swapped."
    extra = g.reshape(-1)[at] - want
    if a.size > 2 and (c := proportional(extra, a.reshape(-1)[at], tolerance)) is not None:
        words = f"is the true gradient plus {c:.6g} * {name}"
        return "regularisation_factor", f"d{name} {words}: a penalty that the cost has not (so)."
    off = float(np.linalg.norm(extra)) / (float(np.linalg.norm(want)) or 1.0)
    words = "none of the known mistakes"
    if not math.isfinite(off):
        words = "not finite"
    return "unknown", f"d{name} is wrong (relative error {off:.2g}), in a way that is {words}."
