"""Repair of CSV text: its good rows, and the bad ones with line and reason."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ...words import shortened
from ..common import LONGEST, lines_of, opened_text, require
from ..reading import WHITESPACE
from .csv_rows import filled, rows_of
from .dialect import Dialect
from .packing import check_unpacked
from .source import Source, disk_full
from .text_encoding import not_text

MOST_BAD = 1_000_000  # rows; more are another kind of file
WRITTEN = ","  # the delimiter of good rows, where the file's own is none that DuckDB knows

Breaks = tuple[np.ndarray, np.ndarray]


class BadRow(NamedTuple):
    """A row that is left out. line: of the file, from 1 (the row's number in Parquet)."""

    line: int
    column: str  # "" where it is the row as a whole
    reason: str
    text: str

    def sentence(self, unit: str) -> str:
        """Return where the row is, what is there and what is wrong; unit: "line" or "row"."""
        column = f", column {self.column!r}" * (self.column != "")
        got = "the cell is empty"
        if self.text:
            got = f"got {shortened(self.text.strip(), 60)!r}"
        return f"{unit} {self.line}{column}: {got}, {self.reason}"


@dataclass(frozen=True)
class Converted:
    """A file of another kind as CSV text without a header, as `RawTable` tells of it."""

    columns: tuple[str, ...]
    types: tuple[str, ...]
    n_rows: int
    unit: str
    bad_rows: list[BadRow]
    breaks: Breaks
    notes: tuple[str, ...] = ()


def clean(dialect: Dialect, to: Path) -> tuple[int, list[BadRow], Breaks]:
    """Write the good rows of a CSV file, a header left out, each in the same way.

    Returns their number, the bad rows, and the rows from which line minus row changes, with that
    difference.
    """
    bad_rows: list[BadRow] = []
    n_rows, breaks = write_rows(to, _good_rows(dialect, bad_rows))
    return n_rows, bad_rows, breaks


def write_rows(to: Path, rows: Iterable[tuple[int, bytes]]) -> tuple[int, Breaks]:
    """Write the text of rows, each with its line. Returns their number, and breaks of the lines."""
    starts, offsets, n_rows = array("q"), array("q"), 0
    try:
        with open(to, "wb") as out:
            for line, row in rows:
                out.write(row)
                if not offsets or line - n_rows != offsets[-1]:
                    starts.append(n_rows)
                    offsets.append(line - n_rows)
                n_rows += 1
    except OSError as error:
        if error.errno != ENOSPC:
            raise
        raise disk_full() from error
    if not offsets:
        starts.append(0)
        offsets.append(1)
    return n_rows, (np.asarray(starts), np.asarray(offsets))


def bounded(rows: Iterable[tuple[int, bytes]], source: Source) -> Iterator[tuple[int, bytes]]:
    """Yield rows, each with its line; DataError where they become many times their file."""
    n_bytes, size = 0, source.file.stat().st_size
    for line, row in rows:
        n_bytes += len(row)
        check_unpacked(source.path, n_bytes, size)
        yield line, row


def _good_rows(dialect: Dialect, bad_rows: list[BadRow]) -> Iterator[tuple[int, bytes]]:
    """Yield the line and the text of each good row, and put the bad ones into a list."""
    n_columns = len(dialect.columns)
    with opened_text(dialect.file, dialect.path) as stream:
        records = rows_of(lines_of(stream), dialect.form, dialect.first_line)
        if dialect.has_header:
            next(records)
        for line, text, cells in filled(records, n_columns == 1):
            if len(cells) == n_columns + 1 and not cells[-1].strip():
                cells = cells[:-1]  # DuckDB allows a delimiter at a line's end
            bad = _fault(dialect, line, text, cells)
            if bad is None:
                yield line, _written(text, list(cells), dialect.form.delimiter)
            else:
                bad_rows.append(bad)
                many = f"{dialect.path} has more than a million bad rows, the first is in "
                got = f"{many}line {bad_rows[0].line}: {bad_rows[0].reason}."
                require(len(bad_rows) <= MOST_BAD, got)


def _fault(dialect: Dialect, line: int, text: str, cells: list[str] | str) -> BadRow | None:
    """Return what is wrong with a row."""
    columns = dialect.columns
    shown = _in_utf8(text)
    if isinstance(cells, str):
        n_lines = text.count("\n") + 1
        goes_on = f" (the row goes on to line {line + n_lines - 1})" * (n_lines > 1)
        return BadRow(line, "", cells + goes_on, shown)
    if len(cells) != len(columns):
        reason = f"the row has {len(cells)} cells, expected {len(columns)}"
        return BadRow(line, columns[min(len(cells), len(columns) - 1)], reason, shown)
    if shown != text:
        at = next(i for i, cell in enumerate(cells) if cell != _in_utf8(cell))
        reason = f"the text {not_text(cells[at], dialect.encoding)}"
        return BadRow(line, columns[at], reason, shown)
    if 4 * len(text) > LONGEST and len(text.encode()) > LONGEST:
        return BadRow(line, "", f"the row is longer than {LONGEST:,} bytes", text)
    return None


def _in_utf8(text: str) -> str:
    """Return text with a ? for each byte that is no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _written(text: str, cells: list[str], delimiter: str) -> bytes:
    """Return a good row as DuckDB reads it."""
    if delimiter == WHITESPACE:
        return written(cells, WRITTEN)
    if '"' in text or not text:
        return written(cells, delimiter)
    return text.encode() + b"\n"


def written(cells: Sequence[str], delimiter: str = WRITTEN) -> bytes:
    """Return cells as a line of CSV, each in quotes."""
    text = f'"{delimiter}"'.join(cell.replace('"', '""') for cell in cells)
    return f'"{text}"\n'.encode()
