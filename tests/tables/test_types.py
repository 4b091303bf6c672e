"""What the columns of a file are: numbers, categories, dates, missing values."""

import numpy as np
from csv_files import (
    column,
    csv_fixture,  # noqa: F401 - fixtures among them
    opened,
    refused,
)
from each import each

from xpmlp.tables.kinds.types import MISSING
from xpmlp.tables.open_table import open_table

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
    "percent": (["12 %", "13 %"], "number:%"),
    "dollars": (["$1,234.50", "-$5", "$99.00"], "number:$"),
    "euros with decimal commas": (["1.234,50 €", "99,00 €"], "number:comma €"),
    "blanks that do not break": (["1\u00a0234,5", "99,5"], "number:comma"),
    "amounts in parentheses": (["(1,234.50)", "99.00"], "number:point"),
    "magnitudes": (["950", "1.5k", "2M"], "number:k/M/B"),
    "a unit, in singular and plural": (["1 day", "2 days"], "number:days"),
    "a unit in part": (["5 kg", "5"], "category"),
    "groups of blanks": (["1 234", "5 678"], "number:point"),
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
    "short years": (["31.12.24", "1.2.24"], "date:%d.%m.%y"),
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
    refused(
        ["'when'", "'01/02/2024' may be 2024-02-01 or 2024-01-02", "when=date:%m/%d/%Y"],
        opened,
        path,
    )
    for kind, month in (("date:%d/%m/%Y", "2024-02"), ("date:%m/%d/%Y", "2024-01")):
        table = opened(path, types={"when": kind})
        assert str(table.features.column(0)[0]).startswith(month) and table.types == {"when": kind}


def test_numbers_with_commas_that_may_mean_two_things_are_refused_until_the_user_says_which(csv):
    path = csv(column("a", ['"1,234"', '"5,678"']))
    refused(["'1,234' may be ", "1.234", "number:point", "number:comma"], opened, path)
    for kind, first in (("number:point", 1234.0), ("number:comma", 1.234)):
        assert opened(path, types={"a": kind}).features.column(0)[0] == first
    path = csv('a,y\n1,"2,5"\n2,"3,5"\n3,"4,5"\n')
    assert opened(path).y.tolist() == [2.5, 3.5, 4.5]


def test_numbers_in_several_forms_are_text_with_a_warning(csv):
    path = csv(column("a b", ["5 kg", "200 g", "7 kg", "950 g", "12 kg"]))
    warning = opened(path).warnings["a b"]
    assert "'a b' is taken as text" in warning and "'5 kg'" not in warning
    assert "'12 kg', '200 g'" in warning and "--types 'a b'=category" in warning
    assert opened(path, types={"a b": "category"}).warnings == {}
    for cells in (["12a", "14", "3b"], ["0", "1", "3+"], ["Room 5", "Hall 7"]):
        assert opened(csv(column("a", cells * 9))).warnings == {}


def test_a_form_that_a_model_knows_is_read_in_another_file(csv):
    known = {"a": "number:comma €"}
    table = opened(csv("a\n5 €\n1.250 €\n\n"), known=known, target=None)
    assert table.features.column(0).tolist()[:2] == [5, 1250]
    refused(
        ["line 3", "'12.5'", "such as 1.234,5 €"],
        opened,
        csv("a\n5 €\n12.5\n"),
        known=known,
        target=None,
    )


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


@each("cells, kind", [(["{}h 30m", "1 day {}h"], "duration"), (["{} mg/100ml"], "number:mg/100ml")])
def test_a_duration_of_several_units_is_no_number_with_a_unit(csv, cells, kind):
    for text in cells:
        table = opened(csv(column("a", [text.format(i % 24) for i in range(60)])))
        assert table.types == {"a": kind}
