"""Raw tables: what columns are taken for, every bad row told, and rows that stay on the disk."""

import csv as csv_module
import errno
import gzip
import io
import re
import sys
import tempfile
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from each import each
from hypothesis import given, settings
from hypothesis import strategies as st

from xpmlp.errors import DataError
from xpmlp.tables import duckdb_frame, raw_table
from xpmlp.tables.csv_repair import BadRow
from xpmlp.tables.datasets import load_dataset, load_features
from xpmlp.tables.duckdb_frame import DuckDBFrame
from xpmlp.tables.frame import Frame
from xpmlp.tables.open_table import array_of, open_table, read_features, read_table
from xpmlp.tables.types import MISSING


def refused(words, read, *args, **options):
    """Demand a DataError of one sentence that holds all the words."""
    with pytest.raises(DataError) as caught:
        read(*args, **options)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


def opened(path, **options):
    with open_table(path, **options) as table:
        return table


@pytest.fixture
def csv(tmp_path):
    def write(text, name="t.csv"):
        data = text if isinstance(text, bytes) else text.encode()
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


@pytest.fixture
def parquet(tmp_path):
    import duckdb

    def write(select):
        path = tmp_path / "t.parquet"
        duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
        return path

    return write


def column(head, cells):
    """A CSV of a column, beside a target of 0 and 1."""
    return f"{head},y\n" + "".join(f"{cell},{i % 2}\n" for i, cell in enumerate(cells))


# --- arrays of numbers, and features for models of arrays


@each(
    "name, mark, end",
    [
        ("t.csv", ",", "\n"),
        ("t.csv", ";", "\r\n"),
        ("t.csv", ";", "\r"),
        ("t.tsv", "\t", "\n"),
        ("t.CSV.gz", "|", "\r\n"),
        ("t[1].csv", ",", "\n"),
        ("it's ?*.csv", ",", "\n"),
    ],
)
def test_a_csv_is_read_whatever_its_name_delimiter_and_line_ends(csv, name, mark, end):
    csv("not,this\n1,2\n", "t1.csv")
    rows = ["a,b,kind", "1,2.5,yes", "-3e2, 4 ,no", "", '"5",6,yes', "7,8,no", ""]
    table = load_dataset(csv("\ufeff" + end.join(rows).replace(",", mark), name))
    np.testing.assert_array_equal(table.X, [[1, 2.5], [-300, 4], [5, 6], [7, 8]], strict=True)
    assert table.y.tolist() == ["yes", "no", "yes", "no"]
    assert (table.feature_names, table.target_name) == (("a", "b"), "kind")
    assert (table.task, table.name, table.X_test) == ("classification", name, None)


def test_the_target_is_the_named_column_and_by_default_the_last(csv):
    path = csv("a,b,c\n1,2,3\n4,5,6\n")
    assert read_table(path).y.tolist() == [3, 6]
    table = read_table(path, "b")
    assert table.y.tolist() == [2, 5]
    assert table.X.tolist() == [[1, 3], [4, 6]]
    refused(["'bb'", "'a', 'b', 'c'", "did you mean 'b'"], read_table, path, "bb")


def test_a_file_without_header_numbers_its_columns(csv):
    table = read_table(csv("1,2,0\n3,4,1\n5,6,0\n7,8,1\n"))
    assert table.feature_names == ("x0", "x1")
    assert (table.target_name, table.X.shape, table.task) == ("x2", (4, 2), "classification")


def test_names_that_are_growing_numbers_are_a_header_but_a_row_of_data_is_not(csv):
    assert read_table(csv("0,1,target\n1,2,3\n1,2,4\n")).feature_names == ("0", "1")
    refused(["line 1", "'5.1'"], read_table, csv("5.1,3.5,setosa\n4.9,3.0,setosa\n"))
    refused(["line 1", "'39'"], read_table, csv("39,State-gov,13\n50,Private,14\n"))


def test_features_are_an_array_where_all_are_numbers_and_there_and_else_a_frame(csv):
    assert isinstance(read_table(csv("a,b,y\n1,2,0\n3,4,1\n")).X, np.ndarray)
    for text in ("a,b,y\n1,,0\n3,4,1\n", "a,b,y\n1,x,0\n3,z,1\n"):
        assert isinstance(read_table(csv(text)).X, Frame)


