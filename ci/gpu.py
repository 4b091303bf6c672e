"""What ci/gpu runs: each part in a process of its own with a time limit, and one JSON file.

The file is written anew after every part. Exit code: 0 all passed, 1 something failed (the table
and the file say what), 2 no CuPy or no card.
`--standin` runs the parts on tests/cupy_standin.py with small sizes: a test does that, so that
this script is known to work when a card comes.
"""

import argparse
import itertools
import json
import os
import re
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

from gpu_parts import Found, Skip

ROOT = Path(__file__).resolve().parent.parent
TOTAL = 470  # seconds for all parts together
TIERS = ("generic", "eager", "graph")


class Part(NamedTuple):
    """A function, "module.function", the seconds that it may take, and whether beside others."""

    function: str
    seconds: float
    beside: bool = False


# Neighbours that may run beside others do so, as CuPy compiles some hundred kernels; those that
# measure have the card for themselves. The last gets what is left of TOTAL.
PARTS = {
    "environment": Part("gpu_parts.environment.environment", 20),
    "cold kernels": Part("gpu_parts.environment.kernels", 30),
    "warm kernels": Part("gpu_parts.environment.kernels", 15),
    "graph": Part("gpu_parts.tiers.graph", 100, True),
    "eager": Part("gpu_parts.tiers.eager", 100, True),
    "generic": Part("gpu_parts.tiers.generic", 100, True),
    "engine": Part("gpu_parts.outside.engine", 100, True),
    "stand-ins": Part("gpu_parts.outside.standins", 100, True),
    "conformance": Part("gpu_parts.rules.conformance", 100, True),
    "fits": Part("gpu_parts.fits.fits", 100, True),
    "scikit-learn": Part("gpu_parts.fits.scikit_learn", 100, True),
    "parity": Part("gpu_parts.outside.parity", 100, True),
    "doctor": Part("gpu_parts.environment.doctor", 100, True),
    "pace": Part("gpu_parts.tiers.pace", 60),
    "lt": Part("gpu_parts.lt.lt", 35),
    "speeds": Part("gpu_parts.speeds.speeds", 25),
    "benchmark": Part("gpu_parts.outside.benchmark", 175),
    "suite": Part("gpu_parts.outside.suite", 150),
}
NOT_COVERED = (
    "one network per multiprocessor; tiny-cuda-nn beside narrow networks; launches by a profiler"
)
RUNNING: set[int] = set()  # processes, each the first of its group


def say(text):
    print(text, file=sys.stderr, flush=True)


def why_not():
    """Say why nothing can run here; an empty string if something can."""
    if find_spec("cupy") is None:
        return f"CuPy is not installed for {sys.executable}"
    try:
        cupy = import_module("cupy")
        if not cupy.cuda.is_available():
            return "CuPy finds no card or no driver (see nvidia-smi)"
        if float((cupy.ones(2, dtype="float32") + 1).sum()) != 4.0:
            return "CuPy computes 2 + 2 wrongly"
    except Exception as error:  # a driver raises what it likes
        return f"CuPy does not work: {type(error).__name__}: {str(error).partition(chr(10))[0]}"
    return ""


# ---- Running the parts


def run_part(name, function, standin, limit, folder):
    """Run a part in a process of its own. Returns what it found, and why it did not end well."""
    start, path = time.monotonic(), Path(folder, f"{function}.json")
    path.unlink(missing_ok=True)
    if limit < 1:
        return {"checks": {}, "error": "no time was left", "passed": False, "seconds": 0.0}
    command = [sys.executable, __file__, str(path), "--part", function, "--seconds", str(limit)]
    cache = os.environ if standin else os.environ | {"CUPY_CACHE_DIR": str(Path(folder, "cache"))}
    child = subprocess.Popen(
        command + ["--standin"] * standin, start_new_session=True,
        env=cache | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
    )  # fmt: skip
    RUNNING.add(child.pid)
    try:
        code = child.wait(limit)
        reason = f"the process ended with code {code}" if code else None
    except subprocess.TimeoutExpired:
        reason = f"it took more than {limit:.3g} s"
    RUNNING.discard(child.pid)
    end(child.pid)
    child.wait()
    found = json.loads(path.read_text()) if path.exists() else {"checks": {}}
    if reason:
        found["error"] = reason
    found["passed"] = not (failed := failures(found))
    found["seconds"] = round(time.monotonic() - start, 2)
    say(f"{name}: {'passed' if found['passed'] else 'FAILED'} in {found['seconds']} s")
    for check, why in failed.items():
        say(f"  FAILED {check}: {why.strip().splitlines()[-1] if why.strip() else why}")
    return found


def end(pid):
    """End a process and its children, also of one that has ended: they share its group."""
    with suppress(ProcessLookupError):  # all have ended
        os.killpg(pid, signal.SIGKILL)


def failures(found):
    """Return the checks of a part that failed, and why; "error" for a part that broke."""
    failed = {
        check: why for check, why in found["checks"].items()
        if why != "ok" and not why.startswith("skipped: ")
    }  # fmt: skip
    return failed | ({"error": found["error"]} if "error" in found else {})


