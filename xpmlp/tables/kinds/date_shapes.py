"""Shapes of dates: in which formats a cell may be written."""

import re
from functools import cache

from .clocks import BLANK, TIME, ZONE
from .date_formats import AT, BEFORE_TIME, MONTHS, ORDINAL, WEEKDAY, one_of

# Not the month and day of 2024:05:01, as cameras write it.
_TIME = re.compile(rf"(?<!\d)(?<!^\d\d\d\d:){TIME}({BLANK}*{ZONE})(?!\d)", re.IGNORECASE)
# A time such as 15.57 behind a date; elsewhere that is a day and month.
_DOTTED = re.compile(
    rf"(?<=\d)(?<!:\d\d)({BEFORE_TIME}\d\d?)\.(\d\d)(?:\.(\d\d)(\.\d{{3,}})?)?(?!\.?\d)",
    re.IGNORECASE,
)
_NAMES = (
    (re.compile(rf"{BLANK}+"), " "),
    (re.compile(rf"(?<![^\W\d_]){one_of(' '.join(MONTHS))}(?![^\W\d_])", re.IGNORECASE), "%b"),
    (re.compile(rf"(?<![^\W\d_]){WEEKDAY}(?![^\W\d_])", re.IGNORECASE), "%a"),
    (re.compile(rf"(?<=\d){ORDINAL}(?!\w)", re.IGNORECASE), ""),
)
# Orders of numbers that a date may have: of four digits (Y), two or one; with a month's name (b).
_ORDERS = {
    "b[12]Y": ("dY",),
    "bY[12]": ("Yd",),
    "b[12]2": ("dy",),
    "bY": ("Y",),
    "b2": ("y",),
    "[12][12]Y": ("dmY", "mdY"),
    "Y[12][12]": ("Ymd",),
    "2[12]2": ("dmy", "mdy", "ymd"),
    "1[12]2": ("dmy", "mdy"),
    "Y[12]": ("Ym",),
    "[12]Y": ("mY",),
}
_BETWEEN = (
    f"(?:[-/.:, ()]{{0,3}}|['\u2019]| ['\u2019]| of | de | (?:{AT}) |T|"
    "[\u5e74\u6708\u65e5\ub144\uc6d4\uc77c] ?)"
)
_DATE = re.compile(rf"(?:%[abdmYyt]{_BETWEEN})+[\u65e5\uc77c]?")
_WORDS = r"(?:[^\W\d_](?:[^\W\d_]|[ :,.])*)?"  # which a long text tries in one way only
_WORDED = re.compile(rf"[\[(\"']?{_WORDS}{_DATE.pattern}{_WORDS}[\])\"']?")


@cache
def _orders(shape: str) -> tuple[str, ...]:
    """Return the orders of numbers of these lengths, such as dmY and mdY of "12Y"."""
    return next((orders for key, orders in _ORDERS.items() if re.fullmatch(key, shape)), ())


def formats_of(cell: str) -> list[str]:
    """Return the formats in which a cell is a date; without the time of day where it is last.

    Examples
    --------
    >>> formats_of("Mon, 06 Dec 2023 15:57:09 GMT"), formats_of("1/2/2024 3 pm")
    (['%a, %d %b %Y'], ['%d/%m/%Y', '%m/%d/%Y'])
    """
    if "%" in cell or not any(map(str.isdigit, cell)):
        return []
    basic = re.fullmatch(r"\d{8}T\d{6}(Z?|[+-]\d{4})", cell)
    if basic:
        return ["%Y%m%dT%H%M%S" + "%z" * bool(basic[1])]
    cell = _DOTTED.sub(
        lambda match: ":".join(filter(None, match.groups()[:3])) + (match[4] or ""), cell
    )
    times: list[str] = []
    text = _TIME.sub(lambda match: _noted(match, times), cell)
    for name, code in _NAMES:
        text = name.sub(code, text)
    numbers = re.findall(r"\d+", text)
    lengths = {4: "Y", 2: "2", 1: "1"}
    shape = "b" * text.count("%b") + "".join(lengths.get(len(n), "?") for n in numbers)
    if shape == "Y2" and (int(numbers[0]) + 1) % 100 == int(numbers[1]):  # a season: 2023/24
        return []
    made = [_with_codes(text, order) for order in _orders(shape)]
    return [_timed(date, times) for date in made if _is_sound(date) and len(times) < 2]


def _with_codes(text: str, order: str) -> str:
    """Return a text whose numbers are replaced by codes."""
    codes = iter(order)
    return re.sub(r"\d+", lambda _: "%" + next(codes), text)


def _noted(match: re.Match[str], times: list[str]) -> str:
    """Return %t for a time of day, whose format is kept in `times`; other numbers as they are."""
    _, minute, second, fraction, half, zone = match.groups()[:6]
    if not (minute or half):
        return match[0]
    hour = "%I" if half else "%H"
    written = hour + ":%M" * bool(minute) + ":%S" * bool(second) + ".%f" * bool(fraction)
    if half:
        written += " " * match.string[match.start(5) - 1].isspace() + "%p"
    if zone.strip():
        written += " " * zone[0].isspace() + "%z"
        zone = ""
    times.append(written)
    return "%t" + zone


def _is_sound(date: str) -> bool:
    """Tell whether the text around a date's codes is that of a date."""
    if "%d" not in date:
        form = r"%[Ym][-/]%[mY]|%b(?:[-/]| ?['\u2019])%y"
        return re.fullmatch(form, date) is not None or "%b" in date and "%Y" in date
    if "%y" in date:  # numbers such as 12 05 24 and 1:05:24 are something else
        numeric = re.search("[ :]%[my]", date)
        return _DATE.fullmatch(date) is not None and ("%b" in date or not numeric)
    return _WORDED.fullmatch(date) is not None


def _timed(date: str, times: list[str]) -> str:
    """Return the format with that of its time of day, or without it where it is the end."""
    return re.sub(f"{BEFORE_TIME}%t$", "", date).replace("%t", "".join(times))
