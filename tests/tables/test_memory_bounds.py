"""What a table may take of memory: counted before it is taken, and told in a sentence."""

import bz2
import gzip
import io
import json
import os
import zipfile
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from each import each

from xpmlp import host_memory
from xpmlp.errors import DataError, DataMemoryError
from xpmlp.tables.common import LONGEST, lines_of
from xpmlp.tables.datasets import load_dataset, load_features
from xpmlp.tables.files import excel, packing
from xpmlp.tables.open_table import open_table

duckdb = pytest.importorskip("duckdb")


def written(path, data):
    path.write_bytes(data)
    return path


def parquet(path, query):
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")
    return path


def refused(path, *words, error=DataError, **how):
    """Demand one sentence with these words."""
    with pytest.raises(error) as caught:
        load_dataset(path, **how)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message and len(message) < 1000


# --- rows, columns and values that are many


ROWS = b"x,y\n" + b"1,0\n2,1\n" * 2000


@each("name, data", [("a.csv", ROWS), ("a.csv.gz", gzip.compress(ROWS)), ("a.jsonl", None)])
def test_rows_beyond_the_memory_that_is_allowed_are_refused(tmp_path, name, data):
    data = data or b'{"x": 1, "y": 0}\n{"x": 2, "y": 1}\n' * 2000
    path = written(tmp_path / name, data)
    words = "rows of 2 columns", "387.1 kB", "300.0 kB are allowed", "--max-memory"
    refused(path, *words, error=DataMemoryError, max_memory=300_000)
    with pytest.raises(DataMemoryError):
        load_features(path, 1, "y", max_memory=300_000)
    with pytest.raises(DataMemoryError), open_table(path, max_memory=300_000):
        pass
    assert load_dataset(path, max_memory=50_000_000).X.shape == (4000, 1)


def test_parquet_is_asked_how_many_rows_it_has_before_they_are_read(tmp_path):
    path = parquet(tmp_path / "a.parquet", "SELECT 1 AS x, 2 AS y FROM range(1000000)")
    assert path.stat().st_size < 100_000
    words = "1,000,000 rows of 2 columns", "64.1 MB"
    refused(path, *words, error=DataMemoryError, max_memory=50_000_000)


@each(
    "query, words",
    [
        ("range(1000000) AS x, 1 AS y FROM range(2)", ["2,000,000 values", "list"]),
        (
            "repeat('a', 1000000) AS x, 1 AS y FROM range(100)",
            ["up to 1,000,000 bytes", "100.0 MB"],
        ),
    ],
)
def test_lists_and_texts_that_repeat_are_counted_too(tmp_path, query, words):
    path = parquet(tmp_path / "a.parquet", f"SELECT {query}")
    refused(path, *words, error=DataMemoryError, max_memory=30_000_000)


def test_columns_beyond_the_memory_that_is_allowed_are_refused(tmp_path):
    names = b",".join(b"c%d" % i for i in range(2000))
    path = written(tmp_path / "a.csv", names + b"\n" + b"1," * 1999 + b"1\n")
    refused(path, "2,000 columns", "131.1 MB", error=DataMemoryError, max_memory=100_000_000)
    lines = b"".join(b'{"k%d": 1}\n' % i for i in range(2000))
    path = written(tmp_path / "a.jsonl", lines)
    refused(path, "2,000 columns", "131.2 MB", error=DataMemoryError, max_memory=100_000_000)


# --- what is packed


@each("pack", [gzip.compress, bz2.compress])
def test_a_table_unpacks_to_a_bounded_multiple_of_its_size(tmp_path, pack, monkeypatch):
    monkeypatch.setattr(packing, "SMALL", 1 << 20)
    path = written(tmp_path / "a.csv", pack(b"x,y\n" + b"1,0\n" * 2_000_000))
    refused(path, "more than 200 times its own size", "unpack it")


def test_json_whose_keys_differ_is_a_bounded_multiple_of_its_size(tmp_path, monkeypatch):
    path = written(tmp_path / "a.jsonl", b"".join(b'{"k%d": 1}\n' % i for i in range(1000)))
    monkeypatch.setattr(packing.check_unpacked, "__defaults__", (1000, 200))
    refused(path, "more than 200 times")


# --- lines without an end


@each("end", ["\n", "\r\n", "\r"])
def test_a_line_is_cut_where_it_is_too_long_for_a_row_and_the_next_is_whole(end):
    long = "a" * (2 * LONGEST + 5)
    lines = [*lines_of(io.StringIO(f"x{end}{long}{end}y{end}z", newline=""))]
    assert [line.rstrip("\r\n") for line in lines if line != "\n"][::2] == ["x", "y"]
    assert lines[-1] == "z" and LONGEST < len(lines[1]) <= LONGEST + 3


