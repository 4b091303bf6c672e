"""Learning-rate schedules: small records of host arithmetic.

t, n_epochs: epochs since the schedule began, as a real number, and the number of all epochs.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar

import numpy as np

from ..words import check_ranges, check_word


class Schedule:
    """Base class of learning-rate schedules. A subclass is a frozen dataclass.

    Its methods follow; each has a default, which keeps the rate. Class attributes say the rest.

    Attributes
    ----------
    asked_ahead : bool
        Whether several epochs may be asked for at once, of which the last may never come: true for
        built-in schedules, and for yours where you say so. It makes small epochs faster.
    has_end : bool
        Whether the schedule is to be followed to its end: then a plateau of the training loss does
        not end the training; one of the validation score does.
    only_sgd : bool
        Whether estimators follow it for sgd only, where it is given by name, as scikit-learn does.
    arguments : tuple of str
        Fields that the estimators' arguments of those names set, where it is given by name.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> @dataclass(frozen=True)
    ... class Halved(Schedule):
    ...     def after_epoch(self, lr_init, lr, n_seen):
    ...         return lr / 2
    >>> Halved().after_epoch(0.1, 0.1, n_seen=100)
    0.05
    """

    has_end: ClassVar[bool] = False
    only_sgd: ClassVar[bool] = False
    arguments: ClassVar[tuple[str, ...]] = ()

    @property
    def asked_ahead(self) -> bool:
        """Whether it is built in, so that its answers follow from the arguments alone."""
        return type(self) in SCHEDULES.values()

    def rates(self, lr: float, epoch: int, n_batches: int, n_epochs: float) -> np.ndarray:
        """Return the learning rate of each step (n_batches,) of an epoch, just before it.

        lr: as `after_epoch` and `on_plateau` made it of `learning_rate_init`; epoch: from 0;
        n_batches: steps of an epoch; n_epochs: all epochs that there will be.
        """
        return np.full(n_batches, lr, np.float64)

    def after_epoch(self, lr_init: float, lr: float, n_seen: int) -> float:
        """Return the learning rate of the next epoch.

        lr_init, lr: those of the first epoch and of the last one; n_seen: samples so far.
        """
        return lr

    def on_plateau(self, lr: float) -> float | None:
        """Return the rate to go on with, at rate `lr`, when nothing improves, or None to stop."""
        return None

    def after_divergence(self, lr: float) -> float | None:
        """Return the rate to repeat an epoch with that diverged at rate `lr`, or None to stop.

        None ends the training with an error.
        """
        return None


@dataclass(frozen=True)
class Constant(Schedule):
    """Keep the learning rate; a plateau ends the training.

    Examples
    --------
    >>> Constant().after_epoch(0.1, 0.1, n_seen=100), Constant().on_plateau(0.1)
    (0.1, None)
    """


@dataclass(frozen=True)
class InvScaling(Schedule):
    """Lower the rate by a power of the number of samples seen, as scikit-learn's.

    It is lr_init in the first epoch, then ``lr_init / (n_seen + 1)^power_t``.

    Parameters
    ----------
    power_t : float, default=0.5

    Examples
    --------
    >>> InvScaling(0.5).after_epoch(0.1, 0.1, n_seen=99)
    0.01
    """

    power_t: float = 0.5
    only_sgd = True
    arguments = ("power_t",)

    def __post_init__(self):
        check_ranges(self, power_t=(0.0, math.inf))

    def after_epoch(self, lr_init: float, lr: float, n_seen: int) -> float:
        """Return the learning rate of the next epoch."""
        with np.errstate(over="ignore"):  # the rate is 0 then
            return float(lr_init / np.float64(n_seen + 1) ** float(self.power_t))


@dataclass(frozen=True)
class Plateau(Schedule):
    """Multiply the rate by `factor` on each plateau, and stop on one at `lowest` or below.

    A plateau is `n_iter_no_change` epochs without an improvement of `tol`, of the training loss or,
    with early stopping, of the validation score. An epoch that diverges is taken back and repeated
    with the lower rate.

    Parameters
    ----------
    factor, lowest : float, default=0.5 and 1e-6

    Examples
    --------
    >>> Plateau().on_plateau(0.5), Plateau().on_plateau(1e-7)
    (0.25, None)
    """

    factor: float = 0.5
    lowest: float = 1e-6

    def on_plateau(self, lr: float) -> float | None:
        """Return the learning rate to go on with, or None to stop."""
        if lr <= self.lowest:
            return None
        return lr * self.factor

    after_divergence = on_plateau


@dataclass(frozen=True)
class Adaptive(Plateau):
    """Divide the rate by 5 on each plateau, and stop on one at 1e-6 or below, as scikit-learn's.

    Parameters
    ----------
    factor, lowest : float, default=0.2 and 1e-6

    Examples
    --------
    >>> Adaptive().on_plateau(0.5), Adaptive().on_plateau(1e-7)
    (0.1, None)
    """

    factor: float = 0.2
    only_sgd = True
    after_divergence = Schedule.after_divergence


@dataclass(frozen=True)
class Warmup(Schedule):
    """Raise the rate in equal steps over the first `warmup` epochs, then keep it.

    Parameters
    ----------
    warmup : float, default=5.0
        In epochs, as in all schedules that have it.

    References
    ----------
    Goyal et al. 2017, section 2.2.

    Examples
    --------
    >>> Warmup(2).rates(0.8, epoch=0, n_batches=2, n_epochs=10).round(3).tolist()
    [0.1, 0.3]
    """

    warmup: float = 5.0

    def rates(self, lr: float, epoch: int, n_batches: int, n_epochs: float) -> np.ndarray:
        """Return the learning rate of each step of an epoch, at the middle of the step."""
        t = epoch + (np.arange(n_batches) + 0.5) / n_batches
        rise = np.minimum(t / (self.warmup or 1e-9), 1.0)  # 1 without a warm-up
        left = max(n_epochs - self.warmup, 1e-9)
        after = np.clip(t - self.warmup, 0.0, left)
        return _checked(lr * rise * np.asarray([self.factor(x, left) for x in after]), epoch)

    def factor(self, t: float, n_epochs: float) -> float:
        """Return the factor of the rate, t of n_epochs epochs (real numbers) after the warm-up."""
        return 1.0


@dataclass(frozen=True)
class Cosine(Warmup):
    """Let the rate fall along half a cosine, to `lowest` times its first value.

    Parameters
    ----------
    warmup : float, default=0.0
        Epochs in which the rate rises before.
    lowest : float, default=0.0
        As a share of the rate.

    References
    ----------
    Loshchilov & Hutter 2017, eq. 5, without restarts.

    Examples
    --------
    >>> Cosine().rates(1.0, epoch=0, n_batches=2, n_epochs=1).round(3).tolist()
    [0.854, 0.146]
    """

    warmup: float = 0.0
    lowest: float = 0.0
    has_end = True

    def factor(self, t: float, n_epochs: float) -> float:
        """Return the factor of the rate after the warm-up."""
        return self.lowest + (1.0 - self.lowest) * 0.5 * (1.0 + math.cos(math.pi * t / n_epochs))


@dataclass(frozen=True)
class StepDecay(Warmup):
    """Multiply the rate by `decay` after every `every` epochs.

    Parameters
    ----------
    warmup : float, default=0.0
        Epochs in which the rate rises before.
    every : float, default=30.0
        In epochs, above 0.
    decay : float, default=0.1

    Raises
    ------
    ValueError
        When `every` is not above 0.

    Examples
    --------
    >>> StepDecay(every=10).rates(1.0, epoch=10, n_batches=1, n_epochs=30).tolist()
    [0.1]
    """

    warmup: float = 0.0
    every: float = 30.0
    decay: float = 0.1

    def __post_init__(self):
        if not self.every > 0:
            raise ValueError(f"StepDecay needs every > 0 (epochs), got {self.every!r}.")
        check_ranges(self, decay=(0.0, 1.0))

    def factor(self, t: float, n_epochs: float) -> float:
        """Return the factor of the rate after the warm-up."""
        return self.decay ** int(min(t / self.every, 1e9))


@dataclass(frozen=True)
class OneCycle(Warmup):
    """Raise the rate from lr / 25 to lr along half a cosine, then lower it to lr / 250 000 alike.

    Momentum stays as it is.

    Parameters
    ----------
    warmup : float, default=0.0
        Epochs in which the rate rises before.
    rise : float, default=0.3
        Share of all epochs.

    References
    ----------
    Smith & Topin 2019; the numbers are PyTorch's.

    Examples
    --------
    >>> OneCycle().rates(1.0, epoch=0, n_batches=4, n_epochs=1).round(3).tolist()
    [0.396, 0.972, 0.556, 0.077]
    """

    warmup: float = 0.0
    rise: float = 0.3
    has_end = True

    def factor(self, t: float, n_epochs: float) -> float:
        """Return the factor of the rate after the warm-up."""
        x = t / n_epochs
        if x < self.rise:
            return _between(0.04, 1.0, x / self.rise)
        return _between(1.0, 4e-6, (x - self.rise) / (1.0 - self.rise))


@dataclass(frozen=True)
class ByEpoch(Schedule):
    """Multiply the rate by ``function(epoch)``.

    Parameters
    ----------
    function : callable
        From the number of an epoch, from 0, to a number of 0 or more.

    Examples
    --------
    >>> ByEpoch(lambda epoch: 0.5**epoch).rates(1.0, epoch=2, n_batches=1, n_epochs=9).tolist()
    [0.25]
    """

    function: Callable[[int], float]

    def rates(self, lr: float, epoch: int, n_batches: int, n_epochs: float) -> np.ndarray:
        """Return the learning rate of each step of an epoch."""
        factor = self.function(epoch)
        if not isinstance(factor, Real):
            raise TypeError(
                f"learning_rate's function must return a number, the rate's factor in epoch "
                f"{epoch}, got {factor!r}."
            )
        return _checked(np.full(n_batches, lr * float(factor)), epoch)


def _checked(rates, epoch):
    if not (np.isfinite(rates).all() and (rates >= 0).all()):
        raise ValueError(
            f"learning_rate gave a rate of {rates[np.argmin(rates)]:g} in epoch {epoch + 1}, "
            "expected finite numbers of 0 or more."
        )
    return rates


def _between(start, end, x):
    return end + (start - end) * 0.5 * (1.0 + math.cos(math.pi * x))


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "invscaling": InvScaling,
    "adaptive": Adaptive,
    "plateau": Plateau,
    "warmup": Warmup,
    "cosine": Cosine,
    "one_cycle": OneCycle,
    "step": StepDecay,
}


def make_schedule(
    schedule: str | Schedule | Callable[[float], float], **arguments: Any
) -> Schedule:
    """Return the schedule of a name or of a function of the epoch, or the given Schedule itself.

    Parameters
    ----------
    schedule : str, callable or Schedule
        "constant", "invscaling", "adaptive", "plateau", "warmup", "cosine", "one_cycle", "step", or
        a function as of `ByEpoch`.
    **arguments : float
        Fields of schedules by name (power_t), of which the named schedule takes its own.

    Raises
    ------
    ValueError
        For an unknown name; the message lists the known ones.

    Examples
    --------
    >>> make_schedule("cosine", power_t=0.3)
    Cosine(warmup=0.0, lowest=0.0)
    """
    if isinstance(schedule, Schedule):
        return schedule
    if callable(schedule):
        return ByEpoch(schedule)
    others = ", a schedule of optim or a function of the epoch"
    check_word("learning_rate", schedule, SCHEDULES, others)
    kind = SCHEDULES[schedule]
    return kind(**{name: arguments[name] for name in kind.arguments if name in arguments})
