"""What runs otherwise than asked for: still right, and said in every fit."""

import gc
import warnings
import weakref
from contextlib import nullcontext

import numpy as np
import pytest
from card import needs_lt
from conftest import assert_close
from cuda_setting import cupy
from cuda_training import engine, engine_module, oracle, outcome, products, training

from xpmlp import MLPClassifier, nn, train
from xpmlp.arrays import current_card
from xpmlp.engines.chain import LOSS_KINDS
from xpmlp.engines.cupy import cublaslt
from xpmlp.errors import DeviceError, DeviceMemoryError
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.normalization import NORMALIZATIONS
from xpmlp.optim import RULES
from xpmlp.transfers import counting

NETWORK = nn.Network([nn.Dense(16, "relu"), nn.Dense(3)])
X = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
Y = np.arange(60) % 3
ARGS = {"hidden_layer_sizes": (8,), "batch_size": 20, "max_iter": 2, "tol": 0, "random_state": 0}


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch):
    monkeypatch.setattr(products.LtProducts, "chosen", {})
    engine_module.PROGRAMS.clear()
    yield
    engine_module.PROGRAMS.clear()


def run(made, *args):
    """Return the outcome, the notes and the warnings of a training."""
    with counting() as counts, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = outcome(engine(*args), made, fused=None)
    return got, counts.notes, [str(w.message) for w in caught]


@needs_lt
@pytest.mark.parametrize("tier", ["eager", "graph"])
def test_a_card_without_bfloat16_products_computes_in_float32_and_says_so(tier, monkeypatch):
    def refuse(self, operation, layouts, preference, most):
        assert most == 16
        raise cublaslt.CublasLtError("cublasLtMatmulAlgoGetHeuristic", 15, "NOT_SUPPORTED")

    monkeypatch.setattr(cublaslt.CublasLt, "algorithms", refuse)
    made = training(NETWORK, n=60, D=5, batch_size=20, dtype="float32", loss="log_loss")
    got, notes, warned = run(made, tier, "medium")
    (said,) = (text for text in notes if "cuBLASLt has no bfloat16 product" in text)
    assert "((20, 5) by (5, 16) in bfloat16: cublasLtMatmulAlgoGetHeuristic: NOT_SUP" in said
    assert any("products stay in float32" in text for text in warned), warned
    assert_close(got, oracle(made), 1e-4)


@needs_lt
def test_an_algorithm_that_is_offered_and_refused_is_passed_over(monkeypatch):
    offered, multiply, refused = cublaslt.CublasLt.algorithms, cublaslt.CublasLt.multiply, []

    def with_a_bad_one(self, *args):
        bad = cublaslt.Algorithm()
        bad.data[0] = 1
        return [bad, *offered(self, *args)]

    def refuse(self, operation, alpha, beta, layouts, pointers, algorithm, *more):
        if algorithm.data[0] == 1:
            refused.append(algorithm)
            raise cublaslt.CublasLtError("cublasLtMatmul", 15, "CUBLAS_STATUS_NOT_SUPPORTED")
        multiply(self, operation, alpha, beta, layouts, pointers, algorithm, *more)

    monkeypatch.setattr(cublaslt.CublasLt, "algorithms", with_a_bad_one)
    monkeypatch.setattr(cublaslt.CublasLt, "multiply", refuse)
    made = training(NETWORK, n=60, D=5, batch_size=20, loss="log_loss")
    got, notes, _ = run(made, "graph")
    assert refused and not notes
    assert_close(got, oracle(made), 1e-11)


@needs_lt
def test_a_card_that_fails_in_a_product_is_not_taken_for_an_algorithm_that_does(monkeypatch):
    def fail(self, *args):
        raise cublaslt.CublasLtError("cublasLtMatmul", 13, "CUBLAS_STATUS_EXECUTION_FAILED")

    monkeypatch.setattr(cublaslt.CublasLt, "multiply", fail)
    made = training(NETWORK, n=60, D=5, batch_size=20, loss="log_loss")
    with pytest.raises(cublaslt.CublasLtError, match="EXECUTION_FAILED"):
        run(made, "graph")


def test_what_is_lacking_is_noted_in_each_fit_and_warned_of_in_the_first(monkeypatch):
    monkeypatch.setattr(engine_module, "lt_here", lambda: None)
    made = training(NETWORK, n=60, D=5, batch_size=20, loss="log_loss")
    for first in (True, False):
        got, notes, warned = run(made, "graph")
        assert ["cuBLASLt does not work here" in text for text in notes] == [True]
        assert any("kernels are launched one by one" in text for text in warned) == first
        assert_close(got, oracle(made), 1e-11)


