"""What the asker's names stood for at a moment, and the value there of expressions in them."""

import ast
import builtins
import contextlib
import io
import itertools
import math
import types
import warnings

import numpy as np

from ...arrays import is_array
from ..own_code.trees import host_array

PLAIN = """abs all any bool dict enumerate float int isinstance len list max min pow print range
reversed round set sorted str sum tuple zip""".split()
DRAWS = set(
    """binomial choice integers normal permutation rand randint randn random shuffle
standard_normal uniform""".split()
)  # to call them moves a stream on
OF_ARRAYS = set(dir(np.ndarray)) | {"items", "keys", "values", "get"}
VALUE = "the value"  # no name that code could have
LARGE = 10**6  # numbers: arrays above it are kept by reference, not copied
IN_ALL = 10**7  # numbers to copy in all: 80 MB
LONG = 64  # entries: a longer list holds data, not layers
DEEP = 4  # levels of lists, dicts and objects in one another


class Copies:
    """Copies of values, one for each state that an array was in. They cannot be written into."""

    def __init__(self):
        self.known: dict = {}  # by id: an array (which keeps its id from being used again), a copy
        self.left = IN_ALL

    def of(self, value, depth=DEEP):
        """Return a value as it is now; what is too large or too deep, as it is."""
        if isinstance(value, np.ndarray) and not value.dtype.hasobject:
            return self._array(value)
        if depth == 0:
            return value
        if isinstance(value, dict) and len(value) <= LONG:
            return {key: self.of(part, depth - 1) for key, part in value.items()}
        if type(value) in (list, tuple) and len(value) <= LONG:
            return type(value)(self.of(part, depth - 1) for part in value)
        if isinstance(value, np.ndarray) and is_list(value):
            other = value.copy()
            other[:] = [self.of(part, depth - 1) for part in value]
            return other
        state = attributes(value)
        try:
            other = object.__new__(type(value)) if state else value
        except TypeError:  # made in C
            return value
        if state:
            vars(other).update({name: self.of(part, depth - 1) for name, part in state.items()})
        return other

    def _array(self, a):
        if a.size > LARGE:
            return a
        held, copy = self.known.get(id(a), (None, None))
        if held is a and copy.shape == a.shape and copy.tobytes() == a.tobytes():
            return copy
        if a.size > self.left:
            return a
        self.left -= a.size
        copy = a.copy()
        copy.flags.writeable = False
        self.known[id(a)] = a, copy
        return copy


def is_list(value):
    """Whether it is a list, a tuple or a vector of objects, and short enough for layers."""
    listed = isinstance(value, np.ndarray) and value.dtype.hasobject and value.ndim == 1
    return (listed or isinstance(value, list | tuple)) and len(value) <= LONG


def attributes(value):
    """Return the attributes of an object, {} of arrays, functions, modules and classes."""
    state = getattr(value, "__dict__", {})
    other = not state or isinstance(value, type | types.ModuleType | types.FunctionType)
    return {} if other or is_array(value) else state


def evaluate(expression, scope):
    """Return the value of an expression in a scope; None if it has none or could change anything.

    expression: text or tree; scope: a dict, names to values.
    """
    node = expression
    if isinstance(node, str) and node.isidentifier():
        return scope.get(node)
    try:
        if isinstance(node, str):
            node = ast.parse(node.strip(), mode="eval").body
        if not _harmless(node, scope):
            return None
        code = compile(ast.Expression(node), "<expression>", "eval")
        with (
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
            np.errstate(all="ignore"),
        ):
            warnings.simplefilter("ignore")
            return eval(code, dict(scope))
    except Exception:  # shapes that do not fit, names not there yet: it has no value at this moment
        return None


def _harmless(node, scope):
    """Whether an expression, once evaluated, leaves everything as it was."""
    for part in ast.walk(node):
        if isinstance(part, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom):
            return False
        if isinstance(part, ast.Call) and not _harmless_call(part, scope):
            return False
    return True


def _harmless_call(node, scope):
    if any(keyword.arg == "out" for keyword in node.keywords):
        return False
    base = node.func
    while isinstance(base, ast.Attribute | ast.Subscript):
        base = base.value
    if isinstance(base, ast.Name):
        path = compile(ast.Expression(node.func), "<callee>", "eval")
        return _pure(eval(path, dict(scope)), set())
    return isinstance(node.func, ast.Attribute) and node.func.attr in OF_ARRAYS - DRAWS


