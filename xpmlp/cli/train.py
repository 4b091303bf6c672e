"""`xpmlp train`: from a data set to a model file, with its metrics and pictures."""

import json
import os
import time
import warnings
from functools import partial
from importlib.util import find_spec
from math import isfinite
from pathlib import Path

import click

from ..errors import DataError

LOSSES = ("log_loss", "binary_log_loss", "squared_error", "poisson")
PRECISIONS = ("highest", "high", "medium", "float16")
TIERS = ("auto", "generic", "eager", "graph")
SOLVERS = ("adam", "sgd", "adamw", "rmsprop", "adagrad", "lbfgs")

# Options that are the estimators' arguments of the same names.
SAME = (
    "activation", "solver", "alpha", "learning_rate", "momentum", "weight_decay", "dropout", "init",
    "device", "dtype", "matmul_precision", "accelerate", "deterministic", "early_stopping",
)  # fmt: skip


def sizes_of(ctx, param, value):
    """Return units a layer, written 30,30."""
    try:
        sizes = tuple(int(size) for size in value.split(",") if size.strip())
    except ValueError:
        sizes = (0,)
    if any(size < 1 for size in sizes):
        raise click.BadParameter(f"{value!r} is no list of units a layer, such as 30,30.")
    return sizes


def _validation(ctx, param, value):
    if value == "test":
        return value
    try:
        fraction = float(value)
    except ValueError:
        fraction = -1.0
    if not 0 <= fraction < 1:
        raise click.BadParameter(f"{value!r} is neither a fraction from 0 to below 1 nor 'test'.")
    return fraction


# fmt: off
option = partial(click.option, show_default=True)


@click.command()
@click.argument("data")
@option("--target", help="Column to predict, for CSV and Parquet (the last one).")
@option("--hidden", default="100", callback=sizes_of, help="Units a layer, such as 30,30.")
@option("--activation", default="relu", help="Of the hidden layers.")
@option("--loss", type=click.Choice(LOSSES), help="By the task.")
@option("--solver", type=click.Choice(SOLVERS), default="adam")
@option("--lr", type=click.FloatRange(0, min_open=True), default=1e-3, help="Learning rate.")
@option("--learning-rate", type=click.Choice(["constant", "invscaling", "adaptive"]),
        default="constant", help="Its schedule, for sgd.")
@option("--momentum", type=click.FloatRange(0, 1), default=0.9, help="For sgd.")
@option("--batch-size", type=click.IntRange(1), default=32, help="Rows a step.")
@option("--epochs", type=click.IntRange(1), default=100, help="At most.")
@option("--alpha", type=click.FloatRange(0), default=1e-4, help="L2 penalty.")
@option("--weight-decay", type=click.FloatRange(0),
        help="Decoupled decay (0.01 for adamw, else 0).")
@option("--dropout", type=click.FloatRange(0, 1, max_open=True), default=0.0,
        help="Share of each hidden layer's outputs dropped.")
@option("--init", default="auto", help="Initializer, e.g. normal.")
@option("--seed", type=click.IntRange(0, 2**32 - 1), default=0)
@option("--device", default="auto", help="auto, cpu, cuda, cuda:1.")
@option("--dtype", type=click.Choice(["float32", "float64"]), default="float32")
@option("--matmul-precision", type=click.Choice(PRECISIONS), default="highest",
        help="Products of float32 in: itself, TF32, bfloat16, float16.")
@option("--accelerate", type=click.Choice(TIERS), default="auto",
        help="Steps on a card by: plain operations, fused kernels, CUDA graphs.")
@option("--deterministic", is_flag=True, help="Equal to the last bit each time, on a card too.")
@option("--early-stopping", is_flag=True, help="Keep the epoch of best validation score.")
@option("--patience", type=click.IntRange(1), default=10,
        help="Epochs without improvement before the end.")
