"""What a fit made, as one value, and its arrays, copied to where others are."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, Never, TypeVar

import numpy as np

from ..arrays import is_array, is_numpy
from ..model import Model
from ..plain import numbers
from ..training import State

T = TypeVar("T")

if TYPE_CHECKING:

    class View(Generic[T]):
        """Property whose type is that of what it returns."""

        def __get__(self, instance: Any, owner: Any = None) -> T: ...

        def __set__(self, instance: Any, value: Never) -> None: ...

    class Part(View[T]):
        """The same, which can be set."""

        def __set__(self, instance: Any, value: T) -> None: ...


@dataclass(frozen=True, eq=False)
class FitResult:
    """What a fit made: an estimator holds one, and its fitted attributes are views of it.

    It is replaced as a whole, so that who reads it once has model and training of the same fit.
    why: a sentence on the device, where the work of the fit chose it; record: what the command line
    says of the training, JSON; the rest: as the attributes.
    """

    model: Model
    state: Any = None  # a State, which no later fit changes; None in copies that only predict
    seed: int = 0
    why: str = ""
    report: dict | None = None
    best_loss: float | None = None
    validation_scores: list[float] | None = None
    best_validation_score: float | None = None
    record: dict | None = None

    @staticmethod
    def of(estimator, model, state, seed, why="", report=None) -> "FitResult":
        """Return what a training with the estimator's arguments made."""
        best: dict = {"best_loss": state.best_loss}
        if estimator.early_stopping and estimator.solver != "lbfgs":
            best = {"validation_scores": state.history["validation_score"]}
            best["best_validation_score"] = state.best_score
        return FitResult(model, state=state, seed=seed, why=why, report=report, **best)

    @property
    def training(self) -> State:
        """State of the training."""
        return self.state

    @property
    def last_loss(self) -> float:
        """Loss of the last epoch; where there is none, the best loss."""
        return (self.state.history["loss"] or [self.best_loss])[-1]

    def mapped(self, f, requested, why="") -> "FitResult":
        """Return it with f of every array, which moves it; requested: as of `Inputs`."""
        model, state = self.model.mapped(f, requested), map_arrays(self.state, f)
        return replace(self, model=model, state=state, why=why)

    def changed(self, **parts) -> "FitResult":
        """Return it with other parts of its model."""
        return replace(self, model=replace(self.model, **parts))


def view(read: Callable[[FitResult], T], doc: str) -> "View[T]":
    """Return a property: what a function reads in the estimator's `FitResult`."""
    return property(lambda self: read(self.result_), doc=doc)  # type: ignore[return-value]


def part(name: str, doc: str) -> "Part[list[Any]]":
    """Return a property: a part of the fitted model, which can be set."""

    def write(self, value):
        value = [_plain_floats(a, f"{name}_") for a in value]
        self.result_ = self.result_.changed(**{name: value})

    read = lambda self: getattr(self.model_, name)
    return property(read, write, doc=doc)  # type: ignore[return-value]


def _plain_floats(a, name):
    """Return an array of floats itself, so that what is written into it is seen, others in float64.

    Those of other libraries are moved when they are used, as they are.
    """
    plain = type(a) is np.ndarray and a.dtype in (np.float64, np.float32)
    return a if plain or (is_array(a) and not is_numpy(a)) else numbers(a, name)


def threshold_part() -> "Part[float]":
    """Return a property: the threshold of the fitted model, which can be set."""

    def write(self, threshold):
        result = self.result_
        self.result_ = replace(result, model=result.model.with_threshold(threshold))

    read = lambda self: self.model_.targets.threshold
    doc = "Probability above which the second of two classes is predicted."
    return property(read, write, doc=doc)  # type: ignore[return-value]


def noted(name: str, doc: str) -> "Part[dict[str, Any]]":
    """Return a property: a dict that is noted of a fit, which can be set; {} where it was not."""
    read = lambda self: getattr(self.result_, name) or {}
    write = lambda self, value: setattr(self, "result_", replace(self.result_, **{name: value}))
    return property(read, write, doc=doc)  # type: ignore[return-value]


def known(value: T | None, what: str) -> T:
    """Return a value, or raise the error of an attribute that is not there."""
    if value is None:
        raise AttributeError(f"there is no {what}.")
    return value


def map_arrays(value, f):
    """Return lists, tuples, dicts and a State with f of every array in them."""
    if isinstance(value, dict):
        return {k: map_arrays(v, f) for k, v in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(map_arrays(v, f) for v in value))
    if isinstance(value, list | tuple):
        return type(value)(map_arrays(v, f) for v in value)
    if isinstance(value, State):
        own = {k.name: map_arrays(getattr(value, k.name), f) for k in fields(value)}
        return replace(value, **own)
    return f(value) if is_array(value) else value
