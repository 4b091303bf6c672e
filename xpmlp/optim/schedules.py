"""Learning-rate schedules: small records of host arithmetic, asked once an epoch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Constant:
    """Keep the rate; a plateau ends the training.

    Examples
    --------
    >>> Constant().after_epoch(0.1, 0.1, n_seen=100), Constant().on_plateau(0.1)
    (0.1, None)
    """

    def after_epoch(self, lr_init, lr, n_seen):
        """Return the rate of the next epoch; `n_seen` counts samples so far."""
        return lr

    def on_plateau(self, lr):
        """Return the rate to go on with, or None to stop."""
        return


@dataclass(frozen=True)
class InvScaling:
    """lr_init in the first epoch, then lr_init / (n_seen + 1)^power, as scikit-learn's.

    Examples
    --------
    >>> InvScaling(0.5).after_epoch(0.1, 0.1, n_seen=99)
    0.01
    """

    power: float = 0.5

    def after_epoch(self, lr_init, lr, n_seen):
        """Return the rate of the next epoch."""
        return lr_init / (n_seen + 1) ** self.power

    def on_plateau(self, lr):
        """Return None: stop."""
        return


@dataclass(frozen=True)
class Adaptive:
    """Divide the rate by 5 on each plateau, and stop on one at 1e-6 or below, as scikit-learn's.

    Examples
    --------
    >>> Adaptive().on_plateau(0.5), Adaptive().on_plateau(1e-7)
    (0.1, None)
    """

    def after_epoch(self, lr_init, lr, n_seen):
        """Return the rate of the next epoch."""
        return lr

    def on_plateau(self, lr):
        """Return the rate to go on with, or None to stop."""
        return lr / 5.0 if lr > 1e-6 else None


Schedule = Constant | InvScaling | Adaptive


def make_schedule(name: str, power: float = 0.5) -> Schedule:
    """Return the schedule of a name: "constant", "invscaling" or "adaptive"."""
    made: dict[str, Schedule] = {
        "constant": Constant(),
        "invscaling": InvScaling(power),
        "adaptive": Adaptive(),
    }
    if name not in made:
        raise ValueError(f"learning_rate must be one of {', '.join(made)}, got {name!r}.")
    return made[name]
