"""The contenders. Each is a function ``make(case, data) -> Ready`` that imports what it needs."""

from . import bound, jax, jax_cuda, onnx, own, sklearn, torch, torch_cuda
from .base import Contender, Ready

__all__ = ["CONTENDERS", "Contender", "Ready"]

CONTENDERS: tuple[Contender, ...] = (
    *own.CONTENDERS,
    *sklearn.CONTENDERS,
    *torch.CONTENDERS,
    *jax.CONTENDERS,
    *onnx.CONTENDERS,
    *bound.CONTENDERS,
    *torch_cuda.CONTENDERS,
    *jax_cuda.CONTENDERS,
)
