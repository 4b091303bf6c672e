"""Types of the estimators' arguments and methods; a test holds names to the tables of names."""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
from numpy.random import RandomState
from numpy.typing import ArrayLike, DTypeLike

from ..arrays import Array
from ..nn import ActivationFunction, Layer, Loss
from ..nn.initializers import Initializer
from ..optim import Rule, Schedule
from ..protocols import AnyArray, Path, Rows, Values
from ..training import Checkpoint

__all__ = ["AnyArray", "Array", "Path", "Rows"]  # imported for the methods

ActivationName = Literal[
    "identity", "logistic", "tanh", "relu", "leaky_relu", "elu", "selu", "gelu", "gelu_tanh",
    "silu", "mish", "softplus", "softsign", "hard_tanh",
]  # fmt: skip
SolverName = Literal["sgd", "adam", "adamw", "nadam", "lion", "rmsprop", "adagrad", "lbfgs"]
ScheduleName = Literal[
    "constant", "invscaling", "adaptive", "plateau", "warmup", "cosine", "one_cycle", "step"
]
ClassLossName = Literal["squared_error", "log_loss", "binary_log_loss", "focal"]
NumberLossName = Literal[
    "squared_error", "poisson", "gamma", "absolute_error", "log_cosh", "huber", "quantile"
]
InitName = Literal[
    "auto", "glorot_uniform", "glorot_logistic", "glorot_normal", "he_uniform", "he_normal",
    "lecun_uniform", "lecun_normal", "normal", "uniform", "zeros", "orthogonal",
]  # fmt: skip
NormalizationName = Literal["batch", "layer", "rms"]
MatmulPrecision = Literal["highest", "high", "medium"]
Accelerate = Literal["auto", "generic", "eager", "graph"]
FeatureScale = Literal["auto", "robust", "standard", "global"] | None

MethodName = Literal["predict", "predict_proba", "predict_log_proba", "decision_function"]
Orientation = Literal["rows", "columns"]

Weights = Values | None
HostArray = np.ndarray
Auto = Literal["auto"]
Sizes = int | Layer | Sequence[int | Layer]
Activation = ActivationName | ActivationFunction
Activations = Activation | Sequence[Activation]
Solver = SolverName | Rule
LearningRate = ScheduleName | Schedule | Callable[[float], float]
Init = InitName | Initializer | tuple[Sequence[ArrayLike], Sequence[ArrayLike]]
ClassWeight = dict[Any, float] | Literal["balanced"] | list[Any] | None
Scoring = str | Callable[..., float] | None
Columns = Literal["auto", "from_dtype"] | Sequence[Any] | None
Kept = Path | Checkpoint | None
Callbacks = Callable[..., Any] | Sequence[Callable[..., Any]] | None
OutActivation = Auto | ActivationName
BatchSize = int | Auto
Seed = int | RandomState | None
Rates = float | Sequence[float]
Normalization = NormalizationName | None
DType = DTypeLike | None
Quantiles = float | Sequence[float] | None
TargetScale = Auto | None
ClassLoss = ClassLossName | Loss
NumberLoss = NumberLossName | Loss
