"""The fitted model as a value: what its outputs mean, how its inputs are scaled."""

from .scaling import Scaling
from .targets import ClassTargets, LabelTargets, NumberTargets

__all__ = ["ClassTargets", "LabelTargets", "NumberTargets", "Scaling"]
