"""A fitted model as a file: xpmlp's own, and ONNX, preprocessing included, for other runtimes."""

from copy import copy
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

from ..atomic import atomic_write
from ..model.encoding import EPOCH, ONE_DAY
from ..model.onnx_graph import FUNCTIONS, Graph
from ..nn import Ctx, Kernels
from ..nn.layout import map_params
from ..tables.frame import Frame
from .model_file import save_model
from .weights import nested

N_ROWS = 64  # on which a file is checked
UNKNOWN = "\N{REPLACEMENT CHARACTER}"
TYPES = {"number": "float64", "category": "str", "date": "float64"}
DOCS = {
    "number": "NaN where missing",
    "category": "text; missing or unknown is what fit has not seen, such as ''",
    "date": "days since 1970-01-01 UTC; NaN where missing",
}


class Exports:
    """What `BaseMLP` has for files."""

    def save(self, path):
        """Write the model to one safetensors file, atomically; `xpmlp.load_model` reads it.

        Functions and objects in `callbacks`, `scoring` and `learning_rate`, which predictions do
        not need, stay out of the file: the loaded model has these arguments' defaults.

        Raises
        ------
        TypeError
            When the network holds a layer or activation of your own, which no file can hold.
        """
        save_model(self, path)

    def export(self: Any, path, *, check=True):
        """Write the model to one ONNX file, atomically, for onnxruntime and its like.

        The network computes in float32, whatever the model's dtype. A model of arrays has one
        input "X" (N, n_features), float32, or double where the model scales its inputs itself. One
        of a table has an input (N, 1) for each column, by its name: numbers as double, 0 and 1 for
        false and true, NaN where missing; dates as double, days since 1970-01-01 UTC, NaN where
        missing; categories as text (a whole number as "3", not "3.0"), where missing "" or any
        other text that `fit` has not seen.

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
        check_is_fitted(self)
        data = _model(self).SerializeToString()
        if check and find_spec("onnxruntime"):
            _compare(self, data)
        atomic_write(path, data)


def _model(est):
    """Return the model as ONNX's own object."""
    graph = Graph()
    x = FUNCTIONS.astype(_inputs(est, graph), np.float32)
    params = map_params(lambda a: a.astype(np.float32), nested(est, np.empty(0)))
    try:
        z, _ = est._network_to_predict().forward(params, x, Ctx(FUNCTIONS, kernels=KERNELS))
    except (TypeError, AttributeError) as error:
        raise TypeError(
            f"a layer or activation of your own has no ONNX form, {error}; make it of functions "
            "that the argument xp has, or of xpmlp's layers."
        ) from error
    targets = est._targets
    if is_classifier(est):
        several = targets.task == "multilabel"
        # Plain types: int64, bool, double or text, whatever the width in y.
        values = np.asarray([0, 1] if several else est.classes_.tolist())
        values = values.astype(object) if values.dtype.kind == "U" else values
        graph.output("label", FUNCTIONS.take(values, targets.codes(z)))
        graph.output("probabilities", targets.probabilities(z))
    else:
        graph.output("prediction", targets.values(z))
        if len(targets.quantiles) > 1:
            every = range(len(targets.quantiles))
            graph.output("quantiles", targets.at_quantiles(z, every))
    kind = type(est).__name__
    doc = f"{kind} of {est.n_features_in_} features, trained for {est.n_iter_total_} epochs"
    return graph.model(kind, doc, _metadata(est))


def _metadata(est):
    """Return what the file tells of the model, beside what it computes."""
    names, classes = (getattr(est, name, None) for name in ("feature_names_in_", "classes_"))
    found = {
        "task": est._task,
        "feature_names": names if names is None else [str(name) for name in names],
        "classes": classes if classes is None else classes.tolist(),
        "quantiles": est.quantiles_,
        "target": getattr(est, "target_name_", None),
    }
    return {k: v for k, v in found.items() if v is not None}


def _embedding_forward(codes, E, *, xp):
    """As the layer's own, by index: its 0/1 columns would take a graph much memory."""
    codes, n = xp.round(codes), E.shape[0]
    at = xp.where(xp.logical_and(codes >= 0, codes < n), codes, n)
    return xp.take(np.pad(E, ((0, 1), (0, 0))), xp.astype(at, np.int64), axis=0), None


KERNELS = Kernels(embedding_forward=_embedding_forward)


def _by_column(est):
    """Tell whether each column is an input of its own."""
    encoder = est.encoder_
    return encoder is not None and (
        encoder.named or any(column.kind != "number" for column in encoder.columns)
    )


def _inputs(est, graph):
    """Return the network's input as it follows from the graph's."""
    encoder = est.encoder_
    if encoder is None:
        dtype = "float64" if est._standardises else "float32"
        x = graph.input("X", dtype, est.n_features_in_)
        return est.scaling_.inputs(x) if est._standardises else x
    if not _by_column(est):
        x = graph.input("X", "float64", est.n_features_in_, DOCS["number"])
        return encoder.assemble([x[:, i] for i in range(est.n_features_in_)])
    given = [graph.input(c.name, TYPES[c.kind], 1, DOCS[c.kind]) for c in encoder.columns]
    pairs = [(column, x[:, 0]) for column, x in zip(encoder.columns, given)]
    read = [graph.slots(x, c.categories) if c.kind == "category" else x for c, x in pairs]
    return encoder.assemble(read)


def _sample(est):
    """Return some rows as `predict` takes them, and as the file does."""
    rng, n, encoder = np.random.default_rng(0), N_ROWS, est.encoder_
    if encoder is None:
        X = rng.normal(size=(n, est.n_features_in_))
        if est._standardises:
            X = X * est.scaling_.x_scale + est.scaling_.x_mean
            return X, {"X": X}
        X = X.astype(np.float32)
        return X.astype(est._dtype), {"X": X}
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
            if column.kind == "date":
                made = EPOCH + (made * ONE_DAY).astype("timedelta64[us]")
            made[:: n // 8] = "NaT" if column.kind == "date" else np.nan
            feeds[column.name] = column.read(made)[:, None]
        columns.append(made)
    frame = Frame(tuple(feeds), tuple(c.kind for c in encoder.columns), tuple(columns))
    return frame, feeds if _by_column(est) else {"X": np.concatenate([*feeds.values()], axis=1)}


def _compare(est, data):
    """Run a file in onnxruntime, and refuse it where its results are not the model's."""
    ort = import_module("onnxruntime")
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    X, feeds = _sample(est)
    est = copy(est).to(np.empty(0))
    *_, found = session.run(None, feeds)
    if is_classifier(est):
        what, wanted = "predict_proba", est.predict_proba(X)
    elif len(est.quantiles_ or ()) > 1:
        what, wanted = "predict", est.predict(X, est.quantiles_)
    else:
        what, wanted = "predict", est.predict(X)
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
