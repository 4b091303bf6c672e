"""How training steps run on one array library: the only seam."""

from ..arrays import Array, is_jax, is_numpy, is_torch, namespace
from .base import Batch, Carry, Engine, Plan, gather
from .generic import generic_engine
from .jax import jax_engine
from .numpy import numpy_engine
from .torch import torch_engine

__all__ = [
    "MATMUL_PRECISIONS",
    "Batch",
    "Carry",
    "Engine",
    "Plan",
    "engine_for",
    "gather",
    "generic_engine",
    "jax_engine",
    "numpy_engine",
    "torch_engine",
]

MATMUL_PRECISIONS = ("highest", "high", "medium")


def engine_for(x: Array, matmul_precision: str = "highest") -> Engine:
    """Return the engine for the library of `x`.

    matmul_precision: what products of float32 may be computed in: "highest" float32, "high" TF32 or
    the like, "medium" also bfloat16, summed in float32, each where library and device have it.
    """
    if matmul_precision not in MATMUL_PRECISIONS:
        raise ValueError(
            f"matmul_precision must be one of {', '.join(MATMUL_PRECISIONS)}, "
            f"got {matmul_precision!r}."
        )
    xp = namespace(x)
    if is_torch(x):
        on_card = x.device.type != "cpu"
        return torch_engine(xp, contiguous=on_card, matmul_precision=matmul_precision)
    if is_jax(x):
        return jax_engine(xp, matmul_precision=matmul_precision)
    return numpy_engine(xp) if is_numpy(x) else generic_engine(xp)
