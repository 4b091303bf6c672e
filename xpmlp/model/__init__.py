"""Fitted models as values, without scikit-learn: network, parameters, meaning of rows, outputs."""

from .inputs import Inputs
from .record import Model, load
from .scaling import Scaling
from .targets import ClassTargets, LabelTargets, NumberTargets

__all__ = ["ClassTargets", "Inputs", "LabelTargets", "Model", "NumberTargets", "Scaling", "load"]
