"""A card whose memory is short, on the stand-ins: batches in parts, freed programs, errors."""

import gc
import re
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product

import numpy as np
import pytest
from card import standin_only
from conftest import assert_close
from cuda_setting import cupy
from cuda_training import engine, kept_programs, oracle, outcome, started, training
from emulator import memory
from sklearn.exceptions import ConvergenceWarning

from xpmlp import MLPClassifier
from xpmlp.engines import Carry
from xpmlp.engines import cupy as engine_module
from xpmlp.engines.cupy import out_of_memory, products
from xpmlp.errors import DeviceError, DeviceMemoryError
from xpmlp.nn import Dense, Dropout, Layer, Layout, Network
from xpmlp.nn.layers import BUFFERS
from xpmlp.optim import SGD, Adam
from xpmlp.training.step import Step
from xpmlp.transfers import counting

POOL = cupy.get_default_memory_pool()
TIERS = ["generic", "eager", "graph"]
# Its parameters are few, so that a batch of 1024 rows takes nearly all of the memory.
NETWORK = Network([Dropout(0.2), Dense(40, "relu"), Dropout(0.4), Dense(30, "gelu"), Dense(2)])


@pytest.fixture(autouse=True)
def all_of_the_card(monkeypatch):
    """Begin and end with a card that holds nothing that is not in use."""
    monkeypatch.setattr(products, "WORKSPACE", 1 << 14)
    engine_module.PROGRAMS.items.clear()
    gc.collect()
    POOL.free_all_blocks()
    yield
    POOL.set_limit(size=0)


@contextmanager
def little(bytes_more, how):
    """Leave so much more than is in use: by the pool's limit, or of the card itself."""
    POOL.free_all_blocks()
    total = memory.Card.total
    if how == "limit":
        POOL.set_limit(size=POOL.total_bytes() + bytes_more)
    else:
        memory.Card.total = memory.Card.taken + bytes_more
    try:
        yield
    finally:
        POOL.set_limit(size=0)
        memory.Card.total = total


def run(tier, made):
    """Return what a training makes, and what was noted of it."""
    with counting() as counts:
        got = outcome(engine(tier), made, fused=None)
    return got, counts.notes


def peak(tier, made):
    """Return the bytes that a training takes beyond those in use, at the most."""
    before = memory.Card.taken
    outcome(engine(tier), made, fused=None)
    taken = memory.Card.taken - before
    engine_module.PROGRAMS.clear()
    gc.collect()
    POOL.free_all_blocks()
    return taken


@standin_only
@pytest.mark.parametrize(
    ("tier", "K", "how"),
    [*product(TIERS, [0, 3], ["limit"]), ("generic", 0, "card"), ("eager", 0, "card")],
)
def test_a_batch_that_does_not_fit_is_computed_in_parts_with_the_same_result(tier, K, how):
    options = {"alpha": 0.5, "rule": Adam(epsilon=1e-2), "epochs": 1}
    made = training(NETWORK, n=1100, D=5, K=K, batch_size=1024, loss="binary_log_loss", **options)
    want, whole = oracle(made), peak(tier, made)
    seen = set()
    for share in (1.1, 0.75, 0.5):
        with little(int(share * whole), how):
            got, notes = run(tier, made)
        assert_close(got, want, 1e-12)
        seen.add(len(notes))
        rows = [f"batches are computed {1024 >> i + 1} rows at a time" for i in range(len(notes))]
        assert all(row in note for row, note in zip(rows, notes))
        engine_module.PROGRAMS.clear()
        gc.collect()
    assert 0 in seen  # with enough memory nothing is halved
    assert len(seen) > 1


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(
    ("tier", "precision"), [*product(TIERS, ["highest"]), ("eager", "medium"), ("graph", "medium")]
)
def test_parts_of_any_size_add_up_to_the_batch(n, tier, precision, monkeypatch):
    """Also where the last part is shorter, with steps of several parts in one graph."""
    monkeypatch.setattr(engine_module, "fitting", lambda attempt, rows, **options: (attempt(n), n))
    monkeypatch.setattr(out_of_memory, "fitting", lambda attempt, rows, **options: (attempt(n), n))
    network = Network([Dropout(0.3), Dense(16, "relu"), Dropout(0.3), Dense(8, "relu"), Dense(3)])
    short = precision != "highest"
    options = {"rule": Adam(epsilon=1e-2), "dtype": "float32" if short else "float64"}
    made = training(network, n=40, batch_size=7, loss="log_loss", alpha=0.5, **options)
    got = outcome(engine(tier, precision), made, fused=None)
    assert_close(got, oracle(made), 3e-2 if short else 1e-12)


@dataclass(frozen=True)
class RunningMean(Layer):
    """Subtracts a running mean of its inputs."""

    groups = {"mean": BUFFERS}  # noqa: RUF012

    def init(self, n_in, stream, x=None):
        return {"mean": np.zeros((1, n_in))}, n_in

    def forward(self, params, x, ctx):
        now = 0.9 * params["mean"] + 0.1 * ctx.xp.mean(x, axis=-2, keepdims=True)
        return x - params["mean"], (now,)

    def backward(self, params, dy, cache, ctx):
        return dy, {"mean": cache[0]}


