"""Tests of what stands between a host array and a CUDA GPU: driver, CuPy, compiler, products.

`ask` does so in a process of its own, under a time limit: a driver may hang or crash.
"""

import ctypes
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import warnings
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep
from typing import Any

import numpy as np

from ..arrays import cuda_driver
from .other_gpus import pci_kinds

CODE = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from xpmlp.cli.cuda_probe import write_facts; write_facts(sys.argv[1])"
)


def ask(limit=20.0):
    """Return the facts by link; of the one that took more than `limit` seconds or crashed: that."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path, nowhere = Path(folder, "facts"), subprocess.DEVNULL
        command = [sys.executable, "-P", "-c", CODE, str(path), json.dumps(sys.path)]
        child = subprocess.Popen(command, stdin=nowhere, stdout=nowhere, stderr=nowhere)
        answers, patience = None, 60.0  # to begin, which is to import NumPy, from a slow disk
        end = monotonic() + patience
        while child.poll() is None and monotonic() < end:
            sleep(0.02)
            before, answers = answers, _answers(path)
            if answers != before:
                patience = limit
                if len(answers) >= len(LINKS) - 1:
                    # The engine, and what it needs of CuPy's, is compiled when it runs first.
                    patience = max(limit, 100)
                end = monotonic() + patience
        code, facts = child.returncode, dict(_answers(path) or [])
        if code is None:
            child.kill()
            try:
                child.wait(1)
            except subprocess.TimeoutExpired:  # what waits inside the kernel cannot be killed
                pass
    if code != 0 and len(facts) < len(LINKS):
        facts[[*LINKS][len(facts)]] = {"fate": _fate(code, patience)}
    return facts


def _answers(path):
    """What the child has written, None before it begins; its last line may be half of one."""
    if path.exists():
        return [*map(json.loads, path.read_text().split("\n")[:-1])]
    return None


def _fate(code, patience):
    """How a child ended that did not answer; code: None where it had to be killed."""
    if code is None:
        return f"gives no answer in {patience:g} s"
    if code < 0:
        return f"crashes ({signal.Signals(-code).name})"
    return f"crashes (exit code {code})"


def write_facts(path):
    """Write a line of JSON a link: (name, facts). Runs in the child."""
    warnings.simplefilter("ignore")
    Path(path).touch()
    facts: dict[str, dict[str, Any]] = {}
    for link, probe in LINKS.items():
        try:
            facts[link] = probe(facts)
        except Exception as error:  # a driver or library raises what it likes
            facts[link] = {"error": reason(error)}
        with open(path, "a") as file:
            file.write(json.dumps([link, facts[link]]) + "\n")


def reason(error):
    """Kind and first line of an error, or of the one behind it, which CuPy wraps in a banner."""
    if isinstance(error.__cause__, ImportError):
        error = error.__cause__
    first_line = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}: {first_line}"


def _driver(facts):
    """Version of CUDA that the driver runs; without one, what else shows a GPU or a driver."""
    if version := cuda_driver():
        numbers = [int(part) for part in version.split(".")]
        return {"cuda": numbers, "version": _smi("--query-gpu=driver_version")}
    return {
        "cuda": None,
        "wsl": "microsoft" in platform.release().lower(),
        "container": any(map(os.path.exists, ("/.dockerenv", "/run/.containerenv"))),
        "module": os.path.exists("/proc/driver/nvidia/version") or bool(shutil.which("nvidia-smi")),
        "card": (0x10DE, 0x03) in pci_kinds(),  # NVIDIA's display
    }


def _smi(*query):
    """First row that nvidia-smi prints, as text; empty where it is not there or does not answer."""
    command = ["nvidia-smi", *query, "--format=csv,noheader"]
    try:
        out = subprocess.run(command, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = out.stdout.splitlines()
    return lines[0] if lines and out.returncode == 0 else ""


def _card(facts):
    """Name, capability and memory of the first GPU, how many there are; or CUDA's error."""
    if not facts["driver"].get("cuda"):
        return {}
    cuda = ctypes.CDLL({"nt": "nvcuda.dll"}.get(os.name, "libcuda.so.1"))
    number, context = ctypes.c_int(), ctypes.c_void_p()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    text = ctypes.create_string_buffer(256)
    found: dict[str, Any] = {"visible": os.environ.get("CUDA_VISIBLE_DEVICES")}
    if code := cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(number)):
        return found | {"code": code}
    if not number.value:
        return found | {"code": 100}  # CUDA_ERROR_NO_DEVICE
    found["n"] = number.value
    cuda.cuDeviceGetName(text, 256, 0)
    found["name"] = text.value.decode()
    capability = []
    for attribute in (75, 76):  # compute capability, major and minor
        cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, 0)
        capability.append(number.value)
    found["capability"] = capability
    cuda.cuDeviceTotalMem_v2(ctypes.byref(total), 0)
    code = cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
    if not code:
        cuda.cuCtxSetCurrent(context)
        code = cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
        cuda.cuDevicePrimaryCtxRelease_v2(0)
    found |= {"code": code, "free": free.value, "total": total.value}
    if scarce(found):
        cuda.cuDeviceGetPCIBusId(text, 256, 0)
        query = "--query-compute-apps=process_name,pid,used_memory"
        found["holder"] = _smi(query, "--id=" + text.value.decode())
    return found


