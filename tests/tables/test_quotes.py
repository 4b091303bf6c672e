"""Quotes too many in CSV text, told from cells of several lines."""

import csv as csv_module
import io
import random
import time

import pytest
from csv_files import csv_fixture, opened, refused  # noqa: F401 - fixtures among them
from each import each

from xpmlp.tables.reading import Reading

N = 300
NUMBERS = [f"{i},{i % 7},{i % 2}" for i in range(N)]
NAMES = [f"{i},name{i % 9},{i % 2}" for i in range(N)]
TEXTS = [f"w{i % 5},name{i % 9},{'ab'[i % 2]}" for i in range(N)]


def text_of(rows, changed=None, head="a,b,y", end="\n"):
    """A CSV with a header, where rows are changed by their number."""
    rows = list(rows)
    for i, row in (changed or {}).items():
        rows[i] = row
    return end.join([head, *rows]) + end


def left_out(path, **options):
    """The numbers of the rows, from 0, that are left out; all others are read as they are."""
    table = opened(path, on_bad_row="skip", **options)
    lines = {row.line for row in table.bad_rows}
    assert all("\n" not in row.text for row in table.bad_rows)
    assert lines.isdisjoint(table.lines().tolist())
    assert len(table.y) + len(lines) == N
    return [line - 2 for line in sorted(lines)]


@each(
    "rows, changed, lost",
    [
        (NUMBERS, {6: '"5,5,1'}, [6]),
        (NUMBERS, {6: '"5,5,1', 200: '200",2,0'}, [6, 200]),  # as many cells as other rows
        (NUMBERS, {6: '"5,5,1', 200: '200,2",0'}, [6, 200]),
        (NUMBERS, {6: '"5,5,1', 200: '200,"2,0'}, [6, 200]),
        (NUMBERS, {6: '"5,5,1', 7: '7",0,1'}, [6, 7]),
        (NUMBERS, {i: '"' + NUMBERS[i] for i in range(0, N, 50)}, [*range(0, N, 50)]),
        (NUMBERS, {6: '5,5,"1'}, [6]),
        (NUMBERS, {6: '5,"""5,1'}, [6]),
        (NUMBERS, {0: '"0,0,0', N - 1: f'"{N - 1},1,1'}, [0, N - 1]),
        (NAMES, {6: '6,"name6,0', 200: '200,name",0'}, [6]),  # a cell may end in a quote
        (NAMES, {6: '6,"name6,0', 7: '7,name",1'}, [6]),
        (NAMES, {6: '6,"a ""b"" c,0'}, [6]),
        (TEXTS, {6: 'w1,"name6,a', 200: 'w0,name8",a'}, [6]),
        (TEXTS, {6: '"w1,name6,a', 200: 'w0,name8",a'}, [6]),
        ([f'{i},"n{i % 7}, b",{i % 2}' for i in range(N)], {6: '6,"n6, b,0'}, [6]),
        ([f'"{i}","n{i % 7}","{i % 2}"' for i in range(N)], {6: '"6","n6","0'}, [6]),
        ([f"{i or 'NA'},{i % 3 or ''},{i % 2}" for i in range(N)], {6: '"6,6,0'}, [6]),
    ],
    parts=6,
)
def test_a_quote_too_many_costs_its_line_and_no_more(csv, rows, changed, lost):
    assert left_out(csv(text_of(rows, changed))) == lost
    assert left_out(csv(text_of(rows, changed, end="\r\n"), "t.csv.gz")) == lost


@each("places", [(6, 7), (0, 5, 298, 299)])
@each("row", ['"street 3 town 2,3,1', 'street 3 town 2,3,"1', 'street 3,"3,1', '"""street 3,3,1'])
@each("address", ['"street {i}\ntown, {i}",{i},{i}', '"a ""{i}""\n\nb\nc",{i},"{i}"'])
def test_a_quote_too_many_costs_its_line_among_cells_of_several_lines(csv, places, row, address):
    rows = [address.format(i=i) for i in range(N)]
    n_lines = 1 + address.count("\n")
    table = opened(csv(text_of(rows, dict.fromkeys(places, row))), on_bad_row="skip")
    before = [sum(at < i for at in places) for i in places]
    lines = [2 + (i - n) * n_lines + n for i, n in zip(places, before, strict=True)]
    assert [bad.line for bad in table.bad_rows] == lines
    assert {bad.text for bad in table.bad_rows} == {row} and len(table.y) == N - len(places)


