"""Equations with live shapes, as NumPy that runs and as LaTeX; samples in rows or in columns."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from .latex import escaped, math_of

# Arrays and names stand in braces; samples in rows. Other notations are derived from this one.
EQUATIONS = {
    "affine": "{x} @ {W} + {b}",
    "linear": "{x} @ {W}",
    "dW": "{x}.T @ {dz}",
    "db": "np.sum({dz}, axis=0, keepdims=True)",
    "dx": "{dz} @ {W}.T",
    "value": "{value}",
    "derivative": "{da} * {slope}",
    "own activation": "{f}.forward({z}, np)",
    "own derivative": "{f}.backward({da}, {z}, {a}, np)",
    "own backward": "{f}.backward({dy})",
    "dropout": "{x} * {mask} / {kept}",
    "squared_error": "np.sum(({p} - {y})**2) / (2 * n)",
    "log_loss": "-np.sum({y} * np.log({p})) / n",
    "binary_log_loss": "-np.sum({y} * np.log({p}) + (1 - {y}) * np.log(1 - {p})) / n",
    "poisson": "np.sum({p} - {y} + {y} * np.log(np.maximum({y}, 1e-30) / {p})) / n",
    "gamma": "np.sum({y} / {p} - np.log({y} / {p}) - 1) / n",
    "absolute_error": "np.sum(np.abs({p} - {y})) / n",
    "log_cosh": "np.sum(np.log(np.cosh({p} - {y}))) / n",
    "loss": "{f}({p}, {y})[0]",
    "dgamma": "(1 - {y} / {p}) / n",
    "dabsolute_error": "np.sign({p} - {y}) / n",
    "dlog_cosh": "np.tanh({p} - {y}) / n",
    "dloss": "({p} - {y}) / n",
    "own dloss": "{f}({p}, {y})[1]",
}
PENALTY = " + alpha / n * {own}"  # what the L2 penalty adds to a gradient
# Links, from outputs z to predictions P; a softmax takes two lines. {bare}: the same as z.
LINK_LINES = {
    "logistic": {"P": "1 / (1 + np.exp(-{z}))"},
    "exp": {"P": "np.exp({z})"},
    "softmax": {
        "E": "np.exp({z} - np.max({bare}, axis=1, keepdims=True))",
        "P": "{z} / np.sum({bare}, axis=1, keepdims=True)",
    },
}
JOINTS = r" [@+*/-] |, "  # what of an equation stands between its shapes too
OTHER_AXIS = {"axis=0": "axis=1", "axis=1": "axis=0"}


def number_of(path) -> str:
    """Return the number of a layer, counted from 1: "2", or "2.1" within a network in a network."""
    return ".".join(str(part + 1) if isinstance(part, int) else part for part in path)


def shape_text(shape) -> str:
    """Return a shape as it is written in equations: (400,2)."""
    return f"({','.join(map(str, shape))})"


class Term(NamedTuple):
    """An array in an equation: ``Term("W", "2", (3, 1), gradient=True)`` is dW2."""

    letters: str
    number: str = ""  # of the layer: "2", or "2.1" within a network in a network
    shape: tuple = ()
    gradient: bool = False

    def __str__(self):
        return f"{'d' * self.gradient}{self.letters}{self.number}"

    def latex(self, turned=False):
        """Return the symbol over its shape; turned: of the transpose."""
        name = escaped(self.letters)
        if len(self.letters) > 1:
            name = rf"\mathit{{{name}}}"
        name += f"_{{{escaped(self.number)}}}" * bool(self.number)
        name = r"\mathrm{d}" * self.gradient + name + r"^{\top}" * turned
        shape = self.shape[::-1] if turned else self.shape
        return rf"\underset{{{shape_text(shape)}}}{{{name}}}" if shape else name

    @property
    def columns(self):
        """The term of the transpose."""
        return self._replace(shape=self.shape[::-1])


class Spelt(NamedTuple):
    """An expression that stands in an equation as one array, such as a derivative."""

    template: str
    names: Mapping[str, Term]  # without shapes
    shape: tuple

    def __str__(self):
        return self.template.format(**self.names)

    def latex(self):
        """Return it without shapes."""
        return math_of(self.template, self.names, within=True)

    @property
    def columns(self):
        """The same of transposed arrays."""
        return self._replace(shape=self.shape[::-1])


@dataclass
class Equation:
    """One line of a forward or backward pass, and the size of what it gave.

    Attributes
    ----------
    left : Term
    template : str
    names : dict
        What stands in the template's braces: terms, spelt expressions, and functions' names.
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
    names: dict[str, Any]
    norm: float = 0.0
    samples: int = 0  # the axis that they stand along

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
        if not self.left.shape:
            return ""
        text = ""
        pieces = re.split(r"\{(\w+)\}(\.T)?", self.template)
        for before, role, turned in zip(pieces[::3], pieces[1::3], pieces[2::3]):
            joint, shape = re.search(JOINTS, before), getattr(self.names[role], "shape", ())
            if shape:
                text += re.sub(" @ |, ", " ", joint[0]) if joint and text else ""
                text += shape_text(shape[::-1] if turned else shape)
        return f"{text} -> {shape_text(self.left.shape)}"

    @property
    def latex(self):
        """A line of an align environment."""
        return f"{self.left.latex()} &= {math_of(self.template, self.names, self.samples)}"

    @property
    def columns(self):
        """The same with samples in columns: every array is transposed."""
        template = re.sub(r"(\S+) @ (\S+)", r"\2 @ \1", self.template)
        template = re.sub(r"axis=\d", lambda axis: OTHER_AXIS[axis[0]], template)
        names = {role: getattr(a, "columns", a) for role, a in self.names.items()}
        return Equation(self.left.columns, template, names, self.norm, samples=1)
