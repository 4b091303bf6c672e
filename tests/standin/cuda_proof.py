"""accelerate="auto": a graph that proves itself beside plain operations, and faults caught."""

import gc
import os
import subprocess
import sys
import warnings
from itertools import product
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from card import cupy, standin_only
from conftest import assert_close
from cuda_memory import little, peak
from cuda_training import XP, engine, oracle, outcome, started, training
from scipy.sparse import csr_array
from sklearn.exceptions import ConvergenceWarning

from xpmlp import MLPClassifier, MLPRegressor, nn, train
from xpmlp.engines import copy_carry
from xpmlp.engines import cupy as engine_module
from xpmlp.engines.cupy import graph, kernels, products, program, proof
from xpmlp.errors import DivergenceError
from xpmlp.optim import SGD, Adagrad, Adam, AdamW, RMSprop
from xpmlp.training import rows
from xpmlp.transfers import counting

X = np.random.default_rng(0).normal(size=(90, 6)).astype(np.float32)
Y = np.argmax(X[:, :3], axis=1)
ARGS = {"hidden_layer_sizes": (16, 8), "batch_size": 10, "max_iter": 2, "random_state": 0}


def nothing_known():
    """Forget programs and what was proven, as in a new process."""
    engine_module.PROGRAMS.items.clear()
    proof.PROVEN.clear()
    proof.REFUSED.clear()


@pytest.fixture(autouse=True)
def proofs(monkeypatch):
    """The proofs that are made; none is known from before."""
    nothing_known()
    made, plain = [], proof.Proof.differences
    monkeypatch.setattr(
        proof.Proof, "differences", lambda self, *args: made.append(self) or plain(self, *args)
    )
    yield made
    nothing_known()


