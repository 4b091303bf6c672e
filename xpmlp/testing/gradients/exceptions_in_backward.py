"""A backward that raises: the failing line, its shapes, the product that it stands for."""

import ast
import linecache
import os
import textwrap
import traceback

import numpy as np

from .candidates import our_errors
from .network import ORIENTATIONS
from .recognise import recognise
from .verdicts import proportional

OURS = os.path.dirname(os.path.dirname(__file__))
PRODUCTS = {"dot": "@", "matmul": "@", "outer": "@", "multiply": "*"}
SYMBOLS = {ast.MatMult: "@", ast.Mult: "*", ast.Sub: "-", ast.Add: "+"}
NAMES = {"@": "a matrix product", "*": "an elementwise product", "+": "a sum", "-": "a difference"}


def explain_traceback(code, structures, error):
    """Return (layer, sentence) for an error that the user's backward raised."""
    message = str(error).partition("\n")[0]
    frame, lineno = _users_frame(error)
    if frame is None:
        return None, f"backward raised {type(error).__name__}: {message}"
    said = f"backward raised {type(error).__name__} in line {lineno} of "
    said += os.path.basename(frame.f_code.co_filename)
    source, failing = _failing(frame, lineno)
    if source:
        said += f", `{source}`"
    if failing is None:
        return None, f"{said}: {message}"
    (left, a), (right, b), symbol = failing
    shapes = f"{left} is {np.shape(a)}, {right} is {np.shape(b)}"
    said += f": {shapes}, which do not fit in {NAMES[symbol]}."
    network = symbol in "@*" and recognise(code, structures)
    operands = network and _operands_at(network)
    if not operands:
        return None, said
    a, b = operands
    layer, belongs = _belongs_to(network, a, b, symbol)
    return layer, said + belongs


def _operands_at(network):
    """Return the operands that do not fit at the network's first point."""
    try:
        network.code.backward_of(network.arrays[0], network.data)
    except Exception as error:  # as at the user's own parameters
        _, failing = _failing(*_users_frame(error))
        if failing is not None:
            (_, a), (_, b), _ = failing
            return a, b
    return None


def _users_frame(error):
    """Return the deepest frame outside libraries and its line."""
    found: tuple = (None, 0)
    for frame, lineno in traceback.walk_tb(error.__traceback__):
        name = frame.f_code.co_filename
        if not (name.startswith(OURS) or "site-packages" in name or "dist-packages" in name):
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


def _failing(frame, lineno):
    """Return a statement's text, and the innermost product in it whose operands do not fit.

    The product is ((text, value) twice, symbol), None where there is none.
    """
    source, tree = _statement(frame, lineno)
    return source, tree and _misfit(tree, frame)


def _misfit(tree, frame):
    nodes = sorted(ast.walk(tree), key=lambda node: sum(1 for _ in ast.walk(node)))  # inner first
    for left, right, symbol in filter(None, map(_operands, nodes)):
        try:
            a, b = (np.asarray(_value(part, frame)) for part in (left, right))
        except Exception:  # an operand that itself fails is a product further in
            continue
        try:
            if symbol == "@":
                np.matmul(a, b)
            else:
                np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            return (ast.unparse(left), a), (ast.unparse(right), b), symbol
    return None


def _operands(node):
    """Return (left, right, symbol) of a product, sum or difference, or None."""
    if isinstance(node, ast.BinOp) and type(node.op) in SYMBOLS:
        return node.left, node.right, SYMBOLS[type(node.op)]
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
        return None
    name = node.func.attr
    if name == "dot" and len(node.args) == 1:
        return node.func.value, node.args[0], "@"
    if name in PRODUCTS and len(node.args) == 2:
        return *node.args, PRODUCTS[name]
    return None


def _value(node, frame):
    made = compile(ast.Expression(node), "<operand>", "eval")
    return eval(made, frame.f_globals, frame.f_locals)


def _belongs_to(network, a, b, symbol):
    """Return (layer, sentence): to which product of backprop the operands belong."""
    notation, L, values = network.notation, len(network.W), _values(network)
    operands = [_recognise(values, operand) for operand in (a, b)]
    layers = {wanted: [k for role, k in operands if role == wanted] for wanted in ("W", "dZ", "A")}
    weights, errors, inputs = layers.values()
    if weights and weights[0] > 1:
        k = weights[0] - 1
        text = _sent_back(notation, k)
        if (operands[0][0] == "W") != network.columns:
            form, here = (ORIENTATIONS[c] for c in (not network.columns, network.columns))
            text += f"; the code has the form for samples in {form}, yours stand in {here}"
        return k, text + "."
    if errors and errors[0] > 1 and symbol == "*":
        k = errors[0] - 1
        return k, _sent_back(notation, k) + "."
    if not inputs and not errors:
        return None, ""
    k, *_ = [*(k + 1 for k in inputs[:1] if k < L), *errors, L]
    return k, f" It stands for the weight gradient of layer {k}: {notation.product(k)}."


def _values(network):
    """Return [(role, layer, value)] at the network's first point."""
    L = len(network.W)
    found = [("W", k, W) for k, W in enumerate(network.W, 1)]
    found += [("A", k, a) for k, a in enumerate(network.a)]
    found.append(("dZ", L, network.a[-1] - network.y))
    found += [("dZ", k, dZ) for k, dZ in our_errors(network).items()]
    return [(role, k, value[0]) for role, k, value in found]


def _sent_back(notation, k):
    return f" It stands for the error sent back to layer {k}: {notation.sent_back(k)}"


def _recognise(values, operand):
    """Return (role, layer) of an operand: "W", "A" (0 is X), "dZ" or ""."""
    for role, k, value in values:
        for turned in (operand, operand.T):
            if turned.shape == value.shape and proportional(turned.ravel(), value.ravel(), 1e-6):
                return role, k
    return "", 0
