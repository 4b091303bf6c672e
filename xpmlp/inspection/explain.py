"""Explanation of one training step: equations with live shapes, norms, dead units, updates."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from ..arrays import dtype_name, from_host, location_of, namespace, to_host
from ..engines import engine_for, gather
from ..model import Model
from ..nn import Layout, Loss, Network
from ..nn.layout import get, map_params, walk
from ..nn.losses import LOSSES
from ..optim import Rule, init_state, make_rule
from ..page import fragment, page, tag
from ..protocols import Rows
from ..randomness import stream
from ..training import Step
from ..training.inputs import checked_inputs, loss_and_targets, network_loss, starting_params
from ..training.plan import copy_plan, make_plan
from ..words import check_word, our_name, plural
from .equations import Equation, number_of
from .latex import escaped
from .models import step_of
from .pictures import html_parts
from .shapes import check_shapes
from .text import explanation_text
from .trace import LayerNotes, Trace
from .update import Update


@dataclass(frozen=True, eq=False)
class ParameterNotes:
    """A trained parameter: its name, its value and gradient on the host, its first update.

    `gradient` includes that of the L2 penalty; `ratio` is the norm of the update over that of the
    parameter, None where it cannot be said (a parameter of zeros, lbfgs).
    """

    layer: str
    name: str
    value: np.ndarray
    gradient: np.ndarray
    ratio: float | None


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """One training step of a batch in equations: prints as text, shows as HTML, writes LaTeX.

    Attributes
    ----------
    title : str
    layers : tuple of LayerNotes
        Equations with shapes, norm and rms; units and dead units.
    loss_lines : tuple of Equation
    parameters : tuple of ParameterNotes
    loss, penalty : float
        The data loss of the batch, and 0.5 alpha / n ||W||^2.
    orientation : {"rows", "columns"}
        How samples stand in the equations and the parameters.
    notes : tuple of str
        What to know of the data beside that.
    update : Update
        Of any parameter, as lines of NumPy.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import nn
    >>> network = nn.Network([nn.Dense(4, "tanh"), nn.Dense(1)])
    >>> explanation = explain(network, np.ones((400, 2)), np.ones((400, 1)))
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
    update: Update

    @property
    def sections(self) -> list[tuple[str, Sequence[Equation], LayerNotes | None]]:
        """Lines in the order of the computation: (heading, lines, notes of a forward pass)."""
        ahead = [(notes.title, notes.forward, notes) for notes in self.layers]
        back = [(f"{notes.title}, backward", notes.backward, None) for notes in self.layers[::-1]]
        return [part for part in (*ahead, ("loss", self.loss_lines, None), *back) if part[1]]

    @property
    def remarks(self) -> list[str]:
        """Sentences on how to read the numbers."""
        axis = ("rows", "columns").index(self.orientation)
        found = [
            f"Lines are NumPy. Samples stand in {self.orientation}, n = X.shape[{axis}] of them. "
            "dZ is the gradient of L with respect to Z; rms is the norm per element.",
            "A dead unit's activation passes no gradient for any of the samples. update / value: "
            "the norm of the first update over that of the parameter.",
        ]
        if self.penalty:
            found.append("R is the L2 penalty; the gradients of weights are those of L + R.")
        return [*found, *self.notes]

    @property
    def parameter_rows(self) -> list[tuple]:
        """Rows of the table of parameters, its head first."""
        head = ("parameter", "shape", "norm", "rms", "gradient", "rms", "update / value")
        rows: list[tuple] = [head]
        for p in self.parameters:
            sizes = [_norm(p.value), _norm(p.gradient)]
            cells = (f"{n:.3g}" for size in sizes for n in (size, size / np.sqrt(p.value.size)))
            shape = f"({','.join(map(str, p.value.shape))})"
            ratio = "-" if p.ratio is None else f"{p.ratio:.3g}"
            rows.append((p.name, shape, *cells, ratio))
        return rows

    def __repr__(self):
        return explanation_text(self)

    def _repr_html_(self):
        return str(fragment(tag("h2", self.title), *html_parts(self)))

    def to_html(self) -> str:
        """Return an HTML page (str): the equations, and the numbers as pictures."""
        return page(self.title, *html_parts(self))

    def to_latex(self, *, document: bool = False) -> str:
        """Return align* environments, which need amsmath, or a whole document (str)."""
        parts = [(heading, [line.latex for line in lines]) for heading, lines, _ in self.sections]
        if self.update.lines:
            parts.append((self.update.heading, self.update.latex))
        latex = ""
        for heading, lines in parts:
            heading, body = escaped(heading).replace("->", r"$\to$"), " \\\\[1ex]\n".join(lines)
            latex += f"\\paragraph{{{heading}}}\n\\begin{{align*}}\n{body}\n\\end{{align*}}\n"
        if not document:
            return latex
        head = "\\documentclass{article}\n\\usepackage{amsmath}\n\\allowdisplaybreaks\n"
        return f"{head}\\begin{{document}}\n{latex}\\end{{document}}\n"


