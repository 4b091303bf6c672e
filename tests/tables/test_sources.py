"""What a table may be written in: packed, piped, JSON, Excel, folders of Parquet, encodings."""

import bz2
import gzip
import io
import json
import lzma
import os
import sys
import threading
import zipfile
from datetime import datetime, time, timedelta

import numpy as np
import pytest
from csv_files import csv_fixture, opened, refused  # noqa: F401 - fixtures among them
from each import each

from xpmlp.tables.datasets import load_dataset
from xpmlp.tables.files import source
from xpmlp.tables.frame import frame_of
from xpmlp.tables.reading import Reading

TEXT = "a,b,y\n" + "".join(f"{i},{i * 1.5},{'yn'[i % 2]}\n" for i in range(20))
SPOILT = TEXT.replace("3,4.5", "odd,4.5")


def zipped(**texts):
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in texts.items():
            archive.writestr(name.replace("_csv", ".csv"), text)
    return made.getvalue()


def zstd(data):
    pytest.importorskip("backports.zstd", reason="backports.zstd is not installed")
    from backports.zstd import compress

    return compress(data)


PACKED = {
    "t.csv.bz2": bz2.compress,
    "t.csv.xz": lzma.compress,
    "t.csv.zst": zstd,
    "t.zip": lambda data: zipped(t_csv=data, **{"__MACOSX/._t_csv": b"\0"}),
    "t.txt.gz": gzip.compress,
    "t.csv": lambda data: bz2.compress(data[:50]) + bz2.compress(data[50:]),  # whatever its name
    "t.data": lambda data: data,
    "T.TSV": lambda data: data,
}


@each("name, pack", PACKED.items(), ids=PACKED.keys(), parts=4)
def test_a_packed_file_is_read_like_the_plain_one_with_the_lines_of_bad_rows(tmp_path, name, pack):
    path = tmp_path / name
    path.write_bytes(pack(SPOILT.encode()))
    table = opened(path, on_bad_row="skip")
    assert table.features.column(0).tolist() == [*range(3), *range(4, 20)]
    assert table.features.names == ("a", "b") and table.bad_rows[0].line == 5
    refused([str(path), "line 5", "'odd'"], opened, path)
    assert table.name == name


