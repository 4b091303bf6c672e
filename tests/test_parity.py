"""The parity suite must find what is wrong with a library, and name it: faults are planted."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
import pytest

from xpmlp import MLPClassifier, nn
from xpmlp.arrays import home
from xpmlp.cli import main
from xpmlp.engines import engine_for
from xpmlp.errors import DeviceError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS
from xpmlp.nn.layers import LAYERS
from xpmlp.nn.losses import LOSSES
from xpmlp.optim import RULES
from xpmlp.testing import assert_same_trajectory, check_parity
from xpmlp.testing.backends import Backend, choose, find
from xpmlp.testing.parity import Report, compare, run_parity, trajectory
from xpmlp.testing.parity.compare import Equal, Norm, Operation, Ulp, run_operation
from xpmlp.testing.parity.operations import operations

STRICT = "array_api_strict:device1"
OPERATIONS = list(operations())


def report(backend, dtype="float32"):
    return Report([row for op in operations() for row in run_operation(op, backend, dtype)])


def first(backend, dtype="float32"):
    """The first failure, as (operation, problem)."""
    row = report(backend, dtype).failures[0]
    return row.operation, row.problem


# ---- What it runs


def test_every_row_of_every_registry_is_an_operation():
    names = {op.name for op in OPERATIONS}
    kinds = {
        "activation": ACTIVATIONS, "loss": LOSSES, "layer": LAYERS, "initializer": INITIALIZERS,
        "update rule": RULES,
    }  # fmt: skip
    assert {f"{kind} {name}" for kind, rows in kinds.items() for name in rows} <= names
    assert {"random bits", "training of 5 steps", "estimator MLPClassifier"} <= names
    assert len(names) == len(OPERATIONS)


@pytest.mark.parametrize("name", ["numpy", STRICT, "array_api_strict:no_float64"])
def test_these_libraries_pass(name):
    made = run_parity([name])
    assert made.ok, str(made)
    assert len(made.rows) > 80 * len(find(name).floats)


@pytest.mark.parametrize("xp", ["torch", "cupy"], indirect=True)
def test_other_libraries_that_are_installed_pass(xp):
    for dtype in xp.floats:
        made = report(xp, dtype)
        assert made.ok, str(made)


# ---- Planted faults: found, and named


@dataclass(frozen=True)
class Rounding(Backend):
    """A library that rounds what it is given to a few bits, as a matrix unit does."""

    bits: int = 23

    def call(self, f, *args):
        def rounded(x):
            a = self.host(x)
            if a.dtype.kind != "f":
                return x
            significand, exponent = np.frexp(a)
            unit = 2.0 ** (self.bits + 1)
            return self.asarray(np.ldexp(np.round(significand * unit) / unit, exponent), a.dtype)

        return f(*map(rounded, args))


def rounding(bits):
    like = find("array_api_strict")
    return Rounding(like.name, like.like, like.floats, bits=bits)


@pytest.mark.parametrize(
    ("dtype", "bits", "problem"),
    [
        ("float64", 23, "products keep 23 of 52 bits, as float32 does"),
        ("float32", 10, "products keep 10 of 23 bits, as TF32 does"),
        ("float32", 7, "products keep 7 of 23 bits, as bfloat16 does"),
    ],
)
def test_a_library_that_computes_in_fewer_bits_is_found_and_the_format_named(dtype, bits, problem):
    made = report(rounding(bits), dtype)
    assert made.failures[0][:1] + made.failures[0][-1:] == (
        "product of 128 x 128: precision", problem,
    )  # fmt: skip
    assert problem in made.libraries[0]["products"]
    sums = [row for row in made.failures if row.operation.startswith("sum of")]
    assert len(sums) == 2
    if dtype == "float64":
        assert all("float32's rounding" in row.problem for row in sums)


def plant_kernel(monkeypatch, name, faulty):
    """Replace one kernel of the strict library's engine only."""

    def engine_of(x):
        engine = engine_for(x)
        if home(x).library != "array_api_strict":
            return engine
        kernel = getattr(engine.kernels, name)
        return engine._replace(kernels=engine.kernels._replace(**{name: faulty(kernel)}))

    monkeypatch.setattr(compare, "engine_for", engine_of)
    monkeypatch.setattr(trajectory, "engine_for", engine_of)


