import re
import sys
import warnings

import numpy as np
import pytest

import xpmlp
from xpmlp.cli import cuda_probe, doctor, main, other_gpus
from xpmlp.engines.native import library

TORCH = """
from numpy import *

class cuda:
    device_count = staticmethod(lambda: 1)
    get_device_name = staticmethod(lambda i: "NVIDIA H100")

ones = lambda n, dtype, device: full(n, 1, dtype)
"""
ACCELERATOR = """
class accelerator:
    is_available = staticmethod(lambda: {here})
    current_accelerator = staticmethod(lambda: type("device", (), {{"type": "{kind}"}}))
"""
NO_CARD = {"driver": {"cuda": None} | dict.fromkeys(("wsl", "container", "module", "card"), False)}


@pytest.fixture
def no_card(monkeypatch):
    """Ask no driver; `tests/cli/test_cuda_doctor.py` does."""
    monkeypatch.setattr(cuda_probe, "ask", lambda: NO_CARD)


@pytest.fixture
def report_with(monkeypatch, tmp_path, no_card):
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


@pytest.mark.parametrize("name", ["torch", "jax"])
def test_a_missing_library_is_reported_with_its_install_line(report_with, name):
    text = report_with(name, None)
    assert f'{name} - not installed: pip install "xpmlp[{name}]"' in text
    assert f"numpy {np.__version__} works on cpu" in text


def test_a_missing_extra_is_reported_with_its_install_line(monkeypatch, no_card):
    monkeypatch.setattr(doctor, "LIBRARIES", {})
    monkeypatch.setattr(doctor, "EXTRAS", {"no-such-package": ("does much", "pip install it")})
    assert "does much; not installed: pip install it" in doctor.report()


def test_the_compiled_engine_is_reported_with_its_blas_and_threads(no_card):
    if isinstance(library.library(), str):
        pytest.skip("needs the compiled engine, which a C++ compiler makes")
    text = " ".join(doctor.report().split())
    assert re.search(r"compiled engine (works|AVX2|AVX-512) steps and predictions", text), text
    assert re.search(r"arrays; (MKL|Accelerate|OpenBLAS|SciPy's BLAS), [^;]+; \d+ thread", text), (
        text
    )


def test_without_the_compiled_engine_the_doctor_says_why_and_what_to_install(monkeypatch, no_card):
    why = "xpmlp was installed without its compiled engine, as there was no C++ compiler"
    monkeypatch.setattr(library, "library", lambda: why)
    text = f"compiled engine - {why}; until then NumPy computes what it would"
    assert text in " ".join(doctor.report().split())


def test_the_command_prints_the_report(capsys, no_card):
    with pytest.raises(SystemExit) as end:
        main(["doctor"])
    assert end.value.code == 0 and capsys.readouterr().out.strip() == doctor.report().strip()


def test_a_broken_library_is_reported_with_the_first_line_of_its_reason(report_with):
    text = report_with("jax", "raise OSError('libfoo.so: no such file\\nsecond line')")
    assert "jax - does not work: OSError: libfoo.so: no such file" in text
    assert "second line" not in text
    assert f"numpy {np.__version__} works on cpu" in text


LONG = "a library's very long reason " * 100
CARD = {
    "visible": None, "n": 8, "name": "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
    "capability": [12, 0], "code": 0, "free": 0, "total": 96_000_000_000, "holder": f"{LONG}, 7, 8",
}  # fmt: skip


def test_a_report_of_nothing_but_endless_reasons_still_fits_one_screen(monkeypatch):
    def fail(name):
        raise RuntimeError(LONG)

    facts = {
        "driver": {"cuda": [13, 0], "version": "580"},
        "card": CARD,
        "cupy": {"wheels": [], "version": "14.2.0"},
        "compiler": {"works": True},
        "products": {"works": True, "error": LONG},
        "engine": {"eager": LONG, "graph": LONG},
    }
    monkeypatch.setattr(cuda_probe, "ask", lambda: facts)
    monkeypatch.setattr(doctor, "import_module", fail)
    lines = doctor.report().splitlines()
    assert len(lines) <= 40 and max(map(len, lines)) <= 100
    assert sum("does not work" in line for line in lines) >= 2


def test_a_library_that_computes_nonsense_does_not_work(report_with):
    text = report_with("torch", TORCH + "def sum(x):\n    return 5.0\n")
    assert "gives 2 + 2 = 5.0 on cpu" in text and "on cuda:0 NVIDIA H100" in text


def test_a_card_is_listed_with_the_library_that_works_on_it(report_with):
    assert "works on cpu; works on cuda:0 NVIDIA H100" in report_with("torch", TORCH)


