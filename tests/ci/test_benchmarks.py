import itertools
import json
import os
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from xpmlp.errors import DataError, DeviceError

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
from ci import benchmarks  # noqa: E402
from ci.benchmarks import CONTENDERS, Case, report  # noqa: E402
from ci.benchmarks.__main__ import main  # noqa: E402
from ci.benchmarks.peers import Contender, jax_cuda, own, torch_cuda  # noqa: E402
from ci.benchmarks.worker import calls_for  # noqa: E402

MATPLOTLIB = pytest.mark.skipif(not find_spec("matplotlib"), reason="needs matplotlib")
SMALL = {
    "logistic": Case("a", (5, 4, 3), 6, "logistic", "squared_error", "sgd", rows=6, lr=0.5),
    "softmax": Case("b", (5, 8, 6, 3), 6, "relu", "log_loss", "adam", rows=6, lr=0.01),
    "identity": Case("c", (5, 8, 1), 6, "relu", "squared_error", "adam", rows=6, lr=0.01),
}


def contenders(kind, device="cpu"):
    """The contenders that compute something, but for those that only hide a module."""
    wanted = [c for c in CONTENDERS if (c.kind, c.device) == (kind, device)]
    wanted = [c for c in wanted if c.role != "bound" and not c.without]
    return [pytest.param(c, id=c.name) for c in wanted]


@pytest.fixture
def make(monkeypatch):
    """Make a contender's case ready, as its worker does; those of a card on the CPU."""
    monkeypatch.setattr(Case, "stretch", 3)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    undo = []

    def make(contender, case, data):
        on_card = contender.device == "cuda"
        for name in {*contender.needs} - {"cupy"}:
            module = pytest.importorskip(name)
            if name == "torch":  # compiling takes half a minute, and is not what may be wrong
                monkeypatch.setattr(module, "compile", lambda **options: lambda f: f)
                undo.append((module, module.get_float32_matmul_precision()))
        return contender.make(case, data, **({"device": "cpu"} if on_card else {}))

    yield make
    for torch, precision in undo:
        torch.set_float32_matmul_precision(precision)


def forward(case, weights, x):
    """The layers' inputs and the output, in float64."""
    acts = {"logistic": lambda z: 1 / (1 + np.exp(-z)), "relu": lambda z: np.maximum(z, 0)}
    layers = [x.astype(np.float64)]
    for i, (W, b) in enumerate(weights):
        name = case.activation if i < len(weights) - 1 else case.output
        layers.append(acts.get(name, lambda z: z)(layers[-1] @ W + b))
    return layers


def trained(case, data, steps, order=None):
    """The weights after steps on a batch or on the rows of an order, by formulas in float64."""
    slopes = {"logistic": lambda a: a * (1 - a), "relu": lambda a: a > 0, "identity": np.ones_like}
    weights = [[p.astype(np.float64) for p in layer] for layer in case.weights()]
    m, v = ([[np.zeros_like(p) for p in layer] for layer in weights] for _ in range(2))
    for t in range(1, steps + 1):
        x, y = data if order is None else (a[order[(t - 1) % len(order)]] for a in data)
        *inputs, out = forward(case, weights, x)
        if case.loss == "log_loss":
            out = np.exp(out) / np.exp(out).sum(axis=1, keepdims=True)
        dz = (out - y) / len(out)
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


def assert_same_weights(found, wanted, rtol=1e-4, atol=2e-5):
    for layer, other in zip(found, wanted, strict=True):
        for p, q in zip(layer, other, strict=True):
            np.testing.assert_allclose(p, q, rtol, atol)


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


def calls_of_an_epoch(ready, case):
    assert case.n_steps % ready.units == 0
    return case.n_steps // ready.units


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("contender", contenders("steps", "cuda"))
def test_every_contender_on_a_card_takes_the_batches_of_the_order(make, contender, name):
    case = replace(SMALL[name], rows=50)  # 8 batches, and 2 rows that are left out
    data = case.data()
    ready = make(contender, case, data)
    epochs = 1 if contender.group == "own" else 2  # ours repeats the rates of its first steps
    ready.run(epochs * calls_of_an_epoch(ready, case))
    assert_same_weights(ready.outcome(), trained(case, data, 8 * epochs, case.order()))


