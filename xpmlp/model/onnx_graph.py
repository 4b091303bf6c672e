"""ONNX: what array code computes, written as a graph that other runtimes run.

A `Traced` stands where an array stands: operators, Array API functions and NumPy's own note a
node each. So layers, links and statistics are exported by running them, not by a second text.

The package ndonnx 0.23 does the like. Tried, it is as exact but for gelu, as it has no erf; it does
not dispatch NumPy's functions, which the encoder calls, and writes opset 21 in place of 13. A net
4-8-8-3 takes 108 kB (gelu: 169 kB, 1129 nodes) in place of 1.4 kB (1.6 kB, 25 nodes).
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from .. import __version__

IR_VERSION, OPSET, ML_OPSET = 10, 13, 2  # onnx's own defaults are newer than runtimes read
LARGEST = 2**31 - 2**24  # bytes of arrays, as protobuf ends at 2 GB; the rest is for the nodes
ENDLESS = 2**63 - 1


def onnx_package() -> Any:
    """Return the package onnx, or say how to install it."""
    try:
        import onnx
    except ImportError as error:
        raise ImportError(
            "ONNX files are written by onnx, which is not installed: pip install 'xpmlp[onnx]'."
        ) from error
    return onnx


class Graph:
    """A graph in the making: inputs, which come first, nodes, constants, outputs.

    Examples
    --------
    >>> graph = Graph()
    >>> x = graph.input("x", "float32", 2)
    >>> graph.output("y", np.exp(x) @ np.ones((2, 1), np.float32))
    >>> [node.op_type for node in graph.nodes]
    ['Exp', 'MatMul', 'Identity']
    """

    def __init__(self):
        self.onnx = onnx_package()
        self.nodes: list = []
        self.inputs: list = []
        self.outputs: list = []
        self.constants: list = []
        self._known: dict = {}
        self._taken: set[str] = set()

    def input(self, name: str, dtype: str, width: int, doc: str = "") -> "Traced":
        """Return an input (N, width); dtype "object" is text."""
        value = np.zeros((1, width), dtype)
        self.inputs.append(self._info(name, value, doc))
        self._taken.add(name)
        return Traced(self, name, value)

    def output(self, name: str, x: "Traced") -> None:
        """Call x an output; one that is called like an input becomes ``output_...``."""
        if name in self._taken:
            name = f"output_{name}"
        self._taken.add(name)
        self.nodes.append(self.onnx.helper.make_node("Identity", [x.name], [name]))
        self.outputs.append(self._info(name, x.value))

    def node(self, op: str, inputs: list[str], made: Any, domain: str = "", **attributes):
        """Add a node, whose first output is what was `made` on the sample row."""
        names = [self._free(letter, len(self.nodes)) for letter in {"TopK": "ni"}.get(op, "n")]
        node = self.onnx.helper.make_node(op, inputs, names, domain=domain, **attributes)
        self.nodes.append(node)
        return Traced(self, names[0], np.asarray(made))

    def constant(self, a: Any) -> str:
        """Return the name of an array that never changes."""
        a = np.asarray(a)
        key: Any = id(a)
        if a.size < 16 and a.dtype != object:
            key = a.dtype.str, a.shape, a.tobytes()
        if key not in self._known:
            name = self._free("c", len(self.constants))
            # The array is kept too: another one at its address would pass for it.
            self._known[key] = name, a
            self.constants.append((name, a))
        return self._known[key][0]

    def slots(self, x: "Traced", texts: tuple[str, ...]) -> "Traced":
        """Return the place of each text, from 1; 0 for other texts."""
        if not texts:
            return _like(0)(x, np.int64)
        places = {"keys_strings": texts, "values_int64s": range(1, len(texts) + 1)}
        made = np.zeros_like(x.value, np.int64)
        return self.node("LabelEncoder", [x.name], made, "ai.onnx.ml", default_int64=0, **places)

    def model(self, name: str, doc: str, metadata: Mapping[str, Any]) -> Any:
        """Return the model, checked by onnx.

        Raises
        ------
        ValueError
            When it is 2 GB or larger, which is more than a file without others can hold.
        """
        size = sum(a.nbytes for _, a in self.constants)
        if size > LARGEST:
            raise ValueError(
                f"the arrays take {size / 1e9:.1f} GB, and an ONNX file holds less than 2 GB: "
                "make the layers smaller."
            )
        helper = self.onnx.helper
        arrays = [self.onnx.numpy_helper.from_array(a, name) for name, a in self.constants]
        graph = helper.make_graph(self.nodes, name, self.inputs, self.outputs, arrays)
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain for node in self.nodes):
            opsets.append(helper.make_opsetid("ai.onnx.ml", ML_OPSET))
        about = {"producer_name": "xpmlp", "producer_version": __version__, "doc_string": doc}
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, **about)
        helper.set_model_props(model, {k: json.dumps(v) for k, v in metadata.items()})
        self.onnx.checker.check_model(model, full_check=True)
        return model

    def _free(self, letter, n):
        while f"{letter}{n}" in self._taken:
            letter += "_"
        return f"{letter}{n}"

    def _info(self, name, value, doc=""):
        kind = self.onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
        shape = ["N", *value.shape[1:]]
        return self.onnx.helper.make_tensor_value_info(name, kind, shape, doc)


class Traced(NDArrayOperatorsMixin):
    """An array of a graph, of any number of rows; `value` is what it is for one row.

    Examples
    --------
    >>> x = Graph().input("x", "float32", 3)
    >>> x.shape, (x > 0).dtype, np.concatenate([x, 2.0 * x], axis=-1).shape
    ((None, 3), dtype('bool'), (None, 6))
    """

    device = "cpu"

    def __init__(self, graph: Graph, name: str, value: np.ndarray):
        self.graph, self.name, self.value = graph, name, value

    @property
    def shape(self) -> tuple:
        """The shape, with None for the number of rows."""
        return (None, *self.value.shape[1:])

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.value.ndim

    @property
    def dtype(self) -> np.dtype:
        """The type of the numbers."""
        return self.value.dtype

    def __array_namespace__(self, api_version=None):
        return FUNCTIONS

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        kwargs.pop("out", None)  # what is given back is bound in its place
        return _form(f"{ufunc.__name__}.{method}".removesuffix(".__call__"))(*inputs, **kwargs)

    def __array_function__(self, func, types, args, kwargs):
        return _form(func.__name__)(*args, **kwargs)

    def __array__(self, *args, **kwargs):
        raise TypeError("it reads the numbers in its input, which a graph has none of")

    def __bool__(self):
        raise TypeError("it decides by the numbers in its input: xp.where is a form of that")

    def __getitem__(self, key):
        """Index by whole numbers, slices without steps, None and ``...``."""
        keys = key
        if not isinstance(key, tuple):
            keys = (key,)
        kinds = int | slice | type(None) | type(...)
        if not all(isinstance(k, kinds) and not getattr(k, "step", None) for k in keys):
            raise TypeError(f"it takes [{key}]: whole numbers and slices without steps have a form")
        at = (*keys, ...).index(...)
        left = self.ndim - sum(k is not None and k is not ... for k in keys)
        keys = (*keys[:at], *[slice(None)] * left, *keys[at + 1 :])
        old = [k for k in keys if k is not None]  # one an axis
        gone = [axis for axis, k in enumerate(old) if isinstance(k, int)]
        bounds = [_bounds(k) for k in old]
        made, cuts = self, [axis for axis, ends in enumerate(bounds) if ends != (0, ENDLESS)]
        if cuts:
            starts, stops = zip(*(bounds[axis] for axis in cuts))
            names = [self.graph.constant(part) for part in (starts, stops, cuts)]
            value = self.value[tuple(slice(*ends) for ends in bounds)]
            made = self.graph.node("Slice", [self.name, *names], value)
        if gone:
            made = _moved("Squeeze", made, gone, np.squeeze(made.value, tuple(gone)))
        new = [i for i, k in enumerate(k for k in keys if not isinstance(k, int)) if k is None]
        if new:
            made = _moved("Unsqueeze", made, new, np.expand_dims(made.value, new))
        return made


def _bounds(key: int | slice) -> tuple[int, int]:
    """Return where a whole number or a slice begins and ends along an axis."""
    if isinstance(key, int):
        return key, key + 1 or ENDLESS
    if key.stop is None:
        return key.start or 0, ENDLESS
    return key.start or 0, key.stop


def _moved(op, x, axes, value):
    return x.graph.node(op, [x.name, x.graph.constant(axes)], value)


def _graph_of(args) -> Graph:
    return next(a.graph for a in args if isinstance(a, Traced))


def _cast(graph, a, dtype) -> str:
    """Return the name of an operand in a dtype."""
    if not isinstance(a, Traced):
        return graph.constant(np.asarray(a, dtype))
    if a.dtype == dtype:
        return a.name
    kind = graph.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    return graph.node("Cast", [a.name], a.value.astype(dtype), to=kind).name


def _value(a):
    return getattr(a, "value", a)


def _elementwise(name: str, op: str) -> Callable:
    """Return the form of a function of NumPy that is an operator of ONNX."""

    def form(*args):
        graph, values = _graph_of(args), [_value(a) for a in args]
        with np.errstate(all="ignore"):
            made = np.asarray(getattr(np, name)(*values))
        dtype = made.dtype
        if made.dtype.kind == "b":  # of a comparison; its operands have another
            dtype = np.result_type(*values)
        return graph.node(op, [_cast(graph, a, dtype) for a in args], made)

    return form


def _reduction(name: str, op: str) -> Callable:
    def form(x, *, axis=None, keepdims=False):
        axes = [*range(x.ndim)]
        if axis is not None:
            axes = np.ravel(axis).tolist()
        made = getattr(np, name)(x.value, axis=tuple(axes), keepdims=keepdims)
        if op == "ReduceSum":  # in this opset the only one with axes as an input
            inputs, own = [x.name, x.graph.constant(axes)], {}
        else:
            inputs, own = [x.name], {"axes": axes}
        return x.graph.node(op, inputs, made, keepdims=int(keepdims), **own)

    return form


def _astype(x, dtype, *, copy=True):
    return Traced(x.graph, _cast(x.graph, x, dtype), x.value.astype(dtype))


def _where(condition, a, b):
    args = condition, a, b
    graph, made = _graph_of(args), np.where(*map(_value, args))
    names = [_cast(graph, c, dtype) for c, dtype in zip(args, (bool, made.dtype, made.dtype))]
    return graph.node("Where", names, made)


def _maximum(a, b):
    if isinstance(a, Traced) and isinstance(b, float | int) and b == 0:
        return a.graph.node("Relu", [a.name], np.maximum(a.value, b))
    return _elementwise("maximum", "Max")(a, b)


def _log1p(x):
    u = 1.0 + x  # what rounding took from 1 + x is given back
    return np.log(u) + (x - (u - 1.0)) / u


def _expm1(x):
    return np.tanh(0.5 * x) * (np.exp(x) + 1.0)  # nothing cancels


def _erf(x):
    name = _cast(x.graph, x, np.float32)  # runtimes have no other
    return _astype(x.graph.node("Erf", [name], x.value.astype(np.float32)), x.dtype)


def _concatenate(arrays, axis=0):
    arrays = [a for a in arrays if _value(a).shape[axis]]
    graph, made = _graph_of(arrays), np.concatenate([_value(a) for a in arrays], axis=axis)
    return graph.node("Concat", [_cast(graph, a, made.dtype) for a in arrays], made, axis=axis)


def _stack(arrays, axis=0):
    whole = (slice(None),) * (axis % (_value(arrays[0]).ndim + 1)) + (None,)
    return _concatenate([a[whole] for a in arrays], axis=axis)


def _reshape(x, shape):
    sizes, one_row = ([{None: rows}.get(n, n) for n in shape] for rows in (-1, 1))
    made = np.reshape(x.value, one_row)
    return x.graph.node("Reshape", [x.name, x.graph.constant(sizes)], made)


def _sort(x, *, axis=-1):
    made = np.sort(x.value, axis=axis)
    k = x.graph.constant([made.shape[axis]])
    return x.graph.node("TopK", [x.name, k], made, axis=axis, largest=0, sorted=1)


def _argmax(x, *, axis):
    made = np.argmax(x.value, axis=axis)
    return x.graph.node("ArgMax", [x.name], made, axis=axis, keepdims=0)


def _take(a, places, *, axis=0):
    graph = _graph_of((a, places))
    names = [_cast(graph, b, _value(b).dtype) for b in (a, places)]
    return graph.node("Gather", names, np.take(_value(a), _value(places), axis=axis), axis=axis)


def _like(number):
    def form(x, dtype=None):
        made = np.full_like(x.value, number, dtype)
        shape = x.graph.node("Shape", [x.name], np.asarray(x.value.shape)).name
        fill = x.graph.onnx.numpy_helper.from_array(np.full(1, number, made.dtype))
        return x.graph.node("ConstantOfShape", [shape], made, value=fill)

    return form


OPERATORS = {  # a function's name in NumPy -> the operator
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "power": "Pow",
    "negative": "Neg", "minimum": "Min", "matmul": "MatMul", "absolute": "Abs", "sign": "Sign",
    "exp": "Exp", "log": "Log", "sqrt": "Sqrt", "tanh": "Tanh", "sin": "Sin",
    "floor": "Floor", "round": "Round", "ceil": "Ceil", "isnan": "IsNaN", "equal": "Equal",
    "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less",
    "less_equal": "LessOrEqual", "logical_and": "And", "logical_or": "Or", "logical_not": "Not",
}  # fmt: skip
REDUCTIONS = {"sum": "ReduceSum", "mean": "ReduceMean", "max": "ReduceMax", "min": "ReduceMin"}
FORMS: dict[str, Callable] = {
    **{name: _elementwise(name, op) for name, op in OPERATORS.items()},
    **{name: _reduction(name, op) for name, op in REDUCTIONS.items()},
    **{f.__name__[1:]: f for f in (_maximum, _log1p, _expm1, _astype, _where, _concatenate)},
    **{f.__name__[1:]: f for f in (_stack, _reshape, _sort, _argmax, _take)},
    "square": lambda x: x * x,
    # onnxruntime has Sin of double since long, and of Cos only float: it would refuse the file.
    "cos": lambda x: np.sin(x + np.pi / 2),
    "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),
    "not_equal": lambda a, b: np.logical_not(a == b),
    "isfinite": lambda x: np.absolute(x) < float("inf"),
    "zeros_like": _like(0),
    "ones_like": _like(1),
}


def _form(name):
    if name not in FORMS:
        raise TypeError(f"it computes {name}: known are {', '.join(sorted(FORMS))}")
    return FORMS[name]


def _asked(name):
    """Return a function of NumPy that asks its arguments for a form of theirs, as NumPy's lacks."""

    def call(*args, **kwargs):
        if any(isinstance(a, Traced) for a in args):
            return FORMS[name](*args, **kwargs)
        return getattr(np, name)(*args, **kwargs)

    return staticmethod(call)


class _Functions:
    """The namespace of `Traced`: NumPy, whose functions come back to it where one is given."""

    __name__ = "onnx"
    erf = staticmethod(_erf)
    astype, take = _asked("astype"), _asked("take")

    def __getattr__(self, name):
        return getattr(np, name)


FUNCTIONS = _Functions()
