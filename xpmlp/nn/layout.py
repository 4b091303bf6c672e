"""Layout of parameters in a store, a dict of few arrays, and back as nested dicts of views.

Where arrays are mutable, a store has one array (..., 1, P) for each group of parameters, so that
an update is one call; else (JAX) one for each parameter.
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

from ..arrays import Array
from .layers import OFFSETS, Group, Layer


class Slot(NamedTuple):
    """One parameter: its path, its shape without the member axis, its number of elements."""

    path: tuple
    shape: tuple
    size: int


class Leaf(NamedTuple):
    """One array of the store: the slots of a group side by side, or (not `flat`) one parameter."""

    name: str
    group: Group
    slots: tuple[Slot, ...]
    flat: bool


@dataclass(frozen=True)
class Layout:
    """Which parameters stand in which arrays ("leaves") of a store.

    Parameters
    ----------
    leaves : tuple of Leaf
        Name, group, parameters and form of each array; `Layout.of` makes them.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp.nn import Dense, Network
    >>> network = Network([Dense(3), Dense(1)])
    >>> params, _ = network.init(2, np.random.default_rng(0))
    >>> store = Layout.of(network, params, contiguous=True).pack(params, xp=np)
    >>> {name: leaf.shape for name, leaf in store.items()}
    {'weights': (1, 9), 'offsets': (1, 4)}
    """

    leaves: tuple[Leaf, ...]

    @staticmethod
    def of(layer: Layer, params: dict, *, contiguous: bool) -> "Layout":
        """Return the layout of the parameters (nested dicts, as of `init`) of a layer or network.

        contiguous: whether a group of parameters becomes one array, or each parameter its own.
        """
        slots: dict[Group, list[Slot]] = {}
        for path, group, a in walk(layer, params):
            shape = tuple(a.shape[-2:])
            slots.setdefault(group, []).append(Slot(path, shape, math.prod(shape)))
        leaves: list[Leaf] = []
        for group, members in slots.items():
            if contiguous and group.trained:
                name, same = group.name, sum(leaf.group.name == group.name for leaf in leaves)
                if same:  # another rate or decay
                    name = f"{name}_{same}"
                leaves.append(Leaf(name, group, tuple(members), flat=True))
            else:
                leaves += [Leaf(path_name(s.path), group, (s,), flat=False) for s in members]
        return Layout(tuple(leaves))

    @cached_property
    def groups(self) -> dict[str, Group]:
        """Group of each leaf that the update rule trains, by the leaf's name."""
        return {leaf.name: leaf.group for leaf in self.leaves if leaf.group.trained}

    @cached_property
    def decayed(self) -> "Layout":
        """Layout of the weights alone: no offsets, gains or statistics."""
        return Layout(tuple(leaf for leaf in self.leaves if leaf.group.decay))

    @cached_property
    def size(self) -> int:
        """Number of parameters; of Dense layers also a row's multiplications."""
        return sum(slot.size for leaf in self.leaves for slot in leaf.slots)

    def pack(self, params: dict, *, xp: Any) -> dict[str, Array]:
        """Return nested dicts of parameters as a store, a dict of arrays by the leaves' names.

        A leaf of a single parameter is that very array.
        """
        store = {}
        for leaf in self.leaves:
            arrays = [get(params, slot.path) for slot in leaf.slots]
            store[leaf.name] = arrays[0]
            if leaf.flat:
                flat = [xp.reshape(a, (*a.shape[:-2], 1, -1)) for a in arrays]
                store[leaf.name] = xp.concat(flat, axis=-1)
        return store

    def unpack(self, store: dict[str, Array], *, xp: Any) -> dict:
        """Return a store as nested dicts of views, made in each step and never written through."""
        params: dict = {}
        for leaf in self.leaves:
            view = a = store[leaf.name]
            stop = 0
            for slot in leaf.slots:
                start, stop = stop, stop + slot.size
                if leaf.flat:
                    view = xp.reshape(a[..., 0, start:stop], (*a.shape[:-2], *slot.shape))
                put(params, slot.path, view)
        return params


def path_name(path):
    """Write a path as text: (0, "W") as "0.W"."""
    return ".".join(map(str, path))


def walk(layer, params, path=()):
    """Yield (path, group, array or shape) for every parameter of a layer.

    The order is the layers', whatever that of the dicts: a rule's state is kept in it.
    """
    parts = getattr(layer, "parts", {})  # once: it is made at each access
    own = sorted(params.keys() - parts.keys(), key=str)
    for name in (*own, *(k for k in parts if k in params)):
        p = params[name]
        if isinstance(p, dict):
            yield from walk(parts[name], p, (*path, name))
        else:
            yield (*path, name), layer.groups.get(name, OFFSETS), p


def get(params, path):
    """Return the array at a path in nested dicts."""
    for part in path:
        params = params[part]
    return params


def put(params, path, a):
    """Put an array at a path, making the dicts on the way."""
    for part in path[:-1]:
        params = params.setdefault(part, {})
    params[path[-1]] = a


def map_params(f, *trees):
    """Return f over the arrays of nested dicts of one form."""
    if not isinstance(trees[0], dict):
        return f(*trees)
    return {k: map_params(f, *(tree[k] for tree in trees)) for k in trees[0]}
