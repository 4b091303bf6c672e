"""Which network is it? Activations, loss and penalty, recognised from the user's cost.

By costs alone, so it serves functions of any library: `network` says in which form arrays stand,
`Structure` how the user's form differs.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...arrays import from_host, is_array, is_numpy
from ...nn.activations import ACTIVATIONS, ActivationFunction
from ...nn.loss import softmax
from ..own_code.trees import host_array
from .network import Network
from .structure import Structure

WRONG_SIGN = ActivationFunction(
    "logistic with the sign of z wrong",
    lambda z, xp: 1.0 / (1.0 + xp.exp(z)),
    lambda da, z, a, xp: -da * a * (1.0 - a),
)
SOFTMAX = ActivationFunction(
    "softmax",
    softmax,
    lambda da, z, a, xp: a * (da - xp.sum(da * a, axis=-1, keepdims=True)),
)
EXP = ActivationFunction("exp", lambda z, xp: xp.exp(z), lambda da, z, a, xp: da * a)
HIDDEN = (*ACTIVATIONS.values(), WRONG_SIGN)
COMMON = tuple(ACTIVATIONS[n] for n in ("logistic", "tanh", "relu", "identity", "leaky_relu"))
OUTPUT = tuple(ACTIVATIONS[n] for n in ("identity", "logistic", "tanh", "relu", "softplus"))
OUTPUT += SOFTMAX, EXP, WRONG_SIGN
LOG_EPS = (0.0, 1e-15, 1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5)
FEW_SAMPLES = (7, 11, 13, 17, 19, 23, 29, 31)
EXACT = {"float64": 1e-10, "float32": 3e-5}  # how far equal costs are apart, over their size


@dataclass
class Points:
    """The user's functions at K random parameters and a few samples, and the same in our form."""

    code: Any
    structure: Structure
    arrays: list  # K lists of the user's arrays
    data: tuple  # X and y as the user's functions take them
    x: np.ndarray  # (n, n_in)
    y: np.ndarray  # (n, n_outputs)
    W: list  # of each layer (K, n_in, n_out)
    b: list  # (K, 1, n_out), zeros where the layer has none

    @property
    def costs(self):
        """The user's costs (K,)."""
        return np.asarray([float(self.code.cost(a, self.data)) for a in self.arrays])

    def network(self, activations, loss, scale, **penalty):
        """Return the network of these points' first few."""
        few, s = Network.FEW, self.structure
        W, b = ([part[:few] for part in parts] for parts in (self.W, self.b))
        z, a = forward(self.x, W, b, activations)
        arrays, n_user = self.arrays[:few], len(s.rows(self.code.X))
        return Network(
            code=self.code,
            arrays=arrays,
            data=self.data,
            layers=s.layers([a.shape for a in self.code.arrays]),
            W=W,
            b=b,
            z=z,
            a=a,
            y=self.y,
            n_user=n_user,
            activations=activations,
            loss=loss,
            scale=scale,
            **penalty,
        )


def few_samples(code, columns, sizes, n):
    """Return X and y of a few samples, a number that is no layer's size; None if y has no axis."""
    rng = np.random.default_rng(7)
    few = next(k for k in FEW_SAMPLES if k not in sizes)
    axes = [i for i, size in enumerate(np.shape(code.y)) if size == n]
    if np.ndim(code.X) != 2 or not axes or code.X.shape[int(columns)] != n:
        return None  # of pairs, each sample may be a column while X holds them in rows
    rows = np.linspace(0, n - 1, few).round().astype(int)
    x = np.take(code.X, rows, axis=int(columns))
    if n < few:  # the same sample twice would hide a sum
        x = x + 0.3 * (np.std(code.X) + 0.1) * rng.normal(size=x.shape)
    if columns:  # as many outputs as samples: the samples stand in the other axis
        axes.reverse()
    host = x.astype(code.dtype), np.take(code.y, rows, axis=axes[0])
    return tuple(_in_library_of(like, a) for like, a in zip(code.data, host))


