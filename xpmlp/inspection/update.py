"""The update of a parameter, as the lines of NumPy that its rule has."""

import re
from dataclasses import fields
from typing import NamedTuple

from ..optim.formulas import update_lines
from .latex import math_of

DECAY = "p = p - lr * weight_decay * p"


class Update(NamedTuple):
    """What a step does to a parameter p by its gradient dp.

    Attributes
    ----------
    heading : str
        The numbers that stand in the lines.
    lines : tuple of str
        NumPy; none of a rule of one's own, and of lbfgs.

    Examples
    --------
    >>> from xpmlp.optim import SGD
    >>> print(*Update.of(SGD(momentum=0.0), 0.2, 0.0), sep=": ")
    update of a parameter p by its gradient dp, lr 0.2: ('p = p - lr * dp',)
    """

    heading: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, rule, lr, weight_decay) -> "Update":
        """Return the update by a rule (None: of no lines), a rate, and decoupled weight decay."""
        lines = update_lines(rule)
        if not lines:
            return cls("", ())
        numbers = {"lr": lr, "weight_decay": weight_decay}
        numbers |= {field.name: getattr(rule, field.name) for field in fields(rule)}
        if weight_decay:
            lines = (DECAY, *lines)
        words = re.findall(r"\w+", " ".join(lines))
        heading = "update of a parameter p by its gradient dp"
        for name in (name for name in numbers if name in words):
            heading += f", {name} {numbers[name]:g}"
        if weight_decay:
            heading += " (of weights, not of biases)"
        if rule.slots:
            heading += f"; {' = '.join(rule.slots)} = 0 before the first step"
        if "t" in words:
            heading += ", where t = 1"
        return cls(heading, lines)

    @property
    def latex(self) -> list[str]:
        """Lines of an align environment."""
        sides = (line.split(" = ", 1) for line in self.lines)
        return [" &= ".join(math_of(side, {}) for side in pair) for pair in sides]
