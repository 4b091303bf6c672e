"""Frames: a raw table as named columns of numbers, text and dates, on the host."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import narwhals as nw
import numpy as np

from ..errors import DataError

BLOCK = 2**16  # rows at a time
SECOND = np.timedelta64(1, "s")


@dataclass(frozen=True, eq=False)
class Frame:
    """Columns of one length, each (n,).

    kinds: "number" (float64, NaN where a value is missing), "category" (text, None where missing)
    or "date" (datetime64[us], NaT where missing).

    Examples
    --------
    >>> frame = Frame(("age", "city"), ("number", "category"), (
    ...     np.asarray([20.0, np.nan]), np.asarray(["Rome", None], object)))
    >>> frame.shape, frame[[1]].column(1).tolist()
    ((2, 2), [None])
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    columns: tuple[np.ndarray, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), len(self.names)

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, rows: Any) -> "Frame":
        """Return rows by a slice or an array; ``frame[rows, ...]`` is what splitters write."""
        rows = rows[0] if isinstance(rows, tuple) else rows
        return Frame(self.names, self.kinds, tuple(c[rows] for c in self.columns))

    def column(self, i: int) -> np.ndarray:
        """Return the values of a column."""
        return self.columns[i]

    def blocks(self) -> Iterator["Frame"]:
        """Yield the rows, a bounded number at a time."""
        for start in range(0, len(self), BLOCK):
            yield self[start : start + BLOCK]

    def select(self, names: Sequence[str]) -> "Frame":
        """Return some of the columns, in this order."""
        at = [self.names.index(name) for name in names]
        kinds, columns = tuple(self.kinds[i] for i in at), tuple(self.columns[i] for i in at)
        return Frame(tuple(names), kinds, columns)


def is_table(X: Any) -> bool:
    """Tell whether X is a Frame, or a data frame of pandas, polars or pyarrow."""
    return hasattr(X, "kinds") or nw.dependencies.is_into_dataframe(X)


def frame_of(X: Any) -> Any:
    """Return a data frame of pandas, polars or pyarrow as a Frame; Frames and their kin stay.

    Raises
    ------
    DataError
        A column holds what is neither number, text nor date, or an infinite number.
    """
    if hasattr(X, "kinds"):
        return X
    table = nw.from_native(X, eager_only=True)
    made = [_column(str(name), table[:, i]) for i, name in enumerate(table.columns)]
    return _frame(tuple(map(str, table.columns)), made)


def frame_of_array(X: Any) -> Frame:
    """Return a host array (n, d), of numbers or of objects, as a Frame."""
    names = tuple(f"x{i}" for i in range(X.shape[1]))
    if X.dtype.kind in "biuf":
        made = [("number", X[:, i].astype(np.float64)) for i in range(X.shape[1])]
    elif X.dtype.kind in "OUS":
        made = [_objects(name, X[:, i].tolist()) for i, name in enumerate(names)]
    else:
        raise DataError(f"X holds {X.dtype}, expected numbers or text.")
    return _frame(names, made)


def _frame(names: tuple[str, ...], made: list) -> Frame:
    for name, (kind, values) in zip(names, made):
        if kind == "number" and np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values))[0])
            raise DataError(f"column {name!r} holds infinity in row {row}: drop or mend that row.")
    kinds, columns = zip(*made) if made else ((), ())
    return Frame(names, kinds, columns)


def as_text(value: Any) -> str | None:
    """Return a category as text, one for equal numbers: 1, 1.0 and True are not told apart by type.

    Examples
    --------
    >>> as_text(1.0), as_text("1"), as_text(2.5), as_text(None), as_text(float("nan"))
    ('1', '1', '2.5', None, None)
    """
    if value is None or type(value).__name__ in ("NAType", "NaTType"):  # pandas'
        return None
    if isinstance(value, bool | np.bool_):
        return "1" if value else "0"
    if isinstance(value, float | np.floating):
        if value != value:
            return None
        return str(int(value)) if value == int(value) else str(float(value))
    return str(value)


def _column(name: str, series: Any) -> tuple[str, np.ndarray]:
    """Return the kind and the values of a column of a data frame."""
    dtype = series.dtype
    if dtype.is_numeric() or dtype == nw.Boolean:
        return "number", _floats(series)
    if dtype in (nw.Datetime, nw.Date):
        if getattr(dtype, "time_zone", None):
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        return "date", np.asarray(series.to_numpy()).astype("datetime64[us]")
    if dtype == nw.Duration:
        spans = np.asarray(series.to_numpy()).astype("timedelta64[us]")
        return "number", np.where(np.isnat(spans), np.nan, spans / SECOND)
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        return "category", np.asarray([as_text(v) for v in series.to_list()], object)
    if dtype == nw.Object:
        return _objects(name, series.to_list())
    if dtype == nw.Unknown and (values := np.asarray(series.to_numpy())).dtype.kind in "iuf":
        return "number", values.astype(np.float64)  # of another byte order
    raise DataError(f"column {name!r} holds {dtype}, expected numbers, text or dates.")


def _floats(series: Any) -> np.ndarray:
    values = series.cast(nw.Float64()).to_numpy()
    return np.asarray([np.nan if v is None else v for v in values] if values.dtype == object
                      else values, np.float64)  # fmt: skip


def _objects(name: str, values: list) -> tuple[str, np.ndarray]:
    """Return the kind and the values of a column of Python objects."""
    known = [v for v in values if as_text(v) is not None]
    if all(isinstance(v, bool | int | float | np.bool_ | np.integer | np.floating) for v in known):
        return "number", np.asarray([np.nan if as_text(v) is None else v for v in values], float)
    if known and all(isinstance(v, date) for v in known):
        kept = [None if as_text(v) is None else v for v in values]
        return "date", np.asarray(kept, "datetime64[us]")
    odd = next((v for v in known if not isinstance(v, str | bool | int | float | np.generic)), None)
    if odd is not None:
        raise DataError(
            f"column {name!r} holds a {type(odd).__name__}, expected numbers, text or dates."
        )
    return "category", np.asarray([as_text(v) for v in values], object)
