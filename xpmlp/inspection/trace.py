"""A training step that notes what it does: the layers' own forward and backward, in their order.

Layers and loss are wrapped in ones that call the originals. Where the library compiles, the notes
are taken while it traces, and their numbers are outputs of the compiled step.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from ..nn import Activation, Dense, Dropout, Layer, Network
from ..nn.activations import ACTIVATIONS, get_activation
from ..nn.formulas import FORMULAS, as_factor
from ..nn.layout import get, walk
from ..nn.loss import LINKS, one_hot
from ..nn.losses import CLASS_LOG_LOSS, LOSSES
from ..nn.network import describe
from .equations import EQUATIONS, LINK_LINES, PENALTY, Equation, Spelt, Term, number_of

DENSE = {"W": EQUATIONS["dW"], "b": EQUATIONS["db"]}


@dataclass
class LayerNotes:
    """What a layer did in one step.

    Attributes
    ----------
    number, title : str
    forward, backward : lists of Equation, in the order of the computation
    units, dead : int
        Units with an activation, and those whose activation passes no gradient for any row.
    """

    number: str
    title: str = ""
    forward: list[Equation] = field(default_factory=list)
    backward: list[Equation] = field(default_factory=list)
    units: int = 0
    dead: int = 0


class Trace:
    """The notes of one step; their numbers are set by `finish`.

    decay: alpha / n of the L2 penalty.
    """

    def __init__(self, xp, decay=0.0):
        self.xp, self.decay = xp, decay
        self.layers: list[LayerNotes] = []
        self.loss_lines: list[Equation] = []
        self.places: list[tuple] = []  # (record, attribute) of each of the values
        self.values: list = []
        self.terms: dict[int, Term] = {}  # of arrays, by id
        self.penalised: list[Term] = []
        self.notes: list[str] = []
        self.kept: list = []  # those arrays, so that no other gets their ids

    def name(self, a, letters, number=""):
        """Name an array."""
        self.kept.append(a)
        self.terms[id(a)] = Term(letters, number, tuple(a.shape))
        return a

    def line(self, lines, left, template, a, /, **names):
        """Note how `a`, the value of the left side, came about. Arrays stand for their terms."""
        left, *terms = map(self.term, (left, *names.values()))
        lines.append(Equation(left, template, dict(zip(names, terms))))
        if left.shape:
            xp = self.xp
            top = xp.max(xp.abs(a))
            top = xp.where(top > 0, top, xp.ones_like(top))  # squares neither overflow nor vanish
            a = xp.sqrt(xp.sum((a / top) ** 2)) * top
        self.note(lines[-1], "norm", a)

    def note(self, record, attribute, value):
        """Keep a number of the step for an attribute of a record."""
        self.places.append((record, attribute))
        self.values.append(value)

    def finish(self, values):
        """Set the step's numbers (floats)."""
        for (record, attribute), value in zip(self.places, values):
            setattr(record, attribute, type(getattr(record, attribute))(value))

    def turn_to_columns(self):
        """Turn all lines to samples in columns."""
        for notes in self.layers:
            notes.forward = [line.columns for line in notes.forward]
            notes.backward = [line.columns for line in notes.backward]
        self.loss_lines = [line.columns for line in self.loss_lines]

    def term(self, a):
        """Return the term of an array; names and terms stand for themselves."""
        if isinstance(a, str | Term | Spelt):
            return a
        return self.terms[id(a)]

    def bare(self, a):
        """Return the term of an array without its shape."""
        return self.term(a)._replace(shape=())

    def spelt(self, template, shape, /, **names):
        """Return an expression of named arrays as one array of a shape."""
        return Spelt(template, {role: self.bare(a) for role, a in names.items()}, tuple(shape))

    def d(self, a):
        """Return the term of the gradient of an array."""
        return self.terms[id(a)]._replace(gradient=True)

    def network(self, layer, place=()):
        """Return a layer that notes what it does; a network is taken apart."""
        if type(layer) is Network:
            return Network(tuple(self.network(a, (*place, i)) for i, a in enumerate(layer.layers)))
        return _TracedLayer(layer, self, LayerNotes(number_of(place)))

    def loss(self, loss):
        """Return a loss that notes what it does."""

        def value_and_grad(outputs, y, w, xp):
            value, d = loss.value_and_grad(outputs, y, w, xp)
            if loss.codes:  # the equations are those of rows of 0 and 1
                y = one_hot(y, outputs.shape[-1], outputs)
            lines = self.loss_lines
            p = self._predicted(loss.link, outputs)
            self.name(y, "Y")
            equation, derivative = EQUATIONS["loss"], EQUATIONS["own dloss"]
            written = loss in (LOSSES.get(loss.name), CLASS_LOG_LOSS) and loss.name in EQUATIONS
            if written:
                equation = EQUATIONS[loss.name]
                derivative = EQUATIONS.get(f"d{loss.name}", EQUATIONS["dloss"])
            given = p if written else outputs
            bare = {"p": self.bare(given), "y": self.bare(y)}
            if loss is LOSSES["squared_error"]:
                self.notes.append(
                    f"np.mean(({bare['p']} - Y)**2) is {2 / y.shape[-1]:.4g} times L, and so are "
                    "its gradients."
                )
            self.line(lines, Term("L"), equation, value, f=loss.name, **bare)
            self.line(lines, self.d(outputs), derivative, d, f=loss.name, p=given, y=y)
            return value, d

        return replace(loss, value_and_grad=value_and_grad)

    def _predicted(self, link, outputs):
        """Note the link from outputs to predictions, and return these."""
        a = outputs
        for letters, template in LINK_LINES.get(link, {}).items():
            z, a = a, LINKS[link](outputs, self.xp)
            if letters == "E":  # of a softmax, before it is divided by its sum
                a = self.xp.exp(z - self.xp.max(z, axis=-1, keepdims=True))
            self.name(a, letters)
            self.line(self.loss_lines, a, template, a, z=z, bare=self.bare(z))
        return a

    def penalty(self, value):
        """Note the L2 penalty of the weights."""
        squares = [f"np.sum({{w{i}}}**2)" for i in range(len(self.penalised))]
        template = f"alpha / (2 * n) * ({' + '.join(squares)})"
        names = {f"w{i}": term._replace(shape=()) for i, term in enumerate(self.penalised)}
        self.line(self.loss_lines, Term("R"), template, value, **names)


