"""The estimators' `explain` and `plan`."""

from copy import copy
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.multiclass import check_classification_targets

from ..arrays import float_dtype, home, is_array, is_numpy, place, to_host
from ..errors import ShapeError
from ..inspection import check_shapes, explain, plan_training, shape_of
from ..nn.losses import match_loss


class Explains:
    """What `BaseMLP` has for looking into a training step, and ahead of it."""

    def explain(self: Any, X, y, *, orientation="rows"):
        """Run one training step on X and y, on a copy, and tell what happens in it.

        Parameters
        ----------
        X, y
            As in `fit`; all rows are one batch. A fitted estimator is explained as it stands,
            another one at its initial weights.
        orientation : {"rows", "columns"}
            How samples stand in the equations; in X they stand in rows.

        Returns
        -------
        Explanation
            To print, `.to_html()`, `.to_latex()`; its `layers` and `parameters` hold the numbers.
            The update is the first that `solver` makes, without a memory of earlier ones.

        Raises
        ------
        ShapeError
            When X and y do not fit; the message says what was probably meant.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from xpmlp import MLPClassifier
        >>> explanation = MLPClassifier((5,), random_state=0).explain(*load_iris(return_X_y=True))
        >>> for line in explanation.layers[0].backward:
        ...     print(line.formula, "  ", line.shapes)
        dZ1 = dA1 * relu'(Z1)    (150,5) * (150,5) -> (150,5)
        dW1 = X^T @ dZ1    (150,4)^T (150,5) -> (4,5)
        db1 = sum(dZ1, axis=0)    (150,5) -> (1,5)
        """
        notes = self._checked_shapes(X, y)
        problem = self._problem(X, y)
        rule, decay = self._rule_and_decay()
        return explain(
            problem.network, problem.loss, problem.params, problem.x, problem.targets, rule=rule,
            lr=float(self.learning_rate_init), alpha=problem.alpha, weight_decay=decay,
            seed=getattr(self, "seed_", 0), orientation=orientation, notes=notes,
        )  # fmt: skip

    def plan(self: Any, X, y=None):
        """Tell what `fit` will take, before anything of its size is allocated.

        Parameters
        ----------
        X : as in `fit`
            Only its shape, dtype and device are looked at.
        y : as in `fit`
            Its labels are counted; a fitted estimator needs none.

        Returns
        -------
        TrainingPlan
            To print: shapes, parameters, FLOPs, bytes, and whether they fit the device.

        Raises
        ------
        ShapeError
            When X and y do not fit; the message says what was probably meant.

        Examples
        --------
        >>> import numpy as np
        >>> from xpmlp import MLPRegressor
        >>> plan = MLPRegressor(hidden_layer_sizes=(30,)).plan(np.zeros((64, 2)), np.zeros(64))
        >>> [layer.name for layer in plan.layers], plan.fits
        (['1 Dense 2 -> 30 relu', '2 Dense 30 -> 1'], True)
        """
        self._validate_params()
        shape, notes = shape_of(X), self._checked_shapes(X, y)
        fitted = hasattr(self, "coefs_")
        network = self.network_ if fitted else self._planned_network(y)
        on_device = is_array(X) and not is_numpy(X)
        like = place(X[:0, ...] if on_device else np.empty((0, 1)), self.device)
        known = X[:0, ...] if is_array(X) else np.empty(0)
        dtype = self._dtype if fitted else float_dtype(known, self.dtype)
        held = is_array(X) and home(X) == home(like) and str(X.dtype).endswith(dtype)
        rule, _ = self._rule_and_decay()
        batch_size = 200 if self.batch_size == "auto" else int(self.batch_size)
        return plan_training(
            network, shape, dtype=dtype, rule=rule, batch_size=batch_size, like=like, held=held,
            notes=notes,
        )  # fmt: skip

    def _checked_shapes(self: Any, X, y):
        """Check the shapes of X and y. Returns notes on them."""
        x_shape, y_shape = shape_of(X), None if y is None else shape_of(y)
        notes = check_shapes(x_shape, y_shape, getattr(self, "n_features_in_", None))
        if y_shape is not None and len(y_shape) == 2:
            if y_shape[1] == 1:
                meant = f"predictions are ({y_shape[0]},); did you mean y[:, 0]?"
                notes.append(f"y is {y_shape}, {meant}")
            elif y_shape[1] != getattr(self, "n_outputs_", y_shape[1]):
                raise ShapeError(f"y is {y_shape}, the model has {self.n_outputs_} outputs.")
        return notes

    def _planned_network(self: Any, y):
        """Return the network that `fit` would make for y."""
        if y is None:
            raise ValueError("plan needs y before fit: it says how many outputs there are.")
        y = to_host(y) if is_array(y) else np.asarray(y)
        columns = y.shape[1] if y.ndim > 1 else 1
        task, n_out = "regression", columns
        if is_classifier(self):
            try:
                check_classification_targets(y)
            except TypeError as error:
                raise ValueError(f"y mixes labels that cannot be compared: {error}") from error
            n_classes = len(set(y.ravel().tolist()))
            task = "multilabel" if columns > 1 else "multiclass" if n_classes > 2 else "binary"
            n_out = {"multilabel": columns, "multiclass": n_classes, "binary": 1}[task]
        twin = copy(self)
        loss, twin.out_activation_ = match_loss(self.loss, task, self.out_activation)
        return twin._network(n_out, loss)

    def _rule_and_decay(self: Any):
        """Return the update rule (None for lbfgs) and its decoupled decay."""
        rule = None if self.solver == "lbfgs" else self._rule()
        own = rule.weight_decay if rule else 0.0
        return rule, float(own if self.weight_decay is None else self.weight_decay)
