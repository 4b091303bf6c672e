"""A fitted estimator as a model file, and back: tensors and plain JSON, no code, no pickle."""

import numpy as np
from sklearn.base import is_classifier

from ..engines import Carry
from ..model import Model
from ..model.container import read_container, write_container
from ..model.json_records import decode, encode
from ..model.saving import as_model_file_error, decoded, pack_model, unpack_model
from ..nn.activations import get_activation
from ..nn.losses import match_loss
from ..training import State, new_history
from .arguments import loss_of

_SCORE = (float, type(None))
FITTED = {  # numbers of the training
    "loss_": _SCORE, "best_loss_": _SCORE, "best_validation_score_": _SCORE, "n_iter_": (int,),
    "t_": (int,), "seed_": (int,),
}  # fmt: skip
ONLY_FIT_USES = ("callbacks", "scoring", "learning_rate")  # a file may lack them


def save_model(estimator, path):
    """Write a fitted estimator to `path`."""
    arrays, about = pack_model(estimator.model_)
    params = estimator.get_params(deep=False)
    if isinstance(params["init"], tuple | list):
        params["init"] = "auto"  # the weights themselves are in the file
    params["callbacks"] = None
    if not isinstance(params["random_state"], int | None):
        params["random_state"] = estimator.seed_
    names, types = (getattr(estimator, k, None) for k in ("feature_names_in_", "table_types_"))
    known = _kinds(estimator.encoder_)  # which the arrays hold, of any number of columns
    meta = {
        "estimator": type(estimator).__name__,
        "params": dict(_arguments(params)),
        **about,
        "fitted": {k: encode(getattr(estimator, k), k) for k in FITTED},
        "history": {k: [_number(x) for x in v] for k, v in estimator.history_.items()},
        "step": estimator.state_.step,
        "target_name": getattr(estimator, "target_name_", None),
        "table_types": types and {k: v for k, v in types.items() if known.get(k) != v},
        "feature_names": None if names is None or known else [str(n) for n in names],
    }  # fmt: skip
    kind = type(estimator)
    if not kind.__module__.startswith(f"{__package__}."):
        raise TypeError(f"a model file holds no {kind.__name__}, a class of your own: pickle it.")
    _rebuild(dict(arrays), meta, {kind.__name__: kind})  # what could not be read is not written
    write_container(path, arrays, meta)


def _count(n):
    if type(n) is not int or n < 0:
        raise ValueError(f"its step is {n!r}")
    return n


def _either(value, otherwise):
    return otherwise if value is None else value


def _number(x):
    return float(x) if np.isfinite(x) else None


def _arguments(params):
    """Yield the arguments as JSON can hold them, without code that only a fit would run."""
    for name, value in params.items():
        try:
            yield name, encode(value, f"the argument {name}")
        except TypeError:
            if name not in ONLY_FIT_USES:
                raise


def read_model(path, kinds):
    """Return the estimator in a model file; kinds: name -> class of those that it may hold."""
    arrays, meta = read_container(path)
    with as_model_file_error(path):
        return _rebuild(arrays, meta, kinds)


def _rebuild(arrays, meta, kinds):
    if "estimator" not in meta:
        raise ValueError(
            "it holds a model alone, without an estimator's arguments and training: xpmlp.load "
            "reads it"
        )
    params = {k: decode(v) for k, v in meta["params"].items()}
    if meta["estimator"] not in kinds:
        raise ValueError(f"{meta['estimator']!r} is none of {', '.join(kinds)}")
    estimator = kinds[meta["estimator"]](**(params | {"device": "auto"}))
    tasks = ("binary", "multiclass", "multilabel") if is_classifier(estimator) else ("regression",)
    estimator._validate_params()
    given = estimator.activation
    for activation in given if isinstance(given, list | tuple) else [given]:
        get_activation(activation)
    for name, value in decoded(meta["fitted"], FITTED).items():
        setattr(estimator, name, value)
    estimator.model_ = model = Model.of(*unpack_model(arrays, meta))
    estimator.n_features_in_ = model.inputs.n_features
    if model.targets.task not in tasks:
        raise ValueError(f"its task is {model.targets.task!r}")
    match_loss(loss_of(estimator), model.targets.task, estimator.out_activation_)
    estimator.history_ = new_history() | {
        k: [float("nan" if x is None else x) for x in v] for k, v in meta["history"].items()
    }
    estimator.loss_curve_ = estimator.history_["loss"]
    estimator.n_iter_total_ = len(estimator.loss_curve_)
    early = estimator.early_stopping and estimator.solver != "lbfgs"
    estimator.validation_scores_ = estimator.history_["validation_score"] if early else None
    estimator.state_ = State(
        Carry({}, {}, {}), estimator.learning_rate_init, epoch=estimator.n_iter_total_,
        step=_count(meta["step"]), best_loss=_either(estimator.best_loss_, np.inf),
        best_score=_either(estimator.best_validation_score_, -np.inf),
        n_seen=estimator.t_, n_iter=estimator.n_iter_, history=estimator.history_,
    )  # fmt: skip
    if meta["target_name"] is not None:
        estimator.target_name_ = str(meta["target_name"])
    known = _kinds(model.inputs.encoder)
    if known:
        estimator.feature_names_in_ = np.asarray([*known], object)
    if meta.get("table_types") is not None:
        own = {str(k): str(v) for k, v in meta["table_types"].items()}
        if known and not {*own} <= {*known}:
            raise ValueError("it has types of columns that its table lacks")
        estimator.table_types_ = known | own
    if meta["feature_names"] is not None:
        if len(meta["feature_names"]) != estimator.n_features_in_:
            raise ValueError(f"it names {len(meta['feature_names'])} features")
        estimator.feature_names_in_ = np.asarray(meta["feature_names"], object)
    return estimator


def _kinds(encoder):
    """Return the kinds of a table's columns by their names, none for those of an array."""
    named = encoder is not None and encoder.named
    return {c.name: c.kind for c in encoder.columns} if named else {}
