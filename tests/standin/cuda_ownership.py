"""Whose memory is whose, on the stand-ins: fits side by side, results kept, torch's tensors."""

import gc
from threading import Thread
from types import SimpleNamespace

import numpy as np
import pytest
from card import REAL, WHY
from conftest import assert_close, map_tree
from cuda_setting import cupy
from cuda_training import Training, engine, host, kept_programs, oracle, outcome, started, training

from xpmlp import MLPClassifier, train
from xpmlp.arrays import namespace
from xpmlp.engines import Options
from xpmlp.engines import cupy as engine_module
from xpmlp.nn import Dense, Dropout, Network
from xpmlp.optim import Adam

TIERS = ["eager", "graph"]
NETWORK = Network([Dense(16, "relu"), Dropout(0.3), Dense(8, "relu"), Dense(3)])


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    """How many rows the programs take that are made; none is left from before."""
    made = []
    plain = engine_module.Program
    monkeypatch.setattr(
        engine_module, "Program", lambda *a, **o: made.append(a[2]) or plain(*a, **o)
    )
    engine_module.PROGRAMS.items.clear()
    gc.collect()
    return made


def problem(seed, epochs=3):
    return training(
        NETWORK, n=43, loss="log_loss", rule=Adam(epsilon=1e-2), alpha=0.5, seed=seed, epochs=epochs
    )


def epochs(tier, made):
    """Yield after each epoch of a training; at last what it made."""
    run, (carry, data, plans), losses = engine(tier).run(made.step), started(made), []
    for plan in plans:
        carry, more = run(carry, data, plan)
        losses.append(more.get())
        yield None
    yield host({"params": carry.params, "state": carry.state}, losses, made.step.dtype)


# ---- Fits side by side


@pytest.mark.parametrize("tier", TIERS)
def test_fits_of_equal_steps_epoch_by_epoch_in_turns_do_not_disturb_each_other(tier, programs):
    problems = [problem(seed) for seed in range(3)]
    assert len({made.step for made in problems}) == 1
    going = [epochs(tier, made) for made in problems]
    *_, last = zip(*going, strict=True)
    for got, made in zip(last, problems):
        assert_close(got, oracle(made), 1e-12)
    assert programs == [5] * 3


@pytest.mark.parametrize("tier", TIERS)
def test_a_fit_between_the_epochs_of_another_does_not_disturb_it(tier, programs):
    outer, inner = problem(0), problem(1)
    going = epochs(tier, outer)
    for _ in outer.plans:
        next(going)
        assert_close(outcome(engine(tier), inner), oracle(inner), 1e-12)
    assert_close(next(going), oracle(outer), 1e-12)
    assert programs == [5] * 2  # the inner fits share one


@pytest.mark.parametrize("tier", TIERS)
def test_fits_in_several_threads_do_not_disturb_each_other(tier):
    problems, made = [problem(seed) for seed in range(4)], {}

    def fit(i):
        for _ in range(2):
            made[i] = outcome(engine(tier), problems[i], fused=None)

    threads = [Thread(target=fit, args=(i,)) for i in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    for i, one in enumerate(problems):
        assert_close(made[i], oracle(one), 1e-12)


# ---- What a fit returns is the caller's


def kept(carry):
    return [*carry.params.values(), *(a for s in carry.state.values() for a in s.values())]


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("part", ["all", "a leaf", "a slot", "nothing"])
def test_what_a_fit_returned_is_not_overwritten_while_somebody_holds_it(tier, part, programs):
    one, two = problem(0, epochs=1), problem(1, epochs=1)
    run, (carry, data, plans) = engine(tier).run(one.step), started(one)
    carry, losses = run(carry, data, plans[0])
    held = {
        "all": kept(carry),
        "a leaf": [carry.params["offsets"]],
        "a slot": [carry.state["v"]["weights"]],
        "nothing": [],
    }[part]
    held = [*held, losses]
    before = [a.get() for a in held]
    del carry, losses
    for made in (two, two, one):
        assert_close(outcome(engine(tier), made), oracle(made), 1e-12)
    for a, b in zip(held, before, strict=True):
        np.testing.assert_array_equal(a.get(), b)
    assert len(programs) == (1 if part == "nothing" else 2)


@pytest.mark.parametrize("tier", TIERS)
def test_weights_of_estimators_and_of_train_stay_what_they_were(tier):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(43, 4)), rng.integers(0, 3, 43)
    card = cupy.asarray(x)
    args = {"solver": "adam", "max_iter": 3, "batch_size": 10, "accelerate": tier}
    trained = [
        train(NETWORK, card, y, loss="log_loss", random_state=seed, **args) for seed in range(3)
    ]
    plain = [train(NETWORK, x, y, loss="log_loss", random_state=seed, **args) for seed in range(3)]
    for a, b in zip(trained, plain):
        assert_close(map_tree(lambda w: w.get(), a.params), b.params, 1e-9)
    args |= {"max_iter": 10000, "n_iter_no_change": 1, "tol": 1.0, "random_state": 0}
    models = [MLPClassifier((9,), alpha=alpha, **args).fit(card, y) for alpha in (0.0, 0.1, 0.2)]
    before = [[w.get() for w in model.coefs_] for model in models]
    models[2].fit(card, y)
    for model, weights in zip(models, before):
        assert_close([w.get() for w in model.coefs_], weights, 0.0)


