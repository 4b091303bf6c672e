"""What an engine may know of a network: its chain of Dense and Dropout layers, if it is one."""

from functools import lru_cache
from typing import Any, NamedTuple

from ..nn import Dense, Dropout, Network
from ..nn.layers import OFFSETS, WEIGHTS


class Place(NamedTuple):
    """Where a parameter lies in a store: a part of a leaf."""

    leaf: str
    part: slice

    def of(self, store):
        """Return the parameter (n_in, n_out) or (1, n_out), flat, as a view."""
        return store[self.leaf].reshape(-1)[self.part]


class Link(NamedTuple):
    """A Dense or Dropout layer of a chain; a Dropout has no W, a Dense may have no b."""

    layer: Any  # Dense or Dropout
    n_in: int
    n_out: int
    W: Place | None
    b: Place | None


@lru_cache(maxsize=128)
def chain_of(network, layout) -> tuple[Link, ...] | None:
    """Return a network's links, or None where a layer or a parameter is of another kind.

    The last is a Dense.
    """
    kinds = [type(layer) for layer in getattr(network, "layers", ())]
    if type(network) is not Network or {*kinds} - {Dense, Dropout} or kinds[-1:] != [Dense]:
        return None
    place, shape = {}, {}
    for leaf in layout.leaves:
        if leaf.group not in (WEIGHTS, OFFSETS):
            return None
        stop = 0
        for slot in leaf.slots:
            start, stop = stop, stop + slot.size
            place[slot.path], shape[slot.path] = Place(leaf.name, slice(start, stop)), slot.shape
    width, links = shape[kinds.index(Dense), "W"][0], []
    for i, layer in enumerate(network.layers):
        n_in, width = shape.get((i, "W"), (width, width))
        links.append(Link(layer, n_in, width, place.get((i, "W")), place.get((i, "b"))))
    return tuple(links)
