"""Rows that break the columns of a file: told, skipped, kept apart."""

import csv as csv_module
from pathlib import Path

import numpy as np
import pytest
from csv_files import (
    column,
    csv_fixture,  # noqa: F401 - fixtures among them
    opened,
    refused,
)
from each import each

from xpmlp.tables.datasets import load_dataset
from xpmlp.tables.files import open_raw_table
from xpmlp.tables.files.csv_repair import BadRow
from xpmlp.tables.open_table import open_table

# --- bad rows


FAULTS = [
    ("a,b,c\n1,2,3\n4,5\n", ["line 3", "column 'c'", "'4,5'", "2 cells, expected 3"]),
    ("a,b,c\n1,2,3\n\n1,2,3,4\n", ["line 4", "column 'c'", "'1,2,3,4'", "4 cells"]),
    ("a,b,c\r\n1,2,3\r\n\r\n1,2\r\n", ["line 4", "'1,2'", "2 cells"]),
    ('a,"b\nb",c\n1,2,"x\ny"\nz,2\n', ["line 5", "column 'c'", "'z,2'"]),
    ('a,b,c\n1,2,3\n4,"5,6\n', ["line 3", "a quote is not closed"]),
    ('a,b,c\n1,2,3\n4,"5"6,6\n', ["line 3", "a quote stands in the wrong place", "5"]),
    ('a,b,c\n1,2,3\n"4\n4"4,5,6\n', ["line 3", "wrong place", "goes on to line 4"]),
    (b"a,b,c\n1,2,3\n4,\xff,6\n", ["line 3", "column 'b'", "UTF-8"]),
    ("a,b,c\n1,2,3\n4,5,\n7,8,9\n", ["line 3", "column 'c'", "empty", "target is missing"]),
    ("a,b,c\n1,2,3\n4,5,nan\n7,8,9\n", ["line 3", "column 'c'", "'nan'", "target is missing"]),
    ("a,b,c\n1,2,3\n4,5,ox\n7,8,9\n", ["line 3", "column 'c'", "'ox'", "finite number"]),
    ("a,b,c\n1,2,3\n4,5,inf\n7,8,9\n", ["line 3", "column 'c'", "'inf'", "finite number"]),
    ("a,b,c\n1,2,ox\n4,5,\n7,8,cow\n", ["line 3", "column 'c'", "empty"]),
    ("a,b,c\n1,2,ox\n4,5,nan\n7,8,cow\n", ["line 3", "column 'c'", "'nan'"]),
    ("a,b\n1,2\n3,4\n" + "5," + "x" * 2_100_000 + "\n", ["line 4", "longer than"]),
]


@each("ending", ["", ".gz"], parts=5)
@each("text, words", FAULTS)
def test_a_bad_row_is_told_with_its_line_column_and_text(csv, text, words, ending):
    path = csv(text, "t.csv" + ending)
    refused([str(path), "--on-bad-row skip", *words], load_dataset, path)


def test_a_type_that_reads_no_cell_is_told_to_be_wrong_and_no_row_is_left_out(csv):
    path = csv(column("a", ["$5.50", "NA", "$7.25", "$8"]))
    for words in (["no cell of 'a' is of type number:kg", "--types"], ["3 of 4 rows"]):
        refused(words, opened, path, types={"a": "number:kg"})
    path = csv(column("a", ["$5.50", "NA", "5 kg", "$8"]))
    refused(["2 of 4 rows", "mend them"], opened, path, types={"a": "number:kg"})


@each(
    "text, words",
    [
        ("a,b,a\n1,2,3\n", ["line 1", "'a'", "repeated"]),
        ("a,,c\n1,2,3\n", ["column 2", "no name", "--names"]),
        ("", ["line 1", "empty"]),
        ("\n\n", ["line 1", "empty"]),
        ("a,b,c\n", ["no rows"]),
        ("a\n1\n2\n", ["one column", "'a'"]),
        ("a,b,\n1,2,\n3,4,5\n", ["column 3", "no name", "--names"]),
        (f"a,b\n1,x\n2,{'z' * 300}\n", ["'b'", "text of 300 characters", "--target"]),
        ("a,b\n1,x\n2,x\n", ["'b'", "every row holds x", "different"]),
        ("a,b\n1,7\n2,7\n", ["'b'", "every row holds 7"]),
        ("a,b\n1,2024-01-01\n2,2024-01-02\n", None),
        ("a,b\n1\n2\n", ["no good row", "line 2", "1 cells"]),
        ("a,b\n1,x\n2,y\n".encode("utf-16-le"), ["NUL", "line 1", "--encoding utf-16-le"]),
        ("a,b\n1,x\n2,y\n".encode("utf-16-be"), ["NUL", "line 1", "--encoding utf-16-be"]),
        (b"a,b\n1,2\n3,\0\n", ["line 3", "NUL"]),
    ],
)
def test_a_file_that_is_no_table_is_told_in_a_sentence(csv, text, words):
    path = csv(text)
    if words is None:
        path, words = csv(text), ["'b'", "dates"]
        refused(words, opened, path, types={"b": "date"})
    else:
        refused([str(path), *words], opened, path, on_bad_row="skip")


