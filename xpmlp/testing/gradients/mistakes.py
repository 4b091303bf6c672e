"""Which one-line changes of our own backward pass give the user's gradients?

The layers are gone through from the last to the first. At each, candidates for dZ (the error there)
are our own line and its known changes; each is judged by whether the user's dW and db follow from
it, by their own line or a known change of that. The explanation with the fewest changes is told.

K points, n samples: arrays are (K, n, units), rows are samples. r: the ratio of a gradient to ours.
"""

import itertools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...nn.activations import ActivationFunction
from .candidates import Candidate, derivatives, hidden_errors, inputs, output_errors
from .products import describe_product
from .whole import in_order, our_gradients, same, turned, updated_parameters

TOLERANCE = 1e-7
MINUS = ActivationFunction(  # a logistic with a sign lost, and the derivative as people write it
    "logistic", lambda z, xp: 1.0 / (1.0 + xp.exp(z)), lambda da, z, a, xp: da * a * (1.0 - a)
)
UNKNOWN = 2.4  # the price of an array left unexplained, in changes
MARGIN = 3.0  # dearer guesses than the best by this are dropped
BEAM = 16


@dataclass(frozen=True)
class Guess:
    """An explanation down to one layer."""

    cost: float
    mistakes: tuple
    dZ: dict  # layer -> the error there, as changed
    scale: float  # by which the ratios said so far have changed it
    unknown: tuple  # (layer, "W" or "b")


@dataclass
class Search:
    """The user's gradients in our form, beside the network that was recognised."""

    network: Any
    notation: Any
    dW: list  # of each layer (K, n_in, n_out), in another shape if it is wrong, or None
    db: list  # (K, 1, n_out), in another shape if it is wrong, or None
    tolerance: float

    @staticmethod
    def of(network, gradients):
        """Bring the user's gradients into our form."""
        s, found = network.points.structure, gradients
        dW = [turned(found[i], s.turned) for i in s.weights]
        db = [None if i is None else found[i] for i in s.biases]
        for k, g in enumerate(db):
            if g is not None and g[0].size == s.sizes[k + 1] and g[0].squeeze().ndim < 2:
                db[k] = g.reshape(len(g), 1, -1)
        exact = TOLERANCE if network.points.code.dtype == "float64" else 1e-3
        tolerance = max(exact, 30 * network.log_eps)
        return Search(network, network.notation, dW, db, tolerance)

    @property
    def n_layers(self):
        """The number of layers."""
        return len(self.dW)

    def fit(self, user, *basis):
        """Return the coefficients by which the basis gives the user's array, or None."""
        if user is None or any(user.shape != part.shape for part in basis):
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
        c = self.fit(user, ours)
        return c[0] if c and c[0] else None


def told(network, right):
    """Return the mistakes [(kind, layer, text)] of the user's backward pass.

    right: the numbers of the arrays that agree with the differences at the user's data; where ours
    do not agree on the network's samples, these do not stand for the data, and the answer is None.
    """
    gradients, ours = network.points.gradients(network.FEW), our_gradients(network)
    if not all(same(gradients[i], ours[i]) for i in right):
        return None
    updated = updated_parameters(network, gradients, ours)
    if updated:
        return updated
    gradients, mistakes = in_order(network, gradients, ours)
    found = _mistakes(Search.of(network, gradients))
    if any(kind == "unknown" for kind, _, _ in found):
        found = _other_forward(network, gradients) or found
    return [*dict.fromkeys([*mistakes, *found])]


def explain(network, report, mistakes, wrong):
    """Add the mistakes to the report, and the right formulas."""
    for kind, layer, text in mistakes:
        report.add(kind, layer, text)
    if not report.mistakes:
        names = ", ".join(f"d{name}" for name in wrong)
        report.add("unknown", None, f"{names}: right elsewhere, wrong at the given parameters")
    formulas = network.notation.formulas()
    report.checks = [c._replace(formula=formulas.get(c.name, "")) for c in report.checks]


