"""CSV and Parquet through DuckDB; the first bad row or cell is reported with line and column."""

import csv
import glob
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from .atomic import StrPath
from .common import Table, infer_task, opened, require

PARQUET = (".parquet", ".pq")
NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")


@dataclass(frozen=True)
class _Sheet:
    """A file loaded into DuckDB's table `data`, whose columns c0, c1, ... are called `columns`."""

    path: Path
    connection: Any
    columns: list[str]
    has_header: bool = True
    delimiter: str = ""  # empty: not a text file

    def query(self, select: str) -> Any:
        return self.connection.execute(f"SELECT {select} FROM data")

    def index(self, column: str) -> int:
        """Return the number of a column."""
        near = get_close_matches(column, self.columns, 1, 0)[0]
        expected = f"expected one of {_listed(self.columns)}; did you mean {near!r}?"
        require(column in self.columns, f"{self.path} has no column {column!r}, {expected}")
        return self.columns.index(column)

    def bad_cell(self, row: int, i: int) -> DataError:
        """Describe the cell that should have been a finite number, or a label."""
        ((text,),) = self.query(f"c{i}::VARCHAR").fetchmany(row + 1)[-1:]
        got = f"got {_short(text)}" if text and text.strip() else "the cell is empty"
        place = f"line {self._line(row)}" if self.delimiter else f"row {row + 1}"
        return DataError(
            f"{self.path} {place}, column {self.columns[i]!r}: {got}, expected a finite number "
            "(or in the target a label): mend or drop the row, or encode a text column as numbers."
        )

    def _line(self, row: int) -> int:
        """Return the line of the file on which a row starts, past blank lines and line breaks."""
        with opened(self.path) as file:
            text = io.TextIOWrapper(file, "utf-8-sig", newline="")
            reader = csv.reader(text, delimiter=self.delimiter)
            row, line = row + self.has_header, 1
            for cells in reader:
                if cells or len(self.columns) == 1:  # DuckDB skips the blank lines of wider files
                    row -= 1
                    if row < 0:
                        break
                line = reader.line_num + 1
        return line


def read_table(path: StrPath, target: str | None = None) -> Table:
    """Read features and a target from a CSV (.csv, .tsv, also gzipped) or Parquet file.

    A CSV's delimiter is the most frequent of ``, ; tab |`` in its first line, which holds the
    column names, unless it is all numbers: then the columns are called x0, x1, ...
    The target is the last column unless named; it may hold text labels, which it does where at
    most half its cells are numbers. Every other cell must be a finite number.

    Raises
    ------
    DataError
        With path, line, column and the text found there.
    """
    with _open_sheet(path) as sheet:
        names = sheet.columns
        got = f"{path} has one column, {names[0]!r}"
        require(len(names) > 1, f"{got}, expected features and a target.")
        at = len(names) - 1 if target is None else sheet.index(target)
        features = [i for i in range(len(names)) if i != at]
        X = _numbers(sheet, features)
        y, task = infer_task(_target(sheet, at))
    return Table(Path(path).name, X, y, tuple(names[i] for i in features), names[at], task)


def read_features(
    path: StrPath, names: list[str] | None, n_features: int, target: str | None
) -> np.ndarray:
    """Read the features (n, n_features) of a table that may or may not hold the target.

    Columns are found by name; by position, leaving out the target, where `names` is None or the
    file has no header.
    """
    with _open_sheet(path) as sheet:
        columns = sheet.columns
        if names is not None and sheet.has_header:
            missing = [name for name in names if name not in columns]
            got = f"{path} has the columns {_listed(columns)}"
            require(not missing, f"{got}, expected also the model's {_listed(missing)}.")
            return _numbers(sheet, [columns.index(name) for name in names])
        wanted = [i for i, name in enumerate(columns) if name != target]
        if len(columns) == n_features:
            wanted = list(range(n_features))
        got = f"{path} has {len(columns)} columns, {_listed(columns)}"
        require(len(wanted) == n_features, f"{got}, expected the model's {n_features} features.")
        return _numbers(sheet, wanted)


@contextmanager
def _open_sheet(path: StrPath) -> Iterator[_Sheet]:
    """Load a file; what DuckDB refuses while the sheet is in use becomes a DataError."""
    try:
        import duckdb
    except ImportError as error:
        raise DataError(f"{path} needs DuckDB to be read: pip install 'xpmlp[data]'.") from error
    path = Path(path)
    load = _load_parquet if path.suffix.lower() in PARQUET else _load_csv
    try:
        with duckdb.connect() as connection:
            sheet = load(path, connection)
            n_rows = sheet.query("count(*)").fetchone()[0]
            require(n_rows > 0, f"{path} has column names but no rows, expected at least one.")
            yield sheet
    except duckdb.Error as error:
        raise DataError(f"{path} cannot be read: {str(error).splitlines()[0]}") from error


