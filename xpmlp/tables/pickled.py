"""Pickled MNIST, mnist.pkl.gz: read by an unpickler that knows NumPy arrays and nothing else."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from ..atomic import StrPath
from ..errors import DataError
from .common import Dataset, check_samples, opened, require


def _latin1(text: str, encoding: str) -> bytes:
    """Stand in for codecs.encode, which would look up any codec by name."""
    return text.encode("latin1")


_RECONSTRUCT = np.empty(0).__reduce__()[0]  # numpy's own, without importing a private module
ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): _latin1,
}


class _ArraysOnly(pickle.Unpickler):
    """An unpickler for which no other name exists."""

    def find_class(self, module: str, name: str) -> Any:
        refusal = f"it refuses to load '{module}.{name}', expected NumPy arrays only"
        require((module, name) in ALLOWED, f"{refusal}: a pickle can run code, use IDX or .npz")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> Any:
        raise DataError(f"it refers to a persistent id {pid!r}, expected NumPy arrays only")


def read_mnist_pickle(path: StrPath) -> Dataset:
    """Read a pickle (gzipped or not) of three (images, labels) pairs: train, validation, test.

    Train and validation are joined, in this order. Of the pickle's names only NumPy's arrays are
    known, so it can call nothing else; NumPy's own unpacking of an array is trusted.
    """
    with opened(path) as file:
        try:
            parts = _ArraysOnly(file, encoding="latin1").load()
        except Exception as error:  # a damaged pickle raises anything
            raise DataError(f"{path} cannot be unpickled: {error}.") from error
    try:
        kinds = [(X.dtype.kind, X.ndim, y.dtype.kind in "iu") for X, y in parts]
    except (TypeError, ValueError, AttributeError):
        kinds = []
    form = "three pairs of float images (n, d) and integer labels (n,)"
    require(kinds == [("f", 2, True)] * 3, f"{path} holds something else, expected {form}.")
    (X, y), (X_valid, y_valid), (X_test, y_test) = (
        check_samples(f"{path}, part {i}", X, y.astype(np.int64))
        for i, (X, y) in enumerate(parts, 1)
    )
    same = X.shape[1] == X_valid.shape[1] == X_test.shape[1]
    require(same, f"{path}: the parts' images differ in size, expected one size.")
    X, y = np.concatenate((X, X_valid)), np.concatenate((y, y_valid))
    name = Path(path).name
    return Dataset(name, X, y, None, "label", "classification", X_test, y_test, image=True)
