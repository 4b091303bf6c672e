"""The derivatives of NumPy's functions: a row each, in reverse mode.

x: the inputs' values; y: the operation's value; dy: the derivative of a number by y, shaped like y.
What has no row is differentiated by central differences of the operation alone.
"""

import string
from typing import Any

import numpy as np

# Functions that only move elements need no rule: run on positions, they say where each went.
MOVES = set(
    "reshape transpose getitem setitem copy concatenate delete pad repeat tile roll flip rot90 "
    "broadcast_to broadcast_arrays split take take_along_axis compress extract diag diagonal "
    "diagflat tril triu resize full copyto put place putmask fill fill_diagonal block "
    "meshgrid".split()
)
ALIASES = {
    "reshape": "ravel squeeze expand_dims atleast_1d atleast_2d atleast_3d",
    "transpose": "swapaxes moveaxis rollaxis matrix_transpose permute_dims",
    "concatenate": "concat stack hstack vstack dstack column_stack append insert",
    "split": "array_split hsplit vsplit",
    "flip": "fliplr flipud",
    "max": "amax",
    "min": "amin",
    "power": "pow float_power",
    "absolute": "fabs",
}
NAMES = {other: name for name, others in ALIASES.items() for other in others.split()}
# How many arguments are arrays that the value hangs on, where it is not the first alone.
ARRAYS = {"where": 3, "concatenate": 1, "dot": 2, "inner": 2, "outer": 2, "vdot": 2, "tensordot": 2}


def _larger(a, b):
    """Return 1 where a > b, and 1/2 where both are equal."""
    return (a > b) + 0.5 * (a == b)


PARTIALS = {  # of functions that work element by element: dy_i / dx_i for each input
    "add": (lambda y, a, b: 1.0, lambda y, a, b: 1.0),
    "subtract": (lambda y, a, b: 1.0, lambda y, a, b: -1.0),
    "multiply": (lambda y, a, b: b, lambda y, a, b: a),
    "divide": (lambda y, a, b: 1.0 / b, lambda y, a, b: -y / b),
    "power": (lambda y, a, b: b * a ** (b - 1.0), lambda y, a, b: y * np.log(a)),
    "maximum": (lambda y, a, b: _larger(a, b), lambda y, a, b: _larger(b, a)),
    "minimum": (lambda y, a, b: _larger(b, a), lambda y, a, b: _larger(a, b)),
    "logaddexp": (lambda y, a, b: np.exp(a - y), lambda y, a, b: np.exp(b - y)),
    "arctan2": (lambda y, a, b: b / (a * a + b * b), lambda y, a, b: -a / (a * a + b * b)),
    "where": (
        lambda y, c, a, b: 0.0,
        lambda y, c, a, b: np.not_equal(c, 0),
        lambda y, c, a, b: np.equal(c, 0),
    ),
    "clip": (
        lambda y, a, lo, hi: _larger(a, lo) * _larger(hi, a),
        lambda y, a, lo, hi: _larger(lo, a),
        lambda y, a, lo, hi: _larger(a, hi),
    ),
    "heaviside": (lambda y, a, b: 0.0, lambda y, a, b: a == 0),
    "nan_to_num": (lambda y, a: np.isfinite(a) * 1.0,),
    "negative": (lambda y, a: -1.0,),
    "positive": (lambda y, a: 1.0,),
    "astype": (lambda y, a: 1.0,),
    "absolute": (lambda y, a: np.sign(a),),
    "sign": (lambda y, a: 0.0,),
    "reciprocal": (lambda y, a: -y * y,),
    "square": (lambda y, a: 2.0 * a,),
    "sqrt": (lambda y, a: 0.5 / y,),
    "exp": (lambda y, a: y,),
    "exp2": (lambda y, a: y * np.log(2.0),),
    "expm1": (lambda y, a: y + 1.0,),
    "log": (lambda y, a: 1.0 / a,),
    "log2": (lambda y, a: 1.0 / (a * np.log(2.0)),),
    "log10": (lambda y, a: 1.0 / (a * np.log(10.0)),),
    "log1p": (lambda y, a: 1.0 / (1.0 + a),),
    "sin": (lambda y, a: np.cos(a),),
    "cos": (lambda y, a: -np.sin(a),),
    "tanh": (lambda y, a: 1.0 - y * y,),
    "sinh": (lambda y, a: np.cosh(a),),
    "cosh": (lambda y, a: np.sinh(a),),
    "arctan": (lambda y, a: 1.0 / (1.0 + a * a),),
    "expit": (lambda y, a: y * (1.0 - y),),
    "erf": (lambda y, a: 2.0 / np.sqrt(np.pi) * np.exp(-a * a),),
}