def _pure(function, seen):
    """Whether a function, when called, draws nothing and writes into nothing but its arguments."""
    if isinstance(function, types.MethodType):
        return _pure(function.__func__, seen)
    if isinstance(function, types.FunctionType) and not _of_arrays(function.__module__):
        return function in seen or _keeps(function, {*seen, function})
    if any(function is getattr(builtins, name) for name in PLAIN):
        return True
    name, owner = getattr(function, "__name__", ""), getattr(function, "__self__", None)
    if owner is not None and not isinstance(owner, types.ModuleType):  # a built-in's method
        return name in OF_ARRAYS - DRAWS and isinstance(owner, np.ndarray | np.generic | dict)
    return isinstance(function, np.ufunc) or _of_arrays(getattr(function, "__module__", None))


def _of_arrays(module):
    """Whether functions of a module, by its name, compute: those of array libraries do."""
    return (module or "").partition(".")[0] in ("numpy", "scipy", "math", "jax", "torch", "cupy")


def _keeps(function, seen):
    """Whether a Python function reads nothing outside that can be changed, and calls no other."""
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    codes = [function.__code__]
    for code in codes:
        codes += [inner for inner in code.co_consts if isinstance(inner, types.CodeType)]
        if DRAWS & {*code.co_names}:
            return False
        space = {**vars(builtins), **function.__globals__}
        cells += [space[name] for name in code.co_names if name in space]
    return all(_constant(value, seen) for value in cells)


def _constant(value, seen):
    """Whether it is a number, a text, a library of arrays or a function that changes nothing."""
    if isinstance(value, types.ModuleType):
        return hasattr(value, "matmul") or value is math or value.__name__.startswith("scipy")
    return value is None or isinstance(value, int | float | str) or _pure(value, seen)


def expressions(node, scope):
    """Yield each expression in a node with the scope in which it stands: comprehensions have own.

    What stands in a lambda has its own moment.
    """
    if isinstance(node, ast.expr):
        yield node, scope
    if isinstance(node, ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp):
        parts = [getattr(node, name, None) for name in ("elt", "key", "value")]
        for inner in _passes(node.generators, scope):
            for part in filter(None, parts):
                yield from expressions(part, inner)
    elif not isinstance(node, ast.Lambda):
        for child in ast.iter_child_nodes(node):
            yield from expressions(child, scope)


def _passes(generators, scope):
    """Yield the scope in each pass of a comprehension."""
    if not generators:
        yield scope
        return
    first, *rest = generators
    found = evaluate(first.iter, scope)
    for value in itertools.islice(() if found is None else found, LONG):
        inner = {**scope, VALUE: value}
        target = ast.Module([ast.Assign([first.target], ast.Name(VALUE, ast.Load()))], [])
        exec(compile(ast.fix_missing_locations(target), "<target>", "exec"), inner)
        if all(evaluate(test, inner) for test in first.ifs):
            yield from _passes(rest, inner)


def numbers(value):
    """Return a value as a host array of floats, None where it is no number or array of numbers."""
    if not isinstance(value, np.ndarray | np.number | int | float):
        if not is_list(value) and not is_array(value):
            return None
        try:
            if is_list(value):  # perhaps of arrays on a device
                value = [host_array(part) if is_array(part) else part for part in value]
            value = host_array(value)
        except ValueError:  # a ragged list
            return None
    value = np.asarray(value)
    if value.dtype.kind not in "fiubc" or value.size == 0:
        return None
    return value if value.dtype.kind in "fc" else value.astype(float)


def same(a, b, tolerance=1e-7):
    """Whether arrays are equal up to a transposition, a reshape to or from a vector, rounding."""
    if a.size != b.size:
        return False
    a, b = np.squeeze(a), np.squeeze(b)
    if a.ndim != b.ndim:
        a, b = a.ravel(), b.ravel()
    bound = tolerance * max(np.max(np.abs(b)), np.finfo(float).tiny)
    return any(x.shape == b.shape and np.max(np.abs(x - b)) <= bound for x in (a, a.T))
