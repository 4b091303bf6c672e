"""The regressor."""

from typing import ClassVar

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import column_or_1d

from ..arrays import from_host, is_array, to_host
from ..placing import rows_to_host
from .base import BaseMLP
from .inputs import NO_SCORE, back, host_targets, on_its_card


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
        "loss": [StrOptions({"squared_error", "poisson"})]
    }

    def __init__(
        self, loss="squared_error", hidden_layer_sizes=(100,), activation="relu", *, solver="adam",
        alpha=1e-4, batch_size="auto", learning_rate="constant", learning_rate_init=1e-3,
        power_t=0.5, max_iter=200, shuffle=True, random_state=None, tol=1e-4, verbose=False,
        warm_start=False, momentum=0.9, nesterovs_momentum=True, early_stopping=False,
        validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10,
        max_fun=15000, init="auto", out_activation="auto", weight_decay=None, dropout=0.0,
        device="auto", dtype=None, matmul_precision="highest", accelerate="auto",
        deterministic=False,
    ):  # fmt: skip
        self.__dict__.update({k: v for k, v in locals().items() if k not in ("self", "__class__")})

    @available_if(lambda self: self.solver != "lbfgs")
    def partial_fit(self, X, y, sample_weight=None):
        """Train for one epoch over the given data, from where the last call ended."""
        resume = hasattr(self, "coefs_")
        return self._guarded(X, y, sample_weight, (None, None), resume=resume, one_epoch=True)

    def _checked_targets(self, y, n, *, reset):
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
        if self.loss == "poisson" and y.min() < 0:
            raise ValueError(
                "loss='poisson' needs y >= 0, got negative values: use 'squared_error'."
            )
        return y

    def _targets(self, y, x, *, reset, classes=None):
        """Return targets (n, n_outputs) beside x, standardised if the model has statistics."""
        y = self._checked_targets(y, x.shape[0], reset=reset)
        if self.scaling_ is not None:
            y = self.scaling_.targets(y)
        if not np.isfinite(y.astype(self._dtype)).all():
            raise ValueError(f"y holds values too large for {self._dtype}: divide y by its scale.")
        return from_host(y, x, self._dtype)

    @on_its_card
    def predict(self, X):
        """Predict values: (n_samples,), or (n_samples, n_outputs) for several outputs.

        X : array of shape (n_samples, n_features). The result is in its library, on its device.
        """
        return self._predict(self._outputs(X, "predict"), X)

    def _predict(self, outputs, X):
        """Return predictions in the units of the targets; a poisson output is linked."""
        y = self._link(outputs) if self.out_activation_ == "exp" else outputs
        y = y if self.scaling_ is None else self.scaling_.restore(y)
        return back(y[:, 0] if y.shape[-1] == 1 else y, X)

    @on_its_card
    def score(self, X, y, sample_weight=None):
        """Return R^2, the mean over outputs."""
        made = rows_to_host(self.predict(X), "the predictions", NO_SCORE)
        host = [to_host(a) if is_array(a) else a for a in (y, made, sample_weight)]
        return float(r2_score(host[0], host[1], sample_weight=host[2]))

    def _score_outputs(self, outputs, targets, weights):
        """Return R^2 of host outputs of the training network."""
        predictions = self._link(outputs) if self.loss == "poisson" else outputs
        if len(targets) < 2:
            return float("nan")  # R^2 is undefined
        return float(r2_score(targets, predictions, sample_weight=weights))
