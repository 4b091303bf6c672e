"""The mathematics: layers, activations, losses, initializers, networks."""

from . import activations, initializers, losses
from .activations import ActivationFunction
from .embedding import Embedding
from .layers import (
    BUFFERS,
    OFFSETS,
    WEIGHTS,
    Activation,
    Ctx,
    Dense,
    Dropout,
    Group,
    Kernels,
    Layer,
)
from .layout import Layout
from .loss import Loss
from .network import LAYERS, Network, Residual
from .normalization import BatchNorm, LayerNorm, RMSNorm

__all__ = [
    "BUFFERS", "LAYERS", "OFFSETS", "WEIGHTS", "Activation", "ActivationFunction", "BatchNorm",
    "Ctx", "Dense", "Dropout", "Embedding", "Group", "Kernels", "Layer", "LayerNorm", "Layout",
    "Loss", "Network", "RMSNorm", "Residual", "activations", "initializers", "losses",
]  # fmt: skip
