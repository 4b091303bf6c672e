"""The stand-ins for CuPy and cuBLASLt themselves, in processes of their own.

They must be there before anything asks for CuPy, and nothing else may meet them.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")


def run(*command, **variables):
    own = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    own["PYTHONPATH"] = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    options = {"capture_output": True, "text": True, "env": os.environ | own | variables}
    return subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, **options)


@needs_compiler
@pytest.mark.parametrize("checks", ["kernel_checks", "card_checks", "lt_checks"])
def test_the_standins_keep_their_own_rules(checks):
    result = run("-m", "pytest", "--noconftest", "-q", "--tb=short", f"tests/standin/{checks}.py")
    assert result.returncode == 0, f"\n{result.stdout}{result.stderr}"
    assert "skipped" not in result.stdout


KERNEL = """
import cupy_standin, numpy as np
cupy = cupy_standin.install()
from emulator import kernels
kernels.extra_flags += {flags}
code = 'extern "C" __global__ void power(int *x) {{ x[0] *= 65536; }}'
x = cupy.full(1, {x}, np.int32)
cupy.RawModule(code=code).get_function("power")((1,), (1,), (x,))
print(x)
"""
SANITIZE = [
    "-fsanitize=undefined",
    "-fno-sanitize-recover=undefined",
    "-fno-sanitize-undefined-trap-on-error",  # it says why
]
MISALIGNED = """
import cupy_standin, numpy as np
cupy = cupy_standin.install()
code = '''struct alignas(16) Four {{ float at[4]; }};
extern "C" __global__ void first(const float *x, float *y) {{ y[0] = (*(const Four *)x).at[0]; }}'''
x, y = cupy.zeros(9, np.float32), cupy.zeros(1, np.float32)
cupy.RawModule(code=code).get_function("first")((1,), (1,), (x[{offset}:], y))
print(y)
"""


@needs_compiler
def test_kernels_can_be_compiled_to_stop_where_they_do_what_is_undefined():
    good, bad = (run("-c", KERNEL.format(flags=SANITIZE, x=x)) for x in (2, 65536))
    assert good.stdout == "[131072]\n", good.stderr
    assert bad.returncode != 0
    assert "signed integer overflow" in bad.stderr


@needs_compiler
def test_an_address_that_is_not_aligned_ends_the_process():
    good, bad = (run("-c", MISALIGNED.format(offset=offset)) for offset in (4, 1))
    assert good.stdout == "[0.]\n", good.stderr
    assert bad.returncode < 0


def test_without_a_compiler_a_kernel_says_what_is_missing(tmp_path):
    result = run("-c", KERNEL.format(flags=["-DNEW"], x=2), PATH="", TMPDIR=tmp_path)
    assert "CompileException" in result.stderr
    assert result.stderr.rstrip().endswith("compiles kernels with g++: install it")
