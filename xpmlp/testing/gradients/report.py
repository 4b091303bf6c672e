"""What a gradient check found: a line an array, the mistakes in words, as text and as HTML."""

from dataclasses import dataclass, field
from typing import NamedTuple

from ...inspection.page import Html, fragment, table, tag


class Mistake(NamedTuple):
    """One thing that is wrong.

    Attributes
    ----------
    kind : str
        Such as "transposed", "missing_mean", "derivative_missing"; "unknown" where an array is
        wrong in a way that is none of the known mistakes.
    layer : int or None
        The layer, counted from 1, whose line of the backward pass is wrong; the error at the output
        belongs to the last one.
    text : str
        A sentence that says it in the terms of the code that was checked.
    """

    kind: str
    layer: int | None
    text: str


class ArrayCheck(NamedTuple):
    """One array's gradient beside the difference quotient of the forward pass."""

    name: str
    ok: bool
    shape: tuple
    error: float  # the largest error, over the largest derivative looked at
    bound: float  # what rounding allows, in that unit
    looked: str  # at which coordinates
    kinks: int = 0  # coordinates left out: the function has no derivative there
    formula: str = ""


@dataclass
class GradientReport:
    """The outcome of `check_gradients`: prints as text, shows as HTML in a notebook.

    Attributes
    ----------
    ok : bool
        Whether every gradient agrees, and nothing else is wrong.
    mistakes : list of Mistake
    checks : list of ArrayCheck
    notes : list of str
        What was checked and how.
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
        """Note a mistake once."""
        text = text.rstrip(".")
        if Mistake(kind, layer, text) not in self.mistakes:
            self.mistakes.append(Mistake(kind, layer, text))

    @property
    def verdict(self):
        """One line."""
        if self.ok:
            return f"{self.subject}: the gradients agree with the differences of the forward pass."
        n = len(self.mistakes)
        return f"{self.subject}: {n} mistake{'s' * (n != 1)} in the gradients."

    def _rows(self):
        for c in self.checks:
            error = f"{c.error:.1e}" if c.error == c.error else "-"
            left_out = f", {c.kinks} at kinks left out" if c.kinks else ""
            verdict = "ok" if c.ok else "WRONG"
            yield c.name, verdict, error, f"{c.bound:.0e}", c.looked + left_out

    def __str__(self):
        lines = [self.verdict]
        lines += [f"  {i}. {m.text}" for i, m in enumerate(self.mistakes, 1)]
        if self.checks:
            rows = [("gradient", "", "error", "bound", "looked at"), *self._rows()]
            wide = [max(len(row[i]) for row in rows) for i in range(4)]
            lines.append("")
            for a, b, e, bound, looked in rows:
                numbers = f"{e:>{wide[2]}}  {bound:>{wide[3]}}"
                lines.append(f"  {a:<{wide[0]}}  {b:<{wide[1]}}  {numbers}  {looked}".rstrip())
        formulas = [c.formula for c in self.checks if c.formula and not c.ok]
        if formulas:
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
        rows = [
            (name, tag("span", verdict, "good" if verdict == "ok" else "bad"), *others)
            for name, verdict, *others in self._rows()
        ]
        head = ("gradient", "", "error", "bound", "looked at")
        parts += [table(head, rows, numbers=(2, 3))] if rows else []
        formulas = [c.formula for c in self.checks if c.formula and not c.ok]
        if formulas:
            parts += [tag("p", "What the wrong ones should be:"), tag("pre", "\n".join(formulas))]
        parts += [tag("p", note, "soft") for note in self.notes]
        return str(fragment(*parts))
