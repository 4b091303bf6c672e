"""A fitted estimator as a model file, and back: tensors and plain JSON, no code, no pickle."""

from math import isfinite

from sklearn.base import is_classifier

from ..container import read_container, refusal, write_container
from ..engines import Carry
from ..model import Model
from ..model.json_records import decode, encode
from ..model.saving import as_model_file_error, decoded, pack_model, unpack_model
from ..nn.activations import get_activation
from ..nn.losses import match_loss
from ..tables.reading import PLAIN, Reading
from ..training import State, new_history
from .arguments import loss_of
from .fit_result import FitResult

FITTED = {"best_loss": (float,), "best_score": (float,), "seed": (int,)}  # of the training
FITTED |= dict.fromkeys(("n_iter", "n_seen", "step", "best_epoch"), (int,))
KEPT_EPOCHS = 1000  # of a longer history, a file keeps so many at most, and three more
MOST_EPOCHS = 10**7  # that a file may claim to be of
ONLY_FIT_USES = ("callbacks", "scoring", "learning_rate")  # a file may lack them


def save_model(estimator, path):
    """Write a fitted estimator to `path`."""
    result = estimator.result_
    arrays, about = pack_model(result.model)
    params = estimator.get_params(deep=False)
    if isinstance(params["init"], tuple | list):
        params["init"] = "auto"  # the weights themselves are in the file
    params |= {"callbacks": None, "checkpoint": None}
    if not isinstance(params["random_state"], int | None):
        params["random_state"] = result.seed
    types = getattr(estimator, "table_types_", None)
    fitted = vars(result.state) | {"seed": result.seed}
    known = _kinds(result.model.inputs.encoder)  # which the arrays hold, of any number of columns
    kind = type(estimator)
    meta = {
        "estimator": kind.__name__,
        "params": dict(_arguments(params)),
        **about,
        "fitted": {k: encode(fitted[k], k) for k in FITTED},
        "n_epochs": len(result.state.history["loss"]),
        "history": {k: encode(v, k) for k, v in _thinned(result.state).items()},
        "target_name": getattr(estimator, "target_name_", None),
        "training": result.record or {},
        "baseline": getattr(estimator, "baseline_", None),
        "table_types": types and {k: v for k, v in types.items() if known.get(k) != v},
        "table_reading": _said(getattr(estimator, "table_reading_", PLAIN)),
    }
    if not kind.__module__.startswith(f"{__package__}."):
        raise TypeError(f"a model file holds no {kind.__name__}, a class of your own: pickle it.")
    _rebuild(dict(arrays), meta, {kind.__name__: kind})  # what could not be read is not written
    write_container(path, arrays, meta)


def onnx_metadata(estimator, result):
    """Return what an ONNX file has beside the model itself, by name; result: a `FitResult`."""
    about = {"estimator": type(estimator).__name__, "epochs": result.state.epoch}
    if result.model.inputs.names:
        about["feature_names"] = [*result.model.inputs.names]
    own = {"target": "target_name_", "table_types": "table_types_"}
    return about | {
        k: getattr(estimator, name) for k, name in own.items() if hasattr(estimator, name)
    }


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
    if "estimator" not in meta:
        alone = "it holds a model alone, without an estimator's arguments and training"
        raise refusal(path, f"{alone}: xpmlp.load reads it")
    with as_model_file_error(path):
        return _rebuild(arrays, meta, kinds)


def _rebuild(arrays, meta, kinds):
    params = {k: decode(v) for k, v in meta["params"].items()}
    if meta["estimator"] not in kinds:
        raise ValueError(f"{meta['estimator']!r} is none of {', '.join(kinds)}")
    estimator = kinds[meta["estimator"]](**(params | {"device": "auto"}))
    estimator._validate_params()
    given = estimator.activation
    for activation in given if isinstance(given, list | tuple) else [given]:
        get_activation(activation)
    fitted = decoded(meta["fitted"], FITTED)
    if fitted["step"] < 0:
        raise ValueError(f"its step is {fitted['step']}")
    seed, history = fitted.pop("seed"), _history(meta, fitted["best_epoch"])
    state = State(
        Carry({}, {}, {}),
        estimator.learning_rate_init,
        epoch=len(history["loss"]),
        history=history,
        **fitted,
    )
    model = Model.of(*unpack_model(arrays, meta))
    estimator.result_, task = FitResult.of(estimator, model, state, seed), model.targets.task
    if (task == "regression") == is_classifier(estimator):
        raise ValueError(f"its task is {task!r}")
    match_loss(loss_of(estimator), task, estimator.out_activation_)
    if meta["target_name"] is not None:
        estimator.target_name_ = str(meta["target_name"])
    estimator.training_record_ = dict(meta.get("training") or {})
    if meta.get("baseline") is not None:
        estimator.baseline_ = _baseline(meta["baseline"], model.targets.classes)
    known = _kinds(model.inputs.encoder)
    if meta.get("table_types") is not None:
        own = {str(k): str(v) for k, v in meta["table_types"].items()}
        if known and not {*own} <= {*known}:
            raise ValueError("it has types of columns that its table lacks")
        estimator.table_types_ = known | own
    said = meta.get("table_reading")
    if said is not None:
        estimator.table_reading_ = Reading(**said | {"missing": tuple(said["missing"])}).of_cells
    return estimator


def _said(reading):
    """Return how cells are read as JSON, None where nothing was said of it."""
    if reading == PLAIN:
        return None
    return {"missing": list(reading.missing)} | {
        name: getattr(reading, name) for name in ("decimal", "thousands")
    }


def _kept_epochs(n, best):
    """Return the numbers, from 1, of the epochs whose history a file keeps, of n in all.

    The first, the last, the best, and every second, or fourth, or eighth and so on: what a file
    with a later epoch keeps, an earlier one has kept.
    """
    step = 1
    while n > KEPT_EPOCHS * step:
        step *= 2
    return sorted({*range(step, n + 1, step)} | ({1, best, n} & {*range(1, n + 1)}))


def _thinned(state):
    """Return a history without the epochs that a file leaves out."""
    kept = _kept_epochs(len(state.history["loss"]), state.best_epoch)
    return {k: values and [values[i - 1] for i in kept] for k, values in state.history.items()}


def _history(meta, best):
    """Return the history in a file, an entry for each epoch: NaN where it was left out."""
    stored, history = {k: decode(values) for k, values in meta["history"].items()}, new_history()
    n = meta.get("n_epochs", len(stored["loss"]))
    if type(n) is not int or not 0 <= best <= n <= MOST_EPOCHS:
        raise ValueError(f"it has no epoch {best} of {n}")
    kept = _kept_epochs(n, best)
    for name, values in stored.items():
        history[name] = [float("nan")] * (n * bool(values))
        for i, value in zip(kept, values, strict=bool(values)):
            history[name][i - 1] = float(value)
    return history


def _baseline(stored, classes):
    """Return what is kept of the training's targets: shares of the classes, or mean and median."""
    if classes is None:
        found = decoded(stored, {"mean": (float,), "median": (float,)})
        if not all(map(isfinite, found.values())):
            raise ValueError(f"its baseline is {found}")
        return found
    shares = [float(share) for share in stored["shares"]]
    if len(shares) != len(classes) or not all(0 <= share <= 1 for share in shares):
        raise ValueError(f"it has shares {shares} of {len(classes)} classes")
    return {"shares": shares}


def _kinds(encoder):
    """Return the kinds of a table's columns by their names, none for those of an array."""
    if encoder is None or not encoder.named:
        return {}
    return {c.name: c.kind for c in encoder.columns}
