"""Each way in which a card can be out of reach is told with its cause and what to type."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest
from each import each

from xpmlp.cli import cuda, cuda_probe, doctor

ROOT = Path(__file__).parents[2]
NONE = {"cuda": None, "wsl": False, "container": False, "module": False, "card": False}
CARD = {
    "visible": None,
    "n": 1,
    "name": "NVIDIA H100",
    "capability": [9, 0],
    "code": 0,
    "free": 79_000_000_000,
    "total": 85_000_000_000,
}
GOOD = {
    "driver": {"cuda": [13, 0], "version": "580.65.06"},
    "card": CARD,
    "cupy": {"wheels": ["cupy-cuda13x"], "version": "14.2.0"},
    "compiler": {"works": True},
    "products": {"works": True, "cublaslt": [13, 10, 0]},
    "engine": {"eager": "", "graph": ""},
}
FULL = CARD | {"free": 300_000_000, "holder": "python3, 4242, 78000 MiB"}
NO_NVRTC = 'DynamicLibNotFoundError: Failure finding "libnvrtc.so.13 or libnvrtc.so.12"'
NO_CUBLAS = 'ImportError: Failure finding "libcublasLt.so.13 or libcublasLt.so.12"'
OLD_DRIVER = "CUDARuntimeError: cudaErrorInsufficientDriver: CUDA driver version is insufficient"
CUDA12 = 'pip uninstall -y cupy-cuda13x && pip install "xpmlp[cuda12]"'

# What is found of links, and what the row of the first of them then says.
CAUSES = {
    "no driver": ({"driver": NONE}, "none, and no NVIDIA GPU is seen"),
    "a card without a driver": (
        {"driver": NONE | {"card": True}},
        "none, but an NVIDIA GPU: sudo ubuntu-drivers install",
    ),
    "WSL": ({"driver": NONE | {"wsl": True}}, "install NVIDIA's driver in Windows, then"),
    "a container": (
        {"driver": NONE | {"module": True, "container": True}},
        "none in this container: start it with docker run --gpus all",
    ),
    "half a driver": ({"driver": NONE | {"module": True}}, "its library libcuda.so.1 is not found"),
    "a driver of CUDA 11": (
        {"driver": {"cuda": [11, 4], "version": "470.1"}},
        "too old, for CUDA 11.4 where CuPy needs 12: update it, https://www.nvidia.com/drivers",
    ),
    "a driver that hangs": (
        {"driver": {"fate": "gives no answer in 20 s"}},
        "gives no answer in 20 s: type nvidia-smi; where that does not answer either, restart",
    ),
    "a driver that is no driver": (
        {"card": {"error": "AttributeError: undefined symbol: cuInit"}},
        "does not work (AttributeError: undefined symbol: cuInit): type nvidia-smi",
    ),
    "no card": ({"card": {"visible": None, "code": 100}}, "finds none: type nvidia-smi"),
    "hidden cards": (
        {"card": {"visible": "", "code": 100}},
        "CUDA_VISIBLE_DEVICES='' hides all: unset CUDA_VISIBLE_DEVICES",
    ),
    "a stub": ({"card": {"visible": "", "code": 34}}, "take its folder out of LD_LIBRARY_PATH"),
    "an updated driver": ({"card": {"visible": None, "code": 803}}, "update: sudo reboot"),
    "an unknown code": ({"card": {"visible": None, "code": 719}}, "CUDA error 719: type nvidia-"),
    "a card that another program has": ({"card": CARD | {"code": 46}}, "has the GPU for itself"),
    "a card of 2014": ({"card": CARD | {"capability": [3, 5]}}, "too old for CUDA 12"),
    "no room for a context": (
        {"card": FULL | {"code": 2, "free": 0}},
        "only 0.0 of 85.0 GB free; python3 (process 4242) holds 78000 MiB: type nvidia-smi",
    ),
    "a card that crashes": (
        {"card": {"fate": "crashes (SIGSEGV)"}},
        "crashes (SIGSEGV): type nvidia-smi",
    ),
    "no CuPy": ({"cupy": {"wheels": []}}, 'not installed: pip install "xpmlp[cuda13]"'),
    "no CuPy, driver for 12": (
        {"cupy": {"wheels": []}, "driver": {"cuda": [12, 8], "version": ""}},
        'not installed: pip install "xpmlp[cuda12]"',
    ),
    "two wheels": (
        {"cupy": {"wheels": ["cupy-cuda12x", "cupy-cuda13x"]}},
        "cupy-cuda12x and cupy-cuda13x overwrite each other's files: "
        'pip uninstall -y cupy-cuda12x cupy-cuda13x && pip install "xpmlp[cuda13]"',
    ),
    "a wheel for 13, a driver for 12": (
        {"cupy": GOOD["cupy"], "driver": {"cuda": [12, 8], "version": "570.1"}},
        f"cupy-cuda13x needs a driver for CUDA 13, this one is for 12.8: {CUDA12}",
    ),
    "a wheel for 13, a card before Turing": (
        {"cupy": GOOD["cupy"], "card": CARD | {"capability": [7, 0]}},
        f"cupy-cuda13x needs compute capability 7.5, the GPU has 7.0: {CUDA12}",
    ),
    "an old CuPy": (
        {"cupy": {"wheels": ["cupy-cuda12x"], "version": "13.6.0"}},
        'too old: pip install "xpmlp[cuda13]"',
    ),
    "a CuPy that cannot be imported": (
        {"cupy": {"wheels": ["cupy-cuda13x"], "error": "ImportError: numpy.core is not there"}},
        "(ImportError: numpy.core is not there): pip install --force-reinstall",
    ),
    "a CuPy that crashes": (
        {"cupy": {"fate": "crashes (SIGILL)"}},
        'crashes (SIGILL): pip install --force-reinstall "xpmlp[cuda13]"',
    ),
    "no compiler": (
        {"compiler": {"error": NO_NVRTC}},
        f'the first kernel fails ({NO_NVRTC}): a part of CUDA is missing: pip install "xpmlp[cuda1',
    ),
    "no headers": (
        {"compiler": {"error": "CompileException: cannot open source file cuda_fp16.h"}},
        'a part of CUDA is missing: pip install "xpmlp[cuda13]"',
    ),
    "a CuPy from elsewhere and an old driver": (
        {"compiler": {"error": OLD_DRIVER}},
        "too old a driver for this CuPy: update it, or pip install",
    ),
    "no memory for a kernel": (
        {"compiler": {"error": "OutOfMemoryError: Out of memory allocating 512 bytes"}},
        "free the GPU's memory: nvidia-smi shows who holds it",
    ),
    "no cuBLAS": (
        {"products": {"error": NO_CUBLAS}},
        f'cuBLAS fails ({NO_CUBLAS}): a part of CUDA is missing: pip install "xpmlp[cuda13]"',
    ),
    "a CuPy that lacks an operation": (
        {"engine": {"error": "AttributeError: module 'cupy' has no attribute 'take'"}},
        "plain operations fail to train a network (AttributeError: module 'cupy' has no",
    ),
}


def row(facts, name):
    (found,) = (row for row in cuda.rows(facts) if row.name == name)
    return found


def fits(row):
    """Whether the report shows all of a row's text."""
    lines = doctor._row(*row[:3], lines=4).splitlines()
    return max(map(len, lines)) <= 100 and not lines[-1].endswith("[...]")