def in_child(args):
    """Run one part here."""
    sys.modules["numba"] = None  # it would compile for the CPU, half a minute
    module, _, function = args.part.rpartition(".")
    found = Found(args.path, args.seconds)
    try:
        getattr(import_module(module), function)(found, args.standin)
        found.note()
    except Skip as why:
        found.note(checks={"the part ran": f"skipped: {why}"})
    except Exception:
        found.note(error=traceback.format_exc())


# ---- What it comes to


def verdicts(parts):
    """Say of each tier "passed", or why it may not be the default yet."""
    return {tier: "; ".join(_against(tier, parts)) or "passed" for tier in TIERS}


def _against(tier, parts):
    own = parts.get(tier, {"checks": {}, "error": "it did not run"})
    pace = parts.get("pace", {"checks": {f"{tier}: its pace": "skipped: it was not timed"}})
    for part, mine in ((own, ""), (pace, f"{tier}: ")):
        failed = failures(part)
        if error := failed.pop("error", None):
            yield error.strip().splitlines()[-1]
        yield from (check for check in failed if check.startswith(mine))
    said = {**own["checks"], **{c: w for c, w in pace["checks"].items() if c.startswith(tier)}}
    yield from dict.fromkeys(why for why in said.values() if why.startswith("skipped: "))
    tests = parts.get("engine", {"checks": {"they ran": "no"}})
    if tier != "generic" and set(tests["checks"].values()) != {"ok"}:
        yield "the engine's tests did not pass"
    benchmark = parts.get("benchmark", {})
    rows = [row for row in benchmark.get("rows", ()) if row["name"] == f"xpmlp {tier}"]
    if not rows:
        yield "the benchmark has no row of it"
    for row in rows:
        # What the generic tier notes is that it heeds no precision.
        against = [row["error"]] if row["error"] else row["notes"] if tier != "generic" else []
        yield from (f"benchmark, {row['case']}: {why}" for why in against)


def summary(parts, tiers):
    """Return the table for people."""
    lines = [f"{'part':16}{'passed':10}{'seconds':>8}   checks"]
    for name, found in parts.items():
        counted = f"{len(found['checks'])}, {len(failures(found))} failed"
        passed = "yes" if found["passed"] else "NO"
        lines.append(f"{name:16}{passed:10}{found['seconds']:8.1f}   {counted}")
    lines += ["", *(f"tier {tier:8} {verdict}" for tier, verdict in tiers.items()), ""]
    return "\n".join([*lines, parts.get("benchmark", {}).get("table", "no benchmark")])


def main():
    parser = argparse.ArgumentParser(description="Tests and timings of xpmlp on a CUDA card.")
    parser.add_argument("path", nargs="?", type=Path, help="the JSON file to write")
    parser.add_argument("--standin", action="store_true", help="on a stand-in, without a card")
    parser.add_argument("--parts", help="only these, as a,b")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.standin:
        sys.path.insert(0, str(ROOT / "tests"))
        import_module("cupy_standin").install()
        import_module("cublaslt_standin").install()
    if args.part:
        return in_child(args)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if reason := why_not():
        say(f"ci/gpu needs CuPy and a CUDA card, and {reason}.")
        return 2
    wanted = args.parts.split(",") if args.parts else [*PARTS]
    if unknown := {*wanted} - {*PARTS}:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return run({name: PARTS[name] for name in wanted}, args.standin, args.path)


def run(wanted, standin, path=None):
    """Run parts, write what they find, and say what it comes to."""
    date, found, over = time.strftime("%Y-%m-%d"), {}, time.monotonic() + TOTAL
    lock = threading.Lock()

    def one(name):
        limit = min(wanted[name].seconds, over - time.monotonic())
        outcome = run_part(name, wanted[name].function, standin, limit, folder)
        with lock:
            found[name] = outcome
            _write(path or _default_path(date, found), _record(date, standin, wanted, found))

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for beside, names in itertools.groupby(wanted, lambda name: wanted[name].beside):
            with ThreadPoolExecutor(min(12, os.cpu_count() or 1) if beside else 1) as pool:
                try:
                    list(pool.map(one, names))
                except BaseException:  # Ctrl-C does not reach the parts
                    pool.shutdown(wait=False, cancel_futures=True)
                    [*map(end, [*RUNNING])]
                    raise
    record = _record(date, standin, wanted, found)
    say("\n" + summary(record["parts"], record["tiers"]))
    if standin:
        say("On a stand-in: the seconds mean nothing.")
    path = path or _default_path(date, found)
    say(f"{'All passed' if record['passed'] else 'Something FAILED'}: {path}")
    return 0 if record["passed"] else 1


def _record(date, standin, wanted, found):
    parts = {name: found[name] for name in wanted if name in found}
    return {
        "date": date, "standin": standin, "passed": all(p["passed"] for p in parts.values()),
        "tiers": verdicts(parts), "not covered": NOT_COVERED, "parts": parts,
    }  # fmt: skip


def _default_path(date, parts):
    card = str(parts.get("environment", {}).get("card", "card"))
    name = re.sub(r"\W+", "-", card).strip("-").lower()
    return ROOT / "ci" / "benchmarks" / "results" / f"{date}-{name}.json"


def _write(path, record):
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(record, indent=1) + "\n")
    os.replace(new, path)


if __name__ == "__main__":
    sys.exit(main())
