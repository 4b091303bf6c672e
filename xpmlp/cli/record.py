"""What a model file keeps of a training by the command line: on what, by which options, scores."""

from datetime import UTC, datetime

import click
from click.core import ParameterSource

from .. import __version__
from ..words import as_list, shortened
from .command import key_of
from .lists import Names, names_of
from .options import shown

# Options that say where things are written and what is printed, not how a model comes about.
OF_OUTPUT = {"json", "out", "plot", "quiet", "quarantine", "report", "verbose", "config"}
OF_OUTPUT |= {"checkpoint", "checkpoint-every", "resume"}
LONGEST = 1000  # letters of an option
MOST_CLASSES = 200  # whose scores are kept


def record_of(source, train, watched, test):
    """Return what is known before the scores: data, rows, options, as JSON can hold it.

    train, watched, test: (X, y) of the rows, the second maybe None.
    """
    n_watched = 0
    if watched is not None:
        n_watched = len(watched[1])
    return {
        "xpmlp": __version__,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": source.name,
        "rows": {
            "train": len(train[1]),
            "validation": n_watched,
            "test": len(test[1]),
            "left_out": source.n_left_out,
        },
        "options": said_options(click.get_current_context(), source.table),
    }


def said_options(ctx, table):
    """Return the options that the command line or a file gave, as text, by name.

    table: the open table, or None; of its columns, those with a comma stand in quotes.
    """
    said = (ParameterSource.COMMANDLINE, ParameterSource.DEFAULT_MAP)
    given = {
        key_of(p): _as_list(p, ctx.params[p.name], table)
        for p in ctx.command.params
        if isinstance(p, click.Option)
        and p.name in ctx.params
        and ctx.get_parameter_source(p.name) in said
    }
    return {
        name: shortened(shown(value), LONGEST)
        for name, value in given.items()
        if name not in OF_OUTPUT
    }


def _as_list(option, value, table):
    """Return the value of an option, lists of names as one text that the option takes."""
    if not isinstance(option.type, Names) or table is None:
        return value
    return as_list(names_of(value, table.raw.columns))


def with_scores(record, scores):
    """Return a record with `Scores` of the test rows, without the table of very many classes."""
    kept = scores._asdict()
    if len(scores.classes) > MOST_CLASSES:
        kept["classes"] = []
    return {**record, "scores": kept}
