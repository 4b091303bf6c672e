"""Report of a gradient check: a line for each array, and the mistakes, as text and as HTML."""

from dataclasses import dataclass, field
from typing import NamedTuple

from ...page import Html, fragment, table, tag
from ...words import plural

HEAD = ("gradient", "", "error", "bound", "looked at")
CLASSES = {"ok": "good", "WRONG": "bad"}  # of HTML


class Mistake(NamedTuple):
    """A mistake in a backward pass.

    Attributes
    ----------
    kind : str
        Such as "transposed", "missing_mean", "derivative_missing"; "unknown" where an array is
        wrong in a way that is none of the known mistakes.
    layer : int or None
        The layer, counted from 1, whose line of the backward pass is wrong; the error at the output
        belongs to the last one.
    text : str
        A sentence that explains it in the terms of the code that was checked.
    """

    kind: str
    layer: int | None
    text: str


class ArrayCheck(NamedTuple):
    """One array's gradient beside the difference quotient of the forward pass."""

    name: str
    ok: bool
    shape: tuple
    error: float  # the largest error, over the largest measured derivative
    bound: float  # what rounding allows, in that unit
    where: str  # at which coordinates derivatives were measured
    kinks: int = 0  # coordinates left out: the function has no derivative there
    formula: str = ""


@dataclass
class GradientReport:
    """Result of `check_gradients`: prints as text, shows as HTML in a notebook.

    Attributes
    ----------
    subject : str
        What was checked.
    ok : bool
        Whether every gradient agrees, and nothing else is wrong.
    mistakes : list of Mistake
    checks : list of ArrayCheck
    notes : list of str
        How it was checked.
    """

    subject: str
    checks: list[ArrayCheck] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.mistakes and all(check.ok for check in self.checks)

    def add(self, kind, layer, text):
        """Add a mistake (kind, layer, text) to the report, if it is not in it yet."""
        text = text.rstrip(".")
        if Mistake(kind, layer, text) not in self.mistakes:
            self.mistakes.append(Mistake(kind, layer, text))

    @property
    def verdict(self):
        """First line of the report."""
        if self.ok:
            return f"{self.subject}: the gradients agree with the differences of the forward pass."
        return f"{self.subject}: {plural(len(self.mistakes), 'mistake')} in the gradients."

    def _rows(self):
        for c in self.checks:
            verdict = "ok" if c.ok else "WRONG"
            error = f"{c.error:.1e}".replace("nan", "-")
            left_out = f", {c.kinks} at kinks left out" * (c.kinks > 0)
            yield c.name, verdict, error, f"{c.bound:.0e}", c.where + left_out

    def _formulas(self):
        """Return the right formulas of the wrong gradients."""
        return [c.formula for c in self.checks if c.formula and not c.ok]

    def __str__(self):
        lines = [self.verdict]
        lines += [f"  {i}. {m.text}" for i, m in enumerate(self.mistakes, 1)]
        if self.checks:
            rows = [HEAD, *self._rows()]
            wide = [max(len(row[i]) for row in rows) for i in range(4)]
            lines.append("")
            for name, verdict, error, bound, where in rows:
                numbers = f"{error:>{wide[2]}}  {bound:>{wide[3]}}"
                names = f"{name:<{wide[0]}}  {verdict:<{wide[1]}}"
                lines.append(f"  {names}  {numbers}  {where}".rstrip())
        if formulas := self._formulas():
            lines += ["", "What the wrong ones should be:", *(f"  {text}" for text in formulas)]
        if self.notes:
            lines += ["", *(f"Note: {note}" for note in self.notes)]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        parts = [Html(tag("h2", self.verdict, "good" if self.ok else "bad"))]
        if self.mistakes:
            items = "".join(tag("li", m.text) for m in self.mistakes)
            parts.append(Html(f"<ol>{items}</ol>"))
        if self.checks:
            rows = [
                (name, tag("span", verdict, CLASSES[verdict]), *others)
                for name, verdict, *others in self._rows()
            ]
            parts.append(table(HEAD, rows, numbers=(2, 3)))
        if formulas := self._formulas():
            parts += [tag("p", "What the wrong ones should be:"), tag("pre", "\n".join(formulas))]
        parts += [tag("p", note, "soft") for note in self.notes]
        return str(fragment(*parts))
