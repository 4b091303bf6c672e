"""Decimal marks and orders of dates that other columns of a file show."""

import pytest
from csv_files import csv_fixture, opened, refused  # noqa: F401 - fixtures among them
from each import each

from xpmlp.tables.kinds import found
from xpmlp.tables.reading import Reading

POINTS = ["1.644", "997", "2.311", "12", "1.000", "5"]
COMMAS = ["1,234", "5,678", "9,012", "3,456", "7,890", "2,345"]
DAYS = ["01/02/2024", "03/04/2024", "05/06/2024", "07/08/2024", "09/10/2024", "11/12/2024"]


def written(csv, **columns):
    """Write columns of six cells, and labels, to a CSV file with semicolons."""
    columns["y"] = list("ababab")
    lines = [";".join(columns), *(";".join(cells) for cells in zip(*columns.values()))]
    return csv("\n".join(lines) + "\n")


SHOWN = {  # an ambiguous column, another one, the kind of the first and its first cell
    "points beside decimal commas": (POINTS, [f"{i},5" for i in range(6)], "number:comma", 1644.0),
    "points beside decimal points": (POINTS, [f"{i}.5" for i in range(6)], "number", 1.644),
    "commas beside decimal commas": (COMMAS, [f"{i},5" for i in range(6)], "number:comma", 1.234),
    "commas beside decimal points": (COMMAS, [f"{i}.5" for i in range(6)], "number:point", 1234.0),
    "commas beside an amount of euros": (COMMAS, ["5,5 €"] * 6, "number:comma", 1.234),
    "days beside a clear day": (DAYS, ["31-12-2024"] * 6, "date:%d/%m/%Y", "2024-02-01"),
    "days beside a clear month": (DAYS, ["12/31/2024"] * 6, "date:%m/%d/%Y", "2024-01-02"),
    "days beside numbers": (["25/02/2024"] * 6, ["1.5"] * 6, "date:%d/%m/%Y", "2024-02-25"),
}


@each("cells, others, kind, first", SHOWN.values(), ids=SHOWN, parts=2)
def test_an_ambiguous_column_takes_the_convention_of_the_others(
    csv, monkeypatch, cells, others, kind, first
):
    path = written(csv, a=cells, b=others)
    for n_rows in (1, found.FIRST):  # of which all is asked at once, or step by step
        monkeypatch.setattr(found, "FIRST", n_rows)
        table = opened(path)
        assert table.types["a"] == kind
        value = table.features.column(0)[0]
        assert value == first or str(value).startswith(str(first))


@pytest.mark.parametrize("cells", [POINTS, COMMAS, DAYS])
def test_an_ambiguous_column_is_refused_where_no_column_or_several_show_how_to_read_it(csv, cells):
    refused(["'a'", "no other column shows", "--types a="], opened, written(csv, a=cells))
    both = {"b": ["1,5"] * 6, "c": ["2.5"] * 6, "d": ["31/12/2024"] * 6, "e": ["12-31-2024"] * 6}
    refused(["'a'", "other columns show both"], opened, written(csv, a=cells, **both))


def test_what_the_user_says_of_one_column_or_of_all_settles_the_others(csv):
    typed = opened(written(csv, a=DAYS, b=DAYS), types={"b": "date:%m/%d/%Y"})
    assert typed.types["a"] == "date:%m/%d/%Y"
    for cells, decimal, first in [
        (POINTS, ",", 1644.0),
        (POINTS, ".", 1.644),
        (COMMAS, ",", 1.234),
        (COMMAS, ".", 1234.0),
    ]:
        table = opened(written(csv, a=cells), reading=Reading(decimal=decimal))
        assert table.features.column(0)[0] == first
    table = opened(written(csv, a=POINTS), reading=Reading(thousands="."))
    assert table.features.column(0)[0] == 1644.0


def test_three_decimals_alone_are_decimals(csv):
    table = opened(written(csv, a=["1.644", "2.311", "9.120", "4.777", "5.000", "6.125"]))
    assert table.types["a"] == "number"
    table = opened(written(csv, a=["0.644", "997", "2.311", "12", "1.000", "5"]))
    assert table.types["a"] == "number"


def test_numbers_with_points_are_told_of_where_the_decimal_mark_is_said_to_be_a_comma(csv):
    table = opened(written(csv, a=["1.5", "2.25"] * 3), reading=Reading(decimal=","))
    assert table.types["a"] == "category"
    assert "is --decimal right?" in table.warnings["a"]