def _spread(dy, x, options):
    """Return what was reduced over axes beside what was not: with these axes of length 1."""
    axis = options.get("axis")
    if axis is None:
        return np.reshape(dy, (1,) * np.ndim(x))
    return dy if options.get("keepdims") is True else np.expand_dims(dy, axis)


def _extreme(dy, y, x, options):
    """Return dx of a maximum or minimum: equal ones share dy."""
    at = x == _spread(y, x, options)
    axis = options.get("axis")
    return at * _spread(dy, x, options) / np.sum(at, axis=axis, keepdims=True)


def _mean(dy, y, x, options):
    """Return dx of a mean."""
    return _spread(dy, x, options) * (np.size(y) / np.size(x)) + np.zeros(np.shape(x))


def _prod(dy, y, x, options):
    """Return dx of a product, None where one factor is 0."""
    return _spread(dy * y, x, options) / x if np.all(x) else None


def _cumsum(dy, y, x, options):
    """Return dx of a running sum: the sums of dy from there on."""
    axis = options.get("axis")
    if axis is None:
        return np.cumsum(dy[::-1])[::-1].reshape(np.shape(x))
    return np.flip(np.cumsum(np.flip(dy, axis), axis), axis)


REDUCTIONS = {  # (dy, y, x, options) -> dx
    "sum": lambda dy, y, x, options: _spread(dy, x, options) + np.zeros(np.shape(x)),
    "mean": _mean,
    "max": _extreme,
    "min": _extreme,
    "prod": _prod,
    "cumsum": _cumsum,
    "norm": lambda dy, y, x, options: x * _spread(dy / y, x, options),
}
PLAIN = {"axis", "keepdims", "out", "dtype"}  # the options with which the rules above hold
PRODUCTS = {  # for einsum; ... stands for axes of a batch
    "matvec": (("...ij", "...j"), "...i"),
    "vecmat": (("...i", "...ij"), "...j"),
    "vecdot": (("...i", "...i"), "..."),
    "outer": (("i", "j"), "ij"),  # of what np.outer makes vectors
    "vdot": (("i", "i"), ""),
}


def _matmul(a, b):
    one = "...ij" if a > 1 else "j"
    two = "...jk" if b > 1 else "j"
    return (one, two), "..." + "i" * (a > 1) + "k" * (b > 1)


def _tensordot(a, b, axes):
    if np.ndim(axes) == 0:
        axes = range(a - axes, a), range(axes)
    first, second = ([axis] if np.ndim(axis) == 0 else list(axis) for axis in axes)
    one, two = list(string.ascii_lowercase[:a]), list(string.ascii_uppercase[:b])
    for i, j in zip(first, second):
        two[j] = one[i]
    left = [c for c in one if c not in two]
    return ("".join(one), "".join(two)), "".join(left + [c for c in two if c not in one])


def _subscripts(name, x, options):
    """Return the terms and the result of a product in einsum's letters."""
    axes: Any = [np.ndim(a) for a in x]
    if name == "matmul":
        return _matmul(*axes)
    if name == "dot":
        return _tensordot(axes[0], axes[1], ([axes[0] - 1], [max(axes[1] - 2, 0)]))
    if name == "inner":
        return _tensordot(axes[0], axes[1], ([axes[0] - 1], [axes[1] - 1]))
    if name == "tensordot":
        return _tensordot(axes[0], axes[1], options.get("axes", 2))
    if name != "einsum":
        return PRODUCTS[name]
    terms, arrow, result = options["subscripts"].replace(" ", "").partition("->")
    if not arrow:
        letters = sorted(set(terms) & set(string.ascii_letters))
        result = "..." * ("..." in terms) + "".join(c for c in letters if terms.count(c) == 1)
    return tuple(terms.split(",")), result


def _product(name, dy, x, k, options):
    """Return the derivative by the k-th factor of a product, None where einsum cannot say it."""
    if name == "matmul" and max(map(np.ndim, x)) <= 2:
        return _matrix_product(dy, *map(np.asarray, x))[k]()
    terms, result = _subscripts(name, x, options)
    if name in ("outer", "vdot"):
        x = [np.ravel(a) for a in x]
    letters = terms[k].replace("...", "")
    if len(set(letters)) < len(letters):
        return None
    others = [term for i, term in enumerate(terms) if i != k]
    arrays = [a for i, a in enumerate(x) if i != k]
    for letter, n in zip(letters[::-1], np.shape(x[k])[::-1]):
        if letter not in "".join([result, *others]):  # it was summed over by itself
            others.append(letter)
            arrays.append(np.ones(n))
    wanted = terms[k]
    if "..." in "".join([result, *others]) and "..." not in wanted:
        wanted = f"...{wanted}"
    return np.einsum(f"{','.join([result, *others])}->{wanted}", dy, *arrays, optimize=True)


