"""`python -m ci.benchmarks` from a checkout: xpmlp and its peers side by side."""

import json
from functools import partial

import click

from xpmlp.atomic import atomic_write
from xpmlp.cli import run_command
from xpmlp.errors import DataError

from .. import benchmarks
from . import CONTENDERS, DEVICES, available_cpus

KINDS = ("steps", "fits", "predict", "import")
# Of a fresh process: what is timed, in words; the seconds that it may take in xpmlp, or None.
START_UP = {
    "package": ("import xpmlp", 0.05),
    "estimators": ("and MLPClassifier", None),
    "fit": ("a first fit, beyond a second", 0.2),
}
TIMED = [*DEVICES["cpu"]["steps"], *DEVICES["cpu"]["fits"], *DEVICES["cuda"]["steps"]]
CELLS = tuple(dict.fromkeys(case.name for case in TIMED))
GROUPS = tuple(dict.fromkeys(c.group for c in CONTENDERS if c.group != "own"))
THREADS = tuple(str(n) for n in range(1, len(available_cpus()) + 1))


def _words(known):
    """Return a callback that splits a,b and refuses what is not known."""

    def split(ctx, param, value):
        words = tuple(dict.fromkeys(word.strip() for word in (value or "").split(",")))
        words = words if value is not None else ()
        for word in words:
            if word not in known:
                raise click.BadParameter(f"{word!r} is none of {', '.join(known)}.")
        return words

    return split


def _show_list(ctx, param, value):
    """Print cells and contenders, and end."""
    if not value or ctx.resilient_parsing:
        return
    for device, kind in ((device, kind) for device, kinds in DEVICES.items() for kind in kinds):
        click.echo(f"{kind}, --device {device}:")
        for c in DEVICES[device][kind]:
            sizes = "-".join(map(str, c.sizes))
            does = f"{sizes} {c.activation}, {c.loss}, {c.rule}, batch {c.batch}, {c.rows} rows"
            short = "" if c.precision == "highest" else f", matmul_precision {c.precision}"
            click.echo(f"  {c.name:12} {does}{short}")
        for contender in CONTENDERS:
            if (contender.device, contender.kind) == (device, kind):
                click.echo(f"  {contender.name:24} --peers {contender.group} ({contender.role})")
    ctx.exit()


# fmt: off
option = click.option


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS), metavar="[KIND]...")
@option("--device", type=click.Choice(["cpu", "cuda"]), default="cpu", show_default=True,
        help="cuda: steps and fits on arrays of a card.")
@option("--cells", callback=_words(CELLS), help="Only these networks: planar,medium.")
@option("--threads", callback=_words(THREADS), help="Numbers of a CPU's threads (1,2).")
@option("--peers", callback=_words(GROUPS), help="Only these: sklearn,torch,jax,onnx,bound.")
@option("--rounds", type=click.IntRange(1), help="Turns each takes (9; fits and predict 5).")
@option("--data", metavar="FOLDER", help="MNIST for the fits, instead of random images.")
@option("--quick", is_flag=True, help="One thread, a few short rounds, nothing slow to make ready.")
@option("--json", "json_file", type=click.Path(dir_okay=False, writable=True), metavar="FILE",
        help="Write all timings, after each network.")
@option("--picture", type=click.Path(dir_okay=False, writable=True), metavar="FILE",
        help="Draw the ratios, with matplotlib.")
@option("--redraw", type=click.File(), metavar="FILE", help="Show what --json wrote, untimed.")
@option("--list", is_flag=True, is_eager=True, expose_value=False, callback=_show_list,
        help="Say what is timed, and end.")
def bench(kinds, json_file, picture, redraw, **options):
    """Time xpmlp beside scikit-learn, PyTorch, JAX, onnxruntime and the bare matrix products.

    KIND is steps (training steps on one resident batch), fits (epochs of 60 000 images, shuffled,
    and 100 epochs of 200 rows), predict or import; all if none is named. Each contender has a
    process of its own, pinned to as many CPUs as it has threads. They take turns, one at a time;
    ratios are taken within a round, and the table shows their medians and quartiles. All of it
    takes about 25 minutes.

    With --device cuda, steps gather their batches out of rows that lie on the card, fits are ten
    epochs of arrays there, and a timing has 200 steps or more, ended by waiting for the card. On an
    H100 the table shows what products and update take at its rates (floor), and our goals.
    """
    # fmt: on
    keep = partial(_write, json_file) if json_file else lambda record: None
    if redraw:
        record = _read(redraw)
        keep(record)
        click.echo(benchmarks.table(record["results"], record["machine"].get("card", "")))
    else:
        record = _run(kinds, options, keep)
    if picture and record["results"]:
        about = record["machine"]
        where = f"{about.get('card', about['cpu'])}, {about['cores']} cores, {about['date']}"
        benchmarks.picture(record["results"], picture, f"time as a multiple of xpmlp's: {where}")


