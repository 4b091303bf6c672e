"""The right backward pass of a recognised network, as a function of NumPy in the user's own form.

What is returned has been executed, and gives the right gradients. In it W, b, Z, A, dZ, dW and db
stand in the user's orientation.
"""

import itertools
from dataclasses import dataclass, field

import numpy as np

from ...nn.formulas import FORMULAS, Formula, as_factor
from .code import host_array
from .expressions import (
    INPUTS,
    SUMS,
    TARGETS,
    VIEWS,
    NoExpression,
    access,
    adds,
    equals,
    fitting,
    in_form,
    joined,
    number,
    numbered,
    piece,
    product,
    transposed,
)
from .whole import our_gradients, same

MARK = "  # <- yours differs"
MORE = {  # activations that layers of xpmlp do not have
    "exp": Formula("np.exp({z})", "{a}"),
    "logistic with the sign of z wrong": Formula("1 / (1 + np.exp({z}))", "-{a} * (1 - {a})"),
}
SMOOTH = {"binary_log_loss": "logistic", "log_loss": "softmax"}  # together their error is A - Y
SIMPLE = (1.0, 2.0, 0.5, 4.0, 0.25, 3.0)  # factors that stand in front of an error
ERRORS = {  # of a loss: the factor of its scale, and its derivative by A
    "squared_error": (2, "{A} - {Y}"),
    "absolute_error": (1, "np.sign({A} - {Y})"),
    "log_loss": (-1, "{Y} / {A_}"),
    "binary_log_loss": (1, "(1 - {Y}) / (1 - {A}{eps}) - {Y} / {A_}"),
}


@dataclass(frozen=True)
class Style:
    """How the user writes, and which lines (role, layer) differ: "dZ", "dW", "db", "return".

    names: (role, layer) -> the user's name, of roles "Z", "A", "dZ", "dW", "db"; late: the 1/n of a
    mean stands in dW and db, not in dZ.
    """

    names: dict = field(default_factory=dict)
    late: bool = False
    wrong: frozenset = frozenset()


def right_backward(network, style, agrees):
    """Return the text of the right backward pass, "" where there is no expression for it.

    agrees: tells of gradients at the user's own parameters and data whether they are right.
    """
    for fused, by_n in itertools.product((True, False), repeat=2):
        try:
            text = _Writer(network, style, fused, by_n).function()
        except NoExpression:
            return ""
        if _is_right(network, text, agrees):
            return text
    return ""


def _is_right(network, text, agrees):
    """Tell whether a text gives the right gradients, at the network's points and the user's."""
    code, ours = network.code, our_gradients(network)
    try:
        found = [_run(text, code, arrays, network.data) for arrays in network.arrays]
        here = _run(text, code, code.arrays, code.data)
    except Exception:  # this way of writing is none for this network
        return False
    alike = all(
        own is None or (np.shape(users[0]) == own.shape[1:] and same(np.stack(users), own, 1e-6))
        for own, *users in zip(ours, *found)
    )
    return alike and agrees(here)


def _run(text, code, arrays, data):
    """Return the gradients that a printed backward pass computes, one of each array."""
    space: dict = {}
    exec(f"import numpy as np\n{text}", space)
    name, _ = _signature(code)
    return code.picked(space[name](code.built(arrays), *map(host_array, data)))


def _signature(code):
    """Return the name of the user's backward, and those of its arguments."""
    arguments = ["params", "X", "y"][: 1 + len(code.data)]
    name, own = code.source.signature
    if not {"n", "np"} & {*own.values()}:
        arguments = [own.get(what, what) for what in arguments]
    return name if name.isidentifier() else "backward", arguments


