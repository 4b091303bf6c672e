"""What the suite runs on every library: the rows of xpmlp's registries, then whole trainings.

In order of what builds on what, so that the first operation over its bound is the one to look at.
"""

from collections.abc import Iterator

import numpy as np

from ...arrays import from_host
from ...engines import Carry, Plan
from ...nn import (
    OFFSETS,
    WEIGHTS,
    Activation,
    ActivationFunction,
    Ctx,
    Dense,
    Dropout,
    Layer,
    Layout,
    Loss,
    Network,
)
from ...nn.activations import ACTIVATIONS
from ...nn.initializers import INITIALIZERS
from ...nn.layers import LAYERS
from ...nn.layout import put, walk
from ...nn.losses import LOSSES, one_hot, softmax
from ...optim import RULES, Adam, init_state, update
from ...randomness import step_keys, stream
from ...training import Step
from ...training.plan import epoch_order, make_plan, to_device
from .compare import Bits, Bound, Equal, Norm, Operation, Ulp
from .fits import estimators

N, D, H = 24, 40, 16  # rows, inputs, outputs
KEY = step_keys(7, np.arange(3))[1]
LONG = 300  # terms of the longest sum

# An instance of each layer of the registry.
EXAMPLES: dict[str, Layer] = {
    "Dense": Dense(H, "tanh"),
    "Activation": Activation("gelu"),
    "Dropout": Dropout(0.3),
}
# Forward and backward, about four times the worst seen on NumPy, PyTorch, JAX and dpnp; what is the
# difference of terms of size 1 is counted at that size.
ULPS = Ulp(8.0), Ulp(16.0, 1.0)
ULPS_OF = {
    "gelu": (Ulp(32.0, 1.0), Ulp(16.0, 1.0)),  # 1 + erf, times z
    "gelu_tanh": (Ulp(16.0, 1.0), Ulp(128.0, 1.0)),  # (1 - tanh^2) times z^3
    "mish": (Ulp(8.0), Ulp(64.0, 1.0)),  # (1 - tanh^2) times z
}


def operations() -> Iterator[Operation]:
    """Yield every operation, from single products to estimators."""
    yield from _products()
    yield from map(activation, ACTIVATIONS.values())
    yield from map(loss, LOSSES.values())
    yield from _random()
    yield from (layer(EXAMPLES[name], f"layer {name}") for name in LAYERS)
    yield layer(Network((Dense(H, "relu"), Dropout(0.2), Dense(5))), "network of three layers", 6)
    yield from (_initializer(name, row) for name, row in INITIALIZERS.items())
    yield from (_rule(name, make()) for name, make in RULES.items())
    yield _training()
    yield from estimators()


def normal(*shape, seed=0):
    """Return host numbers that are the same everywhere."""
    return stream(seed, "data").normal(size=shape)


def _products():
    powers = np.diag(2.0 ** -np.arange(128.0)) + np.eye(128)
    yield Operation(
        "product of 128 x 128", (powers, np.eye(128)), lambda place, a, b: {"precision": a @ b},
        {"precision": Bits()},
    )  # fmt: skip
    yield Operation(
        f"sum of {LONG} terms", (normal(LONG, D), normal(N, LONG, seed=1)),
        lambda place, W, x: {"product": x @ W, "sum": place.xp.sum(W, axis=-2, keepdims=True)},
        {"product": Norm(LONG), "sum": Norm(LONG)},
    )  # fmt: skip


def activation(record: ActivationFunction, bounds=None) -> Operation:
    """Return an activation's forward and backward pass, at -6 ... 6."""

    def compute(place, z, da):
        a = record.forward(z, place.xp)
        return {"forward": a, "backward": record.backward(da, z, a, place.xp)}

    z = np.linspace(-6.0, 6.0, N * D).reshape(N, D) + 0.001
    forward, backward = bounds or ULPS_OF.get(record.name, ULPS)
    return Operation(
        f"activation {record.name}", (z, normal(N, D, seed=2)), compute,
        {"forward": forward, "backward": backward},
    )  # fmt: skip


def loss(record: Loss) -> Operation:
    """Return a loss: its value and its gradient, with weights."""
    z, w = 3.0 * normal(N, H), np.abs(normal(N, seed=3))
    y = normal(N, H, seed=4)
    targets = {"softmax": softmax(9.0 * y, np).round(), "logistic": 1.0 * (y > 0)}
    y = targets.get(record.link, np.abs(y).round() if record.link == "exp" else y)

    def compute(place, z, y, w):
        value, d = record(z, y, w, xp=place.xp)
        return {"value": value, "gradient": d}

    bounds = {"value": Norm(N * H), "gradient": Norm(H)}
    return Operation(f"loss {record.name}", (z, y, w / w.sum()), compute, bounds)