def explain_step(
    network,
    loss,
    params,
    x,
    y,
    *,
    rule,
    lr,
    alpha=0.0,
    weight_decay=None,
    seed=0,
    orientation="rows",
    notes=(),
):
    """Run one training step on all rows of x and y, and return its `Explanation`.

    params: nested dicts of arrays beside x, left as they are; x: (n, D) and y: (n, C) as the step
    takes them; rule: an update rule, or None for lbfgs, whose steps have no fixed length;
    weight_decay: decoupled, the rule's own if None.
    """
    check_word("orientation", orientation, ("rows", "columns"))
    if weight_decay is None:
        weight_decay = getattr(rule, "weight_decay", 0.0)
    engine, xp, n = engine_for(x), namespace(x), x.shape[0]
    dtype = dtype_name(x)
    layout = Layout.of(network, params, contiguous=engine.contiguous)
    store = {k: xp.asarray(a, copy=True) for k, a in layout.pack(params, xp=xp).items()}
    buffers = {leaf.name: store.pop(leaf.name) for leaf in layout.leaves if not leaf.group.trained}
    trace = Trace(xp, alpha / n)
    step = Step(
        network=trace.network(network),
        loss=trace.loss(loss),
        rule=rule or make_rule("sgd"),
        layout=layout,
        batch_size=n,
        dtype=dtype,
        penalised=alpha > 0,
        decoupled=weight_decay > 0,
    )
    rates = {"lr": lr, "alpha": alpha, "weight_decay": weight_decay}
    plan = make_plan(step.rule, np.arange(n), batch_size=n, seed=seed, **rates)
    batch = gather((x, y), copy_plan(plan, x, dtype).at(0), xp=xp)

    def run(store, buffers, state, batch):
        trace.name(batch.x, "X")
        value, grads, _ = step.gradient(store, buffers, batch, xp=xp, kernels=engine.kernels)
        penalty, grads = step.penalise(grads, store, batch.hyper, xp=xp)
        if penalty is None:
            penalty = xp.zeros_like(value)
        else:
            trace.penalty(penalty)
        full = {k: xp.asarray(g, copy=True) for k, g in grads.items()}  # the update takes `grads`
        new, _ = step.update(grads, state, store, batch.hyper, xp=xp)
        unpacked = (layout.unpack(a | buffers, xp=xp) for a in (full, new))
        return value, penalty, *unpacked, trace.values

    loss_value, penalty, grads, new, values = engine.compile(run)(
        store, buffers, init_state(step.rule, store, xp=xp), batch
    )
    trace.finish([float(to_host(a)) for a in values])
    columns, where = orientation == "columns", location_of(x)
    name = type(rule).__name__ if rule else "lbfgs"
    if columns:
        trace.turn_to_columns()
    size = f"{plural(n, 'row')} of {plural(x.shape[1], 'feature')}"
    title = f"One step of {name} on {size}, {loss.name}, {dtype}"
    return Explanation(
        title=f"{title} on {where.library} {where.device}",
        layers=tuple(trace.layers),
        loss_lines=tuple(trace.loss_lines),
        parameters=_parameter_notes(network, params, grads, new, bool(rule), columns),
        loss=float(to_host(loss_value)),
        penalty=float(to_host(penalty)),
        orientation=orientation,
        notes=(*trace.notes, *notes),
        update=Update.of(rule, lr, weight_decay),
    )


def _parameter_notes(network, params, grads, new, ratios, columns):
    """Return the notes of every trained parameter: value, gradient, share moved by the update."""
    old, grads, new = (map_params(to_host, tree) for tree in (params, grads, new))
    found = []
    for path, group, value in walk(network, old):
        if not group.trained:
            continue
        number, gradient, ratio, size = number_of(path[:-1]), get(grads, path), None, _norm(value)
        if ratios and size > 0:
            ratio = _norm(get(new, path).astype(np.float64) - value) / size
        if columns:
            value, gradient = value.T, gradient.T
        found.append(ParameterNotes(number, path[-1] + number, value, gradient, ratio))
    return tuple(found)


