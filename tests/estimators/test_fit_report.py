"""What a training reports: the device and why, what passed there; and the options that go with it.

array_api_strict's "device1" stands for a device: what lies there is not in the host's memory.
"""

import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest
from conftest import find
from sklearn.base import clone

import xpmlp
from xpmlp import MLPClassifier, MLPRegressor, arrays, load_model, nn, train
from xpmlp.arrays import from_host, to_host
from xpmlp.cli import main
from xpmlp.engines import ACCELERATIONS, engine_for
from xpmlp.engines.native.library import library
from xpmlp.errors import DeviceError, DeviceMemoryError, DivergenceError
from xpmlp.transfers import counting, note

X = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
Y = X[:, 0] - X[:, 1]
ARGS = {"hidden_layer_sizes": (6,), "batch_size": 10, "random_state": 0}
KEYS = {
    "device", "why", "engine", "matmul_precision", "dtype", "bytes_to_device", "bytes_to_host",
    "host_reads", "launches", "notes", "seconds", "seed", "versions", "proof",
}  # fmt: skip
# Rows and weights of 10 a step, its key of two, and four numbers, each of four bytes.
PLAN = 4 * 4 * (10 + 10 + 2 + 4)


@pytest.fixture
def elsewhere():
    pytest.importorskip("array_api_strict", reason="its devices stand for a card")
    return find("array_api_strict:device1")


def fitted(x, y=Y, epochs=2, **changes):
    est = MLPRegressor(**ARGS | changes)
    with pytest.warns(UserWarning, match="Maximum iterations"):
        return est.set_params(max_iter=epochs).fit(x, y)


# ---- Counting


def test_copies_to_a_device_and_reads_of_it_are_counted_and_those_in_the_host_are_not(elsewhere):
    with counting() as counts:
        for backend in (elsewhere, find("numpy"), find("array_api_strict")):
            x = from_host(X, backend.like)
            to_host(x[:3, ...])
    assert (counts.bytes_to_device, counts.bytes_to_host, counts.host_reads) == (640, 48, 1)
    assert (counts.launches, counts.notes) == (None, [])


def test_a_block_and_a_thread_count_for_themselves(elsewhere):
    with counting() as outer:
        note(launches=2, text="first")
        with counting() as inner:
            from_host(X, elsewhere.like)
            note(launches=3)
            thread = threading.Thread(target=lambda: note(launches=100, text="not seen"))
            thread.start()
            thread.join()
        note(launches=1, text="first")
    assert (outer.launches, outer.bytes_to_device, outer.notes) == (3, 0, ["first"])
    assert (inner.launches, inner.bytes_to_device, inner.notes) == (3, 640, [])
    note(launches=1, text="nobody counts")
    assert outer.launches == inner.launches == 3


# ---- fit_report_


def test_a_fit_on_the_host_reports_that_nothing_passed():
    report = fitted(X, matmul_precision="high").fit_report_
    assert set(report) == KEYS
    assert 0 < report.pop("seconds") < 60
    assert report.pop("why").startswith("The data are in main memory, ")
    assert report.pop("versions") == {"xpmlp": xpmlp.__version__, "numpy": np.__version__}
    assert report == {
        "device": "cpu",
        "engine": "numpy" if isinstance(library(), str) else "numpy compiled",
        "matmul_precision": "high",
        "dtype": "float32",
        "bytes_to_device": 0,
        "bytes_to_host": 0,
        "host_reads": 0,
        "launches": None,
        "seed": 0,
        "proof": None,
        "notes": [
            "matmul_precision='high' changes nothing: numpy on cpu computes products as exactly as "
            "float32 here"
        ],
    }


def test_an_epoch_sends_its_plan_and_reads_its_losses_once(elsewhere):
    x = elsewhere.asarray(X)
    two, three = (fitted(x, epochs=n).fit_report_ for n in (2, 3))
    assert (two["device"], two["engine"]) == ("device1", "generic")
    assert two["why"] == "X is an array of array_api_strict on device1."
    added = {k: three[k] - two[k] for k in ("bytes_to_device", "bytes_to_host", "host_reads")}
    # Four steps' losses and penalties, and the sums of weights and offsets.
    assert added == {"bytes_to_device": PLAN, "bytes_to_host": 4 * (2 * 4 + 2), "host_reads": 1}


