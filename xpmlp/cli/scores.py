"""What is said of a model on rows whose targets are known: metrics, baseline, a table by class."""

from typing import Any, NamedTuple

import click
import numpy as np

from ..errors import DataError
from ..words import abridged, wrapped
from .baseline import baseline_answers, baseline_of, constant_of, words_of
from .command import section
from .options import INSIDE, Several
from .predict import predictions

SHOWN = 20  # classes of the table
WIDEST = 40  # letters of a label in it


class MetricName(click.ParamType):
    """The name of a metric."""

    name = "name"

    def convert(self, value, param, ctx):
        """Return the name, or say which one is meant."""
        from .metrics import wrong_metric

        wrong = wrong_metric(value)
        if wrong:
            self.fail(wrong, param, ctx)
        return value


scores_option = section("Scores")
metrics_option = scores_option(
    "--metrics",
    type=Several(MetricName(), unpacked=False),
    default=(),
    help="More metrics to report, by scikit-learn's names: f1,average_precision.",
)
threshold_option = scores_option(
    "--threshold",
    type=INSIDE,
    help="Of two classes: predict the second where its probability is above this (0.5).",
)


class Scores(NamedTuple):
    """Metrics of a model on some rows, and what belongs beside them.

    metrics: by name, None where one is not defined; notes: by name, why; baseline: a dict of what
    it always says and its metrics; classes: a dict for each class; threshold: of two classes, else
    None; words: sentences on the baseline and on the positive class.
    """

    metrics: dict[str, float | None]
    notes: dict[str, str]
    baseline: dict[str, Any]
    classes: list[dict[str, Any]]
    threshold: float | None
    words: list[str]

    def as_json(self):
        """Return them as JSON can hold them."""
        found = self._asdict()
        del found["words"]
        return found

    def lines(self):
        """Yield what is printed: metrics beside the baseline, notes, the table by class."""
        width = max(map(len, self.metrics))
        yield f"{'':<{width}}  {'model':>10}  {'baseline':>10}"
        for name, value in self.metrics.items():
            other = self.baseline["metrics"][name]
            yield f"{name:<{width}}  {shown_score(value):>10}  {shown_score(other):>10}"
        yield from map(wrapped, self.words)
        for name, why in self.notes.items():
            yield wrapped(f"Note: {name}: {why}.")
        if self.classes:
            yield ""
            yield from class_table(self.classes)


def task_of(model):
    """Return "classification" or "regression"."""
    return "classification" if hasattr(model, "classes_") else "regression"


def metrics(model, X, y, weights=None, more=()):
    """Return the metrics of a model on rows, name -> value, None where one is not defined.

    more: names beside the usual ones and the model's `scoring`; weights: (n,) of the rows.
    """
    return scored(model, X, y, weights, more).metrics


def scored(model, X, y, weights=None, more=()):
    """Return the `Scores` of a model on rows X, y; weights, more: as of `metrics`."""
    from .metrics import USUAL, score

    classes, rows = getattr(model, "classes_", None), "the training rows"
    kept = getattr(model, "baseline_", None)
    if kept is None:
        kept, rows = baseline_of(classes, y, weights), "these rows"
    answers, usual = answers_of(model, X), USUAL[model.model_.targets.task]
    names = [*dict.fromkeys((*_chosen(model), *usual, *more))]
    y = targets_of(model, y)
    found = {name: score(name, answers, y, weights) for name in names}
    simple = {
        name: score(name, baseline_answers(kept, name, len(y)), y, weights)[0] for name in names
    }
    by_class, threshold, words = [], None, [words_of(kept, classes, names, rows)]
    if classes is not None:
        by_class = rows_by_class(classes, answers.codes, y, weights)
    if classes is not None and len(classes) == 2:
        threshold = model.threshold_
        if threshold != 0.5 or {*names} > {*usual}:  # the usual ones are of both classes
            second = f"Positive class: {classes.tolist()[1]!r}"
            words.append(f"{second}, predicted where its probability is above {threshold:g}.")
    return Scores(
        metrics={name: value for name, (value, _) in found.items()},
        notes={name: why for name, (_, why) in found.items() if why},
        baseline={"always": constant_of(kept, classes), "of": rows, "metrics": simple},
        classes=by_class,
        threshold=threshold,
        words=words,
    )


