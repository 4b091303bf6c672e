"""Splits of a data set: rows to train on, to validate on, to test on."""

import os
from dataclasses import replace

import click
import numpy as np

from ..errors import DataError
from ..words import plural, wrapped
from .command import tell
from .data import check_predictable, column_options, is_table_file, opened_data, types_of_labels


def split_data(data, options, stack):
    """Return the Dataset and (X, y) of its training, test and validation rows, the last maybe None.

    stack: what closes the files that are opened.
    """
    check_read_once(data, options["test_file"], options["validation"])
    source = opened_source(data, options, stack)
    test_file, watch = options["test_file"], options["validation"]
    test = watched = None
    if source.X_test is not None:
        test = source.X_test, source.y_test
    if test_file:
        test = _other(test_file, source, data, options, stack)
    rows, tested, seen = split_rows(source, data, options, test is None)
    if test is None:
        test = _taken(source, tested)
    _check_labels(source, rows, test_file or f"the test part of {data}", test)
    text = "no validation"
    if watch == "test":
        watched = test
    elif isinstance(watch, str):
        watched = _other(watch, source, data, options, stack)
        _check_labels(source, rows, watch, watched)
    elif seen is not None:
        watched = _taken(source, seen)
    if watched is not None:
        text = f"validation on {len(watched[1]):,}"
    left_out = f", {source.n_left_out:,} left out" * (source.n_left_out > 0)
    shape = f"{len(rows):,} rows{left_out}, {source.X.shape[1]} features, {source.task}"
    click.echo(wrapped(f"{source.name}: {shape}; {text}, test on {len(test[1]):,} rows."))
    return source, _taken(source, rows), test, watched


def check_read_once(*sources):
    """Raise UsageError where the standard input is more than one of what is read."""
    if sum(source in ("-", "/dev/stdin") for source in sources) > 1:
        raise click.UsageError("- is the standard input, which can be read once: name a file.")


def opened_source(data, options, stack):
    """Open DATA; say what its columns hold, and what is doubtful about them and about its rows."""
    from ..tables.checks import warnings_of

    how = column_options(options) | {"task": options["task"]}
    source = stack.enter_context(opened_data(data, options, options["target"], **how))
    if source.table is not None:
        click.echo(source.table.describe())
        if source.table.bad_rows:
            click.echo(wrapped(source.table.summary_of_bad_rows()), err=True)
        doubtful = warnings_of(source.table, source.feature_names)
        source = replace(source, warnings=(*source.table.warnings, *doubtful))
    for text in source.warnings:
        tell(f"Warning: {text}.")
    return source


def _other(path, source, data, options, stack):
    """Return (X, y) of another file with the same columns."""
    from ..tables.datasets import BUILT_IN
    from ..tables.open_table import array_of

    how, target = {"task": source.task}, options["target"]
    different = DataError(f"{path} has other columns than {data}.")
    if is_table_file(path):
        if source.feature_names is None:
            raise different
        target = source.target_name
        how |= {"known": source.types, "types": types_of_labels(target, source.y)}
    elif source.table is not None:
        named = path in BUILT_IN or os.path.exists(path)
        raise different if named else DataError(f"{path} does not exist, expected a table.")
    found = stack.enter_context(opened_data(path, options | {"quarantine": None}, target, **how))
    if found.feature_names != source.feature_names or found.X.shape[1] != source.X.shape[1]:
        raise different
    if found.table is not None and source.table is None:
        return array_of(found.table), found.y
    return found.X, found.y


def split_rows(source, data, options, tests):
    """Return the numbers of the rows to train, test and validate on, the last two maybe None."""
    rows, tested, seen, share = np.arange(len(source.y)), None, None, options["validation"]
    if tests:
        rows, tested = _held_out(source, data, rows, 0.2, options["seed"])
    rows = rows[: options["rows"]]
    if isinstance(share, float) and share:
        rows, seen = _held_out(source, data, rows, share, options["seed"])
    return rows, tested, seen


def _taken(source, rows):
    """Return (X, y) of some rows."""
    if source.table is not None:  # a file is read in its order
        rows = np.sort(rows)
    return source.X[rows], source.y[rows]


def _check_labels(source, rows, place, part):
    """Raise DataError where a part has labels that the rows to train on lack."""
    classes = None
    if source.task == "classification":
        classes = np.unique(source.y[rows])
    check_predictable(place, part[1], classes)


def check_enough(place, labels, least):
    """Raise DataError where a label has too few rows to hold some of them out."""
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < least:
        few = f"only {plural(counts.min(), 'row')} of the label {classes[counts.argmin()]!s}"
        remedy = "drop the label, or find more rows of it"
        if classes.dtype.kind in "iuf":
            remedy += ", or say --task regression"
        raise DataError(
            f"{place} cannot be split to hold rows out: {few}, expected {least} or more: {remedy}."
        )


def _held_out(source, place, rows, share, seed):
    """Split off a share of the rows, of each label alike."""
    from sklearn.model_selection import train_test_split

    labels = None
    if source.task == "classification":
        labels = source.y[rows]
        check_enough(place, labels, 2)
    try:
        return train_test_split(rows, test_size=share, random_state=seed or 0, stratify=labels)
    except ValueError as error:
        reason = str(error).partition(". ")[0].rstrip(".")
        raise DataError(f"{place} cannot be split to hold rows out: {reason}.") from error
