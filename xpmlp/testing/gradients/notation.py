"""The user's names and shapes: backprop's formulas as they read in the code that is checked."""

import re

from .verdicts import name_ratio


class Notation:
    """Names of a recognised network's arrays, in the user's orientation."""

    def __init__(self, network):
        self.code, self.n, self.n_few = network.code, network.n_user, network.n
        self.layers, self.sizes, self.columns = network.layers, network.sizes, network.columns

    def parameter(self, kind, k):
        """Name the weights ("W") or biases ("b") of layer k."""
        part = self.layers[k - 1].part(kind)
        if part is None or re.match(r"params(\[|$)", self.code.names[part.array]):
            return f"{kind}{k}"  # it has no name of its own
        return self.code.names[part.array]

    def weight(self, k):
        """Name the weights of layer k."""
        return self.parameter("W", k)

    def input(self, k):
        """Name what layer k gets."""
        return "X" if k == 1 else f"A{k - 1}"

    def describe_ratio(self, r):
        """Describe a ratio to the right value as mistakes (kind, words)."""
        for n in (self.n_few, self.n):
            found = name_ratio(r, n, said=self.n, outputs=self.sizes[-1])
            if not any(kind == "factor" and "times" in words for kind, words in found):
                return found
        return found

    def bias_shape(self, k):
        """Return the shape of the user's biases of layer k."""
        return self.layers[k - 1].bias.shape

    def shape(self, array, k):
        """Return the shape of layer k's weights, or of a gradient of them, as the user's."""
        if array.ndim == 3:
            array = array.mT if self.layers[k - 1].turned else array
        return tuple(self.n if size == self.n_few else size for size in array.shape[1:])

    def _values(self, k):
        """Write the shape of layer k's values."""
        return _shape(self.n, self.sizes[k], self.columns)

    def _weights(self, k):
        """Write the shape of layer k's weights."""
        return _shape(self.sizes[k - 1], self.sizes[k], self.layers[k - 1].turned)

    def product(self, k):
        """Write the weight gradient of layer k."""
        turned = self.layers[k - 1].turned
        turn = turned == self.columns  # the samples, which are summed over, stand inside
        x = _factor(self.input(k), self._values(k - 1), turn)
        dZ = _factor(f"dZ{k}", self._values(k), not turn)
        text, shapes = _product(x, dZ, turned)
        return f"d{self.weight(k)} = {text}   {shapes} -> {self._weights(k)}"

    def sent_back(self, k):
        """Write the error at layer k, from that of layer k + 1."""
        turn = self.layers[k].turned == self.columns
        W = _factor(self.weight(k + 1), self._weights(k + 1), turn)
        dZ = _factor(f"dZ{k + 1}", self._values(k + 1), False)
        text, shapes = _product(dZ, W, self.columns)
        return f"dZ{k} = ({text}) * f'(Z{k})   {shapes} -> {self._values(k)}"


def _shape(n_rows, n_columns, turn):
    if turn:
        return f"({n_columns},{n_rows})"
    return f"({n_rows},{n_columns})"


def _factor(name, shape, turn):
    """Return a factor's name and shape, with the mark of a transpose."""
    return name + "^T" * turn, shape + "^T" * turn


def _product(left, right, swap):
    """Return the product of two factors, and their shapes, as text."""
    if swap:
        left, right = right, left
    return f"{left[0]} @ {right[0]}", f"{left[1]} {right[1]}"
