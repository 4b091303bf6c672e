"""Tables as X: which X is encoded, and which of its columns are categories."""

import warnings

import numpy as np
from scipy.sparse import issparse
from sklearn.utils import check_array

from ..arrays import float_dtype, is_array, is_numpy
from ..errors import DataError
from ..model.encoding import Encoder
from ..plain import host_array
from ..tables.frame import Frame, frame_of, frame_of_array, is_frame, is_plain, is_table
from ..tables.texts import check_texts


def asks_for_table(estimator) -> bool:
    """Tell whether the arguments ask for arrays to be encoded too."""
    given = estimator.categorical_features
    listed = given is not None and not isinstance(given, str) and np.size(given) > 0
    return listed or estimator.feature_scale == "robust" or estimator.n_bins is not None


def table_dtype(estimator, X) -> str:
    """Return the dtype to compute in: of an array its own, of a data frame float64."""
    if not (is_numpy(X) and X.dtype.kind == "f"):
        X = np.empty(0)
    return float_dtype(X, estimator.dtype)


def measured_table(estimator, X):
    """Return X as a frame and the encoder that is measured on it, or (None, None) for numbers."""
    given, table, asked = estimator.categorical_features, is_table(X), asks_for_table(estimator)
    if not (table or asked) or (table and not (asked or is_frame(X)) and is_plain(X)):
        return None, None
    frame = _frame(X, estimator)
    kinds, asked = frame.kinds, estimator.feature_scale == "robust" or estimator.n_bins is not None
    chosen = None if isinstance(given, str) else _chosen(given, frame, table)
    if not is_frame(X):  # whose types were decided on where it was read
        check_texts(frame, X, chosen)
    if chosen is not None:
        kinds, asked = _kinds(frame, chosen), asked or bool(chosen)
    plain = not asked and (not table or is_plain(X))
    if plain and not is_frame(X):
        return None, None
    robust = estimator.feature_scale is not None and not plain
    encoder = Encoder.of(frame, kinds=kinds, robust=robust, named=table, n_bins=estimator.n_bins)
    return frame, encoder


def known_table(estimator, X, inputs):
    """Return X as a frame that the encoder of a fitted model takes."""
    encoder, name = inputs.encoder, type(estimator).__name__
    frame = _frame(X, estimator)
    if encoder.named and is_table(X):
        return encoder.taken(frame)
    check_columns(frame.shape[1], inputs, name)
    if not encoder.named:
        return frame
    # Wrappers such as BaggingClassifier hand on the columns without their names.
    warnings.warn(f"X does not have valid feature names, but {name} was fitted with feature names")
    return Frame(inputs.names, frame.kinds, frame.columns)


def _frame(X, estimator):
    """Return a data frame or host array as a frame with rows and columns."""
    if is_table(X):
        frame = frame_of(X)
        check_some(frame.shape, type(estimator).__name__)
        return frame
    if is_array(X) and not is_numpy(X):
        raise ValueError(
            "a table is encoded on the host, so categorical_features, feature_scale and n_bins "
            "need a data frame or a NumPy array, whose encoded rows device='cuda' brings to a "
            f"GPU, got {type(X).__name__}."
        )
    if isinstance(X, list | tuple) and np.asarray(X).dtype.kind in "US":  # of numbers and text
        X = np.asarray(X, object)
    if not issparse(X):
        X = host_array(X, "X")
    return frame_of_array(
        check_array(X, dtype=None, ensure_all_finite=False, estimator=estimator, input_name="X")
    )


def _chosen(given, frame, table):
    """Return the numbers of the columns that categorical_features names; a mask may name none."""
    if given is None:
        return set()
    entries = np.asarray(given).ravel()
    if entries.dtype == bool:
        if len(entries) != frame.shape[1]:
            raise ValueError(
                f"categorical_features is a mask of {len(entries)}, X has {frame.shape[1]} columns."
            )
        entries = np.flatnonzero(entries)
    return {_place(frame, entry, table) for entry in entries.tolist()}


def _place(frame, entry, table):
    """Return the number of the column that an entry of categorical_features names."""
    if isinstance(entry, int) and -1 < entry < frame.shape[1]:
        return entry
    known = f"0 ... {frame.shape[1] - 1}"
    if table:
        if entry in frame.names:
            return frame.names.index(entry)
        known = ", ".join(map(repr, frame.names[:8]))
    raise ValueError(f"categorical_features has {entry!r}, X has the columns {known}.")


def _kinds(frame, chosen):
    """Return the kinds that columns are taken as, with those of categorical_features as text."""
    for i, (name, kind) in enumerate(zip(frame.names, frame.kinds)):
        if kind == "category" and i not in chosen:
            raise DataError(
                f"column {name!r} holds text: name it in categorical_features, or take 'auto'."
            )
        if kind == "date" and i in chosen:
            raise DataError(
                f"column {name!r} holds dates, which are no categories: leave it out of "
                "categorical_features."
            )
    named = dict.fromkeys(chosen, "category")
    return tuple(named.get(i, kind) for i, kind in enumerate(frame.kinds))


def check_columns(n, inputs, name):
    """Check the number of columns of X, in scikit-learn's words."""
    if n != inputs.n_features:
        raise ValueError(
            f"X has {n} features, but {name} is expecting {inputs.n_features} features as input."
        )


def check_some(shape, name):
    """Refuse X without rows or columns, in scikit-learn's words."""
    for n, what in zip(shape, ("sample", "feature")):
        if n < 1:
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={tuple(shape)}) while a minimum of 1 is "
                f"required by {name}."
            )
