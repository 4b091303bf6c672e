"""The CuPy engine on stand-ins for CuPy and cuBLASLt: each file in a process of its own.

Its kernels are compiled for the CPU (tests/emulator), so no card is needed, and nothing here has
run on one.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CHECKS = [
    path
    for path in sorted((ROOT / "tests" / "standin").glob("cuda_*.py"))
    if "\ndef test_" in path.read_text()
]


needs_compiler = pytest.mark.skipif(
    not shutil.which("g++"), reason="the stand-in compiles kernels with g++"
)


def assert_checks_pass(*arguments):
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # the matrices are small
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--noconftest", "-q", "--tb=short", *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env=os.environ | one_thread | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
    )
    assert result.returncode == 0, f"\n{result.stdout}{result.stderr}"


@needs_compiler
@pytest.mark.parametrize("path", CHECKS, ids=lambda path: path.stem)
def test_the_cupy_engine_passes_its_checks_on_the_standins(path):
    assert_checks_pass(path)


@needs_compiler
def test_a_chain_in_the_graph_and_another_network_in_each_tier_train_as_plainly():
    """What the fast tier runs of these checks, in the two seconds of one process."""
    some = "(replays_equal and relu) or (two and dropouts and float32 and 0)"
    standin = ROOT / "tests" / "standin"
    assert_checks_pass("-k", some, standin / "cuda_graph.py", standin / "cuda_chains.py")


def test_there_are_checks():
    assert {"cuda_kernels", "cuda_updates", "cuda_eager", "cuda_graph"} <= {p.stem for p in CHECKS}