@option("--validation", default="0.1", callback=_validation, metavar="SHARE|test",
        help="Training rows to watch; 'test' watches the test rows, through all epochs.")
@option("--test", "test_file", help="Data set to test on (a stratified fifth is held out).")
@option("--rows", type=click.IntRange(1), help="Train on the first so many rows only.")
@option("--standardise/--no-standardise", default=True,
        help="Inputs, and targets of a regression, to mean 0 and deviation 1.")
@option("--out", type=click.Path(dir_okay=False), help="Model file (DATA.safetensors).")
@option("--plot", is_flag=True, help="Draw the loss curves and the test predictions.")
@option("--json", "as_json", is_flag=True, help="End with one line of JSON.")
@option("--quiet", is_flag=True, help="No progress.")
def train(data, **options):
    """Train on DATA and save the model.

    DATA is a CSV, Parquet, .npz or mnist.pkl.gz file, a folder of IDX files, or one of digits iris
    wine breast_cancer diabetes flower moons circles spirals sine sign.
    """
    # fmt: on
    start = time.perf_counter()
    out = _writable(options["out"] or f"{_stem(data)}.safetensors", data)
    if options["plot"] and find_spec("matplotlib") is None:
        raise click.UsageError("--plot needs matplotlib: pip install 'xpmlp[plot]'.")
    table, train_part, test_part, watched = _parts(data, options)
    task = table.task
    X, y = train_part
    shape = f"{len(X):,} rows, {X.shape[1]} features, {task}"
    watched_text = "no validation" if watched is None else f"validation on {len(watched[0]):,}"
    click.echo(f"{table.name}: {shape}; {watched_text}, test on {len(test_part[0]):,} rows.")
    model, notes = _fit(table, X, y, watched, options)
    for note in notes:
        click.echo(f"Warning: {note}", err=True)
    from .apply import metrics, show_metrics

    scores = metrics(model, *test_part)
    model.save(out)
    seconds = time.perf_counter() - start
    click.echo(f"\n{model.network_.summary(X.shape[1])}\n")
    effort = f"{model.n_iter_} epochs, {seconds:.1f} s on {model.device_}"
    click.echo(f"Test: {show_metrics(scores)} after {effort}.")
    click.echo(f"Model: {out}")
    if options["plot"]:
        _draw(model, test_part, out)
    if options["as_json"]:
        scores_by_epoch = model.history_["validation_score"]
        found = {
            "task": task, "n_train": len(X), "n_test": len(test_part[0]), "metrics": scores,
            "seconds": round(seconds, 3), "device": model.device_,
            "why": model.fit_report_["why"], "model": str(out),
            "validation_scores": [s if isfinite(s) else None for s in scores_by_epoch],
        }  # fmt: skip
        click.echo(json.dumps(found))
    if any("interrupted" in note for note in notes):
        raise click.exceptions.Exit(130)


def _stem(data):
    name = Path(data).name or Path(data).resolve().name
    for suffix in (".gz", ".csv", ".tsv", ".parquet", ".pq", ".npz", ".pkl", ".pickle"):
        name = name.removesuffix(suffix)
    return name


def _writable(out, data):
    """Return where the model goes; what stands against that is told before the training."""
    out = Path(out)
    if not os.path.isdir(out.parent):
        raise click.UsageError(f"--out {out}: there is no folder {out.parent}.")
    if os.path.exists(data) and os.path.exists(out) and os.path.samefile(out, data):
        raise click.UsageError(f"--out {out} would overwrite the data.")
    return out


