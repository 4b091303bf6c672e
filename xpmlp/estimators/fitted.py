"""Fitted estimator: its attributes are views of one `FitResult`, whose `Model` predicts."""

import warnings
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from typing import Any, Self

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils._set_output import _get_container_adapter
from sklearn.utils.validation import _generate_get_feature_names_out

from ..arrays import array_at, copy_to, float_dtype, is_array, to_host
from ..engines import Carry
from ..errors import DeviceError
from ..model import Model
from ..model.predictor import own_copy, predictor
from ..model.scaling import Scalings
from ..placing import as_library_of, destination, doctor_helps
from ..training import State
from . import types
from .arguments import engine_options
from .bases import TransformerMixin
from .building import end_of_layer
from .fit_result import FitResult, known, noted, part, view
from .inputs import checked_rows, on_its_card, seed_of
from .model_file import onnx_metadata, save_model
from .types import Array, Rows, Weights


# No wrapped output: scikit-learn's wrapper does not know a `layer`'s columns.
class Fitted(TransformerMixin, auto_wrap_output_keys=None):
    """Methods and attributes of an estimator that holds a `FitResult`."""

    _result: FitResult | None = None
    fit: Callable[..., Self]
    device: str
    learning_rate_init: float
    random_state: types.Seed

    @property
    def result_(self) -> FitResult:
        """Result of the last fit; without one, NotFittedError is raised."""
        result = self._result
        if result is None:
            raise NotFittedError(
                f"This {type(self).__name__} instance is not fitted yet. Call 'fit' with "
                "appropriate arguments before using this estimator."
            )
        return result

    @result_.setter
    def result_(self, result):
        self._result = result

    def __sklearn_is_fitted__(self):
        return self._result is not None

    # ---- Views of the training

    state_ = view(lambda r: r.training, "State of the training, which `partial_fit` continues.")
    seed_ = view(lambda r: r.seed, "Seed of all random numbers.")
    fit_report_ = view(lambda r: known(r.report, "report of a fit"), "Device, engine, time.")
    history_ = view(lambda r: r.training.history, "Lists by name, an entry for each epoch.")
    loss_curve_ = view(lambda r: r.training.history["loss"], "Loss of each epoch.")
    loss_ = view(lambda r: r.last_loss, "Last loss.")
    best_loss_ = view(lambda r: r.best_loss, "Least loss, None with early_stopping.")
    validation_scores_ = view(lambda r: r.validation_scores, "Scores of early_stopping.")
    best_validation_score_ = view(lambda r: r.best_validation_score, "Best of these.")
    best_epoch_ = view(lambda r: r.training.best_epoch, "Epoch that was kept, from 1.")
    n_iter_ = view(lambda r: r.training.n_iter, "Epochs of the last call.")
    n_iter_total_ = view(lambda r: r.training.epoch, "Epochs since the weights were drawn.")
    t_ = view(lambda r: r.training.n_seen, "Samples seen since the weights were drawn.")
    training_record_ = noted("record", "What `xpmlp train` says of data, options and scores.")

    # ---- Views of the model

    @property
    def model_(self) -> Model:
        """Fitted model. Another one begins a new training, unless it has the same shapes."""
        return self.result_.model

    @model_.setter
    def model_(self, model):
        if not isinstance(model, Model):
            raise TypeError(f"model_ takes a Model, got a {type(model).__name__}.")
        result: Any = self._result
        if result is None or result.model.layout != model.layout:
            state = State(Carry({}, {}, {}), self.learning_rate_init)
            result = FitResult.of(self, model, state, seed_of(self.random_state))
        self._result = replace(result, model=model)

    n_features_in_ = view(lambda r: r.model.inputs.n_features, "Number of columns of X.")

    @property
    def feature_names_in_(self) -> np.ndarray:
        """Names of the columns of X, where they have names."""
        return np.asarray(known(self.model_.inputs.names or None, "names of X's columns"), object)

    @feature_names_in_.setter
    def feature_names_in_(self, names):
        result = self.result_
        inputs = replace(result.model.inputs, columns=tuple(map(str, names)))
        self._result = result.changed(inputs=inputs)

    coefs_ = part("coefs", "Weights (n_in, n_out), layer by layer.")
    intercepts_ = part("intercepts", "Biases (n_out,), layer by layer.")
    other_params_ = view(lambda r: r.model.others, "Further parameters, by path.")
    network_ = view(lambda r: r.model.network, "Network, as it was trained.")
    encoder_ = view(lambda r: r.model.inputs.encoder, "Encoder of a table, or None.")
    n_layers_ = view(lambda r: len(r.model.coefs) + 1, "Layers of weights, plus 1.")
    n_outputs_ = view(lambda r: r.model.targets.n_columns, "Number of outputs.")
    quantiles_ = view(lambda r: r.model.targets.quantiles or None, "Learnt quantiles.")
    out_activation_ = view(
        lambda r: r.model.out_activation, "Name of the function from outputs to predictions."
    )
    device_ = view(lambda r: r.model.location.device, "Device of the model.")

    @property
    def scaling_(self) -> Scalings | None:
        """Means and scales by which inputs and targets are standardised, or None."""
        model = self.model_
        x, y = model.inputs.scaling, model.targets.scaling
        if x.mean is None and y.mean is None:
            return None
        return Scalings(*x, *y)

    # ---- Predictions

    def _outputs(self, model, X, method, n_layers=None):
        """Return a model's outputs for X, checked; of its first layers only, if so asked."""
        if model.known is not None and X is model.known[0] and n_layers is None:
            return model.known[1]
        options = engine_options(self)
        made = model.quick_outputs(X, n_layers, options)
        if made is not None:
            return made
        x, _ = checked_rows(self, X, model, method)
        return model.outputs(x, n_layers, options)

    def predictor(
        self, n_rows: int = 1, *, method: types.MethodName = "predict"
    ) -> Callable[[Rows], Array]:
        """Return a fast function that predicts a fixed number of rows a call.

        Parameters
        ----------
        n_rows : int, default=1
        method : {"predict", "predict_proba", "predict_log_proba", "decision_function"}
            Of a regressor: "predict".

        Returns
        -------
        callable
            From x of shape (n_rows, n_features) to what the method returns. It is fast for
            C-contiguous NumPy arrays in the model's dtype, and takes all else that the method
            takes. A later fit or change of `coefs_` does not change it. Threads may share it; it
            is not pickled.

        Raises
        ------
        ValueError
            When an argument is none of these; later when x has another shape (ShapeError), holds
            NaN or infinity, or is elsewhere than the model.

        Examples
        --------
        >>> import numpy as np
        >>> from xpmlp import MLPRegressor
        >>> x = np.linspace(-1, 1, 50, dtype=np.float32)[:, None]
        >>> reg = MLPRegressor(solver="lbfgs", random_state=0).fit(x, 2 * x[:, 0])
        >>> predict = reg.predictor()
        >>> predict(np.asarray([[0.5]], np.float32)).round(1).tolist()
        [1.0]
        """
        model, twin = own_copy(self.model_), copy(self)
        twin.result_ = FitResult(model)
        return predictor(model, n_rows, method, twin, engine_options(twin))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit_transform(
        self, X: Rows, y: Rows | None = None, *, layer: int = -2, **fit_params: Any
    ) -> Any:
        """Fit to X and y, and return ``transform(X, layer)``; `fit_params` go to `fit`."""
        return self.fit(X, y, **fit_params).transform(X, layer=layer)

    @on_its_card
    def transform(self, X: Rows, layer: int = -2) -> Any:
        """Return hidden features: the outputs of one layer of units, without dropout.

        Parameters
        ----------
        X : array of shape (n_samples, n_features)
        layer : int, default=-2
            Which of the layers of `hidden_layer_sizes` and, last, the output layer: 0 is the first
            hidden layer, -2 the last one, -1 the output layer (its logits, or the values that
            `predict` turns into the targets' units).

        Returns
        -------
        features : array of shape (n_samples, n_units)
            After normalization and activation; in X's library, on its device, unless `set_output`
            asks for a data frame.

        Raises
        ------
        ValueError
            When there is no such layer, or X does not fit the model.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from xpmlp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier((16, 2), solver="lbfgs", max_iter=500, random_state=1).fit(X, y)
        >>> clf.transform(X).shape, clf.transform(X, layer=0).shape
        ((150, 2), (150, 16))
        >>> clf.get_feature_names_out()
        array(['mlpclassifier0', 'mlpclassifier1'], dtype=object)
        """
        model = self.model_
        features = as_library_of(
            self._outputs(model, X, "transform", end_of_layer(self, model, layer)), X
        )
        adapter = _get_container_adapter("transform", self)
        if adapter is None:
            return features
        names = _generate_get_feature_names_out(self, features.shape[1])
        return adapter.create_container(to_host(features), X, columns=names)

    def get_feature_names_out(self, input_features: Weights = None) -> np.ndarray:
        """Return names for the columns of `transform(X)`; input_features: if given, those of X."""
        model = self.model_
        network, _ = model.up_to(end_of_layer(self, model, -2))
        n_units = network.shapes(model.inputs.width)[1]
        return _generate_get_feature_names_out(self, n_units, input_features)

    # ---- Moving, saving

    def to(self, device: str | types.AnyArray) -> Self:
        """Move the fitted model to another device or array library.

        Weights and the update rule's state go there, so `partial_fit` and `warm_start` go on
        there too; a `fit` from the start goes where `device=` says. Predictions are the same up
        to rounding.

        Parameters
        ----------
        device : str or array
            "cpu", "cuda" or "cuda:1": NumPy and CuPy for a model in one of these, else devices of
            its own library, whose own names do as well ("mps"). NumPy rows are then brought to the
            model, and results return to where the rows were. Or an array, for its library and
            device: rows then have to come from there.

        Returns
        -------
        self

        Raises
        ------
        DeviceError
            When the device does not work; the model is then where it was, as after any error.
        ValueError
            When the string names no device, or the device lacks the model's dtype.

        Examples
        --------
        >>> from sklearn.datasets import load_iris
        >>> from xpmlp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier((8,), solver="lbfgs", random_state=0).fit(X, y)
        >>> clf.to("cpu").device_
        'cpu'
        """
        result = self.result_
        model, at = result.model, result.model.location
        if not isinstance(device, str) and not is_array(device):
            raise TypeError(
                "to() takes a device's name, 'cpu' or 'cuda:1', or an array that is there, got a "
                f"{type(device).__name__}."
            )
        try:
            like, requested = model.at(device)
        except DeviceError as error:
            helps = doctor_helps(destination(at, str(device)))
            stays = f"so the model stays on {at.device}: {error}"
            raise DeviceError(f"to({device!r}) does not work, {stays}{helps}.") from error
        float_dtype(like, model.inputs.dtype)
        self._result = result.mapped(lambda a: copy_to(a, like), requested)
        return self

    def __sklearn_array_api_convert__(self, converter):
        """Return a copy whose arrays are `converter`'s, for scikit-learn's `move_estimator_to`."""
        twin = copy(self)
        if twin._result is not None:
            # A converter may share the memory of what it is given.
            own = lambda a: copy_to(made := converter(a), made)
            twin._result = twin._result.mapped(own, "auto")
        return twin

    def save(self, path: types.Path, *, training: bool = False) -> None:
        """Write the model to one safetensors file, atomically; `xpmlp.load_model` reads it.

        Functions and objects in `callbacks`, `scoring` and `learning_rate`, which predictions do
        not need, stay out of the file: the loaded model has these arguments' defaults.

        Parameters
        ----------
        path : str or Path
        training : bool, default=False
            Whether `partial_fit` of the loaded model is to go on as that of this one does, to the
            last bit: the update rule's averages, the learning rate and the place in the random
            stream go into the file, which gets about three times as large with Adam.

        Raises
        ------
        TypeError
            When the network holds a layer or activation of your own, which no file can hold; with
            training=True also where the update rule, `scoring` or `learning_rate` is such.
        """
        save_model(self, path, training=training)

    def export(self, path: types.Path, *, check: bool = True) -> None:
        """Write the model to one ONNX file, atomically, for onnxruntime and its like.

        The network computes in float32, whatever the model's dtype. A model of arrays has one
        input "X" (N, n_features), float32, or double where the model scales its inputs itself. One
        of a table has an input (N, 1) for each column, by its name. Numbers are double, 0 and 1 for
        false and true, NaN where missing. Dates are double, days since 1970-01-01 UTC, NaN where
        missing. Categories are text (a whole number "3", not "3.0"), where missing "" or any other
        text that `fit` has not seen. Where `xpmlp train` read a table, the inputs' doc strings say
        which value stands for a cell such as $1,234.50 or 15:57.

        Outputs are "label" (N,), in the type of the classes, and "probabilities" (N, n_classes) of
        a classifier, as skl2onnx has them without its zipmap; several labels are (N, n_labels). A
        regressor has "prediction", in the shape of `predict` (skl2onnx: "variable", (N, 1)), and
        where it has learnt several quantiles "quantiles", along whose last axis they stand. Where a
        column is called like an output, that becomes "output_label" and so on.

        Parameters
        ----------
        path : str or path
        check : bool, default=True
            Whether onnxruntime, if it is installed, runs the file on some rows first, whose
            results must be those of `predict` up to rounding.

        Raises
        ------
        ImportError
            When onnx is not installed.
        TypeError
            When a layer or activation of your own computes what has no ONNX form here; sums,
            products, exp and other plain array functions have one.
        ValueError
            When the arrays take 2 GB or more; or when the file's predictions are others, because
            float32 cannot hold what the model computes in float64. Nothing is written then.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> from sklearn.datasets import load_iris
        >>> from xpmlp import MLPClassifier
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier((8,), solver="lbfgs", random_state=0).fit(X, y)
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "iris.onnx"
        >>> clf.export(path)
        >>> import onnxruntime
        >>> session = onnxruntime.InferenceSession(path)
        >>> label, probabilities = session.run(None, {"X": X[:2].astype("float32")})
        >>> label.tolist(), probabilities.shape
        ([0, 0], (2, 3))
        """
        result = self.result_
        result.model.export(path, check=check, about=onnx_metadata(self, result))

    def __copy__(self):
        """Return a shallow copy; by way of `__getstate__` a device's arrays would pass the host."""
        twin = type(self).__new__(type(self))
        twin.__dict__.update(vars(self))
        return twin

    def __getstate__(self):
        """Return host arrays in place of the device's."""
        twin = copy(self)  # which no other thread's fit changes
        state, result = super(Fitted, twin).__getstate__(), twin._result
        if result is None or result.model.location.library == "numpy":
            return state
        at, requested = result.model.location, result.model.inputs.requested
        moved = result.mapped(lambda a: copy_to(a, np.empty(0)), requested, result.why)
        return state | {"_result": moved, "_location": at}

    def __setstate__(self, state):
        """Bring the arrays back to their device, or say that they stay on the host."""
        own = {name: value for name, value in state.items() if name != "_location"}
        super().__setstate__(own)  # type: ignore[misc]
        if "_location" not in state:
            return
        result = self.result_
        requested, why = result.model.inputs.requested, result.why
        try:
            like = array_at(state["_location"])
        except DeviceError as error:
            self.device, like, requested, why = "auto", np.empty(0), "auto", ""
            warnings.warn(f"The model stays in NumPy: {error}", stacklevel=2)
        self._result = result.mapped(lambda a: copy_to(a, like), requested, why)


def answer(estimator, method, X, **more):
    """Return what a method of the model's targets makes of the outputs for X."""
    model = estimator.model_
    return getattr(model.targets, method)(estimator._outputs(model, X, method), X, **more)
