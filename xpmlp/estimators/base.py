"""What the classifier and the regressor share: arguments, fit, state across calls, predict."""

import warnings
from copy import copy
from dataclasses import replace
from numbers import Integral, Real
from time import perf_counter
from typing import Any, ClassVar, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, Options, StrOptions

from ..arrays import (
    HOST,
    Array,
    all_finite,
    array_at,
    as_float,
    float_dtype,
    from_host,
    home,
    namespace,
    why_there,
)  # fmt: skip
from ..engines import ACCELERATIONS, MATMUL_PRECISIONS, Carry
from ..errors import DeviceError
from ..nn import Dense, Dropout, Layer, Layout, Loss, Network
from ..nn.activations import ActivationFunction, get_activation
from ..nn.initializers import get_initializer
from ..nn.layout import map_params
from ..nn.losses import LINKS, match_loss
from ..optim import RULES, SGD, Rule, make_rule, make_schedule
from ..placing import place
from ..randomness import stream
from ..training import Recipe, fit_network, fit_report
from ..transfers import counting
from .explaining import Explains
from .inputs import check_inputs, check_weights, on_its_card, seed_of
from .model_file import save_model
from .moving import Moves
from .predictor import Predicts
from .validation import Validates
from .weights import ON_DEVICE, collect, nested, refresh


class Problem(NamedTuple):
    """What a training step works on: a network and its parameters, a loss, and data."""

    network: Network
    loss: Loss
    params: dict  # nested dicts of arrays
    x: Array  # (n_samples, n_features), in the compute dtype, at home
    targets: Array  # (n_samples, n_outputs)
    alpha: float  # the L2 penalty


