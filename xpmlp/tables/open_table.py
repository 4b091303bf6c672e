"""Open a CSV or Parquet file: its columns' types decided once, every bad row reported."""

import csv
import io
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..atomic import StrPath, atomic_write
from ..errors import DataError
from ..logs import logger
from ..words import did_you_mean, listed, nearest, plural
from .bad_cells import LISTED, BadCells
from .common import Dataset, infer_task, require
from .describe import described
from .duckdb_frame import DuckDBFrame
from .files.csv_repair import BadRow
from .files.open_raw_table import open_raw_table
from .files.raw_table import RawTable
from .frame import is_plain
from .kinds.deciding import typed_columns
from .kinds.types import ALL, TableColumn
from .reading import PLAIN, Reading

POLICIES = ("error", "skip", "quarantine")
LABEL = 200  # characters of the longest label
IN_MEMORY = 1 << 29  # bytes, about, up to which features are a Frame
BYTES = {"number": 8, "date": 8, "category": 64}  # a cell, about


@dataclass(frozen=True, eq=False)
class OpenTable:
    """An open table file: its features and targets, without its bad rows.

    Attributes
    ----------
    raw : RawTable
        The file's rows in DuckDB.
    columns : list of TableColumn
        Types of the columns.
    features : Frame or DuckDBFrame
        The latter where they are large; it can be read as long as the table is open.
    y : array (n,) or None
        float64, int64 or text.
    task : {"classification", "regression", ""}
    target_name : str or None
    bad_rows : list of BadRow
    left_out : ndarray (m,)
        Their numbers in `raw`, ascending, without those that never got there.
    warnings : dict of str
        What is said of columns, by name, that stay text though they are nearly numbers or dates.
    kept : DuckDBFrame or None
        The columns that `open_table` was asked to keep, as text, rows as in `features`.
    """

    raw: RawTable
    columns: list[TableColumn]
    features: Any
    y: Any
    task: str
    target_name: str | None
    bad_rows: list[BadRow]
    left_out: np.ndarray
    warnings: dict[str, str]
    kept: DuckDBFrame | None = None

    @property
    def name(self) -> str:
        """Name of the file."""
        return self.raw.path.name

    @property
    def types(self) -> dict[str, str]:
        """Types of the features, by name, as ``open_table(known=)`` takes them."""
        types = {column.name: column.kind for column in self.columns}
        return {name: types[name] for name in self.features.names}

    def lines(self, rows: Any = slice(None)) -> np.ndarray:
        """Return the lines of the file in which rows begin; their numbers, from 1, in Parquet."""
        kept = np.arange(len(self.features))[rows]
        gaps = self.left_out - np.arange(len(self.left_out))
        return self.raw.lines(kept + np.searchsorted(gaps, kept, "right"))

    def describe(self) -> str:
        """Return the types and the content of the columns, a line each."""
        return described(self.raw.connection, self.columns, self.target_name)

    def summary_of_bad_rows(self) -> str:
        """Return the rows that were left out, the first of them a line each; "" if none."""
        if not self.bad_rows:
            return ""
        lines = [f"{plural(len(self.bad_rows), 'row')} left out of {self.name}:"]
        lines += [f"  {row.sentence(self.raw.unit)}" for row in self.bad_rows[:LISTED]]
        if len(self.bad_rows) > LISTED:
            lines.append(f"  and {len(self.bad_rows) - LISTED:,} more")
        return "\n".join(lines)