def by_name(path, names):
    with open_table(path, known=dict.fromkeys(names, "number")) as table:
        return array_of(table)


@pytest.mark.parametrize(
    "text, names",
    [
        ("b,y,a\n2,9,1\n4,9,3\n", ["a", "b"]),  # found by name, in the model's order
        ("a,b\n1,2\n3,4\n", ["a", "b"]),
        ("a,y,b\n1,?,2\n3,,4\n", None),  # the target is left out, whatever it holds
        ("p,q\n1,2\n3,4\n", None),
        ("1,2\n3,4\n", ["a", "b"]),
    ],
)
def test_features_are_found_by_name_or_else_by_position(csv, text, names):
    X = by_name(csv(text), names) if names else load_features(csv(text), 2, "y")
    assert X.tolist() == [[1, 2], [3, 4]]


def test_features_that_do_not_fit_the_model_are_refused(csv):
    path = csv("a,c\n1,2\n")
    refused(["'a', 'c'", "'b'"], by_name, path, ["a", "b"])
    refused(["2 columns", "3 features"], load_features, path, 3, "y")
    refused(["line 3", "'a'", "'x'"], by_name, csv("a\n1\nx\n"), ["a"])
    refused(["4 features", "model's 3"], load_features, "iris", 3, "y")


def test_a_single_feature_counts_its_blank_lines_but_for_the_last(csv):
    path = csv("a\n1\n\n3\n\n\n")
    refused(["line 3", "empty"], read_features, path, 1, None)
    assert len(opened(path, known={"a": "number"}).features) == 3


# --- what columns are


TAKEN = {
    "numbers": (["1", "-2.5", ".5", "1e3", "+4"], "number"),
    "whole numbers": (["0", "10", "200"], "number"),
    "numbers and holes": (["1", "", "?", "NA", "3"], "number"),
    "true and false": (["true", "False", "TRUE", ""], "boolean"),
    "text": (["a", "b", "1"], "category"),
    "commas between thousands": (["1,234", "5,678.5"], "number:point"),
    "decimal commas": (["1,25", "17.645,05", "1 000"], "number:comma"),
    "commas anywhere": (["1,23,4", "5,,6"], "category"),
    "telephone numbers": (["012 345 678", "112 345 678"], "category"),
    "addresses": (["10.123.145.167", "192.168.100.101"], "category"),
    "percent": (["12 %", "13 %"], "category"),
    "infinite": (["inf", "1e400", "-inf"], "category"),
    "hexadecimal": (["0x10", "0xff"], "category"),
    "underscores": (["1_000", "2_000"], "category"),
    "postal codes": (["00123", "12345", "99999"], "category"),
    "leading zeros of different lengths": (["007", "12", "5"], "number"),
    "only holes": (["", "NA", "?"], "category"),
    "days": (["2024-12-31", "2024-01-05", ""], "date"),
    "times": (["2024-12-31 23:59", "2024-12-31T23:59:01.5", "2024-12-31"], "date"),
    "offsets": (["2024-12-31T12:00:00Z", "2024-12-31 12:00:00+02:00"], "date"),
    "German": (["31.12.2024", "1.2.2024 10:30"], "date:%d.%m.%Y"),
    "day first": (["31/12/2024", "01/02/2024"], "date:%d/%m/%Y"),
    "month first": (["12/31/2024", "01/02/2024"], "date:%m/%d/%Y"),
    "short years": (["31.12.24", "1.2.24"], "category"),
    "years": (["2020", "2021"], "number"),
    "words DuckDB takes for dates": (["epoch", "infinity"], "category"),
    "no days": (["2024-02-30", "2024-13-01"], "category"),
}


@each("cells, kind", TAKEN.values(), ids=TAKEN, parts=5)
def test_a_column_is_what_its_cells_are(csv, cells, kind):
    cells = [f'"{cell}"' for cell in cells]
    assert opened(csv(column("a", cells))).types == {"a": kind}


