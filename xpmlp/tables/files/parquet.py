"""Parquet: a file, or all those in a folder, with the types that they have."""

import glob
import json
import re
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import Any

from ...words import plural
from ..common import require
from ..memory import check_memory, check_table
from ..reading import PLAIN, Reading
from .raw_table import RawTable, cell_text, places
from .source import SHARE, Source

# What pandas calls durations, and the parts of a second that they count.
DURATIONS = {
    f"timedelta64[{unit}]": 10 ** (3 * i) for i, unit in enumerate(("s", "ms", "us", "ns"))
}
VALUE = 16  # bytes of one in DuckDB
AT_ONCE = 2 * 2048  # values of a column that DuckDB reads at once, and their copies
UNNAMED = re.compile(r"__index_level_\d+__")  # what pandas calls an index without a name


def load_parquet(
    source: Source, connection: Any, reading: Reading, keep: Collection[str], allowed: int
) -> RawTable:
    """Load a Parquet file, or the files of a folder, with the types they have.

    allowed: bytes of memory that it may take.
    """
    files = source.files or (source.file,)
    paths = [glob.escape(str(file)) for file in files]
    _check_alike(files, connection)
    read = "read_parquet(?, hive_partitioning=false)"
    if source.files:  # what a folder called city=Rome says is text, whose type is decided
        options = "union_by_name=true, hive_partitioning=true, hive_types_autocast=false"
        read = f"read_parquet(?, {options})"
    described = connection.execute(f"DESCRIBE SELECT * FROM {read}", [paths]).fetchall()
    _check_size(source, connection, read, paths, described, allowed)
    kept = [i for i, row in enumerate(described) if not UNNAMED.fullmatch(row[0])]
    columns = tuple(described[i][0] for i in kept)
    index, parts = _said_by_pandas(paths[0], connection)

    def column(i: int, how: Reading) -> tuple[str, str]:
        stored, sql = _column(f"t{kept[i]}", described[kept[i]][1], how)
        if columns[i] in parts and stored == "DOUBLE":
            sql = f"({sql}) / {parts[columns[i]]}"
        return stored, sql

    def as_written(i: int) -> str:
        stored, number = column(i, PLAIN)
        return number if stored == "DOUBLE" else f"t{kept[i]}::VARCHAR"

    made = [column(i, reading) for i in range(len(columns))]
    whole = places(keep, columns, True, ())
    aliases = ", ".join(f"t{i}" for i in range(len(described)))
    selected = ", ".join(
        [f"{sql} AS c{i}" for i, (_, sql) in enumerate(made)]
        + [f"{as_written(i)} AS kept{i}" for i in whole]
    )
    create = f"CREATE TABLE raw AS SELECT {selected} FROM {read} AS t({aliases})"
    n_rows = connection.execute(create, [paths]).fetchone()[0]
    what = "of the data frame's index is left out"
    notes = {
        name: f"{source.path}: column {name!r} {what} (--types {name}=category makes it a feature)."
        for name in index
        if name in columns
    }
    types = tuple(kind for kind, _ in made)
    table = RawTable(source.path, connection, columns, types, n_rows, index=notes)
    return replace(table, as_written=whole)


def _check_size(
    source: Source,
    connection: Any,
    read: str,
    paths: list[str],
    described: list[tuple],
    allowed: int,
) -> None:
    """Raise DataMemoryError for what a small file may hold: values that repeat without end.

    What it declares is asked for first, and then the length of its texts, which it does not say.
    """
    query = "SELECT sum(num_rows) FROM parquet_file_metadata(?)"
    n_rows = int(connection.execute(query, [paths]).fetchone()[0] or 0)
    check_table(source.path, n_rows, len(described), allowed)
    query = """SELECT path_in_schema, sum(num_values) AS n FROM parquet_metadata(?)
        GROUP BY path_in_schema ORDER BY n DESC LIMIT 1"""
    name, n_values = connection.execute(query, [paths]).fetchone() or ("", 0)
    what = f"{plural(int(n_values), 'value')} in column {name!r:.80}"
    check_memory(source.path, what, VALUE * int(n_values), allowed)
    texts = [f"t{i}" for i, row in enumerate(described) if row[1] in ("VARCHAR", "BLOB")]
    if not texts:
        return
    lengths = [f"max(strlen({c})), sum(strlen({c}))" for c in texts]
    aliases = ", ".join(f"t{i}" for i in range(len(described)))
    query = f"SELECT {', '.join(lengths)} FROM {read} AS t({aliases})"
    found = [int(n or 0) for n in connection.execute(query, [paths]).fetchone()]
    longest, total = max(found[::2]), sum(found[1::2])
    what = f"texts of up to {longest:,} bytes"
    check_memory(source.path, what, min(longest * AT_ONCE, total), allowed)
    most = allowed + int(SHARE * shutil.disk_usage(gettempdir()).free)
    got = f"{source.path} holds {total / 1e9:,.1f} GB of text, which neither memory nor disk holds"
    require(total <= most, f"{got}: let TMPDIR name a larger disk.")


