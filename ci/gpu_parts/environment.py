"""What the other parts run on: versions, the card and its clocks, what `xpmlp doctor` says."""

import os
import platform
import subprocess
import sys
import time
from importlib import import_module, metadata

from . import ROOT, Skip, cpus, needs_xpmlp

PACKAGES = (
    "numpy", "array-api-compat", "array-api-strict", "array-api-extra", "scikit-learn", "scipy",
    "cuda-pathfinder", "nvidia-cublas", "nvidia-cuda-nvrtc", "torch", "triton",
    "jax", "jaxlib", "ml-dtypes", "pytest", "pytest-xdist",
)  # fmt: skip
QUERY = (
    "name", "driver_version", "memory.total", "memory.used", "clocks.sm", "clocks.max.sm",
    "clocks.mem", "power.limit", "pstate", "utilization.gpu",
)  # fmt: skip


def environment(found, standin):
    """Note all that a timing depends on, or why nothing can run here."""
    found.note(unusable="CuPy did not answer")  # if it never does
    if reason := why_not():
        return found.note(unusable=reason)
    del found.outcome["unusable"]
    runtime = import_module("cupy").cuda.runtime
    found.note(
        card=runtime.getDeviceProperties(0)["name"].decode(),
        cuda_driver=runtime.driverGetVersion(),
        cuda_runtime=runtime.runtimeGetVersion(),
        cupy=import_module("cupy").__version__,
        python=platform.python_version(),
        machine=f"{platform.platform()}, {cpus()} CPUs, load {os.getloadavg()[0]:.1f}",
        versions={name: _version(name) for name in PACKAGES},
    )
    found.note(nvidia_smi=_smi())
    found.check("cuBLASLt answers", _cublaslt)
    return None


def why_not():
    """Say why nothing can run here; an empty string if something can."""
    try:
        cupy = import_module("cupy")
        if not cupy.cuda.is_available():
            return "CuPy finds no card or no driver (see nvidia-smi)"
        if (cupy.ones(2, dtype="float32") + 1).tolist() != [2.0, 2.0]:
            return "CuPy computes 1 + 1 wrongly"
    except Exception as error:  # a driver raises what it likes
        return f"CuPy does not work: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return ""


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def run(*command, seconds=20):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout.strip()


def _smi():
    try:
        said = run("nvidia-smi", f"--query-gpu={','.join(QUERY)}", "--format=csv,noheader")
    except (OSError, RuntimeError, subprocess.TimeoutExpired) as error:
        return str(error)
    return [dict(zip(QUERY, line.split(", "))) for line in said.splitlines()]


def _cublaslt():
    needs_xpmlp()
    return {"version": import_module("xpmlp.engines.cupy.cublaslt").version()}


def doctor(found, standin):
    """Keep what `xpmlp doctor` says."""
    found.check("xpmlp doctor ends well, and names the card", _doctor, found, standin)


def _doctor(found, standin):
    if standin:
        raise Skip("it asks CuPy in a process of its own")
    needs_xpmlp()
    text = run(sys.executable, "-m", "xpmlp", "doctor", seconds=found.left)
    found.note(text=text.splitlines())
    name = import_module("cupy").cuda.runtime.getDeviceProperties(0)["name"].decode()
    assert name in text, text


# ---- What a first use costs

PAIRS = {
    "float32": ("float32", "float32"),
    "float64": ("float64", "float64"),
    "bfloat16": ("float32", "bfloat16"),
}


def kernels(found, standin):
    """Compile all kernels: slow where CuPy's cache of compiled code is empty, else a look-up."""
    took = lambda start: round(time.perf_counter() - start, 3)
    start = time.perf_counter()
    cupy = import_module("cupy")
    seconds = {"import cupy": took(start)}
    start = time.perf_counter()
    cupy.empty(1)
    seconds["first array, with the context"] = took(start)
    start = time.perf_counter()
    float((cupy.ones(3, dtype="float32") * 2).sum())
    seconds["first operations"] = took(start)
    found.note(seconds=seconds)
    for name, pair in PAIRS.items():
        found.check(f"the kernels of {name} compile, and fit a block of 256", _compiled, *pair)


def _compiled(dtype, stored):
    needs_xpmlp()
    cupy, own = import_module("cupy"), import_module("xpmlp.engines.cupy.kernels")
    start = time.perf_counter()
    code = own.source()
    module = cupy.RawModule(code=code, options=own.options(dtype, stored))
    made = {name: module.get_function(name) for name, _ in own.DECLARED.findall(code)}
    seconds, found = round(time.perf_counter() - start, 3), {}
    for name, kernel in made.items():
        about = getattr(kernel, "attributes", {})  # the stand-in's have none
        keys = ("num_regs", "local_size_bytes", "shared_size_bytes", "max_threads_per_block")
        found[name] = {key: about.get(key) for key in keys}
    assert len(found) > 7
    few = {name: n for name, a in found.items() if (n := a[keys[-1]]) is not None and n < 256}
    assert not few, few
    return {"seconds": seconds, "kernels": found}
