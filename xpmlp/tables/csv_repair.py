"""CSV text: its header and delimiter, its good rows, and the bad ones with line and reason."""

import csv
import gzip
import io
import re
from array import array
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from ..words import shortened
from .common import opened, require
from .reading import MARKS, Reading

NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
LONGEST = 1_900_000  # bytes of a row: DuckDB takes 2 MB
MOST_BAD = 1_000_000  # rows; more are another kind of file


# A row's first line, its text, and its cells or what is wrong with its quotes.
CSVRow = tuple[int, str, list[str] | str]


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
class Dialect:
    """What the first line of a CSV file shows of it."""

    path: Path
    delimiter: str
    columns: tuple[str, ...]
    has_header: bool
    compression: str
    line_end: str


def dialect_of(path: Path, reading: Reading) -> Dialect:
    """Read the first line of a CSV file."""
    with opened(path) as file:
        mark = file.read(2)
        what = f"{path} is text in UTF-16, expected UTF-8: save it again as UTF-8."
        require(mark not in (b"\xff\xfe", b"\xfe\xff"), what)
    with opened(path) as file:
        compression = "gzip" if isinstance(file, gzip.GzipFile) else "none"
        text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        line = text.readline()
        delimiter = reading.delimiter or _delimiter(line)
        require(line.strip() != "", f"{path} line 1 is empty, expected column names.")
        cells = next(csv.reader(chain([line], text), delimiter=delimiter))
    line_end = line[len(line.rstrip("\r\n")) :] or "\n"
    return Dialect(path, delimiter, *_header(path, cells), compression, line_end)


def _delimiter(line: str) -> str:
    """Return the mark that stands most often in a line, quoted cells aside."""
    unquoted = re.sub('"[^"]*"', "", line)
    marks = dict.fromkeys(mark for mark in unquoted if mark in MARKS)
    return max(marks, key=unquoted.count, default=",")


def _header(path: Path, cells: list[str]) -> tuple[tuple[str, ...], bool]:
    """Return the columns' names, and whether the first line holds them."""
    excel = cells[0].strip().lower().startswith("sep=")
    require(not excel, f"{path} line 1 is Excel's 'sep=', expected column names: delete that line.")
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell)]
    counted = [cell.strip() for cell in cells] == [str(i) for i in range(len(cells))]  # by pandas
    if len(numbers) == len(cells) and not (counted and len(cells) > 1):
        return tuple(f"x{i}" for i in range(len(cells))), False
    columns = [cell.strip() for cell in cells]
    # Names may be whole numbers that grow (0, 1, ..., target); 5.1 beside 'setosa' is data.
    whole = [cell for cell in numbers if cell.strip().isdigit()]
    grow = all(int(a) < int(b) for a, b in zip(whole, whole[1:]))
    row = next((cell for cell in numbers if cell not in whole or not grow), None)
    repeated = next((name for name, n in Counter(columns).items() if n > 1 or not name), None)
    expected = "expected a line of different column names (pandas: save with index=False)"
    require(columns[-1] != "", f"{path} line 1 ends with a delimiter, {expected}.")
    for bad, what in ((row, "a number"), (repeated, "repeated or empty")):
        require(bad is None, f"{path} line 1: the column name {bad!r} is {what}, {expected}.")
    return tuple(columns), True


def count_lines(path: Path) -> int:
    """Count lines up to the last that is not blank; DataError where the file is no text.

    Reading all of it also checks what gzip says of its text, which DuckDB does not.
    """
    n_lines, n_blank = 0, 0
    with opened(path) as file:
        while block := file.read(1 << 20):
            if b"\0" in block:
                line = n_lines + block[: block.index(b"\0")].count(b"\n") + 1
                what = "expected text in UTF-8: is that a CSV file?"
                raise DataError(f"{path} line {line} holds a NUL byte, {what}")
            rest = block.rstrip(b"\r\n")
            if rest:  # what ends the last line that is not blank is not counted yet
                n_lines, n_blank = n_lines + n_blank + rest.count(b"\n"), 0
            n_blank += block[len(rest) :].count(b"\n")
    return n_lines + 1


