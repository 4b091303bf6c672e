"""Chains of layers on NumPy arrays in compiled code (numba, the extra `fast`)."""

from .program import compiled_outputs, compiled_run

__all__ = ["compiled_outputs", "compiled_run"]
