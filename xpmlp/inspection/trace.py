"""A training step that notes what it does: the layers' own forward and backward, in their order.

Layers, activations, kernels and loss are wrapped in ones that call the originals. Where the library
compiles, the notes are taken while it traces, and their numbers are outputs of the compiled step.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from ..nn import Activation, Dense, Dropout, Network
from ..nn.activations import get_activation
from ..nn.layout import get, walk
from ..nn.losses import LINKS
from ..nn.network import describe
from .equations import (
    AT,
    CLOSE,
    COMMA,
    LOSS_TEXTS,
    MINUS,
    OPEN,
    OVER_N,
    PLUS,
    ROWS,
    SUM,
    TIMES,
    Equation,
    Term,
    function,
    loss_equation,
    text,
)  # fmt: skip


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
    title: str
    forward: list[Equation] = field(default_factory=list)
    backward: list[Equation] = field(default_factory=list)
    units: int = 0
    dead: int = 0


class Trace:
    """The notes of one step. An equation's norm is a place in `values` until `finish`."""

    def __init__(self, xp):
        self.xp = xp
        self.layers: list[LayerNotes] = []
        self.loss_lines: list[Equation] = []
        self.values: list = []
        self.dead: list = []  # (notes, place of a count in `values`)
        self.terms: dict[int, Term] = {}  # of arrays, by id
        self.noted: set[int] = set()  # arrays whose equation stands in a line, by id
        self.kept: list = []  # those arrays and caches, so that no other gets their ids
        self.dense: dict[int, tuple] = {}  # x, z, number of a Dense, by its cache's id
        self.now = LayerNotes("", "")  # of the layer that runs

    def named(self, a, letters, number=""):
        """Name an array. Returns its term."""
        self.kept.append(a)
        self.terms[id(a)] = Term(letters, number, tuple(a.shape))
        return self.terms[id(a)]

    def term(self, a, number=""):
        """Return the term of an array, a new one if it has none."""
        return self.terms.get(id(a)) or self.named(a, "U", number)

    def line(self, lines, left, right, a):
        """Note an equation, and the norm of the array that it gave."""
        xp = self.xp
        self.kept.append(a)
        self.noted.add(id(a))
        top = xp.max(xp.abs(a))
        top = xp.where(top > 0, top, xp.ones_like(top))  # squares neither overflow nor vanish
        norm = xp.sqrt(xp.sum((a / top) ** 2)) * top
        lines.append(Equation(left, tuple(right), self.value(norm)))

    def value(self, a):
        """Keep a number of the step. Returns its place."""
        self.values.append(a)
        return len(self.values) - 1

    def finish(self, values, columns):
        """Put the step's numbers (floats) in their places, turn its lines, forget its arrays."""
        passes = [lines for notes in self.layers for lines in (notes.forward, notes.backward)]
        for lines in (self.loss_lines, *passes):
            done = [line._replace(norm=values[int(line.norm)]) for line in lines]
            lines[:] = [line.columns for line in done] if columns else done
        for notes, place in self.dead:
            notes.dead += int(values[place])
        self.kept, self.terms, self.noted, self.dense, self.values = [], {}, set(), {}, []

    def network(self, layer, place=()):
        """Return a layer that notes what it does; a network is taken apart."""
        if type(layer) is Network:
            return Network(tuple(self.network(a, (*place, i)) for i, a in enumerate(layer.layers)))
        return _TracedLayer(layer, self, ".".join(str(i + 1) for i in place))

    def activation(self, activation, number, affine=()):
        """Return an activation that notes what it does; `affine`: what its z was made of."""
        activation = get_activation(activation)
        notes, name = self.now, activation.name

        def forward(z, xp):
            if affine:
                self.line(notes.forward, self.named(z, "Z", number), affine, z)
            a = activation.forward(z, xp)
            if a is not z:
                right = (function(name), self.term(z, number), CLOSE)
                self.line(notes.forward, self.named(a, "A", number), right, a)
                slope = activation.backward(xp.ones_like(a), z, a, xp)
                dead = xp.sum(xp.astype(xp.all(slope == 0, axis=-2), xp.int32))
                notes.units += a.shape[-1]
                self.dead.append((notes, self.value(dead)))
            return a

        def backward(da, z, a, xp):
            dz = activation.backward(da, z, a, xp)
            if a is not z:
                z_term, da_term = self.term(z), self.term(a)._replace(gradient=True)
                right = (da_term, TIMES, function(name + "'"), z_term, CLOSE)
                self.line(notes.backward, z_term._replace(gradient=True), right, dz)
            return dz

        return activation._replace(forward=forward, backward=backward)

    def kernels(self, kernels):
        """Return an engine's kernels, noting what they do."""

        def dense_forward(x, W, b, activation, *, xp):
            number = self.term(W, self.now.number).number
            affine: tuple = (self.term(x, number), AT, self.term(W))
            affine += () if b is None else (PLUS, self.term(b, number))
            noting = self.activation(activation, number, affine)
            a, cache = kernels.dense_forward(x, W, b, noting, xp=xp)
            self.kept.append(cache)
            z = Term("Z", number, tuple(a.shape), gradient=True)
            self.dense[id(cache)] = self.term(x), z, self.term(W), noting
            return a, cache

        def dense_backward(da, cache, W, activation, *, need_dx, need_db, xp):
            unknown = None, None, None, activation  # of a layer that packs its cache anew
            x, dz, w, noting = self.dense.get(id(cache), unknown)
            dx, dW, db = kernels.dense_backward(
                da, cache, W, noting, need_dx=need_dx, need_db=need_db, xp=xp
            )
            if w is None:
                return dx, dW, db
            lines, b = self.now.backward, Term("b", w.number, (1, w.shape[-1]), gradient=True)
            turned = x._replace(transposed=True)
            self.line(lines, w._replace(gradient=True), (turned, AT, dz), dW)
            if need_db:
                self.line(lines, b, (SUM, dz, ROWS), db)
            if need_dx:
                turned = w._replace(transposed=True)
                self.line(lines, x._replace(gradient=True), (dz, AT, turned), dx)
            return dx, dW, db

        return kernels._replace(dense_forward=dense_forward, dense_backward=dense_backward)

    def loss(self, loss):
        """Return a loss that notes what it does."""

        def value_and_grad(outputs, y, w, xp):
            value, d = loss.value_and_grad(outputs, y, w, xp)
            out, lines = self.term(outputs), self.loss_lines
            targets, prediction = Term("Y", "", tuple(y.shape)), out
            if loss.link != "identity":
                prediction = Term("P", "", tuple(outputs.shape))
                link = (function(loss.link), out, CLOSE)
                self.line(lines, prediction, link, LINKS[loss.link](outputs, xp))
            lines.append(loss_equation(loss.name, prediction, targets, self.value(value)))
            right: tuple = (OPEN, prediction, MINUS, targets, CLOSE, OVER_N)
            if loss.name not in LOSS_TEXTS:
                right = (function(loss.name + "'"), out, COMMA, targets, CLOSE)
            self.line(lines, out._replace(gradient=True), right, d)
            return value, d

        return replace(loss, value_and_grad=value_and_grad)


