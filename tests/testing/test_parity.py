"""The parity suite must find what is wrong with a library, and name it: faults are planted."""

import io
import json
import subprocess
import sys
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
import pytest

from xpmlp import MLPClassifier, MLPRegressor, nn
from xpmlp.arrays import location_of
from xpmlp.cli import main
from xpmlp.engines import engine_for
from xpmlp.errors import DeviceError
from xpmlp.nn.activations import ACTIVATIONS
from xpmlp.nn.initializers import INITIALIZERS
from xpmlp.nn.losses import LOSSES
from xpmlp.nn.network import LAYERS
from xpmlp.optim import RULES
from xpmlp.testing import assert_same_trajectory, check_parity, plugin
from xpmlp.testing.backends import choose, find
from xpmlp.testing.parity import Report, Row, compare, run_operation, run_parity
from xpmlp.testing.parity.compare import EQUAL, Operation, norm, ulp
from xpmlp.testing.parity.operations import operations

pytest_plugins = ["pytester"]
STRICT = "array_api_strict:device1"
OPERATIONS = list(operations())
TOLD = "raised {} (on NumPy in longdouble, to compare with): "


def first(dtype, library=STRICT):
    """The first failure: (operation, problem)."""
    backend = find(library)
    rows = (row for op in OPERATIONS for row in run_operation(op, backend, dtype))
    return next(((row.operation, row.problem) for row in rows if row.problem), None)


# ---- What it runs


def test_every_row_of_every_registry_is_an_operation():
    names = [op.name for op in OPERATIONS]
    kinds = {
        "activation": ACTIVATIONS,
        "loss": LOSSES,
        "layer": LAYERS,
        "initializer": INITIALIZERS,
        "update rule": RULES,
    }
    rows = {f"{kind} {name}" for kind, rows in kinds.items() for name in rows}
    others = {"random bits", "MLPClassifier, 8 steps", "MLPRegressor, 8 steps"}
    assert rows | others <= set(names) and len(names) == len(set(names))


@pytest.mark.parametrize("name", ["numpy", STRICT, "array_api_strict:no_float64"])
def test_these_libraries_pass(name):
    made = run_parity(name)
    assert made.ok, str(made)
    assert len(made.rows) > 80 * len(find(name).floats)


@pytest.mark.parametrize("xp", ["torch", "cupy"], indirect=True)
def test_other_libraries_that_are_installed_pass(xp):
    made = run_parity(xp.name)
    assert made.ok, str(made)


# ---- Planted faults: found, and named


def rounded(bits):
    """Factors of products in fewer bits, as a matrix unit takes them."""

    def shorter(x):
        significand, exponent = np.frexp(x._array)
        a = np.ldexp(np.round(significand * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1), exponent)
        return like(x, a.astype(x._array.dtype))

    return lambda product: lambda a, b: product(shorter(a), shorter(b))


def like(x, a):
    return type(x)._new(a, device=x.device)


def then(change):
    """What a function returns, changed."""
    return lambda f: lambda *args, **options: change(f(*args, **options))


def single(x):
    return like(x, x._array.astype(np.float32).astype(x._array.dtype))


def cpu(x):
    return x.to_device(type(x.device)("CPU_DEVICE"))


def off_by_one(take):
    return lambda x, rows, axis: take(x, (rows + 1) % x.shape[axis], axis=axis)


