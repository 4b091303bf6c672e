"""The values of written cells, in words: for who feeds a model with something else than a table."""

from .dates import EXPECTED
from .number_forms import Form
from .numbers import expected
from .types import base

DAYS = "days since 1970-01-01 UTC"
WORDS = {
    "boolean": "1 or 0, where the table has {}",
    "time": "hours, 15.95 for 15:57, where the table has {}",
    "duration": "seconds, 5400 for 1h 30m, where the table has {}",
}


def value_in_words(kind: str) -> str:
    """Return what a model takes for a cell of a kind; "" where it is the cell as it stands.

    Examples
    --------
    >>> value_in_words("number:comma €")
    '1234.5, where the table has a number such as 1.234,5 €'
    >>> value_in_words("date:%d-%b-%Y")
    'days since 1970-01-01 UTC, where the table has date:%d-%b-%Y'
    """
    if base(kind) in WORDS:
        return WORDS[base(kind)].format(EXPECTED[kind])
    if base(kind) == "date":
        return f"{DAYS}, where the table has {kind}"
    if kind == "number" or base(kind) == "category":
        return ""
    number = "1500" if Form.of(kind).scaled else "1234.5"
    return f"{number}, where the table has {expected(kind)}"