def test_a_cpu_build_beside_a_driver_is_pointed_out(report_with, monkeypatch):
    card = {"name": "NVIDIA H100", "capability": [9, 0], "visible": None, "n": 1, "code": 46}
    monkeypatch.setattr(cuda_probe, "ask", lambda: NO_CARD | {"card": card})
    text = report_with("torch", TORCH + "cuda.device_count = int\n")
    assert "works on cpu; sees no GPU: is this torch built for the CPU only?" in text


def test_a_library_that_warns_when_imported_does_not_warn_through_the_doctor(report_with):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = report_with("torch", "import warnings\nwarnings.warn('old')\n" + TORCH)
    assert "works on cuda:0" in text


def test_show_backends_prints_the_report(capsys, monkeypatch, no_card):
    monkeypatch.setattr(doctor, "LIBRARIES", {"numpy": "pip install numpy"})
    assert xpmlp.show_backends() is None
    assert capsys.readouterr().out == doctor.report() + "\n"


# ---- GPUs of others


@pytest.mark.parametrize(
    ("here", "kind", "words"),
    [
        (True, "mps", "; works on mps"),
        (True, "xpu", "; works on xpu"),
        (False, "xpu", ""),
        (True, "cuda", ""),
    ],
)
def test_torchs_device_for_a_gpu_that_is_none_of_nvidias_is_tried(report_with, here, kind, words):
    text = report_with("torch", TORCH + ACCELERATOR.format(here=here, kind=kind))
    assert f"works on cpu; works on cuda:0 NVIDIA H100{words} NumPy's BLAS" in text


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """Fake a machine: its system, and PCI devices as (vendor, class)."""

    def machine(system, processor, *devices):
        monkeypatch.setattr(other_gpus.platform, "system", lambda: system)
        monkeypatch.setattr(other_gpus.platform, "machine", lambda: processor)
        for i, numbers in enumerate(devices):
            folder = tmp_path / f"0000:0{i}:00.0"
            folder.mkdir()
            for name, number in zip(("vendor", "class"), numbers):
                (folder / name).write_text(f"{number:#x}\n")
        return other_gpus.ask(tmp_path)

    return machine


@pytest.mark.parametrize(
    "devices, makers",
    [
        ([(0x1002, 0x030000)], ["AMD"]),  # Radeon
        ([(0x1002, 0x120000)], ["AMD"]),  # Instinct: an accelerator, no display
        ([(0x8086, 0x038000), (0x1002, 0x030000), (0x1002, 0x030000)], ["AMD", "Intel"]),
        ([(0x10DE, 0x030000)], []),  # NVIDIA's: the links of CUDA tell of it
        ([(0x8086, 0x020000), (0x8086, 0x120000), (0x1002, 0x040300)], []),  # no GPU among them
        ([(0x1002,)], []),  # a folder without a class
        ([], []),
    ],
)
def test_gpus_of_others_are_found_by_maker_and_class(machine, devices, makers):
    assert machine("Linux", "x86_64", *devices) == makers


def test_apples_gpu_is_known_by_its_processor_and_a_machine_without_folders_has_none(machine):
    assert machine("Darwin", "arm64") == ["Apple"]
    assert machine("Darwin", "x86_64") == machine("Windows", "AMD64") == []


@pytest.mark.parametrize(
    ("maker", "words"),
    [
        ("AMD", 'device="cuda", accelerate="generic" with CuPy for ROCm 7 (pip install cupy-rocm'),
        ("Intel", 'torch tensors on "xpu"'),
        ("Apple", 'torch tensors on "mps", in float32'),
    ],
)
def test_the_report_says_of_gpus_of_others_what_to_try_and_that_nobody_has(
    maker, words, report_with, monkeypatch
):
    monkeypatch.setattr(other_gpus, "ask", lambda: [maker])
    text = report_with("torch", None)
    assert f"Other GPUs {maker} - untried, by plain operations: {words}" in text
    monkeypatch.setattr(other_gpus, "ask", list)
    assert "Other GPUs" not in report_with("torch", None)


def test_what_is_said_of_gpus_of_others_fits_the_screen(monkeypatch, no_card):
    monkeypatch.setattr(doctor, "LIBRARIES", {})
    monkeypatch.setattr(other_gpus, "ask", lambda: ["AMD", "Apple", "Intel"])
    lines = doctor.report().splitlines()
    assert max(map(len, lines)) <= 100
    assert "..." not in "".join(lines[lines.index("Other GPUs") :])
