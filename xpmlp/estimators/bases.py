"""scikit-learn's base classes and decorators; bases.pyi says their types to a type checker."""

from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # experimental in scikit-learn 1.9: its place may change

    class CallbackSupportMixin:
        """Stand in for scikit-learn's: without it there is no `set_callbacks`."""

    def with_callbacks(method):
        """Return the method as it is."""
        return method


__all__ = [
    "BaseEstimator", "CallbackSupportMixin", "ClassifierMixin", "RegressorMixin",
    "TransformerMixin", "available_if", "with_callbacks",
]  # fmt: skip
