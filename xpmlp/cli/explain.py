"""`xpmlp explain`: a training step in equations with live shapes, of a model or of mere sizes."""

from functools import partial

import click
from click.core import ParameterSource

from ..errors import DataError
from .train import LOSSES, _sizes

option = partial(click.option, show_default=True)
OF_SIZES = ("activation", "out_activation", "loss", "batch", "seed")


# fmt: off
@click.command()
@click.argument("model", required=False)
@click.argument("data", required=False)
@option("--sizes", callback=lambda ctx, param, value: value and _sizes(ctx, param, value),
        metavar="D,H,...,C", help="Instead of MODEL: features, units of each layer; random data.")
@option("--activation", default="logistic", help="With --sizes: of the hidden layers.")
@option("--out-activation", default="identity",
        help="With --sizes: of the last layer (the other losses bring their own).")
@option("--loss", type=click.Choice(LOSSES), default="squared_error", help="With --sizes.")
@option("--batch", type=click.IntRange(1), default=32, help="With --sizes: rows of random data.")
@option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, help="With --sizes.")
@option("--target", help="Column of the targets, for CSV and Parquet (the model's).")
@option("--rows", type=click.IntRange(1), help="Take the first so many rows of DATA only.")
@option("--orientation", type=click.Choice(["rows", "columns"]), default="rows",
        help="How samples stand in the equations.")
@option("--plan", "as_plan", is_flag=True, help="Print what a training takes: FLOPs, bytes.")
@option("--html", type=click.Path(dir_okay=False), help="Page to write: numbers as pictures.")
@option("--latex", type=click.Path(dir_okay=False), help="LaTeX document to write.")
@click.pass_context
def explain(ctx, model, data, sizes, orientation, as_plan, html, latex, **options):
    """Explain a training step of MODEL on DATA: equations, shapes, norms, dead units, updates.

    Nothing is trained or changed. `xpmlp explain --sizes 3,5,5,1` needs neither model nor data.
    """
    # fmt: on
    from ..files.atomic import atomic_write

    if as_plan and (html or latex):
        raise click.UsageError("--plan prints a table: leave --html and --latex out.")
    if sizes:
        found = _of_sizes(sizes, model, orientation, as_plan, options)
    elif data is None:
        raise click.UsageError("give MODEL and DATA, or --sizes such as 3,5,5,1.")
    else:
        for name in OF_SIZES:
            if ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE:
                raise click.UsageError(f"--{name.replace('_', '-')} goes with --sizes only.")
        found = _of_model(model, data, orientation, as_plan, options)
    click.echo(str(found))
    if html:
        atomic_write(html, found.to_html().encode())
        click.echo(f"Page: {html}", err=True)
    if latex:
        atomic_write(latex, found.to_latex(document=True).encode())
        click.echo(f"LaTeX: {latex}", err=True)


def _of_sizes(sizes, model, orientation, as_plan, options):
    """Explain or plan a network of sizes at its initial weights, on random data."""
    import numpy as np

    from ..nn import Dense, Network
    from ..randomness import stream

    if model or options["target"] or options["rows"]:
        raise click.UsageError("--sizes goes without MODEL, DATA, --target and --rows.")
    if len(sizes) < 2:
        raise click.UsageError("--sizes needs features and outputs at least, such as 3,1.")
    loss, out = options["loss"], options["out_activation"]
    if loss != "squared_error" and out != "identity":
        raise click.UsageError(f"--loss {loss} has its own output function: no --out-activation.")
    hidden = [Dense(size, options["activation"]) for size in sizes[1:-1]]
    network = Network((*hidden, Dense(sizes[-1], out)))
    if as_plan:
        zeros = np.broadcast_to(np.float32(0), (options["batch"], sizes[0]))  # takes no memory
        return network.plan(zeros, batch_size=options["batch"])
    X = stream(options["seed"], "data", 1).normal(size=(options["batch"], sizes[0]))
    return network.explain(X, loss=loss, random_state=options["seed"], orientation=orientation)


def _of_model(model, data, orientation, as_plan, options):
    """Explain or plan a model file on the rows of a data set."""
    from ..estimators import load_model
    from ..files.datasets import load_dataset, load_features
    from .apply import _own_target, check_range, check_targets

    estimator = load_model(model)
    table = load_dataset(data, options["target"] or _own_target(estimator, data))
    X, y, names = table.X, table.y, getattr(estimator, "feature_names_in_", None)
    if table.feature_names is not None:
        columns = None if names is None else names.tolist()
        X = load_features(data, columns, estimator.n_features_in_, table.target_name)
    if X.shape[1] != estimator.n_features_in_:
        raise DataError(
            f"{data} has {X.shape[1]} features, the model expects {estimator.n_features_in_}."
        )
    check_targets(data, y, getattr(estimator, "classes_", None))
    X, y = X[: options["rows"]], y[: options["rows"]]
    if as_plan:
        return estimator.plan(X, y)
    check_range(X if estimator.scaling_ is None else estimator.scaling_.inputs(X), estimator._dtype)
    return estimator.explain(X, y, orientation=orientation)
