"""Dates, times, durations and booleans as people write them, read by DuckDB."""

from datetime import UTC, datetime, timedelta, timezone
from math import isclose

import duckdb
import pytest
from each import each

from xpmlp.tables.common import Shape
from xpmlp.tables.kinds.dates import (
    TRUE,
    candidates,
    expected,
    order,
    parsed,
    rivals,
    value,
    wanted,
)

MOMENTS = [
    datetime(1999, 12, 31, 23, 59, 58),
    datetime(2000, 2, 29, 0, 0, 1),
    datetime(2023, 9, 6, 12, 30),
    datetime(2024, 5, 1, 3, 57, 9),
    datetime(2068, 6, 15, 15, 4, 5),
]


@pytest.fixture(scope="module", name="read")
def read_fixture():
    """What DuckDB makes of cells of a kind."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")

        def read(kind, cells):
            rows = connection.execute(
                f"SELECT {value('c', kind)} FROM (SELECT unnest(?) AS c)", [[*cells]]
            ).fetchall()
            return [row[0] for row in rows]

        yield read


def shapes_of(cells):
    """Each cell alone as a shape."""
    return [Shape("", 1, cell, cell) for cell in cells]


def first_kind(cells):
    """The first of the kinds that a column may be, None where there is none."""
    return next(iter(candidates(shapes_of(cells))), None)


# --- dates

# The kind of a column that is written by a format of Python's strftime; "date" without its time.
WRITTEN = {
    "%Y-%m-%d": "date",
    "%Y/%m/%d": "date",
    "%Y-%m-%dT%H:%M:%SZ": "date",
    "%Y-%m-%d %H:%M:%S": "date",
    "%Y-%m-%d %I:%M:%S %p": "date:%Y-%m-%d",
    "%Y-%m-%d at %H:%M:%S": "date:%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S,000": "date:%Y-%m-%d",
    "%Y.%m.%d %H:%M:%S": "date:%Y.%m.%d",
    "%Y:%m:%d %H:%M:%S": "date:%Y:%m:%d",  # cameras
    "%Y%m%dT%H%M%SZ": "date:%Y%m%dT%H%M%S%z",
    "%d.%m.%Y": "date:%d.%m.%Y",
    "%d.%m.%Y %H:%M:%S Uhr": "date:%d.%m.%Y %H:%M:%S Uhr",
    "%d/%m/%Y %H:%M:%S": "date:%d/%m/%Y",
    "%d/%m/%Y - %H:%M:%S": "date:%d/%m/%Y",
    "%d.%m.%Y %H.%M.%S": "date:%d.%m.%Y",
    "%d/%m/%Y %Hh%M": "date:%d/%m/%Y",
    "%d/%m/%Y \u00e0 %Hh%M": "date:%d/%m/%Y",
    "%d.%m.%Y um %H:%M Uhr": "date:%d.%m.%Y um %H:%M Uhr",
    "%d-%b-%y %I.%M.%S.000000 %p": "date:%d-%b-%y",  # Oracle
    "%d/%m/%Y (%a)": "date:%d/%m/%Y (%a)",
    "[%d/%b/%Y:%H:%M:%S +0000]": "date:[%d/%b/%Y:%H:%M:%S %z]",
    "%H:%M:%S %d/%m/%Y": "date:%H:%M:%S %d/%m/%Y",
    "%d-%m-%y": "date:%d-%m-%y",
    "%d-%b-%Y": "date:%d-%b-%Y",
    "%d-%b-%y %H:%M:%S": "date:%d-%b-%y",
    "%d %B %Y": "date:%d %b %Y",
    "%d %b, %Y %I:%M:%S %p": "date:%d %b, %Y",
    "%dth of %B %Y": "date:%d of %b %Y",
    "%b %d, %Y": "date:%b %d, %Y",
    "%B %d %Y, %I:%M:%S%p": "date:%b %d %Y",
    "%b %d, %Y, %I:%M:%S\u202f%p": "date:%b %d, %Y",  # JavaScript
    "%A, %B %d, %Y": "date:%a, %b %d, %Y",
    "%a, %d %b %Y %H:%M:%S GMT": "date:%a, %d %b %Y",  # RFC 2822
    "%a %b %d %H:%M:%S %Y": "date:%a %b %d %H:%M:%S %Y",  # ctime
    "%a %b %d %H:%M:%S UTC %Y": "date:%a %b %d %H:%M:%S %z %Y",  # Unix
    "%a %b %d %Y %H:%M:%S GMT+0000 (Greenwich Mean Time)": "date:%a %b %d %Y",  # JavaScript
    "%d/%b/%Y:%H:%M:%S +0000": "date:%d/%b/%Y:%H:%M:%S %z",  # Apache
    "%d%b%Y:%H:%M:%S": "date:%d%b%Y:%H:%M:%S",  # SAS
    "%Y\u5e74%m\u6708%d\u65e5": "date:%Y\u5e74%m\u6708%d\u65e5",
    "Week of %Y-%m-%d": "date:Week of %Y-%m-%d",
    "%Y-%m-%d %H:%M:%S IST": "date:%Y-%m-%d %H:%M:%S IST",
    "%b %Y": "date:%b %Y",
    "%b-%y": "date:%b-%y",
    "%b '%y": "date:%b '%y",
    "%Y-%m": "date:%Y-%m",
    "%m/%Y": "date:%m/%Y",
}


@each("written, kind", WRITTEN.items(), ids=WRITTEN, parts=6)
def test_dates_are_found_and_read_as_python_reads_them(read, written, kind):
    cells = [moment.strftime(written) for moment in MOMENTS]
    wanted = [datetime.strptime(cell, written) for cell in cells]
    assert parsed(kind) and first_kind(cells) == kind and read(kind, cells) == wanted
    if kind != "date":
        assert read(kind, map(str.upper, cells)) == read(kind, map(str.lower, cells)) == wanted


@each(
    "kind, cell, wanted",
    [
        ("date", "2024-05-01T10:00:00+02:00", datetime(2024, 5, 1, 8)),
        ("date:%Y-%m-%d", "2024-05-01T10:00+02:00[Europe/Paris]", datetime(2024, 5, 1, 8)),
        ("date:%d %b %Y", "1 May 2024 10:00 EST", datetime(2024, 5, 1, 15)),
        ("date:%d %b %Y", "1 May 2024 10:00 (CEST)", datetime(2024, 5, 1, 8)),
        ("date:%d %b %Y", "1 May 2024 10:00 -0330", datetime(2024, 5, 1, 13, 30)),
        ("date:%d %b %Y", "1 May 2024 10:00 -0030", datetime(2024, 5, 1, 10, 30)),
        ("date:%d %b %Y", "1 May 2024 10:00 GMT+2", datetime(2024, 5, 1, 8)),
        ("date:%d %b %Y", "1 May 2024 10:00 BST", datetime(2024, 5, 1, 9)),
        ("date:%d %b %Y", "1 May 2024 10:00 IST", None),  # India's, Israel's or Ireland's
        ("date", "2024-05-01 10:00 BST", None),
        ("date:%b %d, %Y", "Sept. 3rd, 2024 12:05 a.m.", datetime(2024, 9, 3, 0, 5)),
        ("date:%b %d, %Y", "Sep 3, 2024 3pm", datetime(2024, 9, 3, 15)),
        ("date:%b %d, %Y", "Sep 3, 2024 13:00 PM", None),
        ("date:%b %d, %Y", "Sep 3, 2024 15", None),
        ("date:%d.%m.%Y", "31.02.2024", None),
        ("date:%d.%m.%Y", "29.2.2024", datetime(2024, 2, 29)),
        ("date:%d.%m.%Y", "29.2.2023", None),
        ("date:%d.%m.%Y", "1.2.24", None),
        ("date:%d.%m.%y", "1.2.2024", None),
        ("date:%Y%m%d", "20241101", datetime(2024, 11, 1)),
        ("date:%Y%m%d", "2024111", None),
        ("date:%d-%m-%y %Hh", "31-12-24 10h", datetime(2024, 12, 31, 10)),
        ("date:%Y", "2024", datetime(2024, 1, 1)),
        ("date:%d.%m.%Y", "1.2.2024 15.57", datetime(2024, 2, 1, 15, 57)),
        ("date:100%% %Y", "100% 2024", datetime(2024, 1, 1)),
        ("date:%d.%m.%Y", "1.2.2024 x", None),
        ("date:epoch", "1714521600.5", datetime(2024, 5, 1, 0, 0, 0, 500000)),
        ("date:epoch", "-1", datetime(1969, 12, 31, 23, 59, 59)),
        ("date:epoch_ms", "1714521600123", datetime(2024, 5, 1, 0, 0, 0, 123000)),
        ("date:epoch_us", "1714521600000001", datetime(2024, 5, 1, 0, 0, 0, 1)),
        ("date:epoch_ns", "1714521600000000000", datetime(2024, 5, 1)),
        ("date:epoch", "1714521600000", None),  # milliseconds
        ("date:epoch", "nan", None),
        ("date:epoch", "x", None),
    ],
)
def test_a_date_is_what_it_says_in_utc_or_none(read, kind, cell, wanted):
    assert read(kind, [cell]) == [wanted]


@each("hours", range(-12, 15))
def test_offsets_are_heeded_as_python_heeds_them(read, hours):
    zone = timezone(timedelta(hours=hours, minutes=30))
    moments = [moment.replace(tzinfo=zone) for moment in MOMENTS]
    cells = [moment.strftime("%d/%b/%Y:%H:%M:%S %z") for moment in moments]
    wanted = [moment.astimezone(UTC).replace(tzinfo=None) for moment in moments]
    assert read("date:%d/%b/%Y:%H:%M:%S %z", cells) == wanted


@each(
    "cell",
    "1.2.3 10.1.2.3 555-12-34 123-45-6789 2024 May 12:60 AB-12-05-2024 12/24 10x20x2024 A1 "
    "1/2/3/2024 2024-W05 06-12-24-12 2009/10 1999-00".split()
    + ["12 05 24", "Room 12", "5 m", "100%", "Dec 23", "06 12 24 12", "may be", "Sun", "5 stars"],
)
def test_other_text_is_no_date(cell):
    assert candidates(shapes_of([cell])) == []


def test_a_long_text_is_no_date_at_once():
    text = f"It took 3 days, and {'x' * 60} 1 hour 9"  # in 2**60 ways
    assert candidates(shapes_of([text])) == []


@each(
    "cells",
    [
        "1. Januar 2024, 2. M\u00e4rz 2024, 3. Dezember 2024",
        "1er janvier 2024, 2 mars 2024, 3 d\u00e9cembre 2024",
        "1 janv. 2024, 2 mars 2024, 3 d\u00c9C. 2024",
        "1 de enero de 2024, 2 de marzo de 2024, 3 de diciembre de 2024",
        "1 gennaio 2024, 2 marzo 2024, 3 dicembre 2024",
        "1 de janeiro de 2024, 2 de mar\u00e7o de 2024, 3 de dezembro de 2024",
        "1 januari 2024, 2 maart 2024, 3 december 2024",
        "Montag 1. Jan. 2024, Samstag 2. Mrz 2024, Dienstag 3. Dez. 2024",
    ],
)
def test_months_have_names_in_seven_languages(read, cells):
    cells = cells.split(", ")
    assert read(first_kind(cells), cells) == [
        datetime(2024, m, d) for m, d in [(1, 1), (3, 2), (12, 3)]
    ]


def test_a_name_that_is_no_month_is_none(read):
    assert read("date:%d %b %Y", ["1 Marble 2024", "1 Foo 2024", "1 May 2024", "1 m 2024"]) == [
        None,
        None,
        datetime(2024, 5, 1),
        None,
    ]


def test_days_and_months_that_may_be_either_are_rivals():
    day_first, month_first = "date:%d/%m/%Y", "date:%m/%d/%Y"
    assert candidates(shapes_of(["01/02/2024"])) == [day_first, month_first]
    assert rivals(day_first) == [month_first] and rivals(month_first) == [day_first]
    assert rivals("date:%H:%M %d-%m-%y") == ["date:%H:%M %m-%d-%y", "date:%H:%M %y-%m-%d"]
    assert order("date:%H:%M %d-%m-%y") == order(day_first) == "dmy" != order(month_first)
    for kind in ("date", "date:%Y/%m/%d", "date:%d-%b-%y", "date:epoch", "time", "boolean"):
        assert rivals(kind) == [] and order(kind) == ""


# --- times of day and durations


@each(
    "cell, hours",
    [
        ("15:57", 15.95),
        ("3:57 PM", 15.95),
        ("03:57:09.5", 3 + 57 / 60 + 9.5 / 3600),
        ("12:00 AM", 0),
        ("12:30 p.m.", 12.5),
        ("3:30 p.\u00a0m.", 15.5),
        ("15h57", 15.95),
        ("3pm", 15),
        ("24:00", None),
        ("13:00 PM", None),
        ("15", None),
        ("1:5", None),
    ],
)
def test_a_time_of_day_is_hours(read, cell, hours):
    assert read("time", [cell]) == [pytest.approx(hours)]
    assert (first_kind([cell]) == "time") == (hours is not None or cell == "13:00 PM")


DURATIONS = {
    "26:15:00": timedelta(hours=26, minutes=15),
    "1:23.456": timedelta(minutes=1, seconds=23.456),
    "75:30": timedelta(hours=75, minutes=30),
    "-00:10:00": -timedelta(minutes=10),
    "1 days 03:00:00": timedelta(days=1, hours=3),
    "2 days, 0:00:01.5": timedelta(days=2, seconds=1.5),
    "-1 days +23:50:00": -timedelta(minutes=10),
    "-1 day, 23:50:00": -timedelta(minutes=10),
    "-0 days 00:10:00": -timedelta(minutes=10),
    "-1 days -03:00:00": -timedelta(days=1, hours=3),
    "1.03:00:00": timedelta(days=1, hours=3),
    "1-03:00:00": timedelta(days=1, hours=3),
    "1h 30m": timedelta(minutes=90),
    "90 min": timedelta(minutes=90),
    "1.5 hours": timedelta(minutes=90),
    "2 hours and 5 minutes": timedelta(minutes=125),
    "3 weeks, 2 days": timedelta(days=23),
    "1m 250ms": timedelta(seconds=60.25),
    "PT1H30M": timedelta(minutes=90),
    "P1DT2.5S": timedelta(days=1, seconds=2.5),
    "-PT5M": -timedelta(minutes=5),
}


@each("cell, wanted", DURATIONS.items(), ids=DURATIONS, parts=3)
def test_a_duration_is_seconds(read, cell, wanted):
    assert first_kind([cell]) == "duration"
    assert isclose(read("duration", [cell])[0], wanted.total_seconds())


@each("cell", ["5", "-", "P", "PT", "P1Y", "P2M", "1:60:00", "1 month", "m", "5 apples"])
def test_other_text_is_no_duration(read, cell):
    assert candidates(shapes_of([cell])) == [] and read("duration", [cell]) == [None]


def test_times_of_day_come_before_durations_and_hours_before_minutes_unless_both_are_there():
    assert candidates(shapes_of(["10:00", "09:30"])) == ["time", "duration"]
    assert candidates(shapes_of(["26:00:00", "09:30:00"])) == ["duration", "time"]
    both = ["duration", "duration:%M:%S"]
    assert candidates(shapes_of(["59:30", "1:02:03", "75:10"])) == both
    assert rivals(both[0]) == both[1:] and rivals(both[1]) == both[:1]
    assert order(both[0]) != order(both[1])
    assert candidates(shapes_of(["59:30", "1:02.3"])) == both[1:]


def test_minutes_and_seconds_are_read_where_the_kind_says_so(read):
    assert read("duration:%M:%S", ["59:30", "1:02:03", "2 h"]) == [3570, 3723, 7200]


@each("letter", "wdhms")
def test_numbers_with_one_letter_are_left_to_units(letter):
    assert candidates(shapes_of([f"5{letter}", f"10 {letter}"])) == []
    assert candidates(shapes_of([f"5{letter}", "10 hours"])) == ["duration"]


# --- booleans


@each(
    "words",
    ["false true", "F T", "no Yes", "n y", "off ON", "0 true FALSE 1 f t", "yes yes", "n No 0 y"],
)
def test_the_words_of_one_pair_are_booleans(read, words):
    cells = words.split()
    assert first_kind(cells) == "boolean"
    assert read("boolean", cells) == [cell.lower() in TRUE for cell in cells]


@each("words", ["y", "T", "yes off", "yes no maybe", "1 0", "M F", "n s e w", "true 2"])
def test_other_words_are_no_booleans(words):
    assert "boolean" not in candidates(shapes_of(words.split()))


def test_a_boolean_by_the_user_takes_any_of_the_words(read):
    cells = ["yes", "True", "1", "off", "n", "0.0", "maybe", "2"]
    assert read("boolean", cells) == [1, 1, 1, 0, 0, 0, None, None]


# --- words for messages, and what a user may say


@each(
    "kind, words",
    [
        ("date", "a date such as 2024-12-31"),
        ("date:%d.%m.%Y", r"a date such as %d.%m.%Y \(31.12.2024\)"),
        ("date:epoch_ms", "1704067200000, which is 2024-01-01"),
        ("time", "15:57"),
        ("duration", "1h 30m"),
        ("duration:%M:%S", "75:30"),
        ("boolean", "true or false"),
    ],
)
def test_a_kind_is_told_by_an_example(kind, words):
    assert words.replace("\\", "") in expected(kind)


@each(
    "kind",
    "date: date:x date:%d/%m date:%Q date:%Y%Y date:%Y%y date:%m%b%Y date:epoch_s dates "
    "time:%H duration:%S boolean:yes".split(),
)
def test_a_kind_that_says_no_date_is_refused(kind):
    assert not parsed(kind) and wanted(kind).endswith("date:%d/%m/%Y.")


@each(
    "letters, kind",
    [
        ("DD/MM/YYYY", "date:%d/%m/%Y"),
        ("yyyy-MM-dd HH:mm:ss", "date:%Y-%m-%d %H:%M:%S"),
        ("d.m.yy", "date:%d.%m.%y"),
        ("dd-mmm-yyyy", "date:%d-%b-%Y"),
    ],
)
def test_letters_of_other_programs_are_told_as_codes(letters, kind):
    assert wanted(f"date:{letters}").endswith(f": did you mean {kind}?") and parsed(kind)
