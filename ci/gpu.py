"""What ci/gpu runs: each part in a process of its own with a time limit, and one JSON file.

The file is written anew after every part. Exit code: 0 all passed, 1 something failed or was cut
off by time (the table and the file say what), 2 no CuPy or no card.
`--standin` runs the parts on tests/cupy_standin.py with small sizes: a test does that, so that
this script is known to work when a card comes. `--bundle` is gpu_bundle.py's.
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

from gpu_bundle import BundleError, bundle
from gpu_parts import Found, Skip, commit, cpus

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # parts import xpmlp and ci.benchmarks
TOTAL = 470  # seconds for all parts together
START = 10  # seconds around them
SLOWER = 10  # times as long, on the stand-ins of a machine that has other things to do
PATIENCE = 5  # seconds for a process that is ended: a driver that hangs may hold it for ever
TIERS = ("generic", "eager", "graph")


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
NOT_COVERED = (
    "one network per multiprocessor; tiny-cuda-nn beside narrow networks; launches by a profiler"
)
# Files of tests/standin that compare the engine's numbers, and the tiers that these are for.
NUMBERS = dict.fromkeys(
    ("cuda_kernels", "cuda_updates", "cuda_eager", "cuda_chains", "cuda_memory"), TIERS[1:]
) | {"cuda_graph": TIERS[2:]}  # fmt: skip
ALL = "the part ran"  # the check of a part that skips all others
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
        command + ["--standin"] * standin, start_new_session=True,
        env=os.environ | ({} if standin else variables(folder)),
    )  # fmt: skip
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
    say(f"{name}: {_ending(found)} in {found['seconds']} s")
    for check, why in failed.items():
        say(f"  FAILED {check}: {why.strip().splitlines()[-1] if why.strip() else why}")
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


def _ending(found):
    cut = f"cut off {found['cut off']}" if "cut off" in found else "passed"
    return cut if found["passed"] else "FAILED"


def failures(found):
    """Return the checks of a part that failed, and why; "error" for a part that broke."""
    failed = {
        check: why for check, why in found["checks"].items()
        if why != "ok" and not _skipped(why)
    }  # fmt: skip
    return failed | ({"error": found["error"]} if "error" in found else {})


def _skipped(why):
    return why.startswith("skipped: ")


def in_child(args):
    """Run one part here."""
    sys.modules["numba"] = None  # it would compile for the CPU, half a minute
    module, _, function = args.part.rpartition(".")
    found = Found(args.path, args.seconds)
    try:
        getattr(import_module(module), function)(found, args.standin)
        found.note()
    except Skip as why:
        found.note(checks={ALL: f"skipped: {why}"})
    except Exception:
        found.note(error=traceback.format_exc())


# ---- What it comes to


def verdicts(parts):
    """Say of each tier which tests of its numbers failed, and what is not known of it."""
    return {
        tier: {"failed": [*_failed(tier, parts)], "did not run": [*_unknown(tier, parts)]}
        for tier in TIERS
    }


def _failed(tier, parts):
    """Yield the checks and tests that compare a tier's numbers, and failed."""
    for name, mine in (("smoke", f"{tier}: "), (tier, "")):
        failed = failures(parts.get(name, {"checks": {}}))
        if error := failed.pop("error", None):
            yield f"{name}: {error.strip().splitlines()[-1]}"
        yield from (check for check in failed if check.startswith(mine))
    engine = parts.get("engine", {"checks": {}})
    names = engine.get("failed", {})
    for test in names:
        file = re.search(r"cuda_\w+", test)
        if file and tier in NUMBERS.get(file[0], ()):
            yield test
    if tier != "generic" and not names:  # it broke
        yield from (f"engine: {why.strip().splitlines()[-1]}" for why in failures(engine).values())


