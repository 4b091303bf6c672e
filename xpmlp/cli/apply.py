"""`xpmlp predict` and `xpmlp evaluate`: what a model says about data, and how well."""

import csv
import io
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from contextlib import contextmanager

import click

from ..errors import DataError
from ..words import first_of, plural
from .command import Command
from .data import (
    check_array,
    check_targets,
    how_to_read,
    is_table,
    opened_data,
    reading_options,
    tell_quarantine,
    types_of_labels,
    writable,
)

MAX_BYTES = 1 << 26  # of predictions to print that are kept in memory


def blocks_of(X):
    """Return X in blocks of a bounded number of rows, if it is a table."""
    return X.blocks() if hasattr(X, "blocks") else [X]


def predictions(model, X, method="predict"):
    """Return what a method of the model says about the rows of a table, (n,) or (n, n_classes)."""
    import numpy as np

    if hasattr(X, "blocks"):
        return np.concatenate([getattr(model, method)(block) for block in X.blocks()])
    check_array(model, X)
    return getattr(model, method)(X)


def metrics(model, X, y):
    """Return accuracy and log_loss, or rmse and r2."""
    from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error

    if not hasattr(model, "classes_"):
        found = predictions(model, X)
        r2 = float(r2_score(y, found)) if len(y) > 1 else None  # undefined for a single row
        return {"rmse": float(root_mean_squared_error(y, found)), "r2": r2}
    p = predictions(model, X, "predict_proba").astype("float64")
    p /= p.sum(axis=1, keepdims=True)
    loss = log_loss(y, p, labels=model.classes_) if len(model.classes_) > 1 else 0.0
    labels = model.classes_[p.argmax(axis=1)]  # as `predict` has them, without a second pass
    return {"accuracy": float(accuracy_score(y, labels)), "log_loss": float(loss)}


def show_metrics(scores):
    """Return metrics as text."""
    return ", ".join(f"{k} {'undefined' if v is None else f'{v:.4f}'}" for k, v in scores.items())


@click.command(cls=Command)
@click.argument("model")
@click.argument("data")
@click.option("--proba", is_flag=True, help="Add a column of probabilities for each class.")
@click.option("--out", type=click.Path(dir_okay=False), help="File to write, instead of printing.")
@reading_options
def predict(model, data, proba, out, **options):
    """Write a CSV with the predictions of MODEL for the rows of DATA.

    A model of several quantiles has a column for each beside the middle one. Where rows of a table
    could not be read and were left out, a first column holds the line of the file that each
    prediction is of.
    """
    from ..atomic import atomic_file
    from ..estimators import load_model

    if out:
        writable("--out", out, data, model)
    estimator = load_model(model)
    if proba and not hasattr(estimator, "classes_"):
        raise click.UsageError(f"--proba needs a classifier, {model} is a regressor.")
    with features(estimator, data, options | {"out": out}) as (X, sheet):
        if out:
            with atomic_file(out) as file:
                n = _write(file, estimator, X, sheet, proba)
        else:
            with tempfile.SpooledTemporaryFile(MAX_BYTES) as file:
                _write(file, estimator, X, sheet, proba)
                file.seek(0)
                shutil.copyfileobj(io.TextIOWrapper(file, "utf-8", newline=""), sys.stdout)
    if out:
        click.echo(f"{n:,} predictions on {estimator.device_}: {out}", err=True)


def _write(file, model, X, sheet, proba):
    """Write the predictions for X to a binary file, block by block. Returns how many there are."""
    import numpy as np

    text = io.TextIOWrapper(file, "utf-8", newline="", write_through=True)
    writer, n = csv.writer(text, lineterminator="\n"), 0
    numbered = sheet is not None and len(sheet.bad_rows) > 0
    classes = [str(label) for label in model.classes_] if proba else []
    levels = model.quantiles_ if len(model.quantiles_ or ()) > 1 else ()
    names = [*classes, *(f"quantile {level:g}" for level in levels)]
    writer.writerow([*(["line"] if numbered else []), "prediction", *names])
    for block in blocks_of(X):
        columns = [predictions(model, block)]
        if numbered:
            columns.insert(0, sheet.lines(np.arange(n, n + len(block))))
        if proba:
            columns += list(predictions(model, block, "predict_proba").T)
        if levels:
            columns += list(model.predict(block, quantiles=levels).T)
        writer.writerows(zip(*(map(str, column) for column in columns)))
        n += len(block)
    text.detach()
    return n


