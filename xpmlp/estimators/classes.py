"""The classes of a classifier: found in y, and weighed."""

from numbers import Real
from typing import Any

import numpy as np
from sklearn.utils.multiclass import _check_partial_fit_first_call


class Classes:
    """What `MLPClassifier` has for its classes."""

    _class_weights: Any = None  # (n_classes,), or of several labels (n_outputs, 2)

    def _weigh_classes(self: Any, y, weights):
        """Compute the weight of each class, or of each label's 0 and 1; validation has the same."""
        given, classes = self.class_weight, self.classes_.tolist()
        vars(self).pop("_class_weights", None)
        if given is None:
            return
        if self._task != "multilabel":
            if isinstance(given, list):
                raise ValueError("a list as class_weight is for several labels: pass a dict.")
            self._class_weights = np.asarray(_weights_of(given, classes, y, weights))
        else:
            each = given if isinstance(given, list) else [given] * y.shape[1]
            if len(each) != y.shape[1]:
                raise ValueError(
                    f"class_weight has {len(each)} entries, y has {y.shape[1]} columns: pass one "
                    "for each, or one for all."
                )
            pairs = [_weights_of(c, [0, 1], y[:, i], weights) for i, c in enumerate(each)]
            self._class_weights = np.asarray(pairs)
        if not self._class_weights.any():
            raise ValueError(f"class_weight={given} leaves no class a weight above 0.")

    def _set_classes(self: Any, found, multilabel, reset, classes):
        """Set `classes_` and the task, or check what was found against them."""
        if reset:
            if classes is not None and not (multilabel and classes[0] is None):
                self.__dict__.pop("classes_", None)
                _check_partial_fit_first_call(self, classes[0])
            else:
                self.classes_ = found
            n = len(self.classes_)
            self._task = "multilabel" if multilabel else ("binary" if n <= 2 else "multiclass")
        elif classes == "same":  # warm_start
            if not np.array_equal(found, self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous "
                    f"call to fit. Previously got {self.classes_}, `y` has {found}: partial_fit "
                    "goes on with some of the classes."
                )
        elif classes is not None and classes[0] is not None:
            if not np.array_equal(np.unique(classes[0]), self.classes_):
                raise ValueError(
                    f"`classes={classes[0]}` is not the same as on last call to partial_fit, was: "
                    f"{self.classes_}"
                )
        if (self._task == "multilabel") != multilabel:
            raise ValueError(f"y is not of the kind that the model was fitted to ({self._task}).")
        unknown = np.setdiff1d(found, self.classes_)
        if len(unknown):
            raise ValueError(
                f"`y` has classes not in `self.classes_`: {unknown.tolist()}; `self.classes_` has "
                f"{self.classes_.tolist()}."
            )


def _weights_of(given, classes, y, weights):
    """Return the weight of each class; balanced: n / (n_classes n_of_the_class), rows by weight."""
    if given is None:
        return [1.0] * len(classes)
    if not isinstance(given, dict):
        if given != "balanced":
            raise ValueError(f"class_weight must be 'balanced' or a dict, got {given!r}.")
        found = [np.average(y == c, weights=weights) for c in classes]
        return [1.0 / (np.count_nonzero(found) * share) if share else 1.0 for share in found]
    unknown = [c for c in given if c not in classes]
    if unknown or not all(isinstance(w, Real) and 0 <= float(w) < np.inf for w in given.values()):
        raise ValueError(
            f"class_weight must give classes of {list(classes)} numbers of 0 or more, got {given}."
        )
    return [float(given.get(c, 1.0)) for c in classes]
