"""Whether `matmul_precision` shortens anything where a training runs, asked by a product."""

from functools import lru_cache

import numpy as np

from ..arrays import Array, Location, array_at, from_host, location_of, to_host
from ..engines import Engine, Options
from ..transfers import counting, note

ROUNDING = 1e-5  # norm-wise: products of float32 stay below 1e-6, TF32 and bfloat16 above 1e-4


def note_precision(engine: Engine, options: Options, like: Array) -> None:
    """Note where products stay as they are although a shorter precision is allowed."""
    precision = options.matmul_precision
    if precision == "highest" or engine.product is None:
        return
    at = location_of(like)
    if str(like.dtype).endswith("float64"):
        why = "float64 is never shortened, pass dtype='float32'"
    elif _shortens(engine.product, at):
        return
    else:
        why = f"{at.library} on {at.device} computes products as exactly as float32 here"
    note(text=f"matmul_precision={precision!r} changes nothing: {why}")


@lru_cache(maxsize=128)
def _shortens(product, at: Location) -> bool:
    """Return whether a product is off by more than float32's rounding: flags only promise it."""
    a, b = np.random.default_rng(0).standard_normal((2, 256, 256))
    exact, like = a.astype(np.float32) @ b.astype(np.float32).astype(np.float64), array_at(at)
    with counting():  # no copies of the user's
        made = to_host(product(*(from_host(m.astype(np.float32), like) for m in (a, b))))
    return bool(np.linalg.norm(made - exact) > ROUNDING * np.linalg.norm(exact))
