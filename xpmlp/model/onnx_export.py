"""A model as an ONNX file, preprocessing included, for other runtimes."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from ..atomic import atomic_write
from ..logs import logger
from ..nn import Ctx, Kernels
from ..nn.layout import map_params
from ..tables.frame import Frame
from ..tables.kinds.values import DAYS, value_in_words
from .columns import EPOCH, ONE_DAY
from .onnx_graph import FUNCTIONS, Graph

N_ROWS = 64  # on which a file is checked
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
TYPES = {"number": "float64", "category": "object", "date": "float64"}
DOCS = {
    "number": "NaN where missing",
    "category": "text; missing or unknown is what fit has not seen, such as ''",
    "date": f"{DAYS}; NaN where missing",
}


def export_model(model, path, *, check, about):
    """Write a model to one ONNX file, atomically: see `export` of the estimators.

    about: name -> value, more metadata of the file.
    """
    data = _graph(model, about).SerializeToString()
    if check and find_spec("onnxruntime"):
        _compare(model, data)
    atomic_write(path, data)
    logger.info("ONNX file written: %s", path)


def _graph(model, about):
    """Return the model as ONNX's own object."""
    graph, targets = Graph(), model.targets
    types = about.get("table_types", {})
    x = FUNCTIONS.astype(_inputs(model.inputs, graph, types), np.float32)
    params = map_params(lambda a: a.astype(np.float32), model.params(np.empty(0)))
    try:
        z, _ = model.predicting.forward(params, x, Ctx(FUNCTIONS, kernels=KERNELS))
    except (TypeError, AttributeError) as error:
        raise TypeError(
            f"a layer or activation of your own has no ONNX form, {error}; make it of functions "
            "that the argument xp has, or of xpmlp's layers."
        ) from error
    if targets.task == "regression":
        graph.output("prediction", targets.values(z))
        if len(targets.quantiles) > 1:
            every = range(len(targets.quantiles))
            graph.output("quantiles", targets.at_quantiles(z, every))
    else:
        graph.output("label", FUNCTIONS.take(_labels(targets), targets.codes(z)))
        graph.output("probabilities", targets.probabilities(z))
    about = {"task": targets.task} | about
    if targets.classes is not None:
        about["classes"] = targets.classes.tolist()
    if targets.task == "binary":
        about["threshold"] = targets.threshold
    if targets.quantiles:
        about["quantiles"] = targets.quantiles
    kind = about.get("estimator", "Model")
    return graph.model(kind, f"{kind} of {model.inputs.n_features} features", about)


def _labels(targets):
    """Return what labels may be, as int64, bool, double or text, whatever their width in y."""
    if targets.task == "multilabel":
        return np.arange(2)
    values = np.asarray(targets.classes.tolist())
    return values.astype({"U": object}.get(values.dtype.kind, values.dtype))


def _embedding_forward(codes, E, *, xp):
    """As the layer's own, by index: its 0/1 columns would take a graph much memory."""
    codes, n = xp.round(codes), E.shape[0]
    at = xp.where(xp.logical_and(codes >= 0, codes < n), codes, n)
    return xp.take(np.pad(E, ((0, 1), (0, 0))), xp.astype(at, np.int64), axis=0), None


KERNELS = Kernels(embedding_forward=_embedding_forward)


def _by_column(encoder):
    """Tell whether each column is an input of its own."""
    return encoder is not None and (
        encoder.named or any(column.kind != "number" for column in encoder.columns)
    )


def _doc(column, types):
    """Return what an input takes; types: those of the table, by name, where there was one."""
    words = value_in_words(types.get(column.name, ""))
    if words:
        return f"{words}; NaN where missing"
    return DOCS[column.kind]


def _inputs(inputs, graph, types):
    """Return the network's input as it follows from the graph's; types: as of `_doc`."""
    encoder = inputs.encoder
    if encoder is None:
        x = graph.input("X", _dtype_of_array(inputs), inputs.n_features)
        return inputs.scaling.apply(x)
    if not _by_column(encoder):
        x = graph.input("X", "float64", inputs.n_features, DOCS["number"])
        return encoder.assemble([x[:, i] for i in range(inputs.n_features)])
    # All inputs ahead of the first node, which takes no name of theirs.
    given = [graph.input(c.name, TYPES[c.kind], 1, _doc(c, types)) for c in encoder.columns]
    read = [x[:, 0] for x in given]
    for i, column in enumerate(encoder.columns):
        if column.kind == "category":
            read[i] = graph.slots(read[i], column.categories)
    return encoder.assemble(read)


def _dtype_of_array(inputs):
    """Return the type of the input "X": double where float32 would lose what scaling keeps."""
    return ("float32", "float64")[inputs.standardises]


def _sample(inputs):
    """Return some rows as `predict` takes them, and as the file does."""
    rng, n, encoder = np.random.default_rng(0), N_ROWS, inputs.encoder
    if encoder is None:
        X = rng.normal(size=(n, inputs.n_features))
        if inputs.standardises:
            X = inputs.scaling.restore(X)
        X = X.astype(_dtype_of_array(inputs))
        return X, {"X": X}
    columns, feeds = [], {}
    numbers = zip(encoder.scales.fill[0], encoder.scales.scale[0])
    for column in encoder.columns:
        if column.kind == "category":
            texts = np.asarray([*column.categories, None, UNKNOWN], object)
            made = texts[rng.integers(len(texts), size=n)]
            feeds[column.name] = np.where(made == None, UNKNOWN, made)[:, None]  # noqa: E711
        else:
            fill, scale = next(numbers)
            made = fill + rng.normal(size=n) / (scale or 1.0)
            missing: Any = np.nan
            if column.kind == "date":
                made, missing = EPOCH + (made * ONE_DAY).astype("timedelta64[us]"), "NaT"
            made[:: n // 8] = missing
            feeds[column.name] = column.read(made)[:, None]
        columns.append(made)
    frame = Frame(tuple(feeds), tuple(c.kind for c in encoder.columns), tuple(columns))
    if not _by_column(encoder):
        feeds = {"X": np.concatenate([*feeds.values()], axis=1)}
    return frame, feeds


def _compare(model, data):
    """Run a file in onnxruntime, and refuse it where its results are not the model's."""
    ort = import_module("onnxruntime")
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    X, feeds = _sample(model.inputs)
    model = model.to(np.empty(0))
    *_, found = session.run(None, feeds)
    if model.targets.task != "regression":
        what, wanted = "predict_proba", model.predict_proba(X)
    elif len(model.targets.quantiles) > 1:
        what, wanted = "predict", model.predict(X, quantiles=model.targets.quantiles)
    else:
        what, wanted = "predict", model.predict(X)
    with np.errstate(over="ignore"):
        wanted = wanted.astype(np.float32)
    size = np.abs(wanted[np.isfinite(wanted)]).max(initial=0.0)
    if not np.allclose(found, wanted, rtol=1e-3, atol=1e-4 * size, equal_nan=True):
        with np.errstate(invalid="ignore"):
            worst = np.abs(found - wanted).max()
        raise ValueError(
            f"in onnxruntime, which computes in float32, results differ by {worst:.2g} from those "
            f"of {what}, which are up to {size:.2g}: scale the inputs and targets, so that float32 "
            "tells them apart, or pass check=False."
        )
