"""The loop over epochs: plan, run, one host read, validation, early stopping, history."""

import signal
import threading
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Array, is_numpy, namespace, to_host
from ..engines import Carry, Options
from ..errors import DivergenceError
from ..placing import rows_to_host
from .outputs import network_outputs
from .plan import at_rate, epoch_order, make_plan, to_device
from .progress import Progress

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and "
    "need to be preprocessed."
)

NO_VALIDATION = "leave X_val and early_stopping away, or fit outside of that block"


@dataclass(frozen=True)
class Recipe:
    """How to train: numbers in scikit-learn's terms; `max_iter` in epochs of this call."""

    schedule: Any
    lr: float = 1e-3
    batch_size: int = 200
    max_iter: int = 200
    shuffle: bool = True
    seed: int = 0
    alpha: float = 0.0
    weight_decay: float = 0.0
    tol: float = 1e-4
    n_iter_no_change: float = 10
    early_stopping: bool = False
    max_fun: int = 15000  # L-BFGS only
    verbose: int = 0
    options: Options = Options()


@dataclass
class State:
    """What training changes, kept from call to call."""

    carry: Carry
    lr: float
    lr_init: float | None = None  # the recipe's, to notice another
    rule: Any = None  # whose state the carry holds
    epoch: int = 0  # since the weights were initialised: names the order of the rows
    step: int = 0  # since then too: names the dropout masks
    rule_step: int = 0  # since the rule's state was made: Adam's t
    n_seen: int = 0  # samples since the weights were initialised
    n_iter: int = 0  # epochs of this call
    stale: int = 0  # epochs without improvement
    best_loss: float = np.inf
    best_score: float = -np.inf
    history: dict[str, list] = field(default_factory=lambda: new_history())


def new_history():
    """Return an empty history: one list a quantity, one entry an epoch."""
    names = ("loss", "validation_loss", "validation_score", "learning_rate", "seconds")
    return {name: [] for name in names}


class Validation(NamedTuple):
    """Data that are looked at after each epoch: x on the device, the rest on the host."""

    x: Array
    y: np.ndarray  # (n, C) targets
    weights: np.ndarray | None  # (n,), summing to one
    score: Callable[[np.ndarray], float]  # of the outputs


@contextmanager
def interruptible():
    """Turn a first Ctrl-C into a flag, ``asked()``, that the loop heeds between stretches."""
    flags: list = []
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not (plain and threading.current_thread() is threading.main_thread()):
        yield lambda: False
        return

    def note(signum, frame):
        flags.append(signum)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one stops at once

    signal.signal(signal.SIGINT, note)
    try:
        yield lambda: bool(flags)
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def run_epochs(step, engine, data, recipe, state, *, sample_weight=None, validation=None) -> str:
    """Train for up to ``recipe.max_iter`` epochs; `state` holds the outcome.

    data: (X, y) on the device; sample_weight: (n,) on the host, or None.
    Returns why it ended: "max_iter", "converged", "interrupted" or "diverged" (the last with
    early_stopping only, best weights restored).

    Raises
    ------
    DivergenceError
        When the loss or a parameter is not finite after an epoch.
    """
    best = None
    if recipe.early_stopping and state.best_score > -np.inf:  # of a call before: these weights
        best = _weights(state, engine.xp)
    show = Progress(recipe.verbose, recipe.max_iter)
    reason, state.n_iter = "max_iter", 0
    ahead: list = []  # the next epoch's plan
    with interruptible() as interrupted:
        try:
            for state.n_iter in range(1, recipe.max_iter + 1):
                finite = _epoch(step, engine, data, recipe, state, sample_weight, ahead)
                if not finite and not (recipe.early_stopping and best is not None):
                    raise divergence(f"epoch {state.n_iter} at learning rate {state.lr:g}")
                if not finite:
                    reason = "diverged"
                    break
                validate(step, engine, state, validation)
                if _improved(recipe, state) and recipe.early_stopping:
                    best = _weights(state, engine.xp)
                show.epoch(state.n_iter, state.history, early_stopping=recipe.early_stopping)
                lr = recipe.schedule.after_epoch(recipe.lr, state.lr, state.n_seen)
                state.lr = (
                    lr if state.stale <= recipe.n_iter_no_change else _plateau(recipe, state, show)
                )
                if state.lr is None:
                    state.lr, reason = lr, "converged"
                    break
                if interrupted():
                    reason = "interrupted"
                    break
        finally:
            show.close()
    if best is not None:
        state.carry = state.carry._replace(params=best[0], buffers=best[1])
    return reason


