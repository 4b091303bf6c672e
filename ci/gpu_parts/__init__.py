"""The parts of ci/gpu: each a function part(found, standin) that runs in a process of its own.

standin: on tests/cupy_standin.py, with small sizes. What a part finds it adds to `found`.
"""

import json
import os
import subprocess
import time
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMIT = "XPMLP_COMMIT"  # says what a checkout without .git is


class Skip(Exception):
    """What a check cannot run without; it is told, and fails nothing."""


def needs(module):
    """Skip where a module is missing."""
    if find_spec(module) is None:
        raise Skip(f"{module} is not installed")


def needs_xpmlp():
    """Skip where something is missing without which xpmlp cannot be imported."""
    for module in ("array_api_compat", "sklearn", "narwhals", "click", "tqdm"):
        needs(module)


def needs_cublaslt():
    """Skip where xpmlp's engine cannot load cuBLASLt."""
    needs_xpmlp()
    try:
        import_module("xpmlp.engines.cupy.cublaslt").library()
    except Exception as error:
        raise Skip(f"cuBLASLt cannot be loaded: {error}") from None


def commit():
    """Return the commit that is tried: what the variable says, else what git does, else None."""
    if COMMIT in os.environ:
        return os.environ[COMMIT]
    command = ["git", "describe", "--always", "--dirty"]
    try:
        told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return told.stdout.strip() or None


def cpus():
    """Return how many processes can run at once here."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Found:
    """What a part has found, on disk after each addition: a time limit may end the part.

    "checks": sentence -> "ok", "skipped: why", or what was found instead; "numbers": what checks
    measured, by sentence; "cut off": after what the time was over; and whatever else `note` adds.
    """

    def __init__(self, path, seconds):
        self.path, self.end, self.outcome = path, time.monotonic() + seconds, {"checks": {}}

    @property
    def left(self):
        """Return the seconds until the part is ended."""
        return self.end - time.monotonic()

    def note(self, **values):
        """Add values."""
        self.outcome |= values
        new = self.path.with_suffix(".new")
        new.write_text(json.dumps(self.outcome, default=str))
        os.replace(new, self.path)

    def cut_off(self, when):
        """Say that the time was over before all was done."""
        self.note(**{"cut off": when})

    def check(self, sentence, f, *args):
        """Run f(*args): what it raises is the failure, a dict that it returns joins the numbers."""
        try:
            numbers, verdict = f(*args), "ok"
        except Skip as why:
            numbers, verdict = None, f"skipped: {why}"
        except Exception:
            numbers, verdict = None, traceback.format_exc()
        self.outcome["checks"][sentence] = verdict
        more = {"numbers": self.outcome.get("numbers", {}) | {sentence: numbers}} if numbers else {}
        self.note(**more)


def captured(*launches):
    """Return the CUDA graph of some launches."""
    stream = import_module("cupy").cuda.Stream(non_blocking=True)
    with stream:
        stream.begin_capture()
        try:
            for launch in launches:
                launch()
        except BaseException:
            try:
                stream.end_capture()
            except Exception as error:  # the first error is the one to tell
                traceback.print_exception(error)
            raise
        return stream.end_capture()


def microseconds(launch, seconds=0.01, most=500):
    """Return the microseconds of a launch: of the host until it returns, and between two events."""
    cuda = import_module("cupy").cuda

    def timed(n):
        begin, end = cuda.Event(), cuda.Event()
        begin.record()
        start = time.perf_counter()
        for _ in range(n):
            launch()
        host = time.perf_counter() - start
        end.record()
        end.synchronize()
        return 1e6 * host / n, 1e3 * cuda.get_elapsed_time(begin, end) / n

    timed(2)  # what a first call loads is not timed
    one = timed(1)
    host, card = timed(max(1, min(most, int(1e6 * seconds / max(*one, 0.1)))))
    return {"host": round(host, 3), "card": round(card, 3)}
