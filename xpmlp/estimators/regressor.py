"""The regressor."""

from numbers import Real
from typing import ClassVar, Self

from sklearn.utils._param_validation import Interval

from ..nn.losses import Loss, loss_names
from . import types
from .base import BaseMLP, fit_one_epoch
from .bases import RegressorMixin, available_if
from .constraints import words
from .fitted import answer
from .inputs import on_its_card, r2, scored
from .types import Array, Rows, Weights


class MLPRegressor(RegressorMixin, BaseMLP):
    """Multilayer perceptron regressor on arrays of any library.

    Arguments, defaults and fitted attributes are those of `MLPClassifier`, but for class_weight
    and label_smoothing; these are its own or differ.

    Parameters
    ----------
    loss : str or Loss, default="squared_error"
        squared_error (half of it), absolute_error, huber (``nn.losses.huber(delta)``, delta 1),
        log_cosh; quantile; poisson (y >= 0) and gamma (y > 0): half the deviance with an
        exponential output; or your own record. Source: scikit-learn; Huber 1964, Koenker & Bassett
        1978 (quantile), PyTorch, Keras. Why: it learns the mean of y.
    quantiles : float or list of floats, default=None
        Which ones loss="quantile" learns at once, in rising order; None is the median. Source:
        scikit-learn's QuantileRegressor. Why: the median needs no choice.
    target_scale : {"auto"}, default=None
        "auto" trains on targets of mean 0 and standard deviation 1 (poisson, gamma: of mean 1), by
        sample_weight, of the first call's rows in `partial_fit`; predictions and `score` are in y's
        units, `loss_` is not. Source: xpmlp. Why: scikit-learn's loss is in units of y.
    out_activation : str, default="auto"
        Identity, logistic, tanh or relu, but for poisson and gamma, whose is the exponential.
        Source: xpmlp. Why: the one that the loss is made for.

    Attributes
    ----------
    quantiles_ : tuple of floats, or None
        The quantiles that were learnt.

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
        "loss": [words(*loss_names("regression")), Loss],
        "quantiles": [Interval(Real, 0, 1, closed="neither"), "array-like", None],
        "target_scale": [words("auto"), None],
    }

    def __init__(
        self,
        loss: types.NumberLoss = "squared_error",
        hidden_layer_sizes: types.Sizes = (100,),
        activation: types.Activations = "relu",
        *,
        solver: types.Solver = "adam",
        alpha: float = 1e-4,
        batch_size: types.BatchSize = "auto",
        learning_rate: types.LearningRate = "constant",
        learning_rate_init: float = 1e-3,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: types.Seed = None,
        tol: float = 1e-4,
        verbose: bool | int = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        init: types.Init = "auto",
        out_activation: types.OutActivation = "auto",
        weight_decay: float | None = None,
        dropout: types.Rates = 0.0,
        normalization: types.Normalization = None,
        residual: bool = False,
        max_norm: float | None = None,
        max_grad_norm: float | None = None,
        ema_decay: float | None = None,
        scoring: types.Scoring = None,
        categorical_features: types.Columns = "auto",
        feature_scale: types.FeatureScale = "auto",
        n_bins: int | None = None,
        device: str = "auto",
        dtype: types.DType = None,
        matmul_precision: types.MatmulPrecision = "highest",
        accelerate: types.Accelerate = "auto",
        deterministic: bool = False,
        callbacks: types.Callbacks = None,
        checkpoint: types.Kept = None,
        quantiles: types.Quantiles = None,
        target_scale: types.TargetScale = None,
    ) -> None:
        self.loss = loss
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.solver = solver
        self.alpha = alpha
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.learning_rate_init = learning_rate_init
        self.power_t = power_t
        self.max_iter = max_iter
        self.shuffle = shuffle
        self.random_state = random_state
        self.tol = tol
        self.verbose = verbose
        self.warm_start = warm_start
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.n_iter_no_change = n_iter_no_change
        self.max_fun = max_fun
        self.init = init
        self.out_activation = out_activation
        self.weight_decay = weight_decay
        self.dropout = dropout
        self.normalization = normalization
        self.residual = residual
        self.max_norm = max_norm
        self.max_grad_norm = max_grad_norm
        self.ema_decay = ema_decay
        self.scoring = scoring
        self.categorical_features = categorical_features
        self.feature_scale = feature_scale
        self.n_bins = n_bins
        self.device = device
        self.dtype = dtype
        self.matmul_precision = matmul_precision
        self.accelerate = accelerate
        self.deterministic = deterministic
        self.callbacks = callbacks
        self.checkpoint = checkpoint
        self.quantiles = quantiles
        self.target_scale = target_scale

    @available_if(lambda self: self.solver != "lbfgs")
    def partial_fit(self, X: Rows, y: Rows, sample_weight: Weights = None) -> Self:
        """Train for one epoch over the given rows, from where the last call ended."""
        return fit_one_epoch(self, X, y, sample_weight)

    @on_its_card
    def predict(self, X: Rows, quantiles: types.Quantiles = None) -> Array:
        """Predict numbers.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
        quantiles : float or list of floats, optional
            With loss="quantile": which of the learnt quantiles to return; by default the one
            nearest to 0.5.

        Returns
        -------
        y : array of shape (n_samples,) or (n_samples, n_outputs)
            In X's library, on its device. A list of quantiles adds an axis at the end; along it
            the values never fall: where quantiles cross, they are sorted.

        References
        ----------
        Chernozhukov, Fernandez-Val & Galichon 2010: sorting brings quantiles nearer to the truth.
        """
        return answer(self, "predict", X, quantiles=quantiles)

    @on_its_card
    def score(self, X: Rows, y: Rows, sample_weight: Weights = None) -> float:
        """Return R^2 for X and y, the mean over outputs."""
        return scored(r2, self, X, y, sample_weight)
