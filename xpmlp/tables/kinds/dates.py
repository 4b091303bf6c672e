"""Dates, times of day, durations and booleans in text: which kinds may read a column, and how.

A kind is one of

    date                2024-12-31, 2024-12-31 23:59:00, 2024-12-31T23:59:00.5+02:00
    date:FORMAT         by the codes of Python's strptime: %Y %y %m %d %b %a %H %I %M %S %f %p %z
    date:epoch          a number of seconds since 1970; epoch_ms, epoch_us, epoch_ns: parts of them
    time                15:57, 3:57:09.5 PM: a number of hours
    duration            26:15:00, 1 days 03:00:00, 1h 30m, PT1H30M: a number of seconds
    duration:%M:%S      likewise, but 75:30 is minutes and seconds
    boolean             true or false, t f, yes no, y n, on off, 1 0: the numbers 1 and 0

Dates become TIMESTAMP in UTC. In words, upper and lower case are the same.
"""

import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from ..common import Shape
from ..files.raw_table import literal
from .clocks import looks_like_time, time_of_day
from .date_formats import from_letters, is_format, moment
from .date_shapes import formats_of
from .durations import BY_MINUTES, duration, kinds_of_durations, looks_like_duration

# DuckDB's cast takes other names of zones for what they mean somewhere: BST is Bangladesh's.
ISO = (
    r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T]\d{1,2}:\d\d?(:\d\d?(\.\d+)?)?"
    r"(Z| ?(UTC|GMT|[A-Za-z]+/[A-Za-z_/]+)|[-+]\d\d(:?\d\d)?)?)?$"
)
EPOCHS = {"date:epoch": 1, "date:epoch_ms": 10**3, "date:epoch_us": 10**6, "date:epoch_ns": 10**9}
YEAR_1, YEAR_10000 = -62135596800, 253402300800  # in seconds since 1970
WORDS = (  # of true and of false; those of a row may stand in one column
    (("true", "t"), ("false", "f")),
    (("yes", "y"), ("no", "n")),
    (("on",), ("off",)),
)
TRUE = ("1", "1.0", *(word for true, _ in WORDS for word in true))
FALSE = ("0", "0.0", *(word for _, false in WORDS for word in false))
NEARLY_ALL = 0.9  # of a column's cells are words of a row: yes, no, maybe are three categories
EXAMPLE = datetime(2024, 12, 31, 15, 57, tzinfo=UTC)
EXPECTED = {
    "date": "a date such as 2024-12-31 or 2024-12-31 23:59:00",
    "time": "a time of day such as 15:57 or 3:57 PM",
    "duration": "a duration such as 26:15:00, 1 days 03:00:00 or 1h 30m",
    BY_MINUTES: "a duration such as 75:30 (minutes and seconds) or 1:15:30",
    "boolean": "true or false, yes or no, on or off",
}
# Numbers of day, month and year, which may stand in another order.
ORDER = re.compile(r"%([dmy])([^%]+)%([dmy])([^%]+)%([dmyY])")
ORDERS = (("dmy", "mdy", "ymd"), ("dmY", "mdY"))


def candidates(shapes: Sequence[Shape]) -> list[str]:
    """Return kinds that may read at least half of a column's cells, best first.

    Examples
    --------
    >>> candidates([Shape("9-Dec-9", 3, "06-Dec-2023", "24-Dec-2022")])
    ['date:%d-%b-%Y']
    """
    found: Counter[str] = Counter()
    durations = []
    for shape in shapes:
        cells = (shape.low, shape.high)
        kinds = [kind for cell in cells for kind in _dates_of(cell)]
        if any(map(looks_like_time, cells)):
            kinds.append("time")
        if any(map(looks_like_duration, cells)):
            durations.append(shape)
        found.update(dict.fromkeys(kinds, shape.n))
    examples = [cell for shape in durations for cell in (shape.low, shape.high)]
    n_durations = sum(shape.n for shape in durations)
    found.update(dict.fromkeys(kinds_of_durations(examples), n_durations))
    if _are_boolean(shapes):
        found["boolean"] = sum(shape.n for shape in shapes)
    half = sum(shape.n for shape in shapes) / 2
    return [kind for kind, n in found.most_common() if n >= half]