def test_partial_fit_reports_its_own_call_and_leaves_the_rules_state_on_the_device(elsewhere):
    x = elsewhere.asarray(X)
    est = MLPRegressor(**ARGS)
    reports = [est.partial_fit(x, Y).fit_report_ for _ in range(3)]
    n_weights = sum(to_host(a).size for a in (*est.coefs_, *est.intercepts_))
    assert reports[0]["bytes_to_device"] == PLAN + 4 * (n_weights + len(Y))
    for report in reports[1:]:
        assert report["bytes_to_device"] == PLAN + 4 * len(Y)  # no weights, and Adam's no state
        assert report["bytes_to_host"] == 4 * (2 * 4 + 2) + 1  # and whether X is finite


def test_a_failed_fit_leaves_the_report_of_the_one_before():
    est = fitted(X)
    before = est.fit_report_
    est.set_params(solver="sgd", learning_rate_init=1e30)
    with np.errstate(all="ignore"), pytest.raises(DivergenceError):
        est.fit(X, Y)
    assert est.fit_report_ is before


def test_a_report_is_pickled_and_not_kept_in_model_files(tmp_path):
    est = fitted(X)
    assert pickle.loads(pickle.dumps(est)).fit_report_ == est.fit_report_
    est.save(tmp_path / "model.safetensors")
    assert not hasattr(load_model(tmp_path / "model.safetensors"), "fit_report_")


def test_train_reports_too(elsewhere):
    network, x = nn.Network([nn.Dense(6, "relu"), nn.Dense(1)]), elsewhere.asarray(X)
    trained = train(network, x, elsewhere.asarray(Y[:, None]), max_iter=1, batch_size=10)
    assert set(trained.report) == KEYS
    assert trained.report["host_reads"] == 3  # X is finite, y is finite, the losses
    assert trained.report["bytes_to_device"] == PLAN + 4 * (4 * 6 + 6 + 6 + 1)


# ---- Why


@pytest.mark.parametrize(
    ("driver", "card", "cupy", "words"),
    [
        (None, True, True, "and this machine trains on its CPU."),
        ("13.0", False, True, "and there is no CUDA GPU here."),
        ("12.8", True, False, 'and CuPy is not installed (pip install "xpmlp[cuda12]").'),
        ("13.0", True, False, 'and CuPy is not installed (pip install "xpmlp[cuda13]").'),
        ("13.0", True, True, "and stay there: the fit takes 2.22 kFLOP a step and"),
    ],
)
def test_why_host_arrays_stay_on_the_cpu_names_the_first_thing_that_is_missing(
    driver, card, cupy, words, monkeypatch
):
    monkeypatch.setattr(arrays, "cuda_driver", lambda: driver)
    monkeypatch.setattr(arrays, "glob", lambda pattern: [pattern] * card)
    monkeypatch.setattr(arrays, "find_spec", lambda name: cupy or None)
    monkeypatch.setattr(arrays.os, "name", "posix")
    arrays.no_card.cache_clear()
    try:
        assert fitted(X).fit_report_["why"].startswith(f"The data are in main memory, {words}")
    finally:
        arrays.no_card.cache_clear()


def test_a_device_that_was_asked_for_is_why():
    assert fitted(X, device="cpu").fit_report_["why"] == "device='cpu' was asked for."


def test_verbose_tells_the_device_before_the_first_epoch_unless_it_was_asked_for(capsys):
    fitted(X, verbose=True)
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith("Training on cpu: The data are in main memory, ")
    assert second.startswith("Iteration 1")
    fitted(X, verbose=True, device="cpu")
    fitted(X, device="auto")
    assert "Training on" not in capsys.readouterr().out
    est = MLPRegressor(**ARGS, verbose=True)
    for _ in range(3):
        est.partial_fit(X, Y)
    assert capsys.readouterr().out.count("Training on") == 1


# ---- Engines: what they tell, and the arrays they keep


def reusing(x, tells=""):
    """An engine that returns the same buffers from each run, and spoils them before the next."""
    generic = engine_for(x)
    kept: dict = {}

    def run_of(step):
        inner = generic.run(step)

        def run(carry, data, plan):
            note(launches=7, text=tells)
            carry, losses = inner(carry._replace(**copied(carry)), data, plan)
            for old in arrays_in(kept):
                old[...] = np.nan
            kept.update(copied(carry))
            return carry._replace(**kept), losses

        return run

    return generic._replace(name="reusing", run=run_of)


