"""Networks and data that the reports are made of."""

from dataclasses import dataclass
from functools import partial

import numpy as np

import xpmlp
from xpmlp import nn

NETWORK = nn.Network([nn.Dense(4, "tanh"), nn.Dense(3)])
LARGE = nn.Network([nn.Dense(512, "relu"), nn.Dense(256, "relu"), nn.Dense(10)])


@dataclass(frozen=True)
class Scale(nn.Layer):
    """A user's layer."""

    def init(self, n_in, stream, x=None):
        return {"s": np.full((1, n_in), 2.0)}, n_in

    def forward(self, params, x, ctx):
        return x * params["s"], (x,)

    def backward(self, params, dy, cache, ctx):
        return dy * params["s"], {"s": ctx.xp.sum(dy * cache[0], axis=-2, keepdims=True)}


@dataclass(frozen=True)
class Residual(nn.Layer):
    """A user's layer made of layers."""

    inner: nn.Layer

    @property
    def parts(self):
        return {"inner": self.inner}

    def init(self, n_in, stream, x=None):
        return {"inner": self.inner.init(n_in, stream)[0]}, n_in

    def forward(self, params, x, ctx):
        y, cache = self.inner.forward(params["inner"], x, ctx.part(0))
        return x + y, cache

    def backward(self, params, dy, cache, ctx):
        dx, d = self.inner.backward(params["inner"], dy, cache, ctx.part(0, need_dx=True))
        return dy + dx, {"inner": d}


EVERYTHING = nn.Network(
    [
        nn.Dropout(0.1),
        nn.Dense(6, "relu"),
        nn.Dropout(0.5),
        nn.Network([nn.Dense(5, use_bias=False), nn.Activation("tanh"), Scale()]),
        Residual(nn.Network([nn.Dense(5, "elu"), nn.Dense(5)])),
        nn.Dense(2),
    ]
)


def data(n=40, d=2, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d))


ONE = nn.Network([nn.Dense(1)])
explained, planned = partial(xpmlp.explain, ONE), partial(xpmlp.plan, ONE)


def drawn(network, n_in):
    params, _ = network.init(n_in, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    return nn.layout.map_params(lambda a: a + 0.3 * rng.normal(size=a.shape), params)


def lines_of(explanation):
    """All equations in the order of the computation."""
    layers = explanation.layers
    yield from (line for layer in layers for line in layer.forward)
    yield from explanation.loss_lines
    yield from (line for layer in layers[::-1] for line in layer.backward)
