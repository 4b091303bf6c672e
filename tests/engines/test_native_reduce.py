"""The callback of compiled steps by which gradients are summed over processes."""

import ctypes
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from threading import Barrier

import numpy as np
import pytest
from conftest import assert_close
from each import each
from native_cases import with_rates

from xpmlp import nn
from xpmlp.engines import Carry, generic_engine
from xpmlp.engines.native import library, program
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import SGD, init_state
from xpmlp.training import Step, StepOptions
from xpmlp.training.plan import make_plan

if isinstance(library.library(), str):
    pytest.skip(library.library(), allow_module_level=True)

REDUCE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
NETWORK = nn.Network([nn.Dense(300, "tanh"), nn.LayerNorm(), nn.Dense(2)])
N = 12


class AllReduce:
    """Sums the gradients of two ranks, each a thread, as processes on two machines would."""

    def __init__(self):
        self.parts, self.barrier = {}, Barrier(2, timeout=30)

    def of(self, rank):
        """The callback of a rank; the context that it gets is its number."""

        def reduce(gradients, n, context):
            mine = np.ctypeslib.as_array((ctypes.c_double * n).from_address(gradients))
            self.parts[context or 0] = mine.copy()
            self.barrier.wait()
            mine[:] = self.parts[0] + self.parts[1]
            self.barrier.wait()

        return REDUCE(reduce)


def start(options, K):
    """A step, a carry, and a plan of three batches of N rows that follow each other."""
    rng = np.random.default_rng(0)
    every = [NETWORK.init(5, rng)[0] for _ in range(K)]
    layout = with_rates(nn.Layout.of(NETWORK, every[0], contiguous=True))
    stores = [layout.pack(params, xp=np) for params in every]
    params = {name: np.stack([store[name] for store in stores]) for name in stores[0]}
    rule = SGD(0.9)
    step = Step(
        NETWORK, LOSSES["squared_error"], rule, layout, N, "float64", penalised=True,
        decoupled=False, options=StepOptions(**options),
    )  # fmt: skip
    plan = make_plan(rule, np.arange(3 * N), batch_size=N, lr=0.1, seed=0, alpha=0.5)
    members = {name: np.repeat(a[:, None], K, axis=1) for name, a in plan._asdict().items()}
    numbers = {name: members[name][..., None, None] for name in ("rate", "decay", "shrink")}
    plan = type(plan)(**members | numbers)
    return step, Carry(params, {}, init_state(step, params, xp=np)), plan


@each("K", [1, 3])
@each("threads", [1, 3])
@each("options", [{}, {"max_grad_norm": 0.01}, {"max_norm": 0.5, "ema_decay": 0.9}])
def test_ranks_with_half_a_batch_each_train_as_one_with_the_whole(options, threads, K, monkeypatch):
    rng = np.random.default_rng(1)
    data = rng.normal(size=(3 * N, 5)), rng.normal(size=(3 * N, 2))
    step, carry, plan = start(options, K)
    want, losses = generic_engine(np).run(step)(carry, data, plan)
    monkeypatch.setattr(program, "team", lambda wanted: nullcontext(threads))
    training_of, together = program.training_of, AllReduce()

    def trained(rank):
        def reducing(step):
            made = training_of(step)
            made.callback = together.of(rank)  # kept alive
            made.reduce, made.context = ctypes.cast(made.callback, ctypes.c_void_p).value, rank
            return made

        monkeypatch.setattr(program, "training_of", reducing)
        half = slice(rank * N // 2, (rank + 1) * N // 2)
        step, carry, plan = start(options, K)
        mine = plan._replace(
            rows=plan.rows[..., half], weights=plan.weights[..., half], n_rows=plan.n_rows / 2
        )
        return program.native_run(step, None), carry, mine

    parts = [trained(rank) for rank in (0, 1)]
    with ThreadPoolExecutor(2) as pool:
        made = list(pool.map(lambda part: part[0](part[1], data, part[2]), parts))
    for got, _ in made:
        assert_close(got._asdict(), want._asdict(), 1e-12)
    (_, first), (_, second) = made
    assert_close(first[0] + second[0], losses[0], 1e-12)
