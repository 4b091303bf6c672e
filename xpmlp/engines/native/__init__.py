"""Chains of layers on NumPy arrays in compiled code: C++, called by ctypes."""

from .program import native_outputs, native_run

__all__ = ["native_outputs", "native_run"]