# ---- Where a carry comes from


@pytest.mark.parametrize("tier", TIERS)
def test_a_training_may_change_its_tier_at_any_epoch(tier):
    made = problem(0)
    (carry, data, plans), losses = started(made), []
    for plan, now in zip(plans, ["generic", tier, "generic"], strict=True):
        carry, more = engine(now).run(made.step)(carry, data, plan)
        losses.append(more.get())
    got = host({"params": carry.params, "state": carry.state}, losses, "float64")
    assert_close(got, oracle(made), 1e-12)


@pytest.mark.parametrize("tier", TIERS)
@pytest.mark.parametrize("what", ["weights", "offsets", "m", "v"])
@pytest.mark.parametrize("precision", ["highest", "medium"])
def test_what_somebody_else_wrote_between_epochs_is_taken(tier, what, precision):
    made = problem(0, epochs=2)
    made = made._replace(step=type(made.step)(**vars(made.step) | {"dtype": "float32"}))
    own_engine = engine(tier, precision, deterministic=True)

    def after(others):
        """Return what a second epoch makes of one array halved, and of the others."""
        run, (carry, data, plans) = own_engine.run(made.step), started(made)
        carry, _ = run(carry, data, plans[0])
        halved = lambda name, a: 0.5 * a if name == what else others(a)
        params = {name: halved(name, a) for name, a in carry.params.items()}
        state = {
            slot: {name: halved(slot, a) for name, a in store.items()}
            for slot, store in carry.state.items()
        }
        carry, losses = run(carry._replace(params=params, state=state), data, plans[1])
        return [a.get() for a in (*kept(carry), losses)]

    copied, own = after(lambda a: a.copy()), after(lambda a: a)
    for a, b in zip(copied, own, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("tier", TIERS)
def test_a_program_is_not_taken_from_a_stream_whose_work_may_still_be_under_way(tier, programs):
    made = problem(0, epochs=1)
    want, other = oracle(made), cupy.cuda.Stream(non_blocking=True)
    for count in (1, 2):
        assert_close(outcome(engine(tier), made), want, 1e-12)
        with other:
            assert_close(outcome(engine(tier), made), want, 1e-12)
        assert programs == [5] * 2, count  # one for each stream, both taken again


@pytest.mark.parametrize("tier", TIERS)
def test_an_interrupted_run_leaves_nothing_behind_and_the_next_is_right(tier, monkeypatch):
    made = problem(0)
    run, (carry, data, plans) = engine(tier).run(made.step), started(made)
    carry, _ = run(carry, data, plans[0])

    def interrupt(self, n):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(engine_module.Player, "__call__", interrupt)
        with pytest.raises(KeyboardInterrupt):
            run(carry, data, plans[1])
    assert kept_programs() == []
    assert_close(outcome(engine(tier), made), oracle(made), 1e-12)


# ---- torch's tensors, those of a CPU in the place of those on a card


class OnCard:
    """A tensor that says to be on the card."""

    def __init__(self, tensor):
        self.__dlpack__ = tensor.__dlpack__

    __dlpack_device__ = lambda self: (2, 0)


class Held:
    """Memory of the card for NumPy, which so keeps the array: as torch does through DLPack."""

    def __init__(self, array):
        self.array, self.__array_interface__ = array, array._data.__array_interface__


@pytest.fixture
def torch(monkeypatch):
    """PyTorch, on streams of the stand-in."""
    if REAL:
        pytest.skip(WHY)
    torch = pytest.importorskip("torch")
    plain = cupy.from_dlpack
    monkeypatch.setattr(cupy, "from_dlpack", lambda tensor: plain(OnCard(tensor)))
    monkeypatch.setattr(torch, "from_dlpack", lambda a: torch.from_numpy(np.asarray(Held(a))))
    stream = SimpleNamespace(cuda_stream=0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    torch.stream = stream
    yield torch
    del torch.stream


def through(torch, tier):
    """Return the engine of torch's tensors that runs a tier of CuPy's."""
    return engine_module.torch_through_cupy(namespace(torch.empty(0)), Options(accelerate=tier))


def on_torch(torch, made: Training):
    """Return carry, data and plans of a training as tensors."""
    carry, data, plans = started(made, np.asarray)
    tensors = lambda value: map_tree(lambda a: torch.from_numpy(np.array(a)), value)
    return type(carry)(*map(tensors, carry)), tensors(data), list(map(tensors, plans))


@pytest.mark.parametrize("tier", TIERS)
def test_torchs_tensors_train_as_plainly_without_a_copy(tier, torch, programs):
    made = problem(0)
    own = through(torch, tier)
    assert own.name == f"torch, cupy {tier}"
    (carry, data, plans), losses, seen = on_torch(torch, made), [], []
    run = own.run(made.step)
    for plan in plans:
        carry, more = run(carry, data, plan)
        assert all(isinstance(a, torch.Tensor) for a in (*kept(carry), more))
        losses.append(more.numpy())
        seen.append([a.data_ptr() for a in kept(carry)])
    assert seen[0] == seen[1] == seen[2]  # the program's own memory
    (only,) = kept_programs()
    assert only.theta.data.ptr in seen[0]
    got = map_tree(lambda a: a.numpy(), {"params": carry.params, "state": carry.state})
    assert_close(got | {"losses": np.concatenate(losses, axis=1)}, oracle(made), 1e-12)


@pytest.mark.parametrize("tier", TIERS)
def test_what_torch_holds_is_not_overwritten(tier, torch):
    one, two = problem(0, epochs=1), problem(1, epochs=1)
    run = through(torch, tier).run(one.step)
    carry, data, plans = on_torch(torch, one)
    carry, _ = run(carry, data, plans[0])
    before = [a.clone() for a in kept(carry)]
    gc.collect()
    run(*on_torch(torch, two)[:2], on_torch(torch, two)[2][0])
    assert all(torch.equal(a, b) for a, b in zip(kept(carry), before))


def test_torchs_stream_is_the_one_that_kernels_go_to(torch, monkeypatch):
    made, seen = problem(0, epochs=1), []
    torch.stream.cuda_stream = 0x7EA0
    plain = engine_module.Player.__call__
    monkeypatch.setattr(
        engine_module.Player,
        "__call__",
        lambda self, n: seen.append(cupy.cuda.get_current_stream().ptr) or plain(self, n),
    )
    carry, data, plans = on_torch(torch, made)
    _, losses = through(torch, "graph").run(made.step)(carry, data, plans[0])
    assert seen == [0x7EA0]
    assert cupy.cuda.get_current_stream().ptr == 0
    assert_close(losses.numpy(), oracle(made)["losses"], 1e-12)


def test_train_takes_torchs_tensors_and_gives_tensors(torch, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(43, 4)), rng.integers(0, 3, 43)
    args = {"loss": "log_loss", "batch_size": 10, "max_iter": 3, "alpha": 0.1}
    want = train(NETWORK, x, y, **args)
    outputs = want.outputs(x)
    monkeypatch.setattr("xpmlp.training.fit.engine_for", lambda a, options: through(torch, "graph"))
    got = train(NETWORK, torch.from_numpy(x), torch.from_numpy(y), **args)
    assert_close(map_tree(lambda a: a.numpy(), got.params), want.params, 1e-9)
    np.testing.assert_allclose(got.history["loss"], want.history["loss"], rtol=1e-12)
    assert_close(got.outputs(torch.from_numpy(x)).numpy(), outputs, 1e-9)
