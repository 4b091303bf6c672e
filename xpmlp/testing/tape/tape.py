"""The tape: which node lies in which memory, and a node for each operation on traced arrays.

Views know their memory by its addresses, so what is written through one reaches the others.
"""

import functools
import inspect

import numpy as np

from .nodes import Memory, Node, root
from .rules import ARRAYS, KNOWN, MOVES, NAMES, PARTIALS
from .traced import ORIGINALS, Traced, plain, plain_array

MUTATORS = {"copyto", "put", "place", "putmask", "fill_diagonal"}
AS_MATMUL = {  # the numbers of axes with which a product is what @ is
    "dot": {(1, 1), (1, 2), (2, 1), (2, 2)},
    "inner": {(1, 1)},
    "vdot": {(1, 1)},
    "vecdot": {(1, 1)},
    "matvec": {(2, 1)},
    "vecmat": {(1, 2)},
}
REDUCED = {
    ("add", "reduce"): "sum",
    ("add", "accumulate"): "cumsum",
    ("maximum", "reduce"): "max",
    ("minimum", "reduce"): "min",
    ("multiply", "reduce"): "prod",
}


class Tape:
    """All nodes, in the order of computation, and what lies in which memory."""

    def __init__(self):
        self.nodes: list[Node] = []
        self.memories: dict[int, Memory] = {}
        self.open = True

    # -- memory ------------------------------------------------------------------------------------
    def find(self, array):
        """Return the node of a traced array, None of a constant; it holds its value."""
        node = self.current(array)
        if node is not None and node.held is None:
            node.held = _copied(array)
        return node

    def current(self, array):
        """Return the node of a traced array, None of a constant."""
        memory = self.memories.get(id(root(array)))
        if memory is None:
            return None
        last = array.last  # whose shape differs after `a.shape = ...`
        if last is None or array.seen != memory.version or last.shape != array.shape:
            array.last, array.seen = self._view(memory, array), memory.version
        return array.last

    def _view(self, memory, array):
        """Return the node of what lies where a view of the memory is."""
        if memory.is_all(array):
            return memory.node
        at = memory.positions(array)
        look = lambda whole, positions: whole.reshape(-1)[positions]
        return self.add("getitem", look, [memory.node], {"positions": at}, _copied(array))

    def memory(self, array):
        """Return the memory of an array, made where it is new."""
        whole = root(array)
        if id(whole) not in self.memories:
            self.register(whole, self.add("leaf", None, [], {}, _copied(whole)))
        return self.memories[id(whole)]

    def register(self, holder, node):
        """Keep which node lies in fresh memory."""
        self.memories[id(root(holder))] = Memory(holder, node)  # which keeps the root, so its id

    def write(self, array, node):
        """Note that a node has been written into an array, or into a view of one."""
        memory = self.memory(array)
        if not memory.is_all(array):
            at = memory.positions(array)
            node = self.add("setitem", _put, [memory.node, node], {"positions": at}, None)
        memory.node, memory.version = node, memory.version + 1

    # -- recording ---------------------------------------------------------------------------------
    def leaf(self, array, name=""):
        """Return an array or number as a traced copy."""
        value = ORIGINALS["array"](array)
        node = self.add("leaf", None, [], {}, _copied(value), name=name)
        return self._traced(value, node)

    def add(self, operation, function, inputs, options, value, *, name="", each=False):
        """Add a node and return it; inputs: flat, as they are, nodes or constants."""
        run = function and functools.partial(function, **options)
        made = (len(self.nodes), operation, tuple(inputs), value, options, name, run, each)
        self.nodes.append(Node(*made))
        return self.nodes[-1]

    def _traced(self, value, node=None):
        """Return a value as a traced array, a constant one without a node."""
        array = ORIGINALS["asarray"](value).view(Traced)
        array.tape, array.last = self, node
        if node is not None:
            memory = self.memories.get(id(root(array)))
            if memory is None:
                self.register(array.view(np.ndarray), node)
            array.seen = memory.version if memory else 0
        return array

    def source(self, x):
        """Return what an operation uses as a node, or a copy of a constant."""
        if not isinstance(x, Traced):
            return _copied(x) if isinstance(x, np.ndarray) else x
        node = self.find(x)
        return _copied(x) if node is None else node

    def call(self, operation, function, inputs, options=None, *, each=False):
        """Return function(*inputs, **options), recorded; inputs may be lists of arrays."""
        options = _map(plain, options or {})
        result = function(*_map(plain, inputs), **options)
        if not self.open:
            return result
        flat, run = _flat(function, inputs)
        sources = [self.source(x) for x in flat]
        if not any(isinstance(s, Node) for s in sources):
            return _map(self.constant, result)
        return self._record(operation, run, sources, options, result, each)

    def _record(self, operation, run, sources, options, result, each=False):
        """Return a result, or each of several, as traced arrays with nodes."""
        if isinstance(result, tuple | list):
            pick = lambda i: lambda *values, **options: run(*values, **options)[i]
            parts = [
                self._record(operation, pick(i), sources, options, part, each)
                for i, part in enumerate(result)
            ]
            return type(result)(parts) if type(result) in (tuple, list) else result
        if not _is_numeric(result):
            return result
        node = self.add(operation, run, sources, options, _copied(result), each=each)
        return self._traced(result, node)

    def constant(self, value):
        """Return an array that hangs on nothing, traced as something may be written into it."""
        return self._traced(value) if isinstance(value, np.ndarray) and self.open else value

    def mutate(self, operation, function, target, inputs, options):
        """Run function(target, *inputs, **options), which writes into the target."""
        whole, options = plain_array(target), _map(plain, options)
        flat, run = _flat(functools.partial(_on_copy, function), [target, *inputs])
        before = self.current(target) if self.open else None
        sources = [_copied(whole) if before is None else before, *map(self.source, flat[1:])]
        function(whole, *_map(plain, inputs), **options)
        if self.open and any(isinstance(s, Node) for s in sources):
            self.write(target, self.add(operation, run, sources, options, None))

    # -- what NumPy hands over ---------------------------------------------------------------------
    def ufunc(self, ufunc, method, inputs, out, kwargs):
        """Record a call of a ufunc or of one of its methods."""
        function, name = getattr(ufunc, method), ufunc.__name__
        if not self.open:
            if out:
                kwargs["out"] = tuple(map(plain_array, out))
            return function(*map(plain, inputs), **kwargs)
        inputs = self.arrays(inputs)
        if method == "at":
            return self.mutate(f"{name}.at", function, inputs[0], inputs[1:], {})
        if method == "outer":
            a, b = inputs
            return ufunc(a[(..., *[None] * np.ndim(b))], b, **kwargs)
        where = True
        if method == "__call__":
            where = kwargs.pop("where", True)
            name = _product(name, inputs)
        else:
            kwargs.setdefault("axis", 0)
            name = REDUCED.get((name, method), f"{name}.{method}")
        each = method == "__call__" and ufunc.signature is None
        with np.errstate(all=None if where is True else "ignore"):
            result = self.call(NAMES.get(name, name), function, inputs, kwargs, each=each)
        if where is not True:
            result = np.where(where, result, out[0] if out else 0)
        return self.deliver(out[0], result) if out else result

    def deliver(self, target, result):
        """Write a result into `out` and return that."""
        whole = plain_array(target)
        np.copyto(whole, plain(result), casting="same_kind")
        node = self.find(result) if isinstance(result, Traced) else None
        if node is not None or id(root(whole)) in self.memories:
            self.write(target, node or self.add("leaf", None, [], {}, _copied(whole)))
        return target if isinstance(target, Traced) else self._traced(whole)

    def function(self, func, args, kwargs, inner):
        """Record a function of NumPy's, or what it is made of; inner: run it on traced arrays."""
        name = func.__name__
        if not self.open or name.endswith("_like"):
            return self.constant(func(*_map(plain, args), **_map(plain, kwargs)))
        if name in MUTATORS:
            return self.mutate(name, func, args[0], list(args[1:]), kwargs)
        name = NAMES.get(name, name)
        if name == "einsum" and isinstance(args[0], np.ndarray):
            name = "einsum of lists"  # of axes, in the place of letters
        if name in KNOWN:
            inputs, options = _bound(func, name, args, kwargs)
            out = options.pop("out", None)
            if name == "einsum":
                subscripts, *inputs = inputs
                options["subscripts"] = subscripts
                func = _einsum
            inputs = inputs if name in MOVES else self.arrays(inputs)
            each = name in PARTIALS
            result = self.call(_product(name, inputs), func, inputs, options, each=each)
            return result if out is None else self.deliver(out, result)
        try:
            result = inner(args, kwargs)
        except Exception:  # as they may not all take a subclass: plain arrays raise what is true
            result = np.nan
        kept = isinstance(result, Traced) and self.find(result) is not None
        lost = _is_numeric(result) and np.result_type(plain(result)).kind == "f" and not kept
        whole = lambda args, kwargs: func(*args, **kwargs)
        return self.call(name, whole, [list(args), kwargs]) if lost else result

    def create(self, function, *args, **kwargs):
        """Make an array: traced, so that it can be followed what is written into it."""
        if not _holds_traced([*args, *kwargs.values()]):
            return self.constant(function(*args, **kwargs))
        if function is ORIGINALS["full"]:
            return self.call("full", function, list(args), kwargs)
        if len(args) > 1:
            kwargs = {"dtype": args[1], **kwargs}
        name = "concatenate"
        if isinstance(args[0], Traced):
            name = "copy"
            same = function(plain_array(args[0]), **kwargs)
            if root(same) is root(args[0]):
                return self._traced(same)
        return self.call(name, function, [args[0]], kwargs)

    def of_lists(self, function, *args, **kwargs):
        """Call a function of arrays, which may get lists of traced ones."""
        if any(map(_holds_traced, args)):
            args = self.arrays(args)
        return function(*args, **kwargs)

    def arrays(self, inputs):
        """Return inputs with lists as arrays."""
        array = functools.partial(self.create, ORIGINALS["array"])
        return [array(x) if type(x) in (list, tuple) else x for x in inputs]

    def of_numbers(self, function, *args):
        """Call a function of `math`."""
        if any(isinstance(a, Traced) for a in args):
            name = NAMES.get(function.__name__, function.__name__)
            return self.call(name, function, list(args), each=True)
        return function(*args)


