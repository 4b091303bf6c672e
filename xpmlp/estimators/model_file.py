"""A fitted estimator as a model file, and back: tensors and plain JSON, no code, no pickle."""

from dataclasses import fields, is_dataclass
from typing import Any, cast

import numpy as np

from .. import __version__
from ..arrays import home
from ..engines import Carry
from ..errors import ModelFileError
from ..files.container import FORMAT_VERSION, read_container, write_container
from ..nn import Dense, Layout, Network, initializers
from ..nn.layers import LAYERS
from ..nn.layout import path_name, put
from ..optim import RULES
from ..training import State, new_history
from .scaling import Scaling
from .weights import collect, nested

FITTED = (
    "loss_", "best_loss_", "best_validation_score_", "n_iter_", "t_", "n_features_in_",
    "out_activation_", "seed_", "_task", "_dtype",
)  # fmt: skip
_INITIALIZERS = (
    initializers.VarianceScaling, initializers.Normal, initializers.Uniform, initializers.Zeros,
    initializers.Orthogonal,
)  # fmt: skip
RECORDS = {c.__name__: c for c in (*LAYERS.values(), *_INITIALIZERS, *RULES.values())}


def save_model(estimator, path):
    """Write a fitted estimator to `path`."""
    from sklearn.utils.validation import check_is_fitted

    check_is_fitted(estimator)
    arrays = estimator._layout.pack(nested(estimator, np.empty(0)), xp=np)
    scaling = estimator.scaling_
    if scaling is not None:
        arrays |= {k: v for k, v in scaling._asdict().items() if v is not None}
    params = estimator.get_params(deep=False)
    if isinstance(params["init"], tuple | list):
        params["init"] = "auto"  # the weights themselves are in the file
    if not isinstance(params["random_state"], int | None):
        params["random_state"] = estimator.seed_
    names = getattr(estimator, "feature_names_in_", None)
    classes = getattr(estimator, "classes_", None)
    write_container(path, arrays, {
        "format_version": FORMAT_VERSION,
        "xpmlp": __version__,
        "estimator": type(estimator).__name__,
        "params": {k: _encode(v, f"the argument {k}") for k, v in params.items()},
        "layers": [_encode(layer, "the network") for layer in estimator.network_.layers],
        "fitted": {k: _encode(getattr(estimator, k), k) for k in FITTED},
        "history": {k: [_number(x) for x in v] for k, v in estimator.history_.items()},
        "target_name": getattr(estimator, "target_name_", None),
        "feature_names": None if names is None else [str(n) for n in names],
        "classes": classes if classes is None
        else {"dtype": classes.dtype.str, "values": classes.tolist()},
    })  # fmt: skip


def _number(x):
    return float(x) if np.isfinite(x) else None


