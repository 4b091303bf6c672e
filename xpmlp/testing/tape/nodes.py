"""What a tape holds: nodes, the values that were computed, and where in memory they lie."""

import functools
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .rules import value_of


@dataclass(eq=False)
class Node:
    """One value that the function computed, or a leaf."""

    index: int  # the order of computation
    operation: str  # the common NumPy name: "matmul" for @, np.dot and .dot
    inputs: tuple  # nodes, or host arrays and numbers: constants
    held: Any  # the value; None: run the operation again
    options: dict = field(default_factory=dict)
    name: str = ""  # of a leaf
    run: Any = None  # the inputs' values -> the value
    each: bool = False  # an element hangs on no others than those at its place

    @property
    def shape(self):
        """Return the value's shape."""
        node = self
        while isinstance(node, Node) and node.held is None:
            node = node.inputs[0]
        return np.shape(getattr(node, "held", node))

    @property
    def value(self):
        """Return the value as it was when it was computed."""
        chain = [self]  # of writes into one array, whose values are made on demand
        while isinstance(chain[-1], Node) and chain[-1].held is None:
            chain.append(chain[-1].inputs[0])
        value = getattr(chain[-1], "held", chain.pop())
        while chain:
            node = chain.pop()
            value = node.run(value, *map(value_of, node.inputs[1:]))
        self.held = value
        return value


@dataclass(eq=False)
class Memory:
    """What is in an array's memory: the node whose elements lie there."""

    holder: np.ndarray
    node: Node
    version: int = 0  # writes so far

    @functools.cached_property
    def order(self):
        """Return the holder's addresses, sorted, and their positions."""
        addresses = _addresses(self.holder).ravel()
        order = np.argsort(addresses, kind="stable")
        return addresses[order], order

    def positions(self, view):
        """Return where in the holder the elements of a view of its memory are."""
        addresses, order = self.order
        return order[np.searchsorted(addresses, _addresses(view)).clip(0, len(order) - 1)]

    def is_all(self, view):
        """Tell whether a view of the memory is all of the holder, in its order."""
        one, two = view.__array_interface__, self.holder.__array_interface__
        return all(one[key] == two[key] for key in ("data", "shape", "strides"))


def ancestors(nodes):
    """Return the nodes that these hang on, themselves included, in the order of computation."""
    found, todo = set(), list(nodes)
    while todo:
        node = todo.pop()
        if isinstance(node, Node) and node not in found:
            found.add(node)
            todo.extend(node.inputs)
    return sorted(found, key=lambda node: node.index)


def root(array):
    """Return the array that owns the memory."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _addresses(array):
    """Return the address of each element."""
    found = np.int64(array.__array_interface__["data"][0])
    for axis, (n, step) in enumerate(zip(array.shape, array.strides)):
        found = found + step * np.arange(n).reshape(-1, *[1] * (array.ndim - axis - 1))
    return found
