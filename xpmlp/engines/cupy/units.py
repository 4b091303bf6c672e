"""Numbers by which kernels.cu knows activations, losses and rules."""

from typing import Any, NamedTuple

import numpy as np

from ...nn.activations import get_activation
from ...optim import SGD, Adagrad, Adam, AdamW, RMSprop
from ...randomness import fold_in
from ..chain import chain_of, has_kernels

# As kernels.cu counts them; `slope` takes z for the second kind, else the activation.
ACTIVATIONS = (
    "identity logistic tanh relu leaky_relu elu selu gelu gelu_tanh silu mish softplus softsign "
    "hard_tanh"
).split()
OF_Z = {"gelu", "gelu_tanh", "silu", "mish", "softplus", "softsign"}


def code_of(activation):
    """Return an activation's number, and whether its derivative takes z."""
    return ACTIVATIONS.index(activation), activation in OF_Z


class Unit(NamedTuple):
    """A Dense layer, and the dropout of its outputs."""

    link: Any
    act: str
    drop: tuple = (0, 0, 1.0)  # the layer's place hashed, the limit, the scale


def units_of(step):
    """Return the dropout of the inputs and the units of a step, or None where it is no chain."""
    links = chain_of(step.network, step.layout)
    known = has_kernels(step.network, step.loss, step.rule, step.plain)
    if links is None or not known or not all(leaf.flat for leaf in step.layout.leaves):
        return None
    start, units = (0, 0, 1.0), []
    for i, link in enumerate(links):
        if link.W:
            units.append(Unit(link, get_activation(link.layer.activation).name))
        elif link.layer.rate:
            word = int(fold_in(np.zeros((1, 2), np.int32), (i,))[0, 0])
            drop = word % 2**32, round(link.layer.rate * 2**24), 1.0 / (1.0 - link.layer.rate)
            if units:
                units[-1] = units[-1]._replace(drop=drop)
            else:
                start = drop
    return start, units


def rule_numbers(rule):
    """Return a rule's number in kernels.cu and its five factors, or None for one of a user's."""
    if type(rule) is SGD and not rule.momentum:
        return 0, 0.0, 0.0, 0.0, 0.0, 0.0
    if type(rule) is SGD:
        return 1 + rule.nesterovs_momentum, rule.momentum, 0.0, 0.0, 0.0, 0.0
    if type(rule) in (Adam, AdamW):
        return 3, rule.beta_1, 1.0 - rule.beta_1, rule.beta_2, 1.0 - rule.beta_2, rule.epsilon
    if type(rule) is RMSprop:
        return 4, rule.rho, 1.0 - rule.rho, 0.0, 0.0, rule.epsilon
    if type(rule) is Adagrad:
        return 5, 0.0, 0.0, 0.0, 0.0, rule.epsilon
    return None
