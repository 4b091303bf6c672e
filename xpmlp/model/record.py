"""Model: a network, its parameters, and what its rows and outputs mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral
from operator import is_not
from typing import Any

import numpy as np

from ..arrays import Array, Location, array_at, copy_to, current_card, is_array, location_of
from ..container import read_container, write_container
from ..engines import DEFAULTS, Options, engine_for
from ..errors import ShapeError
from ..nn import Layout, Network
from ..placing import as_library_of, destination
from ..protocols import AnyArray, Path, Rows
from ..tables.frame import frame_of, frame_of_array, is_table
from ..training import like_of, network_outputs
from .fields import record
from .inputs import Inputs
from .onnx_export import export_model
from .parameters import lists_to_params, params_to_lists
from .predictor import own_copy, predictor
from .saving import (
    FIELDS,
    LACKS,
    as_model_file_error,
    check_outputs,
    pack_model,
    take_training,
    unpack_model,
)
from .targets import ClassTargets, LabelTargets, NumberTargets, with_threshold


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted network with all that its predictions need; replaced as a whole, never changed.

    Attributes
    ----------
    network : Network
        As it was trained.
    layout : Layout
        Order of its parameters.
    inputs : Inputs
        How rows of X become its inputs, and the library and device of the model.
    targets : ClassTargets, LabelTargets or NumberTargets
        What its outputs mean.
    coefs, intercepts : list of arrays (n_in, n_out), (n_out,)
        The parameters. What is assigned to their items or written into their arrays holds from the
        next call on.
    others : dict of arrays
        By path, what is neither weight nor bias: of normalization, of layers of your own.
    known : (rows, outputs), optional
        Rows whose outputs are given, and not computed again.

    Examples
    --------
    >>> from xpmlp import MLPRegressor
    >>> model = MLPRegressor(solver="lbfgs", random_state=0).fit([[0.0], [1.0]], [1.0, 3.0]).model_
    >>> model.predict([[1.0]]).round(2).tolist()
    [3.0]
    """

    network: Network
    layout: Layout
    inputs: Inputs
    targets: ClassTargets | LabelTargets | NumberTargets
    coefs: list
    intercepts: list
    others: dict[str, Array]
    known: tuple[Any, Any] | None = None

    @staticmethod
    def of(network: Network, inputs: Inputs, targets: Any, params: dict) -> "Model":
        """Return the model of a network and its params, nested dicts of arrays."""
        layout = Layout.of(network, params, contiguous=False)
        return Model(network, layout, inputs, targets, **params_to_lists(layout, params))

    def with_params(self, params: dict) -> "Model":
        """Return the model with other params, nested dicts of arrays."""
        return replace(self, **params_to_lists(self.layout, params))

    def with_threshold(self, threshold: float) -> "Model":
        """Return the model with another threshold, as `MLPClassifier.threshold_`."""
        return replace(self, targets=with_threshold(self.targets, threshold))

    def mapped(self, f: Callable[[Array], Array], requested: str = "auto") -> "Model":
        """Return the model with function f of every array, which moves it.

        requested: name of the device that rows are then brought to, as of `Inputs`.
        """
        coefs, intercepts = ([f(a) for a in values] for values in (self.coefs, self.intercepts))
        others = {name: f(a) for name, a in self.others.items()}
        like = (*coefs, *intercepts, *others.values())[0]
        dtype = str(like.dtype).rpartition(".")[2]
        inputs = replace(self.inputs, location=location_of(like), requested=requested, dtype=dtype)
        return replace(self, inputs=inputs, coefs=coefs, intercepts=intercepts, others=others)

    def __getstate__(self):
        """Return a copy of the attributes, to which another thread's prediction may add some."""
        return {name: value for name, value in dict(vars(self)).items() if name != "_prepared"}

    @property
    def location(self) -> Location:
        """Library and device of the model."""
        return self.inputs.location

    @property
    def out_activation(self) -> str:
        """Name of the function from outputs to predictions."""
        last: Any = self.network.layers[-1]
        return last.activation if self.targets.link == "identity" else self.targets.link

    def params(self, like: Array) -> dict:
        """Return the parameters as nested dicts in the library and on the device of `like`."""
        lists = self.coefs, self.intercepts, self.others
        return lists_to_params(self.layout, *lists, like=like, dtype=self.inputs.dtype)

    @cached_property
    def predicting(self) -> Network:
        """Network that predictions are made with: a classifier's gives logits."""
        last: Any
        *hidden, last = self.network.layers
        if self.targets.task == "regression" or last.activation == "identity":
            return self.network
        return Network((*hidden, replace(last, activation="identity")))

    def up_to(self, n_layers: int | None) -> tuple[Network, Layout]:
        """Return the first n_layers of `predicting`, or all, and the layout of their parameters."""
        if n_layers is None:
            return self.predicting, self.layout
        inside = (leaf for leaf in self.layout.leaves if leaf.slots[0].path[0] < n_layers)
        return Network(self.predicting.layers[:n_layers]), Layout(tuple(inside))

    def outputs(self, x: Any, n_layers: int | None = None, options: Options = DEFAULTS) -> Array:
        """Return the outputs (n, C) of `predicting`, or of its first n_layers, for rows x.

        x: (n, width), an array or SparseRows in the model's library and on its device, not yet
        standardised; options: how steps run.
        """
        if self.known is not None and x is self.known[0] and n_layers is None:
            return self.known[1]
        (network, layout), like = self.up_to(n_layers), like_of(x)
        with current_card(like):
            engine = engine_for(like, options)
            store = layout.pack(self.params(like), xp=engine.xp)
            made = [
                network_outputs(network, layout, store, self.inputs.computed(part), engine)
                for part in self.inputs.parts(x)
            ]
            return engine.xp.concat(made) if len(made) > 1 else made[0]

    def quick_outputs(
        self, X: Any, n_layers: int | None = None, options: Options = DEFAULTS
    ) -> Array | None:
        """Return `outputs` for plain numbers of a user, None where X needs checks.

        n_layers, options: as of `outputs`. NumPy's engine prepares them once for as long as the
        parameters are the same arrays, in the same shapes.
        """
        x = None if self.known else self.inputs.quick(X)
        if x is None:
            return None
        arrays = [*self.coefs, *self.intercepts, *self.others.values()]
        kept, shapes, prepared = vars(self).get("_prepared", ((), [], {}))
        same = len(kept) == len(arrays) and not any(map(is_not, kept, arrays))
        if not same or [a.shape for a in arrays] != shapes:
            prepared = {}
            # Others would be copied, and what is written into them would not be seen.
            if all(map(self.inputs.is_plain, arrays)):
                vars(self)["_prepared"] = arrays, [a.shape for a in arrays], prepared
        key = n_layers, options
        if key not in prepared:
            prepared[key] = self._prepare(*key)
        outputs = prepared[key]
        return outputs and outputs(x)

    def _prepare(self, n_layers, options):
        """Return x -> outputs as NumPy's engine makes it of the parameters, or None."""
        (network, layout), like = self.up_to(n_layers), np.empty(0)
        own = engine_for(like, options).outputs(network, layout, self.inputs.dtype)
        return own and own(layout.pack(self.params(like), xp=np))

    # ---- On rows that scikit-learn has not checked

    def rows(self, X: Any) -> Any:
        """Return rows of X (an array, a list or a table) as the model takes them, on its device."""
        inputs, x = self.inputs, X
        if hasattr(X, "toarray"):
            raise TypeError(f"X is a {type(X).__name__}, a model takes arrays: pass X.toarray().")
        if inputs.encoder is not None:
            frame = frame_of(X) if is_table(X) else frame_of_array(np.asarray(X), inputs.names)
            x = inputs.encoder.encode(frame, inputs.dtype)
        elif not is_array(X):
            x = np.asarray(X, np.float64)
        if x.ndim != 2 or x.shape[1] != inputs.width:
            raise ShapeError(
                f"X is {tuple(x.shape)}, expected (n_samples, {inputs.n_features}), as the model "
                "was fitted to."
            )
        return inputs.brought(x, "Model.predict", X)

    def outputs_for(self, X: Rows, n_layers: int | None = None) -> Array:
        """Return `outputs`, of the first n_layers, for what `rows` takes."""
        made = self.quick_outputs(X, n_layers)
        return self.outputs(self.rows(X), n_layers) if made is None else made

    def predict(self, X: Rows, quantiles: float | Sequence[float] | None = None) -> Array:
        """Return labels or numbers for the rows of X.

        Parameters
        ----------
        X : array, list or table (n_samples, n_features)
        quantiles : float or list of floats, optional
            As in `MLPRegressor.predict`.

        Returns
        -------
        array (n_samples,) or (n_samples, n_outputs)
            In X's library, on its device; text labels come as a NumPy array.

        Raises
        ------
        ShapeError
            When X has another number of columns.
        TypeError
            When a model of classes is asked for quantiles.
        """
        if quantiles is None:
            return self.targets.predict(self.outputs_for(X), X)
        if not isinstance(self.targets, NumberTargets):
            raise TypeError("a model of classes has no quantiles: take predict_proba.")
        return self.targets.predict(self.outputs_for(X), X, quantiles)

    def predict_proba(self, X: Rows) -> Array:
        """Return probabilities (n_samples, n_classes) for the rows of X, as `predict` takes it."""
        return self._of_classes("predict_proba", X)

    def predict_log_proba(self, X: Rows) -> Array:
        """Return the logarithm of `predict_proba` for X; that of 0 is -inf."""
        return self._of_classes("predict_log_proba", X)

    def decision_function(self, X: Rows) -> Array:
        """Return logits for X: (n_samples,) for two classes, else (n_samples, n_outputs)."""
        return self._of_classes("decision_function", X)

    def _of_classes(self, method, X):
        if self.targets.task == "regression":
            raise AttributeError(f"a model of numbers has no {method}: take predict.")
        return getattr(self.targets, method)(self.outputs_for(X), X)

    def transform(self, X: Rows, n_layers: int) -> Array:
        """Return the outputs (n, n_units) of the network's first n_layers, from 1, for rows of X.

        A classifier's last layer gives logits. Dropout and normalization count as layers, which the
        `layer` of an estimator leaves out.
        """
        n = len(self.network.layers)
        if not (isinstance(n_layers, Integral) and 1 <= n_layers <= n):
            raise ValueError(f"n_layers must be a whole number from 1 to {n}, got {n_layers!r}.")
        return as_library_of(self.outputs_for(X, n_layers), X)

    def to(self, device: str | AnyArray) -> "Model":
        """Return the model on another device, named or that of an array, as `MLPClassifier.to`."""
        like, requested = self.at(device)
        return self.mapped(lambda a: copy_to(a, like), requested)

    def at(self, device: Any) -> tuple[Array, str]:
        """Return an array on a device, and what `Inputs.requested` of a model there is."""
        if isinstance(device, str):
            return array_at(destination(self.location, device)), device
        return device, "auto"

    def predictor(self, n_rows: int = 1, *, method: str = "predict") -> Callable[[Rows], Array]:
        """Return a fast function that calls a method for n_rows, as `MLPClassifier.predictor`."""
        own = own_copy(self)
        return predictor(own, n_rows, method, own)

    def save(self, path: Path) -> None:
        """Write the model to one safetensors file, atomically; `xpmlp.load` reads it.

        Raises
        ------
        TypeError
            When the network holds a layer or activation of your own, which no file can hold.
        """
        arrays, meta = pack_model(self)
        unpacked(dict(arrays), meta)  # what could not be read is not written
        write_container(path, arrays, meta)

    def export(self, path: Path, *, check: bool = True, about: dict | None = None) -> None:
        """Write the model to one ONNX file, atomically, as `MLPClassifier.export` describes it.

        check: whether onnxruntime tries the file; about: dict of more metadata of the file.
        """
        export_model(self, path, check=check, about=about or {})


def unpacked(arrays: dict, meta: dict, known: dict = FIELDS) -> Model:
    """Return the model of a file, or raise one of many errors: the file may be hostile.

    Its arrays are taken out of `arrays`; known: the fields that `meta` may have.
    """
    record(known, LACKS)(meta, "metadata")
    model = Model.of(*unpack_model(arrays, meta))
    check_outputs(model)
    return model


def load(path: Path) -> Model:
    """Read the model in a model file, without scikit-learn and SciPy.

    NumPy, array-api-compat and narwhals are all that is imported; `load_model` gives
    the estimator, of a file that an estimator has saved.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    Model
        Its arrays in NumPy.

    Raises
    ------
    ModelFileError
        When the file is missing, damaged, not a model, or from a newer format.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from xpmlp import MLPRegressor, load
    >>> reg = MLPRegressor(solver="lbfgs", random_state=0).fit([[0.0], [1.0]], [1.0, 3.0])
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "line.safetensors"
    >>> reg.save(path)
    >>> load(path).predict([[1.0]]).round(2).tolist()
    [3.0]
    """
    arrays, meta = read_container(path)
    take_training(arrays)
    with as_model_file_error(path):
        return unpacked(arrays, {name: meta[name] for name in FIELDS if name in meta})
