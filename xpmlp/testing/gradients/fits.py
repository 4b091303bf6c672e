"""Fits: an error that no known mistake explains, as a combination of few of the arrays beside it.

It is told only where it is exact at all points, by more equations than it has coefficients.
"""

import itertools
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from .candidates import Candidate, activation_derivative

MOST = 3  # terms
SPARE = 4  # equations more than terms, at the least


class Term(NamedTuple):
    """A product of two arrays (K, n, units), and how it is written."""

    array: np.ndarray
    common: str  # the error, or ""
    rest: str


def combinations(search, dZ, k):
    """Yield the error at layer k as a combination, by dW and db together, else by one of them.

    dZ: layer -> the error there, of those behind.
    """
    basis, right, kind = _terms(search, dZ, k)
    sides = [side for side in (_side(search, basis, k, of) for of in "Wb") if side is not None]
    for chosen in (sides, sides[:1], sides[1:]):
        found = _fewest(chosen, search.tolerance) if chosen else None
        if found is not None:
            terms, c = [basis[i] for i in found[0]], found[1]
            array = sum(c_i * t.array for c_i, t in zip(c, terms))
            if not all(t.common for t in terms):
                kind = "error_formula"
            text = f"dZ{k} is {_written(terms, c, search.network)}, where {right} belongs"
            yield Candidate(array, ((kind, k, text),), 2.0 + 0.05 * len(terms))
            return


def formed_with(search, dZ, k, kind):
    """Return the mistake of a dW or db of layer k that another error is summed in, or None."""
    basis, _, _ = _terms(search, dZ, k)
    side = _side(search, basis, k, kind)
    found = side and _fewest([side], search.tolerance)
    if not found:
        return None
    text = _written([basis[i] for i in found[0]], found[1], search.network)
    name = search.notation.parameter(kind, k)
    return [("error_formula", k, f"d{name} is formed with {text}, where dZ{k} belongs")]


def _side(search, basis, k, kind):
    """Return (what dW or db of layer k each of the basis gives, the user's), None if it cannot."""
    network, user = search.network, search.gradient(kind, k)
    p, x = network.parameters[kind][k - 1], network.inputs[k - 1].mT
    if not basis or user is None or user.shape != p.shape or not np.any(user):
        return None
    l2 = {"W": network.l2, "b": network.l2_bias}[kind][k - 1]
    rows = (x @ t.array if kind == "W" else t.array.sum(axis=-2, keepdims=True) for t in basis)
    columns = [np.broadcast_to(row, p.shape).ravel() for row in rows]
    return np.stack(columns, axis=1), (user - 2 * l2 * p).ravel()


def _fewest(sides, tolerance):
    """Return (numbers of the fewest columns whose combination is the user's, coefficients)."""
    sizes = [float(np.linalg.norm(user)) or 1.0 for _, user in sides]
    A = np.concatenate([columns / size for (columns, _), size in zip(sides, sizes)])
    u = np.concatenate([user / size for (_, user), size in zip(sides, sizes)])
    norms = np.linalg.norm(A, axis=0)
    usable = np.flatnonzero((norms > 0) & np.isfinite(norms))
    if not np.isfinite(u).all() or not len(usable):
        return None
    _, R = np.linalg.qr(np.column_stack([A[:, usable] / norms[usable], u]))
    R, u = R[:, :-1], R[:, -1]
    for size in range(1, min(MOST, len(u) - 1, len(A) - SPARE) + 1):
        chosen = np.array(list(itertools.combinations(range(len(usable)), size)))
        Q, _ = np.linalg.qr(R[:, chosen].transpose(1, 0, 2))  # all of them at once
        off = u - (Q @ (Q.mT @ u)[..., None])[..., 0]
        fits = np.flatnonzero(np.linalg.norm(off, axis=-1) <= tolerance * np.linalg.norm(u))
        if fits.size:
            best = chosen[fits[0]]
            c, *_ = np.linalg.lstsq(R[:, best], u, rcond=None)
            return usable[best], c / norms[usable[best]]
    return None


