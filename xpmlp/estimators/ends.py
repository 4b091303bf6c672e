"""Where a fit begins that goes on with a fitted model, and what is told at the end of one."""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..arrays import copy_to
from ..engines import Carry
from ..optim import Schedule
from ..training import State
from .fit_result import map_arrays


def continued(state, one_epoch, x, *, rescored):
    """Return a copy of the state of the call before; warm_start makes a new rule's state.

    rescored: whether the best score was of other rows, or by another scoring.
    """
    history = {name: list(values) for name, values in state.history.items()}
    if one_epoch:
        carry = map_arrays(state.carry, lambda a: copy_to(a, x))
        return replace(state, carry=carry, history=history)
    names = ["lr", "epoch", "step", "n_seen", "best_epoch", "best_loss", "reference"]
    if not rescored:
        names += ["stale", "best_score"]
    goes_on = {name: getattr(state, name) for name in names}
    return State(Carry({}, {}, {}), history=history, **goes_on)


def warn_of_lost(estimator, problem, state, one_epoch):
    """Warn of what begins again, as the model comes from a file without its State."""
    if state.draws is not None or not state.n_seen or problem.rule is None:
        return
    lost = [*_lost(estimator, problem, one_epoch)]
    if not lost:
        return
    more = ""
    if not one_epoch:
        more = " The update rule begins again with each warm start, partial_fit goes on with it."
    warnings.warn(
        "Training goes on with a model from a file that holds its weights alone. What begins "
        f"again: {', '.join(lost)}. save(path, training=True) keeps that.{more}"
    )


def _lost(estimator, problem, one_epoch):
    """Yield what begins again in a call without the State of the calls before."""
    options, rule = problem.options, problem.rule
    changes = {name for name in vars(Schedule) if _overrides(options.schedule, name)}
    if one_epoch and rule.slots:
        yield f"the averages of {type(rule).__name__} ({', '.join(rule.slots)})"
    if one_epoch and options.steps.ema_decay is not None:
        yield "the moving average of the weights"
    if one_epoch and "rates" in changes:
        yield "the place in the schedule of the learning rate"
    if one_epoch and changes & {"after_epoch", "on_plateau"}:
        yield "the learning rate that its schedule had reached"
    if not one_epoch and options.n_iter_no_change < np.inf:
        yield "the count of epochs without improvement"
    drawn = options.shuffle or options.early_stopping
    if drawn and (one_epoch or estimator.random_state is None):
        yield "the place in the random stream"


def _overrides(schedule, name):
    return getattr(type(schedule), name, None) is not getattr(Schedule, name)


def warn_of_end(estimator, state, reason, one_epoch, options):
    """Print and warn of what the user should know of a fit."""
    if estimator.verbose and estimator.model_.inputs.dtype == "float64" and estimator.dtype is None:
        print("Computed in float64, as X is: dtype='float32' takes half the memory and less time.")
    if reason == "interrupted":
        warnings.warn("Training interrupted by user.")
    elif reason == "preempted":
        warnings.warn(f"Training ended by a signal after epoch {state.n_iter}.")
    elif reason == "diverged":
        warnings.warn(
            f"Training diverged in epoch {state.n_iter + 1}; the weights of the best epoch are "
            "restored: lower learning_rate_init or standardise X.",
            ConvergenceWarning,
        )
    elif estimator.early_stopping and estimator.solver != "lbfgs" and state.best_score == -np.inf:
        warnings.warn(
            "scoring gave no number for the validation rows in any epoch, so the last weights "
            "are kept: pass more rows, or another scoring."
        )
    elif one_epoch and options.schedule.has_end and state.cycle > options.n_epochs:
        warnings.warn(
            f"The schedule of learning_rate ended after max_iter={estimator.max_iter} epochs, and "
            "its rate stays where it ended: pass a larger max_iter."
        )
    elif reason == "max_iter" and not one_epoch:
        name = "Stochastic Optimizer"
        if estimator.solver == "lbfgs":
            name = "lbfgs failed to converge"
        warnings.warn(
            f"{name}: Maximum iterations ({estimator.max_iter}) reached and the optimization "
            "hasn't converged yet.",
            ConvergenceWarning,
        )
