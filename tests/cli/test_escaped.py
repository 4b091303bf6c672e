"""Names and labels of files do not reach a terminal as control characters."""

import csv
import sys
from pathlib import Path

import pytest

import xpmlp.cli

EVIL = "\x1b[31m\u202e\x07"
TURNED = "\u202e"  # which a name may hold
FORBIDDEN = {"\x1b", "\u202e", "\x07", "\x9b"}


@pytest.fixture
def table(tmp_path, monkeypatch):
    """A table whose name, columns, cells and labels are hostile."""
    monkeypatch.chdir(tmp_path)
    rows = [(i % 7, f"{EVIL}{i % 3}", f"{EVIL}{'no' if i % 7 < 3 else 'yes'}") for i in range(60)]
    with open(f"{EVIL}.csv", "w", newline="") as file:
        csv.writer(file).writerows([(f"age{TURNED}", f"city{TURNED}", f"rich{TURNED}"), *rows])
    return f"{EVIL}.csv"


def commands(table):
    yield "train", table, "--epochs", 3, "--hidden", 4, "--out", "m", "--verbose", "--metrics", "f1"
    yield "info", "m"
    yield "evaluate", "m", table
    yield "predict", "m", table, "--out", f"{EVIL}out.csv"
    yield "predict", "m", "absent" + EVIL
    yield "train", table, "--target", "age" + EVIL
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


def test_control_characters_in_the_name_of_a_column_are_refused_in_a_sentence(xpmlp, tmp_path):
    path = tmp_path / "t.csv"
    path.write_text(f"age,{EVIL}\n1,2\n")
    code, out, err = xpmlp("train", path, "--out", tmp_path / "m")
    assert (code, out, err.count("\n")) == (3, "", 1)
    assert r"the column '\x1b[31m\u202e\x07' has control characters in its name" in err