def _unknown(tier, parts):
    """Yield the parts that did not come to their end for a tier, and why."""
    for name in ("smoke", tier, *(["engine"] if tier != "generic" else []), "benchmark"):
        if name not in parts:
            yield name
            continue
        mine = f"{tier}: " if name == "smoke" else ""
        checks = parts[name]["checks"].items()
        skips = [why for check, why in checks if check.startswith((mine, ALL)) and _skipped(why)]
        yield from (f"{name}, {why}" for why in dict.fromkeys(skips))
        left_out = parts[name].get("files_left_out", {}).items()
        yield from (f"{name}, {file}: {why}" for file, why in left_out)
        if "cut off" in parts[name]:
            yield f"{name}, cut off {parts[name]['cut off']}"
    rows = parts.get("benchmark", {}).get("rows", ())
    rows = [row for row in rows if row["name"] == f"xpmlp {tier}"]
    for row in rows:
        # What the generic tier notes is that it heeds no precision.
        notes = row["notes"] if tier != "generic" else []
        told = [row["error"]] if row["error"] else notes
        yield from (f"benchmark, {row['case']}: {why}" for why in told)
    if not rows and "benchmark" in parts:
        yield "benchmark, no row of it"


def summary(parts, tiers):
    """Return the table for people."""
    lines = [f"{'part':16}{'passed':10}{'seconds':>8}   checks"]
    for name, found in parts.items():
        counted = f"{len(found['checks'])}, {len(failures(found))} failed"
        passed = {"passed": "yes", "FAILED": "NO"}.get(_ending(found), "cut off")
        lines.append(f"{name:16}{passed:10}{found['seconds']:8.1f}   {counted}")
    lines.append("")
    for tier, verdict in tiers.items():
        right = "no number was wrong" + " of what ran" * bool(verdict["did not run"])
        lines.append(f"tier {tier:8} {'; '.join(verdict['failed']) or right}")
        lines += [f"    did not run: {reason}" for reason in verdict["did not run"]]
    return "\n".join([*lines, "", parts.get("benchmark", {}).get("table", "no benchmark")])


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
    wanted = args.parts.split(",") if args.parts else [*PARTS]
    if unknown := {*wanted} - {*PARTS}:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    known = json.loads(args.path.read_text()) if args.parts and _is_file(args.path) else {}
    try:
        if find_spec("cupy") is None:
            raise Unusable(f"CuPy is not installed for {sys.executable}")
        parts = {name: part for name, part in PARTS.items() if name in wanted}
        return run(parts, args.standin, args.path, known.get("parts"))
    except Unusable as reason:
        say(f"ci/gpu needs CuPy and a CUDA card, and {reason}.")
        return 2


def gather(args):
    """Make a bundle for a machine without a network."""
    try:
        say(bundle(args.bundle, args.python))
    except BundleError as error:
        say(f"There is no bundle: {error}.")
        return 2
    return 0


def _is_file(path):
    return path is not None and path.exists()


def run(wanted, standin, path=None, before=None):
    """Run parts, write what they find, and say what it comes to.

    before: what parts of an earlier run found; it is kept but for those that run again.
    """
    date, found, scale = time.strftime("%Y-%m-%d"), dict(before or {}), SLOWER if standin else 1
    over = time.monotonic() + scale * TOTAL
    lock, about = threading.Lock(), {"commit": commit()}

    def one(name, until=over):
        part = wanted[name]
        until = until if part.rest else min(until, time.monotonic() + scale * part.seconds)
        outcome = run_part(name, part.function, standin, until - time.monotonic(), folder)
        if "unusable" in outcome:
            raise Unusable(outcome["unusable"])
        with lock:
            found[name] = outcome | about
            _write(path or _default_path(date, found), _record(date, standin, found))

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
    return _concluded(_record(date, standin, found), path or _default_path(date, found))


def _concluded(record, path):
    """Say what it comes to; return the exit code."""
    say("\n" + summary(record["parts"], record["tiers"]))
    if record["standin"]:
        say("On a stand-in: the seconds mean nothing.")
    cut = [name for name, part in record["parts"].items() if "cut off" in part]
    verdict = f"Nothing failed, {', '.join(cut)} cut off by time" if cut else "All passed"
    say(f"{verdict if record['passed'] else 'Something FAILED'}: {path}")
    return 0 if record["passed"] and not cut else 1


def _record(date, standin, found):
    order = [*PARTS, *found]  # tests have parts of their own
    parts = {name: found[name] for name in sorted(found, key=order.index)}
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