# of array_api_strict: function -> what takes its place, dtype, the operation named, what is said
FAULTS = {
    "matmul in TF32": (
        "@", rounded(10), "float32",
        "product of 128 x 128: precision", "products keep 10 of 23 bits, as TF32 does",
    ),
    "matmul in bfloat16": (
        "@", rounded(7), "float32",
        "product of 128 x 128: precision", "products keep 7 of 23 bits, as bfloat16 does",
    ),
    "matmul in float32": (
        "@", rounded(23), "float64",
        "product of 128 x 128: precision", "products keep 23 of 52 bits, as float32 does",
    ),
    "sum in float32": (
        "sum", then(single), "float64", "sum of 300 terms: sum", "as large as float32's rounding",
    ),
    "exp by float32": (
        "exp", then(single), "float64",
        "activation logistic: forward", "as large as float32's rounding",
    ),
    "sign of tanh": (
        "tanh", then(lambda x: -x), "float64",
        "activation tanh: forward", "bound 8: the sign is flipped",
    ),
    "tanh is poor": (
        "tanh", then(lambda x: x * (1 + 1e-13)), "float64",
        "activation tanh: forward", "ulp, bound 8",
    ),
    "NaN": (
        "maximum", then(lambda x: x * float("nan")), "float32",
        "activation relu: forward", "holds NaN or infinity",
    ),
    "rows off by one": (
        "take", off_by_one, "float32", "rows of a batch: rows", "960 of its numbers differ",
    ),
    "store in another order": (
        "concat", lambda f: lambda parts, axis: f(parts[::-1], axis=axis), "float32",
        "parameters side by side: store", "56 of its numbers differ",
    ),
    "root": (
        "sqrt", then(lambda x: x * (1 + 1e-12)), "float64",
        "layer BatchNorm: forward", "eps, bound",
    ),
    "labels": (
        "argmax", then(lambda x: x * 0), "float32",
        "MLPClassifier, 8 steps: predict", "of its numbers differ",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_function_of_a_library_is_found_and_the_operation_named(fault, monkeypatch):
    import array_api_strict as xs

    name, faulty, dtype, operation, said = FAULTS[fault]
    owner, name = (type(xs.ones(1)), "__matmul__") if name == "@" else (xs, name)
    monkeypatch.setattr(owner, name, faulty(getattr(owner, name)))
    found, problem = first(dtype)
    assert found == operation and said in problem
    assert ("float32's rounding" in problem) == ("float32's rounding" in said)


MISPLACED = {
    "device is CPU_DEVICE, expected device1": cpu,
    "dtype is float64, expected float32": lambda x: like(x, x._array.astype(np.float64)),
    "shape is (24, 1), expected (24, 40)": lambda x: x[:, :1],
    "library is numpy, expected array_api_strict; device is cpu, expected device1": (
        lambda x: x._array
    ),
}


@pytest.mark.parametrize("said", MISPLACED)
def test_a_result_in_another_library_place_dtype_or_shape_is_told(said):
    change = lambda x: MISPLACED[said](x) if location_of(x).library == "array_api_strict" else x
    own = nn.ActivationFunction(
        "own", lambda z, xp: change(xp.tanh(z)), lambda da, z, a, xp: 1.0 * da
    )
    row = check_parity(own, STRICT).failures[-1]
    assert row[0] == "activation own: forward" and row.dtype == "float32" and row.problem == said


def plant_kernel(monkeypatch, name, faulty):
    """Replace one kernel of the strict library's engine only."""

    def engine_of(x):
        engine = engine_for(x)
        if location_of(x).library != "array_api_strict":
            return engine
        kernel = getattr(engine.kernels, name)
        return engine._replace(kernels=engine.kernels._replace(**{name: faulty(kernel)}))

    monkeypatch.setattr(compare, "engine_for", engine_of)


def rolled(kernel):
    return lambda *args, xp: xp.roll(kernel(*args, xp=xp), 1, axis=-1)


def test_a_wrong_sign_in_one_librarys_kernel_is_named(monkeypatch):
    plant_kernel(monkeypatch, "dense_backward", then(lambda made: (made[0], -made[1], made[2])))
    assert first("float32")[0] == "layer Dense: updates"
    assert first("float32", "numpy") is None


def test_a_dropout_mask_off_by_one_is_named(monkeypatch):
    plant_kernel(monkeypatch, "random_bits", rolled)
    assert first("float32")[0] == "random bits: bits"


# ---- The bounds


def test_bounds_are_in_units_that_do_not_depend_on_the_dtype():
    for dtype in ("float32", "float64"):
        info = np.finfo(dtype)
        want = np.asarray([1.0, 2.0], np.longdouble)
        got = want + np.asarray([3.0, 0.0], np.longdouble) * info.eps
        assert ulp(4.0).error(got, want, info) == 3.0
        assert norm(4).error(got, want, info) == pytest.approx(3.0 / 5.0**0.5)
        assert EQUAL.error(want.astype(dtype), want, info) == 0
    assert norm(9, passes=4).bound == 10.0


def test_the_oracle_is_wider_than_what_it_judges():
    seen = []
    note = lambda place, x: seen.append(str(x.dtype)) or {"y": x}
    op = Operation("op", (np.ones(2),), note, {"y": EQUAL})
    for dtype in ("float32", "float64"):
        run_operation(op, find("numpy"), dtype)
    assert seen == ["float64", "float32", str(np.dtype("longdouble")), "float64"]


# ---- Libraries by name


@pytest.mark.parametrize(
    "name",
    ["no_such_library", "os", "torch:no_such_device", "numpy:cuda", "numpy:", "", "../x", "a b", 3],
)
def test_a_library_that_does_not_work_is_refused_in_one_sentence(name):
    with pytest.raises(
        DeviceError, match="does not work|a library is named as numpy, or"
    ) as caught:
        find(name)
    assert "\n" not in str(caught.value)


def test_a_named_library_that_does_not_work_fails_and_one_that_is_only_installed_does_not(
    monkeypatch,
):
    asked = run_parity("no_such_library", OPERATIONS[:1])
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
    fault: str = ""

    def init(self, n_in, stream, x=None):
        params = {"s": stream.normal(size=(1, n_in))}
        return params if self.fault == "init" else (params, n_in)

    def forward(self, params, x, ctx):
        if self.fault == "writes":
            x *= 2.0
        y = x * params["s"]
        faulty = {"alone": y, "number": (1.0, (x,)), "nan": (y * float("nan"), (x,))}
        return faulty.get(self.fault, (y, (x,)))

    def backward(self, params, dy, cache, ctx):
        (x,) = cache
        if self.fault == "method":
            return dy * params["s"], {"s": (dy * x).sum(axis=-2, keepdims=True)}
        ds = ctx.xp.sum(dy * x, axis=-2, keepdims=True)
        return dy * params["s"], {} if self.fault == "missing" else {"s": ds}


def test_a_layer_of_ones_own_is_checked_and_its_fault_said():
    assert check_parity(Scale(), ["numpy", STRICT]).ok
    made = check_parity(Scale("method"), ["numpy", STRICT])
    assert {row.library for row in made.failures} == {STRICT}
    assert "has no attribute 'sum'" in str(made) and "layer Scale" in made._repr_html_()
    assert "(in backward: return dy * params" in str(made)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("writes", TOLD.format("ValueError") + "output array is read-only (in forward: x *= 2.0)"),
        ("alone", TOLD.format("TypeError") + "forward must return (y, cache), got a ndarray"),
        ("missing", TOLD.format("ValueError") + "backward returned updates of [], expected ['s']"),
        ("number", "is a float, expected an array"),
        ("nan", "holds NaN or infinity, or NumPy's result does"),
    ],
)
def test_a_layer_that_breaks_the_contract_is_told_what_it_did(fault, said):
    made = check_parity(Scale(fault), "numpy")
    assert made.failures[0].operation == "layer Scale: forward"
    assert made.failures[0].problem.replace(str(np.dtype("longdouble")), "longdouble") == said
    assert json.loads(made.json())["rows"][0]["error"] is None  # JSON has neither NaN nor infinity


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
    said = [row.problem for row in check_parity(own, "numpy").failures]
    assert all(TOLD.format("TypeError") in text for text in said)
    assert len(said) == 2 and "(in <lambda>:" in said[0]


