"""What the classifier and the regressor share: arguments, fit, state across calls, predict."""

import warnings
from dataclasses import replace
from functools import partial
from numbers import Integral, Real
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import get_scorer
from sklearn.utils._param_validation import Interval, Options, StrOptions

from ..arrays import HOST, from_host, location_of
from ..engines import ACCELERATIONS, MATMUL_PRECISIONS, Carry
from ..errors import DivergenceError
from ..model import Model
from ..nn import BatchNorm, Dropout, Layer
from ..nn.activations import ActivationFunction
from ..nn.layout import map_params
from ..nn.losses import match_loss
from ..nn.normalization import NORMALIZATIONS
from ..optim import SCHEDULES, SGD, Constant, Rule, Schedule, make_rule, make_schedule
from ..optim.rules import RULE_ARGUMENTS, SOLVERS
from ..placing import fit_or_stay, why_there
from ..randomness import stream
from ..training import TrainOptions, fit_network, fit_report, like_of, where_it_pays
from ..transfers import counting
from .building import has_layer, is_pair, network_of
from .callbacks import CallbackSupportMixin, observed, with_callbacks
from .explaining import Explains
from .fitted import Fitted
from .inputs import (
    STANDARDISED,
    check_weights,
    checked_rows,
    measured_scaling,
    on_its_card,
    seed_of,
)
from .states import copy_arrays_to
from .tables import asks_for_table
from .validation import rows_of, split_rows


