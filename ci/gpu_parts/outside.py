"""What others run: the engine's tests on the card, the benchmark, the parity suite, the tests."""

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from xml.etree import ElementTree

from . import ROOT, cpus, needs, needs_xpmlp

PATIENCE = 5  # seconds for pytest to write its report, after it was interrupted


def standins(found, standin):
    """Ask a card what the stand-ins promise of streams, graphs, memory, kernels and cuBLASLt."""
    arguments = ["*_checks.py", *(["-k", "current_inside"] if standin else [])]
    found.check("the card keeps the stand-ins' rules", _on_card, found, standin, *arguments)


def engine(found, standin):
    """Run the tests of the CuPy engine on CuPy itself."""
    arguments = ["cuda_*.py", *(["-k", "gather and float64"] if standin else [])]
    found.check("the tests of the CuPy engine pass", _on_card, found, standin, *arguments)


def _on_card(found, standin, pattern, *arguments):
    """Run files of tests/standin, each in a process of its own: an error on the card stays."""
    files = sorted((ROOT / "tests" / "standin").glob(pattern))
    found.note(files_left_out=(left_out := uncollectable(ROOT, files)))
    paths = [name for file in files if (name := str(file.relative_to(ROOT))) not in left_out]
    variables = {} if standin else {"XPMLP_CARD": "real"}
    workers = 1 if standin else 8
    _pytest(found, ["--noconftest", *paths, *arguments], workers, variables)


def suite(found, standin):
    """Run the tests marked gpu; what cannot be collected here is named, with why."""
    left_out = {} if standin else uncollectable(ROOT, (ROOT / "tests").rglob("test_*.py"))
    found.note(files_left_out=left_out)
    ignored = [f"--ignore={path}" for path in ("tests/engines/test_gpu.py", *left_out)]
    arguments = ["-m", "gpu", "--xp-require", "cupy", *ignored]
    if standin:
        arguments = ["--noconftest", "tests/ci/test_ci_gpu_verdicts.py", "-k", "cannot_be"]
    found.check("the tests marked gpu pass", _pytest, found, arguments, 1 if standin else 8, {})


def _pytest(found, arguments, workers, variables):
    """Run pytest, and count what it says; before the time is over it is interrupted."""
    needs_xpmlp()
    needs("pytest")
    command = [sys.executable, "-m", "pytest", "-q", "--tb=short", *arguments]
    # A newer library's deprecations on that machine are no fault of ours.
    for kind in ("Deprecation", "PendingDeprecation", "Future"):
        command += ["-W", f"default::{kind}Warning"]
    command.append("--continue-on-collection-errors")
    if workers > 1 and find_spec("xdist"):
        command += ["-n", str(min(workers, cpus())), "--dist", "loadfile"]
    search = [ROOT, ROOT / "tests", *filter(None, [os.environ.get("PYTHONPATH")])]
    one_thread = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        code, said = _limited(
            [*command, f"--junitxml={report}"],
            found.left,
            one_thread | variables | {"PYTHONPATH": os.pathsep.join(map(str, search))},
        )
        tests = counted(report)
        found.note(said=said.strip()[-4000:].splitlines(), **tests)
    n_failed = tests.get("n_failed", 0)
    if code is None:
        found.cut_off(f"after {tests.get('n_tests', 0)} tests")
    failed = f"{n_failed} of {tests.get('n_tests', 'its')} tests failed"
    assert code == 0 or (code is None and not n_failed), f"pytest ended with {code}, {failed}"


def _limited(command, seconds, variables):
    """Run a command; interrupt it before so many seconds are over.

    Returns its code, None if it was interrupted, and what it said.
    """
    with tempfile.TemporaryFile("w+", errors="replace") as told:
        child = subprocess.Popen(
            command, cwd=ROOT, stdout=told, stderr=told, env=os.environ | variables
        )
        try:
            code = child.wait(max(seconds - 2 * PATIENCE, 1))
        except subprocess.TimeoutExpired:
            code = None
            child.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                child.wait(PATIENCE)
            child.kill()
        told.seek(0)
        return code, told.read()


def uncollectable(root, paths):
    """Return those of some test files that import what is not installed here, each with why."""
    tests = root / "tests"
    ours = {path.stem for path in [*tests.iterdir(), *tests.glob("standin/*.py")]} | {"xpmlp"}
    found = {}
    for path in sorted(paths):
        names = set()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
        roots = {name.partition(".")[0] for name in names} - ours
        missing = sorted(name for name in roots if find_spec(name) is None)
        if missing:
            found[str(path.relative_to(root))] = f"{', '.join(missing)} is not installed"
    return found


def counted(report):
    """Count a JUnit report: tests, failures by name, skips by reason."""
    if not report.exists():
        return {}
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


# ---- The benchmark


def benchmark(found, standin):
    """Keep what the benchmark measures, as far as it comes: it writes after each network."""
    needs_xpmlp()
    options = ["--device", "cuda", "--quick"]
    if standin:  # what was recorded on a CPU
        results = ROOT / "ci" / "benchmarks" / "results"
        options = ["--redraw", str(min(results.glob("*-cpu*.json")))]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "bench.json")
        command = [sys.executable, "-m", "ci.benchmarks", *options, "--json", str(path)]
        code, said = _limited(command, found.left, {})
        record = json.loads(path.read_text()) if path.exists() else {"results": [], "machine": {}}
    found.note(record=record, rows=_rows(record), said=said.strip()[-4000:].splitlines())
    if code is None:
        found.cut_off(f"after {len(record['results'])} timings")
    else:
        found.check("the benchmark came to its end", _ended, code, said)
    found.check("the table", _table, found, record)


def _rows(record):
    """Return the timings in short."""
    return [
        {
            **{key: row.get(key) for key in ("kind", "case", "precision", "name", "goal")},
            "microseconds": row["seconds"] and 1e6 * median(row["seconds"]),
            "on the card": (own := row.get("device_seconds")) and 1e6 * median(own),
            "error": row.get("error"),
            "notes": row.get("notes", []),
        }
        for row in record["results"]
    ]


def _ended(code, said):
    assert code == 0, f"it ended with {code}: {said.strip()[-2000:]}"


def _table(found, record):
    from ci.benchmarks import table

    found.note(table=table(record["results"], record["machine"].get("card", "")))


# ---- Parity


def parity(found, standin):
    """Compare every operation on each library that sees the card, as far as the time reaches."""
    needs_xpmlp()
    os.environ.setdefault("JAX_DEFAULT_MATMUL_PRECISION", "highest")  # else TF32, which fails
    from xpmlp.testing.backends import choose
    from xpmlp.testing.parity import Report, cases, run_operation
    from xpmlp.testing.parity.operations import operations

    names = ["cupy"] if standin else ["cupy", "torch:cuda", "jax:cuda"]
    working, broken, _ = choose(names)
    rows, todo = [], cases(working, list(operations()))
    for n_done, (op, backend, dtype) in enumerate(todo):
        if found.left < 5:
            found.cut_off(f"after {n_done} of {len(todo)} operations")
            break
        rows += run_operation(op, backend, dtype)
        if n_done % 20 == 0:
            found.note(rows=[[*row] for row in rows])
    report = Report(rows, broken)
    found.note(rows=[[*row] for row in rows], report=str(report).splitlines(), broken=broken)
    found.check("every operation keeps its bound", _parity, report)


def _parity(report):
    assert report.rows, "no library works"
    assert report.ok, str(report)
