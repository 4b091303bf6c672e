"""What ci/gpu runs: each part in a process of its own with a time limit, and one JSON file.

The file is written anew after every part. Exit code: 0 all passed, 1 something failed or was cut
off by time (the table and the file say what), 2 nothing can run, or no file can be written.
`--standin` runs the parts on tests/cupy_standin.py with small sizes: a test does that, so that
this script is known to work when a card comes. The file is gpu_record.py's, `--bundle` is
gpu_bundle.py's.
"""

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from gpu_bundle import BundleError, bundle
from gpu_parts import Found, Skip, commit, cpus
from gpu_record import ALL, Record, RecordError, ending, failures, last_line, summary

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # parts import xpmlp and ci.benchmarks
TOTAL = 470  # seconds for all parts together
START = 10  # seconds around them
SLOWER = 10  # times as long, on the stand-ins of a machine that has other things to do
PATIENCE = 5  # seconds for a process that is ended: a driver that hangs may hold it for ever


class Part(NamedTuple):
    """A function, "module.function", its time limit, and whether it runs beside others.

    rest: it comes last, and gets what the others have left of the time.
    """

    function: str
    seconds: float
    beside: bool = False
    rest: bool = False


# In the order of what is learnt a second. What can runs beside its neighbours, as CuPy compiles
# some hundred kernels, and shares one limit with them; what measures has the card for itself.
PARTS = {
    "environment": Part("gpu_parts.environment.environment", 40),
    "cold kernels": Part("gpu_parts.environment.kernels", 16),
    "warm kernels": Part("gpu_parts.environment.kernels", 8),
    "smoke": Part("gpu_parts.tiers.smoke", 25),
    "pace": Part("gpu_parts.tiers.pace", 14),
    "benchmark": Part("gpu_parts.outside.benchmark", 150),
    "graph": Part("gpu_parts.tiers.graph", 160, beside=True),
    "eager": Part("gpu_parts.tiers.eager", 160, beside=True),
    "generic": Part("gpu_parts.tiers.generic", 160, beside=True),
    "engine": Part("gpu_parts.outside.engine", 160, beside=True),
    "stand-ins": Part("gpu_parts.outside.standins", 160, beside=True),
    "conformance": Part("gpu_parts.rules.conformance", 160, beside=True),
    "fits": Part("gpu_parts.fits.fits", 160, beside=True),
    "scikit-learn": Part("gpu_parts.fits.scikit_learn", 160, beside=True),
    "parity": Part("gpu_parts.outside.parity", 160, beside=True),
    "doctor": Part("gpu_parts.environment.doctor", 160, beside=True),
    "lt": Part("gpu_parts.lt.lt", 24),
    "speeds": Part("gpu_parts.speeds.speeds", 15),
    "suite": Part("gpu_parts.outside.suite", 18, rest=True),
}
RUNNING: set[int] = set()  # processes, each the first of its group


class Unusable(Exception):
    """Why nothing can run here."""


def say(text):
    print(text, file=sys.stderr, flush=True)


# ---- Running the parts


def run_part(name, function, standin, limit, folder):
    """Run a part in a process of its own. Returns what it found, and why it did not end well."""
    start, path = time.monotonic(), Path(folder, f"{function}.json")
    path.unlink(missing_ok=True)
    if limit < 1:
        return {"checks": {}, "cut off": "before it began", "passed": True, "seconds": 0.0}
    command = [sys.executable, __file__, str(path), "--part", function, "--seconds", str(limit)]
    child = subprocess.Popen(
        command + ["--standin"] * standin,
        start_new_session=True,
        env=os.environ | ({} if standin else variables(folder)),
    )
    RUNNING.add(child.pid)
    ended = {}
    try:
        if code := child.wait(limit):
            ended["error"] = f"the process ended with code {code}"
    except subprocess.TimeoutExpired:
        ended["cut off"] = f"after {limit:.3g} s"
    RUNNING.discard(child.pid)
    end(child.pid)
    with suppress(subprocess.TimeoutExpired):
        child.wait(PATIENCE)
    found = (json.loads(path.read_text()) if path.exists() else {"checks": {}}) | ended
    failed = failures(found)
    found |= {"passed": not failed, "seconds": round(time.monotonic() - start, 2)}
    say(f"{name}: {ending(found)} in {found['seconds']} s")
    for check, why in failed.items():
        say(f"  FAILED {check}: {last_line(why)}")
    return found


