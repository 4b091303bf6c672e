"""ci/gpu on the stand-ins for CuPy and cuBLASLt, and how it goes on where a part does not."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "ci"))
import gpu  # noqa: E402
from gpu_parts import outside  # noqa: E402

TIERS = ("generic", "eager", "graph")


def run(*command, **variables):
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # the matrices are small
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | one_thread | variables,
    )  # fmt: skip


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """The JSON of ci/gpu on the stand-in, with small sizes."""
    if not shutil.which("g++"):
        pytest.skip("the stand-in compiles kernels with g++")
    path = tmp_path_factory.mktemp("gpu") / "deep" / "result.json"
    result = run("ci/gpu.py", "--standin", path)
    assert path.exists(), result.stderr
    assert result.returncode == 0, result.stderr
    return json.loads(path.read_text()) | {"said": result.stderr}


def test_every_part_passes_on_the_standin(outcome):
    parts = outcome["parts"]
    assert outcome["passed"]
    assert [*parts] == [*gpu.PARTS]
    assert parts["environment"]["cupy"] == "14.2.0"
    least = {
        "conformance": 50, "generic": 15, "eager": 18, "graph": 21, "pace": 7, "fits": 14, "lt": 4,
    }  # fmt: skip
    assert all(len(parts[name]["checks"]) >= n for name, n in least.items())
    assert len(parts["parity"]["rows"]) > 150
    assert parts["suite"]["n_tests"] == 1
    assert parts["engine"]["n_tests"] > 10
    assert parts["stand-ins"]["n_tests"] > 0


def test_nothing_is_skipped_on_the_standin_but_what_has_a_reason(outcome):
    reasons = {
        why.removeprefix("skipped: ")
        for part in outcome["parts"].values() for why in part["checks"].values() if why != "ok"
    }  # fmt: skip
    known = ("torch", "PyTorch", "it asks")
    assert [why for why in reasons if not why.startswith(known)] == []


def test_a_tier_without_a_benchmark_is_not_proven(outcome):
    assert outcome["tiers"] == dict.fromkeys(TIERS, "the benchmark has no row of it")


def test_every_launch_of_a_step_and_every_product_is_timed(outcome):
    parts = outcome["parts"]
    step = parts["speeds"]["numbers"]["each launch of a large step, float32"]["launches"]
    assert [row["launch"] for row in step if row["launch"] != "product"] == [
        "gather", "bias_act", "bias_act", "loss_grad", "dact_colsum", "dact_colsum", "dact_colsum",
        "update",
    ]  # fmt: skip
    for precision in ("float32", "tf32", "bfloat16"):
        products = parts["lt"]["numbers"][f"20-16-24-1, batch 12, {precision}"]
        assert len(products) == 9
        assert all(row["plain"] for row in products.values())
        assert products["layer 1: RELU_AUX_BIAS"]["fused over plain"] > 0
    launched = parts["pace"]["numbers"]["graph: the host is back before the card begins"]
    assert (launched["launches"], launched["in graphs"]) == (1, 11)
    assert "fastest way" in str(parts["graph"]["decisions"])
    kernels = parts["warm kernels"]["numbers"]
    assert [*parts["cold kernels"]["numbers"]] == [*kernels]
    assert len(kernels) == 3


def test_the_end_is_a_table_for_people(outcome):
    lines = outcome["said"].splitlines()
    assert sum(line.startswith("cold kernels") for line in lines) == 2  # when it ends, and at last
    assert sum(line.startswith("tier ") for line in lines) == 3
    assert any("torch eager" in line for line in lines)  # of the benchmark
    assert "On a stand-in: the seconds mean nothing." in lines
    assert lines[-1].startswith("All passed: ")


def test_without_cupy_it_says_so_in_one_sentence():
    # `-S -E`: a Python without any installed package.
    result = run("-S", "-E", "ci/gpu.py", "unwritten.json")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "ci/gpu needs CuPy and a CUDA card, and CuPy is not installed" in result.stderr
    assert not (ROOT / "unwritten.json").exists()


def test_without_a_dependency_of_xpmlp_parts_say_so_and_the_others_run(tmp_path):
    hide = "import sys; sys.modules['array_api_compat'] = None"
    (tmp_path / "sitecustomize.py").write_text(hide)
    path = tmp_path / "result.json"
    parts = "graph,engine,conformance,fits,scikit-learn,parity,pace,lt,speeds,benchmark"
    result = run("ci/gpu.py", "--standin", "--parts", parts, path, PYTHONPATH=tmp_path)
    made = json.loads(path.read_text())
    assert result.returncode == 0, result.stderr
    said = {name: {*part["checks"].values()} for name, part in made["parts"].items()}
    missing = {"skipped: array_api_compat is not installed"}
    assert [name for name, checks in said.items() if not checks & missing] == ["conformance"]
    assert said["conformance"] == {"ok"}
    assert "ok" in said["speeds"]
    assert "array_api_compat is not installed" in made["tiers"]["graph"]


# ---- Parts that do not end well

BAD = """
import json, os, subprocess, sys, time
from gpu_parts import Skip

