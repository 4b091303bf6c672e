"""The NumPy engine in several threads, of its own and of the user."""

import os
import subprocess
import sys
from threading import Thread

import numpy as np
import pytest
from conftest import assert_close, assert_derivative
from each import each
from numpy_problems import (  # noqa: F401 - fixtures among them
    EMBEDDED,
    TOLERANCE,
    WIDE,
    coded,
    compiled_fixture,
    engine_fixture,
    generic_fixture,
    outcome,
    problem,
    with_native,
)

from xpmlp import MLPClassifier
from xpmlp.engines import numpy as numpy_module
from xpmlp.engines.native import program
from xpmlp.engines.native.library import library
from xpmlp.nn import Ctx, Dense, Dropout, Network
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import SGD, Adam
from xpmlp.training.outputs import network_outputs

# Several threads.


@pytest.fixture
def crew(monkeypatch):
    """(n) -> teams of up to n threads, however small the work."""
    if isinstance(library(), str):
        pytest.skip("teams need the compiled engine, which a C++ compiler makes")
    monkeypatch.setattr(program, "WORK", 1)
    monkeypatch.setattr(program, "LIGHT", 0)
    return lambda n: monkeypatch.setattr(program, "n_threads", lambda: n)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("rule", [SGD(0.9), Adam(epsilon=1e-2)], ids=str)
@pytest.mark.parametrize("network", [WIDE, EMBEDDED], ids=["wide", "embedded"])
def test_a_team_of_any_size_trains_the_same_and_twice_bit_by_bit(network, dtype, rule, crew, plain):
    """Products of fewer rows may sum in another order, so sizes agree to rounding."""
    own = {"D": 200} if network is WIDE else {"D": 5, "data": coded(101)}
    make = lambda: problem(
        network,
        n=101,
        loss="log_loss",
        rule=rule,
        dtype=dtype,
        batch_size=50,
        alpha=0.5,
        weight_decay=0.1,
        **own,
    )
    made = []
    for size in (1, 2, 3):
        crew(size)
        engine = numpy_module.numpy_engine.__wrapped__(plain.xp)
        made.append(outcome(engine, *make(), path="native"))
        assert_close(outcome(engine, *make()), made[-1], 0.0)
    for other in made[1:]:
        assert_close(other, made[0], 50 * np.finfo(dtype).eps)


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_a_team_of_any_size_fits_the_same_weights_to_the_last_bit(seed, crew):
    """Also where the last batch of an epoch leaves a thread only one row or two."""
    X = np.random.default_rng(seed).normal(size=(3 * 32 + 5, 40)).astype(np.float32)
    kw = {"dropout": 0.1, "batch_size": 32, "max_iter": 3, "random_state": seed}
    for sizes, n_classes in (((64, 64), 2), ((64, 64), 5), ((8, 6), 3), ((9, 300), 12)):
        y = np.digitize(X[:, 0], np.linspace(-1, 1, n_classes - 1))
        made = []
        for size in (1, 2, 3, 4):
            crew(size)
            made.append(MLPClassifier(sizes, activation="selu", **kw).fit(X, y))
        for other in made[1:]:
            for a, b in zip(other.coefs_, made[0].coefs_, strict=True):
                np.testing.assert_array_equal(a, b)


@each("n", [1, 2, 511, 512, 513, 2000])
def test_a_team_of_any_size_predicts_the_same(n, crew, compiled, generic):
    x = np.random.default_rng(0).normal(size=(n, 4))
    step, start = problem(Network([Dense(7, "mish"), Dropout(0.5), Dense(2)]))
    args = step.network, step.layout, start()[0].params, x
    want = network_outputs(*args, generic)
    for size in (1, 2, 3):
        crew(size)
        assert_close(network_outputs(*args, compiled), want, 1e-14)


def test_threads_that_train_at_the_same_time_do_not_disturb_each_other(engine, generic):
    problems = [
        problem(WIDE, n=200, D=30, seed=seed, batch_size=64, loss="log_loss") for seed in range(4)
    ]
    made = [None] * len(problems)

    def fit(i):
        made[i] = outcome(engine, *problems[i])

    threads = [Thread(target=fit, args=(i,)) for i in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    for got, one in zip(made, problems):
        assert_close(got, outcome(generic, *one), TOLERANCE["float64"])


def test_more_teams_than_threads_do_not_wait_for_each_other_for_ever(crew, compiled, generic):
    crew(3)
    test_threads_that_train_at_the_same_time_do_not_disturb_each_other(compiled, generic)


FORKED = """
import os, sys
import numpy as np
from xpmlp import nn, train
from xpmlp.engines.native import program
program.WORK, program.n_threads = 1, lambda: 2
x = np.random.default_rng(0).normal(size=(300, 4))
fit = lambda: train(nn.Network([nn.Dense(9, "tanh"), nn.Dense(1)]), x, x[:, :1], max_iter=3)
before = fit().outputs(x)  # makes the threads, which a child does not have
child = os.fork()
if not child:
    os._exit(0 if np.array_equal(fit().outputs(x), before) else 3)
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@with_native
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_that_was_forked_off_after_a_fit_can_fit():
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    assert subprocess.run(command, timeout=120, check=False).returncode == 0


def blas_threads():
    import threadpoolctl

    return {lib["filepath"]: lib["num_threads"] for lib in threadpoolctl.threadpool_info()}


def test_the_threads_of_blas_are_as_many_after_a_fit_as_before_also_after_an_error(engine, crew):
    import threadpoolctl

    crew(2)
    step, start = problem(Network([Dense(9, "tanh"), Dense(2)]), n=60, batch_size=30)
    outcome(engine, step, start)  # loads what it needs
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        assert 2 in before.values()
        outcome(engine, step, start)
        assert blas_threads() == before
        with pytest.raises(ZeroDivisionError):
            with program.team(2):
                1 // 0  # noqa: B018
        assert blas_threads() == before


@each("loss", LOSSES)
@each("activation", ACTIVATIONS)
def test_a_step_of_plain_descent_goes_along_the_derivative(engine, activation, loss):
    network = Network([Dense(5, activation), Dropout(0.2), Dense(4, "tanh"), Dense(3)])
    options = {"n": 6, "batch_size": 6, "rule": SGD(0.0), "loss": loss, "epochs": 1}
    step, start = problem(network, **options)
    carry, (x, y), (plan,) = start()
    before = {name: p.copy() for name, p in carry.params.items()}
    rows = plan.rows[0]
    ctx = Ctx(np, True, weights=plan.weights[0], key=plan.key[0])

    def value(store):
        outputs, _ = network.forward(step.layout.unpack(store, xp=np), x[rows], ctx)
        return float(step.loss(outputs, y[rows])[0])

    after, _ = engine.run(step)(carry, (x, y), plan)
    grads = {name: (p - after.params[name]) / plan.rate[0] for name, p in before.items()}
    assert_derivative(value, before, grads)
