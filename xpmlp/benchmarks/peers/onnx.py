"""onnxruntime: predictions."""

from .base import Contender

CONTENDERS: tuple[Contender, ...] = ()