def copied(carry):
    copy = lambda value: (
        {k: copy(v) for k, v in value.items()} if isinstance(value, dict) else value.copy()
    )
    return {name: copy(value) for name, value in carry._asdict().items()}


def arrays_in(value):
    return [a for v in value.values() for a in arrays_in(v)] if isinstance(value, dict) else [value]


def test_what_a_fit_returns_outlives_the_engines_next_run(monkeypatch):
    want = MLPRegressor(**ARGS)
    for _ in range(3):
        want.partial_fit(X, Y)
    engine = reusing(X)
    monkeypatch.setattr("xpmlp.training.fit.engine_for", lambda *args: engine)
    est, other = MLPRegressor(**ARGS), MLPRegressor(**ARGS | {"random_state": 1})
    for _ in range(3):
        est.partial_fit(X, Y)
        other.partial_fit(X, -Y)  # the engine's buffers hold another's weights and state
    for a, b in zip((*est.coefs_, *est.intercepts_), (*want.coefs_, *want.intercepts_)):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_what_an_engine_tells_stands_in_the_report_and_is_printed_with_verbose(monkeypatch, capsys):
    engine = reusing(X, "products are not as asked.")
    monkeypatch.setattr("xpmlp.training.fit.engine_for", lambda *args: engine)
    report = fitted(X, epochs=2, verbose=True).fit_report_
    assert report["launches"] == 7  # both epochs are one run
    assert report["notes"] == ["products are not as asked."]
    assert capsys.readouterr().out.count("Note: products are not as asked.") == 1


# ---- accelerate and deterministic


@pytest.mark.parametrize("accelerate", ["fast", None, 1, "Graph"])
def test_an_unknown_acceleration_is_refused_in_one_sentence_that_names_the_known(accelerate):
    with pytest.raises(ValueError, match="accelerate must be one of auto, generic, eager, graph"):
        train(nn.Network([nn.Dense(1)]), X, Y[:, None], accelerate=accelerate)
    for kind in (MLPClassifier, MLPRegressor):
        with pytest.raises(ValueError, match="'accelerate' parameter .* must be a str among"):
            kind(accelerate=accelerate).fit(X, X[:, 0] > 0)


def test_deterministic_must_be_a_bool():
    with pytest.raises(ValueError, match="'deterministic' parameter .* must be an instance of"):
        MLPRegressor(deterministic="yes").fit(X, Y)


@pytest.mark.parametrize("name", ["numpy", "array_api_strict", "torch:cpu"])
def test_without_a_card_they_change_nothing(name):
    pytest.importorskip(name.partition(":")[0])
    x = find(name).asarray(X)
    plain = fitted(x)
    others = [a for a in ACCELERATIONS if (name, a) != ("numpy", "generic")]
    for options in (*({"accelerate": a} for a in others), {"deterministic": True}):
        est = fitted(x, **options)
        assert all(np.array_equal(to_host(a), to_host(b)) for a, b in zip(est.coefs_, plain.coefs_))


def test_kernels_asked_for_without_a_card_stand_in_the_notes_and_so_do_products():
    plain = fitted(X, accelerate="generic").fit_report_["notes"]
    for solver in ("adam", "lbfgs"):
        asked = {"accelerate": "graph", "matmul_precision": "medium", "solver": solver}
        assert fitted(X.astype(float), **asked).fit_report_["notes"] == [
            "accelerate='graph' changes nothing: its kernels do not run on numpy arrays on cpu",
            "matmul_precision='medium' changes nothing: float64 is never shortened, pass "
            "dtype='float32'",
        ]
    assert plain == fitted(X).fit_report_["notes"] == []


def test_generic_on_numpy_arrays_is_the_plain_text():
    est = fitted(X, accelerate="generic")
    assert est.fit_report_["engine"] == "numpy"
    for a, b in zip(est.coefs_, fitted(find("array_api_strict").asarray(X)).coefs_):
        assert np.array_equal(a, to_host(b))


def test_a_model_file_and_a_clone_keep_them(tmp_path):
    est = fitted(X, accelerate="graph", deterministic=True)
    est.save(tmp_path / "model.safetensors")
    for other in (load_model(tmp_path / "model.safetensors"), clone(est)):
        assert (other.accelerate, other.deterministic) == ("graph", True)


def test_a_card_without_memory_is_a_device_error_and_a_memory_error():
    assert issubclass(DeviceMemoryError, DeviceError) and issubclass(DeviceMemoryError, MemoryError)


