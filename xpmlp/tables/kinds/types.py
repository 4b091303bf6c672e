"""Types of the columns of a raw table: how each one's cells are read."""

from collections.abc import Mapping
from dataclasses import dataclass

from ...words import did_you_mean
from ..common import require
from ..files.raw_table import RawTable, literal
from . import dates, numbers

# A cell that is one of these, or empty, is missing. They are what R, SQL, pandas and others write.
MISSING = tuple("? NA N/A n/a #N/A <NA> NaN nan NaT NULL null None".split())
ALL = "category:all"  # also of cells such as NA, which else are missing
KINDS = ("number", "boolean", "category", "date", "time", "duration")
NATURAL = {"DOUBLE": "number", "BOOLEAN": "boolean", "TIMESTAMP": "date"}
USABLE = ("VARCHAR", *NATURAL)
FRAME_KINDS = {"category": "category", "date": "date"}  # all others are numbers


@dataclass(frozen=True)
class TableColumn:
    """A column of a raw table and how it is read.

    field: what DuckDB calls it; stored: its type there, "TEXT" where NA and the like are text too;
    kind: "category", "category:all" (only empty cells are missing), or one that `numbers` or
    `dates` reads; n_missing: cells; tokens: what stands in them, where they are not empty; checked:
    whether all others are known to be what the column holds.
    """

    name: str
    field: str
    stored: str
    kind: str
    n_missing: int = 0
    tokens: tuple[str, ...] = ()
    checked: bool = False

    @property
    def frame_kind(self) -> str:
        """Return the kind of a frame's column."""
        return frame_kind(self.kind)

    @property
    def value(self) -> str:
        """SQL: a cell as number, text or date; NULL where it is missing or none."""
        value = value_of(self.field, self.stored, self.kind)
        if self.checked and (self.stored, self.kind) == ("VARCHAR", "number"):
            value = f"TRY_CAST({self.field} AS DOUBLE)"  # what it was checked for costs time
        if not self.tokens:
            return value
        return f"CASE WHEN NOT ({among(self.field, self.tokens)}) THEN {value} END"

    @property
    def expected(self) -> str:
        """What a cell should have been, in words."""
        if self.frame_kind == "category":
            return "text"
        return _module(self.kind).expected(self.kind)


def frame_kind(kind: str) -> str:
    """Return the kind of a frame's column, where the column of a table is of a kind."""
    return FRAME_KINDS.get(base(kind), "number")


def base(kind: str) -> str:
    """Return the first word of a kind: "number" of "number:comma"."""
    return kind.partition(":")[0]


def among(c: str, words: tuple[str, ...]) -> str:
    """SQL: whether a cell is one of some words."""
    return f"{c} IN ({', '.join(map(literal, words))})"


def is_missing(c: str, stored: str) -> str:
    """SQL: whether a cell is missing."""
    tokens = f" OR {among(c, MISSING)}" * (stored == "VARCHAR")
    return f"{c} IS NULL{tokens}"


def value_of(c: str, stored: str, kind: str) -> str:
    """SQL: a cell that is not missing as a kind, NULL where it is none."""
    if base(kind) == "category":
        return _label(c, stored)
    if stored == "TIMESTAMP":
        return c
    if stored == "VARCHAR" or kind in dates.EPOCHS:
        return _module(kind).value(c, kind)
    if stored == "DOUBLE" and base(kind) in ("date", "boolean"):  # 20240501, and 1 and 0
        return _module(kind).value(_label(c, stored), kind)
    number = f"{c}::DOUBLE"
    return f"CASE WHEN isfinite({number}) THEN {number} END"


def _label(c: str, stored: str) -> str:
    """SQL: a cell as text, one for equal numbers: 1.0 and 1 are one category."""
    if stored == "DOUBLE":
        whole = f"{c} = trunc({c}) AND abs({c}) < 1e15"
        return f"CASE WHEN {whole} THEN {c}::BIGINT::VARCHAR ELSE {c}::VARCHAR END"
    if stored == "BOOLEAN":
        return f"{c}::INTEGER::VARCHAR"
    return f"{c}::VARCHAR"


def _module(kind: str):
    """Return the module that reads a kind."""
    return numbers if base(kind) == "number" else dates


def read_as(stored: str, kind: str | None) -> str:
    """Return the type as which a column is read, "TEXT" where NA and the like are text too."""
    if stored in NATURAL:
        return stored
    if kind == ALL:
        return "TEXT"
    return "VARCHAR"


def check_types(raw: RawTable, types: Mapping[str, str]) -> None:
    """Raise DataError for types of columns that are not there, and for unknown types."""
    stored = dict(zip(raw.columns, raw.types))
    for name, kind in types.items():
        raw.check_has(name)
        require(_is_kind(kind), f"column {name!r} is typed {kind!r}, {_expected_kind(kind)}")
        require(
            _fits(stored[name], kind),
            f"{raw.path}, column {name!r} holds {stored[name]}, expected {kind}: write that column "
            "again, or leave it out.",
        )


def _is_kind(kind: str) -> bool:
    return kind in ("category", ALL) or _module(kind).parsed(kind)


def _expected_kind(kind: str) -> str:
    if kind.startswith("date:"):
        return dates.wanted(kind)
    return (
        "expected number, number:comma (1.234,5), number:point (1,234.5), number:$ and other "
        "currencies or units, boolean, category, category:all (NA, None too), time, duration, "
        "date or date:FORMAT, such as date:%d/%m/%Y"
        f"{did_you_mean(kind, KINDS)}"
    )


def _fits(stored: str, kind: str) -> bool:
    """Tell whether a column that a file stores as some type can be read as a kind."""
    if base(kind) == "category" or stored == "VARCHAR":
        return True
    if stored == "TIMESTAMP":
        return base(kind) == "date"
    if base(kind) == "date":  # of numbers: 20240501, or seconds since 1970
        return stored == "DOUBLE" and kind != "date"
    return stored in NATURAL