@contextmanager
def open_table(
    path: StrPath | RawTable,
    *,
    target: str | None = "",
    types: Mapping[str, str] | None = None,
    known: Mapping[str, str] | None = None,
    on_bad_row: str = "error",
    max_bad_rows: float | None = None,
    quarantine: StrPath | None = None,
    keep: Sequence[str] = (),
    needed: Collection[str] = (),
    reading: Reading = PLAIN,
    max_memory: int | None = None,
) -> Iterator[OpenTable]:
    """Open a raw table: a file of CSV (.csv, .tsv, .txt, .data), JSON, Excel or Parquet.

    CSV and JSON may be compressed by gzip, bz2, xz, zstd or zip, whatever they are called; a folder
    of Parquet files is one table, and ``-`` the standard input. A CSV's delimiter is the most
    frequent of ``, ; tab |`` in its first line, which holds the column names. Where it is all
    numbers, it is a row, whose columns are called x0, x1, ...; where it may be names or a row,
    `reading` has to say which.

    The type of a column is decided once, over all its rows. It is "number" where 95 % of the cells
    that are not missing are finite numbers, unless all are as long and some begin with 0, as postal
    codes do. Likewise it is "number:FORM", such as number:comma (1.234,5) or number:$, "date" or
    "date:FORMAT", "time", "duration" or "boolean"; else "category", which is text. Cells that may
    be read in two ways are read as the other columns show it. Parquet columns have the file's
    types.

    A cell is missing where it is empty or one of `MISSING` (of a "category:all", only where it is
    empty). A row is bad that has too few or too many cells, broken quotes, text that is not UTF-8,
    a cell that does not fit its column, or no target.

    Parameters
    ----------
    path : str, Path or RawTable
        The last as `open_raw_table` yields it, which can be opened once.
    target : str, optional
        Column to predict, None if there is none; "": the last one, or none if `known` is given.
        It is text unless more than half of its cells are numbers.
    types : dict of str, optional
        Types of columns by name, instead of those that would be decided.
    known : dict of str, optional
        The features' types as a model has them: exactly these columns are read, by their names
        (by position where the file has no header); others are ignored.
    on_bad_row : {"error", "skip", "quarantine"}, default="error"
        "skip" leaves bad rows out; "quarantine" also writes them to a CSV file with the columns
        line, column, reason, text, once the ``with`` ends without an error.
    max_bad_rows : float, optional
        More bad rows are an error: a number, or below 1 a share of the rows.
    quarantine : str or Path, optional
        That file; by default the table's path and ``.bad.csv``.
    keep : sequence of str, default=()
        Columns, features or not, that are also read as text, as their cells stand in the file.
    needed : collection of str, default=()
        Columns that are read of which a missing cell makes a row bad, as one of the target does.
    reading : Reading, optional
        How the file is written, where its first lines do not say so.
    max_memory : int, optional
        Bytes that its rows may take in memory; by default half of those that are free. What its
        cells take is written to disk where it is more.

    Returns
    -------
    context manager of an OpenTable

    Raises
    ------
    DataError
        With path, line, column and the text found there.
    DataMemoryError
        When it takes more memory than it may.

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
    names, near = ", ".join(POLICIES), did_you_mean(on_bad_row, POLICIES)
    require(on_bad_row in POLICIES, f"on_bad_row is {on_bad_row!r}, expected one of {names}{near}")
    with _raw_table(path, reading, known, keep, max_memory) as raw:
        path = raw.path
        own = [name for name in raw.columns if name not in raw.index]
        require(bool(own), f"{path} has no column with a name but an index, expected features.")
        if target == "":
            target = own[-1] if known is None else None
        own += [name for name in raw.index if name in (types or {})]
        to_predict = known is not None and target is None  # of which there may be none
        n_rows = raw.n_rows + len(raw.bad_rows)
        require(to_predict or n_rows > 0, f"{path} has column names but no rows.")
        raw, features = _wanted(raw, target, own if known is None else known)
        for name in keep:
            raw.check_has(name)
        wanted = {target, *features}
        if known is None:
            notes = [note for name, note in raw.index.items() if note and name not in wanted]
            raw = replace(raw, notes=(*raw.notes, *notes))
        chosen = [name for name in raw.columns if name in wanted]
        said = {**(known or {}), **(types or {})}
        columns, doubts = typed_columns(raw, chosen, said, target)
        bad_rows, left_out = BadCells(raw, columns, target, needed).found(on_bad_row, max_bad_rows)
        if bad_rows and len(left_out) == raw.n_rows:
            first = bad_rows[0].sentence(raw.unit)
            raise DataError(f"{path} has no good row, the first: {first}.")
        frame, kept = _loaded(raw, columns, len(left_out), dict.fromkeys(keep))
        read = "Table read: %s, %d rows of %d columns, %d bad rows."
        logger.info(read, path, len(frame), len(columns), len(bad_rows))
        y, task = _targets(raw, frame, target)
        if y is not None and known is None:
            got = f"{path}, column {target!r}: every row holds {y[0]!s}"
            require(bool(np.any(y != y[0])), f"{got}, expected different targets.")
        X: Any = frame.select(features)
        if len(X) * sum(BYTES[kind] for kind in X.kinds) <= IN_MEMORY:
            X = X.in_memory()
        yield OpenTable(
            raw,
            columns,
            X,
            y,
            task,
            target,
            bad_rows=bad_rows,
            left_out=left_out,
            warnings=doubts,
            kept=kept,
        )
        if on_bad_row == "quarantine" and bad_rows:
            _write(quarantine or f"{path}.bad.csv", bad_rows)


def _raw_table(
    path: StrPath | RawTable,
    reading: Reading,
    known: Collection[str] | None,
    keep: Collection[str],
    max_memory: int | None,
) -> Any:
    """Return a context manager of a raw table, which may be open already."""
    if isinstance(path, RawTable):
        return nullcontext(path)
    return open_raw_table(path, reading, known or (), keep, max_memory)


def _wanted(
    raw: RawTable, target: str | None, names: Collection[str]
) -> tuple[RawTable, list[str]]:
    """Return the table, its columns called as a model does if need be, and the features."""
    features = [name for name in names if name != target]
    if not raw.has_header and len(raw.columns) == len(features):
        raw = replace(raw, columns=tuple(features))
    known = dict.fromkeys(filter(None, raw.columns))
    there = listed(known)
    missing = [name for name in features if name not in known]
    if missing:
        got = f"{raw.path} lacks the model's {listed(missing)}: it has the columns {there}"
        remedy = raw.delimiter_remedy or f"; {_nearest_of(missing[:3], list(known))}"
        raise DataError(f"{got}{remedy}.")
    if target is not None:
        raw.check_has(target)
    own = [name for name in known if name not in raw.index]
    got = f"{raw.path} has one column, {own[0]!r}, expected features and a target"
    index = listed(filter(None, raw.index))
    if index:
        got += f"; {index} of its index left out: say --types NAME=TYPE of what is a feature"
    require(bool(features), f"{got}{raw.delimiter_remedy}.")
    return raw, features


def _nearest_of(missing: list[str], known: list[str]) -> str:
    """Return in words which known names are nearest to those that are missing."""
    pairs = {name: nearest(name, known) for name in missing}
    near = listed(dict.fromkeys(pairs.values()))
    if all(name.lower() == other.lower() for name, other in pairs.items()):
        return f"{near} differ only in their capitals: write them as the model has them"
    verb = "is" if len({*pairs.values()}) == 1 else "are"
    return f"the nearest {verb} {near}"


def _loaded(
    raw: RawTable, columns: list[TableColumn], n_left_out: int, keep: Iterable[str]
) -> tuple[DuckDBFrame, DuckDBFrame]:
    """Create table `data` from the good rows of `raw`, which is dropped; return its frames.

    The second frame has the columns to keep, as text.
    """
    pairs = [(column.value, column.field) for column in columns]
    texts = [(_as_text(raw, name), f"k{i}") for i, name in enumerate(keep)]
    values = ", ".join(f"{value} AS {field}" for value, field in pairs + texts)
    good = "ANTI JOIN bad ON raw.rowid = bad.row" * (n_left_out > 0)
    query = f"CREATE TABLE data AS SELECT {values} FROM raw {good}"
    n_rows = raw.connection.execute(query).fetchone()[0]
    for table in ("raw", "bad"):
        raw.connection.execute(f"DROP TABLE {table}")
    names, kinds, fields = zip(*((c.name, c.frame_kind, c.field) for c in columns))
    frame = DuckDBFrame(raw.connection, names, kinds, fields, np.arange(n_rows))
    fields = tuple(field for _, field in texts)
    kinds = ("category",) * len(fields)
    return frame, replace(frame, names=tuple(keep), kinds=kinds, fields=fields)


def _as_text(raw: RawTable, name: str) -> str:
    """SQL: the cells of a column as they stand in the file; a whole number has no point."""
    stored, place = raw.stored(name), raw.columns.index(name)
    if stored != "DOUBLE":
        stored = "TEXT"
    word = "kept" if place in raw.as_written else "c"
    return TableColumn(name, f"{word}{place}", stored, ALL).value


def _targets(raw: RawTable, frame: DuckDBFrame, target: str | None) -> tuple[Any, str]:
    """Return the targets (n,) and the task; None and "" where there is no target."""
    if target is None:
        return None, ""
    column = frame.select([target])
    place = f"{raw.path}, column {target!r} holds"
    expected = "dates, expected a target of numbers or labels."
    require(column.kinds != ("date",), f"{place} {expected}")
    if column.kinds == ("category",):
        query = f"SELECT max(length({column.fields[0]})) FROM data"
        n = raw.connection.execute(query).fetchone()[0] or 0
        expected = "expected labels: name the target (--target)."
        require(n <= LABEL, f"{place} text of {n:,} characters, {expected}")
    return infer_task(_values(column))


def _values(column: DuckDBFrame) -> np.ndarray:
    """Return the values of a frame's only column, text at its width: it takes less than objects."""
    dtype = {"number": float, "category": str}[column.kinds[0]]
    return np.concatenate([block.column(0).astype(dtype) for block in column.blocks()])