def lacks(found, standin):
    raise Skip("it is not installed")

def breaks(found, standin):
    found.check("the first", lambda: {"of": 1})
    found.check("the second", lambda: 1 / 0)
    raise KeyError("lost")

def crashes(found, standin):
    found.check("the first", lambda: None)
    os._exit(7)

def hangs(found, standin):
    children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])]
    found.check("the first", lambda: None)
    found.note(child=children[0].pid)
    time.sleep(600)

def looks(found, standin):
    before = json.loads(open(os.environ["RESULT"]).read())
    found.note(before=[*before["parts"]], passed_before=before["passed"])
"""


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """What is written and said of parts that lack, break, crash, hang and go on."""
    folder, said = tmp_path_factory.mktemp("bad"), io.StringIO()
    path = folder / "result.json"
    (folder / "bad_parts.py").write_text(BAD)
    names = ("lacks", "breaks", "crashes", "hangs", "looks")
    wanted = {name: gpu.Part(f"bad_parts.{name}", 3 if name == "hangs" else 30) for name in names}
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said):
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("RESULT", str(path))
        assert gpu.run(wanted, False, path) == 1
    return json.loads(path.read_text()), said.getvalue()


def test_a_part_that_does_not_end_well_loses_nothing_and_stops_nobody(bad):
    record, said = bad
    parts = record["parts"]
    assert not record["passed"]
    assert [part["passed"] for part in parts.values()] == [True, False, False, False, True]
    assert parts["lacks"]["checks"] == {"the part ran": "skipped: it is not installed"}
    assert parts["breaks"]["checks"]["the first"] == "ok"
    assert "ZeroDivisionError" in parts["breaks"]["checks"]["the second"]
    assert "KeyError: 'lost'" in parts["breaks"]["error"]
    assert parts["breaks"]["numbers"] == {"the first": {"of": 1}}
    assert parts["crashes"]["checks"] == parts["hangs"]["checks"] == {"the first": "ok"}
    assert parts["crashes"]["error"] == "the process ended with code 7"
    assert parts["hangs"]["error"] == "it took more than 3 s"
    assert "FAILED error: KeyError: 'lost'" in said
    assert "Something FAILED" in said.splitlines()[-1]


def test_the_file_is_written_after_each_part(bad):
    looked = bad[0]["parts"]["looks"]
    assert looked["before"] == ["lacks", "breaks", "crashes", "hangs"]
    assert not looked["passed_before"]


def gone(process):
    """Tell whether a process has ended, after some seconds at most."""
    for _ in range(50):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{process}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True  # not yet fetched by its new parent
        time.sleep(0.1)
    return False


def test_a_part_that_hangs_ends_with_its_children(bad):
    assert gone(bad[0]["parts"]["hangs"]["child"])


RUN = """
import sys, threading, time
from pathlib import Path
import gpu

def tell():
    while not gpu.RUNNING:
        time.sleep(0.01)
    print(*gpu.RUNNING, flush=True)

