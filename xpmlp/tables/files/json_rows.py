"""JSON: an object a line, or an array of objects, as rows of text."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

from ...errors import DataError
from ..common import BLOCK, LONGEST, lines_of, opened, opened_text, require
from ..memory import check_table
from .csv_repair import BadRow, Converted, bounded, write_rows, written
from .source import Source

SPACE = re.compile(r"[ \t\r\n]*")
NESTED = "lists or objects"  # the type of a column that holds such

Row = tuple[int, dict[str, Any] | str, str]  # line or number, an object or what is wrong, text


def convert_json(source: Source, to: Path, allowed: int) -> Converted:
    """Write the rows of a JSON file as CSV; numbers keep the text that they have in the file.

    allowed: bytes of memory that they may take.
    """
    n_rows = 0
    columns: dict[str, bool] = {}  # name -> whether a cell of it is nested
    bad_rows: list[BadRow] = []
    unit, rows = _rows(source)
    for line, row, text in rows:
        if isinstance(row, str):
            bad_rows.append(BadRow(line, "", row, text))
            continue
        n_rows += 1
        for name, value in row.items():
            columns[name] = columns.get(name, False) or isinstance(value, dict | list)
    check_table(source.path, n_rows, len(columns), allowed)
    first = f", the first: {bad_rows[0].sentence(unit)}" if bad_rows else ""
    require(bool(columns), f"{source.path} holds no objects with values{first}.")
    _, rows = _rows(source)
    good = bounded(_good(rows, tuple(columns)), source)
    n_rows, breaks = write_rows(to, good)
    types = tuple(NESTED if nested else "VARCHAR" for nested in columns.values())
    return Converted(tuple(columns), types, n_rows, unit, bad_rows, breaks)


def _good(rows: Iterator[Row], columns: tuple[str, ...]) -> Iterator[tuple[int, bytes]]:
    """Yield line and text of each row that is an object."""
    for line, row, _ in rows:
        if isinstance(row, dict):
            yield line, written([_text(row.get(name)) for name in columns])


def _rows(source: Source) -> tuple[str, Iterator[Row]]:
    """Return what rows are counted by, and an iterator over them."""
    with opened(source.file, source.path) as stream:
        start = stream.read(1 << 16).removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith(b"["):
        return "row", _of_array(source)
    return "line", _of_lines(source)


def _of_lines(source: Source) -> Iterator[Row]:
    """Yield the rows of a file with an object a line."""
    with opened_text(source.file, source.path) as text:
        for number, line in enumerate(lines_of(text), source.first_line):
            if line.strip():
                yield number, *_parsed(line.strip())


def _parsed(line: str) -> tuple[dict[str, Any] | str, str]:
    """Return the object in a line, or what is wrong with it, and the line as it can be shown."""
    shown = line.encode("utf-8", "replace").decode()
    if shown != line:
        return "the text is not UTF-8", shown
    if len(line) > LONGEST:
        return f"the row is longer than {LONGEST:,} characters", shown
    try:
        return _checked(DECODER.decode(line), line), shown
    except RecursionError:
        return "the row is nested too deeply", shown
    except ValueError as error:
        reason = str(error).partition(": line")[0]
        return f"expected a JSON object: {reason[:1].lower()}{reason[1:]}", shown


def _of_array(source: Source) -> Iterator[Row]:
    """Yield the rows of a file that is one array."""
    number = 0
    with opened_text(source.file, source.path) as stream:
        try:
            for number, (value, text) in enumerate(_elements(stream), 1):
                shown = text.encode("utf-8", "replace").decode()
                if shown == text:
                    yield number, _checked(value, text), text
                else:
                    yield number, "the text is not UTF-8", shown
        except (ValueError, RecursionError) as error:
            reason = str(error).partition(": line")[0]
            if isinstance(error, RecursionError):
                reason = "its values are nested too deeply"
            place = f"{source.path} is no JSON after row {number:,}"
            raise DataError(f"{place}: {reason[:1].lower()}{reason[1:]}.") from error


def _elements(stream: TextIO) -> Iterator[tuple[Any, str]]:
    """Yield each element of an array and its text, which is read piece by piece."""
    text, at = "", 0

    def following() -> str:
        """Return the next character that is no space, with a whole element after it."""
        nonlocal text, at
        at = SPACE.match(text, at).end()  # type: ignore[union-attr]
        while len(text) - at <= LONGEST and (more := stream.read(4 * BLOCK)):
            text, at = text[at:] + more, 0
            at = SPACE.match(text, at).end()  # type: ignore[union-attr]
        return text[at : at + 1]

    mark, at = following(), at + 1
    if following() == "]":
        mark, at = "]", at + 1
    while mark != "]":
        following()
        value, end = DECODER.raw_decode(text, at)
        if end - at > LONGEST:
            raise ValueError(f"it is longer than {LONGEST:,} characters")
        yield value, text[at:end]
        at = end
        mark, at = following(), at + 1
        if mark not in (",", "]"):
            raise ValueError(f"expected ',' or the array's end, got {mark!r}")
    if following():
        raise ValueError("it goes on after the array's end")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


# Numbers, also NaN, stay text, so that they are read like those of a CSV file.
DECODER = json.JSONDecoder(
    parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_object
)


def _checked(value: Any, text: str) -> dict[str, Any] | str:
    """Return an object that can be written as a row, or what is wrong with it."""
    if not isinstance(value, dict):
        return "expected a JSON object, a name for each value"
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return "the text holds half of a character (a lone surrogate)"
    return value


def _text(value: Any) -> str:
    """Return a value as the text of a cell, "" where it is missing."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, dict | list):
        return NESTED  # which no column is read of: to write it may nest too deeply again
    return json.dumps(value)
