"""Equations with live shapes, as text and as LaTeX, with samples in rows or in columns."""

import math
import re
from dataclasses import dataclass, replace
from typing import NamedTuple

# Arrays and names stand in braces; other notations are derived from this one.
EQUATIONS = {
    "affine": "{x} @ {W} + {b}",
    "linear": "{x} @ {W}",
    "dW": "{x}^T @ {dz}",
    "db": "sum({dz}, axis=0)",
    "dx": "{dz} @ {W}^T",
    "function": "{f}({z})",
    "derivative": "{da} * {f}'({z})",
    "dropout": "{x} * {mask} / {kept}",
    "squared_error": "sum(({p} - {y})^2) / 2n",
    "log_loss": "-sum({y} * log({p})) / n",
    "binary_log_loss": "-sum({y} * log({p}) + (1 - {y}) * log(1 - {p})) / n",
    "poisson": "sum({p} - {y} + {y} * log({y} / {p})) / n",
    "gamma": "sum({y} / {p} - log({y} / {p}) - 1) / n",
    "absolute_error": "sum(abs({p} - {y})) / n",
    "log_cosh": "sum(log(cosh({p} - {y}))) / n",
    "loss": "{f}({p}, {y})",
    "dgamma": "(1 - {y} / {p}) / n",
    "dabsolute_error": "sign({p} - {y}) / n",
    "dlog_cosh": "tanh({p} - {y}) / n",
    "dloss": "({p} - {y}) / n",
    "own dloss": "{f}'({p}, {y})",
}
LATEX = {
    " @ ": r" \, ", " * ": r" \odot ", "sum(": r"\sum(", "log(": r"\log(", ", ": r",\, ",
    "axis=0": r"\text{over samples}", "axis=1": r"\text{over samples}", "(": r"\bigl(",
    ")": r"\bigr)",
}  # fmt: skip
ESCAPES = str.maketrans(
    {c: "\\" + c for c in "#$%&_{}"}
    | {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
)


def number_of(path) -> str:
    """Return the number of a layer, counted from 1: "2", or "2.1" within a network in a network."""
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in path)


class Term(NamedTuple):
    """An array in an equation: ``Term("W", "2", (3, 1), gradient=True)`` is dW2."""

    letters: str
    number: str = ""  # of the layer: "2", or "2.1" within a network in a network
    shape: tuple = ()
    gradient: bool = False

    def __str__(self):
        return f"{'d' * self.gradient}{self.letters}{self.number}"

    def written_shape(self):
        """Return the shape as text."""
        return f"({','.join(map(str, self.shape))})"

    def latex(self, turned):
        """Return the symbol over its shape; `turned`: the mark of a transpose."""
        name = self.letters.translate(ESCAPES)
        if len(self.letters) > 1:
            name = rf"\mathit{{{name}}}"
        name += f"_{{{self.number.translate(ESCAPES)}}}" * bool(self.number)
        name = r"\mathrm{d}" * self.gradient + name + turned
        return rf"\underset{{{self.written_shape()}{turned}}}{{{name}}}" if self.shape else name

    @property
    def transposed(self):
        """The term of the transpose."""
        return self._replace(shape=self.shape[::-1])


@dataclass
class Equation:
    """One line of a forward or backward pass, and the size of what it gave.

    Attributes
    ----------
    left : Term
    template : str
    names : dict
        What stands in the template's braces: terms, and functions' names.
    norm : float
        Frobenius, of the left side; the value of a number.

    Examples
    --------
    >>> names = {"x": Term("X", "", (400, 2)), "W": Term("W", "1", (2, 4))}
    >>> equation = Equation(Term("Z", "1", (400, 4)), EQUATIONS["linear"], names, norm=40.0)
    >>> equation.formula, equation.shapes, equation.rms
    ('Z1 = X @ W1', '(400,2) (2,4) -> (400,4)', 1.0)
    >>> equation.columns.formula, equation.columns.shapes
    ('Z1 = W1 @ X', '(4,2) (2,400) -> (4,400)')
    """

    left: Term
    template: str
    names: dict
    norm: float = 0.0

    @property
    def rms(self):
        """The root of the mean square: the norm per element."""
        return self.norm / math.sqrt(math.prod(self.left.shape))

    @property
    def formula(self):
        """The equation without shapes."""
        return f"{self.left} = {self.template.format(**self.names)}"

    @property
    def shapes(self):
        """The shapes of the right side, an arrow, the shape of the left side."""
        text = ""
        for before, item, turned in self._items():
            text += re.sub(r" @ |, (?!axis)", " ", "".join(re.findall(JOINTS, before)))
            if isinstance(item, Term):
                text += item.written_shape() + turned
        return f"{text} -> {self.left.written_shape()}" * bool(self.left.shape)

    @property
    def latex(self):
        """A line of an align environment."""
        text = f"{self.left.latex('')} &= "
        for before, item, turned in self._items():
            text += re.sub(SIGNS, lambda sign: LATEX[sign[0]], before)
            if isinstance(item, Term):
                text += item.latex(turned.replace("^T", r"^{\top}"))
            elif item:
                text += rf"\text{{{item.translate(ESCAPES)}}}"
        return text

    @property
    def columns(self):
        """The same with samples in columns: every array is transposed."""
        template = re.sub(r"(\S+) @ (\S+)", r"\2 @ \1", self.template).replace("axis=0", "axis=1")
        terms = {role: a.transposed for role, a in self.names.items() if isinstance(a, Term)}
        names = self.names | terms
        return replace(self, left=self.left.transposed, template=template, names=names)

    def _items(self):
        """Yield what stands before a name, the name, and ^T where it is transposed."""
        *pieces, end = re.split(r"\{(\w+)\}(\^T)?", self.template)
        for before, role, turned in zip(pieces[::3], pieces[1::3], pieces[2::3]):
            yield before, self.names[role], turned or ""
        yield end, "", ""


JOINTS = r" [@+*-] |, (?!axis)"  # what of an equation stands between its shapes too
SIGNS = "|".join(map(re.escape, LATEX))
