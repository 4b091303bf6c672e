"""The decision threshold of a training: as it is said, or the best one on the validation rows."""

import click
import numpy as np

from ..model.targets import with_threshold
from .scores import MetricName, answers_of, scores_option

MOST = 100  # thresholds that are tried
tune_option = scores_option(
    "--tune-threshold",
    type=MetricName(),
    metavar="METRIC",
    help="Of two classes: take the threshold of the best METRIC, such as f1, on the validation "
    "rows.",
)


def check_threshold(options, source, watched):
    """Raise UsageError before a training whose threshold could not be set.

    watched: the Part of the validation rows, or None.
    """
    said, metric = options["threshold"], options["tune_threshold"]
    if said is None and metric is None:
        return
    option = "--threshold" if metric is None else "--tune-threshold"
    if said is not None and metric is not None:
        raise click.UsageError("--threshold and --tune-threshold exclude each other: say one.")
    if source.task == "regression":
        raise click.UsageError(f"{option} is for two classes, and this is a regression.")
    n_classes = len(np.unique(source.y))
    if n_classes != 2:
        raise click.UsageError(f"{option} is for two classes, and the target has {n_classes}.")
    if metric is None:
        return
    _check_decides(metric)
    if options["validation"] == "test":
        raise click.UsageError(
            "--tune-threshold needs validation rows of its own, as the test rows would no longer "
            "test: say --validation 0.1."
        )
    if watched is None:
        raise click.UsageError(
            "--tune-threshold needs validation rows, and --validation 0 holds none out."
        )
    if len(np.unique(watched[1])) < 2:
        raise click.UsageError("--tune-threshold needs validation rows of both classes.")


def _check_decides(metric):
    """Raise UsageError for a metric that no threshold changes, or that is none of two classes."""
    from .metrics import Labels, score, wrong_metric

    both, why = np.arange(2), wrong_metric(metric, "classification")
    try:
        value = why or score(metric, Labels(both, 2), both)[0]
    except AttributeError:  # it asks for probabilities
        value, why = (
            None,
            f"{metric} does not depend on the threshold: say f1, or another of labels.",
        )
    if why or value is None:
        raise click.UsageError(f"--tune-threshold: {why or f'{metric} is none of two classes.'}")


def set_threshold(model, watched, options):
    """Set the threshold that the options ask for; return a sentence about it, or None."""
    if options["threshold"] is not None:
        model.threshold_ = options["threshold"]
        return None
    metric = options["tune_threshold"]
    if metric is None:
        return None
    (X, y, weights), second = watched, model.classes_.tolist()[1]
    model.threshold_, best, before = best_threshold(model, X, y, metric, weights)
    rows = f"{len(y):,} validation rows, {np.sum(y == second):,} of them {second!r}"
    return (
        f"Threshold {model.threshold_:g}: the best {metric} of {rows}, is {best:.4f} "
        f"(at 0.5: {before:.4f})."
    )


def best_threshold(model, X, y, metric, weights=None):
    """Return the threshold of the best metric on rows, that metric, and what it is at 0.5.

    Tried are numbers between the probabilities of the rows, of many between some of them; of
    equally good thresholds the nearest to 0.5 is taken. weights: (n,) of the rows, or None.
    """
    from .metrics import Labels, score, sign_of

    z, targets = answers_of(model, X).z[:, None], model.model_.targets
    y = np.searchsorted(targets.classes, y)
    p = np.unique(targets.probabilities(z)[:, 1]).astype("float64")
    p = p[np.linspace(0, len(p) - 1, min(len(p), MOST)).astype(int)].tolist()
    tried = [0.5, *sorted(map(_between, p, p[1:]), key=lambda t: abs(t - 0.5))]

    def metric_at(threshold):
        codes = with_threshold(targets, threshold).codes(z)
        value, _ = score(metric, Labels(codes, 2), y, weights)
        return -np.inf if value is None else sign_of(metric) * value

    found = [metric_at(threshold) for threshold in tried]
    best = int(np.argmax(found))
    return tried[best], sign_of(metric) * found[best], sign_of(metric) * found[0]


def _between(low, high):
    """Return the number of fewest decimals between two, so that it can be said again."""
    middle = (low + high) / 2
    rounded = (round(middle, digits) for digits in range(1, 17))
    return next((t for t in rounded if low < t < high), middle)
