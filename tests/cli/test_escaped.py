"""Names and labels of files do not reach a terminal as control characters."""

import csv
import sys
from pathlib import Path

import pytest

import xpmlp.cli

EVIL = "\x1b[31m\u202e\x07"
FORBIDDEN = {"\x1b", "\u202e", "\x07", "\x9b"}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table whose name, columns, cells and labels are hostile."""
    monkeypatch.chdir(tmp_path)
    rows = [(i % 7, f"{EVIL}{i % 3}", f"{EVIL}{'no' if i % 7 < 3 else 'yes'}") for i in range(60)]
    with open(f"{EVIL}.csv", "w", newline="") as file:
        csv.writer(file).writerows([(f"age{EVIL}", f"city{EVIL}", f"rich{EVIL}"), *rows])
    return f"{EVIL}.csv"


def commands(table):
    yield "train", table, "--epochs", 3, "--hidden", 4, "--out", "m", "--verbose", "--metrics", "f1"
    yield "info", "m"
    yield "evaluate", "m", table
    yield "predict", "m", table, "--out", f"{EVIL}out.csv"
    yield "predict", "m", "absent" + EVIL
    yield "train", table, "--target", "age" + EVIL + "?"
    yield "info", "absent" + EVIL


def test_no_command_prints_control_characters_out_of_a_file(table, xpmlp):
    for command in commands(table):
        _, out, err = xpmlp(*command)
        assert not FORBIDDEN & {*out, *err}, command
        assert r"\x1b[31m\u202e\x07" in out + err, command


def test_predictions_are_raw_in_a_pipe_and_escaped_on_a_terminal(table, xpmlp, monkeypatch):
    xpmlp(*next(commands(table)))
    _, piped, _ = xpmlp("predict", "m", table)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    _, shown, _ = xpmlp("predict", "m", table)
    assert EVIL in piped and not FORBIDDEN & {*shown}
    assert shown == piped.replace(EVIL, r"\x1b[31m\u202e\x07")


def test_commands_print_by_one_function_alone():
    folder = Path(xpmlp.cli.__file__).parent
    uses = [p.name for p in folder.glob("*.py") if "click.echo(" in p.read_text("utf-8")]
    assert uses == ["command.py"]
