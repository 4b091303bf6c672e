"""ci/sanitize: the compiled engine's tests under sanitizers."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def why_not():
    """Why the script cannot run here, or nothing."""
    if sys.platform != "linux" or shutil.which("g++") is None or not (ROOT / ".git").exists():
        return "ci/sanitize needs Linux, g++ and a checkout"
    find = ["g++", "-print-file-name=libasan.so"]
    path = subprocess.run(find, capture_output=True, text=True, check=True).stdout.strip()
    if not os.path.isabs(path):
        return "this g++ comes without its sanitizers' libraries"
    return ""


def test_the_compiled_engines_tests_pass_under_sanitizers():
    if reason := why_not():
        pytest.skip(reason)
    command = [str(ROOT / "ci/sanitize")]
    options = {"capture_output": True, "text": True, "timeout": 900, "cwd": ROOT}
    made = subprocess.run(
        command, env=os.environ | {"PYTHON": sys.executable}, check=False, **options
    )
    assert made.returncode == 0, made.stdout[-3000:] + made.stderr[-3000:]
