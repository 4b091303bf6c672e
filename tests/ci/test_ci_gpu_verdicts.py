"""What ci/gpu concludes from the tests of a tier."""

import os
import subprocess
import time
from pathlib import Path

import gpu_parts
import gpu_record
from gpu_parts import outside
from gpu_runs import GOOD, TIERS

WRONG = {"checks": {"it is right": "AssertionError"}}


def good():
    """Parts that all passed."""
    names = [("xpmlp " + tier, [], None) for tier in TIERS]
    rows = [{"name": n, "case": "narrow", "notes": notes, "error": e} for n, notes, e in names]
    return dict.fromkeys((*TIERS, "smoke", "engine"), GOOD) | {"benchmark": GOOD | {"rows": rows}}


def test_a_tier_is_barred_by_tests_of_its_numbers_alone_which_are_named():
    none = {"failed": [], "did not run": []}
    assert gpu_record.verdicts(good()) == dict.fromkeys(TIERS, none)
    names = ["fallbacks", "kernels", "graph"]
    failed = {f"tests.standin.cuda_{name}::test_{name}[1]": "no" for name in names}
    engine = WRONG | {"failed": failed}
    others = dict.fromkeys(("pace", "lt", "stand-ins", "conformance", "fits", "parity"), WRONG)
    found = gpu_record.verdicts(good() | others | {"engine": engine, "eager": WRONG})
    kernels, graph = [*failed][1:]
    assert found["generic"] == none
    assert found["eager"] == none | {"failed": ["it is right", kernels]}
    assert found["graph"] == none | {"failed": [kernels, graph]}
    smoke = {"checks": {"graph: is near": "AssertionError", "microseconds a step, graph": "no"}}
    assert gpu_record.verdicts(good() | {"smoke": smoke})["graph"]["failed"] == ["graph: is near"]


def test_a_crash_or_a_file_that_does_not_load_says_nothing_of_numbers():
    crashed = {"checks": {}, "error": "Traceback\nthe process ended with code -11"}
    unread = WRONG | {"failed": {"::tests.standin.cuda_updates": "collection failure"}}
    ended = {"checks": {"they pass": "AssertionError: pytest ended with 3, 0 of its tests failed"}}
    code = "the process ended with code -11"
    for part, found, reason, tiers in (
        ("smoke", crashed, code, TIERS),
        ("graph", crashed, code, TIERS[2:]),
        ("engine", crashed, code, TIERS[1:]),
        ("engine", ended, [*ended["checks"].values()][0], TIERS[1:]),
        ("engine", unread, "cuda_updates.py: collection failure", TIERS[1:]),
    ):
        found = gpu_record.verdicts(good() | {part: found})
        assert [verdict["failed"] for verdict in found.values()] == [[], [], []]
        want = {tier: [f"{part}, {reason}"] if tier in tiers else [] for tier in TIERS}
        assert {tier: verdict["did not run"] for tier, verdict in found.items()} == want


def test_a_failure_that_bars_no_tier_is_named_beside_them():
    tests = ["tests.standin.cuda_precision::test_a", "tests.standin.cuda_eager::test_b"]
    parts = good() | {"engine": WRONG | {"failed": dict.fromkeys(tests, "no")}, "fits": WRONG}
    parts["lt"] = {"checks": {}, "error": "it is lost"}
    others = [f"engine: {tests[0]}", "fits: it is right", "lt: it is lost"]
    assert gpu_record.other_failures(parts) == others
    timed = {name: found | {"passed": True, "seconds": 1.0} for name, found in parts.items()}
    said = gpu_record.summary(timed).splitlines()
    assert [line for line in said if line.startswith("failed")] == [
        f"failed, and bars no tier: {what}" for what in others
    ]
    assert "tier generic  none of the deciding tests failed" in said
    assert f"tier eager    {tests[1]}" in said


def test_what_did_not_run_bars_no_tier_but_is_told():
    found = gpu_record.verdicts({})
    assert found["graph"] == {
        "failed": [],
        "did not run": ["smoke", "graph", "engine", "benchmark"],
    }
    cut = GOOD | {"cut off": "after 160 s"}
    skipped = {"checks": {"graph: it is near": "skipped: no cuBLASLt", "eager: it is near": "ok"}}
    left_out = {"files_left_out": {"cuda_eager.py": "hypothesis is not installed"}}
    parts = good() | {"engine": cut | left_out, "eager": cut, "smoke": skipped}
    parts["benchmark"]["rows"][1]["error"] = "out of memory"
    parts["benchmark"]["rows"][2]["notes"] = ["no CUDA graph could be captured"]
    parts["benchmark"]["rows"][0]["notes"] = ["matmul_precision='high' changes nothing"]
    found = gpu_record.verdicts(parts)
    assert [verdict["failed"] for verdict in found.values()] == [[], [], []]
    assert [verdict["did not run"] for verdict in found.values()] == [
        [],
        [
            "eager, cut off after 160 s",
            "engine, cuda_eager.py: hypothesis is not installed",
            "engine, cut off after 160 s",
            "benchmark, narrow: out of memory",
        ],
        [
            "smoke, skipped: no cuBLASLt",
            "engine, cuda_eager.py: hypothesis is not installed",
            "engine, cut off after 160 s",
            "benchmark, narrow: no CUDA graph could be captured",
        ],
    ]


SLOW = """
import time
from pathlib import Path

def test_first():
    pass

def test_second():
    Path("begun").touch()
    time.sleep(600)
"""


class OverWhenBegun(subprocess.Popen):
    """A process whose time is over as soon as it has made a file."""

    def __init__(self, command, cwd, **options):
        super().__init__(command, cwd=cwd, **options)
        self.begun, self.over = Path(cwd, "begun"), False

    def wait(self, timeout=None):
        if not self.over:
            self.over = True
            while not self.begun.exists():
                time.sleep(0.05)
            raise subprocess.TimeoutExpired(self.args, timeout)
        return super().wait(timeout)


def test_tests_that_the_time_cuts_off_are_counted_and_fail_nothing(tmp_path, monkeypatch):
    (tmp_path / "test_slow.py").write_text(SLOW)
    monkeypatch.setattr(outside, "needs_xpmlp", lambda: None)
    monkeypatch.setattr(outside, "ROOT", tmp_path)
    monkeypatch.setattr(outside, "PATIENCE", 60)
    monkeypatch.setattr(outside.subprocess, "Popen", OverWhenBegun)
    found = gpu_parts.Found(tmp_path / "found.json", 600)
    found.check("the tests pass", outside._pytest, found, ["-p", "no:xdist"], 1, {})
    assert found.outcome["checks"] == {"the tests pass": "ok"}
    assert (found.outcome["cut off"], found.outcome["n_failed"]) == ("after 2 tests", 0)


def test_a_test_file_that_cannot_be_collected_is_named_with_what_it_lacks(tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("import json\nimport not_installed_here\n")
    (tmp_path / "tests" / "test_b.py").write_text("from pathlib import Path\nimport xpmlp\n")
    (tmp_path / "tests" / "test_c.py").write_text("import test_a, card\n")
    (tmp_path / "tests" / "standin").mkdir()
    (tmp_path / "tests" / "standin" / "card.py").touch()
    wanted = {os.path.join("tests", "test_a.py"): "not_installed_here is not installed"}
    assert outside.uncollectable(tmp_path, (tmp_path / "tests").glob("test_*.py")) == wanted
