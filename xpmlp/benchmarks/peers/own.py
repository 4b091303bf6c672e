"""xpmlp: stretches of steps through its engine, fits and predictions through its estimators."""

import numpy as np

from ...engines import Carry, engine_for
from ...nn import Dense, Layout, Network
from ...nn.losses import LOSSES
from ...optim import init_state, make_rule
from ...training import Step
from ...training.plan import make_plan, to_device
from .base import Contender, Ready, repeated


def _network(case, weights):
    units, last = case.sizes[1:-1], Dense(case.sizes[-1], case.output)
    network = Network((*(Dense(n, case.activation) for n in units), last))
    return network, {i: {"W": W.copy(), "b": b[None].copy()} for i, (W, b) in enumerate(weights)}


def steps(case, data, length=None):
    """Prepare stretches of steps on one resident batch, whose rows each step takes in order."""
    x, _ = data
    length = length or case.stretch
    engine, rule = engine_for(x), make_rule(case.rule, momentum=0.0)
    network, params = _network(case, case.weights())
    layout = Layout.of(network, params, contiguous=engine.contiguous)
    store = layout.pack(params, xp=engine.xp)
    step = Step(
        network, LOSSES[case.loss], rule, layout, case.batch, "float32", penalised=False,
        decoupled=False,
    )  # fmt: skip
    order = np.tile(np.arange(len(x)), length)
    plan = make_plan(rule, order, batch_size=case.batch, lr=case.lr, seed=0)
    plan, advance = to_device(plan, x, "float32"), engine.run(step)
    carry = [Carry(store, {}, init_state(rule, store, xp=engine.xp))]

    def call():
        carry[0], _ = advance(carry[0], data, plan)

    def outcome():
        trained = layout.unpack(carry[0].params, xp=engine.xp)
        return [(p["W"], p["b"][0]) for _, p in sorted(trained.items())]

    return Ready(repeated(call), length, outcome)


def one_step(case, data):
    """Prepare stretches of one step: what a call costs."""
    return steps(case, data, 1)


CONTENDERS = (
    Contender("xpmlp", "steps", steps, role="own"),
    Contender("xpmlp, one step a call", "steps", one_step, role="shown"),
    Contender("xpmlp without numba", "steps", steps, role="shown", without=("numba",)),
)
