"""What a picture of predictions shows: classes taken for each other, the range of the points."""

import numpy as np

from .words import abridged

LONGEST = 24  # letters of a label in a picture
MOST = 40  # classes in a picture: the counts of more cannot be read
SHOWN = 30  # of more classes those with the most errors, the others as one


def confusion(y_true, y_pred, labels=None):
    """Return how often each class was taken for each other (n, n), and the names of the classes.

    labels: the classes to count, in this order. Where none are given and there are more than
    `MOST`, the last row and column hold all but the `SHOWN` classes with the most errors.
    """
    from sklearn.metrics import confusion_matrix
    from sklearn.utils.multiclass import unique_labels

    counts = confusion_matrix(y_true, y_pred, labels=labels)
    if labels is not None:
        return counts, _names(labels)
    names = _names(unique_labels(y_true, y_pred))
    if len(names) <= MOST:
        return counts, names
    errors = counts.sum(axis=0) + counts.sum(axis=1) - 2 * np.diag(counts)
    chosen = np.sort(np.argsort(-errors, kind="stable")[:SHOWN])
    place = np.full(len(names), SHOWN)
    place[chosen] = np.arange(SHOWN)
    fewer = np.zeros((SHOWN + 1, SHOWN + 1), counts.dtype)
    np.add.at(fewer, (place[:, None], place), counts)
    others = f"{len(names) - SHOWN} others"
    return fewer, [*(names[i] for i in chosen), others]


def _names(labels):
    """Return labels as text for a picture."""
    return [abridged(str(label), LONGEST) for label in labels]


def range_of_most(values):
    """Return the least and the greatest of all but outliers, values far from nine in ten others."""
    values = np.ravel(values)
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = np.quantile(values, (0.05, 0.95))
    far = 2 * (high - low) or np.inf  # a normal distribution has none in 1e15 beyond that
    near = values[(values >= low - far) & (values <= high + far)]
    return float(near.min()), float(near.max())
