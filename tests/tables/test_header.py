"""The first lines of a table: names, a row, a title, and what is asked about."""

import json

import numpy as np
import pytest
from csv_files import csv_fixture, opened, refused  # noqa: F401 - fixtures among them
from each import each

from xpmlp.tables.reading import Reading

ROWS = "".join(f"{i},{i * 1.5},{'yn'[i % 2]}\n" for i in range(9))
TEXT = "a,b,y\n" + ROWS

ASKED = {
    "years": "2019,2020,2021\n1.5,2.5,3.5\n2,3,4\n5,6,7\n",
    "growing": "1,5\n2,3\n9,7\n",
    "decimals beside text": "5.1,3.5,setosa\n4.9,3.0,virginica\n",
    "whole numbers beside text": "Rome,30,41\nOslo,22,50\nRome,44,45\n",
    "steps from data": "30,31,no\n22,50,yes\n44,45,no\n",
    "text": "yes,Rome\nno,Oslo\nyes,Rome\nno,Rome\n",
    "dates": "2024-01-31,Rome\n2024-02-01,Oslo\n2024-02-03,Bern\n",
    "money": "$5.10,red\n$7.20,blue\n$9.99,red\n",
    "decimal commas": "1,5;2,5\n2,5;3,5\n4,5;5,5\n",
    "times": "12:30,a\n13:45,b\n",
}


@each("text", ASKED.values(), ids=ASKED.keys(), parts=5)
def test_a_first_line_that_may_be_names_or_a_row_is_asked_about(csv, text):
    path = csv(text)
    refused(["line 1", "names or a row", "--header", "--no-header"], opened, path)
    n = text.count("\n")
    for has_header in (True, False):
        reading = Reading(header=has_header)
        table = opened(path, target=None, reading=reading)
        assert table.raw.has_header == has_header and len(table.features) == n - has_header
        assert table.lines()[0] == 1 + has_header


NAMES = {
    "words": TEXT,
    "months above numbers": "2024-01,2024-02,y\n1,2,3\n4,5,6\n",
    "years beside names": "country,2019,2020,2021\nRome,1,2,3\nOslo,4,5,6\n",
    "pandas": "0,1,target\n1,2,3\n1,2,4\n",
    "pandas all": "0,1,2\n1,2,3\n1,2,4\n",
    "a name that is a cell too": "a,y\na,0\nb,1\na,1\n",
}


MARKED = {
    "tabs, and commas in names": ("a, b, c\tk\ty\n1\t2\t0\n3\t4\t1\n", "\t"),
    "commas, and a bar in cells": ("a,b|c,y\n1,x|y,0\n2,z,1\n", ","),
    "decimal commas": ("a;b;y\n1,5;2,5;0\n2,5;3,5;1\n", ";"),
    "semicolons, and commas in texts": ("a;b, c;y\n1;x, y, z;0\n2;u, v;1\n", ";"),
}


@each("text, mark", MARKED.values(), ids=MARKED.keys())
def test_the_delimiter_is_the_mark_that_stands_as_often_in_each_line(csv, text, mark):
    table = opened(csv(text))
    assert (*table.features.names, "y") == tuple(text.splitlines()[0].split(mark))


@each("text", NAMES.values(), ids=NAMES.keys(), parts=3)
def test_a_first_line_of_names_is_a_header(csv, text):
    table = opened(csv(text))
    names = tuple(text.splitlines()[0].split(","))
    assert (*table.features.names, table.target_name) == names
    numbers = "years" in text or names[-1].isdigit()
    assert numbers or len(table.raw.notes) <= 1


def test_a_row_of_numbers_is_data_with_a_note_and_none_where_it_is_said(csv):
    path = csv("5,3.5,0\n4,3.1,1\n6,2.2,0\n")
    table = opened(path)
    assert table.features.names == ("x0", "x1") and table.lines().tolist() == [1, 2, 3]
    assert "line 1 is all numbers" in table.raw.notes[0] and "--header" in table.raw.notes[0]
    assert opened(path, reading=Reading(header=False)).raw.notes == ()


