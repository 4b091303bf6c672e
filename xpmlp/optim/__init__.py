"""Update rules, schedules and bounds: pure functions over a store of parameters."""

from .clipping import bound_weights, clip_gradients
from .rules import (
    RULES,
    SGD,
    Adagrad,
    Adam,
    AdamW,
    Lion,
    Nadam,
    RMSprop,
    Rule,
    init_state,
    make_rule,
    update,
)
from .schedules import (
    SCHEDULES,
    Adaptive,
    ByEpoch,
    Constant,
    Cosine,
    InvScaling,
    OneCycle,
    Plateau,
    Schedule,
    StepDecay,
    Warmup,
    make_schedule,
)

__all__ = [
    "RULES", "SCHEDULES", "SGD", "Adagrad", "Adam", "AdamW", "Adaptive", "ByEpoch", "Constant",
    "Cosine", "InvScaling", "Lion", "Nadam", "OneCycle", "Plateau", "RMSprop", "Rule", "Schedule",
    "StepDecay", "Warmup", "bound_weights", "clip_gradients", "init_state", "make_rule",
    "make_schedule", "update",
]  # fmt: skip