def _check_alike(files: tuple[Path, ...], connection: Any) -> None:
    """Raise DataError for files of a folder that have other columns than the first, or types."""
    first: dict[str, str] = {}
    for file in files[: len(files) * (len(files) > 1)]:
        query = "DESCRIBE SELECT * FROM read_parquet(?, hive_partitioning=false)"
        rows = connection.execute(query, [[glob.escape(str(file))]]).fetchall()
        kinds = {name: _column("c", kind, PLAIN)[0] for name, kind, *_ in rows}
        first = first or kinds
        for name in {**first, **kinds}:
            one, other = first.get(name, "no such column"), kinds.get(name, "no such column")
            got = f"{file}, column {name!r} holds {other}, in {files[0]} {one}"
            require(one == other, f"{got}: files of one table have the same columns.")


def _said_by_pandas(path: str, connection: Any) -> tuple[list[str], dict[str, int]]:
    """Return the columns of a data frame's index, and of durations, which are whole numbers here.

    Of the latter with the parts of a second that they count.
    """
    query = "SELECT value FROM parquet_kv_metadata(?) WHERE key = 'pandas'::BLOB"
    row = connection.execute(query, [path]).fetchone()
    with suppress(ValueError, TypeError, AttributeError, KeyError):  # others write it otherwise
        said = json.loads(row[0])
        index = [
            name for name in said["index_columns"] if isinstance(name, str)
        ]  # a range is a dict
        types = {column["field_name"]: column["numpy_type"] for column in said["columns"]}
        return index, {name: DURATIONS[of] for name, of in types.items() if of in DURATIONS}
    return [], {}


def _number(number: str, reading: Reading) -> str:
    """SQL: a number, NULL where it is one of the markers of missing values."""
    markers = []
    for marker in reading.missing:
        with suppress(ValueError):
            markers.append(repr(float(marker)))
    if not markers:
        return number
    return f"CASE WHEN {number} NOT IN ({', '.join(markers)}) THEN {number} END"


def _column(c: str, kind: str, reading: Reading) -> tuple[str, str]:
    """Return the type of a column of `raw`, its own if it is of no use, and the SQL of it."""
    if kind == "BOOLEAN":
        return "BOOLEAN", c
    if kind in ("FLOAT", "DOUBLE"):  # not a number is what others write for a missing one
        return "DOUBLE", _number(f"CASE WHEN NOT isnan({c}) THEN {c}::DOUBLE END", reading)
    if kind.startswith("DECIMAL") or kind.endswith(("INT", "INTEGER")):
        return "DOUBLE", _number(f"{c}::DOUBLE", reading)
    if kind.startswith("TIME") and not kind.startswith("TIMESTAMP"):  # in hours
        return "DOUBLE", f"epoch({c}::TIME) / 3600"
    if kind == "INTERVAL":  # in seconds, a month as 30 days
        return "DOUBLE", f"epoch({c})"
    if "TIMESTAMPTZ" in kind or "WITH TIME ZONE" in kind:  # of nanoseconds, too
        return "TIMESTAMP", f"make_timestamp(epoch_us({c}::TIMESTAMPTZ))"
    if kind == "DATE" or kind.startswith("TIMESTAMP"):
        return "TIMESTAMP", f"make_timestamp(epoch_us({c}))"
    if kind in ("VARCHAR", "UUID", '"NULL"') or kind.startswith("ENUM"):
        return "VARCHAR", cell_text(c, reading)
    return kind, cell_text(c, reading)
