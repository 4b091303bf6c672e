"""Records that the training loop and an engine exchange, and that of an engine itself.

B steps, N rows a batch, n rows of data; with members a K axis stands before N.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..arrays import Array
from ..nn import Kernels


class Plan(NamedTuple):
    """B steps: which rows, and every number that differs between steps. Made before the epoch."""

    rows: Array  # (B, [K,] N) int32
    weights: Array  # (B, [K,] N): each step's sum to one; 0 in padding rows
    n_rows: Array  # (B[, K]): rows that are not padding
    key: Array  # (B, [K,] 1, 2) int32
    rate: Array  # (B[, K, 1, 1]): the learning rate, with the rule's correction in it
    decay: Array  # (B[, K, 1, 1]): alpha / sum of the raw weights
    shrink: Array  # (B[, K, 1, 1]): learning rate times decoupled weight decay

    def at(self, i):
        """Return the numbers of step i."""
        return Plan(*(a[i, ...] for a in self))

    def part(self, start, stop):
        """Return the plan of the steps from start to before stop."""
        return Plan(*(a[start:stop, ...] for a in self))


class Batch(NamedTuple):
    """One step's rows, and its numbers from the plan."""

    x: Array  # ([K,] N, D)
    y: Array  # ([K,] N, C), or class codes ([K,] N, 1)
    hyper: Plan


class Carry(NamedTuple):
    """Everything that a step changes. No array stands in it twice."""

    params: dict[str, Array]  # the store of what the rule updates
    buffers: dict[str, Array]  # the store of what layers update
    state: dict[str, dict[str, Array]]  # the rule's: slot -> store


def copy_store(store, *, xp):
    """Copy a store: the next step may overwrite or give away its arrays."""
    return {name: xp.asarray(a, copy=True) for name, a in store.items()}


def copy_carry(carry, *, xp):
    """Copy a carry."""
    params, buffers = (copy_store(store, xp=xp) for store in carry[:2])
    return Carry(params, buffers, {slot: copy_store(s, xp=xp) for slot, s in carry.state.items()})


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a user may choose about how steps run; the arguments of those names in `train`."""

    matmul_precision: str = "highest"  # one of MATMUL_PRECISIONS
    accelerate: str = "auto"  # one of ACCELERATIONS
    deterministic: bool = False


DEFAULTS = Options()


class Engine(NamedTuple):
    """How steps run on one array library: the only seam.

    compile(f, donate=()) -> f
        The same function of arrays, compiled where the library compiles.
    run(step) -> (carry, data, plan) -> (carry, losses)
        Asked for once a fit. Any chunk of batches in one go; data: (X, y). Donates the carry.
        losses: (2, B[, K]), each step's data loss and penalty.
    compiled(step) -> bool
        Whether its run is one call of compiled code, without a function of the user's: then its
        FLOP tell about how long it takes.
    resident(a) -> a
        Data as steps read them best; called once a fit.
    product(a, b) -> a @ b, or None
        Of float32 matrices as steps make it, to see what a precision does on this machine; None:
        runs note themselves what they do not heed.
    threads(multiplications) -> context
        In which a forward pass of so many, and its backward pass, take the threads that pay.
    outputs(network, layout, dtype) -> store -> x -> outputs, or None
        A network's outputs, prepared for many calls, in bounded memory; threads may call at once,
        also in a forked process. Of x that is not finite None. Where None stands for a function:
        by the layers' own forward, in chunks.
    """

    name: str
    xp: Any
    run: Callable[..., Any]
    contiguous: bool = True  # one leaf per group (mutable arrays), else one per parameter
    fixed_shapes: bool = False  # each new number of rows compiles again: predictions are padded
    compile: Callable[..., Any] = lambda f, donate=(): f
    kernels: Kernels = Kernels()
    compiled: Callable[..., bool] = lambda step: False
    resident: Callable[[Array], Array] = lambda a: a
    outputs: Callable[..., Any] = lambda network, layout, dtype: None
    product: Callable[[Array, Array], Array] | None = lambda a, b: a @ b
    threads: Callable[[int], AbstractContextManager] = lambda multiplications: nullcontext()


def gather(data: tuple[Array, Array], hyper: Plan, *, xp) -> Batch:
    """Return the batch of data = (X, y) at one step of a plan."""
    x, y = (_take(a, hyper.rows, xp) for a in data)
    return Batch(x, y, hyper)


def _take(a, rows, xp):
    if rows.ndim == 1:
        return xp.take(a, rows, axis=0)
    return xp.reshape(xp.take(a, xp.reshape(rows, (-1,)), axis=0), (*rows.shape, *a.shape[1:]))
