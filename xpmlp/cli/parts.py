"""The rows of a training: to train on, to watch, to test on."""

import os

import click

from ..errors import DataError
from ..words import plural
from .data import check_targets, columns_of, how_to_read, is_table, opened_data, types_of_labels


def parts_of(data, options, stack):
    """Return the Data and its training, test and watched rows, each (X, y), the last maybe None.

    stack: what closes the files that are opened.
    """
    source = opened_source(data, options, stack)
    test_file, watch = options["test_file"], options["validation"]
    test = _other(test_file, source, data, options, stack) if test_file else source.own_test
    watched = None
    if isinstance(watch, str) and watch != "test":
        watched = _other(watch, source, data, options, stack)
    rows, tested, seen = split_rows(source, data, options, test is None)
    test = _taken(source, tested) if test is None else test
    _check_labels(source, rows, test_file or f"the test part of {data}", test)
    if watch == "test":
        watched = test
    elif watched is not None:
        _check_labels(source, rows, watch, watched)
    elif seen is not None:
        watched = _taken(source, seen)
    left_out = f", {source.left_out:,} left out" if source.left_out else ""
    shape = f"{len(rows):,} rows{left_out}, {source.X.shape[1]} features, {source.task}"
    watched_text = "no validation" if watched is None else f"validation on {len(watched[1]):,}"
    click.echo(f"{source.name}: {shape}; {watched_text}, test on {len(test[1]):,} rows.")
    return source, _taken(source, rows), test, watched


def opened_source(data, options, stack):
    """Open DATA, and say what its columns hold and which rows were left out."""
    how = columns_of(options) | how_to_read(data, options)
    opened = opened_data(data, options["target"], task=options["task"], **how)
    source = stack.enter_context(opened)
    if source.sheet is not None:
        click.echo(source.sheet.describe())
        if source.left_out:
            click.echo(source.sheet.summary_of_bad_rows(), err=True)
    return source


def _other(path, source, data, options, stack):
    """Return (X, y) of another file with the same columns."""
    from ..tables.datasets import BUILT_IN
    from ..tables.open_table import array_of

    how, target = how_to_read(path, options | {"quarantine": None}), options["target"]
    different = DataError(f"{path} has other columns than {data}.")
    if is_table(path):
        if source.feature_names is None:
            raise different
        target = source.target_name
        how |= {"known": source.types, "types": types_of_labels(target, source.y)}
    elif source.sheet is not None:
        named = path in BUILT_IN or os.path.exists(path)
        raise different if named else DataError(f"{path} does not exist, expected a table.")
    found = stack.enter_context(opened_data(path, target, task=source.task, **how))
    if found.feature_names != source.feature_names or found.X.shape[1] != source.X.shape[1]:
        raise different
    array = found.sheet is not None and source.sheet is None
    return array_of(found.sheet) if array else found.X, found.y


def split_rows(source, data, options, tests):
    """Return the numbers of the rows to train on, to test on and to watch; None where not here."""
    import numpy as np

    def split(rows, share):
        labels = source.y[rows] if source.task == "classification" else None
        return _held_out(data, rows, labels, share, options["seed"] or 0)

    rows, tested, seen, share = np.arange(len(source.y)), None, None, options["validation"]
    if tests:
        rows, tested = split(rows, 0.2)
    rows = rows[: options["rows"]]
    if isinstance(share, float) and share:
        rows, seen = split(rows, share)
    return rows, tested, seen


def _taken(source, rows):
    """Return (X, y) of some rows."""
    import numpy as np

    rows = rows if source.sheet is None else np.sort(rows)  # a file is read in its order
    return source.X[rows], source.y[rows]


def _check_labels(source, rows, place, part):
    """Refuse a part with labels that are not among those of the rows to train on."""
    import numpy as np

    classes = np.unique(source.y[rows]) if source.task == "classification" else None
    check_targets(place, part[1], classes)


def check_enough(place, labels, least):
    """Refuse labels one of which stands in too few rows to hold some of them out."""
    import numpy as np

    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < least:
        n, label = int(counts.min()), classes[counts.argmin()]
        raise DataError(
            f"{place} cannot be split to hold rows out: only {plural(n, 'row')} of the label "
            f"{label!s}, expected {least} or more: drop the label, or find more rows of it"
            f"{', or say --task regression' if classes.dtype.kind in 'iuf' else ''}."
        )


def _held_out(place, rows, labels, share, seed):
    """Split off a share of the rows, of each label alike (None: there are none)."""
    from sklearn.model_selection import train_test_split

    if labels is not None:
        check_enough(place, labels, 2)
    try:
        return train_test_split(rows, test_size=share, random_state=seed, stratify=labels)
    except ValueError as error:
        reason = str(error).partition(". ")[0].rstrip(".")
        raise DataError(f"{place} cannot be split to hold rows out: {reason}.") from error