class _Writer:
    """One way to write the backward pass of a network.

    fused: with A - Y at the output where loss and activation allow it; by_n: a number that is not
    simple is written as a multiple of 1/n.
    """

    def __init__(self, network, style, fused, by_n):
        self.network, self.style, self.fused, self.by_n = network, style, fused, by_n
        self.code, self.columns, self.layers = network.code, network.columns, network.layers
        self.axis, self.depth = int(self.columns), len(network.layers)
        self.title, (self.params, *self.data) = _signature(network.code)
        self.arrays: list = [[] for _ in self.code.arrays]  # of each [(gradient's name, positions)]
        self.inputs: dict = {}  # layer -> the name of what it gets, where that is no A
        self.targets, self.late = self.data[-1], ""  # late: the " / n" of dW and db

    def function(self):
        """Return the whole function."""
        there = [line for k in range(1, self.depth + 1) for line in self.forward(k)]
        lines = [*self.unpacking(), "", *there, "", *self.backward(), self.answer()]
        body = "".join(f"    {line}".rstrip() + "\n" for line in lines)
        if " / n" in body:
            body = f"    n = {self.data[0]}.shape[{self.axis}]\n{body}"
        imports = "import scipy.special\n\n\n" * ("scipy." in body)
        return f"{imports}def {self.title}({', '.join([self.params, *self.data])}):\n{body}"

    # -- names, orientation -----------------------------------------------------------------------
    def name(self, role, k):
        """Name a value of layer k."""
        default = f"{role}{k}" if k else self.data[0]
        if role[1:] in ("W", "b"):
            default = f"d{self.parameter(role[1:], k)}"
        return self.style.names.get((role, k), default)

    def parameter(self, kind, k):
        """Name the weights or biases of layer k."""
        name = self.network.notation.parameter(kind, k)
        return name if name.isidentifier() else f"{kind}{k}"

    def line(self, role, k, text):
        """Return the assignment to a value, marked where the user's is another."""
        return f"{self.name(role, k)} = {text}" + MARK * ((role, k) in self.style.wrong)

    def turn(self, values):
        """Return values (n, units) as they stand in the user's code."""
        return values.T if self.columns else values

    def matrix(self, k, W):
        """Return weights (n_in, n_out) of layer k as they stand in the user's code."""
        return W.T if self.layers[k - 1].turned else W

    def input(self, k):
        """Return what layer k gets as a factor."""
        return self.inputs.get(k) or self.name("A", k - 1), self.columns

    def error(self, k):
        """Return the error at layer k as a factor."""
        return self.name("dZ", k), self.columns

    # -- the user's arrays -> W, b, Y -------------------------------------------------------------
    def unpacking(self):
        """Yield the lines that take weights, biases and targets out of the arguments."""
        for k, layer in enumerate(self.layers, 1):
            wanted = {"W": equals(self.matrix(k, layer.weights.positions))}
            if layer.bias is not None:
                wanted["b"] = adds(self.turn(layer.bias.positions))
            texts = []
            for kind, fits in wanted.items():
                part = layer.part(kind)
                views = (*VIEWS, piece(self.matrix(k, part.positions)))
                source = {"a": access(self.params, self.code.parameters[part.array].path)}
                texts.append(fitting(views, fits, source, a=numbered(part.shape)))
            yield f"{', '.join(self.parameter(kind, k) for kind in wanted)} = {', '.join(texts)}"
        net, names = self.network, {"a": self.targets, "c": self.network.sizes[-1]}
        y, wanted = host_array(net.data[-1]), equals(self.turn(net.y))
        text = fitting(TARGETS, wanted, names, a=y, c=names["c"])
        if text != self.targets:
            self.targets = "Y"
            yield f"Y = {text}"

    # -- forward ----------------------------------------------------------------------------------
    def forward(self, k):
        """Yield the lines of the forward pass of layer k."""
        net, z, a, before = (
            self.network,
            *(self.name(*of) for of in (("Z", k), ("A", k), ("A", k - 1))),
        )
        values = self.turn(net.a[k - 1][0]) if k > 1 else host_array(net.data[0])
        text = fitting(INPUTS, equals(self.turn(net.inputs[k - 1][0])), {"a": before}, a=values)
        if text != before:
            self.inputs[k] = f"inputs{k}"
            yield f"inputs{k} = {text}"
        W = self.parameter("W", k), self.layers[k - 1].turned
        bias = f" + {self.parameter('b', k)}" * (self.layers[k - 1].bias is not None)
        yield f"{z} = {product(self.input(k), W, self.columns)}{bias}"
        if self.is_softmax(k):
            yield f"e = np.exp({z} - np.max({z}, axis={1 - self.axis}, keepdims=True))"
            yield f"{a} = e / np.sum(e, axis={1 - self.axis}, keepdims=True)"
        else:
            yield f"{a} = {self.formula(k).value}"

    def is_softmax(self, k):
        return self.network.activations[k - 1].name == "softmax"

    def formula(self, k):
        """Return value and slope of layer k's activation, of the names of its Z and A."""
        name = self.network.activations[k - 1].name
        if name not in FORMULAS | MORE:
            raise NoExpression
        names = {"z": self.name("Z", k), "a": self.name("A", k)}
        return Formula(*(text.format(**names) for text in (FORMULAS | MORE)[name]))

    # -- backward ---------------------------------------------------------------------------------
    def backward(self):
        """Yield the lines of the backward pass."""
        yield from self.output_error()
        for k in range(self.depth, 0, -1):
            yield from self.of_parameters(k)
            if k > 1:
                yield from self.through(k - 1, self.sent_back(k))

    def output_error(self):
        """Yield the lines of dZ of the last layer."""
        net, L, A = self.network, self.depth, self.name("A", self.depth)
        if net.loss not in ERRORS:
            raise NoExpression
        fused = self.fused and SMOOTH.get(net.loss) == net.activations[-1].name
        factor, text = (1, "{A} - {Y}") if fused else ERRORS[net.loss]
        eps = f" + {number(net.log_eps)}" if net.log_eps else ""
        near = f"({A}{eps})" if eps else A
        text = text.format(A=A, Y=self.targets, eps=eps, A_=near)
        text, by = self.times(factor * net.scale, text)
        if self.style.late:
            self.late = by
        elif by:
            text = as_factor(text) + by
        if fused:
            yield self.line("dZ", L, text)
        else:
            yield from self.through(L, text)

    def times(self, c, text):
        """Return c * text, and by what that is divided, which changes with the samples."""
        n, size = self.network.n, self.network.y.size
        ways = [(c * n, " / n"), (c * size, f" / {self.targets}.size"), (c, "")]
        if n == 1:
            ways.reverse()
        odd = ways[0] if self.by_n else (c, "")
        simple = [c for c in ways if min(abs(abs(c[0]) / s - 1) for s in SIMPLE) < 1e-8]
        factor, by = next(iter(simple), odd)
        factor = float(number(factor))
        if factor != 1.0:
            text = f"{number(factor)} * {as_factor(text)}"
        return text, by

    def through(self, k, dA):
        """Yield the lines of dZ of layer k, of the error at its activations."""
        if self.is_softmax(k):
            a, total = (
                self.name("A", k),
                f"np.sum(dA{k} * {{}}, axis={1 - self.axis}, keepdims=True)",
            )
            yield f"dA{k} = {dA}"
            yield self.line("dZ", k, f"{a} * (dA{k} - {total.format(a)})")
            return
        slope = as_factor(self.formula(k).slope)
        text = dA
        if slope != "1":
            text = f"({dA}) * {slope}" if "@" in dA else f"{as_factor(dA)} * {slope}"
        yield self.line("dZ", k, text)

    def sent_back(self, k):
        """Write the error of layer k at the units before it; there is none of ones beside them."""
        net, text = self.network, self.parameter("W", k)
        if net.units:
            W = numbered(net.W[k - 1].shape[1:])
            wanted = equals(self.matrix(k, W[net.units[k - 2]]))
            text = fitting(VIEWS, wanted, {"a": text}, a=self.matrix(k, W))
        return product(self.error(k), (text, not self.layers[k - 1].turned), self.columns)

    def of_parameters(self, k):
        """Yield the lines of the gradients of layer k."""
        net, layer = self.network, self.layers[k - 1]
        text = product(transposed(self.input(k)), self.error(k), layer.turned)
        yield self.line("dW", k, text + self.late + self.decay("W", k, net.l2[k - 1]))
        positions = self.matrix(k, layer.weights.positions)
        self.arrays[layer.weights.array].append((self.name("dW", k), positions))
        if layer.bias is None:
            return
        wanted, units = self.turn(layer.bias.positions), layer.bias.positions.size
        if layer.bias.whole:
            wanted = numbered(layer.bias.shape)
        error = np.zeros((units + 1, units), int)  # its sum over the samples is the positions
        error[1] = layer.bias.positions
        names = {"a": self.name("dZ", k), "axis": self.axis}
        text = fitting(SUMS, equals(wanted), names, a=self.turn(error), axis=self.axis)
        yield self.line("db", k, text + self.late + self.decay("b", k, net.l2_bias[k - 1]))
        self.arrays[layer.bias.array].append((self.name("db", k), wanted))

    def decay(self, kind, k, l2):
        """Write the penalty's share of a gradient."""
        if not l2:
            return ""
        share = number(2 * l2)
        if self.by_n:
            share = f"{number(2 * l2 * self.network.n)} / n"
        return f" + {share} * {self.parameter(kind, k)}"

    def answer(self):
        """Return the line that returns the gradients in the form of the parameters."""
        pairs = [pair for pair in zip(self.code.parameters, self.arrays) if pair[1]]
        texts = {p.path: joined(np.shape(p.like), parts) for p, parts in pairs}
        mark = MARK * (("return", None) in self.style.wrong)
        return f"return {in_form(self.code.params, texts)}{mark}"
