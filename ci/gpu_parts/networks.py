"""The networks that every tier trains, and a short training of one."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from xpmlp.arrays import from_host, namespace, to_host
from xpmlp.engines import DEFAULTS, Carry, Plan, engine_for, generic_engine
from xpmlp.nn import Dense, Dropout, Layout, Network
from xpmlp.nn.layout import map_params
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import init_state, make_rule
from xpmlp.training.plan import copy_plan, epoch_order, make_plan
from xpmlp.training.step import Step

EPOCHS = 2


@dataclass(frozen=True)
class Net:
    """A network, and how it is trained: the last batch is filled up with rows of weight 0."""

    layers: tuple
    n_in: int
    loss: str = "log_loss"
    rule: Any = "adam"
    lr: float = 1e-2
    alpha: float = 1e-2
    weight_decay: float = 0.0
    members: int = 0
    rows: int = 50
    batch: int = 16

    def data(self):
        """Return X (rows, n_in) and targets that suit the loss, in float64."""
        rng, n_out = np.random.default_rng(0), self.layers[-1].n_out
        X = rng.normal(size=(self.rows, self.n_in))
        y = rng.normal(size=(self.rows, n_out))
        kinds = {
            "log_loss": lambda: np.eye(n_out)[rng.integers(n_out, size=self.rows)],
            "binary_log_loss": lambda: (y > 0) * 1.0,
            "poisson": lambda: np.floor(y**2),
        }
        return X, kinds.get(self.loss, lambda: y)()


NETS = {
    "relu, log loss, adam": Net((Dense(33, "relu"), Dense(17, "relu"), Dense(5)), 7, rows=180),
    "gelu_tanh and dropout, squared error, nesterov": Net(
        (Dropout(0.2), Dense(24, "gelu_tanh"), Dense(16, "gelu_tanh"), Dropout(0.3), Dense(3)), 9,
        "squared_error", "sgd", lr=1e-2,
    ),
    "logistic and tanh, one binary output, rmsprop": Net(
        (Dense(40, "logistic"), Dense(1, "tanh"), Dense(1)), 3, "binary_log_loss", "rmsprop"
    ),
    "silu without bias, poisson, adamw": Net(
        (Dense(16, "silu", use_bias=False), Dense(2)), 5, "poisson", "adamw", weight_decay=0.1,
        alpha=0.0,
    ),
    "one layer, adagrad": Net((Dense(10),), 20, rule="adagrad", rows=100, batch=8),
    "three members, relu": Net((Dense(12, "relu"), Dense(4)), 6, members=3),
    "784-256-128-10, batch 128": Net(
        (Dense(256, "relu"), Dense(128, "relu"), Dense(10)), 784, lr=1e-3, rows=300, batch=128
    ),
}  # fmt: skip
# Its first step moves the weights by the gradient alone; no unit is on or off by a rounding error.
PLAIN = Net(
    (Dense(40, "gelu_tanh"), Dense(24, "tanh"), Dense(8)),
    48,
    alpha=0.0,
    rows=32,
    batch=32,
    rule=make_rule("sgd", momentum=0.0),
    lr=1.0,
)


@dataclass
class Training:
    """A network on a device with its data and the plans of its epochs, ready to run."""

    engine: Any
    step: Step
    start: Any  # makes the first carry, anew each time
    data: tuple
    plans: list

    def run(self, epochs=EPOCHS):
        """Train, and return host arrays: parameters, the rule's state, losses, by name."""
        carry, losses = self.start(), []
        for plan in self.plans[:epochs]:
            carry, made = self.engine.run(self.step)(carry, self.data, plan)
            losses.append(to_host(made))
        return outcome(carry, np.concatenate(losses, axis=1))


def outcome(carry, losses):
    """Return host copies of what a run gave, by name."""
    stores = {"params": carry.params, **carry.state}
    arrays = {f"{kind} {name}": to_host(a) for kind, s in stores.items() for name, a in s.items()}
    return arrays | {"losses": to_host(losses)}


def oracle(net, epochs=EPOCHS):
    """Return what the plain text makes of a network on the host, in float64."""
    like = np.empty(0)
    return training(net, like, "float64", engine=generic_engine(namespace(like))).run(epochs)


def training(net, like, dtype, options=DEFAULTS, engine=None):
    """Return a network's training in the library of `like`."""
    rule = make_rule(net.rule) if isinstance(net.rule, str) else net.rule
    xp, engine = namespace(like), engine or engine_for(like, options)
    network, K = Network(net.layers), net.members
    drawn = [network.init(net.n_in, np.random.default_rng(1 + k))[0] for k in range(K or 1)]
    host = _stacked(drawn) if K else drawn[0]
    params = map_params(lambda a: from_host(a.astype(dtype), like), host)
    layout = Layout.of(network, params, contiguous=engine.contiguous)
    kind = {"penalised": net.alpha > 0, "decoupled": net.weight_decay > 0}
    step = Step(network, LOSSES[net.loss], rule, layout, net.batch, dtype, **kind)

    def start():
        store = {k: xp.asarray(a, copy=True) for k, a in layout.pack(params, xp=xp).items()}
        return Carry(store, {}, init_state(rule, store, xp=xp))

    data = tuple(engine.resident(from_host(a.astype(dtype), like)) for a in net.data())
    plans = [copy_plan(_plan(net, rule, epoch), like, dtype) for epoch in range(EPOCHS)]
    return Training(engine, step, start, data, plans)


def _plan(net, rule, epoch):
    steps = epoch * -(-net.rows // net.batch)
    made = [
        make_plan(
            rule,
            epoch_order(net.rows, seed=k, epoch=epoch, shuffle=True),
            batch_size=net.batch,
            lr=net.lr,
            seed=k,
            first_step=steps,
            rule_step=steps,
            alpha=net.alpha,
            weight_decay=net.weight_decay,
            sample_weight=1.0 + np.arange(net.rows) % 3,
        )
        for k in range(net.members or 1)
    ]
    if not net.members:
        return made[0]
    together = Plan(*(np.stack(parts, axis=1) for parts in zip(*made)))
    columns = ("rate", "decay", "shrink")
    return together._replace(**{f: getattr(together, f)[..., None, None] for f in columns})


def _stacked(trees):
    return {
        i: {k: np.stack([tree[i][k] for tree in trees]) for k in layer}
        for i, layer in trees[0].items()
    }


def error(got, want):
    """Return the largest norm-wise error of host arrays by name, and whose it is."""
    assert got.keys() == want.keys(), (got.keys(), want.keys())
    errors = {}
    for name, w in want.items():
        w, g = np.asarray(w, np.float64), np.asarray(got[name], np.float64)
        assert g.shape == w.shape, (name, g.shape, w.shape)
        assert np.isfinite(g).all(), f"{name} is not finite"
        errors[name] = float(np.linalg.norm(g - w) / max(np.linalg.norm(w), 1e-30))
    worst = max(errors, key=errors.get)
    return errors[worst], worst


def differing(got, want):
    """Return the names of host arrays whose bits differ."""
    bits = lambda a: np.ascontiguousarray(a).tobytes()
    return [name for name in want if bits(got[name]) != bits(want[name])]
