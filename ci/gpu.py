"""What ci/gpu runs: each part in a process of its own, with a time limit; one JSON file at the end.

Exit code: 0 all passed, 1 something failed (progress and the file say what), 2 no CuPy or no card.
`--standin` runs the parts on tests/cupy_standin.py with small sizes: a test does that, so that
this script is known to work when a card comes.
"""

import argparse
import ast
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from importlib import import_module, metadata
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parent.parent


def say(*words):
    print(*words, file=sys.stderr, flush=True)


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


# ---- Two of the parts; the others are in gpu_parts.py, which says what a part is


def environment(standin):
    """Versions of all that a timing depends on."""
    cupy = import_module("cupy")
    runtime = cupy.cuda.runtime
    names = ("numpy", "array-api-compat", "scikit-learn", "scipy", "torch", "jax", "pytest")
    query = ["nvidia-smi", "--query-gpu=driver_version,name,memory.total", "--format=csv,noheader"]
    try:
        smi = subprocess.run(query, capture_output=True, text=True, timeout=20).stdout.strip()
    except OSError as error:
        smi = str(error)
    return {
        "card": runtime.getDeviceProperties(0)["name"].decode(),
        "nvidia_smi": smi,
        "cuda_driver": runtime.driverGetVersion(),
        "cuda_runtime": runtime.runtimeGetVersion(),
        "cupy": cupy.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.platform()}, {os.cpu_count()} cores",
        "versions": {name: _version(name) for name in names},
        "commit": _commit(),
    }


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit():
    try:
        git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
        return subprocess.run(git, capture_output=True, text=True).stdout.strip() or None
    except OSError:
        return None


def suite(standin):
    """The test suite with --xp-require cupy; what cannot be collected here is named, with why."""
    if find_spec("pytest") is None:
        return {"checks": {"the test suite ran": "pytest is not installed"}}
    left_out = {} if standin else _uncollectable()
    # A newer library's deprecations on that machine are no fault of ours.
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short"]
    for kind in ("Deprecation", "PendingDeprecation", "Future"):
        command += ["-W", f"default::{kind}Warning"]
    if standin:
        command += ["--noconftest", "tests/test_cupy_standin.py", "-k", "cannot_be_collected"]
    else:
        command += ["--xp-require", "cupy", *(f"--ignore={path}" for path in left_out)]
        command += ["-n", str(min(8, os.cpu_count()))] if find_spec("xdist") else []
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        search = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        result = subprocess.run(
            [*command, f"--junitxml={report}"], cwd=ROOT, capture_output=True, text=True,
            env=os.environ | {"PYTHONPATH": search},
        )  # fmt: skip
        say("  " + (result.stdout.strip().splitlines() or ["pytest said nothing"])[-1])
        outcome = _outcome(report) if report.exists() else {}
    passed = "ok" if result.returncode == 0 else (result.stdout + result.stderr)[-6000:]
    return {"checks": {"the test suite passes": passed}, "files_left_out": left_out, **outcome}


def _uncollectable():
    """Test files that import what is not installed here, each with why."""
    ours = {p.stem for p in (ROOT / "tests").glob("*.py")} | {"xpmlp"}
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        names = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
        roots = {name.partition(".")[0] for name in names} - ours
        missing = sorted(name for name in roots if find_spec(name) is None)
        if missing:
            found[str(path.relative_to(ROOT))] = f"{', '.join(missing)} is not installed"
    return found


def _outcome(report):
    """Count a JUnit report: tests, failures by name, skips by reason."""
    failed, skipped, n = {}, Counter(), 0
    for case in ElementTree.parse(report).iter("testcase"):
        n += 1
        name = f"{case.get('classname')}::{case.get('name')}"
        for part in case:
            if part.tag in ("failure", "error"):
                failed[name] = (part.get("message") or "")[:1000]
            elif part.tag == "skipped":
                skipped[part.get("message") or "no reason given"] += 1
    return {"n_tests": n, "n_failed": len(failed), "failed": failed, "skipped": dict(skipped)}


# ---- Running the parts

# Seconds each may take: 585 together.
PARTS = {
    "environment": 30,
    "latency": 30,
    "conformance": 30,
    "parity": 120,
    "checklist": 75,
    "timings": 150,
    "suite": 150,
}


def run_part(name, standin, limit):
    """Run a part in a process of its own. Returns its outcome, with the reason if it has none."""
    say(f"{name} ...")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "outcome.json")
        command = [sys.executable, __file__, str(path), "--part", name]
        child = subprocess.Popen(
            command + ["--standin"] * standin, start_new_session=True,
            env=os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        )  # fmt: skip
        try:
            code = child.wait(limit)
            reason = f"the process ended with code {code}"
        except subprocess.TimeoutExpired:
            reason = f"it took more than {limit} s"
        finally:
            if child.poll() is None:  # its children too: they share its group
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        outcome = json.loads(path.read_text()) if path.exists() else {"error": reason}
    checks = outcome.get("checks", {})
    failed = {check: why for check, why in checks.items() if why != "ok"}
    outcome["passed"] = not failed and "error" not in outcome
    outcome["seconds"] = round(time.monotonic() - start, 2)
    for check, why in (
        failed | ({"error": outcome["error"]} if "error" in outcome else {})
    ).items():
        say(f"  FAILED {check}: {why.strip().splitlines()[-1] if why.strip() else why}")
    say(f"  {'passed' if outcome['passed'] else 'FAILED'} in {outcome['seconds']} s")
    return outcome


def in_child(name, path, standin):
    """Run one part here, and write what it found or why it broke."""
    here = {"environment": environment, "suite": suite}
    try:
        part = here.get(name) or getattr(import_module("gpu_parts"), name)
        outcome = part(standin)
    except Exception:
        outcome = {"error": traceback.format_exc()}
    path.write_text(json.dumps(outcome, default=str))


def main():
    parser = argparse.ArgumentParser(description="Tests and timings of xpmlp on a CUDA card.")
    parser.add_argument("path", nargs="?", type=Path, help="the JSON file to write")
    parser.add_argument("--standin", action="store_true", help="on a stand-in, without a card")
    parser.add_argument("--part", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.standin:
        sys.path.insert(0, str(ROOT / "tests"))
        import_module("cupy_standin").install()
    if args.part:
        return in_child(args.part, args.path, args.standin)
    reason = why_not()
    if reason:
        say(f"ci/gpu needs CuPy and a CUDA card, and {reason}.")
        return 2
    parts = {name: run_part(name, args.standin, limit) for name, limit in PARTS.items()}
    date = time.strftime("%Y-%m-%d")
    card = re.sub(r"\W+", "-", str(parts["environment"].get("card", "unknown"))).lower()
    path = args.path or ROOT / "ci" / "benchmarks" / "results" / f"{date}-{card}.json"
    passed = all(part["passed"] for part in parts.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(
        {"date": date, "standin": args.standin, "passed": passed, "parts": parts}, indent=1
    )
    path.write_text(text + "\n")
    say(f"{'All passed' if passed else 'Something FAILED'}: {path}")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
