"""The loop over epochs: plan, run, one host read, validation, early stopping, history."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import Array, all_finite, is_numpy, namespace, to_host
from ..engines import Carry, Options, copy_carry, copy_store
from ..placing import rows_to_host
from .divergence import diverged
from .interrupts import interruptible
from .outputs import network_outputs
from .plan import at_rate, epoch_order, make_plan
from .progress import Progress
from .rows import SparseRows, run_plan
from .step import StepOptions

NO_VALIDATION = "leave X_val and early_stopping away, or fit outside of that block"


@dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """How to train: numbers in scikit-learn's terms; `max_iter` in epochs of this call."""

    schedule: Any
    learning_rate: float = 1e-3
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
    n_epochs: int = 200  # of the schedule, from its begin to its end
    steps: StepOptions = StepOptions()
    engine: Options = Options()

    def rows_a_step(self, rule, n):
        """Return how many of n rows a step takes; L-BFGS, which has no rule, takes all."""
        if rule is None:
            return n
        return self.batch_size


@dataclass
class State:
    """What training changes, kept from call to call."""

    carry: Carry
    lr: float
    lr_init: float | None = None  # learning_rate of the options, to notice another
    rule: Any = None  # whose state the carry holds
    epoch: int = 0  # or iteration, since the weights were initialised: names the order of the rows
    step: int = 0  # since then too: names the dropout masks
    rule_step: int = 0  # since the rule's state was made: Adam's t
    cycle: int = 0  # epochs since then: the schedule's time
    n_seen: int = 0  # samples since the weights were initialised
    n_iter: int = 0  # epochs of this call
    stale: int = 0  # epochs without improvement
    best_loss: float = np.inf
    best_score: float = -np.inf
    history: dict[str, list] = field(default_factory=lambda: new_history())
    best: Any = None  # while training: the parameters and buffers to end with
    batch_losses: Any = None  # while training: of the last epoch, with the penalty


def new_history():
    """Return an empty history: one list a quantity, one entry an epoch, or none at all."""
    names = ("loss", "validation_loss", "validation_score", "learning_rate", "seconds")
    return {name: [] for name in names}


