"""Raw tables: a CSV or Parquet file as DuckDB's table `raw`, and the line of each of its rows."""

import glob
import gzip
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from errno import ENOSPC
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np

from ..atomic import StrPath
from ..errors import DataError
from .common import opened, require
from .csv_repair import BadRow, Dialect, clean, count_lines, dialect_of
from .reading import Reading

PARQUET = (".parquet", ".pq")
INDEX = re.compile(r"__index_level_\d+__")
ON_DISK = 256 << 20  # bytes of a file whose rows go to a scratch file
UNPACKED = 8  # what gzip and Parquet save, about
PLAIN = Reading()


@dataclass(frozen=True)
class RawTable:
    """A file as DuckDB's table `raw`: c0, c1, ... are called `columns`, and hold `types`.

    types: "VARCHAR" (trimmed, NULL where empty), "DOUBLE", "BOOLEAN", "TIMESTAMP", or in Parquet
    any other, which `raw` has as text. unit: what rows are found by in the file, "line" or "row".
    bad_rows: what is not in `raw`. breaks: rows from which a row's line minus its number in `raw`
    changes, and that difference. reading: how the file was read.
    """

    path: Path
    connection: Any
    columns: tuple[str, ...]
    types: tuple[str, ...]
    n_rows: int
    has_header: bool = True
    unit: str = "row"
    bad_rows: list[BadRow] = field(default_factory=list)
    breaks: tuple[np.ndarray, np.ndarray] = (np.asarray([0]), np.asarray([1]))
    reading: Reading = PLAIN

    def stored(self, name: str) -> str:
        """Return the type of a column."""
        return self.types[self.columns.index(name)]

    def query(self, select: str, rest: str = "") -> Any:
        """Select from `raw`."""
        return self.connection.execute(f"SELECT {select} FROM raw {rest}")

    def lines(self, rows: np.ndarray) -> np.ndarray:
        """Return the lines on which rows of `raw` begin (in Parquet, their numbers from 1)."""
        starts, offsets = self.breaks
        return rows + offsets[np.searchsorted(starts, rows, "right") - 1]


@contextmanager
def open_raw_table(path: StrPath, reading: Reading = PLAIN) -> Iterator[RawTable]:
    """Load a file; what DuckDB refuses while it is in use becomes a DataError."""
    try:
        import duckdb
    except ImportError as error:
        raise DataError(f"{path} needs DuckDB to be read: pip install 'xpmlp[data]'.") from error
    path = Path(path)
    require(not path.is_dir(), f"{path} is a folder, expected a CSV or Parquet file.")
    parquet = path.suffix.lower() in PARQUET
    with opened(path) as file:  # a missing file is reported as by every reader
        packed = parquet or isinstance(file, gzip.GzipFile)
    large = path.stat().st_size * UNPACKED**packed > ON_DISK
    try:
        with TemporaryDirectory(prefix="xpmlp-", ignore_cleanup_errors=True) as folder:
            with duckdb.connect(f"{folder}/rows.duckdb" if large else ":memory:") as connection:
                connection.execute(f"SET temp_directory = {literal(folder)}")
                _leave_memory(connection)
                connection.execute("SET TimeZone = 'UTC'")
                # Which DuckDB prints by itself in a notebook.
                connection.execute("SET enable_progress_bar = false")
                # Else each IN becomes a join, and 300 columns take minutes; and a Parquet file's
                # statistics, which say nothing of NaN, are taken to mean that there is none.
                optimizers = "in_clause,common_subexpressions,statistics_propagation"
                connection.execute(f"SET disabled_optimizers = '{optimizers}'")
                if parquet:
                    raw = _load_parquet(path, connection)
                else:
                    raw = _load_csv(path, connection, Path(folder, "clean.csv"), reading)
                yield replace(raw, reading=reading)
    except RuntimeError as error:
        if str(error) != "Query interrupted":  # how DuckDB tells of Ctrl-C
            raise
        raise KeyboardInterrupt from error
    except duckdb.OutOfMemoryException as error:
        raise MemoryError(f"{path} does not fit the memory: {_first_line(error)}") from error
    except duckdb.Error as error:
        full = "space" in str(error) or "Could not write" in str(error)
        if full and isinstance(error, duckdb.IOException):
            raise _full() from error
        raise DataError(f"{path} cannot be read: {_first_line(error)}") from error


def _leave_memory(connection: Any) -> None:
    """Halve the memory that DuckDB takes, which is 80 % of the machine's: a model wants some too.

    As "40%" DuckDB takes that since 2.0.
    """
    row = connection.execute("SELECT current_setting('memory_limit')").fetchone()
    size, unit = row[0].split()  # "18.8 GiB"
    if unit != "PiB":  # DuckDB 1.3 may find no limit, and refuses its own words for that
        connection.execute(f"SET memory_limit = '{float(size) / 2:.1f} {unit}'")


