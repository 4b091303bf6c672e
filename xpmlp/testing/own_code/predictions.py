"""The cost where forward returns predictions: a loss by its word, in the asker's scale."""

import itertools
import math
from typing import NamedTuple

import numpy as np

from ...words import check_word, our_name
from .calls import Refused, calls
from .places import plain
from .trees import first_part, host_array, leaves

SQUARES, ABSOLUTE = "np.sum((A - y) ** 2)", "np.sum(np.abs(A - y))"
LOGS = "-np.sum(y * np.log(A))"
BOTH_LOGS = "-np.sum(y * np.log(A) + (1 - y) * np.log(1 - A))"
FORMULAS = {
    SQUARES: lambda a, y: np.sum((a - y) ** 2),
    ABSOLUTE: lambda a, y: np.sum(np.abs(a - y)),
    LOGS: lambda a, y: -np.sum(y * np.log(a)),
    BOTH_LOGS: lambda a, y: -np.sum(y * np.log(a) + (1 - y) * np.log(1 - a)),
}
WORDS = ("squared_error", "log_loss", "binary_log_loss", "absolute_error")
SQUARED = ("mse", "meansquarederror", "sse", "sumofsquares")
MEANS = (" / A.size", " / n", " / (2 * n)", " / (2 * A.size)")  # by what people divide the sum
SUMS = (" / 2", "")


class Reading(NamedTuple):
    """One way to read what forward returned as a cost."""

    place: tuple  # of the predictions among what forward returned
    formula: str = ""
    link: str = ""  # "sigmoid" or "softmax", where the outputs are logits
    scale: str = ""
    axis: int | None = None  # along which the samples stand; None: there is one

    def __str__(self):
        return self.formula + self.scale + f" with A = {self.link}(outputs)" * bool(self.link)

    def divisor(self, a):
        """Return the number that a scale such as " / (2 * n)" divides by."""
        product = 1 + ("2" in self.scale)
        if "size" in self.scale:
            product *= a.size
        if "n" in self.scale and self.axis is not None:
            product *= a.shape[self.axis]
        return product


class Predicted:
    """Reads what forward returns as a cost, by a word or by a function of the asker's."""

    def __init__(self, loss):
        self.loss, self.own = loss, callable(loss)
        self.names: tuple = ()  # of the parts of the tuple that forward returns
        self.kept: list = []  # the readings that agree with a cost of the asker's, if there is one
        self.words: tuple = ("squared_error", "log_loss")  # that it may be; one, if it is told
        if isinstance(loss, str):
            self.words = ("squared_error" if plain(loss) in SQUARED else our_name(loss, WORDS),)
        if loss is not None and not self.own:
            check_word("loss", self.words[0], WORDS, ", or a function of the predictions and y")

    def readings(self, outs, X, y=None):
        """Return the ways to read outputs as a cost, likely ones first; [] if none has y's size."""
        if y is None:
            return []
        X, y = host_array(X), host_array(y)
        found: list[Reading] = []
        for place in self._places(outs, y):
            a = _predictions(outs, place)
            if self.own:
                return [Reading(place)]
            for axis, word in itertools.product(_sample_axes(a, X, y), self.words):
                if word != "log_loss" or (y.dtype.kind in "biuf" and y.min() >= 0):
                    formula, link = _formula(word, a, axis)
                    divisors: dict = {}
                    for scale in self.scales:
                        reading = Reading(place, formula, link, scale, axis)
                        divisors.setdefault(reading.divisor(a), reading)
                    found += divisors.values()
        return [r for r in found if not self.kept or r in self.kept]

    @property
    def scales(self):
        """Return what a sum may be divided by, likely first."""
        return SUMS + MEANS if plain(self.loss) in ("sse", "sumofsquares") else MEANS + SUMS

    def _places(self, outs, y):
        """Return where predictions of y may stand: the last, out of the cache, and no z, first."""

        def oddness(place):
            name = place[-1] if place else ""
            if place and place[0] in range(len(self.names)):
                name = self.names[place[0]]
            return (
                _predictions(outs, place).size != y.size,
                len(place),
                str(name).lower().startswith("z"),
            )

        places = [place for place, a in leaves(outs[0]) if host_array(a).dtype.kind in "fc"]
        shaped = [(place, _predictions(outs, place)) for place in reversed(places)]
        labels = self.own or "log_loss" in self.words
        fits = [p for p, a in shaped if a.size == y.size or (labels and targets(a, y) is not None)]
        return sorted(fits, key=oddness)

    def cost(self, reading, outs, y, pool):
        """Return the cost of what forward returned; pool: what a function of the asker's takes."""
        a = _predictions(outs, reading.place)
        if self.own:
            return self._own_cost(a, y, pool)
        if reading.link == "sigmoid":
            a = 1 / (1 + np.exp(-a))
        elif reading.link:
            units = _unit_axis(a, reading.axis)
            e = np.exp(a - a.real.max(axis=units, keepdims=True))
            a = e / e.sum(axis=units, keepdims=True)
        return FORMULAS[reading.formula](a, targets(a, host_array(y))) / reading.divisor(a)

    def _own_cost(self, a, y, pool):
        pool = {**pool, "prediction": a, "y": y}
        call = next(calls(self.loss, pool, ("prediction", "y")), None)
        if call is None:
            raise TypeError(f"loss={self.loss!r} must be a function of the predictions and y.")
        cost = call(pool)
        return first_part(cost)

    def refusal(self, outs, y):
        """Return the error of a forward that returns no predictions of y."""
        shapes = ", ".join(str(np.shape(a)) for _, a in leaves(outs[0]))
        if not y:
            return Refused("loss= compares predictions with y: pass y too.")
        if shapes == "()":
            text = f"loss={self.loss!r} is for a forward that returns predictions; this one returns"
            return ValueError(f"{text} the cost, so leave it out.")
        return Refused(
            f"forward returned arrays of shapes {shapes}, none of which is a prediction of y, "
            f"{np.shape(y[0])}: return the predictions in the shape of y."
        )