def _encode(value, where):
    """Return a value as JSON can hold it, or refuse it in words."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple | np.ndarray):
        return [_encode(v, where) for v in value]
    if isinstance(value, type):  # dtype=np.float32
        return value.__name__
    if is_dataclass(value) and type(value) is RECORDS.get(type(value).__name__):
        own = {f.name: _encode(getattr(value, f.name), where) for f in fields(value)}
        return {"record": type(value).__name__, "fields": own}
    raise TypeError(
        f"a model file holds no code of your own, and {where} holds {value!r}: pickle the "
        "estimator, or rebuild the network from xpmlp's own layers and activations."
    )


def _decode(value):
    if isinstance(value, list):
        return tuple(_decode(v) for v in value)
    if isinstance(value, dict) and "float" in value:
        return float(value["float"])
    if isinstance(value, dict):
        return RECORDS[value["record"]](**{k: _decode(v) for k, v in value["fields"].items()})
    return value


def load_model(path):
    """Read a model file; needs NumPy only, wherever the model was trained.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    MLPClassifier or MLPRegressor
        Fitted, its arrays in NumPy. The optimizer's state is not in the file.

    Raises
    ------
    ModelFileError
        When the file is missing, damaged, not a model, or from a newer format.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> from xpmlp import MLPRegressor, load_model
    >>> reg = MLPRegressor(solver="lbfgs", random_state=0).fit([[0.0], [1.0]], [1.0, 3.0])
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "line.safetensors"
    >>> reg.save(path)
    >>> load_model(path).predict([[1.0]]).round(2).tolist()
    [3.0]
    """
    arrays, meta = read_container(path)
    try:
        return _rebuild(arrays, meta)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        raise ModelFileError(f"{path} is not a model of this version of xpmlp: {error}.") from error


def _rebuild(arrays, meta):
    from .classifier import MLPClassifier
    from .regressor import MLPRegressor

    kinds: dict[str, Any] = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}
    params = {k: _decode(v) for k, v in meta["params"].items()}
    estimator = kinds[meta["estimator"]](**(params | {"device": "auto"}))
    for name in FITTED:
        setattr(estimator, name, _decode(meta["fitted"][name]))
    network = Network(tuple(_decode(layer) for layer in meta["layers"]))
    n_outputs = cast(Dense, network.layers[-1]).n_out
    stats = {k: arrays.pop(k) for k in Scaling._fields if k in arrays}
    estimator.scaling_ = Scaling(**stats) if stats else None
    tree = _checked(network, arrays, estimator)
    estimator.network_ = network
    estimator._layout = Layout.of(network, tree, contiguous=False)
    collect(estimator, tree)
    estimator.history_ = new_history() | {
        k: [float("nan") if x is None else x for x in v] for k, v in meta["history"].items()
    }
    estimator.loss_curve_ = estimator.history_["loss"]
    estimator.n_layers_, estimator.n_outputs_ = len(estimator.coefs_) + 1, n_outputs
    early = estimator.early_stopping and estimator.solver != "lbfgs"
    estimator.validation_scores_ = estimator.history_["validation_score"] if early else None
    estimator._home = home(np.empty(0))
    estimator.device_ = estimator._home.device
    estimator._state = State(
        Carry({}, {}, {}), estimator.learning_rate_init, epoch=len(estimator.loss_curve_),
        n_seen=estimator.t_, n_iter=estimator.n_iter_, history=estimator.history_,
    )  # fmt: skip
    if meta["target_name"] is not None:
        estimator.target_name_ = str(meta["target_name"])
    if meta["feature_names"] is not None:
        estimator.feature_names_in_ = np.asarray(meta["feature_names"], object)
    if meta["classes"] is not None:
        estimator.classes_ = _classes(meta["classes"], n_outputs, estimator._task)
    return estimator


def _checked(network, arrays, estimator):
    """Return the parameters as nested dicts, each of the shape that the layers say."""
    tree: dict = {i: {} for i in range(len(network.layers))}
    n_in = estimator.n_features_in_
    if isinstance(n_in, bool) or not isinstance(n_in, int) or n_in < 1:
        raise ValueError(f"n_features_in_ is {n_in!r}")
    for i, layer in enumerate(network.layers):
        n_out = getattr(layer, "n_out", n_in)
        wanted = {"W": (n_in, n_out)} | (
            {"b": (1, n_out)} if getattr(layer, "use_bias", False) else {}
        )
        for name, shape in wanted.items() if hasattr(layer, "n_out") else ():
            a = arrays.pop(path_name((i, name)))
            if a.shape != shape or a.dtype != estimator._dtype:
                raise ValueError(
                    f"array {i}.{name} is {a.dtype} {a.shape}, expected {estimator._dtype} {shape}"
                )
            put(tree, (i, name), a)
        n_in = n_out
    if arrays:
        raise ValueError(f"it holds arrays that no layer has: {sorted(arrays)}")
    if estimator.scaling_ is not None:
        for name, a in estimator.scaling_._asdict().items():
            d = n_in if name.startswith("y") else estimator.n_features_in_
            if a is not None and (
                a.shape != (1, d) or (name.endswith("scale") and not (a > 0).all())
            ):
                raise ValueError(f"the statistics {name} are not {d} positive numbers")
    return tree


def _classes(stored, n_outputs, task):
    """Return `classes_`, sorted and as many as the outputs say."""
    dtype = np.dtype(stored["dtype"])
    if dtype.kind not in "biufUO" or not all(
        isinstance(v, str | int | float) for v in stored["values"]
    ):
        raise ValueError("class labels must be numbers or text")
    classes = np.asarray(stored["values"], dtype)
    expected = {1, 2} if task == "binary" else {n_outputs}
    if len(classes) not in expected or len(np.unique(classes)) != len(classes):
        raise ValueError(f"{len(classes)} class labels for {n_outputs} outputs")
    return classes
