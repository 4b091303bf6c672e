"""Tests for your code: gradient checks that explain mistakes, parity between array libraries."""

from importlib import import_module

_MODULES = {
    "assert_gradients": "gradients",
    "check_gradients": "gradients",
    "assert_same_trajectory": "parity",
    "check_parity": "parity",
}
__all__ = [*_MODULES]


def __getattr__(name):
    if name not in _MODULES:
        raise AttributeError(f"module 'xpmlp.testing' has no attribute {name!r}")
    value = getattr(import_module(f"xpmlp.testing.{_MODULES[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return sorted([*globals(), *__all__])
