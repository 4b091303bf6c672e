"""The command `parity`: do the array libraries of this machine agree?"""

import click


@click.command("parity")
@click.option(
    "--xp", multiple=True, metavar="LIBRARY[:DEVICE]",
    help="numpy, cupy, torch:cpu, torch:cuda, jax, array_api_strict, or any module of Array API "
    "arrays; repeatable (default: XPMLP_BACKENDS, or what is installed and works).",
)  # fmt: skip
@click.option("--html", type=click.Path(dir_okay=False), help="Write the report as a page.")
@click.option("--json", type=click.Path(dir_okay=False), help="Write the report as JSON.")
@click.option("--junit", type=click.Path(dir_okay=False), help="Write the report as JUnit's XML.")
def parity(xp, html, json, junit):
    """Run every operation on each array library, against a wider float on NumPy.

    Exit codes: 0 all within their bounds, 1 something is not, or a library does not work.
    """
    from ..testing.parity import run_parity

    report = run_parity(xp)
    click.echo(str(report))
    report.write(html=html, json=json, junit=junit)
    return 0 if report.ok else 1
