"""Options that say how a table file is written."""

from dataclasses import replace

import click

from .command import Choice, section
from .lists import Names, names_of
from .numbers import Whole
from .options import several

MARKS = {"tab": "\t", r"\t": "\t", "space": " "}  # what a shell makes hard to say
KEPT = ("missing", "decimal", "thousands")  # how cells are read, which a model keeps


class Mark(click.ParamType):
    """A character, or one of some words for it."""

    name = "mark"

    def convert(self, value, param, ctx):
        """Return the character."""
        return MARKS.get(value, value)


option = section("Reading tables")
file_options = several(
    option("--delimiter", type=Mark(), metavar="MARK",
           help="What stands between cells: a character, tab or whitespace (by the first line)."),
    option("--header/--no-header", default=None,
           help="Whether the first line holds names (asked for where it may be both)."),
    option("--names", type=Names(), multiple=True, metavar="NAME,...",
           help="Names of all columns; with --header in the place of those in the file."),
    option("--skip-rows", type=Whole(0), default=0, help="Lines in front of the table."),
    option("--comment", metavar="TEXT", help="Leave out lines that begin with this."),
    option("--missing", type=Names(), multiple=True, metavar="WORD,...",
           help="Cells that are missing values too, besides NA, null and the like."),
    option("--decimal", type=Choice([".", ","]), help="What parts a fraction (by the cells)."),
    option("--thousands", type=Mark(), metavar="MARK", help="What parts thousands (by the cells)."),
    option("--encoding", help="How text is written as bytes, such as cp1252 (UTF-8)."),
    option("--sheet", help="Sheet of an Excel file (the only one)."),
)  # fmt: skip


def _check_alike(reading, kept, types):
    """Raise UsageError for a decimal mark other than the one by which a model reads numbers."""
    from ..tables.kinds.numbers import decimal_mark
    from ..tables.kinds.types import base

    numbers = [name for name, kind in types.items() if base(kind) == "number"]
    told = [name for name in numbers if types[name] != "number"]  # others may be whole numbers
    columns = {decimal_mark(types[name]): name for name in reversed(told or numbers)}
    if len(columns) != 1:  # none, or both marks
        return
    ((mark, name),) = columns.items()
    got = f"the model reads column {name!r} as {types[name]}, with {mark!r} before decimals"
    remedy = "leave the option out, and write the file as the one that it was trained on."
    if reading.decimal not in (None, mark, kept.decimal):
        raise click.UsageError(f"--decimal {reading.decimal}: {got}: {remedy}")
    if reading.thousands == mark != kept.thousands:
        raise click.UsageError(f"--thousands {mark}: {got}: {remedy}")


def reading_of(options, model=None):
    """Return what the options say about how a table file is written, and what a model keeps."""
    from ..tables.reading import Reading

    said = {name: options[name] for name in ("header", "comment", "encoding", "sheet", "decimal")}
    said |= {name: options[name] for name in ("delimiter", "skip_rows", "thousands")}
    missing, names = (names_of(options[name]) for name in ("missing", "names"))
    reading = Reading(**said, missing=missing, names=names)
    kept = getattr(model, "table_reading_", None) or Reading()
    _check_alike(reading, kept, getattr(model, "table_types_", {}))
    return replace(
        reading,
        missing=tuple(dict.fromkeys((*kept.missing, *missing))),
        decimal=reading.decimal or kept.decimal,
        thousands=reading.thousands or kept.thousands,
    )