def test_a_column_comes_back_as_its_kind(csv):
    text = (
        "n,b,d,g,t,c,y\n"
        "1.5,true,2024-12-31,31.12.2024,2024-01-01 01:00:00+02:00,x,1\n"
        "?,FALSE,NA,1.2.2024 10:30,2024-01-01T10:00:00.5Z, y ,2\n"
        '-2,,2024-01-05,,,"null",3\n'
    )
    frame = opened(csv(text)).features
    assert frame.kinds == ("number", "number", "date", "date", "date", "category")
    n, b, d, g, t, c = frame.columns
    np.testing.assert_array_equal(n, [1.5, np.nan, -2])
    np.testing.assert_array_equal(b, [1, 0, np.nan])
    assert d.astype(str).tolist() == [
        "2024-12-31T00:00:00.000000",
        "NaT",
        "2024-01-05T00:00:00.000000",
    ]
    assert g.astype("M8[m]").astype(str).tolist() == ["2024-12-31T00:00", "2024-02-01T10:30", "NaT"]
    assert t.astype("M8[ms]").astype(str).tolist() == [
        "2023-12-31T23:00:00.000",
        "2024-01-01T10:00:00.500",
        "NaT",
    ]
    assert c.tolist() == ["x", "y", None]
    assert all(
        a.dtype == dtype for a, dtype in zip(frame.columns, "f8 f8 M8[us] M8[us] M8[us] O".split())
    )


@each("token", ["", *MISSING], parts=4)
def test_a_token_is_a_missing_cell_of_every_kind_of_column(csv, token):
    text = f"a,b,c,y\n1,x,2024-01-01,0\n{token},{token},{token},1\n2,x,2024-01-01,0\n"
    table = opened(csv(text))
    assert table.types == {"a": "number", "b": "category", "c": "date"}
    a, b, c = table.features[[1]].columns
    assert np.isnan(a[0]) and b[0] is None and np.isnat(c[0])


def test_one_odd_cell_in_twenty_is_a_bad_row_and_more_make_text(csv):
    refused(
        ["line 5", "'odd'", "finite number"], opened, csv(column("a", [1, 2, 3, "odd", *range(16)]))
    )
    refused(["line 2", "'odd'", "a date"], opened, csv(column("a", ["odd"] + ["2024-01-01"] * 19)))
    refused(["line 2", "'odd'", "true or false"], opened, csv(column("a", ["odd"] + ["true"] * 19)))
    assert opened(csv(column("a", ["odd", *range(18)]))).types == {"a": "category"}


def test_dates_that_may_be_read_in_two_ways_are_refused_until_the_user_says_which(csv):
    path = csv(column("when", ["01/02/2024", "03/04/2024"]))
    refused(["'when'", "day/month", "types={'when': 'date:%d/%m/%Y'}"], opened, path)
    for kind, month in (("date:%d/%m/%Y", "2024-02"), ("date:%m/%d/%Y", "2024-01")):
        table = opened(path, types={"when": kind})
        assert str(table.features.column(0)[0]).startswith(month) and table.types == {"when": kind}


def test_numbers_with_commas_that_may_mean_two_things_are_refused_until_the_user_says_which(csv):
    path = csv(column("a", ['"1,234"', '"5,678"']))
    refused(["'a'", "number:point", "number:comma"], opened, path)
    for kind, first in (("number:point", 1234.0), ("number:comma", 1.234)):
        assert opened(path, types={"a": kind}).features.column(0)[0] == first
    path = csv('a,y\n1,"2,5"\n2,"3,5"\n3,"4,5"\n')
    assert opened(path).y.tolist() == [2.5, 3.5, 4.5]


def test_words_for_missing_are_labels_where_the_user_says_so(csv):
    path = csv("a,y\n1,None\n2,Mild\n3,\n4,None\n5,Mild\n")
    refused(["line 2", "target is missing", "--types y=category:all"], opened, path)
    table = opened(path, types={"y": "category:all"}, on_bad_row="skip")
    assert table.y.tolist() == ["None", "Mild", "None", "Mild"]
    assert [row.line for row in table.bad_rows] == [4]
    path = csv("a,y\nNone,1\nMild,2\n,3\n")
    frame = opened(path, types={"a": "category:all"}).features
    assert frame.column(0).tolist() == ["None", "Mild", None]


