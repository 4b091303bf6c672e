"""A table file as DuckDB's table `raw`, and the line of each of its rows."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import DataError
from ...words import listed, nearest
from ..reading import PLAIN, Reading
from .csv_repair import BadRow


@dataclass(frozen=True)
class RawTable:
    """A file as DuckDB's table `raw`: c0, c1, ... are called `columns`, and hold `types`.

    types: "VARCHAR" (trimmed, NULL where empty), "DOUBLE", "BOOLEAN", "TIMESTAMP", or in Parquet
    any other, which `raw` has as text. unit: what rows are found by in the file, "line" or "row".
    bad_rows: what is not in `raw`. breaks: rows from which a row's line minus its number in `raw`
    changes, and that difference. reading: how the file was read. index: columns that are no
    features unless they are asked for, each with a note on that. notes: on what could be otherwise.
    as_written: columns whose cells are there as they stand in the file, too, in kept0, kept1, ...
    """

    path: Path
    connection: Any
    columns: tuple[str, ...]
    types: tuple[str, ...]
    n_rows: int
    has_header: bool = True
    unit: str = "row"
    bad_rows: list[BadRow] = field(default_factory=list)
    breaks: tuple[np.ndarray, np.ndarray] = (np.asarray([0]), np.asarray([1]))
    reading: Reading = PLAIN
    index: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    as_written: tuple[int, ...] = ()

    def stored(self, name: str) -> str:
        """Return the type of a column."""
        return self.types[self.columns.index(name)]

    def query(self, select: str, rest: str = "") -> Any:
        """Select from `raw`."""
        return self.connection.execute(f"SELECT {select} FROM raw {rest}")

    def lines(self, rows: np.ndarray) -> np.ndarray:
        """Return the lines on which rows of `raw` begin (in Parquet, their numbers from 1)."""
        starts, offsets = self.breaks
        return rows + offsets[np.searchsorted(starts, rows, "right") - 1]

    @property
    def delimiter_remedy(self) -> str:
        """What to do about a text file of one column where several are needed, else ""."""
        if self.unit != "line" or len(self.columns) > 1:
            return ""
        return ": if it has several, say what stands between them by delimiter= (--delimiter)"

    def check_has(self, name: str) -> None:
        """Raise DataError for a column that is not there, with the one that may be meant."""
        if name in self.columns:
            return
        known = [*filter(None, self.columns)]
        got = f"{self.path} has no column {name!r}, expected one of {listed(known)}"
        if self.delimiter_remedy:
            raise DataError(f"{got}{self.delimiter_remedy}.")
        raise DataError(f"{got}; did you mean {nearest(name, known)!r}?")


def places(
    keep: Collection[str], columns: Sequence[str], named: bool, known: Collection[str]
) -> tuple[int, ...]:
    """Return where columns to keep are; where a file names none, they are called as a model does.

    keep: names, also of columns that are not there; known: those that a model has.
    """
    if not named and len(columns) == len(known):
        columns = tuple(known)
    return tuple(i for i, name in enumerate(columns) if name in keep)


def cell_text(c: str, reading: Reading) -> str:
    """SQL: a cell as trimmed text; see `known_text`."""
    return known_text(f"trim({c}::VARCHAR)", reading)


def known_text(trimmed: str, reading: Reading) -> str:
    """SQL: trimmed text, NULL where it is empty or one of the markers of missing values.

    A number is a marker however many zeros follow its point: -999.0 is -999.
    """
    text = f"nullif({trimmed}, '')"
    if not reading.missing:
        return text
    markers = ", ".join(literal(marker) for marker in reading.missing)
    found = f"{text} IN ({markers})"
    if any(marker.lstrip("-").isdigit() for marker in reading.missing):
        found += rf" OR regexp_replace({text}, '^(-?\d+)\.0+$', '\1') IN ({markers})"
    return f"CASE WHEN {found} THEN NULL ELSE {text} END"


def literal(text: Any) -> str:
    """Return a text as SQL has it."""
    return "'" + str(text).replace("'", "''") + "'"
