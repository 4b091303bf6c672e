"""xpmlp on a stand-in for CuPy, and ci/gpu on it: each in a process of its own.

The stand-in must be there before anything asks for CuPy, and nothing else may meet it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command, **variables):
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # the matrices are small
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, capture_output=True, text=True,
        env=os.environ | one_thread | variables,
    )  # fmt: skip


def test_all_checks_pass_on_standin_cupy_arrays():
    result = run(
        "-m", "pytest", "--noconftest", "-q", "--tb=short",
        "tests/standin/checks.py", PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
    )  # fmt: skip
    assert result.returncode == 0, f"\n{result.stdout}{result.stderr}"


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """The JSON of ci/gpu on the stand-in, with small sizes."""
    path = tmp_path_factory.mktemp("gpu") / "deep" / "result.json"
    result = run("ci/gpu.py", "--standin", path)
    assert path.exists(), result.stderr
    assert result.returncode == 0, result.stderr
    return json.loads(path.read_text())


def test_ci_gpu_passes_every_part_on_the_standin(outcome):
    parts = outcome["parts"]
    assert outcome["passed"]
    assert [*parts] == [
        "environment", "latency", "conformance", "parity", "checklist", "timings", "suite",
    ]  # fmt: skip
    assert parts["environment"]["cupy"] == "14.2.0"
    assert len(parts["conformance"]["checks"]) > 40
    assert len(parts["checklist"]["checks"]) == 5
    assert len(parts["parity"]["rows"]) > 150
    assert parts["suite"]["n_tests"] == 1


def test_ci_gpu_times_an_epoch_on_each_library_and_says_what_it_leaves_out(outcome):
    rows = {row["library"]: row for row in outcome["parts"]["timings"]["rows"]}
    for name in ("numpy", "cupy"):
        row = rows[name]
        assert row["microseconds_per_step"] == pytest.approx(1e6 * row["seconds_per_epoch"] / 2)
    assert rows["numpy"]["numpy_over_this"] == 1.0
    assert rows["torch"]["left_out"] == rows["jax"]["left_out"] == "not with --standin"
    assert outcome["parts"]["latency"]["microseconds"]["a + b"]["host"] > 0


def test_ci_gpu_without_cupy_says_so_in_one_sentence():
    # `-S -E`: a Python without any installed package.
    result = run("-S", "-E", "ci/gpu.py", "unwritten.json")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "ci/gpu needs CuPy and a CUDA card, and CuPy is not installed" in result.stderr
    assert not (ROOT / "unwritten.json").exists()


BROKEN_PART = """
import sys
sys.path.insert(0, "ci")
import gpu
gpu.PARTS = {"environment": 0.01, "absent": 30}
gpu.why_not = lambda: ""
sys.argv = ["gpu.py", sys.argv[1]]
sys.exit(gpu.main())
"""


def test_ci_gpu_goes_on_after_a_part_that_hangs_or_breaks_and_fails_in_the_end(tmp_path):
    path = tmp_path / "result.json"
    result = run("-c", BROKEN_PART, path)
    assert result.returncode == 1
    parts = json.loads(path.read_text())["parts"]
    assert parts["environment"]["error"] == "it took more than 0.01 s"
    assert (
        "AttributeError: module 'gpu_parts' has no attribute 'absent'" in parts["absent"]["error"]
    )
    assert "FAILED error: AttributeError" in result.stderr


UNCOLLECTABLE = """
import pathlib, sys
sys.path.insert(0, "ci")
import gpu
gpu.ROOT = pathlib.Path(sys.argv[1])
print(gpu._uncollectable())
"""


def test_a_test_file_that_cannot_be_collected_is_named_with_what_it_lacks(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("import json\nimport not_installed_here\n")
    (tmp_path / "tests" / "test_b.py").write_text("from pathlib import Path\nimport xpmlp\n")
    result = run("-c", UNCOLLECTABLE, tmp_path)
    wanted = {os.path.join("tests", "test_a.py"): "not_installed_here is not installed"}
    assert result.stdout.strip() == str(wanted), result.stderr
