"""The suite as pytest runs it: a test for each operation, library and dtype.

pytest --pyargs xpmlp.testing.parity --xp numpy --xp torch:cpu --xp-report report.json
"""

import json
from functools import cache

import pytest

from ..backends import choose, find
from ..plugin import ROW
from . import works
from .compare import run_operation
from .operations import operations


@cache
def _operations():
    return {op.name: op for op in operations()}


def pytest_generate_tests(metafunc):
    """Make a case of each operation on each library, and one of each library."""
    option = metafunc.config.getoption
    try:
        working, broken, left_out = choose(option("--xp"), option("--xp-require"))
    except ValueError as error:  # a name that is none
        raise pytest.UsageError(str(error)) from error
    if metafunc.function is test_a_library_works:
        params = [pytest.param(backend.name, "", id=backend.name) for backend in working]
        params += [pytest.param(name, why, id=name) for name, why in broken.items()]
        params += [
            pytest.param(name, why, id=name, marks=pytest.mark.skip(why))
            for name, why in left_out.items()
        ]
        metafunc.parametrize(("name", "problem"), params)
    else:
        params = [
            pytest.param(backend.name, dtype, name, id=f"{backend.name}-{dtype}-{name}")
            for backend in working for dtype in backend.floats for name in _operations()
        ]  # fmt: skip
        metafunc.parametrize(("library", "dtype", "operation"), params)


def test_a_library_works(name, problem, record_property):
    """It makes an array, computes and hands the result back."""
    _passed([works(name, problem)], 0, record_property)


def test_an_operation_agrees_with_a_wider_float(library, dtype, operation, record_property):
    """Within its bound, in its library, on its device, in its dtype and shape."""
    rows = run_operation(_operations()[operation], find(library), dtype)
    _passed(rows, list(_operations()).index(operation), record_property)


def _passed(rows, number, record_property):
    for row in rows:
        record_property(ROW, json.dumps([number, *row]))
    problems = [f"{row.operation}: {row.problem}" for row in rows if row.problem]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)
