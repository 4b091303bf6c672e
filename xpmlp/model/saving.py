"""A model as named arrays and plain JSON, and back: what a model file holds of it."""

import json
from contextlib import contextmanager
from dataclasses import fields

import numpy as np

from .. import __version__
from ..arrays import HOST
from ..container import MAX_ARRAYS, refusal
from ..nn import Dense, Network
from ..nn.layout import path_name, put, walk
from ..nn.loss import LINKS
from ..nn.losses import quantile
from ..words import abridged, escaped
from .columns import Column
from .encoding import Encoder, Scales
from .inputs import Inputs
from .json_records import decode, encode
from .scaling import Scaling, Scalings
from .targets import ClassTargets, LabelTargets, NumberTargets, with_threshold

VALUES = {  # what the model's records hold beside arrays and layers, and its types
    "n_features": (int,),
    "task": (str,),
    "dtype": (str,),
    "link": (str,),
    "quantiles": (tuple, type(None)),
}


@contextmanager
def as_model_file_error(path):
    """Re-raise any error as a ModelFileError: hostile metadata raise a dozen kinds."""
    try:
        yield
    except Exception as error:  # down to RecursionError
        text = abridged(escaped(str(error)), 300) or type(error).__name__
        if isinstance(error, KeyError):
            text = f"unknown or missing {text}"
        raise refusal(path, text.removesuffix(".")) from error


def pack_model(model):
    """Return a model as named host arrays and what JSON can hold.

    Raises
    ------
    TypeError
        When the network holds a layer or activation of a user's own.
    """
    inputs, targets, encoder = model.inputs, model.targets, model.inputs.encoder
    arrays = model.layout.pack(model.params(np.empty(0)), xp=np)
    scalings = Scalings(*inputs.scaling, *targets.scaling)
    arrays |= {k: v for k, v in scalings._asdict().items() if v is not None}
    if encoder is not None:
        arrays |= _stored(encoder)
    own = inputs.n_features, targets.task, inputs.dtype, targets.link, targets.quantiles or None
    classes = targets.classes
    if classes is not None:
        classes = {"dtype": classes.dtype.str, "values": classes.tolist()}
    return arrays, {
        "xpmlp": __version__,
        "layers": [encode(layer, "the network") for layer in model.network.layers],
        "model": {k: encode(v, k) for k, v in zip(VALUES, own)},
        "classes": classes,
        "threshold": getattr(targets, "threshold", 0.5),
        "feature_names": [*inputs.columns] or None,
    }


def decoded(stored, kinds):
    """Return decoded values of the types that they must have, by name."""
    found = {name: decode(stored[name]) for name in kinds}
    for name, value in found.items():
        if type(value) not in kinds[name]:
            raise ValueError(f"{name} is {value!r}")
    return found


def unpack_model(arrays, meta):
    """Return what `Model.of` takes, of what `pack_model` made, or refuse it: a file may be hostile.

    Takes the model's arrays out of `arrays`.
    """
    own = decoded(meta["model"], VALUES)
    n_features, _, dtype, link, quantiles = (own[name] for name in VALUES)
    if dtype not in ("float32", "float64") or link not in LINKS:
        raise ValueError(f"its dtype is {dtype!r}, its link {link!r}")
    if quantiles is not None:
        quantile(quantiles)
    if len(meta["layers"]) > MAX_ARRAYS:
        raise ValueError(f"it has {len(meta['layers'])} layers")
    network = Network(tuple(decode(layer) for layer in meta["layers"]))
    last = network.layers[-1]
    if type(last) is not Dense:
        raise ValueError(f"its last layer is {last!r}, expected a Dense")
    n_outputs, rest = divmod(last.n_out, len(quantiles or (0.5,)))
    if rest:
        raise ValueError(f"it has {last.n_out} outputs for quantiles {quantiles}")
    x_scaling, y_scaling = _scaling(arrays, "x", n_features), _scaling(arrays, "y", n_outputs)
    encoder = _encoder(arrays, n_features, network) if "encoder.text" in arrays else None
    columns = tuple(map(str, meta.get("feature_names") or ()))
    if len(columns) not in (0, n_features):
        raise ValueError(f"it names {len(columns)} features")
    inputs = Inputs(n_features, dtype, HOST, encoder=encoder, scaling=x_scaling, columns=columns)
    tree = _checked(network, arrays, inputs)
    return network, inputs, _targets(meta, own, y_scaling, n_outputs), tree


