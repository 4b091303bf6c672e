"""What a fit reports after each epoch: to functions, and in scikit-learn's callback protocol."""

from contextlib import contextmanager
from copy import copy
from dataclasses import replace
from functools import cache

import numpy as np

from ..callbacks import Epoch
from ..training.progress import latest, lengths
from .fit_result import FitResult

# scikit-learn's attributes of a running fit: a copy that had them would end the original's tasks.
RUNNING = "_callback_fit_ctx", "_skl_callbacks_to_teardown", "_parent_callback_ctx"


@contextmanager
def observed(estimator, data, begun, max_iter, *, tasks):
    """Yield what the loop calls after each epoch: None if nobody looks.

    data: X, y, sample_weight; begun: a `FitResult` of the model whose parameters change, with the
    state that the fit continues, or None; tasks: whether scikit-learn's callbacks are called.
    """
    functions = _functions(estimator.callbacks)
    before, fit = {}, None
    if begun.state:
        before = lengths(begun.state.history)
    if tasks and hasattr(estimator, "_skl_callbacks"):
        fit = _Fit(estimator, begun, data, max_iter)

    def on_epoch(state, stands):
        view, finish = _while_it_lasts(lambda: _view(estimator, begun, *stands()))
        numbers = latest(state.history, before)
        epoch = Epoch(state.n_iter, max_iter, len(state.history["loss"]), **numbers, _view=view)
        answers = [bool(function(epoch)) for function in functions]  # each is asked
        stop = any(answers)
        if fit is not None:
            stop |= fit.end_epoch(view)
            if not stop and state.n_iter < max_iter:
                fit.begin_epoch(view)
        finish()
        return stop

    looks = functions or fit is not None
    yield on_epoch if looks else None
    if fit is not None:
        fit.end()


def _view(estimator, begun, params, state):
    """Return a fitted copy that owns parameters and state, in the middle of a fit."""
    view = copy(estimator)
    for name in RUNNING:
        vars(view).pop(name, None)
    history = {name: list(values) for name, values in state.history.items()}
    now = {"history": history, "epoch": len(history["loss"]), "best_epoch": len(history["loss"])}
    state = replace(state, batch_losses=None, scoring=repr(estimator.scoring), **now)
    if isinstance(view.random_state, np.random.RandomState):  # which the fit advances at its end
        view.random_state = state.draws.copy().generator
    model = begun.model.with_params(params)
    view.result_ = FitResult.of(estimator, model, state, begun.seed, begun.why)
    return view


class _Fit:
    """A fit in scikit-learn's protocol: a task, with a subtask for each epoch."""

    def __init__(self, estimator, begun, data, max_iter):
        X, y, sample_weight = data
        self.data = {"estimator": estimator, "X": X, "y": y, "metadata": None}
        if sample_weight is not None:
            self.data["metadata"] = {"sample_weight": sample_weight}
        self.task = estimator._init_callback_context(max_subtasks=max_iter)
        self.task.call_on_fit_task_begin(**self.data)
        view = copy(estimator)
        view.result_ = begun
        self.begin_epoch(lambda: view)

    def begin_epoch(self, view):
        """Begin a subtask; view: returns an estimator at the weights that it starts from."""
        self.epoch, attributes = self.task.subcontext(task_name="epoch"), lambda: vars(view())
        self.epoch.call_on_fit_task_begin(**self.data, reconstruction_attributes=attributes)

    def end_epoch(self, view):
        """End the subtask. Returns whether a callback asks to stop."""
        epoch, self.epoch, attributes = self.epoch, None, lambda: vars(view())
        return epoch.call_on_fit_task_end(**self.data, reconstruction_attributes=attributes)

    def end(self):
        """End the fit, and before it the epoch that was begun and did not come."""
        if self.epoch is not None:
            self.epoch.call_on_fit_task_end(estimator=self.data["estimator"])
        self.task.call_on_fit_task_end(**self.data, reconstruction_attributes={})


def _functions(callbacks):
    """Return the argument `callbacks` as a list of functions."""
    if callbacks is None:
        return []
    functions = list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]
    for function in functions:
        if isinstance(function, type) or not callable(function):
            raise TypeError(
                f"callbacks takes functions of one argument, the epoch, got {function!r}: make an "
                "object of a class first; scikit-learn's callbacks go to set_callbacks."
            )
    return functions


def _while_it_lasts(make):
    """Return `make`, called once at most and only before the second function is called."""
    over: list[bool] = []

    @cache
    def made():
        if over:
            raise RuntimeError(
                "this epoch is over and its weights are gone: ask for its estimator inside of the "
                "callback, and keep that."
            )
        return make()

    return made, lambda: over.append(True)
