import json
import sys
import time
from dataclasses import replace
from importlib.util import find_spec

import numpy as np
import pytest

from xpmlp import benchmarks
from xpmlp.benchmarks import CONTENDERS, Case, report
from xpmlp.benchmarks.peers import Contender, own
from xpmlp.benchmarks.worker import calls_for
from xpmlp.cli import main
from xpmlp.errors import DataError

MATPLOTLIB = pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")
SMALL = {
    "logistic": Case("a", (5, 4, 3), 6, "logistic", "squared_error", "sgd", rows=6, lr=0.5),
    "softmax": Case("b", (5, 8, 6, 3), 6, "relu", "log_loss", "adam", rows=6, lr=0.01),
    "identity": Case("c", (5, 8, 1), 6, "relu", "squared_error", "adam", rows=6, lr=0.01),
}


def contenders(kind):
    """The contenders that compute something, but for those that only hide a module."""
    wanted = [c for c in CONTENDERS if c.kind == kind and c.role != "bound" and not c.without]
    return [pytest.param(c, id=c.name) for c in wanted]


@pytest.fixture
def make(monkeypatch):
    """Make a contender's case ready, as its worker does."""
    monkeypatch.setattr(Case, "stretch", 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def make(contender, case, data):
        for name in contender.needs:
            module = pytest.importorskip(name)
            if name == "torch":  # compiling takes half a minute, and is not what may be wrong
                monkeypatch.setattr(module, "compile", lambda **options: lambda f: f)
        return contender.make(case, data)

    return make


def forward(case, weights, x):
    """The layers' inputs and the output, in float64."""
    acts = {"logistic": lambda z: 1 / (1 + np.exp(-z)), "relu": lambda z: np.maximum(z, 0)}
    layers = [x.astype(np.float64)]
    for i, (W, b) in enumerate(weights):
        name = case.activation if i < len(weights) - 1 else case.output
        layers.append(acts.get(name, lambda z: z)(layers[-1] @ W + b))
    return layers


def trained(case, data, steps):
    """The weights after steps on a batch, by the formulas, in float64."""
    slopes = {"logistic": lambda a: a * (1 - a), "relu": lambda a: a > 0, "identity": np.ones_like}
    weights = [[p.astype(np.float64) for p in layer] for layer in case.weights()]
    m, v = ([[np.zeros_like(p) for p in layer] for layer in weights] for _ in range(2))
    for t in range(1, steps + 1):
        *inputs, out = forward(case, weights, data[0])
        if case.loss == "log_loss":
            out = np.exp(out) / np.exp(out).sum(axis=1, keepdims=True)
        dz = (out - data[1]) / len(out)
        dz = dz * (1 if case.loss == "log_loss" else slopes[case.output](out))
        for i in reversed(range(len(weights))):
            grads = inputs[i].T @ dz, dz.sum(axis=0)
            dz = dz @ weights[i][0].T * slopes[case.activation](inputs[i])
            for k, g in enumerate(grads):
                if case.rule == "adam":
                    m[i][k] = 0.9 * m[i][k] + 0.1 * g
                    v[i][k] = 0.999 * v[i][k] + 0.001 * g * g
                    m_hat, v_hat = m[i][k] / (1 - 0.9**t), v[i][k] / (1 - 0.999**t)
                    g = m_hat / (np.sqrt(v_hat) + 1e-8)
                weights[i][k] -= case.lr * g
    return weights


def assert_same_weights(found, wanted):
    for layer, other in zip(found, wanted, strict=True):
        for p, q in zip(layer, other, strict=True):
            np.testing.assert_allclose(p, q, rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("contender", contenders("steps"))
def test_every_contender_takes_the_same_step(make, contender, name):
    case = SMALL[name]
    if (contender.group, name) == ("sklearn", "logistic"):
        pytest.skip("scikit-learn's regressor has no logistic output")
    data = case.data()
    ready = make(contender, case, data)
    calls = 1 if contender.group == "own" else 2  # ours repeats the rates of its first steps
    ready.run(calls)
    assert_same_weights(ready.outcome(), trained(case, data, calls * ready.units))


@pytest.mark.parametrize("name", ["logistic", "softmax"])
@pytest.mark.parametrize("contender", contenders("fits"))
def test_every_contender_fits_the_same_network(make, contender, name):
    if contender.group == "sklearn":
        pytest.skip("scikit-learn draws its own weights")
    case = replace(SMALL[name], batch=15, rows=15, epochs=2)  # one batch: no order of the rows
    data = case.data()
    ready = make(contender, case, data)
    ready.run(1)
    assert ready.units == 2
    assert_same_weights(ready.outcome(), trained(case, data, 2))


@pytest.mark.parametrize("contender", [c for c in contenders("fits") if c.values[0].needs])
def test_a_fit_takes_the_rows_that_are_left_over(make, contender):
    case = replace(SMALL["softmax"], rows=15, epochs=2)
    data = tuple(np.repeat(a[:1], 15, axis=0) for a in case.data())  # one row: no order
    ready = make(contender, case, data)
    ready.run(1)
    assert_same_weights(ready.outcome(), trained(case, data, 6))  # of 6, 6 and 3 rows


@pytest.mark.parametrize("name", ["softmax", "identity"])
@pytest.mark.parametrize("contender", contenders("predict"))
def test_every_contender_predicts_the_same(make, contender, name):
    case = replace(SMALL[name], rows=5000)
    data = case.data()
    if contender.make is own.predictor and not hasattr(own.MLPRegressor, "predictor"):
        pytest.skip("there is no predictor")
    out = forward(case, case.weights(), data[0])[-1]
    wanted = out.argmax(axis=1) if name == "softmax" else out[:, 0]
    found = make(contender, case, data).outcome()
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def record(name, role, seconds, case="planar", threads=1, **more):
    about = {"kind": "steps", "case": case, "threads": threads, "name": name, "role": role}
    return about | {"seconds": seconds, "peak_goal": None} | more


GIVEN = [
    record("xpmlp", "own", [1e-6, 2e-6, 4e-6]),
    record("slow", "peer", [4e-6, 8e-6, 8e-6]),
    record("quick", "peer", [2e-6, 2e-6, 2e-6]),
    record("broken", "peer", [1e-9], error="ImportError: no such thing"),
    record("matrix products alone", "bound", [1e-6, 1e-6, 1e-6]),
]


def test_a_ratio_is_taken_round_by_round_and_the_best_peer_has_the_least_median_time():
    by_name = {r["name"]: r for r in GIVEN}
    assert report.ratio(by_name["slow"], by_name["xpmlp"]) == (3.0, 4.0, 4.0)
    assert report.fastest(by_name, "peer")["name"] == "quick"
    text = report.table(GIVEN)
    assert "2.00 us  1.00*" in text and "8.00 us  4.00\n" in text
    assert "best peer / xpmlp                 1.00\n  quartiles                  0.75-1.50" in text
    assert "xpmlp / products alone            2.00" in text


def test_a_contender_that_failed_is_named_with_its_reason_and_left_out_of_the_ratios():
    by_name = {r["name"]: r for r in GIVEN}
    assert report.ratio(by_name["broken"], by_name["xpmlp"]) is None
    lines = report.table(GIVEN).splitlines()
    assert lines[-1] == "broken: ImportError: no such thing"
    assert next(line for line in lines if line.startswith("broken ")).endswith("failed")


def test_without_xpmlp_there_is_no_ratio():
    assert "/" not in report.table(GIVEN[1:3]).replace("xpmlp's", "")


def test_the_scikit_learn_row_compares_its_fastest_form_with_ours_without_numba():
    rows = [
        record("xpmlp without numba", "shown", [2e-6, 2e-6]),
        record("scikit-learn", "peer", [9e-6, 9e-6]),
        record("scikit-learn, stretches", "peer", [5e-6, 5e-6]),
    ]
    assert "scikit-learn / no numba           2.50" in report.table(rows)


def test_the_memory_of_fits_stands_beside_its_goal():
    (case,) = benchmarks.cases_of("fits", ["seed-mnist"])
    weights, activations = 784 * 30 + 30 + 30 * 10 + 10, 20 * (784 + 30 + 10)
    assert case.peak_goal == 4 * (60_000 * 794 + 6 * weights + 2 * activations)
    text = report.table([record("xpmlp", "own", [1.0], peak=3 * 2**20, peak_goal=2**20)])
    assert "  goal                             1.0\n  xpmlp                            3.0" in text


@pytest.mark.parametrize(
    "seconds, text",
    [(9.5e-7, "0.95 us"), (2.34e-5, "23.4 us"), (0.0123, "12.3 ms"), (1.5, "1.50 s")],
)
def test_a_duration_has_three_digits_and_a_unit(seconds, text):
    assert report.duration(seconds) == text


@MATPLOTLIB
def test_a_bar_ends_at_the_median_ratio(tmp_path):
    from matplotlib.figure import Figure

    axes = Figure().subplots()
    report.draw(axes, report.grouped(GIVEN)["steps", 1])
    tops = {b.get_label(): b[0].get_y() + b[0].get_height() for b in axes.containers}
    assert tops == pytest.approx({"slow": 4.0, "quick": 1.0, "matrix products alone": 0.5})
    path = tmp_path / "a.png"
    report.picture([*GIVEN, record("xpmlp", "own", [1.0], threads=2)], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_calls_of_a_timing_take_about_the_seconds_asked_for():
    ready = benchmarks.peers.Ready(lambda n: time.sleep(n * 1e-3), 1, None)
    assert 10 <= calls_for(ready, 0.05) <= 50  # a sleep is never shorter than asked for


def test_random_images_are_mostly_black_and_every_class_is_there():
    (case,) = benchmarks.cases_of("fits", ["medium"])
    x, y = replace(case, rows=1000).data()
    assert x.dtype == y.dtype == np.float32 and x.min() == 0 and x.max() == 1
    assert 0.75 < np.mean(x == 0) < 0.85
    assert y.shape == (1000, 10) and (y.sum(axis=1) == 1).all() and y.any(axis=0).all()


def test_images_of_another_shape_are_refused():
    (case,) = benchmarks.cases_of("fits", ["medium"], source="digits")
    with pytest.raises(DataError, match="digits holds 1797 rows of 64 .* 60000 of 784"):
        case.data()


@pytest.fixture(scope="module")
def measured():
    """Two rounds of small cases with real workers, one of which hides a module that it needs."""
    lame = Contender("lame", "steps", own.steps, without=("threadpoolctl",))
    absent = Contender("absent", "steps", own.steps, needs=("no_such_module",))
    names = ("xpmlp without numba", "matrix products alone")  # which compile nothing
    rivals = [c for c in CONTENDERS if c.kind == "steps" and c.name in names]
    many = replace(SMALL["logistic"], batch=20_000, rows=20_000)  # so that a stretch is 3 steps
    cases = [many, replace(SMALL["softmax"], source="no_such_file")]
    return benchmarks.measure(cases, [*rivals, lame, absent], 1, rounds=2, seconds=1e-3)


def test_workers_take_turns_and_hold_to_their_threads(measured):
    done = [r for r in measured if r["case"] == "a" and "error" not in r]
    assert [r["name"] for r in done] == ["xpmlp without numba", "matrix products alone"]
    for r in done:
        assert len(r["seconds"]) == 2 and all(s > 0 for s in r["seconds"])
        assert r["pools"] and all(pool["num_threads"] == 1 for pool in r["pools"])


def test_a_contender_that_cannot_start_or_fails_says_why(measured):
    reasons = {(r["case"], r["name"]): r["error"] for r in measured if "error" in r}
    assert reasons["a", "absent"] == "no_such_module is not installed"
    assert "its process ended with 1" in reasons["a", "lame"]
    assert "threadpoolctl" in reasons["a", "lame"]
    assert "no_such_file does not exist" in reasons["b", "xpmlp without numba"]


def test_a_fit_says_what_memory_it_took():
    rivals = [c for c in CONTENDERS if c.kind == "fits" and c.name == "xpmlp without numba"]
    case = replace(SMALL["softmax"], rows=200_000, batch=50_000, epochs=1)
    (found,) = benchmarks.measure([case], rivals, 1, rounds=1)
    data = case.peak_goal - 4 * 2 * case.batch * sum(case.sizes)
    if sys.platform == "linux":
        assert 0.9 * data < found["peak"] < 20 * data
    else:
        assert found["peak"] is None


@pytest.fixture
def bench(capsys):
    def bench(*arguments):
        with pytest.raises(SystemExit) as exit:
            main(["bench", *map(str, arguments)])
        return exit.value.code, *capsys.readouterr()

    return bench


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["stepz"], "'stepz' is not one of 'steps', 'fits', 'predict', 'import'"),
        (["--cells", "planar,flat"], "'flat' is none of planar, single"),
        (["--peers", "sklearn,"], "'' is none of sklearn, torch, jax, onnx, bound"),
        (["--threads", "0"], "'0' is none of 1"),
        (["--threads", "1000"], "'1000' is none of 1"),
        (["--rounds", "0"], "0 is not in the range x>=1"),
        (["--json", "no/folder.json"], "No such file or directory"),
        (["--redraw", "no.json"], "No such file or directory"),
    ],
)
def test_bad_options_are_one_sentence(bench, arguments, said):
    code, out, err = bench(*arguments)
    assert code == 2 and said in err and out == ""


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"results": 3}'])
def test_a_file_that_is_no_record_is_refused(bench, tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    code, _, err = bench("--redraw", tmp_path / "a.json")
    assert code == 3 and "a.json is no JSON of `xpmlp bench`" in err


def test_the_list_names_every_case_and_contender(bench):
    code, out, _ = bench("--list")
    assert code == 0
    for kind, cases in benchmarks.KINDS.items():
        assert all(f"  {case.name} " in out for case in cases) and f"{kind}:" in out
    assert all(f"  {c.name} " in out for c in CONTENDERS)


@MATPLOTLIB
def test_a_run_writes_json_that_is_shown_again(bench, tmp_path):
    file, picture = tmp_path / "a.json", tmp_path / "a.png"
    options = "--cells planar --threads 1 --peers bound --rounds 1 --quick".split()
    code, out, _ = bench("steps", "import", *options, "--json", file)
    assert code == 0 and "import xpmlp: 0." in out
    found = json.loads(file.read_text())
    assert found["machine"]["versions"]["numpy"] == np.__version__
    assert {r["case"] for r in found["results"]} == {"planar"} and found["import"] > 0
    code, again, _ = bench("--redraw", file, "--picture", picture)
    assert code == 0 and again.strip() in out and picture.stat().st_size > 1000