def variables(folder):
    """Return what parts on a card are given: a cache that begins empty, and headers compiled once.

    CuPy reads CUPY_NVRTC_USE_PCH when it is imported, and heeds it from NVRTC 12.8 on.
    """
    return {
        "CUPY_CACHE_DIR": str(Path(folder, "cache")),
        "CUPY_NVRTC_USE_PCH": "1",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    }


def end(pid):
    """End a process and its children, also of one that has ended: they share its group."""
    with suppress(ProcessLookupError):  # all have ended
        os.killpg(pid, signal.SIGKILL)


def in_child(args):
    """Run one part here."""
    module, _, function = args.part.rpartition(".")
    found = Found(args.path, args.seconds)
    try:
        getattr(import_module(module), function)(found, args.standin)
        found.note()
    except Skip as why:
        found.note(checks={ALL: f"skipped: {why}"})
    except Exception:
        found.note(error=traceback.format_exc())


def main():
    parser = argparse.ArgumentParser(description="Tests and timings of xpmlp on a CUDA card.")
    parser.add_argument("path", nargs="?", type=Path, help="the JSON file to write")
    parser.add_argument("--standin", action="store_true", help="on a stand-in, without a card")
    parser.add_argument("--parts", help="only these, as a,b; the others stay in a file that exists")
    parser.add_argument("--bundle", metavar="FOLDER", type=Path, help="what a machine lacks, here")
    parser.add_argument("--python", default="3.12", help="of that machine (%(default)s)")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.bundle:
        return gather(args)
    if args.standin:
        sys.path.insert(0, str(ROOT / "tests"))
        import_module("cupy_standin").install()
        import_module("cublaslt_standin").install()
    if args.part:
        return in_child(args)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = [name.strip() for name in args.parts.split(",")] if args.parts else [*PARTS]
    if unknown := {*wanted} - {*PARTS}:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    if args.path is None:
        wanted.append("environment")  # it names the card, and so the file
    try:
        if find_spec("cupy") is None:
            raise Unusable(f"CuPy is not installed for {sys.executable}")
        parts = {name: part for name, part in PARTS.items() if name in wanted}
        return run(parts, args.standin, args.path, keep=bool(args.parts))
    except Unusable as reason:
        say(f"ci/gpu needs CuPy and a CUDA card, and {reason}.")
    except RecordError as reason:
        say(f"{reason}.")
    return 2


def gather(args):
    """Make a bundle for a machine without a network."""
    try:
        say(bundle(args.bundle, args.python))
    except (BundleError, OSError) as error:
        say(f"There is no bundle: {error}.")
        return 2
    return 0


def run(wanted, standin, path=None, keep=False):
    """Run parts, write what they find, and say what it comes to.

    keep: what the file has of other parts stays. Without a path "environment" must be the first.
    """
    record, scale = Record(path, standin, keep, PARTS), SLOWER if standin else 1
    over = time.monotonic() + scale * TOTAL
    lock, about = threading.Lock(), {"commit": commit()}

    def one(name, until=over):
        part = wanted[name]
        until = until if part.rest else min(until, time.monotonic() + scale * part.seconds)
        outcome = run_part(name, part.function, standin, until - time.monotonic(), folder)
        if "unusable" in outcome:
            raise Unusable(outcome["unusable"])
        with lock:
            record.add(name, outcome | about)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for beside, group in itertools.groupby(wanted, lambda name: wanted[name].beside):
            names, until = [*group], over
            if beside:
                limit = max(wanted[name].seconds for name in names)
                until = min(over, time.monotonic() + scale * limit)
            with ThreadPoolExecutor(min(12, cpus()) if beside else 1) as pool:
                try:
                    list(pool.map(one, names, itertools.repeat(until)))
                except BaseException:  # Ctrl-C does not reach the parts
                    pool.shutdown(wait=False, cancel_futures=True)
                    [*map(end, [*RUNNING])]
                    raise
    return _concluded(record.made(), record.path)


def _concluded(record, path):
    """Say what it comes to; return the exit code."""
    say("\n" + summary(record["parts"]))
    if record["standin"]:
        say("On a stand-in: the seconds mean nothing.")
    cut = [name for name, part in record["parts"].items() if "cut off" in part]
    verdict = f"Nothing failed, {', '.join(cut)} cut off by time" if cut else "All passed"
    say(f"{verdict if record['passed'] else 'Something FAILED'}: {path}")
    return 0 if record["passed"] and not cut else 1


if __name__ == "__main__":
    sys.exit(main())
