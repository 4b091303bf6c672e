"""The State of a training: what goes on from call to call, from checkpoints and model files.

`pack_state` takes it apart into named arrays and JSON, `unpack_state` puts it together again, to
the last bit.
"""

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..arrays import to_host
from ..engines import Carry
from ..randomness import Draws, random_state

WHOLE = ("epoch", "step", "rule_step", "cycle", "n_seen", "n_iter", "stale", "best_epoch")
FLOATS = ("lr", "lr_init", "reference", "best_loss", "best_score")
TEXTS = ("scoring", "ended")
SEPARATOR = "/"


class Begun(NamedTuple):
    """An epoch of which some steps are done."""

    before: Carry  # a copy, from before it
    losses: np.ndarray  # (2, n_steps), of these steps: data loss and penalty


@dataclass
class State:
    """What training changes, kept from call to call."""

    carry: Carry
    lr: float
    lr_init: float | None = None  # learning_rate of the options, to notice another
    rule: Any = None  # whose state the carry holds
    draws: Any = None  # Draws: scikit-learn's stream, which each epoch advances
    epoch: int = 0  # or iteration, since the weights were initialised
    step: int = 0  # since then: names the dropout masks
    rule_step: int = 0  # since the rule's state was made: Adam's t
    cycle: int = 0  # epochs since then: the schedule's time
    n_seen: int = 0  # samples since the weights were initialised
    n_iter: int = 0  # epochs of this call
    stale: int = 0  # epochs without improvement
    reference: float = 0.0  # loss that divergence is measured against; 0: not known yet
    best_loss: float = np.inf
    best_score: float = -np.inf
    scoring: str = "None"  # what the best score is by: another begins the search for it again
    best_epoch: int = 0  # whose weights training ends with, as `epoch` counts; 0: the first ones
    history: dict[str, list[float]] = field(default_factory=lambda: new_history())
    ended: str | None = None  # why this call's training did, where it goes on no further
    best: Any = None  # while training: the parameters and buffers to end with
    begun: Begun | None = None  # while training: the epoch that is not over
    batch_losses: Any = None  # while training: of the last epoch, with the penalty


def new_history():
    """Return an empty history: one list a quantity, one entry an epoch, or none at all."""
    names = ("loss", "validation_loss", "validation_score", "learning_rate", "seconds")
    return {name: [] for name in names}


def append_epoch(history, **numbers):
    """Append an epoch's numbers; NaN where an epoch lacks what others have."""
    n = len(history["loss"])
    for name, values in history.items():
        if name in numbers:
            values += [float("nan")] * (n - len(values)) + [numbers[name]]
        elif values:
            values.append(float("nan"))


def pack_state(state, place=None):
    """Return a State as host arrays by name, and what JSON can hold; without its rule.

    place: where its draws stand, if elsewhere than they do.
    """
    words, order = place or state.draws.place()
    name, key, position, has_gauss, gauss = words
    nested = {
        **state.carry._asdict(),
        "history": {k: np.asarray(v, np.float64) for k, v in state.history.items() if v},
        "draws": {"words": np.asarray(key, np.uint32).view(np.int32)},
    }
    if order is not None:
        nested["draws"]["order"] = order.astype(np.int32)  # as of a plan's rows
    if state.best is not None:
        nested["best"] = dict(zip(("params", "buffers"), state.best))
    if state.begun is not None:
        nested["begun"] = {**state.begun.before._asdict(), "losses": state.begun.losses}
    own = {k: getattr(state, k) for k in (*WHOLE, *TEXTS)}
    numbers = {k: _as_json(getattr(state, k)) for k in FLOATS}
    drawn = {"generator": name, "position": position, "gauss": [has_gauss, gauss.hex()]}
    return {k: to_host(a) for k, a in _flat(nested)}, own | numbers | drawn


def unpack_state(arrays, meta):
    """Return the State that `pack_state` took apart, its arrays on the host.

    Raises
    ------
    ValueError, KeyError, TypeError
        These are not what `pack_state` makes.
    """
    nested = _nested(arrays)
    own: dict = {k: _whole(meta[k]) for k in WHOLE}
    own |= {k: meta[k] and _of_type(meta[k], str) for k in TEXTS}
    own |= {k: float(meta[k]) for k in FLOATS if k != "lr_init"}
    if not 0.0 <= own["lr"] < math.inf:  # a training at NaN repeats its epoch without end
        raise ValueError(f"its learning rate is {own['lr']}")
    own["lr_init"] = None if meta["lr_init"] is None else float(meta["lr_init"])
    history = new_history() | {k: a.tolist() for k, a in nested.get("history", {}).items()}
    drawn, (has_gauss, gauss) = nested["draws"], meta["gauss"]
    words = meta["generator"], drawn["words"].view(np.uint32), meta["position"]
    place = (*words, has_gauss, float.fromhex(gauss)), drawn.get("order")
    draws, best, begun = Draws(random_state(0)).go_to(place), None, nested.get("begun")
    if "best" in nested:
        best = tuple(nested["best"].get(part, {}) for part in ("params", "buffers"))
    if begun is not None:
        begun = Begun(_carry(begun), begun["losses"])
    more = {"draws": draws, "best": best, "begun": begun, "history": history}
    state = State(_carry(nested), **own, **more)
    _check(state)
    return state


def _check(state):
    """Refuse a State that no training has: files may be hostile."""
    order, begun = state.draws.order, state.begun
    if order is not None and not _is_permutation(order):
        raise ValueError("its order of the rows is not a row of int32 with each number once")
    lists = [values for values in state.history.values() if values]
    numbers = all(isinstance(value, float) for values in lists for value in values)
    if not numbers or any(len(values) > state.epoch for values in lists):
        raise ValueError("its history is not of numbers, one an epoch")
    if begun is not None and (begun.losses.ndim != 2 or len(begun.losses) != 2):
        raise ValueError("its losses are not pairs")


def _is_permutation(order):
    whole = order.ndim == 1 and order.dtype == np.int32
    return whole and np.array_equal(np.sort(order), np.arange(len(order)))


def _carry(nested):
    return Carry(*(nested.get(part, {}) for part in Carry._fields))


def _as_json(value):
    """Return a float as JSON can hold it: one that is not finite as text."""
    if value is None:
        return None
    return float(value) if math.isfinite(value) else str(value)


def _whole(value):
    """Return a count of epochs, steps or samples; of more than 2^62 arrays could not tell."""
    if not 0 <= _of_type(value, int) <= 1 << 62:
        raise ValueError(f"it counts {value!r:.40}")
    return value


def _of_type(value, kind):
    if type(value) is not kind:
        raise TypeError(f"it holds {value!r:.40}, expected {kind.__name__}")
    return value


def _flat(nested, path=()):
    """Yield the name and the array of each leaf of nested dicts."""
    for name, value in nested.items():
        if isinstance(value, dict):
            yield from _flat(value, (*path, name))
        else:
            yield SEPARATOR.join((*path, name)), value


def _nested(arrays):
    """Return the nested dicts that `_flat` took apart."""
    made: dict = {}
    for name, a in arrays.items():
        *path, last = name.split(SEPARATOR)
        inside = made
        for part in path:
            inside = inside.setdefault(part, {})
        inside[last] = a
    return made
