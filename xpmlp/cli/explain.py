"""`xpmlp explain`: a training step in equations with live shapes, of a model or of given sizes."""

from functools import partial

import click
import numpy as np
from click.core import ParameterSource

from ..nn.activations import ACTIVATIONS
from ..nn.loss import LINKS
from ..nn.losses import named_loss
from ..optim import RULES
from ..words import our_name
from .command import Choice, Command, echo, section
from .data import reading_options
from .numbers import Number
from .options import ABOVE_0, COUNT, LOSSES, SEED, Several, at_least
from .outputs import writable

option = partial(section("Options"), show_default=True)
FILE, ORIENTATION = click.Path(dir_okay=False), Choice(["rows", "columns"])
OF_SIZES = (
    *("activation", "out_activation", "loss", "solver", "lr", "momentum", "alpha"),
    *("batch", "seed"),
)


class Named(Choice):
    """One of some words, also by the name that other libraries and courses have for it."""

    def convert(self, value, param, ctx):
        """Return the word."""
        return super().convert(our_name(value, self.choices), param, ctx)


@click.command(cls=Command)
@click.argument("model", required=False)
@click.argument("data", required=False)
@option(
    "--sizes",
    type=Several(COUNT, unpacked=False),
    metavar="D,H,...,C",
    help="Number of features and units of each layer, instead of MODEL; data are random.",
)
@option(
    "--activation",
    type=Named(ACTIVATIONS),
    default="logistic",
    metavar="NAME",
    help="With --sizes: activation of the hidden layers, such as sigmoid or relu.",
)
@option(
    "--out-activation",
    type=Named([*ACTIVATIONS, *(name for name in LINKS if name not in ACTIVATIONS)]),
    metavar="NAME",
    help="With --sizes: activation of the outputs, such as sigmoid or softmax.",
)
@option(
    "--loss",
    type=Named(LOSSES),
    default="squared_error",
    metavar="NAME",
    help="With --sizes: loss, such as mse or cross_entropy.",
)
@option("--solver", type=Choice(RULES), default="adam", help="With --sizes: update rule.")
@option("--lr", "--learning-rate", "lr", type=ABOVE_0, default=1e-3, help="With --sizes: its rate.")
@option("--momentum", type=Number(0, 1), default=0.9, help="With --sizes: momentum of sgd.")
@option("--alpha", type=at_least(0), default=0.0, help="With --sizes: strength of the L2 penalty.")
@option("--batch", type=COUNT, default=32, help="With --sizes: rows of random data.")
@option("--seed", type=SEED, default=0, help="With --sizes: of weights and data.")
@option("--target", help="Column of targets, for CSV and Parquet (the model's target).")
@option("--rows", type=COUNT, help="Take the first so many rows of DATA only.")
@option("--orientation", type=ORIENTATION, default="rows", help="How samples stand.")
@option("--plan", "as_plan", is_flag=True, help="Print the FLOPs and bytes that a training takes.")
@option("--html", type=FILE, help="HTML page to write, with numbers as pictures.")
@option("--latex", type=FILE, help="LaTeX document to write.")
@reading_options
@click.pass_context
def explain(ctx, model, data, sizes, orientation, as_plan, html, latex, **options):
    """Explain a training step of MODEL on DATA: equations, shapes, norms, dead units, updates.

    Nothing is trained or changed. `xpmlp explain --sizes 3,5,5,1` needs neither model nor data.
    """
    from ..atomic import atomic_write

    if as_plan and (html or latex):
        raise click.UsageError("--plan prints a table: leave --html and --latex out.")
    if sizes and (model or options["target"] or options["rows"]):
        raise click.UsageError("--sizes goes without MODEL, DATA, --target and --rows.")
    if not sizes and data is None:
        raise click.UsageError("give MODEL and DATA, or --sizes such as 3,5,5,1.")
    for name in OF_SIZES:
        if not sizes and ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name.replace('_', '-')} goes with --sizes only.")
    for name, path in (("--html", html), ("--latex", latex)):
        if path:
            writable(name, path, html if path is latex else None)
    if sizes:
        found = _of_sizes(sizes, orientation, as_plan, options)
    else:
        found = _of_model(model, data, orientation, as_plan, options)
    echo(str(found))
    if html:
        atomic_write(html, found.to_html().encode())
        echo(f"Page: {html}", err=True)
    if latex:
        atomic_write(latex, found.to_latex(document=True).encode())
        echo(f"LaTeX: {latex}", err=True)


def _of_sizes(sizes, orientation, as_plan, options):
    """Explain or plan a network of sizes at its initial weights, on random data."""
    from ..inspection import explain, plan
    from ..nn import Dense, Network
    from ..optim import make_rule
    from ..randomness import stream

    if len(sizes) < 2:
        raise click.UsageError("--sizes needs features and outputs at least, such as 3,1.")
    loss, last = _ending(options["loss"], options["out_activation"], sizes[-1])
    hidden = [Dense(size, options["activation"]) for size in sizes[1:-1]]
    network, shape = Network((*hidden, Dense(sizes[-1], last))), (options["batch"], sizes[0])
    how = {"solver": make_rule(options["solver"], momentum=options["momentum"])}
    how |= {"loss": loss, "orientation": orientation}
    if as_plan:  # of arrays that take no memory
        data = (np.broadcast_to(np.float32(0), (shape[0], n)) for n in (shape[1], sizes[-1]))
        return plan(network, *data, batch_size=shape[0], **how)
    X = stream(options["seed"], "data", 1).normal(size=shape)
    how |= {"learning_rate_init": options["lr"], "alpha": options["alpha"]}
    return explain(network, X, random_state=options["seed"], **how)


def _ending(loss, out_activation, n_outputs):
    """Return the loss, and the activation of the last layer: a link is inside the loss."""
    if out_activation == "softmax" and n_outputs == 1:
        raise click.UsageError(
            "--out-activation softmax of one output is always 1: give --sizes an output for each "
            "class, or take sigmoid."
        )
    if loss == "log_loss" and (out_activation == "logistic" or n_outputs == 1):
        loss = "binary_log_loss"
    link = named_loss(loss).link
    if out_activation in (None, link):
        return loss, "identity"
    if link != "identity":
        raise click.UsageError(
            f"--loss {loss} is of outputs with a {link}, got --out-activation {out_activation}: "
            "leave it out, or take --loss squared_error."
        )
    if out_activation not in ACTIVATIONS:
        goes = {"softmax": "log_loss", "exp": "poisson"}[out_activation]
        raise click.UsageError(
            f"--out-activation {out_activation} goes with --loss {goes}, got {loss}."
        )
    return loss, out_activation


def _of_model(model, data, orientation, as_plan, options):
    """Explain or plan a model file on the rows of a data set."""
    from ..estimators import load_model
    from .data import check_array
    from .evaluate import opened_rows

    estimator = load_model(model)
    with opened_rows(estimator, data, options["target"], options, test=False) as (_, X, y, _):
        X, y = X[: options["rows"]], y[: options["rows"]]
        if as_plan:
            return estimator.plan(X, y, orientation=orientation)
        if not hasattr(X, "blocks"):
            check_array(estimator, X)
        return estimator.explain(X, y, orientation=orientation)
