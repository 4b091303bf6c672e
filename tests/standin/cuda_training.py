"""What the checks of whole trainings share: trainings, the tiers, an oracle."""

import gc
import itertools
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from card import REAL, watching
from conftest import leaves, map_tree
from cuda_setting import cupy

from xpmlp import engines
from xpmlp.arrays import namespace
from xpmlp.engines import Carry, Options, Plan, generic_engine
from xpmlp.engines import cupy as engine_module
from xpmlp.engines.chain import LOSS_KINDS
from xpmlp.engines.cupy import products, program
from xpmlp.nn import Layout
from xpmlp.nn.losses import LOSSES, Loss
from xpmlp.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from xpmlp.training import Step, StepOptions
from xpmlp.training.plan import copy_plan, epoch_order, make_plan

engines.numpy_engine = engines.generic_engine  # what is compared with runs the plain text
# Nothing is timed: of several ways and algorithms the last is taken, which are epilogues and what
# needs a workspace. 32 MiB of it would take 10 ms to make.
products.WORKSPACE = 1 << 18
clock = itertools.count()
products.seconds = program.seconds = lambda *args, **options: -next(clock)
gc.freeze()  # collecting takes a tenth of a second else
XP = namespace(cupy.empty(0))
# Of the norm, after a few steps. Rules that divide by the root of the squares get an epsilon that
# is not tiny: else a gradient of zero but for its rounding becomes a step of any size.
TOLERANCE = {"float64": 1e-12, "float32": 5e-6}
# Of what cuBLASLt's epilogues sum, on a card in any order: two runs agree so far.
REPEATED = TOLERANCE if REAL else dict.fromkeys(TOLERANCE, 0.0)
RULES = [SGD(0.0), SGD(0.9, False), SGD(0.9), Adam(epsilon=1e-2), AdamW(epsilon=1e-2),
         RMSprop(epsilon=1e-2), Adagrad(epsilon=1e-2)]  # fmt: skip


class Training(NamedTuple):
    """A step; what a run starts from, as host arrays of float64, whose numbers float32 has too."""

    step: Step
    params: dict
    data: tuple
    plans: list  # one an epoch


def training(
    network,
    *,
    n=22,
    D=4,
    dtype="float64",
    loss="squared_error",
    rule=None,
    batch_size=5,
    alpha=0.0,
    weight_decay=0.0,
    weights=None,
    shuffle=True,
    epochs=2,
    seed=0,
    K=0,
    lr=0.05,
    **bounds,
):
    """Return a training of a network, or (K > 0) of K members with their own starts and plans.

    bounds: max_grad_norm and so on.
    """
    rng, rule = np.random.default_rng(seed), rule or SGD(0.9)
    starts = [network.init(D, np.random.default_rng(seed + k))[0] for k in range(max(K, 1))]
    C = network.init(D, rng)[1]
    record = loss if isinstance(loss, Loss) else (LOSSES | LOSS_KINDS)[loss]
    data = _short(rng.normal(size=(n, D))), _targets(record, n, C, rng)
    params = map_tree(_short, members(starts) if K else starts[0])
    layout = Layout.of(network, params, contiguous=True)
    B = -(-n // batch_size)
    options = {"decoupled": weight_decay > 0, "options": StepOptions(**bounds)}
    step = Step(network, record, rule, layout, batch_size, dtype, penalised=alpha > 0, **options)

    def plan(epoch, k):
        return make_plan(
            rule,
            epoch_order(n, seed=seed + k, epoch=epoch, shuffle=shuffle),
            batch_size=batch_size,
            lr=lr * (1 + k),
            seed=seed + k,
            first_step=B * epoch,
            rule_step=B * epoch,
            alpha=alpha * (1 + k),
            weight_decay=weight_decay,
            sample_weight=weights,
        )

    plans = [
        _plan_of_members([plan(epoch, k) for k in range(K)]) if K else plan(epoch, 0)
        for epoch in range(epochs)
    ]
    return Training(step, params, data, plans)


def _short(a):
    return a.astype(np.float32).astype(np.float64)


def _targets(loss, n, C, rng):
    if loss.codes:
        return rng.integers(0, C, (n, 1)).astype(np.int32)
    if loss.name == "log_loss":
        return _short(rng.dirichlet(np.ones(C), n))
    return rng.integers(0, 2 if loss.name == "binary_log_loss" else 4, (n, C)).astype(np.float64)


def members(trees):
    """Return nested dicts of arrays with a leading axis, from one for each member."""
    if isinstance(trees[0], dict):
        return {key: members([tree[key] for tree in trees]) for key in trees[0]}
    return np.stack(trees)


def _plan_of_members(plans):
    made = Plan(*(np.stack(arrays, axis=1) for arrays in zip(*plans)))
    own = {f: getattr(made, f)[..., None, None] for f in ("rate", "decay", "shrink")}
    return made._replace(**own)


def engine(accelerate="eager", precision="highest", deterministic=False):
    """Return the engine of a tier."""
    return engine_module.cupy_engine(
        XP, Options(matmul_precision=precision, accelerate=accelerate, deterministic=deterministic)
    )


def started(made, asarray=cupy.asarray):
    """Return the carry and data of a training, and its plans, on the card or where asarray says."""
    dtype = made.step.dtype
    own = lambda a: asarray(np.array(a, dtype))
    store = {name: own(a) for name, a in made.step.layout.pack(made.params, xp=np).items()}
    groups = made.step.layout.groups
    buffers = {name: store.pop(name) for name in [*store] if name not in groups}
    state = {
        slot: {k: own(np.zeros(a.shape)) for k, a in store.items()} for slot in made.step.slots
    }
    like = own(0)
    plans = [copy_plan(plan, like, dtype) for plan in made.plans]
    x, y = made.data
    data = own(x), asarray(y) if made.step.loss.codes else own(y)
    return Carry(store, buffers, state), data, plans


def outcome(engine, made, *, fused=True):
    """Return what a training makes on the card: parameters, the rule's state, losses.

    fused: whether it must run as a fixed list of launches, or must not; None for either.
    """
    with watching() as record:
        (carry, data, plans), losses = started(made), []
        run = engine.run(made.step)
        for plan in plans:
            carry, more = run(carry, data, plan)
            losses.append(more.get())
    if record and fused is not None:
        ran = {*record.launches, *record.nodes}
        assert ({"gather", "loss_grad", "update"} <= ran) == fused, ran
    return host({"params": carry.params, "state": carry.state}, losses, made.step.dtype)


def oracle(made, dtype="float64"):
    """Return what the plain text makes on NumPy's arrays."""
    made = made._replace(step=_with(made.step, dtype))
    (carry, data, plans), losses = started(made, np.asarray), []
    run = generic_engine(namespace(np.empty(0))).run(made.step)
    for plan in plans:
        carry, more = run(carry, data, plan)
        losses.append(more)
    return host({"params": carry.params, "state": carry.state}, losses, dtype)


def _with(step, dtype):
    return replace(step, dtype=dtype)


def host(tree, losses, dtype):
    tree = map_tree(lambda a: a.get() if isinstance(a, cupy.ndarray) else np.array(a), tree)
    made = tree | {"losses": np.concatenate(losses, axis=1)}
    assert {a.dtype.name for _, a in leaves(made)} == {dtype}
    return made


def kept_programs():
    """Return the programs that the engine keeps."""
    return [item[1] for item in engine_module.PROGRAMS.items]
