"""Data sets as a record, and what all readers share: opening, checks, inferring the task."""

import csv
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from typing import IO, Any, NamedTuple, TextIO

import numpy as np

from ..atomic import StrPath
from ..errors import DataError
from .files.packing import is_damage, unpacked

BLOCK = 1 << 20  # bytes that are read at once
LONGEST = 1_900_000  # bytes of a row: DuckDB takes 2 MB


class Shape(NamedTuple):
    """What cells of a text column look like: "9-Dec-9", "$9,9.9", "9.9 kg".

    text: every run of digits as one 9; n: how many cells; low, high: the least and the greatest.
    """

    text: str
    n: int
    low: str
    high: str


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: features and targets, names, task, and a test part if there is one.

    Attributes
    ----------
    name : str
    X : array (n, d) or Frame
        Finite float32 or float64; a frame where it is a table of more than numbers.
    y : array (n,)
        Numbers or text labels.
    feature_names : tuple of str or None
    target_name : str or None
    task : {"classification", "regression"}
    X_test, y_test : arrays or None
        The test part, like X and y.
    image : bool
        Whether the features are pixels, which share one scale.
    table : OpenTable or None
        The open table that X is read from; None where all of it is in memory.
    aside : Frame or None
        Columns of the table that are no features and are needed all the same.
    warnings : tuple of str
        Sentences on columns that a model had better not learn from.
    """

    name: str
    X: Any
    y: np.ndarray
    feature_names: tuple[str, ...] | None
    target_name: str | None
    task: str
    X_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    image: bool = False
    table: Any = None
    aside: Any = None
    warnings: tuple[str, ...] = ()

    @property
    def n_left_out(self) -> int:
        """Number of rows of the table that could not be read."""
        return len(getattr(self.table, "bad_rows", ()))

    @property
    def types(self) -> dict[str, str]:
        """Types of the features, by name, as ``open_table(known=)`` takes them."""
        types = getattr(self.table, "types", {})
        return {name: types.get(name, "number") for name in self.feature_names or ()}


def read_most(file: IO[bytes], n: int) -> bytearray:
    """Read up to n bytes; memory is taken as they come, whatever n says."""
    data = bytearray()
    while block := file.read(min(n - len(data), BLOCK)):
        data += block
    return data


def check_regular(path: StrPath, called: StrPath | None = None) -> None:
    """Raise DataError for what is there and no file: to open a pipe would wait for ever."""
    if os.path.exists(path) and not os.path.isfile(path):
        got = f"{called or path} is a folder, pipe or device, expected a file"
        raise DataError(f"{got}: of these only a table can be read, such as - or a pipe.")


def require(ok: bool, message: str) -> None:
    """Raise DataError with the message unless `ok`."""
    if not ok:
        raise DataError(message)


@contextmanager
def opened(path: StrPath, called: StrPath | None = None) -> Iterator[IO[bytes]]:
    """Open a file, unpacked; what fails becomes a DataError, which calls it so."""
    called = called or path
    check_regular(path, called)
    try:
        with open(path, "rb") as file, unpacked(file, called) as stream:
            yield stream
    except DataError:
        raise
    except Exception as error:
        if not is_damage(error) and not isinstance(error, csv.Error | MemoryError):
            raise
        reason = str(error) or "there is not enough memory for it"
        raise DataError(f"{called} cannot be read: {reason}; is it the whole file?") from error


@contextmanager
def opened_text(
    path: StrPath, called: StrPath | None = None, encoding: str = "utf-8-sig"
) -> Iterator[TextIO]:
    """Open a file of text, unpacked; bytes that are no text stand in it as lone surrogates."""
    with opened(path, called) as file:
        try:
            with TextIOWrapper(file, encoding, errors="surrogateescape", newline="") as text:
                yield text
        except UnicodeError as error:  # such as UTF-16 that ends within a character
            raise DataError(f"{called or path} cannot be read as {encoding}: {error}.") from error


def lines_of(text: TextIO) -> Iterator[str]:
    """Yield the lines of a text; what is too long for a row is cut, and still too long."""
    while line := text.readline(LONGEST + 1):
        end = line
        while len(end) > LONGEST and end[-1] not in "\r\n":
            end = text.readline(LONGEST + 1) or "\n"
        if end is not line:
            line += end[-1]
        yield line


def infer_task(y: np.ndarray) -> tuple[np.ndarray, str]:
    """Infer the task from the targets. Returns y, as int64 or float64 where numeric, and the task.

    Labels are text, booleans, and whole numbers of at most 100 different values that occur twice
    or more on average.
    """
    if y.dtype.kind not in "iuf":
        return y, "classification"
    whole = y.dtype.kind in "iu" or bool(np.all((y == np.rint(y)) & (np.abs(y) < 2**53)))
    if whole and np.unique(y).size <= min(100, y.size / 2):
        return y.astype(np.int64), "classification"
    return y.astype(np.float64), "regression"


def check_samples(place: str, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Check and flatten samples. Returns X: (n, d) float32 or float64, finite, and y: (n,).

    Images (uint8 of three axes or more) become float32 in [0, 1].
    """
    numeric = X.ndim >= 2 and X.size > 0 and X.dtype.kind in "fiub"
    got = f"{place}: X is {X.dtype} of shape {X.shape}"
    require(numeric, f"{got}, expected numbers of shape (n_samples, n_features).")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    got = f"{place}: y is {y.dtype} of shape {y.shape}"
    fits = y.shape == (len(X),) and y.dtype.kind in "fiubU"
    require(fits, f"{got}, expected one number or text for each of the {len(X)} rows of X.")
    if X.dtype == np.uint8 and X.ndim > 2:
        X = np.divide(X, 255, dtype=np.float32)
    with np.errstate(over="ignore"):  # a long double beyond float64 is told below
        if X.dtype.name != "float32":
            X = X.astype(np.float64, copy=False)
        if y.dtype.kind == "f":
            y = y.astype(np.float64, copy=False)
    X = X.reshape(len(X), -1)
    for name, a in (("X", X), ("y", y)):
        if a.dtype.kind == "f" and not np.isfinite(a).all():
            at = np.argwhere(~np.isfinite(a))[0].tolist()
            raise DataError(f"{place}: {name}{at} is not finite, fill or drop that row first.")
    return X, y
