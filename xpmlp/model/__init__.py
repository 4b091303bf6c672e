"""The fitted model as a value, without scikit-learn: how its rows and its outputs are meant."""

from .inputs import Inputs
from .record import Model, load
from .scaling import Scaling
from .targets import ClassTargets, LabelTargets, NumberTargets

__all__ = ["ClassTargets", "Inputs", "LabelTargets", "Model", "NumberTargets", "Scaling", "load"]