def _mistakes(search):
    """Return the mistakes of the best guess, with what can be said of the arrays left over."""
    best = _search(search)
    mistakes, lost = list(best.mistakes), list[tuple]()
    for k, kind in best.unknown:
        said = {m[:2] for m in mistakes}
        # Below an error that nothing explains, no product is what it seems to be.
        more = None if lost else _product(search, best, k, kind, said)
        lost += [] if more else [(k, kind)]
        mistakes += [m for m in more or () if m[:2] not in said]
    if lost:
        mistakes.append(_unknown(search, lost))
    return mistakes


def _other_forward(network, gradients):
    """Explain a backward that computes activations anew, one sigmoid with its sign wrong."""
    for k, f in enumerate(network.activations, 1):
        if f.name == "logistic":
            chain = (*network.activations[: k - 1], MINUS, *network.activations[k:])
            best = _search(Search.of(replace(network, activations=chain), gradients), whole=True)
            if best is not None:
                text = f"backward computes A{k} with 1 / (1 + exp(Z{k})): the sign of Z{k} is wrong"
                return [("activation_formula", k, text), *best.mistakes]
    return None


def _search(search, whole=False):
    """Return the best guess; with `whole` only one that leaves nothing unknown, or None."""
    beam = [Guess(0.0, (), {}, 1.0, ())]
    for k in range(search.n_layers, 0, -1):
        grown: list[Guess] = []
        best = math.inf
        for changes in (1, 2):  # two changes of one line only where one does not do
            for guess in beam:
                for candidate in _errors(search, guess, k):
                    new = (len(candidate.mistakes) > 1) == (changes > 1)
                    if new and guess.cost + candidate.cost <= best + MARGIN:
                        judged = list(_judged(search, guess, candidate, k))
                        grown += judged
                        best = min(best, *(g.cost for g in judged))
                        if judged[0].cost == guess.cost:  # ours: no change explains it better
                            break
            if best <= beam[0].cost + 2.1:
                break
        grown.sort(key=lambda g: g.cost)
        beam = [g for g in _distinct(grown) if g.cost <= best + MARGIN]
        if whole and all(g.unknown for g in beam):
            return None
    return beam[0]


def _distinct(guesses):
    """Keep the cheapest guesses, one of each error that goes on down."""
    kept: dict = {}
    for guess in guesses:
        dZ = guess.dZ[min(guess.dZ)]
        kept.setdefault((f"{np.linalg.norm(dZ):.9e}", f"{dZ.sum():.9e}"), guess)
    return list(kept.values())[:BEAM]


def _errors(search, guess, k):
    """Yield candidates for dZ of layer k."""
    if k == search.n_layers:
        yield from output_errors(search.network)
        return
    yield from hidden_errors(search.network, guess.dZ, k)
    yield from _updated(search, guess, k)


def _updated(search, guess, k):
    """Yield dZ of layer k, sent back through W - rate * dW, the weights already updated."""
    up, W = search.dW[k], search.network.W[k]
    if up is None or up.ndim != 3 or W.shape not in (up.shape, up.mT.shape):
        return
    slope, x = derivatives(search.network, k)[0], search.network.a[k - 1].mT
    before, moved = (
        (guess.dZ[k + 1] @ m.mT) * slope for m in (W, up if up.shape == W.shape else up.mT)
    )
    dW, db = search.dW[k - 1], search.db[k - 1]
    sums = [np.sum(dZ, axis=-2, keepdims=True) for dZ in (before, moved)]
    c = search.fit(db, *sums) or search.fit(dW, x @ before, x @ moved)
    if c and c[0] and c[1] / c[0] < -1e-9:
        rate = -c[1] / c[0]
        text = (
            f"dZ{k} is sent back through weights that are updated already: the old "
            f"{search.notation.weight(k + 1)} belongs there (the update's rate was {rate:.4g})"
        )
        yield Candidate(before - rate * moved, (("updated_weights", k, text),), 1.0)


