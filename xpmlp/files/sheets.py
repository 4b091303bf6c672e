"""Sheets: a CSV or Parquet file as DuckDB's table `raw`, and where in the file its rows stand."""

import csv
import glob
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from ..errors import DataError
from .atomic import StrPath
from .common import opened, require

PARQUET = (".parquet", ".pq")
NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
ON_DISK = 256 << 20  # bytes of a file whose rows go to a scratch file
UNPACKED = 8  # what gzip and Parquet save, about
MEMORY = "40%"  # of the machine's, for DuckDB: the model wants some too
LONGEST = 2_000_000  # bytes of a row, DuckDB's default
BROKEN = "quotes that are not closed, or mixed line ends (\\n and \\r\\n)"
# What DuckDB calls a row's fault, and what we do.
FAULTS = {
    "MISSING COLUMNS": "the row is too short",
    "TOO MANY COLUMNS": "the row is too long",
    "UNQUOTED VALUE": "a quote stands in the wrong place or is not closed",
    "INVALID ENCODING": "the text is not UTF-8",
    "LINE SIZE OVER MAXIMUM": "the row is longer than 2 MB",
}


class BadRow(NamedTuple):
    """A row that is left out. line: of the file, from 1 (the row's number in Parquet)."""

    line: int
    column: str
    reason: str
    text: str


@dataclass(frozen=True)
class Sheet:
    """A file as DuckDB's table `raw`: c0, c1, ... are called `columns`, and hold `types`.

    types: "VARCHAR" (trimmed, NULL where empty), "DOUBLE", "BOOLEAN" or "TIMESTAMP". n_lines: 0 in
    Parquet. broken: the lines at which rows begin that DuckDB left out, ascending.
    """

    path: Path
    connection: Any
    columns: tuple[str, ...]
    types: tuple[str, ...]
    has_header: bool = True
    delimiter: str = ""  # empty: not a text file
    n_lines: int = 0
    broken: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    def query(self, select: str, rest: str = "") -> Any:
        """Select from `raw`."""
        return self.connection.execute(f"SELECT {select} FROM raw {rest}")

    @cached_property
    def n_rows(self) -> int:
        """Count the rows that could be read."""
        return self.query("count(*)").fetchone()[0]

    @property
    def place(self) -> str:
        """Say what places are counted in."""
        return "line" if self.delimiter else "row"

    def lines(self, rows: np.ndarray) -> np.ndarray:
        """Return the lines on which rows of `raw` begin (in Parquet, their numbers from 1)."""
        if not self.delimiter:
            return rows + 1
        starts, offsets = self._breaks
        return rows + offsets[np.searchsorted(starts, rows, "right") - 1]

    @cached_property
    def _breaks(self) -> tuple[np.ndarray, np.ndarray]:
        """Return rows from which line minus row changes, and that difference."""
        first = 1 + self.has_header
        if not len(self.broken) and self.n_lines == self.n_rows + self.has_header:
            return np.asarray([0]), np.asarray([first])
        broken, found, row, line = set(self.broken.tolist()), [(0, first)], -self.has_header, 1
        for cells, end in self._records():
            if (cells or len(self.columns) == 1) and line not in broken:
                if row >= 0 and line - row != found[-1][1]:
                    found.append((row, line - row))
                row += 1
            line = end + 1
        require(row == self.n_rows, f"{self.path} cannot be counted in lines: it has {BROKEN}.")
        starts, offsets = np.asarray(found).T
        return starts, offsets

    def _records(self) -> Iterator[tuple[list[str], int]]:
        """Yield the cells and the last line of each row as it stands in the file."""
        limit = csv.field_size_limit(LONGEST)
        try:
            with opened(self.path) as file:
                text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
                reader = csv.reader(text, delimiter=self.delimiter, skipinitialspace=True)
                for cells in reader:
                    yield cells, reader.line_num
        finally:
            csv.field_size_limit(limit)

    def bad_lines(self, limit: int | None) -> list[BadRow]:
        """Return the rows that DuckDB left out, the first `limit` of them."""
        rows = self.connection.execute(REJECTS + ("" if limit is None else f" LIMIT {limit}"))
        found = []
        for line, (kind, name, text, message) in zip(self.broken.tolist(), rows.fetchall()):
            column = self.columns[int(name[1:]) if name else -1]
            text = text.strip("\r\n")
            reason = FAULTS.get(kind, message.strip().rstrip(".").lower())
            breaks = text.count("\n")
            reason += f" (it goes on for {breaks + 1} lines or more)" if breaks else ""
            found.append(BadRow(line, column, reason, text))
        return found