def _parts(data, options):
    """Return the table and its training, test and watched rows, each (X, y) or None."""
    import numpy as np
    from sklearn.model_selection import train_test_split

    from ..files.datasets import load_dataset
    from .apply import check_targets

    table = load_dataset(data, options["target"])
    X, y = table.X, table.y
    test = (table.X_test, table.y_test)
    if options["test_file"]:
        other = load_dataset(options["test_file"], options["target"])
        if other.X.shape[1] != X.shape[1] or other.feature_names != table.feature_names:
            raise DataError(f"{options['test_file']} has other columns than {data}.")
        test = (other.X, other.y)

    def split(X, y, share):
        classes = table.task == "classification"
        try:
            parts = train_test_split(
                X, y, test_size=share, random_state=options["seed"], stratify=y if classes else None
            )
        except ValueError as error:
            reason = str(error).partition(". ")[0].rstrip(".")
            raise DataError(f"{data} cannot be split to hold rows out: {reason}.") from error
        return (parts[0], parts[2]), (parts[1], parts[3])

    train = (X, y)
    if test[0] is None:
        train, test = split(X, y, 0.2)
    if options["rows"]:
        train = train[0][: options["rows"]], train[1][: options["rows"]]
    place = options["test_file"] or f"the test part of {data}"
    check_targets(place, test[1], np.unique(train[1]) if table.task == "classification" else None)
    if options["validation"] == "test":
        return table, train, test, test
    if options["validation"] == 0:
        return table, train, test, None
    train, watched = split(*train, options["validation"])
    return table, train, test, watched


def _fit(table, X, y, watched, options):
    """Return the estimator that the options describe, fitted, and what to tell the user of it."""
    import numpy as np

    from ..estimators import MLPClassifier, MLPRegressor, Scaling
    from .apply import check_range

    regression = table.task == "regression"
    kind = MLPRegressor if regression else MLPClassifier
    loss = options["loss"] or ("squared_error" if regression else "log_loss")
    if options["validation"] in (0, "test") or options["solver"] == "lbfgs":
        options["early_stopping"] = False
    model = kind(
        hidden_layer_sizes=options["hidden"], loss=loss, learning_rate_init=options["lr"],
        batch_size=min(options["batch_size"], len(X)), max_iter=options["epochs"],
        random_state=options["seed"],
        n_iter_no_change=options["patience"], verbose=0 if options["quiet"] else 2,
        **{name: options[name] for name in SAME},
    )  # fmt: skip
    if options["validation"] in (0, "test"):
        model.set_params(n_iter_no_change=np.inf)  # every epoch that was asked for
    scaling = None
    if options["standardise"]:
        targets = y if regression and loss == "squared_error" else None
        scaling = Scaling.of(X, targets, shared=table.image)
        for a in scaling:
            if a is not None and not np.abs(a).max() < np.finfo(options["dtype"]).max:
                raise DataError(f"{table.name} holds numbers too large to be standardised.")

    def scaled(X, y):
        if scaling is None:
            check_range(X, options["dtype"])
            return X, y
        y = scaling.targets(y.reshape(-1, 1))[:, 0] if scaling.y_mean is not None else y
        return scaling.inputs(X), y

    held = {} if watched is None else dict(zip(("X_val", "y_val"), scaled(*watched)))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        model.fit(*scaled(X, y), **held)
    texts = dict.fromkeys(str(warning.message) for warning in caught)
    notes = [text for text in texts if "Maximum iterations" not in text]  # they were asked for
    model.scaling_ = scaling
    if table.feature_names is not None:
        model.feature_names_in_ = np.asarray(table.feature_names, object)
    model.target_name_ = table.target_name
    return model, notes


def _draw(model, test_part, out):
    """Draw the history and the test predictions beside the model file."""
    from ..plotting import plot_confusion, plot_history, plot_predictions
    from .apply import predictions

    X, y = test_part
    stem = str(out).removesuffix(".safetensors")
    plot_history(model.history_, path=f"{stem}-history.png")
    kind = "confusion" if hasattr(model, "classes_") else "predictions"
    draw = plot_confusion if kind == "confusion" else plot_predictions
    draw(y, predictions(model, X), path=f"{stem}-{kind}.png")
    click.echo(f"Pictures: {stem}-history.png, {stem}-{kind}.png")
