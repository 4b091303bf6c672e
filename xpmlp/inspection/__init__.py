"""Looking into a network: one step in equations with live shapes, and the plan of a training."""

from .explain import Explanation, explain, explain_step
from .plan import TrainingPlan, plan, plan_training
from .shapes import check_shapes, shape_of

__all__ = ["Explanation", "TrainingPlan", "check_shapes", "explain", "explain_step", "plan"]
__all__ += ["plan_training", "shape_of"]
