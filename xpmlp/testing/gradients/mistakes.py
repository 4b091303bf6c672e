"""Mistakes of a backward pass: which changes of the right one give the user's gradients.

The layers are gone through from the last to the first. At each, candidates for dZ (the error there)
are our own line and its known changes; each is judged by whether the user's dW and db follow from
it, by their own line or a known change of that. The explanation with the fewest changes is taken.

K points, n samples: arrays are (K, n, units), rows are samples. Kind "W" is the weights, "b" the
biases; r is the ratio of a gradient to ours.
"""

import itertools
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ...nn.activations import ACTIVATIONS
from .candidates import hidden_errors, inputs, output_errors
from .fits import combinations, formed_with
from .identify import WRONG_SIGN
from .online import at_fixed_weights, updated_before
from .products import describe_product
from .shadows import Shadows
from .verdicts import with_outputs
from .whole import in_order, judge_others, our_gradients, same, updated_parameters

TOLERANCE = {"float64": 1e-7, "float32": 1e-3}
# A logistic with a sign lost, and the derivative as people write it.
MINUS = WRONG_SIGN._replace(name="logistic", backward=ACTIVATIONS["logistic"].backward)
UNKNOWN = 2.4  # the price of an array left unexplained, in changes
MARGIN = 3.0  # dearer guesses than the best by this are dropped
BEAM = 16
ENDS = ((-1, "last"), (0, "first"))  # samples that alone may stand for the sum


@dataclass(frozen=True)
class Guess:
    """An explanation down to one layer."""

    cost: float = 0.0
    mistakes: tuple = ()
    dZ: dict = field(default_factory=dict)  # layer -> the error there, as changed
    scale: float = 1.0  # by which the ratios said so far have changed it
    unknown: tuple = ()  # (layer, "W" or "b")


class Diagnosis(NamedTuple):
    """What is wrong with a backward pass, and the errors at the layers that it computes."""

    mistakes: list  # (kind, layer, text)
    dZ: dict  # layer -> the error there, as changed by the mistakes; {} where there is no telling
    lost: tuple = ()  # (layer, "W" or "b") of gradients that do not follow from dZ


class Reading(NamedTuple):
    """How an array follows from dZ: its price, its ratio to ours, what else is changed."""

    cost: float
    ratio: float | None  # None: it does not follow, or there is no such array
    mistakes: tuple = ()


class Search:
    """The user's gradients in our form, beside the network that was recognised.

    gradients: of each layer "W" (K, n_in, n_out), "b" (K, 1, n_out), or wrong ones, of any shape.
    """

    def __init__(self, network, gradients):
        self.network, self.notation, self.n_layers = network, network.notation, len(network.W)
        self.all = gradients
        self.gradients = {
            kind: [
                layer.gradient(kind, network.gradient_for(layer.part(kind), gradients))
                for layer in network.layers
            ]
            for kind in "Wb"
        }
        self.tolerance = max(TOLERANCE[network.code.dtype], 30 * network.log_eps)

    def gradient(self, kind, k):
        """Return the user's gradient of the weights or biases of layer k, or None."""
        return self.gradients[kind][k - 1]

    def describe_ratio(self, r, name, k):
        """Describe a ratio to the right value as mistakes of layer k."""
        found = with_outputs(self.network, r, self.notation.describe_ratio)
        return [(kind, k, f"{name} {words}") for kind, words in found]

    def is_of_any_scale(self, candidate):
        """Tell whether an error is another loss' than the cost's, which has a scale of its own."""
        others = any(kind == "other_loss" for kind, _, _ in candidate.mistakes)
        return others and self.network.loss in ("own", "absolute_error")

    def fit(self, user, *basis):
        """Return the coefficients by which the basis gives the user's array, or None."""
        if user is None or any(user.shape != part.shape for part in basis):
            return None
        if not all(np.isfinite(part).all() for part in basis):
            return None
        u = user.ravel()
        size = float(np.linalg.norm(u))
        columns = [part.ravel() for part in basis]
        if len(columns) == 1:
            (c,) = columns
            r = float(c @ u) / (float(c @ c) or 1.0)
            return [r] if np.linalg.norm(r * c - u) <= self.tolerance * size else None
        norms = [float(np.linalg.norm(c)) or 1.0 for c in columns]
        if not np.isfinite(size) or not size:
            return None
        A = np.stack([c / s for c, s in zip(columns, norms)], axis=1)
        c, *_ = np.linalg.lstsq(A, u, rcond=None)
        if np.linalg.norm(A @ c - u) > self.tolerance * size:
            return None
        return [float(x / s) for x, s in zip(c, norms)]

    def ratio(self, user, ours):
        """Return r where user = r ours, or None."""
        (r,) = self.fit(user, ours) or (None,)
        return r or None


