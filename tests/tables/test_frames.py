"""Frames: a table of any library becomes the same columns, or is refused in words."""

import datetime as dt
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from each import each
from hypothesis import given, settings
from hypothesis import strategies as st

from xpmlp.errors import DataError
from xpmlp.tables.frame import Frame, as_text, frame_of, frame_of_array, is_plain, is_table, texts

NAN, DAY, HOUR, UTC = float("nan"), dt.date(2020, 2, 29), dt.timedelta(hours=1), dt.UTC
ROME = dt.timezone(dt.timedelta(hours=1))
NOON = dt.datetime(2020, 2, 29, 12)
ROWS = {
    "height": [1.5, None, -2.0],
    "count": [1, None, 3],
    "whole": [1, 2, 3],
    "member": [True, None, False],
    "price": [Decimal("1.25"), None, Decimal("-3")],
    "city": ["Rome", None, ""],
    "day": [DAY, None, dt.date(1700, 1, 1)],
    "time": [NOON, None, dt.datetime(2200, 12, 31, 23, 59, 59, 999_999)],
    "zoned": [NOON.replace(tzinfo=ROME), None, NOON.replace(tzinfo=UTC)],
}
EXPECTED = {
    "height": ("number", [1.5, NAN, -2]),
    "count": ("number", [1, NAN, 3]),
    "whole": ("number", [1, 2, 3]),
    "member": ("number", [1, NAN, 0]),
    "price": ("number", [1.25, NAN, -3]),
    "city": ("category", ["Rome", None, None]),  # as in a file
    "day": ("date", ["2020-02-29", "NaT", "1700-01-01"]),
    "time": ("date", ["2020-02-29T12", "NaT", "2200-12-31T23:59:59.999999"]),
    "zoned": ("date", ["2020-02-29T11", "NaT", "2020-02-29T12"]),
}
DTYPES = {"number": np.float64, "category": object, "date": "datetime64[us]"}


def assert_column(frame, i, kind, values):
    assert frame.kinds[i] == kind
    expected = np.asarray(values, DTYPES[kind])
    np.testing.assert_array_equal(frame.column(i), expected, strict=True)


def as_pandas(rows):
    return pd.DataFrame({name: pd.Series(values, dtype=object) for name, values in rows.items()})


def as_typed_pandas(rows):
    types = {"count": "Int64", "member": "boolean", "city": "category", "whole": "int8"}
    return (
        as_pandas(rows)
        .astype(types)
        .assign(
            height=pd.Series(rows["height"], dtype="float32"),
            time=pd.Series(rows["time"]).astype("datetime64[us]"),
            zoned=pd.to_datetime(pd.Series(rows["zoned"]), utc=True).dt.tz_convert("Europe/Rome"),
        )
    )


def as_polars(rows):
    return pytest.importorskip("polars", reason="polars is not installed").DataFrame(
        {name: values for name, values in rows.items() if name != "zoned"}
        | {"zoned": [v and v.astimezone(UTC) for v in rows["zoned"]]}
    )


def as_pyarrow(rows):
    return pytest.importorskip("pyarrow", reason="pyarrow is not installed").table(rows)


@pytest.mark.parametrize("make", [as_pandas, as_typed_pandas, as_polars, as_pyarrow])
def test_one_table_is_the_same_frame_in_every_library(make):
    table = make(ROWS)
    frame = frame_of(table)
    assert is_table(table) and not is_plain(table) and is_plain(frame.select(["whole"]))
    assert frame.names == tuple(ROWS) and frame.shape == (3, len(ROWS))
    for i, (kind, values) in enumerate(EXPECTED.values()):
        assert_column(frame, i, kind, values)


def test_dates_and_large_numbers_of_pyarrow_are_taken_as_those_of_others():
    pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    days = [dt.date(2024, 1, 1), None, dt.date(2024, 1, 3)]
    table = pa.table({"day": pa.array(days, pa.date64()), "id": [2**63 - 1, None, 1]})
    typed = pd.DataFrame({"day": pd.array(days, dtype="date32[day][pyarrow]")})
    for frame in (frame_of(table), frame_of(typed)):
        assert_column(frame, 0, "date", ["2024-01-01", "NaT", "2024-01-03"])
    assert_column(frame_of(table), 1, "number", [2.0**63, NAN, 1])


def pandas_of(values, dtype=None):
    return lambda: pd.DataFrame({"a": pd.Series(values, dtype=dtype)})


def polars_of(values, dtype):
    def make():
        pl = pytest.importorskip("polars", reason="polars is not installed")
        return pl.DataFrame({"a": values}, schema={"a": dtype(pl)})

    return make


def arrow_of(make):
    def table():
        pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
        return pa.table({"a": make(pa)})

    return table


