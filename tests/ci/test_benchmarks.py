""" """

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmark_cases import MATPLOTLIB, SMALL, record

from ci import benchmarks
from ci.benchmarks import CONTENDERS
from ci.benchmarks.__main__ import main
from ci.benchmarks.peers import Contender, own
from xpmlp.errors import DataError, DeviceError

pytestmark = pytest.mark.usefixtures("compiled_engine_back")

ROOT = Path(__file__).parents[2]


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


def test_images_are_for_the_fits_of_images():
    found = benchmarks.cases_of("fits", source="mnist")
    assert [(c.name, c.source) for c in found if c.name == "tiny"] == [("tiny", None)]
    assert {c.source for c in found if c.name != "tiny"} == {"mnist"}


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
    assert code == 0 and "import xpmlp: 0." in out and "a first fit, beyond a second: " in out
    found = json.loads(file.read_text())
    assert found["machine"]["versions"]["numpy"] == np.__version__
    assert {r["case"] for r in found["results"]} == {"planar"} and found["import"]["xpmlp"][
        "package"
    ] > 0
    code, again, _ = bench("--redraw", file, "--picture", picture)
    assert code == 0 and again.strip() in out and picture.stat().st_size > 1000
