"""Pickled MNIST, mnist.pkl.gz: three pairs of images and labels."""

from pathlib import Path

import numpy as np

from ..atomic import StrPath
from ..errors import DataError, DataMemoryError
from .common import Dataset, check_samples, opened, require
from .memory import allowed_memory, array_bytes, check_memory
from .pickle_arrays import arrays_of


def read_mnist_pickle(path: StrPath, max_memory: int | None = None) -> Dataset:
    """Read a pickle (gzipped or not) of three (images, labels) pairs: train, validation, test.

    Train and validation are joined, in this order. Nothing is unpickled: see `pickle_arrays`.
    """
    with opened(path) as file:
        try:
            parts = arrays_of(file, allowed_memory(max_memory))
        except DataMemoryError as error:
            raise DataMemoryError(f"{path}: {error} (--max-memory).") from error
        except DataError:  # of unpacking
            raise
        except ValueError as error:
            raise DataError(f"{path} cannot be read: {error!s:.200}.") from error
        except (TypeError, LookupError, AttributeError) as error:
            raise DataError(f"{path} cannot be read: it is damaged.") from error
        # This also ends a gzip checksum.
        require(not file.read(1), f"{path} cannot be read: it goes on after its end.")
    try:
        pairs = [(X.array, y.array) for X, y in parts]
        kinds = [(X.dtype.kind, X.ndim, y.dtype.kind in "iu") for X, y in pairs]
    except (TypeError, ValueError, AttributeError):
        kinds = []
    form = "three pairs of float images (n, d) and integer labels (n,)"
    require(kinds == [("f", 2, True)] * 3, f"{path} holds something else, expected {form}.")
    needed = sum(array_bytes(a.shape, a.dtype) for pair in pairs for a in pair)
    check_memory(path, "pairs of arrays to join", 2 * needed, max_memory)
    (X, y), (X_valid, y_valid), (X_test, y_test) = (
        check_samples(f"{path}, part {i}", X, y.astype(np.int64))
        for i, (X, y) in enumerate(pairs, 1)
    )
    same = X.shape[1] == X_valid.shape[1] == X_test.shape[1]
    require(same, f"{path}: the parts' images differ in size, expected one size.")
    X, y = np.concatenate((X, X_valid)), np.concatenate((y, y_valid))
    name = Path(path).name
    return Dataset(name, X, y, None, "label", "classification", X_test, y_test, image=True)
