"""`explain` and `plan` for a network without an estimator: it brings no loss, rule or weights."""

from numbers import Integral, Real
from typing import Any

import numpy as np

from ..arrays import as_float, detached, float_dtype, from_host, is_array, to_host
from ..errors import ShapeError
from ..nn import Loss
from ..nn.layout import get, map_params, path_name, walk
from ..nn.losses import match_loss
from ..optim import make_rule
from ..randomness import stream
from ..training.fit import _check_finite, _targets
from .explain import explain
from .plan import plan_training
from .shapes import check_outputs, check_shapes, shape_of


def explain_network(
    network, X, y=None, *, params=None, loss="squared_error", solver="adam",
    learning_rate_init=1e-3, alpha=0.0, random_state=0, orientation="rows",
):  # fmt: skip
    """Return the `Explanation` of one step; see `Network.explain`."""
    _check("learning_rate_init", learning_rate_init, Real)
    _check("alpha", alpha, Real)
    _check("random_state", random_state, Integral)
    shape = shape_of(X)
    notes = check_shapes(shape, None if y is None else shape_of(y))
    try:
        X = detached(X) if is_array(X) else np.asarray(X)
        x = as_float(X, float_dtype(X))
    except (TypeError, ValueError) as error:
        raise ValueError(f"X cannot be read as an array of real numbers: {error}") from error
    _check_finite(x, "X")
    dtype = str(x.dtype).rpartition(".")[2]
    host, n_out = network.init(shape[1], stream(random_state, "init"))
    if not any(True for _ in walk(network, host)):
        raise ValueError("the network has no parameters to train: give it a Dense layer.")
    params = map_params(
        lambda a: from_host(to_host(a) if is_array(a) else np.asarray(a), x, dtype),
        host if params is None else _checked(network, params, host),
    )
    record = loss if isinstance(loss, Loss) else _loss(loss, n_out)
    if y is None:
        targets = from_host(_random_targets(record.name, shape[0], n_out, random_state), x, dtype)
        notes.append("y was not given: the targets are random.")
    else:
        labels = loss == "log_loss"
        check_outputs(shape_of(y), n_out, labels=labels)
        targets = _targets(y, x, n_out, "log_loss" if labels else record.name)
    rule = None if solver == "lbfgs" else make_rule(solver)
    return explain(
        network, record, params, x, targets, rule=rule, lr=learning_rate_init, alpha=alpha,
        weight_decay=rule.weight_decay if rule else 0.0, seed=random_state,
        orientation=orientation, notes=notes,
    )  # fmt: skip


def plan_network(
    network, X, y=None, *, loss="squared_error", solver="adam", batch_size=None, dtype=None
):
    """Return the `TrainingPlan`; see `Network.plan`."""
    _check("batch_size", 200 if batch_size is None else batch_size, Integral, least=1)
    shape = shape_of(X)
    notes = check_shapes(shape, None if y is None else shape_of(y))
    like = X[:0, ...] if is_array(X) else np.empty((0, 1))
    dtype = float_dtype(like, dtype)
    plan = plan_training(
        network, shape, dtype=dtype, rule=None if solver == "lbfgs" else make_rule(solver),
        batch_size=batch_size or 200, like=like, notes=notes,
        held=is_array(X) and str(X.dtype).rpartition(".")[2] == dtype,
    )  # fmt: skip
    if y is not None:
        check_outputs(shape_of(y), plan.layers[-1].output[1], labels=loss == "log_loss")
    return plan


def _check(name, value, kind: Any, least=0):
    """Refuse what is no number, or too small a one."""
    if not isinstance(value, kind) or not least <= value < np.inf:
        what = "a whole number" if kind is Integral else "a number"
        raise ValueError(f"{name} must be {what} of {least} or more, got {value!r}.")


def _loss(name, n_out):
    task = "binary" if name == "log_loss" and n_out == 1 else "multiclass"
    return match_loss(name, task if name == "log_loss" else "regression")[0]


def _checked(network, params, host):
    """Return params if they have the shapes of the initial ones."""
    for path, _, a in walk(network, host):
        try:
            found = shape_of(get(params, path))
        except (KeyError, TypeError, IndexError) as error:
            raise ShapeError(f"params lack {path_name(path)}, of shape {a.shape}.") from error
        if found != a.shape:
            raise ShapeError(f"params hold {path_name(path)} as {found}, expected {a.shape}.")
    return map_params(lambda _, a: a, host, params)


def _random_targets(name, n, n_out, seed):
    """Return targets (n, n_out) that a loss can have."""
    rng = stream(seed, "data")
    if name == "log_loss":
        return np.eye(n_out)[rng.integers(0, n_out, n)]
    if name == "binary_log_loss":
        return rng.integers(0, 2, (n, n_out))
    return rng.poisson(1.0, (n, n_out)) if name == "poisson" else rng.normal(size=(n, n_out))