def test_what_is_no_layer_is_refused():
    with pytest.raises(TypeError, match="check_parity takes a layer.*got 'relu'"):
        check_parity("relu")
    with pytest.raises(TypeError, match="init must return .params, n_out., got a dict"):
        check_parity(Scale("init"))


# ---- The same training everywhere


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 10))
    return X, np.argmax(X @ rng.normal(size=(10, 4)), axis=1)


def estimator(kind=MLPClassifier, **changes):
    options = {
        "hidden_layer_sizes": (16,),
        "dropout": 0.2,
        "batch_size": 20,
        "max_iter": 20,
        "n_iter_no_change": np.inf,
        "random_state": 0,
    }
    return kind(**options | changes)


# JAX, which compiles for seconds, in one dtype.
@pytest.mark.parametrize(
    ("xp", "dtype"), [("numpy", "float32"), ("torch", None), ("jax", "float32")], indirect=["xp"]
)
def test_200_steps_with_dropout_take_one_course_on_every_library(xp, dtype, task):
    made = assert_same_trajectory(estimator(dtype=dtype), *task, xp.name)
    names = ("initial weights", "rows of the batches", "dropout masks", "loss curve", "weights")
    assert [row.operation for row in made.rows[:5]] == [
        f"MLPClassifier, 200 steps: {name}" for name in names
    ]
    assert [row.dtype for row in made.rows[::5]] == ([dtype] if dtype else [*xp.floats])
    assert all(row.bound < 200 for row in made.rows)  # eps


