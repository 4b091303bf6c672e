"""Update rules over a store of parameters: frozen records of pure functions.

p: parameter leaf, g: its gradient, rate: array () or (K, 1, 1). What a rate needs of the step
number (Adam's bias correction) is put in on the host in float64: in float32 on the device it would
be off by 1e-5, and cost launches.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..words import check_word


class Rule:
    """The contract of an update rule. A subclass is a frozen dataclass.

    slots
        Names of the arrays kept per leaf, zero at the start.
    arguments
        Its fields that the estimators' arguments of those names set where it is given by name.
    rates(lr, steps) -> host array
        The rate of each step; `steps` counts from 1, `lr` is one number or one a step.
    apply(p, g, rate, *slots, xp) -> (p, *slots)
        One leaf's update.  Donates p, g and the slots.
    """

    slots: Any = ()
    arguments: ClassVar[tuple[str, ...]] = ()
    weight_decay: ClassVar[float] = 0.0  # what ``weight_decay=None`` means

    def rates(self, lr, steps):
        """Return each step's rate: `lr` itself, where the rule has no correction."""
        return np.broadcast_to(np.asarray(lr, np.float64), (len(steps),)).copy()

    apply: ClassVar[Callable[..., tuple]]


def init_state(rule, params, *, xp):
    """Return the rule's state for a store: slot -> store of zeros."""
    return {slot: {name: xp.zeros_like(p) for name, p in params.items()} for slot in rule.slots}


def update(rule, grads, state, params, rate, shrink, groups, *, xp):
    """Update every leaf of a store by a rule.

    shrink: learning rate times decoupled weight decay, or None for none.
    groups: name -> group of each leaf, which says its share of the rate and whether it decays.

    Donates grads, state and params. Returns params and state.
    """
    new_params: dict = {}
    new_state: dict = {slot: {} for slot in rule.slots}
    for name, p in params.items():
        group = groups[name]
        if shrink is not None and group.decay:
            p -= shrink * p  # Loshchilov & Hutter 2019, algorithm 2, with the rate as its schedule
        own = rate
        if group.rate != 1.0:
            own = rate * group.rate
        slots = (state[slot][name] for slot in rule.slots)
        new_params[name], *kept = rule.apply(p, grads[name], own, *slots, xp=xp)
        for slot, a in zip(rule.slots, kept):
            new_state[slot][name] = a
    return new_params, new_state


@dataclass(frozen=True)
class SGD(Rule):
    """Gradient descent, with momentum: v = mu v - lr g, p += v; with Nesterov p += mu v - lr g.

    References
    ----------
    Sutskever et al. 2013, eq. 3 and 4, written at the look-ahead point as scikit-learn does;
    PyTorch keeps lr outside v, which differs when lr changes.
    """

    momentum: float = 0.9
    nesterovs_momentum: bool = True
    arguments = ("momentum", "nesterovs_momentum")

    @property
    def slots(self):
        """The velocity, if there is momentum."""
        if not self.momentum:
            return ()
        return ("v",)

    def apply(self, p, g, rate, *slots, xp):
        """Return p and v."""
        g *= rate
        if not slots:
            p -= g
            return (p,)
        (v,) = slots
        v *= self.momentum
        v -= g
        if self.nesterovs_momentum:
            p -= g
            p += self.momentum * v
        else:
            p += v
        return p, v


