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
        return made[0] if len(made) == 1 else xp.concat(made, axis=0)
    own = engine.outputs(network, layout, dtype_name(x))
    outputs = own(store, n) if own and x.ndim == 2 else None
    if outputs:
        return outputs(x)
    forward = engine.compile(_forward(network, layout, xp, engine.kernels))
    parts = []
    for start in range(0, n, CHUNK):
        part = x if n <= CHUNK else x[start : min(start + CHUNK, n), ...]
        rows = part.shape[0]
        if engine.fixed_shapes:
            # Powers of two: a few compilations serve every number of rows.
            wanted = min(CHUNK, 1 << max(rows - 1, 15).bit_length())
            padding = xp.zeros((wanted - rows, *x.shape[1:]), dtype=x.dtype)
            part = xp.concat([part, padding], axis=0) if wanted > rows else part
        out = forward(store, part)
        parts.append(out[:rows, ...] if out.shape[0] > rows else out)
    return parts[0] if len(parts) == 1 else xp.concat(parts, axis=0)
