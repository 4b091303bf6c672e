"""What is promised of damage and malice, tried and counted: `python -m ci.reliability NAME ...`.

Each file here is a matrix with a function `run` that returns its `Figures`; NAME is the file's.
"""

from dataclasses import dataclass, field


@dataclass
class Figures:
    """How often something was tried, and how it went.

    refused: with one sentence; wrong: accepted with another result than there should be, or refused
    where it is good; crashed: an error of another kind, or no end; leaked: memory beyond the bound,
    or files left behind. notes: a line for each of the last three.
    """

    tried: int = 0
    refused: int = 0
    wrong: int = 0
    crashed: int = 0
    leaked: int = 0
    notes: list[str] = field(default_factory=list)

    def line(self, name: str) -> str:
        """Return the figures as a line."""
        counts = {k: v for k, v in vars(self).items() if k != "notes"}
        return f"{name}: " + ", ".join(f"{n:,} {word}" for word, n in counts.items())
