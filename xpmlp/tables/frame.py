"""Frames: a raw table as named columns of numbers, text and dates, on the host."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from numbers import Integral
from typing import Any

import narwhals as nw
import numpy as np

from ..errors import DataError
from ..plain import MISSING, is_number
from ..words import is_name

BLOCK = 2**16  # rows at a time
# What stands where a value is missing, in the dtype of such a column.
EMPTY: dict[str, Any] = {
    "number": np.asarray(np.nan),
    "category": np.asarray(None, object),
    "date": np.asarray("NaT", "datetime64[us]"),
}
# What a frame has as numbers, though an array of it would hold none: times of day, in hours, and
# durations, in seconds.
AS_NUMBERS = {"time": "number", "duration": "number"}
DATES = (date, np.datetime64)
DURATIONS = (timedelta, np.timedelta64)


@dataclass(frozen=True, eq=False)
class Frame:
    """A table in memory: columns of one length, each (n,).

    Parameters
    ----------
    names : tuple of str
    kinds : tuple of {"number", "category", "date"}
        Numbers are float64, NaN where missing; categories text, None where missing; dates
        datetime64[us], NaT where missing. Times of day are numbers of hours, durations of seconds.
    columns : tuple of ndarray (n,)

    Raises
    ------
    DataError
        When these do not fit together.

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

    def __post_init__(self):
        check_names(self.names)
        found = [a.dtype.kind for a in self.columns]
        wanted = [EMPTY[kind].dtype.kind for kind in self.kinds if kind in EMPTY]
        if found != wanted or len(found) != len(self.names):
            raise DataError(
                "a Frame needs a name, a kind and a column for each of its columns: float64 for "
                f"'number', objects for 'category', datetime64[us] for 'date', got {self.kinds} "
                f"and {[str(a.dtype) for a in self.columns]}."
            )
        if len({a.shape for a in self.columns}) > 1:
            raise DataError(f"columns differ in length: {[a.shape for a in self.columns]}.")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), len(self.names)

    def __len__(self) -> int:
        return next(map(len, self.columns), 0)

    def __getitem__(self, rows: Any) -> "Frame":
        """Return rows by a slice or an array; ``frame[rows, ...]`` is what splitters write."""
        return Frame(self.names, self.kinds, tuple(c[rows] for c in self.columns))

    def column(self, i: int) -> np.ndarray:
        """Return the values (n,) of column i."""
        return self.columns[i]

    def in_memory(self) -> "Frame":
        """Return the frame itself, which a DuckDBFrame reads."""
        return self

    def blocks(self) -> Iterator["Frame"]:
        """Yield the rows, a bounded number at a time."""
        for start in range(0, len(self), BLOCK):
            yield self[start : start + BLOCK]

    def select(self, names: Sequence[str]) -> "Frame":
        """Return some of the columns, in this order."""
        places = {name: i for i, name in enumerate(self.names)}
        at = [places[name] for name in names]
        kinds, columns = tuple(self.kinds[i] for i in at), tuple(self.columns[i] for i in at)
        return Frame(tuple(names), kinds, columns)


def check_names(names: Sequence[str]) -> None:
    """Raise DataError for a name that two columns have, or one with control characters."""
    for name, n in Counter(names).items():
        if not is_name(name):
            raise DataError(f"the column {name!r} has control characters in its name: rename it.")
        if n > 1:
            raise DataError(f"two columns have the name {name!r}: rename one.")


def is_frame(X: Any) -> bool:
    """Tell whether X has all of a Frame's methods; a data frame may have columns of such names."""
    return all(hasattr(type(X), name) for name in ("blocks", "column", "in_memory", "select"))


def is_table(X: Any) -> bool:
    """Tell whether X is a Frame, or a data frame of pandas, polars or pyarrow, lazy or not."""
    return type(X) is not np.ndarray and (
        is_frame(X) or nw.dependencies.is_into_dataframe(X) or is_lazy(X)
    )


def is_lazy(X: Any) -> bool:
    """Tell whether X is a data frame that is yet to be computed, such as polars' LazyFrame."""
    if nw.dependencies.is_into_dataframe(X):
        return False
    return isinstance(nw.from_native(X, pass_through=True), nw.LazyFrame)