def takes_samples(code, arrays, data, n, few):
    """Tell whether the functions take `few` samples instead of n: by the gradients' shapes."""
    try:
        with np.errstate(all="ignore"):
            usable = np.isfinite(float(code.cost(arrays, data)))
            here, there = (code.gradients(arrays, given) for given in (data, code.data))
            if all(map(np.array_equal, here, there)):
                return False  # backward reads X and y from elsewhere
            shapes = [g is not None and g.shape for g in here]
        theirs = [g is not None and g.shape for g in code.gradients(code.arrays)]
    except Exception:  # they may refuse another number of samples in any way
        return False
    # The functions may know their number of samples: then the shapes tell.
    expected = theirs
    if n > 1:
        expected = [s and tuple({n: few}.get(k, k) for k in s) for s in theirs]
    return usable and shapes in (theirs, expected)


def _on_few_samples(code, s):
    """Return Points on a few samples; None if they are refused."""
    data = few_samples(code, s.columns, s.sizes, s.n)
    if data is None:
        return None
    few = data[0].shape[int(s.columns)]
    points = _points(code, s._replace(n=few), data)
    return points if takes_samples(code, points.arrays[0], data, s.n, few) else None


def _in_library_of(like, a):
    if is_array(like) and not is_numpy(like):
        return from_host(a, like)
    return a


def _points(code, structure, data):
    """Draw parameters of a usual size for layers that get inputs of a usual size."""
    rng, s = np.random.default_rng(3), structure
    x = np.asarray(s.rows(host_array(data[0])), np.float64)
    y = s.targets(host_array(data[1]))
    n_layers = len(s.weights)
    many = n_layers + 7
    W, b = [], []
    drawn = [[np.array(a) for a in code.arrays] for _ in range(many)]
    scales = [max(float(np.sqrt(np.mean(x * x))), 1e-12), *[1.0] * (n_layers - 1)]
    for n_in, n_out, i, j, scale in zip(s.sizes, s.sizes[1:], s.weights, s.biases, scales):
        weights = 1.4 * rng.normal(size=(many, n_in, n_out)) / np.sqrt(n_in) / scale
        offsets = 0.5 * rng.normal(size=(many, 1, n_out))
        if j is None:
            offsets[:] = 0.0
        for arrays, w, offset in zip(drawn, weights, offsets):
            arrays[i] = s.weight(w).copy()
            if j is not None:
                arrays[j] = offset.reshape(code.arrays[j].shape)
        W.append(weights)
        b.append(offsets)
    return Points(code, s, drawn, data, x, y, W, b)


def forward(x, W, b, activations):
    """Run our own forward pass at all points: lists z (of layers 1 ... L) and a (0 ... L)."""
    z, a = [], [x[None]]
    for weights, offsets, f in zip(W, b, activations):
        z.append(a[-1] @ weights + offsets)
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


def data_slopes(a, y, eps=0.0):
    """Return the derivative by a of each loss, a sum over samples and outputs."""
    with np.errstate(all="ignore"):  # outputs of another loss may be 0
        return [
            ("squared_error", 2 * (a - y)),
            ("log_loss", -y / (a + eps)),
            ("binary_log_loss", (1 - y) / (1 - a + eps) - y / (a + eps)),
            ("absolute_error", np.sign(a - y)),
        ]


def identify(code, found, own=False):
    """Return the Network whose cost is the user's to 1e-10, or None.

    found: the structures that it may have; own: look at all of the user's samples, not at a few.
    One activation for all hidden layers is tried in each structure before mixed ones.
    """
    trials = []
    for s in found:
        few = not own and _on_few_samples(code, s)
        trials.append(_Trial(few or _points(code, s, code.data)))
    for chains_of in (_plain_chains, _mixed_chains):
        for trial in trials:
            for hidden in chains_of(trial.points):
                network = trial.network(hidden)
                if network is not None:
                    return network
    return None


