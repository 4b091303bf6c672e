"""A fitted estimator as a model file, and back: tensors and plain JSON, no code, no pickle."""

import json
from dataclasses import fields, is_dataclass, replace

import numpy as np
from sklearn.base import is_classifier

from .. import __version__
from ..arrays import HOST
from ..engines import Carry
from ..errors import ModelFileError
from ..model import ClassTargets, Inputs, LabelTargets, Model, NumberTargets, Scaling
from ..model.container import FORMAT_VERSION, MAX_ARRAYS, read_container, write_container
from ..model.encoding import Column, Encoder, Scales
from ..nn import LAYERS, Dense, Loss, Network, initializers
from ..nn.activations import ACTIVATIONS, ActivationFunction, get_activation
from ..nn.layout import path_name, put, walk
from ..nn.losses import LINKS, LOSSES, MAKERS, match_loss, quantile
from ..optim import RULES, schedules
from ..training import State, new_history

_SCORE = (float, type(None))
FITTED = {  # numbers of the training
    "loss_": _SCORE, "best_loss_": _SCORE, "best_validation_score_": _SCORE, "n_iter_": (int,),
    "t_": (int,), "n_features_in_": (int,), "seed_": (int,),
}  # fmt: skip
MODEL = {  # what the model's records hold beside arrays and layers
    "task": (str,), "dtype": (str,), "link": (str,), "quantiles": (tuple, type(None)),
}  # fmt: skip
ONLY_FIT_USES = ("callbacks", "scoring", "learning_rate")  # a file may lack them
MAX_DEPTH = 64  # of lists and records in one another


def _dataclasses(module):
    classes = [c for c in vars(module).values() if isinstance(c, type) and is_dataclass(c)]
    return [c for c in classes if c.__module__ == module.__name__]


RECORDS = {  # what a file may name: records of numbers, names and other records
    c.__name__: c
    for c in (
        *LAYERS.values(), Network, *RULES.values(), *_dataclasses(initializers),
        *_dataclasses(schedules),
    )
}  # fmt: skip


