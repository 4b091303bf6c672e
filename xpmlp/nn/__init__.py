"""The mathematics: layers, activations, losses, initializers, networks."""

from . import activations, initializers, losses
from .activations import ActivationFunction
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
from .losses import Loss
from .network import Network

__all__ = [
    "BUFFERS", "OFFSETS", "WEIGHTS", "Activation", "ActivationFunction", "Ctx", "Dense", "Dropout",
    "Group", "Kernels", "Layer", "Layout", "Loss", "Network", "activations", "initializers",
    "losses",
]  # fmt: skip