@each("cause", CAUSES)
def test_what_breaks_the_chain_is_told_with_what_to_type_and_named_by_the_verdict(cause):
    changes, text = CAUSES[cause]
    name = {"cupy": "CuPy"}.get(next(iter(changes)), next(iter(changes)))
    broken = row(GOOD | changes, name)
    assert text in broken.text and broken.works is False, broken
    assert fits(broken)
    first = next(row.name for row in cuda.rows(GOOD | changes) if not row.works)
    wanted = f"everything runs on the CPU; device='cuda' fails until this works: {first}"
    assert row(GOOD | changes, "verdict").text == wanted


def test_where_all_works_each_row_says_so_and_the_verdict_what_each_device_means():
    found = cuda.rows(GOOD)
    assert all(row.works for row in found)
    assert [row.version for row in found] == ["580.65.06", "-", "14.2.0", "-", "13.10.0", "-", "-"]
    text = "\n".join(row.text for row in found)
    assert "cuda:0 NVIDIA H100, compute capability 9.0, 79.0 of 85.0 GB free" in text
    assert "cuBLAS works, and cuBLASLt" in text
    assert "accelerate='eager' and 'graph' train like plain operations" in text
    assert found[-1].text.startswith("device='cuda' uses cuda:0, and so does device='auto'")
    assert "cuda:1" not in found[-1].text
    assert "a fit takes one GPU, device='cuda:1' another" in (
        row(GOOD | {"card": CARD | {"n": 2}}, "verdict").text
    )


