"""What a contender is, and what it makes ready."""

import timeit
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


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
    slow: bool = False  # to make ready

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


def quietly(fit):
    """Return a fit that does not warn of the epochs that it was not given."""

    def call(x, y):
        with warnings.catch_warnings(action="ignore"):
            fit(x, y)

    return call


def predicting(predict, x):
    """Return a prediction made ready."""
    return Ready(repeated(predict, x), 1, lambda: np.asarray(predict(x)))


def whole_or_chunks(predict, join, x):
    """Return the fastest way to predict x: in one call, or in chunks that a cache may hold."""

    def in_chunks(size):
        return lambda x: join([predict(x[i : i + size]) for i in range(0, len(x), size)])

    sizes = [size for size in (256, 1024, 4096) if size < len(x)]
    for size in sizes:
        predict(x[:size])  # what a first call makes is not timed
    ways = [predict, *map(in_chunks, sizes)]
    took = lambda way: min(timeit.repeat(lambda: way(x), number=1, repeat=2))
    return min(ways, key=took) if sizes else predict