@pytest.mark.parametrize(
    "contender", [c for c in contenders("steps", "cuda") if c.values[0].group != "own"]
)
def test_products_in_bfloat16_train_parameters_in_float32(make, contender):
    case = replace(SMALL["softmax"], rows=50, precision="medium", rule="sgd", lr=0.1)
    data = case.data()
    ready = make(contender, case, data)
    ready.run(calls_of_an_epoch(ready, case))
    found, wanted = ready.outcome(), trained(case, data, 8, case.order())
    assert {p.dtype.name for layer in found for p in layer} == {"float32"}
    moved = max(abs(p - q).max() for layer in zip(wanted, case.weights()) for p, q in zip(*layer))
    assert_same_weights(found, wanted, 0, moved / 50)
    with pytest.raises(AssertionError):  # it was bfloat16
        assert_same_weights(found, wanted, 0, moved / 10_000)


@pytest.mark.parametrize(
    "precision, jax_says, dtype, torch_says",
    [
        ("highest", "HIGHEST", "f32", "highest"),
        ("high", "HIGH", "f32", "high"),
        ("medium", "DEFAULT", "bf16", "high"),
    ],
)
def test_every_product_is_as_short_as_the_case_says(make, precision, jax_says, dtype, torch_says):
    jax = pytest.importorskip("jax")
    case = replace(SMALL["softmax"], precision=precision)
    x, y, step = jax_cuda._parts(case, case.data(), "cpu")
    lowered = jax.jit(step).lower(jax_cuda.start(case), x, y, np.arange(6)).as_text()
    products = [line for line in lowered.splitlines() if "dot_general" in line]
    assert len(products) >= 3 + 3 + 2
    for line in products:
        assert re.search(rf"\(tensor<\w+x{dtype}>, tensor<\w+x{dtype}>\) -> tensor<\w+xf32>", line)
        assert f"precision = [{jax_says}, {jax_says}]" in line
    torch = pytest.importorskip("torch")
    make(
        *[c.values[0] for c in contenders("steps", "cuda") if c.id == "torch graph"],
        case,
        case.data(),
    )
    assert torch.get_float32_matmul_precision() == torch_says


@pytest.mark.gpu
@pytest.mark.parametrize("contender", contenders("steps", "cuda"))
def test_on_a_real_card_too(contender, monkeypatch):
    try:
        benchmarks.card()
    except DeviceError as error:
        pytest.skip(str(error))
    if contender.slow:
        pytest.skip("compiling takes half a minute")
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # other tests need the card too
    for name in contender.needs:
        pytest.importorskip(name)
    case = replace(SMALL["softmax"], rows=50)
    data = case.data()
    ready = contender.make(case, data)
    calls = calls_of_an_epoch(ready, case)
    assert (ready.timer(lambda: ready.run(calls)) is None) == (contender.group == "jax")
    assert_same_weights(ready.outcome(), trained(case, data, 8, case.order()))


@pytest.fixture
def fake_cuda(monkeypatch):
    """torch.cuda's streams and graphs, which note what is asked of them; the list of notes."""
    cuda, said = pytest.importorskip("torch").cuda, []

    class Stream:
        def wait_stream(self, other):
            said.append("wait")

    @contextmanager
    def doing(what):
        said.append(what)
        yield
        said.append("end")

    fakes = {
        "Stream": Stream,
        "current_stream": Stream,
        "stream": lambda stream: doing("warm up"),
        "CUDAGraph": lambda: SimpleNamespace(replay="replay"),
        "graph": lambda graph: doing("hold"),
    }
    for name, fake in fakes.items():
        monkeypatch.setattr(cuda, name, fake)
    return said


def test_a_step_is_captured_after_a_warm_up_beside_and_starts_with_the_first_weights(fake_cuda):
    case = replace(SMALL["softmax"], rows=50)
    loop = torch_cuda.Loop(case, case.data(), "cpu")
    loop.device = "another"
    step, restart = torch_cuda._capturable(loop)

    def noted(x, y):
        fake_cuda.append(int(loop.place))
        step(x, y)

    launch = torch_cuda._launched(loop, noted, restart, at_once=2)
    two = [1, 2]
    assert fake_cuda[:10] == ["wait", "warm up", *two, *two, *two, "end", "wait"]
    assert fake_cuda[10] == "hold" and fake_cuda[-1] == "end" and len(fake_cuda) == 14
    assert launch == "replay"
    assert_same_weights(torch_cuda.trained(loop.model), case.weights(), 0, 0)
    step(*loop.take(loop.order[0]))  # Adam's moments and its count are those of the start
    assert_same_weights(torch_cuda.trained(loop.model), trained(case, case.data(), 1, case.order()))