def _write(path, record):
    atomic_write(path, json.dumps(record, indent=1).encode())


def _read(file):
    """Read a record that --json wrote."""
    try:
        record = json.load(file)
        if all("seconds" in timing for timing in record["results"]) and record["machine"]:
            return record
        reason = "it lacks timings"
    except (ValueError, TypeError, KeyError) as error:
        reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
    raise DataError(f"{file.name} is no JSON of `python -m ci.benchmarks`: {reason}.")


def _run(kinds, options, keep):
    """Time what is asked for, printing a table a kind and number of threads; return the record.

    keep(record) is called before, so that a file that cannot be written ends it, and at each case.
    """
    device = options["device"]
    kinds = kinds or (KINDS if device == "cpu" else DEVICES[device])
    for kind in kinds:
        if device == "cuda" and kind not in DEVICES[device]:
            raise click.UsageError(f"{kind} is timed on the CPU only: leave --device {device} out.")
    about = benchmarks.machine() | (benchmarks.card() if device == "cuda" else {})
    record = {"machine": about, "data": options["data"] or "random", "results": []}
    keep(record)
    if (load := about["load"] or 0) > 0.5:
        said = "the timings, those of several threads above all, want a quiet machine."
        click.echo(f"Warning: the load is {load:.1f}; {said}", err=True)
    for kind, slow in _turns(kinds, options["quick"]):
        if kind == "import":
            record["import"] = found = benchmarks.import_seconds()
            for key, (what, goal) in START_UP.items():
                seconds, theirs = (found[package][key] for package in ("xpmlp", "sklearn"))
                wanted = f" (goal {goal})" if goal else ""
                click.echo(f"{what}: {seconds:.3f} s{wanted}, scikit-learn's {theirs:.3f} s")
            click.echo()
            keep(record)
            continue
        for n in _numbers_of_threads(options):
            found = []
            for records in _measured(kind, n, options, slow):
                found += records
                record["results"] += records
                keep(record)
            if found:
                click.echo(benchmarks.table(found, about.get("card", "")) + "\n")
    return record


def _turns(kinds, quick):
    """Return kinds, and whether who is slow to make ready is timed: in a quick run at its end."""
    if not quick:
        return [(kind, None) for kind in kinds]
    again = [(kind, True) for kind in kinds if kind != "import"]
    return [(kind, False) for kind in kinds] + again


def _numbers_of_threads(options):
    cpus = len(available_cpus())
    if options["device"] == "cuda":  # what launches kernels is not held back
        return [cpus]
    return list(map(int, options["threads"])) or [1, 2][: 1 if options["quick"] else cpus]


def _measured(kind, threads, options, slow):
    """Yield the records of a kind's cases: of all, or of who is slow to make ready or is not."""
    device, quick = options["device"], options["quick"]
    cases = benchmarks.cases_of(
        kind, options["cells"], device=device, quick=quick, source=options["data"]
    )
    rivals = benchmarks.contenders(kind, options["peers"], device)
    if slow is not None:
        rivals = [c for c in rivals if c.slow == slow]
        cases = [case for case in cases if case.compiled or not slow]
    if not (cases and rivals):
        return iter(())
    least = (20 if quick else 200) if (device, kind) == ("cuda", "steps") else 1
    return benchmarks.measure(
        cases, rivals, threads, least=least,
        rounds=options["rounds"] or (3 if quick else 9 if kind == "steps" else 5),
        seconds=0.05 if quick else 0.2, quick=quick, say=lambda text: click.echo(text, err=True),
    )


def main(argv=None):
    """Run the command, with the exit codes of `xpmlp`."""
    run_command(bench, "python -m ci.benchmarks", argv)


if __name__ == "__main__":
    main()