class _TracedLayer:
    """A layer that notes what it does: a Dense through its kernels, others here."""

    def __init__(self, layer, trace, number):
        self.layer, self.trace, self.notes = layer, trace, LayerNotes(number, "")
        self.noting = layer  # what runs

    def init(self, n_in, stream, x=None):
        return self.layer.init(n_in, stream, x)

    def forward(self, params, x, ctx):
        trace, layer, notes = self.trace, self.layer, self.notes
        trace.now = notes
        trace.layers.append(notes)
        notes.title = f"{notes.number} {describe(layer, x.shape[-1])}"
        own = []
        for path, group, a in walk(layer, params):
            inner = (str(part + 1) if isinstance(part, int) else part for part in path[:-1])
            term = trace.named(a, path[-1], ".".join((notes.number, *inner)))
            own += [(path, term)] if group.trained else []
        x_term = trace.term(x, notes.number)
        if isinstance(layer, Activation):
            self.noting = replace(
                layer, activation=trace.activation(layer.activation, notes.number)
            )
        y, cache = self.noting.forward(params, x, ctx)
        self.lines: Any = None
        if y is x or type(layer) in (Dense, Activation):
            return y, cache
        if isinstance(layer, Dropout):
            mask = (TIMES, Term("M", notes.number, x_term.shape), text(f" / {1 - layer.rate:g}"))
            y_term = trace.named(y, "D", notes.number)
            trace.line(notes.forward, y_term, (x_term, *mask), y)
            self.lines = x_term, [], (y_term._replace(gradient=True), *mask)
            return y, cache
        name = type(layer).__name__
        y_term = trace.named(y, "H", notes.number)
        inputs = (item for path, term in own if len(path) == 1 for item in (COMMA, term))
        trace.line(notes.forward, y_term, (function(name), x_term, *inputs, CLOSE), y)
        right = (function(f"{name}.backward"), y_term._replace(gradient=True), CLOSE)
        self.lines = x_term, own, right
        return y, cache

    def backward(self, params, dy, cache, ctx):
        notes = self.trace.now = self.notes
        dx, updates = self.noting.backward(params, dy, cache, ctx)
        if self.lines is not None:
            x_term, own, right = self.lines
            found = [(term, get(updates, path)) for path, term in own]
            for term, a in (*found, (x_term, dx)):
                if a is not None and id(a) not in self.trace.noted:  # by a Dense within
                    self.trace.line(notes.backward, term._replace(gradient=True), right, a)
        return dx, updates
