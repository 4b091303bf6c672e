"""ci/gpu on the stand-ins for CuPy and cuBLASLt, and how it goes on where a part does not."""

import ast
import io
import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "ci"))
import gpu  # noqa: E402
import gpu_parts  # noqa: E402
import gpu_record  # noqa: E402
from gpu_parts import environment, outside  # noqa: E402

TIERS = ("generic", "eager", "graph")


def run(*command, **variables):
    one_thread = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # the matrices are small
    options = {"capture_output": True, "text": True, "env": os.environ | one_thread | variables}
    return subprocess.run([sys.executable, *map(str, command)], cwd=ROOT, **options)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """The JSON of ci/gpu on the stand-in, with small sizes."""
    if not shutil.which("g++"):
        pytest.skip("the stand-in compiles kernels with g++")
    path = tmp_path_factory.mktemp("gpu") / "deep" / "result.json"
    result = run("ci/gpu.py", "--standin", path)
    assert path.exists(), result.stderr
    assert result.returncode == 0, result.stderr
    return json.loads(path.read_text()) | {"said": result.stderr}


def test_every_part_passes_on_the_standin(outcome):
    parts = outcome["parts"]
    assert outcome["passed"]
    assert [*parts] == [*gpu.PARTS]
    assert parts["environment"]["cupy"] == "14.2.0"
    least = {
        "smoke": 6, "pace": 5, "conformance": 50, "generic": 15, "eager": 18, "graph": 24,
        "fits": 14, "lt": 4,
    }  # fmt: skip
    assert all(len(parts[name]["checks"]) >= n for name, n in least.items())
    assert len(parts["parity"]["rows"]) > 150
    assert parts["suite"]["n_tests"] == 1
    assert parts["engine"]["n_tests"] > 10
    assert parts["stand-ins"]["n_tests"] > 0


def test_nothing_is_skipped_on_the_standin_but_what_has_a_reason(outcome):
    reasons = {
        why.removeprefix("skipped: ")
        for part in outcome["parts"].values()
        for why in part["checks"].values()
        if why != "ok"
    }
    known = ("torch", "PyTorch", "it asks")
    assert [why for why in reasons if not why.startswith(known)] == []


def test_no_number_is_wrong_and_what_is_not_known_is_told(outcome):
    """The benchmark is one of a CPU."""
    unknown = {"failed": [], "did not run": ["benchmark, no row of it"]}
    assert outcome["tiers"] == dict.fromkeys(TIERS, unknown)


def test_the_first_look_tells_whether_steps_are_graphs_and_what_they_take(outcome):
    numbers = outcome["parts"]["smoke"]["numbers"]
    near = {tier: numbers[f"{tier}: float32 stays near float64 on the host"] for tier in TIERS}
    graphs = [near[tier]["steps in a graph"] for tier in TIERS]
    assert graphs == [[], [[]], [[1, 8]]]
    assert all(0 < row["error"] < 1e-5 and not row["notes"] for row in near.values())
    took = {tier: numbers[f"microseconds a step, {tier}"] for tier in TIERS}
    assert [[*took[tier]] for tier in TIERS] == [["highest"], *[["highest", "high"]] * 2]
    assert all(row["clock"] > 0 for rows in took.values() for row in rows.values())


def test_nccl_is_captured(outcome):
    part = outcome["parts"]["conformance"]
    assert part["checks"]["NCCL sums in a CUDA graph, each launch anew"] == "ok"


def test_every_launch_of_a_step_and_every_product_is_timed(outcome):
    parts = outcome["parts"]
    step = parts["speeds"]["numbers"]["each launch of a large step, float32"]["launches"]
    assert [row["launch"] for row in step if row["launch"] != "product"] == [
        "gather",
        "bias_act",
        "bias_act",
        "loss_grad",
        "dact_colsum",
        "dact_colsum",
        "dact_colsum",
        "update",
    ]
    for precision in ("float32", "tf32", "bfloat16"):
        products = parts["lt"]["numbers"][f"20-16-24-1, batch 12, {precision}"]
        assert len(products) == 9
        assert all(row["plain"] for row in products.values())
        assert products["layer 1: RELU_AUX_BIAS"]["fused over plain"] > 0
    launched = parts["pace"]["numbers"]["graph: the host is back before the card begins"]
    assert (launched["launches"], launched["in graphs"]) == (1, 11)
    assert "fastest way" in str(parts["graph"]["decisions"])
    kernels = parts["warm kernels"]["numbers"]
    assert [*parts["cold kernels"]["numbers"]] == [*kernels]
    assert len(kernels) == 3


