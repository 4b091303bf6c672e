"""Update rules over a store of parameters: frozen records of pure functions.

p: parameter leaf, g: its gradient, rate: array () or (K, 1, 1). What a rate needs of the step
number (Adam's bias correction) is put in on the host in float64: in float32 on the device it would
be off by 1e-5, and cost launches.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..arrays import Array
from ..words import check_ranges, check_word

BELOW_1 = 0.0, float(np.nextafter(1.0, 0.0))  # at 1 a mean would never change
RANGES = {"momentum": (0.0, 1.0), "epsilon": (0.0, float(np.finfo(np.float64).max))}
RANGES |= dict.fromkeys(("beta_1", "beta_2", "rho"), BELOW_1)


class Rule:
    """Base class of update rules. A subclass is a frozen dataclass with a method `apply`.

    ``apply(p, g, rate, *slots, xp) -> (p, *slots)`` updates one array p by its gradient g of the
    same shape; it donates p, g and the slots: they may be written into. The rest are attributes.

    Attributes
    ----------
    slots : tuple of str
        Names of the arrays kept for each parameter array, zero at the start.
    arguments : tuple of str
        Fields that the estimators' arguments of those names set, where the rule is given by name.
    weight_decay : float
        What ``weight_decay=None`` means.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class SignSGD(Rule):
    ...     def apply(self, p, g, rate, *, xp):
    ...         return (p - rate * xp.sign(g),)
    >>> SignSGD().apply(np.ones((1, 2)), np.asarray([[3.0, -3.0]]), 0.1, xp=np)[0].tolist()
    [[0.9, 1.1]]
    """

    slots: Any = ()
    arguments: ClassVar[tuple[str, ...]] = ()
    weight_decay: ClassVar[float] = 0.0  # what ``weight_decay=None`` means

    def __post_init__(self):
        check_ranges(self, **{k: ends for k, ends in RANGES.items() if k in vars(self)})

    def rates(self, lr: float | np.ndarray, steps: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the rate of each step as a host array: `lr` itself, where there is no correction.

        Parameters
        ----------
        lr : float or ndarray (n_steps,)
        steps : sequence of int
            Numbers of the steps since the weights were drawn, from 1.
        """
        return np.broadcast_to(np.asarray(lr, np.float64), (len(steps),)).copy()

    apply: ClassVar[Callable[..., tuple]]


def init_state(rule: Any, params: dict[str, Array], *, xp: Any) -> dict[str, dict[str, Array]]:
    """Return the state of a rule before the first step: zeros.

    Parameters
    ----------
    rule : Rule
    params : dict of arrays
    xp : namespace

    Returns
    -------
    dict of dicts
        Name of a slot to a store of zeros, shaped like params.

    Examples
    --------
    >>> init_state(SGD(), {"weights": np.ones((1, 2))}, xp=np)
    {'v': {'weights': array([[0., 0.]])}}
    """
    return {slot: {name: xp.zeros_like(p) for name, p in params.items()} for slot in rule.slots}


