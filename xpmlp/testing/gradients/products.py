"""A gradient of a wrong shape: which product of the right factors is it?

Every way to multiply the factors of a gradient, each used at most once, by matrix or elementwise
products in any order and transposed or not, is compared with the user's array.
"""

import itertools
from typing import NamedTuple

import numpy as np

from .candidates import activation_derivative

MISSING = {  # which mistake it is that a factor of this role is missing
    "derivative": "derivative_missing",
    "weights": "layer_skipped",
    "input": "wrong_input",
    "error": "unknown",
}


class Factor(NamedTuple):
    """One factor: its value (points, rows, columns), its name, what it is."""

    array: np.ndarray
    name: str
    role: str  # "error", "derivative", "weights", "input"
    layer: int


class Product(NamedTuple):
    """A product of factors, how it is written, and its operations [(name, left roles, right)]."""

    array: np.ndarray
    text: str
    operations: tuple
    factors: tuple
    role: str = ""  # of a single factor
    mixed: bool = False  # a derivative enters by a matrix product


@np.errstate(all="ignore")
def describe_product(search, best, k, kind, said):
    """Return mistakes that tell which product the user's dW (or db) of layer k is, or None.

    Of several, the one with the fewest that are not `said` already.
    """
    name, user = f"d{search.notation.parameter(kind, k)}", search.gradient(kind, k)
    for factors, more in _factor_sets(search, best, k):
        if kind == "b":
            factors = factors[:-1]  # all but the input
        factors, found = _at_points(search.network, factors), []
        for product in _products(factors, search.network.columns):
            sides = _sides(user, product.array, kind)
            ratios = ((of, search.ratio(side, own)) for of, side, own in sides)
            of, r = next((pair for pair in ratios if pair[1]), ("", None))
            if r:
                scales = [search.describe_ratio(x, name, k) for x in (r * best.scale, r)]
                mistakes = _mistakes(f"{name} equals {of}{product.text}", k, product, factors)
                mistakes += [*more, *min(scales, key=len)]  # the simpler to say
                kinds = {m[:2] for m in mistakes}
                found.append((len(kinds - said), ("wrong_order", k) in kinds, mistakes))
        if found:
            return min(found, key=lambda of: of[:2])[2]
    return None


def _sides(user, product, kind):
    """Yield what to compare (words, the user's, ours), both up to a transpose."""
    if kind == "b":
        flat = user.reshape(len(user), -1)
        yield "a sum of ", flat, product.sum(axis=-2)
        yield "a sum of ", flat, product.sum(axis=-1)
    if user.ndim == 3:
        yield "", user, product
        yield "", user.mT, product


def _factor_sets(search, best, k):
    """Yield (factors of the gradient of layer k, mistakes in them), short products first."""
    net, L = search.network, search.n_layers
    x = Factor(net.inputs[k - 1], search.notation.input(k), "input", k)
    error = Factor(best.dZ[k], f"dZ{k}", "error", k)
    yield [error, x], ()
    way: list = []  # from the layer behind
    if k < L and net.z[k - 1].shape[-1] == net.a[k].shape[-1]:
        name = search.notation.weight(k + 1) + "^T" * (net.layers[k].turned != net.columns)
        way = [Factor(net.W[k], name, "weights", k + 1), _slope(net, k)]
        error = Factor(best.dZ[k + 1], f"dZ{k + 1}", "error", k + 1)
        yield [error, *way, x], ()
    if k >= L - 1 and net.loss == "squared_error":
        e = 2 * net.scale * (net.a[-1] - net.y)
        text = f"dZ{L}, the error at the output, lost its sign: it equals |true error|"
        for array, name, more in ((e, "E", ()), (np.abs(e), "|E|", (("absolute", L, text),))):
            error = Factor(array, name, "error", L)
            yield [error, _slope(net, L), *way, x], more


def _slope(network, k):
    return Factor(activation_derivative(network, k)[0], f"f'(Z{k})", "derivative", k)


