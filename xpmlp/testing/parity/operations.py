"""What the suite runs on every library: the rows of xpmlp's registries, then whole trainings.

In order of what builds on what, so that the first operation over its bound is the one to look at.
"""

from collections.abc import Iterator

import numpy as np

from ... import nn, optim
from ...arrays import from_host
from ...nn.activations import ACTIVATIONS
from ...nn.initializers import INITIALIZERS, Orthogonal
from ...nn.layout import path_name
from ...nn.loss import one_hot, softmax
from ...nn.losses import LOSSES
from ...nn.network import LAYERS
from ...nn.normalization import NORMALIZATIONS
from ...randomness import step_keys, stream
from .compare import BITS, EQUAL, Bound, Operation, norm, ulp
from .trainings import flat, trainings, unflat

N, D, H = 24, 40, 16  # rows, inputs, outputs
KEY = step_keys(7, np.arange(3))[1]
LONG = 300  # terms of the longest sum
STEPS = 3  # of an update rule

# An instance of each layer of the registry.
EXAMPLES: dict[str, nn.Layer] = {
    "Dense": nn.Dense(H, "tanh"),
    "Activation": nn.Activation("gelu"),
    "Dropout": nn.Dropout(0.3),
    "Embedding": nn.Embedding((3, 2)),
    **{kind.__name__: kind() for kind in NORMALIZATIONS.values()},
    "Residual": nn.Residual((nn.LayerNorm(), nn.Activation("tanh"))),
}
# Forward and backward, about four times the worst seen on NumPy, PyTorch, JAX and dpnp; what is the
# difference of terms of size 1 is counted at that size.
ULPS = ulp(8.0), ulp(16.0, 1.0)
ULPS_OF = {
    "gelu": (ulp(32.0, 1.0), ulp(16.0, 1.0)),  # 1 + erf, times z
    "gelu_tanh": (ulp(16.0, 1.0), ulp(128.0, 1.0)),  # (1 - tanh^2) times z^3
    "mish": (ulp(8.0), ulp(64.0, 1.0)),  # (1 - tanh^2) times z
}


def operations() -> Iterator[Operation]:
    """Yield every operation, from single products to estimators."""
    yield from _basics()
    yield from map(activation, ACTIVATIONS.values())
    yield from map(loss, LOSSES.values())
    yield from (layer(EXAMPLES[name], f"layer {name}") for name in LAYERS)
    for name in (kind.__name__ for kind in NORMALIZATIONS.values()):
        yield layer(EXAMPLES[name], f"layer {name} in predictions", training=False)
    three = nn.Network((nn.Dense(H, "relu"), nn.Dropout(0.2), nn.Dense(5)))
    yield layer(three, "network of three layers", 6)
    yield from (_initializer(name, row) for name, row in INITIALIZERS.items())
    yield from (_rule(name, make()) for name, make in optim.RULES.items())
    yield from trainings()


def normal(*shape, seed=0):
    """Return host numbers that are the same everywhere."""
    return stream(seed, "data").normal(size=shape)


def _basics():
    """Yield products and sums, what moves numbers and computes none, and random bits."""
    powers, ones = np.diag(2.0 ** -np.arange(128.0)) + np.eye(128), np.eye(128)
    product = lambda place, a, b: {"precision": a @ b}
    yield Operation("product of 128 x 128", (powers, ones), product, {"precision": BITS})

    def sums(place, W, x):
        return {"product": x @ W, "sum": place.xp.sum(W, axis=-2, keepdims=True)}

    W, x, bound = normal(LONG, D), normal(N, LONG, seed=1), norm(LONG)
    yield Operation(f"sum of {LONG} terms", (W, x), sums, {"product": bound, "sum": bound})
    rows, x = stream(0, "order").permutation(N).astype(np.int32), normal(N, D)
    take = lambda place, x, rows: {"rows": place.xp.take(x, rows, axis=0)}
    yield Operation("rows of a batch", (x, rows), take, {"rows": EQUAL})
    parts = normal(1, D), normal(1, H, seed=1)
    concat = lambda place, *parts: {"store": place.xp.concat(parts, axis=-1)}
    yield Operation("parameters side by side", parts, concat, {"store": EQUAL})
    codes, like = np.arange(N, dtype=np.int32)[:, None] % 5, np.zeros(1)
    columns = lambda place, codes, like: {"columns": one_hot(codes, 5, like)}
    yield Operation("one-hot targets", (codes, like), columns, {"columns": EQUAL})
    bits = lambda place, key: {"bits": place.engine.kernels.random_bits(key, (33, 7), xp=place.xp)}
    yield Operation("random bits", (KEY,), bits, {"bits": EQUAL})


