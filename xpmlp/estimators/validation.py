"""What is held out of a fit, and looked at after each epoch."""

from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

from ..arrays import from_host, home, is_array, is_numpy, namespace, to_host
from ..errors import DeviceMemoryError
from ..placing import check_transfer
from ..training import Validation


class Validates:
    """What `BaseMLP` has for validation data, given or split off."""

    def _split(self: Any, x, targets, weights, validation):
        """Return the training data and weights, and what is held out (a Validation or None)."""
        X_val, y_val = validation
        if (X_val is None) != (y_val is None):
            raise ValueError("X_val and y_val go together: pass both or neither.")
        if X_val is not None:
            if home(x).library != "numpy" and not (is_array(X_val) and not is_numpy(X_val)):
                X_val = np.asarray(X_val)
                check_transfer(X_val, home(x), "X_val", "pass X_val from where X is")
                X_val = from_host(X_val, x)  # everything follows X
            xv = self._inputs(X_val)
            held = xv, self._targets(y_val, xv, reset=False)
            return (x, targets), weights, self._validation(*held, None)
        if not self.early_stopping or self.solver == "lbfgs":
            return (x, targets), weights, None
        strata = to_host(targets).argmax(axis=1) if self._task == "multiclass" else None
        strata = to_host(targets)[:, 0] if self._task == "binary" else strata
        try:
            train, held_out = train_test_split(
                np.arange(x.shape[0]), test_size=self.validation_fraction,
                random_state=self.seed_ % 2**32, stratify=strata,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(
                f"early_stopping cannot split a validation part off: {error}"
            ) from error
        if len(held_out) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        xp = namespace(x)
        rows = [from_host(part, x, "int32") for part in (train, held_out)]
        try:
            (x, xv), (t, tv) = ([xp.take(a, r, axis=0) for r in rows] for a in (x, targets))
        except MemoryError as error:
            raise DeviceMemoryError(
                f"early_stopping copies X to split it, and its device lacks the memory ({error}): "
                "pass X_val and y_val instead."
            ) from error
        own = (None, None) if weights is None else (weights[train], weights[held_out])
        return (x, t), own[0], self._validation(xv, tv, own[1])

    def _validation(self: Any, x, targets, weights):
        y = to_host(targets)
        if weights is not None and not weights.any():
            raise ValueError("all validation rows have weight 0: pass X_val, or other weights.")
        w = None if weights is None else weights / weights.sum()
        return Validation(x, y, w, lambda outputs: self._score_outputs(outputs, y, w))
