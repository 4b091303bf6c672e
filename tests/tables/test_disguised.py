"""Numbers that may be dates are told before training."""

from datetime import datetime, timedelta

from csv_files import column, csv_fixture, opened  # noqa: F401 - fixtures among them
from each import each

DAYS = [datetime(2023, 12, 20, 10) + timedelta(hours=7 * i) for i in range(60)]
SECONDS = [int((day - datetime(1970, 1, 1)).total_seconds()) for day in DAYS]


@each(
    "cells, kind",
    [
        ([f"{day:%Y%m%d}" for day in DAYS], "date:%Y%m%d"),
        (SECONDS, "date:epoch"),
        ([1000 * second for second in SECONDS], "date:epoch_ms"),
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
