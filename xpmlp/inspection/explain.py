"""One training step looked into: equations with live shapes, norms, dead units, updates."""

import textwrap
from dataclasses import dataclass

import numpy as np

from ..arrays import home, namespace, to_host
from ..engines import engine_for, gather
from ..nn import Layout
from ..nn.layout import get, map_params, walk
from ..optim import init_state, make_rule
from ..training import Step
from ..training.plan import make_plan, to_device
from .equations import ESCAPES, Equation, aligned
from .trace import LayerNotes, Trace

WIDTH = 100  # columns of a terminal


@dataclass(frozen=True, eq=False)
class ParameterNotes:
    """A trained parameter: its name, its value and gradient on the host, its first update.

    `gradient` includes the L2 penalty's; `ratio` is the norm of the update over that of the
    parameter, None where there is none (a parameter of zeros, lbfgs).
    """

    layer: str
    name: str
    value: np.ndarray
    gradient: np.ndarray
    ratio: float | None


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What a training step does to a batch. Print it, or see it as HTML or LaTeX.

    Attributes
    ----------
    layers : tuple of LayerNotes
        Equations with shapes, norm and rms; units and dead units.
    loss_lines : tuple of Equation
    parameters : tuple of ParameterNotes
    loss, penalty : float
        The data loss of the batch, and 0.5 alpha / n ||W||^2.
    orientation : {"rows", "columns"}
        How samples stand in the equations and the parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import nn
    >>> network = nn.Network([nn.Dense(4, "tanh"), nn.Dense(1)])
    >>> explanation = network.explain(np.ones((400, 2)), np.ones((400, 1)))
    >>> line = explanation.layers[0].forward[0]
    >>> line.formula, line.shapes
    ('Z1 = X @ W1 + b1', '(400,2) (2,4) + (1,4) -> (400,4)')
    """

    title: str
    layers: tuple[LayerNotes, ...]
    loss_lines: tuple[Equation, ...]
    parameters: tuple[ParameterNotes, ...]
    loss: float
    penalty: float
    orientation: str
    notes: tuple[str, ...]

    @property
    def sections(self):
        """The lines in the order of the computation: (heading, lines)."""
        ahead = [(f"{notes.title}{_dead(notes)}", notes.forward) for notes in self.layers]
        back = [(f"{notes.title}, backward", notes.backward) for notes in self.layers[::-1]]
        return [*ahead, ("loss", self.loss_lines), *back]

    @property
    def remarks(self):
        """Sentences on how to read the numbers."""
        lines = [
            f"Samples stand in {self.orientation}, n of them. dZ is the gradient of L with respect "
            "to Z; rms is the norm per element.",
            "A dead unit's activation passes no gradient for any of the samples. update / value: "
            "the norm of the first update over that of the parameter.",
        ]
        if self.penalty:
            lines.append(
                f"The L2 penalty alpha / 2n |W|^2 is {self.penalty:.4g}; it adds alpha / n W to dW "
                "in the table of parameters."
            )
        return [*lines, *self.notes]

    @property
    def parameter_rows(self):
        """The table of parameters, its head first."""
        rows: list[tuple] = [
            ("parameter", "shape", "norm", "rms", "gradient", "rms", "update / value")
        ]
        for p in self.parameters:
            arrays = (p.value.astype(np.float64), p.gradient.astype(np.float64))
            sizes = [np.linalg.norm(a) for a in arrays]
            cells = (f"{n:.3g}" for size in sizes for n in (size, size / np.sqrt(p.value.size)))
            shape = f"({','.join(map(str, p.value.shape))})"
            ratio = "-" if p.ratio is None else f"{p.ratio:.3g}"
            rows.append((p.name, shape, *cells, ratio))
        return rows

    def __repr__(self):
        return "\n".join(_lines_of(self))

    def _repr_html_(self):
        from .page import fragment
        from .pictures import html_parts

        return fragment(*html_parts(self))

    def to_html(self):
        """Return one HTML page: the equations, and the numbers as pictures."""
        from .page import page
        from .pictures import html_parts

        return page(self.title, *html_parts(self))

    def to_latex(self, *, document=False):
        """Return align* environments, which need amsmath, or a whole document."""
        parts = []
        for heading, lines in self.sections:
            heading = heading.translate(ESCAPES).replace("->", r"$\to$")
            body = " \\\\[1ex]\n".join(line.latex for line in lines)
            if body:
                body = f"\\begin{{align*}}\n{body}\n\\end{{align*}}"
                parts += [rf"\paragraph{{{heading}}}", body]
        latex = "\n".join(parts) + "\n"
        if not document:
            return latex
        packages = "\\usepackage{amsmath}\n\\allowdisplaybreaks"
        begin, end = "\\begin{document}\n", "\\end{document}\n"
        return f"\\documentclass{{article}}\n{packages}\n{begin}{latex}{end}"


def explain(
    network, loss, params, x, y, *, rule, lr, alpha=0.0, weight_decay=0.0, seed=0,
    orientation="rows", notes=(),
):  # fmt: skip
    """Run one training step on all rows of x and y, and return its `Explanation`.

    params: nested dicts of arrays beside x, left as they are; x: (n, D) and y: (n, C) as the step
    takes them; rule: an update rule, or None for lbfgs, whose steps have no fixed length.
    """
    if orientation not in ("rows", "columns"):
        raise ValueError(f"orientation must be 'rows' or 'columns', got {orientation!r}.")
    engine, xp, n = engine_for(x), namespace(x), x.shape[0]
    dtype = str(x.dtype).rpartition(".")[2]
    layout = Layout.of(network, params, contiguous=engine.contiguous)
    store = {k: xp.asarray(a, copy=True) for k, a in layout.pack(params, xp=xp).items()}
    buffers = {leaf.name: store.pop(leaf.name) for leaf in layout.leaves if not leaf.group.trained}
    trace = Trace(xp)
    step = Step(
        trace.network(network), trace.loss(loss), rule or make_rule("sgd"), layout, n, dtype,
        penalised=alpha > 0, decoupled=weight_decay > 0,
    )  # fmt: skip
    plan = make_plan(
        step.rule, np.arange(n), batch_size=n, lr=lr, seed=seed, alpha=alpha,
        weight_decay=weight_decay,
    )  # fmt: skip
    batch = gather((x, y), to_device(plan, x, dtype).at(0), xp=xp)

    def run(store, buffers, state, batch):
        trace.named(batch.x, "X")
        value, grads, _ = step.gradient(
            store, buffers, batch, xp=xp, kernels=trace.kernels(engine.kernels)
        )
        penalty, grads = step.penalise(grads, store, batch.now, xp=xp)
        full = {k: xp.asarray(g, copy=True) for k, g in grads.items()}  # the update takes `grads`
        new, _ = step.update(grads, state, store, batch.now, xp=xp)
        unpacked = (layout.unpack(a | buffers, xp=xp) for a in (full, new))
        return value, penalty, *unpacked, trace.values

    loss_value, penalty, grads, new, numbers = engine.compile(run)(
        store, buffers, init_state(step.rule, store, xp=xp), batch
    )
    columns = orientation == "columns"
    trace.finish([float(to_host(a)) for a in numbers], columns)
    old, grads, new = (map_params(to_host, tree) for tree in (params, grads, new))
    found = []
    for path, group, a in walk(network, old):
        if group.trained:
            number = ".".join(str(p + 1) if isinstance(p, int) else p for p in path[:-1])
            change = np.linalg.norm(get(new, path).astype(np.float64) - a)
            size = np.linalg.norm(a.astype(np.float64))
            ratio = float(change / size) if rule and size > 0 else None
            value, gradient = (b.T if columns else b for b in (a, get(grads, path)))
            name = f"{path[-1]}{number}"
            found.append(ParameterNotes(number, name, value, gradient, ratio))
    where = home(x)
    title = (
        f"One step of {type(rule).__name__ if rule else 'lbfgs'} on {n:,} rows of {x.shape[1]:,} "
        f"features, {loss.name}, {dtype} on {where.library} {where.device}"
    )
    return Explanation(
        title, tuple(trace.layers), tuple(trace.loss_lines), tuple(found),
        float(to_host(loss_value)), 0.0 if penalty is None else float(to_host(penalty)),
        orientation, tuple(notes),
    )  # fmt: skip


def _dead(notes):
    return f", {notes.dead:,} of {notes.units:,} units dead" if notes.units else ""


def _lines_of(explanation):
    """Yield the lines of the text."""
    yield from (explanation.title, "")
    sections = [(heading, lines) for heading, lines in explanation.sections if lines]
    equations = [line for _, lines in sections for line in lines if line.left.shape]
    left = min(max(len(line.formula) for line in equations), 34)
    right = min(max(len(line.shapes) for line in equations), WIDTH - left - 26)
    yield f"{'':{left + right + 5}} {'norm':>9} {'rms':>9}"
    for heading, lines in sections:
        yield heading[:WIDTH]
        for line in lines:
            if not line.left.shape:
                yield f"  {line.formula} = {line.norm:.6g}"
                continue
            start, shapes, wide = f"  {line.formula}", line.shapes, left + right + 4
            if len(line.formula) > left or len(shapes) > right:
                yield from textwrap.wrap(start, WIDTH, subsequent_indent=" " * 6)
                start = f"      {shapes}"
            else:
                start = f"{start:<{left + 4}}{shapes}"
            yield f"{start:<{wide}}  {line.norm:>9.3g} {line.rms:>9.3g}"
    yield from ("", *aligned(explanation.parameter_rows, 2), "")
    for remark in explanation.remarks:
        yield from textwrap.wrap(remark, WIDTH)
