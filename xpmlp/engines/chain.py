"""Chains of Dense and Dropout layers, the networks that engines have kernels for."""

from functools import lru_cache
from typing import Any, NamedTuple

from ..errors import ShapeError
from ..nn import Dense, Dropout, Network
from ..nn.activations import ACTIVATIONS, get_activation
from ..nn.layers import OFFSETS, WEIGHTS
from ..nn.losses import CLASS_LOG_LOSS, LOSSES
from ..optim import SGD, Adagrad, Adam, AdamW, RMSprop

# What kernels know; the losses in the order of kernels.cu.
LOSS_KINDS = {
    **{name: LOSSES[name] for name in ("squared_error", "log_loss", "binary_log_loss", "poisson")},
    "class_log_loss": CLASS_LOG_LOSS,
}
RULE_KINDS = {SGD, Adam, AdamW, RMSprop, Adagrad}


class Place(NamedTuple):
    """Where a parameter lies in a store: a part of a leaf."""

    leaf: str
    part: slice

    def of(self, store):
        """Return the parameter (n_in, n_out) or (1, n_out), flat, as a view."""
        return store[self.leaf].reshape(-1)[self.part]


class Link(NamedTuple):
    """A layer of a chain; a Dropout has no W, a Dense may have no b."""

    layer: Any  # Dense or Dropout
    n_in: int
    n_out: int
    W: Place | None
    b: Place | None


def has_kernels(network, loss, rule, plain: bool) -> bool:
    """Tell whether GPUs have kernels for a network's steps, if its parameters lie as usual.

    plain: whether the update is the rule's alone.
    """
    layers = getattr(network, "layers", ())
    kinds = [type(layer) for layer in layers]
    if type(network) is not Network or kinds[-1:] != [Dense] or {*kinds} - {Dense, Dropout}:
        return False
    drops = [type(layer) is Dropout for layer in layers if type(layer) is Dense or layer.rate]
    activations = [get_activation(layer.activation) for layer in layers if type(layer) is Dense]
    return (
        plain
        and type(rule) in RULE_KINDS
        and loss in LOSS_KINDS.values()
        and all(record in ACTIVATIONS.values() for record in activations)
        and not any(a and b for a, b in zip(drops, drops[1:]))  # two in a row
        # Its kernel takes logits as they come.
        and (loss.name != "log_loss" or activations[-1].name == "identity")
    )


@lru_cache(maxsize=128)
def chain_of(network, layout) -> tuple[Link, ...] | None:
    """Return a network's links, the last a Dense; None where a layer is another or does not fit."""
    kinds = [type(layer) for layer in getattr(network, "layers", ())]
    if type(network) is not Network or kinds[-1:] != [Dense] or {*kinds} - {Dense, Dropout}:
        return None
    place, shape = {}, {}
    for leaf in layout.leaves:
        if leaf.group not in (WEIGHTS, OFFSETS):
            return None
        stop = 0
        for slot in leaf.slots:
            start, stop = stop, stop + slot.size
            place[slot.path], shape[slot.path] = Place(leaf.name, slice(start, stop)), slot.shape
    if any((i, "W") not in shape for i, kind in enumerate(kinds) if kind is Dense):
        return None
    width, links = shape[kinds.index(Dense), "W"][0], []
    for i, layer in enumerate(network.layers):
        before = width
        n_in, width = shape.get((i, "W"), (width, width))
        if (n_in, shape.get((i, "b"), (1, width))) != (before, (1, width)):
            return None
        links.append(Link(layer, n_in, width, place.get((i, "W")), place.get((i, "b"))))
    return tuple(links)


def holds(links, store, dtype):
    """Tell whether a store is as its layout says: users may put other arrays in."""
    places = [place for link in links for place in (link.W, link.b) if place]
    size = sum(place.part.stop - place.part.start for place in places)
    right = all(a.dtype == dtype and a.ndim == 2 for a in store.values())
    return right and sum(a.size for a in store.values()) == size


def check_rows(x, D):
    """Refuse rows that are not as wide as outputs were prepared for."""
    if x.shape[1:] != (D,):
        raise ShapeError(
            f"X is {x.shape}, expected (n_samples, {D}): rows are samples, with {D} features each."
        )