def _matrix_product(dy, a, b):
    """Return two functions of nothing: of the derivatives by both factors of a @ b."""
    outer = np.multiply.outer
    return (
        lambda: outer(dy, b) if b.ndim == 1 else dy @ b.T,
        lambda: outer(a, dy) if a.ndim == 1 else a.T @ dy,
    )


FACTORS = {"matmul", "dot", "inner", "tensordot", "einsum", *PRODUCTS}
# Functions to record as they are; others are recorded as what they are made of, where that shows.
KNOWN = MOVES | set(REDUCTIONS) | FACTORS | {"where", "nan_to_num", "trace", "cumprod", "sort"}


def value_of(x):
    """Return the value of a node, and a constant as it is."""
    return getattr(x, "value", x)


def gradients(node, dy, wanted):
    """Return {k: derivative by the k-th input of a node}, or what sums up to it; see `fitted`."""
    x, y, name = [value_of(i) for i in node.inputs], node.value, node.operation
    if np.asarray(y).dtype.kind not in "fO":
        return {}
    if name in MOVES:
        return _moved(node, dy, x, wanted)
    found = {}
    for k in wanted:
        g = None
        if name in PARTIALS:
            partial = PARTIALS[name][k]
            g = partial and _times(dy, partial(y, *x))
        elif name in REDUCTIONS and set(node.options) <= PLAIN:
            g = REDUCTIONS[name](dy, y, x[k], node.options)
        elif name in FACTORS:
            g = _product(name, dy, x, k, node.options)
        if g is None:
            g = _differences(node, dy, x, k)
        found[k] = g
    return found


def _times(dy, partial):
    """Return dy * partial, 0 where dy is 0: what does not count may be infinite."""
    return np.where(dy == 0, 0.0, dy * partial)


def fitted(g, shape):
    """Return a derivative in its array's shape: summed where the array was broadcast."""
    g = np.asarray(g)
    if g.size == np.prod(shape, dtype=int):
        return g.reshape(shape)
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    short = tuple(i for i, n in enumerate(shape) if n == 1 and g.shape[i] > 1)
    return np.broadcast_to(g.sum(axis=short, keepdims=True), shape)


def place_of(node):
    """Return the index of what reads or writes a part, None where it may hold elements twice."""
    if node.operation not in ("getitem", "setitem"):
        return None
    index = node.options.get("index", np.zeros(1))
    keys = index if isinstance(index, tuple) else (index,)
    once = all(np.ndim(k) == 0 or np.asarray(k).dtype == bool for k in keys)
    return (index,) if once else None


FIRST = 2.0**40  # above what constants are, and exact in float64


def _moved(node, dy, x, wanted):
    """Return the derivatives of what only moves elements: where each came from, dy goes."""
    ends = FIRST + np.cumsum([0, *(np.size(x[k]) for k in wanted)])
    for k, start, stop in zip(wanted, ends, ends[1:]):
        x[k] = np.arange(start, stop).reshape(np.shape(x[k]))
    keywords = {key: v for key, v in node.run.keywords.items() if key != "dtype"}
    at = np.asarray(node.run.func(*node.run.args, *x, **keywords), float).ravel() - FIRST
    kept = at >= 0
    total = np.bincount(at[kept].astype(int), np.ravel(dy)[kept], int(ends[-1] - FIRST))
    parts = np.split(total, (ends[1:-1] - FIRST).astype(int))
    return {k: part.reshape(np.shape(x[k])) for k, part in zip(wanted, parts)}


def _differences(node, dy, x, k):
    """Return the derivative by the k-th input by central differences of the operation alone."""
    value = np.array(x[k], float)
    step = 6e-6 * np.maximum(1.0, np.abs(value))  # eps**(1/3)

    def slope(move):
        ends = [node.run(*x[:k], (value + s)[()], *x[k + 1 :]) for s in (move, -move)]
        return np.asarray(ends[0], float) - np.asarray(ends[1], float)

    if node.each and np.broadcast_shapes(*map(np.shape, x)) == np.shape(dy):
        return _times(dy, slope(step) / (2.0 * step))
    found = np.zeros(value.shape)
    for place in np.ndindex(value.shape):
        move = np.zeros(value.shape)
        move[place] = step[place]
        found[place] = np.sum(_times(dy, slope(move) / (2.0 * step[place])))
    return found
