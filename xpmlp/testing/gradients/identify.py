"""Which network is it? Sizes and orientation from shapes; activations and loss from the cost.

K points (random parameters), n samples, layers 1 ... L. Everything here stands in our own form:
rows are samples, W (K, n_in, n_out), b (K, 1, n_out); `Structure` says how the user's form differs.
"""

import itertools
import re
from dataclasses import dataclass, replace
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ...arrays import from_host, is_array
from ...nn.activations import ACTIVATIONS, ActivationFunction
from ...nn.losses import softmax
from .candidates import hidden_errors, output_errors
from .code import host_array
from .notation import Notation

WRONG_SIGN = ActivationFunction(
    "logistic with the sign of z wrong",
    lambda z, xp: 1.0 / (1.0 + xp.exp(z)),
    lambda da, z, a, xp: -da * a * (1.0 - a),
)
SOFTMAX = ActivationFunction("softmax", softmax, lambda da, z, a, xp: da * a * (1.0 - a))
EXP = ActivationFunction("exp", lambda z, xp: xp.exp(z), lambda da, z, a, xp: da * a)
HIDDEN = (*ACTIVATIONS.values(), WRONG_SIGN)
COMMON = tuple(ACTIVATIONS[n] for n in ("logistic", "tanh", "relu", "identity", "leaky_relu"))
OUTPUT = (
    *(ACTIVATIONS[n] for n in ("identity", "logistic", "tanh", "relu", "softplus")),
    SOFTMAX, EXP, WRONG_SIGN,
)  # fmt: skip
LOG_EPS = (0.0, 1e-15, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5)
TINY = 1e-300


class Structure(NamedTuple):
    """How the user's arrays make a chain of layers."""

    weights: tuple[int, ...]  # their numbers among the arrays, by layer
    biases: tuple[int | None, ...]
    columns: bool  # samples stand in columns
    turned: bool  # W is (n_out, n_in)
    sizes: tuple[int, ...]  # of the inputs and of each layer
    n: int


def structures(code):
    """Return every way to read the arrays as a chain of layers from X to y; likely ones first."""

    def oddness(s):
        gaps = {None if b is None else b - w for w, b in zip(s.weights, s.biases)}
        return None in gaps, list(s.weights) != sorted(s.weights), len(gaps)

    return sorted(dict.fromkeys(_structures(code)), key=oddness)


def _structures(code):
    X = np.asarray(host_array(code.X))
    if X.ndim != 2:
        return
    for weights, biases in _roles(code.names, code.arrays):
        for columns, turned in itertools.product((False, True), (False, True)):
            n, size = X.shape[::-1] if columns else X.shape
            sizes = [size]
            for i in weights:
                n_in, n_out = code.arrays[i].shape[:: -1 if turned else 1]
                sizes += [n_out] if n_in == sizes[-1] else []
            fits = len(sizes) == len(weights) + 1 and all(
                i is None or code.arrays[i].size == h for i, h in zip(biases, sizes[1:])
            )
            found = Structure(tuple(weights), tuple(biases), columns, turned, tuple(sizes), n)
            if fits and (code.y is None or _targets(code.y, found) is not None):
                yield found


def _roles(names, arrays):
    """Yield (weights, biases): the numbers of the arrays that they may be, by layer."""
    flat = [i for i, a in enumerate(arrays) if a.ndim != 2]
    thin = [i for i, a in enumerate(arrays) if a.ndim == 2 and 1 in a.shape]
    known = {
        i: bool(m[1]) for i, name in enumerate(names) if (m := re.match(r"(?i)(w|theta)|b", name))
    }
    for choice in itertools.product((False, True), repeat=min(len(thin), 6)):
        bias = {*flat, *(i for i, is_bias in zip(thin, choice) if is_bias)}
        if any(i in known and known[i] == (i in bias) for i in range(len(arrays))):
            continue
        weights = [i for i in range(len(arrays)) if i not in bias]
        offsets: list[int | None] = [i for i in range(len(arrays)) if i in bias]
        if not weights or len(offsets) > len(weights):
            continue
        if len(offsets) not in (0, len(weights)):  # by the number in the name, as in W2 and b2
            number = [re.sub(r"\D", "", name) for name in names]
            by_number = {number[i]: i for i in bias}
            offsets = [by_number.get(number[i]) for i in weights]
        offsets = offsets or [None] * len(weights)
        pairs = list(zip(weights, offsets))
        orders = itertools.permutations(pairs) if len(pairs) <= 4 else [pairs, pairs[::-1]]
        yield from (tuple(zip(*order)) for order in orders)


