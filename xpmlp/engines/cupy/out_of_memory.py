"""GPU memory that is too small: batches in parts, and the messages about it."""

from functools import partial

import cupy

from ...arrays import free_memory
from ...errors import DeviceMemoryError
from ...transfers import note
from ..base import gather

OutOfMemoryError = cupy.cuda.memory.OutOfMemoryError


def free_pools():
    """Free the GPU memory that CuPy holds without using it."""
    cupy.get_default_memory_pool().free_all_blocks()


def fitting(attempt, n: int, *, free=free_pools, divisible=True):
    """Return attempt(n) and n, the rows computed at once: halved as often as memory asks for.

    divisible: whether a batch may be computed in parts.

    Raises
    ------
    DeviceMemoryError
        When one row is too much.
    """
    freed = False
    while True:
        try:
            return attempt(n), n
        except OutOfMemoryError as error:
            reason = str(error).rstrip(".")
        # Only now, as the error's traceback held the arrays of the attempt.
        free()
        if freed and (n == 1 or not divisible):
            raise DeviceMemoryError(_too_small(reason, divisible))
        if freed:
            n = -(-n // 2)
            note(text=in_parts(n))
        freed = True


def in_parts(n: int) -> str:
    """Return the sentence on a batch that is computed in parts of n rows."""
    return f"the GPU's memory is short, so batches are computed {n} rows at a time"


def _too_small(reason, divisible):
    why = "even one row at a time"
    if not divisible:
        why = "and a layer's running statistics (batch normalisation) need all rows of a batch"
    return (
        f"The GPU's memory is too small for this network, {why}: {reason}; "
        f"{free_memory(cupy.empty(0)):,} bytes are free. Take fewer units, a smaller batch_size or "
        "dtype='float32', end what else uses the GPU (nvidia-smi), or train with device='cpu'."
    )


def gradient_in_parts(step, carry, data, hyper, n, *, xp, kernels):
    """Return `step.gradient` of a batch, summed over parts of n rows: the weights sum to one."""
    # The update takes about so much more, and must not fail half done.
    room = [xp.empty_like(p) for p in carry.params.values() for _ in range(4)]
    made = _in_parts(step, carry, data, hyper, n, xp, kernels)
    del room
    return made


def _in_parts(step, carry, data, hyper, n, xp, kernels):
    if n >= step.batch_size:
        batch = gather(data, hyper, xp=xp)
        return step.gradient(carry.params, carry.buffers, batch, xp=xp, kernels=kernels)
    values: list = []
    grads: dict = {}
    for first in range(0, step.batch_size, n):
        part = slice(first, first + n)
        own = hyper._replace(rows=hyper.rows[..., part], weights=hyper.weights[..., part])
        bits = partial(kernels.random_bits, first=first)
        batch, changed = gather(data, own, xp=xp), kernels._replace(random_bits=bits)
        value, made, _ = step.gradient(carry.params, {}, batch, xp=xp, kernels=changed)
        values.append(value)
        for name, g in made.items():
            if name in grads:
                g = grads[name] + g
            grads[name] = g
    return sum(values[1:], values[0]), grads, {}


def careful_run(step, *, xp, kernels):
    """Return the run of a step in its own text, in parts of a batch where memory is short."""

    def run(carry, data, plan):
        losses, n = [], step.batch_size
        for i in range(plan.rows.shape[0]):
            hyper = plan.at(i)
            attempt = partial(gradient_in_parts, step, carry, data, hyper, xp=xp, kernels=kernels)
            (value, grads, buffers), n = fitting(attempt, n, divisible=not carry.buffers)
            penalty, grads = step.penalise(grads, carry.params, hyper, xp=xp)
            params, state = step.update(grads, carry.state, carry.params, hyper, xp=xp)
            carry = carry._replace(params=params, buffers=buffers, state=state)
            if penalty is None:
                penalty = xp.zeros_like(value)
            losses.append((value, penalty))
        return carry, xp.stack([xp.stack(kind) for kind in zip(*losses)])

    return run