def negated(kernel):
    def faulty(*args, **kwargs):
        dx, dW, db = kernel(*args, **kwargs)
        return dx, -dW, db

    return faulty


def rolled(kernel):
    return lambda *args, xp: xp.roll(kernel(*args, xp=xp), 1, axis=-1)


def test_a_wrong_sign_in_one_librarys_kernel_is_named(monkeypatch):
    plant_kernel(monkeypatch, "dense_backward", negated)
    made = report(find(STRICT))
    assert made.failures[0].operation == "layer Dense: updates"
    assert not any(row.operation.startswith(("activation", "loss")) for row in made.failures)
    assert report(find("numpy")).ok


def test_a_dropout_mask_off_by_one_is_named(monkeypatch):
    plant_kernel(monkeypatch, "random_bits", rolled)
    assert first(find(STRICT))[0] == "random bits: bits"


def plant_activation(monkeypatch, name, forward):
    """Replace an activation's forward pass on the strict library only."""
    row = ACTIVATIONS[name]

    def planted(z, xp):
        a = row.forward(z, xp)
        return forward(a, xp) if home(z).library == "array_api_strict" else a

    monkeypatch.setitem(ACTIVATIONS, name, row._replace(forward=planted))


def elsewhere(a, xp):
    cpu = xp.Device("CPU_DEVICE")
    return xp.ones(a.shape, dtype=a.dtype, device=cpu)


FAULTS = {
    "device": (elsewhere, "device is CPU_DEVICE, expected device1"),
    "dtype": (lambda a, xp: xp.astype(a, xp.float64), "dtype is float64, expected float32"),
    "shape": (lambda a, xp: a[:, :1], "shape is (24, 1), expected (24, 40)"),
    "library": (lambda a, xp: np.ones(a.shape, np.float32), "library is numpy, expected array_api"),
    "sign": (lambda a, xp: -a, "the sign is flipped"),
    "nan": (lambda a, xp: a * float("nan"), "nan ulp, bound 8"),
    "error": (lambda a, xp: np.exp(a), "raised "),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_result_that_is_wrong_in_kind_or_value_is_named_with_what_is_wrong(fault, monkeypatch):
    faulty, problem = FAULTS[fault]
    plant_activation(monkeypatch, "softplus", faulty)
    operation, said = first(find(STRICT))
    assert operation == "activation softplus: forward"
    assert problem in said


# ---- The bounds


def test_bounds_are_in_units_that_do_not_depend_on_the_dtype():
    for dtype in ("float32", "float64"):
        info = np.finfo(dtype)
        want = np.asarray([1.0, 2.0], np.longdouble)
        got = want + np.asarray([3.0, 0.0], np.longdouble) * info.eps
        assert Ulp(4.0).error(got, want, info) == 3.0
        assert Norm(4).error(got, want, info) == pytest.approx(3.0 / 5.0**0.5)
        assert Equal().error(want.astype(dtype), want, info) == 0
    assert Norm(9, passes=4).bound == 10.0


def test_the_oracle_is_wider_than_what_it_judges():
    seen = []
    op = Operation("op", (np.ones(2),), lambda p, x: seen.append(str(x.dtype)) or {"y": x},
                   {"y": Equal()})  # fmt: skip
    for dtype in ("float32", "float64"):
        run_operation(op, find("numpy"), dtype)
    assert seen == ["float64", "float32", str(np.dtype("longdouble")), "float64"]


# ---- Libraries by name


@pytest.mark.parametrize("name", ["no_such_library", "os", "torch:no_such_device", "numpy:cuda"])
def test_a_library_that_does_not_work_is_refused_in_one_sentence(name):
    with pytest.raises(DeviceError, match=r"does not work") as caught:
        find(name)
    assert "\n" not in str(caught.value)


def test_a_named_library_that_does_not_work_fails_and_one_that_is_only_installed_does_not(
    monkeypatch,
):
    asked = run_parity(["no_such_library"], [])
    assert not asked.ok and asked.failures[0].operation == "library works"
    monkeypatch.setattr("xpmlp.testing.backends.LIBRARIES", ("numpy", "os"))
    working, broken, left_out = choose()
    assert [b.name for b in working] == ["numpy"] and not broken and [*left_out] == ["os"]
    assert [*choose(required=["os"])[1]] == ["os"]
    monkeypatch.setenv("XPMLP_BACKENDS", "numpy, os")
    working, broken, left_out = choose()
    assert [*broken] == ["os"] and not left_out


def test_float64_on_a_device_without_it_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match="has no float64: use float32"):
        find("array_api_strict:no_float64").asarray([1.0])


