"""The loop over epochs: validation, early stopping, history, and when it ends."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arrays import Array
from ..engines import Options, copy_store
from ..placing import rows_to_host
from .chunk import PROMPT, Chunks
from .divergence import diverged, excess
from .interrupts import interruptible
from .outputs import network_outputs
from .progress import Progress
from .rows import SparseRows
from .state import append_epoch
from .step import StepOptions

FINAL = "converged", "stopped", "diverged"  # what `ended` may be
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


class NoCheckpoints:
    """The `Keeper` of a training without checkpoints."""

    within = False  # whether it looks at a training within an epoch, too

    def epochs(self, state):
        """Return how many epochs may run before it looks again."""
        return np.inf

    def within_epoch(self, state):
        """Look at a state within an epoch."""

    def after_epoch(self, state, place):
        """Look at a state after an epoch; place: where its draws stand."""

    def end(self, state, place):
        """Look at the state at the end."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Validation:
    """Data that are looked at after each epoch: x on the device, the rest on the host."""

    x: Array | SparseRows
    y: np.ndarray  # (n, C) targets
    weights: np.ndarray | None  # (n,), summing to one
    score: Callable[[np.ndarray, float, dict], float]  # of the outputs, their loss, the parameters


def run_epochs(
    step,
    engine,
    data,
    options,
    state,
    *,
    sample_weight=None,
    validation=None,
    on_epoch=None,
    keeper=None,
):
    """Train up to epoch ``options.max_iter`` of this call; `state` holds the outcome.

    data: (X, y) on the device; sample_weight: (n,) on the host, or None; on_epoch: called with the
    state once an epoch is in the history, and with where its draws stood then, if elsewhere than
    now; it stops the training by a true result; keeper: a `Keeper` of checkpoints; state: as a
    checkpoint has it, or with no epochs of this call.
    Returns why it ended: "max_iter", "finished" (the schedule), "converged", "stopped",
    "interrupted", "preempted" (by a `Preemption`), "diverged" (with early_stopping: the best
    weights are restored), or a DivergenceError: then the last finite weights are.
    """
    first = not (state.n_iter or state.begun)
    if first and options.early_stopping and state.epoch:  # the weights may stay the best
        if state.best_score == -np.inf:  # else that of the call before, as in scikit-learn
            _, score = loss_and_score(step, engine, state, validation)
            state.best_score = float(np.fmax(score, -np.inf))  # a score of NaN is none
        state.best = copy_weights(step, state, engine.xp)
    show = Progress(options.verbose, options.max_iter, state.history, done=state.n_iter)
    chunks = Chunks(step, engine, data, options, sample_weight)
    keeper = keeper or NoCheckpoints()
    looks = validation is not None or on_epoch is not None  # at the weights after each epoch
    longest = 1 if looks else chunks.longest()
    at_once = longest if engine.compiled(step) else 1  # which shows how long an epoch takes
    reason: Any = state.ended
    with closing(show), interruptible() as requests:

        def pause(state):
            """Return whether to leave an epoch of which some steps are done."""
            keeper.within_epoch(state)
            return requests.urgent()

        within = pause if keeper.within or requests.preemption else None
        while reason is None and state.n_iter < options.max_iter:
            n_epochs = min(at_once, longest, options.max_iter - state.n_iter, keeper.epochs(state))
            if state.begun:
                n_epochs = 1
            chunk = chunks.run(state, n_epochs, within)
            if chunk is None:
                reason = "preempted"
                break
            at_once, reason = _end_chunk(chunks, chunk, state, show, validation, on_epoch)
            del chunk  # and the copies in it, before the next are made
            if reason is None and state.n_iter:
                reason = requests.reason()
            state.ended = reason if reason in FINAL else None
            if reason is None:
                keeper.after_epoch(state, chunks.place())
    if isinstance(reason, str | None):
        keeper.end(state, chunks.place())
    leave_epoch(state)
    chunks.give_back(state)
    if reason is None and options.schedule.has_end and state.cycle >= options.n_epochs:
        return "finished"
    return reason or "max_iter"


def leave_epoch(state):
    """Return to before an epoch that was begun: the history knows whole ones."""
    if state.begun is not None:
        state.carry, state.begun = state.begun.before, None


def _end_chunk(chunks, chunk, state, show, validation, on_epoch):
    """Take in a chunk of epochs. Returns how many may run next, and why training ends, or None."""
    step, engine, options = chunks.step, chunks.engine, chunks.options
    n_epochs = len(chunk.next_rates)
    text = excess(chunks, chunk, state) if chunk.finite else ""
    if text or not chunk.finite:
        state.carry = chunk.before
        chunks.give_back(state)
        if n_epochs > 1:  # some of them may be
            state.draws.go_to(chunk.place)
            return n_epochs // 2, None
        return 1, _after_divergence(chunks, chunk, state, show, text)
    reason: Any = None
    for i, lr in enumerate(chunk.next_rates):
        _append(state, chunk, i, chunks)
        validate(step, engine, state, validation)
        if _improved(options, state) and options.early_stopping:
            state.best, state.best_epoch = copy_weights(step, state, engine.xp), state.epoch
        if not state.best:  # it ends with the last
            state.best_epoch = state.epoch
        show.epoch(state.n_iter, state.history, early_stopping=options.early_stopping)
        state.lr = lr
        if state.stale > options.n_iter_no_change and not _goes_on(options, state, show):
            reason = "converged"
        if on_epoch is not None and on_epoch(state, chunks.place()):
            reason = reason or "stopped"
        if reason or state.lr != lr:
            break
    if i + 1 < n_epochs:  # what came after is not what the training makes of it
        chunks.first(chunk, state, i + 1)
    return max(1, int(PROMPT / chunk.seconds)), reason


def _after_divergence(chunks, chunk, state, show, text):
    """Set the rate to repeat an epoch with that diverged. Returns None, or why training ends."""
    options, epoch = chunks.options, state.n_iter + 1
    lr = options.schedule.after_divergence(state.lr)
    if lr is not None:
        show.say(f"Epoch {epoch} diverged, again at learning rate {lr:g}")
        state.lr = lr
        return None
    if options.early_stopping and state.best:
        return "diverged"
    return diverged(chunks, chunk, epoch, text)


def copy_weights(step, state, xp):
    """Return copies of the parameters that predictions are made with, and of the buffers."""
    params = step.predicting(state.carry, state.rule_step, xp=xp)
    return tuple(copy_store(store, xp=xp) for store in (params, state.carry.buffers))


def _append(state, chunk, i, chunks):
    """Count epoch i of a chunk, and append it to the history."""
    state.epoch += 1
    state.cycle += 1
    state.n_iter += 1
    state.step += chunks.B
    state.rule_step += chunks.B
    state.n_seen += chunks.n
    rate = float(chunk.rates[i, -1])
    append_epoch(state.history, loss=chunk.losses[i], learning_rate=rate, seconds=chunk.seconds)


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
    with np.errstate(over="ignore", invalid="ignore"):  # a loss too large for floats is infinite
        value, _ = step.loss(outputs, validation.y, validation.weights, xp=np)
    loss = float(value) * step.loss.reported(outputs.shape[-1])
    return loss, validation.score(outputs, loss, step.layout.unpack(store, xp=engine.xp))


def _improved(options, state):
    """Count epochs without improvement by scikit-learn's rule. Returns whether this is the best."""
    if options.early_stopping:
        score = state.history["validation_score"][-1]
        enough = score >= state.best_score + options.tol  # NaN is not
        best = score > state.best_score  # of equal ones the earliest stays
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