def test_a_first_line_without_end_is_refused_before_it_is_read(tmp_path):
    path = written(tmp_path / "a.csv.gz", gzip.compress(b"0" * 20_000_000))
    refused(path, "first line is longer", "1,900,000 bytes")


def test_a_later_line_without_end_is_a_bad_row(tmp_path):
    data = b"x,y\n1,0\n" + b"0" * 5_000_000 + b"\n2,1\n"
    path = written(tmp_path / "a.csv", data)
    with open_table(path, on_bad_row="skip") as table:
        assert table.y.tolist() == [0, 1] and table.lines().tolist() == [2, 4]
        assert [(row.line, len(row.text) < 2_000_000) for row in table.bad_rows] == [(3, True)]


def test_json_without_end_and_nested_without_end_is_a_bad_row(tmp_path):
    good = b'{"x": 1, "y": 0}\n{"x": 2, "y": 1}\n'
    bad = b'{"x": "' + b"0" * 5_000_000 + b'"}\n{"x": ' + b"[" * 100_000 + b"\n"
    with open_table(written(tmp_path / "a.jsonl", good + bad + good), on_bad_row="skip") as table:
        assert table.y.tolist() == [0, 1, 0, 1]
        assert [row.line for row in table.bad_rows] == [3, 4]
        assert "longer" in table.bad_rows[0].reason and "deep" in table.bad_rows[1].reason


def test_an_array_of_json_nested_without_end_is_told_in_words(tmp_path):
    data = b'[{"x": 1, "y": 0}, {"x": ' + b"[" * 100_000
    refused(written(tmp_path / "a.json", data), "after row 1", "nested too deeply")


@each("text", ["[%s]", "%s"])
def test_values_that_are_nearly_nested_too_deeply_are_never_a_raw_error(tmp_path, text):
    for depth in range(900, 1000, 3):
        nested = "[" * depth + '"\\u00e9"' + "]" * depth
        rows = f'{{"x": 1, "y": 0, "z": {nested}}}', '{"x": 1, "y": 1, "z": 2}'
        mark = "," if text == "[%s]" else "\n"
        path = written(tmp_path / "a.json", (text % mark.join(rows)).encode())
        with suppress(DataError), open_table(path, target="y", on_bad_row="skip"):
            pass


# --- JSON of one array, which is read piece by piece


def test_an_array_of_json_gives_the_rows_that_json_gives(tmp_path, monkeypatch):
    monkeypatch.setattr("xpmlp.tables.files.json_rows.LONGEST", 100)
    monkeypatch.setattr("xpmlp.tables.files.json_rows.BLOCK", 7)
    rows = [{"x": i / 7, "é": f'a "b"] {i},', "y": i % 2} for i in range(200)]
    for text in (json.dumps(rows), json.dumps(rows, indent=3, ensure_ascii=False)):
        path = written(tmp_path / "a.json", b" " * 300 + text.encode() + b" \n" * 300)
        found = load_dataset(path)
        assert found.X.column(0).tolist() == [row["x"] for row in rows]
        assert found.X.column(1).tolist() == [row["é"] for row in rows]


@each(
    "text, words",
    [
        ("[]", ["no objects"]),
        ('[{"x": 1}', ["after row 1", "expected ','"]),
        ('[{"x": 1} {"x": 2}]', ["after row 1", "got '{'"]),
        ('[{"x": 1},]', ["after row 1"]),
        ('[{"x": 1}] []', ["after row 1", "goes on"]),
        ("[" * 100_000, ["after row 0"]),
        ('[{"x": "', ["after row 0", "unterminated"]),
        ('[{"x": 1, "x": 2}]', ["a key stands twice"]),
        (f'[{{"x": "{"a" * 2_000_000}"}}]', ["longer than 1,900,000 characters"]),
    ],
)
def test_an_array_that_is_no_json_is_told_with_its_row(tmp_path, text, words):
    refused(written(tmp_path / "a.json", text.encode()), "a.json", *words)


# --- Excel


def sheet(path, **parts):
    """Write an Excel file, in the parts of which more stands before some mark."""
    openpyxl = pytest.importorskip("openpyxl")
    book, stream = openpyxl.Workbook(), io.BytesIO()
    for row in (["x", "y"], [1, 0], [2, 1]):
        book.active.append(row)
    book.save(stream)
    with zipfile.ZipFile(stream) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            data = old.read(name)
            for part, (mark, more) in parts.items():
                if part in name:
                    data = data.replace(mark, more + mark)
            new.writestr(name, data)
    return path