@each(
    "make, kind, values",
    [
        (pandas_of([1.0, 2.0], ">f8"), "number", [1, 2]),
        (pandas_of(pd.arrays.SparseArray([0.0, 1.0])), "number", [0, 1]),
        (pandas_of([2**60, 2**60 + 1]), "number", [2**60, 2**60]),
        (pandas_of([np.bool_(True), None], object), "number", [1, NAN]),
        (pandas_of([1, "a", None, True, 2.5], object), "category", ["1", "a", None, "1", "2.5"]),
        (pandas_of([np.str_("a"), NAN], object), "category", ["a", None]),
        (pandas_of(["inf", float("inf")], object), "category", ["inf", "inf"]),
        (pandas_of([1, 2, None], "category"), "category", ["1", "2", None]),
        (pandas_of(["x", pd.NA], "string"), "category", ["x", None]),
        (pandas_of([pd.NaT, NOON], object), "date", ["NaT", NOON]),
        (
            pandas_of(np.asarray(["0001-01-01", "9999-12-31"], "M8[s]")),
            "date",
            ["0001-01-01", "9999-12-31"],
        ),
        (pandas_of([NAN, NAN]), "number", [NAN, NAN]),
        (pandas_of([dt.time(3, 30), NAN, pd.NaT], object), "number", [3.5, NAN, NAN]),
        (pandas_of([HOUR, None, NAN], object), "number", [3600, NAN, NAN]),
        (pandas_of([HOUR, pd.NaT], "timedelta64[ns]"), "number", [3600, NAN]),
        (pandas_of([np.timedelta64(2, "m"), HOUR], object), "number", [120, 3600]),
        (polars_of([dt.time(3, 30), None], lambda pl: pl.Time), "number", [3.5, NAN]),
        (polars_of([HOUR / 4, None], lambda pl: pl.Duration("ms")), "number", [900, NAN]),
        (
            arrow_of(lambda pa: pa.array([dt.time(3, 30), None], pa.time32("s"))),
            "number",
            [3.5, NAN],
        ),
        (arrow_of(lambda pa: pa.array([HOUR, None], pa.duration("s"))), "number", [3600, NAN]),
        (
            pandas_of(pd.PeriodIndex(["2020-02", None], freq="M")),
            "date",
            ["2020-02-01", "NaT"],
        ),
        (polars_of([None, None], lambda pl: pl.Null), "number", [NAN, NAN]),
        (polars_of(["x", None], lambda pl: pl.Categorical), "category", ["x", None]),
        (polars_of(["x", None], lambda pl: pl.Enum(["x", "y"])), "category", ["x", None]),
        (polars_of([2**63 + 1, None], lambda pl: pl.UInt64), "number", [2.0**63, NAN]),
        (arrow_of(lambda pa: pa.nulls(2)), "number", [NAN, NAN]),
        (arrow_of(lambda pa: pa.array(["x", None]).dictionary_encode()), "category", ["x", None]),
        (arrow_of(lambda pa: pa.array([7, None]).dictionary_encode()), "category", ["7", None]),
        (arrow_of(lambda pa: pa.array(["x", None], pa.large_string())), "category", ["x", None]),
    ],
)
def test_a_column_of_an_odd_type_is_read_for_what_it_holds(make, kind, values):
    assert_column(frame_of(make()), 0, kind, values)


@each(
    "make, words",
    [
        (pandas_of([1.0, float("inf")]), "'a' holds infinity in row 1"),
        (pandas_of([10**400, 1], object), "'a' holds a whole number too large"),
        (pandas_of([1j, 2]), "'a' holds complex128, expected numbers, text, dates"),
        (pandas_of([[1], [2]]), "'a' holds an object of type list"),
        (pandas_of([b"x", "y"], object), "'a' holds an object of type bytes"),
        (pandas_of([DAY, "y"], object), "'a' mixes values of types date, str"),
        (pandas_of([HOUR, "y"], object), "'a' holds an object of type (timedelta|str)"),
        (pandas_of([np.timedelta64(1, "s"), 2], object), "type timedelta64, .* durations"),
        (pandas_of([dt.time(1, tzinfo=UTC)], object), "type time, .* without a zone"),
        (polars_of([[1], None], lambda pl: pl.List(pl.Int64)), "'a' holds List"),
        (polars_of([object(), None], lambda pl: pl.Object), "'a' holds an object of type object"),
        (arrow_of(lambda pa: pa.array([b"x", None])), "'a' holds binary"),
        (lambda: pd.DataFrame([[1, 2]], columns=["a", "a"]), "two columns have the name 'a'"),
        (lambda: pd.DataFrame([[1, 2]], columns=[0, "0"]), "two columns have the name '0'"),
    ],
)
def test_a_column_that_cannot_be_read_is_named(make, words):
    with pytest.raises(DataError, match=words):
        frame_of(make())


def test_a_data_frame_with_times_or_durations_is_none_of_plain_numbers():
    for values in ([HOUR, HOUR], [dt.time(1), dt.time(2)]):
        assert not is_plain(pd.DataFrame({"n": [1, 2], "a": pd.Series(values)}))


def test_columns_called_as_the_methods_of_a_frame_do_not_make_one():
    table = pd.DataFrame({name: [1.0, 2.0] for name in ("kinds", "names", "blocks", "shape")})
    assert is_plain(table) and frame_of(table).names == ("kinds", "names", "blocks", "shape")


