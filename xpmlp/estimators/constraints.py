"""What an estimator's arguments may be, and what is said of another."""

from functools import cache
from inspect import signature
from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import (
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)

from ..nn import Layer
from ..plain import number
from ..words import did_you_mean


def words(*names: str) -> StrOptions:
    """Return the constraint that an argument is one of some words, told in this order."""
    return StrOptions(dict.fromkeys(names).keys())  # a set would tell them in any


@cache
def _defaults(kind: Any) -> dict:
    """Return the arguments of a class and their defaults."""
    arguments = signature(kind).parameters.values()
    return {a.name: a.default for a in arguments if a.kind != a.VAR_KEYWORD}


def check_arguments(estimator, constraints: dict) -> None:
    """Do what `_validate_params` does, which looks at all the defaults, too; say what was meant."""
    kind: Any = type(estimator)
    for name, default in _defaults(kind).items():
        given = getattr(estimator, name)
        if given is default:
            continue
        if isinstance(given, Real) and not isinstance(given, float):
            exact, given = given, number(given, name)  # scikit-learn fails at fractions and 10**400
            if isinstance(exact, Integral):
                given = exact
        try:
            validate_parameter_constraints(constraints, {name: given}, kind.__name__)
        except InvalidParameterError as error:
            meant = _meant(kind, name, given, constraints[name])
            raise InvalidParameterError(f"{error}".removesuffix(".") + meant) from None
    check_scorer(estimator.scoring)


def check_scorer(scoring: Any) -> None:
    """Raise ValueError for the name of a scorer that scikit-learn does not have."""
    if isinstance(scoring, str) and scoring != "loss":
        from sklearn.metrics import get_scorer_names

        scorers = get_scorer_names()
        if scoring not in scorers:
            known = "'loss', a function or one of sklearn.metrics.get_scorer_names()"
            meant = did_you_mean(scoring, ("loss", *scorers))
            raise ValueError(f"scoring must be {known}, got {scoring!r}{meant}")


def _meant(kind, name, given, constraints):
    """Return how the message on an argument ends: with what was probably meant, or a full stop."""
    if name == next(iter(_defaults(kind))) == "loss" and isinstance(
        given, int | tuple | list | Layer
    ):
        return f": loss comes first, as in scikit-learn; did you mean hidden_layer_sizes={given!r}?"
    known = [word for row in constraints if isinstance(row, Options) for word in row.options]
    return did_you_mean(given, filter(lambda word: isinstance(word, str), known))
