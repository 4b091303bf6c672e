"""scikit-learn-compatible estimators on any array library."""

from .classifier import MLPClassifier
from .model_file import load_model
from .regressor import MLPRegressor
from .scaling import Scaling

__all__ = ["MLPClassifier", "MLPRegressor", "Scaling", "load_model"]
