"""What the estimators' `explain`, `plan` and `find_learning_rate` do, as functions of them."""

from copy import copy
from dataclasses import replace
from warnings import catch_warnings, simplefilter

import numpy as np
from sklearn.exceptions import DataConversionWarning

from ..arrays import float_dtype, is_array, location_of
from ..errors import DivergenceError
from ..inspection import check_shapes, explain_step, plan_training, shape_of
from ..model import Inputs
from ..nn.losses import levels_of, match_loss
from ..placing import to_device
from ..training import LearningRates, Sweep
from .arguments import loss_of, rows_a_step, rule_of
from .building import network_of
from .inputs import dense_to_look_into
from .problem import Problem, last_activation, problem_of
from .tables import known_table, measured_table, table_dtype
from .targets import checked_targets


def explained(estimator, X, y, orientation):
    """Return the `Explanation` of one training step on X and y."""
    twin = copy(estimator)  # whose model no other thread's fit replaces
    notes = _shape_notes(twin, X, y)
    with catch_warnings():
        simplefilter("ignore", DataConversionWarning)  # a note says it
        problem = present_problem(twin, X, y)
    first = problem.model.network, problem.loss, problem.params, *problem.rows[:2]
    options, names = problem.options, ("alpha", "weight_decay", "seed")
    more = {name: getattr(options, name) for name in names} | {"lr": options.learning_rate}
    with np.errstate(over="ignore", invalid="ignore"):  # the numbers that it shows say so
        return explain_step(*first, rule=problem.rule, orientation=orientation, notes=notes, **more)


def present_problem(estimator, X, y) -> Problem:
    """Return what a fit to X and y would start from, without touching the estimator.

    A fitted estimator stands where it is, another one at its initial weights.
    """
    twin = copy(estimator)
    twin._validate_params()
    return problem_of(twin, dense_to_look_into(X), y, result=getattr(twin, "result_", None))


def planned(estimator, X, y, orientation):
    """Return the `TrainingPlan` of a fit to X and y."""
    twin = copy(estimator)  # whose model no other thread's fit replaces
    twin._validate_params()
    notes, model = _shape_notes(twin, X, y), getattr(twin, "model_", None)
    if y is None and model is None:
        raise ValueError("plan needs y before fit: it says how many outputs there are.")
    inputs, X = _planned_inputs(twin, X, model and model.inputs)
    if y is not None:
        with catch_warnings():
            simplefilter("ignore", DataConversionWarning)  # a note says it
            _, targets = checked_targets(twin, y, shape_of(X)[0], model and model.targets)
    if model is None:
        loss, link = match_loss(loss_of(twin), targets.task, twin.out_activation)
        n_outputs = targets.n_outputs * len(levels_of(loss) or (0.5,))
        network = network_of(twin, inputs, n_outputs, last_activation(loss, link))
    else:
        network = model.network
    how = {"rule": rule_of(twin), "batch_size": rows_a_step(twin), "notes": notes}
    how["orientation"] = orientation
    return plan_training(network, X, dtype=inputs.dtype, like=inputs.like, **how)


def _planned_inputs(estimator, X, inputs):
    """Return the `Inputs` of X without touching its rows, and X as the network would see it.

    inputs: those of the fitted model, or None.
    """
    frame = encoder = None
    if inputs is None:
        frame, encoder = measured_table(estimator, X)
    elif inputs.encoder is not None:
        frame = known_table(estimator, X, inputs)
    if inputs is None:
        if frame is None:
            n, like = shape_of(X)[1], _no_rows(X)
            dtype = float_dtype(like, estimator.dtype)
        else:
            n, like = frame.shape[1], np.empty((0, 1))
            dtype = table_dtype(estimator, X)
        at = location_of(to_device(like, estimator.device))
        inputs = Inputs(n, dtype, at, requested=estimator.device, encoder=encoder)
    if frame is not None:
        X = np.broadcast_to(np.zeros((), inputs.dtype), (len(frame), inputs.width))
    return inputs, X


def _no_rows(X):
    """Return an empty array in the library and dtype of X, in NumPy if it is no array."""
    if is_array(X):
        return X[:0, ...]
    return np.empty((0, 1), getattr(X, "dtype", None))


def tested_rates(estimator, X, y, sample_weight, *, low, high, n_steps) -> LearningRates:
    """Return the losses of a copy that is trained from new weights while the rate rises."""
    if estimator.solver == "lbfgs":
        raise ValueError("solver='lbfgs' has no learning rate to look for: take 'adam'.")
    if not (0 < 100 * low <= high and n_steps >= 30):
        raise ValueError(
            f"a range of rates needs 0 < 100 low <= high and n_steps >= 30, got {low}, {high}, "
            f"{n_steps}."
        )
    twin = copy(estimator).set_params(early_stopping=False, verbose=0)
    twin._validate_params()
    problem, sweep, losses = problem_of(twin, X, y, sample_weight), Sweep(high / low), []
    n_batches = -(-problem.rows.x.shape[0] // problem.options.batch_size)
    n_epochs = -(-int(n_steps) // n_batches)
    options = replace(problem.options, schedule=sweep, n_iter_no_change=np.inf)
    options = replace(options, learning_rate=float(low), max_iter=n_epochs, n_epochs=n_epochs)
    note = lambda state, _: losses.append(state.batch_losses)
    _, state, error = replace(problem, options=options).trained(on_epoch=note)
    if isinstance(error, DivergenceError):
        losses.append(state.batch_losses)
    rates = [sweep.rates(float(low), i, n_batches, n_epochs) for i in range(len(losses))]
    return LearningRates.of(np.concatenate(rates), np.concatenate(losses))


def _shape_notes(estimator, X, y):
    """Check the shapes of X and y. Returns notes on them."""
    check_shapes(X, y, getattr(estimator, "n_features_in_", None))
    if y is None or shape_of(y)[1:] != (1,):
        return []
    n = shape_of(y)[0]
    return [f"y is {(n, 1)}, predictions are ({n},); did you mean y[:, 0]?"]
