"""`xpmlp train`: from a data set to a model file, with its metrics and pictures."""

import os
import time
from contextlib import ExitStack
from itertools import chain
from math import isfinite

import click

from ..words import plural, wrapped
from .checkpoints import checkpoint_options, checkpoint_said
from .command import Command, config_option, echo, section, tell, tell_json
from .data import (
    reading_options,
    tell_quarantine,
    type_options,
)
from .fitting import described, fitted, interrupted, unit_of
from .folds import check_folds, cross_validated, fold_rows, folds_option, shown_folds
from .numbers import Whole
from .options import model_options, score_of
from .outputs import Results, writable
from .predict import predictions
from .preemption import Kept, preemptible
from .rare_labels import rare_option
from .record import record_of, with_scores
from .report import check_pictures, report_option, write_report
from .roles import role_options, weighted_by
from .scores import check_metrics, metrics_option, scored, threshold_option
from .sentences import in_options
from .splits import split_data
from .threshold import check_threshold, set_threshold, tune_option


class ValidationSource(click.ParamType):
    """A share of the rows, the word test, or a file."""

    name = "share|test|file"

    def convert(self, value, param, ctx):
        """Return a float, or text."""
        try:
            share = float(value)
        except ValueError:
            if value not in ("test", "-") and not os.path.exists(value):
                self.fail(
                    f"{value!r} is no share of the rows, no file, and not 'test'.", param, ctx
                )
            return value
        if not 0 <= share < 1:
            self.fail(f"{value!r} is no share from 0 to below 1.", param, ctx)
        return share


data_option, output = section("Data"), section("Output")


@click.command(cls=Command)
@click.argument("data")
@type_options
@reading_options
@data_option("--test", "test_file", help="Data set to test on (a stratified fifth is held out).")
@data_option(
    "--validation",
    type=ValidationSource(),
    default="0.1",
    show_default=True,
    help="Share of training rows to score each epoch on, or a data set; 'test': the test rows.",
)
@role_options
@rare_option
@data_option("--rows", type=Whole(1), help="Train on the first so many rows only.")
@data_option(
    "--standardise/--no-standardise",
    default=True,
    help="Scale inputs, and targets of a "
    "regression, to mean 0 and deviation 1 (a table's: see --feature-scale).  [yes]",
)
@model_options
@metrics_option
@threshold_option
@tune_option
@folds_option
@checkpoint_options
@output("--out", type=click.Path(dir_okay=False), help="Model file (DATA.safetensors).")
@output("--plot", is_flag=True, help="Draw the loss curves and the test predictions.")
@report_option
@output("--json", "as_json", is_flag=True, help="Print a line of JSON alone.")
@output("-v", "--verbose", is_flag=True, help="Print a line for each epoch.")
@output("--quiet", is_flag=True, help="Show no progress, and not how it ended.")
@config_option
def train(data, **options):
    """Train on DATA and save the model.

    DATA is a table (a CSV, JSON, Excel or Parquet file, a folder of Parquet, - for the standard
    input), a .npz or mnist.pkl.gz file, a folder of IDX files, or one of digits iris wine
    breast_cancer diabetes flower moons circles spirals sine sign.
    """
    start = time.perf_counter()
    out = options["out"] = options["out"] or f"{_stem(data)}.safetensors"
    writable("--out", out, data)
    check_pictures(options["plot"], options["report"], data, out)
    for picture in _pictures_of(out) * options["plot"]:
        writable("--plot", picture, data, out)
    check_folds(options)
    results, kept = Results(), Kept(checkpoint_said(options), options["solver"])
    with preemptible(kept, keeps=True) as preemption, ExitStack() as stack:
        source, train_part, test_part, watched = split_data(data, options, stack)
        check_metrics(options["metrics"], source.task)
        check_threshold(options, source, watched)
        folds = fold_rows(source, data, options)
        model = described(source, train_part, options).set_params(checkpoint=kept.checkpoint)
        notes = fitted(model, source, train_part, watched, options)
        for note in notes:
            tell(f"Warning: {in_options(note)}")
        if preemption.signum is not None and kept.holds(model):
            preemption.heed()
        tuned = set_threshold(model, watched, options)
        record = record_of(source, train_part, watched, test_part)
        model.training_record_ = record
        out = options["out"] = results.write(out, model.save)
        kept.where = f"the model {when_kept(model)} is in {out}, without scores"
        preemption.heed()
        _tell_fit(model, notes, tuned, options)
        X_test, y_test, weights = test_part
        scores = scored(model, X_test, y_test, weights, more=options["metrics"])
        model.training_record_ = with_scores(record, scores)
        out = options["out"] = results.write(out, model.save)
        kept.where = f"the model and its scores are in {out}"
        rows = f"{plural(len(y_test), 'row')}{weighted_by(options)}"
        seconds = time.perf_counter() - start
        _tell_scores(model, scores, f"{rows}, {when_kept(model)}, {seconds:.1f} s")
        crossed = None
        if folds and not interrupted(notes):
            crossed, more = cross_validated(model, source, folds, watched, options)
            notes += more
        if crossed is not None:
            echo(wrapped(f"\n{shown_folds(crossed)}"))
            model.training_record_ = with_scores(record, scores) | {"folds": crossed}
            out = options["out"] = results.write(out, model.save)
        echo(f"\nModel: {out}")
        if options["plot"]:
            with results.beside():
                _draw(model, test_part, out)
        if options["report"]:
            rows, found = f"the test rows{weighted_by(options)}", predictions(model, X_test)
            with results.beside():
                write_report(options["report"], out, scores, rows, y_test, found)
    tell_quarantine(data, options, source.table)
    if options["as_json"]:
        n = {"n_train": len(train_part.y), "n_test": len(y_test), "folds": crossed}
        found = _as_json(source, model, options) | n | {"seconds": round(seconds, 3)}
        tell_json(found | scores.as_json())
    results.end()
    if interrupted(notes):
        raise click.exceptions.Exit(130)


