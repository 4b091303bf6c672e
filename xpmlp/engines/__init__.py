"""How training steps run on one array library: the only seam."""

from ..arrays import Array, is_jax, namespace
from .base import Batch, Carry, Engine, Plan, gather
from .generic import generic_engine
from .jax import jax_engine

__all__ = [
    "Batch",
    "Carry",
    "Engine",
    "Plan",
    "engine_for",
    "gather",
    "generic_engine",
    "jax_engine",
]


def engine_for(x: Array) -> Engine:
    """Return the engine for the library of `x`."""
    return jax_engine(namespace(x)) if is_jax(x) else generic_engine(namespace(x))
