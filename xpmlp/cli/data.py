"""Data of the commands: by name or path, with their options, and checked against a model."""

import shutil
import tempfile
import warnings
from contextlib import contextmanager, suppress
from dataclasses import replace

import click
import numpy as np

from ..errors import DataError
from .command import Choice, echo, section, tell
from .lists import Names, Types, names_of
from .options import several
from .outputs import writable
from .reading import file_options, reading_of
from .roles import types_of_used, used_columns

# What becomes of rows that cannot be read, and the memory that all of them may take.
READING = ("on_bad_row", "max_bad_rows", "quarantine", "max_memory")


class Limit(click.ParamType):
    """A number of rows, or a share of them."""

    name = "n|share"

    def convert(self, value, param, ctx):
        """Return an int, or a float below 1."""
        text = str(value)
        if text.isdigit():
            return int(text)
        with suppress(ValueError):
            if 0 <= float(text) < 1:
                return float(text)
        what = f"{text!r} is neither a number of rows nor a share such as 0.01."
        raise click.BadParameter(what, ctx, param)


class Size(click.ParamType):
    """A number of bytes, with its unit."""

    name = "4GB"

    def convert(self, value, param, ctx):
        """Return the bytes."""
        from ..tables.memory import bytes_of

        try:
            return bytes_of(str(value))
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from error


option = section("Data")
reading_options = several(  # how a table is read, and what becomes of its bad rows
    file_options,
    option("--on-bad-row", type=Choice(["error", "skip", "quarantine"]), default="error",
           show_default=True, help="What to do about table rows that cannot be read."),
    option("--max-bad-rows", type=Limit(), help="Stop where there are more bad rows."),
    option("--quarantine", type=click.Path(dir_okay=False),
           help="CSV file for bad rows (DATA.bad.csv), with --on-bad-row quarantine."),
    option("--max-memory", type=Size(), help="Memory that data may take (half of what is free)."),
)  # fmt: skip
type_options = several(  # what the columns of a table are
    option("--target", help="Column to predict, for tables (the last one)."),
    option("--task", type=Choice(["classification", "regression"]),
           help="Predict classes or numbers (by the target)."),
    option("--categorical", type=Names(), multiple=True, metavar="COL,...",
           help="Columns of a table that are categories."),
    option("--drop", type=Names(), multiple=True, metavar="COL,...",
           help="Columns of a table to leave out."),
    option("--types", type=Types(), multiple=True, metavar="COL=TYPE,...",
           help="Type of a column of a table: number, number:comma, number:$, boolean, time, "
           "duration, date, date:%d/%m/%Y, date:epoch, category, or category:all where NA is a "
           "word (by what its cells hold)."),
)  # fmt: skip


def is_table_file(path):
    """Tell whether a path is that of a table: a file, a folder of Parquet files or a stream."""
    from ..tables.datasets import BUILT_IN
    from ..tables.files.source import is_table

    return path not in BUILT_IN and is_table(path)


def how_to_read(path, options, model=None):
    """Return what the options say, and a model keeps, as the reader of tables takes it."""
    found = {name: options[name] for name in READING} | {"reading": reading_of(options, model)}
    if found["quarantine"] and found["on_bad_row"] != "quarantine":
        raise click.UsageError("--quarantine goes with --on-bad-row quarantine.")
    if found["max_bad_rows"] is not None and found["on_bad_row"] == "error":
        raise click.UsageError("--max-bad-rows goes with --on-bad-row skip or quarantine.")
    if found["on_bad_row"] == "quarantine":
        name = found["quarantine"] or f"{file_name(path)}.bad.csv"
        found["quarantine"] = writable("--quarantine", name, path, options.get("out"))
    return found


def file_name(path):
    """Return a path; of the standard input and the like, the name that its files have."""
    from ..tables.files.source import is_stream, name_of

    return name_of(path) if is_stream(path) else path


def check_no_table(path, options, *columns):
    """Raise UsageError for options of tables on data that are an array."""
    from ..tables.datasets import check_there
    from ..tables.reading import PLAIN

    check_there(path)
    if any(columns) or options["on_bad_row"] != "error" or options["reading"] != PLAIN:
        raise click.UsageError(
            f"{path} is no table, as a CSV file is: leave out what concerns rows and columns."
        )


def tell_quarantine(path, options, table):
    """Print where the bad rows of an open table are written, if they are."""
    if table is not None and table.bad_rows and options["on_bad_row"] == "quarantine":
        echo(f"Bad rows: {how_to_read(path, options)['quarantine']}", err=True)


def column_options(options):
    """Return what the options say about the columns of a table, as `opened_data` takes it."""
    types = {k: v for pairs in options["types"] for k, v in pairs.items()}
    types = types_of_used(options) | types
    lists = {name: options[name] for name in ("drop", "categorical")}
    return {"types": types, "used": used_columns(options)} | lists


def types_of_labels(target, labels):
    """Return the type of a target, as the reader of tables takes it, by known labels (or None)."""
    from ..tables.kinds.types import ALL, MISSING

    if labels is None or labels.dtype.kind in "iufb":
        return {}
    if {*labels.tolist()}.isdisjoint(MISSING):
        return {target: "category"}
    return {target: ALL}


