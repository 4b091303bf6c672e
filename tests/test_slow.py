"""The marks of tests/slow.py."""

import re
from pathlib import Path

from slow import NAMES, ON_JAX


def test_each_name_in_the_tables_is_a_file_or_a_test_that_is_there():
    files = [*Path(__file__).parent.rglob("test_*.py")]
    there = {path.name for path in files}
    for path in files:
        there |= set(re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE))
    assert {*NAMES, *ON_JAX} - there == set()
