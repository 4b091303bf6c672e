# What a type checker reads of __init__.py, which imports each name where it is first used.
from . import callbacks, nn, optim, plotting
from .cli.doctor import show_backends
from .estimators import MLPClassifier, MLPRegressor, load_model
from .inspection.explain import explain
from .inspection.plan import plan
from .model import load
from .training import Checkpoint, train
from .transfers import forbid_transfers

__version__: str
__all__ = [
    "Checkpoint",
    "MLPClassifier",
    "MLPRegressor",
    "callbacks",
    "explain",
    "forbid_transfers",
    "load",
    "load_model",
    "nn",
    "optim",
    "plan",
    "plotting",
    "show_backends",
    "train",
]