def _dates_of(cell: str) -> list[str]:
    """Return the kinds by which a cell is a date."""
    iso = ["date"] if re.fullmatch(ISO, cell) else []
    return iso + [f"date:{date_format}" for date_format in formats_of(cell)]


def _are_boolean(shapes: Sequence[Shape]) -> bool:
    """Tell whether cells are the words of one row; one letter alone, y, may be something else."""
    total = sum(shape.n for shape in shapes)
    for true, false in WORDS:
        known = {*true, *false, "1", "0"}
        n = sum(shape.n for shape in shapes if {shape.low.lower(), shape.high.lower()} <= known)
        seen = {shape.low.lower() for shape in shapes} & {*true, *false}
        if n >= NEARLY_ALL * total and sum(map(len, seen)) > 1:
            return True
    return False


def value(c: str, kind: str) -> str:
    """SQL: a cell of text that is not missing as TIMESTAMP or DOUBLE, NULL where it is none."""
    if kind == "boolean":
        words = f"WHEN {_among(c, TRUE)} THEN 1.0::DOUBLE WHEN {_among(c, FALSE)} THEN 0.0"
        return f"CASE {words} END"
    if kind == "time":
        return time_of_day(c)
    if kind.startswith("duration"):
        return duration(c, kind)
    if kind == "date":  # an offset such as +02:00 is heeded
        cast = f"make_timestamp(epoch_us(TRY_CAST({c} AS TIMESTAMPTZ)))"
        return f"CASE WHEN regexp_matches({c}, {literal(ISO)}) THEN {cast} END"
    if kind in EPOCHS:
        seconds = f"(TRY_CAST({c} AS DOUBLE) / {EPOCHS[kind]})"
        fits = f"{seconds} >= {YEAR_1} AND {seconds} < {YEAR_10000}"
        return f"CASE WHEN {fits} THEN make_timestamp(round({seconds} * 1000000)::BIGINT) END"
    return moment(c, kind.removeprefix("date:"))


def _among(c: str, words: Sequence[str]) -> str:
    return f"lower({c}) IN ({', '.join(map(literal, words))})"


def expected(kind: str) -> str:
    """Return in words what a cell of a kind should have been."""
    if kind in EXPECTED:
        return EXPECTED[kind]
    if kind in EPOCHS:
        return f"a number such as {1704067200 * EPOCHS[kind]}, which is 2024-01-01, as {kind}"
    date_format = kind.removeprefix("date:")
    return f"a date such as {date_format} ({EXAMPLE:{date_format}})"


def parsed(kind: str) -> bool:
    """Tell whether a kind is one of this module's."""
    base, _, date_format = kind.partition(":")
    return kind in EXPECTED or kind in EPOCHS or (base == "date" and is_format(date_format))


def wanted(kind: str) -> str:
    """Return what kind of date a user may name, where `parsed` does not know this one."""
    meant = from_letters(kind.partition(":")[2])
    near = "."
    if "%" not in kind and is_format(meant):
        near = f": did you mean date:{meant}?"
    return (
        "expected date, date:epoch (seconds since 1970; also epoch_ms, epoch_us, epoch_ns), or "
        "date:FORMAT with a year, by strptime's codes %Y %y %m %d %b %a %H %I %M %S %f %p %z, each "
        f"once: date:%d/%m/%Y{near}"
    )


def rivals(kind: str) -> list[str]:
    """Return kinds that may read the same cells as other values: %m/%d/%Y beside %d/%m/%Y.

    A column is ambiguous where `candidates` gave both, and both read all its cells.
    """
    if kind in ("duration", BY_MINUTES):
        return [other for other in ("duration", BY_MINUTES) if other != kind]
    match = ORDER.search(kind)
    if not match:
        return []
    codes = "".join(match.group(1, 3, 5))
    orders = next((orders for orders in ORDERS if codes in orders), ())
    return [ORDER.sub(r"%{}\2%{}\4%{}".format(*order), kind) for order in orders if order != codes]


def order(kind: str) -> str:
    """Return the order of a date's numbers, dmy, mdy or ymd; "" where nobody could mistake it.

    Columns of a file have the same: one that is clear settles others.
    """
    if kind == BY_MINUTES:
        return "ms"
    match = ORDER.search(kind)
    return "".join(match.group(1, 3, 5)).lower() if match and rivals(kind) else ""
