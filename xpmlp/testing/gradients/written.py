"""The right backward pass of a recognised network, as a function of NumPy in the user's own form.

What is returned has been executed, and gives the right gradients. In it W, b, Z, A, dZ, dW and db
stand in the user's orientation.
"""

import itertools

import numpy as np

from .code import host_array
from .expressions import (
    INPUTS,
    TARGETS,
    VIEWS,
    NoExpression,
    access,
    adds,
    equals,
    fitting,
    in_form,
    joined,
    numbered,
    piece,
)
from .right_sides import RightSides
from .whole import our_gradients, same

MARK = "  # <- yours differs"


def right_backward(network, style, wrong, agrees):
    """Return the text of the right backward pass, "" where there is no expression for it.

    wrong: the lines (role, layer) to mark. agrees: tells of gradients at the user's own parameters
    and data whether they are right.
    """
    for fused, by_n in itertools.product((True, False), repeat=2):
        try:
            text = _Writer(network, style, wrong, fused, by_n).function()
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
    """One way to write the backward pass of a network as a function; see `RightSides`."""

    def __init__(self, network, style, wrong, fused, by_n):
        self.network, self.style, self.wrong = network, style, wrong
        self.right = RightSides(network, self.name, fused, style.late, by_n)
        self.code, self.depth = network.code, len(network.W)
        self.title, (self.params, *self.data) = _signature(network.code)
        self.given = {("A", 0): self.data[0], ("Y", 0): self.data[-1], ("n", 0): "n"}

    def name(self, role, k):
        """Name a value."""
        if role == "dA" and not self.right.is_softmax(k):  # which stands in one place only
            return self.right.dA(k)
        if role == "inputs":
            return self.given.get((role, k)) or self.name("A", k - 1)
        default = f"{role}{k}"
        if role in ("W", "b", "dW", "db"):
            name = self.network.notation.parameter(role[-1], k)
            default = role[:-1] + (name if name.isidentifier() else f"{role[-1]}{k}")
        return self.given.get((role, k)) or self.style.names.get((role, k), default)

    def line(self, role, k, text):
        """Return the assignment to a value, marked where the user's is another."""
        return f"{self.name(role, k)} = {text}" + MARK * ((role, k) in self.wrong)

    def function(self):
        """Return the whole function."""
        forward = [line for k in range(1, self.depth + 1) for line in self.forward(k)]
        unpacking = [*self.unpacking()]  # which names the targets
        backward = [line for k in range(self.depth, 0, -1) for line in self.backward(k)]
        lines = [*unpacking, "", *forward, "", *backward, self.answer()]
        body = "".join(f"    {line}".rstrip() + "\n" for line in lines)
        if " / n" in body:
            body = f"    n = {self.data[0]}.shape[{self.right.axis}]\n{body}"
        imports = "import scipy.special\n\n\n" * ("scipy." in body)
        return f"{imports}def {self.title}({', '.join([self.params, *self.data])}):\n{body}"

    def unpacking(self):
        """Yield the lines that take weights, biases and targets out of the arguments."""
        right = self.right
        for k, layer in enumerate(self.network.layers, 1):
            wanted = {"W": (right.matrix(k, layer.weights.positions), equals)}
            if layer.bias is not None:
                wanted["b"] = right.turn(layer.bias.positions), adds
            texts = []
            for kind, (positions, fits) in wanted.items():
                part = layer.part(kind)
                source = {"a": access(self.params, self.code.parameters[part.array].path)}
                views = (*VIEWS, piece(positions))
                texts.append(fitting(views, fits(positions), source, a=numbered(part.shape)))
            yield f"{', '.join(self.name(kind, k) for kind in wanted)} = {', '.join(texts)}"
        net, c, y = self.network, self.network.sizes[-1], host_array(self.network.data[-1])
        names = {"a": self.data[-1], "c": c}
        text = fitting(TARGETS, equals(right.turn(net.y)), names, a=y, c=c)
        if text != names["a"]:
            self.given["Y", 0] = "Y"
            yield f"Y = {text}"

    def forward(self, k):
        """Yield the lines of the forward pass of layer k."""
        net, right, z, before = self.network, self.right, self.name("Z", k), self.name("A", k - 1)
        values = host_array(net.data[0])
        if k > 1:
            values = right.turn(net.a[k - 1][0])
        text = fitting(INPUTS, equals(right.turn(net.inputs[k - 1][0])), {"a": before}, a=values)
        if text != before:
            self.given["inputs", k] = f"inputs{k}"
            yield f"inputs{k} = {text}"
        yield f"{z} = {right.Z(k)}"
        if right.is_softmax(k):
            axis = f"axis={1 - right.axis}, keepdims=True"
            yield f"e = np.exp({z} - np.max({z}, {axis}))"
            yield f"{self.name('A', k)} = e / np.sum(e, {axis})"
        else:
            yield f"{self.name('A', k)} = {right.A(k)}"

    def backward(self, k):
        """Yield the lines of the backward pass at layer k."""
        right = self.right
        if right.is_softmax(k) and not (k == self.depth and right.is_fused):
            yield f"{self.name('dA', k)} = {right.dA(k)}"
        yield self.line("dZ", k, right.dZ(k))
        yield self.line("dW", k, right.dW(k))
        if self.network.layers[k - 1].bias is not None:
            yield self.line("db", k, right.db(k))

    def answer(self):
        """Return the line that returns the gradients in the form of the parameters."""
        arrays: dict = {}
        for k, layer in enumerate(self.network.layers, 1):
            W = self.right.matrix(k, layer.weights.positions)
            arrays.setdefault(layer.weights.array, []).append((self.name("dW", k), W))
            if layer.bias is not None:
                b = self.name("db", k), self.right.bias(k)
                arrays.setdefault(layer.bias.array, []).append(b)
        of = self.code.parameters
        texts = {i: joined(np.shape(of[i].like), parts) for i, parts in arrays.items()}
        found = self.code.backward_of(self.network.arrays[0], self.network.data)[0]
        places = self.code.places(found)
        if None in places:  # the user leaves one out
            found, places = self.code.params, [parameter.path for parameter in of]
        by_path = {places[i]: text for i, text in texts.items()}
        mark = MARK * (("return", None) in self.wrong)
        return f"return {in_form(found, by_path)}{mark}"
