"""Load a table file of any kind into DuckDB, so that every row is there or told of."""

import glob
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...arrays import free_memory
from ...atomic import StrPath
from ...errors import DataError, DataMemoryError
from ...leftovers import scratch_folder
from ...words import escaped, is_name
from ..common import require
from ..memory import UNITS, allowed_memory, check_table
from ..reading import PLAIN, WHITESPACE, Reading
from .csv_repair import WRITTEN, BadRow, clean
from .csv_rows import RowForm
from .dialect import Dialect, dialect_of
from .excel import convert_excel
from .json_rows import convert_json
from .parquet import load_parquet
from .raw_table import RawTable, known_text, literal, places
from .source import Source, disk_full, prepared
from .text_encoding import check_encoding, scan

# A file of more bytes, and more than this share of the free memory, has its rows in a scratch file,
# which takes twice the time; in memory rows take about four times the bytes.
ON_DISK, IN_MEMORY = 256 << 20, 1 / 16


@contextmanager
def open_raw_table(
    path: StrPath,
    reading: Reading = PLAIN,
    known: Collection[str] = (),
    keep: Collection[str] = (),
    max_memory: int | None = None,
) -> Iterator[RawTable]:
    """Load a file; what DuckDB refuses while it is in use becomes a DataError.

    known: names of columns that a model has, which are a header wherever they stand first; keep:
    of columns whose cells are wanted as they stand in the file, too, if it has such columns;
    max_memory: see `allowed_memory`.
    """
    try:
        import duckdb
    except ImportError as error:
        raise DataError(f"{path} needs DuckDB to be read: pip install 'xpmlp[data]'.") from error
    allowed = allowed_memory(max_memory)
    try:
        with scratch_folder() as folder:
            source, reading = prepared(path, reading, Path(folder), allowed)
            where = ":memory:"
            if source.size > max(ON_DISK, (free_memory(np.empty(0)) or 0) * IN_MEMORY):
                where = f"{folder}/rows.duckdb"
            with duckdb.connect(where) as connection:
                _set_up(connection, folder, allowed)
                scratch = Path(folder, "clean.csv")
                if source.kind == "parquet":
                    raw = load_parquet(source, connection, reading, keep, allowed)
                else:
                    load = _load_csv if source.kind == "csv" else _load_converted
                    raw = load(source, connection, scratch, reading, known, keep, allowed)
                if source.is_copy:
                    source.file.unlink()
                yield replace(raw, reading=reading)
    except RuntimeError as error:
        if str(error) != "Query interrupted":  # how DuckDB tells of Ctrl-C
            raise
        raise KeyboardInterrupt from error
    except duckdb.OutOfMemoryException as error:
        got = f"{path} does not fit the memory: {_first_line(error)}"
        raise DataMemoryError(f"{got}: allow more by max_memory= (--max-memory).") from error
    except duckdb.Error as error:
        full = "space" in str(error) or "Could not write" in str(error)
        if full and isinstance(error, duckdb.IOException):
            raise disk_full() from error
        raise DataError(f"{path} cannot be read: {_first_line(error)}") from error


def _set_up(connection: Any, folder: str, allowed: int) -> None:
    """Set what DuckDB takes of memory and disk, and what it does by itself."""
    connection.execute(f"SET temp_directory = {literal(folder)}")
    _leave_memory(connection, allowed)
    connection.execute("SET TimeZone = 'UTC'")
    # Which DuckDB prints by itself in a notebook.
    connection.execute("SET enable_progress_bar = false")
    # To look for how a scratch file's text is best compressed took half of the loading.
    connection.execute("PRAGMA force_compression = 'uncompressed'")
    # Else each IN becomes a join, and 300 columns take minutes; and a Parquet file's statistics,
    # which say nothing of NaN, are taken to mean that there is none.
    optimizers = "in_clause,common_subexpressions,statistics_propagation"
    connection.execute(f"SET disabled_optimizers = '{optimizers}'")


def _leave_memory(connection: Any, allowed: int) -> None:
    """Halve the memory that DuckDB takes, which is 80 % of the machine's: a model wants some too.

    As "40%" DuckDB takes that since 2.0; and never more than is allowed.
    """
    row = connection.execute("SELECT current_setting('memory_limit')").fetchone()
    size, unit = row[0].split()  # "18.8 GiB"; DuckDB 1.3 may find no limit, which is in PiB
    half = float(size) / 2 * {"PiB": 2**50, **UNITS}.get(unit, 1)
    if min(half, allowed) < 2**50:
        connection.execute(f"SET memory_limit = '{min(half, allowed):.0f} bytes'")


def _first_line(error: Exception) -> str:
    return escaped(str(error).splitlines()[0])  # it may name bytes of the file


