"""Which BLAS compiled code calls, and when NumPy's takes threads."""

import ctypes
import ctypes.util
import os
import subprocess
import sys

import numpy as np
import pytest
from each import each
from threadpoolctl import threadpool_limits

from xpmlp import nn, train
from xpmlp.engines import blas
from xpmlp.nn import ActivationFunction, Dense, LayerNorm

INTEL = "vendor_id\t: GenuineIntel\n"
AMD = "vendor_id\t: AuthenticAMD\n"
with_openblas = pytest.mark.skipif(
    blas.numpy_openblas() is None, reason="NumPy was built with another BLAS"
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """(platform, processor's vendor, files) -> the names of libraries in the order of their trial.

    No library opens, so that all are tried.
    """
    names = []

    def unopened(path, name, *rest):
        assert path.exists() or name == "Accelerate"
        names.append(name)

    def tried(platform, vendor, files):
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(vendor)
        monkeypatch.setattr(blas.sys, "platform", platform)
        blas.find_blas.__wrapped__()
        return names

    monkeypatch.setattr(blas, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr(blas, "SITE_PACKAGES", tmp_path)
    monkeypatch.setattr(blas, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(blas, "_opened", unopened)
    monkeypatch.setattr(blas, "_scipys", lambda: names.append("SciPy's"))
    monkeypatch.setattr(blas, "numpy_openblas", blas.numpy_openblas.__wrapped__)
    return tried


MKL, OPENBLAS = "lib/libmkl_rt.so.2", "numpy.libs/libscipy_openblas64_-1234.so"
MACHINES = {
    "Linux on Intel": ("linux", INTEL, [OPENBLAS], ["OpenBLAS", "SciPy's"]),
    "Linux on Intel with MKL": ("linux", INTEL, [MKL, OPENBLAS], ["MKL", "OpenBLAS", "SciPy's"]),
    "Linux on AMD with MKL": ("linux", AMD, [MKL, OPENBLAS], ["OpenBLAS", "SciPy's"]),
    "Windows on Intel with MKL": (
        "win32",
        INTEL,
        ["Library/bin/mkl_rt.2.dll", "numpy.libs/libscipy_openblas64_-1234.dll"],
        ["MKL", "OpenBLAS", "SciPy's"],
    ),
    "macOS": (
        "darwin",
        "",
        ["numpy/.dylibs/libscipy_openblas64_.dylib"],
        ["Accelerate", "OpenBLAS", "SciPy's"],
    ),
    "NumPy of a distribution": ("linux", AMD, [], ["SciPy's"]),
}


@pytest.mark.parametrize("name", MACHINES)
def test_blas_is_chosen_by_processor_and_by_what_is_installed(name, machine):
    system, vendor, files, wanted = MACHINES[name]
    assert machine(system, vendor, ["cpuinfo", *files]) == wanted


@with_openblas
def test_numpys_own_openblas_is_taken_whichever_others_are_loaded():
    import scipy.linalg  # noqa: F401 - which brings another OpenBLAS

    (path,) = [
        path
        for folder in ("numpy.libs", "numpy/.dylibs")
        for path in (blas.SITE_PACKAGES / folder).glob("*openblas64_*")
    ]
    product = ctypes.CDLL(str(path)).scipy_sgemm_64_
    found = blas.numpy_openblas.__wrapped__()
    assert found.gemm["float32"] == ctypes.cast(product, ctypes.c_void_p).value
    assert found.threads() >= 1


def test_a_library_without_the_functions_is_passed_over(tmp_path):
    (tmp_path / "no_library.so").write_text("text")
    assert blas._opened(tmp_path / "no_library.so", "MKL", "", "{}gemm_64") is None
    assert blas._opened(ctypes.util.find_library("c"), "MKL", "", "{}gemm_64") is None


@each("found", [blas.find_blas, blas._scipys], ids=lambda f: f.__name__)
@each("dtype", ["float32", "float64"])
def test_products_are_those_of_numpy(found, dtype):
    made = found()
    rng = np.random.default_rng(0)
    a, b, c = rng.normal(size=(3, 5)), rng.normal(size=(5, 4)), np.zeros((3, 4))
    a, b, c = (np.asfortranarray(m, dtype) for m in (a, b, c))
    number = {"float32": ctypes.c_float, "float64": ctypes.c_double}[dtype]
    one, zero = ctypes.byref(number(1)), ctypes.byref(number(0))
    M, N, K = (ctypes.byref(ctypes.c_int64(n)) for n in (3, 4, 5))
    gemm = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(made.gemm[dtype])
    gemm(b"N", b"N", M, N, K, one, a.ctypes.data, M, b.ctypes.data, K, zero, c.ctypes.data, M)
    np.testing.assert_allclose(c, a @ b, rtol=1e-5)


@with_openblas
@each("solver", ["adam", "lbfgs"])
@each("more", [[], [LayerNorm()]], ids=["chain", "plain text"])
def test_numpys_blas_takes_threads_only_where_products_are_large(solver, more, monkeypatch):
    own, seen = blas.numpy_openblas(), set()

    def noting(z, xp):
        seen.add(own.threads())
        return z + 0.0

    noted = ActivationFunction("noted", noting, lambda da, z, a, xp: da)
    network = nn.Network([Dense(4, noted), *more, Dense(1)])
    x = np.random.default_rng(0).normal(size=(40, 3))
    with threadpool_limits(2, user_api="blas"):
        for bound, threads in ((blas.THREADED, 1), (1, 2)):
            monkeypatch.setattr(blas, "THREADED", bound)
            seen.clear()
            trained = train(network, x, x[:, :1], solver=solver, max_iter=2)
            assert seen == {threads}
            trained.outputs(x)
            assert (seen, own.threads()) == ({threads}, 2)


@pytest.fixture
def counted():
    """A BLAS that notes how many threads it takes: two at first."""
    number = [2]
    return blas.Blas("counted", "", {}, lambda: number[-1], number.append)


def test_blas_has_its_threads_back_when_its_last_holder_ends(counted, monkeypatch):
    monkeypatch.setattr(blas, "find_blas", lambda: counted)
    monkeypatch.setattr(blas.os, "sched_getaffinity", lambda pid: range(8), raising=False)
    monkeypatch.setattr(blas.os, "cpu_count", lambda: 8)
    first, second = blas.one_thread(counted), blas.one_thread(counted)
    for enter in (first.__enter__, second.__enter__):
        enter()
        assert (counted.threads(), blas.n_threads()) == (1, 2)
    first.__exit__(None, None, None)
    assert (counted.threads(), blas.n_threads()) == (1, 2)
    second.__exit__(None, None, None)
    assert (counted.threads(), blas.n_threads()) == (2, 2)


FORKED = """
import os, sys, threading
from xpmlp.engines import blas
number = [2]
own = blas.Blas("counted", "", {}, lambda: number[-1], number.append)
held, end = threading.Event(), threading.Event()
def hold():
    with blas.one_thread(own):
        held.set()
        end.wait()
other = threading.Thread(target=hold)
other.start()
held.wait()
with blas.one_thread(own):
    child = os.fork()
    inside = own.threads()
if not child:
    os._exit(0 if (inside, own.threads()) == (1, 2) else 3)
end.set()
other.join()
_, status = os.waitpid(child, 0)
sys.exit(os.waitstatus_to_exitcode(status) or own.threads() != 2)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_does_not_wait_for_holders_that_it_does_not_have():
    command = [sys.executable, "-W", "ignore", "-c", FORKED]
    assert subprocess.run(command, timeout=60, check=False).returncode == 0
