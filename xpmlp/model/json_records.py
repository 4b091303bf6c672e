"""Layers, losses, rules and other records as plain JSON, and back: no code, no pickle."""

from dataclasses import fields, is_dataclass
from reprlib import repr as brief

import numpy as np

from ..nn import LAYERS, Loss, Network, initializers
from ..nn.activations import ACTIVATIONS, ActivationFunction
from ..nn.losses import LOSSES, MAKERS
from ..optim import RULES, schedules

MAX_DEPTH = 64  # of lists and records in one another
MAX_LAYERS = 2048
LARGEST = float(np.finfo(np.float64).max)
PLAIN = {float: (int, float), int: (int,), bool: (bool,), str: (str,)}  # fields of records


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


def check_layers(stored):
    """Raise ValueError for more layers, those in others among them, than a network has.

    Many have no arrays, so that nothing else in a file counts them.
    """
    waiting, n = list(stored), 0
    while waiting and n <= MAX_LAYERS:
        value = waiting.pop()
        n += isinstance(value, dict) and "record" in value
        if isinstance(value, dict | list | tuple):
            waiting += value.values() if isinstance(value, dict) else value
    if n > MAX_LAYERS:
        raise ValueError(f"it has more than {MAX_LAYERS} layers")


def decode(value, depth=0):
    """Return the value that `encode` made JSON of, or raise ValueError for what it never makes."""
    if depth > MAX_DEPTH:
        raise ValueError(f"it nests lists and records more than {MAX_DEPTH} deep")
    if isinstance(value, list | tuple):
        return tuple(decode(v, depth + 1) for v in value)
    if not isinstance(value, dict):
        return _plain(value)
    own = value.get("fields")
    if own is not None and not isinstance(own, dict):
        raise ValueError(f"the fields of a record are {brief(own)}, expected an object")
    made = {k: decode(v, depth + 1) for k, v in (own or {}).items()}
    match sorted(value):
        case ["float"] if value["float"] in ("nan", "inf", "-inf"):
            return float(value["float"])
        case ["list"] if isinstance(value["list"], list):
            return list(decode(value["list"], depth + 1))
        case ["dict"] if isinstance(value["dict"], list):
            return _dict_of(decode(value["dict"], depth + 1))
        case ["fields", "loss"] if value["loss"] in [*MAKERS]:
            return MAKERS[value["loss"]](**made)
        case ["fields", "record"] if value["record"] in [*RECORDS]:
            return _record(RECORDS[value["record"]], made)
    raise ValueError(f"it holds {brief(value)}, which stands for nothing")


def decode_all(stored):
    """Return the decoded values of an object, by name."""
    return {name: decode(value) for name, value in stored.items()}


def _plain(value):
    """Return a text, a flag, None or a number; of the numbers those that a float holds."""
    if isinstance(value, int | float) and not abs(value) <= LARGEST:
        raise ValueError(f"it holds the number {brief(value)}, which is too large")
    return value


def _dict_of(pairs):
    """Return the dict of pairs whose first entries differ."""
    if not all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs):
        raise ValueError(f"it holds {brief(pairs)}, expected pairs of keys and values")
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("a key stands twice in a dict")
    return made


def _record(kind, own):
    """Return a record, once each field that is a plain number, text or flag is one."""
    for f in fields(kind):
        value = own.get(f.name, f.default)
        if f.type in PLAIN and (type(value) not in PLAIN[f.type] or value != value):
            raise ValueError(f"{kind.__name__} has {f.name}={brief(value)}")
    return kind(**own)