class _Trial:
    """The user's costs at the points, and what is left of them without an L2 penalty."""

    def __init__(self, points):
        self.points, self.costs = points, points.costs
        terms = [np.sum(W**2, axis=(-2, -1)) for W in points.W]
        terms.append(np.ones_like(self.costs))
        if any(i is not None for i in points.structure.biases):
            terms.append(sum(np.sum(b**2, axis=(-2, -1)) for b in points.b))
        self.units = np.max(terms, axis=1)
        self.penalties = np.stack(terms, axis=1) / self.units
        q, _ = np.linalg.qr(self.penalties)
        self.rest = np.eye(len(self.costs)) - q @ q.T  # takes any penalty out
        self.bare = self.rest @ self.costs
        self.exact = EXACT[points.code.dtype]

    def network(self, hidden):
        """Return the network with these activations of the hidden layers, if there is one."""
        points = self.points
        if np.ptp(self.costs) <= 1e-12 * np.abs(self.costs).max():
            return None
        a = forward(points.x, points.W, points.b, hidden)[1][-1]
        with np.errstate(all="ignore"):
            z = a @ points.W[-1] + points.b[-1]
        for last in OUTPUT:
            with np.errstate(all="ignore"):
                out = last.forward(z, np)
            near = False
            for eps in LOG_EPS:
                for loss, data in data_costs(out, points.y, eps):
                    off = _off(self.bare, self.rest @ data)
                    if off <= self.exact:
                        return self._identified((*hidden, last), loss, data, eps)
                    near = near or (off < 1e-3 and loss.endswith("log_loss"))
                if not near:  # else it may be log(a + 1e-8) or so
                    break
        return None

    def _identified(self, chain, loss, data, eps):
        """Return the network; its scale and penalties are least squares of the costs."""
        c, n = np.asarray([data @ self.costs / (data @ data)]), len(self.points.W)
        if _off(self.costs, data) > self.exact:
            largest = abs(data).max()
            basis = np.concatenate([data[:, None] / largest, self.penalties], axis=1)
            c = np.linalg.lstsq(basis, self.costs, rcond=None)[0]
            c[np.abs(c) < 10 * self.exact * abs(c[0])] = 0.0
            c /= [largest, *self.units]
        # The scale, a factor for each layer's weights, a constant, a factor for the biases.
        scale, *l2 = [*map(float, c), *[0.0] * (n + 2)]
        penalty = {"l2": tuple(l2[:n]), "l2_bias": (l2[n + 1],) * n, "log_eps": eps}
        return self.points.network(chain, loss, scale, **penalty)


def _off(costs, data):
    """Return how far costs are from a multiple of data, over their size."""
    square = float(data @ data)
    if not np.isfinite(square) or square == 0.0:
        return np.inf
    rest = costs - (data @ costs / square) * data
    return float(np.abs(rest).max()) / (float(np.abs(costs).max()) or 1e-300)


def _plain_chains(points):
    """Return activations for the hidden layers: seen in the intermediate values, or all alike."""
    n, seen = len(points.W) - 1, _seen(points)
    chains = [(f,) * n for f in HIDDEN]
    if len(seen) == n:
        chains.insert(0, seen)
    return dict.fromkeys(chains)


def _mixed_chains(points):
    n = len(points.W) - 1
    if n > 4:
        return []
    return [chain for chain in itertools.product(COMMON, repeat=n) if len(set(chain)) > 1]


def _seen(points):
    """Return the hidden activations that the user's intermediate values show, () if they do not."""
    values = points.code.run(points.arrays[0], points.data)[1].values()
    values = [v for v in map(host_array, values) if v.ndim == 2]
    found: list = []
    for _ in points.W[1:]:
        z = forward(points.x, points.W, points.b, (*found, HIDDEN[0]))[0][-1][0]
        with np.errstate(all="ignore"):
            made = [(f, f.forward(z, np)) for f in HIDDEN]
        like = (f for f, a in made if any(_close(v, a) or _close(v, a.T) for v in values))
        found.append(next(like, None))
        if found[-1] is None:
            return ()
    return tuple(found)


def _close(a, b):
    return a.shape == b.shape and np.allclose(a, b, atol=1e-12)
