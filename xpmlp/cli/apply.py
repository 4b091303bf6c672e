"""`xpmlp predict` and `xpmlp evaluate`: what a model says about data, and how well."""

import csv
import io
import json
import time

import click

from ..errors import DataError


def predictions(model, X, method="predict"):
    """Return what a method of the model says about the rows of a table, (n,) or (n, n_classes)."""
    check_range(X if model.scaling_ is None else model.scaling_.inputs(X), model._dtype)
    return getattr(model, method)(X)


def check_range(X, dtype):
    """Refuse numbers that the dtype to compute in cannot hold."""
    import numpy as np

    if not np.abs(X).max() <= np.finfo(dtype).max:
        raise DataError(f"the features hold numbers too large for {dtype}: divide them first.")


def check_targets(place, y, classes):
    """Refuse targets that a model of these classes (None: a regression) cannot have predicted."""
    import numpy as np

    if classes is None and y.dtype.kind not in "iufb":
        raise DataError(f"{place}: the target is text such as {y[0]!s}, expected numbers.")
    unknown = [] if classes is None else np.setdiff1d(y, classes).tolist()
    if unknown:
        known = ", ".join(map(str, classes))
        raise DataError(f"{place} holds the label {unknown[0]!r}, the model knows only {known}.")


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
    return {"accuracy": float(accuracy_score(y, predictions(model, X))), "log_loss": float(loss)}


def show_metrics(scores):
    """Return metrics as text."""
    return ", ".join(f"{k} {'undefined' if v is None else f'{v:.4f}'}" for k, v in scores.items())


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--proba", is_flag=True, help="Add a column of probabilities for each class.")
@click.option("--out", type=click.Path(dir_okay=False), help="File to write, instead of printing.")
def predict(model, data, proba, out):
    """Write a CSV with the predictions of MODEL for the rows of DATA."""
    from ..estimators import load_model
    from ..files.atomic import atomic_write
    from ..files.datasets import load_features

    estimator = load_model(model)
    if proba and not hasattr(estimator, "classes_"):
        raise click.UsageError(f"--proba needs a classifier, {model} is a regressor.")
    names = getattr(estimator, "feature_names_in_", None)
    X = load_features(
        data, None if names is None else names.tolist(), estimator.n_features_in_,
        getattr(estimator, "target_name_", None),
    )  # fmt: skip
    header, columns = ["prediction"], [predictions(estimator, X)]
    if proba:
        header += [str(label) for label in estimator.classes_]
        columns += list(predictions(estimator, X, "predict_proba").T)
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(zip(*(map(str, column) for column in columns)))
    if out:
        atomic_write(out, text.getvalue().encode())
        click.echo(f"{len(X):,} predictions on {estimator.device_}: {out}", err=True)
    else:
        click.echo(text.getvalue(), nl=False)


@click.command()
@click.argument("model")
@click.argument("data")
@click.option("--target", help="Column to compare with, for CSV and Parquet (the model's).")
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON.")
def evaluate(model, data, target, as_json):
    """Compare the predictions of MODEL with the targets in DATA (its test part, if it has one)."""
    from ..estimators import load_model

    start = time.perf_counter()
    estimator = load_model(model)
    name, X, y = load_rows(estimator, data, target, test=True)
    scores = metrics(estimator, X, y)
    if as_json:
        task = "classification" if hasattr(estimator, "classes_") else "regression"
        seconds = round(time.perf_counter() - start, 3)
        found = {"task": task, "n_test": len(X), "metrics": scores, "seconds": seconds}
        click.echo(json.dumps(found | {"device": estimator.device_, "model": str(model)}))
    else:
        place = f"{len(X):,} rows, computed on {estimator.device_}"
        click.echo(f"{name}: {show_metrics(scores)} on {place}.")


def load_rows(estimator, data, target, *, test):
    """Return the name, features and targets of DATA as a model takes them; `test`: a test part."""
    from ..files.datasets import BUILT_IN, TABULAR, load_dataset, load_features

    if target is None and data not in BUILT_IN and data.lower().endswith(TABULAR):
        target = getattr(estimator, "target_name_", None)  # the one it was trained on
    table, names = load_dataset(data, target), getattr(estimator, "feature_names_in_", None)
    X, y = table.X, table.y
    if test and table.X_test is not None and table.y_test is not None:
        X, y = table.X_test, table.y_test
    elif table.feature_names is not None:
        columns = None if names is None else names.tolist()
        X = load_features(data, columns, estimator.n_features_in_, table.target_name)
    if X.shape[1] != estimator.n_features_in_:
        raise DataError(
            f"{data} has {X.shape[1]} features, the model expects {estimator.n_features_in_}."
        )
    check_targets(data, y, getattr(estimator, "classes_", None))
    return table.name, X, y
