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

    All end where the smoothed loss has grown to four times its least value. The suggestion is the
    middle of the decade of rates over which the loss falls most steeply: by the least-squares line
    through the losses against the logarithm of the rate, as single batches are too noisy to tell.
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
        rates, losses = np.asarray(rates[:n]), np.asarray(losses[:n])
        logs = np.log10(rates)
        if n < 8 or logs[-1] < logs[0] + 1:
            raise ValueError(
                f"the loss exploded after {n} steps, before the rate had risen tenfold: begin at a "
                "lower rate (low), or standardise X."
            )
        capped = np.minimum(losses, 1.5 * np.median(losses[: max(n // 3, 1)]))  # the last explode
        starts = logs[logs <= logs[-1] - 1]
        inside = [(logs >= start) & (logs <= start + 1) for start in starts]
        slopes = [np.polyfit(logs[part], capped[part], 1)[0] for part in inside]
        suggestion = 10.0 ** (starts[int(np.argmin(slopes))] + 0.5)
        return LearningRates(rates, losses, np.asarray(smoothed), float(suggestion))