def test_types_that_the_user_gives_are_the_types(csv):
    text = "zip,when,age\n123,31-12-24 10h,1\n456,30-12-24 11h,2\n"
    table = opened(csv(text), types={"zip": "category", "when": "date:%d-%m-%y %Hh"})
    assert table.types == {"zip": "category", "when": "date:%d-%m-%y %Hh"}
    assert table.features.column(0).tolist() == ["123", "456"]
    assert str(table.features.column(1)[0]) == "2024-12-31T10:00:00.000000"
    refused(["'zap'", "did you mean 'zip'"], opened, csv(text), types={"zap": "number"})
    refused(["'zip'", "'digits'", "category"], opened, csv(text), types={"zip": "digits"})
    refused(["line 2", "'when'", "'31-12"], opened, csv(text), types={"when": "number"})
    refused(
        ["line 2", "'when'", "such as %d.%m"], opened, csv(text), types={"when": "date:%d.%m.%Y"}
    )


def test_types_are_described_a_line_each(csv):
    rows = ["3.5,?,a,2024-01-31,1", "-1,NA,b,2024-01-01,2", "2,true,a,,3", "1,false,c,,4"]
    path = csv("size,flag,color,when,price\n" + "\n".join(rows) + "\n")
    with open_table(path) as table:
        lines = [line.split() for line in table.describe().splitlines()]
    assert lines == [
        ["column", "type", "missing", "values"],
        ["size", "number", "-", "-1", "to", "3.5"],
        ["flag", "boolean", "2", "(?,", "NA)", "0", "to", "1"],
        ["color", "category", "-", "3", "different:", "a,", "b,", "c"],
        ["when", "date", "2", "2024-01-01", "to", "2024-01-31"],
        ["price", "(target)", "number", "-", "1", "to", "4"],
    ]


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