def explain(
    network_or_model: Network | Model,
    X: Rows,
    y: Rows | None = None,
    *,
    params: dict | None = None,
    loss: str | Loss | None = None,
    solver: str | Rule = "adam",
    learning_rate_init: float = 1e-3,
    alpha: float = 0.0,
    random_state: int = 0,
    orientation: Literal["rows", "columns"] = "rows",
) -> Explanation:
    """Run one training step of a network on X and y, and show its equations and numbers.

    Parameters
    ----------
    network_or_model : Network or Model
        A fitted model (of `xpmlp.load`, or an estimator's `model_`) is explained as it stands.
    X : array (n_samples, n_features)
        Of a model: what its `predict` takes.
    y : array, optional
        As in `xpmlp.train`, of a model as in `fit`; random if not given.
    params : dict, optional
        Layer number -> name -> array; else the layers' initializers draw. A model has its own.
    loss : str or Loss, optional
        By default "squared_error"; of a model one that fits its targets. Names such as "mse" or
        "cross_entropy" are understood.
    solver : str or Rule, default="adam"
    learning_rate_init, alpha : float, default=0.001 and 0.0
        As `solver`, they say what the first update and the penalty are.
    random_state : int, default=0
        Seed of initial weights, dropout and random targets.
    orientation : {"rows", "columns"}, default="rows"
        How samples stand in the equations; in X and y they stand in rows.

    Returns
    -------
    Explanation
        To print, `.to_html()`, `.to_latex()`; its `layers` and `parameters` hold the numbers.

    Raises
    ------
    ShapeError
        When X, y and the network do not fit; the message says what was probably meant.
    ValueError
        When a number is negative, or a word none of those above.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import explain, nn
    >>> network = nn.Network([nn.Dense(5, "relu"), nn.Dense(1)])
    >>> explanation = explain(network, np.ones((4, 3)), orientation="columns")
    >>> explanation.layers[1].forward[0].formula
    'Z2 = W2 @ A1 + b2'
    """
    for name, value in (("learning_rate_init", learning_rate_init), ("alpha", alpha)):
        if not isinstance(value, Real) or not 0 <= float(value) < np.inf:
            raise ValueError(f"{name} must be a number of 0 or more, got {value!r}.")
    if not isinstance(random_state, Integral) or random_state < 0:
        raise ValueError(f"random_state must be a whole number >= 0, got {random_state!r}.")
    network: Any
    if isinstance(network_or_model, Model):
        network, record, params, x, targets = step_of(network_or_model, X, y, params, loss)
    else:
        check_shapes(X, y)
        network, x = network_or_model, checked_inputs(X)
        loss = our_name(loss or "squared_error", LOSSES)
        params, n_out, _ = starting_params(network, x, params, random_state)
        record, targets = network_loss(loss, n_out), None
        if y is not None:
            record, targets = loss_and_targets(loss, y, x, n_out)
    notes = []
    if targets is None:
        notes = ["y was not given: the targets are random."]
        targets = _random_targets(record, network, x, random_state)
    options = {"alpha": alpha, "seed": random_state, "orientation": orientation, "notes": notes}
    step = network, record, params, x, targets
    return explain_step(*step, rule=make_rule(solver), lr=learning_rate_init, **options)


def _random_targets(loss, network, x, seed):
    """Return targets (n, n_out) or class codes beside x, of numbers that a loss can have."""
    rng, size = stream(seed, "data"), (x.shape[0], network.shapes(x.shape[1])[1])
    if loss.codes:
        return from_host(rng.integers(0, size[1], (size[0], 1)), x, "int32")
    draw = {
        "log_loss": lambda: np.eye(size[1])[rng.integers(0, size[1], size[0])],
        "binary_log_loss": lambda: rng.integers(0, 2, size),
        "poisson": lambda: rng.poisson(1.0, size),
        "gamma": lambda: rng.exponential(1.0, size),
    }
    made = draw.get(loss.name, lambda: rng.normal(size=size))()
    return from_host(made, x, dtype_name(x))


def _norm(a):
    """Return the Frobenius norm in float64."""
    with np.errstate(over="ignore"):  # of numbers from 1e154 on it is infinite
        return float(np.linalg.norm(a.astype(np.float64)))
