"""Raw tables: CSV and Parquet through DuckDB, their types decided once, every bad row told."""

import csv
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..atomic import StrPath, atomic_write
from ..errors import DataError
from ..words import first_of, listed, nearest, plural, shortened
from .common import Table, infer_task, require
from .csv_repair import BadRow
from .duckdb_frame import SheetFrame
from .duckdb_source import PARQUET, Sheet, open_sheet
from .frame import Frame
from .types import ALL, MISSING, Column, columns_of, described

__all__ = ["MISSING", "PARQUET", "BadRow", "RawTable", "open_table", "read_features", "read_table"]
POLICIES = ("error", "skip", "quarantine")
LISTED = 10  # bad rows that are told
LABEL = 200  # characters of the longest label
IN_MEMORY = 1 << 29  # bytes, about, up to which features are a Frame
BYTES = {"number": 8, "date": 8, "category": 64}  # a cell, about


@dataclass(frozen=True, eq=False)
class RawTable:
    """A table as it stands in a file, without its bad rows.

    features: a Frame, or where that would be large a SheetFrame, which can be read as long as the
    table is open. y: (n,) float64, int64 or text, or None; task: "classification", "regression" or
    "". bad_rows: what was left out; columns: what the file's columns were taken for; types: that of
    the features, by name, as `open_table(known=)` takes it.
    """

    name: str
    features: Any
    y: Any
    task: str
    target_name: str | None
    bad_rows: list[BadRow]
    columns: list[Column]
    types: dict[str, str]
    sheet: Sheet
    left_out: np.ndarray  # rows of the sheet, ascending

    def lines(self, rows: Any = slice(None)) -> np.ndarray:
        """Return the lines of the file in which rows begin; their numbers, from 1, in Parquet."""
        kept = np.arange(len(self.features))[rows]
        gaps = self.left_out - np.arange(len(self.left_out))
        return self.sheet.lines(kept + np.searchsorted(gaps, kept, "right"))

    def describe(self) -> str:
        """Return what the columns were taken for and what they hold, a line each."""
        return described(self.sheet.connection, self.columns, self.target_name)

    def summary_of_bad_rows(self) -> str:
        """Return the rows that were left out, the first of them a line each; "" if none."""
        if not self.bad_rows:
            return ""
        told = [f"  {_told(self.sheet.place, row)}" for row in self.bad_rows[:LISTED]]
        more = len(self.bad_rows) - len(told)
        told += [f"  and {more:,} more"] if more else []
        return "\n".join([f"{plural(len(self.bad_rows), 'row')} left out of {self.name}:", *told])


@contextmanager
def open_table(
    path: StrPath,
    *,
    target: str | None = "",
    types: Mapping[str, str] | None = None,
    known: Mapping[str, str] | None = None,
    on_bad_row: str = "error",
    max_bad_rows: float | None = None,
    quarantine: StrPath | None = None,
) -> Iterator[RawTable]:
    """Open a raw table: a CSV (.csv, .tsv, also gzipped) or Parquet file.

    A CSV's delimiter is the most frequent of ``, ; tab |`` in its first line, which holds the
    column names, unless it is all numbers: then the columns are called x0, x1, ...
    What a column holds is decided once, over all its rows. Where 95 % of the cells that are not
    missing are finite numbers, it is "number" - unless all are as long and some begin with 0, as
    postal codes do -, likewise "number:point" (1,234.5), "number:comma" (1.234,5), "boolean" (true,
    false in any case), "date" (2024-12-31, also with a time) or "date:%d.%m.%Y", "date:%d/%m/%Y",
    "date:%m/%d/%Y" (also with a time); else it is "category", which is text. A Parquet file's
    columns hold what it says. A cell is missing where it is empty or one of `MISSING` (of a
    "category:all", only where it is empty). Rows with too few or too many cells, broken quotes or
    text that is not UTF-8, with a cell that is not what its column holds, or no target, are bad.

    Parameters
    ----------
    target
        The column to predict, None if there is none; "": the last one, or none if `known` is given.
        It is text unless more than half of its cells are numbers.
    types
        What columns hold, by name, instead of what they would be taken for.
    known
        The features' types as a model has them: exactly these columns are read, by their names
        (by position where the file has no header); others are ignored.
    on_bad_row
        "error"; "skip": leave bad rows out; "quarantine": also write them to a CSV file with the
        columns line, column, reason, text, once the ``with`` ends without an error.
    max_bad_rows
        More of them are an error: a number, or below 1 a share of the rows.
    quarantine
        That file (the table's path and ``.bad.csv``).

    Raises
    ------
    DataError
        With path, line, column and the text found there.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "people.csv")
    ...     _ = path.write_text("age,city,rich\\n30,Rome,no\\n?,Oslo,yes\\n41,Rome,no\\n")
    ...     with open_table(path) as table:
    ...         print(table.types, table.features.column(0), table.y)
    {'age': 'number', 'city': 'category'} [30. nan 41.] ['no' 'yes' 'no']
    """
    names = ", ".join(POLICIES)
    require(on_bad_row in POLICIES, f"on_bad_row is {on_bad_row!r}, expected one of {names}.")
    with open_sheet(path) as sheet:
        require(sheet.n_rows + len(sheet.bad_rows) > 0, f"{path} has column names but no rows.")
        if target == "":
            target = sheet.columns[-1] if known is None else None
        sheet, features = _wanted(sheet, target, known)
        chosen = [name for name in sheet.columns if name == target or name in features]
        columns = columns_of(sheet, chosen, {**(known or {}), **(types or {})}, target)
        dates = next((c for c in columns if c.name == target and c.frame_kind == "date"), None)
        what = f"{path}, column {target!r} holds dates, expected a target of numbers or labels."
        require(dates is None, what)
        faults = _Faults(sheet, columns, target)
        bad_rows, left_out = faults.found(on_bad_row, max_bad_rows)
        table = _loaded(sheet, columns, features, target, faults, bad_rows, left_out)
        if table.y is not None and known is None:
            got = f"{path}, column {target!r}: every row holds {table.y[0]!s}"
            require(bool(np.any(table.y != table.y[0])), f"{got}, expected different targets.")
        yield table
        if on_bad_row == "quarantine" and bad_rows:
            _write(quarantine or f"{path}.bad.csv", bad_rows)