def test_the_end_is_a_table_for_people(outcome):
    lines = outcome["said"].splitlines()
    assert sum(line.startswith("cold kernels") for line in lines) == 2  # when it ends, and at last
    assert sum(line.startswith("tier ") for line in lines) == 3
    assert any("torch eager" in line for line in lines)  # of the benchmark
    assert "On a stand-in: the seconds mean nothing." in lines
    assert lines[-1].startswith("All passed: ")


def test_without_cupy_it_says_so_in_one_sentence():
    # `-S -E`: a Python without any installed package.
    result = run("-S", "-E", "ci/gpu.py", "unwritten.json")
    assert result.returncode == 2
    assert len(result.stderr.splitlines()) == 1
    assert "ci/gpu needs CuPy and a CUDA card, and CuPy is not installed" in result.stderr
    assert not (ROOT / "unwritten.json").exists()


def test_without_a_dependency_of_xpmlp_parts_say_so_and_the_others_run(tmp_path):
    hide = "import sys; sys.modules['array_api_compat'] = None"
    (tmp_path / "sitecustomize.py").write_text(hide)
    path = tmp_path / "result.json"
    parts = "smoke,graph,engine,conformance,fits,scikit-learn,parity,pace,lt,speeds,benchmark"
    result = run("ci/gpu.py", "--standin", "--parts", parts, path, PYTHONPATH=tmp_path)
    made = json.loads(path.read_text())
    assert result.returncode == 0, result.stderr
    said = {name: {*part["checks"].values()} for name, part in made["parts"].items()}
    missing = {"skipped: array_api_compat is not installed"}
    assert [name for name, checks in said.items() if not checks & missing] == ["conformance"]
    assert said["conformance"] == {"ok"}
    assert "ok" in said["speeds"]
    assert made["tiers"]["graph"] == {
        "failed": [],
        "did not run": [
            f"{part}, skipped: array_api_compat is not installed"
            for part in ("smoke", "graph", "engine", "benchmark")
        ]
        + ["benchmark, no row of it"],
    }


# ---- Parts that do not end well

BAD = """
import json, os, subprocess, sys, time
from gpu_parts import Skip

def lacks(found, standin):
    raise Skip("it is not installed")

def breaks(found, standin):
    found.check("the first", lambda: {"of": 1})
    found.check("the second", lambda: 1 / 0)
    raise KeyError("lost")

def crashes(found, standin):
    found.check("the first", lambda: None)
    os._exit(7)

def hangs(found, standin):
    children = [subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])]
    found.note(child=children[0].pid)
    found.check("the first", lambda: None)
    time.sleep(600)

def looks(found, standin):
    before = json.loads(open(os.environ["RESULT"]).read())
    found.note(pch=os.environ.get("CUPY_NVRTC_USE_PCH"))
    found.note(before=[*before["parts"]], passed_before=before["passed"])
"""


@pytest.fixture(scope="module")
def bad(tmp_path_factory):
    """What is written and said of parts that lack, break, crash, hang and go on."""
    folder, said = tmp_path_factory.mktemp("bad"), io.StringIO()
    path = folder / "result.json"
    (folder / "bad_parts.py").write_text(BAD)
    names = ("lacks", "breaks", "crashes", "hangs", "looks")
    wanted = {name: gpu.Part(f"bad_parts.{name}", 6 if name == "hangs" else 60) for name in names}
    with pytest.MonkeyPatch.context() as patch, redirect_stderr(said):
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("RESULT", str(path))
        assert gpu.run(wanted, False, path) == 1
    return json.loads(path.read_text()), said.getvalue()


