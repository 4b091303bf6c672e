"""What a contender is, and what it makes ready."""

from collections.abc import Callable
from typing import Any, NamedTuple


class Ready(NamedTuple):
    """A case made ready: data, weights and compilation are behind us."""

    run: Callable[[int], Any]  # run(n): n calls, until the last has ended
    units: int  # steps, epochs or predictions a call
    outcome: Callable[[], Any]  # weights [(W, b), ...] on the host, or predictions


class Contender(NamedTuple):
    """One row of the benchmark.

    role: "own" is what the ratios compare with; "peer" competes; "bound" and "shown" are for
    information. without: modules that its process must not find.
    """

    name: str
    kind: str  # of the cases
    make: Callable[..., Ready]
    needs: tuple[str, ...] = ()
    role: str = "peer"
    without: tuple[str, ...] = ()

    @property
    def group(self):
        """The name by which --peers asks for it: its module."""
        return self.make.__module__.rpartition(".")[2]


def repeated(call, *args):
    """Return run(n) of a call that has ended when it returns."""

    def run(n):
        for _ in range(n):
            call(*args)

    return run
