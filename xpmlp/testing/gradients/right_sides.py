"""The right-hand sides of a network's forward and backward pass, in whatever names there are.

Values are known by a role and a layer: "X" "Y" "n" (layer 0), "inputs" (what a layer gets), "W" "b"
"Z" "A", "dA" (the error at the activations), "slope" (f'(Z)), "dZ", "dW", "db".
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...nn.formulas import FORMULAS, Formula, as_factor
from .expressions import (
    SUMS,
    VIEWS,
    NoExpression,
    equals,
    fitting,
    number,
    numbered,
    product,
    transposed,
)

MORE = {  # activations that layers of xpmlp do not have
    "exp": Formula("np.exp({z})", "{a}"),
    "logistic with the sign of z wrong": Formula("1 / (1 + np.exp({z}))", "-{a} * (1 - {a})"),
}
SMOOTH = {"binary_log_loss": "logistic", "log_loss": "softmax"}  # together their error is A - Y
SIMPLE = (1.0, 2.0, 0.5, 4.0, 0.25, 3.0)  # factors that stand in front of an error
ERRORS = {  # of a loss: the factor of its scale, and its derivative by A
    "squared_error": (2, "{A} - {Y}"),
    "absolute_error": (1, "np.sign({A} - {Y})"),
    "log_loss": (-1, "{Y} / {near}"),
    "binary_log_loss": (1, "(1 - {Y}) / (1 - {A}{eps}) - {Y} / {near}"),
}


@dataclass(frozen=True)
class RightSides:
    """One way to write the lines of a network.

    name: (role, layer) -> its name. fused: with A - Y at the output where loss and activation allow
    it. late: the 1/n of a mean stands in dW and db, not in dZ. by_n: a number that is not simple is
    written as a multiple of 1/n.
    """

    network: Any
    name: Callable
    fused: bool = True
    late: bool = False
    by_n: bool = False

    @property
    def axis(self):
        """The axis of the samples."""
        return int(self.network.columns)

    @property
    def is_fused(self):
        """Whether the error at the output is written without f'."""
        net = self.network
        return self.fused and SMOOTH.get(net.loss) == net.activations[-1].name

    def is_softmax(self, k):
        """Tell whether the units of layer k depend on each other."""
        return self.network.activations[k - 1].name == "softmax"

    def turn(self, values):
        """Return values (n, units) as they stand in the user's code."""
        return values.T if self.network.columns else values

    def matrix(self, k, W):
        """Return weights (n_in, n_out) of layer k as they stand in the user's code."""
        return W.T if self.network.layers[k - 1].turned else W

    def _values(self, role, k):
        return self.name(role, k), self.network.columns

    def _formula(self, k):
        name = self.network.activations[k - 1].name
        if name not in FORMULAS | MORE:
            raise NoExpression
        return (FORMULAS | MORE)[name]

    # -- forward ----------------------------------------------------------------------------------
    def Z(self, k):
        """Write Z of layer k."""
        layer = self.network.layers[k - 1]
        W = self.name("W", k), layer.turned
        text = product(self._values("inputs", k), W, self.network.columns)
        if layer.bias is not None:
            text += f" + {self.name('b', k)}"
        return text

    def A(self, k):
        """Write A of layer k, no softmax."""
        return self._formula(k).value.format(z=self.name("Z", k))

    # -- backward ---------------------------------------------------------------------------------
    def dA(self, k):
        """Write the error at the activations of layer k; none is sent back to ones beside them."""
        net = self.network
        if k == len(net.W):
            error = self._output_error()
            if self.late or not self._division:
                return error
            return as_factor(error) + self._division
        W, text = numbered(net.W[k].shape[1:]), self.name("W", k + 1)
        if net.units:
            wanted = equals(self.matrix(k + 1, W[net.units[k - 1]]))
            text = fitting(VIEWS, wanted, {"a": text}, a=self.matrix(k + 1, W))
        W = text, not net.layers[k].turned
        return product(self._values("dZ", k + 1), W, net.columns)

    def slope(self, k):
        """Write f'(Z) of layer k."""
        slope = self._formula(k).slope
        names = {key: self.name(key.upper(), k) for key in "za" if f"{{{key}}}" in slope}
        return slope.format(**names)

    def dZ(self, k):
        """Write the error at layer k."""
        if k == len(self.network.W) and self.is_fused:
            return self.dA(k)
        if self.is_softmax(k):
            a, dA = self.name("A", k), self.name("dA", k)
            total = f"np.sum({dA} * {a}, axis={1 - self.axis}, keepdims=True)"
            return f"{a} * ({dA} - {total})"
        slope = as_factor(self.slope(k))
        if slope == "1":
            return self.dA(k)
        dA = self.name("dA", k)
        if "@" in dA and not dA.startswith("("):
            dA = f"({dA})"
        return f"{as_factor(dA)} * {slope}"

    def dW(self, k):
        """Write the gradient of the weights of layer k."""
        x, dZ = self._values("inputs", k), self._values("dZ", k)
        text = product(transposed(x), dZ, self.network.layers[k - 1].turned)
        return text + self._mean + self._decay("W", k, self.network.l2[k - 1])

    def db(self, k):
        """Write the gradient of the biases of layer k."""
        part = self.network.layers[k - 1].bias
        wanted, units = self.bias(k), part.positions.size
        error = np.zeros((units + 1, units), int)  # its sum over the samples is the positions
        error[1] = part.positions
        names = {"a": self.name("dZ", k), "axis": self.axis}
        text = fitting(SUMS, equals(wanted), names, a=self.turn(error), axis=self.axis)
        return text + self._mean + self._decay("b", k, self.network.l2_bias[k - 1])

    def bias(self, k):
        """Return the positions of the biases of layer k in the form in which db is made."""
        part = self.network.layers[k - 1].bias
        return numbered(part.shape) if part.whole else self.turn(part.positions)

    # -- factors ----------------------------------------------------------------------------------
    @property
    def _mean(self):
        """The division that dW and db have where dZ has not."""
        if self.late:
            return self._division
        return ""

    @property
    def _factor(self):
        """Return the number before the error at the output, and by what it is divided."""
        factor = 1 if self.is_fused else ERRORS.get(self.network.loss, (1, ""))[0]
        return self._ways(factor * self.network.scale)

    @property
    def _division(self):
        """The division of the error at the output, which changes with the samples."""
        by = self._factor[1]
        if not by:
            return ""
        if by == "n":
            return f" / {self.name('n', 0)}"
        return f" / {self.name('Y', 0)}.size"

    @property
    def divisor(self):
        """By what the error at the output is divided where dZ takes the mean."""
        return {"n": self.network.n, "size": self.network.y.size}.get(self._factor[1], 1)

    def _output_error(self):
        """Write the error at the output without its division."""
        net, L = self.network, len(self.network.W)
        if net.loss not in ERRORS:
            raise NoExpression
        text, factor = ERRORS[net.loss][1], number(self._factor[0])
        if self.is_fused:
            text = "{A} - {Y}"
        eps, A, Y = "", self.name("A", L), self.name("Y", 0)
        near = A
        if net.log_eps:
            eps = f" + {number(net.log_eps)}"
            near = f"({A}{eps})"
        text = text.format(A=A, Y=Y, eps=eps, near=near)
        if factor == "1":
            return text
        return f"{factor} * {as_factor(text)}"

    def _ways(self, c):
        """Return a number, and by what it is to be divided."""
        n, size = self.network.n, self.network.y.size
        ways = [(c * n, "n"), (c * size, "size"), (c, "")]
        if n == 1:
            ways.reverse()
        odd = c, ""
        if self.by_n:
            odd = ways[0]
        simple = [way for way in ways if min(abs(abs(way[0]) / s - 1) for s in SIMPLE) < 1e-8]
        return next(iter(simple), odd)

    def _decay(self, kind, k, l2):
        """Write the penalty's share of a gradient."""
        if not l2:
            return ""
        share = number(2 * l2)
        if self.by_n:
            share = f"{number(2 * l2 * self.network.n)} / {self.name('n', 0)}"
        return f" + {share} * {self.name(kind, k)}"
