"""Metrics by their names in scikit-learn, of what a model says of rows whose targets are known.

n rows. Classes are numbered, 0 to n_classes - 1, as in the model's `classes_`: so scores of one
class, such as f1, are of the second of two classes, whatever their labels are.
"""

import math
import re
import warnings
from functools import cache
from inspect import signature

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer, get_scorer_names, log_loss, make_scorer

from ..words import did_you_mean

USUAL = {
    "binary": ("accuracy", "balanced_accuracy", "log_loss", "roc_auc"),
    "multiclass": ("accuracy", "balanced_accuracy", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}
SHORT = {"rmse": "root_mean_squared_error", "mae": "mean_absolute_error"}


class Labels(ClassifierMixin, BaseEstimator):
    """Predicted classes of some rows, as a classifier that scorers ask; it looks at no X.

    codes: (n,), their numbers.
    """

    def __init__(self, codes, n_classes):
        self.codes, self.n_classes = codes, n_classes

    @property
    def classes_(self):
        """Numbers of the classes."""
        return np.arange(self.n_classes)

    def predict(self, X):
        """Return the codes."""
        return self.codes


class Probabilities(Labels):
    """The same with probabilities (n, n_classes)."""

    def __init__(self, codes, n_classes, p):
        super().__init__(codes, n_classes)
        self.p = p

    def predict_proba(self, X):
        """Return the probabilities."""
        return self.p


class Logits(Probabilities):
    """The same with logits, (n,) of two classes, else (n, n_classes): they rank what p rounds."""

    def __init__(self, codes, n_classes, p, z):
        super().__init__(codes, n_classes, p)
        self.z = z

    def decision_function(self, X):
        """Return the logits."""
        return self.z


class Numbers(RegressorMixin, BaseEstimator):
    """Predicted numbers (n,) of some rows, as a regressor that scorers ask."""

    def __init__(self, values):
        self.values = values

    def predict(self, X):
        """Return the numbers."""
        return self.values


@cache
def known_names():
    """Return the names of all metrics: scikit-learn's scorers, errors also without neg_, SHORT."""
    own = get_scorer_names()
    return tuple(sorted({*own, *(name.removeprefix("neg_") for name in own), *SHORT}))


def task_of_metric(name):
    """Return "regression" or "classification": what a metric is for."""
    function = _scorer(name, 2)[0]._score_func
    return "regression" if function.__module__.endswith("_regression") else "classification"


def wrong_metric(name, task=None):
    """Return why a metric is none, or none of a task (None: not known yet); else None."""
    if name not in known_names():
        near = did_you_mean(name, known_names())
        return f"{name!r} is no metric of scikit-learn, such as accuracy, f1_macro or r2{near}"
    its = task_of_metric(name)
    if task not in (None, its):
        return f"{name} is for a {its}, and this is a {task}."
    return None


def sign_of(name):
    """Return 1 for a metric of which more is better, -1 for an error."""
    return _scorer(name, 2)[1]


def score(name, answers, y, weights=None):
    """Return a metric, None where it is not defined, and why (None where all is well).

    answers, y, weights: as of `value_of`.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            value, told = value_of(name, answers, y, weights), None
        except ValueError as error:
            value, told = math.nan, error
    odd = [w.message for w in caught if issubclass(w.category, UndefinedMetricWarning)]
    why = None
    if told or odd:
        why = _reason(str(told or odd[0]), name, answers, y)
    if math.isfinite(value):
        return value, why
    return None, why or "it is infinite"


def value_of(name, answers, y, weights=None):
    """Return a metric, or raise scikit-learn's ValueError where it is not defined.

    answers: Labels or Numbers; y: (n,), codes of classes or numbers; weights: (n,) or None.
    """
    scorer, sign = _scorer(name, getattr(answers, "n_classes", None))
    own = {}
    if weights is not None:
        if "sample_weight" not in signature(scorer._score_func).parameters:
            raise ValueError("it takes no weights of rows")
        own = {"sample_weight": weights}
    return sign * float(scorer(answers, y, y, **own))


def scorer_name(name):
    """Return the name of the scorer that a metric is the value of, or its negative."""
    plain = SHORT.get(name, name)
    if plain in get_scorer_names():
        return plain
    return f"neg_{plain}"


def _scorer(name, n_classes):
    """Return a scorer of scikit-learn, and the sign that makes its value the metric."""
    plain, sign = scorer_name(name), 1
    if SHORT.get(name, name) != plain:
        sign = -1
    if plain != "neg_log_loss":
        return get_scorer(plain), sign
    # scikit-learn's own takes the classes from the rows, which may lack some.
    labels = {"labels": np.arange(n_classes)}
    own = {"response_method": "predict_proba", "greater_is_better": False}
    return make_scorer(log_loss, **own, **labels), sign


def _reason(text, name, answers, y):
    """Return why a metric is not defined, for which scikit-learn has a message."""
    first = " ".join(text.split()).partition(". ")[0].rstrip(".").replace("y_true", "the rows")
    if not isinstance(answers, Labels):
        return first
    n, there = answers.n_classes, len(np.unique(y))
    others = [f"{name}_{end}" for end in ("macro", "ovr") if f"{name}_{end}" in known_names()]
    if n == 1:
        return "the model knows one class"
    if n > 2 and others:
        return f"it is for two classes, and there are {n}: take {others[0]}"
    if there < n and re.search(r"\bclass(es)?\b", first):
        return f"the rows hold {there} of {n} classes"
    return first