def _write(path: StrPath, bad_rows: list[BadRow]) -> None:
    """Write bad rows to a CSV file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([BadRow._fields, *bad_rows])
    atomic_write(path, text.getvalue().encode("utf-8", "replace"))


def read_table(
    path: StrPath,
    target: str | None = None,
    reading: Reading = PLAIN,
    max_memory: int | None = None,
) -> Dataset:
    """Read features and a target from a table file without bad rows; see `open_table`.

    The features are numbers (n, d) where all columns are and no cell is missing, else a Frame. What
    could have been meant otherwise becomes a UserWarning.
    """
    with open_table(path, target=target or "", reading=reading, max_memory=max_memory) as table:
        for text in (*table.raw.notes, *table.warnings):
            warnings.warn(text)
        X = table.features.in_memory()
        names = X.names
        if is_plain(X):
            X = _matrix(X)
        return Dataset(table.name, X, table.y, names, table.target_name, table.task)


def read_features(
    path: StrPath,
    n_features: int,
    target: str | None,
    reading: Reading = PLAIN,
    max_memory: int | None = None,
) -> np.ndarray:
    """Read the features (n, n_features), all numbers, by position; a target is left out."""
    with open_raw_table(path, reading, max_memory=max_memory) as raw:
        columns = names = [name for name in raw.columns if name not in raw.index]
        if len(columns) != n_features:
            names = [name for name in columns if name != target]
        got = f"{path} has {len(columns)} columns, {listed(columns)}"
        require(len(names) == n_features, f"{got}, expected the model's {n_features} features.")
        for text in raw.notes:
            warnings.warn(text)
        with open_table(raw, known=dict.fromkeys(names, "number")) as table:
            return array_of(table)


def array_of(table: OpenTable) -> np.ndarray:
    """Return the features (n, n_features) of a table of numbers, none of which may be missing."""
    X = _matrix(table.features)
    empty = np.argwhere(np.isnan(X))
    if len(empty):
        row, i = empty[0].tolist()
        place = f"{table.raw.unit} {table.lines([row])[0]}, column {table.features.names[i]!r}"
        raise DataError(f"{table.raw.path} {place}: the cell is empty, expected a finite number.")
    return X


def _matrix(frame: Any) -> np.ndarray:
    return np.column_stack([frame.column(i) for i in range(len(frame.names))])