# A row that is too short may be told once a cell; any other fault of it says more.
REJECTS = (
    "SELECT error_type::VARCHAR, column_name, left(csv_line, 10000), error_message "
    "FROM (SELECT DISTINCT ON (line_byte_position) * FROM reject_errors "
    "ORDER BY line_byte_position, error_type = 'MISSING COLUMNS', column_idx) "
    "ORDER BY line_byte_position"
)


@contextmanager
def open_sheet(path: StrPath) -> Iterator[Sheet]:
    """Load a file; what DuckDB refuses while the sheet is in use becomes a DataError."""
    try:
        import duckdb
    except ImportError as error:
        raise DataError(f"{path} needs DuckDB to be read: pip install 'xpmlp[data]'.") from error
    path = Path(path)
    with opened(path) as file:  # a missing file is told as everywhere
        size = path.stat().st_size * (UNPACKED if isinstance(file, gzip.GzipFile) else 1)
    parquet = path.suffix.lower() in PARQUET
    try:
        with TemporaryDirectory(prefix="xpmlp-", ignore_cleanup_errors=True) as folder:
            large = size * (UNPACKED if parquet else 1) > ON_DISK
            where = str(Path(folder, "rows.duckdb")) if large else ":memory:"
            settings = {"temp_directory": folder, "memory_limit": MEMORY, "TimeZone": "UTC"}
            with duckdb.connect(where) as connection:
                for name, value in settings.items():
                    connection.execute(f"SET {name} = '{value}'")
                yield (_load_parquet if parquet else _load_csv)(path, connection)
    except duckdb.Error as error:
        reason = str(error).splitlines()[0]
        reason = f"it has {BROKEN}" if "invalid state" in reason else reason
        raise DataError(f"{path} cannot be read: {reason}.") from error


def _load_parquet(path: Path, connection: Any) -> Sheet:
    """Load a Parquet file with the types it has."""
    literal = glob.escape(str(path))
    described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [literal]).fetchall()
    columns = tuple(row[0] for row in described)
    made = [_parquet_column(path, f"c{i}", *row[:2]) for i, row in enumerate(described)]
    aliases = ", ".join(f"c{i}" for i in range(len(columns)))
    selected = ", ".join(f"{sql} AS c{i}" for i, (_, sql) in enumerate(made))
    read = f"CREATE TABLE raw AS SELECT {selected} FROM read_parquet(?) AS t({aliases})"
    connection.execute(read, [literal])
    return Sheet(path, connection, columns, tuple(kind for kind, _ in made))


def _parquet_column(path: Path, c: str, name: str, kind: str) -> tuple[str, str]:
    """Return the type of a column of `raw` and the SQL that makes it."""
    if kind in ("VARCHAR", "UUID") or kind.startswith("ENUM"):
        return "VARCHAR", _text(c)
    if kind == "BOOLEAN":
        return "BOOLEAN", c
    if kind in ("FLOAT", "DOUBLE"):  # not a number is what others write for a missing one
        return "DOUBLE", f"CASE WHEN NOT isnan({c}) THEN {c}::DOUBLE END"
    if kind.startswith("DECIMAL") or kind.endswith(("INT", "INTEGER")):
        return "DOUBLE", f"{c}::DOUBLE"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return "TIMESTAMP", f"make_timestamp(epoch_us({c}))"
    raise DataError(
        f"{path}, column {name!r} holds {kind}, expected numbers, text or dates: drop or flatten "
        "that column first."
    )


def _text(c: str) -> str:
    return f"nullif(trim({c}::VARCHAR), '')"


