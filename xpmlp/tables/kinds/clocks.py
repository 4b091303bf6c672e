"""Times of day in text: SQL of DuckDB that reads them, alone or behind a date, with their zones.

A regular expression takes a cell apart once. Its groups are hour, minute, second, fraction (the
decimals of a second), half (the first letter of AM or PM), and zone: a name, an offset or both.
"""

import re
from collections.abc import Sequence

from ..files.raw_table import literal

BLANK = "[\\s\u00a0\u2007\u2009\u202f]"  # JavaScript writes the last one before AM
# Hours from UTC of the zones of RFC 822, and of names that mean one zone wherever they are written.
_HOURS = {
    -10: "HST",
    -9: "AKST",
    -8: "PST AKDT",
    -7: "PDT MST",
    -6: "MDT CST",
    -5: "CDT EST",
    -4: "EDT",
    0: "UTC GMT UT Z WET",
    1: "BST WEST CET MEZ",
    2: "CEST MESZ EET",
    3: "EEST MSK",
    9: "JST",
    10: "AEST",
    11: "AEDT",
    12: "NZST",
    13: "NZDT",
}
ZONES = {name: hours for hours, names in _HOURS.items() for name in names.split()}
# Z, CET, (UTC), +02:00, GMT+0200 (Central European Standard Time), +02:00[Europe/Berlin]
ZONE = (
    rf"\(?((?:(?:{'|'.join(ZONES)})\b)?(?:[+-]\d{{1,2}}(?::?\d\d)?)?)\)?"
    rf"(?:{BLANK}\([^()]*\)|\[[^\[\]]*\])?"
)
HOUR, SIXTY, FRACTION = r"([01]?\d|2[0-3])", r"([0-5]\d)", r"(\d{1,9})"
AM_PM = rf"([ap])\.?{BLANK}?m\b\.?"
TIME_FIELDS = ("hour", "minute", "second", "fraction", "half")


def _time(mark: str) -> str:
    """Return the pattern of a time of day; mark: a pattern of what stands between its numbers."""
    seconds = rf"(?:{mark}{SIXTY}(?:[.,]{FRACTION})?)?"
    return rf"{HOUR}(?:{mark}{SIXTY}{seconds})?(?:{BLANK}*{AM_PM})?"


TIME = _time("[:h]")  # 15:57, 15h57
AFTER_DATE = _time("[:h.]")  # 15.57 too, which alone is a number


def taken_apart(c: str, pattern: str, fields: Sequence[str], value: str) -> str:
    """SQL: a value made of the groups `s.FIELD` of a cell; NULL where the pattern does not fit."""
    pattern, names = literal(f"^(?i:{pattern})$"), ", ".join(map(literal, fields))
    # A list of one gives the groups a name: else each mention of one would be another search.
    found = f"[{value} FOR s IN [regexp_extract({c}, {pattern}, [{names}])]][1]"
    return f"CASE WHEN regexp_matches({c}, {pattern}) THEN {found} END"


def number(field: str) -> str:
    """SQL: a group of digits as a number, 0 where it is empty."""
    return f"concat('0', s.{field})::DOUBLE"


def seconds_of_day(fields: Sequence[str]) -> str:
    """SQL: seconds since midnight, of those fields that a format has; NULL for 13 PM."""
    given = {field: number(field) for field in fields}
    hour = given.get("hour", "0")
    if "half" in given:
        in_half = f"{hour} % 12 + CASE WHEN lower(s.half) = 'p' THEN 12 ELSE 0 END"
        hour = f"CASE WHEN s.half = '' THEN {hour} WHEN {hour} <= 12 THEN {in_half} END"
    seconds = f"({hour}) * 3600 + {given.get('minute', '0')} * 60 + {given.get('second', '0')}"
    if "fraction" in given:
        seconds += " + concat('0.', s.fraction, '0')::DOUBLE"
    return f"({seconds})"


def seconds_of_zone() -> str:
    """SQL: seconds by which the clocks of a zone are ahead of UTC."""
    names = "".join(name.ljust(5) for name in ZONES)
    place = f"(instr('{names}', rpad(regexp_extract(upper(s.zone), '[A-Z]*'), 5, ' ')) + 4) // 5"
    hours = f"coalesce({[*ZONES.values()]}[{place}], 0)"
    offset = r"regexp_extract(s.zone, '[+-](\d{{1,2}}?)(?::?(\d\d))?$', {})"
    parts = [f"concat('0', {offset.format(group)})::DOUBLE" for group in (1, 2)]
    sign = "CASE WHEN s.zone LIKE '%-%' THEN -1 ELSE 1 END"
    ahead = f"{hours} * 3600 + {sign} * ({parts[0]} * 3600 + {parts[1]} * 60)"
    return f"CASE WHEN s.zone IN ('', 'Z', 'UTC', 'GMT') THEN 0 ELSE {ahead} END"


def time_of_day(c: str) -> str:
    """SQL: a cell such as 15:57 or 3:57:09.5 PM in hours."""
    hours = f"{seconds_of_day(TIME_FIELDS)} / 3600"
    value = f"CASE WHEN concat(s.minute, s.half) <> '' THEN {hours} END"  # 15 alone is no time
    return taken_apart(c, TIME, TIME_FIELDS, value)


def looks_like_time(cell: str) -> bool:
    """Tell whether a cell may be a time of day."""
    match = re.fullmatch(TIME, cell, re.IGNORECASE)
    return match is not None and bool(match[2] or match[5])
