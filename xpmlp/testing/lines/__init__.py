"""The lines of other people's NumPy code: which line gave which value, and another in its place.

`recording` follows a run statement by statement, `scopes` evaluates expressions of the code as they
were then, `names` writes an array in the words of the code, `patches` tries another line.
"""

from .patches import patched
from .recording import record

__all__ = ["patched", "record"]
