"""Numbers and dates in writings that are not read: 0x1f, 12.5 ± 0.1, 2022-W50, 10 Feb."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..common import Shape
from .date_formats import MONTHS, one_of

NEARLY_ALL = 0.95  # of the cells
_NUMBER = r"[-+]?[0-9]+(?:[.,][0-9]+)?"
_MONTH = one_of(" ".join(MONTHS))
_DAY = r"(?:0?[1-9]|[12][0-9]|3[01])(?:st|nd|rd|th|\.)?"
_CLOCK = r"(?:,? [0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)?"
NUMBERS = (
    r"[-+]?0x[0-9a-f]{1,16}",  # longer ones are addresses and checksums
    rf"{_NUMBER} ?(?:±|\+/-|\+-) ?{_NUMBER}",
    r"[0-9]+\.[0-9]+\([0-9]+\)",  # 1.23(4), the error of the last digit
    rf"(?:~|≈|[<>≤≥]=?|ca?\.|circa|approx\.?|about) ?{_NUMBER}",
    r"[0-9]{1,3}(?:_[0-9]{3})+",
)
OTHER_DIGITS = r"(?=.*\d)(?:(?![0-9])[-\d.,:/\u066b\u066c\uff0e\uff0c ])+"  # of other scripts
# Of few different cells they are names: team #3, section 1/2.
NUMBERS_OR_NAMES = (
    "# ?[0-9]+",
    "(?![12][0-9]{3}/[0-9]{2,4}$)(?:[0-9]+ )?[0-9]+/(?!(?:19|20)[0-9]{2}$)[0-9]+",
    "[0-9]* ?[¼-¾⅐-⅞]",
)
FRACTIONS_OR_DATES = "(?:0?[1-9]|[12][0-9]|3[01])/(?:0?[1-9]|[12][0-9]|3[01])"
DATES = (
    "(?:19|20)[0-9]{2}-?W[0-9]{1,2}(?:-?[1-7])?",
    "(?:W|CW|KW) ?[0-9]{1,2}[-/ ](?:19|20)[0-9]{2}",
    "(?:19|20)[0-9]{2}[-/ ]?[QH][1-4]",
    "[QH][1-4][-/ ']{0,2}(?:[0-9]{2}){1,2}",
    "[1-4][QH][-/ ']{0,2}(?:[0-9]{2}){1,2}",
    "(?:19|20)[0-9]{2}-(?:[0-2][0-9]{2}|3[0-5][0-9]|36[0-6])",
    "(?:19|20)[0-9]{2}M[0-9]{1,2}",
    rf"{_DAY}[- ]?{_MONTH}{_CLOCK}",
    rf"{_MONTH}[- ]?{_DAY}{_CLOCK}",
    rf"{_DAY}(?<=\.)(?:0?[1-9]|1[0-2])\.{_CLOCK}",
)


class Writing(NamedTuple):
    """What cells look like: numbers or dates, with an example; named: whether maybe names."""

    what: str
    example: str
    named: bool


def _pattern(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)


KINDS = (
    ("numbers", _pattern(*NUMBERS), False),
    ("dates", _pattern(*DATES), False),
    ("numbers or dates", _pattern(OTHER_DIGITS), False),
    ("numbers or dates", _pattern(FRACTIONS_OR_DATES), True),
    ("numbers", _pattern(*NUMBERS_OR_NAMES), True),
)


def unread_form(shapes: Sequence[Shape]) -> Writing | None:
    """Return what nearly all of a column's frequent cells are in a writing that is not read.

    Examples
    --------
    >>> unread_form([Shape("9-W9", 8, "2022-W07", "2022-W50")])
    Writing(what='dates', example='2022-W07', named=False)
    """
    known = [shape for shape in shapes if shape.low]
    total = sum(shape.n for shape in known)
    for what, pattern, named in KINDS:
        fits = [s for s in known if pattern.fullmatch(s.low) and pattern.fullmatch(s.high)]
        if sum(shape.n for shape in fits) >= NEARLY_ALL * total > 0:
            return Writing(what, fits[0].low, named)
    return None