def _targets(y, structure):
    """Return y as rows (n, n_outputs) in float64; None if it does not fit."""
    y, n, c = np.asarray(host_array(y)), structure.n, structure.sizes[-1]
    if y.dtype.kind not in "biuf":
        return None
    if y.ndim == 2 and y.shape == ((c, n) if structure.columns else (n, c)):
        return np.asarray(y.T if structure.columns else y, np.float64)
    if y.size == n and c == 1:
        return np.asarray(y, np.float64).reshape(n, 1)
    if y.size == n and y.dtype.kind in "iu" and y.min() >= 0 and y.max() < c:
        return np.eye(c)[y.reshape(-1)]
    return None


@dataclass
class Points:
    """The user's functions at K random parameters and a few samples, and the same in our form."""

    code: Any
    structure: Structure
    arrays: list  # K lists of the user's arrays
    data: tuple  # X and y as the user's functions take them
    x: np.ndarray  # (n, n_in)
    y: np.ndarray | None
    W: list  # of each layer (K, n_in, n_out)
    b: list  # (K, 1, n_out), or None
    n_user: int  # samples in the user's data

    @property
    def costs(self):
        """The user's costs (K,)."""
        return np.asarray([float(self.code.cost(a, *self.data)) for a in self.arrays])

    def gradients(self, few):
        """Return the user's gradients at `few` points, (few, ...); None where of no use."""
        found = [self.code.gradients(a, *self.data) for a in self.arrays[:few]]
        out: list = []
        for a, parts in zip(self.code.arrays, zip(*found)):
            if any(g is None or g.shape != parts[0].shape for g in parts):
                out.append(None)
                continue
            g = np.stack(parts).astype(np.float64)
            if g.ndim - 1 != a.ndim and g[0].squeeze().shape == a.squeeze().shape:
                g = g.reshape(len(g), *a.shape)  # its number of axes is another mistake
            out.append(g)
        return out


def _probe(code, structure, own):
    """Return Points on a few samples whose number is no layer's size, or on all of the user's."""
    if own:
        return _points(code, structure, (), structure.n)
    n, rng = structure.n, np.random.default_rng(7)
    few = next(k for k in (7, 11, 13, 17, 19, 23, 29, 31) if k not in structure.sizes)
    rows = np.linspace(0, n - 1, few).round().astype(int)
    X = np.asarray(host_array(code.X))
    x = np.take(X, rows, axis=1 if structure.columns else 0)
    if n < few:  # the same sample twice would hide a sum
        x = x + 0.3 * (np.std(X) + 0.1) * rng.normal(size=x.shape)
    y = None if code.y is None else np.asarray(host_array(code.y))
    if y is not None:
        (axis,) = [i for i, size in enumerate(y.shape) if size == n][
            -1 if structure.columns else 0 :
        ][:1]
        y = np.take(y, rows, axis=axis)
    x = x.astype(code.dtype)
    data = tuple(
        a if isinstance(like, np.ndarray) or not is_array(like) else from_host(a, like)
        for a, like in ((x, code.X), (y, code.y)) if a is not None
    )  # fmt: skip
    small = structure._replace(n=few)
    points = _points(code, small, data, structure.n)
    try:
        with np.errstate(all="ignore"):
            usable = np.isfinite(points.costs).all()
            ours = [g is not None and g.shape[1:] for g in points.gradients(2)]
        theirs = [g is not None and g.shape for g in code.gradients(code.arrays)]
        # The functions may know their number of samples: then the shapes tell.
        swap = {structure.n: few} if structure.n > 1 else {}
        expected = [s and tuple(swap.get(k, k) for k in s) for s in theirs]
        usable = usable and (ours in (theirs, expected))
    except Exception:  # they may refuse another number of samples in any way
        usable = False
    return points if usable else _points(code, structure, (), structure.n)


def _points(code, structure, data, n_user):
    rng = np.random.default_rng(3)
    x = np.asarray(host_array(data[0] if data else code.X), np.float64)
    x = x.T if structure.columns else x
    y = data[1] if len(data) > 1 else code.y
    y = None if y is None else _targets(y, structure)
    n_layers = len(structure.weights)
    many = n_layers + 7
    W: list = []
    b: list = []
    drawn = [[np.array(a) for a in code.arrays] for _ in range(many)]
    scale = max(float(np.sqrt(np.mean(x * x))), 1e-12)
    for k in range(n_layers):
        n_in, n_out = structure.sizes[k : k + 2]
        w = 1.4 * rng.normal(size=(many, n_in, n_out)) / np.sqrt(n_in) / (1.0 if k else scale)
        W.append(w)
        for p in range(many):
            drawn[p][structure.weights[k]] = w[p].T.copy() if structure.turned else w[p].copy()
        i = structure.biases[k]
        offsets = 0.5 * rng.normal(size=(many, 1, n_out))
        b.append(None if i is None else offsets)
        for p in range(many if i is not None else 0):
            drawn[p][i] = offsets[p].reshape(code.arrays[i].shape)
    return Points(code, structure, drawn, data, x, y, W, b, n_user)


