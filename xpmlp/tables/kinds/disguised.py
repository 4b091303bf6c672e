"""Dates in the disguise of numbers: 20240501, and seconds since 1970."""

from collections.abc import Iterable
from datetime import datetime
from shlex import quote
from typing import Any

from ..files.raw_table import RawTable
from .cells import count
from .types import value_of

KINDS = {  # by the number of digits
    8: "date:%Y%m%d",
    10: "date:epoch",
    12: "date:%Y%m%d%H%M",
    13: "date:epoch_ms",
    14: "date:%Y%m%d%H%M%S",
    16: "date:epoch_us",
    19: "date:epoch_ns",
}
SINCE, UNTIL = datetime(1900, 1, 1), datetime(2050, 1, 1)  # others are likely to be no dates


def disguised_dates(raw: RawTable, numbers: Iterable[Any]) -> dict[str, str]:
    """Return warnings of columns whose numbers may be dates, by their names.

    numbers: what was counted in text columns of numbers, with `name`, `field` and `count`.
    """
    warnings = {}
    for length, kind in KINDS.items():
        likely = {
            found.field: found
            for found in numbers
            if found.count["shortest"] == found.count["longest"] == length
        }
        value = value_of("cell", "VARCHAR", kind)
        asked = {"n": f"count({value})", "low": f"min({value})", "high": f"max({value})"}
        for field, counted in count(raw, [*likely], asked).items():
            n, low, high = counted.values()
            if n == likely[field].count["present"] and SINCE <= low < high < UNTIL:
                name = likely[field].name
                warnings[name] = _warning(name, kind, low, high)
    return warnings


def _warning(name: str, kind: str, low: datetime, high: datetime) -> str:
    return (
        f"column {name!r} is taken as numbers, which may be dates from {low:%Y-%m-%d} to "
        f"{high:%Y-%m-%d}: --types {quote(name)}={kind} reads them so, --types "
        f"{quote(name)}=number says that they are numbers"
    )