# What does not stop device="cuda" from working.
WEAKNESSES = {
    "little memory": ("card", FULL, "only 0.3 of 85.0 GB free; python3 (process 4242) holds 78000"),
    "little memory, taken by nobody who is seen": (
        "card",
        FULL | {"holder": ""},
        "another program holds the rest: type nvidia-smi",
    ),
    "eight cards": ("card", CARD | {"n": 8}, "cuda:0 NVIDIA H100 and 7 more"),
    "no cuda-pathfinder": (
        "products",
        {"works": True, "error": "ModuleNotFoundError: No module named 'cuda'"},
        "so accelerate='graph' becomes 'eager': pip install --force-reinstall \"xpmlp[cuda13]\"",
    ),
    "no cuBLASLt": (
        "products",
        {"works": True, "error": "RuntimeError: libcublasLt.so.13"},
        "cuBLASLt fails (RuntimeError: libcublasLt.so.13), so accelerate='graph' becomes 'eager': "
        'a part of CUDA is missing: pip install "xpmlp[cuda13]"',
    ),
    "a cuBLASLt that does not fit the driver": (
        "products",
        {"works": True, "error": "CublasLtError: cublasLtCreate: CUBLAS_STATUS_NOT_INITIALIZED"},
        'pip install --force-reinstall "xpmlp[cuda13]"',
    ),
    "kernels that do not compile": (
        "engine",
        {"eager": "CompileException: kernels.cu(7)", "graph": ""},
        "accelerate='graph' trains like plain operations; 'eager': CompileException: kernels.cu(7)",
    ),
}


@each("weakness", WEAKNESSES)
def test_what_weakens_a_working_card_is_told_too(weakness):
    link, mine, text = WEAKNESSES[weakness]
    weak = row(GOOD | {link: mine}, link)
    assert text in weak.text and fits(weak)
    assert row(GOOD | {link: mine}, "verdict").works


def test_a_link_that_waits_for_another_says_for_which():
    facts = {"driver": {"cuda": [13, 0], "version": ""}, "card": {"fate": "crashes (SIGSEGV)"}}
    found = {row.name: row for row in cuda.rows(facts)}
    assert found["compiler"] == ("compiler", "-", "not tried: see card", None)


def test_without_a_card_a_cupy_that_is_installed_proves_little():
    cupy = row({"driver": NONE, "card": {}, "cupy": GOOD["cupy"]}, "CuPy")
    assert cupy == ("CuPy", "14.2.0", "cupy-cuda13x imports; more shows on a GPU", True)


def test_a_machine_without_a_card_hears_of_nothing_that_is_missing():
    text = "everything runs on the CPU; device='cuda' is for NVIDIA GPUs, and none is seen"
    for driver in (NONE, NONE | {"container": True}):
        assert cuda.rows({"driver": driver, "card": {}, "cupy": {"wheels": []}}) == [
            ("verdict", "-", text, None)
        ]
    assert len(cuda.rows({"driver": NONE, "card": {}, "cupy": GOOD["cupy"]})) > 1


