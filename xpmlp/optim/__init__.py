"""Update rules and schedules: pure functions over a store of parameters."""

from .rules import RULES, SGD, Adagrad, Adam, AdamW, RMSprop, Rule, init_state, make_rule, update
from .schedules import Adaptive, Constant, InvScaling, make_schedule

__all__ = [
    "RULES", "SGD", "Adagrad", "Adam", "AdamW", "Adaptive", "Constant", "InvScaling", "RMSprop",
    "Rule", "init_state", "make_rule", "make_schedule", "update",
]  # fmt: skip
