"""Data sets by name or path: `load_dataset`, and the small sets that need no file."""

import os
from collections.abc import Callable
from contextlib import suppress
from difflib import get_close_matches
from itertools import chain
from pathlib import Path

import numpy as np

from ..atomic import StrPath
from ..errors import DataError
from ..words import did_you_mean, listed
from .common import Dataset, require
from .files.packing import SUFFIXES
from .files.source import ARRAYS, ENDINGS, is_table, kind_of
from .idx import read_idx_folder
from .npz import read_npz
from .open_table import read_features, read_table
from .pickled import read_mnist_pickle
from .reading import PLAIN, Reading

OLD_EXCEL = (".xls", ".xlsb", ".ods")  # workbooks of other kinds than those that are read
FROM_SKLEARN = ("digits", "iris", "wine", "breast_cancer", "diabetes")


def load_dataset(
    source: StrPath,
    target: str | None = None,
    reading: Reading = PLAIN,
    max_memory: int | None = None,
) -> Dataset:
    """Load a built-in set by its name, or a file: a table, .npz, mnist.pkl.gz, an IDX folder.

    Parameters
    ----------
    source : str or Path
        A name of `BUILT_IN`, or a file or folder; ``./name`` where a file has such a name. Tables
        are CSV, JSON, Excel and Parquet files, as `open_table` takes them.
    target : str, optional
        Column to predict, for tables only; by default the last one.
    reading : Reading, optional
        How a table file is written, where its first lines do not say so.
    max_memory : int, optional
        Bytes that the data may take; by default half of the memory that is free.

    Returns
    -------
    Dataset

    Raises
    ------
    DataError
        When it is neither a name nor a file, or the file cannot be read as it stands.
    DataMemoryError
        When its data take more memory than they may.

    Examples
    --------
    >>> load_dataset("iris").X.shape
    (150, 4)
    """
    if source in BUILT_IN or not is_table(source):
        check_there(source)
        what = "is no table"
        unused = f"target={target!r} names a column, but {source} {what}: leave it out."
        require(target is None, unused)
        require(reading == PLAIN, f"{source} {what}: leave out how tables are written.")
    if source in BUILT_IN:
        return _built_in(str(source))
    path, name = Path(source), Path(source).name.lower()
    if is_table(source):
        return read_table(path, target, reading, max_memory)
    if path.is_dir():
        tables = [found.name for found in sorted(path.iterdir()) if kind_of(found)]
        require(not tables, f"{path} is a folder, expected one of its tables: {listed(tables)}.")
        return read_idx_folder(path, max_memory)
    if name.endswith(".npz"):
        return read_npz(path, max_memory)
    kinds, packed = ", ".join((*chain(*ENDINGS.values()), *ARRAYS)), ", ".join(SUFFIXES)
    known = name.endswith(ARRAYS)
    got = f"{source} is of no known kind, expected a folder of IDX files or {kinds} ({packed} too)"
    require(known, f"{got}; the standard input, -, takes a table of any name.")
    return read_mnist_pickle(path, max_memory)


def check_there(source: StrPath) -> None:
    """Raise DataError for what is neither a name nor a path, with the nearest of its folder."""
    if source in BUILT_IN:
        return
    if os.path.exists(source):
        old = str(source).lower().endswith(OLD_EXCEL)
        require(not old, f"{source} is a workbook that is not read: save it as .xlsx, or as CSV.")
        return
    leads = f"{source} is a symbolic link that leads to no file or folder: mend or remove it."
    require(not os.path.islink(source), leads)
    folder, name = os.path.split(str(source))
    others: list[str] = []
    with suppress(OSError, ValueError):  # such as a folder that is not there, or may not be read
        others = sorted(os.listdir(folder or "."))
    others = [other for other in others if _is_data(os.path.join(folder, other))]
    stems = {other: other.partition(".")[0].lower() for other in others}  # whatever the ending
    close = get_close_matches(name.partition(".")[0].lower(), {*stems.values()})
    near = [
        os.path.join(folder, other) for stem in close for other in others if stems[other] == stem
    ]
    require(not near, f"{source} does not exist, the nearest of its folder: {listed(near)}.")
    names = f"a built-in data set ({', '.join(BUILT_IN)}){did_you_mean(name, BUILT_IN)}"
    raise DataError(f"{source} does not exist, expected a file, a folder or {names}")


