"""The contenders. Each is a function ``make(case, data) -> Ready`` that imports what it needs."""

from . import bound, jax, onnx, own, sklearn, torch
from .base import Contender, Ready

__all__ = ["CONTENDERS", "Contender", "Ready"]

CONTENDERS: tuple[Contender, ...] = (
    *own.CONTENDERS,
    *sklearn.CONTENDERS,
    *torch.CONTENDERS,
    *jax.CONTENDERS,
    *onnx.CONTENDERS,
    *bound.CONTENDERS,
)
