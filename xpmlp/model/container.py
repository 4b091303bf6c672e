"""The model file: named arrays and one JSON text in safetensors' format, checked by a SHA-256.

Nothing in the file can name code, and no size it declares is believed before it is checked.
"""

import hashlib
import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ..atomic import StrPath, atomic_write
from ..errors import ModelFileError
from ..logs import logger
from ..words import did_you_mean

FORMAT_VERSION = 1
ENDING = ".safetensors"
DTYPES = {"F32": "float32", "F64": "float64", "I32": "int32", "I64": "int64"}
# safetensors 0.8.0 takes 5 s and 2 GB for a 59 MB header of a million empty arrays.
MAX_HEADER, MAX_ARRAYS = 1 << 20, 4096
OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive (.npz, Keras or PyTorch file)",
    b"\x93NUMPY": "a NumPy .npy file",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file",
    b"\x08": "an ONNX file, as it seems",
    **{bytes((0x80, protocol)): "a pickle, which could run code" for protocol in range(2, 6)},
}


def write_container(path: StrPath, arrays: dict[str, np.ndarray], metadata: dict[str, Any]) -> None:
    """Write finite arrays (float32/64, int32/64) and JSON-able metadata, whole or not at all.

    `format_version` is added to the metadata. `path` is left as it was where this raises.

    Raises
    ------
    ModelFileError
        `read_container` would refuse the file.
    OSError
        The disk is full, the folder is missing, ...
    """
    # Fresh C-ordered little-endian copies: safetensors 0.8.0 silently scrambles any other layout.
    fresh = {k: np.array(a, a.dtype.newbyteorder("<"), order="C") for k, a in arrays.items()}
    _check_arrays(path, fresh)
    text = json.dumps({**metadata, "format_version": FORMAT_VERSION}, allow_nan=False)
    strings = {"xpmlp": text, "sha256": _digest(text, fresh)}
    data = safetensors.numpy.save(fresh, metadata=strings)
    _require(int.from_bytes(data[:8], "little") <= MAX_HEADER, path, "its metadata exceed 1 MiB")
    atomic_write(path, data)
    logger.info("Model file written: %s", path)


def read_container(path: StrPath) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_container` wrote. Returns the arrays and the metadata.

    Raises
    ------
    ModelFileError
        The file is missing, no model file, damaged, or of a newer format.
    """
    data = _read_bytes(path)
    header = _parse(path, data[8 : 8 + int.from_bytes(data[:8], "little")])
    strings = header.pop("__metadata__", None)
    _require(len(header) <= MAX_ARRAYS, path, f"it has {len(header)} arrays, not up to 4096")
    known = isinstance(strings, dict) and isinstance(strings.get("xpmlp"), str)
    _require(known, path, "its header lacks the metadata 'xpmlp', was it saved by xpmlp?")
    metadata = _parse(path, strings["xpmlp"])
    version = metadata.get("format_version", 0)
    positive = type(version) is int and version > 0
    _require(positive, path, f"its format_version is {version!r}, expected a positive integer")
    newer = f"it has format {version}, expected at most {FORMAT_VERSION}: it needs a newer xpmlp"
    _require(version <= FORMAT_VERSION, path, newer)
    for name, entry in header.items():  # safetensors fails on some types, maps others to void
        dtype = entry.get("dtype") if isinstance(entry, dict) else None
        expected = f"array {name!r} is {dtype!r}, expected one of {list(DTYPES)}"
        _require(dtype in list(DTYPES), path, expected)
    try:
        arrays = safetensors.numpy.load(data)
    except Exception as error:  # hostile shapes raise a dozen kinds here, down to MemoryError
        raise _refusal(path, f"its arrays do not fit its header ({error})") from error
    intact = strings.get("sha256") == _digest(strings["xpmlp"], arrays)
    _require(intact, path, "its SHA-256 does not match: it is damaged, take another copy")
    _check_arrays(path, arrays)
    logger.info("Model file read: %s", path)
    return arrays, metadata


def _read_bytes(path: StrPath) -> bytes:
    """Return the file's bytes, once its kind and its first eight bytes look like a container."""
    try:
        if regular := stat.S_ISREG(os.stat(path).st_mode):  # opening a pipe would wait for ever
            data = Path(path).read_bytes()
    except FileNotFoundError as error:
        raise _refusal(path, f"it does not exist{_neighbour(path)}") from error
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _refusal(path, f"it cannot be read ({reason})") from error
    _require(regular, path, "it is a folder, device or pipe, expected a file")
    _require(len(data) >= 8, path, f"it has {len(data)} bytes, expected 8 or more: was it cut?")
    length = int.from_bytes(data[:8], "little")
    kind = f"its header length {length} is impossible"
    for start, other in OTHER_KINDS.items():
        if data.startswith(start):
            kind = f"it is {other}"
    possible = length <= min(MAX_HEADER, len(data) - 8)
    _require(possible, path, f"{kind}, expected a whole file saved by xpmlp")
    return data


def _neighbour(path: StrPath) -> str:
    """Return a question for the model file of the same folder that is meant, if one is."""
    folder, name = os.path.split(path)
    stems: list[str] = []
    with suppress(OSError):
        files = os.listdir(folder or ".")
        stems = [n.removesuffix(ENDING) for n in files if n.endswith(ENDING)]
    near = did_you_mean(os.path.splitext(name)[0], stems)
    return near.replace("'?", f"{ENDING}'?").rstrip(".")


def _parse(path: StrPath, text: str | bytes) -> dict[str, Any]:
    """Return the JSON object in `text`; NaN, endless nesting and endless digits are refused."""
    try:
        value = json.loads(text, parse_constant=int)  # int("NaN") raises
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"its header is not valid JSON ({error})") from error
    kind = type(value).__name__
    _require(isinstance(value, dict), path, f"its header holds a JSON {kind}, expected an object")
    return value


def _check_arrays(path: StrPath, arrays: dict[str, np.ndarray]) -> None:
    _require(len(arrays) <= MAX_ARRAYS, path, f"it has {len(arrays)} arrays, not up to 4096")
    for name, a in arrays.items():
        expected = f"array {name!r} is {a.dtype}, expected one of {', '.join(DTYPES.values())}"
        _require(a.dtype.name in DTYPES.values(), path, expected)
        finite = bool(np.isfinite(a).all())
        _require(finite, path, f"array {name!r} holds NaN or infinity, expected finite numbers")


def _digest(text: str, arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of the metadata and of every array's name, type, shape and bytes."""
    shapes = [[name, a.dtype.name, a.shape] for name, a in sorted(arrays.items())]
    digest = hashlib.sha256(json.dumps([text, shapes]).encode())
    for _, a in sorted(arrays.items()):
        digest.update(a.tobytes())
    return digest.hexdigest()


def _require(ok: bool, path: StrPath, reason: str) -> None:
    if not ok:
        raise _refusal(path, reason)


def _refusal(path: StrPath, reason: str) -> ModelFileError:
    end = "." * (not reason.endswith("?"))
    return ModelFileError(f"model file {os.fspath(path)!r}: {reason}{end}")