LIBCUDA = """
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
int cuDriverGetVersion(int *version) { *version = 12080; return 0; }
int cuInit(unsigned flags) { INIT; }
int cuDeviceGetCount(int *n) { *n = COUNT; return 0; }
int cuDeviceGetName(char *name, int n, int card) { strcpy(name, "Model T"); return 0; }
int cuDeviceGetAttribute(int *value, int what, int card) { *value = what == 75 ? 8 : 6; return 0; }
int cuDeviceTotalMem_v2(size_t *n, int card) { *n = 24000000000; return 0; }
int cuDevicePrimaryCtxRetain(void **context, int card) { return CONTEXT; }
int cuDevicePrimaryCtxRelease_v2(int card) { return 0; }
int cuCtxSetCurrent(void *context) { return 0; }
int cuMemGetInfo_v2(size_t *free, size_t *total) { *free = FREE; *total = 24000000000; return 0; }
int cuDeviceGetPCIBusId(char *id, int n, int card) { strcpy(id, "0000:65:00.0"); return 0; }
"""
SMI = """#!/bin/sh
case "$*" in
  *driver_version*) echo 570.86.15 ;;
  *compute-apps*id=0000:65:00.0*) echo "/usr/bin/python3, 77, 23000 MiB" ;;
  *) exit 9 ;;
esac
"""


@pytest.fixture
def ask_with(monkeypatch, tmp_path):
    """Ask with a driver of our own, compiled; its functions' bodies are what is given."""
    if sys.platform != "linux" or not shutil.which("cc"):
        pytest.skip("compiles a library that stands for Linux's driver")

    def ask_with(limit=20.0, **macros):
        values = {"INIT": "return 0", "COUNT": 2, "CONTEXT": 0, "FREE": 20000000000} | macros
        defined = [f"-D{name}={value}" for name, value in values.items()]
        (tmp_path / "cuda.c").write_text(LIBCUDA)
        (tmp_path / "nvidia-smi").write_text(SMI)
        (tmp_path / "nvidia-smi").chmod(0o755)
        library = ["-shared", "-fPIC", "-o", tmp_path / "libcuda.so.1", tmp_path / "cuda.c"]
        subprocess.run(["cc", *defined, *library], check=True)
        monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        return cuda_probe.ask(limit)

    return ask_with


def test_a_card_is_found_by_its_driver_alone(ask_with):
    facts = ask_with()
    assert facts["driver"] == {"cuda": [12, 8], "version": "570.86.15"}
    assert facts["card"] == {
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES"),
        "n": 2,
        "name": "Model T",
        "capability": [8, 6],
        "code": 0,
        "free": 20_000_000_000,
        "total": 24_000_000_000,
    }


@pytest.mark.parametrize("macros", [{"FREE": 500000000}, {"CONTEXT": 2}])
def test_who_holds_the_memory_of_a_full_card_is_asked_for(ask_with, macros):
    assert "/usr/bin/python3 (process 77) holds 23000 MiB" in row(ask_with(**macros), "card").text


