"""Sparse rows: used like X, and made dense chunk by chunk, never as a whole."""

from collections.abc import Callable, Iterable

import numpy as np

from ..arrays import Array, from_host, is_numpy, location_of, namespace, to_host
from ..engines import Batch, Plan, gather
from ..placing import check_transfer
from .plan import copy_plan

CHUNK = 2**22  # elements that are dense at once, 32 MB of float64; at least one batch


class SparseRows:
    """The rows of a SciPy CSR matrix in the compute dtype, made dense beside an array.

    like: (n, 0), an array that says where, in what dtype and how many, and takes no memory.
    """

    def __init__(self, csr, beside: Array):
        self.csr, self.shape = csr, csr.shape
        self.like = from_host(np.empty((csr.shape[0], 0), csr.dtype), beside)

    @property
    def dtype(self):
        """The dtype of the dense rows, as their library has it."""
        return self.like.dtype

    def taken(self, rows: np.ndarray) -> "SparseRows":
        """Return rows by their numbers, still sparse."""
        return SparseRows(self.csr[rows], self.like)

    def dense(self, rows) -> Array:
        """Return rows, a slice or their numbers, as an array beside `like`."""
        a = self.csr[rows].toarray()
        if is_numpy(self.like):
            return a
        there = location_of(self.like)
        check_transfer(a, there, "rows of the sparse X", "pass X dense, from there")
        return from_host(a, self.like)

    def cuts(self, n: int, size: int = 1) -> list[slice]:
        """Cut n groups of `size` rows into chunks, equal but for the last, as slices."""
        step = max(1, at_once(self.shape[1]) // size)
        return [slice(i, min(i + step, n)) for i in range(0, n, step)]


def at_once(n_features: int) -> int:
    """Return how many rows are dense at once."""
    return max(1, CHUNK // n_features)


def like_of(x) -> Array:
    """Return an array with the library, device, dtype and number of rows of X, sparse or not."""
    return x.like if isinstance(x, SparseRows) else x


def run_plan(run, carry, data, plan, dtype):
    """Run an epoch's host plan on data (X, y). Returns the carry and the losses.  Donates carry."""
    x, y = data
    if not isinstance(x, SparseRows):
        return run(carry, data, copy_plan(plan, x, dtype))
    xp, losses, (B, N) = namespace(y), [], plan.rows.shape
    for cut in x.cuts(B, N):
        part = Plan(*(a[cut] for a in plan))
        rows = part.rows.ravel()
        in_order = np.arange(rows.size, dtype=np.int32).reshape(-1, N)
        block = x.dense(rows), xp.take(y, from_host(rows, y), axis=0)
        carry, made = run(carry, block, copy_plan(part._replace(rows=in_order), y, dtype))
        del block  # or two were held at once
        losses.append(xp.asarray(made, copy=True))  # the engine may overwrite it
    return carry, xp.concat(losses, axis=1)


def batch_of(data, plan, dtype, *, xp) -> Batch:
    """Return the batch of a host plan's one step."""
    x, y = data
    hyper = copy_plan(plan, y, dtype).at(0)
    if not isinstance(x, SparseRows):
        return gather(data, hyper, xp=xp)
    return Batch(x.dense(plan.rows[0]), xp.take(y, hyper.rows, axis=0), hyper)


def value_range(x) -> tuple[float, float]:
    """Return the smallest and the largest element of an array or of SparseRows."""
    if isinstance(x, SparseRows):
        return float(x.csr.min()), float(x.csr.max())
    xp = namespace(x)
    return float(to_host(xp.min(x))), float(to_host(xp.max(x)))


def batches_of(data, plan, dtype, *, xp) -> Callable[[], Iterable[Batch]]:
    """Return a function that gives a plan's one batch: whole, or of a sparse X chunk by chunk.

    The chunks' weights sum to one together, and only the first has the penalty.
    """
    x, y = data
    if not isinstance(x, SparseRows):
        whole = gather(data, copy_plan(plan, x, dtype).at(0), xp=xp)
        return lambda: (whole,)

    def chunks():
        for cut in x.cuts(x.shape[0]):
            n = cut.stop - cut.start
            hyper = plan._replace(weights=plan.weights[:, cut], n_rows=np.full(1, float(n)))
            if cut.start:
                hyper = hyper._replace(decay=np.zeros(1))
            yield Batch(x.dense(cut), y[cut, ...], copy_plan(hyper, y, dtype).at(0))

    return chunks