def _at_points(network, factors):
    """Give each factor an array of its own for each point."""
    arrays = (np.broadcast_to(f.array, (network.FEW, *f.array.shape[1:])) for f in factors)
    return [f._replace(array=np.ascontiguousarray(a)) for f, a in zip(factors, arrays)]


def _products(factors, columns):
    """Yield all products of two factors or more, those of more factors first."""
    values: dict[frozenset, list[Product]] = {
        frozenset([i]): [Product(f.array, f.name, (), (i,), f.role)] for i, f in enumerate(factors)
    }
    for size in range(2, len(factors) + 1):
        for subset in map(frozenset, itertools.combinations(range(len(factors)), size)):
            made: dict = {}
            for left in _halves(subset):
                for p, q in itertools.product(values[left], values[subset - left]):
                    for product in _joined(p, q, columns):
                        norm = float(np.linalg.norm(product.array))
                        total = abs(float(product.array.sum()))
                        key = (*sorted(product.array.shape[1:]), f"{norm:.9e}", f"{total:.9e}")
                        if key not in made or product.mixed < made[key].mixed:
                            made[key] = product  # of equal ones that with fewer wrong operations
            values[subset] = list(made.values())
    for subset in sorted(values, key=len, reverse=True):
        if len(subset) > 1:
            yield from values[subset]


def _halves(subset):
    first, *rest = sorted(subset)
    for size in reversed(range(len(rest))):  # the last factor, the input, enters last
        for more in itertools.combinations(rest, size):
            yield frozenset([first, *more])


def _joined(p, q, columns):
    """Yield the products of two, up to a transpose of the whole."""
    used, mixed = (*p.factors, *q.factors), p.mixed or q.mixed
    before = (*p.operations, *q.operations)
    for (a, left), (b, right) in itertools.product(_both_ways(p), _both_ways(q)):
        if a.shape[-1] == b.shape[-2] and a.shape[-2] * b.shape[-1] <= 200_000:
            words = [left, right]
            if columns:  # as it reads in the user's code
                words.reverse()
            slope = "derivative" in (p.role, q.role)
            operations = (*before, ("@", p.factors, q.factors))
            yield Product(a @ b, " @ ".join(words), operations, used, mixed=mixed or slope)
        if a is p.array and _same_or_wider(a.shape[1:], b.shape[1:]):
            operations = (*before, ("*", p.factors, q.factors))
            yield Product(a * b, f"{left} * {right}", operations, used, mixed=mixed)


def _both_ways(product):
    """Return (array, text) of a product and of its transpose."""
    text = product.text
    if " " in text:
        text = f"({text})"
    return (product.array, text), (product.array.mT, f"{text}^T")


def _same_or_wider(one, other):
    """Tell whether two shapes broadcast to one of them."""
    try:
        return np.broadcast_shapes(one, other) in (one, other)
    except ValueError:
        return False


def _mistakes(text, k, product, factors):
    """Say how a product differs from the right one: what is missing, what is of another kind."""
    found, elementwise = [], []
    for i, f in enumerate(factors):
        if i not in product.factors:
            what, layer = MISSING[f.role], k
            if f.role == "derivative":
                layer = f.layer
            found.append((what, layer, f"{text}: {f.name} is missing"))
    for symbol, left, right in product.operations:
        sides = [{factors[i].role for i in side} for side in (left, right)]
        single = [factors[s[0]] for s in (left, right) if len(s) == 1]
        slope = next((f for f in single if f.role == "derivative"), None)
        if symbol == "@" and slope:
            words = f"{text}: {slope.name} enters by a matrix product, it belongs elementwise"
            found.append(("matmul_for_elementwise", slope.layer, words))
        elif symbol == "*" and {"derivative"} not in sides:
            words = f"{text}: an elementwise product where a matrix product belongs"
            elementwise.append(("elementwise_for_matmul", k, words))
    order = ("wrong_order", k, f"{text}: the factors stand in the wrong order")
    return found or elementwise or [order]