# ---- A layer or an activation of one's own


@dataclass(frozen=True)
class Scale(nn.Layer):
    wrong: bool = False

    def init(self, n_in, stream, x=None):
        return {"s": stream.normal(size=(1, n_in))}, n_in

    def forward(self, params, x, ctx):
        return x * params["s"], (x,)

    def backward(self, params, dy, cache, ctx):
        (x,) = cache
        if self.wrong:
            return dy * params["s"], {"s": (dy * x).sum(axis=-2, keepdims=True)}
        return dy * params["s"], {"s": ctx.xp.sum(dy * x, axis=-2, keepdims=True)}


def test_a_layer_of_ones_own_is_checked_and_its_fault_said():
    assert check_parity(Scale(), ["numpy", STRICT]).ok
    made = check_parity(Scale(wrong=True), ["numpy", STRICT])
    assert {row.library for row in made.failures} == {STRICT}
    assert "has no attribute 'sum'" in str(made) and "layer Scale" in made._repr_html_()
    assert "(in backward: return dy * params" in str(made)


def test_an_activation_a_loss_and_a_network_of_ones_own_are_checked():
    square = nn.ActivationFunction("square", lambda z, xp: z * z, lambda da, z, a, xp: 2.0 * da * z)
    network = nn.Network([Scale(), nn.Dense(3, square)])
    for subject in (square, nn.losses.LOSSES["poisson"], network):
        made = check_parity(subject, ["numpy", STRICT])
        assert made.ok, str(made)


@pytest.mark.skipif(np.finfo(np.longdouble).nmant == 52, reason="longdouble is float64 here")
def test_code_that_cannot_be_measured_in_a_wider_float_is_told_from_a_library_that_fails():
    from scipy.special import ndtr

    own = nn.ActivationFunction("cdf", lambda z, xp: ndtr(z), lambda da, z, a, xp: da)
    said = [row.problem for row in check_parity(own, ["numpy"]).failures]
    assert all(
        "raised TypeError (on NumPy in longdouble, to compare with)" in text for text in said
    )
    assert len(said) == 2 and "(in <lambda>:" in said[0]


def test_what_is_no_layer_is_refused():
    with pytest.raises(TypeError, match="check_parity takes a layer.*got 'relu'"):
        check_parity("relu")


# ---- The same training everywhere


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 10))
    return X, np.argmax(X @ rng.normal(size=(10, 4)), axis=1)


def estimator(**changes):
    options = {
        "hidden_layer_sizes": (16,), "dropout": 0.2, "batch_size": 20, "max_iter": 20,
        "n_iter_no_change": np.inf, "random_state": 0,
    }  # fmt: skip
    return MLPClassifier(**options | changes)


def others(dtype):
    """Strict, and what else is installed; JAX, which compiles for seconds, in one dtype."""
    working = choose(("torch:cpu", "jax:cpu")[: 2 if dtype == "float32" else 1])[0]
    return [STRICT, *(backend.name for backend in working)]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_200_steps_with_dropout_take_one_course_on_every_library(task, dtype):
    made = assert_same_trajectory(estimator(dtype=dtype), *task, others(dtype))
    assert (made.n_steps, made.n_masks, made.dtype) == (200, 200, dtype)
    assert made.bound < 200 * np.finfo(dtype).eps
    assert [course.library for course in made.courses] == others(dtype)
    assert f"200 steps in {dtype}" in str(made)


