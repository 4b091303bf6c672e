"""A training's state: what an estimator shows of it, and its arrays, copied to where others are."""

from dataclasses import fields, replace

from ..arrays import copy_to, is_array
from ..training import State


def set_fitted(estimator, model, state):
    """Set the model, and the fitted attributes that follow from the state of a training."""
    estimator.model_, estimator.state_ = model, state
    estimator.history_ = state.history
    estimator.loss_curve_ = state.history["loss"]
    estimator.n_iter_, estimator.t_ = state.n_iter, state.n_seen
    estimator.n_iter_total_ = state.epoch
    estimator.loss_ = estimator.best_loss_ = state.best_loss
    estimator.validation_scores_ = estimator.best_validation_score_ = None
    if estimator.solver == "lbfgs":
        return
    estimator.loss_ = estimator.loss_curve_[-1]
    if estimator.early_stopping:
        estimator.best_loss_ = None
        estimator.validation_scores_ = state.history["validation_score"]
        estimator.best_validation_score_ = state.best_score


def copy_arrays_to(value, like):
    """Copy every array in lists, tuples, dicts and a State to where `like` is."""
    return map_arrays(value, lambda a: copy_to(a, like))


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