@each("row", ['6,"a\nb""', '6,"a\n\n"b"', '6,""a\nb"', '6,"a\nb" ""'])
def test_a_quote_too_many_in_a_row_of_several_lines_costs_that_row(csv, row):
    rows = [f'{i},"line {i}\n{i % 9}, next"' for i in range(N)]
    table = opened(csv(text_of(rows, {6: row, 200: row}, "a,y")), on_bad_row="skip")
    assert {*range(N)} - {*table.features.column(0).tolist()} == {6, 200}


@each("mark", [";", "\t", "|", "whitespace"])
def test_a_quote_too_many_costs_its_line_whatever_the_delimiter(csv, mark):
    written = mark.replace("whitespace", "  ")
    text = text_of(NUMBERS, {6: '"5,5,1', 200: '200",2,0'}).replace(",", written)
    assert left_out(csv(text), reading=Reading(delimiter=mark)) == [6, 200]


def test_comments_and_blank_lines_after_a_quote_too_many_are_still_none(csv):
    rows = [*NUMBERS, "# a", "", '# "b', "", "# c"]
    rows.insert(7, '# "c')
    rows.insert(9, "")
    text = text_of(rows, {6: '"5,5,1', 200: '200",2,0'})
    table = opened(csv(text), on_bad_row="skip", reading=Reading(comment="#"))
    assert [row.line for row in table.bad_rows] == [8, 202] and len(table.y) == N - 2


@each(
    "rows",
    [
        [f'{i},"line {i}\nnext, last",{i % 2}' for i in range(100)],
        [f'"Hello, all {i}\nthanks, bye\nyours, Bob",1,{i % 2}' for i in range(100)],
        [f'{i},"1,2,3\n4,5,6\n7,8,9",{i % 2}' for i in range(100)],  # a table in a cell
        [f'"apples, 3,1\npears, {i},2\nkiwi, 3,1\nplums",{i % 3},{i % 2}' for i in range(100)],
        [*NAMES[:50], '50,"so, then\nwe went\nand, at last, came\n",0', *NAMES[50:99]],
        [*NAMES[:50], '50,"' + "\n".join(["and so, on"] * 500) + '",0', *NAMES[50:99]],
        [*NAMES[:50], '50,"x",0', '51,"a ""b""\nc",1', *NAMES[50:98]],
    ],
)
def test_cells_of_several_lines_stay_whole(csv, rows):
    text = text_of(rows)
    table = opened(csv(text), types={"a": "category", "b": "category"}, max_bad_rows=0)
    assert len(table.y) == 100
    cells = [row[:2] for row in csv_module.reader(io.StringIO(text, newline=""))][1:]
    assert [[*map(str, row)] for row in zip(*map(table.features.column, (0, 1)))] == cells


def test_a_row_of_several_lines_that_lacks_a_cell_is_one_bad_row(csv):
    rows = [f'{i},"line {i}\nnext",{i % 2}' for i in range(100)]
    table = opened(csv(text_of(rows, {7: '7,"line\nnext"'})), on_bad_row="skip")
    assert [(row.line, row.text) for row in table.bad_rows] == [(16, '7,"line\nnext"')]


def test_quotes_too_many_at_random_lose_no_other_line(csv):
    draw = random.Random(0)
    for _ in range(20):
        rows = draw.choice([NUMBERS, NAMES, TEXTS])
        changed = {}
        for i in draw.sample(range(N), draw.randint(1, 6)):
            at = draw.randint(0, len(rows[i]))
            changed[i] = rows[i][:at] + '"' + rows[i][at:]
        lost = left_out(csv(text_of(rows, changed)))
        assert {*lost} <= {*changed}, changed


@each("last", ['200",2,0', "200,2,0", '200,2,0"'])
def test_a_quote_too_many_among_the_names_is_told(csv, last):
    path = csv(text_of(NUMBERS, {200: last}, head='"a,b,y'))
    refused(["line 1", "a quote is not closed", "--skip-rows 1"], opened, path)


def test_text_after_a_quote_is_read_a_few_times_at_most(csv):
    text = "a,b,y\n1,2,3\n4,5,6\n" + 'x","\n' * 20_000
    path = csv(text)
    times = []
    for _ in range(2):
        start = time.perf_counter()
        assert len(opened(path, on_bad_row="skip", max_bad_rows=20_000).y) == 2
        times.append(time.perf_counter() - start)
    assert min(times) < 20  # some hundred seconds if each line is read again to the end


def test_a_quoted_cell_longer_than_pythons_limit_is_told(csv):
    path = csv(text_of(NAMES[:99], {7: '7,"' + "x" * 200_000 + '",1\n\n'}))
    table = opened(path, on_bad_row="skip")
    assert table.bad_rows[0].reason == "a quoted cell has more than 131,072 characters"
    with pytest.raises(ValueError, match="line 9: got"):
        opened(path)
