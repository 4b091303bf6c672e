"""Expressions of NumPy become the mathematics that they say."""

from each import each

from xpmlp.inspection.equations import Equation, Spelt, Term
from xpmlp.inspection.latex import math_of
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.formulas import FORMULAS, as_factor

NAMES = {"z": Term("Z"), "a": Term("A"), "b": Term("B", "1", (2, 3))}


@each(
    "template, latex",
    [
        ("{z} @ {b}.T", r"Z \, \underset{(3,2)}{B_{1}^{\top}}"),
        ("{z} * ({a} - 1)", r"Z \odot \left(A - 1\right)"),
        ("{z} - ({a} - 1)", r"Z - \left(A - 1\right)"),
        ("alpha / n * {z}", r"\frac{\alpha}{n} \, Z"),
        ("({z} - {a})**2", r"\left(Z - A\right)^{2}"),
        ("-np.sum({z})", r"-\sum\left(Z\right)"),
        ("np.sum({z}, axis=0, keepdims=True)", r"\sum_{\text{samples}}\left(Z\right)"),
        ("np.max({z}, axis=1, keepdims=True)", r"\max_{\text{outputs}}\left(Z\right)"),
        ("{z} > 0", "[Z > 0]"),
        ("np.where({z} > 0, 1, {a})", r"\begin{cases} 1 & [Z > 0] \\ A & \text{else} \end{cases}"),
        ("np.sqrt(2 / np.pi)", r"\sqrt{\frac{2}{\pi}}"),
        ("np.sign(np.abs({z}))", r"\operatorname{sign}\left(\left|Z\right|\right)"),
        ("{f}.backward({z}, np)", r"\text{a\_b}\text{.backward}\left(Z,\, np\right)"),
    ],
)
def test_an_expression_is_written(template, latex):
    assert math_of(template, NAMES | {"f": "a_b"}) == latex


def test_samples_in_columns_are_summed_along_the_other_axis():
    rows = Equation(NAMES["b"], "np.sum({z}, axis=0, keepdims=True)", {"z": Term("Z")})
    for equation in (rows, rows.columns):
        assert equation.latex.endswith(r"&= \sum_{\text{samples}}\left(Z\right)")
    assert "axis=1" in rows.columns.formula


@each("name", ACTIVATIONS)
def test_a_derivative_that_is_a_sum_stands_in_parentheses(name):
    slope = FORMULAS[name].slope
    spelt = Spelt(as_factor(slope), {"z": Term("Z"), "a": Term("A")}, (2, 3))
    latex = math_of("{b} * {slope}", NAMES | {"slope": spelt}).partition(r"\odot ")[2]
    if as_factor(slope) != slope:
        assert latex.startswith((r"\left(", "[")), latex