def test_a_driver_without_a_card_is_no_card_and_hidden_ones_are_told(ask_with, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    for macros in ({"INIT": "return 100"}, {"COUNT": 0}):
        found = ask_with(**macros)["card"]
        assert found == {"visible": "-1", "code": 100}


def test_a_driver_that_crashes_or_hangs_takes_no_doctor_along(ask_with, monkeypatch):
    crash = ask_with(INIT="raise(SIGSEGV); return 0")
    hang = ask_with(limit=0.5, INIT="pause(); return 0")
    assert crash["card"] == {"fate": "crashes (SIGSEGV)"}
    assert hang["card"] == {"fate": "gives no answer in 0.5 s"}
    assert crash["driver"]["cuda"] == hang["driver"]["cuda"] == [12, 8]
    monkeypatch.setattr(cuda_probe, "ask", lambda: crash)
    text = doctor.report()
    assert "crashes (SIGSEGV): type nvidia-smi" in text
    # Other libraries would ask the driver in this process.
    installed = [name for name in doctor.CARD_USERS if find_spec(name)]
    assert text.count("not tried, as it would ask the driver") == len(installed)


CUPY = """
import numpy as np
__version__ = "14.2.0"
ndarray = type("ndarray", (), {})
ones, float32, sum, asarray, asnumpy = np.ones, np.float32, np.sum, np.asarray, np.asarray
"""
BROKEN = {
    "import": ("raise ImportError('libcudart.so.13')", "cupy", "ImportError: libcudart.so.13"),
    "banner": (
        "try:\n    import no_part_of_it\n"
        "except ImportError as error:\n    raise ImportError('=====') from error",
        "cupy",
        "ModuleNotFoundError: No module named 'no_part_of_it'",
    ),
    "kernel": ("def ones(*n, dtype):\n    raise OSError('a\\nb')", "compiler", "OSError: a"),
    "sum": ("def sum(x):\n    return 5.0", "compiler", "it gives 2 + 2 = 5.0"),
    "product": ("asarray = lambda x: np.ones((2, 2))", "products", "[[2, 1], [1, 2]] squared is"),
}


@pytest.fixture
def ask_on_a_card(ask_with, monkeypatch, tmp_path):
    """Ask with a driver and a CuPy of our own, NumPy underneath, changed by the text given."""

    def ask_on_a_card(text=""):
        (tmp_path / "cupy.py").write_text(CUPY + text)
        monkeypatch.syspath_prepend(tmp_path)
        return ask_with()

    return ask_on_a_card


def test_each_link_is_tried_for_real(ask_on_a_card):
    facts = ask_on_a_card()
    assert facts["cupy"]["version"] == "14.2.0"
    assert facts["compiler"] == {"works": True} and facts["products"]["works"]
    why = "changes nothing: its kernels do not run on numpy arrays on cpu"
    assert facts["engine"] == {kind: f"accelerate={kind!r} {why}" for kind in ("eager", "graph")}


@pytest.mark.parametrize("part", BROKEN)
def test_a_link_that_breaks_or_computes_wrongly_is_told_with_its_reason(ask_on_a_card, part):
    text, link, wanted = BROKEN[part]
    facts = ask_on_a_card(text)
    assert facts[link]["error"].startswith(wanted)
    assert not facts["engine"] and not row(facts, "verdict").works


ON_STANDIN = """
import json, sys
import cupy_standin
cupy_standin.install()
CUBLASLT
from xpmlp.cli import cuda_probe
facts = {"card": {"code": 0}}
for link in ("cupy", "compiler", "products", "engine"):
    facts[link] = cuda_probe.LINKS[link](facts)
print(json.dumps(facts))
"""


WITHOUT = "sys.modules['cuda'] = None", None, "cuBLASLt does not work here"
WITH = "import cublaslt_standin; cublaslt_standin.install()", [13, 10, 0], ""


@pytest.mark.skipif(not shutil.which("g++"), reason="the stand-in compiles kernels with g++")
@pytest.mark.parametrize("cublaslt, version, note", [WITHOUT, WITH], ids=["without", "with"])
def test_each_tier_is_tried_on_the_stand_ins_and_tells_what_it_lacks(cublaslt, version, note):
    path = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ON_STANDIN.replace("CUBLASLT", cublaslt)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
    )
    assert out.returncode == 0, out.stderr
    facts = json.loads(out.stdout)
    assert facts["products"]["works"] and facts["products"].get("cublaslt") == version
    assert facts["engine"]["eager"] == ""
    assert facts["engine"]["graph"].startswith(note) and bool(note) == bool(
        facts["engine"]["graph"]
    )


def test_two_wheels_are_seen_and_none_is_imported(monkeypatch):
    wheels = [SimpleNamespace(name=n) for n in ("cupy-cuda12x", "numpy", "cupy-cuda13x", None)]
    monkeypatch.setattr(cuda_probe.metadata, "distributions", lambda: wheels)
    assert cuda_probe._cupy({}) == {"wheels": ["cupy-cuda12x", "cupy-cuda13x"]}
