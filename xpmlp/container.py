"""The model file: named arrays and one JSON text in safetensors' format, checked by a SHA-256.

Nothing in the file can name code, and no size it declares is believed before it is checked: all of
them together against the file's own size, before its arrays are read. The format is a few lines,
written and read here, as no array may be allocated, copied or reordered on the way.

References
----------
safetensors, "Format": the length of a JSON header, the header, the bytes of the arrays.
"""

import hashlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, NamedTuple

import numpy as np

from .atomic import StrPath, atomic_file
from .errors import ModelFileError
from .logs import logger
from .words import abridged, did_you_mean

FORMAT_VERSION = 1
ENDING = ".safetensors"
DTYPES = {"F32": "float32", "F64": "float64", "I32": "int32", "I64": "int64"}
BLOCK = 1 << 20  # bytes
MAX_HEADER, MAX_ARRAYS, MAX_AXES = 1 << 20, 4096, 32
MAX_PARTS = 30_000  # lists and objects in a text of JSON, which take far more memory than it
# Texts, without an end, too, or what begins a list or an entry. The search never goes back (`++`),
# for which it would take memory.
PARTS = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[\[{,]', re.DOTALL)
OTHER_KINDS = {
    b"PK\x03\x04": "a zip archive (.npz, Keras or PyTorch file)",
    b"\x93NUMPY": "a NumPy .npy file",
    b"\x89HDF": "an HDF5 file",
    b"\x1f\x8b": "a gzip file",
    b"\x08": "an ONNX file, as it seems",
    **{bytes((0x80, protocol)): "a pickle, which could run code" for protocol in range(2, 6)},
}


class FileKind(NamedTuple):
    """What a container is: its name in messages, its error, whether its numbers are all finite."""

    name: str
    error: type[ValueError]
    finite: bool


MODEL_FILE = FileKind("model file", ModelFileError, finite=True)


class Entry(NamedTuple):
    """What a header says of an array: where its bytes begin and end, counted from the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def write_container(
    path: StrPath,
    arrays: dict[str, np.ndarray],
    metadata: dict[str, Any],
    kind: FileKind = MODEL_FILE,
) -> None:
    """Write arrays (float32/64, int32/64) and JSON-able metadata, whole or not at all.

    `format_version` is added to the metadata. `path` is left as it was where this raises.

    Raises
    ------
    ModelFileError, or the error of the kind
        `read_container` would refuse the file.
    OSError
        The disk is full, the folder is missing, ...
    """
    little = {k: np.asarray(a, a.dtype.newbyteorder("<"), order="C") for k, a in arrays.items()}
    _check_arrays(path, little, kind)
    text = json.dumps({**metadata, "format_version": FORMAT_VERSION}, allow_nan=False)
    header: dict = {"__metadata__": {"xpmlp": text, "sha256": _digest(text, little)}}
    # The widest numbers first, so that each array is aligned.
    order, end = sorted(little, key=lambda name: (-little[name].itemsize, name)), 0
    for name in order:
        a, begin = little[name], end
        end += a.nbytes
        dtype = next(short for short, long in DTYPES.items() if long == a.dtype.name)
        header[name] = {"dtype": dtype, "shape": a.shape, "data_offsets": [begin, end]}
    start = json.dumps(header).encode()
    start += b" " * (-len(start) % 8)
    _require(len(start) <= MAX_HEADER, path, "its metadata exceed 1 MiB", kind)
    with atomic_file(path, f"{8 + len(start) + end} bytes needed, ") as file:
        file.write(len(start).to_bytes(8, "little") + start)
        for name in order:
            file.write(_bytes(little[name]))
    logger.info("%s written: %s", kind.name.capitalize(), path)


def read_container(
    path: StrPath, kind: FileKind = MODEL_FILE
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read what `write_container` wrote. Returns the arrays, each with memory of its own, and JSON.

    Raises
    ------
    ModelFileError, or the error of the kind
        The file is missing, no such file, damaged, or of a newer format.
    """
    with _opened(path, kind) as file:
        strings, entries = _header(path, file, kind)
        metadata = _parse(path, strings["xpmlp"], kind)
        version = metadata.get("format_version", 0)
        positive = type(version) is int and version > 0
        wanted = f"its format_version is {version!r:.40}, expected a positive integer"
        _require(positive, path, wanted, kind)
        newer = f"it has format {version}, expected at most {FORMAT_VERSION}"
        _require(version <= FORMAT_VERSION, path, f"{newer}: it needs a newer xpmlp", kind)
        arrays = dict(_arrays(path, file, entries, kind))
    intact = strings.get("sha256") == _digest(strings["xpmlp"], arrays)
    _require(intact, path, "its SHA-256 does not match: it is damaged, take another copy", kind)
    _check_arrays(path, arrays, kind)
    logger.info("%s read: %s", kind.name.capitalize(), path)
    return arrays, metadata


def _arrays(
    path: StrPath, file: IO[bytes], entries: list[Entry], kind: FileKind
) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the array of each entry, in the order of the file."""
    for entry in entries:
        a: np.ndarray = np.empty(entry.shape, DTYPES[entry.dtype])
        n_bytes = file.readinto(_bytes(a))  # type: ignore[attr-defined]
        _require(n_bytes == a.nbytes, path, "it was cut while it was read, try again", kind)
        yield entry.name, a


def check_container(path: StrPath, kind: FileKind = MODEL_FILE) -> None:
    """Read a file and keep none of it: where it is not whole the error of its kind is raised."""
    with _opened(path, kind) as file:
        strings, entries = _header(path, file, kind)
        shapes = [(e.name, DTYPES[e.dtype], e.shape) for e in entries]
        start, digest = file.tell(), _begun_digest(strings["xpmlp"], shapes)
        for entry in sorted(entries):
            file.seek(start + entry.begin)
            for first in range(entry.begin, entry.end, BLOCK):
                digest.update(file.read(min(BLOCK, entry.end - first)))
    intact = strings.get("sha256") == digest.hexdigest()
    _require(intact, path, "its SHA-256 does not match: it is damaged", kind)


@contextmanager
def _opened(path: StrPath, kind: FileKind) -> Iterator[IO[bytes]]:
    """Open a regular file to read; opening a pipe would wait for ever."""
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)
        _require(regular, path, "it is a folder, device or pipe, expected a file", kind)
        with open(path, "rb") as file:
            yield file
    except FileNotFoundError as error:
        raise refusal(path, f"it does not exist{_neighbour(path)}", kind) from error
    except kind.error:
        raise
    except (OSError, ValueError, MemoryError) as error:
        reason = getattr(error, "strerror", None) or str(error) or "not enough memory"
        raise refusal(path, f"it cannot be read ({reason})", kind) from error


def _header(path: StrPath, file: IO[bytes], kind: FileKind) -> tuple[dict[str, str], list[Entry]]:
    """Return the texts in a file's header, and its arrays, which fill the rest of the file."""
    size, start = os.fstat(file.fileno()).st_size, file.read(8)
    _require(size >= 8, path, f"it has {size} bytes, expected 8 or more: was it cut?", kind)
    length = int.from_bytes(start, "little")
    what = f"its header length {length} is impossible"
    for magic, other in OTHER_KINDS.items():
        if start.startswith(magic):
            what = f"it is {other}"
    possible = length <= min(MAX_HEADER, size - 8)
    _require(possible, path, f"{what}, expected a whole {kind.name} saved by xpmlp", kind)
    header = _parse(path, file.read(length), kind)
    strings = header.pop("__metadata__", None)
    _require(len(header) <= MAX_ARRAYS, path, f"it has {len(header)} arrays, not up to 4096", kind)
    known = isinstance(strings, dict) and isinstance(strings.get("xpmlp"), str)
    lacks = "its header lacks the metadata 'xpmlp', was it saved by xpmlp?"
    _require(known, path, lacks, kind)
    found = [_entry(path, name, about, kind) for name, about in header.items()]
    entries, end = sorted(found, key=lambda entry: entry[3:]), 0
    for entry in entries:
        place = f"the bytes of array {entry.name!r:.60} begin at {entry.begin}"
        _require(entry.begin == end, path, f"{place}, expected {end}: it is damaged", kind)
        end = entry.end
    whole = size - 8 - length
    _require(
        end == whole, path, f"its arrays have {end} bytes, it holds {whole}: was it cut?", kind
    )
    return strings, entries


def _entry(path: StrPath, name: str, about: Any, kind: FileKind) -> Entry:
    """Return what a header says of an array, once its shape and its bytes go together."""
    dtype: Any = about.get("dtype") if isinstance(about, dict) else None
    expected = f"array {name!r:.60} is {dtype!r:.40}, expected one of {list(DTYPES)}"
    _require(dtype in list(DTYPES), path, expected, kind)
    numbers = [*_list(about.get("shape")), *_list(about.get("data_offsets"))]
    sizes = [n for n in numbers if type(n) is int and 0 <= n < 2**63]
    ends, axes = _list(about.get("data_offsets")), _list(about.get("shape"))
    fits = len(sizes) == len(numbers) and len(ends) == 2 and len(axes) <= MAX_AXES
    n_bytes = np.dtype(DTYPES[dtype]).itemsize * math.prod(axes if fits else [])
    fits = fits and ends[1] - ends[0] == n_bytes
    unfit = f"the shape of array {name!r:.60} does not fit its bytes: it is damaged"
    _require(fits, path, unfit, kind)
    return Entry(name, dtype, tuple(axes), *ends)


def _list(value: Any) -> list:
    return value if isinstance(value, list) else [None]


def _bytes(a: np.ndarray) -> memoryview:
    """Return the bytes of a contiguous array, as they lie in memory."""
    return a.reshape(-1).view(np.uint8).data


def _neighbour(path: StrPath) -> str:
    """Return a question for the model file of the same folder that is meant, if one is."""
    folder, name = os.path.split(path)
    stems: list[str] = []
    with suppress(OSError):
        files = os.listdir(folder or ".")
        stems = [n.removesuffix(ENDING) for n in files if n.endswith(ENDING)]
    near = did_you_mean(os.path.splitext(name)[0], stems)
    return near.replace("'?", f"{ENDING}'?").rstrip(".")


def strict_json(text: str, most: int = MAX_PARTS, marks: str = "[{") -> Any:
    """Return what a text of JSON holds, or raise ValueError.

    Refused is what no file of xpmlp holds: NaN, a name twice in an object, endless nesting and
    endless digits; and more marks of lists and objects than `most`, which are counted before one is
    made. marks: with a comma, all their entries count.
    """
    if sum(map(text.count, marks)) > most:  # or a text holds them
        parts = (part for part in PARTS.finditer(text) if text[part.start()] in marks)
        if any(i >= most for i, _ in enumerate(parts)):
            raise ValueError(f"it holds more than {most} lists and objects")
    try:
        return json.loads(text, parse_constant=_none, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("it nests lists and objects too deep") from error


def _none(name: str) -> None:
    raise ValueError(f"it holds {name}, expected finite numbers")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object; a name that stands in it twice is an error."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name stands twice in an object")
    return made


def _parse(path: StrPath, text: str | bytes, kind: FileKind) -> dict[str, Any]:
    """Return the JSON object in `text`."""
    try:
        value = strict_json(text if isinstance(text, str) else text.decode())
    except ValueError as error:
        raise refusal(path, f"its header is not valid JSON ({error!s:.200})", kind) from error
    got = f"its header holds a JSON {type(value).__name__}, expected an object"
    _require(isinstance(value, dict), path, got, kind)
    return value


def _check_arrays(path: StrPath, arrays: dict[str, np.ndarray], kind: FileKind) -> None:
    _require(len(arrays) <= MAX_ARRAYS, path, f"it has {len(arrays)} arrays, not up to 4096", kind)
    for name, a in arrays.items():
        expected = f"array {name!r} is {a.dtype}, expected one of {', '.join(DTYPES.values())}"
        _require(a.dtype.name in DTYPES.values(), path, expected, kind)
        finite = not kind.finite or bool(np.isfinite(a).all())
        wrong = f"array {name!r:.60} holds NaN or infinity, expected finite numbers"
        _require(finite, path, wrong, kind)


def _digest(text: str, arrays: dict[str, np.ndarray]) -> str:
    """Return the SHA-256 of the metadata and of every array's name, type, shape and bytes."""
    digest = _begun_digest(text, [(name, a.dtype.name, a.shape) for name, a in arrays.items()])
    for _, a in sorted(arrays.items()):
        digest.update(_bytes(a))
    return digest.hexdigest()


def _begun_digest(text, shapes):
    """Return the SHA-256 of all but the arrays' bytes; shapes: name, dtype and shape of each."""
    return hashlib.sha256(json.dumps([text, sorted(shapes)]).encode())


def _require(ok: bool, path: StrPath, reason: str, kind: FileKind) -> None:
    if not ok:
        raise refusal(path, reason, kind)


def refusal(path: StrPath, reason: str, kind: FileKind = MODEL_FILE) -> ValueError:
    """Return the error on a file that is none of a kind, or damaged."""
    end = "." * (not reason.endswith("?"))
    return kind.error(f"{kind.name} {abridged(repr(os.fspath(path)), 300)}: {reason}{end}")