def test_other_masks_another_course_or_a_library_that_does_not_work_are_found(task, monkeypatch):
    with pytest.raises(AssertionError, match="on .*strict.* the loss curve parts from NumPy's by"):
        plant_activation(monkeypatch, "relu", lambda a, xp: a * 1.0001)
        assert_same_trajectory(estimator(max_iter=1, dtype="float32"), *task, [STRICT])
    monkeypatch.undo()
    with pytest.raises(AssertionError, match="on .*strict.* dropout masks differ.*number 0"):
        plant_kernel(monkeypatch, "random_bits", rolled)
        assert_same_trajectory(estimator(max_iter=1), *task, [STRICT])
    with pytest.raises(AssertionError, match="no_such_library does not work"):
        assert_same_trajectory(estimator(), *task, ["no_such_library"])


def test_a_seed_is_needed_to_compare_trainings(task):
    with pytest.raises(ValueError, match="random_state=None: pass an integer"):
        assert_same_trajectory(estimator(random_state=None), *task)


# ---- The report, the command, the plugin


def test_the_command_writes_all_reports_and_its_exit_code_says_pass_or_fail(tmp_path, capsys):
    paths = {kind: str(tmp_path / f"r.{kind}") for kind in ("html", "json", "junit")}
    options = [part for kind, path in paths.items() for part in (f"--{kind}", path)]
    with pytest.raises(SystemExit) as exit_:
        main(["parity", "--xp", "numpy", "--xp", "no_such_library", *options])
    assert exit_.value.code == 1
    out = capsys.readouterr().out
    assert "FAILED no_such_library - library works: no_such_library does not work" in out
    assert "BLAS and threads:" in out and "products: full precision" in out
    made = json.loads((tmp_path / "r.json").read_text())
    assert made["ok"] is False and made["first_failure"][0] == "library works"
    assert {"error", "bound", "unit", "passed"} <= set(made["rows"][0])
    suites = ElementTree.parse(paths["junit"]).getroot()
    assert [suite.get("failures") for suite in suites] == ["1", "0"]
    html = (tmp_path / "r.html").read_text()
    assert html.count("activation tanh: forward") == 1 and "no_such_library" in html
    with pytest.raises(SystemExit) as exit_:
        main(["parity", "--xp", "numpy"])
    assert exit_.value.code == 0
    with pytest.raises(SystemExit) as exit_:
        main(["parity", "--xp", "numpy:"])
    assert exit_.value.code == 2


def suite(folder, *options, **variables):
    command = [sys.executable, "-m", "pytest", "--pyargs", "xpmlp.testing.parity", "-q", *options]
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    return subprocess.run(
        [*command, "-p", "xpmlp.testing.plugin"], cwd=folder, capture_output=True, text=True,
        env=clean | variables,
    )  # fmt: skip


def test_pytest_runs_the_suite_from_any_folder_on_workers_and_reports(tmp_path):
    done = suite(
        tmp_path, "--xp", "numpy", "--xp-require", STRICT, "--xp", "os", "-k", "works or sum",
        "--xp-report", "out.json", "--junitxml", "out.xml", "-n", "2",
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED os - library works: os does not work here" in done.stdout
    made = json.loads((tmp_path / "out.json").read_text())
    assert not made["ok"] and [lib["passed"] for lib in made["libraries"]] == [
        "5 of 5", "5 of 5", "0 of 1",
    ]  # fmt: skip
    assert "sum of 300 terms: product" in (tmp_path / "out.xml").read_text()


def test_the_plugin_refuses_what_it_cannot_write_and_names_that_are_none(tmp_path):
    done = suite(tmp_path, "--xp-report", "no/out.json")
    assert done.returncode == 4 and "a folder that exists" in done.stderr
    done = suite(tmp_path, XPMLP_BACKENDS="numpy:")
    assert done.returncode != 0 and "LIBRARY:DEVICE, got 'numpy:'" in done.stdout


def test_the_plugin_loads_no_library_and_keeps_quiet_in_other_suites(tmp_path):
    (tmp_path / "test_mine.py").write_text(
        "import sys\n\n\ndef test_mine():\n"
        "    heavy = {'array_api_compat', 'sklearn', 'scipy', 'torch', 'jax', 'click'}\n"
        "    assert 'xpmlp.testing.plugin' in sys.modules and not heavy & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "xpmlp.testing.plugin", "-p", "no:hypothesis"],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "parity" not in done.stdout, done.stdout