def find_mistakes(network, right):
    """Return the Diagnosis of the user's backward pass.

    right: the numbers of the arrays that agree with the differences at the user's data; where ours
    do not agree on the network's samples, these do not stand for the data, and the answer is None.
    """
    gradients, ours = network.gradients(), our_gradients(network)
    if not all(same(gradients[i], ours[i]) for i in right):
        return None
    gradients, updated = updated_parameters(network, gradients, ours)
    gradients, mistakes = in_order(network, gradients, ours)
    found = _diagnosis(Search(network, gradients))
    if any(kind == "unknown" for kind, _, _ in found.mistakes):
        found = _other_forward(network, gradients) or _sample_by_sample(network, gradients) or found
    return found._replace(mistakes=[*dict.fromkeys([*updated, *mistakes, *found.mistakes])])


def _diagnosis(search):
    """Return the best guess, with what can be said of the arrays left over."""
    best = _search(search)
    mistakes, lost = list(best.mistakes), list[tuple]()
    for k, kind in best.unknown:
        said = {m[:2] for m in mistakes}
        # Below an error that nothing explains, no product is what it seems to be.
        more = not lost and (
            describe_product(search, best, k, kind, said) or formed_with(search, best.dZ, k, kind)
        )
        if more:
            mistakes += [m for m in more if m[:2] not in said]
        else:
            lost.append((k, kind))
    if lost:
        mistakes.append(_unknown(search, lost))
    else:
        mistakes += judge_others(search.network, search.all, best.dZ)
    return Diagnosis(mistakes, best.dZ, best.unknown)


def _sample_by_sample(network, gradients):
    """Explain a backward that updates the weights after each sample."""
    search = Search(network, gradients)
    made = at_fixed_weights(network, gradients, search.tolerance)
    if made is None:
        return None
    found = _diagnosis(Search(network, made[0]))
    return found._replace(mistakes=[*made[1], *found.mistakes])


def _other_forward(network, gradients):
    """Explain a backward that computes activations again, one sigmoid with its sign wrong."""
    for k, f in enumerate(network.activations, 1):
        if f.name == "logistic":
            other = network.with_activation(k, MINUS)
            best = other and _search(Search(other, gradients))
            if best and not best.unknown:
                text = f"backward computes A{k} with 1 / (1 + exp(Z{k})): the sign of Z{k} is wrong"
                mistakes = [("activation_formula", k, text), *best.mistakes]
                return Diagnosis(mistakes, best.dZ, best.unknown)
    return None


@np.errstate(all="ignore")  # candidates that are not finite fit nothing
def _search(search):
    """Return the best guess."""
    beam = [Guess()]
    for k in range(search.n_layers, 0, -1):
        grown: list[Guess] = []
        best, shadows = math.inf, Shadows(search, k)
        for stage in (1, 2, 3):  # two changes, or fits, only where one change does not do
            for guess in beam[: BEAM if stage < 3 else 3]:
                for candidate in _errors(search, guess, k, stage):
                    if guess.cost + candidate.cost > best + MARGIN:
                        continue
                    first = stage == 1 and guess is beam[0]
                    if first or shadows.may_follow(candidate.array, stage == 1):
                        judged = list(_judged(search, guess, candidate, k))
                        grown += judged
                        best = min(best, *(g.cost for g in judged))
                        if judged[0].cost == guess.cost:  # ours: no change explains it better
                            break
            if best <= beam[0].cost + 2.1:  # one or two changes (and some 0.01) explain it
                break
        grown.sort(key=lambda g: g.cost)
        beam = [g for g in _distinct(grown) if g.cost <= best + MARGIN]
    return beam[0]


def _distinct(guesses):
    """Keep the cheapest guesses, one for each error that is sent further down."""
    kept: dict = {}
    for guess in guesses:
        dZ = guess.dZ[min(guess.dZ)]
        kept.setdefault((f"{np.linalg.norm(dZ):.9e}", f"{dZ.sum():.9e}"), guess)
    return list(kept.values())[:BEAM]


