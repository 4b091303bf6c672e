"""ci/gpu on the stand-ins for CuPy and cuBLASLt, and how it goes on where a part does not."""

import json
import os
import shutil
import subprocess
import sys

import gpu
import pytest
from gpu_runs import ROOT, TIERS


def run(*command, **variables):
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # the matrices are small
    options = {"capture_output": True, "text": True, "env": os.environ | one_thread | variables}
    return subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, **options)


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
        "smoke": 6, "pace": 5, "conformance": 50, "generic": 15, "eager": 18, "graph": 24,
        "fits": 14, "lt": 4,
    }  # fmt: skip
    assert all(len(parts[name]["checks"]) >= n for name, n in least.items())
    assert len(parts["parity"]["rows"]) > 150
    assert parts["suite"]["n_tests"] == 1
    assert parts["engine"]["n_tests"] > 10
    assert parts["stand-ins"]["n_tests"] > 0


def test_nothing_is_skipped_on_the_standin_but_what_has_a_reason(outcome):
    reasons = {
        why.removeprefix("skipped: ")
        for part in outcome["parts"].values()
        for why in part["checks"].values()
        if why != "ok"
    }
    known = ("torch", "PyTorch", "it asks")
    assert [why for why in reasons if not why.startswith(known)] == []


def test_no_number_is_wrong_and_what_is_not_known_is_told(outcome):
    """The benchmark is one of a CPU."""
    unknown = {"failed": [], "did not run": ["benchmark, no row of it"]}
    assert outcome["tiers"] == dict.fromkeys(TIERS, unknown)


def test_the_first_look_tells_whether_steps_are_graphs_and_what_they_take(outcome):
    numbers = outcome["parts"]["smoke"]["numbers"]
    near = {tier: numbers[f"{tier}: float32 stays near float64 on the host"] for tier in TIERS}
    graphs = [near[tier]["steps in a graph"] for tier in TIERS]
    assert graphs == [[], [[]], [[1, 8]]]
    assert all(0 < row["error"] < 1e-5 and not row["notes"] for row in near.values())
    took = {tier: numbers[f"microseconds a step, {tier}"] for tier in TIERS}
    assert [[*took[tier]] for tier in TIERS] == [["highest"], *[["highest", "high"]] * 2]
    assert all(row["clock"] > 0 for rows in took.values() for row in rows.values())


def test_nccl_is_captured(outcome):
    part = outcome["parts"]["conformance"]
    assert part["checks"]["NCCL sums in a CUDA graph, each launch anew"] == "ok"


def test_every_launch_of_a_step_and_every_product_is_timed(outcome):
    parts = outcome["parts"]
    step = parts["speeds"]["numbers"]["each launch of a large step, float32"]["launches"]
    assert [row["launch"] for row in step if row["launch"] != "product"] == [
        "gather",
        "bias_act",
        "bias_act",
        "loss_grad",
        "dact_colsum",
        "dact_colsum",
        "dact_colsum",
        "update",
    ]
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
    parts = "smoke,graph,engine,conformance,fits,scikit-learn,parity,pace,lt,speeds,benchmark"
    result = run("ci/gpu.py", "--standin", "--parts", parts, path, PYTHONPATH=tmp_path)
    made = json.loads(path.read_text())
    assert result.returncode == 0, result.stderr
    said = {name: {*part["checks"].values()} for name, part in made["parts"].items()}
    missing = {"skipped: array_api_compat is not installed"}
    assert [name for name, checks in said.items() if not checks & missing] == ["conformance"]
    assert said["conformance"] == {"ok"}
    assert "ok" in said["speeds"]
    assert made["tiers"]["graph"] == {
        "failed": [],
        "did not run": [
            f"{part}, skipped: array_api_compat is not installed"
            for part in ("smoke", "graph", "engine", "benchmark")
        ]
        + ["benchmark, no row of it"],
    }
