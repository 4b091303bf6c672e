import re
import sys
import warnings
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

import xpmlp
from xpmlp.cli import doctor, main

CUPY = """
import numpy as np
__version__ = "14.2.0"
ones, float32, sum = np.ones, np.float32, np.sum

class runtime:
    def getDeviceProperties(device):
        return {"name": b"NVIDIA H100"}

class cuda:
    runtime = runtime
    def is_available():
        return True
"""


@pytest.fixture
def report_with(monkeypatch, tmp_path):
    """Report on NumPy and a stand-in module of the name and text given; no text, no module."""

    def report_with(name, text):
        monkeypatch.setattr(doctor, "LIBRARIES", {k: doctor.LIBRARIES[k] for k in ("numpy", name)})
        if text is None:
            monkeypatch.setitem(sys.modules, name, None)
        else:
            monkeypatch.setitem(sys.modules, name, None)  # so that undoing forgets the stand-in
            del sys.modules[name]
            (tmp_path / f"{name}.py").write_text(text)
            monkeypatch.syspath_prepend(tmp_path)
        return " ".join(doctor.report().split())

    return report_with


def test_every_installed_library_works_and_the_report_fits_one_screen():
    text = doctor.report()
    lines = text.splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100
    for name in ("numpy", "array_api_strict"):
        version = sys.modules[name].__version__
        assert any(line.split() == [name, version, "works", "on", "cpu"] for line in lines), text
    assert f"Python {sys.version.split()[0]}" in lines[0]
    assert "threads" in text and "does not work" not in text


@pytest.mark.parametrize("name", ["cupy", "torch", "jax"])
def test_a_missing_library_is_reported_with_its_install_line(report_with, name):
    text = report_with(name, None)
    extra = "cuda12" if name == "cupy" else name
    assert f"{name} - not installed: pip install xpmlp[{extra}]" in text
    assert f"numpy {np.__version__} works on cpu" in text


def test_a_missing_extra_is_reported_with_its_install_line(monkeypatch):
    monkeypatch.setattr(doctor, "LIBRARIES", {})
    monkeypatch.setattr(doctor, "EXTRAS", {"no-such-package": ("does much", "pip install it")})
    assert "does much; not installed: pip install it" in doctor.report()


def test_compiled_code_is_reported_with_its_blas_and_threads():
    numba = pytest.importorskip("numba", reason="reports what numba compiles")
    text = " ".join(doctor.report().split())
    assert f"numba {numba.__version__} compiles" in text
    assert re.search(r"products by (MKL|OpenBLAS [\d.]+|SciPy's BLAS), \d+ threads?", text), text


def test_without_numba_the_doctor_says_what_computes_instead_and_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    text = 'not installed, so NumPy computes what it would compile: pip install "xpmlp[fast]"'
    assert f"numba - {text}" in " ".join(doctor.report().split())
    assert list(doctor.warm()) == [f"numba is {text}"]


def test_a_numba_that_cannot_be_imported_is_reported_with_its_reason(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", ModuleType("numba"))
    sys.modules["numba"].__spec__ = ModuleSpec("numba", None)
    monkeypatch.setitem(sys.modules, "xpmlp.engines.compiled", None)
    assert "numba - does not work: ModuleNotFoundError" in " ".join(doctor.report().split())
    (line,) = doctor.warm()
    assert line.startswith("numba does not work: ModuleNotFoundError")


def test_warming_removes_old_code_and_makes_that_of_both_dtypes_ready(monkeypatch, tmp_path):
    pytest.importorskip("numba", reason="compiles with numba")
    from xpmlp.engines.compiled import program, steps

    for name in ("steps.stretch-1.py311.nbi", "steps.stretch-1.py311.1.nbc", "steps.pyc"):
        (tmp_path / name).touch()
    monkeypatch.setattr(doctor, "_cache", lambda: tmp_path)
    program.ready.cache_clear()
    removed, *compiled = doctor.warm()
    assert removed == f"Removed 2 files of compiled code from {tmp_path}."
    assert [file.name for file in tmp_path.iterdir()] == ["steps.pyc"]
    for dtype, line in zip(("float32", "float64"), compiled, strict=True):
        assert re.fullmatch(rf"Compiled training and prediction in {dtype}: \d+\.\d s\.", line)
        assert all(program.ready(f, dtype) for f in (steps.stretch, steps.predict))
    assert len(list(doctor.warm())) == 2  # nothing left to remove


def test_the_command_warms_when_asked(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "warm", lambda: iter(["one", "two"]))
    for arguments, text in ((["doctor", "--warm"], "one\ntwo\n"), (["doctor"], doctor.report())):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0 and capsys.readouterr().out.strip() == text.strip()


def test_a_broken_library_is_reported_with_the_first_line_of_its_reason(report_with):
    text = report_with("jax", "raise OSError('libfoo.so: no such file\\nsecond line')")
    assert "jax - does not work: OSError: libfoo.so: no such file" in text
    assert "second line" not in text
    assert f"numpy {np.__version__} works on cpu" in text


def test_a_report_of_nothing_but_endless_reasons_still_fits_one_screen(monkeypatch):
    def fail(name):
        raise RuntimeError("a library's very long reason " * 100)

    monkeypatch.setattr(doctor, "import_module", fail)
    lines = doctor.report().splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100
    assert sum("does not work" in line for line in lines) >= 2


def test_a_working_cupy_is_listed_with_its_card(report_with):
    assert "cupy 14.2.0 works on cuda:0 NVIDIA H100" in report_with("cupy", CUPY)


def test_a_cupy_without_a_driver_says_so(report_with):
    text = report_with("cupy", CUPY.replace("return True", "return False"))
    assert "cupy 14.2.0 does not work" in text and "no NVIDIA driver or no card" in text


def test_a_cupy_without_its_compiler_names_the_extra_that_brings_it(report_with):
    broken = "def sum(x):\n    raise RuntimeError('CuPy failed to load libnvrtc.so.12')\n"
    text = report_with("cupy", CUPY + broken)
    assert "fails (RuntimeError: CuPy failed to load libnvrtc.so.12; the CUDA compiler" in text
    assert "xpmlp[cuda12]" in text and "works on cuda" not in text


def test_two_cupy_wheels_are_named(report_with, monkeypatch):
    wheels = [SimpleNamespace(name=n) for n in ("cupy-cuda12x", "numpy", "cupy-cuda13x", None)]
    monkeypatch.setattr(doctor.metadata, "distributions", lambda: wheels)
    assert "cupy-cuda12x and cupy-cuda13x overwrite each other" in report_with("cupy", CUPY)


def test_a_library_that_computes_nonsense_does_not_work(report_with):
    text = report_with("cupy", CUPY + "def sum(x):\n    return 5.0\n")
    assert "gives 2 + 2 = 5.0 on cuda:0" in text


def test_a_cpu_build_beside_a_driver_is_pointed_out(report_with, monkeypatch):
    monkeypatch.setattr(doctor, "_driver_cuda", lambda: "12.8")
    numpy_alone = "from numpy import *\nclass cuda:\n    device_count = staticmethod(int)\n"
    text = report_with("torch", numpy_alone)
    assert "works on cpu; sees no GPU: is this torch built for the CPU only?" in text


def test_a_library_that_warns_when_imported_does_not_warn_through_the_doctor(report_with):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = report_with("cupy", "import warnings\nwarnings.warn('old')\n" + CUPY)
    assert "works on cuda:0" in text


def test_show_backends_prints_the_report(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "LIBRARIES", {"numpy": "pip install numpy"})
    assert xpmlp.show_backends() is None
    assert capsys.readouterr().out == doctor.report() + "\n"