def _terms(search, dZ, k):
    """Return (Terms that dZ of layer k may be made of, what it should be, kind of mistake)."""
    network, last = search.network, k == search.n_layers
    a, z, f = network.a[k], network.z[k - 1], network.activations[k - 1]
    if z.shape != a.shape or (last and np.shape(network.y)[-2:] != z.shape[-2:]):
        return [], "", ""
    slope = np.broadcast_to(activation_derivative(network, k)[0], z.shape)
    factors = [(np.ones_like(a), ""), (a, f"A{k}"), (a * a, f"A{k}^2"), (a**3, f"A{k}^3")]
    if f.name != "identity":
        factors += [(z, f"Z{k}"), (slope, f"f'(Z{k})"), (a * slope, f"A{k} * f'(Z{k})")]
        factors += [(z * z, f"Z{k}^2"), (a * z, f"A{k} * Z{k}")]
    if last:
        error, name = a - network.y, f"(A{k} - Y)"
        right, kind = _right_at_output(network), "error_formula"
        if network.loss == "squared_error" and f.name != "identity":
            kind = "derivative_formula"
        y = np.broadcast_to(network.y, z.shape)
        factors += [(y, "Y"), (y * slope, f"Y * f'(Z{k})")]
    else:
        error, name, kind = network.sent_back(k, dZ[k + 1]), f"dA{k}", "derivative_formula"
        sent = network.notation.sent_back(k).partition(" = ")[2].partition(" * f'")[0]
        right = f"dA{k} * f'(Z{k}) (dA{k} = {sent.strip('()')})"
    factors.append((error, name))
    basis = [Term(error * array, name, text) for array, text in factors]
    return basis + [Term(array, "", text or "1") for array, text in factors], right, kind


def _right_at_output(network):
    """Write the right dZ of the last layer."""
    L, f, c = len(network.z), network.activations[-1], network.scale
    rest = [] if f.name in ("identity", "logistic", "softmax") else [f"f'(Z{L})"]
    if network.loss == "squared_error":
        c *= 2
        rest = [] if f.name == "identity" else [f"f'(Z{L})"]
    elif network.loss == "absolute_error" or rest:
        return f"the derivative of the cost by Z{L}"
    return _product(c, [f"(A{L} - Y)", *rest], network)


def _written(terms, coefficients, network):
    """Write a combination."""
    common, scale = terms[0].common, min(map(abs, coefficients))
    if len(terms) == 1 or not common or any(t.common != common for t in terms):
        parts = [_product(c, [t.common, t.rest], network) for t, c in zip(terms, coefficients)]
        return " + ".join(parts).replace("+ -", "- ")
    rest = [_product(c / scale, [t.rest], network) for t, c in zip(terms, coefficients)]
    inner = " + ".join(rest).replace("+ -", "- ")
    return _product(scale, [common, f"({inner})"], network)


def _product(c, factors, network):
    """Write a coefficient times factors; as a fraction where it is one, of n or of outputs too."""
    n, n_outputs, sign = network.n, network.sizes[-1], "-" * bool(c < 0)
    for divisor, most, words in (
        (1, 6, []),
        (n, 12, ["n"]),
        (n * n_outputs, 12, ["n_outputs", "n"]),
    ):
        fraction = Fraction(abs(c) * divisor).limit_denominator(most)
        if abs(float(fraction) - abs(c) * divisor) < 1e-6 * abs(c) * divisor:
            top, bottom = str(fraction.numerator), [str(fraction.denominator), *words]
            break
    else:
        top, bottom = f"{abs(c):.6g}", []
    text = " * ".join(t for t in (top, *factors) if t and t != "1") or "1"
    below = " * ".join(t for t in bottom if t != "1")
    if " * " in below:
        below = f"({below})"
    return f"{sign}{text}" + f" / {below}" * bool(below)
