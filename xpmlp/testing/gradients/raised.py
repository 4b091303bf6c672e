"""A backward that raises: the failing line, its shapes, the product that it stands for."""

import ast
import linecache
import os
import textwrap
import traceback

import numpy as np

from .identify import identify
from .verdicts import proportional

OURS = os.path.dirname(os.path.dirname(__file__))
PRODUCTS = ("dot", "matmul", "multiply", "outer")


def explain_traceback(code, structures, error):
    """Return (layer, sentence) for an error that the user's backward raised."""
    message = str(error).partition("\n")[0]
    frame, lineno = _users_frame(error)
    if frame is None:
        return None, f"backward raised {type(error).__name__}: {message}"
    where = f"line {lineno} of {os.path.basename(frame.f_code.co_filename)}"
    source, tree = _statement(frame, lineno)
    said = f"backward raised {type(error).__name__} in {where}"
    said += f", `{source}`: " if source else ": "
    failing = _failing(tree, frame) if tree is not None else None
    if failing is None:
        return None, said + message
    (left, a), (right, b), symbol = failing
    what = {
        "@": "a matrix product",
        "*": "an elementwise product",
        "+": "a sum",
        "-": "a difference",
    }[symbol]
    said += f"{left} is {np.shape(a)}, {right} is {np.shape(b)}, which do not fit in {what}."
    network = identify(code, structures) if symbol in "@*" else None
    if network is None:
        return None, said
    return _stands_for(network, a, b, symbol, said)


def _users_frame(error):
    """Return the deepest frame outside libraries and its line."""
    found: tuple = (None, 0)
    for frame, lineno in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if (
            not name.startswith(OURS)
            and "site-packages" not in name
            and "dist-packages" not in name
        ):
            found = frame, lineno
    return found


def _statement(frame, lineno):
    """Return the statement at a line as text and as a tree; a statement may have several lines."""
    name, source = frame.f_code.co_filename, ""
    for more in range(8):
        source += linecache.getline(name, lineno + more, frame.f_globals)
        text = textwrap.dedent(source).strip()
        try:
            tree = ast.parse(f"def f():\n{textwrap.indent(text, ' ')}")
            return " ".join(text.split()), tree.body[0]
        except SyntaxError:
            continue
    return " ".join(linecache.getline(name, lineno).split()), None


def _failing(tree, frame):
    """Return the innermost product whose operands do not fit: ((text, value) twice, symbol)."""
    for node in sorted(ast.walk(tree), key=_depth):
        parts = _operands(node)
        if parts is None:
            continue
        left, right, symbol = parts
        try:
            a, b = (np.asarray(_value(part, frame)) for part in (left, right))
        except Exception:  # an operand that itself fails is a product further in
            continue
        try:
            a @ b if symbol == "@" else a * b
        except ValueError:
            return (ast.unparse(left), a), (ast.unparse(right), b), symbol
    return None


def _depth(node):
    return sum(1 for _ in ast.walk(node))  # small ones are inside


def _operands(node):
    if isinstance(node, ast.BinOp):
        symbol = {ast.MatMult: "@", ast.Mult: "*", ast.Sub: "-", ast.Add: "+"}.get(type(node.op))
        return (node.left, node.right, symbol) if symbol else None
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        symbol = "*" if node.func.attr == "multiply" else "@"
        if node.func.attr in PRODUCTS and len(node.args) == 2:
            return *node.args, symbol
        if node.func.attr == "dot" and len(node.args) == 1:
            return node.func.value, node.args[0], symbol
    return None


def _value(node, frame):
    made = compile(ast.Expression(node), "<operand>", "eval")
    return eval(made, frame.f_globals, frame.f_locals)


def _stands_for(network, a, b, symbol, said):
    """Say which product of backprop the operands belong to."""
    notation, L = network.notation, len(network.W)
    values = network.here()
    kinds = [_recognise(values, operand) for operand in (a, b)]
    weights = [k for role, k in kinds if role == "W"]
    errors = [k for role, k in kinds if role == "dZ"]
    inputs = [k for role, k in kinds if role == "A"]
    if weights and weights[0] > 1:
        k = weights[0] - 1
        said += f" It stands for the error sent back to layer {k}: {notation.sent_back(k)}"
        reversed_ = kinds[0][0] == "W"
        if reversed_ != notation.s.columns:
            form = "columns" if reversed_ else "rows"
            here = "rows" if reversed_ else "columns"
            said += f"; the code has the form for samples in {form}, yours stand in {here}"
        return k, said + "."
    if errors and errors[0] > 1 and symbol == "*":
        k = errors[0] - 1
        text = f" It stands for the error sent back to layer {k}: {notation.sent_back(k)}."
        return k, said + text
    if inputs or errors:
        k = inputs[0] + 1 if inputs and inputs[0] < L else (errors or [L])[0]
        if k <= L:
            return (
                k,
                said + f" It stands for the weight gradient of layer {k}: {notation.product(k)}.",
            )
    return None, said


def _recognise(values, operand):
    """Return (role, layer) of an operand: "W", "A" (0 is X), "dZ" or ""."""
    for role, k, value in values:
        for turned in (operand, operand.T):
            if turned.shape == value.shape and proportional(turned.ravel(), value.ravel(), 1e-6):
                return role, k
    return "", 0
