"""Columns of a table that are no features: what rows weigh, and which part each belongs to."""

import click

from .command import section
from .options import several

WAYS = ("time", "group", "column")
PARTS = {  # what cells of --split column:COL say
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing"),
}


class SplitBy(click.ParamType):
    """How rows are divided, and the column that it goes by."""

    name = "time:col|group:col|column:col"

    def convert(self, value, param, ctx):
        """Return the text, checked."""
        way, mark, column = value.partition(":")
        if way not in WAYS or not column.strip():
            ways = ", ".join(f"{way}:COL" for way in WAYS)
            self.fail(f"{value!r} is none of {ways}, where COL is a column.", param, ctx)
        return f"{way}:{column.strip()}"


data_option = section("Data")
weight_option = data_option(
    "--sample-weight", metavar="COL", help="Column of what each row counts: 0 or more."
)
role_options = several(
    weight_option,
    data_option(
        "--split",
        type=SplitBy(),
        help="time:COL: test on the last rows; group:COL: no group in two parts; column:COL: its "
        "cells say train, validation or test.  [at random]",
    ),
)


def split_by(options):
    """Return the way to divide rows and the column, "" and "" where it is at random."""
    way, _, column = (options["split"] or "").partition(":")
    return way, column


def used_columns(options):
    """Return the columns that are needed beside the features, and whether each may be one, too."""
    used, (way, column) = {}, split_by(options)
    if column:
        used[column] = way == "time"
    if options["sample_weight"]:
        used[options["sample_weight"]] = False
    return used


def types_of_used(options):
    """Return the types of columns of which every cell is as good as another."""
    way, column = split_by(options)
    if way in ("group", "column"):
        return {column: "category"}
    return {}


def weighted_by(options):
    """Return the end of what is said of scores: ", weighted by 'n'", or nothing."""
    return f", weighted by {options['sample_weight']!r}" * bool(options["sample_weight"])
