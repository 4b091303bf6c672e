"""xpmlp and its peers side by side: steps, whole fits, predictions; each in a process of its own.

Rounds are interleaved, threads pinned and counted, ratios taken within a round.
"""

from .cells import KINDS, Case, cases_of
from .report import picture, summary, table
from .run import import_seconds, machine, measure

__all__ = [
    "KINDS", "Case", "cases_of", "import_seconds", "machine", "measure", "picture", "summary",
    "table",
]  # fmt: skip
