"""xpmlp and its peers side by side: steps, whole fits, predictions; each in a process of its own.

Rounds are interleaved, threads pinned and counted, ratios taken within a round.
"""

from .cases import DEVICES, Case, cases_of
from .peers import CONTENDERS
from .report import picture, table
from .run import available_cpus, card, contenders, import_seconds, machine, measure

__all__ = [
    "CONTENDERS", "DEVICES", "Case", "available_cpus", "card", "cases_of", "contenders",
    "import_seconds", "machine", "measure", "picture", "table",
]  # fmt: skip
