"""The pytest plugin: options that name array libraries, and the report of the parity suite.

It stands in every pytest run of whoever has xpmlp installed, so it imports nothing of weight, and
does nothing where no parity test has run.
"""

import json
from pathlib import Path

import pytest

ROW = "xpmlp parity"  # the name of a property: a row of the report, its test's number first


def pytest_addoption(parser):
    """Add --xp, --xp-require and --xp-report."""
    group = parser.getgroup("xpmlp", "parity of array libraries")
    group.addoption(
        "--xp", action="append", default=[], metavar="LIBRARY[:DEVICE]",
        help="run the parity suite on this library, as numpy, cupy, torch:cuda, jax; repeatable "
        "(default: XPMLP_BACKENDS, or what is installed); one that does not work fails",
    )  # fmt: skip
    group.addoption(
        "--xp-require", action="append", default=[], metavar="LIBRARY[:DEVICE]",
        help="fail where this library does not work, instead of leaving it out; repeatable",
    )  # fmt: skip
    group.addoption(
        "--xp-report", metavar="FILE", help="write the parity report here (.json or .html)"
    )


def pytest_configure(config):
    """Gather the rows in the process that reports."""
    path = config.getoption("--xp-report")
    if hasattr(config, "workerinput"):  # a worker's rows travel in its tests' properties
        return
    if path is not None:
        try:
            if Path(path).suffix not in (".json", ".html"):
                raise OSError(0, "its name must end in .json or .html")
            open(path, "a").close()  # before the tests run, not after
        except OSError as error:
            raise pytest.UsageError(f"--xp-report {path}: {error.strerror}") from error
    config.pluginmanager.register(_Gatherer(path), "xpmlp parity report")


class _Gatherer:
    """Rows of the tests that have run, shown and written at the end."""

    def __init__(self, path):
        self.path, self.rows = path, {}  # (number of the test, of the row in it) -> row

    def pytest_runtest_logreport(self, report):
        told = [json.loads(text) for name, text in report.user_properties if name == ROW]
        self.rows |= {(number, i): row for i, (number, *row) in enumerate(told)}

    def pytest_terminal_summary(self, terminalreporter):
        if not self.rows:
            if self.path:
                terminalreporter.write_line(f"--xp-report {self.path}: no parity test has run")
            return
        from .parity import Report, Row

        report = Report([*dict.fromkeys(Row(*row) for _, row in sorted(self.rows.items()))])
        terminalreporter.section("parity of array libraries")
        terminalreporter.write_line(str(report))
        if self.path:
            text = getattr(report, Path(self.path).suffix[1:])()
            Path(self.path).write_text(text, encoding="utf-8")
            terminalreporter.write_line(f"report: {self.path}")
