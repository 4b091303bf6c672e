"""How a CSV file is written, by its first lines: the delimiter, and whether names come first."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError
from ...words import plural, shortened
from ..common import lines_of, opened_text, require
from ..reading import MARKS, Reading
from .csv_rows import CSVRow, RowForm, is_comment, rows_of
from .header import header_of
from .source import Source
from .text_encoding import is_text, not_text

SAMPLE = 200  # lines that are looked at
SAMPLE_SIZE = 1 << 20  # characters, about
ALIKE = 20  # lines whose delimiters are counted
MOST = 0.9  # of the lines after the first one that are alike


@dataclass(frozen=True)
class Dialect:
    """How the text of a CSV file is written.

    path: as messages have it; file: what is read; form: of rows; has_header: whether the first line
    is no row; named: whether the columns have names of their own; first_line: of `file`, in `path`;
    encoding: that of `path`, None for UTF-8; notes: what was decided that could have been meant
    otherwise.
    """

    path: Path
    file: Path
    form: RowForm
    columns: tuple[str, ...]
    has_header: bool
    named: bool = True
    packing: str = ""
    line_end: str = "\n"
    first_line: int = 1
    encoding: str | None = None
    notes: tuple[str, ...] = ()


def dialect_of(source: Source, reading: Reading, known: Collection[str] = ()) -> Dialect:
    """Find out how a CSV file is written; known: names of columns that a model has."""
    lines = _first_lines(source, reading)
    texts = [line for line in lines if not is_comment(line, reading.comment)]
    line = texts[0] if texts else ""
    delimiter = reading.delimiter or _delimiter(texts)
    form = RowForm.of(lines, delimiter, reading.comment)
    records = [*rows_of(iter(lines), form, source.first_line)]
    number, _, cells = records[0] if records else (source.first_line, "", [])
    place = f"{source.path} line {number}"
    remedy = f"leave it out by skip_rows={number} (--skip-rows {number})"
    require(line.strip() != "", f"{place} is empty, expected column names: {remedy}.")
    require(is_text(line), f"{place} {not_text(line, reading.encoding)}.")
    broken = f"{place}: {cells}, expected column names: mend it, or {remedy}."
    require(isinstance(cells, list), broken)
    rows = [cells for _, text, cells in records[1:] if text and isinstance(cells, list)]
    if not reading.names:
        check_title(place, records, reading)
    columns, has_header, named, notes = header_of(place, cells, rows, reading, known)
    return Dialect(
        source.path,
        source.file,
        form,
        columns,
        has_header,
        named=named,
        packing=source.packing,
        line_end=line[len(line.rstrip("\r\n")) :] or "\n",
        first_line=source.first_line,
        encoding=reading.encoding,
        notes=(*source.notes, *notes),
    )


def check_title(place: str, records: Sequence[CSVRow], reading: Reading) -> None:
    """Raise DataError where most rows have more cells than the first one."""
    _, text, cells = records[0]
    rows = [(number, text, row) for number, text, row in records[1:] if text]
    n_cells, widths = len(cells), [_width(row) for _, _, row in rows]
    if n_cells > 1 and {*widths} == {n_cells}:  # of column names, though cells have other marks
        return
    if reading.delimiter is None and rows:
        delimiter = _delimiter([text for _, text, _ in rows])  # that of a title says nothing
        split = list(rows_of((text for _, text, _ in [records[0], *rows]), RowForm(delimiter)))
        n_cells, *widths = [_width(row) for _, _, row in split]
    width, n = Counter(widths).most_common(1)[0] if widths else (0, 0)
    if width <= n_cells or n < 2 or n < MOST * len(widths):
        return
    at = rows[widths.index(width)][0] - 1
    ways = [f"a title, leave it out by skip_rows={at} (--skip-rows {at})"]
    mark = re.match(r"[^\w\s\"',;|]+", text)
    if mark and mark[0].isprintable():
        ways.append(f"a comment, say comment={mark[0]!r} (--comment '{mark[0]}')")
    if n_cells > 1:
        ways.append("names without that of the row names, name all columns by names= (--names)")
    got = f"{place} has {plural(n_cells, 'cell')}, {shortened(text.strip(), 60)!r}"
    what = "; where it is ".join(ways)
    raise DataError(f"{got}, those after it have {width}: where it is {what}.")


def _width(cells: list[str] | str) -> int:
    """Return the number of cells of a row, but for an empty one after a delimiter at its end."""
    if isinstance(cells, str):
        return 0
    return len(cells) - (len(cells) > 1 and not cells[-1].strip())


def _first_lines(source: Source, reading: Reading) -> list[str]:
    """Return the first lines of a file: all its comments up to there, and `SAMPLE` others."""
    lines: list[str] = []
    n, size = 0, 0
    with opened_text(source.file, source.path) as text:
        for line in lines_of(text):
            lines.append(line)
            n += not is_comment(line, reading.comment)
            size += len(line)
            if n > SAMPLE or (n > 2 and size > SAMPLE_SIZE):
                break
    return lines


def _delimiter(lines: Sequence[str]) -> str:
    """Return the mark of a first line that stands as often in most others, and the most often.

    A comma between two digits is a decimal one where there is another mark.
    """
    counts = [_marks(line) for line in lines[:ALIKE] if line.strip()]
    first = counts[0] if counts else Counter()

    def alike(mark: str) -> tuple[int, int]:
        return sum(count[mark] == first[mark] for count in counts), first[mark]

    return max(first, key=alike, default=",")


def _marks(line: str) -> Counter[str]:
    """Count the marks of a line that may be delimiters, quoted cells aside."""
    unquoted = re.sub('"[^"]*"', "", line)
    if any(mark in unquoted for mark in MARKS if mark != ","):
        unquoted = re.sub(r"(?<=\d),(?=\d)", "", unquoted)
    return Counter(mark for mark in unquoted if mark in MARKS)
