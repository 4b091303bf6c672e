"""The baseline: what is predicted without looking at a row.

Always the most frequent class of the training rows, with the shares of the classes as their
probabilities; or their mean, for absolute errors their median.
"""

import numpy as np

MEDIANS = ("mae", "absolute_error")  # in the names of metrics that the median makes least


def baseline_of(classes, y, weights=None):
    """Return what the baseline needs of rows: the shares of the classes, or mean and median.

    classes: sorted, or None for numbers; y, weights: (n,).
    """
    if classes is not None:
        counts = np.bincount(np.searchsorted(classes, y), weights, len(classes))
        return {"shares": (counts / counts.sum()).tolist()}
    median = np.median(y)
    if weights is not None:
        median = np.quantile(y, 0.5, weights=weights, method="inverted_cdf")
    return {"mean": float(np.average(y, weights=weights)), "median": float(median)}


def baseline_answers(baseline, name, n):
    """Return what the baseline says of n rows, as a metric asks for it."""
    from .metrics import Numbers, Probabilities

    if "shares" in baseline:
        shares = np.asarray(baseline["shares"])
        p = np.broadcast_to(shares, (n, len(shares)))
        return Probabilities(np.full(n, shares.argmax()), len(shares), p)
    return Numbers(np.full(n, baseline[_statistic(name)]))


def _statistic(name):
    """Return which statistic a metric asks for."""
    return "median" if any(end in name for end in MEDIANS) else "mean"


def constant_of(baseline, classes):
    """Return what it always says: a label, or the mean."""
    if "shares" in baseline:
        return classes.tolist()[int(np.argmax(baseline["shares"]))]
    return baseline["mean"]


def words_of(baseline, classes, names, rows):
    """Return in words what it always says; rows: which ones it is of; names: of the metrics."""
    constant = constant_of(baseline, classes)
    if "shares" in baseline:
        return f"Baseline: always {constant!r}, the most frequent class of {rows}."
    text = f"Baseline: always {constant:.5g}, the mean of {rows}"
    medians = [name for name in names if _statistic(name) == "median"]
    if medians:
        text += f"; for {' and '.join(medians)} {baseline['median']:.5g}, the median"
    return f"{text}."