class BaseMLP(Explains, Moves, Predicts, Validates, BaseEstimator):
    """The estimators' common part; `MLPClassifier` and `MLPRegressor` are what to use."""

    coefs_: list
    _dtype: str

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left"), Layer],
        "activation": [str, ActivationFunction],
        "solver": [StrOptions({*RULES, "lbfgs"}), Rule],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive"})],
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
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "device": [str],
        "dtype": "no_validation",
        "matmul_precision": [StrOptions(set(MATMUL_PRECISIONS))],
        "accelerate": [StrOptions(set(ACCELERATIONS))],
        "deterministic": ["boolean"],
    }

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.array_api_support = True
        return tags

    def fit(self, X, y, sample_weight=None, *, X_val=None, y_val=None):
        """Fit the network to X and y.

        Parameters
        ----------
        X : array, DataFrame or list of shape (n_samples, n_features)
            Training runs in its library and on its device (see `device`).
        y : array or list of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, a 0/1 column a label, or numbers.
        sample_weight : array of shape (n_samples,), optional
        X_val, y_val : like X and y, optional
            Looked at after each epoch: `history_` gets their loss and score, and early_stopping
            uses them instead of splitting a part off X.

        Returns
        -------
        self

        Raises
        ------
        DivergenceError
            When the loss or a weight is not finite after an epoch. The estimator is then, as after
            any error, what it was before the call.
        """
        resume = self.warm_start and hasattr(self, "coefs_")
        return self._guarded(X, y, sample_weight, (X_val, y_val), resume=resume)

    @on_its_card
    def _guarded(self, X, y, sample_weight, validation, *, resume, one_epoch=False, classes=None):
        """Fit, and leave the estimator as it was if that fails."""
        before, start = dict(vars(self)), perf_counter()
        try:
            self._validate_params()
            with counting() as counts:
                self._fit(X, y, sample_weight, validation, resume, one_epoch, classes)
            why = why_there(X, self._placed)
            self.fit_report_ = fit_report(self.coefs_[0], self._options(), why, counts, start)
            for text in counts.notes if self.verbose else ():
                print(f"Note: {text}")
        except BaseException:
            self.__dict__.clear()
            self.__dict__.update(before)
            raise
        return self

    def _fit(self, X, y, sample_weight, validation, resume, one_epoch, classes):
        if one_epoch and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        x, targets, weights, loss, params = self._prepared(X, y, sample_weight, resume, classes)
        if self.verbose and self._placed != "cpu" and not (one_epoch and resume):
            print(f"Training on {self.device_}: {why_there(X, self._placed)}")
        state = self._resumed(one_epoch, x) if resume else None
        data, weights, held_out = self._split(x, targets, weights, validation)
        rule = None if self.solver == "lbfgs" else self._rule()
        if rule is None and _drops(self.network_):
            raise ValueError(
                "solver='lbfgs' needs a fixed objective: leave dropout out, or take 'adam'."
            )
        recipe = self._recipe(data[0].shape[0], rule, one_epoch)
        params, state, reason = fit_network(
            self.network_, loss, rule, recipe, data, params, state=state, sample_weight=weights,
            validation=held_out,
        )  # fmt: skip
        collect(self, params)
        self._report(state, reason, one_epoch)

    def _prepared(self, X, y, sample_weight=None, resume=False, classes=None):
        """Return x, targets, weights, the loss and the parameters, all as the step takes them."""
        if not resume:
            self.scaling_ = None
            self.seed_ = seed_of(self.random_state)
        x = self._inputs(X, reset=not resume)
        targets = self._targets(y, x, reset=not resume, classes=classes)
        weights = check_weights(sample_weight, x.shape[0])
        loss, self.out_activation_ = match_loss(self.loss, self._task, self.out_activation)
        if not resume:
            return x, targets, weights, loss, self._initial(x, targets.shape[1], loss)
        params = nested(self, x)
        if self._network(targets.shape[1], loss) != self.network_:
            raise ValueError(
                f"the arguments of {type(self).__name__} describe another network than the "
                "fitted one: call fit without warm_start."
            )
        return x, targets, weights, loss, params

    def _problem(self, X, y):
        """Return what a fit to X and y would start from, without touching the estimator.

        A fitted estimator stands where it is, another one at its initial weights.
        """
        twin = copy(self)
        twin._validate_params()
        fitted = hasattr(self, "coefs_")
        x, targets, _, loss, params = twin._prepared(X, y, resume=fitted)
        return Problem(twin.network_, loss, params, x, targets, float(self.alpha))

    def _inputs(self, X, *, reset=False, method="fit"):
        """Return X checked, in the compute dtype, at home, standardised if the model is."""
        return self._computed(self._checked(X, reset=reset, method=method))

    def _checked(self, X, *, reset=False, method="fit"):
        """Return X as an array of the right shape, at home."""
        x, dtype = check_inputs(self, X, reset=reset)
        with np.errstate(over="ignore"):  # the check for finite numbers says it
            if not reset:
                return self._at_home(x, method, X)
            x = place(x, self.device, dtype if self.scaling_ is None else None)
        self._dtype, self._home, self.device_ = dtype, home(x), home(x).device
        self._placed = self.device
        return x

    def _computed(self, x):
        """Return x standardised if the model is, in the compute dtype, and finite."""
        if self.scaling_ is not None:  # in X's own floats: float32 would lose a column of 1.7e9 + t
            x = self.scaling_.inputs(as_float(x, float_dtype(x)))
        with np.errstate(over="ignore"):
            x = as_float(x, self._dtype)
        if not all_finite(x):
            raise ValueError(
                f"Input X contains NaN, infinity or a value too large for dtype('{self._dtype}')."
            )
        return x

    def _network(self, n_outputs, loss):
        """Return the network that the arguments describe."""
        given = self.hidden_layer_sizes
        given = list(given) if hasattr(given, "__iter__") else [given]
        auto = self.init == "auto" or _is_pair(self.init)
        rule = get_activation(self.activation).init if auto else self.init
        get_initializer(rule)
        layers: list[Layer] = []
        for size in given:
            if isinstance(size, Layer):
                layers.append(size)
                continue
            if not isinstance(size, Integral) or size <= 0:
                raise ValueError(
                    f"hidden_layer_sizes must be > 0, whole numbers or layers, got {given}."
                )
            layers.append(Dense(int(size), self.activation, initializer=rule))
            layers += [Dropout(float(self.dropout))] if self.dropout else []
        last = self.out_activation_ if loss.name == "squared_error" else "identity"
        return Network((*layers, Dense(n_outputs, last, initializer=rule)))

    def _initial(self, x, n_outputs, loss):
        """Make the network and draw its parameters. Returns them as nested dicts beside x."""
        self.network_ = self._network(n_outputs, loss)
        host, _ = self.network_.init(x.shape[1], stream(self.seed_, "init"))
        params = map_params(lambda a: from_host(a, x, self._dtype), host)
        self._layout = Layout.of(self.network_, params, contiguous=False)
        collect(self, params)
        if _is_pair(self.init):
            self.coefs_, self.intercepts_ = map(list, self.init)
            params = nested(self, x)
        return params

    def _resumed(self, one_epoch, x):
        """Return a copy of the state of the call before; warm_start makes the rule's state anew."""
        old = self._state
        history = {name: list(values) for name, values in old.history.items()}
        rule = old.rule if one_epoch else None  # without a rule its state is made anew
        kept = refresh(old.carry.state, x) if one_epoch else {}
        return replace(old, carry=Carry({}, {}, kept), rule=rule, history=history)

    def _rule(self):
        return make_rule(
            self.solver, momentum=self.momentum, nesterov=self.nesterovs_momentum,
            beta_1=self.beta_1, beta_2=self.beta_2, epsilon=self.epsilon,
        )  # fmt: skip

    def _recipe(self, n, rule, one_epoch):
        """Return the arguments as the training loop takes them."""
        batch_size = 200 if self.batch_size == "auto" else self.batch_size
        if self.batch_size != "auto" and batch_size > n:
            warnings.warn(
                f"Got `batch_size` less than 1 or larger than sample size ({n}). "
                "It is going to be clipped."
            )
        decay = rule.weight_decay if rule and self.weight_decay is None else self.weight_decay
        # scikit-learn's schedules belong to plain gradient descent.
        schedule = self.learning_rate if isinstance(rule, SGD) else "constant"
        return Recipe(
            make_schedule(schedule, self.power_t), float(self.learning_rate_init),
            min(int(batch_size), n), 1 if one_epoch else self.max_iter, self.shuffle, self.seed_,
            float(self.alpha), float(decay or 0.0), self.tol, self.n_iter_no_change,
            self.early_stopping and rule is not None, self.max_fun, int(self.verbose),
            self._options(),
        )  # fmt: skip

    def _report(self, state, reason, one_epoch):
        """Set the fitted attributes, and warn of what the user should know."""
        self._state = replace(state, carry=Carry({}, {}, state.carry.state))
        self.history_ = state.history
        self.loss_curve_ = state.history["loss"]
        self.n_iter_, self.t_ = state.n_iter, state.n_seen
        early = self.early_stopping and self.solver != "lbfgs"
        self.loss_ = state.best_loss if self.solver == "lbfgs" else self.loss_curve_[-1]
        self.best_loss_ = None if early else state.best_loss
        self.validation_scores_ = state.history["validation_score"] if early else None
        self.best_validation_score_ = state.best_score if early else None
        self.n_layers_ = len(self.coefs_) + 1
        if self.verbose and self._dtype == "float64" and self.dtype is None:
            print(
                "Computed in float64, as X is: dtype='float32' takes half the memory and less time."
            )
        if reason == "interrupted":
            warnings.warn("Training interrupted by user.")
        elif reason == "diverged":
            warnings.warn(
                f"Training diverged in epoch {state.n_iter}; the weights of the best epoch are "
                "restored: lower learning_rate_init or standardise X.",
                ConvergenceWarning,
            )
        elif reason == "max_iter" and not one_epoch:
            name = "lbfgs failed to converge" if self.solver == "lbfgs" else "Stochastic Optimizer"
            warnings.warn(
                f"{name}: Maximum iterations ({self.max_iter}) reached and the optimization hasn't "
                "converged yet.",
                ConvergenceWarning,
            )

    def save(self, path):
        """Write the model to one safetensors file, atomically; `xpmlp.load_model` reads it.

        Raises
        ------
        TypeError
            When the network holds a layer or activation of your own, which no file can hold.
        """
        save_model(self, path)

    def _link(self, outputs):
        return LINKS[self.out_activation_](outputs, namespace(outputs))

    def __getstate__(self):
        """Return host arrays in place of the device's."""
        state = super().__getstate__()
        if "coefs_" in state and self._home.library != "numpy":
            state = state | {k: refresh(state[k], np.empty(0)) for k in ON_DEVICE}
        return state

    def __setstate__(self, state):
        """Bring the arrays back home, or say that they stay on the host."""
        if "coefs_" in state and state["_home"].library != "numpy":
            try:
                like = array_at(state["_home"])
                state = state | {k: refresh(state[k], like) for k in ON_DEVICE}
            except DeviceError as error:
                stays = {"device": "auto", "_placed": "auto", "device_": "cpu", "_home": HOST}
                state = state | stays
                warnings.warn(f"The model stays in NumPy: {error}", stacklevel=2)
        super().__setstate__(state)


def _is_pair(init):
    """Tell whether `init` is (coefs, intercepts)."""
    lists = tuple | list
    return isinstance(init, lists) and len(init) == 2 and all(isinstance(a, lists) for a in init)


def _drops(layer):
    """Tell whether a layer, or a part of it, is a Dropout."""
    return isinstance(layer, Dropout) or any(map(_drops, getattr(layer, "parts", {}).values()))