def _is_data(path: str) -> bool:
    """Tell whether a path may be that of a data set, by its name."""
    return bool(kind_of(path)) or path.endswith(ARRAYS) or os.path.isdir(path)


def load_features(
    source: StrPath,
    n_features: int,
    target: str | None,
    reading: Reading = PLAIN,
    max_memory: int | None = None,
) -> np.ndarray:
    """Load rows to predict (n, n_features); a table need not hold the target."""
    if source not in BUILT_IN and is_table(source):
        return read_features(source, n_features, target, reading, max_memory)
    X = load_dataset(source, reading=reading, max_memory=max_memory).X
    got = f"{source} has {X.shape[1]} features"
    require(X.shape[1] == n_features, f"{got}, expected the model's {n_features}.")
    return X


def _built_in(name: str) -> Dataset:
    """Make a built-in set, the same at every call."""
    task, dtype = "classification", "int64"
    if name in ("sine", "diabetes"):
        task, dtype = "regression", "float64"
    if name in TOYS:
        X, y = TOYS[name]()
        features = tuple(f"x{i}" for i in range(X.shape[1]))
    else:
        from sklearn import datasets

        bunch = getattr(datasets, f"load_{name}")()
        X, y, features = bunch.data, bunch.target, tuple(map(str, bunch.feature_names))
    return Dataset(name, X, y.astype(dtype), features, "target", task, image=name == "digits")


def _polar(r: np.ndarray, t: np.ndarray) -> np.ndarray:
    return np.stack((r * np.sin(t), r * np.cos(t)), axis=-1)


def _flower() -> tuple[np.ndarray, np.ndarray]:
    """Two classes on the petals of a rose: `load_planar_dataset` of A. Ng's course, to the bit."""
    rng = np.random.RandomState(1)  # noqa: NPY002 - the course's own draws
    petals = []
    for j in (0, 1):
        t = np.linspace(3.12 * j, 3.12 * (j + 1), 200) + 0.2 * rng.randn(200)
        petals.append(_polar(4 * np.sin(4 * t) + 0.2 * rng.randn(200), t))
    return np.concatenate(petals), np.repeat([0, 1], 200)


def _moons() -> tuple[np.ndarray, np.ndarray]:
    """Two half circles, each reaching into the other."""
    t = np.linspace(0, np.pi, 100)
    outer = np.column_stack((np.cos(t), np.sin(t)))
    X = np.concatenate((outer, (1, 0.5) - outer))
    return X + 0.2 * np.random.default_rng(0).standard_normal(X.shape), np.repeat([0, 1], 100)


def _circles() -> tuple[np.ndarray, np.ndarray]:
    """Radius 1 around radius 1/2, blurred until they touch."""
    t = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    X = np.concatenate((_polar(np.ones(100), t), _polar(np.full(100, 0.5), t)))
    return X + 0.3 * np.random.default_rng(0).standard_normal(X.shape), np.repeat([0, 1], 100)


def _spirals() -> tuple[np.ndarray, np.ndarray]:
    """Three arms, as in Stanford's CS231n."""
    t = np.linspace(4 * np.arange(3), 4 * np.arange(1, 4), 100, axis=1)
    t += 0.2 * np.random.default_rng(0).standard_normal(t.shape)
    return _polar(np.linspace(0, 1, 100), t).reshape(300, 2), np.repeat([0, 1, 2], 100)


def _sine() -> tuple[np.ndarray, np.ndarray]:
    """One period of the sine, without noise."""
    x = np.linspace(-np.pi, np.pi, 1000)
    return x[:, None], np.sin(x)


def _sign() -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers from -3 to 3; label 1 above zero."""
    x = np.random.default_rng(0).integers(-3, 4, size=1000)
    return x[:, None].astype(np.float64), (x > 0).astype(np.int64)


TOYS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray]]] = {
    f.__name__[1:]: f for f in (_flower, _moons, _circles, _spirals, _sine, _sign)
}
BUILT_IN = (*FROM_SKLEARN, *TOYS)
