"""Tables at the door: which X is encoded, and which of its columns are categories."""

from dataclasses import replace
from typing import Any

import numpy as np
from scipy.sparse import issparse

from ..arrays import is_array, is_numpy
from ..errors import DataError
from ..files.frames import as_text, frame_of, frame_of_array, is_table
from .encoding import Encoder

BY_DTYPE = ("auto", "from_dtype")


class Encodes:
    """What `BaseMLP` has for tables."""

    encoder_: Encoder | None = None

    @property
    def _n_inputs(self: Any):
        """The number of columns that the network takes."""
        return self.n_features_in_ if self.encoder_ is None else self.encoder_.width

    def _encoded_rows(self: Any, X, dtype, *, reset):
        """Return the rows of a table as a host array (n, width), or None where X is no table.

        On reset the table is measured, if it needs to be encoded.
        """
        if reset:
            self.encoder_ = None
        elif self.encoder_ is None:
            return None
        frame = self._frame(X, reset)
        if frame is None:
            return None
        if not all(frame.shape):
            what = "sample" if not len(frame) else "feature"
            raise ValueError(
                f"Found array with 0 {what}(s) (shape={frame.shape}) while a minimum of 1 is "
                f"required by {type(self).__name__}."
            )
        if reset:
            robust, named = self.feature_scale is not None, is_table(X)
            self.encoder_ = Encoder.of(frame, robust=robust, named=named, n_bins=self.n_bins)
            self.n_features_in_ = frame.shape[1]
            vars(self).pop("feature_names_in_", None)
            if named:
                self.feature_names_in_ = np.asarray(frame.names, object)
        return self.encoder_.encode(frame, dtype)

    def _frame(self: Any, X, reset):
        """Return X as a frame, or None where its numbers are to stay as they are."""
        given = self.categorical_features
        chosen = given is not None and not isinstance(given, str)
        wanted = chosen or self.feature_scale == "robust" or self.n_bins is not None
        table = is_table(X)
        if reset and not (table or wanted):
            return None
        if issparse(X) or (is_array(X) and not is_numpy(X)):
            raise ValueError(
                "a table is encoded on the host, so categorical_features, feature_scale and n_bins "
                "want a data frame or a NumPy array, whose encoded rows device='cuda' brings to a "
                f"card, got {type(X).__name__}."
            )
        if not table:
            X = np.asarray(X)
            if not reset and self.encoder_.named:
                raise DataError(
                    "X is an array without names, the model was fitted to a table: pass a data "
                    f"frame with the columns {', '.join(map(str, self.feature_names_in_[:8]))}"
                    f"{', ...' if self.n_features_in_ > 8 else ''}."
                )
            if X.ndim != 2:
                raise ValueError(f"Expected 2D array, got {X.ndim}D array instead.")
        frame = frame_of(X) if table else frame_of_array(X)
        if not reset:
            return frame
        frame = self._with_categories(frame, table)
        plain = set(frame.kinds) <= {"number"} and not any(
            np.isnan(frame.column(i)).any() for i in range(frame.shape[1])
        )
        lazy = hasattr(X, "kinds")  # what scikit-learn's checks cannot read
        return None if plain and not wanted and not lazy else frame

    def _with_categories(self: Any, frame, table):
        """Return a frame in which the columns of categorical_features are text."""
        given, kinds = self.categorical_features, list(frame.kinds)
        if isinstance(given, str):  # by dtype
            return frame
        chosen = {_place(frame, entry, table) for entry in _entries(given, frame)}
        for i, kind in enumerate(kinds):
            if kind == "category" and i not in chosen:
                raise DataError(
                    f"column {frame.names[i]!r} holds text: name it in categorical_features, or "
                    "take 'auto'."
                )
            if kind == "date" and i in chosen:
                raise DataError(
                    f"column {frame.names[i]!r} holds dates, which are no categories: leave it out "
                    "of categorical_features."
                )
        columns = list(frame.columns)
        for i in chosen:
            columns[i] = np.asarray([as_text(v) for v in columns[i].tolist()], object)
            kinds[i] = "category"
        return replace(frame, kinds=tuple(kinds), columns=tuple(columns))


def _entries(given, frame):
    """Return the entries of categorical_features; a mask as the places where it is true."""
    entries = [] if given is None else np.asarray(given).ravel().tolist()
    if entries and all(isinstance(entry, bool) for entry in entries):
        if len(entries) != frame.shape[1]:
            raise ValueError(
                f"categorical_features is a mask of {len(entries)}, X has {frame.shape[1]} columns."
            )
        return [i for i, chosen in enumerate(entries) if chosen]
    return entries


def _place(frame, entry, table):
    """Return the number of the column that an entry of categorical_features names."""
    if isinstance(entry, int) and -1 < entry < frame.shape[1]:
        return entry
    if table and entry in frame.names:
        return frame.names.index(entry)
    known = ", ".join(map(repr, frame.names[:8])) if table else f"0 ... {frame.shape[1] - 1}"
    raise ValueError(f"categorical_features has {entry!r}, X has the columns {known}.")
