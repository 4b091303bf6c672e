"""Multilayer perceptrons on whatever array you hold: NumPy, CuPy, PyTorch, JAX.

``import xpmlp`` loads NumPy only; each public name loads its module when first used (PEP 562).
"""

from importlib import import_module

__version__ = "0.1.0"

_MODULES = {
    "MLPClassifier": "xpmlp.estimators",
    "MLPRegressor": "xpmlp.estimators",
    "load_model": "xpmlp.estimators",
    "load": "xpmlp.model",
    "train": "xpmlp.training",
    "Checkpoint": "xpmlp.training",
    "explain": "xpmlp.inspection",
    "plan": "xpmlp.inspection",
    "forbid_transfers": "xpmlp.transfers",
    "show_backends": "xpmlp.cli.doctor",
    "callbacks": None,
    "nn": None,
    "optim": None,
    "plotting": None,
}
__all__ = [*_MODULES]


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module 'xpmlp' has no attribute {name!r}")
    module = import_module(_MODULES[name] or f"xpmlp.{name}")
    value = getattr(module, name) if _MODULES[name] else module
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