def _errors(search, guess, k, stage):
    """Yield candidates for dZ of layer k of one change, of two, or fits."""
    if stage == 3:
        yield from combinations(search, guess.dZ, k)
        return
    if k == search.n_layers:
        found = output_errors(search.network)
    else:
        found = itertools.chain(
            hidden_errors(search.network, guess.dZ, k), updated_before(search, guess.dZ, k)
        )
    yield from (c for c in found if (len(c.mistakes) > 1) == (stage == 2))


def _judged(search, guess, candidate, k):
    """Yield guesses with this error at layer k, for each reading of dW and db."""
    dZ = np.broadcast_to(candidate.array, search.network.z[k - 1].shape)
    readings = itertools.product(*(_readings(search, guess, dZ, kind, k) for kind in "Wb"))
    for of_w, of_b in readings:
        # r is what dZ itself is off by, and hands on down; the rest is of dW or db alone.
        for r in dict.fromkeys((1.0, of_w.ratio or 1.0, of_b.ratio or 1.0)):
            ratios, unknown = search.describe_ratio(r, f"dZ{k}", k), list(guess.unknown)
            if r > 0 and search.is_of_any_scale(candidate):
                ratios = []
            mistakes, n_ratios = [*candidate.mistakes, *ratios], len(ratios)
            for kind, reading in (("W", of_w), ("b", of_b)):
                if reading.ratio is not None:
                    name = search.notation.parameter(kind, k)
                    ratios = search.describe_ratio(reading.ratio / r, f"d{name}", k)
                    mistakes += [*ratios, *reading.mistakes]
                    n_ratios += len(ratios)
                elif search.gradient(kind, k) is not None:
                    unknown.append((k, kind))
            cost = guess.cost + candidate.cost + of_w.cost + of_b.cost + n_ratios
            cost += 0.01 * (r != 1.0)  # of equal guesses the one without a change of dZ
            # A change of dZ that one array shows, and that one changed as well, is far-fetched.
            lost = len(unknown) > len(guess.unknown)
            cost += bool(candidate.mistakes and lost and (of_w.mistakes or of_b.mistakes))
            mistakes = [*guess.mistakes, *mistakes]
            dZs = guess.dZ | {k: r * dZ}
            yield Guess(cost, tuple(mistakes), dZs, guess.scale * r, tuple(unknown))


def _readings(search, guess, dZ, kind, k):
    """Yield the ways in which the user's dW or db of layer k follows from dZ."""
    user, name = search.gradient(kind, k), search.notation.parameter(kind, k)
    if user is None:
        yield Reading(0.0, None)
        return
    if kind == "W" and user.ndim != 3:
        yield Reading(UNKNOWN, None)
        return
    if not np.any(user):
        yield Reading(1.0, 1.0, (("zero", k, f"d{name} is zero everywhere"),))
        return
    p = search.network.penalised[kind][k - 1]
    if kind == "W":
        l2, ours = search.network.l2[k - 1], search.network.inputs[k - 1].mT @ dZ
        ours = np.broadcast_to(ours, p.shape)
        changes = _changes_of_weights(search, guess, dZ, k, user, ours)
    else:
        l2, ours = search.network.l2_bias[k - 1], np.sum(dZ, axis=-2, keepdims=True)
        changes = _changes_of_biases(search, guess, dZ, k, user, ours)
    reading = _penalised(search, user, ours, p, 2 * l2, kind, k)
    if reading is not None:
        yield reading
        return
    for gradient, changed, what, text in changes:
        if r := search.ratio(gradient, changed):
            yield Reading(1.0, r, ((what, k, f"d{name} {text}"),))
    yield Reading(UNKNOWN, None)


def _penalised(search, user, ours, p, due, kind, k):
    """Return the reading where user = r ours + c p, and `due` is what c should be, or None."""
    name = search.notation.parameter(kind, k)
    right = f"{due:.6g} * {name}"
    r = search.ratio(user, ours)
    if r is not None and not due:
        return Reading(0.0, r)
    if r is not None:
        text = f"d{name} misses the penalty's share {right}"
        return Reading(1.0, r, (("regularisation_missing", k, text),))
    c = search.fit(user, ours, p)
    if c is None or not c[0]:
        return _on_biases(search, user, ours, p, kind, k)
    # A ratio may multiply the penalty's share too, or not.
    if due and any(abs(c[1] - share) <= 1e-5 * abs(share) for share in (due * c[0], due)):
        return Reading(0.0, c[0])
    what = "regularisation_factor"
    if not due:
        right = "none"
        what = {"W": what, "b": "regularisation_on_bias"}[kind]
    text = f"d{name} holds the penalty's share {c[1]:.6g} * {name}, the cost's own is {right}"
    return Reading(1.0, c[0], ((what, k, text),))


