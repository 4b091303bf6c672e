"""How the user's arrays make a chain of layers: sizes, order and orientation, from shapes."""

import itertools
import re
from typing import NamedTuple

import numpy as np

from .network import Layer, Part


class Structure(NamedTuple):
    """How the user's arrays make a chain of layers."""

    weights: tuple[int, ...]  # their numbers among the arrays, by layer
    biases: tuple[int | None, ...]
    columns: bool  # samples stand in columns
    turned: bool  # W is (n_out, n_in)
    sizes: tuple[int, ...]  # of the inputs and of each layer
    n: int

    def rows(self, data):
        """Return data, or values of a layer, with samples in rows (or from these as the user's)."""
        return turned(data, self.columns)

    def weight(self, W):
        """Return weights (..., n_in, n_out) from the user's, or the user's from these."""
        return turned(W, self.turned)

    def layers(self, shapes):
        """Return the layers of arrays of these shapes."""
        found = []
        for i, j, n_out in zip(self.weights, self.biases, self.sizes[1:]):
            positions = self.weight(np.arange(np.prod(shapes[i])).reshape(shapes[i]))
            bias = None if j is None else Part(j, shapes[j], np.arange(n_out)[None])
            found.append(Layer(Part(i, shapes[i], positions), bias, self.columns, self.turned))
        return tuple(found)

    def targets(self, y):
        """Return y as rows (n, n_outputs) in float64; None if it does not fit."""
        n, c = self.n, self.sizes[-1]
        if y.dtype.kind not in "biuf":
            return None
        if y.ndim == 2 and self.rows(y).shape == (n, c):
            return np.asarray(self.rows(y), np.float64)
        if y.size == n and c == 1:
            return np.asarray(y, np.float64).reshape(n, 1)
        if y.size == n and y.dtype.kind in "iu" and y.min() >= 0 and y.max() < c:
            return np.eye(c)[y.reshape(-1)]
        return None


def turned(a, turn):
    """Return the transpose of a matrix, or of each of a stack, where `turn` says so."""
    return a.mT if turn else a


def structures(code):
    """Return every way to read the arrays as a chain of layers from X to y; likely ones first."""

    def oddness(s):
        gaps = {b - w for w, b in zip(s.weights, s.biases) if b is not None}
        return None in s.biases, list(s.weights) != sorted(s.weights), len(gaps)

    if code.X.ndim != 2 or code.y is None:
        return []
    return sorted(dict.fromkeys(_structures(code)), key=oddness)


def _structures(code):
    for weights, biases in _roles(code.names, code.arrays):
        for columns, turn in itertools.product((False, True), repeat=2):
            n, n_in = turned(code.X, columns).shape
            shapes = [turned(code.arrays[i], turn).shape for i in weights]
            sizes = (n_in, *(n_out for _, n_out in shapes))
            found = Structure(weights, biases, columns, turn, sizes, n)
            chained = all(n_in == size for (n_in, _), size in zip(shapes, sizes))
            biased = all(i is None or code.arrays[i].size == h for i, h in zip(biases, sizes[1:]))
            if chained and biased and found.targets(code.y) is not None:
                yield found


def _roles(names, arrays):
    """Yield (weights, biases): the numbers of the arrays that they may be, by layer."""
    every = range(len(arrays))
    flat = [i for i, a in enumerate(arrays) if a.ndim != 2]
    thin = [i for i, a in enumerate(arrays) if a.ndim == 2 and 1 in a.shape]
    matches = {i: re.match(r"(?i)(w|theta)|b", name) for i, name in enumerate(names)}
    named_bias = {i: m[1] is None for i, m in matches.items() if m}
    for choice in itertools.product((False, True), repeat=min(len(thin), 6)):
        bias = {*flat, *itertools.compress(thin, choice)}
        if any((i in bias) != is_bias for i, is_bias in named_bias.items()):
            continue
        weights = [i for i in every if i not in bias]
        offsets: list[int | None] = [i for i in every if i in bias]
        if not weights or len(offsets) > len(weights):
            continue
        if len(offsets) not in (0, len(weights)):  # by the number in the name, as in W2 and b2
            number = [re.sub(r"\D", "", name) for name in names]
            by_number = {number[i]: i for i in bias}
            offsets = [by_number.get(number[i]) for i in weights]
        pairs = list(zip(weights, offsets or [None] * len(weights)))
        orders = [pairs, pairs[::-1]]
        if len(pairs) <= 4:
            orders = list(map(list, itertools.permutations(pairs)))
        yield from (tuple(zip(*order)) for order in orders)