def _wanted(
    sheet: Sheet, target: str | None, known: Mapping[str, str] | None
) -> tuple[Sheet, list[str]]:
    """Return the sheet, its columns called as a model does if need be, and the features."""
    features = [name for name in (sheet.columns if known is None else known) if name != target]
    if not sheet.has_header and len(sheet.columns) == len(features):
        sheet = replace(sheet, columns=tuple(features))
    there = listed(sheet.columns)
    missing = [name for name in features if name not in sheet.columns]
    if missing:
        near = listed(dict.fromkeys(nearest(name, sheet.columns) for name in missing[:3]))
        got = f"{sheet.path} lacks the model's {listed(missing)}"
        raise DataError(f"{got}: it has the columns {there}; the nearest are {near}.")
    if target is not None and target not in sheet.columns:
        near = f"did you mean {nearest(target, sheet.columns)!r}?"
        raise DataError(f"{sheet.path} has no column {target!r}, expected one of {there}; {near}")
    got = f"{sheet.path} has one column, {sheet.columns[0]!r}"
    require(bool(features), f"{got}, expected features and a target.")
    return sheet, features


class _Faults:
    """Which rows of a sheet are bad, by the cells of its columns."""

    def __init__(self, sheet: Sheet, columns: list[Column], target: str | None):
        faults = [
            (c, f"({c.bad} OR {c.missing})" if c.name == target else c.bad) for c in columns
        ]  # fmt: skip
        self.sheet, self.target = sheet, target
        self.faults = [(column, fault) for column, fault in faults if fault != "false"]
        self.sql = " OR ".join(fault for _, fault in self.faults) or "false"

    def found(self, policy: str, most: float | None) -> tuple[list[BadRow], np.ndarray]:
        """Return the bad rows by line, and which rows of the sheet are left out; or raise."""
        sheet = self.sheet
        n_cells = sheet.query("count(*)", f"WHERE {self.sql}").fetchone()[0]
        n_bad, n_rows = n_cells + len(sheet.bad_rows), sheet.n_rows + len(sheet.bad_rows)
        if n_bad == 0:
            return [], np.zeros(0, np.int64)
        limit = LISTED if policy == "error" else None
        most = n_rows if most is None else most if most >= 1 else most * n_rows
        if n_bad > most and policy != "error":
            limit = LISTED
        bad_cells, left_out = self._bad_cells(limit) if n_cells else ([], np.zeros(0, np.int64))
        bad_rows = sorted(bad_cells + sheet.bad_rows[:limit])
        if limit is not None:
            raise DataError(self._refusal(bad_rows, n_bad, n_rows, policy, most))
        return bad_rows, left_out

    def _bad_cells(self, limit: int | None) -> tuple[list[BadRow], np.ndarray]:
        """Return rows with a bad cell, the first of each row, and where they are in the sheet."""
        of, text = (
            "CASE " + " ".join(f"WHEN {fault} THEN {then(i, c)}" for i, (c, fault) in
                               enumerate(self.faults)) + " END"
            for then in (lambda i, c: str(i), lambda i, c: f"{c.field}::VARCHAR")
        )  # fmt: skip
        rest = f"WHERE {self.sql} ORDER BY rowid" + ("" if limit is None else f" LIMIT {limit}")
        found = self.sheet.query(f"rowid, {of}, {text}", rest).fetchall()
        rows = np.asarray([row for row, _, _ in found], np.int64)
        made = []
        for line, (_, i, cell) in zip(self.sheet.lines(rows).tolist(), found):
            column = self.faults[i][0]
            gone = column.name == self.target and (cell is None or cell in MISSING)
            kept = f" ({cell} as a label: --types {column.name}={ALL})" if gone and cell else ""
            reason = f"the target is missing{kept}" if gone else f"expected {column.expected}"
            made.append(BadRow(line, column.name, reason, cell or ""))
        return made, rows

    def _refusal(self, bad_rows, n_bad, n_rows, policy, most):
        """Say what is wrong with the first row, where others are, and what to do."""
        first, place = bad_rows[0], self.sheet.place
        told = f"{self.sheet.path} {_told(place, first)}"
        if n_bad > 1:
            others = first_of([str(row.line) for row in bad_rows[1:]], 5)
            told += f"; {n_bad:,} of {n_rows:,} rows are bad, the next in {place} {others}"
        if policy == "error":
            return f"{told}: mend them, or leave them out by on_bad_row='skip' (--on-bad-row skip)."
        return f"{told}: that is more than the {most:g} of max_bad_rows (--max-bad-rows)."