def answers_of(model, X):
    """Return what a model says of X, as metrics ask for it, from one pass over the rows."""
    from .metrics import Logits, Numbers

    targets = model.model_.targets
    if targets.task == "regression":
        return Numbers(predictions(model, X))
    z = predictions(model, X, "decision_function")
    outputs = z.reshape(len(z), -1)
    p = targets.probabilities(outputs).astype("float64")
    p /= p.sum(axis=1, keepdims=True)
    return Logits(targets.codes(outputs), len(targets.classes), p, z)


def targets_of(model, y):
    """Return y as metrics ask for it: the numbers of its classes, or numbers."""
    if task_of(model) == "regression":
        return y
    return np.searchsorted(model.classes_, y)


def check_scorable(model, path):
    """Raise DataError for a model whose predictions are no single column to compare with."""
    if model.n_outputs_ > 1 and (
        task_of(model) == "regression" or model.model_.targets.task == "multilabel"
    ):
        raise DataError(
            f"{path} predicts {model.n_outputs_} columns, expected one to compare with the target."
        )


def check_metrics(names, task):
    """Raise UsageError for a metric that is for another task."""
    from .metrics import wrong_metric

    for name in names:
        wrong = wrong_metric(name, task)
        if wrong:
            raise click.UsageError(f"--metrics: {wrong}")


def check_scoring(scoring, task):
    """Raise UsageError for a validation score, which has to be a scorer of a task, that is none."""
    if scoring in (None, "loss"):
        return
    from sklearn.metrics import get_scorer_names

    from .metrics import scorer_name, wrong_metric

    wrong, name = wrong_metric(scoring, task), scorer_name(scoring)
    if wrong is None and scoring not in get_scorer_names():
        wrong = f"{scoring!r} is an error, and more of a score has to be better: say {name}."
    if wrong:
        raise click.UsageError(f"--scoring: {wrong}")


def _chosen(model):
    """Return the name of the metric that chose the model's epoch, as a list, empty for the loss."""
    from .metrics import wrong_metric

    if not isinstance(model.scoring, str) or wrong_metric(model.scoring, task_of(model)):
        return []
    return [model.scoring]


def shown_score(score):
    """Return a metric as text; None is one that is not defined."""
    if score is None:
        return "undefined"
    if score == 0 or 1e-3 <= abs(score) < 1e5:
        return f"{score:.4f}"
    return f"{score:.4g}"


# ---- By class


def rows_by_class(classes, codes, y, weights=None):
    """Return for each class its label, precision, recall, F1 and number of rows.

    A number is None where it is not defined: nothing was predicted to be of the class, or no row
    is. codes, y: (n,), predicted and true numbers of the classes.
    """
    from sklearn.metrics import precision_recall_fscore_support

    n = len(classes)
    found = precision_recall_fscore_support(
        y, codes, labels=range(n), sample_weight=weights, zero_division=np.nan
    )
    columns = [[None if v != v else float(v) for v in column] for column in found[:3]]
    counts = np.bincount(y, minlength=n).tolist()
    names = ("label", "precision", "recall", "f1", "rows")
    return [dict(zip(names, row)) for row in zip(classes.tolist(), *columns, counts)]


def worst_first(rows):
    """Return the rows of a table by class, of more than `SHOWN` the worst and rarest first."""
    if len(rows) <= SHOWN:
        return rows
    return sorted(rows, key=lambda row: (not row["rows"], row["f1"] or 0.0, row["rows"]))


def class_table(rows):
    """Yield the lines of a table of the classes: of many those that are predicted worst."""
    shown = worst_first(rows)[:SHOWN]
    n = max(row["rows"] for row in shown)
    digits = max(len(f"{n:,}"), len("rows"))
    labels = [abridged(str(row["label"]), WIDEST) for row in shown]
    width = max(map(len, ["class", *labels]))
    yield f"{'class':<{width}}  precision  recall      F1  {'rows':>{digits}}"
    for label, row in zip(labels, shown):
        precision, recall, f1 = (_cell(row[name]) for name in ("precision", "recall", "f1"))
        yield f"{label:<{width}}  {precision:>9}  {recall}  {f1}  {row['rows']:>{digits},}"
    if len(shown) < len(rows):
        yield f"... and {len(rows) - len(shown):,} more with a larger F1, or without rows."


def _cell(score):
    """Return a score in six letters."""
    if score is None:
        return f"{'-':>6}"
    return f"{score:.4f}"