def _load_csv(path: Path, connection: Any) -> Sheet:
    """Load a CSV file as text, and where the rows are that are none."""
    with opened(path) as file:
        start = file.read(4)
        require(start[:2] not in (b"\xff\xfe", b"\xfe\xff"), _in_utf16(path))
    with opened(path) as file:
        text = io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline="")
        line = text.readline()
        counts = Counter(mark for mark in line if mark in ",;\t|")
        delimiter = counts.most_common(1)[0][0] if counts else ","
        cells = next(csv.reader(chain([line], text), delimiter=delimiter)) if line.strip() else []
        packed = isinstance(file, gzip.GzipFile)
    end = b"\n" if line.endswith("\n") else b"\r"
    n_lines = _count_lines(path, end)
    columns, has_header = _header(path, cells)
    names = [f"c{i}" for i in range(len(columns))]
    cells_of = ", ".join(f"{c}: 'VARCHAR'" for c in names)
    read = (
        f"CREATE TABLE raw AS SELECT {', '.join(f'{_text(c)} AS {c}' for c in names)} FROM "
        "read_csv(?, auto_detect=false, store_rejects=true, strict_mode=true, rejects_limit=0, "
        f"delim='{delimiter}', quote='\"', escape='\"', header={has_header}, "
        f"compression='{'gzip' if packed else 'none'}', "
        f"columns={{{cells_of}}})"
    )
    connection.execute(read, [glob.escape(str(path))])  # DuckDB would read t1.csv for t[1].csv
    # The byte is counted from 1 and may be a blank line's before: the text then begins with it.
    found = connection.execute(
        "SELECT line_byte_position - 1 AS byte, max(length(regexp_extract(csv_line, '^[\\r\\n]*')) "
        f"- length(replace(regexp_extract(csv_line, '^[\\r\\n]*'), chr({end[0]}), ''))) AS blank "
        "FROM reject_errors GROUP BY line_byte_position ORDER BY byte"
    ).fetchnumpy()
    bytes_, blank = (np.asarray(found[name]).astype(np.int64) for name in ("byte", "blank"))
    broken = _lines_of_bytes(path, end, bytes_) + blank if len(bytes_) else bytes_
    kinds = ("VARCHAR",) * len(columns)
    return Sheet(path, connection, columns, kinds, has_header, delimiter, n_lines, broken)


def _in_utf16(path: Path) -> str:
    return f"{path} is text in UTF-16, expected UTF-8: save it again as UTF-8."


def _blocks(path: Path) -> Iterator[bytes]:
    with opened(path) as file:
        while block := file.read(1 << 20):
            yield block


def _count_lines(path: Path, end: bytes) -> int:
    """Count lines; reading all also checks what gzip says of its text, which DuckDB does not."""
    n_lines, block = 0, b""
    for block in _blocks(path):
        if b"\0" in block:
            line = n_lines + block[: block.index(b"\0")].count(end) + 1
            what = "is that text, in UTF-8 (not UTF-16)?"
            raise DataError(f"{path} line {line} holds a NUL byte: {what}")
        n_lines += block.count(end)
    return n_lines + (not block.endswith(end))


def _lines_of_bytes(path: Path, end: bytes, bytes_: np.ndarray) -> np.ndarray:
    """Return the lines, from 1, in which bytes stand, which ascend."""
    lines, start, n_ends = np.ones_like(bytes_), 0, 0
    for block in _blocks(path):
        ends = np.flatnonzero(np.frombuffer(block, np.uint8) == end[0]) + start
        inside = (bytes_ >= start) & (bytes_ < start + len(block))
        lines[inside] = 1 + n_ends + np.searchsorted(ends, bytes_[inside])
        start, n_ends = start + len(block), n_ends + len(ends)
    return lines


def _header(path: Path, cells: list[str]) -> tuple[tuple[str, ...], bool]:
    """Return the columns' names, and whether the first line holds them."""
    require(cells != [], f"{path} line 1 is empty, expected column names.")
    numbers = [cell for cell in cells if NUMBER.fullmatch(cell)]
    if len(numbers) == len(cells):
        return tuple(f"x{i}" for i in range(len(cells))), False
    columns = [cell.strip() for cell in cells]
    # Names may be whole numbers that grow (0, 1, ..., target); 5.1 beside 'setosa' is data.
    whole = [cell for cell in numbers if cell.strip().isdigit()]
    grow = all(int(a) < int(b) for a, b in zip(whole, whole[1:]))
    row = next((cell for cell in numbers if cell not in whole or not grow), None)
    repeated = next((name for name, n in Counter(columns).items() if n > 1 or not name), None)
    expected = "expected a line of different column names (pandas: save with index=False)"
    for bad, what in ((row, "a number"), (repeated, "repeated or empty")):
        require(bad is None, f"{path} line 1: the column name {bad!r} is {what}, {expected}.")
    return tuple(columns), True


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the name that is written most like this one."""
    return get_close_matches(name, list(names), 1, 0)[0]


def listed(names: Iterable[Any]) -> str:
    """Return names for a message, a long list cut short."""
    names = list(names)
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return ", ".join(map(repr, names[:12])) + more


def short(text: str) -> str:
    """Return a text for a message, cut short."""
    text = text.strip()
    return repr(text if len(text) <= 60 else text[:60] + "...")
