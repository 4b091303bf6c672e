"""Raw tables: what columns are taken for, every bad row told, and rows that stay on the disk."""

import csv as csv_module
import errno
import io
import re
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from csv_files import (
    MIXED,
    SPACES,
    csv_fixture,  # noqa: F401 - fixtures among them
    opened,
    refused,
)
from each import each
from hypothesis import given, settings
from hypothesis import strategies as st

from xpmlp.tables import duckdb_frame
from xpmlp.tables.datasets import load_dataset, load_features
from xpmlp.tables.duckdb_frame import DuckDBFrame
from xpmlp.tables.files import csv_repair, open_raw_table
from xpmlp.tables.frame import Frame
from xpmlp.tables.kinds.types import MISSING
from xpmlp.tables.open_table import array_of, open_table, read_features, read_table


@pytest.fixture
def parquet(tmp_path):
    import duckdb

    def write(select):
        path = tmp_path / "t.parquet"
        duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
        return path

    return write


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
    with pytest.warns(UserWarning, match="line 1 is all numbers"):
        table = read_table(csv("1,2,0\n3,4,1\n5,6,0\n7,8,1\n"))
    assert table.feature_names == ("x0", "x1")
    assert (table.target_name, table.X.shape, table.task) == ("x2", (4, 2), "classification")


def test_names_that_are_growing_numbers_are_a_header_but_a_row_of_data_is_not(csv):
    with pytest.warns(UserWarning, match="taken as names"):
        assert read_table(csv("0,1,target\n1,2,3\n1,2,4\n")).feature_names == ("0", "1")
    for text in ("5.1,3.5,setosa\n4.9,3.0,setosa\n", "39,State-gov,13\n50,Private,14\n"):
        words = ["line 1", f"got '{text.split(',')[0]}'", "--header", "--no-header"]
        refused(words, read_table, csv(text))


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
    words = ["lacks", "'since'", "'Cty', 'sinse', 'age'", "the nearest are 'Cty', 'sinse'"]
    refused(words, opened, csv("Cty,sinse,age\n1,2,3\n"), known=KNOWN)
    words = ["'City', 'Since' differ only in their capitals"]
    refused(words, opened, csv("City,Since,age\n1,2,3\n"), known=KNOWN)
    words = ["lacks", "'since'", "the nearest is 'sinse'"]
    refused(words, opened, csv("city,sinse,age\n1,2,3\n"), known=KNOWN)


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
    types = dict(table.types)
    assert types.pop("nothing") in ("category", "number")  # whole numbers before DuckDB 2.0
    assert types == {"g": "number", "at": "date"}
    assert np.isnan(table.features.column(0)).sum() == 7
    assert (table.features.column(1) == moments).all()


def test_half_of_the_memory_that_duckdb_would_take_is_left_to_the_model(tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    path = tmp_path / "t.csv"
    path.write_text("a,y\n1,2\n3,4\n")

    def limit(connection):
        row = connection.execute("SELECT current_setting('memory_limit')").fetchone()
        size, unit = row[0].split()
        return float(size) * {"MiB": 1, "GiB": 1 << 10, "TiB": 1 << 20, "PiB": 1 << 30}[unit]

    # What is free of the memory, which else bounds it too, is the machine's of the moment.
    with (
        duckdb.connect() as plain,
        open_raw_table.open_raw_table(path, max_memory=2**62) as raw,
    ):
        own = limit(plain)
        if own >= 1 << 30:
            pytest.skip("DuckDB finds no limit here")
        assert limit(raw.connection) == pytest.approx(own / 2, rel=0.05)


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
    monkeypatch.setattr(open_raw_table, "ON_DISK", 0)
    monkeypatch.setattr(open_raw_table, "IN_MEMORY", 0)
    monkeypatch.setattr("xpmlp.tables.open_table.IN_MEMORY", 0)
    monkeypatch.setattr(duckdb_frame, "BLOCK", 7)
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


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
        yield 2, b"1,2\n"
        raise OSError(errno.ENOSPC, "No space left on device")

    for error, kind in (("Query interrupted", KeyboardInterrupt), ("another", RuntimeError)):
        with pytest.raises(kind), open_raw_table.open_raw_table(path):
            raise RuntimeError(error)
    monkeypatch.setattr(csv_repair, "_good_rows", full)
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
