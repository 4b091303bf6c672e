"""Splits of a data set: rows to train on, to validate on, to test on."""

import os
from dataclasses import replace
from typing import Any, NamedTuple

import click
import numpy as np

from ..errors import DataError
from ..words import plural, wrapped
from .command import echo, tell
from .data import check_predictable, column_options, is_table_file, opened_data, types_of_labels
from .divisions import AtRandom
from .predict import tell_bad_rows
from .rare_labels import check_rare, known_rows, parted
from .roles import split_by
from .used_columns import division_of, labels_of, said_parts, tell_roles, weights_of

TESTED = 0.2  # of the rows


class Part(NamedTuple):
    """Rows of a data set: features, targets, and what each counts (n,), None where all count 1."""

    X: Any
    y: np.ndarray
    weights: np.ndarray | None = None

    def taken(self, rows):
        """Return some of the rows."""
        weights = self.weights
        if weights is not None:
            weights = weights[rows]
        return Part(self.X[rows], self.y[rows], weights)


def split_data(data, options, stack):
    """Return the Dataset and the Parts to train on, to test on, to validate on, maybe None.

    stack: what closes the files that are opened.
    """
    check_read_once(data, options["test_file"], options["validation"])
    source = opened_source(data, options, stack)
    test_file, watch = options["test_file"], options["validation"]
    whole = Part(source.X, source.y, weights_of(source, options))
    test = watched = None
    if source.X_test is not None:
        test = Part(source.X_test, source.y_test)
    if test_file:
        test = _other(test_file, source, data, options, stack)
    rows, tested, seen = split_rows(source, data, options, test is None)
    train = part_of(source, whole, rows)
    if test is None:
        test = part_of(source, whole, tested)
    test = _predictable(source, train, test_file or f"the test part of {data}", test, options)
    if seen is not None:
        place = f"the validation part of {data}"
        watched = part_of(source, whole, seen)
        watched = _predictable(source, train, place, watched, options)
    elif watch == "test":
        watched = test
    elif isinstance(watch, str):
        watched = _other(watch, source, data, options, stack)
        watched = _predictable(source, train, watch, watched, options)
    for purpose, part in (("train", train), ("validate", watched), ("test", test)):
        check_weighed(data, purpose, part and part.weights, options)
    text = "no validation"
    if watched is not None:
        text = f"validation on {len(watched.y):,}"
    left_out = f", {source.n_left_out:,} left out" * (source.n_left_out > 0)
    shape = (
        f"{len(train.y):,} rows{left_out}, {plural(source.X.shape[1], 'feature')}, {source.task}"
    )
    echo(wrapped(f"{source.name}: {shape}; {text}, test on {len(test.y):,} rows."))
    tell_roles(options)
    return source, train, test, watched


def check_read_once(*sources):
    """Raise UsageError where the standard input is more than one of what is read."""
    if sum(source in ("-", "/dev/stdin") for source in sources) > 1:
        raise click.UsageError("- is the standard input, which can be read once: name a file.")


def check_weighed(data, purpose, weights, options):
    """Raise DataError where every row of a part weighs 0; weights: (n,), None where all count 1."""
    if weights is not None and not weights.any():
        raise DataError(
            f"{data}: every row to {purpose} on weighs 0 by {options['sample_weight']!r}, expected "
            "some that count: split otherwise, or leave --sample-weight out."
        )


def opened_source(data, options, stack):
    """Open DATA; say what its columns hold, and what is doubtful about them and about its rows."""
    from ..tables.checks import warnings_of

    how = column_options(options) | {"task": options["task"]}
    source = stack.enter_context(opened_data(data, options, options["target"], **how))
    if source.table is not None:
        echo(source.table.describe())
        if source.table.bad_rows:
            tell_bad_rows(source.table)
        warnings = source.table.warnings
        others = [name for name in source.feature_names if name not in warnings]
        doubtful = warnings_of(source.table, others)
        source = replace(source, warnings=(*warnings.values(), *doubtful))
    for text in source.warnings:
        tell(f"Warning: {text}.")
    check_rare(options, source.task)
    return source


