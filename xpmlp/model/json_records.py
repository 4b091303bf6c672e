"""Layers, losses, rules and other records as plain JSON, and back: no code, no pickle."""

from dataclasses import fields, is_dataclass

import numpy as np

from ..nn import LAYERS, Loss, Network, initializers
from ..nn.activations import ACTIVATIONS, ActivationFunction
from ..nn.losses import LOSSES, MAKERS
from ..optim import RULES, schedules

MAX_DEPTH = 64  # of lists and records in one another


def _dataclasses(module):
    classes = [c for c in vars(module).values() if isinstance(c, type) and is_dataclass(c)]
    return [c for c in classes if c.__module__ == module.__name__]


_CLASSES = (Network, *LAYERS.values(), *RULES.values())
# What a file may name: records of numbers, names and other records.
RECORDS = {c.__name__: c for m in (initializers, schedules) for c in (*_CLASSES, *_dataclasses(m))}


def encode(value, where):
    """Return a value as JSON can hold it, or raise a TypeError that names it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, ActivationFunction | Loss):
        if (ACTIVATIONS | LOSSES).get(value.name) == value:
            return value.name
        if isinstance(value, Loss) and value.name in MAKERS and is_dataclass(value.value_and_grad):
            own = vars(value.value_and_grad)
            if MAKERS[value.name](**own) == value:
                own = {k: encode(v, where) for k, v in own.items()}
                return {"loss": value.name, "fields": own}
    elif isinstance(value, list | tuple | np.ndarray):
        items = [encode(v, where) for v in value]
        return {"list": items} if isinstance(value, list) else items
    if isinstance(value, dict):
        return {"dict": [[encode(k, where), encode(v, where)] for k, v in value.items()]}
    if isinstance(value, type | np.dtype):  # dtype=np.float32
        return np.dtype(value).name
    if is_dataclass(value) and type(value) is RECORDS.get(type(value).__name__):
        own = {f.name: encode(getattr(value, f.name), where) for f in fields(value)}
        return {"record": type(value).__name__, "fields": own}
    raise TypeError(
        f"a model file holds no code of your own, and {where} holds {value!r}: pickle the "
        "estimator, or rebuild the network from xpmlp's own layers and activations."
    )


def decode(value, depth=0):
    """Return the value that `encode` made JSON of."""
    if depth > MAX_DEPTH:
        raise ValueError(f"it nests lists and records more than {MAX_DEPTH} deep")
    if isinstance(value, list):
        return tuple(decode(v, depth + 1) for v in value)
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    if "list" in value:
        return list(decode(value["list"], depth + 1))
    if "dict" in value:
        return dict(decode(value["dict"], depth + 1))
    made = {k: decode(v, depth + 1) for k, v in value["fields"].items()}
    return MAKERS[value["loss"]](**made) if "loss" in value else RECORDS[value["record"]](**made)