def test_a_part_that_does_not_end_well_loses_nothing_and_stops_nobody(bad):
    record, said = bad
    parts = record["parts"]
    assert not record["passed"]
    assert [part["passed"] for part in parts.values()] == [True, False, False, True, True]
    assert parts["lacks"]["checks"] == {"the part ran": "skipped: it is not installed"}
    assert parts["breaks"]["checks"]["the first"] == "ok"
    assert "ZeroDivisionError" in parts["breaks"]["checks"]["the second"]
    assert "KeyError: 'lost'" in parts["breaks"]["error"]
    assert parts["breaks"]["numbers"] == {"the first": {"of": 1}}
    assert parts["crashes"]["checks"] == parts["hangs"]["checks"] == {"the first": "ok"}
    assert parts["crashes"]["error"] == "the process ended with code 7"
    assert parts["hangs"]["cut off"] == "after 6 s"
    assert "hangs: cut off after 6 s in " in said
    assert "FAILED error: KeyError: 'lost'" in said
    assert "Something FAILED" in said.splitlines()[-1]


def test_the_file_is_written_after_each_part(bad):
    looked = bad[0]["parts"]["looks"]
    assert looked["before"] == ["lacks", "breaks", "crashes", "hangs"]
    assert not looked["passed_before"]


def test_headers_are_precompiled(bad):
    assert bad[0]["parts"]["looks"]["pch"] == "1"


def test_parts_that_are_repeated_replace_theirs_in_the_file(bad, tmp_path, monkeypatch):
    (tmp_path / "bad_parts.py").write_text(BAD.replace("1 / 0", "None").replace("raise", "return"))
    path = tmp_path / "result.json"
    path.write_text(json.dumps(bad[0]))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv(gpu_parts.COMMIT, "v9-dirty")
    monkeypatch.setattr(gpu, "PARTS", {"breaks": gpu.Part("bad_parts.breaks", 60)})
    monkeypatch.setattr(gpu, "find_spec", lambda name: True)
    monkeypatch.setattr(sys, "argv", ["gpu.py", str(path), "--parts", "breaks"])
    assert gpu.main() == 1  # others have failed before
    parts, before = json.loads(path.read_text())["parts"], bad[0]["parts"]
    assert {name for name, part in parts.items() if part != before[name]} == {"breaks"}
    assert parts["breaks"]["passed"]
    assert parts["breaks"]["commit"] == "v9-dirty" != before["breaks"]["commit"]


def main_says(monkeypatch, capsys, *arguments):
    """Return what ci/gpu ends with and says, and which parts ran, where all parts pass at once."""
    ran = []

    def run_part(name, *args):
        ran.append(name)
        card = {"card": "NVIDIA H200"} if name == "environment" else {}
        return GOOD | {"passed": True, "seconds": 1.0} | card

    monkeypatch.setattr(gpu, "run_part", run_part)
    monkeypatch.setattr(gpu, "find_spec", lambda name: True)
    monkeypatch.setattr(sys, "argv", ["gpu.py", *map(str, arguments)])
    return gpu.main(), capsys.readouterr().err, ran


def test_parts_that_are_repeated_without_a_path_keep_the_others_of_that_day_and_card(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(gpu_record, "FOLDER", tmp_path / "results")
    assert main_says(monkeypatch, capsys)[0] == 0
    code, _, ran = main_says(monkeypatch, capsys, "--parts", "graph, pace")
    assert (code, ran) == (0, ["environment", "pace", "graph"])  # the first tells the card
    (path,) = (tmp_path / "results").iterdir()
    assert path.name == time.strftime("%Y-%m-%d") + "-nvidia-h200.json"
    assert [*json.loads(path.read_text())["parts"]] == [*gpu.PARTS]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no record of ci/gpu"),
        ("[]", "is no record of ci/gpu"),
        ("{}", "is no record of ci/gpu"),
        ('{"standin": false, "parts": {"graph": {"checks": []}}}', "is no record of ci/gpu"),
        ('{"standin": false, "parts": [1]}', "is no record of ci/gpu"),
        ('{"standin": true, "parts": {}}', "was made on a stand-in, this would not be"),
    ],
)
def test_parts_are_added_to_no_file_of_others_or_of_a_standin(
    tmp_path, monkeypatch, capsys, text, said
):
    path = tmp_path / "result.json"
    path.write_text(text)
    code, err, ran = main_says(monkeypatch, capsys, path, "--parts", "pace")
    assert (code, ran, len(err.splitlines())) == (2, [], 1)
    assert f"{path} " in err
    assert said in err
    assert path.read_text() == text


