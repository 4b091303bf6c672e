"""IDX, the format of MNIST and its relatives: a magic number, big-endian sizes, the values."""

import math
import struct
from pathlib import Path

import numpy as np

from ..atomic import StrPath
from ..errors import DataError
from .common import Dataset, check_samples, opened, read_most, require
from .memory import array_bytes, check_memory

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: StrPath, max_memory: int | None = None) -> np.ndarray:
    """Read one IDX file, plain or gzipped. Returns an array of the file's own type and shape."""
    with opened(path) as file:
        magic = file.read(4)
        known = len(magic) == 4 and magic[:2] == b"\0\0" and magic[2] in DTYPES and magic[3] < 9
        expected = "expected an IDX magic number such as 00000803 (images) or 00000801 (labels)"
        require(known, f"{path} at byte 0: got {magic.hex() or 'nothing'}, {expected}.")
        dtype, start = np.dtype(DTYPES[magic[2]]), 4 + 4 * magic[3]
        sizes = file.read(start - 4)
        ends = f"{path} ends at byte {4 + len(sizes)}, expected {magic[3]} sizes of 4 bytes each"
        require(len(sizes) == start - 4, f"{ends}: fetch it again.")
        shape = struct.unpack(f">{magic[3]}I", sizes)
        check_memory(path, f"an array of shape {shape}", array_bytes(shape, dtype), max_memory)
        n_bytes = math.prod(shape) * dtype.itemsize
        data = read_most(file, n_bytes + 1)  # one more: trailing bytes, and a gzip checksum
    end = f"byte {start + n_bytes} where shape {shape} ends: fetch it again."
    require(len(data) <= n_bytes, f"{path} goes on after {end}")
    require(len(data) >= n_bytes, f"{path} ends at byte {start + len(data)}, not at {end}")
    return np.frombuffer(data, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def read_idx_folder(folder: StrPath, max_memory: int | None = None) -> Dataset:
    """Read a folder that holds MNIST's four files under their usual names, plain or gzipped.

    Pixels become float32 in [0, 1], labels int64. The test part (t10k) may be missing.
    """
    folder = Path(folder)
    X, y = _read_part(folder, "train", max_memory)
    X_test = y_test = None
    if _find(folder, "t10k-images", 3) or _find(folder, "t10k-labels", 1):
        X_test, y_test = _read_part(folder, "t10k", max_memory)
    same = X_test is None or X_test.shape[1] == X.shape[1]
    require(same, f"{folder}: train and t10k images differ in size, expected one size.")
    name = folder.resolve().name
    return Dataset(name, X, y, None, "label", "classification", X_test, y_test, image=True)


def _find(folder: Path, stem: str, n_axes: int) -> Path | None:
    """Return the file of that stem, in any of its four usual spellings."""
    endings = [f"{dot}idx{n_axes}-ubyte{gz}" for dot in "-." for gz in ("", ".gz")]
    return next((folder / (stem + e) for e in endings if (folder / (stem + e)).is_file()), None)


def _read_part(folder: Path, part: str, max_memory: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Read the images (n, d) and labels (n,) of one part."""
    arrays = []
    for stem, n_axes in ((f"{part}-images", 3), (f"{part}-labels", 1)):
        path = _find(folder, stem, n_axes)
        if path is None:
            expected = f"{stem}-idx{n_axes}-ubyte, plain or .gz"
            raise DataError(f"{folder} lacks a file, expected {expected}.")
        a = read_idx(path, max_memory)
        got = f"{path} holds {a.dtype} of shape {a.shape}"
        fits = a.ndim == n_axes and a.dtype == np.uint8 and a.size > 0
        require(fits, f"{got}, expected uint8 with {n_axes} axes.")
        arrays.append(a)
    return check_samples(f"{folder}, {part}", arrays[0], arrays[1].astype(np.int64))
