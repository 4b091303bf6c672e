"""`xpmlp bench`: xpmlp and its peers side by side."""

import json

import click

from ..errors import DataError

KINDS = ("steps", "fits", "predict", "import")
SLOWEST = 0.15  # seconds that `import xpmlp` may take


def _words(allowed):
    """Return a callback that splits a,b and refuses what is not allowed."""

    def split(ctx, param, value):
        words = tuple(dict.fromkeys(word.strip() for word in (value or "").split(",")))
        words, known = words if value is not None else (), allowed()
        for word in words:
            if word not in known:
                raise click.BadParameter(f"{word!r} is none of {', '.join(known)}.")
        return words

    return split


def _cells():
    from ..benchmarks import KINDS

    return [case.name for case in KINDS["steps"]]


def _groups():
    from ..benchmarks import CONTENDERS

    return list(dict.fromkeys(c.group for c in CONTENDERS if c.group != "own"))


def _threads():
    from ..benchmarks import available_cpus

    return [str(n) for n in range(1, len(available_cpus()) + 1)]


def _show_list(ctx, param, value):
    """Print cells and contenders, and end."""
    if not value or ctx.resilient_parsing:
        return
    from ..benchmarks import CONTENDERS, KINDS

    for kind, cases in KINDS.items():
        click.echo(f"{kind}:")
        for c in cases:
            sizes = "-".join(map(str, c.sizes))
            does = f"{sizes} {c.activation}, {c.loss}, {c.rule}, batch {c.batch}, {c.rows} rows"
            click.echo(f"  {c.name:12} {does}")
        for contender in CONTENDERS:
            if contender.kind == kind:
                click.echo(f"  {contender.name:24} --peers {contender.group} ({contender.role})")
    ctx.exit()


# fmt: off
option = click.option


@click.command()
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS), metavar="[KIND]...")
@option("--cells", callback=_words(_cells), help="Only these networks: planar,medium.")
@option("--threads", callback=_words(_threads), help="Numbers of threads (1,2).")
@option("--peers", callback=_words(_groups), help="Only these: sklearn,torch,jax,onnx,bound.")
@option("--rounds", type=click.IntRange(1), help="Turns each takes (9; fits and predict 5).")
@option("--data", metavar="FOLDER", help="MNIST for the fits, instead of random images.")
@option("--quick", is_flag=True, help="One thread, a few short rounds, nothing slow to make ready.")
@option("--json", "json_file", type=click.File("w", lazy=False), metavar="FILE",
        help="Write all timings.")
@option("--picture", type=click.Path(dir_okay=False, writable=True), metavar="FILE",
        help="Draw the ratios, with matplotlib.")
@option("--redraw", type=click.File(), metavar="FILE", help="Show what --json wrote, untimed.")
@option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_show_list,
        help="Say what is timed, and end.")
def bench(kinds, json_file, picture, redraw, **options):
    """Time xpmlp beside scikit-learn, PyTorch, JAX, onnxruntime and the bare matrix products.

    KIND is steps (training steps on one resident batch), fits (epochs of 60 000 images, shuffled),
    predict or import; all if none is named. Each contender has a process of its own, pinned to as
    many CPUs as it has threads. They take turns, one at a time; ratios are taken within a round,
    and the table shows their medians and quartiles. All of it takes about 25 minutes.
    """
    # fmt: on
    from .. import benchmarks

    if redraw:
        record = _read(redraw)
        click.echo(benchmarks.table(record["results"]))
    else:
        record = _run(kinds or KINDS, options)
    if json_file:
        json.dump(record, json_file, indent=1)
    if picture and record["results"]:
        about = record["machine"]
        where = f"{about['cpu']}, {about['cores']} cores, {about['date']}"
        benchmarks.picture(record["results"], picture, f"{where}; below 1: faster than xpmlp")


def _read(file):
    """Read a record that --json wrote."""
    try:
        record = json.load(file)
        if all("seconds" in timing for timing in record["results"]) and record["machine"]:
            return record
        reason = "it lacks timings"
    except (ValueError, TypeError, KeyError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
    raise DataError(f"{file.name} is no JSON of `xpmlp bench`: {reason}.")


def _run(kinds, options):
    """Time what is asked for, printing a table a kind and number of threads; return the record."""
    from .. import benchmarks

    quick, cpus = options["quick"], len(benchmarks.available_cpus())
    threads = options["threads"] or ("1", "2")[: 1 if quick else cpus]
    record = {"machine": benchmarks.machine(), "data": options["data"] or "random", "results": []}
    if (load := record["machine"]["load"] or 0) > 0.5:
        said = "the timings, those of several threads above all, want a quiet machine."
        click.echo(f"Warning: the load is {load:.1f}; {said}", err=True)
    for kind in kinds:
        if kind == "import":
            record["import"] = benchmarks.import_seconds()
            click.echo(f"import xpmlp: {record['import']:.3f} s (goal {SLOWEST})\n")
            continue
        cases = benchmarks.cases_of(kind, options["cells"], quick=quick, source=options["data"])
        rivals = benchmarks.contenders(kind, options["peers"], quick=quick)
        rounds = options["rounds"] or (3 if quick else 9 if kind == "steps" else 5)
        for n in map(int, threads):
            found = benchmarks.measure(
                cases, rivals, n, rounds=rounds, seconds=0.05 if quick else 0.2,
                say=lambda text: click.echo(text, err=True),
            )  # fmt: skip
            record["results"] += found
            click.echo(benchmarks.table(found) + "\n")
    return record
