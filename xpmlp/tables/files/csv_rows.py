"""Rows of CSV text: where each begins and ends, and its cells."""

import csv
from collections import deque
from collections.abc import Callable, Iterator
from itertools import chain

from ..reading import WHITESPACE

LONGEST = 1_900_000  # bytes of a row: DuckDB takes 2 MB

# A row's first line, its text, and its cells or what is wrong with its quotes.
CSVRow = tuple[int, str, list[str] | str]


def rows_of(
    source: Iterator[str], delimiter: str, comment: str | None = None, line: int = 1
) -> Iterator[CSVRow]:
    """Split the lines of a file into rows; line: the number of the first of them."""
    again: deque[str] = deque()  # lines after a quote that is never closed: they may be rows

    def following() -> str:
        return again.popleft() if again else next(source, "")

    while first := following():
        if comment is not None and first.startswith(comment):
            line += 1
            continue
        taken: list[str] = [first]
        cells: list[str] | str = _split(first, delimiter)
        if '"' in first:
            taken, cells, n = _quoted(first, following, delimiter)
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
    first: str, following: Callable[[], str], delimiter: str
) -> tuple[list[str], list[str] | str, int]:
    """Return the lines read, the cells or what is wrong with their quotes, how many lines it is."""
    read: list[str] = []
    spaced = delimiter == WHITESPACE

    def lines() -> Iterator[str]:
        size = 0
        for line in chain([first], iter(following, "")):
            read.append(line)
            yield line.replace("\t", " ").strip(" ") if spaced else line
            size += len(line)
            if size > LONGEST:
                return

    mark = " " if spaced else delimiter
    reader = csv.reader(lines(), delimiter=mark, strict=True, skipinitialspace=True)
    try:
        return read, next(reader), len(read)
    except csv.Error as error:
        wrong = str(error)
    if "end of data" in wrong:
        return read, "a quote is not closed", 1
    if '"' in wrong:
        wrong = "a quote stands in the wrong place"
    return read, wrong, len(read)