def test_a_models_own_names_are_a_header_where_they_are_numbers(csv):
    known = {"2019": "number", "2020": "number"}
    table = opened(csv("2019,2020\n1,2\n3,4\n"), known=known)
    assert table.features.column(0).tolist() == [1, 3]
    assert opened(csv("1,2\n3,4\n"), known=known).features.column(0).tolist() == [1, 3]
    refused(["names or a row"], opened, csv("2019,2022\n1,2\n3,4\n"), known=known)


def test_names_are_given_to_a_file_without_them_or_with_others(csv):
    given = Reading(names=("p", "q, r", "s"))
    table = opened(csv(ROWS), reading=given)
    assert (table.features.names, len(table.features)) == (("p", "q, r"), 9)
    refused(["names to replace or a row", "--no-header"], opened, csv(TEXT), reading=given)
    table = opened(csv(TEXT), reading=Reading(names=("p", "q", "s"), header=True))
    assert (table.features.names, table.target_name) == (("p", "q"), "s")
    words = ["3 cells", "expected the 2 of names"]
    refused(words, opened, csv(ROWS), reading=Reading(names=("p", "q")))


TITLES = {
    "a comment": ("# exported by tool\n", ",", {"comment": "#"}),
    "comments": ("% one, two\n% three\n", ",", {"comment": "%"}),
    "a title": ("Sales 2024\n", ";", {"skip_rows": 1}),
    "a title and a blank line": ('"Sales, of\n\n', "\t", {"skip_rows": 2}),
    "two lines": ("Sales, 2024\nby city\n", ",", {"skip_rows": 2}),
    "a title with another mark": ("Sales, 2024\n", ";", {"skip_rows": 1}),
}


@each("front, mark, how", TITLES.values(), ids=TITLES.keys(), parts=3)
def test_lines_in_front_of_a_table_are_told_with_the_option_that_leaves_them_out(
    csv, front, mark, how
):
    path = csv(front + TEXT.replace(",", mark))
    option, value = next(iter(how.items()))
    if '"' not in front:
        refused(["line 1", f"{option}={value!r}"], opened, path)
    table = opened(path, reading=Reading(**how))
    assert table.features.names == ("a", "b") and len(table.features) == 9
    first = front.count("\n") + 2
    assert table.lines().tolist() == [*range(first, first + 9)]
    broken = csv(front + (TEXT + "1,2\n").replace(",", mark))
    refused([f"line {first + 9}"], opened, broken, reading=Reading(**how))


def test_comments_are_left_out_wherever_a_row_begins_and_not_inside_of_one(csv):
    text = 'a,b\n#,x\n1,"u\n# v"\n# "\n2,#w\n'
    table = opened(csv(text), target=None, reading=Reading(comment="#"))
    assert table.features.column(1).tolist() == ["u\n# v", "#w"]
    assert table.lines().tolist() == [3, 6]


def test_lines_past_the_end_cannot_be_left_out(csv):
    refused(["10 lines", "--skip-rows"], opened, csv(TEXT), reading=Reading(skip_rows=11))
    refused(["line 11 is empty"], opened, csv(TEXT), reading=Reading(skip_rows=10))


def test_the_line_that_excel_heeds_is_heeded(csv):
    table = opened(csv("sep=;\n" + TEXT.replace(",", ";").replace(".", ",")))
    assert table.features.names == ("a", "b") and table.lines()[0] == 3
    assert table.features.column(1).tolist() == [i * 1.5 for i in range(9)]


def test_a_column_without_a_name_is_an_index_where_it_is_first_and_nothing_where_it_is_empty(csv):
    lines = TEXT.splitlines()
    table = opened(csv("\n".join(f"{i or ''},{line}" for i, line in enumerate(lines))))
    assert table.features.names == ("a", "b") and "column 1 has no name" in table.raw.notes[0]
    assert opened(csv(TEXT.replace("\n", ",,\n"))).features.names == ("a", "b")
    refused(["column 2", "no name", "--names"], opened, csv("a,,y\n1,2,3\n3,4,5\n"))
    table = opened(csv("a,,y\n1,2,3\n3,4,5\n"), reading=Reading(names=("a", "b", "y"), header=True))
    assert table.features.column(1).tolist() == [2, 4]
    rows = "\n".join(lines[:1] + [f"{i},{line}" for i, line in enumerate(lines[1:])])
    refused(["3 cells", "have 4", "row names", "--names"], opened, csv(rows))


