"""Durations in text: SQL of DuckDB that reads them in seconds, and which cells are such."""

import re
from collections.abc import Iterable

from .clocks import BLANK, taken_apart

UNITS = {  # in seconds
    "w": (604800, "weeks?|wks?|w"),
    "d": (86400, "days?|d"),
    "h": (3600, "hours?|hrs?|h"),
    "m": (60, "minutes?|mins?|m"),
    "s": (1, "seconds?|secs?|s"),
    "ms": (0.001, "milliseconds?|msecs?|ms"),
}
BY_MINUTES = "duration:%M:%S"  # 75:30 is minutes and seconds; 1:15:30 begins with hours
_NUMBER, _SIGN = r"(\d+(?:\.\d+)?)", "([-+]?)"
_UNIT = rf"(?:{_NUMBER}{BLANK}*(?:{{}}),?{BLANK}*(?:and{BLANK}+)?)?"
_IN_UNITS = _SIGN + "".join(_UNIT.format(words) for _, words in UNITS.values())
_IN_ISO = _SIGN + "P{}{}(?:T{}{}{})?".format(*(f"(?:{_NUMBER}{unit})?" for unit in "WDHMS"))
_BY_H = rf"{_SIGN}(\d+){BLANK}?h{BLANK}?([0-5]\d)"  # 1h30
# 26:15:00, 1 days 03:00:00, 1 day, 3:00:00, 1.03:00:00 as .NET has it, 1-03:00:00 as Slurm
_DAYS = rf"(?:(\d+)(?:{BLANK}*d(?:ays?)?\b(,?{BLANK}*[-+]?)|{BLANK}|\.|-))?"
_BY_COLONS = rf"{_SIGN}{_DAYS}(\d+):([0-5]\d)(?::([0-5]\d(?:[.,]\d+)?))?"
_MINUTES = rf"{_SIGN}(\d+):([0-5]\d[.,]\d+)"  # 1:23.456
_BY_ONE_COLON = rf"{_SIGN}(\d+):([0-5]\d(?:[.,]\d+)?)"
_ANY = re.compile("|".join((_BY_COLONS, _MINUTES, _BY_H, _IN_UNITS, _IN_ISO)), re.IGNORECASE)
# A number with a unit that may be another, too: 5 m.
_LETTERED = re.compile(rf"[-+]?[\d.]+{BLANK}*({'|'.join(UNITS)})", re.IGNORECASE)


def duration(c: str, kind: str = "duration") -> str:
    """SQL: a cell such as 26:15:00, 1 days 03:00:00, 1h 30m or PT1H30M in seconds."""
    # Python and pandas write minus ten minutes as -1 day, 23:50:00 and -1 days +23:50:00.
    own_sign = "WHEN s.own_sign LIKE '%-%' THEN -1 WHEN regexp_matches(s.own_sign, '[,+]') THEN 1"
    clock = f"CASE {own_sign} WHEN s.sign = '-' THEN -1 ELSE 1 END * ({_sum('hms')})"
    ways = [
        taken_apart(c, _BY_COLONS, ("sign", "d", "own_sign", *"hms"), f"{_signed('d')} + {clock}"),
        taken_apart(c, _MINUTES, ("sign", *"ms"), _signed("ms")),
        taken_apart(c, _BY_H, ("sign", *"hm"), _signed("hm")),
        taken_apart(c, _IN_UNITS, ("sign", *UNITS), _if_any(UNITS)),
        taken_apart(c, _IN_ISO, ("sign", *"wdhms"), _if_any("wdhms")),
    ]
    if kind == BY_MINUTES:
        ways.insert(0, taken_apart(c, _BY_ONE_COLON, ("sign", *"ms"), _signed("ms")))
    return f"coalesce({', '.join(ways)})"


def _sum(units: Iterable[str]) -> str:
    number = "concat('0', replace(s.{}, ',', '.'))::DOUBLE"
    return " + ".join(f"{number.format(unit)} * {UNITS[unit][0]}" for unit in units)


def _signed(units: Iterable[str]) -> str:
    return f"CASE WHEN s.sign = '-' THEN -1 ELSE 1 END * ({_sum(units)})"


def _if_any(units: Iterable[str]) -> str:
    """SQL: the sum of parts that may all be absent, in text such as - or PT."""
    parts = ", ".join(f"s.{unit}" for unit in units)
    return f"CASE WHEN concat({parts}) <> '' THEN {_signed(units)} END"


def kinds_of_durations(cells: Iterable[str]) -> list[str]:
    """Return the kinds by which cells that look like durations may be read, best first.

    Where all have the same letter, it may be another unit (5 m): they are left to the numbers.
    """
    marks = {re.sub(r"[^:.,]", "", cell.replace(",", ".")) for cell in cells}
    if {":", ":."} <= marks:  # 1:23 beside 1:23.4
        return [BY_MINUTES]
    if {":", "::"} <= marks:
        return ["duration", BY_MINUTES]
    matches = [_LETTERED.fullmatch(cell) for cell in cells]
    letters = {match and match[1].lower() for match in matches}
    return [] if len(letters) == 1 and all(letters) else ["duration"]


def looks_like_duration(cell: str) -> bool:
    """Tell whether a cell may be a duration."""
    return any(map(str.isdigit, cell)) and _ANY.fullmatch(cell) is not None