@dataclass(eq=False)
class Identified:
    """A network whose cost is the user's: activations, loss, scale and penalty."""

    FEW: ClassVar[int] = 3  # points at which mistakes are looked for

    points: Points
    activations: tuple[ActivationFunction, ...]
    loss: str
    scale: float  # the data cost is scale * sum over samples (and outputs)
    l2: tuple[float, ...]  # of each layer's weights: the cost has l2 * sum(W^2)
    l2_bias: float
    log_eps: float

    def __str__(self):
        s = self.points.structure
        chain = " -> ".join(map(str, s.sizes))
        names = ", ".join(a.name for a in self.activations)
        where = f"samples in {'columns' if s.columns else 'rows'}"
        weights = f"weights ({'n_out, n_in' if s.turned else 'n_in, n_out'})"
        penalty = " with an L2 penalty" if any(self.l2) or self.l2_bias else ""
        return f"{chain} ({names}), {self.loss.replace('_', ' ')}{penalty}, {where}, {weights}"

    def __post_init__(self):
        z, a = forward(self.points, self.activations)
        self.z, self.a = [v[: self.FEW] for v in z], [v[: self.FEW] for v in a]  # a[0] is X
        self.notation = Notation(self)
        self.slopes: dict = {}  # layer -> its derivative and the known changes of it
        self.W = [W[: self.FEW] for W in self.points.W]
        self.b = [None if b is None else b[: self.FEW] for b in self.points.b]

    def here(self):
        """Return [(role, layer, value)] at the user's own parameters and data, in our form."""
        s, code = self.points.structure, self.points.code
        W = [code.arrays[i].T if s.turned else code.arrays[i] for i in s.weights]
        b = [None if i is None else code.arrays[i].reshape(1, -1) for i in s.biases]
        x, whole = np.asarray(host_array(code.X), np.float64), s._replace(n=self.points.n_user)
        x, y = x.T if s.columns else x, _targets(code.y, whole)
        own = replace(self.points, structure=whole, x=x, y=y, W=[w[None] for w in W],
                      b=[None if v is None else v[None] for v in b])  # fmt: skip
        there = replace(self, points=own)
        found = [("W", k, w) for k, w in enumerate(W, 1)]
        found += [("A", k, a[0]) for k, a in enumerate(there.a)]
        error = there.a[-1][0] - y
        dZ = next(output_errors(there)).array
        found += [("dZ", len(W), e) for e in (error, dZ[0])]
        for k in range(len(W) - 1, 0, -1):
            dZ = next(hidden_errors(there, {k + 1: dZ}, k)).array
            found.append(("dZ", k, dZ[0]))
        return found


def forward(points, activations):
    """Run our own forward pass at all points: lists z (of layers 1 ... L) and a (0 ... L)."""
    z, a = [], [points.x[None]]
    for W, b, f in zip(points.W, points.b, activations):
        z.append(a[-1] @ W + (0.0 if b is None else b))
        a.append(f.forward(z[-1], np))
    return z, a


def data_costs(a, y, log_eps=0.0):
    """Yield (loss, its sum over samples and outputs (K,))."""
    with np.errstate(all="ignore"):
        yield "squared_error", np.sum((a - y) ** 2, axis=(-2, -1))
        log = np.sum(y * np.log(a + log_eps), axis=(-2, -1))
        yield "log_loss", -log
        yield "binary_log_loss", -log - np.sum((1 - y) * np.log(1 - a + log_eps), axis=(-2, -1))
        yield "absolute_error", np.sum(np.abs(a - y), axis=(-2, -1))


def identify(code, found, own=False):
    """Return the Identified network whose cost is the user's to 1e-10, or None.

    found: the structures that it may have; own: look at all of the user's samples, not at a few.
    One activation for all hidden layers is tried in each structure before mixed ones.
    """
    probes = [] if code.y is None else [_probe(code, s, own) for s in found]
    trials = [_Trial(points) for points in probes]
    for mixed in (False, True):
        for trial in trials:
            for hidden, a in _hidden(trial.points, mixed):
                network = trial.network(hidden, a)
                if network is not None:
                    return network
    return None


