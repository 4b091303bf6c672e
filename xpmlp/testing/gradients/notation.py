"""The user's names and shapes: backprop's formulas as they read in the code that is checked."""

import re

from .verdicts import name_ratio


class Notation:
    """Names of a recognised network's arrays, in the user's orientation."""

    def __init__(self, network):
        self.network, self.points = network, network.points
        self.s = network.points.structure
        self.n = network.points.n_user

    def _name(self, i, role):
        name = self.points.code.names[i]
        return role if re.match(r"params(\[|$)", name) else name

    def weight(self, k):
        """Name the weights of layer k."""
        return self._name(self.s.weights[k - 1], f"W{k}")

    def bias(self, k):
        """Name the biases of layer k."""
        i = self.s.biases[k - 1]
        return f"b{k}" if i is None else self._name(i, f"b{k}")

    def input(self, k):
        """Name what layer k gets."""
        return "X" if k == 1 else f"A{k - 1}"

    def ratio(self, r):
        """Say a ratio to the right value as mistakes (kind, words)."""
        for n in (self.s.n, self.n):
            found = name_ratio(r, n, said=self.n)
            if not any(kind == "factor" and "times" in words for kind, words in found):
                return found
        return found

    def bias_shape(self, k):
        """Return the shape of the user's biases of layer k."""
        return self.points.code.arrays[self.s.biases[k - 1]].shape

    def shape(self, array):
        """Return the shape of an array of weights, or of a gradient of them, as the user's."""
        shape = [self.n if size == self.s.n else size for size in array.shape[1:]]
        return tuple(shape[::-1] if self.s.turned and len(shape) == 2 else shape)

    def _dims(self, k):
        """Return the shape of layer k's values."""
        n, h = self.n, self.s.sizes[k]
        return f"({h},{n})" if self.s.columns else f"({n},{h})"

    def formulas(self):
        """Return the right formula of each array by its name, with shapes."""
        found = {}
        for k in range(1, len(self.s.weights) + 1):
            back = f";  {self.sent_back(k)}" if k < len(self.s.weights) else ""
            found[f"d{self._key(self.s.weights[k - 1])}"] = self.product(k) + back
            if self.s.biases[k - 1] is not None:
                shape = str(self.bias_shape(k)).replace(" ", "")
                total = f"sum of dZ{k} over the samples"
                text = f"d{self.bias(k)} = {total}   {self._dims(k)} -> {shape}"
                found[f"d{self._key(self.s.biases[k - 1])}"] = text
        return found

    def _key(self, i):
        return self.points.code.names[i]

    def product(self, k):
        """Write the weight gradient of layer k."""
        x, dz, (n_in, n_out) = self.input(k), f"dZ{k}", self.s.sizes[k - 1 : k + 1]
        shapes = f"({n_out},{n_in})" if self.s.turned else f"({n_in},{n_out})"
        one, two = (x, self._dims(k - 1)), (dz, self._dims(k))
        if self.s.turned:
            one, two = two, one
        # Samples are summed over: they stand inside.
        at = ("", "^T") if self.s.columns else ("^T", "")
        left = f"{one[0]}{at[0]} @ {two[0]}{at[1]}"
        return f"d{self.weight(k)} = {left}   {one[1]}{at[0]} {two[1]}{at[1]} -> {shapes}"

    def sent_back(self, k):
        """Write the error at layer k, from that of layer k + 1."""
        n_in, n_out = self.s.sizes[k : k + 2]
        w = f"({n_out},{n_in})" if self.s.turned else f"({n_in},{n_out})"
        at = "^T" if self.s.turned == self.s.columns else ""
        parts = [(f"{self.weight(k + 1)}{at}", f"{w}{at}"), (f"dZ{k + 1}", self._dims(k + 1))]
        if not self.s.columns:
            parts.reverse()
        left = " @ ".join(p for p, _ in parts)
        shapes = " ".join(p for _, p in parts)
        return f"dZ{k} = ({left}) * f'(Z{k})   {shapes} -> {self._dims(k)}"
