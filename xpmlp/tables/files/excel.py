"""Excel files: a sheet as rows of text."""

import re
import warnings
import zipfile
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from itertools import islice, repeat
from pathlib import Path
from typing import Any

from ...errors import DataError
from ...words import did_you_mean, listed, plural
from ..common import require
from ..memory import check_memory
from ..reading import Reading
from .csv_repair import BadRow, Converted, bounded, write_rows, written
from .csv_rows import CSVRow
from .dialect import SAMPLE, check_title
from .header import header_of
from .packing import check_unpacked, sizes_of
from .source import BLOCK, Source

SHEETS = "xl/worksheets/"  # which are read row by row; all else is in memory
IN_MEMORY = 20  # times its size: empty strings take most
SMALL, MOST_TIMES = 16 << 20, 100  # see `check_unpacked`: a MB of XML takes seconds
MOST_ROWS = 1 << 20  # which a sheet can have
FORMULA = re.compile(rb"<f[ >/]")  # the tag of one in a sheet


def convert_excel(
    source: Source, reading: Reading, known: Collection[str], to: Path, allowed: int
) -> tuple[Converted, bool]:
    """Write the rows of a sheet as CSV. Returns what was written, and whether there are names.

    allowed: bytes of memory that it may take.
    """
    _check_parts(source, allowed)
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
    n_rows, breaks = write_rows(to, bounded(_good(found, columns, bad_rows), source))
    types = ("VARCHAR",) * len(columns)
    return Converted(columns, types, n_rows, "row", bad_rows, breaks, notes), named


def _check_parts(source: Source, allowed: int) -> None:
    """Raise DataError where the parts of a file are too large for what they are packed to."""
    sizes, packed = sizes_of(source.file, source.path), source.file.stat().st_size
    check_unpacked(source.path, sum(sizes.values()), packed, SMALL, MOST_TIMES)
    others = sum(size for name, size in sizes.items() if not name.startswith(SHEETS))
    what = f"{others:,} bytes of strings and styles"
    check_memory(source.path, what, IN_MEMORY * others, allowed)


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
        computed, empty, n_cells, packed = False, None, 0, source.file.stat().st_size
        for number, (row, written_as) in enumerate(zip(values, formulas), 1):
            require(number <= MOST_ROWS, f"{source.path} has a row beyond {MOST_ROWS:,}.")
            n_cells += len(row)  # of which there are more than the file holds: gaps are filled
            check_unpacked(source.path, n_cells, packed)
            cells = list(map(_text, row))
            for i, formula in enumerate(written_as):
                if isinstance(formula, str) and formula.startswith("="):
                    computed = computed or cells[i] != ""
                    empty = empty or (number, i, formula)
            while cells and not cells[-1]:
                cells.pop()
            comment = reading.comment
            left_out = comment is not None and cells[:1] and cells[0].startswith(comment)
            if cells and not left_out and number > reading.skip_rows:
                yield number, ",".join(cells), cells
        if empty and not computed:  # a formula may be empty, but not all of them
            raise _no_value(source, *empty)


def _no_value(source: Source, number: int, i: int, formula: Any) -> DataError:
    """Return the error of a formula that was never computed."""
    got = f"{source.path} row {number}, column {i + 1} holds the formula {formula} without a value"
    return DataError(
        f"{got}: open the file in Excel or LibreOffice and save it, which computes it."
    )


def _sheets(source: Source, reading: Reading, stack: ExitStack) -> tuple[Any, Any]:
    """Return the rows of the sheet to read: its values, and its formulas, () where none is."""
    book = _book(source, stack, data_only=True)
    name = _chosen(source, reading, book)
    formulas: Iterator[tuple[Any, ...]] = repeat(())
    if _has_formulas(source):
        formulas = _values(_book(source, stack, data_only=False)[name])
    return _values(book[name]), formulas


def _values(sheet: Any) -> Iterator[tuple[Any, ...]]:
    sheet.reset_dimensions()  # what some programs write of them is wrong
    return sheet.iter_rows(values_only=True)


def _book(source: Source, stack: ExitStack, *, data_only: bool) -> Any:
    """Open a file, until the stack closes it; data_only: values instead of formulas."""
    try:
        import openpyxl
    except ImportError as error:
        needed = f"{source.path} needs openpyxl to be read"
        raise DataError(f"{needed}: pip install 'xpmlp[data]'.") from error
    file = stack.enter_context(open(source.file, "rb"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what openpyxl leaves out: styles, validation
        book = openpyxl.load_workbook(file, read_only=True, data_only=data_only)
    stack.callback(book.close)
    return book


def _has_formulas(source: Source) -> bool:
    """Tell whether any sheet of a file has formulas, without parsing all of it."""
    with zipfile.ZipFile(source.file) as archive:
        for name in archive.namelist():
            if not name.startswith(SHEETS):
                continue
            with archive.open(name) as sheet:
                end = b""
                while block := sheet.read(BLOCK):
                    if FORMULA.search(end + block):
                        return True
                    end = block[-2:]
    return False


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