class Scale(nn.Layer):
    """A layer of one's own."""

    def __eq__(self, other):
        return type(self) is type(other)

    def __hash__(self):
        return 1

    def init(self, n_in, stream, x=None):
        return {"s": np.ones((1, n_in))}, n_in

    def forward(self, params, x, ctx):
        return x * params["s"], (x,)

    def backward(self, params, dy, cache, ctx):
        return dy * params["s"], {"s": ctx.xp.sum(dy * cache[0], axis=-2, keepdims=True)}


@pytest.mark.parametrize(
    ("layers", "dtype", "options", "said"),
    [
        ([Scale(), nn.Dense(3)], "float32", {"accelerate": "graph"}, "'graph' is for chains of"),
        ([nn.Dense(3)], "float64", {"accelerate": "eager", "matmul_precision": "medium"},
         "float64 is never shortened, pass dtype='float32'"),
        ([nn.Dense(3)], "float32", {"accelerate": "generic", "matmul_precision": "high"},
         "compute in float32"),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_noted(layers, dtype, options, said):
    x = cupy.asarray(X.astype(dtype))
    for _ in range(2):
        made = train(
            nn.Network(layers),
            x,
            cupy.asarray(np.eye(3, dtype=dtype)[Y]),
            max_iter=1,
            tol=0,
            loss="log_loss",
            **options,
        )
        assert [said in text for text in made.report["notes"]] == [True], made.report["notes"]


BLOCK = nn.Residual([nn.Dense(5, "tanh"), nn.RMSNorm()])
UNFUSED = {
    **{name: {"loss": name} for name in {*LOSSES} - {*LOSS_KINDS}},
    **{name: {"rule": RULES[name]()} for name in ("nadam", "lion")},
    "max_grad_norm": {"max_grad_norm": 0.01},
    "max_norm": {"max_norm": 0.5},
    "ema_decay": {"ema_decay": 0.9},
    **{
        kind.__name__: {"network": nn.Network([nn.Dense(6), kind(), nn.Dense(3)])}
        for kind in NORMALIZATIONS.values()
    },
    "Residual": {"network": nn.Network([BLOCK, nn.Dense(3)])},
}


@pytest.mark.parametrize("tier", ["eager", "graph"])
@pytest.mark.parametrize("name", sorted(UNFUSED))
def test_what_has_no_kernels_runs_as_plain_operations_and_says_so(name, tier):
    made = training(**{"network": NETWORK, "n": 22, "D": 5, "alpha": 0.1} | UNFUSED[name])
    with counting() as counts:
        got = outcome(engine(tier), made, fused=False)
    assert any("runs as plain operations" in text for text in counts.notes), counts.notes
    assert_close(got, oracle(made), 1e-11)


def test_an_error_in_a_run_leaves_nothing_of_its_program(monkeypatch):
    made = training(NETWORK, n=60, D=5, batch_size=20, loss="log_loss")
    seen = []

    def broken(self, n):
        seen.append(weakref.ref(self.program))
        raise KeyboardInterrupt

    monkeypatch.setattr(engine_module.Player, "__call__", broken)
    gc.disable()
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            outcome(engine("eager"), made, fused=None)
        del caught
        assert seen[0]() is None
    finally:
        gc.enable()


def test_memory_that_ends_outside_of_the_steps_is_told_in_a_sentence(monkeypatch):
    x, y = cupy.asarray(X), cupy.asarray(Y)
    model = MLPClassifier(**ARGS)
    real = cupy.cuda.memory.OutOfMemoryError

    def full(*args, **options):
        raise real(512, 0, 256)

    monkeypatch.setattr("xpmlp.training.fit.init_state", full)
    with pytest.raises(DeviceMemoryError, match=r"The memory of cuda:0 is too small .* bytes are"):
        model.fit(x, y)
    assert not hasattr(model, "coefs_")


def test_the_card_of_an_array_or_of_the_argument_is_made_current(monkeypatch):
    assert current_card(cupy.ones(1)) == cupy.cuda.Device(0)
    with pytest.raises(DeviceError, match="device='cuda:1' does not work"):
        MLPClassifier(**ARGS, device="cuda:1").fit(X, Y)
    monkeypatch.setattr(cupy.cuda.runtime, "getDeviceCount", lambda: 2)
    assert current_card(X, "cuda:1") == cupy.cuda.Device(1)
    for where in ("cuda", "cuda:0"):
        assert current_card(X, where) == cupy.cuda.Device(0)  # the program's may be another
    for where in ("auto", "cpu", "cuda:7", "tpu"):
        assert isinstance(current_card(X, where), nullcontext)
    with pytest.raises(RuntimeError, match="invalid device ordinal"):  # there is but one, to enter
        MLPClassifier(**ARGS, device="cuda:1").fit(X, Y)