def test_blanks_and_tabs_in_any_number_are_a_delimiter_where_it_is_said(csv):
    text = "a  b\ty\n" + "".join(f"  {i}\t {i * 2}   {'yn'[i % 2]} \n" for i in range(9))
    table = opened(csv(text + '9  18 "y"\n\n1 2\n', "t.data"), on_bad_row="skip",
                   reading=Reading(delimiter="whitespace"))  # fmt: skip
    assert table.features.column(1).tolist() == [2 * i for i in range(10)]
    assert [row.line for row in table.bad_rows] == [13]
    refused(["one column", "--delimiter"], opened, csv("a b\n1 2\n3 4\n"))


@pytest.mark.parametrize(
    "said",
    [{"target": "y"}, {"types": {"y": "category"}}, {"known": {"a": "number", "b": "number"}}],
)
@pytest.mark.parametrize("text", ["a:b:y\n1:2:no\n3:4:yes\n", "a b y\n1 2 no\n3 4 yes\n"])
def test_whatever_a_file_of_one_column_lacks_the_delimiter_is_the_remedy(csv, text, said):
    refused([text.partition("\n")[0], "--delimiter"], opened, csv(text), **said)
    refused(["did you mean 'b'"], opened, csv("a,b\n1,2\n"), target="bb")


def test_a_decimal_comma_is_no_delimiter_where_another_mark_is(csv):
    table = opened(csv("1,5;2,5;3,5;0\n2,5;3,5;4,5;1\n"), reading=Reading(header=False))
    assert table.features.shape == (2, 3)


ROWS_WITH_MARKERS = [(1, "x", 0), (-999, "ERR", 1), (-999.0, "z", 0), ("ERR", "x", 1)]


def test_markers_of_missing_values_are_missing_in_numbers_and_text(csv, tmp_path):
    pd = pytest.importorskip("pandas", reason="pandas is not installed")
    columns = {"a": [1.0, -999, -999, np.nan], "b": ["x", "ERR", "z", "x"], "y": [0, 1] * 2}
    pd.DataFrame(columns).to_parquet(tmp_path / "t.parquet")
    objects = "\n".join(json.dumps(dict(zip("aby", row))) for row in ROWS_WITH_MARKERS)
    text = "a,b,y\n" + "".join("{},{},{}\n".format(*row) for row in ROWS_WITH_MARKERS)
    for path in (csv(text), csv(objects, "t.jsonl"), tmp_path / "t.parquet"):
        table = opened(path, reading=Reading(missing=("ERR", "-999")))
        np.testing.assert_array_equal(table.features.column(0), [1, np.nan, np.nan, np.nan])
        assert table.features.column(1).tolist() == ["x", None, "z", "x"]
    codes = opened(csv("a,y\n007,0\n7,1\n"), reading=Reading(missing=("7",))).features
    assert codes.column(0)[0] in (7, "007") and codes.column(0)[1] not in (7, "7")


@each(
    "name, how, words",
    [
        ("t.jsonl", {"delimiter": ";"}, ["JSON", "--delimiter"]),
        ("t.csv", {"sheet": "a"}, ["CSV text", "--sheet"]),
        ("t.jsonl", {"skip_rows": 1}, ["JSON", "--skip-rows"]),
    ],
)
def test_what_says_nothing_of_a_kind_of_file_is_refused(csv, name, how, words):
    path = csv('{"a": 1, "y": 1}\n', name)
    with pytest.raises(ValueError) as caught:
        opened(path, reading=Reading(**how))
    assert all(word in str(caught.value) for word in [*words, "leave it out"])


def test_marks_within_cells_are_no_delimiters_where_the_names_have_none(csv):
    for mark in "|", ";", "\t":
        table = opened(csv("x,y\n" + "".join(f"{i}{mark}5,{i % 2}\n" for i in range(20))))
        assert table.features.column(0)[0] == f"0{mark}5"
