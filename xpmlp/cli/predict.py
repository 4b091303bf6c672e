"""`xpmlp predict`: a CSV file of a model's predictions."""

import csv
import io
import shutil
import sys
import tempfile
from contextlib import contextmanager

import click
import numpy as np

from ..words import wrapped
from .command import Command, echo, remember, tell
from .data import (
    check_array,
    check_no_table,
    how_to_read,
    is_table_file,
    reading_options,
    tell_notes,
    tell_quarantine,
    telling_warnings,
)
from .lists import Names, names_of
from .outputs import writable

MAX_BYTES = 1 << 26  # of predictions to print that are kept in memory


@click.command(cls=Command)
@click.argument("model")
@click.argument("data")
@click.option("--proba", is_flag=True, help="Add a column of probabilities for each class.")
@click.option(
    "--keep",
    type=Names(),
    multiple=True,
    metavar="COL,...",
    help="Columns of DATA to write before the predictions.",
)
@click.option("--out", type=click.Path(dir_okay=False), help="File to write, instead of printing.")
@reading_options
def predict(model, data, proba, out, **options):
    """Write a CSV with the predictions of MODEL for the rows of DATA.

    A model of several quantiles has a column for each beside the middle one. Where rows of a table
    could not be read and were left out, a first column holds the line of the file that each
    prediction is of. Beside a kept column called prediction, that one is output_prediction.
    """
    from ..atomic import atomic_file, naming
    from ..estimators import load_model

    if out:
        writable("--out", out, data, model)
    estimator = load_model(model)
    if proba and not hasattr(estimator, "classes_"):
        raise click.UsageError(f"--proba needs a classifier, {model} is a regressor.")
    with features(estimator, data, options | {"out": out}) as (X, table):
        if out:
            with atomic_file(out) as file:
                n = _write(file, estimator, X, table, proba)
        else:
            with tempfile.SpooledTemporaryFile(MAX_BYTES) as file:
                with naming(tempfile.gettempdir()):
                    _write(file, estimator, X, table, proba)
                file.seek(0)
                _print(io.TextIOWrapper(file, "utf-8", newline=""))
    if out:
        echo(f"{n:,} predictions on {estimator.device_}: {out}", err=True)


def _print(lines):
    """Print lines of CSV: to a file or a pipe as they are, to a terminal escaped."""
    if not sys.stdout.isatty():
        shutil.copyfileobj(lines, sys.stdout)
        return
    for line in lines:
        echo(line, nl=False)


def _write(file, model, X, table, proba):
    """Write the predictions for X to a binary file, block by block. Returns how many there are."""
    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer, n = csv.writer(text, lineterminator="\n"), 0
    numbered = table is not None and len(table.bad_rows) > 0
    kept = () if table is None else table.kept.names
    taken = lambda names: [f"{'output_' * (name in kept)}{name}" for name in names]
    writer.writerow([*taken(["line"] * numbered), *kept, *taken(_names(model, proba))])
    if not len(X):
        tell("Note: there are no rows to predict, only the names of columns.")
    for block in filter(len, blocks_of(model, X)):
        rows, columns = np.arange(n, n + len(block)), []
        if numbered:
            columns.append(table.lines(rows))
        if kept:
            columns += table.kept[rows].in_memory().columns
        columns += (map(str, column) for column in _predicted(model, block, proba))
        writer.writerows(zip(*columns))
        n += len(block)
    text.detach()
    return n


def _names(model, proba):
    """Return the names of the columns that a model predicts."""
    names, levels = ["prediction"], model.quantiles_ or ()
    if proba:
        names += map(str, model.classes_)
    if len(levels) > 1:
        names += [f"quantile {level:g}" for level in levels]
    return names


def _predicted(model, X, proba):
    """Yield the columns (n,) that a model predicts for rows."""
    levels = model.quantiles_ or ()
    yield model.predict(X)
    if proba:
        yield from model.predict_proba(X).T
    if len(levels) > 1:
        yield from model.predict(X, quantiles=levels).T


def blocks_of(model, X):
    """Return X in blocks: of a table, each has a bounded number of rows; an array is checked."""
    if hasattr(X, "blocks"):
        return X.blocks()
    check_array(model, X)
    return [X]


def predictions(model, X, method="predict"):
    """Return what a method of the model predicts for X, (n,) or (n, n_classes)."""
    return np.concatenate([getattr(model, method)(block) for block in blocks_of(model, X)])


@contextmanager
def features(model, data, options):
    """Yield the features of DATA as a model takes them, and the open table if it is a file."""
    known = known_types(model)
    if known is None or not is_table_file(data):
        if options["keep"]:
            raise click.UsageError(_why_nothing_is_kept(data))
        from ..tables.datasets import load_features

        how = how_to_read(data, options)
        if not is_table_file(data):
            check_no_table(data, how)
        target = getattr(model, "target_name_", None)
        with telling_warnings():
            X = load_features(data, model.n_features_in_, target, how["reading"], how["max_memory"])
        yield X, None
        return
    from ..tables.files.open_raw_table import open_raw_table
    from ..tables.open_table import open_table

    how = how_to_read(data, options, model)
    maybe = {*options["keep"], *names_of(options["keep"])}  # a name may hold commas, or be several
    with open_raw_table(data, how.pop("reading"), known, maybe, how.pop("max_memory")) as raw:
        how["keep"] = names_of(options["keep"], raw.columns)
        if options["keep"] and not how["keep"]:
            raise click.UsageError("--keep names no column: say --keep COL, or leave it out.")
        with open_table(raw, known=known, target=None, **how) as table:
            tell_notes(table)
            tell_lost(model, table)
            yield as_taken(model, table), table
    tell_quarantine(data, options, table)


def _why_nothing_is_kept(data):
    """Return a sentence on --keep where columns have no names."""
    if is_table_file(data):
        return "--keep needs a model of columns with names, and this one was trained on an array."
    return f"--keep names columns of a table, and {data} is no CSV or Parquet file: leave it out."


def _encodes_table(model):
    """Tell whether a model has an encoder of columns with names."""
    return model.encoder_ is not None and model.encoder_.named


def known_types(model):
    """Return the types of the columns that a model takes, or None where they have no names."""
    if _encodes_table(model):
        kinds = {column.name: column.kind for column in model.encoder_.columns}
        return getattr(model, "table_types_", kinds)
    return dict.fromkeys(getattr(model, "feature_names_in_", ()), "number") or None


def as_taken(model, table):
    """Return the features of a table as a model takes them, which may be an array."""
    from ..tables.open_table import array_of

    if _encodes_table(model):
        return table.features
    return array_of(table)


def tell_bad_rows(table):
    """Print which rows of an open table were left out, and keep it for a report."""
    summary = table.summary_of_bad_rows()
    remember(summary)
    echo(wrapped(summary), err=True)


def tell_lost(model, table):
    """Print which rows were left out, and what the model did not see in training."""
    if table.bad_rows:
        tell_bad_rows(table)
    if _encodes_table(model):
        for text in model.encoder_.drift(table.features):
            tell(f"Note: {text}")