def _load_csv(
    source: Source,
    connection: Any,
    scratch: Path,
    reading: Reading,
    known: Collection[str],
    keep: Collection[str],
    allowed: int,
) -> RawTable:
    """Load a CSV file as text, and tell which of its lines are no rows.

    DuckDB reads a file fast and right where each line is a row. Where one is not, what it makes of
    broken rows and their places cannot be trusted, so they are taken out first.
    """
    from duckdb import InvalidInputException

    n_lines, is_utf8 = scan(source.file, source.path)
    dialect = dialect_of(source, reading, known)
    if not is_utf8:
        check_encoding(source.file, source.path, source.first_line, dialect.encoding)
    check_table(source.path, n_lines, len(dialect.columns), allowed)
    kept = places(keep, dialect.columns, dialect.named, known)
    header, n_rows = int(dialect.has_header), -1
    bad_rows: list[BadRow] = []
    breaks = (np.asarray([0]), np.asarray([source.first_line + header]))
    delimiter = dialect.form.delimiter
    if dialect.form.comment is None and delimiter != WHITESPACE:
        with suppress(InvalidInputException):
            n_rows = _read(connection, dialect, reading, kept)
    if n_rows != n_lines - header:
        expected, bad_rows, breaks = clean(dialect, scratch)
        mark = delimiter.replace(WHITESPACE, WRITTEN)
        n_rows = _read_written(scratch, connection, dialect.columns, reading, kept, mark)
        place = f"{source.path} cannot be read"
        require(n_rows == expected, f"{place}: its rows could not be told apart.")
    types = ("VARCHAR",) * len(dialect.columns)
    table = RawTable(source.path, connection, dialect.columns, types, n_rows, dialect.named)
    table = replace(table, unit="line", bad_rows=bad_rows, breaks=breaks, notes=dialect.notes)
    return without_names(replace(table, as_written=kept))


def _load_converted(
    source: Source,
    connection: Any,
    scratch: Path,
    reading: Reading,
    known: Collection[str],
    keep: Collection[str],
    allowed: int,
) -> RawTable:
    """Load the rows of a JSON or Excel file as text."""
    named = True
    if source.kind == "json":
        found = convert_json(source, scratch, allowed)
    else:
        found, named = convert_excel(source, reading, known, scratch, allowed)
    check_table(source.path, found.n_rows, len(found.columns), allowed)
    kept = places(keep, found.columns, named, known)
    n_rows = _read_written(scratch, connection, found.columns, reading, kept)
    require(n_rows == found.n_rows, f"{source.path} cannot be read: its rows are not text.")
    table = RawTable(source.path, connection, found.columns, found.types, n_rows, named, found.unit)
    notes = (*source.notes, *found.notes)
    table = replace(table, bad_rows=found.bad_rows, breaks=found.breaks, notes=notes)
    return without_names(replace(table, as_written=kept))


def _read_written(
    scratch: Path,
    connection: Any,
    columns: tuple[str, ...],
    reading: Reading,
    kept: tuple[int, ...],
    mark: str = WRITTEN,
) -> int:
    """Create table `raw` from a scratch file, which is removed; return how many rows."""
    written = Dialect(scratch, scratch, RowForm(mark), columns, False)
    n_rows = _read(connection, written, reading, kept)
    scratch.unlink()
    return n_rows


def _read(connection: Any, dialect: Dialect, reading: Reading, kept: tuple[int, ...]) -> int:
    """Create table `raw` from a file in which all rows are good; return their number.

    kept: columns whose cells are there as they stand in the file, too.
    """
    names = [f"c{i}" for i in range(len(dialect.columns))]
    typed = ", ".join(f"{c}: 'VARCHAR'" for c in names)
    # In two steps, else each cell is trimmed twice.
    written = [f"c{i} AS kept{i}" for i in kept]
    trimmed = ", ".join([f"trim({c}) AS {c}" for c in names] + written)
    whole = [f"kept{i}" for i in kept]
    selected = ", ".join([f"{known_text(c, reading)} AS {c}" for c in names] + whole)
    # In strict mode DuckDB 2.0 reads nothing where it is told of "\r\n", which it finds by itself.
    line_end = ", new_line='\\n'" * (dialect.line_end == "\n")
    read = (
        f"CREATE OR REPLACE TABLE raw AS SELECT {selected} FROM "
        f"(SELECT {trimmed} FROM read_csv(?, auto_detect=false, "
        f"strict_mode=true, delim={literal(dialect.form.delimiter)}, quote='\"', escape='\"', "
        f"header={dialect.has_header}, columns={{{typed}}}, "
        f"compression={literal(dialect.packing or 'none')}{line_end}))"
    )
    # DuckDB would read t1.csv for t[1].csv
    return connection.execute(read, [glob.escape(str(dialect.file))]).fetchone()[0]


def without_names(raw: RawTable) -> RawTable:
    """Return a table in which columns that have no name are none; DataError where they hold data.

    The first of them may: it is what pandas and R write of the names of rows. Control characters in
    a name are an error, too.
    """
    for name in raw.columns:
        got = f"{raw.path}: the column {name!r} has control characters in its name"
        require(is_name(name), f"{got}: rename it, or name all columns by names= (--names).")
    nameless = [i for i, name in enumerate(raw.columns) if not name]
    if not nameless:
        return raw
    counts = raw.query(", ".join(f"count(c{i})" for i in nameless)).fetchone()
    held = [i for i, n in zip(nameless, counts) if n]
    others = [i for i in held if i > 0]
    if others:
        got = f"{raw.path}: column {others[0] + 1} holds values and has no name"
        remedy = "name all columns by names= and header=True (--names ... --header)"
        raise DataError(f"{got}: {remedy}.")
    note = ""
    if held:
        what = "has no name, is taken for the names of the rows, and left out"
        note = f"{raw.path}: column 1 {what} (--names and --header name it)."
    return replace(raw, index={"": note})
