"""Predictions of a few rows many times, without what each call repeats."""

from dataclasses import replace
from numbers import Integral

import numpy as np

from ..arrays import copy_to
from ..engines import DEFAULTS
from ..errors import ShapeError
from ..words import check_word

METHODS = "predict", "predict_proba", "predict_log_proba", "decision_function"


def own_copy(model):
    """Return a model with copies of its arrays, which no other code changes."""
    like = model.inputs.like
    return replace(model.mapped(lambda a: copy_to(a, like)), inputs=model.inputs)


def predictor(model, n_rows, method, whole, options=DEFAULTS):
    """Return x (n_rows, n_features) -> what a method of the model's targets makes of its outputs.

    model: with arrays of its own; whole: the model or estimator whose method takes any other x;
    options: how its outputs are computed.
    """
    if not isinstance(n_rows, Integral) or n_rows < 1:
        raise ValueError(f"n_rows must be a whole number > 0, got {n_rows!r}.")
    known = METHODS[:1] if model.targets.task == "regression" else METHODS
    check_word("method", method, known)
    shape = int(n_rows), model.inputs.n_features
    # The columns of an array have no names that could be others.
    quick = replace(model, inputs=replace(model.inputs, columns=()))
    finish, full = getattr(model.targets, method), getattr(whole, method)

    def predict(x):
        if np.shape(x) != shape:
            raise ShapeError(f"x is {np.shape(x)}, the predictor was made for {shape}.")
        z = quick.quick_outputs(x, options=options)
        return full(x) if z is None else finish(z, x)

    return predict
