"""`xpmlp export`: a model file as an ONNX file, which needs no xpmlp to predict."""

from pathlib import Path

import click

from .data import writable


@click.command()
@click.argument("model")
@click.option("--out", type=click.Path(dir_okay=False), help="File to write (MODEL.onnx).")
def export(model, out):
    """Write MODEL as ONNX: encoding, scaling and network in one graph."""
    from ..estimators import load_model

    out = writable("--out", out or str(Path(model).with_suffix(".onnx")), model)
    load_model(model).export(out)
    click.echo(f"ONNX: {out}")