def _judged(search, guess, candidate, k):
    """Yield guesses with this error at layer k, for each reading of the ratios."""
    dZ = np.broadcast_to(candidate.array, search.network.z[k - 1].shape)
    for (cost_w, r_w, of_w), (cost_b, r_b, of_b) in itertools.product(
        _weights(search, guess, dZ, k), _biases(search, guess, dZ, k)
    ):
        for r in dict.fromkeys((1.0, r_w or 1.0, r_b or 1.0)):
            mistakes = list(candidate.mistakes)
            mistakes += [(kind, k, f"dZ{k} {words}") for kind, words in search.notation.ratio(r)]
            for r_own, own, name in ((r_w, of_w, "weight"), (r_b, of_b, "bias")):
                said = getattr(search.notation, name)(k)
                if r_own is not None:
                    words = search.notation.ratio(r_own / r)
                    mistakes += [(kind, k, f"d{said} {text}") for kind, text in words]
                mistakes += own
            unknown = [(k, n) for n, r_own in (("W", r_w), ("b", r_b)) if r_own is None]
            unknown = [
                u for u in unknown if (search.dW if u[1] == "W" else search.db)[k - 1] is not None
            ]
            n_ratios = len(mistakes) - len(candidate.mistakes) - len(of_w) - len(of_b)
            cost = guess.cost + candidate.cost + cost_w + cost_b + n_ratios + 0.01 * (r != 1.0)
            yield Guess(
                cost, (*guess.mistakes, *mistakes), guess.dZ | {k: r * dZ}, guess.scale * r,
                (*guess.unknown, *unknown),
            )  # fmt: skip


def _weights(search, guess, dZ, k):
    """Yield (cost, r, mistakes) for each way in which dW of layer k follows from dZ."""
    user, name = search.dW[k - 1], search.notation.weight(k)
    if user is None:
        yield 0.0, None, ()
        return
    if user.ndim != 3:
        yield UNKNOWN, None, ()
        return
    if not np.any(user):
        yield 1.0, 1.0, (("zero", k, f"d{name} is zero everywhere"),)
        return
    x, W = search.network.a[k - 1], search.network.W[k - 1]
    ours = np.broadcast_to(x.mT @ dZ, W.shape)
    found = False
    for cost, r, of in _penalised(search, user, ours, W, 2 * search.network.l2[k - 1], name, k):
        found = True
        yield cost, r, of
    if found:
        return

    def say(kind, text):
        return ((kind, k, f"d{name} {text}"),)

    same = user.shape == W.shape
    if user.mT.shape == W.shape and (r := search.ratio(user.mT, ours)):
        shapes = ("", "") if same else (f"{search.notation.shape(g)} " for g in (user, W))
        text = "{}is the transpose of the true gradient {}".format(*shapes).strip()
        yield 1.0, r, say("transposed", text)
    if same and (r := search.ratio(user, np.abs(ours))):
        yield 1.0, r, say("absolute", "lost its sign: it equals |true gradient|")
    for label, other in inputs(search.network, k):
        if r := search.ratio(user, other.mT @ dZ):
            right = search.notation.input(k)
            yield 1.0, r, say("wrong_input", f"is formed with {label} where {right} belongs")
    for j, other in guess.dZ.items():
        g = x.mT @ other
        for either in (user, user.mT):
            if r := search.ratio(either, np.broadcast_to(g, (len(W), *g.shape[1:]))):
                text = f"is formed with dZ{j}: the error was not sent back from layer {k + 1}"
                yield 1.0, r, say("layer_skipped", text)
    for row, which in ((-1, "last"), (0, "first")):
        if r := search.ratio(user, x[:, row, :, None] * dZ[:, row, None, :]):
            yield 1.0, r, say("not_summed", f"holds the {which} sample only: it is not summed")
    yield UNKNOWN, None, ()


