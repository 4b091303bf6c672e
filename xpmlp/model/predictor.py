"""Predictions of a few rows many times, without what each call repeats."""

from dataclasses import replace
from numbers import Integral
from threading import Lock

import numpy as np

from ..arrays import copy_to
from ..engines import engine_for
from ..errors import ShapeError

METHODS = "predict", "predict_proba", "predict_log_proba", "decision_function"


def own_copy(model):
    """Return a model with copies of its arrays, which nobody else changes."""
    like = model.inputs.like
    return replace(model.mapped(lambda a: copy_to(a, like)), inputs=model.inputs)


def predictor(model, n_rows, method, whole):
    """Return x (n_rows, n_features) -> what a method of the model's targets makes of its outputs.

    model: nobody else's; whole: the model or estimator whose method takes any other x.
    """
    if not isinstance(n_rows, Integral) or n_rows < 1:
        raise ValueError(f"n_rows must be a whole number > 0, got {n_rows!r}.")
    known = METHODS[:1] if model.targets.task == "regression" else METHODS
    if method not in known:
        raise ValueError(f"method must be one of {', '.join(known)}, got {method!r}.")
    shape, dtype = (int(n_rows), model.inputs.n_features), np.dtype(model.inputs.dtype)
    outputs, lock = _prepared(model, shape[0]), Lock()
    finish, full = getattr(model.targets, method), getattr(whole, method)
    zeros = np.zeros(shape[0] * shape[1], dtype)

    def predict(x):
        if type(x) is not np.ndarray or x.shape != shape:
            got = tuple(np.shape(x))
            if got != shape:
                raise ShapeError(f"x is {got}, the predictor was made for {shape}.")
        elif outputs and x.dtype == dtype and x.flags.c_contiguous:
            x_in = model.inputs.scaling.apply(x)
            # 0 times NaN or infinity is NaN; isfinite would take twice as long, dot would warn.
            if np.vdot(x_in, zeros) == 0.0:
                with lock:
                    made = outputs(x_in)
                return finish(made, x)
        return full(x)

    return predict


def _prepared(model, n_rows):
    """Return x -> outputs with all that can be made ahead, or None where nothing can."""
    if model.location.library != "numpy" or model.inputs.encoder is not None:
        return None
    like = np.empty(0)
    own = engine_for(like).outputs(model.predicting, model.layout, model.inputs.dtype)
    return own and own(model.layout.pack(model.params(like), xp=np), n_rows)
