"""Where a fit begins that goes on with a fitted model, and what is told at the end of one."""

import warnings
from dataclasses import replace

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from ..arrays import copy_to
from ..engines import Carry
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