def collected(X: Any) -> Any:
    """Return a lazy data frame as one in memory, anything else as it is."""
    return nw.from_native(X).collect().to_native() if is_lazy(X) else X


def frame_of(X: Any) -> Any:
    """Return a data frame of pandas, polars or pyarrow as a Frame, or a Frame itself.

    Raises
    ------
    DataError
        A column holds what is neither number, text, date, time of day nor duration, or an infinite
        number; or two have one name.
    """
    if is_frame(X):
        return X
    names, made = _opened(collected(X))
    return _frame(names, list(made))


def is_plain(X: Any) -> bool:
    """Tell whether a table holds numbers only, and all of them."""
    if not is_frame(X):
        columns = _opened(X)[1]
    elif {*X.kinds} - {"number"}:
        return False
    else:
        columns = (("number", X.column(i)) for i in range(X.shape[1]))
    return all(kind == "number" and not np.isnan(values).any() for kind, values in columns)


def frame_of_array(X: np.ndarray, names: Sequence[str] = ()) -> Frame:
    """Return a host array (n, d), of numbers or of objects, as a Frame; names: (d,), or x0, ..."""
    if len(names) != X.shape[1]:
        names = [f"x{i}" for i in range(X.shape[1])]
    names = tuple(names)
    if X.dtype.kind in "biuf":
        made = [("number", X[:, i].astype(np.float64)) for i in range(X.shape[1])]
    elif X.dtype.kind in "OUS":
        made = [_objects(name, X[:, i].tolist()) for i, name in enumerate(names)]
    else:
        raise DataError(f"X holds {X.dtype}, expected numbers or text.")
    return _frame(names, made)


def _opened(X: Any) -> tuple[tuple[str, ...], Iterator]:
    """Return the names of a data frame's columns, and kind and values of each, one by one."""
    try:
        table = nw.from_native(X, eager_only=True)
    except nw.exceptions.DuplicateError:
        check_names([*map(str, getattr(X, "column_names", X.columns))])  # the first is pyarrow's
        raise
    names = tuple(map(str, table.columns))
    return names, map(_column, names, table.iter_columns())


def _frame(names: tuple[str, ...], made: list) -> Frame:
    for name, (kind, values) in zip(names, made):
        if kind == "number" and np.isinf(values).any():
            row = int(np.flatnonzero(np.isinf(values))[0])
            raise DataError(f"column {name!r} holds infinity in row {row}: drop or mend that row.")
    kinds = tuple(AS_NUMBERS.get(kind, kind) for kind, _ in made)
    return Frame(names, kinds, tuple(values for _, values in made))


def as_text(value: Any) -> str | None:
    """Return a category as text, one for equal numbers: 1, 1.0 and True are the same.

    Blanks around a text are taken off, and empty text is missing, as in files.

    Examples
    --------
    >>> as_text(1.0), as_text("1"), as_text(2.5), as_text(None), as_text(float("nan"))
    ('1', '1', '2.5', None, None)
    """
    if isinstance(value, str):
        return value.strip() or None
    if _known(value) is None:
        return None
    if not is_number(type(value)):
        return str(value)
    if isinstance(value, Integral | np.bool_):
        return str(int(value))
    number = float(value)
    if number != number:
        return None
    if number.is_integer():
        return str(int(number))
    return str(number)


def texts(values: list) -> np.ndarray:
    """Return categories as text (n,), each in one object, None where missing."""
    known = {value: as_text(value) for value in {*values}}  # few calls: most values come often
    return np.asarray([*map(known.get, values)], object)


