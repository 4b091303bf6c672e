"""Derivatives of other people's NumPy code: `recording` follows it, `pull` goes back over it.

`traced` is the array that functions get, `nodes` are the values that they computed, and `rules` the
derivatives of NumPy's functions.
"""

from .nodes import Node, ancestors
from .recording import Tape, pull, recording
from .rules import gradients
from .traced import Traced, plain

__all__ = ["Node", "Tape", "Traced", "ancestors", "gradients", "plain", "pull", "recording"]