def _other(path, source, data, options, stack):
    """Return the Part of another file with the same columns."""
    from ..tables.datasets import BUILT_IN
    from ..tables.open_table import array_of

    how, target = {"task": source.task}, options["target"]
    different = DataError(f"{path} has other columns than {data}.")
    if is_table_file(path):
        if source.feature_names is None:
            raise different
        target, weights = source.target_name, options["sample_weight"]
        known = source.types
        if weights:
            kinds = {column.name: column.kind for column in source.table.columns}
            known = known | {weights: kinds[weights]}
            how["used"] = {weights: False}
        how |= {"known": known, "types": types_of_labels(target, source.y)}
    elif source.table is not None:
        named = path in BUILT_IN or os.path.exists(path)
        raise different if named else DataError(f"{path} does not exist, expected a table.")
    found = stack.enter_context(opened_data(path, options | {"quarantine": None}, target, **how))
    if found.feature_names != source.feature_names or found.X.shape[1] != source.X.shape[1]:
        raise different
    weights = weights_of(found, options)
    if found.table is not None and source.table is None:
        return Part(array_of(found.table), found.y, weights)
    return Part(found.X, found.y, weights)


def split_rows(source, data, options, tests):
    """Return the numbers of the rows to train, test and validate on, the last two maybe None.

    tests: whether rows to test on are to be held out.
    """
    share, (way, _) = options["validation"], split_by(options)
    validates = isinstance(share, float) and share > 0
    if way == "column":
        rows, tested, seen = said_parts(source, data, options, tests)
        tests, validates = False, validates and seen is None
        division = AtRandom(labels_of(source), options["seed"] or 0)
        always = rows[:0]
    else:
        tested = seen = None
        division = division_of(source, data, options)
        rows, always = _parted(source, data, division, options, divides=tests or validates)
    if tests:
        rows, tested = held_out(division, data, rows, TESTED)
    if options["rows"] is not None:
        rows = rows[: max(options["rows"] - len(always), 0)]
    if validates:
        rows, seen = held_out(division, data, rows, share)
    return np.concatenate((rows, always)), tested, seen


def folds_of(source, data, rows, n, options):
    """Return n pairs of places in `rows`: to train on, to test on."""
    division, labels = division_of(source, data, options), labels_of(source)
    places, always = np.arange(len(rows)), np.arange(0)
    if labels is not None:
        policy = options["rare_labels"] or "keep"
        places, always = parted(data, labels[rows], division, n, policy, folds=True)
    try:
        folds = [*division.folds(rows[places], n)]
    except ValueError as error:
        reason = str(error).rstrip(".")
        raise DataError(
            f"{data} cannot be divided into {n} folds: {reason}: find more rows, or say fewer "
            "--folds."
        ) from error
    return [(np.concatenate((places[some], always)), places[held]) for some, held in folds]


def _parted(source, data, division, options, *, divides):
    """Return the rows to divide, and those of rare labels that are trained on in any case."""
    labels, rows = labels_of(source), np.arange(len(source.y))
    if labels is None or not divides:
        return rows, rows[:0]
    # Whatever is validated on: `tune` has to leave out the very rows that `train` tests on.
    return parted(data, labels, division, 2, options["rare_labels"] or "keep")


def part_of(source, whole, rows):
    """Return some rows of a Part, in the order in which they are read; None for None."""
    if rows is None:
        return None
    if source.table is not None:  # a file is read in its order
        rows = np.sort(rows)
    return whole.taken(rows)


def _predictable(source, train, place, part, options):
    """Return the rows of a part without labels that training lacks, if they are to be dropped."""
    if source.task == "regression":
        check_predictable(place, part.y, None)
        return part
    known = known_rows(place, part.y, np.unique(train.y), options["rare_labels"])
    if known.all():
        return part
    return part.taken(np.flatnonzero(known))


def held_out(division, data, rows, share):
    """Split off a share of the rows."""
    try:
        return division.held_out(rows, share)
    except ValueError as error:
        reason = str(error).partition(". ")[0].rstrip(".")
        remedy = "find more rows, or name files by --test and --validation"
        raise DataError(f"{data} cannot be split to hold rows out: {reason}: {remedy}.") from error