def with_buffers(tier, batch_size=256):
    """Run a network with running statistics on the card; returns what is left of its mean."""
    network = Network([Dense(300, "relu"), RunningMean(), Dense(2)])
    made = training(network, n=300, D=5, batch_size=batch_size)
    layout = Layout.of(network, made.params, contiguous=True)
    store = {k: cupy.asarray(a) for k, a in layout.pack(made.params, xp=np).items()}
    buffers = {"1.mean": store.pop("1.mean")}
    options = {"penalised": False, "decoupled": False}
    step = Step(network, made.step.loss, SGD(0.0), layout, batch_size, "float64", **options)
    _, data, plans = started(made._replace(step=made.step, params=made.params))
    carry, _ = engine(tier).run(step)(Carry(store, buffers, {}), data, plans[0])
    return carry.buffers["1.mean"].get()


@pytest.mark.parametrize("tier", TIERS)
def test_a_layer_with_running_statistics_is_refused_in_parts_with_the_reason(tier):
    assert with_buffers(tier).any()
    gc.collect()
    reason = r"too small .* running statistics \(batch normalisation\) need all rows of a batch"
    with little(256 * 300 * 8, "limit"), pytest.raises(DeviceMemoryError, match=reason):
        with_buffers(tier)


@pytest.mark.parametrize("tier", TIERS)
def test_at_last_an_error_tells_need_what_is_free_and_what_to_do(tier):
    made = training(NETWORK, n=1100, D=5, batch_size=1024)
    run_step, (carry, data, plans) = engine(tier).run(made.step), started(made)
    with little(2048, "limit"), pytest.raises(DeviceMemoryError) as caught:
        run_step(carry, data, plans[0])
    message = str(caught.value)
    assert "even one row at a time" in message
    assert "Out of memory allocating" in message  # the need
    assert re.search(r"; [\d,]+ bytes are free\.", message)
    for advice in ("fewer units", "batch_size", "dtype='float32'", "nvidia-smi", "device='cpu'"):
        assert advice in message
    assert isinstance(caught.value, DeviceError) and isinstance(caught.value, MemoryError)
    # What was given is as it was, and goes on with more memory.
    carry, losses = run_step(carry, data, plans[0])
    assert_close(losses.get(), oracle(made)["losses"][:, :2], 1e-12)


@pytest.mark.parametrize("tier", TIERS)
def test_an_estimator_is_as_it_was_after_the_error(tier, monkeypatch):
    rng = np.random.default_rng(0)
    x, y = cupy.asarray(rng.normal(size=(30, 5))), rng.integers(0, 2, 30)
    args = {
        "hidden_layer_sizes": (9, 8),
        "batch_size": 25,
        "random_state": 0,
        "max_iter": 2,
        "deterministic": True,
    }
    models = [MLPClassifier(**args, accelerate=tier) for _ in range(2)]
    fitting = out_of_memory.fitting

    def with_little(*given, **options):
        with little(2048, "limit"):
            return fitting(*given, **options)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for model in models:
            model.fit(x, y)
        engine_module.PROGRAMS.items.clear()
        before = dict(vars(models[0]))
        weights = [a.get() for a in models[0].coefs_]
        with monkeypatch.context() as patched:
            for module in (out_of_memory, engine_module):
                patched.setattr(module, "fitting", with_little)
            with pytest.raises(DeviceMemoryError, match="even one row at a time"):
                models[0].partial_fit(x, y)
        assert vars(models[0]).keys() == before.keys()
        assert_close([a.get() for a in models[0].coefs_], weights, 0.0)
        for model in models:
            model.partial_fit(x, y)
    assert_close(*([a.get() for a in model.coefs_] for model in models), 0.0)


@standin_only
@pytest.mark.parametrize("tier", ["eager", "graph"])
def test_programs_that_nobody_uses_make_room_before_a_batch_is_halved(tier):
    made, other = (training(NETWORK, n=300, D=5, batch_size=b, epochs=1) for b in (256, 250))
    whole = peak(tier, made)
    outcome(engine(tier), other)
    (idle,) = kept_programs()
    assert idle.idle()
    del idle
    # Garbage that waits for the collector still takes memory on a card.
    gc.disable()
    try:
        with little(whole // 4, "card"):
            _, notes = run(tier, made)
    finally:
        gc.enable()
    assert notes == []
    assert [p.N for p in kept_programs()] == [256]


@standin_only
@pytest.mark.parametrize("tier", ["eager", "graph"])
def test_programs_at_work_together_stay_within_the_users_limit(tier):
    one, two = (training(NETWORK, n=600, D=5, batch_size=b, epochs=1) for b in (512, 500))
    whole = peak(tier, one)
    starts = [(engine(tier).run(made.step), *started(made)) for made in (one, two)]
    with little(int(1.5 * whole), "limit"):
        limit, held = POOL.get_limit(), []
        for run_step, carry, data, plans in starts:
            held.append(run_step(carry, data, plans[0]))
            assert POOL.total_bytes() + sum(p.pool.total_bytes() for p in kept_programs()) <= limit
        assert [p.n < p.N for p in kept_programs()] == [False, True]  # the second has the rest
    for (_, losses), made in zip(held, (one, two)):
        assert_close(losses.get(), oracle(made)["losses"], 1e-12)


@pytest.mark.parametrize("tier", ["eager", "graph"])
def test_idle_programs_are_kept_up_to_a_bound_the_latest_first(tier, monkeypatch):
    steps = [training(NETWORK, n=20, D=5, batch_size=b, epochs=1) for b in (7, 8, 9, 10)]
    outcome(engine(tier), steps[0])
    one = kept_programs()[0].pool.total_bytes()
    monkeypatch.setattr(engine_module, "IDLE_BYTES", int(2.5 * one))
    for made in steps[1:]:
        outcome(engine(tier), made)
    assert [p.N for p in kept_programs()] == [8, 9, 10]  # two idle ones, and the last made
