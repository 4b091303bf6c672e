"""Notes on what was asked of a training and is not done: kernels, shorter products."""

from functools import lru_cache

import numpy as np

from ..arrays import Array, Location, array_at, from_host, location_of, to_host
from ..engines import Engine, Options
from ..transfers import counting, note

ROUNDING = 1e-5  # norm-wise: products of float32 stay below 1e-6, TF32 and bfloat16 above 1e-4


def note_unheeded(engine: Engine, options: Options, like: Array) -> None:
    """Note kernels asked for without a GPU, and products that stay exact all the same."""
    precision, accelerate, at = options.matmul_precision, options.accelerate, location_of(like)
    if engine.product is None:
        return
    if accelerate in ("eager", "graph"):
        why = f"its kernels do not run on {at.library} arrays on {at.device}"
        note(text=f"accelerate={accelerate!r} changes nothing: {why}")
    if precision == "highest":
        return
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