def _map(function, tree):
    """Apply a function to what nested lists, tuples and dicts hold."""
    if type(tree) in (list, tuple):
        return type(tree)(_map(function, part) for part in tree)
    if type(tree) is dict:
        return {key: _map(function, part) for key, part in tree.items()}
    return function(tree)


def _flat(function, inputs):
    """Return nested inputs as one list, and the function of that."""
    if not any(type(x) in (list, tuple, dict) for x in inputs):
        return inputs, function
    flat: list = []
    _map(flat.append, inputs)
    form = _map(lambda x: None, inputs)

    def run(*values, **options):
        left = iter(values)
        return function(*_map(lambda _: next(left), form), **options)

    return flat, run


def _on_copy(function, target, *inputs, **options):
    """Return a copy of the target after a function that writes into it."""
    changed = ORIGINALS["array"](target)
    function(changed, *inputs, **options)
    return changed


def _holds_traced(tree):
    """Tell whether a list holds traced arrays."""
    found: list = []
    if type(tree) in (list, tuple):
        _map(found.append, tree)
    return any(isinstance(x, Traced) for x in found)


def _is_numeric(x):
    return isinstance(x, float) or (
        isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "biufcO"
    )


def _put(whole, value, positions):
    """Return a copy with values at flat positions."""
    whole = ORIGINALS["array"](whole)
    whole.reshape(-1)[positions] = value
    return whole


def _einsum(*operands, subscripts, **options):
    return np.einsum(subscripts, *operands, **options)


@functools.cache
def _signature(function):
    return inspect.signature(function)


def _bound(function, name, args, kwargs):
    """Return a call's arrays as a list, and its other arguments by their names."""
    named = dict(_signature(function).bind(*args, **kwargs).arguments)
    inputs: list = []
    for parameter in list(_signature(function).parameters.values())[: ARRAYS.get(name, 1)]:
        if parameter.kind == parameter.VAR_POSITIONAL:
            inputs.extend(named.pop(parameter.name, ()))
        elif parameter.name in named:
            inputs.append(named.pop(parameter.name))
    return inputs, named | named.pop("kwargs", {})


def _product(name, inputs):
    """Return the common name of a product: "matmul" where @ does the same."""
    if name not in AS_MATMUL:
        return name
    axes = tuple(np.ndim(x) for x in inputs)
    if 0 in axes:
        return "multiply"
    return "matmul" if axes in AS_MATMUL[name] else name


def _copied(x):
    return ORIGINALS["array"](plain_array(x))
