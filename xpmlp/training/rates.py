"""Learning-rate range test: one training whose rate rises from step to step."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..optim import Schedule
from ..page import curve, fragment, tag


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
    """Losses over a range of learning rates, and the rate that they suggest.

    All arrays end where the smoothed loss has grown to four times its least value. The suggestion
    is the middle of the decade of rates over which the loss falls most steeply: by the line of
    least squares through the losses against the logarithm of the rate, as batches are noisy.

    Parameters
    ----------
    rates, losses, smoothed : ndarray (n_steps,)
        Rate and loss of each step, and a moving average of the losses.
    suggestion : float
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggestion: float

    def __repr__(self):
        at = int(np.argmin(self.smoothed))
        n, low, high = len(self.rates), self.rates[0], self.rates[-1]
        losses = f"{self.smoothed[0]:.4g} to {self.smoothed[at]:.4g}"
        return (
            f"Suggested learning rate: {self.suggestion:.2g}.\n"
            f"{n} rates from {low:.2g} to {high:.2g}; the smoothed loss falls from {losses}, at a "
            f"rate of {self.rates[at]:.2g}.\nxpmlp.plotting.plot_learning_rates draws them."
        )

    def _repr_html_(self):
        first, *others = repr(self).split("\n")
        logs = np.log(self.rates)
        x = (logs - logs[0]) / (logs[-1] - logs[0])
        y = self.smoothed / self.smoothed.max()
        chosen = (np.log(self.suggestion) - logs[0]) / (logs[-1] - logs[0])
        axes = (
            "The smoothed loss, from 0, against the rate, on a log scale; dashed: the suggestion."
        )
        parts = [tag("strong", first), tag("p", axes, "soft"), curve(x, y, chosen), *others]
        return str(fragment(*parts))

    @staticmethod
    def of(rates, losses, beta=0.9):
        """Return the suggestion for rates and losses (n_steps,); beta: of the moving average."""
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
