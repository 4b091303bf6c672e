"""A model as named arrays and plain JSON, and back: what a model file holds of it."""

from contextlib import contextmanager
from itertools import pairwise

import numpy as np

from .. import __version__
from ..arrays import HOST
from ..container import MAX_ARRAYS, MAX_HEADER, refusal
from ..nn import Ctx, Dense, Network
from ..nn.layout import path_name, put, walk
from ..nn.loss import LINKS
from ..nn.losses import quantile
from ..randomness import stream
from ..words import abridged, escaped
from .encoder_arrays import arrays_of, encoder_of
from .fields import fits, label, maybe, number, record, several, title, whole, word, written
from .inputs import Inputs
from .json_records import check_layers, decode, decode_all, encode
from .scaling import Scaling, Scalings
from .targets import ClassTargets, LabelTargets, NumberTargets, with_threshold

LAYER = fits("a record", lambda value: isinstance(value, dict))
FIELDS = {  # of the JSON of a model
    "xpmlp": written(r"\d[\w.+-]{0,39}", "a version"),
    "format_version": whole(1),
    "layers": several(LAYER, MAX_ARRAYS),
    "model": record(
        {
            "n_features": whole(1),
            "task": word("binary", "multiclass", "multilabel", "regression"),
            "dtype": word("float32", "float64"),
            "link": word(*LINKS),
            "quantiles": maybe(several(number(0.0, 1.0), MAX_HEADER)),
        }
    ),
    "classes": maybe(
        record(
            {
                "dtype": written(r"[<>|=]?(b1|[iu][1248]|f[248]|U\d{1,9}|O8?)", "a type of labels"),
                "values": several(label, MAX_HEADER),
            }
        )
    ),
    "threshold": fits(
        "a number above 0 and below 1", lambda value: type(value) in (int, float) and 0 < value < 1
    ),
    "feature_names": maybe(several(title, MAX_HEADER)),
}
# What a file may lack: those of before, and what has not been written yet.
LACKS = (  # some files, written before or of what is not known
    *("format_version", "threshold", "feature_names", "n_epochs", "training", "baseline"),
    *("table_types", "table_reading", "target_name", "state"),
)
KINDS = {"b": bool, "i": int, "u": int, "f": float, "U": str, "O": str}  # of labels, by dtype
Targets = ClassTargets | LabelTargets | NumberTargets
OF_TRAINING = "training/"  # begins the names of arrays that a model does without
WIDEST = 2**21  # letters of labels in one array, as wide as the longest of them
N_TRIED = 4  # rows that a model is tried on


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
        arrays |= arrays_of(encoder)
    own = {
        "n_features": inputs.n_features,
        "task": targets.task,
        "dtype": inputs.dtype,
        "link": targets.link,
        "quantiles": targets.quantiles or None,
    }
    classes = targets.classes
    if classes is not None:
        classes = {"dtype": classes.dtype.str, "values": classes.tolist()}
    return arrays, {
        "xpmlp": __version__,
        "layers": [encode(layer, "the network") for layer in model.network.layers],
        "model": {k: encode(v, k) for k, v in own.items()},
        "classes": classes,
        "threshold": getattr(targets, "threshold", 0.5),
        "feature_names": [*inputs.columns] or None,
    }


def take_training(arrays):
    """Return the arrays of a training by their names in it, taken out of `arrays`."""
    names = [name for name in arrays if name.startswith(OF_TRAINING)]
    return {name.removeprefix(OF_TRAINING): arrays.pop(name) for name in names}


def unpack_model(arrays, meta):
    """Return what `Model.of` takes, of what `pack_model` made, or refuse it: a file may be hostile.

    Takes the model's arrays out of `arrays`. `meta` has been checked by `FIELDS`.
    """
    own = decode_all(meta["model"])
    n_features, quantiles = own["n_features"], own["quantiles"]
    if quantiles is not None:
        quantile(quantiles)
    check_layers(meta["layers"])
    network = Network(tuple(decode(layer) for layer in meta["layers"]))
    last = network.layers[-1] if network.layers else None
    if type(last) is not Dense:
        raise ValueError(f"its last layer is {last!r}, expected a Dense")
    n_outputs, rest = divmod(last.n_out, len(quantiles or (0.5,)))
    if rest:
        raise ValueError(f"it has {last.n_out} outputs for quantiles {quantiles}")
    x_scaling, y_scaling = _scaling(arrays, "x", n_features), _scaling(arrays, "y", n_outputs)
    encoder = encoder_of(arrays, n_features, network) if "encoder.text" in arrays else None
    columns = tuple(meta.get("feature_names") or ())
    if len(columns) not in (0, n_features):
        raise ValueError(f"it names {len(columns)} features")
    inputs = Inputs(
        n_features, own["dtype"], HOST, encoder=encoder, scaling=x_scaling, columns=columns
    )
    tree = _checked(network, arrays, inputs)
    return network, inputs, _targets(meta, own, y_scaling, n_outputs), tree


