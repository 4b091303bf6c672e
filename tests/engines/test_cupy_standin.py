"""xpmlp on a stand-in for CuPy, in a process of its own.

The stand-in must be there before anything asks for CuPy, and nothing else may meet it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(*command, **variables):
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # the matrices are small
    options = {"capture_output": True, "text": True, "env": os.environ | one_thread | variables}
    return subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, **options)


@pytest.mark.parametrize(
    ("checks", "variables"), [("checks", {}), ("auto", {}), ("transfers", {"SCIPY_ARRAY_API": "1"})]
)
def test_all_checks_pass_on_standin_cupy_arrays(checks, variables):
    result = run(
        "-m",
        "pytest",
        "--noconftest",
        "-q",
        "--tb=short",
        f"tests/standin/{checks}.py",
        PYTHONPATH=f"{ROOT}{os.pathsep}{ROOT / 'tests'}",
        **variables,
    )
    assert result.returncode == 0, f"\n{result.stdout}{result.stderr}"