def test_the_command_line_knows_them_and_hands_them_on(tmp_path):
    path = str(tmp_path / "model.safetensors")
    given = ("--matmul-precision", "medium", "--accelerate", "eager", "--deterministic")
    with pytest.raises(SystemExit, match="0"):
        main(["train", "sine", "--epochs", "1", "--quiet", "--out", path, *given])
    model = load_model(path)
    asked = model.matmul_precision, model.accelerate, model.deterministic
    assert asked == ("medium", "eager", True)


@pytest.mark.parametrize(("users", "found"), [(None, "1"), ("0", "0")])
def test_cupy_is_imported_with_precompiled_headers_unless_the_user_says_otherwise(
    tmp_path, users, found
):
    """It looks at the variable when it is imported."""
    (tmp_path / "cupy.py").write_text("import os\nSEEN = os.environ['CUPY_NVRTC_USE_PCH']\n")
    code = "from xpmlp.arrays import imported; print(imported('cupy').SEEN)"
    environment = {k: v for k, v in os.environ.items() if k != "CUPY_NVRTC_USE_PCH"}
    environment |= {} if users is None else {"CUPY_NVRTC_USE_PCH": users}
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment | {"PYTHONPATH": path},
    )
    assert done.stdout.strip() == found, done.stderr


class NoDriver:
    """What CuPy does without a driver."""

    def __init__(self, index):
        self.cuda = type("cuda", (), {"Device": NoDriver, "is_available": lambda: False})

    def __enter__(self):
        raise RuntimeError("cudaErrorInsufficientDriver: CUDA driver version is insufficient")

    def __exit__(self, *error):
        pass


DOCTOR = "; `xpmlp doctor` says what to install"
OLD = "cupy does not work on 'cuda:0' here: cudaErrorInsufficientDriver: CUDA driver version"


@pytest.mark.parametrize(
    ("driver", "card", "cupy", "words", "helps"),
    [
        (None, False, True, "no NVIDIA GPU is seen here", ""),
        ("13.0", False, False, "no NVIDIA GPU is seen here", ""),
        ("12.8", True, False, 'CuPy is not installed (pip install "xpmlp[cuda12]")', DOCTOR),
        ("11.4", True, True, OLD + " is insufficient", DOCTOR),
    ],
)
def test_a_gpu_that_cannot_be_used_is_told_with_what_is_missing(
    driver, card, cupy, words, helps, monkeypatch
):
    monkeypatch.setattr(arrays, "imported", NoDriver)
    monkeypatch.setattr(arrays, "cuda_driver", lambda: driver)
    monkeypatch.setattr(arrays, "glob", lambda pattern: [pattern] * card)
    monkeypatch.setattr(arrays, "find_spec", lambda name: cupy or None)
    monkeypatch.setattr(arrays.os, "name", "posix")
    with pytest.raises(DeviceError) as told:
        MLPRegressor(device="cuda").fit(X, Y)
    remedy = f"{helps}; device='cpu' runs without a GPU."
    assert str(told.value) == f"device='cuda' does not work: {words}{remedy}"
    est = fitted(X)
    with pytest.raises(DeviceError) as told:
        est.to("cuda")
    stays = "to('cuda') does not work, so the model stays on cpu"
    assert str(told.value) == f"{stays}: {words}{helps}."


def test_a_device_in_capitals_is_told_with_the_one_that_is_meant_by_any_library():
    torch = pytest.importorskip("torch", reason="an array library with names of its own")
    with pytest.raises(ValueError, match="for arrays of torch, got 'CPU': did you mean 'cpu'"):
        fitted(torch.asarray(X)).to("CPU")


@pytest.mark.parametrize(
    "said, meant",
    [
        ({"device": "CPU"}, "'CPU': did you mean 'cpu'?"),
        ({"device": "gpu"}, "'gpu': did you mean 'cuda'?"),
        ({"device": "cda"}, "'cda': did you mean 'cuda'?"),
        ({"dtype": "float23"}, "'float23': did you mean 'float32'?"),
        ({"init": "he"}, "'he': did you mean 'he_uniform' or 'he_normal'?"),
    ],
)
def test_a_mistyped_word_is_told_with_the_one_that_is_meant(said, meant):
    with pytest.raises(ValueError) as told:
        MLPRegressor(**said).fit(X, Y)
    assert str(told.value).endswith(f"got {meant}")
