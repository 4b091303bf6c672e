"""Base class of the classifier and the regressor: arguments, fit, state across calls."""

import os
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from time import perf_counter
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.utils._param_validation import Interval, Options

from ..engines import ACCELERATIONS, MATMUL_PRECISIONS
from ..errors import DivergenceError, PreemptedError
from ..logs import logger
from ..nn import Layer
from ..nn.activations import ActivationFunction
from ..nn.normalization import NORMALIZATIONS
from ..optim import SCHEDULES, Rule, Schedule
from ..optim.rules import SOLVERS
from ..placing import fit_or_stay, why_there
from ..training import STEP_OPTIONS, Checkpoint, LearningRates, checkpoint_of, fit_report
from ..transfers import counting
from . import types
from .bases import BaseEstimator, CallbackSupportMixin, with_callbacks
from .callbacks import observed
from .constraints import check_arguments, words
from .ends import continued, warn_of_end, warn_of_lost
from .fit_result import FitResult
from .fitted import Fitted
from .inputs import STANDARDISED, on_its_card
from .problem import check_trainable, problem_of
from .tables import asks_for_table
from .types import Rows, Weights

if TYPE_CHECKING:  # imported where they are asked for
    from ..inspection import Explanation, TrainingPlan
from .validation import split


class BaseMLP(Fitted, CallbackSupportMixin, BaseEstimator):
    """Base class of `MLPClassifier` and `MLPRegressor`, which are what to use."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), Layer],
        "activation": [str, ActivationFunction, "array-like"],
        "solver": [words(*SOLVERS), Rule],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [words("auto"), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [words(*SCHEDULES), Schedule, callable],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "init": "no_validation",
        "out_activation": [str],
        "weight_decay": [Interval(Real, 0, None, closed="left"), None],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
        "normalization": [words(*NORMALIZATIONS), None],
        "residual": ["boolean"],
        **{
            name: [Interval(Real, *row["range"], closed="neither"), None]
            for name, row in STEP_OPTIONS.items()
        },
        "scoring": [str, callable, None],
        "categorical_features": ["array-like", words("auto", "from_dtype"), None],
        "feature_scale": [words("auto", "robust", *STANDARDISED), None],
        "n_bins": [Interval(Integral, 2, None, closed="left"), None],
        "device": [str],
        "dtype": "no_validation",
        "matmul_precision": [words(*MATMUL_PRECISIONS)],
        "accelerate": [words(*ACCELERATIONS)],
        "deterministic": ["boolean"],
        "callbacks": [list, tuple, callable, None],
        "checkpoint": [str, os.PathLike, Checkpoint, None],
    }
    solver: types.Solver
    max_iter: int
    verbose: bool | int
    warm_start: bool
    early_stopping: bool
    scoring: types.Scoring
    dtype: types.DType
    callbacks: types.Callbacks
    checkpoint: types.Kept

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        encodes = asks_for_table(self)
        tags.array_api_support = tags.input_tags.sparse = not encodes
        tags.input_tags.allow_nan = tags.input_tags.string = encodes
        return tags

    def fit(
        self,
        X: Rows,
        y: Rows,
        sample_weight: Weights = None,
        *,
        X_val: Rows | None = None,
        y_val: Rows | None = None,
        sample_weight_val: Weights = None,
        resume: bool = False,
    ) -> Self:
        """Fit the network to X and y.

        Parameters
        ----------
        X : array, DataFrame, list or SciPy sparse matrix of shape (n_samples, n_features)
            Training runs in its library and on its device (see `device`). Of a sparse matrix only
            a few batches at a time are made dense, with the same result.
        y : array or list of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, a 0/1 column for each label, or numbers.
        sample_weight : array of shape (n_samples,), optional
        X_val, y_val, sample_weight_val : like X, y and sample_weight, optional
            Rows that are predicted after each epoch: `history_` gets their loss and score, and
            early_stopping uses them instead of splitting a part off X.
        resume : bool, default=False
            Go on from the newest whole state in `checkpoint`, to the same end as without a stop, to
            the last bit on the same machine; begin from the start where there is none.

        Returns
        -------
        self

        Raises
        ------
        DivergenceError
            When the loss or a weight after an epoch is not finite, or out of all proportion
            (guide, "When a training diverges"); it says where that began. The estimator then holds
            the weights after the epoch before. If that was the first epoch, it is what it was
            before the call, as after any other error.
        CheckpointError
            When the checkpoint is of other data or options, or another fit writes to its folder.
        """
        how: dict = {"goes_on": self.warm_start and hasattr(self, "model_"), "resume": resume}
        if how["goes_on"]:
            how["classes"] = "same"
        return _guarded(self, X, y, sample_weight, (X_val, y_val, sample_weight_val), **how)

    @with_callbacks
    def _fit(
        self, X, y, sample_weight, validation, goes_on, one_epoch, classes, report, kept, stays
    ):
        """Fit. Returns the error of a training that diverged after an epoch that ended well.

        goes_on: whether with the fitted model; report: (array, options, why, seed=) ->
        `fit_report_`; kept: a `Checkpoint` or None, and whether to resume it; stays: why host
        arrays stay on the host, where they do not pay on a GPU in any case.
        """
        if one_epoch and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        weighed = getattr(self, "class_weight", None)
        balanced = weighed == "balanced" or (isinstance(weighed, list) and "balanced" in weighed)
        if one_epoch and balanced:
            raise ValueError(
                "partial_fit sees a part of the rows, which class_weight='balanced' cannot be "
                "computed from: pass the weights as a dict."
            )
        how = {"classes": classes, "one_epoch": one_epoch, "moves": not stays}
        known = self.result_ if goes_on else None
        if kept[1] and self.random_state is None:
            how["seed"] = kept[0].seed()
        problem = problem_of(self, X, y, sample_weight, result=known, **how)
        problem = split(self, problem, validation)
        model, options = problem.model, problem.options
        state, why = None, problem.why or stays
        if known is not None:
            others = validation[0] is not None or known.state.scoring != repr(self.scoring)
            at, rescored = problem.rows.targets, others and options.early_stopping
            warn_of_lost(self, problem, known.state, one_epoch)
            state, why = continued(known.state, one_epoch, at, rescored=rescored), known.why
        reason = why or why_there(X, model.inputs.requested)
        if not (one_epoch and goes_on):
            logger.info("Training on %s: %s", model.location.device, reason)
            if self.verbose and model.inputs.requested != "cpu":
                print(f"Training on {model.location.device}: {reason}")
        check_trainable(self, problem)
        begun = FitResult(model, state=state, seed=options.seed, why=why)
        with observed(
            self, (X, y, sample_weight), begun, options.max_iter, tasks=not one_epoch
        ) as on_epoch:
            params, state, ended = problem.trained(state, on_epoch, *kept)
            if ended == "preempted" and not state.n_iter:
                raise PreemptedError("the training was to end before its first epoch had.")
            error = ended if isinstance(ended, DivergenceError) else None
            if error and not state.n_iter:
                raise error
            if isinstance(self.random_state, np.random.RandomState):
                self.random_state.set_state(
                    state.draws.generator.get_state()
                )  # it goes on, as in scikit-learn
            model, state = (
                model.with_params(params),
                replace(state, batch_losses=None, scoring=repr(self.scoring)),
            )
            told = report(model.coefs[0], options.engine, reason, seed=options.seed)
            self.result_ = FitResult.of(self, model, state, options.seed, why, told)
        warn_of_end(self, state, ended, one_epoch, options)
        if error:
            error.n_finite = state.n_iter
            error.args = (f"{error} The estimator holds the weights after epoch {state.n_iter}.",)
        return error

    @on_its_card
    def explain(
        self, X: Rows, y: Rows, *, orientation: types.Orientation = "rows"
    ) -> "Explanation":
        """Run one training step on X and y, on a copy, and show its equations and numbers.

        Parameters
        ----------
        X, y : arrays
            As in `fit`; all rows are one batch. A fitted estimator is explained as it stands,
            another one at its initial weights.
        orientation : {"rows", "columns"}, default="rows"
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
        dZ1 = dA1 * (Z1 > 0)    (150,5) * (150,5) -> (150,5)
        dW1 = X.T @ dZ1 + alpha / n * W1    (4,150) (150,5) + (4,5) -> (4,5)
        db1 = np.sum(dZ1, axis=0, keepdims=True)    (150,5) -> (1,5)
        """
        from .explaining import explained

        return explained(self, X, y, orientation)

    @on_its_card
    def plan(
        self, X: Rows, y: Rows | None = None, *, orientation: types.Orientation = "rows"
    ) -> "TrainingPlan":
        """Return the shapes, FLOPs and bytes that `fit` will take, without training.

        Parameters
        ----------
        X : array or table
            As in `fit`; only its shape, dtype and device count. With device="auto" host arrays are
            planned on the host.
        y : array, optional
            As in `fit`; its labels are counted. A fitted estimator needs none.
        orientation : {"rows", "columns"}, default="rows"
            How samples stand in the shapes of outputs; in X they stand in rows.

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
        from .explaining import planned

        return planned(self, X, y, orientation)

    @on_its_card
    def find_learning_rate(
        self,
        X: Rows,
        y: Rows,
        sample_weight: Weights = None,
        *,
        low: float = 1e-6,
        high: float = 10.0,
        n_steps: int = 100,
    ) -> LearningRates:
        """Test a range of learning rates: train a copy from new weights while the rate rises.

        With device="auto" host arrays stay on the CPU for so few steps.

        Parameters
        ----------
        X, y, sample_weight : arrays
            As in `fit`.
        low, high : float, default=1e-6 and 10.0
            The first and the last learning rate.
        n_steps : int, default=100
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
        from .explaining import tested_rates

        return tested_rates(self, X, y, sample_weight, low=low, high=high, n_steps=n_steps)


def fit_one_epoch(estimator, X, y, sample_weight, classes=None):
    """Train for one epoch, as `partial_fit`; classes: (classes,) as a classifier's got them."""
    if estimator.checkpoint is not None:
        raise ValueError(
            "partial_fit writes no checkpoints: leave checkpoint away, and keep what it has made "
            "with save(path, training=True)."
        )
    how = {"goes_on": hasattr(estimator, "model_"), "one_epoch": True, "classes": classes}
    return _guarded(estimator, X, y, sample_weight, (None, None, None), **how)


@on_its_card
def _guarded(
    estimator,
    X,
    y,
    sample_weight,
    validation,
    *,
    goes_on,
    one_epoch=False,
    classes=None,
    resume=False,
):
    """Fit; after an error restore the estimator as it was before.

    goes_on: whether with the fitted model; resume: whether with the newest checkpoint.
    """
    before, start = dict(vars(estimator)), perf_counter()
    try:
        check_arguments(estimator, estimator._parameter_constraints)
        kept = checkpoint_of(estimator.checkpoint, resume), resume
        with counting() as counts:
            report = partial(fit_report, counts=counts, start=start)
            args = X, y, sample_weight, validation, goes_on, one_epoch, classes, report, kept
            auto = estimator.device == "auto" and not goes_on
            error = fit_or_stay(partial(estimator._fit, *args), auto)
        if estimator.verbose:
            for text in counts.notes:
                print(f"Note: {text}")
    except BaseException:
        now = vars(estimator)
        now.update(before)  # first: another thread may look at the arguments
        for name in now.keys() - before.keys():
            del now[name]
        raise
    if error:
        raise error
    return estimator