def _formula(word, a, axis):
    """Return the sum that a word says, and the function that makes probabilities of logits."""
    if word in ("squared_error", "absolute_error"):
        return {"squared_error": SQUARES, "absolute_error": ABSOLUTE}[word], ""
    sums = a.sum(axis=_unit_axis(a, axis), keepdims=True)
    alone = word == "binary_log_loss" or sums.size == a.size
    if a.min() < 0 or a.max() > 1:
        return (BOTH_LOGS, "sigmoid") if alone else (LOGS, "softmax")
    return LOGS if np.allclose(sums, 1) and not alone else BOTH_LOGS, ""


def _predictions(outs, place):
    """Return the predictions of one call, or those of a sample each as rows."""
    parts = [dict(leaves(out))[place] for out in outs]
    parts = [a if isinstance(a, np.ndarray) else host_array(a) for a in parts]
    return parts[0] if len(parts) == 1 else np.stack([np.ravel(part) for part in parts])


def _unit_axis(a, axis):
    return a.ndim - 1 if axis is None else a.ndim - 1 - axis


def targets(a, y):
    """Return y in the shape of the predictions, labels as one-hot; None where it has no such."""
    if y.size == a.size:
        turn = y.ndim == 2 and y.shape != a.shape and y.T.shape == a.shape
        return (y.T if turn else y).reshape(a.shape)
    if a.ndim != 2 or y.size not in a.shape or y.dtype.kind not in "iuf":
        return None
    labels = y.reshape(-1)
    columns = a.shape[0] != y.size
    n_classes = a.shape[1 - columns]
    if np.any(labels != np.round(labels)) or labels.min() < 0 or labels.max() >= n_classes:
        return None
    rows = np.eye(n_classes)[labels.astype(int)]
    return rows.T if columns else rows


def _sample_axes(a, X, y):
    """Return the axes of the predictions along which samples may stand; [None] for one sample."""
    if a.ndim == 2 and y.size == a.shape[a.shape[0] != y.size] and y.size != a.size:  # labels
        return [int(a.shape[0] != y.size)]
    if a.ndim == 2 and X.ndim == 2:
        return [i for i in (0, 1) if a.shape[i] == X.shape[i]] or [None]
    return [0] if a.ndim == 1 and len(a) == len(np.atleast_1d(X)) else [None]


def fitting(code, source):
    """Return the readings, those first that fit most of the asker's gradients, and how many fit.

    Along a random line for each array; a sign may be wrong, so sizes are compared. A rate of the
    updates that is not known is set so that they fit.
    """
    predicted, rng, ratios = source.predicted, np.random.default_rng(11), []
    outs = source.outputs(code.built(code.arrays), code.data)
    readings = predicted.readings(outs, *code.data)

    def costs(arrays):
        params = code.built(arrays)
        if predicted.own:
            return np.asarray([float(source.forward(params, *code.data)[0])])
        outs = source.outputs(params, code.data)
        return np.asarray([float(predicted.cost(r, outs, code.y, {})) for r in readings])

    try:
        gradients = code.gradients(code.arrays)
    except Refused:
        raise
    except Exception:  # of the asker's backward: it is told where that is checked
        return readings, 1
    for i, (a, g) in enumerate(zip(code.arrays, gradients)):
        if g is not None and g.shape == a.shape:
            u = rng.normal(size=a.shape)
            h = 1e-5 / (1 + math.sqrt(a.size))
            steps = ([*code.arrays[:i], a + t * u, *code.arrays[i + 1 :]] for t in (h, -h))
            high, low = map(costs, steps)
            with np.errstate(all="ignore"):
                ratios.append(2 * h * abs(float(np.vdot(g, u))) / np.abs(high - low))
    fits = np.sum(np.abs(np.asarray(ratios) - 1) <= 1e-4, axis=0) + np.zeros(len(readings))
    if ratios and not source.rate_known and not fits.any():
        rate = float(np.median([r[0] for r in ratios]))
        if 2 * sum(abs(r[0] - rate) <= 1e-4 * rate for r in ratios) >= len(ratios):
            source.rate *= rate
            return readings, len(ratios)
    return [readings[i] for i in np.argsort(-fits, kind="stable")], int(fits.max())
