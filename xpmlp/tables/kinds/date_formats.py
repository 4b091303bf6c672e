"""Dates by a format such as %d-%b-%Y: SQL of DuckDB that reads them.

The codes are those of Python's strptime. Names of months and weekdays may be short or long, in
seven languages and any case; after a format without hours a cell may have a time of day, with AM
or PM and a zone.
"""

import re
from functools import lru_cache
from itertools import zip_longest

from .clocks import (
    AFTER_DATE,
    AM_PM,
    BLANK,
    FRACTION,
    HOUR,
    SIXTY,
    TIME_FIELDS,
    ZONE,
    seconds_of_day,
    seconds_of_zone,
    taken_apart,
)

# In English, German, French, Spanish, Italian, Portuguese and Dutch.
MONTHS = (
    "january jan januar j\u00e4nner j\u00e4n janvier janv enero ene gennaio gen janeiro januari",
    "february feb februar f\u00e9vrier fevrier f\u00e9vr f\u00e9v febrero febbraio fevereiro fev "
    "februari",
    "march mar m\u00e4rz m\u00e4r mrz mars marzo mar\u00e7o maart mrt",
    "april apr avril avr abril abr aprile",
    "may mai mayo maggio mag maio mei",
    "june jun juni juin junio giugno giu junho",
    "july jul juli juillet juil julio luglio lug julho",
    "august aug ao\u00fbt aout agosto ago augustus",
    "september sept sep septembre septiembre settembre set setembro",
    "october oct oktober okt octobre octubre ottobre ott outubro out",
    "november nov novembre noviembre novembro",
    "december dec dezember dez d\u00e9cembre decembre d\u00e9c diciembre dic dicembre dezembro",
)
_WEEKDAYS = (
    "monday mon montag mo lundi lun lunes luned\u00ec segunda maandag ma "
    "tuesday tues tue dienstag di mardi martes marted\u00ec ter\u00e7a dinsdag "
    "wednesday wed mittwoch mi mercredi mer mi\u00e9rcoles mercoled\u00ec quarta woensdag wo "
    "thursday thurs thur thu donnerstag do jeudi jeu jueves gioved\u00ec quinta donderdag "
    "friday fri freitag fr vendredi ven viernes venerd\u00ec sexta vrijdag vr "
    "saturday sat samstag sa samedi sam s\u00e1bado sabato zaterdag za "
    "sunday sun sonntag so dimanche dim domingo domenica zondag zo"
)
_WIDTH = 12  # of the longest name of a month, between two blanks


def one_of(names: str) -> str:
    """Return the pattern of names, which may end in a point."""
    return rf"(?:{'|'.join(sorted(names.split(), key=len, reverse=True))})\.?"


def _month_number() -> str:
    """SQL: the number of the month that `s.name` is, 0 where it is none.

    It is its place in rows of twelve: as a pattern, these many names take three times as long.
    """
    columns = zip_longest(*(names.split() for names in MONTHS), fillvalue="")
    rows = "".join(f" {name}".ljust(_WIDTH) for row in columns for name in row)
    name = f"rpad(' ' || lower(s.name), {_WIDTH}, ' ')"
    return f"(((instr('{rows}', {name}) + {_WIDTH - 1}) // {_WIDTH} - 1) % 12 + 1)"


_MONTH, WEEKDAY = "([a-z\u00e0-\u00ff]{3,10})\\.?", one_of(_WEEKDAYS)
ORDINAL = "(?:st|nd|rd|th|er|\u00ba)"
_DAY = rf"(0?[1-9]|[12]\d|3[01]){ORDINAL}?"
# Of a code: the fields that it fills, and what stands for it in a cell.
_CODES = {
    "Y": (("year",), r"(\d{4})"),
    "y": (("short_year",), r"(\d\d)"),
    "m": (("month",), "(0?[1-9]|1[0-2])"),
    "d": (("day",), _DAY),
    "b": (("name",), _MONTH),
    "B": (("name",), _MONTH),
    "a": ((), WEEKDAY),
    "A": ((), WEEKDAY),
    "H": (("hour",), HOUR),
    "I": (("hour",), HOUR),
    "M": (("minute",), SIXTY),
    "S": (("second",), SIXTY),
    "f": (("fraction",), FRACTION),
    "p": (("half",), AM_PM),
    "z": (("zone",), ZONE),
    "Z": (("zone",), ZONE),
    "%": ((), "%"),
}
_YEARS, _MONTHS_OF = ("year", "short_year"), ("month", "name")
AT = "at|um|\u00e0"
BEFORE_TIME = rf"(?:T|,{BLANK}*|,?{BLANK}+(?:(?:{AT}|-){BLANK}+)?)"
_WITH_TIME = rf"(?:{BEFORE_TIME}{AFTER_DATE}(?:{BLANK}*{ZONE})?)?"
_PART = re.compile(rf"%-?(?P<code>.)|(?P<blank>{BLANK}+)|(?P<other>.)", re.DOTALL)