def _random():
    def bits(place, key):
        return {"bits": place.engine.kernels.random_bits(key, (33, 7), xp=place.xp)}

    def plan(place):
        order = epoch_order(50, seed=3, epoch=1, shuffle=True)
        made = to_device(
            make_plan(Adam(), order, batch_size=8, lr=0.1, seed=3, alpha=1e-3), place.like,
            place.dtype,
        )  # fmt: skip
        return {"order of the rows": made.rows, "keys": made.key, "numbers": list(made[1:3])}

    yield Operation("random bits", (KEY,), bits, {"bits": Equal()})
    names = ("order of the rows", "keys", "numbers")
    yield Operation("plan of an epoch", (), plan, dict.fromkeys(names, Equal()), traced=False)
    yield Operation(
        "one-hot targets", (np.arange(N, dtype=np.int32) % 5, np.zeros(1)),
        lambda place, codes, like: {"columns": one_hot(codes, 5, like)}, {"columns": Equal()},
    )  # fmt: skip


def layer(record: Layer, name: str, passes: int = 2) -> Operation:
    """Return a layer's training pass: output, input gradient, updates of its parameters."""
    params, n_out = record.init(D, stream(0, "init"), normal(N, D))
    paths, arrays = zip(*((p, a) for p, _, a in walk(record, params))) if params else ((), ())

    def compute(place, key, weights, n_rows, x, dy, *arrays):
        params: dict = {}
        for path, a in zip(paths, arrays):
            put(params, path, a)
        ctx = Ctx(place.xp, True, place.engine.kernels, weights, n_rows, key)
        y, cache = record.forward(params, x, ctx)
        dx, updates = record.backward(params, dy, cache, ctx)
        made = {"forward": y, "gradient of the inputs": dx}
        return made | {"updates": [a for _, _, a in walk(record, updates)]}

    bounds: dict[str, Bound] = {
        "forward": Norm(D, passes),
        "gradient of the inputs": Norm(max(n_out, N), passes),
    }
    if paths:
        bounds["updates"] = Norm(max(D, N, n_out), passes)
    x, dy = normal(N, D), normal(N, n_out, seed=5)
    weights = np.full(N, 1.0 / N), np.asarray(float(N))
    return Operation(name, (KEY, *weights, x, dy, *arrays), compute, bounds)


def _initializer(name, row):
    def compute(place):
        W, b = row.draw(D, H, stream(0, "init"))
        return {"weights": [from_host(a, place.like, place.dtype) for a in (W, b)]}

    return Operation(f"initializer {name}", (), compute, {"weights": Equal()}, traced=False)


STEPS = 3


def _rule(name, rule):
    groups = {"weights": WEIGHTS, "offsets": OFFSETS}

    def compute(place, W, b, dW, db, rates, shrink):
        params = {"weights": W, "offsets": b}
        state = init_state(rule, params, xp=place.xp)
        for t in range(STEPS):
            grads = {"weights": 1.0 * dW[t, ...], "offsets": 1.0 * db[t, ...]}  # given away
            params, state = update(
                rule, grads, state, params, rates[t, ...], shrink[t, ...], groups, xp=place.xp
            )
        made = {"parameters": [params[k] for k in groups]}
        return made | {"state": [slot[k] for slot in state.values() for k in groups]}

    inputs = 0.1 * normal(D, H), 0.1 * normal(1, H), normal(STEPS, D, H, seed=1)
    rates = rule.rates(0.1, 1 + np.arange(STEPS)), np.full(STEPS, 0.001)
    bounds: dict[str, Bound] = dict.fromkeys(("parameters", "state"), Norm(1, STEPS))
    return Operation(
        f"update rule {name}", (*inputs, normal(STEPS, 1, H, seed=2), *rates), compute, bounds
    )


def _training():
    """Return a training of some steps by the library's own engine: dropout, L2, momentum."""
    network = Network((Dense(H, "tanh"), Dropout(0.25), Dense(5)))
    params, _ = network.init(D, stream(1, "init"))
    paths, arrays = zip(*((p, a) for p, _, a in walk(network, params)))
    rule, batch, steps = Adam(), N, 5
    order = epoch_order(batch * steps, seed=0, epoch=0, shuffle=True)
    plan = make_plan(rule, order, batch_size=batch, lr=0.01, seed=0, alpha=0.01)
    x = normal(batch * steps, D)
    y = np.eye(5)[np.argmax(x @ normal(D, 5, seed=1), axis=1)]

    def compute(place, x, y, *given):
        plan = Plan(*given[: len(Plan._fields)])
        params: dict = {}
        for path, a in zip(paths, given[len(Plan._fields) :]):
            put(params, path, a)
        layout = Layout.of(network, params, contiguous=place.engine.contiguous)
        store = layout.pack(params, xp=place.xp)
        carry = Carry(store, {}, init_state(rule, store, xp=place.xp))
        step = Step(network, LOSSES["log_loss"], rule, layout, batch, place.dtype, True, False)
        carry, losses = place.engine.run(step)(carry, (x, y), plan)
        trained = layout.unpack(carry.params, xp=place.xp)
        return {"losses": losses, "weights": [a for _, _, a in walk(network, trained)]}

    bound = Norm(max(D, N), 4 * steps)
    return Operation(
        f"training of {steps} steps", (x, y, *plan, *arrays), compute,
        {"losses": bound, "weights": bound}, traced=False,
    )  # fmt: skip