def test_an_epoch_of_launches_begins_at_the_first_batch():
    pytest.importorskip("torch")
    loop = torch_cuda.Loop(replace(SMALL["softmax"], rows=50), SMALL["softmax"].data(), "cpu")
    places = []
    call = torch_cuda._from_the_start(
        loop, lambda: places.append(int(loop.place)) or loop.place.add_(4), at_once=4
    )
    for _ in range(5):
        call()
    assert places == [0, 4, 0, 4, 0]


@pytest.mark.parametrize("name", ["logistic", "softmax"])
@pytest.mark.parametrize("contender", [*contenders("fits"), *contenders("fits", "cuda")])
def test_every_contender_fits_the_same_network(make, contender, name):
    if contender.group == "sklearn":
        pytest.skip("scikit-learn draws its own weights")
    case = replace(SMALL[name], batch=15, rows=15, epochs=2)  # one batch: no order of the rows
    data = case.data()
    ready = make(contender, case, data)
    ready.run(1)
    assert ready.units == 2
    assert_same_weights(ready.outcome(), trained(case, data, 2))


@pytest.mark.parametrize(
    "contender",
    [
        c
        for c in (*contenders("fits"), *contenders("fits", "cuda"))
        if c.values[0].group not in ("sklearn", "own")
    ],
)
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


def test_the_scikit_learn_row_compares_its_fastest_form_with_ours_not_compiled():
    rows = [
        record("xpmlp, not compiled", "shown", [2e-6, 2e-6]),
        record("scikit-learn", "peer", [9e-6, 9e-6]),
        record("scikit-learn, stretches", "peer", [5e-6, 5e-6]),
    ]
    assert re.search(r"scikit-learn / not compiled +2\.50", report.table(rows))


ON_CARD = {"device": "cuda", "precision": "high", "threads": 16, "floor": 5.5, "goal": 47}
ON_H100 = [
    record("xpmlp graph", "own", [], error="no such graph") | ON_CARD,
    record("xpmlp eager", "own", [44e-6, 44e-6]) | ON_CARD,
    record("xpmlp generic", "own", [40e-6, 40e-6]) | ON_CARD,
    record("torch graph", "peer", [66e-6, 66e-6]) | ON_CARD,
]


def test_on_a_card_the_ratios_are_to_the_first_tier_that_works():
    text = report.table(ON_H100, "NVIDIA A100")
    assert text.startswith("steps, CUDA, TF32: time a step")
    assert "44.0 us\n" in text and "40.0 us  0.91\n" in text and "66.0 us  1.50*" in text
    assert "floor" not in text and "xpmlp graph: no such graph" in text