@each(
    "table, plain",
    [
        (pd.DataFrame({"a": [1, 2], "b": [True, False], "c": np.float32([1, 2])}), True),
        (pd.DataFrame({"a": pd.array([1, 2], "Int64")}), True),
        (pd.DataFrame({"a": pd.array([1, None], "Int64")}), False),
        (pd.DataFrame({"a": [1.0, NAN]}), False),
        (pd.DataFrame({"a": [1], "b": ["x"]}), False),
        (pd.DataFrame({"a": np.asarray(["2020"], "M8[us]")}), False),
        (pd.DataFrame({"a": pd.Categorical([1, 2])}), False),
    ],
)
def test_a_plain_table_holds_numbers_only_and_all_of_them(table, plain):
    assert is_plain(table) is plain and is_plain(frame_of(table)) is plain


@pytest.mark.parametrize("thing", [[[1.0]], np.ones((2, 2)), pd.Series([1.0]), {"a": [1]}, None])
def test_other_things_are_no_tables(thing):
    assert not is_table(thing)


def three():
    day = np.datetime64("2020-01-01", "us")
    return Frame(
        ("n", "c", "d"),
        ("number", "category", "date"),
        (np.arange(5.0), np.asarray(list("abcde"), object), day + np.arange(5)),
    )


def test_rows_and_columns_are_taken_as_of_an_array(monkeypatch):
    monkeypatch.setattr("xpmlp.tables.frame.BLOCK", 2)
    frame = three()
    assert [block.column(1).tolist() for block in frame.blocks()] == [["a", "b"], ["c", "d"], ["e"]]
    for rows in ([3, 1], np.asarray([3, 1]), (np.asarray([3, 1]), ...)):
        assert frame[rows].column(1).tolist() == ["d", "b"]
    assert frame[1:3].shape == (2, 3) and len(frame[:0]) == 0
    part = frame.select(["d", "n"])
    assert (part.names, part.kinds) == (("d", "n"), ("date", "number"))
    np.testing.assert_array_equal(part.column(1), frame.column(0))
    assert Frame((), (), ()).shape == (0, 0)


@pytest.mark.parametrize(
    "change, words",
    [
        ({"names": ("n", "c", "n")}, "two columns have the name 'n'"),
        ({"names": ("n", "c")}, "a name, a kind and a column"),
        ({"kinds": ("number", "text", "date")}, "got .*'text'"),
        ({"columns": (np.arange(5), *three().columns[1:])}, "float64 for 'number'.*int64"),
        ({"columns": (*three().columns[:2], three().columns[2][:4])}, "differ in length"),
    ],
)
def test_a_frame_whose_parts_do_not_fit_is_refused(change, words):
    with pytest.raises(DataError, match=words):
        Frame(**vars(three()) | change)


def test_categories_are_one_text_for_equal_numbers_and_none_for_all_that_is_missing():
    missing = [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT, Decimal("nan")]
    ones = [1, 1.0, True, np.int8(1), np.float32(1), np.bool_(True), Decimal("1.0"), "1"]
    assert texts([*missing, *ones, -0.0, 2.5]).tolist() == [None] * 6 + ["1"] * 8 + ["0", "2.5"]
    assert as_text(1e300) == str(int(1e300)) and as_text(float("-inf")) == "-inf"


@pytest.mark.parametrize(
    "X, kinds",
    [
        (np.asarray([[1, 2], [3, 4]], np.int8), ("number", "number")),
        (np.asarray([[True], [False]]), ("number",)),
        (np.asarray([["a", 1], [None, NAN]], object), ("category", "number")),
        (np.asarray([["a"], ["b"]]), ("category",)),
    ],
)
def test_a_host_array_is_a_frame_of_numbered_columns(X, kinds):
    frame = frame_of_array(X)
    assert frame.names == tuple(f"x{i}" for i in range(X.shape[1])) and frame.kinds == kinds
    with pytest.raises(DataError, match="X holds complex128, expected numbers or text"):
        frame_of_array(np.ones((2, 2), complex))


NUMBERS = st.none() | st.floats(allow_infinity=False) | st.integers(-(2**53), 2**53)
DATES = st.none() | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1))
COLUMN = {"number": NUMBERS, "category": st.none() | st.text(min_size=1, max_size=5), "date": DATES}


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_random_tables_come_through_pandas_as_they_are(data):
    kinds = data.draw(st.lists(st.sampled_from(sorted(COLUMN)), min_size=1, max_size=4))
    n = data.draw(st.integers(1, 5))
    lists = [data.draw(st.lists(COLUMN[k], min_size=n, max_size=n)) for k in kinds]
    rows = {f"c{i}": values for i, values in enumerate(lists)}
    frame = frame_of(as_pandas(rows))
    for i, (kind, values) in enumerate(zip(kinds, lists)):
        if kind == "category":
            values = [(v or "").strip() or None for v in values]
        if any(v is not None and v == v for v in values):  # else the kind is a guess
            values = [NAN if v is None and kind == "number" else v for v in values]
            assert_column(frame, i, kind, values)
