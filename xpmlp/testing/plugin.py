"""Plugin for pytest: options that name array libraries, and the report of the parity suite.

Every pytest run loads it where xpmlp is installed, so it imports nothing large, and does nothing
where no parity test has run.
"""

import json
import os
from pathlib import Path

import pytest

ROW = "xpmlp parity"  # the name of a property: a row of the report, its test's number first
OPTIONS = {
    "--xp": "run the parity suite on this library, as numpy, cupy, torch:cuda, jax; repeatable "
    "(default: XPMLP_BACKENDS, or what is installed); one that does not work fails",
    "--xp-require": "fail where this library does not work, instead of leaving it out; repeatable",
    "--xp-report": "write the parity report here (.json or .html)",
    "--xp-against": "compare with what `xpmlp parity --save FILE` kept on another machine",
}


def pytest_addoption(parser):
    """Add --xp, --xp-require, --xp-report and --xp-against."""
    group = parser.getgroup("xpmlp", "parity of array libraries")
    for name, text in OPTIONS.items():
        kind = {"action": "append", "default": [], "metavar": "LIBRARY[:DEVICE]"}
        if name in ("--xp-report", "--xp-against"):
            kind = {"metavar": "FILE"}
        group.addoption(name, help=text, **kind)


def pytest_configure(config):
    """Read and try the files before the tests run; gather the rows in the process that reports."""
    path, against = config.getoption("--xp-report"), config.getoption("--xp-against")
    if hasattr(config, "workerinput"):  # a worker's rows travel in its tests' properties
        return
    there = _read(against)
    if path is not None:
        try:
            if Path(path).suffix not in (".json", ".html"):
                raise OSError(0, "its name must end in .json or .html")
            if against is not None and os.path.realpath(path) == os.path.realpath(against):
                raise OSError(0, "it would overwrite the file of --xp-against")
            open(path, "a").close()
        except OSError as error:
            raise pytest.UsageError(f"--xp-report {path}: {error.strerror}") from error
    config.pluginmanager.register(_Gatherer(path, there), "xpmlp parity report")


def _read(path):
    """Return the results in a file, None without one."""
    if path is None:
        return None
    from ..errors import DataError
    from .parity.saved import read_results

    try:
        return read_results(path)
    except DataError as error:
        raise pytest.UsageError(f"--xp-against {error}") from error


class _Gatherer:
    """Rows of the tests that have run, shown and written at the end."""

    def __init__(self, path, there=None):
        self.path, self.there = path, there
        self.rows = {}  # (number of the test, of the row in it) -> row

    def pytest_runtest_logreport(self, report):
        rows = [json.loads(text) for name, text in report.user_properties if name == ROW]
        self.rows |= {(number, i): row for i, (number, *row) in enumerate(rows)}

    def pytest_terminal_summary(self, terminalreporter):
        if not self.rows:
            if self.path:
                terminalreporter.write_line(f"--xp-report {self.path}: no parity test has run")
            return
        from .parity import Report, Row

        rows = dict.fromkeys(Row(*row) for _, row in sorted(self.rows.items()))
        report = Report([*rows], there=self.there)
        terminalreporter.section("parity of array libraries")
        terminalreporter.write_line(str(report))
        if self.path:
            text = getattr(report, Path(self.path).suffix[1:])()
            Path(self.path).write_text(text, encoding="utf-8")
            terminalreporter.write_line(f"report: {self.path}")
