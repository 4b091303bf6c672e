"""A team of threads that run one compiled function together and wait for each other in it.

BLAS is told to use one thread meanwhile: two pools of threads would fight for the cores.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from threading import Lock

import numpy as np
from numba import config, int32, int64, types
from numba.extending import intrinsic
from threadpoolctl import ThreadpoolController

from .blas import find_blas
from .maths import OPTIONS, jit

_give_way = types.ExternalFunction(
    "sched_yield" if os.name == "posix" else "SwitchToThread", int32()
)


@intrinsic
def _add(context, gate, n):
    """Add to gate[0] at once, for all threads. Returns what it was."""

    def generate(ctx, builder, signature, args):
        array = ctx.make_array(signature.args[0])(ctx, builder, args[0])
        return builder.atomic_rmw("add", array.data, args[1], "seq_cst")

    return int64(gate, int64), generate


@intrinsic
def _read(context, gate):
    def generate(ctx, builder, signature, args):
        array = ctx.make_array(signature.args[0])(ctx, builder, args[0])
        return builder.load_atomic(array.data, "seq_cst", 8)

    return int64(gate), generate


OPEN = 2**62  # a gate at which nobody waits


@jit(OPTIONS)
def wait(gate, size):
    """Wait until all threads of the team are here. gate: int64 (1,), zero before the first."""
    if size == 1:
        return
    here = _add(gate, 1) + 1
    wanted, spins = (here + size - 1) // size * size, 0
    while _read(gate) < wanted:
        spins += 1
        if spins > 10000:  # about 20 us: a core is missing, so let the others have this one
            _give_way()


@cache
def _pool(process):
    """Return the threads of a process, and a lock: a child that was forked off has neither."""
    return ThreadPoolExecutor(max(1, config.NUMBA_NUM_THREADS - 1), "xpmlp"), Lock()


@cache
def _others():
    """The BLAS libraries that are loaded and say how many threads they take."""
    find_blas()  # may load one
    found = ThreadpoolController().select(user_api="blas").lib_controllers
    return [blas for blas in found if blas.get_num_threads()]


def n_threads():
    """Return how many threads there may be: numba's number, or BLAS's where that is less."""
    return min([config.NUMBA_NUM_THREADS, *(blas.get_num_threads() for blas in _others())])


def run_team(function, size, gate):
    """Call function(rank, size) on `size` threads at once and wait for all of them.

    There is one team at a time: whoever comes while it works goes alone, as function(0, 1). Two
    teams that share the threads would wait for each other for ever.
    """
    pool, lock = _pool(os.getpid())
    if size > 1 and lock.acquire(blocking=False):
        try:
            _together(function, size, pool, gate)
        finally:
            lock.release()
    else:
        _together(function, 1, pool, gate)


def run_alone(function, size, gate):
    """Call function(0, 1), whose products are so small that no BLAS takes threads for them."""
    _call(function, 0, 1)


def _together(function, size, pool, gate):
    before = [blas.get_num_threads() for blas in _others()]
    try:
        for blas, n in zip(_others(), before):
            if n > 1:
                blas.set_num_threads(1)
        others = [pool.submit(_call, function, rank, size) for rank in range(1, size)]
        _call(function, 0, size)
        for other in others:
            other.result()
    except BaseException:  # an interrupt before this thread began: the others wait for it
        gate[0] = OPEN
        raise
    finally:
        for blas, n in zip(_others(), before):
            if n > 1:
                blas.set_num_threads(n)


def _call(function, rank, size):
    threads = find_blas().set_threads(1)
    try:
        function(rank, size)
    finally:
        find_blas().set_threads(threads)


def new_gate():
    """Return the counter that `wait` uses."""
    return np.zeros(1, np.int64)
