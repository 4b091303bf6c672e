"""A gradient of a wrong shape: which product of the right factors is it?

Every way to multiply the factors of a gradient, each used at most once, by matrix or elementwise
products in any order and transposed or not, is compared with the user's array.
"""

import itertools
from typing import NamedTuple

import numpy as np

from .candidates import derivatives


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


def describe_product(search, best, k, user, kind, said):
    """Return mistakes that tell which product the user's dW (or db) of layer k is, or None.

    Of several, the one with the fewest that are not `said` already.
    """
    for factors, more in _factor_sets(search, best, k):
        factors = factors[: None if kind == "W" else -1]
        found = []
        for product in _products(factors, search.network.points.structure.columns):
            for u, own in _sides(user, product.array, kind):
                if r := search.ratio(u, own):
                    mistakes = _mistakes(search, k, product, factors, kind)
                    found.append([*mistakes, *more, *_ratio(search, best, k, r, kind)])
                    break
        if found:
            return min(found, key=lambda of: (len({m[:2] for m in of} - said), _vague(of)))
    return None


def _vague(mistakes):
    return any(kind == "wrong_order" for kind, _, _ in mistakes)


def _sides(user, product, kind):
    """Yield what to compare, both up to a transpose."""
    if kind == "W":
        yield from ((user, product), (user.mT, product)) if user.ndim == 3 else ()
        return
    flat = user.reshape(len(user), -1)
    for sums in (product.sum(axis=-2), product.sum(axis=-1)):
        yield flat, sums


def _ratio(search, best, k, r, kind):
    """Say the ratio: to the true scale where that is simpler."""
    name = getattr(search.notation, "weight" if kind == "W" else "bias")(k)
    said = [search.notation.ratio(x) for x in (r * best.scale, r)]
    return [(what, k, f"d{name} {words}") for what, words in min(said, key=len)]


def _factor_sets(search, best, k):
    """Yield (factors of the gradient of layer k, mistakes in them), short products first."""
    net, L, s = search.network, search.n_layers, search.network.points.structure
    x = Factor(net.a[k - 1], search.notation.input(k), "input", k)

    def at_points(f):
        array = np.broadcast_to(f.array, (net.FEW, *f.array.shape[1:]))
        return f._replace(array=np.ascontiguousarray(array))

    def slope(j):
        return Factor(derivatives(net, j)[0], f"f'(Z{j})", "derivative", j)

    def sets():
        yield [Factor(best.dZ[k], f"dZ{k}", "error", k), x], ()
        if k < L:
            turned = "" if s.turned == s.columns else "^T"
            W = Factor(net.W[k], search.notation.weight(k + 1) + turned, "weights", k + 1)
            up = Factor(best.dZ[k + 1], f"dZ{k + 1}", "error", k + 1)
            yield [up, W, slope(k), x], ()
        if k >= L - 1 and net.loss == "squared_error":
            e = 2 * net.scale * (net.a[-1] - net.points.y)
            text = f"dZ{L}, the error at the output, lost its sign: it equals |true error|"
            for error, name, more in (
                (e, "E", ()), (np.abs(e), "|E|", (("absolute", L, text),))
            ):  # fmt: skip
                tail = [Factor(error, name, "error", L), slope(L)]
                yield tail + ([] if k == L else [W, slope(k)]) + [x], more

    for factors, more in sets():
        yield [at_points(f) for f in factors], more


def _products(factors, columns):
    """Yield all products of two factors or more, those of more factors first."""
    values: dict[frozenset, list[Product]] = {
        frozenset([i]): [Product(f.array, f.name, (), (i,), f.role)] for i, f in enumerate(factors)
    }
    whole = range(len(factors))
    for size in range(2, len(factors) + 1):
        for subset in map(frozenset, itertools.combinations(whole, size)):
            made: dict = {}
            for left in _halves(subset):
                for p, q in itertools.product(values[left], values[subset - left]):
                    for product in _joined(p, q, columns):
                        norm = float(np.linalg.norm(product.array))
                        total = abs(float(product.array.sum()))
                        key = (*sorted(product.array.shape[1:]), f"{norm:.9e}", f"{total:.9e}")
                        if key not in made or product.mixed > made[key].mixed:
                            made[key] = product  # of equal ones that which says what is mixed up
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
    used = (*p.factors, *q.factors)
    for left, right in itertools.product((False, True), repeat=2):
        a, b = (x.array.mT if turn else x.array for x, turn in ((p, left), (q, right)))
        words = [_turned(x.text, turn) for x, turn in ((p, left), (q, right))]
        if a.shape[-1] == b.shape[-2] and a.shape[-2] * b.shape[-1] <= 10_000:
            operations = (*p.operations, *q.operations, ("@", p.factors, q.factors))
            text = " @ ".join(words[::-1] if columns else words)  # as it reads in the user's code
            mixed = p.mixed or q.mixed or "derivative" in (p.role, q.role)
            yield Product(a @ b, text, operations, used, mixed=mixed)
        if not left:
            try:
                shape = np.broadcast_shapes(a.shape[1:], b.shape[1:])
            except ValueError:
                continue
            if shape in (a.shape[1:], b.shape[1:]):
                operations = (*p.operations, *q.operations, ("*", p.factors, q.factors))
                text = f"{words[0]} * {words[1]}"
                yield Product(a * b, text, operations, used, mixed=p.mixed or q.mixed)


def _turned(text, turn):
    text = f"({text})" if " " in text else text
    return f"{text}^T" if turn else text


def _mistakes(search, k, product, factors, kind):
    """Say how a product differs from the right one: what is missing, what is of another kind."""
    notation = search.notation
    name, of = (notation.weight(k), "") if kind == "W" else (notation.bias(k), "a sum of ")
    text = f"d{name} is {of}{product.text}"
    found, elementwise = [], []
    for i, f in enumerate(factors):
        if i not in product.factors:
            kind = {"derivative": "derivative_missing", "weights": "layer_skipped",
                    "input": "wrong_input", "error": "unknown"}[f.role]  # fmt: skip
            found.append(
                (kind, f.layer if f.role == "derivative" else k, f"{text}: {f.name} is missing")
            )
    for symbol, left, right_side in product.operations:
        sides = [{factors[i].role for i in side} for side in (left, right_side)]
        single = [factors[s[0]] for s in (left, right_side) if len(s) == 1]
        slope = next((f for f in single if f.role == "derivative"), None)
        if symbol == "@" and slope:
            words = f"{text}: {slope.name} enters by a matrix product, it belongs elementwise"
            found.append(("matmul_for_elementwise", slope.layer, words))
        elif symbol == "*" and {"derivative"} not in sides:
            words = f"{text}: an elementwise product where a matrix product belongs"
            elementwise.append(("elementwise_for_matmul", k, words))
    return (
        found
        or elementwise
        or [("wrong_order", k, f"{text}: the factors stand in the wrong order")]
    )