def _tell_fit(model, notes, tuned, options):
    """Print how a fit ended, and which threshold was found."""
    if not options["quiet"]:
        echo("\n".join(how_it_ended(model, options["validation"], notes)))
    if tuned is not None:
        echo(wrapped(tuned))


def _tell_scores(model, scores, of):
    """Print the network and its scores; of: which rows, which epoch, how long it took."""
    echo(f"\n{model.network_.summary(model.model_.inputs.width)}\n")
    echo(f"Test: {of} on {model.device_}.\n")
    echo("\n".join(scores.lines()))


def _as_json(source, model, options):
    """Return what --json prints of a training beside its scores."""
    by_epoch = model.history_["validation_score"]
    return {
        "task": source.task,
        "n_left_out": source.n_left_out,
        "split": options["split"],
        "sample_weight": options["sample_weight"],
        "warnings": source.warnings,
        "device": model.device_,
        "why": model.fit_report_["why"],
        "model": str(options["out"]),
        "best_epoch": model.best_epoch_,
        "scoring": score_of(model),
        "validation_scores": [s if isfinite(s) else None for s in by_epoch],
    }


def _stem(data):
    """Return what the model of DATA is called after."""
    from ..tables.files.packing import SUFFIXES
    from ..tables.files.source import ENDINGS, name_of

    name = name_of(data)
    for suffix in (*SUFFIXES, *chain(*ENDINGS.values()), ".npz", ".pkl", ".pickle"):
        name = name.removesuffix(suffix)
    return name


def when_kept(model):
    """Return of which epoch a model has the weights: "after 40 epochs", "at epoch 5 of 32"."""
    unit, n = unit_of(model), model.n_iter_
    if model.best_epoch_ == n:
        return f"after {plural(n, unit)}"
    return f"at {unit} {model.best_epoch_} of {n}"


def how_it_ended(model, validation, notes):
    """Return lines: where a model was trained, what was not as asked, which epoch was kept."""
    report, unit = model.fit_report_, unit_of(model)
    yield wrapped(f"Device: {model.device_}. {report['why']}")
    for note in report["notes"]:
        if note not in notes:  # of which the user was warned
            yield wrapped(f"Note: {in_options(note)}")
    n, score = model.n_iter_, score_of(model)
    what = f"validation {score}" if model.early_stopping else "training loss"
    if n < model.max_iter and model.solver == "lbfgs" and not notes:
        yield f"Stopped after {plural(n, unit)}: converged."
    elif n < model.max_iter and not notes:
        stale = f"over {model.n_iter_no_change} without a better {what}"
        yield f"Stopped after {plural(n, unit)}: {stale} (--patience)."
    kept, best = f"Kept {unit} {model.best_epoch_} of {n}", model.best_validation_score_
    if best is not None and isfinite(best):
        order, value = ("lowest", -best) if score == "loss" else ("highest", best)
        yield f"{kept}: the {order} {what}, {value:.4f}."
    elif validation == 0:
        yield f"{kept}, the last: no rows were held out."
    elif model.early_stopping:
        yield f"{kept}, the last: the validation rows gave no {score}."
    else:
        rows = "test rows were" if validation == "test" else "validation rows were"
        yield f"{kept}, the last: the {rows} only watched."


def _draw(model, test_part, out):
    """Draw the history and the test predictions beside the model file."""
    from ..plotting import plot_confusion, plot_history, plot_predictions

    (X, y, _), (history, confusion, scatter) = test_part, _pictures_of(out)
    plot_history(model, path=history)
    path, draw = scatter, plot_predictions
    if hasattr(model, "classes_"):
        path, draw = confusion, plot_confusion
    draw(y, predictions(model, X), path=path)
    echo(f"Pictures: {history}, {path}")


def _pictures_of(out):
    """Return the paths of the pictures that may be drawn beside a model file."""
    stem = str(out).removesuffix(".safetensors")
    return [f"{stem}-{kind}.png" for kind in ("history", "confusion", "predictions")]
