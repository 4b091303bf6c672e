"""A network's outputs for any number of rows, in chunks of bounded size."""

from functools import lru_cache

from ..arrays import Array, dtype_name
from ..engines import Engine
from ..nn import Ctx
from .rows import SparseRows

CHUNK = 4096  # rows: bounds the memory of the layers' outputs


@lru_cache(maxsize=128)
def _forward(network, layout, xp, kernels):
    def forward(store, x):
        return network.forward(layout.unpack(store, xp=xp), x, Ctx(xp, False, kernels))[0]

    return forward


def network_outputs(network, layout, store, x, engine: Engine) -> Array:
    """Return the outputs (n, C) for x (n, D) in x's library, with a store of parameters.

    x: an array or SparseRows.
    """
    xp, n = engine.xp, x.shape[0]
    if isinstance(x, SparseRows):
        made = [network_outputs(network, layout, store, x.dense(cut), engine) for cut in x.cuts(n)]
        return _joined(made, xp)
    own = engine.outputs(network, layout, dtype_name(x))
    if own and x.ndim == 2:
        outputs = own(store)
        made = outputs and outputs(x)
        if made is not None:
            return made
    forward, chunks = engine.compile(_forward(network, layout, xp, engine.kernels)), [x]
    if n > CHUNK:
        chunks = [x[start : min(start + CHUNK, n), ...] for start in range(0, n, CHUNK)]
    with engine.threads(min(n, CHUNK) * layout.size):
        return _joined([_chunk_outputs(forward, store, chunk, engine) for chunk in chunks], xp)


def _chunk_outputs(forward, store, x, engine):
    rows = wanted = x.shape[0]
    if engine.fixed_shapes:
        # Powers of two: a few compilations serve every number of rows.
        wanted = min(CHUNK, 1 << max(rows - 1, 15).bit_length())
    if wanted == rows:
        return forward(store, x)
    padding = engine.xp.zeros((wanted - rows, *x.shape[1:]), dtype=x.dtype)
    return forward(store, engine.xp.concat([x, padding], axis=0))[:rows, ...]


def _joined(parts, xp):
    """Return rows that came in parts as one array, a lone part as it is."""
    if len(parts) == 1:
        return parts[0]
    return xp.concat(parts, axis=0)
