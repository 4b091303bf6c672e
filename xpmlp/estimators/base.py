"""What the classifier and the regressor share: arguments, fit, state across calls, predict."""

import warnings
from dataclasses import replace
from numbers import Integral, Real
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
from scipy.sparse import issparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.utils._param_validation import Interval, Options, StrOptions

from ..arrays import all_finite, as_float, float_dtype, namespace
from ..engines import ACCELERATIONS, MATMUL_PRECISIONS, Carry
from ..errors import DivergenceError
from ..nn import BatchNorm, Dropout, Layer
from ..nn.activations import ActivationFunction
from ..nn.losses import LINKS, levels_of, match_loss
from ..nn.normalization import NORMALIZATIONS
from ..optim import RULES, SCHEDULES, SGD, Rule, Schedule, make_rule, make_schedule
from ..placing import place
from ..training import Recipe, SparseRows, fit_network, fit_report, like_of
from ..transfers import counting
from .building import Builds, has_layer
from .callbacks import Observed, with_callbacks
from .explaining import Explains
from .exporting import Exports
from .inputs import (
    check_inputs,
    check_weights,
    on_its_card,
    seed_of,
    sparse_rows,
)
from .moving import Moves, place_of
from .predictor import Predicts
from .tables import Encodes
from .transforming import Transforms
from .validation import Rows, Validates
from .weights import collect, nested, refresh