@dataclass(frozen=True)
class Adam(Rule):
    """m = b1 m + (1-b1) g, v = b2 v + (1-b2) g^2, p -= lr sqrt(1-b2^t)/(1-b1^t) m/(sqrt(v)+eps).

    References
    ----------
    Kingma & Ba 2015, in the order of section 2's last paragraph, as scikit-learn: epsilon is added
    to sqrt(v). PyTorch adds it to the bias-corrected root, so its epsilon is larger in early steps.
    """

    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-8
    arguments = ("beta_1", "beta_2", "epsilon")
    slots = ("m", "v")

    def rates(self, lr, steps):
        """Return lr with both bias corrections in it."""
        steps = np.asarray(steps, np.float64)
        return lr * np.sqrt(1.0 - self.beta_2**steps) / (1.0 - self.beta_1**steps)

    def apply(self, p, g, rate, m, v, *, xp):
        """Return p, m and v."""
        m *= self.beta_1
        m += (1.0 - self.beta_1) * g
        g *= g
        g *= 1.0 - self.beta_2
        v *= self.beta_2
        v += g
        root = xp.sqrt(v)
        root += self.epsilon
        p -= rate * m / root
        return p, m, v


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay: p -= lr weight_decay p, weights only, 0.01 if not said.

    References
    ----------
    Loshchilov & Hutter 2019, algorithm 2; the decay is times lr, as PyTorch and Keras have it.
    """

    weight_decay = 0.01


@dataclass(frozen=True)
class RMSprop(Rule):
    """v = rho v + (1-rho) g^2, p -= lr g / (sqrt(v) + eps).

    References
    ----------
    Tieleman & Hinton 2012 (lecture 6.5): rho = 0.9. Epsilon stands outside the root, as in PyTorch;
    TensorFlow 1 had it inside. Without bias correction: PyTorch's and Keras' form.
    """

    rho: float = 0.9
    epsilon: float = 1e-8
    arguments = ("epsilon",)
    slots = ("v",)

    def apply(self, p, g, rate, v, *, xp):
        """Return p and v."""
        v *= self.rho
        v += (1.0 - self.rho) * (g * g)
        root = xp.sqrt(v)
        root += self.epsilon
        p -= rate * g / root
        return p, v


@dataclass(frozen=True)
class Adagrad(Rule):
    """v += g^2, p -= lr g / (sqrt(v) + eps).

    References
    ----------
    Duchi et al. 2011, with v starting at 0 and epsilon outside the root, as PyTorch; Keras starts
    v at 0.1.
    """

    epsilon: float = 1e-8
    arguments = ("epsilon",)
    slots = ("v",)

    def apply(self, p, g, rate, v, *, xp):
        """Return p and v."""
        v += g * g
        root = xp.sqrt(v)
        root += self.epsilon
        p -= rate * g / root
        return p, v


@dataclass(frozen=True)
class Nadam(Adam):
    """Adam with Nesterov's look-ahead: b1 m + (1-b1) g in place of m, divided by 1 - b1^(t+1).

    References
    ----------
    Dozat 2016, algorithm 2, with a constant b1 and one correction for both terms, with which their
    weights sum to one; there g is divided by 1 - b1^t. PyTorch and Keras let b1 grow from step to
    step.
    """

    def rates(self, lr, steps):
        """Return lr with both bias corrections in it."""
        steps = np.asarray(steps, np.float64)
        return lr * np.sqrt(1.0 - self.beta_2**steps) / (1.0 - self.beta_1 ** (steps + 1.0))

    def apply(self, p, g, rate, m, v, *, xp):
        """Return p, m and v."""
        m *= self.beta_1
        m += (1.0 - self.beta_1) * g
        ahead = self.beta_1 * m + (1.0 - self.beta_1) * g
        g *= g
        v *= self.beta_2
        v += (1.0 - self.beta_2) * g
        p -= rate * ahead / (xp.sqrt(v) + self.epsilon)
        return p, m, v


@dataclass(frozen=True)
class Lion(Rule):
    """p -= lr sign(b1 m + (1-b1) g), m = b2 m + (1-b2) g: every step is of size lr.

    It wants about a tenth of Adam's learning rate.

    References
    ----------
    Chen et al. 2023, algorithm 2, with its b1 = 0.9 and b2 = 0.99, whatever beta_1 and beta_2 are.
    """

    beta_1: float = 0.9
    beta_2: float = 0.99
    slots = ("m",)

    def apply(self, p, g, rate, m, *, xp):
        """Return p and m."""
        p -= rate * xp.sign(self.beta_1 * m + (1.0 - self.beta_1) * g)
        m *= self.beta_2
        m += (1.0 - self.beta_2) * g
        return p, m


RULES = {kind.__name__.lower(): kind for kind in (SGD, Adam, AdamW, Nadam, Lion, RMSprop, Adagrad)}
SOLVERS = (*RULES, "lbfgs")
RULE_ARGUMENTS = {name for kind in RULES.values() for name in kind.arguments}


def make_rule(solver, **arguments):
    """Return the rule of a name with those of `RULE_ARGUMENTS` that it uses, or the rule itself.

    For "lbfgs" it returns None: L-BFGS makes no such steps.

    Examples
    --------
    >>> make_rule("sgd", momentum=0.0, beta_1=0.5)
    SGD(momentum=0.0, nesterovs_momentum=True)
    """
    if unknown := arguments.keys() - RULE_ARGUMENTS:
        raise TypeError(f"no rule has an argument {min(unknown)!r}.")
    if isinstance(solver, Rule):
        return solver
    if solver == "lbfgs":
        return None
    check_word("solver", solver, SOLVERS, " or a Rule")
    kind = RULES[solver]
    given = [name for name in kind.arguments if name in arguments]
    return kind(**{name: type(getattr(kind, name))(arguments[name]) for name in given})
