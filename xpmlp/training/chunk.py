"""Epochs that run at once: their plan, their rates, and what the host reads of them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..arrays import all_finite, is_numpy, namespace, to_host
from ..engines import Carry, Plan, copy_carry
from .plan import at_rate, epoch_orders, make_plan
from .rows import run_plan
from .state import Begun

CHUNK = 2e8  # FLOP, some 10 ms: progress and Ctrl-C wait no longer, and plans stay small
PROMPT = 0.1  # seconds that it may take, where a layer of one's own has more FLOP than it shows
PART = 2e9  # FLOP, after which an epoch may be left or kept
PART_SECONDS = 0.5  # in which as many steps as make a part are to be done
STEP = 1e6  # FLOP in the time that a step takes beside, where it is not compiled


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunk:
    """What came of E epochs of B steps, that ran as one plan."""

    before: Carry  # a copy
    place: tuple | None  # of the draws, before it, where it has several epochs
    plan: Plan
    rates: np.ndarray  # (E, B)
    next_rates: list  # (E,): the state's rate after each epoch, where no plateau changes it
    losses: list[float]  # (E,)
    first: float  # the first batch's loss
    finite: bool
    sums: np.ndarray  # of each leaf of parameters, then of buffers
    seconds: float  # an epoch


class Chunks:
    """Runs epochs: a step over data = (X, y), by an engine.

    sample_weight: (n,) on the host, or None; n rows make B steps.
    """

    def __init__(self, step, engine, data, options, sample_weight):
        self.step, self.engine, self.data, self.options = step, engine, data, options
        self.sample_weight, self.n = sample_weight, data[0].shape[0]
        self.B = -(-self.n // step.batch_size)
        self.steps = engine.run(step)
        self.sums = None  # of the leaves after the chunk before, once known
        self.ahead: dict = {}  # epoch -> its plan, and the place of the draws before it
        self.part = max(1, int(PART / self._work()))  # steps

    def longest(self) -> int:
        """Return how many epochs may run at once.

        One on a GPU, where the host makes the next plan meanwhile, and where another number of
        steps compiles again; one of a schedule that is not asked ahead.
        """
        if not (is_numpy(self.data[1]) and self.options.schedule.asked_ahead):
            return 1
        return max(1, int(CHUNK / (self.B * self._work())))

    def _work(self):
        """Return the FLOP of a step, about."""
        return STEP + 6 * self.step.layout.size * self.step.batch_size

    def run(self, state, n_epochs: int, pause: Callable | None = None) -> Chunk | None:
        """Run epochs from where a state stands. It gets the carry and the last losses.

        pause: called with the state between parts of an epoch that takes long; where it returns
        true None is returned, and the state's `begun` says what is done of the epoch.
        """
        start, xp, n_steps = time.perf_counter(), self.engine.xp, n_epochs * self.B
        rates, next_rates = self._rates(state, n_epochs)
        place = state.draws.place() if n_epochs > 1 else None
        plan, _ = self.ahead.pop(state.epoch, (None, None))
        plan = plan or self._plan(state, n_epochs, state.step)
        decay = {"weight_decay": self.options.weight_decay}
        rule = self.step.rule
        plan = at_rate(plan, rule, rates.ravel(), rule_step=state.rule_step, **decay)
        if state.begun is None:  # the run may give its carry away
            state.begun = Begun(copy_carry(state.carry, xp=xp), np.empty((2, 0)))
        if n_epochs == 1 and pause is not None and not self._come_near(state, plan, pause):
            return None
        before, losses_before = state.begun
        last = plan.part(losses_before.shape[-1], None)
        state.carry, losses = self.run_plan(state.carry, last)
        state.begun = None
        # A GPU still works on this epoch: the host makes the next plan, whose rates are set later.
        if state.n_iter + n_epochs < self.options.max_iter and not is_numpy(losses):
            then = state.epoch + n_epochs
            before_it = state.draws.place()
            self.ahead[then] = self._plan(state, n_epochs, state.step + n_steps), before_it
        # One host read a chunk: reading the loss in every batch stalls a GPU's queue.
        leaves = *state.carry.params.values(), *state.carry.buffers.values()
        with np.errstate(over="ignore", invalid="ignore"):
            report = to_host(self.engine.compile(_summary)(losses, leaves)).astype(np.float64)
        n_last = len(last.rows)
        losses = np.concatenate((losses_before, report[: 2 * n_last].reshape(2, -1)), axis=-1)
        finite = _stays_finite(losses, report[2 * n_last :], leaves)
        made, losses = self._reported(losses, plan)
        state.batch_losses = made[-1]
        return Chunk(
            before=before,
            place=place,
            plan=plan,
            rates=rates,
            next_rates=next_rates,
            losses=losses.tolist(),
            first=float(made[0, 0]),
            finite=finite,
            sums=report[2 * n_last :],
            seconds=(time.perf_counter() - start) / n_epochs,
        )

    def _come_near(self, state, plan, pause):
        """Run an epoch's plan part by part, but for the last. Returns False to leave it there."""
        first = state.begun.losses.shape[-1]
        while first + self.part < self.B:
            start, stop = time.perf_counter(), first + self.part
            state.carry, losses = self.run_plan(state.carry, plan.part(first, stop))
            made = to_host(losses).astype(np.float64)
            losses = np.concatenate((state.begun.losses, made), axis=-1)
            state.begun, first = state.begun._replace(losses=losses), stop
            if is_numpy(self.data[1]):  # elsewhere each number of steps may compile again
                seconds = time.perf_counter() - start
                self.part = max(1, int(self.part * PART_SECONDS / seconds))
            if pause(state):
                return False
        return True

    def place(self):
        """Return where the draws stood before an epoch that is planned ahead, None without one."""
        return next((place for _, place in self.ahead.values()), None)

    def run_plan(self, carry, plan):
        """Run a host plan. Returns the carry and the losses.  Donates carry."""
        with np.errstate(over="ignore", invalid="ignore"):  # which ends in a DivergenceError
            return run_plan(self.steps, carry, self.data, plan, self.step.dtype)

    def loss_at(self, carry, chunk: Chunk) -> float:
        """Return the loss of a carry's weights on all rows, as a chunk's first epoch has them."""
        still = at_rate(chunk.plan.part(0, self.B), self.step.rule, 0.0)
        _, losses = self.run_plan(copy_carry(carry, xp=self.engine.xp), still)
        return float(self._reported(to_host(losses).astype(np.float64), still)[1][0])

    def _reported(self, losses, plan):
        """Return the losses (E, B) of batches, with the penalty, and those (E,) of epochs."""
        value, penalty = losses.reshape(2, -1, self.B)
        made = value * self.step.loss.reported(self.data[1].shape[-1]) + penalty
        with np.errstate(over="ignore"):
            return made, (plan.n_rows.reshape(made.shape) * made).sum(axis=-1) / self.n

    def first(self, chunk: Chunk, state, n_epochs: int):
        """Bring a state to the end of the first epochs of a chunk, which run again."""
        plan = chunk.plan.part(0, n_epochs * self.B)
        state.carry, _ = self.run_plan(chunk.before, plan)
        state.draws.go_to(chunk.place)
        epoch_orders(state.draws, self.n, n_epochs, shuffle=self.options.shuffle)

    def give_back(self, state):
        """Let a state's draws stand before an epoch that was planned and does not come."""
        for _, place in self.ahead.values():
            state.draws.go_to(place)
        self.ahead.clear()

    def _rates(self, state, n_epochs):
        """Return each epoch's learning rates (E, B), and the state's rate after each epoch."""
        options, lr, rates, after = self.options, state.lr, [], []
        for i in range(n_epochs):
            rates.append(options.schedule.rates(lr, state.cycle + i, self.B, options.n_epochs))
            n_seen = state.n_seen + (i + 1) * self.n
            lr = options.schedule.after_epoch(options.learning_rate, lr, n_seen)
            after.append(lr)
        return np.concatenate(rates).reshape(n_epochs, -1), after

    def _plan(self, state, n_epochs, first_step):
        """Return the host plan of the next epochs, whose rates are yet to be set."""
        options = self.options
        if state.begun is not None and options.shuffle:  # its order was drawn
            orders = state.draws.order[None, :]
        else:
            orders = epoch_orders(state.draws, self.n, n_epochs, shuffle=options.shuffle)
        return make_plan(
            self.step.rule,
            orders,
            batch_size=self.step.batch_size,
            lr=0.0,
            seed=options.seed,
            first_step=first_step,
            alpha=options.alpha,
            sample_weight=self.sample_weight,
        )


def _summary(losses, leaves):
    """Return one array: the losses, then the sum of each leaf.

    One pass over a leaf, and on a GPU no kernel to compile: CuPy has sums ready.
    """
    xp = namespace(losses)
    sums = xp.stack([xp.astype(xp.sum(a), losses.dtype, copy=False) for a in leaves])
    return xp.concat([xp.reshape(losses, (-1,)), sums], axis=0)


def _stays_finite(losses, sums, leaves):
    """Return whether losses and leaves are finite; a sum that is not may be an overflow."""
    if not np.isfinite(losses).all():
        return False
    return all(np.isfinite(total) or all_finite(a) for total, a in zip(sums, leaves))
