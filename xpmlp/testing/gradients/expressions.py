"""Expressions of NumPy that are found by trying them on numbers: the first that fits is taken.

{a} in a template is an array's name. Positions in an array tell what fits: no two are alike.
"""

import numpy as np

# What weights and biases may be of one of the user's arrays.
VIEWS = ["{a}", "{a}.T", "{a}[:, None]", "{a}[None]", "{a}[:, 1:]", "{a}[:, :-1]", "{a}[1:]"]
VIEWS += ["{a}[:-1]", "{a}[:, :1]", "{a}[:, -1:]", "{a}[:1]", "{a}[-1:]", "np.reshape({a}, (1, 1))"]
# What a layer gets, of the values before it.
INPUTS = ["{a}", "{a}.reshape(len({a}), -1)", "{a}[None]", "{a}[:, None]", "{a}.T"]
INPUTS += ["np.hstack([np.ones((len({a}), 1)), {a}])", "np.hstack([{a}, np.ones((len({a}), 1))])"]
INPUTS += ["np.vstack([np.ones((1, {a}.shape[1])), {a}])"]
INPUTS += ["np.vstack([{a}, np.ones((1, {a}.shape[1]))])"]
# The targets (n, c), of y.
TARGETS = ["{a}", "{a}.T", "{a}.reshape(-1, 1)", "{a}.reshape(1, -1)", "np.eye({c})[{a}]"]
TARGETS += ["np.eye({c})[{a}].T", "np.eye({c})[{a}.ravel()]", "np.eye({c})[{a}.ravel()].T"]
# A gradient in the shape of its array, of the matrices of the layers that it holds.
FORMS = ["{a}", "{a}.T", "{a}.ravel()", "{a}.T.ravel()", "{a}[0, 0]"]
JOINED = [
    f"np.{side}([{order}])" for side in ("hstack", "vstack") for order in ("{a}, {b}", "{b}, {a}")
]
# The gradient of biases, of the error at their layer.
SUMS = ["np.sum({a}, axis={axis})", "np.sum({a}, axis={axis}, keepdims=True)", "np.sum({a})"]
SUMS += ["np.sum({a}, axis={axis})[:, None]", "np.sum({a}, axis={axis})[None]"]
SUMS += ["np.sum({a}).reshape(1)"]


class NoExpression(Exception):
    """Some part of a network has no expression here."""


def equals(wanted):
    """Return the test whether a value is the wanted array."""
    return lambda value: np.shape(value) == wanted.shape and np.array_equal(value, wanted)


def adds(wanted):
    """Return the test whether a value broadcasts to the wanted array."""
    return lambda value: np.array_equal(np.broadcast_to(value, wanted.shape), wanted)


def fitting(templates, fits, names, **values):
    """Write the first template whose value fits, with these names for the values."""
    for template in templates:
        try:
            if fits(eval(template.format(**{k: k for k in values}), {"np": np}, values)):
                return template.format(**names)
        except Exception:  # not every template is for every shape
            continue
    raise NoExpression


def product(left, right, turn):
    """Write a product, or its transpose, of factors (text, whether to transpose)."""
    if turn:
        left, right = transposed(right), transposed(left)
    return " @ ".join(text + ".T" * turned for text, turned in (left, right))


def transposed(factor):
    """Return the transpose of a factor."""
    text, turned = factor
    return text, not turned


def number(c):
    """Write a number with as few digits as it needs."""
    texts = (f"{c:.{digits}g}" for digits in range(1, 18))
    return next(text for text in texts if abs(float(text) - c) <= 1e-8 * abs(c))


def numbered(shape):
    """Return an array with the flat index of each of its places."""
    return np.arange(np.prod(shape, dtype=int)).reshape(shape)


def piece(positions):
    """Write positions as a piece of an unrolled vector."""
    return f"{{a}}[{positions.min()}:{positions.max() + 1}].reshape{positions.shape}"


def joined(shape, parts):
    """Write an array as what its parts [(name, positions)] make: their sum, or side by side."""
    whole = equals(numbered(shape))
    if all(a.size == np.prod(shape) for _, a in parts):  # shared by layers
        forms = (*FORMS, f"{{a}}.reshape{shape}")
        return " + ".join(fitting(forms, whole, {"a": name}, a=a) for name, a in parts)
    if len(shape) == 1:
        parts = sorted(parts, key=lambda part: part[1].min())
        rows = [fitting(FORMS, equals(np.sort(a, axis=None)), {"a": n}, a=a) for n, a in parts]
        return f"np.concatenate([{', '.join(rows)}])"
    (a_name, a), (b_name, b) = parts[0], parts[-1]
    return fitting(JOINED, whole, {"a": a_name, "b": b_name}, a=a, b=b)


def access(name, path):
    """Write how the part at a path is taken out of dicts and lists."""
    return name + "".join(f"[{_literal(key)}]" for key in path)


def in_form(tree, texts, path=()):
    """Write nested dicts, lists and tuples with texts, by path, in the place of arrays."""
    if isinstance(tree, dict):
        parts = {key: in_form(part, texts, (*path, key)) for key, part in tree.items()}
        pairs = [f"{_literal(key)}: {text}" for key, text in parts.items() if text != "None"]
        return f"{{{', '.join(pairs)}}}"
    if isinstance(tree, list | tuple):
        inside = ", ".join(in_form(part, texts, (*path, i)) for i, part in enumerate(tree))
        if isinstance(tree, list):
            return f"[{inside}]"
        return f"({inside}{',' * (len(tree) == 1)})"
    return texts.get(path, "None")


def _literal(key):
    return f'"{key}"' if isinstance(key, str) else repr(key)
