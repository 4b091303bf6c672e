"""NumPy's .npz files: arrays saved with numpy.savez."""

import math
import zipfile
from collections import Counter
from io import BytesIO
from pathlib import Path

import numpy as np

from ..atomic import StrPath
from ..errors import DataError
from ..words import listed, shortened
from .common import Dataset, check_regular, check_samples, infer_task, require
from .files.packing import check_unpacked
from .memory import array_bytes, check_memory

KEYS = (
    ("X", "y", "X_test", "y_test"),
    ("data", "target", "data_test", "target_test"),
    ("x_train", "y_train", "x_test", "y_test"),  # Keras' mnist.npz
)
LONGEST = 1 << 13  # bytes of the header of an array; one of numbers has 128
HEADERS = {  # by the version of NumPy's format
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(path: StrPath, max_memory: int | None = None) -> Dataset:
    """Read arrays X and y, and X_test and y_test if there, also under the other names in `KEYS`.

    Images (uint8 of three axes or more) are flattened and scaled to [0, 1]; objects are refused.
    Other members are not read.
    """
    check_regular(path)
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = _arrays(archive, path, max_memory)
    except DataError:
        raise
    except Exception as error:  # damaged archives raise a dozen kinds, down to MemoryError
        reason = shortened(" ".join(str(error).split()), 200) or type(error).__name__
        raise DataError(f"{path} is no readable .npz of plain arrays: {reason}.") from error
    names = [*arrays]

    def part(X: str, y: str) -> tuple[np.ndarray, np.ndarray]:
        return check_samples(f"{path}, arrays {X!r} and {y!r}", arrays[X], arrays[y])

    (X, y), X_test, y_test = part(*names[:2]), None, None
    if names[2:]:
        X_test, y_test = part(*names[2:])
        differ = f"{path}: {names[0]!r} and {names[2]!r} differ in width, expected one width."
        require(X_test.shape[1] == X.shape[1], differ)
    image = arrays[names[0]].dtype == np.uint8 and arrays[names[0]].ndim > 2
    y, task = infer_task(y)
    return Dataset(Path(path).name, X, y, None, names[1], task, X_test, y_test, image)


def _arrays(
    archive: zipfile.ZipFile, path: StrPath, max_memory: int | None
) -> dict[str, np.ndarray]:
    """Return the arrays of an archive that are named as one of `KEYS`, read once all fit."""
    held = Counter(name.removesuffix(".npy") for name in archive.namelist())
    known = (keys for keys in KEYS if held.keys() >= {*keys[:2]})
    keys: tuple[str, ...] = next(known, KEYS[0])
    if held.keys().isdisjoint(keys[2:]):
        keys = keys[:2]
    for name in keys:
        got = f"{path} holds {shortened(listed(sorted(held)), 200)}"
        require(name in held, f"{got}, expected {' and '.join(map(repr, keys))}.")
        require(held[name] == 1, f"{path} holds {name!r} twice, expected one array of a name.")
    members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    members = {name: members[name] for name in keys}
    needed = sum(_needed(archive, info, path) for info in members.values())
    check_memory(path, f"arrays {listed(members)}", needed, max_memory)
    arrays = {}
    for name, info in members.items():
        with archive.open(info) as member:
            arrays[name] = np.lib.format.read_array(member, max_header_size=LONGEST)
    return arrays


def _needed(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: StrPath) -> int:
    """Return the bytes that a member takes, by its header, which has to agree with its size."""
    place = f"{path}, member {info.filename!r}"
    require(not info.flag_bits & 1, f"{place} is encrypted, expected one without a password.")
    check_unpacked(place, info.file_size, info.compress_size)
    with archive.open(info) as member:
        start = BytesIO(member.read(LONGEST))
    magic = start.getvalue()[:6] == np.lib.format.MAGIC_PREFIX
    require(magic, f"{place} is no .npy array, expected one as numpy.savez writes it.")
    version = np.lib.format.read_magic(start)
    require(version in HEADERS, f"{place} has format {version}, expected (1, 0) or (2, 0).")
    try:
        shape, _, dtype = HEADERS[version](start, max_header_size=LONGEST)
    except Exception as error:  # NumPy's parser raises what Python's does
        raise DataError(f"{place} has no header that can be read: it is damaged.") from error
    plain = not dtype.hasobject and dtype.itemsize > 0
    require(plain, f"{place} holds objects, which a pickle is needed for, expected numbers.")
    n_bytes = start.tell() + math.prod(shape) * dtype.itemsize
    got = f"{place} has {info.file_size:,} bytes, its header says {n_bytes:,}"
    require(n_bytes == info.file_size, f"{got}: it is damaged.")
    return array_bytes(shape, dtype)
