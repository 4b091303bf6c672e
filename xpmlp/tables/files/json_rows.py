"""JSON: an object a line, or an array of objects, as rows of text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import DataError
from ..common import opened, opened_text, require
from .csv_repair import BadRow, Converted, write_rows, written
from .source import Source

NESTED = "lists or objects"  # the type of a column that holds such

Row = tuple[int, dict[str, Any] | str, str]  # line or number, an object or what is wrong, text


def convert_json(source: Source, to: Path) -> Converted:
    """Write the rows of a JSON file as CSV; numbers keep the text that they have in the file."""
    columns: dict[str, bool] = {}  # name -> whether a cell of it is nested
    bad_rows: list[BadRow] = []
    unit, rows = _rows(source)
    for line, row, text in rows:
        if isinstance(row, str):
            bad_rows.append(BadRow(line, "", row, text))
            continue
        for name, value in row.items():
            columns[name] = columns.get(name, False) or isinstance(value, dict | list)
    first = f", the first: {bad_rows[0].sentence(unit)}" if bad_rows else ""
    require(bool(columns), f"{source.path} holds no objects with values{first}.")
    _, rows = _rows(source)
    n_rows, breaks = write_rows(to, _good(rows, tuple(columns)))
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
    with opened_text(source.file, source.path) as lines:
        for number, line in enumerate(lines, source.first_line):
            if line.strip():
                yield number, *_parsed(line.strip())


def _parsed(line: str) -> tuple[dict[str, Any] | str, str]:
    """Return the object in a line, or what is wrong with it, and the line as it can be shown."""
    shown = line.encode("utf-8", "replace").decode()
    if shown != line:
        return "the text is not UTF-8", shown
    try:
        found = _loads(line)
    except ValueError as error:
        reason = str(error).partition(": line")[0]
        return f"expected a JSON object: {reason[:1].lower()}{reason[1:]}", shown
    return _checked(found, line), shown


def _of_array(source: Source) -> Iterator[Row]:
    """Yield the rows of a file that is one array."""
    with opened(source.file, source.path) as stream:
        data = stream.read()
    try:
        found = _loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source.path} is no JSON: {error}.") from error
    for number, value in enumerate(found, 1):
        text = json.dumps(value)
        yield number, _checked(value, text), text


def _loads(text: str) -> Any:
    """Parse JSON; numbers, also NaN, stay text, so that they are read like those of a CSV file."""
    return json.loads(
        text, parse_float=str, parse_int=str, parse_constant=str, object_pairs_hook=_object
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


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
    return json.dumps(value, ensure_ascii=False)
