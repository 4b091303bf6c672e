"""What columns beside the features say: what rows weigh, and how they are divided into parts."""

import click
import numpy as np
from click.core import ParameterSource

from ..errors import DataError
from ..words import wrapped
from .command import echo
from .divisions import AtRandom, ByGroup, ByTime
from .roles import PARTS, split_by


def tell_roles(options):
    """Print which columns say how rows are divided, and what they weigh."""
    way, column = split_by(options)
    said = {
        "time": f"Split by time: what is last by {column!r} is held out.",
        "group": f"Split by group: {column!r}, which is no feature.",
        "column": f"Split by column: {column!r}, which is no feature.",
    }
    texts = [said.get(way)]
    if options["sample_weight"]:
        texts.append(f"Weights: {options['sample_weight']!r}, which is no feature.")
    for text in filter(None, texts):
        echo(wrapped(text))


def labels_of(source):
    """Return the targets (n,) where they are classes, None where they are numbers."""
    return source.y if source.task == "classification" else None


def division_of(source, data, options):
    """Return the way in which the rows of a data set are divided, at random, by time or group."""
    way, column = split_by(options)
    labels, seed = labels_of(source), options["seed"] or 0
    if way == "time":
        values = cells_of(source, column)
        if values.dtype == object:
            raise DataError(
                f"{data}, column {column!r} holds text such as {values[0]!r}, expected numbers or "
                f"dates to split by time: say --types {column}=date:FORMAT, such as date:%d/%m/%Y."
            )
        return ByTime(np.unique(values, return_inverse=True)[1])
    if way == "group":
        values = cells_of(source, column)
        return ByGroup(np.unique(values, return_inverse=True)[1], labels, seed)
    return AtRandom(labels, seed)


def cells_of(source, name):
    """Return the cells (n,) of a column that an option needs, none of which is missing."""
    frame = source.X
    if source.aside is not None and name in source.aside.names:
        frame = source.aside
    return frame.column(frame.names.index(name))


def weights_of(source, options):
    """Return what each row counts by --sample-weight, (n,), None without the option."""
    name = options.get("sample_weight")
    if not name:
        return None
    data = source.table.raw.path
    values = cells_of(source, name)
    if values.dtype.kind != "f":
        raise DataError(
            f"{data}, column {name!r} holds {values[0]!s}, expected numbers of 0 or more to weigh "
            f"rows by: name another column, or say --types {name}=number."
        )
    below = np.flatnonzero(values < 0)
    if len(below):
        line = source.table.lines(below[:1])[0]
        raise DataError(
            f"{data} {source.table.raw.unit} {line}, column {name!r}: got {values[below[0]]:g}, "
            "expected a weight of 0 or more: mend it, or leave the row out."
        )
    if not values.any():
        raise DataError(f"{data}, column {name!r} is 0 in every row, expected weights above 0.")
    return values


def said_parts(source, data, options, tests):
    """Return the rows to train, test and validate on as the cells of a column say, or None."""
    _, column = split_by(options)
    cells = [str(cell).lower() for cell in cells_of(source, column).tolist()]
    words = {word: part for part, some in PARTS.items() for word in some}
    odd = next((i for i, cell in enumerate(cells) if cell not in words), None)
    place = f"{data}, column {column!r}"
    if odd is not None:
        line = f"{source.table.raw.unit} {source.table.lines([odd])[0]}"
        raise DataError(
            f"{place}, {line}: got {cells[odd]!r}, expected {', '.join(PARTS)} in each row."
        )
    said = np.asarray([words[cell] for cell in cells])
    train, validation, test = (np.flatnonzero(said == part) for part in PARTS)
    if not len(train):
        raise DataError(f"{place} says of no row that it is to train on, expected 'train'.")
    if tests and not len(test):
        raise DataError(f"{place} says 'test' of no row: name a file to test on by --test.")
    if not tests and len(test):
        raise DataError(f"{place} says 'test' of rows, and there is a test part: leave --test out.")
    context = click.get_current_context()
    source_of = context.get_parameter_source("validation")
    if len(validation) and source_of not in (None, ParameterSource.DEFAULT):
        raise DataError(f"{place} says 'validation' of rows: leave --validation out.")
    return train, test if len(test) else None, validation if len(validation) else None