@lru_cache(1024)
def _parts(date_format: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the pattern of a format and the fields of its groups; None where it is no format."""
    pattern = ""
    fields: list[str] = []
    for part in _PART.finditer(date_format):
        if part["code"]:
            if part["code"] not in _CODES:
                return None
            more, piece = _CODES[part["code"]]
            fields += more
        elif part["blank"]:
            piece = f"{BLANK}+"
        else:
            piece = re.escape(part["other"])
        pattern += piece
    if re.search("%-?[YymdHIMS]%[YymdHIMS]", date_format):  # nothing between: two digits each
        pattern = pattern.replace("0?[1-9]", "0[1-9]").replace("[01]?", "[01]")
    n_years, n_months = (len({*fields} & {*either}) for either in (_YEARS, _MONTHS_OF))
    if len({*fields}) < len(fields) or n_years != 1 or n_months > 1:
        return None
    if "hour" not in fields:
        pattern, fields = pattern + _WITH_TIME, [*fields, *TIME_FIELDS, "zone"]
    return pattern, tuple(fields)


def is_format(date_format: str) -> bool:
    """Tell whether a date can be read by a format: it has a year, known codes, and none twice."""
    return _parts(date_format) is not None


def from_letters(text: str) -> str:
    """Return the format that letters mean which other programs have.

    Examples
    --------
    >>> from_letters("DD.MM.YYYY HH:mm"), from_letters("m/d/yy")
    ('%d.%m.%Y %H:%M', '%m/%d/%y')
    """
    codes = {"y": "%y", "yyyy": "%Y", "mmm": "%b", "mmmm": "%b", "m": "%m", "d": "%d", "h": "%H"}

    def code(match: re.Match[str]) -> str:
        letters = match[0].lower()
        if letters[0] == "m" and "h" in text[: match.start()].lower():
            return "%M"
        return codes.get(letters) or codes.get(letters[0]) or "%S"

    return re.sub("y{4}|yy|m{1,4}|d{1,2}|h{1,2}|ss", code, text, flags=re.IGNORECASE)


def moment(c: str, date_format: str) -> str:
    """SQL: a cell as a TIMESTAMP in UTC by a format, NULL where it is no such date."""
    pattern, fields = _parts(date_format) or ("", ())
    year, month, day = "s.year", "1", "1"
    if "short_year" in fields:  # as POSIX has it
        year = "CASE WHEN s.short_year < '69' THEN '20' ELSE '19' END || s.short_year"
    if "month" in fields:
        month = "s.month"
    if "name" in fields:
        month = _month_number()
    if "day" in fields:
        day = "s.day"
    date = f"TRY_CAST(concat({year}, '-', {month}, '-', {day}) AS TIMESTAMP)"
    if "hour" not in fields:
        return taken_apart(c, pattern, fields, date)
    seconds = seconds_of_day(fields)
    if "zone" in fields:
        seconds += f" - {seconds_of_zone()}"
    value = f"{date} + to_microseconds(round(({seconds}) * 1000000)::BIGINT)"
    if pattern.endswith(_WITH_TIME):  # 15 alone is no time
        some = "concat(s.minute, s.half) <> ''"
        value = f"CASE WHEN s.hour = '' THEN {date} WHEN {some} THEN {value} END"
    return taken_apart(c, pattern, fields, value)
