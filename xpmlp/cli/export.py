"""`xpmlp export`: a model file as an ONNX file, which needs no xpmlp to predict."""

from pathlib import Path

import click

from ..words import wrapped
from .command import echo
from .outputs import writable

SHOWN = 8  # columns, of which more are in the file alone


@click.command()
@click.argument("model")
@click.option("--out", type=click.Path(dir_okay=False), help="File to write (MODEL.onnx).")
def export(model, out):
    """Write MODEL as ONNX: encoding, scaling and network in one graph.

    The graph takes plain numbers: of columns such as $1,234.50, dates and times it is said which.
    """
    from ..estimators import load_model

    out = writable("--out", out or str(Path(model).with_suffix(".onnx")), model)
    estimator = load_model(model)
    estimator.export(out)
    echo(f"ONNX: {out}")
    for text in _other_values(getattr(estimator, "table_types_", {})):
        echo(wrapped(text), err=True)


def _other_values(types):
    """Yield lines on columns whose cells the file does not take as they stand in a table."""
    from ..tables.kinds.values import value_in_words

    values = {name: words for name, kind in types.items() if (words := value_in_words(kind))}
    if not values:
        return
    yield "It takes plain numbers, which have to be made of a table's text beforehand:"
    for name in [*values][:SHOWN]:
        yield f"  {name}: {values[name]}"
    if len(values) > SHOWN:
        yield f"  and {len(values) - SHOWN:,} more columns, as the doc strings of the inputs say"