def _on_biases(search, user, ours, p, kind, k):
    """Return the reading where the penalty is on biases too, which stand among the weights."""
    name, free = search.notation.parameter(kind, k), search.network.parameters[kind][k - 1] - p
    c = search.fit(user, ours, p, free) if np.any(free) else None
    if c is None or not c[0] or not c[2]:
        return None
    text = f"d{name} holds a penalty's share of the biases in {name}, too"
    return Reading(1.0, c[0], (("regularisation_on_bias", k, text),))


def _changes_of_weights(search, guess, dZ, k, user, ours):
    """Yield (the user's dW, or its transpose, a changed dW, kind, text) of layer k."""
    x, W = search.network.inputs[k - 1], search.network.W[k - 1]
    text = "is the transpose of the true gradient"
    if user.shape != W.shape:
        shape, expected = (search.notation.shape(array, k) for array in (user, W))
        text = f"{shape} is the transpose of the true gradient {expected}"
    yield user.mT, ours, "transposed", text
    yield user, np.abs(ours), "absolute", "lost its sign: it equals |true gradient|"
    for label, other in inputs(search.network, k):
        text = f"is formed with {label} where {search.notation.input(k)} belongs"
        yield user, other.mT @ dZ, "wrong_input", text
    for j, other in guess.dZ.items():
        g = x.mT @ other
        g = np.broadcast_to(g, (len(W), *g.shape[1:]))
        text = f"is formed with dZ{j}: the error was not sent back from layer {k + 1}"
        yield user, g, "layer_skipped", text
        yield user.mT, g, "layer_skipped", text
    for row, which in ENDS:
        text = f"holds the {which} sample only: it is not summed"
        yield user, x[:, row, :, None] * dZ[:, row, None, :], "not_summed", text


def _changes_of_biases(search, guess, dZ, k, user, ours):
    """Yield (the user's db, as it is, flat or transposed, a changed db, kind, text) of layer k."""
    flat, units = user.reshape(len(user), -1), dZ.shape[-1]
    text = f"is not summed over the {search.notation.n} samples"
    yield user, dZ, "not_summed", text
    if user.ndim == 3:
        yield user.mT, dZ, "not_summed", text
    if units == 1:
        yield flat, dZ.sum(axis=-1), "not_summed", text
    else:
        yield flat, dZ.sum(axis=-1), "wrong_axis", f"{text}, but over the {units} units"
        total = np.broadcast_to(ours.sum(axis=-1), flat.shape)
        text = "is one sum over samples and units: sum over samples only"
        yield flat, total, "wrong_axis", text
    for row, which in ENDS:
        text = f"holds the {which} sample only: it is not summed"
        yield flat, dZ[:, row, :], "not_summed", text
    yield user, np.abs(ours), "absolute", "lost its sign"
    yield user, np.sum(np.abs(dZ), axis=-2, keepdims=True), "absolute", "lost its sign"
    for j, other in guess.dZ.items():
        text = f"is summed from dZ{j}: the error was not sent back from layer {k + 1}"
        yield user, np.sum(other, axis=-2, keepdims=True), "layer_skipped", text


def _unknown(search, lost):
    """Say which arrays nothing explains; all of them hang on the error of the last layer."""
    names = ", ".join(_name_with_shapes(search, k, kind) for k, kind in lost)
    words = "is wrong" if len(lost) == 1 else "are wrong"
    text = f"{names} {words}, by none of the known mistakes"
    k = lost[0][0]
    below = any(other != k for other, _ in lost)
    # dZ is right where dW or db is.
    if {(k, kind) for kind in "Wb" if search.gradient(kind, k) is not None} <= set(lost):
        if k < search.n_layers:
            text += f": dZ{k} does not follow from dZ{k + 1}, so look at the line that sends the"
            text += f" error back to layer {k}"
        elif below:
            text += f": dZ{k} is, and all below follows from it"
    return ("unknown", k, text)


def _name_with_shapes(search, k, kind):
    """Name a gradient, with its shape where that is not its parameter's."""
    notation, user = search.notation, search.gradient(kind, k)
    name, p = f"d{notation.parameter(kind, k)}", search.network.parameters[kind][k - 1]
    if user.size == p.size:
        return name
    if kind == "W":
        return f"{name} (of shape {notation.shape(user, k)}, expected {notation.shape(p, k)})"
    return f"{name} (of shape {user.shape[1:]}, expected {notation.bias_shape(k)})"
