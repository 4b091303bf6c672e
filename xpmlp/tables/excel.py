"""Excel files: a sheet as rows of text."""

import warnings
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..words import did_you_mean, listed, plural
from .common import require
from .csv_repair import BadRow, Converted, write_rows, written
from .csv_rows import CSVRow
from .dialect import SAMPLE, check_title
from .header import header_of
from .reading import Reading
from .source import Source


def convert_excel(
    source: Source, reading: Reading, known: Collection[str], to: Path
) -> tuple[Converted, bool]:
    """Write the rows of a sheet as CSV. Returns what was written, and whether there are names."""
    records = list(islice(_records(source, reading), SAMPLE))
    require(bool(records), f"{source.path} has an empty sheet, expected column names.")
    number, _, cells = records[0]
    place = f"{source.path} row {number}"
    if not reading.names:
        check_title(place, records, replace(reading, delimiter=","))
    rows = [row for _, _, row in records[1:]]
    columns, has_header, named, notes = header_of(place, cells, rows, reading, known)
    bad_rows: list[BadRow] = []
    found = islice(_records(source, reading), int(has_header), None)
    n_rows, breaks = write_rows(to, _good(found, columns, bad_rows))
    types = ("VARCHAR",) * len(columns)
    return Converted(columns, types, n_rows, "row", bad_rows, breaks, notes), named


def _good(
    records: Iterator[CSVRow], columns: tuple[str, ...], bad_rows: list[BadRow]
) -> Iterator[tuple[int, bytes]]:
    """Yield number and text of each row that has not too many cells; note the others."""
    for number, text, cells in records:
        if len(cells) > len(columns):
            reason = f"the row has {len(cells)} cells, expected {len(columns)}"
            bad_rows.append(BadRow(number, columns[-1], reason, text))
            continue
        yield number, written([*cells, *[""] * (len(columns) - len(cells))])


def _records(source: Source, reading: Reading) -> Iterator[CSVRow]:
    """Yield the rows of a sheet that are not empty, but for those left out in front of it."""
    try:
        yield from _rows(source, reading)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # a damaged file raises anything
        reason = str(error) or type(error).__name__
        raise DataError(f"{source.path} cannot be read as an Excel file: {reason}.") from error


def _rows(source: Source, reading: Reading) -> Iterator[CSVRow]:
    """Yield number, text and cells of a sheet's rows."""
    with ExitStack() as stack:
        values, formulas = _sheets(source, reading, stack)
        pairs = zip(values.iter_rows(), formulas.iter_rows(), strict=True)
        for number, (row, written_as) in enumerate(pairs, 1):
            if number <= reading.skip_rows:
                continue
            cells = [_text(cell.value) for cell in row]
            for i, formula in enumerate(written_as):
                if cells[i] == "" and formula.data_type == "f":
                    raise _no_value(source, number, i, formula.value)
            while cells and not cells[-1]:
                cells.pop()
            comment = reading.comment
            if cells and not (comment is not None and cells[0].startswith(comment)):
                yield number, ",".join(cells), cells


def _no_value(source: Source, number: int, i: int, formula: Any) -> DataError:
    """Return the error of a formula that was never computed."""
    got = f"{source.path} row {number}, column {i + 1} holds the formula {formula} without a value"
    return DataError(
        f"{got}: open the file in Excel or LibreOffice and save it, which computes it."
    )


def _sheets(source: Source, reading: Reading, stack: ExitStack) -> tuple[Any, Any]:
    """Open the sheet to read twice: for its values, and for its formulas."""
    try:
        import openpyxl
    except ImportError as error:
        needed = f"{source.path} needs openpyxl to be read"
        raise DataError(f"{needed}: pip install 'xpmlp[data]'.") from error
    books = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what openpyxl leaves out: styles, validation
        for values in (True, False):
            file = stack.enter_context(open(source.file, "rb"))
            book = openpyxl.load_workbook(file, read_only=True, data_only=values)
            stack.callback(book.close)
            books.append(book)
    name = _chosen(source, reading, books[0])
    for book in books:
        book[name].reset_dimensions()  # what some programs write of them is wrong
    return books[0][name], books[1][name]


def _chosen(source: Source, reading: Reading, book: Any) -> str:
    """Return the name of the sheet to read: the one that is said, or the only one."""
    names = [sheet.title for sheet in book.worksheets]
    if reading.sheet is not None:
        near = did_you_mean(reading.sheet, names)
        got = f"{source.path} has no sheet {reading.sheet!r}, expected one of {listed(names)}"
        require(reading.sheet in names, f"{got}{near}")
        return reading.sheet
    shown = [sheet.title for sheet in book.worksheets if sheet.sheet_state == "visible"]
    remedy = f"say which by sheet={names[0]!r} (--sheet {names[0]!r})"
    got = f"{source.path} has {plural(len(shown), 'sheet')}, {listed(shown)}"
    require(len(shown) == 1, f"{got}: {remedy}.")
    return shown[0]


def _text(value: Any) -> str:
    """Return a value of a cell as text, "" where there is none."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime) and value.time() == time():
        return value.date().isoformat()
    if isinstance(value, datetime):
        return value.isoformat(" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return _duration(value)
    return str(value)


def _duration(value: timedelta) -> str:
    """Return a duration as "1 days 03:00:00"."""
    rest = value - timedelta(days=value.days)
    return f"{value.days} days {str(rest).rjust(8, '0')}"
