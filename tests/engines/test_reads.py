"""No step reads a number, which would make a device wait."""

from dataclasses import dataclass

import numpy as np
import pytest
from conftest import leaves, map_tree
from each import each
from engine_problems import ROWS, C, D, N, host_plan

from xpmlp.engines import Carry, engine_for
from xpmlp.nn import Activation, Dense, Dropout, Layer, Layout, Network
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import RULES, init_state
from xpmlp.testing.parity.operations import EXAMPLES
from xpmlp.training import Step
from xpmlp.training.plan import copy_plan


def meta_run(network, *, rule="adam", loss="log_loss"):
    """A chunk of three steps on arrays that have shapes and no numbers."""
    torch = pytest.importorskip("torch", reason="the device without numbers is torch's")
    x = torch.empty((N, D), device="meta")
    y = torch.empty((N, C), device="meta")
    engine = engine_for(x)
    xp = engine.xp
    host, _ = network.init(D, np.random.default_rng(0))
    params = map_tree(lambda a: torch.empty(a.shape, device="meta"), host)
    layout = Layout.of(network, params, contiguous=True)
    store = layout.pack(params, xp=xp)
    buffers = {leaf.name: store.pop(leaf.name) for leaf in layout.leaves if not leaf.group.trained}
    record = RULES[rule]()
    step = Step(
        network, LOSSES[loss], record, layout, ROWS, "float32", penalised=True, decoupled=True
    )
    plan = copy_plan(host_plan(record, 0), x, "float32")
    carry = Carry(store, buffers, init_state(record, store, xp=xp))
    carry, losses = engine.run(step)(carry, (x, y), plan)
    made = [a for _, a in leaves([list(carry), losses])]
    assert {a.device.type for a in made} == {"meta"} and losses.shape == (2, 5)


EVERYTHING = Network(
    [*(Dense(3, name) for name in ACTIVATIONS), Activation("relu"), Dropout(0.5), Dense(C)]
)


@each("rule", RULES)
def test_no_rule_reads_a_number_in_a_step(rule):
    meta_run(EVERYTHING, rule=rule)


@each("loss", LOSSES)
def test_no_loss_reads_a_number_in_a_step(loss):
    meta_run(EVERYTHING, loss=loss)


@each("name", EXAMPLES)
def test_no_layer_reads_a_number_in_a_step(name):
    meta_run(Network([Dense(2), Dense(4), EXAMPLES[name], Dense(C)]))


@dataclass(frozen=True)
class Peeking(Layer):
    """Reads a number from the device in each step, as no layer may."""

    def init(self, n_in, stream, x=None):
        return {}, n_in

    def forward(self, params, x, ctx):
        return x * float(ctx.xp.max(x)), (x,)

    def backward(self, params, dy, cache, ctx):
        return dy, {}


def test_a_layer_that_reads_a_number_in_a_step_is_caught():
    with pytest.raises(RuntimeError, match="meta"):
        meta_run(Network([Peeking(), Dense(C)]))
