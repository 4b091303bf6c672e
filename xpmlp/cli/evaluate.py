"""`xpmlp evaluate`: how well a model predicts the targets of a data set."""

import time
from contextlib import contextmanager

import click
import numpy as np

from ..errors import DataError
from ..words import plural
from .command import Command, echo, tell_json
from .data import (
    check_no_table,
    check_predictable,
    how_to_read,
    is_table_file,
    opened_data,
    reading_options,
    tell_quarantine,
    telling_warnings,
    types_of_labels,
)
from .outputs import Results
from .predict import as_taken, known_types, predictions, tell_lost
from .report import check_pictures, report_option, write_report
from .roles import weight_option, weighted_by
from .scores import (
    check_metrics,
    check_scorable,
    metrics_option,
    scored,
    task_of,
    threshold_option,
)
from .used_columns import weights_of


@click.command(cls=Command)
@click.argument("model")
@click.argument("data")
@click.option("--target", help="Column to compare with, for tables (the model's target).")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON alone.")
@metrics_option
@threshold_option
@weight_option
@report_option
@reading_options
def evaluate(model, data, target, as_json, metrics, threshold, report, **options):
    """Compare the predictions of MODEL with the targets in DATA (its test part, if it has one)."""
    from ..estimators import load_model

    start, results = time.perf_counter(), Results()
    check_pictures(False, report, data, model)
    estimator = load_model(model)
    check_scorable(estimator, model)
    check_metrics(metrics, task_of(estimator))
    if threshold is not None:
        estimator.threshold_ = threshold
    with opened_rows(estimator, data, target, options, test=True) as (name, X, y, weights):
        scores = scored(estimator, X, y, weights, more=metrics)
        if report:
            rows = f"the {plural(len(y), 'row')} of {name}{weighted_by(options)}"
            with results.beside():
                write_report(report, model, scores, rows, y, predictions(estimator, X))
    if as_json:
        found = {"task": task_of(estimator), "n_test": len(y)} | scores.as_json()
        found |= {"sample_weight": options["sample_weight"]}
        found |= {"seconds": round(time.perf_counter() - start, 3)}
        tell_json(found | {"device": estimator.device_, "model": str(model)})
    else:
        rows = f"{plural(len(y), 'row')}{weighted_by(options)}"
        echo(f"{name}: {rows}, computed on {estimator.device_}.\n")
        echo("\n".join(scores.lines()))
    results.end()


@contextmanager
def opened_rows(model, data, target, options, *, test):
    """Yield the name, features, targets and weights of DATA as a model takes them.

    test: whether of its test part, if it has one.
    """
    known, classes = known_types(model), getattr(model, "classes_", None)
    if target is None and is_table_file(data):
        target = getattr(model, "target_name_", None)  # the one it was trained on
    if known is not None and is_table_file(data):
        if target is None:
            raise click.UsageError("the model does not say what it predicts: give --target.")
        if target in known:
            raise click.UsageError(f"--target {target} is a column that the model predicts from.")
        how = {"types": types_of_labels(target, classes)} | _with_weights(known, options)
        how |= {"task": task_of(model), "model": model}
        with opened_data(data, options, target, **how) as found:
            tell_lost(model, found.table)
            check_predictable(data, found.y, classes, _remedy(model))
            X = as_taken(model, found.table)
            yield found.name, X, found.y, weights_of(found, options)
        tell_quarantine(data, options, found.table)
        return
    how = how_to_read(data, options)
    if not is_table_file(data):
        check_no_table(data, how)
    if options.get("sample_weight"):
        raise click.UsageError("--sample-weight names a column, and this model knows no columns.")
    with telling_warnings():
        found = _of_array(model, data, target, how, test)
    yield *found, None


def _remedy(model):
    """Return what to do about rows of a label that a model has not learnt."""
    said = getattr(model, "training_record_", {}).get("options", {})
    if said.get("rare-labels") == "drop":
        return "leave such rows out, or train without --rare-labels drop"
    return "leave such rows out, or train on rows of every label"


def _with_weights(known, options):
    """Return which columns are read: those that a model knows, and what rows weigh."""
    weights = options.get("sample_weight")
    if not weights:
        return {"known": known}
    return {
        "known": known | {weights: known.get(weights, "number")},
        "used": {weights: weights in known},
    }


def _of_array(model, data, target, how, test):
    """Return the name, features and targets of an array, or for a model that knows no names."""
    from ..tables.datasets import load_dataset, load_features

    reading, most = how["reading"], how["max_memory"]
    table = load_dataset(data, target, reading, most)
    X, y = table.X, table.y
    if test and table.X_test is not None and table.y_test is not None:
        X, y = table.X_test, table.y_test
    elif is_table_file(data) and not isinstance(X, np.ndarray):
        X = load_features(data, model.n_features_in_, table.target_name, reading, most)
    if X.shape[1] != model.n_features_in_:
        raise DataError(
            f"{data} has {plural(X.shape[1], 'feature')}, the model expects {model.n_features_in_}."
        )
    check_predictable(data, y, getattr(model, "classes_", None), _remedy(model))
    return table.name, X, y