@each("name", ["t.csv.bz2", "t.csv.xz", "t.csv.zst", "t.zip", "t.txt.gz"])
def test_a_packed_file_that_is_cut_is_never_read_as_if_it_were_whole(tmp_path, name):
    path = tmp_path / name
    data = PACKED[name](TEXT.encode())
    for length in (len(data) - 5, len(data) // 2, 12):
        path.write_bytes(data[:length])
        refused([str(path), "cannot be read"], opened, path)


def test_a_zip_of_several_files_or_none_is_refused_by_their_names(tmp_path):
    path = tmp_path / "t.zip"
    path.write_bytes(zipped(a_csv=TEXT, b_csv=TEXT))
    refused([str(path), "'a.csv', 'b.csv'", "expected one file"], opened, path)
    path.write_bytes(zipped())
    refused([str(path), "nothing", "expected one file"], opened, path)


def test_a_parquet_file_is_known_by_its_first_bytes(tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    plain = tmp_path / "t.parquet"
    duckdb.sql(f"COPY (SELECT i AS a, i % 2 AS y FROM range(6) t(i)) TO '{plain}'")
    packed = tmp_path / "other.csv.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, packed):
        table = opened(path)
        assert table.features.column(0).tolist() == [*range(6)] and table.raw.unit == "row"


# --- streams


class StandardInput:
    def __init__(self, data):
        self.buffer = io.BytesIO(data)


def test_the_standard_input_is_a_table_whatever_it_is_written_in(monkeypatch):
    for data in (TEXT.encode(), gzip.compress(TEXT.encode()), TEXT.encode("utf-16")):
        monkeypatch.setattr(sys, "stdin", StandardInput(data))
        assert opened("-").features.column(0).tolist() == [*range(20)]
    monkeypatch.setattr(sys, "stdin", StandardInput(b'{"a": 1, "y": 2}\n{"a": 3, "y": 4}\n'))
    assert opened("-").y.tolist() == [2, 4]
    monkeypatch.setattr(sys, "stdin", StandardInput(SPOILT.encode()))
    refused(["stdin line 5"], opened, "-")
    monkeypatch.setattr(sys, "stdin", StandardInput(b""))
    refused(["stdin is empty"], opened, "-")
    monkeypatch.setattr(sys, "stdin", StandardInput(bytes(99)))
    refused(["stdin holds a NUL byte"], opened, "-")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
def test_a_named_pipe_is_read_once_and_serves_a_model_of_arrays_too(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("p,q\n1,2\n3,4\n"))
    writer.start()
    from xpmlp.tables.datasets import load_features

    assert load_features(pipe, 2, "y").tolist() == [[1, 2], [3, 4]]
    writer.join()


def test_a_stream_that_does_not_end_stops_before_the_disk_is_full(monkeypatch, tmp_path):
    monkeypatch.setattr(source, "SHARE", 1e-9)
    monkeypatch.setattr(sys, "stdin", StandardInput(b"1,2\n" * 100_000))
    with pytest.raises(OSError, match="stdin is more than .* is it endless") as caught:
        opened("-")
    assert caught.value.filename


# --- JSON


def test_json_lines_and_an_array_are_rows_whose_names_may_come_late(csv):
    objects = [{"a": i, "y": i % 2 == 0, "c": None} for i in range(6)]
    objects[3] |= {"late": 'x, "y"\nz'}
    for text in ("\n\n".join(map(json.dumps, objects)), json.dumps(objects, indent=2)):
        for name in ("t.jsonl", "t.json", "t.ndjson"):
            table = opened(csv(text, name), target="y")
            assert table.features.names == ("a", "c", "late")
            assert table.features.column(0).tolist() == [*range(6)]
            assert table.features.column(2).tolist() == [*[None] * 3, 'x, "y"\nz', None, None]
            assert table.y.tolist() == ["true", "false"] * 3
    lines = opened(csv("\n\n".join(map(json.dumps, objects)), "t.jsonl"), target="y").lines()
    assert lines.tolist() == [1, 3, 5, 7, 9, 11]


def test_numbers_of_json_keep_every_digit_and_codes_their_zeros(csv):
    rows = [f'{{"a": 0.1{i}, "zip": "0123{i}", "y": {i % 2}}}' for i in range(8)]
    table = opened(csv("\n".join(rows), "t.jsonl"))
    assert table.features.column(0).tolist() == [float(f"0.1{i}") for i in range(8)]
    assert table.features.column(1).tolist() == [f"0123{i}" for i in range(8)]


@each(
    "line, words",
    [
        ('{"a": 1', ["line 2", "expected a JSON object"]),
        ("[1, 2]", ["line 2", "a name for each value"]),
        ('{"a": 1, "a": 2}', ["line 2", "a key stands twice"]),
        ('{"a": "\\ud800", "y": 1}', ["line 2", "half of a character"]),
    ],
)
def test_a_line_that_is_no_json_object_is_a_bad_row(csv, line, words):
    path = csv('{"a": "x", "y": 1}\n' + line + '\n{"a": "z", "y": 2}\n', "t.jsonl")
    refused([str(path), *words], opened, path)
    table = opened(path, on_bad_row="skip")
    assert table.y.tolist() == [1, 2] and table.lines().tolist() == [1, 3]


@each(
    "text, words",
    [
        ('[{"a": 1},', ["is no JSON"]),
        ("[1, 2]", ["no objects"]),
        ("[]", ["no objects"]),
        ('[{"a": [1], "y": 1}, {"a": [2], "y": 2}]', ["column 'a'", "lists or objects"]),
    ],
)
def test_json_that_is_no_table_is_told_in_a_sentence(csv, text, words):
    path = csv(text, "t.json")
    refused([str(path), *words], opened, path)


# --- Excel


@pytest.fixture
def excel(tmp_path):
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")

    def write(rows, sheets=("data",)):
        book = openpyxl.Workbook()
        book.remove(book.active)
        for name in sheets:
            sheet = book.create_sheet(name)
            for row in rows:
                sheet.append(row)
        book.save(tmp_path / "t.xlsx")
        return tmp_path / "t.xlsx"

    return write


def rows_of_excel(n=40):
    day = datetime(2024, 1, 31)
    return [
        [i, i / 4, f"0{i:02}", day + timedelta(days=i), i % 2 == 0, "yn"[i % 2]] for i in range(n)
    ]


def test_a_sheet_is_read_with_its_numbers_dates_and_texts(excel):
    path = excel([["a", "b", "code", "on", "ok", "y"], *rows_of_excel(), [], ["x", *[None] * 5]])
    table = opened(path, on_bad_row="skip")
    kinds = ["number", "number", "category", "date", "boolean"]
    assert list(table.types.values()) == kinds
    assert table.features.column(1).tolist() == [i / 4 for i in range(40)]
    assert str(table.features.column(3)[0])[:10] == "2024-01-31"
    assert table.lines().tolist() == [*range(2, 42)] and table.bad_rows[0].line == 43


def test_the_cells_of_a_sheet_become_the_text_that_a_csv_would_have():
    from xpmlp.tables.files.excel import _text

    cells = [None, True, 3, 0.1, "x", datetime(2024, 1, 2), datetime(2024, 1, 2, 3), time(4, 5)]
    texts = ["", "true", "3", "0.1", "x", "2024-01-02", "2024-01-02 03:00:00", "04:05:00"]
    assert list(map(_text, cells)) == texts
    assert _text(timedelta(days=1, hours=3)) == "1 days 03:00:00"


def test_of_several_sheets_one_has_to_be_named(excel):
    path = excel([["a", "y"], [1, 2], [3, 4]], ("first", "second"))
    refused(["2 sheets", "'first', 'second'", "--sheet 'first'"], opened, path)
    assert opened(path, reading=Reading(sheet="second")).y.tolist() == [2, 4]
    words = ["no sheet 'secnd'", "did you mean 'second'"]
    refused(words, opened, path, reading=Reading(sheet="secnd"))


def test_a_title_and_names_of_a_sheet_are_asked_about_as_those_of_a_csv(excel):
    rows = [["a", "b", "y"], *([i, 2 * i, i % 2] for i in range(9))]
    path = excel([["Sales"], [], *rows])
    refused(["row 1", "'Sales'", "--skip-rows 2"], opened, path)
    table = opened(path, reading=Reading(skip_rows=2))
    assert table.features.names == ("a", "b") and table.lines()[0] == 4
    refused(["row 1", "--no-header"], opened, excel([[2019, 2020], [1, 2], [5, 6]]))


def test_a_formula_that_was_never_computed_is_refused(excel):
    path = excel([["a", "y"], [1, 2], ["=A2+1", 3]])
    refused(["row 3, column 1", "=A2+1", "without a value"], opened, path)


def test_what_is_no_excel_file_is_told(tmp_path):
    path = tmp_path / "t.xlsx"
    path.write_bytes(b"PK\x03\x04nonsense")
    refused([str(path), "cannot be read"], opened, path)


# --- Parquet: folders, and the index of a data frame


def test_the_index_of_a_data_frame_is_no_feature_and_never_the_target(tmp_path):
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pd.DataFrame({"a": range(6), "y": [0, 1] * 3})
    frame.index = pd.Index([*range(100, 106)], name="customer")
    path = tmp_path / "t.parquet"
    frame.to_parquet(path)
    table = opened(path)
    assert (table.features.names, table.target_name) == (("a",), "y")
    assert "'customer'" in table.raw.notes[0] and "index" in table.raw.notes[0]
    asked = opened(path, types={"customer": "category"})
    assert (asked.features.names, asked.target_name) == (("a", "customer"), "y")
    assert asked.raw.notes == ()
    assert opened(path, target="customer").target_name == "customer"
    assert opened(path, known={"customer": "number"}).features.shape == (6, 1)
    frame[[]].to_parquet(path)
    refused(["no column with a name but an index"], opened, path)
    frame.reset_index(drop=True).to_parquet(path)
    assert opened(path).raw.notes == ()


def test_times_and_durations_in_parquet_are_the_numbers_that_they_are_in_a_data_frame(tmp_path):
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    path, times = tmp_path / "t.parquet", [time(3, 30), None, time(23, 59, 59, 500_000)]
    frame = pd.DataFrame({"at": times, "y": [0, 1, 0]})
    for unit in ("s", "ms", "us", "ns"):
        frame[unit] = pd.Series(pd.to_timedelta([90.5, None, -1], unit="m")).astype(f"m8[{unit}]")
    frame.to_parquet(path)
    table = opened(path, target="y")
    for made, wanted in zip(table.features.columns, frame_of(frame.drop(columns="y")).columns):
        np.testing.assert_array_equal(made, wanted)
    import duckdb

    duckdb.sql(f"COPY (SELECT INTERVAL (i) HOURS AS a, i AS y FROM range(3) t(i)) TO '{path}'")
    assert opened(path).features.column(0).tolist() == [0, 3600, 7200]


def test_a_folder_of_parquet_files_is_one_table_and_its_folders_are_columns(tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")

    def write(place, select):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        duckdb.sql(f"COPY ({select}) TO '{path}' (FORMAT parquet)")

    for city, start in (("Oslo", 0), ("Rome", 6)):
        write(f"d/city={city}/0.parquet", f"SELECT {start} + i AS a, i % 2 AS y FROM range(6) t(i)")
    (tmp_path / "d" / "_SUCCESS").write_text("")
    (tmp_path / "d" / "_hidden.parquet").write_text("")
    table = opened(tmp_path / "d", target="y")
    assert table.features.names == ("a", "city")
    assert table.features.column(0).tolist() == [*range(12)]
    assert table.features.column(1).tolist() == ["Oslo"] * 6 + ["Rome"] * 6
    assert load_dataset(tmp_path / "d", "y").name == "d"
    write("d/city=Rome/1.parquet", "SELECT 'x' AS a, 1 AS y")
    refused(["1.parquet, column 'a' holds VARCHAR", "DOUBLE"], opened, tmp_path / "d")
    write("d/city=Rome/1.parquet", "SELECT 1 AS y")
    refused(["1.parquet, column 'a' holds no such column"], opened, tmp_path / "d")


# --- encodings

WORDS = "größe,b,y\n" + "".join(
    f"{i},{'Köln' if i % 3 else 'Rom'},{'yn'[i % 2]}\n" for i in range(20)
)


@each("encoding", ["cp1252", "utf-16", "utf-16-le", "utf-32", "cp850", "utf-8-sig"])
def test_a_file_in_another_encoding_is_read_where_it_is_said(csv, encoding):
    table = opened(csv(WORDS.encode(encoding)), reading=Reading(encoding=encoding))
    assert table.features.names == ("größe", "b")
    assert table.features.column(1)[:3].tolist() == ["Rom", "Köln", "Köln"]


def test_an_encoding_that_is_not_utf8_is_told_with_the_probable_one(csv):
    cured = "--encoding cp1252"
    refused(["line 1", r"b'gr\xf6\xdfe'", "'größe'", cured], opened, csv(WORDS.encode("cp1252")))
    body = WORDS.replace("größe", "a").encode("cp1252")
    for policy in ("error", "skip"):
        words = ["line 3 (and 12 more)", "'Köln'", cured]
        refused(words, opened, csv(body), on_bad_row=policy)
    russian = WORDS.replace("größe", "a").replace("Köln", "Кёльн").encode("cp1251")
    refused(["cp1251 (Cyrillic)"], opened, csv(russian))
    refused(["line 1", "ascii"], opened, csv(WORDS), reading=Reading(encoding="ascii"))


def test_a_single_odd_byte_is_a_bad_row_that_names_the_remedy(csv):
    path = csv(TEXT.encode() + b"3,4,\xf6\n")
    assert "--encoding cp1252" in opened(path, on_bad_row="skip").bad_rows[0].reason
    damaged = WORDS.encode() + b"3,x,\xf6\n" * 6  # more lines are text
    assert len(opened(csv(damaged), on_bad_row="skip").bad_rows) == 6


def test_an_encoding_that_is_said_of_utf8_gets_a_note(csv):
    for text, n in ((WORDS, 1), (TEXT, 0)):
        assert len(opened(csv(text), reading=Reading(encoding="cp1252")).raw.notes) == n
    assert opened(csv(WORDS), reading=Reading(encoding="utf-8")).raw.notes == ()
    assert opened(csv(WORDS.encode("cp1252")), reading=Reading(encoding="cp1252")).raw.notes == ()


def test_utf16_with_its_mark_is_read_without_a_word(csv):
    assert opened(csv(WORDS.encode("utf-16"))).features.names == ("größe", "b")


# --- paths


def test_a_path_that_is_not_there_is_told_with_the_nearest_of_its_folder(csv, tmp_path):
    csv(TEXT, "sales_2024.csv")
    for name in ("sales_2023.csv", "sales_2024.txt", "sales_2042.xlsx", "sales_2024.zip"):
        for target in (None, "y"):
            words = [name, "does not exist", f"{tmp_path}/sales_2024.csv"]
            refused(words, load_dataset, tmp_path / name, target)
    refused(["does not exist", "'sine'"], load_dataset, tmp_path / "sine2")