def scarce(card):
    """Tell whether a GPU's memory is nearly full: CUDA's own context found no room, or so."""
    return card["code"] == 2 or (card["code"] == 0 and card["free"] < max(card["total"] / 10, 1e9))


def _cupy(facts):
    """CuPy's wheels and version; none is imported where two overwrite each other."""
    names = {dist.name for dist in metadata.distributions() if dist.name}
    wheels = sorted(n for n in names if n == "cupy" or n.startswith(("cupy-cuda", "cupy-rocm")))
    if len(wheels) > 1 or not find_spec("cupy"):
        return {"wheels": wheels}
    try:
        return {"wheels": wheels, "version": import_module("cupy").__version__}
    except Exception as error:
        return {"wheels": wheels, "error": reason(error)}


def _can_compute(facts):
    return facts["card"].get("code") == 0 and "version" in facts["cupy"]


def _compiler(facts):
    """Compile and run a kernel of CuPy's."""
    if not _can_compute(facts):
        return {}
    os.environ["CUPY_CACHE_IN_MEMORY"] = "1"  # a kernel that was kept on disk proves no compiler
    cupy = import_module("cupy")
    total = float(cupy.sum(cupy.ones(2, dtype=cupy.float32) + 1))
    del os.environ["CUPY_CACHE_IN_MEMORY"]
    if total != 4:
        return {"error": f"it gives 2 + 2 = {total}"}
    return {"works": True}


def _products(facts):
    """Multiply by cuBLAS, and open cuBLASLt as the engine does."""
    if not _can_compute(facts):
        return {}
    cupy = import_module("cupy")
    x = cupy.asarray(np.eye(2, dtype="float32") + 1)
    if cupy.asnumpy(x @ x).tolist() != [[5.0, 4.0], [4.0, 5.0]]:
        return {"error": f"[[2, 1], [1, 2]] squared is {cupy.asnumpy(x @ x).tolist()}"}
    try:
        from ..engines.cupy import cublaslt

        cublaslt.CublasLt()
        return {"works": True, "cublaslt": cublaslt.version()}
    except Exception as error:
        return {"works": True, "error": reason(error)}


def _engine(facts):
    """Fit a small network with each kind of step; the plain operations say what is right."""
    if not facts["compiler"].get("works") or not facts["products"].get("works"):
        return {}
    from ..estimators import MLPRegressor

    cupy, x = import_module("cupy"), np.random.default_rng(0).normal(size=(64, 5))
    X, y = cupy.asarray(x, dtype="float32"), cupy.asarray(np.sin(x[:, 0]), dtype="float32")

    def fit(kind):
        regressor = MLPRegressor(hidden_layer_sizes=8, batch_size=16, max_iter=2, random_state=0)
        return regressor.set_params(accelerate=kind).fit(X, y)

    def alike(a, b):
        return np.allclose(cupy.asnumpy(a), cupy.asnumpy(b), atol=1e-4)

    right, found = fit("generic"), {}
    for kind in ("eager", "graph"):
        try:
            model = fit(kind)
            found[kind] = "; ".join(map(str, model.fit_report_["notes"]))
            if not all(map(alike, model.coefs_, right.coefs_)):
                found[kind] = "other numbers than by plain operations"
        except Exception as error:
            found[kind] = reason(error)
    return found


LINKS = {f.__name__[1:]: f for f in (_driver, _card, _cupy, _compiler, _products, _engine)}
