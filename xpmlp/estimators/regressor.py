"""The regressor."""

from numbers import Real
from typing import ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from ..arrays import from_host, is_array, namespace, to_host
from ..nn.losses import Loss, match_loss, quantile
from ..placing import rows_to_host
from .base import BaseMLP
from .inputs import NO_SCORE, back, host_targets, on_its_card
from .scaling import Scaling

NAMES = {
    "squared_error", "absolute_error", "huber", "log_cosh", "quantile", "poisson", "gamma",
}  # fmt: skip


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multilayer perceptron regressor on arrays of any library.

    Arguments, defaults and fitted attributes are scikit-learn's where it has them; what is ours is
    described at `MLPClassifier`.

    Parameters
    ----------
    loss : {"squared_error", "poisson"}, default="squared_error"
        Half the squared error; half the Poisson deviance with an exponential output (y >= 0).
    out_activation : str, default="auto"
        For squared_error: identity, logistic, tanh or relu.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import MLPRegressor
    >>> x = np.linspace(-3, 3, 300)[:, None]
    >>> reg = MLPRegressor(hidden_layer_sizes=(8,), activation="tanh", solver="lbfgs",
    ...                    max_iter=2000, random_state=0).fit(x, np.sin(x[:, 0]))
    >>> reg.score(x, np.sin(x[:, 0])) > 0.999
    True
    """

    _parameter_constraints: ClassVar[dict] = BaseMLP._parameter_constraints | {
        "loss": [StrOptions(NAMES), Loss],
        "quantiles": [Interval(Real, 0, 1, closed="neither"), "array-like", None],
        "target_scale": [StrOptions({"auto"}), None],
    }

    def __init__(
        self, loss="squared_error", hidden_layer_sizes=(100,), activation="relu", *, solver="adam",
        alpha=1e-4, batch_size="auto", learning_rate="constant", learning_rate_init=1e-3,
        power_t=0.5, max_iter=200, shuffle=True, random_state=None, tol=1e-4, verbose=False,
        warm_start=False, momentum=0.9, nesterovs_momentum=True, early_stopping=False,
        validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10,
        max_fun=15000, init="auto", out_activation="auto", weight_decay=None, dropout=0.0,
        normalization=None, residual=False, max_norm=None, max_grad_norm=None, ema_decay=None,
        scoring=None, device="auto", dtype=None, matmul_precision="highest", accelerate="auto",
        deterministic=False, callbacks=None, quantiles=None, target_scale=None,
    ):  # fmt: skip
        self.__dict__.update({k: v for k, v in locals().items() if k not in ("self", "__class__")})

    @available_if(lambda self: self.solver != "lbfgs")
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch over the given data, from where the last call ended."""
        resume = hasattr(self, "coefs_")
        return self._guarded(X, y, sample_weight, (None,) * 3, resume=resume, one_epoch=True)

    def _checked_targets(self, y, n, *, reset, classes=None):
        """Return y as float64 (n, n_outputs); sets the task and n_outputs_ on reset."""
        y = host_targets(y, n, numeric=True, name=type(self).__name__)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        y = y.reshape(len(y), -1).astype(np.float64)
        self._task = "regression"
        if reset:
            self.n_outputs_ = y.shape[1]
        elif y.shape[1] != self.n_outputs_:
            raise ValueError(
                f"y has {y.shape[1]} outputs, the model was fitted to {self.n_outputs_}."
            )
        lowest = {"poisson": 0.0, "gamma": np.nextafter(0.0, 1.0)}.get(self._loss_name())
        if lowest is not None and y.min() < lowest:
            raise ValueError(
                f"loss={self._loss_name()!r} needs y {'> 0' if lowest else '>= 0'}, got "
                f"{y.min():g}: use 'squared_error'."
            )
        return y

    def _loss_name(self):
        return self.loss if isinstance(self.loss, str) else self.loss.name

    def _loss(self):
        """Return the loss, with the quantiles in it."""
        if self.loss != "quantile" and self.quantiles is not None:
            raise ValueError("quantiles go with loss='quantile': leave them out, or set it.")
        if self.loss != "quantile":
            return self.loss
        return quantile(0.5 if self.quantiles is None else np.ravel(self.quantiles).tolist())

    def _levels(self):
        """Return the quantiles that are learnt, a tuple; another loss has one output alike."""
        function = getattr(self._loss(), "value_and_grad", None)
        return getattr(function, "levels", (0.5,))

    def _measure(self, y, weights):
        """Measure the targets, if they are to be standardised."""
        if self.target_scale is None:
            return
        if self.out_activation not in ("auto", "identity"):
            raise ValueError(
                f"target_scale={self.target_scale!r} standardises y, which out_activation="
                f"{self.out_activation!r} bounds: leave one of them out."
            )
        by_mean = match_loss(self._loss(), "regression")[1] == "exp"
        self.scaling_ = Scaling.of_targets(y, weights, by_mean=by_mean)

    def _encoded(self, y, x):
        """Return targets (n, n_outputs) beside x, standardised, once for each quantile."""
        if self.scaling_ is not None:
            y = self.scaling_.targets(y)
        with np.errstate(over="ignore"):
            finite = np.isfinite(y.astype(self._dtype)).all()
        if not finite:
            raise ValueError(
                f"y holds values too large for {self._dtype}: set target_scale='auto', or divide y "
                "by its scale."
            )
        return from_host(np.repeat(y, len(self._levels()), axis=1), x, self._dtype)

    @on_its_card
    def predict(self, X, quantiles=None):
        """Predict values.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
        quantiles : float or list of floats, optional
            With loss="quantile": those wanted of the learnt ones. Without it the prediction is the
            learnt quantile next to 0.5.

        Returns
        -------
        y : array of shape (n_samples,) or (n_samples, n_outputs)
            In X's library, on its device. A list of quantiles adds an axis at the end; along it
            the values never fall: where quantiles cross, they are sorted.

        References
        ----------
        Chernozhukov, Fernandez-Val & Galichon 2010: sorting brings quantiles nearer to the truth.
        """
        if quantiles is None:
            return self._predict(self._outputs(X, "predict"), X)
        levels, wanted = self._levels(), np.ravel(quantiles).tolist()
        name = self._loss_name()
        if name != "quantile" or not {*wanted} <= {*levels}:
            learnt = f"learnt {list(levels)}" if name == "quantile" else f"loss={name!r}"
            raise ValueError(f"quantiles={quantiles!r} are not there, the model has {learnt}.")
        values = self._values(self._outputs(X, "predict"), [levels.index(q) for q in wanted])
        values = values[:, 0, ...] if self.n_outputs_ == 1 else values
        return back(values if np.ndim(quantiles) else values[..., 0], X)

    def _predict(self, outputs, X):
        """Return predictions in the units of the targets; an exponential output is linked."""
        y = self._values(outputs, [self._middle()])[..., 0]
        return back(y[:, 0] if self.n_outputs_ == 1 else y, X)

    def _middle(self):
        """Return the place of the learnt quantile next to 0.5."""
        levels = self._levels()
        return min(range(len(levels)), key=lambda i: abs(levels[i] - 0.5))

    def _values(self, outputs, wanted):
        """Return (n, n_outputs, len(wanted)) of the network's outputs, in the targets' units."""
        xp = np if type(outputs) is np.ndarray else namespace(outputs)
        y = self._link(outputs) if self.out_activation_ == "exp" else outputs
        n_levels = len(self._levels())
        y = xp.reshape(y, (y.shape[0], y.shape[1] // n_levels, n_levels))
        y = xp.sort(y, axis=-1) if n_levels > 1 else y
        each = [y[..., i] if n_levels > 1 else y[..., 0] for i in wanted]
        if self.scaling_ is not None:
            each = [self.scaling_.restore(y) for y in each]
        return xp.stack(each, axis=-1)

    @on_its_card
    def score(self, X, y, sample_weight=None):
        """Return R^2, the mean over outputs."""
        made = rows_to_host(self.predict(X), "the predictions", NO_SCORE)
        host = [to_host(a) if is_array(a) else a for a in (y, made, sample_weight)]
        return float(r2_score(host[0], host[1], sample_weight=host[2]))

    def _score_outputs(self, outputs, targets, weights):
        """Return R^2 of host outputs of the training network."""
        every = len(self._levels())
        outputs, targets = outputs[:, self._middle() :: every], targets[:, ::every]
        predictions = self._link(outputs) if self.out_activation_ == "exp" else outputs
        if len(targets) < 2 or not np.isfinite(predictions).all():
            return float("nan")  # R^2 is undefined
        return float(r2_score(targets, predictions, sample_weight=weights))