def _full() -> OSError:
    remedy = "no space left for the rows of the table: let TMPDIR name a larger disk"
    return OSError(ENOSPC, remedy, gettempdir())


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]


def _load_parquet(path: Path, connection: Any) -> RawTable:
    """Load a Parquet file with the types it has."""
    pattern = [glob.escape(str(path))]
    described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", pattern).fetchall()
    # What pandas writes of an index without a name is no column of the table.
    kept = [i for i, row in enumerate(described) if not INDEX.fullmatch(row[0])]
    columns = tuple(described[i][0] for i in kept)
    made = [_parquet_column(f"t{i}", described[i][1]) for i in kept]
    aliases = ", ".join(f"t{i}" for i in range(len(described)))
    selected = ", ".join(f"{sql} AS c{i}" for i, (_, sql) in enumerate(made))
    read = f"CREATE TABLE raw AS SELECT {selected} FROM read_parquet(?) AS t({aliases})"
    n_rows = connection.execute(read, pattern).fetchone()[0]
    return RawTable(path, connection, columns, tuple(kind for kind, _ in made), n_rows)


def _parquet_column(c: str, kind: str) -> tuple[str, str]:
    """Return the type of a column of `raw`, its own if it is of no use, and the SQL of it."""
    if kind == "BOOLEAN":
        return "BOOLEAN", c
    if kind in ("FLOAT", "DOUBLE"):  # not a number is what others write for a missing one
        return "DOUBLE", f"CASE WHEN NOT isnan({c}) THEN {c}::DOUBLE END"
    if kind.startswith("DECIMAL") or kind.endswith(("INT", "INTEGER")):
        return "DOUBLE", f"{c}::DOUBLE"
    if "TIMESTAMPTZ" in kind or "WITH TIME ZONE" in kind:  # of nanoseconds, too
        return "TIMESTAMP", f"make_timestamp(epoch_us({c}::TIMESTAMPTZ))"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return "TIMESTAMP", f"make_timestamp(epoch_us({c}))"
    if kind in ("VARCHAR", "UUID", '"NULL"') or kind.startswith("ENUM"):
        return "VARCHAR", _text(c)
    return kind, _text(c)


def _text(c: str) -> str:
    return f"nullif(trim({c}::VARCHAR), '')"


def _load_csv(path: Path, connection: Any, scratch: Path, reading: Reading) -> RawTable:
    """Load a CSV file as text, and tell which of its lines are no rows.

    DuckDB reads a file fast and right where each line is a row. Where one is not, what it makes of
    broken rows and their places cannot be trusted, so they are taken out first.
    """
    from duckdb import InvalidInputException

    dialect, n_lines = dialect_of(path, reading), count_lines(path)
    header = int(dialect.has_header)
    bad_rows: list[BadRow] = []
    breaks = (np.asarray([0]), np.asarray([1 + header]))
    try:
        n_rows = _read(connection, dialect)
    except InvalidInputException:
        n_rows = -1
    if n_rows != n_lines - header:
        try:
            expected, bad_rows, breaks = clean(dialect, scratch)
        except OSError as error:
            if error.errno != ENOSPC:
                raise
            raise _full() from error
        written = Dialect(scratch, dialect.delimiter, dialect.columns, False, "none", "\n")
        n_rows = _read(connection, written)
        scratch.unlink()
        require(n_rows == expected, f"{path} cannot be read: its rows could not be told apart.")
    types = ("VARCHAR",) * len(dialect.columns)
    table = RawTable(path, connection, dialect.columns, types, n_rows, dialect.has_header)
    return replace(table, unit="line", bad_rows=bad_rows, breaks=breaks)


def _read(connection: Any, dialect: Dialect) -> int:
    """Create table `raw` from a file in which all rows are good; return their number."""
    names = [f"c{i}" for i in range(len(dialect.columns))]
    typed = ", ".join(f"{c}: 'VARCHAR'" for c in names)
    selected = ", ".join(f"{_text(c)} AS {c}" for c in names)
    read = (
        f"CREATE OR REPLACE TABLE raw AS SELECT {selected} FROM read_csv(?, auto_detect=false, "
        f"strict_mode=true, delim={literal(dialect.delimiter)}, quote='\"', escape='\"', "
        f"header={dialect.has_header}, columns={{{typed}}}, "
        f"compression='{dialect.compression}', new_line={ascii(dialect.line_end)})"
    )
    # DuckDB would read t1.csv for t[1].csv
    return connection.execute(read, [glob.escape(str(dialect.path))]).fetchone()[0]


def literal(text: Any) -> str:
    """Return a text as SQL has it."""
    return "'" + str(text).replace("'", "''") + "'"