def update(
    rule: Any,
    grads: dict[str, Array],
    state: dict[str, dict[str, Array]],
    params: dict[str, Array],
    rate: float | Array,
    shrink: Array | None,
    groups: Mapping,
    *,
    xp: Any,
) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
    """Update every array of a store by a rule.

    It donates grads, state and params: their arrays may be written into.

    Parameters
    ----------
    rule : Rule
    grads : dict of arrays
    state : dict of dicts
        As `init_state` returns it.
    params : dict of arrays
    rate : float or array () or (K, 1, 1)
        Of this step, of ``rule.rates``.
    shrink : array or None
        Learning rate times decoupled weight decay; None for none.
    groups : dict of Group
        For each array, which says its share of the rate and whether it decays.
    xp : namespace

    Returns
    -------
    params : dict of arrays
    state : dict of dicts

    References
    ----------
    Loshchilov & Hutter 2019, algorithm 2, for the decay.

    Examples
    --------
    >>> from xpmlp.nn import WEIGHTS
    >>> params, grads = {"weights": np.ones((1, 2))}, {"weights": np.full((1, 2), 5.0)}
    >>> update(SGD(0.0), grads, {}, params, 0.1, None, {"weights": WEIGHTS}, xp=np)[0]
    {'weights': array([[0.5, 0.5]])}
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
    """Gradient descent with momentum, by Nesterov's form or the plain one.

    ``v = mu v - lr g``, ``p += v``; with Nesterov ``p += mu v - lr g``.

    Parameters
    ----------
    momentum : float, default=0.9
        mu; at 0 there is no v.
    nesterovs_momentum : bool, default=True

    References
    ----------
    Sutskever et al. 2013, eq. 3 and 4, written at the look-ahead point as scikit-learn does;
    PyTorch keeps lr outside v, which differs when lr changes.
    """

    momentum: float = 0.9
    nesterovs_momentum: bool = True
    arguments = ("momentum", "nesterovs_momentum")

    @property
    def slots(self) -> tuple[str, ...]:
        """Velocity v, where there is momentum."""
        if not self.momentum:
            return ()
        return ("v",)

    def apply(self, p: Array, g: Array, rate: Array, *slots: Array, xp: Any) -> tuple:
        """Return p, and v where there is momentum, after a step."""
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
    """Adam: steps along the mean gradient, divided by the root of the mean square.

    ``m = b1 m + (1-b1) g``, ``v = b2 v + (1-b2) g^2``,
    ``p -= lr sqrt(1-b2^t)/(1-b1^t) m/(sqrt(v)+eps)``.

    Parameters
    ----------
    beta_1, beta_2, epsilon : float, default=0.9, 0.999 and 1e-8

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

    def rates(self, lr: float | np.ndarray, steps: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return lr with both bias corrections in it."""
        steps = np.asarray(steps, np.float64)
        return lr * np.sqrt(1.0 - self.beta_2**steps) / (1.0 - self.beta_1**steps)

    def apply(self, p: Array, g: Array, rate: Array, m: Array, v: Array, *, xp: Any) -> tuple:
        """Return p, m and v after a step."""
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
    """Adam with decoupled weight decay: p -= lr weight_decay p, for weights only, by default 0.01.

    Parameters
    ----------
    beta_1, beta_2, epsilon : float, default=0.9, 0.999 and 1e-8

    References
    ----------
    Loshchilov & Hutter 2019, algorithm 2; the decay is times lr, as PyTorch and Keras have it.
    """

    weight_decay = 0.01


@dataclass(frozen=True)
class RMSprop(Rule):
    """RMSprop: steps along the gradient, divided by the root of its mean square.

    ``v = rho v + (1-rho) g^2``, ``p -= lr g / (sqrt(v) + eps)``.

    Parameters
    ----------
    rho, epsilon : float, default=0.9 and 1e-8

    References
    ----------
    Tieleman & Hinton 2012 (lecture 6.5): rho = 0.9. Epsilon stands outside the root, as in PyTorch;
    TensorFlow 1 had it inside. Without bias correction: PyTorch's and Keras' form.
    """

    rho: float = 0.9
    epsilon: float = 1e-8
    arguments = ("epsilon",)
    slots = ("v",)

    def apply(self, p: Array, g: Array, rate: Array, v: Array, *, xp: Any) -> tuple:
        """Return p and v after a step."""
        v *= self.rho
        v += (1.0 - self.rho) * (g * g)
        root = xp.sqrt(v)
        root += self.epsilon
        p -= rate * g / root
        return p, v


@dataclass(frozen=True)
class Adagrad(Rule):
    """Adagrad: steps along the gradient, divided by the root of the sum of its squares.

    ``v += g^2``, ``p -= lr g / (sqrt(v) + eps)``.

    Parameters
    ----------
    epsilon : float, default=1e-8

    References
    ----------
    Duchi et al. 2011, with v starting at 0 and epsilon outside the root, as PyTorch; Keras starts
    v at 0.1.
    """

    epsilon: float = 1e-8
    arguments = ("epsilon",)
    slots = ("v",)

    def apply(self, p: Array, g: Array, rate: Array, v: Array, *, xp: Any) -> tuple:
        """Return p and v after a step."""
        v += g * g
        root = xp.sqrt(v)
        root += self.epsilon
        p -= rate * g / root
        return p, v


@dataclass(frozen=True)
class Nadam(Adam):
    """Adam with Nesterov's look-ahead.

    As `Adam`, with ``b1 m + (1-b1) g`` in place of m, divided by ``1 - b1^(t+1)``.

    Parameters
    ----------
    beta_1, beta_2, epsilon : float, default=0.9, 0.999 and 1e-8

    References
    ----------
    Dozat 2016, algorithm 2, with a constant b1 and one correction for both terms, with which their
    weights sum to one; there g is divided by 1 - b1^t. PyTorch and Keras let b1 grow from step to
    step.
    """

    def rates(self, lr: float | np.ndarray, steps: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return lr with both bias corrections in it."""
        steps = np.asarray(steps, np.float64)
        return lr * np.sqrt(1.0 - self.beta_2**steps) / (1.0 - self.beta_1 ** (steps + 1.0))

    def apply(self, p: Array, g: Array, rate: Array, m: Array, v: Array, *, xp: Any) -> tuple:
        """Return p, m and v after a step."""
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
    """Lion: steps of size lr, along the sign of a mean gradient.

    ``p -= lr sign(b1 m + (1-b1) g)``, ``m = b2 m + (1-b2) g``. It needs a tenth of Adam's rate.

    Parameters
    ----------
    beta_1, beta_2 : float, default=0.9 and 0.99
        As in the paper; the estimators' arguments of these names do not change them.

    References
    ----------
    Chen et al. 2023, algorithm 2.
    """

    beta_1: float = 0.9
    beta_2: float = 0.99
    slots = ("m",)

    def apply(self, p: Array, g: Array, rate: Array, m: Array, *, xp: Any) -> tuple:
        """Return p and m after a step."""
        p -= rate * xp.sign(self.beta_1 * m + (1.0 - self.beta_1) * g)
        m *= self.beta_2
        m += (1.0 - self.beta_2) * g
        return p, m


RULES = {kind.__name__.lower(): kind for kind in (SGD, Adam, AdamW, Nadam, Lion, RMSprop, Adagrad)}
SOLVERS = (*RULES, "lbfgs")
RULE_ARGUMENTS = {name for kind in RULES.values() for name in kind.arguments}


def make_rule(solver: str | Rule, **arguments: Any) -> Any:
    """Return the update rule of a name, or the given Rule itself.

    Parameters
    ----------
    solver : str or Rule
        "sgd", "adam", "adamw", "nadam", "lion", "rmsprop", "adagrad", or "lbfgs".
    **arguments : float or bool
        Any of `RULE_ARGUMENTS` (momentum, beta_1, ...), of which the named rule takes its own.

    Returns
    -------
    Rule or None
        None for "lbfgs", which takes no such steps.

    Raises
    ------
    TypeError
        For an argument that no rule has.
    ValueError
        For an unknown name; the message lists the known ones.

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