@dataclass(frozen=True, eq=False)
class _TracedLayer(Layer):
    """A layer that notes what it does."""

    layer: Any
    trace: Trace
    notes: LayerNotes

    def forward(self, params, x, ctx):
        layer, trace, notes, kind = self.layer, self.trace, self.notes, type(self.layer)
        y, cache = layer.forward(params, x, ctx)
        trace.layers.append(notes)
        notes.title = f"{notes.number} {describe(layer, x.shape[-1])}"
        for path, group, a in walk(layer, params):
            inside = f".{number_of(path[:-1])}" * (len(path) > 1)
            trace.name(a, path[-1], notes.number + inside)
            if group.trained and group.decay:
                trace.penalised.append(trace.term(a))
        if kind is Dense:
            z = trace.name(cache[1], "Z", notes.number)
            affine = EQUATIONS[("linear", "affine")[layer.use_bias]]
            trace.line(notes.forward, z, affine, z, x=x, **params)
            self._activated(z, y, ctx.xp)
        elif kind is Activation:
            self._activated(x, y, ctx.xp)
        elif kind is Dropout and y is not x:
            trace.name(y, "D", notes.number)
            trace.line(notes.forward, y, EQUATIONS["dropout"], y, x=x, **self._mask(x))
        elif y is not x:
            trace.name(y, "H", notes.number)
            known = [a for at, group, a in walk(layer, params) if len(at) == 1 and group.trained]
            own = {f"p{i}": a for i, a in enumerate(known)}
            roles = ", ".join(f"{{{role}}}" for role in ("x", *own))
            trace.line(notes.forward, y, f"{{f}}({roles})", y, f=kind.__name__, x=x, **own)
        return y, (x, y, cache)

    def backward(self, params, dy, cache, ctx):
        layer, trace, lines, kind = self.layer, self.trace, self.notes.backward, type(self.layer)
        x, y, cache = cache
        dx, updates = layer.backward(params, dy, cache, ctx)
        d = trace.d
        if kind is Dense:
            z = cache[1]
            self._derived(dy, z, y, ctx.xp)
            self._gradients(params, updates, DENSE, x=x, dz=d(z))
            if dx is not None:
                trace.line(lines, d(x), EQUATIONS["dx"], dx, dz=d(z), W=params["W"])
        elif kind is Activation:
            self._derived(dy, x, y, ctx.xp)
        elif kind is Dropout and y is not x:
            trace.line(lines, d(x), EQUATIONS["dropout"], dx, x=d(y), **self._mask(x))
        elif y is not x:
            f = kind.__name__
            self._gradients(params, updates, {}, f=f, dy=d(y))
            if dx is not None:
                trace.line(lines, d(x), EQUATIONS["own backward"], dx, f=f, dy=d(y))
        return dx, updates

    def _gradients(self, params, updates, templates, **names):
        """Note the gradients of all parameters; templates: of those that are the layer's own."""
        trace = self.trace
        for path, group, a in walk(self.layer, params):
            if not group.trained:
                continue
            template, da, own = EQUATIONS["own backward"], get(updates, path), {}
            if len(path) == 1:
                template = templates.get(path[0], template)
            if group.decay and trace.decay:
                template, da, own = template + PENALTY, da + trace.decay * a, {"own": a}
            trace.line(self.notes.backward, trace.d(a), template, da, **names, **own)

    def _activated(self, z, a, xp):
        """Note an activation, and count its dead units."""
        if a is z:
            return
        trace, notes, f = self.trace, self.notes, get_activation(self.layer.activation)
        trace.name(a, "A", notes.number)
        if self._written(f):
            value = trace.spelt(FORMULAS[f.name].value, a.shape, z=z)
            trace.line(notes.forward, a, EQUATIONS["value"], a, value=value)
        else:
            trace.line(notes.forward, a, EQUATIONS["own activation"], a, f=f.name, z=z)
        slope = f.backward(xp.ones_like(a), z, a, xp)
        notes.units = a.shape[-1]
        trace.note(notes, "dead", xp.sum(xp.astype(xp.all(slope == 0, axis=-2), xp.int32)))

    def _derived(self, da, z, a, xp):
        """Note the backward pass of an activation."""
        if a is z:
            return
        trace, f = self.trace, get_activation(self.layer.activation)
        dz, lines = f.backward(da, z, a, xp), self.notes.backward
        if self._written(f):
            slope = trace.spelt(as_factor(FORMULAS[f.name].slope), a.shape, z=z, a=a)
            names = {"da": trace.d(a), "slope": slope}
            trace.line(lines, trace.d(z), EQUATIONS["derivative"], dz, **names)
        else:
            names = {"f": f.name, "da": trace.d(a), "z": z, "a": a}
            trace.line(lines, trace.d(z), EQUATIONS["own derivative"], dz, **names)

    @staticmethod
    def _written(f):
        """Tell whether an activation is the built-in one of its name, with a formula."""
        return f.name in FORMULAS and ACTIVATIONS.get(f.name) is f

    def _mask(self, x):
        """Return the terms of a dropout's mask."""
        shape = tuple(x.shape)
        return {"mask": Term("M", self.notes.number, shape), "kept": f"{1 - self.layer.rate:g}"}