class BaseMLP(Explains, Fitted, CallbackSupportMixin, BaseEstimator):
    """The estimators' common part; `MLPClassifier` and `MLPRegressor` are what to use."""

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), Layer],
        "activation": [str, ActivationFunction, "array-like"],
        "solver": [StrOptions({*SOLVERS}), Rule],
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
        "feature_scale": [StrOptions({"auto", "robust", *STANDARDISED}), None],
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
        encodes = asks_for_table(self)
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
        resume = self.warm_start and self._model is not None
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
            args = X, y, sample_weight, validation, resume, one_epoch, classes
            with counting() as counts:
                auto = self.device == "auto" and not resume
                error = fit_or_stay(partial(self._fit, *args), auto)
            at, why = self.model_.coefs[0], self._reason(X, self.model_.inputs)
            self.fit_report_ = fit_report(at, self._options(), why, counts, start, self.seed_)
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
    def _fit(self, X, y, sample_weight, validation, resume, one_epoch, classes, stays):
        """Fit. Returns the error of a training that diverged after an epoch that ended well.

        stays: why host arrays stay on the host, where they do not pay on a card in any case.
        """
        if one_epoch and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        weighed = getattr(self, "class_weight", None)
        if one_epoch and "balanced" in (weighed if isinstance(weighed, list) else [weighed]):
            raise ValueError(
                "partial_fit sees a part of the rows, which class_weight='balanced' cannot be "
                "computed from: pass the weights as a dict."
            )
        n_epochs = 0 if stays else 1 if one_epoch else self.max_iter
        if not resume:
            self._why = stays
        known = self._model if resume else None
        rows, loss, params, model = self._prepared(X, y, sample_weight, known, classes, n_epochs)
        if self.verbose and model.inputs.requested != "cpu" and not (one_epoch and resume):
            print(f"Training on {model.location.device}: {self._reason(X, model.inputs)}")
        state = self._resumed(one_epoch, rows.targets) if resume else None
        rows, held_out = split_rows(self, rows, model, validation)
        rule = self._rule()
        if rule is None:
            self._check_objective(model.network)
        n = rows.x.shape[0]
        if self.batch_size != "auto" and self.batch_size > n:
            warnings.warn(
                f"Got `batch_size` less than 1 or larger than sample size ({n}). "
                "It is going to be clipped."
            )
        recipe = self._recipe(n, rule, one_epoch)
        if recipe.batch_size == 1 and has_layer(model.network, BatchNorm):
            raise ValueError(
                "batch normalization needs batches of two rows or more, each row alone is its own "
                "mean: raise batch_size, or take normalization='layer'."
            )
        with observed(
            self, (X, y, sample_weight), state, model, recipe.max_iter, tasks=not one_epoch
        ) as on_epoch:
            params, state, reason = fit_network(
                model.network, loss, rule, recipe, (rows.x, rows.targets), params, state=state,
                sample_weight=rows.weights, validation=held_out, on_epoch=on_epoch,
            )  # fmt: skip
            error = reason if isinstance(reason, DivergenceError) else None
            if error and not state.n_iter:
                raise error
            self._set_fitted(model.with_params(params), replace(state, batch_losses=None))
        self._tell(state, reason, one_epoch, recipe)
        if error:
            error.n_finite = state.n_iter
            error.args = (f"{error} The estimator holds the weights after epoch {state.n_iter}.",)
        return error

    def _check_objective(self, network):
        """Refuse what L-BFGS cannot do."""
        if has_layer(network, (Dropout, BatchNorm)):
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

    def _prepared(self, X, y, sample_weight=None, known=None, classes=None, n_epochs=0):
        """Return the rows, the loss, the parameters to start from, and the model that has them.

        known: the `Model` that the fit goes on with, or None; n_epochs: that the rows are for; 0
        for none, which no host array leaves the host for.
        """
        if known is None:
            self.seed_ = seed_of(self.random_state)
        x, inputs = checked_rows(self, X, known and known.inputs)
        if known is None and self.feature_scale in STANDARDISED:
            inputs = replace(inputs, scaling=measured_scaling(self.feature_scale, x, inputs))
        x = inputs.computed(x)
        given = check_weights(sample_weight, x.shape[0])
        old = known and known.targets
        labels, targets = self._checked_targets(y, x.shape[0], old, classes)
        loss, link = match_loss(self._loss(), targets.task, self.out_activation)
        last = link if loss.link == "identity" else "identity"
        targets = self._completed(targets, labels, given, loss, link, inputs, old)
        loss = targets.weighted(loss)
        if known is None:
            network = network_of(self, inputs, targets.n_outputs, last)
            x, inputs = self._where_it_pays(x, inputs, network, loss, n_epochs)
        else:
            network = self._same_network(known, targets, last)
        rows = rows_of(x, labels, given, inputs, targets)
        if rows.weights is not None and not rows.weights.any():
            raise ValueError("class_weight and sample_weight leave no row a weight above 0.")
        if known is not None:
            params = known.params(rows.targets)
            return rows, loss, params, replace(known, targets=targets)
        host, _ = network.init(inputs.width, stream(self.seed_, "init"))
        params = map_params(lambda a: from_host(a, rows.targets, inputs.dtype), host)
        model = Model.of(network, inputs, targets, params)
        if is_pair(self.init):
            coefs, intercepts = map(list, self.init)
            model = replace(model, coefs=coefs, intercepts=intercepts)
            params = model.params(rows.targets)
        return rows, loss, params, model

    def _same_network(self, known, targets, last):
        """Return the network of the fitted model, if the arguments still describe it."""
        own, old = known.network.layers[-1].activation, known.targets
        if (targets.link, targets.quantiles, last) != (old.link, old.quantiles, own):
            raise ValueError(
                "loss, quantiles or out_activation are others than those that the model was fitted "
                "with, so its outputs would mean something else: call fit without warm_start."
            )
        if network_of(self, known.inputs, targets.n_outputs, last) != known.network:
            raise ValueError(
                f"the arguments of {type(self).__name__} describe another network than the "
                "fitted one: call fit without warm_start."
            )
        return known.network

    def _where_it_pays(self, x, inputs, network, loss, n_epochs):
        """Return rows x where ``device="auto"`` trains: host arrays on a card, if that pays.

        The model goes with them, as if the card had been asked for.
        """
        if self.device != "auto" or inputs.location != HOST or not n_epochs:
            return x, inputs
        rule = self._rule()
        recipe = self._recipe(x.shape[0], rule, n_epochs == 1)
        x, self._why = where_it_pays(x, network, lambda n_outputs: loss, rule, recipe)
        at = location_of(like_of(x))
        requested = inputs.requested if at == HOST else at.device
        return x, replace(inputs, location=at, requested=requested)

    def _reason(self, X, inputs):
        """Say in a sentence why a model that was trained on X lives where it does."""
        return self._why or why_there(X, inputs.requested)

    def _loss(self):
        return self.loss

    def _resumed(self, one_epoch, x):
        """Return a copy of the state of the call before; warm_start makes the rule's state anew."""
        old = self._state
        history = {name: list(values) for name, values in old.history.items()}
        rule = old.rule if one_epoch else None  # without a rule its state is made anew
        own = {} if one_epoch else {"stale": 0, "best_loss": np.inf, "best_score": -np.inf}
        carry = copy_arrays_to(old.carry, x) if one_epoch else Carry({}, {}, {})
        return replace(old, carry=carry, rule=rule, history=history, **own)

    def _rule(self):
        """Return the update rule, None for L-BFGS."""
        return make_rule(self.solver, **{name: getattr(self, name) for name in RULE_ARGUMENTS})

    def _rows_a_step(self, n):
        """Return how many of n rows a step of an update rule takes."""
        return min(200 if self.batch_size == "auto" else int(self.batch_size), n)

    def _recipe(self, n, rule, one_epoch):
        """Return the arguments as the training loop takes them."""
        decay = rule.weight_decay if rule and self.weight_decay is None else self.weight_decay
        schedule = make_schedule(self.learning_rate, power_t=self.power_t)
        if schedule.only_sgd and isinstance(self.learning_rate, str) and not isinstance(rule, SGD):
            schedule = Constant()
        return TrainOptions(
            schedule, float(self.learning_rate_init),
            self._rows_a_step(n), 1 if one_epoch else self.max_iter, self.shuffle, self.seed_,
            float(self.alpha), float(decay or 0.0), self.tol, self.n_iter_no_change,
            self.early_stopping and rule is not None, self.max_fun, int(self.verbose),
            self._options(), self.max_iter, self.max_grad_norm, self.max_norm,
            self.ema_decay,
        )  # fmt: skip

    def _set_fitted(self, model, state):
        """Set the model, and the fitted attributes that follow from the state of a training."""
        self._model, self._state = model, state
        self.history_ = state.history
        self.loss_curve_ = state.history["loss"]
        self.n_iter_, self.n_iter_total_, self.t_ = state.n_iter, state.epoch, state.n_seen
        early = self.early_stopping and self.solver != "lbfgs"
        self.loss_ = state.best_loss if self.solver == "lbfgs" else self.loss_curve_[-1]
        self.best_loss_ = None if early else state.best_loss
        self.validation_scores_ = state.history["validation_score"] if early else None
        self.best_validation_score_ = state.best_score if early else None

    def _tell(self, state, reason, one_epoch, recipe):
        """Say, and warn of, what the user should know."""
        if self.verbose and self.model_.inputs.dtype == "float64" and self.dtype is None:
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
