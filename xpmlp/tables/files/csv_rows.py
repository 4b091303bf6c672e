"""Rows of CSV text: where each begins and ends, and its cells."""

import csv
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from ..reading import WHITESPACE
from .header import is_bare

OPEN = 1 << 20  # characters after which a quote counts as never closed
OPENED = "a quote is not closed"
TRIED = 8  # lines after a quote too many, as the first of the next row
MOST = 0.9  # of a column's cells, which then is one of numbers
USUAL = 0.1  # of a file's rows, two or more, whose cells go over several lines
ALIKE = 0.8  # of the lines of a quoted row, which then are rows: some have missing numbers
# What makes the lines of a quoted cell rows, where a delimiter as in every row counts one and a
# number in a column of numbers two: twelve lines of prose with one comma each, or two of a table.
EVIDENCE = 12

# A row's first line, its text, and its cells or what is wrong with its quotes.
CSVRow = tuple[int, str, list[str] | str]


@dataclass(frozen=True)
class RowForm:
    """What a row of a file looks like, by which a quote too many is told from a long cell.

    comment: what lines that are no rows begin with; width: the number of cells, 0 where it is not
    known; numbers: columns of numbers, dates or times, by place; usual: whether cells of several
    lines are nothing special.
    """

    delimiter: str
    comment: str | None = None
    width: int = 0
    numbers: tuple[int, ...] = ()
    usual: bool = True

    @classmethod
    def of(cls, lines: Sequence[str], delimiter: str, comment: str | None) -> "RowForm":
        """Return the form of a file's rows by its first lines, that of column names among them."""
        form = cls(delimiter, comment)
        first = next(rows_of(iter(lines), form), (0, "", ""))[-1]
        if isinstance(first, str):
            return form
        form = replace(form, width=len(first))
        rows = [row for _, _, row in rows_of(iter(lines), form) if isinstance(row, list)]
        rows = [row for row in rows[1:] if form.has_width(row)]
        n_long = sum(any(map(_is_long, row)) for row in rows)
        counts = [sum(_is_number(row[i]) for row in rows) for i in range(form.width)]
        numbers = tuple(i for i, n in enumerate(counts) if rows and n >= MOST * len(rows))
        return replace(form, numbers=numbers, usual=n_long >= max(2, USUAL * len(rows)))

    def has_width(self, cells: Sequence[str]) -> bool:
        """Tell whether cells are a row's; an empty one after a delimiter at its end is none."""
        more = len(cells) - self.width
        return more == 0 or (more == 1 and not cells[-1].strip())

    def swallows(self, lines: Sequence[str], cells: list[str] | str) -> bool:
        """Tell whether the quote that joins lines to a row is one too many in the first of them.

        cells: of the row, or what is wrong with its quotes. Where they are as they should be, the
        lines have to be rows beyond chance, for a quoted cell may hold what it likes.
        """
        may_be = isinstance(cells, list) and self._may_be(cells)
        if may_be and self.usual:
            return False
        lines = [line for line in lines if line.strip() and not is_comment(line, self.comment)]
        bare = [_split(line.replace('"', ""), self.delimiter) for line in lines]
        bare = [row for row in bare if self.fits(row)]
        if may_be:
            marks = sum(self.width - 1 + 2 * self._n_numbers(row) for row in bare)
            return len(bare) >= ALIKE * len(lines) and marks >= EVIDENCE
        n_whole = sum(map(self._is_whole, lines[1:]))
        return 2 * n_whole >= len(lines) - 1 or 2 * len(bare) > len(lines)

    def _is_whole(self, line: str) -> bool:
        """Tell whether a line is a row by itself, with all its quotes."""
        cells: list[str] | str = _split(line, self.delimiter)
        if '"' in line:
            _, cells = _parsed(line, iter(()), self.delimiter)
        return isinstance(cells, list) and not any('"' in c for c in cells) and self.fits(cells)

    def fits(self, cells: Sequence[str]) -> bool:
        """Tell whether cells are a row's: as many as in others, numbers in half their columns."""
        return self.has_width(cells) and 2 * self._n_numbers(cells) >= len(self.numbers)

    def _n_numbers(self, cells: Sequence[str]) -> int:
        return sum(_is_number(cells[i]) for i in self.numbers)

    def _may_be(self, cells: Sequence[str]) -> bool:
        """Tell whether cells may be a row: as many as in others, numbers in one line each."""
        return self.has_width(cells) and not any(_is_long(cells[i]) for i in self.numbers)