def test_styles_of_excel_are_counted_before_they_are_read(tmp_path):
    path = sheet(tmp_path / "a.xlsx", styles=(b"</cellXfs>", b"<xf/>" * 300_000))
    words = "bytes of strings and styles", "--max-memory"
    refused(path, *words, error=DataMemoryError, max_memory=20_000_000)
    path = sheet(tmp_path / "b.xlsx", styles=(b"</cellXfs>", b"<xf/>" * 4_000_000))
    refused(path, "more than 100 times its own size")


def test_a_damaged_list_of_the_parts_of_a_workbook_is_told_in_a_sentence(tmp_path):
    path = sheet(tmp_path / "a.xlsx")
    data = path.read_bytes()
    start, end = data.index(b"PK\1\2"), len(data)
    for at in (start, start + 28, end - 6, end - 10):
        changed = data[:at] + b"\xff" + data[at + 1 :]
        refused(written(path, changed), "a.xlsx", "cannot be read")


@each(
    "row, words",
    [
        (b'<row r="99999999999"><c r="A1"><v>1</v></c></row>', "a row beyond 1,000"),
        (b'<row><c r="ZZZ1"><v>1</v></c></row>' * 300, "more than 200 times"),
    ],
)
def test_gaps_of_a_sheet_are_not_filled_without_end(tmp_path, monkeypatch, row, words):
    monkeypatch.setattr(excel, "MOST_ROWS", 1000)
    monkeypatch.setattr(packing.check_unpacked, "__defaults__", (1000, 200))
    refused(sheet(tmp_path / "a.xlsx", sheet1=(b"</sheetData>", row)), words)


# --- what is no file


def test_a_link_that_leads_to_itself_is_told_as_one(tmp_path):
    for name in ("a.csv", "a.npz"):
        path = tmp_path / name
        path.symlink_to(path)
        refused(path, "a symbolic link that leads to no file")


@each("block, words", [(b"y\n", "rows of 1 column"), (b"yy", "first line is longer")])
def test_a_stream_without_end_is_refused_before_it_fills_the_disk(monkeypatch, block, words):
    class Endless(io.RawIOBase):
        def read(self, n=-1):
            assert n > 0
            return block * (n // 2)

    monkeypatch.setattr("sys.stdin", type("Stream", (), {"buffer": Endless()}))
    refused("-", "stdin", words, max_memory=100_000_000)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_pipe_in_a_folder_of_parquet_is_no_part_of_it(tmp_path):
    os.mkfifo(tmp_path / "b.parquet")
    parquet(tmp_path / "a.parquet", "SELECT range AS x, range % 2 AS y FROM range(10)")
    assert load_dataset(tmp_path).X.shape == (10, 1)


# --- the free memory


def test_the_free_memory_is_what_the_tightest_group_leaves(tmp_path, monkeypatch):
    def put(path, text):
        path = Path(tmp_path, path)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    monkeypatch.setattr(host_memory, "ROOT", tmp_path)
    assert host_memory.free_host_memory() is None  # not Linux
    put("proc/meminfo", "MemTotal: 100 kB\nMemAvailable:  90 kB\n")
    assert host_memory.free_host_memory() == 90 * 1024
    put("proc/self/cgroup", "3:memory:/a/b\n1:cpu,cpuacct:/\n0::/c\n")
    place = "sys/fs/cgroup/memory/a"
    put(f"{place}/memory.limit_in_bytes", "50000")
    put(f"{place}/memory.usage_in_bytes", "30000")
    put(f"{place}/memory.stat", "cache 7\ntotal_inactive_file 5000\n")
    assert host_memory.free_host_memory() == 25_000
    for group, most in (("c", "max"), ("", "22000")):
        put(f"sys/fs/cgroup/{group}/memory.max", most)
        put(f"sys/fs/cgroup/{group}/memory.current", "2000")
        put(f"sys/fs/cgroup/{group}/memory.stat", "inactive_file 0")
    assert host_memory.free_host_memory() == 20_000
    put("sys/fs/cgroup/memory.current", "30000")  # more than is allowed, for a moment
    assert host_memory.free_host_memory() == 0


def test_duckdb_takes_no_more_than_is_allowed(tmp_path):
    path = written(tmp_path / "a.csv", ROWS)
    with open_table(path, max_memory=50_000_000) as table:
        limit = "SELECT value FROM duckdb_settings() WHERE name = 'memory_limit'"
        assert table.raw.connection.execute(limit).fetchone()[0] == "47.6 MiB"
    assert np.isfinite(load_dataset(path).X).all()
