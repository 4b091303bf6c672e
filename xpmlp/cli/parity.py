"""The command `parity`: do the array libraries of this machine agree, and those of another?"""

import click

from ..errors import DataError
from .command import echo
from .outputs import writable

HELP = {
    "--xp": "numpy, numpy:compiled (trainings in the compiled engine), cupy, torch:cpu, "
    "torch:cuda, jax, array_api_strict, or any module of Array API arrays; repeatable (default: "
    "XPMLP_BACKENDS, or what is installed and works).",
    "--save": "Keep all results, about 1.2 MB a library, to compare with on another machine.",
    "--against": "Compare with what --save kept on another machine, by the same bounds; the "
    "libraries there and here need not be the same.",
    "--html": "Write the report as a page.",
    "--json": "Write the report as JSON.",
    "--junit": "Write the report as JUnit's XML.",
}


def options(command):
    """Give a command the options in `HELP`, of files but for --xp."""
    for name, text in reversed(HELP.items()):
        how: dict = {"metavar": "FILE"}
        if name == "--xp":
            how = {"multiple": True, "metavar": "LIBRARY[:DEVICE]"}
        elif name != "--against":  # of which `read_results` says what is wrong
            how["type"] = click.Path(dir_okay=False)
        command = click.option(name, help=text, **how)(command)
    return command


@click.command("parity")
@options
def parity(xp, save, against, **files):
    """Run every operation on each array library, against a wider float on NumPy.

    Exit codes: 0 all within their bounds, 1 something is not, or a library does not work.
    """
    from ..atomic import atomic_write
    from ..testing.parity import run_parity
    from ..testing.parity.saved import read_results, write_results

    files = {kind: path for kind, path in ({"save": save} | files).items() if path is not None}
    for kind, path in files.items():
        writable(f"--{kind}", path, against, *(files[other] for other in files if other != kind))
    try:
        there = read_results(against)
    except DataError as error:
        raise click.UsageError(f"--against {error}") from error
    report = run_parity(xp, there=there)
    echo(str(report))
    for kind, path in files.items():
        if kind != "save":
            atomic_write(path, getattr(report, kind)().encode())
        elif report.here and report.here.outputs:
            write_results(path, report.here)
            echo(f"results: {path}")
        else:
            echo(f"--save {path}: nothing is saved, as no library has run.", err=True)
    return int(not report.ok)