def _column(name: str, series: Any) -> tuple[str, np.ndarray]:
    """Return the kind and the values of a column of a data frame."""
    dtype = series.dtype
    if dtype.is_numeric() or dtype == nw.Boolean:
        if dtype in (nw.Int128, nw.UInt128):  # which NumPy lacks
            series = series.cast(nw.Float64)
        values = np.asarray(series.to_numpy())
        if values.dtype == object:  # nullable or decimal
            return "number", _floats([*map(_known, values)])
        return "number", _floats(values)
    if dtype in (nw.Datetime, nw.Date):
        if getattr(dtype, "time_zone", None):
            series = series.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
        moments = np.asarray(series.to_numpy())
        if moments.dtype == object:  # with missing values
            moments = np.asarray([*map(_in_utc, series.to_list())], "datetime64[us]")
        return "date", moments.astype("datetime64[us]")
    if dtype == nw.Duration:
        return "duration", _seconds(np.asarray(series.to_numpy()))
    if dtype == nw.Time:
        return "time", _hours(series.to_list())
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        return "category", texts(series.to_list())
    if dtype == nw.Object:
        return _objects(name, series.to_list())
    if series.is_null().all():
        return "number", np.full(len(series), np.nan)
    native = series.to_native()
    if str(getattr(native, "dtype", "")).startswith("period"):  # pandas': its first moment
        return "date", native.dt.to_timestamp().to_numpy().astype("datetime64[us]")
    values = np.asarray(native)
    if values.dtype.kind in "biuf" and not dtype.is_nested():  # of another byte order, or sparse
        return "number", _floats(values)
    with suppress(DataError):  # which would name a type of Python, not the column's
        return _objects(name, series.to_list())
    kind = getattr(native, "dtype", None) or native.type
    raise DataError(
        f"column {name!r} holds {kind}, expected numbers, text, dates, times or durations."
    )


def _objects(name: str, values: list) -> tuple[str, np.ndarray]:
    """Return the kind and the values of a column of Python objects."""
    types = {kind for kind in {*map(type, values)} if kind.__name__ not in MISSING}
    if len(types) > 1:  # NaN may stand for a missing value of any type
        types &= {type(v) for v in values if not isinstance(v, float) or v == v}
    if types and all(issubclass(kind, DURATIONS) for kind in types):
        known = [value if isinstance(value, DURATIONS) else None for value in values]
        return "duration", _seconds(np.asarray(known, "timedelta64[us]"))
    zoned = any(getattr(value, "tzinfo", None) for value in values)
    if types and all(issubclass(kind, time) for kind in types) and not zoned:
        return "time", _hours(values)
    if all(map(is_number, types)):
        try:
            return "number", _floats([*map(_known, values)])
        except OverflowError as error:
            raise DataError(f"column {name!r} holds a whole number too large.") from error
    if all(issubclass(kind, str) or is_number(kind) for kind in types):
        return "category", texts(values)
    known = [value for value in values if as_text(value) is not None]
    odd = next((value for value in known if not isinstance(value, DATES)), None)
    if isinstance(odd, str) or is_number(type(odd)):
        names = ", ".join(sorted(kind.__name__ for kind in types))
        raise DataError(f"column {name!r} mixes values of types {names}: use one of them.")
    if odd is not None:
        raise DataError(
            f"column {name!r} holds an object of type {type(odd).__name__}, expected numbers, "
            "text, dates, times without a zone or durations."
        )
    return "date", np.asarray([*map(_in_utc, values)], "datetime64[us]")


def _floats(values: Any) -> np.ndarray:
    """Return numbers (n,) in float64, NaN for None; infinity for what it cannot hold is told."""
    with np.errstate(over="ignore"):
        return np.asarray(values, np.float64)


def _seconds(durations: np.ndarray) -> np.ndarray:
    """Return durations (n,) of NumPy in seconds, NaN where missing."""
    return durations / np.timedelta64(1, "s")


def _hours(times: list) -> np.ndarray:
    """Return times of day in hours (n,), NaN where missing."""
    known = {value: _hour(value) for value in {*times}}
    return np.asarray([*map(known.get, times)], np.float64)


def _hour(value: Any) -> float:
    if not isinstance(value, time):
        return np.nan
    second = value.second + value.microsecond / 1e6
    return value.hour + value.minute / 60 + second / 3600


def _known(value: Any) -> Any:
    """Return a value, or None for one of pandas' own for missing."""
    return None if type(value).__name__ in MISSING else value


def _in_utc(value: Any) -> date | None:
    """Return a date as NumPy takes it, None where it is missing."""
    if not isinstance(_known(value), DATES):  # pandas' NaT is one
        return None
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value