def test_floor_and_goal_are_shown_on_the_card_that_they_are_for():
    lines = report.table(ON_H100, "NVIDIA H100 80GB HBM3").splitlines()
    start = lines.index("xpmlp / floor                     8.00")
    assert lines[start + 1].split() == ["floor", "5.50", "us"]
    assert lines[start + 2].split() == ["goal", "47.0", "us"]


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
    report.draw(axes, report.grouped(GIVEN)["steps", "1 thread"])
    tops = {b.get_label(): b[0].get_y() + b[0].get_height() for b in axes.containers}
    assert tops == pytest.approx({"slow": 4.0, "quick": 1.0, "matrix products alone": 0.5})
    path = tmp_path / "a.png"
    report.picture([*GIVEN, record("xpmlp", "own", [1.0], threads=2), *ON_H100], path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_the_calls_of_a_timing_take_about_the_seconds_asked_for():
    ready = benchmarks.peers.Ready(lambda n: time.sleep(n * 1e-3), 1, None)
    assert 10 <= calls_for(ready, 0.05) <= 50  # a sleep is never shorter than asked for
    assert calls_for(ready._replace(units=4), 0.001, least=30) == 8


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
    names = ("xpmlp, not compiled", "matrix products alone")
    rivals = [c for c in CONTENDERS if c.kind == "steps" and c.name in names]
    many = replace(SMALL["logistic"], batch=20_000, rows=20_000)  # so that a stretch is 3 steps
    cases = [many, replace(SMALL["softmax"], source="no_such_file")]
    found = benchmarks.measure(cases, [*rivals, lame, absent], 1, rounds=2, seconds=1e-3, least=7)
    return [record for records in found for record in records]


def test_workers_take_turns_and_hold_to_their_threads(measured):
    done = [r for r in measured if r["case"] == "a" and "error" not in r]
    assert [r["name"] for r in done] == ["xpmlp, not compiled", "matrix products alone"]
    for r in done:
        assert len(r["seconds"]) == 2 and all(s > 0 for s in r["seconds"])
        assert r["pools"] and all(pool["num_threads"] == 1 for pool in r["pools"])


def test_a_contender_that_cannot_start_or_fails_says_why(measured):
    reasons = {(r["case"], r["name"]): r["error"] for r in measured if "error" in r}
    assert reasons["a", "absent"] == "no_such_module is not installed"
    assert "its process ended with 1" in reasons["a", "lame"]
    assert "threadpoolctl" in reasons["a", "lame"]
    assert "no_such_file does not exist" in reasons["b", "xpmlp, not compiled"]


def test_a_fit_says_what_memory_it_took():
    rivals = [c for c in CONTENDERS if c.kind == "fits" and c.name == "xpmlp, not compiled"]
    case = replace(SMALL["softmax"], rows=200_000, batch=50_000, epochs=1)
    ((found,),) = benchmarks.measure([case], rivals, 1, rounds=1)
    data = case.peak_goal - 4 * 2 * case.batch * sum(case.sizes)
    if sys.platform == "linux":
        assert 0.9 * data < found["peak"] < 20 * data
    else:
        assert found["peak"] is None


@pytest.fixture
def bench(capsys):
    def bench(*arguments):
        with pytest.raises(SystemExit) as exit:
            main([*map(str, arguments)])
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
        (["predict", "--device", "cuda"], "predict is timed on the CPU only"),
        (["--redraw", "no.json"], "No such file or directory"),
    ],
)
def test_bad_options_are_one_sentence(bench, arguments, said):
    code, out, err = bench(*arguments)
    assert code == 2 and said in err and out == ""


def test_a_file_that_cannot_be_written_ends_it_before_the_first_timing(bench, tmp_path):
    code, out, err = bench("--json", tmp_path / "no" / "a.json", "--cells", "planar")
    assert code == 7 and "a.json: No such file or directory" in err and out == ""


def test_what_was_timed_is_kept_when_the_rest_is_interrupted(bench, tmp_path, monkeypatch):
    def measure(*args, **kwargs):
        yield [record("xpmlp", "own", [1.0])]
        raise KeyboardInterrupt

    monkeypatch.setattr(benchmarks, "measure", measure)
    code, _, _ = bench("steps", "--json", tmp_path / "a.json")
    assert code == 130
    (kept,) = json.loads((tmp_path / "a.json").read_text())["results"]
    assert kept["seconds"] == [1.0]


def test_without_a_card_one_sentence_says_so(bench, monkeypatch):
    def array_at(where):
        raise DeviceError("cupy does not work here: no driver")

    monkeypatch.setattr(benchmarks.run, "array_at", array_at)
    code, out, err = bench("--device", "cuda")
    assert code == 2 and out == "" and len(err.splitlines()) == 1
    assert "needs a card that CuPy works on, and cupy does not work here: no driver" in err


def test_a_quick_run_on_a_card_has_the_cells_that_tell_most_first_and_compiles_for_one_of_them():
    cases = benchmarks.cases_of("steps", device="cuda", quick=True)
    assert [(c.name, c.precision) for c in cases] == [
        ("medium", "highest"),
        ("large", "highest"),
        ("tabular", "highest"),
        ("narrow", "highest"),
        ("tabular", "high"),
        ("mnist-512", "high"),
        ("giant", "high"),
        ("giant", "medium"),
    ]
    assert [c.sizes for c in cases[:3]] == [
        (784, 256, 128, 10),
        (784, 1024, 1024, 10),
        (100, 256, 256, 1),
    ]
    assert [c.batch for c in cases[:3]] == [128, 512, 1024]
    assert [c.name for c in cases if c.compiled] == ["mnist-512"]
    assert {c.name for c in cases if c.heavy} == {"giant"}
    assert len(benchmarks.cases_of("steps", device="cuda")) == 11