def _penalised(search, user, ours, p, due, name, k):
    """Yield (cost, r, mistakes) where user = r ours + c p, and `due` is what c should be."""
    r = search.ratio(user, ours)
    if r is not None:
        if due:
            text = f"d{name} misses the penalty's share {due:.6g} * {name}"
            yield 1.0, r, (("regularisation_missing", k, text),)
        else:
            yield 0.0, r, ()
        return
    c = search.fit(user, ours, p)
    if c is None or not c[0]:
        return
    if due and abs(c[1] - due * c[0]) <= 1e-5 * abs(due * c[0]):  # the whole sum times r
        yield 0.0, c[0], ()
    elif due and abs(c[1] - due) <= 1e-5 * abs(due):
        yield 0.0, c[0], ()
    else:
        bias = p.shape[-2] == 1 and not due and name == search.notation.bias(k)
        kind = "regularisation_on_bias" if bias else "regularisation_factor"
        should = f"{due:.6g} * {name}" if due else "none"
        text = f"d{name} holds the penalty's share {c[1]:.6g} * {name}, the cost's own is {should}"
        yield 1.0, c[0], ((kind, k, text),)


def _biases(search, guess, dZ, k):
    """Yield (cost, r, mistakes) for each way in which db of layer k follows from dZ."""
    user = search.db[k - 1]
    if user is None:
        yield 0.0, None, ()
        return
    name, b = search.notation.bias(k), search.network.b[k - 1]
    if not np.any(user):
        yield 1.0, 1.0, (("zero", k, f"d{name} is zero everywhere"),)
        return
    ours = np.sum(dZ, axis=-2, keepdims=True)
    found = False
    for cost, r, of in _penalised(search, user, ours, b, 2 * search.network.l2_bias, name, k):
        found = True
        yield cost, r, of
    if found:
        return

    def say(kind, text):
        return ((kind, k, f"d{name} {text}"),)

    n = search.notation.n
    for either in (user, user.mT if user.ndim == 3 else user):
        if r := search.ratio(either, dZ):
            yield 1.0, r, say("not_summed", f"is not summed over the {n} samples")
            break
    flat, units = user.reshape(len(user), -1), dZ.shape[-1]
    if r := search.ratio(flat, dZ.sum(axis=-1)):
        kind = "not_summed" if units == 1 else "wrong_axis"
        what = f"the {n} samples" + (f", but over the {units} units" if units > 1 else "")
        yield 1.0, r, say(kind, f"is not summed over {what}")
    total = ours.sum(axis=-1)  # (K, 1)
    if units > 1 and (r := search.ratio(flat, np.broadcast_to(total, flat.shape))):
        yield 1.0, r, say("wrong_axis", "is one sum over samples and units: sum over samples only")
    for row, which in ((-1, "last"), (0, "first")):
        if r := search.ratio(flat, dZ[:, row, :]):
            yield 1.0, r, say("not_summed", f"holds the {which} sample only: it is not summed")
    for changed in (np.abs(ours), np.sum(np.abs(dZ), axis=-2, keepdims=True)):
        if r := search.ratio(user, changed):
            yield 1.0, r, say("absolute", "lost its sign")
    for j, other in guess.dZ.items():
        if r := search.ratio(user, np.sum(other, axis=-2, keepdims=True)):
            text = f"is summed from dZ{j}: the error was not sent back from layer {k + 1}"
            yield 1.0, r, say("layer_skipped", text)
    yield UNKNOWN, None, ()


def _product(search, best, k, kind, said):
    """Return the mistakes of an array that is a product of the right factors, or None."""
    user = (search.dW if kind == "W" else search.db)[k - 1]
    return describe_product(search, best, k, user, kind, said)


def _unknown(search, lost):
    """Say which arrays nothing explains; all of them hang on the error of the last layer."""
    notation, texts = search.notation, []
    for k, kind in lost:
        name = getattr(notation, "weight" if kind == "W" else "bias")(k)
        user = (search.dW if kind == "W" else search.db)[k - 1]
        p = (search.network.W if kind == "W" else search.network.b)[k - 1]
        shape = user.shape[1:] if kind == "b" else notation.shape(user)
        expected = notation.bias_shape(k) if kind == "b" else notation.shape(p)
        shapes = f" (of shape {shape}, expected {expected})" if user.size != p.size else ""
        texts.append(f"d{name}{shapes}")
    k = lost[0][0]
    below = f": dZ{k} is, and all below follows from it" if len({k for k, _ in lost}) > 1 else ""
    words = "is wrong" if len(texts) == 1 else "are wrong"
    return ("unknown", k, f"{', '.join(texts)} {words}, by none of the known mistakes{below}")