def activation(record: nn.ActivationFunction, bounds=None) -> Operation:
    """Return an activation's forward and backward pass, at -6 ... 6."""

    def compute(place, z, da):
        a = record.forward(z, place.xp)
        return {"forward": a, "backward": record.backward(da, z, a, place.xp)}

    z = np.linspace(-6.0, 6.0, N * D).reshape(N, D) + 0.001
    bounds = zip(("forward", "backward"), bounds or ULPS_OF.get(record.name, ULPS))
    inputs = z, normal(N, D, seed=2)
    return Operation(f"activation {record.name}", inputs, compute, dict(bounds))


def loss(record: nn.Loss) -> Operation:
    """Return a loss: its value and its gradient, with weights."""
    z, w = 3.0 * normal(N, H), np.abs(normal(N, seed=3))
    y = normal(N, H, seed=4)
    positive, labels = np.abs(y).round(), softmax(9.0 * y, np).round()
    y = {"softmax": labels, "logistic": 1.0 * (y > 0), "exp": positive}.get(record.link, y)

    def compute(place, z, y, w):
        made = _two(record(z, y, w, xp=place.xp), "a loss", "(value, gradient)")
        return dict(zip(("value", "gradient"), made))

    bounds = {"value": norm(N * H), "gradient": norm(H)}
    return Operation(f"loss {record.name}", (z, y, w / w.sum()), compute, bounds)


def layer(record: nn.Layer, name: str, passes: int = 2, *, training: bool = True) -> Operation:
    """Return a layer's pass: output, input gradient, updates of its parameters."""
    made = record.init(D, stream(0, "init"), normal(N, D))
    params, n_out = _two(made, "init", "(params, n_out)")
    paths, arrays = flat(record, params)

    def compute(place, key, weights, n_rows, x, dy, *arrays):
        params = unflat(paths, arrays)
        ctx = nn.Ctx(place.xp, training, place.engine.kernels, weights, n_rows, key)
        y, cache = _two(record.forward(params, x, ctx), "forward", "(y, cache)")
        dx, updates = _two(record.backward(params, dy, cache, ctx), "backward", "(dx, updates)")
        found = dict(zip(*flat(record, updates)))
        if {*found} != {*paths}:
            names = [sorted(map(path_name, some)) for some in (found, paths)]
            raise ValueError(f"backward returned updates of {names[0]}, expected {names[1]}")
        made = {"forward": y, "gradient of the inputs": dx}
        return made | {"updates": [found[path] for path in paths]}

    bounds: dict[str, Bound] = {
        "forward": norm(D, passes),
        "gradient of the inputs": norm(max(n_out, N), passes),
    }
    if paths:
        bounds["updates"] = norm(max(D, N, n_out), passes)
    x, dy = normal(N, D), normal(N, n_out, seed=5)
    weights = np.full(N, 1.0 / N), np.asarray(float(N))
    return Operation(name, (KEY, *weights, x, dy, *arrays), compute, bounds)


def _two(made, what, expected):
    """Return what a user's function gave, if it is the pair that is expected."""
    if not (isinstance(made, tuple) and len(made) == 2):
        raise TypeError(f"{what} must return {expected}, got a {type(made).__name__}")
    return made


def _initializer(name, row):
    def compute(place):
        W, b = row.draw(D, H, stream(0, "init"))
        return {"weights": [from_host(a, place.like, place.dtype) for a in (W, b)]}

    # One draw on the host, but for LAPACK, whose last bits differ from one CPU to another.
    bound = norm(D) if isinstance(row, Orthogonal) else EQUAL
    return Operation(f"initializer {name}", (), compute, {"weights": bound}, traced=False)


def _rule(name, rule):
    groups = {"weights": nn.WEIGHTS, "offsets": nn.OFFSETS}

    def compute(place, W, b, dW, db, rates, shrink):
        params = {"weights": 1.0 * W, "offsets": 1.0 * b}  # given away, as the gradients are
        state = optim.init_state(rule, params, xp=place.xp)
        for t in range(STEPS):
            grads = {"weights": 1.0 * dW[t, ...], "offsets": 1.0 * db[t, ...]}
            params, state = optim.update(
                rule, grads, state, params, rates[t, ...], shrink[t, ...], groups, xp=place.xp
            )
        made = {"parameters": [params[k] for k in groups]}
        return made | {"state": [slot[k] for slot in state.values() for k in groups]}

    inputs = 0.1 * normal(D, H), 0.1 * normal(1, H), normal(STEPS, D, H, seed=1)
    rates = rule.rates(0.1, 1 + np.arange(STEPS)), np.full(STEPS, 0.001)
    bounds: dict[str, Bound] = dict.fromkeys(("parameters", "state"), norm(1, STEPS))
    return Operation(
        f"update rule {name}", (*inputs, normal(STEPS, 1, H, seed=2), *rates), compute, bounds
    )