def _plan(step, recipe, state, n, sample_weight):
    """Return the host plan of the epoch that the state stands before."""
    order = epoch_order(n, seed=recipe.seed, epoch=state.epoch, shuffle=recipe.shuffle)
    return make_plan(
        step.rule, order, batch_size=step.batch_size, lr=state.lr, seed=recipe.seed,
        first_step=state.step, rule_step=state.rule_step, alpha=recipe.alpha,
        weight_decay=recipe.weight_decay, sample_weight=sample_weight,
    )  # fmt: skip


def _epoch(step, engine, data, recipe, state, sample_weight, ahead):
    """Run one epoch and enter it in the history. Returns whether all is finite."""
    start, n = time.perf_counter(), data[0].shape[0]
    plan = ahead.pop() if ahead else _plan(step, recipe, state, n, sample_weight)
    plan = at_rate(
        plan, step.rule, state.lr, rule_step=state.rule_step, weight_decay=recipe.weight_decay
    )
    carry, losses = engine.run(step)(state.carry, data, to_device(plan, data[0], step.dtype))
    state.carry = carry
    state.epoch += 1
    state.step += len(plan.rows)
    state.rule_step += len(plan.rows)
    state.n_seen += n
    if state.n_iter < recipe.max_iter and not is_numpy(losses):  # while a card still works
        ahead.append(_plan(step, recipe, state, n, sample_weight))
    # One host read an epoch: reading the loss in every batch stalls a GPU's queue.
    report = to_host(engine.compile(_summary)(losses, carry.params, carry.buffers))
    report = report.astype(np.float64)
    value, penalty = report[: 2 * len(plan.rows)].reshape(2, -1)
    value = value * step.loss.reported(data[1].shape[-1]) + penalty
    loss = float((plan.n_rows * value).sum() / n)
    history = state.history
    history["loss"].append(loss)
    history["learning_rate"].append(state.lr)
    history["seconds"].append(time.perf_counter() - start)
    return bool(np.isfinite(report).all() and (report[2 * len(plan.rows) :] == 1.0).all())


def _summary(losses, params, buffers):
    """Return one array: the losses, then for each leaf 1 if all of it is finite, else 0."""
    xp = namespace(losses)
    leaves = (*params.values(), *buffers.values())
    finite = xp.stack([xp.all(xp.isfinite(a)) for a in leaves])
    return xp.concat([xp.reshape(losses, (-1,)), xp.astype(finite, losses.dtype)], axis=0)


def divergence(where):
    """Return the error for a loss or weight that is not finite: what, where, what to try."""
    return DivergenceError(
        f"{NON_FINITE} It happened in {where}: standardise X (and y in a regression), lower the "
        "learning rate (learning_rate_init), or raise alpha."
    )


def validate(step, engine, state, validation):
    """Enter validation loss and score in the history; one host read, of the outputs."""
    if validation is None:
        return
    store = state.carry.params | state.carry.buffers
    outputs = network_outputs(step.network, step.layout, store, validation.x, engine)
    outputs = rows_to_host(outputs, "the outputs for validation rows", NO_VALIDATION)
    value, _ = step.loss(outputs, validation.y, validation.weights, xp=np)
    loss = float(value) * step.loss.reported(outputs.shape[-1])
    state.history["validation_loss"].append(loss)
    state.history["validation_score"].append(validation.score(outputs))


def _improved(recipe, state):
    """Count epochs without improvement by scikit-learn's rule. Returns whether this is the best."""
    if recipe.early_stopping:
        score = state.history["validation_score"][-1]
        state.stale = 0 if score >= state.best_score + recipe.tol else state.stale + 1  # NaN too
        best = score > state.best_score
        state.best_score = score if best else state.best_score
        return best
    loss = state.history["loss"][-1]
    state.stale = state.stale + 1 if loss > state.best_loss - recipe.tol else 0
    best = loss < state.best_loss
    state.best_loss = min(loss, state.best_loss)
    return best


def _plateau(recipe, state, show):
    """Return the rate to go on with, or None to stop."""
    what = "Validation score" if recipe.early_stopping else "Training loss"
    text = (
        f"{what} did not improve more than tol={recipe.tol:f} for {recipe.n_iter_no_change} "
        "consecutive epochs."
    )
    lr = recipe.schedule.on_plateau(state.lr)
    state.stale = state.stale if lr is None else 0
    show.say(f"{text} " + ("Stopping." if lr is None else f"Setting learning rate to {lr:f}"))
    return lr


def _weights(state, xp):
    """Return copies of what layers hold: parameters and buffers."""
    return tuple(copy_store(store, xp=xp) for store in state.carry[:2])


def copy_store(store, *, xp):
    """Copy a store: the next step may overwrite or give away its arrays."""
    return {name: xp.asarray(a, copy=True) for name, a in store.items()}