def append_epoch(history, **numbers):
    """Append an epoch's numbers; NaN where an epoch lacks what others have."""
    n = len(history["loss"])
    for name, values in history.items():
        if name in numbers:
            values += [float("nan")] * (n - len(values)) + [numbers[name]]
        elif values:
            values.append(float("nan"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Validation:
    """Data that are looked at after each epoch: x on the device, the rest on the host."""

    x: Array | SparseRows
    y: np.ndarray  # (n, C) targets
    weights: np.ndarray | None  # (n,), summing to one
    score: Callable[[np.ndarray, float, dict], float]  # of the outputs, their loss, the parameters


def run_epochs(
    step, engine, data, options, state, *, sample_weight=None, validation=None, on_epoch=None
):
    """Train for up to ``options.max_iter`` epochs; `state` holds the outcome.

    data: (X, y) on the device; sample_weight: (n,) on the host, or None; on_epoch: called with the
    state once an epoch is in the history, and stops the training by a true result.
    Returns why it ended: "max_iter", "finished" (the schedule), "converged", "stopped",
    "interrupted", "diverged" (with early_stopping: the best weights are restored), or a
    DivergenceError: then the last finite weights are.
    """
    if options.early_stopping and state.epoch:  # the weights to begin with may stay the best
        _, score = loss_and_score(step, engine, state, validation)
        state.best_score = float(np.fmax(score, -np.inf))  # a score of NaN is none
        state.best = copy_weights(step, state, engine.xp)
    schedule, show = options.schedule, Progress(options.verbose, options.max_iter, state.history)
    reason: Any = "max_iter"
    state.n_iter = 0
    ahead: list = []  # the next epoch's plan
    steps = engine.run(step)
    run = lambda carry, plan: run_plan(steps, carry, data, plan, step.dtype)
    with closing(show), interruptible() as interrupted:
        while state.n_iter < options.max_iter:
            find_cause = _epoch(step, engine, run, data, options, state, sample_weight, ahead)
            if find_cause:
                lr = schedule.after_divergence(state.lr)
                if lr is not None:
                    show.say(f"Epoch {state.n_iter + 1} diverged, again at learning rate {lr:g}")
                    state.lr = lr
                    ahead.clear()
                    continue
                reason = "diverged"
                if not (options.early_stopping and state.best):
                    reason = find_cause()
                break
            validate(step, engine, state, validation)
            if _improved(options, state) and options.early_stopping:
                state.best = copy_weights(step, state, engine.xp)
            show.epoch(state.n_iter, state.history, early_stopping=options.early_stopping)
            stop = on_epoch is not None and on_epoch(state)
            state.lr = schedule.after_epoch(options.learning_rate, state.lr, state.n_seen)
            if state.stale > options.n_iter_no_change and not _goes_on(options, state, show):
                reason = "converged"
                break
            if stop:
                reason = "stopped"
                break
            if interrupted():
                reason = "interrupted"
                break
    if reason == "max_iter" and schedule.has_end and state.cycle >= options.n_epochs:
        return "finished"
    return reason


def copy_weights(step, state, xp):
    """Return copies of the parameters that predictions are made with, and of the buffers."""
    params = step.predicting(state.carry, state.rule_step, xp=xp)
    return tuple(copy_store(store, xp=xp) for store in (params, state.carry.buffers))


def _plan(step, options, state, n, sample_weight, lr):
    """Return the host plan of the epoch that the state stands before; lr: one, or one a step."""
    order = epoch_order(n, seed=options.seed, epoch=state.epoch, shuffle=options.shuffle)
    return make_plan(
        step.rule,
        order,
        batch_size=step.batch_size,
        lr=lr,
        seed=options.seed,
        first_step=state.step,
        rule_step=state.rule_step,
        alpha=options.alpha,
        weight_decay=options.weight_decay,
        sample_weight=sample_weight,
    )


def _epoch(step, engine, run, data, options, state, sample_weight, ahead):
    """Run one epoch and append it to the history.

    Returns None; where losses or weights are not finite the state is what it was, and a function
    that looks for the cause and returns the error. ahead: a list that may hold the epoch's plan.
    """
    start, n = time.perf_counter(), data[0].shape[0]
    B = -(-n // step.batch_size)
    lr = options.schedule.rates(state.lr, state.cycle, B, options.n_epochs)
    if ahead:
        rest = {"rule_step": state.rule_step, "weight_decay": options.weight_decay}
        plan = at_rate(ahead.pop(), step.rule, lr, **rest)
    else:
        plan = _plan(step, options, state, n, sample_weight, lr)

    before = copy_carry(state.carry, xp=engine.xp)  # the run may give its carry away
    state.carry, losses = run(state.carry, plan)
    _count(state, 1, B, n)
    # A card still works on this epoch: the host makes the next plan, whose rates are set later.
    if state.n_iter < options.max_iter and not is_numpy(losses):
        ahead.append(_plan(step, options, state, n, sample_weight, state.lr))
    # One host read an epoch: reading the loss in every batch stalls a GPU's queue.
    leaves = *state.carry.params.values(), *state.carry.buffers.values()
    with np.errstate(over="ignore", invalid="ignore"):
        report = to_host(engine.compile(_summary)(losses, leaves)).astype(np.float64)
    value, penalty = report[: 2 * B].reshape(2, -1)
    state.batch_losses = value * step.loss.reported(data[1].shape[-1]) + penalty
    if not _stays_finite(report[: 2 * B], report[2 * B :], leaves):
        state.carry = before
        _count(state, -1, -B, -n)
        return lambda: diverged(step, engine, data, run, plan, lr, before, state.n_iter + 1)
    loss = float((plan.n_rows * state.batch_losses).sum() / n)
    seconds = time.perf_counter() - start
    append_epoch(state.history, loss=loss, learning_rate=float(lr[-1]), seconds=seconds)
    return None


def _count(state, n_epochs, n_steps, n):
    """Count epochs, steps and samples, or take them back."""
    state.epoch += n_epochs
    state.cycle += n_epochs
    state.n_iter += n_epochs
    state.step += n_steps
    state.rule_step += n_steps
    state.n_seen += n


def _summary(losses, leaves):
    """Return one array: the losses, then the sum of each leaf.

    One pass over a leaf, and on a card no kernel to compile: CuPy has sums ready.
    """
    xp = namespace(losses)
    sums = xp.stack([xp.astype(xp.sum(a), losses.dtype, copy=False) for a in leaves])
    return xp.concat([xp.reshape(losses, (-1,)), sums], axis=0)


def _stays_finite(losses, sums, leaves):
    """Return whether losses and leaves are finite; a sum that is not may be an overflow."""
    if not np.isfinite(losses).all():
        return False
    return all(np.isfinite(total) or all_finite(a) for total, a in zip(sums, leaves))


def validate(step, engine, state, validation):
    """Put validation loss and score into the history's last epoch."""
    if validation is None:
        return
    loss, score = loss_and_score(step, engine, state, validation)
    n = len(state.history["loss"])
    for name, value in (("validation_loss", loss), ("validation_score", score)):
        values = state.history[name]
        values += [float("nan")] * (n - len(values))
        values[-1] = value


def loss_and_score(step, engine, state, validation):
    """Return the validation loss and score; one host read, of the outputs."""
    store = step.predicting(state.carry, state.rule_step, xp=engine.xp) | state.carry.buffers
    outputs = network_outputs(step.network, step.layout, store, validation.x, engine)
    outputs = rows_to_host(outputs, "the outputs for validation rows", NO_VALIDATION)
    value, _ = step.loss(outputs, validation.y, validation.weights, xp=np)
    loss = float(value) * step.loss.reported(outputs.shape[-1])
    return loss, validation.score(outputs, loss, step.layout.unpack(store, xp=engine.xp))


def _improved(options, state):
    """Count epochs without improvement by scikit-learn's rule. Returns whether this is the best."""
    if options.early_stopping:
        score = state.history["validation_score"][-1]
        enough = score >= state.best_score + options.tol  # NaN is not
        best = score > state.best_score
        if best:
            state.best_score = score
    else:
        loss = state.history["loss"][-1]
        enough = not loss > state.best_loss - options.tol
        best = loss < state.best_loss
        state.best_loss = min(loss, state.best_loss)
    state.stale += 1
    if enough:
        state.stale = 0
    return best


def _goes_on(options, state, show):
    """Set the rate to go on with on a plateau. Returns False where the training ends there."""
    what = "Training loss"
    if options.early_stopping:
        what = "Validation score"
    elif options.schedule.has_end:  # it is followed to its end
        state.stale = 0
        return True
    lr, then = options.schedule.on_plateau(state.lr), "Stopping."
    if lr is not None:
        state.lr, state.stale = lr, 0
        then = f"Setting learning rate to {lr:f}"
    show.say(
        f"{what} did not improve more than tol={options.tol:f} for {options.n_iter_no_change} "
        f"consecutive epochs. {then}"
    )
    return lr is not None