def _load_parquet(path: Path, connection: Any) -> _Sheet:
    """Load a Parquet file with the types it has."""
    with opened(path):  # a missing file is told as everywhere
        pass
    literal = glob.escape(str(path))
    described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [literal])
    columns = [row[0] for row in described.fetchall()]
    aliases = ", ".join(f"c{i}" for i in range(len(columns)))
    read = f"CREATE TABLE data AS SELECT * FROM read_parquet(?) AS t({aliases})"
    connection.execute(read, [literal])
    return _Sheet(path, connection, columns)


def _load_csv(path: Path, connection: Any) -> _Sheet:
    """Load a CSV file as text, refusing rows that are too short, too long or badly quoted."""
    with opened(path) as file:
        text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        line = text.readline()
        counts = Counter(mark for mark in line if mark in ",;\t|")
        delimiter = counts.most_common(1)[0][0] if counts else ","
        cells = next(csv.reader(chain([line], text), delimiter=delimiter)) if line.strip() else []
        packed = isinstance(file, gzip.GzipFile)
        while packed and file.read(1 << 20):  # DuckDB does not look at gzip's checksum
            pass
    columns, has_header = _header(path, cells)
    read = (
        "CREATE TABLE data AS SELECT * FROM read_csv(?, auto_detect=false, store_rejects=true, "
        f"delim='{delimiter}', quote='\"', escape='\"', header={has_header}, strict_mode=true, "
        f"compression='{'gzip' if packed else 'none'}', columns={{"
        + ", ".join(f"c{i}: 'VARCHAR'" for i in range(len(columns)))
        + "})"
    )
    connection.execute(read, [glob.escape(str(path))])  # DuckDB would read t1.csv for t[1].csv
    reject = connection.execute(
        "SELECT line, column_name, csv_line, error_message FROM reject_errors "
        "ORDER BY line, column_idx LIMIT 1"
    ).fetchone()
    if reject:
        line_number, name, row, reason = reject
        column = repr(columns[int(name[1:])] if name else columns[-1])
        raise DataError(
            f"{path} line {line_number}, column {column}: got {_short(row)}, "
            f"{reason.strip().rstrip('.').lower()}: mend or delete that line."
        )
    return _Sheet(path, connection, columns, has_header, delimiter)


def _header(path: Path, cells: list[str]) -> tuple[list[str], bool]:
    """Return the columns' names, and whether the first line holds them."""
    require(cells != [], f"{path} line 1 is empty, expected column names.")
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell)]
    if len(numbers) == len(cells):
        return [f"x{i}" for i in range(len(cells))], False
    columns = [cell.strip() for cell in cells]
    # Names may be whole numbers (0, 1, ..., target); 5.1 beside 'setosa' is a row of data.
    row = next((cell for cell in numbers if not cell.strip().isdigit()), None)
    repeated = next((name for name, n in Counter(columns).items() if n > 1 or not name), None)
    expected = "expected a line of different column names (pandas: save with index=False)"
    for bad, what in ((row, "a number"), (repeated, "repeated or empty")):
        require(bad is None, f"{path} line 1: the column name {bad!r} is {what}, {expected}.")
    return columns, True


def _finite(i: int) -> str:
    """SQL: the cell is a finite number. NULL counts as none."""
    return f"coalesce(isfinite(TRY_CAST(c{i} AS DOUBLE)), false)"


def _numbers(sheet: _Sheet, wanted: list[int]) -> np.ndarray:
    """Return columns as float64 (n, len(wanted)), if every cell of theirs is a finite number."""
    firsts = ", ".join(f"min(rowid) FILTER (WHERE NOT {_finite(i)})" for i in wanted)
    rows = sheet.query(firsts).fetchone()
    bad = [(row, i) for row, i in zip(rows, wanted) if row is not None]
    if bad:
        raise sheet.bad_cell(*min(bad))
    values = sheet.query(", ".join(f"c{i}::DOUBLE AS c{i}" for i in wanted)).fetchnumpy()
    return np.column_stack([np.asarray(values[f"c{i}"]) for i in wanted])


def _target(sheet: _Sheet, i: int) -> np.ndarray:
    """Return the target (n,): float64, or text where at most half the cells are numbers."""
    label = f"trim(c{i}::VARCHAR)"
    missing = f"coalesce({label}, '') = '' OR NOT isfinite(TRY_CAST(c{i} AS DOUBLE))"
    n_rows, n_numbers, first_missing = sheet.query(
        f"count(*), count(*) FILTER (WHERE {_finite(i)}), min(rowid) FILTER (WHERE {missing})"
    ).fetchone()
    if 2 * n_numbers > n_rows:
        return _numbers(sheet, [i])[:, 0]
    if first_missing is not None:
        raise sheet.bad_cell(first_missing, i)
    return np.asarray(sheet.query(f"{label} AS label").fetchnumpy()["label"]).astype(str)


def _listed(names: list[str]) -> str:
    """Return the names for a message, a long list cut short."""
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(map(repr, names[:12])) + more


def _short(text: str) -> str:
    text = text.strip()
    return repr(text if len(text) <= 60 else text[:60] + "...")