class _Trial:
    """The user's costs at the points, and what is left of them without an L2 penalty."""

    def __init__(self, points):
        self.points, self.costs = points, points.costs
        penalties = [np.sum(W**2, axis=(-2, -1)) for W in points.W]
        biases = [np.sum(b**2, axis=(-2, -1)) for b in points.b if b is not None]
        extra = [*penalties, *([sum(biases)] if biases else []), np.ones_like(self.costs)]
        self.extra = np.stack(extra, axis=1) / np.max(extra, axis=1)
        self.units = np.max(extra, axis=1)
        q, _ = np.linalg.qr(self.extra)
        self.rest = np.eye(len(self.costs)) - q @ q.T  # takes any penalty out
        self.bare = self.rest @ self.costs
        self.exact = 1e-10 if points.code.dtype == "float64" else 3e-5

    def network(self, hidden, a):
        """Return the network of these hidden layers, whose last one gives a, if there is one."""
        points = self.points
        if np.ptp(self.costs) <= 1e-12 * np.abs(self.costs).max():
            return None
        b = points.b[-1]
        with np.errstate(all="ignore"):
            z = a @ points.W[-1] + (0.0 if b is None else b)
        for last in OUTPUT:
            with np.errstate(all="ignore"):
                out, near = last.forward(z, np), list(LOG_EPS[:1])
            for eps in LOG_EPS:
                for loss, data in data_costs(out, points.y, eps) if eps in near else ():
                    close = _off(self.bare, self.rest @ data)
                    if close <= self.exact:
                        return self._identified((*hidden, last), loss, data, eps)
                    if close < 1e-3 and loss.endswith("log_loss"):
                        near = list(LOG_EPS)  # log(a + 1e-8) or so
        return None

    def _identified(self, chain, loss, data, eps):
        c, n = [float(data @ self.costs / (data @ data))], len(self.points.W)
        if _off(self.costs, data) > self.exact:
            basis = np.concatenate([data[:, None] / abs(data).max(), self.extra], axis=1)
            c = np.linalg.lstsq(basis, self.costs, rcond=None)[0]
            c[np.abs(c) < 10 * self.exact * abs(c[0])] = 0.0
            c /= [abs(data).max(), *self.units]
        c = [*map(float, c), *[0.0] * (n + 1)]
        of_biases = c[n + 1] if any(b is not None for b in self.points.b) else 0.0
        return Identified(self.points, chain, loss, c[0], tuple(c[1 : n + 1]), of_biases, eps)


def _off(costs, data):
    """Return how far costs are from a multiple of data, over their size."""
    square = float(data @ data)
    if not np.isfinite(square) or square == 0.0:
        return np.inf
    rest = costs - (data @ costs / square) * data
    return float(np.abs(rest).max()) / (float(np.abs(costs).max()) or TINY)


def _hidden(points, mixed):
    """Yield (activations of the hidden layers, the last one's values): alike or seen, or mixed."""
    n = len(points.W) - 1
    if mixed:
        if 2 <= n <= 4:
            yield from _mixed(points, (), points.x[None])
        return
    for chain in (_seen(points), *((f,) * n for f in (HIDDEN if n else HIDDEN[:1]))):
        if len(chain) == n:
            yield chain, forward(points, chain)[1][-1]


def _mixed(points, chain, a):
    k = len(chain)
    if k == len(points.W) - 1:
        yield from [(chain, a)] if len(set(chain)) > 1 else []
        return
    z = a @ points.W[k] + (0.0 if points.b[k] is None else points.b[k])
    for f in COMMON:
        yield from _mixed(points, (*chain, f), f.forward(z, np))


def _seen(points):
    """Return the hidden activations that the user's intermediate values show."""
    values = points.code.run(points.arrays[0], *points.data)[1].values()
    values = [np.asarray(host_array(v)) for v in values]
    found: list = []
    for _ in points.W[1:] if values else ():
        z = forward(points, (*found, HIDDEN[0]))[0][-1][0]
        for f in HIDDEN:
            with np.errstate(all="ignore"):
                a = f.forward(z, np)
            near = (v for v in values if v.shape in (a.shape, a.T.shape) and v.ndim == 2)
            if any(np.allclose(v, a if v.shape == a.shape else a.T, atol=1e-12) for v in near):
                found.append(f)
                break
    return tuple(found)