@pytest.mark.parametrize(
    "est",
    [
        estimator(max_iter=2, batch_size=33),
        estimator(max_iter=2, early_stopping=True),
        estimator(MLPRegressor, max_iter=2, solver="sgd"),
    ],
    ids=["uneven batches", "early stopping", "regressor"],
)
def test_other_trainings_take_one_course_too(est, task):
    assert assert_same_trajectory(est, *task, ["numpy", STRICT]).ok


def test_text_for_labels_takes_the_same_course(task):
    X, y = task
    labels = np.asarray(["iris", "lily", "rose", "tulip"])[y]
    assert assert_same_trajectory(estimator(max_iter=2), X, labels, STRICT).ok


def test_another_course_other_masks_or_a_library_that_does_not_work_are_found(task, monkeypatch):
    import array_api_strict as xs

    est = estimator(max_iter=1, dtype="float32")
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="loss curve: .*bound"):
        patch.setattr(xs, "maximum", then(lambda x: x * 1.0001)(xs.maximum))
        assert_same_trajectory(est, *task, STRICT)
    with monkeypatch.context() as patch, pytest.raises(AssertionError, match="masks: .* differ"):
        plant_kernel(patch, "random_bits", rolled)
        assert_same_trajectory(est, *task, STRICT)
    with pytest.raises(AssertionError, match="has no float64: use float32"):
        assert_same_trajectory(estimator(dtype="float64"), *task, "array_api_strict:no_float64")
    with pytest.raises(AssertionError, match="no_such_library does not work"):
        assert_same_trajectory(est, *task, "no_such_library")


@pytest.mark.parametrize(
    ("est", "said"),
    [
        (estimator(random_state=None), "random_state=None: pass an integer"),
        (estimator(solver="lbfgs"), "solver='lbfgs' draws neither batches nor masks"),
        ("relu", "takes an estimator of xpmlp, got 'relu'"),
    ],
)
def test_what_has_no_course_to_compare_is_refused(est, said, task):
    with pytest.raises((TypeError, ValueError), match=said):
        assert_same_trajectory(est, *task)


@pytest.mark.parametrize("xp", ["jax"], indirect=True)
def test_float32_on_jax_leaves_float64_as_the_user_has_set_it(xp):
    with xp.computing_in("float64"), xp.computing_in("float32"):
        assert str(xp.xp.ones(1).dtype) == "float64"
    with xp.computing_in("float32"):
        assert str(xp.xp.ones(1).dtype) == "float32"


# ---- The report, the command, the plugin


def test_the_command_writes_all_reports_and_its_exit_code_says_pass_or_fail(tmp_path, capsys):
    paths = {kind: str(tmp_path / f"r.{kind}") for kind in ("html", "json", "junit")}
    options = [part for kind, path in paths.items() for part in (f"--{kind}", path)]
    with pytest.raises(SystemExit) as exit_:
        main(["parity", "--xp", "numpy", "--xp", "no_such_library", *options])
    assert exit_.value.code == 1
    out, err = capsys.readouterr()
    assert not err  # no terminal, no bar
    assert "FAILED no_such_library - library works: no_such_library does not work" in out
    assert "BLAS and threads:" in out and "products: full precision" in out
    made = json.loads((tmp_path / "r.json").read_text())
    assert made["ok"] is False and made["first_failure"][0] == "library works"
    assert {"error", "bound", "unit", "problem"} <= set(made["rows"][0])
    suite = ElementTree.parse(paths["junit"]).getroot()
    assert suite.get("failures") == "1" and int(suite.get("tests")) == len(made["rows"])
    html = (tmp_path / "r.html").read_text()
    assert html.count("activation tanh: forward") == 1 and "no_such_library" in html


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_command_shows_on_a_terminal_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(SystemExit) as exit_:
        main(["parity", "--xp", "numpy"])
    assert exit_.value.code == 0
    assert "op/s" in sys.stderr.getvalue()
    assert "op/s" not in capsys.readouterr().out


