"""Expressions of NumPy as LaTeX."""

import ast
import re

ESCAPES = str.maketrans(
    {c: "\\" + c for c in "#$%&_{}"}
    | {"\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}"}
)
SYMBOLS = {
    "alpha": r"\alpha",
    "lr": r"\eta",
    "epsilon": r"\varepsilon",
    "rho": r"\rho",
    "beta_1": r"\beta_1",
    "beta_2": r"\beta_2",
    "pi": r"\pi",
    "weight_decay": r"\lambda",
    "momentum": r"\mu",
    "dp": r"\mathrm{d}p",
    "rate": r"\mathit{rate}",
}
# Functions that LaTeX has a command for; the others are spelt.
COMMANDS = {name: f"\\{name}" for name in ("log", "exp", "tanh", "cosh", "max", "sum")}
COMMANDS |= {"maximum": r"\max", "minimum": r"\min"}
TEMPLATES = {
    "sqrt": r"\sqrt{{{0}}}",
    "abs": r"\left|{0}\right|",
    "where": r"\begin{{cases}} {1} & {0} \\ {2} & \text{{else}} \end{{cases}}",
}
SIGNS = {
    ast.Add: " + ",
    ast.Sub: " - ",
    ast.MatMult: r" \, ",
    ast.Mult: r" \odot ",
    ast.Gt: " > ",
    ast.Lt: " < ",
}
SUMS = ast.Add, ast.Sub


def escaped(text: str) -> str:
    """Return a text as LaTeX prints it."""
    return text.translate(ESCAPES)


def math_of(template: str, names, samples: int = 0, within: bool = False) -> str:
    """Return a template of an expression as LaTeX.

    names: what its braces hold: terms and spelt expressions, which know their LaTeX, or text;
    samples: the axis that they stand along; within: with parentheses around a sum.
    """
    expression = re.sub(r"\{(\w+)\}", r"role_\1", template)
    writer, node = _Writer(names, samples), ast.parse(expression, mode="eval").body
    if within:
        return writer.closed(node, SUMS)
    return writer.visit(node)


class _Writer(ast.NodeVisitor):
    """Writes the nodes of an expression."""

    def __init__(self, names, samples):
        self.names, self.samples = names, samples

    def visit_Name(self, node, turned=False):
        role = node.id.removeprefix("role_")
        if role == node.id:
            return SYMBOLS.get(role, escaped(role))
        item = self.names[role]
        if isinstance(item, str):
            return rf"\text{{{escaped(item)}}}"
        if turned:
            return item.latex(turned=True)
        return item.latex()

    def visit_Constant(self, node):
        return f"{node.value:g}"

    def visit_Attribute(self, node):
        if node.attr == "T":
            return self.visit_Name(node.value, turned=True)
        if isinstance(node.value, ast.Name) and node.value.id.startswith("role_"):
            return rf"{self.visit(node.value)}\text{{.{escaped(node.attr)}}}"
        return (SYMBOLS | COMMANDS).get(node.attr, rf"\operatorname{{{node.attr}}}")

    def visit_Subscript(self, node):
        return f"{self.visit(node.value)}[{self.visit(node.slice)}]"

    def visit_UnaryOp(self, node):
        return f"-{self.visit(node.operand)}"

    def visit_BinOp(self, node):
        kind = type(node.op)
        if kind is ast.Div:
            return rf"\frac{{{self.visit(node.left)}}}{{{self.visit(node.right)}}}"
        if kind is ast.Pow:
            return f"{self.closed(node.left, ast.operator)}^{{{self.visit(node.right)}}}"
        if kind in SUMS:
            right = self.closed(node.right, SUMS)
            return self.visit(node.left) + SIGNS[kind] + right
        sign = SIGNS[kind]
        if not any(isinstance(a, ast.Name) and "role_" in a.id for a in ast.walk(node.left)):
            sign = r" \, "  # a number times an array
        return self.closed(node.left, SUMS) + sign + self.closed(node.right, SUMS)

    def visit_Compare(self, node):
        sign = SIGNS[type(node.ops[0])]
        return f"[{self.visit(node.left)}{sign}{self.visit(node.comparators[0])}]"

    def visit_Call(self, node):
        arguments, attribute = [self.visit(a) for a in node.args], getattr(node.func, "attr", "")
        if attribute in TEMPLATES:
            return TEMPLATES[attribute].format(*arguments)
        name = self.visit(node.func)
        for keyword in node.keywords:
            if keyword.arg == "axis":
                over = "samples" if keyword.value.value == self.samples else "outputs"
                name += rf"_{{\text{{{over}}}}}"
        listed = r",\, ".join(arguments)
        return rf"{name}\left({listed}\right)"

    def closed(self, node, kinds):
        """Return a part of a product or a power, in parentheses where it is a sum or such."""
        if isinstance(node, ast.BinOp) and isinstance(node.op, kinds):
            return rf"\left({self.visit(node)}\right)"
        return self.visit(node)
