"""NumPy's .npz files: arrays saved with numpy.savez."""

import zipfile
from pathlib import Path

import numpy as np

from ..atomic import StrPath
from ..errors import DataError
from .common import MAX_BYTES, Dataset, check_samples, infer_task, require

KEYS = (
    ("X", "y", "X_test", "y_test"),
    ("data", "target", "data_test", "target_test"),
    ("x_train", "y_train", "x_test", "y_test"),  # Keras' mnist.npz
)


def read_npz(path: StrPath) -> Dataset:
    """Read arrays X and y, and X_test and y_test if there, also under the other names in `KEYS`.

    Images (uint8 of three axes or more) are flattened and scaled to [0, 1]; objects are refused.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            n_bytes = sum(member.file_size for member in archive.infolist())
        require(n_bytes <= MAX_BYTES, f"it unpacks to {n_bytes} bytes, more than 8 GiB")
        with np.load(path, allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
    except Exception as error:  # damaged archives raise a dozen kinds, down to MemoryError
        raise DataError(f"{path} is no readable .npz of plain arrays: {error}.") from error
    keys = next((keys for keys in KEYS if arrays.keys() >= set(keys[:2])), KEYS[0])

    def part(X_name, y_name):
        found = X_name in arrays and y_name in arrays
        require(found, f"{path} holds {sorted(arrays)}, expected {X_name!r} and {y_name!r}.")
        place = f"{path}, arrays {X_name!r} and {y_name!r}"
        return check_samples(place, arrays[X_name], arrays[y_name])

    (X, y), X_test, y_test = part(*keys[:2]), None, None
    if arrays.keys() & set(keys[2:]):
        X_test, y_test = part(*keys[2:])
    same = X_test is None or X_test.shape[1] == X.shape[1]
    require(same, f"{path}: {keys[0]!r} and {keys[2]!r} differ in width, expected one width.")
    image = arrays[keys[0]].dtype == np.uint8 and arrays[keys[0]].ndim > 2
    y, task = infer_task(y)
    return Dataset(Path(path).name, X, y, None, keys[1], task, X_test, y_test, image)