def _loaded(sheet, columns, features, target, faults, bad_rows, left_out):
    """Make DuckDB's table `data` of what is kept, and the record of it."""
    n_rows = sheet.n_rows - len(left_out)
    if n_rows == 0:
        raise DataError(
            f"{sheet.path} has no good row, the first: {_told(sheet.place, bad_rows[0])}."
        )
    values = ", ".join(f"{column.value} AS {column.field}" for column in columns)
    good = f"NOT coalesce({faults.sql}, false)" if len(left_out) else "true"
    sheet.connection.execute(f"CREATE TABLE data AS SELECT {values} FROM raw WHERE {good}")
    sheet.connection.execute("DROP TABLE raw")
    names, kinds, fields = zip(*((c.name, c.frame_kind, c.field) for c in columns))
    frame = SheetFrame(sheet.connection, names, kinds, fields, np.arange(n_rows))
    y, task = None, ""
    if target is not None:
        at = names.index(target)
        if kinds[at] == "category":
            longest = sheet.connection.execute(f"SELECT max(length({fields[at]})) FROM data")
            n = longest.fetchone()[0] or 0
            got = f"{sheet.path}, column {target!r} holds text of {n:,} characters"
            require(n <= LABEL, f"{got}, expected labels: name the target (--target).")
        y, task = infer_task(_values(frame.select([target])))
    part = frame.select(features)
    small = n_rows * sum(BYTES[kind] for kind in part.kinds) <= IN_MEMORY
    types = {column.name: column.kind for column in columns}
    types = {name: types[name] for name in features}
    return RawTable(
        sheet.path.name, part.in_memory() if small else part, y, task, target, bad_rows, columns,
        types, sheet, left_out,
    )  # fmt: skip


def _told(place: str, row: BadRow) -> str:
    """Return a bad row as text."""
    column = f", column {row.column!r}" if row.column else ""
    got = f"got {shortened(row.text.strip(), 60)!r}" if row.text else "the cell is empty"
    return f"{place} {row.line}{column}: {got}, {row.reason}"


def _values(column: SheetFrame) -> np.ndarray:
    """Return the values of a frame's only column, text at its width: it takes less than objects."""
    blocks = (block.column(0) for block in column.blocks())
    return np.concatenate([a.astype(str) if a.dtype == object else a for a in blocks])


def _write(path: StrPath, bad_rows: list[BadRow]) -> None:
    """Write bad rows to a CSV file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([BadRow._fields, *bad_rows])
    atomic_write(path, text.getvalue().encode("utf-8", "replace"))


def read_table(path: StrPath, target: str | None = None) -> Table:
    """Read features and a target from a CSV or Parquet file without bad rows; see `open_table`.

    The features are numbers (n, d) where all columns are and no cell is missing, else a Frame.
    """
    with open_table(path, target=target or "") as table:
        frame = table.features if isinstance(table.features, Frame) else table.features.in_memory()
        X: Any = _matrix(frame) if set(frame.kinds) == {"number"} else frame
        X = frame if X is not frame and np.isnan(X).any() else X
        return Table(table.name, X, table.y, frame.names, table.target_name or "", table.task)


def read_features(
    path: StrPath, names: list[str] | None, n_features: int, target: str | None
) -> np.ndarray:
    """Read the features (n, n_features), all numbers, of a table that may hold the target.

    Columns are found by name; by position, leaving out the target, where `names` is None or the
    file has no header.
    """
    if names is None:
        with open_sheet(path) as sheet:
            columns = list(sheet.columns)
        names = [name for name in columns if name != target]
        names = columns if len(columns) == n_features else names
        got = f"{path} has {len(columns)} columns, {listed(columns)}"
        require(len(names) == n_features, f"{got}, expected the model's {n_features} features.")
    with open_table(path, known=dict.fromkeys(names, "number")) as table:
        return array_of(table)


def array_of(table: RawTable) -> np.ndarray:
    """Return the features (n, n_features) of a table of numbers, none of which may be missing."""
    X = _matrix(table.features)
    empty = np.argwhere(np.isnan(X))
    if len(empty):
        row, i = empty[0].tolist()
        place = f"{table.sheet.place} {table.lines([row])[0]}, column {table.features.names[i]!r}"
        raise DataError(f"{table.sheet.path} {place}: the cell is empty, expected a finite number.")
    return X


def _matrix(frame: Any) -> np.ndarray:
    return np.column_stack([frame.column(i) for i in range(len(frame.names))])
