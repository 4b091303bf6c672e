"""Activations and links as NumPy writes them, for texts that are read and pasted.

{z}: what goes in, {a}: what comes out. They run as they stand, beside ``np`` and ``scipy.special``.
"""

import ast
import re
from typing import NamedTuple


class Formula(NamedTuple):
    """An activation's value, and its derivative with respect to z, as expressions of NumPy."""

    value: str
    slope: str


_CDF = "(1 + scipy.special.erf({z} / np.sqrt(2))) / 2"
_GELU_TANH = "np.tanh(np.sqrt(2 / np.pi) * ({z} + 0.044715 * {z}**3))"
_MISH = "np.tanh(np.logaddexp(0, {z}))"
_LOGISTIC = "1 / (1 + np.exp(-{z}))"
FORMULAS = {
    "identity": Formula("{z}", "1"),
    "logistic": Formula(_LOGISTIC, "{a} * (1 - {a})"),
    "tanh": Formula("np.tanh({z})", "1 - {a}**2"),
    "relu": Formula("np.maximum({z}, 0)", "{z} > 0"),
    "leaky_relu": Formula("np.maximum({z}, 0.01 * {z})", "np.where({z} > 0, 1, 0.01)"),
    "elu": Formula(
        "np.where({z} > 0, {z}, np.expm1(np.minimum({z}, 0)))", "np.where({z} > 0, 1, {a} + 1)"
    ),
    "selu": Formula(
        "np.where({z} > 0, 1.0507009873554805 * {z}, "
        "1.7580993408473766 * np.expm1(np.minimum({z}, 0)))",
        "np.where({z} > 0, 1.0507009873554805, {a} + 1.7580993408473766)",
    ),
    "gelu": Formula("{z} * " + _CDF, _CDF + " + {z} * np.exp(-({z}**2) / 2) / np.sqrt(2 * np.pi)"),
    "gelu_tanh": Formula(
        "{z} * (1 + " + _GELU_TANH + ") / 2",
        "(1 + " + _GELU_TANH + ") / 2 + {z} * (1 - " + _GELU_TANH + "**2) / 2"
        " * np.sqrt(2 / np.pi) * (1 + 0.134145 * {z}**2)",
    ),
    "silu": Formula("{z} / (1 + np.exp(-{z}))", "{a} + (1 - {a}) / (1 + np.exp(-{z}))"),
    "mish": Formula(
        "{z} * " + _MISH, _MISH + " + {z} * (1 - " + _MISH + "**2) / (1 + np.exp(-{z}))"
    ),
    "softplus": Formula("np.logaddexp(0, {z})", _LOGISTIC),
    "softsign": Formula("{z} / (1 + np.abs({z}))", "1 / (1 + np.abs({z}))**2"),
    "hard_tanh": Formula("np.clip({z}, -1, 1)", "np.abs({z}) < 1"),
}


def as_factor(expression: str) -> str:
    """Return an expression, or a template, with parentheses where it needs them in a product.

    Examples
    --------
    >>> [as_factor(text) for text in ("A * (1 - A)", "1 - A**2", "Z > 0")]
    ['A * (1 - A)', '(1 - A**2)', '(Z > 0)']
    """
    names = re.sub(r"\{(\w+)\}", r"\1", expression)  # a template is parsed as what it will be
    node = ast.parse(names, mode="eval").body
    added = isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub)
    if added or isinstance(node, ast.Compare):
        return f"({expression})"
    return expression
