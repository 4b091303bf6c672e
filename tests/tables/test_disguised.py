"""Numbers that may be dates are told before training."""

from datetime import datetime, timedelta

import pytest
from csv_files import column, csv_fixture, opened, refused  # noqa: F401 - fixtures among them
from each import each

DAYS = [datetime(2023, 12, 20, 10) + timedelta(hours=7 * i) for i in range(60)]
SECONDS = [int((day - datetime(1970, 1, 1)).total_seconds()) for day in DAYS]


@each(
    "cells, kind",
    [
        ([f"{day:%Y%m%d}" for day in DAYS], "date:%Y%m%d"),
        (SECONDS, "date:epoch"),
        ([1000 * second for second in SECONDS], "date:epoch_ms"),
        ([10**6 * second for second in SECONDS], "date:epoch_us"),
        ([f"{day:%Y%m%d%H%M%S}" for day in DAYS], "date:%Y%m%d%H%M%S"),
        ([f"{day:%Y%m%d%H%M}" for day in DAYS], "date:%Y%m%d%H%M"),
        (["", *SECONDS, "NA"], "date:epoch"),
    ],
)
def test_numbers_that_may_be_dates_are_told_with_the_type_that_reads_them(csv, cells, kind):
    path = csv(column("a", cells))
    table = opened(path)
    (warning,) = table.warnings.values()
    assert table.types == {"a": "number"} and f"--types a={kind} " in warning
    assert "from 2023-12-20 to 2024-01-06" in warning
    table = opened(path, types={"a": kind})
    assert table.warnings == {} and table.features.kinds == ("date",)
    assert opened(path, types={"a": "number"}).warnings == {}


@each(
    "cells",
    [
        range(20231230, 20231260),
        range(10000000, 99999999, 3000000),
        range(1000000000, 9999999999, 300000000),
        [20231230] * 30,
        [*map(float, range(1700000000, 1700000030))],
    ],
)
def test_other_numbers_are_numbers_without_a_word(csv, cells):
    assert opened(csv(column("a", cells))).warnings == {}


def test_numbers_of_parquet_are_dates_or_booleans_where_the_user_says_so(tmp_path):
    duckdb = pytest.importorskip("duckdb", reason="DuckDB is not installed")
    path = tmp_path / "t.parquet"
    select = "20240501 + i AS day, 1714521600 + i AS at, i AS flag, i > 0 AS known, i % 2 AS y"
    duckdb.sql(f"COPY (SELECT {select} FROM range(2) t(i)) TO '{path}' (FORMAT parquet)")
    types = {"day": "date:%Y%m%d", "at": "date:epoch", "flag": "boolean", "known": "boolean"}
    day, at, flag, known = opened(path, types=types).features.columns
    assert day.astype("M8[D]").astype(str).tolist() == ["2024-05-01", "2024-05-02"]
    assert (at - day[0]).astype("m8[s]").astype(int).tolist() == [0, 1]
    assert flag.tolist() == known.tolist() == [0, 1]
    refused(["row 1", "'at'", "true or false"], opened, path, types={"at": "boolean"})
    refused(["'known' holds BOOLEAN", "date:epoch"], opened, path, types={"known": "date:epoch"})
