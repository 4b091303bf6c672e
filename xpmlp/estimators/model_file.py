"""A fitted estimator as a model file, and back: tensors and plain JSON, no code, no pickle."""

from dataclasses import replace
from inspect import signature

from ..container import read_container, refusal, write_container
from ..engines import Carry
from ..model.fields import (
    anything,
    by_name,
    label,
    maybe,
    measured,
    nothing,
    number,
    record,
    row,
    several,
    text,
    title,
    whole,
    word,
    written,
)
from ..model.json_records import decode, decode_all, encode
from ..model.record import unpacked
from ..model.saving import FIELDS, as_model_file_error, pack_model, take_training
from ..plain import boolean
from ..tables.reading import PLAIN, Reading
from ..training import State, new_history
from ..words import listed
from .described import check_described
from .fit_result import FitResult
from .training_file import STATE, pack_training, unpack_training

KEPT_EPOCHS = 1000  # of a longer history, a file keeps so many at most, and three more
MOST_EPOCHS = 10**6  # with a history: a file of more keeps none, as each entry takes memory
NOT_KEPT = ("callbacks", "checkpoint")  # always None in a file
POSITIVE = ("learning_rate", "seconds")  # of a history
ONLY_FIT_USES = ("callbacks", "scoring", "learning_rate")  # a file may lack them
FITTED = {  # of the training
    "best_loss": measured("inf", "nan"),
    "best_score": measured("-inf"),
    "seed": whole(0, 2**32 - 1),
    **dict.fromkeys(("epoch", "n_iter", "n_seen", "step", "best_epoch"), whole()),
}
KEPT = KEPT_EPOCHS + 3
NUMBERS = record({"list": several(measured("nan", "inf", "-inf"), KEPT)})
AMOUNTS = record({"list": several(measured("nan", low=0.0), KEPT)})
SCORE = maybe(number())
SCORES = {
    "metrics": by_name(SCORE),
    "notes": by_name(text),
    "baseline": record({"always": label, "of": text, "metrics": by_name(SCORE)}),
    "classes": several(
        record(
            {"label": label, "rows": whole()} | dict.fromkeys(("precision", "recall", "f1"), SCORE)
        )
    ),
    "threshold": SCORE,
    "words": several(text),
}
FOLDS = {
    "n": whole(1),
    "mean": by_name(SCORE),
    "deviation": by_name(SCORE),
    "scores": several(by_name(SCORE)),
}
TRAINING = {  # what the command line says of it
    "xpmlp": FIELDS["xpmlp"],
    "date": written(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", "a date and a time in UTC"),
    "data": text,
    "rows": record(dict.fromkeys(("train", "validation", "test", "left_out"), whole())),
    "options": by_name(text),
    "scores": record(SCORES),
    "folds": record(FOLDS),
}
TYPE = r"(number|boolean|category|date|time|duration)(:.{1,200})?"
READING = {
    "missing": several(text),
    "decimal": maybe(word(".", ",")),
    "thousands": maybe(text),
}
ESTIMATOR = FIELDS | {
    "estimator": text,
    "params": by_name(anything),
    "fitted": record(FITTED, ("epoch",)),
    "n_epochs": whole(),
    "history": record(dict.fromkeys(new_history(), NUMBERS) | dict.fromkeys(POSITIVE, AMOUNTS)),
    "target_name": maybe(title),
    "training": maybe(record(TRAINING, tuple(TRAINING))),
    "baseline": maybe(by_name(anything)),
    "table_types": maybe(by_name(written(f"(?s:{TYPE})", "a type of columns"))),
    "table_reading": maybe(record(READING)),
    "state": maybe(record(STATE)),
}


def save_model(estimator, path, *, training=False):
    """Write a fitted estimator to `path`; training: with its State, for `partial_fit`."""
    result = estimator.result_
    arrays, about = pack_model(result.model)
    kept, state = {}, None
    if boolean(training, "training"):
        kept, state = pack_training(estimator, result.state)
    params = estimator.get_params(deep=False)
    if isinstance(params["init"], tuple | list):
        params["init"] = "auto"  # the weights themselves are in the file
    params |= dict.fromkeys(NOT_KEPT)
    if not isinstance(params["random_state"], int | None):
        params["random_state"] = result.seed
    types = getattr(estimator, "table_types_", None)
    fitted = vars(result.state) | {"seed": result.seed}
    known = _kinds(result.model.inputs.encoder)  # which the arrays hold, of any number of columns
    kind = type(estimator)
    meta = {
        "estimator": kind.__name__,
        "params": dict(_arguments(params, () if training else ONLY_FIT_USES)),
        **about,
        "fitted": {k: encode(fitted[k], k) for k in FITTED},
        "n_epochs": len(result.state.history["loss"]),
        "history": {k: encode(v, k) for k, v in _thinned(result.state).items()},
        "target_name": getattr(estimator, "target_name_", None),
        "training": result.record or {},
        "baseline": getattr(estimator, "baseline_", None),
        "table_types": types and {k: v for k, v in types.items() if known.get(k) != v},
        "table_reading": _said(getattr(estimator, "table_reading_", PLAIN)),
        "state": state,
    }
    if not kind.__module__.startswith(f"{__package__}."):
        raise TypeError(f"a model file holds no {kind.__name__}, a class of your own: pickle it.")
    arrays |= kept
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


def _arguments(params, dispensable):
    """Yield the arguments as JSON can hold them, but for code in those that are dispensable."""
    for name, value in params.items():
        try:
            yield name, encode(value, f"the argument {name}")
        except TypeError:
            if name not in dispensable:
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
    kept = take_training(arrays)
    model = unpacked(arrays, meta, ESTIMATOR)
    kind, params = kinds.get(meta["estimator"]), decode_all(meta["params"])
    if kind is None:
        raise ValueError(f"its estimator {meta['estimator']!r:.60} is none of {', '.join(kinds)}")
    unknown = params.keys() - signature(kind).parameters.keys()
    if unknown:
        raise ValueError(f"it has arguments that {kind.__name__} lacks: {listed(sorted(unknown))}")
    for name in NOT_KEPT:
        nothing(params.get(name), f"metadata.params.{name}")
    title(params.get("device", "auto"), "metadata.params.device")
    estimator = kind(**params | {"device": "auto"})
    estimator.result_ = _result(estimator, model, meta, kept)
    if meta.get("state") and meta["state"]["random_state"]:
        estimator.random_state = estimator.state_.draws.copy().generator
    check_described(estimator)
    _tell_of_table(estimator, meta)
    return estimator


def _result(estimator, model, meta, kept):
    """Return the `FitResult` that a file holds of an estimator; kept: the arrays of its State."""
    fitted = decode_all(meta["fitted"])
    n = meta.get("n_epochs", len(meta["history"]["loss"]["list"]))
    epoch, seed = fitted.pop("epoch", n), fitted.pop("seed")
    if not max(fitted["best_epoch"], fitted["n_iter"]) <= epoch:
        raise ValueError(f"it has no epoch {fitted['best_epoch']} of {epoch}")
    history = _history(meta["history"], n, fitted["best_epoch"])
    lr = estimator.learning_rate_init
    state = State(Carry({}, {}, {}), lr, epoch=epoch, history=history, **fitted)
    if meta.get("state") is not None:
        state = unpack_training(kept, meta["state"], state, model)
    elif kept:
        raise ValueError(f"it holds arrays that no training has: {sorted(kept)}")
    result = FitResult.of(estimator, model, state, seed)
    return replace(result, record=meta.get("training") or {})


def _tell_of_table(estimator, meta):
    """Set what is known of the data that an estimator was trained on."""
    model = estimator.model_
    if meta["target_name"] is not None:
        estimator.target_name_ = meta["target_name"]
    if meta.get("baseline") is not None:
        estimator.baseline_ = _baseline(meta["baseline"], model.targets.classes)
    known, own = _kinds(model.inputs.encoder), meta.get("table_types")
    if own is not None:
        if known and not {*own} <= {*known}:
            raise ValueError("it has types of columns that its table lacks")
        estimator.table_types_ = known | own
    said = meta.get("table_reading")
    if said is not None:
        estimator.table_reading_ = Reading(**said | {"missing": tuple(said["missing"])}).of_cells


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
    return sorted({*range(step, n + 1, step), *(i for i in (1, best, n) if 1 <= i <= n)})


def _thinned(state):
    """Return a history without the epochs that a file leaves out."""
    n = len(state.history["loss"])
    if n > MOST_EPOCHS:
        return new_history()
    kept = _kept_epochs(n, state.best_epoch)
    return {k: values and [values[i - 1] for i in kept] for k, values in state.history.items()}


def _history(stored, n, best):
    """Return the history of n epochs in a file: NaN where an epoch was left out."""
    history, kept = new_history(), []
    if n <= MOST_EPOCHS:
        kept = _kept_epochs(n, best)
    for name, values in stored.items():
        if len(values["list"]) not in (0, len(kept)):
            raise ValueError(f"its history has {len(values['list'])} values of {n} epochs")
        if values["list"]:
            history[name] = [float("nan")] * n
        for i, value in zip(kept, values["list"]):
            history[name][i - 1] = float(decode(value))
    return history


def _baseline(stored, classes):
    """Return what is kept of the training's targets: shares of the classes, or mean and median."""
    known = {"mean": number(), "median": number()}
    if classes is not None:
        known = {"shares": row(*[number(0.0, 1.0)] * len(classes))}
    record(known)(stored, "metadata.baseline")
    return stored


def _kinds(encoder):
    """Return the kinds of a table's columns by their names, none for those of an array."""
    if encoder is None or not encoder.named:
        return {}
    return {c.name: c.kind for c in encoder.columns}
