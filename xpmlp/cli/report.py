"""The report of a training or an evaluation: one page of tables and pictures, without scripts."""

import os
from importlib.util import find_spec
from io import BytesIO

import click

from ..atomic import atomic_write
from ..page import Html, fold, page, picture, table, tag
from ..words import abridged, plural
from .command import REMEMBERED, echo, section
from .folds import shown_folds
from .info import COLUMNS, NAME, opened_info
from .outputs import writable
from .scores import SHOWN, shown_score, worst_first

FOLDED = 1000  # columns, or classes, that a page lists at most
INCH = 72  # pixels of an inch of a picture

report_option = section("Output")(
    "--report",
    type=click.Path(dir_okay=False),
    help="HTML page to write: columns, warnings, settings, curves, scores.",
)


def check_pictures(plot, report, *others):
    """Raise UsageError before any work for pictures that cannot be drawn or written.

    plot, report: the options; others: files that the command writes, too.
    """
    for name, wanted in (("plot", plot), ("report", report)):
        if wanted and find_spec("matplotlib") is None:
            raise click.UsageError(f"--{name} needs matplotlib: pip install 'xpmlp[plot]'.")
    if report:
        writable("--report", report, *others)


def write_report(path, model_file, scores, rows, y, found):
    """Write the report of a model file to `path`.

    scores: `Scores` on the rows of which `rows` says in words what they are; y, found: (n,),
    their targets and what the model predicts.
    """
    info, told = opened_info(model_file), click.get_current_context().meta.get(REMEMBERED, [])
    heading = f"{os.path.basename(info.path)} on {rows}"
    parts = [
        f"Task: {info.task_in_words()}.",
        *_warnings(told),
        tag("h2", f"Scores of {rows}"),
        *_scores(scores),
        *_by_class(scores.classes),
        *_pictures(info.estimator, y, found),
        *_training(info),
        *_columns(info.columns),
        tag("h2", "Network"),
        tag("pre", "\n".join(info.network())),
    ]
    atomic_write(path, page(heading, *parts).encode())
    echo(f"Report: {path}", err=True)


def _warnings(told):
    """Yield a list of what was said of the data and the training."""
    if told:
        yield tag("h2", "Warnings and notes")
        yield Html(f"<ul>{''.join(tag('li', text) for text in told)}</ul>")


def _scores(scores):
    """Yield the table of metrics, and what is said of them."""
    others = scores.baseline["metrics"]
    yield table(
        ("metric", "model", "baseline"),
        [(name, *map(shown_score, (v, others[name]))) for name, v in scores.metrics.items()],
        numbers=(1, 2),
    )
    yield from scores.words
    yield from (f"{name}: {why}." for name, why in scores.notes.items())


def _by_class(classes):
    """Yield the table of classes, of many the worst ones and the others folded."""
    if classes:
        yield tag("h2", "Scores by class")
        rows = worst_first(classes)
        yield _class_table(rows[:SHOWN])
        if len(rows) > SHOWN:
            rest = rows[SHOWN:][:FOLDED]
            yield fold(f"{len(rest):,} more of {len(rows):,} classes", _class_table(rest))


def _class_table(rows):
    """Return the table of some classes."""
    names = ("precision", "recall", "f1")
    cells = [
        (
            abridged(str(row["label"]), NAME),
            *("-" if row[name] is None else f"{row[name]:.4f}" for name in names),
            f"{row['rows']:,}",
        )
        for row in rows
    ]
    return table(("class", "precision", "recall", "F1", "rows"), cells, numbers=(1, 2, 3, 4))


def _pictures(model, y, found):
    """Yield the picture of the predictions, and the one of the training."""
    from ..plotting import plot_confusion, plot_history, plot_predictions

    if hasattr(model, "classes_"):
        yield tag("h2", "Confusion: true classes and predicted ones")
        yield _drawn(plot_confusion(y, found), "confusion matrix")
    else:
        yield tag("h2", "Targets and predictions")
        yield _drawn(plot_predictions(y, found), "predictions against targets")
    if model.history_["loss"]:
        yield tag("h2", "Training")
        yield _drawn(plot_history(model), "losses, and validation scores, over the epochs")


def _drawn(figure, text):
    """Return a figure as a picture in the page; text: what it shows."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=2 * INCH)
    return picture(file.getvalue(), INCH * figure.get_figwidth(), text)


def _training(info):
    """Yield where the model comes from."""
    yield tag("h2", "Where the model comes from")
    for line in (info.file_in_words(), *info.training()):
        name, _, text = line.partition(": ")
        yield Html(f"<p>{tag('b', name)} {tag('span', text)}</p>")
    if info.record.get("folds"):
        yield f"Cross-validated in {shown_folds(info.record['folds'])}."


def _columns(columns):
    """Yield the columns that the model takes, of many the first ones and the others folded."""
    if not columns:
        return
    yield tag("h2", f"The model takes {plural(len(columns), 'column')}")
    yield _column_table(columns[:COLUMNS])
    rest = columns[COLUMNS:][:FOLDED]
    if rest:
        yield fold(f"{len(rest):,} more columns", _column_table(rest))


def _column_table(columns):
    """Return the table of some columns, with what training saw of them where that is known."""
    cells = [(abridged(c["name"], NAME), c["type"], c.get("values", "")) for c in columns]
    if not any(values for _, _, values in cells):
        return table(("column", "type"), (row[:2] for row in cells))
    return table(("column", "type", "training saw"), cells)