@each(
    "text, words",
    [
        ("a,b,a\n1,2,3\n", ["line 1", "'a'", "repeated"]),
        (",b,c\n0,2,3\n", ["line 1", "''", "index=False"]),
        ("", ["line 1", "empty"]),
        ("\n\n", ["line 1", "empty"]),
        ("a,b,c\n", ["no rows"]),
        ("a\n1\n2\n", ["one column", "'a'"]),
        ("a,b,\n1,2,\n", ["line 1 ends with a delimiter"]),
        (f"a,b\n1,x\n2,{'z' * 300}\n", ["'b'", "text of 300 characters", "--target"]),
        ("sep=;\na;b\n1;2\n", ["line 1", "Excel's 'sep='", "delete"]),
        ("a,b\n1,x\n2,x\n", ["'b'", "every row holds x", "different"]),
        ("a,b\n1,7\n2,7\n", ["'b'", "every row holds 7"]),
        ("a,b\n1,2024-01-01\n2,2024-01-02\n", None),
        ("a,b\n1\n2\n", ["no good row", "line 2", "1 cells"]),
        ("a,b\n1,x\n2,y\n".encode("utf-16"), ["UTF-16", "save it again as UTF-8"]),
        ("a,b\n1,x\n2,y\n".encode("utf-16-le"), ["NUL", "line 1"]),
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


def test_a_quote_too_many_costs_its_line_and_no_more(csv):
    table = opened(csv('a,b\n1,x\n"2,x\n3,y\n4,x\n'), on_bad_row="skip")
    assert [row.line for row in table.bad_rows] == [3] and table.lines().tolist() == [2, 4, 5]
    assert table.features.column(0).tolist() == [1, 3, 4]


# --- for a model


KNOWN = {"age": "number", "city": "category", "since": "date:%d/%m/%Y"}


def test_a_models_columns_are_read_by_name_with_its_types(csv):
    text = "extra,city,since,age,more\nx,7,01/02/2024,?,\nx,,03/04/2024,5,\n"
    table = opened(csv(text), known=KNOWN)
    assert (table.features.names, table.y, table.task) == (tuple(KNOWN), None, "")
    age, city, since = table.features.columns
    np.testing.assert_array_equal(age, [np.nan, 5])
    assert city.tolist() == ["7", None] and str(since[0]).startswith("2024-02-01")
    assert table.types == KNOWN
    table = opened(csv(text), known=KNOWN, target="extra")
    assert table.y.tolist() == ["x", "x"]  # a single value is no fault here
    refused(["line 2", "'city'", "'x'"], opened, csv("city\nx\n1\n"), known={"city": "number"})


def test_columns_that_the_model_lacks_are_named_with_the_nearest(csv):
    words = ["lacks", "'since'", "'City', 'Since', 'age'", "nearest are 'City', 'Since'"]
    refused(words, opened, csv("City,Since,age\n1,2,3\n"), known=KNOWN)


def test_lines_of_kept_rows_are_known_when_predicting(csv):
    table = opened(csv("a\n1\nodd\n3\n\n5\n"), known={"a": "number"}, on_bad_row="skip")
    assert table.lines().tolist() == [2, 4, 5, 6] and table.bad_rows[0].line == 3


def test_a_file_without_header_is_read_by_position(csv):
    known = {"a": "number", "b": "category"}
    frame = opened(csv("1,2\n3,4\n"), known=known).features
    assert frame.names == ("a", "b") and frame.column(1).tolist() == ["2", "4"]
    frame = opened(csv("1,2,3\n3,4,5\n"), known={"x2": "number", "x0": "number"}).features
    assert frame.column(0).tolist() == [3, 5]
    refused(["lacks", "'a', 'b'"], opened, csv("1,2,3\n4,5,6\n"), known=known)


# --- Parquet


def test_parquet_is_read_with_its_types(parquet):
    path = parquet(
        "SELECT i / 8 AS a, i % 2 = 0 AS b, '0' || i AS c, DATE '2024-01-01' + i::INT AS d, "
        "(i::DECIMAL(9, 2) / 4)::DECIMAL(9, 2) AS e, nullif(i, 1)::UTINYINT AS f, "
        "TIMESTAMPTZ '2024-01-01 00:00:00+02:00' AS g, 'k' || i % 2 AS kind FROM range(4) t(i)"
    )
    table = opened(path)
    kinds = ["number", "boolean", "category", "date", "number", "number", "date"]
    assert table.types == dict(zip("abcdefg", kinds))
    a, b, c, d, e, f, g = table.features.columns
    assert a.tolist() == [0, 0.125, 0.25, 0.375] and b.tolist() == [1, 0, 1, 0]
    assert c.tolist() == ["00", "01", "02", "03"] and e.tolist() == [0, 0.25, 0.5, 0.75]
    assert str(d[3])[:10] == "2024-01-04" and str(g[0])[:16] == "2023-12-31T22:00"
    np.testing.assert_array_equal(f, [0, np.nan, 2, 3])
    assert table.y.tolist() == ["k0", "k1", "k0", "k1"] and table.lines().tolist() == [1, 2, 3, 4]
    frame = opened(path, types={"a": "category", "b": "category"}).features
    assert frame.column(0)[:2].tolist() == ["0", "0.125"] and frame.column(1)[0] == "1"


def test_parquet_of_other_writers_is_read(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    path, moments = (
        tmp_path / "t.parquet",
        np.asarray(["2024-01-01T12", "2024-07-01T12"] * 10, "M8[s]"),
    )
    at = pa.array(moments).cast(pa.timestamp("s", "UTC")).cast(pa.timestamp("ns", "Europe/Berlin"))
    # The statistics in the file are finite, whatever NaN there is.
    columns = {
        "__index_level_0__": np.arange(20),
        "g": np.where(np.arange(20) % 3, 0.5, np.nan),
        "at": at,
        "nothing": pa.nulls(20),
    }
    import pyarrow.parquet as pq

    pq.write_table(pa.table(columns | {"y": np.arange(20) % 2}), path)
    table = opened(path)
    assert table.types == {"g": "number", "at": "date", "nothing": "category"}
    assert np.isnan(table.features.column(0)).sum() == 7
    assert (table.features.column(1) == moments).all()


def test_a_fault_in_parquet_is_told_with_row_and_column(parquet):
    select = "SELECT CASE i WHEN 2 THEN 'inf'::DOUBLE WHEN 1 THEN 'nan' ELSE i END AS a, i AS b"
    path = parquet(f"{select} FROM range(4) t(i)")
    refused([str(path), "row 3", "column 'a'", "'inf'"], opened, path)
    table = opened(path, on_bad_row="skip")
    np.testing.assert_array_equal(table.features.column(0), [0, np.nan, 3])
    assert table.lines().tolist() == [1, 2, 4] and table.bad_rows[0].line == 3
    path.write_bytes(path.read_bytes()[:-9])
    refused([str(path)], opened, path)


def test_a_column_of_lists_is_refused_unless_it_is_not_asked_for(parquet):
    path = parquet("SELECT [i] AS a, i AS b, i % 2 AS c FROM range(4) t(i)")
    refused(["'a'", "BIGINT[]", "numbers, text or dates"], opened, path)
    refused(["'a'", "expected number"], opened, path, types={"a": "number"})
    assert opened(path, known={"b": "number"}).features.shape == (4, 1)
    assert opened(path, types={"a": "category"}).features.column(0)[3] == "[3]"


def test_parquet_and_csv_serve_one_model(parquet, csv):
    known = {"a": "number", "c": "category", "d": "date:%d.%m.%Y"}
    one = opened(csv("a,c,d\n1,2,05.01.2024\n"), known=known).features
    other = opened(parquet("SELECT 1 AS a, 2.0 AS c, DATE '2024-01-05' AS d"), known=known).features
    assert [c.tolist() for c in one.columns] == [c.tolist() for c in other.columns]
    path = parquet("SELECT DATE '2024-01-05' AS a, 'x' AS c, '05.01.2024' AS d")
    refused(["'a'", "TIMESTAMP", "number"], opened, path, known=known)


# --- rows that stay on the disk


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """Rows go to a scratch file in this folder, a few a block."""
    monkeypatch.setattr(raw_table, "ON_DISK", 0)
    monkeypatch.setattr("xpmlp.tables.open_table.IN_MEMORY", 0)
    monkeypatch.setattr(duckdb_frame, "BLOCK", 7)
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


MIXED = "n,c,d,y\n" + "".join(
    f"{i if i % 7 else ''},{'abc'[i % 3] if i % 5 else ''},2024-01-{i % 28 + 1:02},{i % 2}\n"
    for i in range(100)
)


@pytest.mark.parametrize(
    "rows",
    [slice(None), slice(5, 50, 3), [99, 0, 50], np.arange(100) % 3 == 0, np.arange(100)[::-1], []],
    ids=["all", "slice", "few", "mask", "backwards", "none"],
)
def test_rows_on_the_disk_are_those_in_memory(csv, request, rows):
    path = csv(MIXED)
    memory = opened(path).features[rows]
    scratch = request.getfixturevalue("scratch")
    with open_table(path) as table:
        assert isinstance(table.features, DuckDBFrame) and list(scratch.glob("*/rows.duckdb"))
        disk = table.features[rows, ...]
        assert (disk.shape, disk.names, disk.kinds) == (memory.shape, memory.names, memory.kinds)
        for i in range(3):
            np.testing.assert_array_equal(disk.column(i), memory.column(i), strict=True)
        part = disk.select(["d", "n"])
        np.testing.assert_array_equal(part.column(1), memory.column(0))
        blocks = list(disk.blocks())
        assert all(isinstance(block, Frame) and len(block) <= 7 for block in blocks)
        found = [value for block in blocks for value in block.column(1).tolist()]
        assert found == memory.column(1).tolist()
        assert table.describe().count("\n") == 4
    assert list(scratch.iterdir()) == []


def test_nothing_is_left_behind_after_an_error(csv, scratch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(["line 3"], opened, csv("a,b\n1,2\n3\n"))
    with pytest.raises(KeyError), open_table(csv(MIXED)):
        raise KeyError
    assert list(scratch.iterdir()) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scratch", "t.csv"]


def test_ctrl_c_and_a_full_disk_while_reading_are_told_as_what_they_are(csv, monkeypatch):
    path = csv("a,y\n1,2\n3\n")  # its rows have to be cleaned

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    for error, kind in (("Query interrupted", KeyboardInterrupt), ("another", RuntimeError)):
        with pytest.raises(kind), raw_table.open_raw_table(path):
            raise RuntimeError(error)
    monkeypatch.setattr(raw_table, "clean", full)
    with pytest.raises(OSError, match="no space left for the rows of the table: let TMPDIR"):
        opened(path)


def test_hundreds_of_columns_are_read(csv):
    names = ",".join(f"c{i}" for i in range(300))
    rows = "".join(f"{','.join(str(i + k) for i in range(300))},{k % 2}\n" for k in range(6))
    table = opened(csv(f"{names},y\n{rows}"))
    assert table.features.shape == (6, 300) and set(table.types.values()) == {"number"}
    assert table.features.column(299).tolist() == [299.0, 300, 301, 302, 303, 304]


def test_a_missing_duckdb_names_the_extra(csv, monkeypatch):
    monkeypatch.setitem(sys.modules, "duckdb", None)
    refused(["pip install 'xpmlp[data]'"], opened, csv("a,b\n1,2\n"))


# --- any table

BREAK = re.compile("\r\n|\r|\n")

CELL = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\ufeff"), max_size=5
) | st.sampled_from(["a,b", '"', 'say "hi"', "two\nlines", "\r\n", " x ", "\r"])


# What DuckDB trims: separators of Unicode, among them the space that does not break.
SPACES = "".join(c for c in map(chr, range(0x3001)) if unicodedata.category(c) == "Zs")
# The csv module leaves \r bare in lines that end with \n.
WAYS = [("\n", csv_module.QUOTE_ALL), ("\r\n", csv_module.QUOTE_MINIMAL)]


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8),
    way=st.sampled_from(WAYS),
    mark=st.sampled_from(",;\t|"),
)
def test_any_text_comes_back_as_it_was_written(rows, way, mark):
    text = io.StringIO(newline="")
    writer = csv_module.writer(text, delimiter=mark, lineterminator=way[0], quoting=way[1])
    writer.writerows([("a", "b", "c"), *(("x", *row) for row in rows)])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        path.write_bytes(text.getvalue().encode())
        table = opened(path, target=None, types=dict.fromkeys("abc", "category"))
    trimmed = [[cell.strip(SPACES) for cell in row] for row in rows]
    expected = [[None if cell in ("", *MISSING) else cell for cell in row] for row in trimmed]
    assert list(map(list, zip(*(table.features.column(i) for i in (1, 2))))) == expected


@settings(max_examples=40, deadline=None)
@given(
    at=st.lists(st.integers(0, 400), min_size=1, max_size=3),
    bits=st.sampled_from([b'"', b",", b"\n", b"\r\n", b"\xff", b'""', b" ", b"x"]),
    end=st.sampled_from(["\n", "\r\n"]),
)
def test_every_line_of_a_damaged_file_is_of_a_row_that_is_kept_or_told(at, bits, end):
    rows = [f'{i},"x{i}, ""y""","two\nlines {i}"' for i in range(12)]
    data = bytearray(end.join([*rows, ""]).encode())
    for place in at:
        data[place % len(data) : place % len(data)] = bits
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.csv")
        path.write_bytes(f"a,b,c{end}".encode() + data)
        table = opened(path, target=None, types={"a": "category"}, on_bad_row="skip")
    kept = zip(table.lines().tolist(), *(table.features.column(i) for i in range(3)))
    texts = [(line, "".join(filter(None, cells))) for line, *cells in kept]
    texts += [(row.line, row.text) for row in table.bad_rows]
    spans = [range(line, line + len(BREAK.split(text))) for line, text in texts]
    lines = enumerate(BREAK.split(data.decode(errors="replace")), 2)
    told = sorted(line for span in spans for line in span)
    assert len(told) == len(set(told))
    assert {line for line, text in lines if text} <= set(told)
