"""Options that say how a table file is written."""

import click

from .command import section
from .options import several

MARKS = {"tab": "\t", r"\t": "\t", "space": " "}  # what a shell makes hard to say


class Mark(click.ParamType):
    """A character, or one of some words for it."""

    name = "mark"

    def convert(self, value, param, ctx):
        """Return the character."""
        return MARKS.get(value, value)


option = section("Data")
file_options = several(
    option("--delimiter", type=Mark(), metavar="MARK",
           help="What stands between cells, one character or the word tab (by the first line)."),
)  # fmt: skip


def reading_of(options):
    """Return what the options say about how a table file is written."""
    from ..tables.reading import Reading

    return Reading(delimiter=options["delimiter"])