def test_the_command_refuses_a_path_before_it_runs(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["parity", "--html", str(tmp_path / "no" / "r.html")])
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert not out and "there is no folder" in err


def test_a_report_of_nothing_is_no_success():
    assert not Report([]).ok and "nothing ran" in str(Report([])) and Report([]).html()


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest in an empty folder, with these options."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # loading others takes seconds
    return lambda *options: pytester.runpytest_inprocess("-p", "xpmlp.testing.plugin", *options)


@pytest.fixture
def suite(run):
    """Run the suite there, with these options."""
    return lambda *options: run("--pyargs", "xpmlp.testing.parity", *options)


def test_pytest_runs_the_suite_from_any_folder_and_reports(suite, pytester):
    done = suite("--xp", "numpy", "--xp-require", STRICT, "--xp-report", "out.json", "-k", "sum")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*4 of 4 passed*", "*4 of 4 passed*", "report: out.json"])
    made = json.loads((pytester.path / "out.json").read_text())
    assert [lib["library"] for lib in made["libraries"]] == ["numpy", STRICT]
    assert [row["dtype"] for row in made["rows"][:4]] == ["float64"] * 2 + ["float32"] * 2


def test_rows_travel_from_workers_and_to_junit(suite, pytester):
    done = suite("--xp", "numpy", "-k", "sum", "-p", "xdist", "-n", "1", "--junitxml", "out.xml")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*4 of 4 passed*"])
    assert "sum of 300 terms: product" in (pytester.path / "out.xml").read_text()


def test_rows_are_reported_in_the_order_of_the_tests_however_they_come_in(pytester):
    gatherer = plugin._Gatherer(None)
    for number in (2, 0, 1):
        row = json.dumps([number, *Row(f"op {number}", "numpy", "float32", 0.0, 1.0, "ulp")])
        gatherer.pytest_runtest_logreport(
            type("Made", (), {"user_properties": [(plugin.ROW, row)]})
        )
    written = []
    writer = type("Writer", (), {"section": written.append, "write_line": written.append})
    gatherer.pytest_terminal_summary(writer)
    assert sorted(gatherer.rows) == [(0, 0), (1, 0), (2, 0)] and "3 results" in written[1]


@pytest.mark.parametrize("selected", ["sum", ""])
def test_a_library_that_was_asked_for_and_does_not_work_fails_whatever_is_selected(suite, selected):
    done = suite("--xp", "os", "--xp", "numpy", "-k", selected or "product", "-q")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["FAILED os - library works: os does not work here*"])


def test_names_that_are_none_fail_with_a_sentence(suite, monkeypatch):
    monkeypatch.setenv("XPMLP_BACKENDS", "numpy:")
    done = suite("-k", "sum", "-q")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*a library is named as numpy, or with a device*got 'numpy:'"])


def test_the_plugin_refuses_a_path_before_it_runs(suite, tmp_path):
    said = {
        tmp_path / "no/out.json": "No such file or directory",
        tmp_path / ".json": "must end in .json or .html",
        tmp_path / "out.txt": "must end in .json or .html",
        "": "must end in .json or .html",
        tmp_path / "folder.json": "Is a directory",
    }
    (tmp_path / "folder.json").mkdir()
    for path, text in said.items():
        options = {"--xp-report": str(path), "--xp-against": None}
        config = type("Config", (), {"getoption": options.get})
        with pytest.raises(pytest.UsageError, match=f"--xp-report {path}: .*{text}"):
            plugin.pytest_configure(config)
    done = suite("--xp-report", "out.txt")
    assert done.ret == 4
    done.stderr.fnmatch_lines(["*--xp-report out.txt: its name must end in .json or .html"])


def test_the_plugin_keeps_quiet_in_other_suites_and_says_if_there_is_nothing_to_report(
    run, pytester
):
    pytester.makepyfile("def test_mine(): pass")
    assert "parity" not in run().stdout.str()
    run("--xp-report", "out.json").stdout.fnmatch_lines(["*out.json: no parity test has run"])


def test_the_plugin_loads_no_library():
    code = "import sys, xpmlp.testing.plugin; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"array_api_compat", "sklearn", "scipy", "torch", "jax", "click", "tqdm"}
    assert not heavy & set(out.stdout.split())