class Told:
    """A worker that computes nothing."""

    def ask(self, **request):
        return {"seconds": 1.0} if "case" not in request else {}

    close = lambda self: None


@pytest.mark.parametrize("quick", [False, True])
def test_a_quick_run_leaves_out_what_tells_little_and_compiles_last(
    bench, monkeypatch, quick, tmp_path
):
    monkeypatch.setattr(benchmarks.run, "_worker", lambda contender, threads: Told())
    monkeypatch.setattr(benchmarks, "card", lambda: {"card": "none"})
    file, options = tmp_path / "a.json", ["--quick"] * quick
    code, _, err = bench("--device", "cuda", "--rounds", "1", "--json", file, *options)
    assert code == 0, err
    found = json.loads(file.read_text())["results"]
    taken = [(r["kind"], r["case"], r["name"]) for r in found]
    names = {c.name for c in CONTENDERS if (c.device, c.kind) == ("cuda", "steps")}
    giant = {name for kind, case, name in taken if case == "giant"}
    compiled = [case for _, case, name in taken if name == "torch.compile"]
    if quick:
        assert names - giant == {"torch eager", "JAX jit", "torch.compile"}
        assert taken[-1] == ("steps", "mnist-512", "torch.compile")
        assert compiled == ["mnist-512"]
    else:
        assert giant == names
        assert len(compiled) == 11


STANDINS = """
import cublaslt_standin, cupy_standin
cupy_standin.install()
cublaslt_standin.install()
"""
ON_THE_STANDIN = """
import sys
from ci.benchmarks import Case, cases
from ci.benchmarks.__main__ import main
small = Case(
    "small", (5, 8, 3), 6, "relu", "log_loss", "adam", rows=50, precision="high", quick=True
)
cases.CUDA_KINDS.update(steps=(small,), fits=(cases.replace(small, epochs=2, precision="highest"),))
main("--device cuda --quick --rounds 1 --peers jax --json a.json".split())
"""


def test_the_benchmark_of_a_card_runs_on_the_standin(tmp_path):
    """All of it in processes that start with the stand-in; the peer says that there is no card."""
    (tmp_path / "sitecustomize.py").write_text(STANDINS)
    places = map(str, (tmp_path, ROOT, ROOT / "tests"))
    options = {"capture_output": True, "text": True}
    options |= {"env": os.environ | {"PYTHONPATH": os.pathsep.join(places)}}
    result = subprocess.run([sys.executable, "-c", ON_THE_STANDIN], cwd=tmp_path, **options)
    assert result.returncode == 0, result.stderr
    found = json.loads((tmp_path / "a.json").read_text())
    rows = {(r["kind"], r["name"]): r for r in found["results"]}
    assert found["machine"]["card"] == "a stand-in, no card"
    for kind, tier in itertools.product(("steps", "fits"), ("graph", "eager", "generic")):
        row = rows[kind, f"xpmlp {tier}"]
        assert "error" not in row and row["engine"] == f"cupy {tier}"
        assert len(row["seconds"]) == len(row["device_seconds"]) == 1
    assert rows["steps", "xpmlp eager"]["launches"] > 8 * 5
    assert all("error" in row for row in rows.values() if row["role"] == "peer")
    assert "steps, CUDA, TF32" in result.stdout and "fits, CUDA, float32" in result.stdout
    assert "xpmlp generic: its products are float32" in result.stdout


@pytest.mark.parametrize("text", ["", "[]", "3", "{}", '{"results": 3}'])
def test_a_file_that_is_no_record_is_refused(bench, tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    code, _, err = bench("--redraw", tmp_path / "a.json")
    assert code == 3 and "a.json is no JSON of `python -m ci.benchmarks`" in err


def test_the_list_names_every_case_and_contender(bench):
    code, out, _ = bench("--list")
    assert code == 0
    for device, kinds in benchmarks.DEVICES.items():
        for kind, cases in kinds.items():
            assert f"{kind}, --device {device}:" in out
            assert all(f"  {case.name} " in out for case in cases)
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
