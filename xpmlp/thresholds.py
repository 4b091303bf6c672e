"""When a GPU pays: the rule of ``device="auto"``, and the times that it is computed from."""

import os
from collections.abc import Callable
from functools import cache
from math import inf
from threading import Lock
from time import perf_counter
from typing import NamedTuple

import numpy as np

from .arrays import Array, Location, array_at, from_host, to_host
from .transfers import counting


class Work(NamedTuple):
    """FLOP of a training's matrix products: of one step, and of all steps together at most."""

    step: float
    fit: float


class Pace(NamedTuple):
    """Speeds of host and GPU (FLOP a second), and seconds of a launch and of the GPU's start."""

    host: float  # FLOP a second, in products of matrices
    card: float
    launch: float  # seconds of one small operation
    start: float  # seconds until the first training step


class Thresholds(NamedTuple):
    """Least FLOP for which a GPU pays: of a step (infinite where it is no faster), of a fit."""

    step: float
    fit: float

    @staticmethod
    def of(pace: Pace, launches: float) -> "Thresholds":
        """Return what makes the GPU twice as fast as the host, when a step takes so many launches.

        A step pays from where ``launches * launch + step / card = step / host / 2``. Such steps
        spare at least half of the host's time, which pays from ``fit / host / 2 = start``.
        """
        spared = 0.5 / pace.host - 1.0 / pace.card
        step = launches * pace.launch / spared if spared > 0 else inf
        return Thresholds(step, 2.0 * pace.host * pace.start)


# Of the best GPU beside a modest host: for less, a second's work there, no GPU is started.
LEAST = Thresholds.of(Pace(host=1e11, card=inf, launch=5e-6, start=0.5), launches=1)


def choose(work: Work, thresholds: Thresholds, card: str) -> tuple[bool, str]:
    """Tell whether a training pays on a GPU, and why, as the rest of a sentence on its X."""
    takes = f"{scaled(work.step)}FLOP a step and {scaled(work.fit)}FLOP in all at most"
    if thresholds.step == inf:
        return False, f"and stay there: in products of matrices {card} is hardly faster"
    pays = work.step >= thresholds.step and work.fit >= thresholds.fit
    least = f"{scaled(thresholds.step)}FLOP a step and {scaled(thresholds.fit)}FLOP in all"
    verdict = "and were moved to the GPU" if pays else "and stay there"
    return pays, f"{verdict}: the fit takes {takes}, and {card} pays from {least} on"


_LOCK = Lock()  # one thread times, undisturbed by others that ask the same


def pace_of(card: Location, dtype: str) -> Pace | str:
    """Return the pace of the host and a GPU, or what fails there; tried once a process."""
    with _LOCK, counting():  # what passes here is none of the fit's
        return _tried(card, dtype, os.getpid())  # in a forked child CUDA may work no more


@cache
def _tried(card, dtype, process):
    try:
        return _timed(card, dtype)
    except Exception as error:  # whatever a driver raises
        return str(error).partition("\n")[0]


def _timed(card, dtype):
    """Time host and GPU, in some tenths of a second at most beside the GPU's start."""
    begin = perf_counter()
    host = np.full((SIZE, SIZE), 1.0 / SIZE, dtype)
    there = from_host(host, array_at(card))
    _wait(there @ there)
    begun = perf_counter()
    _wait(there + 1.0)
    start = begun - begin + KERNELS * (perf_counter() - begun)
    small = there[:1, :1]
    launch = _seconds(lambda: small + 1.0, times=50)
    return Pace(_rate(host, times=1), _rate(there, times=10), launch, start)


SIZE = 512  # of the matrices whose products are timed: a layer's, and soon done
LIMIT = 0.1  # seconds, after which no other run begins
KERNELS = 40  # that plain operations load or compile before the first step, of about equal cost


def _rate(a, times):
    """Return the FLOP a second of products of a matrix."""
    return 2.0 * SIZE**3 / _seconds(lambda: a @ a, times)


def _seconds(operation: Callable[[], Array], times: int) -> float:
    """Return the seconds of an operation: the median of up to five runs of so many."""
    found: list[float] = []
    end = perf_counter() + LIMIT
    while len(found) < 6 and (len(found) < 2 or perf_counter() < end):
        begin = perf_counter()
        for _ in range(times):
            made = operation()
        _wait(made)
        found.append((perf_counter() - begin) / times)
    return float(np.median(found[1:]))  # the first may load a library


def _wait(x):
    """Wait until an array has been computed."""
    to_host(x[:1, :1])


def scaled(n: float) -> str:
    """Write a count ahead of its unit: "1.5 M"."""
    for factor, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(n) >= factor:
            return f"{n / factor:.3g} {prefix}"
    return f"{n} "