threading.Thread(target=tell, daemon=True).start()
gpu.PARTS = {"hangs": gpu.Part("bad_parts.hangs", 60)}
gpu.why_not = lambda: ""
gpu.main()
"""


def test_a_run_that_is_ended_takes_its_parts_along(tmp_path):
    (tmp_path / "bad_parts.py").write_text(BAD)
    (tmp_path / "run.py").write_text(RUN)
    own = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "ci")])}
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "result.json")]
    with subprocess.Popen(
        command, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        part = int(child.stdout.readline())
        child.terminate()
        assert child.wait(10) == 143, child.stderr.read()
    assert gone(part)


def test_the_last_parts_get_what_is_left_of_the_time(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu, "TOTAL", 0.5)
    gpu.run({"environment": gpu.PARTS["environment"]}, True, tmp_path / "result.json")
    part = json.loads((tmp_path / "result.json").read_text())["parts"]["environment"]
    assert part["error"] == "no time was left"


def test_parts_are_functions_and_the_most_valuable_have_their_time_for_sure():
    for name, part in gpu.PARTS.items():
        module, _, function = part.function.rpartition(".")
        assert callable(getattr(import_module(module), function)), name
    names = [*gpu.PARTS]
    seconds = {name: gpu.PARTS[name].seconds for name in names[: names.index("suite")]}
    together = {name: s for name, s in seconds.items() if gpu.PARTS[name].beside}
    alone = sum(seconds.values()) - sum(together.values())
    assert alone + max(together.values()) <= gpu.TOTAL < 480


def test_what_ci_gpu_runs_on_a_card_takes_its_cupy_from_there():
    folder = ROOT / "tests" / "standin"
    paths = [*folder.glob("cuda_*.py"), *folder.glob("*_checks.py")]
    assert len(paths) > 8
    direct = re.compile(r"^\s*(from|import) (cupy|cublaslt)_standin", re.M)
    assert [path.name for path in paths if direct.search(path.read_text())] == []


# ---- Verdicts


def test_a_verdict_says_what_is_against_a_tier():
    good = {"checks": {"it is right": "ok"}}
    rows = [
        {"name": f"xpmlp {tier}", "case": "narrow", "error": None, "notes": []} for tier in TIERS
    ]  # fmt: skip
    parts = dict.fromkeys((*TIERS, "pace", "engine"), good) | {"benchmark": {"rows": rows}}
    assert gpu.verdicts(parts) == dict.fromkeys(TIERS, "passed")
    assert gpu.verdicts({})["graph"] == (
        "it did not run; skipped: it was not timed; the engine's tests did not pass; the benchmark "
        "has no row of it"
    )
    wrong = {"checks": {"it is right": "AssertionError", "it is fast": "skipped: no cuBLASLt"}}
    broken = {"checks": {}, "error": "it took more than 3 s"}
    rows[2]["notes"] = ["no CUDA graph could be captured"]
    rows[0]["notes"] = ["matmul_precision='high' changes nothing"]
    found = gpu.verdicts(parts | {"eager": wrong, "generic": broken})
    assert found == {
        "generic": "it took more than 3 s",
        "eager": "it is right; skipped: no cuBLASLt",
        "graph": "benchmark, narrow: no CUDA graph could be captured",
    }
    slow = {"checks": {"eager: it is fast": "AssertionError", "graph: it is fast": "ok"}}
    found = gpu.verdicts(parts | {"pace": slow})
    assert (found["eager"], found["generic"]) == ("eager: it is fast", "passed")
    rows[0]["error"] = "out of memory"
    assert gpu.verdicts(parts)["generic"] == "benchmark, narrow: out of memory"
    rows[0]["error"] = None
    found = gpu.verdicts(parts | {"engine": wrong})
    assert found["generic"] == "passed"
    assert found["eager"] == "the engine's tests did not pass"


def test_a_test_file_that_cannot_be_collected_is_named_with_what_it_lacks(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("import json\nimport not_installed_here\n")
    (tmp_path / "tests" / "test_b.py").write_text("from pathlib import Path\nimport xpmlp\n")
    wanted = {os.path.join("tests", "test_a.py"): "not_installed_here is not installed"}
    assert outside.uncollectable(tmp_path) == wanted
