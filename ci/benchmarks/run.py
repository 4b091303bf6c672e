"""Start the workers, let them take turns, and keep what they say."""

import datetime
import json
import os
import platform
import random
import statistics
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from xpmlp.arrays import Location, array_at
from xpmlp.errors import DeviceError

from .peers import CONTENDERS
from .report import setting

PACKAGES = (
    "xpmlp", "numpy", "scikit-learn", "torch", "triton", "jax", "jaxlib",
    "onnxruntime", "cupy-cuda12x", "cupy-cuda13x", "cuda-pathfinder", "nvidia-cublas",
)  # fmt: skip
QUERY = "name,driver_version,memory.total,clocks.max.sm,clocks.sm,power.limit"  # of nvidia-smi

ROOT = Path(__file__).resolve().parents[2]  # of the checkout, where a worker finds what it runs
PINS = hasattr(os, "sched_setaffinity")
# What a worker runs: first of all, as JAX counts the CPUs that it may use when it is loaded.
START = """import os, sys
if {cpus}:
    os.sched_setaffinity(0, {cpus})
sys.path.insert(0, {root!r})
sys.modules.update(dict.fromkeys({without}))  # the modules that it must not find
from {package}.worker import main
main()"""

ESTIMATORS = {"xpmlp": "xpmlp", "sklearn": "sklearn.neural_network"}  # package -> where they are
# What a fresh process runs, to say what it waits for.
FRESH = """import json
from time import perf_counter
start = perf_counter()
import {package}
package = perf_counter()
from {home} import MLPClassifier
estimators = perf_counter()
import numpy as np
X = np.random.default_rng(0).normal(size=(150, 4))
marks = [perf_counter()]
for _ in range(2):
    MLPClassifier((8,), max_iter=5).fit(X, X[:, 0] > 0)
    marks.append(perf_counter())
first, second = np.diff(marks)
print(json.dumps(dict(package=package - start, estimators=estimators - start, fit=first - second)))
"""


class Worker:
    """A contender's process, asked by `ask`."""

    def __init__(self, contender, threads):
        cpus = sorted(available_cpus())[-threads:] if PINS else []
        code = START.format(
            cpus=cpus, root=str(ROOT), without=contender.without, package=__package__
        )
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        self.process: Any = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env=os.environ | environment(threads, contender.device),
        )
        names = [contender.device, contender.kind, contender.name]
        self._send({"contender": names, "threads": threads})

    def _send(self, request):
        with suppress(BrokenPipeError):  # the answer that does not come is told below
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()

    def ask(self, **request):
        """Return the answer: {"error": reason} if there is none."""
        self._send(request)
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.errors.seek(0)
        said = self.errors.read().strip().splitlines() or [""]
        return {"error": f"its process ended with {self.process.wait()}: {said[-1]}"[:200]}

    def close(self):
        """End the process."""
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()
        self.errors.close()


class Absent(NamedTuple):
    """The stand-in of a contender that cannot start."""

    reason: str

    def ask(self, **request):
        """Return the reason."""
        return {"error": self.reason}

    def close(self):
        """Do nothing."""


def available_cpus():
    """Return the numbers of the CPUs that this process may run on."""
    return os.sched_getaffinity(0) if PINS else range(os.cpu_count() or 1)


def environment(threads, device="cpu"):
    """Return the variables that hold every library to so many threads, and JAX to the device."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB")
    common = {f"{name}_NUM_THREADS": str(threads) for name in names} | {
        "JAX_PLATFORMS": device,
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of compilers beside the timings
    }
    if device == "cuda":
        return common | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # there are others
    return common | {"XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false" if threads == 1 else ""}


def contenders(kind, groups=(), device="cpu"):
    """Return xpmlp and the peers of the groups asked for, all if none is."""
    wanted = {"own", *groups} if groups else {c.group for c in CONTENDERS}
    return [c for c in CONTENDERS if (c.device, c.kind) == (device, kind) and c.group in wanted]


def measure(
    cases, rivals, threads, *, rounds=9, seconds=0.2, least=1, quick=False, say=lambda text: None
):
    """Time contenders on cases of their kind, one at a time, in turns.

    least: units that a timing takes at least; quick: without steps launched by the host where a
    step is heavy.
    Yields a case's records, one a contender: "seconds" (a unit, an entry a round), or "error".
    """
    # A fit gets fresh processes: memory that an earlier one left behind would hide its own.
    batches = [[case] for case in cases] if rivals[0].kind == "fits" else [cases]
    for batch in batches:
        workers: dict = {}
        try:
            for case in batch:
                able = [c for c in rivals if not (quick and case.heavy and c.launches)]
                for contender in able:
                    if contender not in workers:
                        workers[contender] = _worker(contender, threads)
                where = {"device": rivals[0].device, "precision": case.precision}
                say(f"{rivals[0].kind} {case.name}, {setting(where | {'threads': threads})}")
                asked = {contender: workers[contender] for contender in able}
                found = _rounds(case, asked, threads, rounds, seconds, least)
                yield list(found.values())
                for contender, record in found.items():  # an error may have broken its process
                    if "error" in record:
                        workers.pop(contender).close()
        finally:
            for worker in workers.values():
                worker.close()


def _worker(contender, threads):
    """Start a contender's process, unless what it needs is missing."""
    missing = [name for name in contender.needs if find_spec(name) is None]
    return Absent(f"{missing[0]} is not installed") if missing else Worker(contender, threads)