def is_comment(line: str, comment: str | None) -> bool:
    """Tell whether a line is a comment."""
    return comment is not None and line.startswith(comment)


def _is_long(cell: str) -> bool:
    """Tell whether a cell goes over several lines."""
    return any(mark in cell.strip() for mark in "\n\r")


def _is_number(cell: str) -> bool:
    return is_bare(cell.strip()) and not _is_long(cell)


def rows_of(source: Iterator[str], form: RowForm, line: int = 1) -> Iterator[CSVRow]:
    """Split the lines of a file into rows; line: the number of the first of them."""
    again: deque[str] = deque()  # lines after a quote too many: they may be rows

    def following() -> str:
        return again.popleft() if again else next(source, "")

    while first := following():
        if is_comment(first, form.comment):
            line += 1
            continue
        taken: list[str] = [first]
        cells: list[str] | str = _split(first, form.delimiter)
        if '"' in first:
            taken, cells, n = _quoted(first, following, form)
            again.extendleft(reversed(taken[n:]))
            taken = taken[:n]
        yield line, "".join(taken).rstrip("\r\n"), cells
        line += len(taken)


def filled(records: Iterator[CSVRow], single: bool) -> Iterator[CSVRow]:
    """Leave out blank lines; of a single column they are rows, but for those at the end."""
    blank: list[CSVRow] = []
    for record in records:
        if record[1]:
            yield from blank
            blank.clear()
            yield record
        elif single:
            blank.append(record)


def _split(line: str, delimiter: str) -> list[str]:
    """Return the cells of a line without quotes."""
    if delimiter == WHITESPACE:
        return line.split()
    return line.rstrip("\r\n").split(delimiter)


def _quoted(
    first: str, following: Callable[[], str], form: RowForm
) -> tuple[list[str], list[str] | str, int]:
    """Return the lines read, the cells or what is wrong with their quotes, how many lines it is."""
    read, cells = _parsed(first, _until_open(iter(following, ""), form.width), form.delimiter)
    if cells == OPENED:
        return read, cells, 1
    n = len(read)
    if not form.width or n == 1:
        return read, cells, n
    if form.swallows(read, cells):
        return read, OPENED, 1
    if isinstance(cells, str):
        read, at = _next_row(read, following, form)
        if at:
            return read, OPENED, at
    return read, cells, n


def _next_row(
    read: list[str], following: Callable[[], str], form: RowForm
) -> tuple[list[str], int]:
    """Return the lines read, and where among them a row of several lines begins, else 0.

    In a file of such rows a quote too many is closed by the first one of the row after it.
    """
    with_quotes = [i for i, line in enumerate(read) if i and '"' in line]
    for i in with_quotes[:TRIED]:
        left = iter(read[i + 1 :])
        lines = chain(left, _until_open(iter(following, ""), form.width))
        row, cells = _parsed(read[i], lines, form.delimiter)
        read = [*read[:i], *row, *left]
        if len(row) > 1 and isinstance(cells, list) and form.fits(cells):
            return read, i
    return read, 0


def _until_open(lines: Iterator[str], width: int) -> Iterator[str]:
    """Yield lines until a quote must be open: after a MB, or more quotes than close so many cells.

    Without the latter a file of such lines would be read again and again, a MB for each of them.
    """
    size, n_quotes = 0, 0
    for line in lines:
        yield line
        size += len(line)
        n_quotes += line.replace('""', "").count('"')
        if size > OPEN or (width and n_quotes > 2 * width + 2):
            return


def _parsed(
    first: str, following: Iterator[str], delimiter: str
) -> tuple[list[str], list[str] | str]:
    """Return the lines of a row with quotes, and its cells or what is wrong with its quotes."""
    read: list[str] = []
    spaced = delimiter == WHITESPACE

    def lines() -> Iterator[str]:
        for line in chain([first], following):
            read.append(line)
            yield line.replace("\t", " ").strip(" ") if spaced else line

    mark = " " if spaced else delimiter
    reader = csv.reader(lines(), delimiter=mark, strict=True, skipinitialspace=True)
    try:
        return read, next(reader)
    except csv.Error as error:
        wrong = str(error)
    if "end of data" in wrong or ("limit" in wrong and len(read) > 1):
        return read, OPENED
    if "limit" in wrong:
        return read, f"a quoted cell has more than {csv.field_size_limit():,} characters"
    return read, "a quote stands in the wrong place"