def test_folders_and_damaged_gzips_are_told_in_a_sentence(csv, tmp_path):
    refused([str(tmp_path), "folder"], opened, tmp_path)
    refused(["nowhere.csv"], opened, tmp_path / "nowhere.csv")
    path = csv("", "t.csv.gz")
    refused([str(path), "empty"], opened, path)
    path.write_bytes(b"")
    refused([str(path), "empty"], opened, path)
    path = csv("a,b\n" + "1,2\n" * 1000, "t.csv.gz")
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-20])
    refused([str(path), "cannot be read"], opened, path)
    data[-5] ^= 1  # in the length of the text, which parses
    path.write_bytes(data)
    refused([str(path), "cannot be read"], opened, path)


def test_mixed_line_ends_and_an_end_without_one_are_no_fault(csv):
    table = opened(csv("a,b\r\n1,2\n3,4\r\n5,6"))
    assert table.features.column(0).tolist() == [1, 3, 5] and table.lines().tolist() == [2, 3, 4]


def test_a_file_of_good_rows_needs_no_repair_whatever_its_line_ends(csv, monkeypatch):
    monkeypatch.setattr(open_raw_table, "clean", None)
    for end in ("\n", "\r\n"):
        assert len(opened(csv(MANY.replace("\n", end))).y) == 60


MANY = "a,b,y\n" + "".join(f"{i},x,{i % 2}\n" for i in range(60))


def spoilt():
    """Rows with eight faults in lines 4, 6, 9 (goes on to 10), 20, 30, 40, 50, 60."""
    lines = MANY.splitlines()
    for line, text in [(4, "1"), (6, "1,x,1,9"), (20, "odd,x,1"), (30, "1,x,"), (50, "1,x,?")]:
        lines[line - 1] = text
    lines[8], lines[39], lines[59] = '1,"x\ny"z,1', "1,", "odd,x,"
    return "\n".join([*lines[:9], *lines[10:]]) + "\n"


BAD = [4, 6, 9, 20, 30, 40, 50, 60]


def test_all_bad_rows_are_counted_and_the_next_of_them_told(csv):
    words = ["line 4,", "8 of 59 rows", "the next in line 6, 9, 20, 30, 40, ..."]
    refused(words, opened, csv(spoilt()))


def test_bad_rows_are_left_out_counted_and_listed(csv):
    table = opened(csv(spoilt()), on_bad_row="skip")
    assert [row.line for row in table.bad_rows] == BAD
    assert table.bad_rows[0] == BadRow(4, "b", "the row has 1 cells, expected 3", "1")
    assert table.bad_rows[3] == BadRow(20, "a", "expected a finite number", "odd")
    assert table.bad_rows[4] == BadRow(30, "y", "the target is missing", "")
    good = [line for line in range(2, 62) if line not in [*BAD, 10]]
    assert table.lines().tolist() == good and len(table.y) == len(good)
    assert table.lines([3, 0]).tolist() == [good[3], good[0]]
    np.testing.assert_array_equal(table.features.column(0), [line - 2 for line in good])
    lines = table.summary_of_bad_rows().splitlines()
    assert len(lines) == 9 and lines[0] == "8 rows left out of t.csv:"
    assert "line 20, column 'a': got 'odd', expected a finite number" in lines[4]
    rows = column("a", ["odd"] * 12 + list(range(300)))
    lines = opened(csv(rows), on_bad_row="skip").summary_of_bad_rows().splitlines()
    assert len(lines) == 12 and lines[-1] == "  and 2 more"
    assert opened(csv(MANY)).summary_of_bad_rows() == ""


@pytest.mark.parametrize(
    "most, fits", [(8, True), (7, False), (0, False), (0.14, True), (0.1, False)]
)
def test_more_bad_rows_than_allowed_are_an_error(csv, most, fits):
    path = csv(spoilt())
    if fits:
        assert len(opened(path, on_bad_row="skip", max_bad_rows=most).bad_rows) == 8
    else:
        words = ["line 4", "8 of 59 rows", "--max-bad-rows"]
        refused(words, opened, path, on_bad_row="skip", max_bad_rows=most)


def test_bad_rows_go_into_quarantine_at_the_end_if_all_is_well(csv, tmp_path):
    path = csv(spoilt())
    kept = Path(f"{path}.bad.csv")
    with open_table(path, on_bad_row="quarantine"):
        assert not kept.exists()
    with open(kept, newline="") as file:
        rows = list(csv_module.reader(file))
    assert rows[0] == ["line", "column", "reason", "text"]
    assert [row[0] for row in rows[1:]] == [str(line) for line in BAD]
    assert rows[3] == [
        "9",
        "",
        "a quote stands in the wrong place (the row goes on to line 10)",
        '1,"x\ny"z,1',
    ]
    kept.unlink()
    with pytest.raises(KeyError), open_table(path, on_bad_row="quarantine"):
        raise KeyError
    assert not kept.exists()
    opened(path, on_bad_row="quarantine", quarantine=tmp_path / "bad")
    assert (tmp_path / "bad").exists() and not kept.exists()
    opened(csv(MANY), on_bad_row="quarantine")
    assert not kept.exists()
    refused(["'ignore'", "skip"], opened, path, on_bad_row="ignore")