def fitted(accelerate="auto", x=X, y=Y, make=MLPClassifier, **changes):
    """Fit on the card, without a warning but of few epochs."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        made = make(**ARGS | changes, accelerate=accelerate)
        return made.fit(cupy.asarray(x), cupy.asarray(y))


def weights(model):
    return [a.get() for a in (*model.coefs_, *model.intercepts_)]


def result(model):
    return model.fit_report_["engine"], model.fit_report_["proof"]["result"]


# ---- What is right proves itself


def test_a_fit_is_the_graphs_whether_its_proof_was_made_in_it_or_before(proofs):
    want = weights(fitted("graph", alpha=0.1, dropout=0.2))
    for n in range(3):
        model = fitted(alpha=0.1, dropout=0.2)
        assert_close(weights(model), want, 0.0)
        assert result(model) == ("cupy graph", "equal to plain operations")
        assert (model.fit_report_["proof"]["seconds"] > 0) == (n == 0)
        assert model.fit_report_["notes"] == []
    assert len(proofs) == 1
    assert model.fit_report_["launches"] == 2 * 2  # 9 steps an epoch: 8 and 1, none of a proof


@pytest.mark.parametrize("fits", [1, 2])
def test_a_new_process_makes_the_same_to_the_last_bit_in_its_first_fit_and_later(fits):
    here = Path(__file__)
    code = "\n".join(
        [
            "import cuda_proof",
            *["model = cuda_proof.fitted(alpha=0.1, dropout=0.2)"] * fits,
            "print(*(w.tobytes().hex() for w in cuda_proof.weights(model)))",
        ]
    )
    paths = os.pathsep.join(map(str, (here.parent, here.parents[1], here.parents[2])))
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )
    assert done.returncode == 0, done.stderr
    model = fitted(alpha=0.1, dropout=0.2)
    assert done.stdout.split() == [w.tobytes().hex() for w in weights(model)]
    assert result(model)[0] == "cupy graph"


RULES = [SGD(0.0), SGD(0.9, False), SGD(0.9), Adam(), AdamW(), RMSprop(), Adagrad()]
DEEP = nn.Network(
    [nn.Dropout(0.2), nn.Dense(16, "relu"), nn.Dropout(0.5), nn.Dense(9, "gelu_tanh"), nn.Dense(3)]
)


@pytest.mark.parametrize(
    ("rule", "dtype", "precision"),
    [
        *((rule, "float32", "highest") for rule in RULES),
        (Adam(), "float64", "highest"),
        *product((SGD(0.9), Adam()), ["float32"], ["high", "medium"]),
    ],
)
def test_every_rule_and_precision_proves_itself_from_a_first_step_and_later(rule, dtype, precision):
    for K, lr, loss in ((0, 1e-3, "log_loss"), (3, 0.1, "class_log_loss")):
        options = {"alpha": 0.1, "weight_decay": 0.01, "batch_size": 20, "epochs": 3}
        made = training(DEEP, n=44, D=5, K=K, dtype=dtype, loss=loss, rule=rule, lr=lr, **options)
        (carry, data, plans), notes = started(made), []
        for plan in plans:  # each state is one that a fit may begin with
            nothing_known()
            with counting() as counts:
                carry, _ = engine("auto", precision).run(made.step)(carry, data, plan)
            notes += [*counts.notes, counts.proof["result"]]
        assert notes == ["equal to plain operations"] * 3


@pytest.mark.parametrize("n", [1, 7])
def test_data_of_one_step_are_enough_for_a_proof(n, proofs):
    made = training(DEEP, n=n, batch_size=7, loss="log_loss", rule=Adam(epsilon=1e-2))
    assert_close(outcome(engine("auto"), made), oracle(made), 1e-12)
    assert len(proofs) == 1


def test_a_proof_is_made_once_for_each_network_rule_batch_type_and_number_of_members(proofs):
    base = {"n": 40, "loss": "log_loss"}
    kinds = [{}, {"batch_size": 8}, {"dtype": "float32"}, {"K": 3}, {"rule": Adam()},
             {"alpha": 0.1}]  # fmt: skip
    for _ in range(2):
        for changes in kinds:
            outcome(engine("auto"), training(DEEP, **base | changes))
    assert len(proofs) == len(kinds)
    assert proof.REFUSED == {}


def test_fits_in_several_threads_make_one_proof_and_do_not_disturb_each_other(proofs):
    problems = [training(DEEP, n=43, loss="log_loss", seed=seed) for seed in range(4)]
    made = {}

    def fit(i):
        made[i] = outcome(engine("auto"), problems[i], fused=None)

    threads = [Thread(target=fit, args=(i,)) for i in range(len(problems))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive()
    for i, one in enumerate(problems):
        assert_close(made[i], oracle(one), 1e-12)
    assert len(proofs) == 1


def test_sparse_rows_prove_their_first_chunk_alone(proofs, monkeypatch):
    monkeypatch.setattr(rows, "CHUNK", 2 * ARGS["batch_size"] * X.shape[1])
    model = MLPClassifier(**ARGS, device="cuda")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(csr_array(X * (X > 0)), Y)
    assert result(model) == ("cupy graph", "equal to plain operations")
    assert len(proofs) == 1


def test_what_is_no_chain_runs_plainly_without_a_note_or_a_proof(proofs):
    network = nn.Network([nn.Dense(5, "relu"), nn.LayerNorm(), nn.Dense(3)])
    made = train(network, cupy.asarray(X), cupy.asarray(Y), loss="log_loss", max_iter=2)
    report = made.report
    assert (report["engine"], report["proof"], report["notes"]) == ("cupy generic", None, [])
    model = fitted(solver="lbfgs")
    assert (model.fit_report_["engine"], model.fit_report_["proof"]) == ("cupy generic", None)
    assert proofs == []


def test_a_fit_that_diverges_ends_as_plainly_and_nothing_is_held_against_the_graph(proofs):
    y = cupy.asarray(X[:, 0] * 1e18)
    for tier in ("generic", "auto"):
        model = MLPRegressor(
            **ARGS, accelerate=tier, solver="sgd", learning_rate_init=1e3, target_scale=None
        )
        with np.errstate(all="ignore"), pytest.raises(DivergenceError, match="In epoch 1, step "):
            model.fit(cupy.asarray(X), y)
    assert proofs
    assert proof.REFUSED == {}


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_state_that_is_not_finite_says_nothing_of_the_graph(bad):
    made = training(DEEP, n=40, loss="log_loss")
    run, (carry, data, plans) = engine("auto").run(made.step), started(made)
    spoilt = carry.params["weights"].get()
    spoilt[0, 3] = bad
    carry = carry._replace(params=carry.params | {"weights": cupy.asarray(spoilt)})
    with np.errstate(all="ignore"), counting() as counts:
        run(carry, data, plans[0])
    assert (counts.tier, proof.REFUSED) == ("graph", {})
    assert counts.proof["result"] == "equal to plain operations"


@pytest.mark.parametrize("solver", ["adam", "adamw"])
def test_rows_so_large_that_squares_overflow_make_the_same_fit_first_and_later(solver, proofs):
    """The gradients are finite; their squares, which the rule keeps, are not."""
    args = {"make": MLPRegressor, "solver": solver, "max_iter": 5, "tol": 0, "y": X[:, 0]}
    huge, made = X * np.float32(1.5e10), []
    with np.errstate(all="ignore"):
        for before in (False, True):
            nothing_known()
            if before:
                fitted(**args)
            made.append(fitted(x=huge, **args))
    assert_close(*map(weights, made), 0.0)
    assert [result(m) for m in made] == [("cupy graph", "equal to plain operations")] * 2
    assert len(proofs) == 2  # in the first of five epochs, and in the fit before


@pytest.mark.parametrize(("finite", "tier"), [(0.01, "cupy graph"), (0.0, "cupy generic")])
def test_a_proof_that_overflows_takes_smaller_steps_or_is_given_up(finite, tier, monkeypatch):
    plain, strides = proof.Proof._striding, []

    def striding(self, carry, plan, stride):
        strides.append(stride)
        plan = plain(self, carry, plan, stride)
        return plan if stride < finite else plan._replace(rate=plan.rate * np.float32(1e30))

    monkeypatch.setattr(proof.Proof, "_striding", striding)
    with np.errstate(all="ignore"):
        model = fitted(make=MLPRegressor, y=X[:, 0], solver="sgd")
    assert result(model)[0] == tier
    assert strides == [*proof.STRIDES]
    assert ("overflow on the numbers of the proof" in result(model)[1]) == (tier == "cupy generic")


# ---- What is wrong is caught

# name -> what kernels.cu says, what it says with the fault, and the fit that meets it
KERNELS = {
    "a derivative": ("return T(1) - v * v;", "return T(1) - v;", {"activation": "tanh"}),
    "a derivative of one in a hundred": (
        "case TANH: return T(1) - v * v;", "case TANH: return T(1.01) - v * v;",
        {"activation": "tanh"},
    ),
    "a moment": ("*u = *u * c + c1 * g;", "*u = *u * c + T(1.001) * c1 * g;", {}),
    "epsilon in the root": ("*u / (sqrt_(*v) + epsilon)", "*u / sqrt_(*v + epsilon)", {}),
    "no decoupled decay": ("if (weight && decoupled)", "if (false)", {"solver": "adamw"}),
    "a decay of offsets": ("if (weight && penalised)", "if (penalised)", {"alpha": 0.1}),
    "the rate of another step": ("rate = s->rate[t]", "rate = s->rate[k]", {}),
    "a dropout mask": (
        "(unsigned)key[1] + drop.word", "(unsigned)key[1]", {"dropout": 0.3},
    ),
    "the mask of another step": (
        "drop.s->key + (drop.s->t * gridDim.z + blockIdx.z) * 2", "drop.s->key + blockIdx.z * 2",
        {"dropout": 0.3},
    ),
    "a row of another step": ("s->rows[(s->t * gridDim.z + k) * N + first + i];",
                              "s->rows[k * N + first + i];", {}),
    "an eighth of a sum": (
        "for (int i = 1; i < 8 * W; ++i) total", "for (int i = 1; i < 7 * W; ++i) total",
        {"activation": "tanh", "batch_size": 30},
    ),
    "the loss": ("w * (log(sum) - dot)", "w * (log(sum) - dot) * T(1.0001)", {}),
    "the penalty": ("= T(0.5) * total;", "= total;", {"alpha": 0.1}),
    "NaN in one place": (
        "if (keep) store_pack(z", "if (i == n - 1) a.at[0] = T(NAN); if (keep) store_pack(z",
        {"activation": "tanh"},
    ),
    "NaN in a later step": (
        "T rate = s->rate[t],", "T rate = s->t == 3 ? T(NAN) : s->rate[t],", {},
    ),
    "a tail that is not stored": (
        "if (u) store_pack(u + at, a, n);", "if (u && n >= W) store_pack(u + at, a, n);", {},
    ),
    "a write past an array": (
        "store_pack(out + j, a, H - j);", "store_pack(out + j, a, H - j); out[H] = out[0];",
        {"activation": "tanh"},
    ),
    "no short copy of the weights": (
        "if (shadow) store_pack(shadow", "if (false) store_pack(shadow",
        {"matmul_precision": "medium"},
    ),
    "no code": ("s->t += 1;", "s->t += ;", {}),
    # Single steps never see it: they begin with 0.
    "a step that is counted twice and then no more": (
        "s->t += 1;", "s->t += s->t < 2;", {},
    ),
}  # fmt: skip


@pytest.fixture
def source(monkeypatch, tmp_path):
    """Put a fault into kernels.cu."""

    def put(old, new):
        text = kernels.source()
        assert old in text
        changed = tmp_path / "kernels.cu"
        changed.write_text(text.replace(old, new))
        monkeypatch.setattr(kernels, "SOURCE", changed)
        kernels._launcher.cache_clear()

    yield put
    kernels._launcher.cache_clear()


def assert_refused(words, remembered=True, **changes):
    """Both fits that meet a fault are the plain one to the last bit, and say why.

    remembered: whether only the first tried otherwise.
    """
    want = weights(fitted("generic", **changes))
    for n in range(2):
        model = fitted(**changes)
        assert_close(weights(model), want, 0.0)
        tier, why = result(model)
        assert tier == "cupy generic"
        assert words in why
        told = f"accelerate='auto' takes plain operations here: {why}"
        assert told in model.fit_report_["notes"]
        assert (model.fit_report_["proof"]["seconds"] > 0) == (n == 0 or not remembered)
    assert len(proof.REFUSED) == remembered
    return why


@standin_only
@pytest.mark.parametrize("name", KERNELS)
def test_a_fault_in_a_kernel_is_caught_and_the_fit_ends_as_plainly(name, source):
    old, new, changes = KERNELS[name]
    source(old, new)
    why = assert_refused("", **changes)
    assert "please report it to the authors of xpmlp, with what `xpmlp doctor` prints" in why


@pytest.mark.parametrize("what", ["a row", "a column", "a digit", "one member"])
def test_a_product_that_drops_something_is_caught(what, monkeypatch):
    plain = products.LtProducts.bind

    def bind(self, a, b, out, **more):
        right = plain(self, a, b, out, **more)
        if what == "a row" and a.transposed:  # x' d, without the last row of the batch
            less = (products.Matrix(m.array[:, :-1], m.transposed) for m in (a, b))
            return plain(self, *less, out, **more)

        def launch():
            right()
            if what == "a column":
                out[..., -1] = 0
            elif what == "a digit":
                out[...] = cupy.asarray(out.get().astype(np.float16).astype(out.dtype))
            elif what == "one member":
                out[-1] = 0

        return launch

    monkeypatch.setattr(products.LtProducts, "bind", bind)
    monkeypatch.setattr(graph.Player, "_capture", lambda self: None)
    monkeypatch.setattr(program.Part, "_fastest", lambda self, ways, *key: ways[0])
    if what == "one member":
        made = training(DEEP, n=40, K=3, loss="log_loss", dtype="float32")
        with counting() as counts:
            got = outcome(engine("auto"), made, fused=None)
        assert "is off by" in counts.proof["result"]
        assert_close(got, outcome(engine("generic"), made, fused=False), 0.0)
    else:
        assert_refused("is off by")


@pytest.mark.parametrize(
    ("steps", "held"),
    [(8, lambda ops: ops * 7), (8, lambda ops: ops + ops[1:] * 7), (1, lambda ops: ops[1:])],
)
def test_a_graph_that_holds_other_launches_is_caught(steps, held, monkeypatch):
    plain = graph.capture

    def capture(ops, n):
        return plain(held(ops), 1) if n == steps else plain(ops, n)

    monkeypatch.setattr(graph, "capture", capture)
    assert_refused("is off by")


# ---- What fails falls back


def test_a_capture_that_fails_leaves_launches_which_prove_themselves(monkeypatch):
    def refuse(*args):
        raise RuntimeError("cudaErrorStreamCaptureInvalidated: something went wrong")

    monkeypatch.setattr(graph, "capture", refuse)
    want = weights(fitted("generic"))
    for _ in range(2):
        model = fitted()
        assert result(model) == ("cupy eager", "equal to plain operations")
        (told,) = model.fit_report_["notes"]
        assert "no CUDA graph could be captured, so kernels are launched one by one" in told
        assert_close(weights(model), want, 5e-6)


OUT = cupy.cuda.memory.OutOfMemoryError
ERRORS = {
    "a program too large": (engine_module, "Program", OUT(512, 0, 256), "memory is too small"),
    "a proof too large": (proof, "copy_carry", OUT(512, 0, 256), "memory is too small"),
    "a kernel's launch": (
        graph.Player,
        "_launch",
        RuntimeError("CUDA_ERROR_LAUNCH_FAILED: unspecified"),
        "the CUDA graph failed (RuntimeError: CUDA_ERROR_LAUNCH_FAILED: unspecified)",
    ),
    "a bug of ours": (engine_module, "_choice", TypeError("no"), "failed (TypeError: no)"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_leaves_the_state_untouched_and_the_fit_goes_on_plainly(name, monkeypatch):
    place, attribute, error, words = ERRORS[name]

    def fail(*args, **options):
        raise error

    monkeypatch.setattr(place, attribute, fail)
    assert_refused(words, remembered=not isinstance(error, MemoryError))


def test_memory_that_was_short_is_forgotten_by_the_next_fit_and_not_within_one(monkeypatch):
    tries = []

    def fail(*args, **options):
        tries.append(args)
        raise OUT(512, 0, 256)

    for place, attribute in ((engine_module, "Program"), (proof, "drawn")):
        nothing_known()
        tries.clear()
        with monkeypatch.context() as patched:
            patched.setattr(place, attribute, fail)
            fitted(max_iter=1)
            once = len(tries)
            model = fitted(max_iter=5)
            assert len(tries) == 2 * once > 0
            assert result(model)[0] == "cupy generic"
        assert result(fitted()) == ("cupy graph", "equal to plain operations")


@standin_only
@pytest.mark.parametrize("K", [0, 3])
def test_with_whatever_memory_a_fit_ends_right(K):
    network = nn.Network([nn.Dropout(0.2), nn.Dense(40, "relu"), nn.Dense(30, "gelu"), nn.Dense(2)])
    options = {"alpha": 0.5, "epochs": 1, "rule": Adam(epsilon=1e-2)}
    made = training(network, n=600, D=5, K=K, batch_size=512, loss="binary_log_loss", **options)
    want, whole, tiers = oracle(made), peak("graph", made), set()
    for share in (4.0, 2.0, 1.5, 1.1, 0.8):
        nothing_known()
        gc.collect()
        with little(int(share * whole), "limit"), counting() as counts:
            got = outcome(engine("auto"), made, fused=None)
        assert_close(got, want, 1e-12)
        tiers.add(counts.tier)
        refused = [text for text in counts.notes if "takes plain operations" in text]
        assert len(refused) == (counts.tier == "generic")
        assert all("memory is too small" in text for text in refused)
    assert "graph" in tiers


def test_an_error_after_the_proof_in_the_first_chunk_leaves_the_state_untouched(monkeypatch):
    fitted()
    plain = graph.Player.__call__

    def fail(self, n):
        plain(self, n)
        raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")

    monkeypatch.setattr(graph.Player, "__call__", fail)
    assert_refused("CUDA_ERROR_ILLEGAL_ADDRESS", remembered=False)  # it was equal before


def test_an_error_after_a_proof_in_the_same_fit_is_what_the_report_says(monkeypatch):
    plain = program.Program.run

    def run(self, carry, data, plan, play, losses=None):
        if losses is None:  # no proof's
            raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")
        return plain(self, carry, data, plan, play, losses)

    monkeypatch.setattr(program.Program, "run", run)
    assert_refused("CUDA_ERROR_ILLEGAL_ADDRESS", remembered=False)


def test_an_error_in_a_later_chunk_is_told_for_the_state_is_lost(monkeypatch):
    made = training(DEEP, n=40, loss="log_loss")
    run, (carry, data, plans) = engine("auto").run(made.step), started(made)
    carry, _ = run(carry, data, plans[0])

    def fail(self, n):
        raise RuntimeError("CUDA_ERROR_ILLEGAL_ADDRESS")

    monkeypatch.setattr(graph.Player, "__call__", fail)
    with pytest.raises(RuntimeError, match="ILLEGAL_ADDRESS"):
        run(carry, data, plans[1])


def test_a_later_chunk_from_a_copied_state_goes_on_plainly_and_the_report_says_so(monkeypatch):
    """As after an epoch that diverged: it begins again from a copy."""
    made = training(DEEP, n=40, loss="log_loss", epochs=3)
    (carry, data, plans), tiers = started(made), []
    run = engine("auto").run(made.step)
    with counting() as counts:
        for i, plan in enumerate(plans):
            if i == 1:
                carry = copy_carry(carry, xp=XP)
                monkeypatch.setattr(graph.Player, "__call__", broken_launch)
            carry, _ = run(carry, data, plan)
            tiers.append(counts.tier)
            monkeypatch.undo()
    assert tiers == ["graph", "generic", "generic"]
    assert "CUDA_ERROR_LAUNCH_FAILED" in counts.proof["result"]
    got = {name: a.get() for name, a in carry.params.items()}
    assert_close(got, oracle(made)["params"], 1e-12)


def broken_launch(self, n):
    raise RuntimeError("CUDA_ERROR_LAUNCH_FAILED: unspecified")


def test_without_cublaslt_launches_prove_themselves_and_a_note_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(engine_module, "lt_here", lambda: None)
    model = fitted()
    assert result(model) == ("cupy eager", "equal to plain operations")
    (told,) = model.fit_report_["notes"]
    assert "kernels are launched one by one" in told
