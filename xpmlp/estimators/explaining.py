"""The estimators' `explain`, `plan` and `find_learning_rate`."""

from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple
from warnings import catch_warnings, simplefilter

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import DataConversionWarning

from ..arrays import Array, float_dtype, is_array, is_numpy, location_of
from ..errors import DivergenceError
from ..inspection import check_shapes, explain_step, plan_training, shape_of
from ..model import Inputs
from ..nn import Loss, Network
from ..nn.losses import levels_of, match_loss
from ..placing import to_device
from ..training import LearningRates, Sweep, fit_network
from .building import network_of
from .inputs import dense_to_look_into, on_its_card
from .tables import dtype_of_table, known_table, measured_table


class Problem(NamedTuple):
    """What a training step works on: a network and its parameters, a loss, and data."""

    network: Network
    loss: Loss
    params: dict  # nested dicts of arrays
    x: Array  # (n_samples, n_features), in the compute dtype, at home
    targets: Array  # (n_samples, n_outputs)
    alpha: float  # the L2 penalty


class Explains:
    """What `BaseMLP` has for looking into a training step, and ahead of it."""

    @on_its_card
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
        notes = self._shape_notes(X, y)
        with catch_warnings():
            simplefilter("ignore", DataConversionWarning)  # a note says it
            problem = self._problem(X, y)
        return explain_step(
            *problem[:5], rule=self._rule(),
            lr=float(self.learning_rate_init), alpha=problem.alpha, weight_decay=self.weight_decay,
            seed=getattr(self, "seed_", 0), orientation=orientation, notes=notes,
        )  # fmt: skip

    @on_its_card
    def plan(self: Any, X, y=None):
        """Tell what `fit` will take, before anything of its size is allocated.

        Parameters
        ----------
        X : as in `fit`
            Only its shape, dtype and device are looked at; with device="auto", of host arrays, the
            host is.
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
        notes, twin, model = self._shape_notes(X, y), copy(self), self._model
        if y is None and model is None:
            raise ValueError("plan needs y before fit: it says how many outputs there are.")
        inputs, X = twin._planned_inputs(X, model and model.inputs)
        old = model and model.targets
        if y is not None:
            with catch_warnings():
                simplefilter("ignore", DataConversionWarning)  # a note says it
                _, targets = twin._checked_targets(y, shape_of(X)[0], old)
        if model is None:
            loss, link = match_loss(twin._loss(), targets.task, self.out_activation)
            n_outputs = targets.n_outputs * len(levels_of(loss) or (0.5,))
            last = link if loss.link == "identity" else "identity"
            network = network_of(twin, inputs, n_outputs, last)
        else:
            network = model.network
        return plan_training(
            network, X, dtype=inputs.dtype, like=inputs.like, notes=notes,
            rule=self._rule(),
            batch_size=200 if self.batch_size == "auto" else int(self.batch_size),
        )  # fmt: skip

    def _planned_inputs(self: Any, X, inputs):
        """Return the `Inputs` of X without touching its rows, and X as the network would see it.

        inputs: those of the fitted model, or None.
        """
        if inputs is None:
            frame, encoder = measured_table(self, X)
        else:
            encoder = inputs.encoder
            frame = known_table(self, X, encoder) if encoder is not None else None
        known = X[:0, ...] if is_array(X) else np.empty((0, 1), X.dtype if issparse(X) else None)
        if inputs is None:
            given = known if is_array(X) and not is_numpy(X) else np.empty((0, 1))
            n = shape_of(X)[1] if frame is None else self.n_features_in_
            dtype = float_dtype(known, self.dtype) if frame is None else dtype_of_table(self, X)
            at = location_of(to_device(given, self.device))
            inputs = Inputs(n, dtype, at, self.device, encoder)
        if frame is not None:
            X = np.broadcast_to(np.zeros((), inputs.dtype), (len(frame), inputs.width))
        return inputs, X

    @on_its_card
    def find_learning_rate(
        self: Any, X, y, sample_weight=None, *, low=1e-6, high=10.0, n_steps=100
    ):
        """Test a range of learning rates: train from new weights while the rate rises.

        The estimator stays as it is, whatever the range does to its copy. With device="auto" host
        arrays stay on the CPU for so few steps.

        Parameters
        ----------
        X, y, sample_weight
            As in `fit`.
        low, high : float
            The first and the last rate.
        n_steps : int
            Least number of steps; whole epochs are made.

        Returns
        -------
        LearningRates
            Its `suggestion` is a value for `learning_rate_init`; `plotting.plot_learning_rates`
            draws it.

        Raises
        ------
        ValueError
            For solver="lbfgs", which has no rate, and where the loss explodes at once.

        References
        ----------
        Smith 2017, section 3.3.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from xpmlp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> found = MLPClassifier(batch_size=32, random_state=0).find_learning_rate(X, y)
        >>> 1e-4 < found.suggestion < 1.0
        True
        """
        if self.solver == "lbfgs":
            raise ValueError("solver='lbfgs' has no learning rate to look for: take 'adam'.")
        if not (0 < 100 * low <= high and n_steps >= 30):
            raise ValueError(
                f"a range of rates needs 0 < 100 low <= high and n_steps >= 30, got {low}, {high}, "
                f"{n_steps}."
            )
        twin = copy(self).set_params(early_stopping=False, verbose=0)
        twin._validate_params()
        rows, loss, params, model = twin._prepared(X, y, sample_weight)
        n, rule = rows.x.shape[0], twin._rule()
        recipe = twin._recipe(n, rule, False)
        n_batches = -(-n // recipe.batch_size)
        n_epochs = -(-int(n_steps) // n_batches)
        sweep, losses = Sweep(high / low), []
        recipe = replace(
            recipe, schedule=sweep, lr=float(low), max_iter=n_epochs, n_epochs=n_epochs,
            n_iter_no_change=np.inf,
        )  # fmt: skip
        _, state, error = fit_network(
            model.network, loss, rule, recipe, rows[:2], params, sample_weight=rows.weights,
            on_epoch=lambda state, _: losses.append(state.batch_losses),
        )  # fmt: skip
        if isinstance(error, DivergenceError):
            losses.append(state.batch_losses)
        rates = [sweep.rates(float(low), i, n_batches, n_epochs) for i in range(len(losses))]
        return LearningRates.of(np.concatenate(rates), np.concatenate(losses))

    def _problem(self: Any, X, y):
        """Return what a fit to X and y would start from, without touching the estimator.

        A fitted estimator stands where it is, another one at its initial weights.
        """
        twin = copy(self)
        twin._validate_params()
        rows, loss, params, model = twin._prepared(dense_to_look_into(X), y, known=self._model)
        return Problem(model.network, loss, params, rows.x, rows.targets, float(self.alpha))

    def _shape_notes(self: Any, X, y):
        """Check the shapes of X and y. Returns notes on them."""
        check_shapes(X, y, getattr(self, "n_features_in_", None))
        if y is None or shape_of(y)[1:] != (1,):
            return []
        n = shape_of(y)[0]
        return [f"y is {(n, 1)}, predictions are ({n},); did you mean y[:, 0]?"]