@contextmanager
def features(model, data, options):
    """Yield the features of DATA as a model takes them, and the open file where it is a table."""
    known = types_known(model)
    if known is None or not is_table(data):
        from ..tables.datasets import load_features

        target = getattr(model, "target_name_", None)
        yield load_features(data, None, model.n_features_in_, target), None
        return
    from ..tables.open_table import open_table

    with open_table(data, known=known, target=None, **how_to_read(data, options)) as sheet:
        _tell(model, sheet)
        yield as_taken(model, sheet), sheet
    tell_quarantine(data, options, len(sheet.bad_rows))


def types_known(model):
    """Return the types of the columns that a model takes, or None where they have no names."""
    encoder, names = model.encoder_, getattr(model, "feature_names_in_", None)
    if encoder is not None and encoder.named:
        kinds = {column.name: column.kind for column in encoder.columns}
        return getattr(model, "table_types_", kinds)
    return None if names is None else dict.fromkeys(names.tolist(), "number")


def as_taken(model, sheet):
    """Return the features of a table as a model takes them, which may be an array."""
    from ..tables.open_table import array_of

    encoder = model.encoder_
    return sheet.features if encoder is not None and encoder.named else array_of(sheet)


def _tell(model, sheet):
    """Say which rows were left out, and how many categories the model does not know."""
    if sheet.bad_rows:
        click.echo(sheet.summary_of_bad_rows(), err=True)
    columns = () if model.encoder_ is None else model.encoder_.columns
    counts: dict = {column: Counter() for column in columns if column.kind == "category"}
    names = [column.name for column in counts]
    for block in sheet.features.select(names).blocks() if names else ():
        for i, found in enumerate(counts.values()):
            found.update(block.column(i).tolist())
    for column, found in counts.items():
        unknown = [text for text in found if text is not None and text not in column.categories]
        if unknown:
            n = sum(found[text] for text in unknown)
            shown = first_of([*map(repr, unknown)], 3)
            click.echo(
                f"Note: column {column.name!r} holds {shown} in {plural(n, 'row')}, which "
                "the model does not know and takes as missing.", err=True,
            )  # fmt: skip


@contextmanager
def opened_rows(model, data, target, options, *, test):
    """Yield the name, features and targets of DATA as a model takes them; `test`: a test part."""
    known, classes = types_known(model), getattr(model, "classes_", None)
    if target is None and is_table(data):
        target = getattr(model, "target_name_", None)  # the one it was trained on
    if known is not None and is_table(data):
        if target is None:
            raise click.UsageError("the model does not say what it predicts: give --target.")
        if target in known:
            raise click.UsageError(f"--target {target} is a column that the model predicts from.")
        task = "regression" if classes is None else "classification"
        how = how_to_read(data, options) | {"known": known}
        how |= {"types": types_of_labels(target, classes)}
        with opened_data(data, target, task=task, **how) as found:
            _tell(model, found.sheet)
            check_targets(data, found.y, classes)
            yield found.name, as_taken(model, found.sheet), found.y
        tell_quarantine(data, options, found.left_out)
        return
    yield _of_array(model, data, target, test)


def _of_array(model, data, target, test):
    """Return the name, features and targets of an array, or for a model that knows no names."""
    from ..tables.datasets import load_dataset, load_features

    table = load_dataset(data, target)
    X, y = table.X, table.y
    if test and table.X_test is not None and table.y_test is not None:
        X, y = table.X_test, table.y_test
    elif is_table(data):
        X = load_features(data, None, model.n_features_in_, table.target_name)
    if X.shape[1] != model.n_features_in_:
        raise DataError(
            f"{data} has {X.shape[1]} features, the model expects {model.n_features_in_}."
        )
    check_targets(data, y, getattr(model, "classes_", None))
    return table.name, X, y


@click.command(cls=Command)
@click.argument("model")
@click.argument("data")
@click.option("--target", help="Column to compare with, for CSV and Parquet (the model's).")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
@reading_options
def evaluate(model, data, target, as_json, **options):
    """Compare the predictions of MODEL with the targets in DATA (its test part, if it has one)."""
    from ..estimators import load_model

    start = time.perf_counter()
    estimator = load_model(model)
    with opened_rows(estimator, data, target, options, test=True) as (name, X, y):
        scores = metrics(estimator, X, y)
    if as_json:
        task = "classification" if hasattr(estimator, "classes_") else "regression"
        seconds = round(time.perf_counter() - start, 3)
        found = {"task": task, "n_test": len(y), "metrics": scores, "seconds": seconds}
        click.echo(json.dumps(found | {"device": estimator.device_, "model": str(model)}))
    else:
        place = f"{len(y):,} rows, computed on {estimator.device_}"
        click.echo(f"{name}: {show_metrics(scores)} on {place}.")
