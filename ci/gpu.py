"""What ci/gpu runs: each part in a process of its own with a time limit, and one JSON file.

The file is written anew after every part. Exit code: 0 all passed, 1 something failed (the table
and the file say what), 2 no CuPy or no card.
`--standin` runs the parts on tests/cupy_standin.py with small sizes: a test does that, so that
this script is known to work when a card comes.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from gpu_parts import Found, Skip

ROOT = Path(__file__).resolve().parent.parent
TOTAL = 470  # seconds for all parts together
TIERS = ("generic", "eager", "graph")


class Part(NamedTuple):
    """A function, "module.function", and the seconds that it may take."""

    function: str
    seconds: float


# In the order of their value, as the time may run out: of TOTAL the last get what is left.
PARTS = {
    "environment": Part("gpu_parts.environment.environment", 20),
    "cold kernels": Part("gpu_parts.environment.kernels", 60),
    "warm kernels": Part("gpu_parts.environment.kernels", 20),
    "conformance": Part("gpu_parts.rules.conformance", 25),
    "generic": Part("gpu_parts.tiers.generic", 40),
    "eager": Part("gpu_parts.tiers.eager", 40),
    "graph": Part("gpu_parts.tiers.graph", 60),
    "stand-ins": Part("gpu_parts.outside.standins", 30),
    "engine": Part("gpu_parts.outside.engine", 60),
    "lt": Part("gpu_parts.lt.lt", 40),
    "speeds": Part("gpu_parts.speeds.speeds", 30),
    "fits": Part("gpu_parts.fits.fits", 45),
    "doctor": Part("gpu_parts.environment.doctor", 40),
    "benchmark": Part("gpu_parts.outside.benchmark", 150),
    "scikit-learn": Part("gpu_parts.fits.scikit_learn", 30),
    "parity": Part("gpu_parts.outside.parity", 120),
    "suite": Part("gpu_parts.outside.suite", 150),
}
NOT_COVERED = (
    "One network per multiprocessor (gpu.md, line 6), tiny-cuda-nn (line 7), kernels counted by a "
    "profiler."
)


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
    say(f"{name} ...")
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
    try:
        code = child.wait(limit)
        reason = f"the process ended with code {code}" if code else None
    except subprocess.TimeoutExpired:
        reason = f"it took more than {limit:.3g} s"
    finally:  # its children too, also of one that has ended: they share its group
        try:
            os.killpg(child.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        child.wait()
    found = json.loads(path.read_text()) if path.exists() else {"checks": {}}
    if reason:
        found["error"] = reason
    found["passed"] = not (failed := failures(found))
    found["seconds"] = round(time.monotonic() - start, 2)
    for check, why in failed.items():
        say(f"  FAILED {check}: {why.strip().splitlines()[-1] if why.strip() else why}")
    return found


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
    yield from failures(own)
    yield from (why for why in own["checks"].values() if why.startswith("skipped: "))
    tests = parts.get("engine", {"checks": {"they ran": "no"}})
    if tier != "generic" and set(tests["checks"].values()) != {"ok"}:
        yield "the engine's tests did not pass"
    benchmark = parts.get("benchmark", {})
    rows = [row for row in benchmark.get("rows", ()) if row["name"] == f"xpmlp {tier}"]
    if not rows:
        yield "the benchmark has no row of it"
    yield from (f"benchmark, {row['case']}: {why}" for row in rows for why in row["trouble"])


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
        import_module("nvmath_standin").install()
    if args.part:
        return in_child(args)
    if reason := why_not():
        say(f"ci/gpu needs CuPy and a CUDA card, and {reason}.")
        return 2
    wanted = args.parts.split(",") if args.parts else [*PARTS]
    if unknown := {*wanted} - {*PARTS}:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return run({name: PARTS[name] for name in wanted}, args.standin, args.path)


def run(wanted, standin, path=None):
    """Run parts, write what they find, and say what it comes to."""
    date, parts, end = time.strftime("%Y-%m-%d"), {}, time.monotonic() + TOTAL
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for name, part in wanted.items():
            limit = min(part.seconds, end - time.monotonic())
            parts[name] = run_part(name, part.function, standin, limit, folder)
            passed = all(part["passed"] for part in parts.values())
            path = path or _default_path(date, parts)
            tiers = verdicts(parts)
            _write(path, {
                "date": date, "standin": standin, "passed": passed, "tiers": tiers,
                "not covered": NOT_COVERED, "parts": parts,
            })  # fmt: skip
    say("\n" + summary(parts, tiers))
    if standin:
        say("On a stand-in: the seconds mean nothing.")
    say(f"{'All passed' if passed else 'Something FAILED'}: {path}")
    return 0 if passed else 1


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
