"""The State of a training in a model file: `partial_fit` goes on from it, to the last bit."""

from dataclasses import replace

import numpy as np

from ..model.fields import (
    anything,
    flag,
    maybe,
    measured,
    number,
    record,
    row,
    text,
    title,
    whole,
    word,
    written,
)
from ..model.json_records import decode_all, encode
from ..model.saving import OF_TRAINING
from ..nn import Layout
from ..optim import SGD, Rule
from ..training import State, pack_state, unpack_state
from ..training.state import FLOATS, TEXTS, WHOLE

HEX = r"-?0x[01]\.[0-9a-f]{1,13}p[+-]\d{1,4}"  # of a float, as `float.hex` writes it
RULE = record({"record": text, "fields": anything})  # `decode` checks the fields
STATE = {  # beside the arrays, and beside what a file has without a State
    **dict.fromkeys(("rule_step", "cycle", "stale"), whole()),
    "lr": number(0.0),
    "lr_init": maybe(number(0.0)),
    "reference": measured("inf"),
    "scoring": title,
    "generator": word("MT19937"),
    "position": whole(0, 624),
    "gauss": row(whole(0, 1), written(HEX, "a float in hexadecimal")),
    "rule": maybe(RULE),
    "random_state": flag,  # whether that argument is a RandomState
}
AVERAGED = "params"  # what training goes on from where it predicts with an average
AVERAGES = (), ("state/ema",), ("state/ema", AVERAGED)


def pack_training(estimator, state):
    """Return a State as arrays by their names in a file, and as JSON; none where it has no draws.

    Such is the State of a model that the user made, or that comes from a file without one.
    """
    if state.draws is None:
        return {}, None
    given, place = estimator.random_state, None
    goes_on = isinstance(given, np.random.RandomState)
    if goes_on:
        place = given.get_state(), state.draws.order
    arrays, about = pack_state(replace(state, history={}), place)
    about |= {name: getattr(state, name) for name in FLOATS}
    about |= {"gauss": (*about["gauss"],), "rule": state.rule, "random_state": goes_on}
    kept = {name: encode(about[name], "solver") for name in STATE}
    return {f"{OF_TRAINING}{name}": a for name, a in arrays.items()}, kept


def unpack_training(arrays, stored, state, model):
    """Return a State with what a file holds of it, which is checked: the file may be hostile.

    arrays: by their names in the State; stored: what `STATE` checks; state: that of the file
    without them.
    """
    about = {name: getattr(state, name) for name in (*WHOLE, *FLOATS, *TEXTS)} | decode_all(stored)
    rule = about["rule"]
    if not isinstance(rule, Rule | None):
        raise ValueError(f"its update rule is {rule!r:.60}")
    for name, total in {"rule_step": "step", "cycle": "epoch", "stale": "epoch"}.items():
        if about[name] > about[total]:
            raise ValueError(f"its {name} is {about[name]}, expected {about[total]} at most")
    _check_arrays(arrays, rule, model)
    made: State = unpack_state(arrays, about)
    return replace(made, history=state.history, rule=rule)


def _check_arrays(arrays, rule, model):
    """Refuse arrays of other names, shapes and types than training with this rule has."""
    found = {name: f"{a.dtype} {a.shape}" for name, a in arrays.items()}
    words = found.pop("draws/words", None)
    found.pop("draws/order", None)  # which `unpack_state` checks
    if words != "int32 (624,)":
        raise ValueError(f"the words of its generator are {words}, expected int32 (624,)")
    stores = [f"state/{slot}" for slot in getattr(rule, "slots", ())]
    params = model.params(np.empty(0))
    flat, split = (Layout.of(model.network, params, contiguous=c) for c in (True, False))
    allowed = [
        {
            f"{store}/{name}": f"{model.inputs.dtype} {shape}"
            for store in (*stores, *more)
            for name, shape in _shapes(layout)
        }
        for layout in (flat, split)  # JAX has the latter
        for more in AVERAGES
    ]
    if found not in allowed:
        near = min(allowed, key=lambda names: len(names.items() ^ found.items()))
        name = min(near.items() ^ found.items())[0]
        got, expected = (of.get(name, "missing") for of in (found, near))
        raise ValueError(f"array {OF_TRAINING}{name} is {got}, it should be {expected}")
    for name, a in arrays.items():  # v of SGD is a velocity, of the others a mean square
        if name.startswith("state/v/") and not isinstance(rule, SGD) and not (a >= 0).all():
            raise ValueError(f"array {OF_TRAINING}{name} holds squares below 0")


def _shapes(layout):
    """Yield the name and the shape of each array of a store of what the rule trains."""
    for leaf in layout.leaves:
        if leaf.flat:
            yield leaf.name, (1, sum(slot.size for slot in leaf.slots))
        elif leaf.group.trained:
            yield leaf.name, leaf.slots[0].shape