def tell_notes(table):
    """Print what was decided about an open table that could have been meant otherwise."""
    for note in table.raw.notes:
        tell(f"Note: {note}")


@contextmanager
def telling_warnings():
    """Print the warnings of a reader of tables as notes."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        tell(f"Note: {text}")


@contextmanager
def opened_data(path, options, target, *, known=None, model=None, **columns):
    """Yield the Dataset of a name or path.

    columns: task, types, the values of --drop and --categorical, and `used`: columns that are read
    for something else, and whether they are features, too.
    """
    from ..tables.datasets import load_dataset
    from ..tables.files.open_raw_table import open_raw_table

    how, task = how_to_read(path, options, model), columns["task"]
    if is_table_file(path):
        how_read = how.pop("reading"), known or (), (), how.pop("max_memory")
        with open_raw_table(path, *how_read) as raw:
            with _opened_table(raw, how, target, known=known, **columns) as found:
                yield found
        return
    check_no_table(
        path, how, *(columns.get(name) for name in ("types", "drop", "categorical", "used"))
    )
    found = load_dataset(path, target, max_memory=how["max_memory"])
    y, task = _as_task(path, found.y, task or found.task)
    y_test = found.y_test
    if y_test is not None:
        y_test, _ = _as_task(path, y_test, task)
    yield replace(found, y=y, task=task, y_test=y_test)


@contextmanager
def _opened_table(raw, how, target, *, task, known, types=None, drop=(), categorical=(), used=None):
    """Yield the Dataset of a raw table; used: columns beside, and whether they are features."""
    from ..tables.common import Dataset
    from ..tables.open_table import open_table

    used = used or {}
    drop, categorical = (names_of(names, raw.columns) for names in (drop, categorical))
    for name in used:
        raw.check_has(name)
    left_out = (name for name in drop if name not in used)
    types = (types or {}) | dict.fromkeys((*categorical, *left_out), "category")  # as every cell is
    how |= {"types": types, "needed": tuple(used)}
    with open_table(raw, target=target or "", known=known, **how) as table:
        tell_notes(table)
        y, task = _as_task(raw.path, table.y, task or table.task)
        if table.target_name in used:
            got = f"{raw.path}: {table.target_name!r} is the target"
            raise DataError(f"{got}, expected another column to weigh or to split by.")
        aside = table.features.select([n for n, stays in used.items() if n in drop or not stays])
        names = tuple(n for n in table.features.names if n not in {*drop, *aside.names})
        if not names:
            raise DataError(
                f"{raw.path} has no columns but its target and those to leave out (--drop)."
            )
        X = table.features.select(names)
        table, more = replace(table, features=X), {"aside": aside}
        yield Dataset(table.name, X, y, names, table.target_name, task, table=table, **more)


def _as_task(path, y, task):
    """Return the targets as a task has them, and the task."""
    if task == "regression":
        if y.dtype.kind not in "iufb":
            raise DataError(f"{path}: the target is text such as {y[0]!s}, expected numbers.")
        return y.astype("float64"), task
    if y.dtype.kind == "f":
        if (y % 1 != 0).any():
            odd = y[y % 1 != 0][0]
            raise DataError(f"{path}: the target holds {odd:g}, expected whole numbers or text.")
        y = y.astype("int64")
    return y, task


def check_range(X, dtype):
    """Raise DataError for numbers of an array that the dtype to compute in cannot hold."""
    if not np.abs(X).max(initial=0) <= np.finfo(dtype).max:
        raise DataError(f"the features hold numbers too large for {dtype}: divide them first.")


def check_array(model, X):
    """Raise DataError for numbers of an array that a model's dtype cannot hold, unless clipped."""
    if model.encoder_ is None:
        inputs = model.model_.inputs
        check_range(inputs.scaling.apply(X), inputs.dtype)


def check_predictable(place, y, classes, remedy=""):
    """Raise DataError for targets that a model of these classes (None: numbers) cannot predict."""
    if classes is None and y.dtype.kind not in "iufb":
        raise DataError(f"{place}: the target is text such as {y[0]!s}, expected numbers.")
    unknown = classes is not None and np.setdiff1d(y, classes).tolist()
    if unknown:
        known = ", ".join(map(str, classes))
        end = f": {remedy}." if remedy else "."
        got = f"{place} holds the label {unknown[0]!r}"
        raise DataError(f"{got}, the model knows only {known}{end}")


def check_memory(name, X, model):
    """Refuse rows that surely fit neither memory nor the disk, before these are full."""
    from ..arrays import free_memory

    memory, disk = free_memory(np.empty(0)), shutil.disk_usage(tempfile.gettempdir()).free
    n_columns = X.shape[1]
    if model.n_bins:  # of which there are fewer where a column has few values
        n_columns += model.n_bins // 2 * sum(kind != "category" for kind in getattr(X, "kinds", ()))
    needed = X.shape[0] * n_columns * np.dtype(model.dtype).itemsize
    if memory is not None and needed > max(memory, disk):
        raise MemoryError(
            f"{name} has {X.shape[0]:,} rows to train on, which take {needed / 1e9:.1f} GB, but "
            f"{memory / 1e9:.1f} GB of memory and {disk / 1e9:.1f} GB in {tempfile.gettempdir()} "
            "are free: train on fewer with --rows, take fewer --bins, or free some space."
        )
