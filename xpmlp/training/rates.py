"""The learning-rate range test: one training whose rate rises from step to step."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..optim import Schedule


@dataclass(frozen=True)
class Sweep(Schedule):
    """Raise the rate by the same factor in each step, from lr to lr times `factor`."""

    factor: float
    has_end = True

    def rates(self, lr, epoch, n_batches, n_epochs):
        """Return the rate of each step of an epoch."""
        step = epoch * n_batches + np.arange(n_batches)
        return lr * self.factor ** (step / max(n_epochs * n_batches - 1, 1))


class LearningRates(NamedTuple):
    """What a range test found: `rates`, the batches' `losses`, these `smoothed`, a `suggestion`.

    The suggestion is the rate at which the smoothed loss falls most steeply against the logarithm
    of the rate; all end where the loss has grown to four times its least value.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float

    @staticmethod
    def of(rates, losses, beta=0.9):
        """Smooth the losses by a moving average, cut where they explode, and choose."""
        smoothed, average = [], 0.0
        for t, loss in enumerate(losses, start=1):
            average = beta * average + (1.0 - beta) * loss
            smoothed.append(average / (1.0 - beta**t))
            least = min(smoothed)
            if not np.isfinite(average) or smoothed[-1] > least + 3.0 * abs(least):
                smoothed.pop()
                break
        n = len(smoothed)
        rates, losses, smooth = np.asarray(rates[:n]), np.asarray(losses[:n]), np.asarray(smoothed)
        if n < 8:
            raise ValueError(
                f"the loss exploded after {n} steps: begin at a lower rate (low), or standardise X."
            )
        last = max(int(np.argmin(smooth)), 2)
        first = min(10, last - 1)  # the average of a few losses is noise
        slopes = np.gradient(smooth, np.log(rates))[first : last + 1]
        return LearningRates(rates, losses, smooth, float(rates[first + int(np.argmin(slopes))]))
