"""Report of a gradient check: a line for each array, and the mistakes, as text and as HTML."""

from dataclasses import dataclass, field
from typing import NamedTuple

from ...page import Html, fragment, table, tag
from ...words import plural

RULE = "-" * 72
FORWARD = "Look at the forward pass:"
WHOLE = "The whole backward pass, right:"
HEAD = ("gradient", "", "error", "bound", "looked at")
CLASSES = {"ok": "good", "WRONG": "bad"}  # of HTML


class Line(NamedTuple):
    """A wrong line of the code that was checked, and the line that belongs there.

    Attributes
    ----------
    line : str
        The line as it is, behind its number.
    should_be : str
        The right line. It was put in the place of the wrong one, and the code was run.
    right : tuple of str
        The gradients that were wrong before, and are right with this line and those told before it.
    """

    line: str
    should_be: str
    right: tuple


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
    lines : tuple of Line
        What to change in that code; empty where it was not found.
    """

    kind: str
    layer: int | None
    text: str
    lines: tuple = ()

    @property
    def line(self) -> str:
        """First wrong line with its number, "" where none was found."""
        return next((line.line for line in self.lines), "")

    @property
    def should_be(self) -> str:
        """Right line in its place, "" where none was found."""
        return next((line.should_be for line in self.lines), "")


class ArrayCheck(NamedTuple):
    """One array's gradient beside the difference quotient of the forward pass."""

    name: str
    ok: bool
    shape: tuple
    error: float  # the largest error, over the largest measured derivative
    bound: float  # what rounding allows, in that unit
    where: str  # at which coordinates derivatives were measured
    kinks: int = 0  # coordinates left out: the function has no derivative there


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
    remarks : list of str
        What the forward pass itself does that can hardly be meant.
    backward : str
        The right backward pass as a function of NumPy, in the form and the names of the code that
        was checked; "" where nothing is wrong, or the network is not recognised.
    """

    subject: str
    checks: list[ArrayCheck] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    backward: str = ""
    remarks: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.mistakes and all(check.ok for check in self.checks)

    def add(self, kind, layer, text):
        """Add a mistake (kind, layer, text) to the report, if it is not in it yet."""
        text = text.rstrip(".")
        if (kind, layer, text) not in [mistake[:3] for mistake in self.mistakes]:
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

    def __str__(self):
        lines = [self.verdict]
        for i, mistake in enumerate(self.mistakes, 1):
            lines.append(f"  {i}. {mistake.text}")
            for head, text in _lines(mistake):
                text = text.replace("\n", f"\n{' ' * 18}")
                lines.append(f"       {head:<10} {text}")
        if self.remarks:
            lines += [FORWARD, *(f"  - {remark}" for remark in self.remarks)]
        if self.checks:
            rows = [HEAD, *self._rows()]
            wide = [max(len(row[i]) for row in rows) for i in range(4)]
            lines.append("")
            for name, verdict, error, bound, where in rows:
                numbers = f"{error:>{wide[2]}}  {bound:>{wide[3]}}"
                names = f"{name:<{wide[0]}}  {verdict:<{wide[1]}}"
                lines.append(f"  {names}  {numbers}  {where}".rstrip())
        if self.backward:
            lines += ["", WHOLE, "", self.backward.rstrip()]
        if self.notes:
            lines += ["", RULE, *self.notes]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self):
        parts = [Html(tag("h2", self.verdict, "good" if self.ok else "bad"))]
        if self.mistakes:
            items = "".join(tag("li", Html(_item(m))) for m in self.mistakes)
            parts.append(Html(f"<ol>{items}</ol>"))
        if self.remarks:
            items = "".join(tag("li", remark) for remark in self.remarks)
            parts += [tag("p", FORWARD), Html(f"<ul>{items}</ul>")]
        if self.checks:
            rows = [
                (name, tag("span", verdict, CLASSES[verdict]), *others)
                for name, verdict, *others in self._rows()
            ]
            parts.append(table(HEAD, rows, numbers=(2, 3)))
        if self.backward:
            parts += [tag("p", WHOLE), tag("pre", self.backward)]
        if self.notes:
            parts += [Html("<hr>"), *(tag("p", note, "soft") for note in self.notes)]
        return str(fragment(*parts))


def _lines(mistake):
    """Yield (what it is, text) of the wrong lines and the right ones."""
    for wrong, should_be, right in mistake.lines:
        number, _, text = wrong.partition(": ")
        yield f"{number}:", text
        yield "should be:", should_be
        if right:
            verb = "is" if len(right) == 1 else "are"
            yield "tried:", f"with it {', '.join(right)} {verb} right"


def _item(mistake):
    """Return a mistake as HTML, its lines as code."""
    text = "".join(f"{head:<10} {line}\n" for head, line in _lines(mistake))
    return tag("span", mistake.text) + tag("pre", text) * bool(text)
