"""The classes of a classifier: found in y, and weighed."""

import numpy as np
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels

from ..model import ClassTargets, LabelTargets
from ..plain import as_floats, is_number, labels
from ..words import did_you_mean


def checked_labels(y, known, classes):
    """Return labels or rows of 0/1 from a host array y, and their targets, known or as y says."""
    # scikit-learn's looks take as long as a small fit, and say nothing of a few whole numbers.
    with np.errstate(invalid="ignore"):  # they cast large floats to whole numbers
        if y.ndim == 2 or y.dtype.kind not in "bi" or len(np.unique(y)) > 10:
            check_classification_targets(y)
        multilabel = y.ndim == 2 and type_of_target(y) == "multilabel-indicator"
    if multilabel:
        found = np.arange(y.shape[1])
    elif y.ndim == 2:
        raise ValueError("y has several columns that are not 0/1: fit a model for each column.")
    else:
        found = np.unique(y)
    if known is None:
        known, classes = _targets(found, multilabel, classes), None
    _check_classes(known, found, multilabel, classes)
    return y, known


def _targets(found, multilabel, given):
    """Return the targets of a fit from the start.

    found: classes in y; given: (classes,) as the first `partial_fit` got them, or None in `fit`.
    """
    if given is not None and given[0] is not None:
        found = labels(given[0], "classes")
        assert_all_finite(found, input_name="classes")
        found = unique_labels(found)
    elif given is not None and not multilabel:
        raise ValueError("classes must be passed on the first call to partial_fit.")
    return LabelTargets(len(found)) if multilabel else ClassTargets(found)


def _check_classes(targets, found, multilabel, given):
    """Check the classes in y against those of the model.

    given: (classes,) of a later `partial_fit`, "same" where they must all be there, or None.
    """
    classes = targets.classes
    if given == "same":  # warm_start
        if not np.array_equal(found, classes):
            raise ValueError(
                "warm_start can only be used where `y` has the same classes as in the previous "
                f"call to fit. Previously got {classes}, `y` has {found}: partial_fit goes on with "
                "some of the classes."
            )
    elif given is not None and given[0] is not None:
        if not np.array_equal(np.unique(given[0]), classes):
            raise ValueError(
                f"`classes={given[0]}` is not the same as on last call to partial_fit, was: "
                f"{classes}"
            )
    if (targets.task == "multilabel") != multilabel:
        raise ValueError(f"y is not of the kind that the model was fitted to ({targets.task}).")
    if np.array_equal(found, classes):
        return
    unknown = np.setdiff1d(found, classes)
    if len(unknown):
        raise ValueError(
            f"`y` has classes not in `self.classes_`: {unknown.tolist()}; `self.classes_` has "
            f"{classes.tolist()}."
        )


def class_weights(given, targets, y, weights):
    """Return the weight of each class (n_classes,), or of each label's 0 and 1 (n_labels, 2).

    given: the argument `class_weight`; weights: of the rows. None where all count alike.
    """
    if given is None:
        return None
    if targets.task != "multilabel":
        if isinstance(given, list):
            raise ValueError("a list as class_weight is for several labels: pass a dict.")
        made = np.asarray(_weights_of(given, targets.classes.tolist(), y, weights))
    else:
        each = given
        if not isinstance(given, list):
            each = [given] * y.shape[1]
        if len(each) != y.shape[1]:
            raise ValueError(
                f"class_weight has {len(each)} entries, y has {y.shape[1]} columns: pass one for "
                "each, or one for all."
            )
        made = np.asarray([_weights_of(c, [0, 1], b, weights) for c, b in zip(each, y.T)])
    if not made.any():
        raise ValueError(f"class_weight={given} leaves no class a weight above 0.")
    return made


def _weights_of(given, classes, y, weights):
    """Return the weight of each class; balanced: n / (n_classes n_of_the_class), rows by weight."""
    if given is None:
        return [1.0] * len(classes)
    if not isinstance(given, dict):
        if given != "balanced":
            meant = did_you_mean(given, ("balanced",))
            raise ValueError(f"class_weight must be 'balanced' or a dict, got {given!r}{meant}")
        shares = np.asarray([np.average(y == c, weights=weights) for c in classes])
        with np.errstate(divide="ignore"):
            balanced = 1.0 / (np.count_nonzero(shares) * shares)
        return np.where(shares > 0, balanced, 1.0)
    unknown = [c for c in given if c not in classes]
    lacking = [c for c in classes if c not in given]
    with as_floats("class_weight"):
        fine = all(is_number(type(w)) and 0 <= float(w) < np.inf for w in given.values())
    if not fine or (unknown and lacking):  # else a fold without some of the classes
        raise ValueError(
            f"class_weight must give classes of {list(classes)} numbers of 0 or more, got {given}."
        )
    return [float(given.get(c, 1.0)) for c in classes]
