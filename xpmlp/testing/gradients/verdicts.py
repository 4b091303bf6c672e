"""What is wrong with one array, seen from the true derivatives alone: ratio, transpose, sums."""

import math

import numpy as np


def name_ratio(r: float, n: int | None = None, tolerance=1e-6, said=None, outputs=1):
    """Say a ratio of a gradient to the true one as mistakes [(kind, words)]; [] for 1.

    n: the number of samples, where known; `said`: the number to say for it; outputs: of a sample.
    """
    sign = [("sign", "has the opposite sign")] * (r < 0)
    r = abs(r)
    for known, mistakes in _known_ratios(n or 1, said or n, outputs):
        if abs(r - known) <= tolerance * known:
            return [*sign, *mistakes]
    return [*sign, ("factor", f"is {r:.6g} times the true one")]


def _known_ratios(n, said, outputs):
    """Yield (ratio, its mistakes), the likeliest of equal ones first."""
    lost = f"is {said} times too large: the 1/n of the mean over the samples is missing"
    missing = "missing_mean", lost
    extra = f"is {said} times too small: it is divided by n, the samples, once too often"
    twice = "is twice the true one: a factor 2 too much, or it was added up twice"
    double, half = ("factor", twice), ("factor", "is half the true one (the factor 2 of a square?)")
    yield 1.0, []
    if n > 1:
        yield n, [missing]
        yield 1 / n, [("extra_mean", extra)]
    yield 2.0, [double]
    yield 0.5, [half]
    if outputs > 1:
        text = f"is {outputs} times too large: np.mean divides by the {outputs} outputs too"
        yield outputs, [("factor", text)]
        text = f"is {outputs} times too small: the cost is not divided by the {outputs} outputs"
        yield 1 / outputs, [("factor", text)]
    if n > 1 and outputs > 1:
        text = f"is {said} * {outputs} times too large: np.mean divides by samples and outputs"
        yield n * outputs, [("missing_mean", text)]
        text = f"is {said} * {outputs} times too small: it is divided by samples and outputs"
        yield 1 / (n * outputs), [("extra_mean", text)]
    if n > 1:
        for c, more in ((2.0, double), (0.5, half)):
            yield c * n, [missing, more]
            yield c / n, [("extra_mean", extra), more]


def with_outputs(network, r, describe):
    """Describe a ratio, with the number of outputs where np.mean divides by these too."""
    found, n = describe(r), network.sizes[-1]
    averaged = any(abs(network.scale * network.n * n - c) < 1e-9 for c in (0.5, 1.0))
    rest = describe(r / n if averaged else r * n)
    if n == 1 or not _has("factor", found) or _has("factor", rest):
        return found
    if averaged and _has("missing_mean", rest):
        text = f"is too large: the mean over {network.n_user} samples and {n} outputs is missing"
        return [(kind, text if kind == "missing_mean" else words) for kind, words in rest]
    text = f"is {n} times too small: it is divided by the {n} outputs, the cost is not"
    if averaged:
        text = f"is {n} times too large: np.mean divides by the {n} outputs too"
    return [*rest, ("factor", text + " (or the 2 is another one)" * (n == 2))]


def _has(kind, found):
    return any(of == kind for of, _ in found)


def direction_note(wrong, n_arrays):
    """Say that the direction of a gradient is right where one factor is all that is wrong, or "".

    wrong: {name: (true `Derivatives`, array, gradient)}.
    """
    ratios = []
    for derivatives, a, g in wrong.values():
        at = derivatives.coordinates
        ratios.append(math.nan)
        if g is not None and g.shape == a.shape:
            ratios[-1] = proportional(g.reshape(-1)[at], derivatives.slopes) or math.nan
    if len(wrong) < n_arrays or not min(ratios) > 0 or max(ratios) > (1 + 1e-4) * min(ratios):
        return ""
    return f"The direction is right: each step is {ratios[0]:.6g} times as long as it should be"


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


def explain_array(name, measured, rtol, n=None, outputs=1):
    """Return (kind, words about it) for an array's gradient that does not agree.

    measured: (true `Derivatives`, array, gradient, ...) by name, of this and of other arrays.
    """
    derivatives, a, g, *_ = measured[name]
    there = ~np.isnan(derivatives.slopes)
    at, want = derivatives.coordinates[there], derivatives.slopes[there]
    tolerance = max(1e-5, 20 * rtol)
    if not there.any():
        return "unknown", "could not be compared: every coordinate is a kink"

    def ratio(values, true=want, n=None):
        return proportional(np.asarray(values, np.float64).reshape(-1)[at], true, tolerance, n)

    def say(kind, text, r=1.0):
        more = [words for _, words in name_ratio(r, n, 10 * tolerance, outputs=outputs)]
        return kind, ", and ".join([text, *more])

    shape, expected = tuple(g.shape), tuple(a.shape)
    if not np.isfinite(g).all():
        return "unknown", "holds NaN or infinity"
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
        return "shape", f"has shape {shape}, expected {expected} as {name} itself"
    if not np.any(g):
        return "zero", "is zero everywhere, the true gradient is not"
    r = ratio(g, n=n)
    if r and (kinds := name_ratio(r, n, 10 * tolerance, outputs=outputs)):
        return kinds[0][0], " and ".join(words for _, words in kinds)
    if (r := ratio(g, np.abs(want))) and r > 0:
        return say("absolute", "lost its sign: it equals |true gradient|", r)
    for other, (theirs, b, *_) in measured.items():
        alike = other != name and b.shape == expected and not np.isnan(theirs.slopes).any()
        if alike and np.array_equal(theirs.coordinates, derivatives.coordinates):
            if ratio(g, theirs.slopes[there]):
                return "swapped", f"is the gradient of {other}: the two are swapped"
    extra = g.reshape(-1)[at] - want
    if a.size > 2 and (c := proportional(extra, a.reshape(-1)[at], tolerance)) is not None:
        if c < 0:
            return "regularisation_missing", f"lacks {-c:.6g} * {name}, a share of the penalty's"
        words = f"holds {c:.6g} * {name} too much: a penalty's share that the cost has not"
        return "regularisation_factor", words
    return "unknown", "is wrong, by none of the known mistakes"