def _targets(meta, own, scaling, n_outputs):
    """Return what the outputs mean."""
    task, link = own["task"], own["link"]
    if task == "regression":
        return NumberTargets(n_outputs, link, own["quantiles"] or (), scaling)
    if scaling.mean is not None:
        raise ValueError("it has statistics of targets that are no numbers")
    classes = _classes(meta["classes"], n_outputs, task)
    if task == "multilabel":
        return LabelTargets(n_outputs, link)
    targets = ClassTargets(classes, link)
    if targets.task != task:
        raise ValueError(f"its task is {task!r}, its classes are {len(classes)}")
    threshold = meta.get("threshold", 0.5)
    if threshold == 0.5:
        return targets
    return with_threshold(targets, threshold)


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
        Column(name, kind, bool(missing), tuple(categories), bool(times), bool(embedded), *ends)
        for name, kind, missing, categories, times, embedded, *ends in text["columns"]
    ]
    if len(columns) != n_features:
        raise ValueError(f"it has {len(columns)} columns for {n_features} features")
    scales = Scales(*(arrays.pop(f"encoder.{name}") for name in Scales._fields))
    edges, ends = arrays.pop("encoder.edges"), np.cumsum([0, *text["n_edges"]], dtype=np.int64)
    if any(a.dtype != np.float64 for a in (*scales, edges)):
        raise ValueError("the scales of its table are not float64")
    if len(edges) != ends[-1]:
        raise ValueError(f"it has {len(edges)} edges of bins, expected {text['n_edges']}")
    parts = tuple(np.split(edges, ends)[1:-1])
    how = {name: bool(text[name]) for name in ("robust", "named")}
    encoder = Encoder(tuple(columns), scales, edges=parts, **how)
    if encoder.sizes and getattr(network.layers[0], "sizes", None) != encoder.sizes:
        raise ValueError(f"its first layer embeds no categories of {encoder.sizes}")
    return encoder


def _checked(network, arrays, inputs):
    """Return the parameters as nested dicts, each of the shape that the layers say."""
    tree: dict = {}
    if inputs.n_features < 1:
        raise ValueError(f"it has {inputs.n_features!r} features")
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
    return tree


def _scaling(arrays, letter, n):
    """Return the scaling of n columns of "x" or "y", whose arrays are taken out of `arrays`."""
    mean, scale = (arrays.pop(f"{letter}_{name}", None) for name in Scaling._fields)
    if (mean is None) != (scale is None):
        raise ValueError("a mean and its scale go together")
    if mean is not None and not (mean.shape == scale.shape == (1, n) and (scale > 0).all()):
        raise ValueError(f"the means and scales of {letter} are not {n} each, the scales above 0")
    return Scaling(mean, scale)


def _classes(stored, n_outputs, task):
    """Return `classes_`, sorted and as many as the outputs say."""
    dtype = np.dtype(stored["dtype"])
    if dtype.kind not in "biufUO" or not all(
        isinstance(v, str | int | float) for v in stored["values"]
    ):
        raise ValueError("class labels must be numbers or text")
    # Text is as wide as its longest label, whatever width the file declares.
    classes = np.asarray(stored["values"], {"U": "U"}.get(dtype.kind, dtype))
    allowed = {"binary": [(1, 1), (2, 1)]}.get(task, [(n_outputs, n_outputs)])
    if (len(classes), n_outputs) not in allowed:
        raise ValueError(f"{len(classes)} class labels for {n_outputs} outputs")
    if classes.tolist() != stored["values"] or np.unique(classes).tolist() != stored["values"]:
        raise ValueError(f"the class labels are not sorted, different values of type {dtype}")
    return classes