def test_a_path_that_cannot_be_written_is_told_before_a_part_runs(tmp_path, monkeypatch, capsys):
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file" / "result.json", Path(os.devnull)):
        code, err, ran = main_says(monkeypatch, capsys, path)
        assert (code, ran, len(err.splitlines())) == (2, [], 1)
        assert f"{path} " in err


def test_a_process_that_cannot_be_ended_is_not_waited_for(tmp_path, monkeypatch):
    (tmp_path / "bad_parts.py").write_text(BAD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(gpu, "PATIENCE", 0.1)
    started, start = [], subprocess.Popen
    monkeypatch.setattr(
        gpu.subprocess,
        "Popen",
        lambda *args, **own: started.append(start(*args, **own)) or started[0],
    )
    with monkeypatch.context() as immortal:
        immortal.setattr(gpu, "end", lambda pid: None)
        found = gpu.run_part("hangs", "bad_parts.hangs", False, 2, tmp_path)
    assert found["cut off"] == "after 2 s"
    gpu.end(started[0].pid)
    started[0].wait(60)


def test_nothing_in_ci_waits_without_a_limit():
    waits = []
    for path in [ROOT / "ci" / "gpu.py", *(ROOT / "ci" / "gpu_parts").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            called = isinstance(node, ast.Call) and ast.unparse(node.func)
            if called and called.rpartition(".")[2] in ("wait", "communicate") and "." in called:
                waits.append((path.name, node.lineno, bool(node.args)))
            if called in ("subprocess.run", "subprocess.check_output"):
                limited = any(keyword.arg == "timeout" for keyword in node.keywords)
                waits.append((path.name, node.lineno, limited))
    assert len(waits) > 5
    assert [wait for wait in waits if not wait[-1]] == []


@pytest.mark.parametrize(
    ("available", "value", "said"),
    [
        (lambda: False, 1, "CuPy finds no card or no driver"),
        (lambda: 1 / 0, 1, "CuPy does not work: ZeroDivisionError: division by zero"),
        (lambda: True, 0, "CuPy computes 1 + 1 wrongly"),
    ],
)
def test_without_a_card_nothing_else_runs(monkeypatch, tmp_path, capsys, available, value, said):
    import numpy as np

    cupy = SimpleNamespace(
        cuda=SimpleNamespace(is_available=available), ones=lambda n, dtype: np.full(n, value)
    )
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    found = gpu_parts.Found(tmp_path / "found.json", 9)
    environment.environment(found, False)
    assert found.outcome["unusable"].startswith(said)
    monkeypatch.setattr(gpu, "run_part", lambda *args: found.outcome)
    monkeypatch.setattr(gpu, "find_spec", lambda name: True)
    monkeypatch.setattr(sys, "argv", ["gpu.py", str(tmp_path / "result.json")])
    assert gpu.main() == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "result.json").exists()


def test_a_checkout_without_git_says_its_commit_by_a_variable(monkeypatch, tmp_path):
    monkeypatch.setattr(gpu_parts, "ROOT", tmp_path)
    monkeypatch.delenv(gpu_parts.COMMIT, raising=False)
    assert gpu_parts.commit() is None
    monkeypatch.setenv(gpu_parts.COMMIT, "v1-2-gabc")
    assert gpu_parts.commit() == "v1-2-gabc"


def gone(process):
    """Tell whether a process has ended, after some seconds at most."""
    for _ in range(50):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        stat = Path(f"/proc/{process}/stat")
        if stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z":
            return True  # not yet fetched by its new parent
        time.sleep(0.1)
    return False


def test_a_part_that_hangs_ends_with_its_children(bad):
    assert gone(bad[0]["parts"]["hangs"]["child"])


RUN = """
import sys, threading, time
from pathlib import Path
import gpu

def tell():
    while not gpu.RUNNING:
        time.sleep(0.01)
    print(*gpu.RUNNING, flush=True)

threading.Thread(target=tell, daemon=True).start()
gpu.PARTS = {"hangs": gpu.Part("bad_parts.hangs", 60)}
gpu.find_spec = lambda name: True
gpu.main()
"""


def test_a_run_that_is_ended_takes_its_parts_along(tmp_path):
    (tmp_path / "bad_parts.py").write_text(BAD)
    (tmp_path / "run.py").write_text(RUN)
    own = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT / "ci")])}
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path / "result.json")]
    with subprocess.Popen(
        command, env=os.environ | own, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as child:
        part = int(child.stdout.readline())
        child.terminate()
        assert child.wait(60) == 143, child.stderr.read()
    assert gone(part)


def limits(monkeypatch, tmp_path, parts, took):
    """Return the seconds that parts are given where each takes so long, and the exit code."""
    now, given = [0.0], {}

    def run_part(name, function, standin, limit, folder):
        given[name] = limit
        now[0] += took.get(name, 0)
        return {"checks": {}, "passed": True, "seconds": 0.0}

    monkeypatch.setattr(gpu.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(gpu, "run_part", run_part)
    monkeypatch.setattr(gpu, "cpus", lambda: 1)
    code = gpu.run(parts, False, tmp_path / "result.json")
    return given, code


def test_each_part_has_its_limit_a_group_shares_one_and_the_last_gets_the_rest(
    monkeypatch, tmp_path
):
    given, code = limits(monkeypatch, tmp_path, gpu.PARTS, {"environment": 9, "eager": 50})
    assert code == 0
    group = [name for name, part in gpu.PARTS.items() if part.beside]
    alone = {name: part.seconds for name, part in gpu.PARTS.items() if not part.beside}
    assert {name: given[name] for name in alone} == alone | {"suite": gpu.TOTAL - 59}
    later = group.index("eager") + 1  # on one CPU they take turns
    assert [given[name] for name in group] == [160] * later + [110] * (len(group) - later)


def test_no_part_begins_when_the_time_is_over(tmp_path):
    found = gpu.run_part("environment", gpu.PARTS["environment"].function, True, 0.5, tmp_path)
    assert found["cut off"] == "before it began"


def test_parts_are_functions_in_the_order_of_what_they_teach():
    for name, part in gpu.PARTS.items():
        module, _, function = part.function.rpartition(".")
        assert callable(getattr(import_module(module), function)), name
    alone = [name for name, part in gpu.PARTS.items() if not part.beside]
    assert alone == [
        "environment",
        "cold kernels",
        "warm kernels",
        "smoke",
        "pace",
        "benchmark",
        "lt",
        "speeds",
        "suite",
    ]
    assert [*gpu.PARTS].index("lt") == len(gpu.PARTS) - 3  # behind the group


def test_all_parts_together_end_before_eight_minutes_are_over():
    parts = gpu.PARTS.values()
    alone = sum(part.seconds for part in parts if not part.beside)
    (group,) = {part.seconds for part in parts if part.beside}
    assert alone + group <= gpu.TOTAL
    assert gpu.TOTAL + gpu.START <= 480


def test_what_ci_gpu_runs_on_a_card_takes_its_cupy_from_there():
    folder = ROOT / "tests" / "standin"
    paths = [*folder.glob("cuda_*.py"), *folder.glob("*_checks.py")]
    assert len(paths) > 8
    direct = re.compile(r"^\s*(from|import) (cupy|cublaslt)_standin", re.M)
    assert [path.name for path in paths if direct.search(path.read_text())] == []


# ---- Verdicts


GOOD = {"checks": {"it is right": "ok"}}
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
