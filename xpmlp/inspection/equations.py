"""Equations with live shapes, as text and as LaTeX, with samples in rows or in columns."""

import math
from typing import NamedTuple

ESCAPES = str.maketrans(
    {c: "\\" + c for c in "#$%&_{}"}
    | {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
)


class Text(NamedTuple):
    """What stands between the arrays of an equation; `between`: what of it joins their shapes."""

    text: str
    latex: str
    between: str = ""


AT = Text(" @ ", r" \, ", " ")
PLUS, MINUS = Text(" + ", " + ", " + "), Text(" - ", " - ", " - ")
TIMES = Text(" * ", r" \odot ", " * ")
SUM, OPEN, CLOSE = (
    Text("sum(", r"\sum_{\text{samples}} "),
    Text("(", r"\bigl("),
    Text(")", r"\bigr)"),
)
ROWS, COLUMNS = Text(", axis=0)", ""), Text(", axis=1)", "")
OVER_N, COMMA = Text(" / n", " / n"), Text(", ", r",\, ", " ")


def text(a):
    """Return words as they stand; LaTeX sets them upright."""
    return Text(a, rf"\text{{{a.translate(ESCAPES)}}}")


def function(name):
    """Return a function's name with the opening bracket; ``tanh'`` is a derivative."""
    bare = name.rstrip("'")
    prime = name[len(bare) :]
    return Text(f"{name}(", rf"\operatorname{{{bare.translate(ESCAPES)}}}{prime}\bigl(")


class Term(NamedTuple):
    """An array in an equation: ``Term("W", "2", (3, 1), gradient=True)`` is dW2."""

    letters: str
    number: str  # of the layer: "2", or "2.1" within a network in a network
    shape: tuple
    gradient: bool = False
    transposed: bool = False

    @property
    def symbol(self):
        """The term without its shape."""
        return f"{'d' if self.gradient else ''}{self.letters}{self.number}"

    @property
    def text(self):
        """The term as it stands in an equation."""
        return self.symbol + ("^T" if self.transposed else "")

    @property
    def between(self):
        """The shape as it stands in a line of shapes."""
        return f"({','.join(map(str, self.shape))}){'^T' if self.transposed else ''}"

    @property
    def latex(self):
        """The symbol over its shape."""
        name = self.letters
        name = name if len(name) == 1 else rf"\mathit{{{name.translate(ESCAPES)}}}"
        name += f"_{{{self.number}}}" if self.number else ""
        name = (r"\mathrm{d}" if self.gradient else "") + name
        top = r"^{\top}" if self.transposed else ""
        shape = ",".join(map(str, self.shape))
        return rf"\underset{{({shape}){top}}}{{{name}{top}}}" if shape else name

    @property
    def columns(self):
        """The term where samples stand in columns: every array is the transpose of ours."""
        return self._replace(shape=self.shape[::-1])


class Equation(NamedTuple):
    """One line of a forward or backward pass, and the size of what it gave.

    Examples
    --------
    >>> x, w = Term("X", "", (400, 2)), Term("W", "1", (2, 4))
    >>> equation = Equation(Term("Z", "1", (400, 4)), (x, AT, w), norm=40.0)
    >>> equation.formula, equation.shapes, equation.rms
    ('Z1 = X @ W1', '(400,2) (2,4) -> (400,4)', 1.0)
    >>> equation.columns.formula, equation.columns.shapes
    ('Z1 = W1 @ X', '(4,2) (2,400) -> (4,400)')
    """

    left: Term
    right: tuple[Term | Text, ...]
    norm: float  # Frobenius, of the left side

    @property
    def rms(self):
        """The root of the mean square: the norm per element."""
        return self.norm / math.sqrt(math.prod(self.left.shape))

    @property
    def formula(self):
        """The equation without shapes."""
        return f"{self.left.symbol} = {''.join(item.text for item in self.right)}"

    @property
    def shapes(self):
        """The shapes of the right side, an arrow, the shape of the left side."""
        right = "".join(item.between for item in self.right)
        return f"{right} -> {self.left.between}" if right and self.left.shape else right

    @property
    def latex(self):
        """A line of an align environment."""
        return f"{self.left.latex} &= {''.join(item.latex for item in self.right)}"

    @property
    def columns(self):
        """The same with samples in columns: a product's factors change places."""
        right = list(self.right)
        for i, item in enumerate(self.right):
            if item == AT:
                right[i - 1], right[i + 1] = right[i + 1], right[i - 1]
        turned = (COLUMNS if a == ROWS else a.columns if isinstance(a, Term) else a for a in right)
        return Equation(self.left.columns, tuple(turned), self.norm)


# The losses in words: text and LaTeX, of targets Y and predictions {P} = link of the outputs.
LOSS_TEXTS = {
    "squared_error": ("sum(({P} - Y)^2) / 2n", r"\frac{1}{2n} \sum \bigl({P} - Y\bigr)^2"),
    "log_loss": ("-sum(Y * log({P})) / n", r"-\frac{1}{n} \sum Y \log {P}"),
    "binary_log_loss": (
        "-sum(Y * log({P}) + (1 - Y) * log(1 - {P})) / n",
        r"-\frac{1}{n} \sum \bigl(Y \log {P} + (1 - Y) \log(1 - {P})\bigr)",
    ),
    "poisson": (
        "sum({P} - Y + Y * log(Y / {P})) / n",
        r"\frac{1}{n} \sum \bigl({P} - Y + Y \log(Y / {P})\bigr)",
    ),
}


def loss_equation(name, prediction, targets, value):
    """Return the equation of a loss, one of your own by its name only."""
    symbol = prediction._replace(shape=())
    if name not in LOSS_TEXTS:
        right: tuple = (function(name), prediction, COMMA, targets, CLOSE)
    else:
        plain, latex = LOSS_TEXTS[name]
        right = (Text(plain.replace("{P}", symbol.symbol), latex.replace("{P}", symbol.latex)),)
    return Equation(Term("L", "", ()), right, value)


def aligned(rows, n_left):
    """Yield rows of text in columns, the first `n_left` of them set to the left."""
    wide = [max(map(len, column)) for column in zip(*rows)]
    for row in rows:
        cells = (f"{a:{'<' if i < n_left else '>'}{wide[i]}}" for i, a in enumerate(row))
        yield "  ".join(cells).rstrip()
