"""Columns of the file beside the predictions: `xpmlp predict --keep`."""

import csv
import io
from pathlib import Path

import pytest
from cli_data import is_one_sentence

QUICK = ["--quiet", "--epochs", 2, "--hidden", 3]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def people(n=60):
    """Rows of a file: an id, an age, a price with a comma in it, a city, the label."""
    cities = "Rome", "Oslo", '"Bern, old"', ""
    return [
        f'u{i},{20 + i % 40},"1,{i:03}.50",{cities[i % 4]},{"lo hi".split()[i % 40 > 20]}'
        for i in range(n)
    ]


def write(name, lines, head="id,age,price,city,label"):
    Path(name).write_text("\n".join([head, *lines, ""]))
    return name


@pytest.fixture
def predicted(xpmlp):
    """Train on people.csv without ids; return what a prediction writes, as rows of texts."""

    def run(*arguments, data=None):
        write("people.csv", people())
        assert xpmlp("train", "people.csv", "--drop", "id", *QUICK, "--out", "m")[0] == 0
        code, out, err = xpmlp("predict", "m", data or "people.csv", *arguments)
        assert code == 0, err
        return list(csv.reader(io.StringIO(out)))

    return run


def test_columns_stand_before_the_predictions_as_in_the_file(predicted):
    head, *rows = predicted("--keep", "city,id, price,id", "--proba")
    assert head == ["city", "id", "price", "prediction", "hi", "lo"]
    assert [row[:3] for row in rows[:5]] == [
        ["Rome", "u0", "1,000.50"],
        ["Oslo", "u1", "1,001.50"],
        ["Bern, old", "u2", "1,002.50"],
        ["", "u3", "1,003.50"],
        ["Rome", "u4", "1,004.50"],
    ]
    assert [row[3:] for row in rows] == predicted("--proba")[1:]


def test_bad_rows_are_left_out_of_both_and_blocks_change_nothing(predicted, monkeypatch):
    lines = people()
    lines[3], lines[10] = "u3,old,2,Rome,hi", "u10,5"
    write("new.csv", lines)
    monkeypatch.setattr("xpmlp.tables.frame.BLOCK", 7)
    head, *rows = predicted("--keep", "id", "--on-bad-row", "skip", data="new.csv")
    assert head == ["line", "id", "prediction"] and len(rows) == 58
    assert [(int(line) - 2, name) for line, name, _ in rows] == [
        (i, f"u{i}") for i in range(60) if i not in (3, 10)
    ]


def test_a_parquet_file_keeps_its_whole_numbers_truths_and_texts(predicted):
    import duckdb

    write("people.csv", people())
    columns = "*, age > 30 AS old, '01' AS prediction"
    duckdb.sql(f"COPY (SELECT {columns} FROM read_csv('people.csv')) TO 'p.parquet'")
    head, first, *_ = predicted("--keep", "age,old,prediction", data="p.parquet")
    assert head == ["age", "old", "prediction", "output_prediction"]
    assert first[:3] == ["20", "false", "01"]


def test_a_header_without_rows_has_the_kept_columns_too(predicted):
    assert predicted("--keep", "id", data=write("none.csv", [])) == [["id", "prediction"]]


def test_columns_that_are_not_there_are_told_with_the_nearest(predicted, xpmlp):
    predicted()
    code, out, err = xpmlp("predict", "m", "people.csv", "--keep", "id,citty")
    assert (code, out, is_one_sentence(err)) == (3, "", True)
    assert "no column 'citty'" in err and "did you mean 'city'?" in err


@pytest.mark.parametrize("data", ["iris", "people.csv"])
def test_what_has_no_names_keeps_no_columns_and_says_so(xpmlp, data):
    import numpy as np

    rows = np.random.default_rng(0).normal(size=(60, 4))
    np.savez("plain.npz", X=rows, y=np.arange(60) % 2)
    assert xpmlp("train", "plain.npz", *QUICK, "--out", "m")[0] == 0
    write("people.csv", people())
    code, _, err = xpmlp("predict", "m", data, "--keep", "id")
    assert (code, is_one_sentence(err.splitlines()[-1])) == (2, True)
    assert ("trained on an array" in err) == (data == "people.csv")


def test_a_kept_cell_stands_as_in_the_file_though_the_model_takes_it_for_missing(xpmlp):
    import duckdb

    odd = '5,"a, b",yes', "ERR, x ,no", '-999,"",no'
    rows = [f"{i},{i % 3},{'yes no'.split()[i % 2]}" for i in range(60)]
    write("t.csv", [*rows, *odd], head="k,m,y")
    marked = ["--missing", "ERR,-999"]
    assert xpmlp("train", "t.csv", *marked, *QUICK, "--types", "m=category", "--out", "m")[0] == 0
    write("new.csv", odd, head="k,m,y")
    write("bare.csv", [line.removesuffix(",yes").removesuffix(",no") for line in odd], head="1, 1 ")
    columns = "column0 AS k, column1 AS m"
    duckdb.sql(
        f"COPY (SELECT {columns} FROM read_csv('new.csv', header=false, skip=1)) TO 'new.parquet'"
    )
    for name in ("new.csv", "new.parquet"):
        code, out, err = xpmlp("predict", "m", name, "--keep", "m,k")
        assert code == 0, err
        found = list(csv.reader(io.StringIO(out)))
        assert [row[:2] for row in found] == [
            ["m", "k"], ["a, b", "5"], [" x ", "ERR"], ["", "-999"],
        ]  # fmt: skip
    code, out, err = xpmlp("predict", "m", "bare.csv", "--keep", "m", "--no-header")
    assert [row[0] for row in csv.reader(io.StringIO(out))] == ["m", " 1 ", "a, b", " x ", ""], err


def test_names_to_keep_are_checked_before_bad_rows_are_told(predicted, xpmlp):
    predicted()
    lines = people()
    lines[3] = "u3,old,2,Rome,hi"
    write("new.csv", lines)
    code, out, err = xpmlp("predict", "m", "new.csv", "--keep", "id,citty")
    assert (code, out, is_one_sentence(err)) == (3, "", True)
    assert "did you mean 'city'?" in err and "old" not in err
    code, out, err = xpmlp("predict", "m", "new.csv", "--keep", "")
    assert (code, out) == (2, "") and "--keep names no column" in err
