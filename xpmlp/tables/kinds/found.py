"""What is counted in the cells of a table's columns, to decide their types."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..files.raw_table import RawTable
from .cells import count, words
from .types import MISSING, TableColumn, is_missing, value_of
from .unread_forms import Writing

ENOUGH = 0.95  # of the cells that are not missing make a column of numbers, or of dates
PARTLY = 0.5  # of them are worth a warning where the column stays text
FIRST = 2048  # rows that show of most columns whether points may part thousands
_WHICH = " ".join(f"WHEN '{token}' THEN {1 << i}" for i, token in enumerate(MISSING))
ABSENT = is_missing("cell", "VARCHAR")
# What is asked of columns by the type that they are stored as.
_OF_ALL = {"missing": "count(*) - count(cell)", "present": "count(cell)"}
_COUNTS = {
    "VARCHAR": {
        **_OF_ALL,
        "number": f"count({value_of('cell', 'VARCHAR', 'number')})",
        "shortest": "min(strlen(cell))",
        "longest": "max(strlen(cell))",
    },
    "TEXT": _OF_ALL,
    "DOUBLE": _OF_ALL | {"number": "count(*) FILTER (isfinite(cell))"},
    "BOOLEAN": _OF_ALL | {"number": "count(cell)"},
    "TIMESTAMP": _OF_ALL | {"number": "count(cell)"},
}
# Of text in which not all cells are numbers, as some may be words for missing values.
_OF_TEXT = {
    "missing": f"count(*) FILTER ({ABSENT})",
    "present": f"count(*) FILTER (NOT ({ABSENT}))",
    "tokens": f"bit_or(CASE cell {_WHICH} END)",
    # Of what begins with a digit, so that no token counts.
    "shortest": "min(strlen(cell)) FILTER (cell BETWEEN '0' AND ':')",
    "longest": "max(strlen(cell)) FILTER (cell BETWEEN '0' AND ':')",
}
_OF_CODES = {"zero": "bool_or(regexp_matches(cell, '^0[0-9]+$'))"}  # where all are as long
_OF_POINTS = {
    "points": "count(*) FILTER (contains(cell, '.'))",
    "thirds": "count(*) FILTER (cell LIKE '%.___')",
}
_UNKNOWN: dict[str, Any] = {
    "number": 0,
    "tokens": 0,
    "shortest": None,
    "longest": None,
    "zero": False,
    "points": 0,
    "thirds": 0,
}


@dataclass
class Found:
    """What was counted in a text column.

    count: as `counts_of` made it; read: how many cells each kind reads, the likeliest first; forms:
    an example of each, where nearly all cells are numbers, but not of one form; unread: what they
    are in a writing that is not read, None where they are not.
    """

    name: str
    field: str
    is_target: bool
    count: dict[str, Any]
    read: dict[str, int]
    forms: Sequence[str] = ()
    unread: Writing | None = None

    @property
    def best(self) -> str:
        """The kind that reads the most cells."""
        return max(self.read, key=lambda kind: self.read[kind])

    @property
    def share(self) -> float:
        """The share of the cells which that is, of those that are not missing."""
        return self.read[self.best] / max(self.count["present"], 1)

    @property
    def codes(self) -> bool:
        """Whether numbers have leading zeros and all the same length, as postal codes do."""
        return bool(self.count["zero"]) and self.count["shortest"] == self.count["longest"]

    @property
    def kind(self) -> str:
        """The column's type."""
        best = self.best
        if best == "number" and self.codes:
            return "category"
        enough = PARTLY if self.is_target else ENOUGH  # the other cells of a target are bad
        if self.share >= ENOUGH or self.share > enough:
            return best
        return "category"


def counts_of(raw: RawTable, columns: list[TableColumn]) -> dict[str, dict[str, Any]]:
    """Return what was counted of columns, by their fields; all 0 in a table without rows."""
    known = _UNKNOWN | dict.fromkeys(_OF_ALL, 0)
    found = {column.field: dict(known) for column in columns}

    def ask(fields: Iterable[str], asked: Mapping[str, str], rest: str = "") -> None:
        for field, counted in count(raw, [*fields], asked, rest).items():
            found[field] |= counted

    few = raw.n_rows <= FIRST  # of which all at once is faster than what is left open
    for stored, asked in _COUNTS.items():
        if few and stored == "VARCHAR":
            asked = asked | _OF_TEXT | _OF_CODES | _OF_POINTS
        ask((column.field for column in columns if column.stored == stored), asked)
    texts = {c.field: found[c.field] for c in columns if c.stored == "VARCHAR" and not few}
    ask((field for field, n in texts.items() if n["number"] < n["present"]), _OF_TEXT)
    numeric = {field: n for field, n in texts.items() if n["number"]}
    ask((field for field, n in numeric.items() if n["shortest"] == n["longest"]), _OF_CODES)
    ask(numeric, _OF_POINTS, f"LIMIT {FIRST}")
    ask((field for field, n in numeric.items() if n["points"] == n["thirds"]), _OF_POINTS)
    return found


def cell_value(kind: str) -> str:
    """SQL: a `cell` of text as a kind, NULL where it is none."""
    return value_of("cell", "VARCHAR", kind)


def unread(raw: RawTable, found: Found, kind: str) -> list[tuple[str, int]]:
    """Return the cells of a column that are not of a kind, the most frequent first."""
    return words(raw, found.field, f"({cell_value(kind)}) IS NULL")


def is_word(cell: str) -> bool:
    """Tell whether a cell may be a word for a missing value, which has no digits."""
    return not any(map(str.isdigit, cell))
