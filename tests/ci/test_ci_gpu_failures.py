"""Parts of ci/gpu that fail, hang or find nothing to run on."""

import ast
import io
import json
import os
import re
import subprocess
import sys
import time
from contextlib import redirect_stderr
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import gpu
import gpu_parts
import gpu_record
import pytest
from gpu_parts import environment
from gpu_runs import GOOD, ROOT

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
