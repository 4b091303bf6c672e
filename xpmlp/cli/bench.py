"""`xpmlp bench`: xpmlp and its peers side by side."""

import json
import os

import click

KINDS = ("steps", "fits", "predict", "import")


def _words(allowed):
    """Return a callback that splits a,b and refuses what is not allowed."""

    def split(ctx, param, value):
        words = tuple(word.strip() for word in (value or "").split(",") if word.strip())
        for word in words:
            if word not in allowed():
                known = ", ".join(map(str, allowed()))
                raise click.BadParameter(f"{word!r} is none of {known}.")
        return words

    return split


def _cells():
    from ..benchmarks import KINDS

    return [case.name for case in KINDS["steps"]]


def _groups():
    from ..benchmarks.peers import CONTENDERS

    return list(dict.fromkeys(c.group for c in CONTENDERS if c.group != "own"))


def _threads():
    return [str(n + 1) for n in range(len(os.sched_getaffinity(0)))]


@click.command()
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
@click.option(
    "--cells", callback=_words(_cells), help="Only these networks, such as planar,medium."
)
@click.option("--threads", default="1,2", callback=_words(_threads), help="Such as 1,2.")
@click.option("--peers", callback=_words(_groups), help="Only these, such as sklearn,torch,jax.")
@click.option("--rounds", type=click.IntRange(1), default=9, show_default=True)
@click.option("--json", "json_file", type=click.File("w", lazy=False), metavar="FILE")
def bench(kinds, cells, threads, peers, rounds, json_file):
    """Time xpmlp and its peers."""
    from .. import benchmarks as b

    record = {"machine": b.machine(), "results": []}
    for n in map(int, threads):
        for kind in kinds or KINDS:
            if kind == "import":
                continue
            cases = b.cases_of(kind, cells)
            found = b.measure(
                kind, cases, n, groups=peers, rounds=rounds, say=lambda t: click.echo(t, err=True)
            )
            record["results"] += found
            click.echo(b.table(found) + "\n")
    if json_file:
        json.dump(record, json_file, indent=1)