def _rounds(case, workers, threads, rounds, seconds, least):
    """Let the workers make a case ready, then time it in turns, in an order that changes."""
    found: dict = {}
    order, request = random.Random(0), {"seconds": seconds, "least": least}
    for contender, worker in workers.items():
        answer = worker.ask(case=asdict(case), **request)
        found[contender] = {
            "kind": contender.kind, "case": case.name, "device": contender.device,
            "precision": case.precision, "threads": threads, "name": contender.name,
            "role": contender.role, "floor": case.floor, "goal": case.goal,
            "peak_goal": case.peak_goal if case.epochs else None, **answer,
            "seconds": [], "device_seconds": [],
        }  # fmt: skip
    for _ in range(rounds):
        able = [c for c, record in found.items() if "error" not in record]
        for contender in order.sample(able, len(able)):
            record, answer = found[contender], workers[contender].ask(**request)
            if "error" in answer:
                record["error"] = answer["error"]
            for key in ("seconds", "device_seconds"):
                record[key] += [answer[key]] if answer.get(key) else []
    return found


def import_seconds(rounds=5):
    """Return seconds in fresh processes, medians: {"xpmlp": {what: seconds}, "sklearn": ...}."""
    found: dict = {}
    for _ in range(rounds):
        for package, home in ESTIMATORS.items():
            command = [sys.executable, "-c", FRESH.format(package=package, home=home)]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            for what, seconds in json.loads(run.stdout).items():
                found.setdefault(package, {}).setdefault(what, []).append(seconds)
    return {
        package: {what: statistics.median(runs) for what, runs in timed.items()}
        for package, timed in found.items()
    }


def machine():
    """Return what the timings depend on: CPU, cores, versions, date."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    lines = (line.partition(":") for line in info.partition("\n\n")[0].splitlines())
    fields = {key.strip(): value.strip() for key, _, value in lines}
    flags = [f for f in fields.get("flags", "").split() if f.startswith(("avx", "amx", "fma"))]
    versions = {name: metadata.version(name) for name in PACKAGES if _installed(name)}
    return {
        "date": datetime.date.today().isoformat(),
        "cpu": fields.get("model name", platform.processor() or platform.machine()),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "flags": flags,
        "load": os.getloadavg()[0] if PINS else None,  # before the first timing
        "python": platform.python_version(),
        "versions": versions,
    }


def card():
    """Return what the timings on a card depend on, beside `machine`.

    Raises
    ------
    DeviceError
        Where there is no card that works.
    """
    try:
        array_at(Location("cupy", "cuda:0"))
    except DeviceError as error:
        raise DeviceError(
            f"--device cuda needs a card that CuPy works on, and {error}; `xpmlp doctor` says what "
            "to install, without --device the CPU is timed."
        ) from error
    import cupy

    runtime = cupy.cuda.runtime
    command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20).stdout
    except (OSError, subprocess.TimeoutExpired):  # a container may lack it
        said = ""
    return {
        "card": runtime.getDeviceProperties(0)["name"].decode(),
        "cuda_runtime": runtime.runtimeGetVersion(),
        "cuda_driver": runtime.driverGetVersion(),
        "cards": [dict(zip(QUERY.split(","), line.split(", "))) for line in said.splitlines()],
    }


def _installed(name):
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False
