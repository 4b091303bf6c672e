"""The suite as pytest runs it: a test for each operation, library and dtype.

pytest --pyargs xpmlp.testing.parity --xp numpy --xp torch:cpu --xp-report report.json
"""

import json

import pytest

from ..backends import choose
from ..plugin import ROW
from . import cases, run_operation, works
from .operations import operations
from .saved import read_results

OPERATIONS = list(operations())


def pytest_generate_tests(metafunc):
    """Make a test of each operation on each library; all of them fail where it does not work."""
    option = metafunc.config.getoption
    working, broken, left_out = choose(option("--xp"), option("--xp-require"))
    there = read_results(option("--xp-against"))
    made = [(*case, "") for case in cases(working, OPERATIONS, there)]
    made += [(op, name, "-", why) for name, why in broken.items() for op in OPERATIONS]
    params = [
        pytest.param(i, *case, id=f"{getattr(case[1], 'name', case[1])}-{case[2]}-{case[0].name}")
        for i, case in enumerate(made)
    ]
    params += [
        pytest.param(0, None, name, "-", why, id=name, marks=pytest.mark.skip(why))
        for name, why in left_out.items()
    ]
    metafunc.parametrize(("number", "operation", "library", "dtype", "problem"), params)


def test_parity(number, operation, library, dtype, problem, record_property):
    """Within its bound, in its library, on its device, in its dtype and shape."""
    rows = [works(library, problem)]
    if not problem:
        rows = run_operation(operation, library, dtype)
    for row in rows:
        record_property(ROW, json.dumps([number, *row]))
    failed = [f"{row.operation}: {row.problem}" for row in rows if row.problem]
    if failed:
        pytest.fail("\n".join(failed), pytrace=False)
    if all(row.skipped for row in rows):
        pytest.skip("; ".join(f"{row.operation}: {row.skipped}" for row in rows))
