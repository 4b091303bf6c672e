"""The parity suite as a command and as a pytest plugin."""

import io
import json
import subprocess
import sys
from xml.etree import ElementTree

import pytest
from parity_suites import STRICT

from xpmlp.cli import main
from xpmlp.testing import plugin
from xpmlp.testing.parity import Report, Row

pytest_plugins = ["pytester"]


# ---- The report, the command, the plugin


def test_the_command_writes_all_reports_and_its_exit_code_says_pass_or_fail(tmp_path, capsys):
    paths = {kind: str(tmp_path / f"r.{kind}") for kind in ("html", "json", "junit")}
    options = [part for kind, path in paths.items() for part in (f"--{kind}", path)]
    with pytest.raises(SystemExit) as exit_:
        main(["parity", "--xp", "numpy", "--xp", "no_such_library", *options])
    assert exit_.value.code == 1
    out, err = capsys.readouterr()
    assert not err  # no terminal, no bar
    assert "FAILED no_such_library - library works: no_such_library does not work" in out
    assert "BLAS and threads:" in out and "products: full precision" in out
    made = json.loads((tmp_path / "r.json").read_text())
    assert made["ok"] is False and made["first_failure"][0] == "library works"
    assert {"error", "bound", "unit", "problem"} <= set(made["rows"][0])
    suite = ElementTree.parse(paths["junit"]).getroot()
    assert suite.get("failures") == "1" and int(suite.get("tests")) == len(made["rows"])
    html = (tmp_path / "r.html").read_text()
    assert html.count("activation tanh: forward") == 1 and "no_such_library" in html


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_the_command_shows_on_a_terminal_how_far_it_is(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with pytest.raises(SystemExit) as exit_:
        main(["parity", "--xp", "numpy"])
    assert exit_.value.code == 0
    assert "op/s" in sys.stderr.getvalue()
    assert "op/s" not in capsys.readouterr().out


def test_the_command_refuses_a_path_before_it_runs(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_:
        main(["parity", "--html", str(tmp_path / "no" / "r.html")])
    assert exit_.value.code == 2
    out, err = capsys.readouterr()
    assert not out and "there is no folder" in err


def test_a_report_of_nothing_is_no_success():
    assert not Report([]).ok and "nothing ran" in str(Report([])) and Report([]).html()


@pytest.fixture
def run(pytester, monkeypatch):
    """Run pytest in an empty folder, with these options."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")  # loading others takes seconds
    return lambda *options: pytester.runpytest_inprocess("-p", "xpmlp.testing.plugin", *options)


@pytest.fixture
def suite(run):
    """Run the suite there, with these options."""
    return lambda *options: run("--pyargs", "xpmlp.testing.parity", *options)


def test_pytest_runs_the_suite_from_any_folder_and_reports(suite, pytester):
    done = suite("--xp", "numpy", "--xp-require", STRICT, "--xp-report", "out.json", "-k", "sum")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*4 of 4 passed*", "*4 of 4 passed*", "report: out.json"])
    made = json.loads((pytester.path / "out.json").read_text())
    assert [lib["library"] for lib in made["libraries"]] == ["numpy", STRICT]
    assert [row["dtype"] for row in made["rows"][:4]] == ["float64"] * 2 + ["float32"] * 2


def test_rows_travel_from_workers_and_to_junit(suite, pytester):
    done = suite("--xp", "numpy", "-k", "sum", "-p", "xdist", "-n", "1", "--junitxml", "out.xml")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*4 of 4 passed*"])
    assert "sum of 300 terms: product" in (pytester.path / "out.xml").read_text()


def test_rows_are_reported_in_the_order_of_the_tests_however_they_come_in(pytester):
    gatherer = plugin._Gatherer(None)
    for number in (2, 0, 1):
        row = json.dumps([number, *Row(f"op {number}", "numpy", "float32", 0.0, 1.0, "ulp")])
        gatherer.pytest_runtest_logreport(
            type("Made", (), {"user_properties": [(plugin.ROW, row)]})
        )
    written = []
    writer = type("Writer", (), {"section": written.append, "write_line": written.append})
    gatherer.pytest_terminal_summary(writer)
    assert sorted(gatherer.rows) == [(0, 0), (1, 0), (2, 0)] and "3 results" in written[1]


@pytest.mark.parametrize("selected", ["sum", ""])
def test_a_library_that_was_asked_for_and_does_not_work_fails_whatever_is_selected(suite, selected):
    done = suite("--xp", "os", "--xp", "numpy", "-k", selected or "product", "-q")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["FAILED os - library works: os does not work here*"])


def test_names_that_are_none_fail_with_a_sentence(suite, monkeypatch):
    monkeypatch.setenv("XPMLP_BACKENDS", "numpy:")
    done = suite("-k", "sum", "-q")
    assert done.ret == 1
    done.stdout.fnmatch_lines(["*a library is named as numpy, or with a device*got 'numpy:'"])


def test_the_plugin_refuses_a_path_before_it_runs(suite, tmp_path):
    said = {
        tmp_path / "no/out.json": "No such file or directory",
        tmp_path / ".json": "must end in .json or .html",
        tmp_path / "out.txt": "must end in .json or .html",
        "": "must end in .json or .html",
        tmp_path / "folder.json": "Is a directory",
    }
    (tmp_path / "folder.json").mkdir()
    for path, text in said.items():
        options = {"--xp-report": str(path), "--xp-against": None}
        config = type("Config", (), {"getoption": options.get})
        with pytest.raises(pytest.UsageError, match=f"--xp-report {path}: .*{text}"):
            plugin.pytest_configure(config)
    done = suite("--xp-report", "out.txt")
    assert done.ret == 4
    done.stderr.fnmatch_lines(["*--xp-report out.txt: its name must end in .json or .html"])


def test_the_plugin_keeps_quiet_in_other_suites_and_says_if_there_is_nothing_to_report(
    run, pytester
):
    pytester.makepyfile("def test_mine(): pass")
    assert "parity" not in run().stdout.str()
    run("--xp-report", "out.json").stdout.fnmatch_lines(["*out.json: no parity test has run"])


def test_the_plugin_loads_no_library():
    code = "import sys, xpmlp.testing.plugin; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"array_api_compat", "sklearn", "scipy", "torch", "jax", "click", "tqdm"}
    assert not heavy & set(out.stdout.split())