class BaseMLP(
    Builds, Encodes, Explains, Exports, Moves, Observed, Predicts, Transforms, Validates,
    BaseEstimator,
):  # fmt: skip
    """The estimators' common part; `MLPClassifier` and `MLPRegressor` are what to use."""

    coefs_: list
    out_activation_: str
    quantiles_: tuple[float, ...] | None
    _dtype: str

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), Layer],
        "activation": [str, ActivationFunction, "array-like"],
        "solver": [StrOptions({*RULES, "lbfgs"}), Rule],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions(set(SCHEDULES)), Schedule, callable],
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
        "normalization": [StrOptions(set(NORMALIZATIONS)), None],
        "residual": ["boolean"],
        "max_norm": [Interval(Real, 0, None, closed="neither"), None],
        "max_grad_norm": [Interval(Real, 0, None, closed="neither"), None],
        "ema_decay": [Interval(Real, 0, 1, closed="neither"), None],
        "scoring": [str, callable, None],
        "categorical_features": ["array-like", StrOptions({"auto", "from_dtype"}), None],
        "feature_scale": [StrOptions({"auto", "robust"}), None],
        "n_bins": [Interval(Integral, 2, None, closed="left"), None],
        "device": [str],
        "dtype": "no_validation",
        "matmul_precision": [StrOptions(set(MATMUL_PRECISIONS))],
        "accelerate": [StrOptions(set(ACCELERATIONS))],
        "deterministic": ["boolean"],
        "callbacks": [list, tuple, callable, None],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        encodes = bool(self._asks_for_table)
        tags.array_api_support = tags.input_tags.sparse = not encodes
        tags.input_tags.allow_nan = tags.input_tags.string = encodes
        return tags

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None, sample_weight_val=None):
        """Fit the network to X and y.

        Parameters
        ----------
        X : array, DataFrame, list or SciPy sparse matrix of shape (n_samples, n_features)
            Training runs in its library and on its device (see `device`). Of a sparse matrix only
            a few batches at a time are made dense, with the same result.
        y : array or list of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, a 0/1 column a label, or numbers.
        sample_weight : array of shape (n_samples,), optional
        X_val, y_val, sample_weight_val : like X, y and sample_weight, optional
            Looked at after each epoch: `history_` gets their loss and score, and early_stopping
            uses them instead of splitting a part off X.

        Returns
        -------
        self

        Raises
        ------
        DivergenceError
            When the loss or a weight is not finite after an epoch; it says where that began. The
            estimator then holds the weights after the epoch before; if that was the first, it is,
            as after any other error, what it was before the call.
        """
        resume = self.warm_start and hasattr(self, "coefs_")
        validation = X_val, y_val, sample_weight_val
        classes = "same" if resume else None
        return self._guarded(X, y, sample_weight, validation, resume=resume, classes=classes)

    @on_its_card
    def _guarded(self, X, y, sample_weight, validation, *, resume, one_epoch=False, classes=None):
        """Fit, and leave the estimator as it was if that fails."""
        before, start = dict(vars(self)), perf_counter()
        try:
            self._validate_params()
            if isinstance(self.scoring, str) and self.scoring != "loss":
                get_scorer(self.scoring)  # which says what names there are
            with counting() as counts:
                error = self._fit(X, y, sample_weight, validation, resume, one_epoch, classes)
            self.fit_report_ = fit_report(
                self.coefs_[0], self._options(), self._reason(X), counts, start, self.seed_
            )
            for text in counts.notes if self.verbose else ():
                print(f"Note: {text}")
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        if error:
            raise error
        return self

    @with_callbacks
    def _fit(self, X, y, sample_weight, validation, resume, one_epoch, classes):
        """Fit. Returns the error of a training that diverged after an epoch that ended well."""
        if one_epoch and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        weighed = getattr(self, "class_weight", None)
        if one_epoch and "balanced" in (weighed if isinstance(weighed, list) else [weighed]):
            raise ValueError(
                "partial_fit sees a part of the rows, which class_weight='balanced' cannot be "
                "computed from: pass the weights as a dict."
            )
        n_epochs = 1 if one_epoch else self.max_iter
        rows, loss, params = self._prepared(X, y, sample_weight, resume, classes, n_epochs)
        if self.verbose and self._placed != "cpu" and not (one_epoch and resume):
            print(f"Training on {self.device_}: {self._reason(X)}")
        state = self._resumed(one_epoch, rows.targets) if resume else None
        rows, held_out = self._split(rows, validation)
        rule = None if self.solver == "lbfgs" else self._rule()
        if rule is None:
            self._check_objective()
        recipe = self._recipe(rows.x.shape[0], rule, one_epoch)
        if recipe.batch_size == 1 and has_layer(self.network_, BatchNorm):
            raise ValueError(
                "batch normalization needs batches of two rows or more, each row alone is its own "
                "mean: raise batch_size, or take normalization='layer'."
            )
        with self._observed(
            X, y, sample_weight, state, recipe.max_iter, tasks=not one_epoch
        ) as on_epoch:
            params, state, reason = fit_network(
                self.network_, loss, rule, recipe, (rows.x, rows.targets), params, state=state,
                sample_weight=rows.weights, validation=held_out, on_epoch=on_epoch,
            )  # fmt: skip
            error = reason if isinstance(reason, DivergenceError) else None
            if error and not state.n_iter:
                raise error
            collect(self, params)
            self._set_fitted(replace(state, batch_losses=None))
        self._tell(state, reason, one_epoch, recipe)
        if error:
            error.n_finite = state.n_iter
            error.args = (f"{error} The estimator holds the weights after epoch {state.n_iter}.",)
        return error

    def _check_objective(self):
        """Refuse what L-BFGS cannot do."""
        if has_layer(self.network_, (Dropout, BatchNorm)):
            raise ValueError(
                "solver='lbfgs' needs a fixed objective: leave dropout and batch normalization "
                "out, or take 'adam'."
            )
        steps = ("weight_decay", "max_norm", "max_grad_norm", "ema_decay")
        given = [name for name in steps if getattr(self, name)]
        if given:
            raise ValueError(
                f"solver='lbfgs' makes no steps that {' and '.join(given)} could act on: leave "
                "that out, or take 'adam'."
            )

    def _prepared(self, X, y, sample_weight=None, resume=False, classes=None, n_epochs=0):
        """Return the rows, the loss and the parameters, all as the step takes them.

        n_epochs: that they are for; 0 for none, which no host array leaves the host for.
        """
        if not resume:
            self.scaling_ = None
            self.seed_ = seed_of(self.random_state)
        x = self._inputs(X, reset=not resume)
        given = check_weights(sample_weight, x.shape[0])
        labels = self._checked_targets(y, x.shape[0], reset=not resume, classes=classes)
        loss, out_activation = match_loss(self._loss(), self._task, self.out_activation)
        learnt = out_activation, levels_of(loss)
        if resume and learnt != (self.out_activation_, self.quantiles_):
            raise ValueError(
                "loss, quantiles or out_activation are others than those that the model was fitted "
                "with, so its outputs would mean something else: call fit without warm_start."
            )
        self.out_activation_, self.quantiles_ = learnt
        if not resume:
            self._measure(labels, given)
            x = self._where_it_pays(x, loss, n_epochs)
        targets = self._encoded(labels, like_of(x))
        self._weigh_classes(labels, given)
        loss, weights = self._class_weighted(loss, labels, given)
        rows = Rows(x, targets, labels, weights, given)
        if not resume:
            return rows, loss, self._initial(targets, targets.shape[1], loss)
        params = nested(self, targets)
        if self._network(targets.shape[1], loss) != self.network_:
            raise ValueError(
                f"the arguments of {type(self).__name__} describe another network than the "
                "fitted one: call fit without warm_start."
            )
        return rows, loss, params

    def _loss(self):
        return self.loss

    def _n_levels(self):
        """Return how many outputs a target has: one for each quantile that is learnt."""
        return len(self.quantiles_ or (0.5,))

    def _measure(self, labels, weights):
        """Take statistics of the targets that the model keeps."""

    def _weigh_classes(self, labels, weights):
        """Compute the weights of the classes, if they have any."""

    def _class_weighted(self, loss, labels, weights):
        """Return the loss and the rows' weights with those of the classes in them."""
        return loss, weights

    def _inputs(self, X, *, reset=False, method="fit"):
        """Return X checked, in the compute dtype, at home, standardised if the model is."""
        return self._computed(self._checked(X, reset=reset, method=method))

    def _checked(self, X, *, reset=False, method="fit"):
        """Return X as an array or SparseRows of the right shape, at home."""
        x, dtype = self._encoded_rows(X, reset=reset)
        if x is None:
            x, dtype = check_inputs(self, X, reset=reset)
        with np.errstate(over="ignore"):  # the check for finite numbers says it
            if issparse(x):
                x = sparse_rows(self, x, dtype if reset else self._dtype, reset=reset)
            elif not reset:
                return self._at_home(x, method, X)
            else:
                x = place(x, self.device, None if self._standardises else dtype)
        if reset:
            self._dtype = dtype
            self.__dict__.update(place_of(like_of(x), self.device))
        return x

    @property
    def _standardises(self):
        """Whether the model standardises its inputs."""
        return self.scaling_ is not None and self.scaling_.x_mean is not None

    def _computed(self, x):
        """Return x standardised if the model is, in the compute dtype, and finite."""
        sparse = isinstance(x, SparseRows)
        if self.scaling_ is not None and self._standardises:
            # In X's own floats: float32 would lose a column of 1.7e9 + t.
            x = self.scaling_.inputs(as_float(x, float_dtype(x)))
        with np.errstate(over="ignore"):
            x = x if sparse else as_float(x, self._dtype)
        if not all_finite(x.csr.data if sparse else x):
            raise ValueError(
                f"Input X contains NaN, infinity or a value too large for dtype('{self._dtype}')."
            )
        return x

    def _resumed(self, one_epoch, x):
        """Return a copy of the state of the call before; warm_start makes the rule's state anew."""
        old = self._state
        history = {name: list(values) for name, values in old.history.items()}
        rule = old.rule if one_epoch else None  # without a rule its state is made anew
        own = {} if one_epoch else {"stale": 0, "best_loss": np.inf, "best_score": -np.inf}
        carry = refresh(old.carry, x) if one_epoch else Carry({}, {}, {})
        return replace(old, carry=carry, rule=rule, history=history, **own)

    def _rule(self):
        return make_rule(
            self.solver, momentum=self.momentum, nesterov=self.nesterovs_momentum,
            beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon,
        )  # fmt: skip

    def _rows_a_step(self, n):
        """Return how many of n rows a step of an update rule takes."""
        return min(200 if self.batch_size == "auto" else int(self.batch_size), n)

    def _recipe(self, n, rule, one_epoch):
        """Return the arguments as the training loop takes them."""
        if self.batch_size != "auto" and self.batch_size > n:
            warnings.warn(
                f"Got `batch_size` less than 1 or larger than sample size ({n}). "
                "It is going to be clipped."
            )
        decay = rule.weight_decay if rule and self.weight_decay is None else self.weight_decay
        schedule = self.learning_rate
        if not isinstance(rule, SGD) and schedule in ("invscaling", "adaptive"):
            schedule = "constant"  # as scikit-learn has it
        return Recipe(
            make_schedule(schedule, self.power_t), float(self.learning_rate_init),
            self._rows_a_step(n), 1 if one_epoch else self.max_iter, self.shuffle, self.seed_,
            float(self.alpha), float(decay or 0.0), self.tol, self.n_iter_no_change,
            self.early_stopping and rule is not None, self.max_fun, int(self.verbose),
            self._options(), self.max_iter, self.max_grad_norm, self.max_norm,
            self.ema_decay,
        )  # fmt: skip

    def _set_fitted(self, state):
        """Set the fitted attributes that follow from the state of a training."""
        self._state = state
        self.history_ = state.history
        self.loss_curve_ = state.history["loss"]
        self.n_iter_, self.n_iter_total_, self.t_ = state.n_iter, state.epoch, state.n_seen
        early = self.early_stopping and self.solver != "lbfgs"
        self.loss_ = state.best_loss if self.solver == "lbfgs" else self.loss_curve_[-1]
        self.best_loss_ = None if early else state.best_loss
        self.validation_scores_ = state.history["validation_score"] if early else None
        self.best_validation_score_ = state.best_score if early else None
        self.n_layers_ = len(self.coefs_) + 1

    def _tell(self, state, reason, one_epoch, recipe):
        """Say, and warn of, what the user should know."""
        if self.verbose and self._dtype == "float64" and self.dtype is None:
            print(
                "Computed in float64, as X is: dtype='float32' takes half the memory and less time."
            )
        if reason == "interrupted":
            warnings.warn("Training interrupted by user.")
        elif reason == "diverged":
            warnings.warn(
                f"Training diverged in epoch {state.n_iter + 1}; the weights of the best epoch are "
                "restored: lower learning_rate_init or standardise X.",
                ConvergenceWarning,
            )
        elif self.early_stopping and self.solver != "lbfgs" and state.best_score == -np.inf:
            warnings.warn(
                "scoring gave no number for the validation rows in any epoch, so the last weights "
                "are kept: pass more rows, or another scoring."
            )
        elif one_epoch and recipe.schedule.has_end and state.cycle > recipe.n_epochs:
            warnings.warn(
                f"The schedule of learning_rate ended after max_iter={self.max_iter} epochs, and "
                "its rate stays where it ended: pass a larger max_iter."
            )
        elif reason == "max_iter" and not one_epoch:
            name = "lbfgs failed to converge" if self.solver == "lbfgs" else "Stochastic Optimizer"
            warnings.warn(
                f"{name}: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
            )

    def _link(self, outputs):
        return LINKS[self.out_activation_](outputs, namespace(outputs))

    def __copy__(self):
        """Return a shallow copy; by way of `__getstate__` a device's arrays would pass the host."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(vars(self))
        return twin
