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
from contextlib import ExitStack, suppress
from dataclasses import asdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from .peers import CONTENDERS

PACKAGES = ("xpmlp", "numpy", "numba", "mkl", "scikit-learn", "torch", "jax", "onnxruntime")

PINS = hasattr(os, "sched_setaffinity")
# What a worker runs: first of all, as JAX counts the CPUs that it may use when it is loaded.
START = """import os, sys
if {cpus}:
    os.sched_setaffinity(0, {cpus})
sys.modules.update(dict.fromkeys({without}))  # the modules that it must not find
from {package}.worker import main
main()"""


class Worker:
    """A contender's process, asked by `ask`."""

    def __init__(self, contender, threads):
        cpus = sorted(available_cpus())[-threads:] if PINS else []
        code = START.format(cpus=cpus, without=contender.without, package=__package__)
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        self.process: Any = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env=os.environ | environment(threads),
        )  # fmt: skip
        self._send({"contender": [contender.kind, contender.name], "threads": threads})

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


def available_cpus():
    """Return the numbers of the CPUs that this process may run on."""
    return os.sched_getaffinity(0) if PINS else range(os.cpu_count() or 1)


def environment(threads):
    """Return the variables that hold every library to so many threads."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA", "VECLIB")
    single = "--xla_cpu_multi_thread_eigen=false" if threads == 1 else ""
    return {f"{name}_NUM_THREADS": str(threads) for name in names} | {
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": single,
        "TORCHINDUCTOR_COMPILE_THREADS": "1",  # no pool of compilers beside the timings
    }


def contenders(kind, groups=(), *, quick=False):
    """Return xpmlp and the peers of the groups asked for, all if none is; quick: not the slow."""
    wanted = {"own", *groups} if groups else {c.group for c in CONTENDERS}
    found = [c for c in CONTENDERS if c.kind == kind and c.group in wanted]
    return [c for c in found if not (quick and c.slow)]


def measure(cases, rivals, threads, *, rounds=9, seconds=0.2, say=lambda text: None):
    """Time contenders on cases of their kind, one at a time, in turns.

    Returns a record a contender and case: "seconds" (a unit, an entry a round), or "error".
    """
    # A fit gets fresh processes: memory that an earlier one left behind would hide its own.
    batches = [[case] for case in cases] if rivals[0].kind == "fits" else [cases]
    results = []
    for batch in batches:
        with ExitStack() as stack:
            workers = {contender: _worker(contender, threads, stack) for contender in rivals}
            for case in batch:
                say(f"{rivals[0].kind} {case.name}, {threads} thread{'s' * (threads > 1)}")
                results += _rounds(case, workers, threads, rounds, seconds)
    return results


def _worker(contender, threads, stack):
    """Start a contender's process, unless what it needs is missing; the stack ends it."""
    missing = [name for name in contender.needs if find_spec(name) is None]
    if missing:
        return Absent(f"{missing[0]} is not installed")
    worker = Worker(contender, threads)
    stack.callback(worker.close)
    return worker


def _rounds(case, workers, threads, rounds, seconds):
    """Let the workers make a case ready, then time it in turns, in an order that changes."""
    found, order = {}, random.Random(0)
    for contender, worker in workers.items():
        answer = worker.ask(case=asdict(case), seconds=seconds)
        found[contender] = {
            "kind": contender.kind, "case": case.name, "threads": threads, "name": contender.name,
            "role": contender.role, "peak_goal": case.peak_goal if case.epochs else None, **answer,
            "seconds": [],
        }  # fmt: skip
    for _ in range(rounds):
        able = [c for c, record in found.items() if "error" not in record]
        for contender in order.sample(able, len(able)):
            answer = workers[contender].ask(seconds=seconds)
            if "error" in answer:
                found[contender]["error"] = answer["error"]
            else:
                found[contender]["seconds"].append(answer["seconds"])
    return list(found.values())


def import_seconds(rounds=5):
    """Return the median seconds of ``import xpmlp`` in fresh processes."""
    code = "import time; t = time.perf_counter(); import xpmlp; print(time.perf_counter() - t)"
    runs = [subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            for _ in range(rounds)]  # fmt: skip
    return statistics.median(float(run.stdout) for run in runs)


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
        "cores": os.cpu_count(), "system": platform.system(), "flags": flags,
        "load": os.getloadavg()[0] if PINS else None,  # before the first timing
        "python": platform.python_version(), "versions": versions,
    }  # fmt: skip


def _installed(name):
    try:
        return bool(metadata.version(name))
    except metadata.PackageNotFoundError:
        return False
