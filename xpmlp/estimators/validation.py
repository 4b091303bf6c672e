"""What is held out of a fit, and looked at after each epoch."""

from copy import copy
from inspect import signature
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import issparse
from sklearn.metrics import check_scoring
from sklearn.model_selection import train_test_split

from ..arrays import Array, from_host, home, is_array, is_numpy, namespace, to_host
from ..errors import DeviceMemoryError
from ..placing import check_transfer
from ..training import SparseRows, Validation
from .inputs import check_weights
from .weights import collect


class Rows(NamedTuple):
    """The rows of a fit, or of what is held out of it."""

    x: Array | SparseRows
    targets: Array
    labels: Any  # y as checked
    weights: np.ndarray | None  # in the loss: those of the classes are in them
    given: np.ndarray | None  # sample_weight

    def take(self, rows):
        """Return some of the rows."""
        at, xp = from_host(rows, self.targets, "int32"), namespace(self.targets)
        sparse = isinstance(self.x, SparseRows)
        x = self.x.taken(rows) if sparse else xp.take(self.x, at, axis=0)
        labels, weights, given = (None if a is None else a[rows] for a in self[2:])
        return Rows(x, xp.take(self.targets, at, axis=0), labels, weights, given)


class Validates:
    """What `BaseMLP` has for validation data, given or split off."""

    def _split(self: Any, rows, validation):
        """Return the rows to train on, and what is held out (a Validation or None)."""
        X_val, y_val, sample_weight_val = validation
        if (X_val is None) != (y_val is None) or (X_val is None and sample_weight_val is not None):
            raise ValueError(
                "X_val, y_val and sample_weight_val go together: pass X_val and y_val, or neither."
            )
        if X_val is not None:
            known = home(X_val) if is_array(X_val) else home(rows.targets)
            if self._placed == "auto" and known != home(rows.targets) and not is_numpy(X_val):
                raise ValueError(
                    f"X_val is in {known.library} on {known.device}, X in "
                    f"{home(rows.targets).library} on {home(rows.targets).device}: pass X_val from "
                    "where X is."
                )
            on_host = not issparse(X_val) and not (is_array(X_val) and not is_numpy(X_val))
            if self.encoder_ is None and on_host and home(rows.targets).library != "numpy":
                X_val, at = np.asarray(X_val), home(rows.targets)
                check_transfer(X_val, at, "X_val", "pass X_val from where X is")
                X_val = from_host(X_val, rows.targets)  # everything follows X
            x = self._inputs(X_val)
            given = check_weights(sample_weight_val, x.shape[0])
            labels = self._checked_targets(y_val, x.shape[0], reset=False)
            return rows, self._validation(self._rows(x, labels, given))
        if not self.early_stopping or self.solver == "lbfgs":
            return rows, None
        try:
            train, test = train_test_split(
                np.arange(rows.x.shape[0]), test_size=self.validation_fraction,
                random_state=self.seed_ % 2**32,
                stratify=rows.labels if self._task in ("binary", "multiclass") else None,
            )  # fmt: skip
        except ValueError as error:
            raise ValueError(
                f"early_stopping cannot split a validation part off: {error}"
            ) from error
        if len(test) < 2:
            raise ValueError(
                "The validation set is too small. Increase 'validation_fraction' or the size of "
                "your dataset."
            )
        try:
            parts = rows.take(train), rows.take(test)
        except MemoryError as error:
            raise DeviceMemoryError(
                f"early_stopping copies X to split it, and its device lacks the memory ({error}): "
                "pass X_val and y_val instead."
            ) from error
        return parts[0], self._validation(parts[1])

    def _validation(self: Any, rows):
        y, w = to_host(rows.targets), rows.weights
        if w is not None and not w.any():
            raise ValueError("all validation rows have weight 0: pass X_val, or other weights.")
        w = None if w is None else w / w.sum()
        return Validation(rows.x, y, w, self._validation_score(rows, y))

    def _validation_score(self: Any, rows, targets):
        """Return (outputs, loss, params) -> the score that `scoring` names."""
        by_loss = self.scoring is None and self.quantiles_  # R^2 says little of them
        if self.scoring == "loss" or by_loss:
            return lambda outputs, loss, params: -loss
        if self.scoring is None:
            return lambda outputs, loss, params: self._score_outputs(outputs, targets, rows.given)
        return self._scored(check_scoring(self, self.scoring), rows)

    def _scored(self: Any, scorer, rows):
        """Return the score of a scorer, by an estimator that knows the outputs for these rows."""
        twin, options = copy(self), {}
        if self.encoder_ is not None:  # these rows are encoded already
            twin._encoded_rows = lambda X, reset: (None, None)
            twin.n_features_in_ = self._n_inputs
            vars(twin).pop("feature_names_in_", None)
        metric = getattr(scorer, "_score_func", None)  # of scikit-learn's own scorers
        # As predictions are: y - predictions of (n, 1) and (n,) would be (n, n).
        y = rows.labels[:, 0] if rows.labels.shape[1:] == (1,) else rows.labels
        x = rows.x.csr if isinstance(rows.x, SparseRows) else rows.x
        # They read X by predicting only; on the host their metrics know all libraries' results.
        X = x if metric is None or is_numpy(x) else np.broadcast_to(0.0, x.shape)
        if metric is not None and rows.given is not None:
            if "sample_weight" in signature(metric).parameters:
                options = {"sample_weight": rows.given}

        def score(outputs, loss, params):
            collect(twin, params)
            known = twin._network_to_predict() == twin.network_

            def own(given, method, prefix=None):
                if given is not X:
                    return type(self)._outputs(twin, given, method, prefix)
                if known and prefix is None:
                    return outputs
                return to_host(type(self)._outputs(twin, x, method, prefix))

            twin._outputs = own
            try:
                made = scorer(twin, X, y, **options)
            except ValueError as error:
                raise ValueError(
                    f"scoring={self.scoring!r} failed on the validation rows, which need rows of "
                    f"every class for some scores: {error}"
                ) from error
            try:
                return float(to_host(made) if is_array(made) else made)
            except (TypeError, ValueError) as error:
                raise TypeError(f"scoring must return a number, got {made!r}.") from error

        return score
