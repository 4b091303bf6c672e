"""The pytest plugin: options that name array libraries, and the report of the parity suite.

It stands in every pytest run of whoever has xpmlp installed, so it imports nothing of weight, and
does nothing where no parity test has run.
"""

import json
from pathlib import Path

import pytest

ROW = "xpmlp parity"  # the name of a property: a row of the report, its operation's number first


def pytest_addoption(parser):
    """Add --xp, --xp-require and --xp-report."""
    group = parser.getgroup("xpmlp", "parity of array libraries")
    group.addoption(
        "--xp", action="append", default=[], metavar="LIBRARY[:DEVICE]",
        help="run the parity suite on this library, as numpy, cupy, torch:cuda, jax; repeatable "
        "(default: XPMLP_BACKENDS, or what is installed); one that does not work fails",
    )  # fmt: skip
    group.addoption(
        "--xp-require",
        action="append",
        default=[],
        metavar="LIBRARY[:DEVICE]",
        help="fail where this library does not work, instead of leaving it out; repeatable",
    )
    group.addoption(
        "--xp-report", metavar="FILE", help="write the parity report here (.json or .html)"
    )


def pytest_configure(config):
    """Gather the rows in the process that reports."""
    path = config.getoption("--xp-report")
    if path and (Path(path).suffix not in (".json", ".html") or not Path(path).parent.is_dir()):
        raise pytest.UsageError(
            f"--xp-report {path} must be a .json or .html file in a folder that exists"
        )
    if not hasattr(config, "workerinput"):  # a worker's rows travel in its tests' properties
        config.pluginmanager.register(_Gatherer(path), "xpmlp parity report")


class _Gatherer:
    """Rows of the tests that have run, shown and written at the end."""

    def __init__(self, path):
        self.path, self.rows = path, []

    def pytest_runtest_logreport(self, report):
        if report.when == "call":
            self.rows += [json.loads(text) for name, text in report.user_properties if name == ROW]

    def pytest_terminal_summary(self, terminalreporter):
        if not self.rows:
            return
        from .parity import Report, Row

        rows = [(number, Row(*row)) for number, *row in self.rows]
        rows.sort(key=lambda pair: (pair[1].library, pair[1].dtype, pair[0]))
        report = Report([row for _, row in rows])
        terminalreporter.section("parity of array libraries")
        terminalreporter.write_line(str(report))
        if self.path:
            report.write(**{Path(self.path).suffix[1:]: self.path})
            terminalreporter.write_line(f"report: {self.path}")
