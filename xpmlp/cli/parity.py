"""The command `parity`: do the array libraries of this machine agree?"""

import click


def _file(name, what):
    """Return an option for a file, opened before the run so that a bad path costs no time."""
    kind = click.File("w", encoding="utf-8", lazy=False)
    return click.option(name, type=kind, metavar="FILE", help=f"Write the report as {what}.")


@click.command("parity")
@click.option(
    "--xp", multiple=True, metavar="LIBRARY[:DEVICE]",
    help="numpy, cupy, torch:cpu, torch:cuda, jax, array_api_strict, or any module of Array API "
    "arrays; repeatable (default: XPMLP_BACKENDS, or what is installed and works).",
)  # fmt: skip
@_file("--html", "a page")
@_file("--json", "JSON")
@_file("--junit", "JUnit's XML")
def parity(xp, **files):
    """Run every operation on each array library, against a wider float on NumPy.

    Exit codes: 0 all within their bounds, 1 something is not, or a library does not work.
    """
    from ..testing.parity import run_parity

    report = run_parity(xp)
    click.echo(str(report))
    for kind, file in files.items():
        if file:
            file.write(getattr(report, kind)())
    return 0 if report.ok else 1