def _targets(meta, own, scaling, n_outputs):
    """Return what the outputs mean."""
    task, link, threshold = own["task"], own["link"], meta.get("threshold", 0.5)
    if task == "regression":
        targets: Targets = NumberTargets(n_outputs, link, own["quantiles"] or (), scaling)
    elif scaling.mean is not None or own["quantiles"] is not None:
        raise ValueError("it has statistics of targets that are no numbers")
    elif link == "exp" or (link == "softmax") > (task == "multiclass"):
        raise ValueError(f"its task is {task!r}, its link {link!r}")
    else:
        targets = _class_targets(_classes(meta["classes"], n_outputs, task), link, task)
    return targets if threshold == 0.5 else with_threshold(targets, threshold)


def _class_targets(classes, link, task):
    """Return what the outputs of a classifier mean."""
    if task == "multilabel":
        if classes.tolist() != [*range(len(classes))]:
            raise ValueError("several labels a row have other names than their numbers")
        return LabelTargets(len(classes), link)
    targets = ClassTargets(classes, link)
    if targets.task != task:
        raise ValueError(f"its task is {task!r}, its classes are {len(classes)}")
    return targets


def _checked(network, arrays, inputs):
    """Return the parameters as nested dicts, each of the shape that the layers say."""
    tree: dict = {}
    shapes, _ = network.shapes(inputs.width)
    dtype, most = inputs.dtype, np.sqrt(np.finfo(inputs.dtype).max)
    for path, group, shape in walk(network, shapes):
        name = path_name(path)
        a = arrays.pop(name)
        if a.shape != shape or a.dtype != dtype:
            raise ValueError(f"array {name} is {a.dtype} {a.shape}, expected {dtype} {shape}")
        if path[-1] == "var" and not (a >= 0).all():
            raise ValueError(f"array {name} holds variances below 0")
        if group.trained and a.size and not -most <= a.min() <= a.max() <= most:
            raise ValueError(f"array {name} holds numbers beyond {most:.2g}, where fits diverge")
        put(tree, path, a)
    if arrays:
        raise ValueError(f"it holds arrays that no layer has: {sorted(arrays)}")
    return tree


def _scaling(arrays, letter, n):
    """Return the scaling of n columns of "x" or "y", whose arrays are taken out of `arrays`."""
    mean, scale = (arrays.pop(f"{letter}_{name}", None) for name in Scaling._fields)
    if (mean is None) != (scale is None):
        raise ValueError("a mean and its scale go together")
    if mean is None:
        return Scaling()
    shaped = mean.shape == scale.shape == (1, n) and mean.dtype == scale.dtype == np.float64
    # The root of a sum of squares, the least of which is 5e-324.
    if not shaped or not (scale >= 1e-162).all():
        raise ValueError(f"the means and scales of {letter} are not {n} each, the scales above 0")
    return Scaling(mean, scale)


def _classes(stored, n_outputs, task):
    """Return `classes_`, sorted and as many as the outputs say."""
    if stored is None:
        raise ValueError(f"its task is {task!r}, and it has no classes")
    values, dtype = stored["values"], np.dtype(stored["dtype"])
    allowed = {"binary": [(1, 1), (2, 1)]}.get(task, [(n_outputs, n_outputs)])
    if (len(values), n_outputs) not in allowed:
        raise ValueError(f"{len(values)} class labels for {n_outputs} outputs")
    if {*map(type, values)} != {KINDS[dtype.kind]}:
        raise ValueError(f"class labels must be numbers or text, all of type {dtype}")
    if dtype.kind == "U":  # as wide as the longest label, whatever width the file declares
        wide = len(values) * max(map(len, values)) > WIDEST
        dtype = np.dtype(object) if wide else np.dtype("U")
    classes = np.asarray(values, dtype)
    rising = all(a < b for a, b in pairwise(values))
    if not rising or classes.tolist() != list(values):
        raise ValueError(f"the class labels are not sorted, different values of type {dtype}")
    return classes


def check_outputs(model):
    """Refuse a model whose outputs for rows of ordinary size are not finite.

    The rows are of 0, and of 1 and -1 at random, in numbers as the network takes them: what is
    standardised or encoded lies mostly between these. They come one by one, so that they take no
    more memory than the weights do.
    """
    inputs, network = model.inputs, model.predicting
    params, draw = model.params(np.empty(0)), stream(0, "data")
    scaled = inputs.standardises or inputs.encoder is not None
    for i in range(N_TRIED):
        x = draw.integers(2, size=(1, inputs.width), dtype=np.int8) * 2 - 1
        x = (x * (i > 0)).astype(inputs.dtype)
        if inputs.encoder is not None and inputs.encoder.sizes:
            x[0, -len(inputs.encoder.sizes) :] = draw.integers(inputs.encoder.sizes)
        with np.errstate(all="ignore"):
            made, _ = network.forward(params, x, Ctx(np))
            if model.targets.link == "exp" and not scaled > i:
                # Far from where it was trained the exponential of a sane output may be infinite,
                # but an output with no digit behind the point is none.
                made = np.where(np.abs(made) * np.finfo(inputs.dtype).eps < 1.0, 1.0, np.inf)
            elif model.targets.task == "regression":
                made = model.targets.values(made)
        if not np.isfinite(made).all():
            raise ValueError("its outputs for rows of zeros and ones are not finite")