def clean(dialect: Dialect, to: Path) -> tuple[int, list[BadRow], tuple[np.ndarray, np.ndarray]]:
    """Write the good rows of a CSV file, a header left out, each in the same way.

    Returns their number, the bad rows, and the rows from which line minus row changes, with that
    difference.
    """
    bad_rows: list[BadRow] = []
    starts, offsets, n_rows = array("q"), array("q"), 0
    with open(to, "wb") as out:
        # Not inside `opened`, which would blame the table for a full disk.
        for line, row in _good_rows(dialect, bad_rows):
            out.write(row)
            if not offsets or line - n_rows != offsets[-1]:
                starts.append(n_rows)
                offsets.append(line - n_rows)
            n_rows += 1
    return n_rows, bad_rows, (np.asarray(starts), np.asarray(offsets))


def _good_rows(dialect: Dialect, bad_rows: list[BadRow]) -> Iterator[tuple[int, bytes]]:
    """Yield the line and the text of each good row, and put the bad ones into a list."""
    n_columns = len(dialect.columns)
    with opened(dialect.path) as file:
        lines = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
        records = _rows(lines, dialect.delimiter)
        if dialect.has_header:
            next(records)
        for line, text, cells in _filled(records, n_columns == 1):
            if len(cells) == n_columns + 1 and not cells[-1].strip():
                cells = cells[:-1]  # DuckDB allows a delimiter at a line's end
            bad = _fault(dialect, line, text, cells)
            if bad is None:
                yield line, _written(text, list(cells), dialect.delimiter)
            else:
                bad_rows.append(bad)
                many = f"{dialect.path} has more than a million bad rows, the first is in "
                got = f"{many}line {bad_rows[0].line}: {bad_rows[0].reason}."
                require(len(bad_rows) <= MOST_BAD, got)


def _rows(source: Iterator[str], delimiter: str) -> Iterator[CSVRow]:
    """Split the lines of a file into rows."""
    again: deque[str] = deque()  # lines after a quote that is never closed: they may be rows

    def following() -> str:
        return again.popleft() if again else next(source, "")

    line = 1
    while first := following():
        taken: list[str] = [first]
        cells: list[str] | str = first.rstrip("\r\n").split(delimiter)
        if '"' in first:
            taken, cells, n = _quoted(first, following, delimiter)
            again.extendleft(reversed(taken[n:]))
            taken = taken[:n]
        yield line, "".join(taken).rstrip("\r\n"), cells
        line += len(taken)


def _filled(records: Iterator[CSVRow], single: bool) -> Iterator[CSVRow]:
    """Leave out blank lines; of a single column they are rows, but for those at the end."""
    blank: list[CSVRow] = []
    for record in records:
        if record[1]:
            yield from blank
            blank.clear()
            yield record
        elif single:
            blank.append(record)


def _quoted(
    first: str, following: Callable[[], str], delimiter: str
) -> tuple[list[str], list[str] | str, int]:
    """Return the lines read, the cells or what is wrong with their quotes, how many lines it is."""
    read: list[str] = []

    def lines() -> Iterator[str]:
        size = 0
        for line in chain([first], iter(following, "")):
            read.append(line)
            yield line
            size += len(line)
            if size > LONGEST:
                return

    reader = csv.reader(lines(), delimiter=delimiter, strict=True, skipinitialspace=True)
    try:
        return read, next(reader), len(read)
    except csv.Error as error:
        wrong = str(error)
    if "end of data" in wrong:
        return read, "a quote is not closed", 1
    if '"' in wrong:
        wrong = "a quote stands in the wrong place"
    return read, wrong, len(read)


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
        return BadRow(line, columns[at], "the text is not UTF-8", shown)
    if 4 * len(text) > LONGEST and len(text.encode()) > LONGEST:
        return BadRow(line, "", f"the row is longer than {LONGEST:,} bytes", text)
    return None


def _in_utf8(text: str) -> str:
    """Return text with a ? for each byte that is no UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _written(text: str, cells: list[str], delimiter: str) -> bytes:
    """Return a good row as DuckDB reads it."""
    if '"' in text or not text:
        out = io.StringIO(newline="")
        writer = csv.writer(out, delimiter=delimiter, lineterminator="", quoting=csv.QUOTE_ALL)
        writer.writerow(cells)
        text = out.getvalue()
    return text.encode() + b"\n"
