"""Trainings for the NumPy engine: a network, data and plans, and what comes of them."""

import numpy as np
import pytest
from conftest import assert_close, leaves

from xpmlp import optim
from xpmlp.engines import Carry, generic_engine
from xpmlp.engines import numpy as numpy_module
from xpmlp.engines.native.library import library
from xpmlp.nn import Dense, Dropout, Embedding, Layout, Loss, Network
from xpmlp.nn.losses import LOSSES, quantile
from xpmlp.optim import SGD, init_state
from xpmlp.training import Step, StepOptions
from xpmlp.training.plan import copy_plan, epoch_order, make_plan

with_native = pytest.mark.skipif(
    isinstance(library(), str), reason="needs the compiled engine, which a C++ compiler makes"
)
KINDS = ["blocks", pytest.param("native", marks=with_native)]

# Of the norm, after a few steps. Rules that divide by the root of the squares get an epsilon that
# is not tiny: else a gradient of zero but for its rounding becomes a step of any size.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5}


BOUNDS = {"max_grad_norm": 0.01, "max_norm": 0.5, "ema_decay": 0.9}


@pytest.fixture(name="engine", params=KINDS)
def engine_fixture(request, monkeypatch, plain):
    """A NumPy engine of its own, without what earlier tests made."""
    if request.param == "blocks":
        monkeypatch.setattr(numpy_module, "native_run", lambda step, otherwise: None)
        monkeypatch.setattr(numpy_module, "native_outputs", lambda network, layout, dtype: None)
    return numpy_module.numpy_engine.__wrapped__(plain.xp)


@pytest.fixture(name="compiled")
def compiled_fixture(plain):
    """The NumPy engine in its compiled form."""
    if isinstance(library(), str):
        pytest.skip("needs the compiled engine, which a C++ compiler makes")
    return numpy_module.numpy_engine.__wrapped__(plain.xp)


@pytest.fixture(name="generic")
def generic_fixture(plain):
    """The oracle."""
    return generic_engine(plain.xp)


def path_of(engine, f):
    """Which module a run or outputs come from: the fast one, or another."""
    code = {"blocks": "xpmlp.engines.numpy", "native": "xpmlp.engines.native.program"}
    return next((kind for kind, module in code.items() if f.__module__ == module), "generic")


def targets(loss, n, C, rng):
    """Targets that a loss may have."""
    if loss == "log_loss":
        return rng.dirichlet(np.ones(C), n)
    return rng.integers(0, 2 if loss == "binary_log_loss" else 4, (n, C)).astype(np.float64)


def problem(
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
    contiguous=True,
    data=None,
    **bounds,
):
    """A step, and () -> (carry, data, plans) afresh; bounds: max_grad_norm and so on."""
    rng, rule = np.random.default_rng(seed), rule or SGD(0.9)
    params, C = network.init(D, rng)
    given = data or (rng.normal(size=(n, D)), targets(getattr(loss, "name", loss), n, C, rng))
    x, y = (a if a.dtype == dtype else a.astype(dtype) for a in given)
    layout = Layout.of(network, params, contiguous=contiguous)
    record = loss if isinstance(loss, Loss) else LOSSES[loss]
    options = {"decoupled": weight_decay > 0, "options": StepOptions(**bounds)}
    step = Step(network, record, rule, layout, batch_size, dtype, penalised=alpha > 0, **options)
    B = -(-n // batch_size)
    plans = [
        make_plan(
            rule,
            epoch_order(n, seed=seed, epoch=epoch, shuffle=shuffle),
            batch_size=batch_size,
            lr=0.05,
            seed=seed,
            first_step=B * epoch,
            rule_step=B * epoch,
            alpha=alpha,
            weight_decay=weight_decay,
            sample_weight=weights,
        )
        for epoch in range(epochs)
    ]

    def start():
        store = {k: a.astype(dtype) for k, a in layout.pack(params, xp=np).items()}
        state = init_state(rule, store, xp=np)
        if step.options.ema_decay:
            state["ema"] = {k: np.zeros_like(a) for k, a in store.items()}
        carry = Carry(store, {}, state)
        return carry, (x, y), [copy_plan(plan, x, dtype) for plan in plans]

    return step, start


def outcome(engine, step, start, *, path=None):
    """Everything that a training makes: parameters, the rule's state, losses."""
    run, (carry, data, plans), losses = engine.run(step), start(), []
    assert path is None or path_of(engine, run) == path
    before = [a.copy() for a in (*data, *plans[0])]
    for plan in plans:
        carry, made = run(carry, data, plan)
        losses.append(made)
    assert all(np.array_equal(a, b) for a, b in zip((*data, *plans[0]), before))
    # 1 is added: of a loss whose terms cancel, only their rounding is left.
    losses = np.concatenate(losses, axis=1) + np.ones((), step.dtype)
    made = {"params": carry.params, "state": carry.state, "losses": losses}
    assert {a.dtype.name for _, a in leaves(made)} == {step.dtype}
    return made


def check(engine, generic, made, *, path=None, tolerance=None):
    """Equal to the oracle, array by array."""
    step, _ = made
    want = outcome(generic, *made)
    assert_close(outcome(engine, *made, path=path), want, tolerance or TOLERANCE[step.dtype])


def kind_of(request):
    return request.node.callspec.params["engine"]


WIDE = Network([Dropout(0.2), Dense(70, "relu"), Dropout(0.5), Dense(300, "gelu"), Dense(3)])


EMBEDDED = Network([Embedding((3, 300, 1), 5), Dropout(0.2), Dense(70, "gelu"), Dense(3)])


def coded(n):
    """Two numbers and three codes a row, some of them unknown, and one-hot targets."""
    rng = np.random.default_rng(0)
    codes = np.stack([rng.integers(-1, size + 1, n) for size in (3, 300, 1)], axis=1)
    x = np.concatenate([rng.normal(size=(n, 2)), codes + rng.uniform(-0.4, 0.4, (n, 3))], axis=1)
    x[:2, 2:] = [[1e30, -1e30, 0.2], [2.49, 299.49, -0.49]]
    return x, np.eye(3)[rng.integers(0, 3, n)]


ALONE = {
    **{name: {"loss": name} for name in LOSSES},
    "quantiles": {"loss": quantile((0.1, 0.5, 0.9))},
    **{name: {"rule": optim.RULES[name]()} for name in ("nadam", "lion")},
    **{f"{name} {value}": {name: value} for name, value in BOUNDS.items()},
}
