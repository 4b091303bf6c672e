"""What a contender is, and what it makes ready."""

import timeit
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np


def waited(call):
    """Call what has ended when it returns; no device says how long it took."""
    call()


class Ready(NamedTuple):
    """A case made ready: data, weights and compilation are behind us."""

    run: Callable[[int], Any]  # run(n): n calls
    units: int  # steps, epochs or predictions a call
    outcome: Callable[[], Any]  # weights [(W, b), ...] on the host, or predictions
    # timer(call): call, and wait until all that it launched has ended; a card's seconds, or None.
    timer: Callable[..., float | None] = waited
    about: Callable[[], dict] = dict  # what the record says of it, after the first run


class Contender(NamedTuple):
    """One row of the benchmark.

    role: "own" is what the ratios compare with, the first that works; "peer" competes; "bound" and
    "shown" are for information. without: modules that its process must not find. On "cuda",
    ``make(case, data, device)`` also runs on "cpu", for tests.
    """

    name: str
    kind: str  # of the cases
    make: Callable[..., Ready]
    needs: tuple[str, ...] = ()
    role: str = "peer"
    without: tuple[str, ...] = ()
    slow: bool = False  # to make ready: in a quick run it comes last, if at all
    launches: bool = False  # by the host, one by one: left out of a quick run where that is heavy
    device: str = "cpu"

    @property
    def group(self):
        """The name by which --peers asks for it: its module, which may be for one device."""
        module = getattr(self.make, "func", self.make).__module__  # of a partial, its function's
        return module.rpartition(".")[2].partition("_")[0]


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