def save_model(estimator, path):
    """Write a fitted estimator to `path`."""
    model = estimator._fitted
    inputs, targets, encoder = model.inputs, model.targets, model.inputs.encoder
    arrays = model.layout.pack(model.params(np.empty(0)), xp=np)
    scaling = estimator.scaling_
    if scaling is not None:
        arrays |= {k: v for k, v in scaling._asdict().items() if v is not None}
    if encoder is not None:
        arrays |= _stored(encoder)
    own = {
        "task": targets.task, "dtype": inputs.dtype, "link": targets.link,
        "quantiles": getattr(targets, "quantiles", ()) or None,
    }  # fmt: skip
    params = estimator.get_params(deep=False)
    if isinstance(params["init"], tuple | list):
        params["init"] = "auto"  # the weights themselves are in the file
    params["callbacks"] = None
    if not isinstance(params["random_state"], int | None):
        params["random_state"] = estimator.seed_
    names, types = (getattr(estimator, k, None) for k in ("feature_names_in_", "table_types_"))
    known = _kinds(encoder)  # which the arrays hold, of any number of columns
    classes = getattr(estimator, "classes_", None)
    meta = {
        "format_version": FORMAT_VERSION,
        "xpmlp": __version__,
        "estimator": type(estimator).__name__,
        "params": dict(_arguments(params)),
        "layers": [_encode(layer, "the network") for layer in model.network.layers],
        "model": {k: _encode(v, k) for k, v in own.items()},
        "fitted": {k: _encode(getattr(estimator, k), k) for k in FITTED},
        "history": {k: [_number(x) for x in v] for k, v in estimator.history_.items()},
        "step": estimator._state.step,
        "target_name": getattr(estimator, "target_name_", None),
        "table_types": types and {k: v for k, v in types.items() if known.get(k) != v},
        "feature_names": None if names is None or known else [str(n) for n in names],
        "classes": classes if classes is None
        else {"dtype": classes.dtype.str, "values": classes.tolist()},
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
            yield name, _encode(value, f"the argument {name}")
        except TypeError:
            if name not in ONLY_FIT_USES:
                raise


def _encode(value, where):
    """Return a value as JSON can hold it, or refuse it in words."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, ActivationFunction | Loss):
        if (ACTIVATIONS | LOSSES).get(value.name) == value:
            return value.name
        if isinstance(value, Loss) and value.name in MAKERS and is_dataclass(value.value_and_grad):
            own = vars(value.value_and_grad)
            if MAKERS[value.name](**own) == value:
                own = {k: _encode(v, where) for k, v in own.items()}
                return {"loss": value.name, "fields": own}
    elif isinstance(value, list | tuple | np.ndarray):
        items = [_encode(v, where) for v in value]
        return {"list": items} if isinstance(value, list) else items
    if isinstance(value, dict):
        return {"dict": [[_encode(k, where), _encode(v, where)] for k, v in value.items()]}
    if isinstance(value, type | np.dtype):  # dtype=np.float32
        return np.dtype(value).name
    if is_dataclass(value) and type(value) is RECORDS.get(type(value).__name__):
        own = {f.name: _encode(getattr(value, f.name), where) for f in fields(value)}
        return {"record": type(value).__name__, "fields": own}
    raise TypeError(
        f"a model file holds no code of your own, and {where} holds {value!r}: pickle the "
        "estimator, or rebuild the network from xpmlp's own layers and activations."
    )


def _decode(value, depth=0):
    if depth > MAX_DEPTH:
        raise ValueError(f"it nests lists and records more than {MAX_DEPTH} deep")
    if isinstance(value, list):
        return tuple(_decode(v, depth + 1) for v in value)
    if not isinstance(value, dict):
        return value
    if "float" in value:
        return float(value["float"])
    if "list" in value:
        return list(_decode(value["list"], depth + 1))
    if "dict" in value:
        return dict(_decode(value["dict"], depth + 1))
    made = {k: _decode(v, depth + 1) for k, v in value["fields"].items()}
    return MAKERS[value["loss"]](**made) if "loss" in value else RECORDS[value["record"]](**made)


def read_model(path, kinds):
    """Return the estimator in a model file; kinds: name -> class of those that it may hold."""
    arrays, meta = read_container(path)
    try:
        return _rebuild(arrays, meta, kinds)
    except Exception as error:  # hostile metadata raise a dozen kinds, down to RecursionError
        reason = f"unknown or missing {error}" if isinstance(error, KeyError) else error
        text = " ".join(str(reason).split())[:300]
        raise ModelFileError(f"{path} is not a model of this version of xpmlp: {text}.") from error


def _rebuild(arrays, meta, kinds):
    params = {k: _decode(v) for k, v in meta["params"].items()}
    if meta["estimator"] not in kinds:
        raise ValueError(f"{meta['estimator']!r} is none of {', '.join(kinds)}")
    estimator = kinds[meta["estimator"]](**(params | {"device": "auto"}))
    tasks = ("binary", "multiclass", "multilabel") if is_classifier(estimator) else ("regression",)
    estimator._validate_params()
    given = estimator.activation
    for activation in given if isinstance(given, list | tuple) else [given]:
        get_activation(activation)
    for name, value in _values(meta["fitted"], FITTED).items():
        setattr(estimator, name, value)
    estimator._model = model = _rebuilt(arrays, meta, estimator.n_features_in_)
    if model.targets.task not in tasks:
        raise ValueError(f"its task is {model.targets.task!r}")
    match_loss(estimator._loss(), model.targets.task, estimator.out_activation_)
    estimator.history_ = new_history() | {
        k: [float("nan" if x is None else x) for x in v] for k, v in meta["history"].items()
    }
    estimator.loss_curve_ = estimator.history_["loss"]
    estimator.n_iter_total_ = len(estimator.loss_curve_)
    early = estimator.early_stopping and estimator.solver != "lbfgs"
    estimator.validation_scores_ = estimator.history_["validation_score"] if early else None
    estimator._state = State(
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


def _values(stored, kinds):
    """Return decoded values of the types that they must have, by name."""
    found = {name: _decode(stored[name]) for name in kinds}
    for name, value in found.items():
        if type(value) not in kinds[name]:
            raise ValueError(f"{name} is {value!r}")
    return found


def _rebuilt(arrays, meta, n_features):
    """Return the `Model` in a file. Takes its arrays out of `arrays`."""
    own = _values(meta["model"], MODEL)
    task, dtype, link, quantiles = (own[name] for name in MODEL)
    if dtype not in ("float32", "float64") or link not in LINKS:
        raise ValueError(f"its dtype is {dtype!r}, its link {link!r}")
    if quantiles is not None:
        quantile(quantiles)
    if len(meta["layers"]) > MAX_ARRAYS:
        raise ValueError(f"it has {len(meta['layers'])} layers")
    network = Network(tuple(_decode(layer) for layer in meta["layers"]))
    last = network.layers[-1]
    if type(last) is not Dense:
        raise ValueError(f"its last layer is {last!r}, expected a Dense")
    n_outputs, rest = divmod(last.n_out, len(quantiles or (0.5,)))
    if rest:
        raise ValueError(f"it has {last.n_out} outputs for quantiles {quantiles}")
    stats = Scaling(*(arrays.pop(k, None) for k in Scaling._fields))
    encoder = _encoder(arrays, n_features, network) if "encoder.text" in arrays else None
    inputs = Inputs(n_features, dtype, HOST, encoder=encoder)
    tree = _checked(network, arrays, inputs, stats, n_outputs)
    inputs = replace(inputs, scaling=Scaling(stats.x_mean, stats.x_scale))
    return Model.of(network, inputs, _targets(meta, own, stats, n_outputs), tree)


def _targets(meta, own, stats, n_outputs):
    """Return what the outputs mean."""
    task, link = own["task"], own["link"]
    if task == "regression":
        scaling = Scaling(y_mean=stats.y_mean, y_scale=stats.y_scale)
        return NumberTargets(n_outputs, link, own["quantiles"] or (), scaling)
    if stats.y_mean is not None:
        raise ValueError("it has statistics of targets that are no numbers")
    classes = _classes(meta["classes"], n_outputs, task)
    return LabelTargets(n_outputs, link) if task == "multilabel" else ClassTargets(classes, link)


def _kinds(encoder):
    """Return the kinds of a table's columns by their names, none for those of an array."""
    named = encoder is not None and encoder.named
    return {c.name: c.kind for c in encoder.columns} if named else {}


def _stored(encoder):
    """Return the arrays that hold an encoder; its text is one, as categories may be many."""
    text = {
        "columns": [[getattr(c, f.name) for f in fields(c)] for c in encoder.columns],
        "n_edges": [len(a) for a in encoder.edges],
        "robust": encoder.robust,
        "named": encoder.named,
    }
    made = json.dumps(text).encode()
    made += b" " * (-len(made) % 4)
    return {
        "encoder.text": np.frombuffer(made, "<i4"),
        "encoder.edges": np.concatenate([np.empty(0), *encoder.edges]),
        **{f"encoder.{k}": v for k, v in encoder.scales._asdict().items()},
    }


def _encoder(arrays, n_features, network):
    """Return the encoder of a table, whose arrays are taken out of `arrays`."""
    text = json.loads(arrays.pop("encoder.text").astype("<i4").tobytes())
    columns = [
        Column(name, kind, bool(missing), tuple(categories), bool(times), bool(embedded))
        for name, kind, missing, categories, times, embedded in text["columns"]
    ]
    if len(columns) != n_features:
        raise ValueError(f"it has {len(columns)} columns for {n_features} features")
    scales = Scales(*(arrays.pop(f"encoder.{name}") for name in Scales._fields))
    edges, ends = arrays.pop("encoder.edges"), np.cumsum(text["n_edges"], dtype=np.int64)
    if any(a.dtype != np.float64 for a in (*scales, edges)):
        raise ValueError("the scales of its table are not float64")
    if [len(edges)] != [0, *ends.tolist()][-1:]:
        raise ValueError(f"it has {len(edges)} edges of bins, expected {text['n_edges']}")
    parts = tuple(np.split(edges, ends[:-1])) if len(ends) else ()
    encoder = Encoder(tuple(columns), scales, parts, bool(text["robust"]), bool(text["named"]))
    if encoder.sizes and getattr(network.layers[0], "sizes", None) != encoder.sizes:
        raise ValueError(f"its first layer embeds no categories of {encoder.sizes}")
    return encoder


def _checked(network, arrays, inputs, scaling, n_outputs):
    """Return the parameters as nested dicts, each of the shape that the layers say."""
    tree: dict = {}
    if inputs.n_features < 1:
        raise ValueError(f"n_features_in_ is {inputs.n_features!r}")
    shapes, _ = network.shapes(inputs.width)
    for path, _, shape in walk(network, shapes):
        name, dtype = path_name(path), inputs.dtype
        a = arrays.pop(name)
        if a.shape != shape or a.dtype != dtype:
            raise ValueError(f"array {name} is {a.dtype} {a.shape}, expected {dtype} {shape}")
        if path[-1] == "var" and not (a >= 0).all():
            raise ValueError(f"array {name} holds variances below 0")
        put(tree, path, a)
    if arrays:
        raise ValueError(f"it holds arrays that no layer has: {sorted(arrays)}")
    x_mean, x_scale, y_mean, y_scale = (a is None for a in scaling)
    if x_mean != x_scale or y_mean != y_scale:
        raise ValueError("a mean and its scale go together")
    for name, a in scaling._asdict().items():
        d = n_outputs if name.startswith("y") else inputs.n_features
        if a is not None and (a.shape != (1, d) or (name.endswith("scale") and not (a > 0).all())):
            raise ValueError(f"the statistics {name} are not {d} positive numbers")
    return tree


def _classes(stored, n_outputs, task):
    """Return `classes_`, sorted and as many as the outputs say."""
    dtype = np.dtype(stored["dtype"])
    if dtype.kind not in "biufUO" or not all(
        isinstance(v, str | int | float) for v in stored["values"]
    ):
        raise ValueError("class labels must be numbers or text")
    # Text is as wide as its longest label, whatever width the file declares.
    classes = np.asarray(stored["values"], "U" if dtype.kind == "U" else dtype)
    expected = {1, 2} if task == "binary" else {n_outputs}
    if len(classes) not in expected or (task == "binary" and n_outputs != 1):
        raise ValueError(f"{len(classes)} class labels for {n_outputs} outputs")
    if classes.tolist() != stored["values"] or np.unique(classes).tolist() != stored["values"]:
        raise ValueError(f"the class labels are not sorted, different values of type {dtype}")
    return classes
