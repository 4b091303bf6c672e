"""Compressed files: known by their first bytes, whatever they are called, and unpacked as read."""

import bz2
import gzip
import io
import lzma
import os
import zipfile
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import PurePosixPath
from typing import IO, Any

from ...errors import DataError

SUFFIXES = (".gz", ".bz2", ".xz", ".zst", ".zip")
# A file may unpack to so many bytes, or to so many times its own size; tables are 3 to 50 times as
# large, and more is what files do that were made to fill the memory.
SMALL, MOST_TIMES = 256 << 20, 200
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError)


def packing_of(start: bytes) -> str:
    """Return how a file is compressed, by its first bytes: "gzip", "zip", ..., "" if it is not."""
    return next((name for name, (magic, _) in PACKINGS.items() if start.startswith(magic)), "")


def unpacked(file: IO[bytes], path: Any) -> Any:
    """Return a binary stream of what an open file holds, unpacked; path: its name in messages."""
    start = file.peek(6)[:6]  # type: ignore[attr-defined]
    packing = packing_of(start)
    if not packing:
        return file
    most = max(SMALL, MOST_TIMES * os.fstat(file.fileno()).st_size)
    return io.BufferedReader(_Bounded(PACKINGS[packing][1](file, path), most, path), 1 << 17)


class _Bounded(io.RawIOBase):
    """A stream that is read up to a number of bytes."""

    def __init__(self, stream: Any, most: int, path: Any) -> None:
        self.stream, self.left, self.most, self.path = stream, most, most, path

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self.stream.readinto(buffer)
        self.left -= n
        if self.left < 0:
            raise _too_large(self.path, f"more than {self.most:,} bytes")
        return n

    def close(self) -> None:
        self.stream.close()
        super().close()


def check_unpacked(
    path: Any, size: int, packed: int, small: int = SMALL, times: int = MOST_TIMES
) -> None:
    """Raise DataError where packed bytes become many times as many, beyond a small size."""
    if size > max(small, times * packed):
        raise _too_large(path, f"{size:,} bytes", times)


def _too_large(path: Any, size: str, times: int = MOST_TIMES) -> DataError:
    got = f"{path} unpacks to {size}, more than {times} times its own size"
    return DataError(f"{got}: unpack it by yourself if you trust it.")


def is_damage(error: Exception) -> bool:
    """Tell whether an error says that a file cannot be read, or not be unpacked."""
    return isinstance(error, DAMAGE) or type(error).__name__ == "ZstdError"


def holds_sheets(path: Any, called: Any) -> bool:
    """Tell whether a zip archive is an Excel file."""
    return "xl/workbook.xml" in _members(path, called)


def only_member(path: Any, called: Any) -> str:
    """Return the name of the one file in a zip archive; DataError where there are more or none."""
    names = _members(path, called)
    if len(names) == 1:
        return names[0]
    held = ", ".join(map(repr, names[:8])) or "nothing"
    raise DataError(f"{called} holds {held}, expected one file: unpack it, and name the file.")


def _members(path: Any, called: Any) -> list[str]:
    """Return the names of the files in a zip archive, but those that macOS adds."""
    names = sizes_of(path, called)
    return [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]


def sizes_of(path: Any, called: Any) -> dict[str, int]:
    """Return the bytes that the members of a zip archive unpack to, by name."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename: info.file_size for info in archive.infolist()}
    except (*DAMAGE, ValueError) as error:
        raise DataError(
            f"{called} cannot be read: {error!s:.200}; is it the whole file?"
        ) from error


def stem_of(path: Any) -> str:
    """Return the name of a file, in small letters, as it would be unpacked."""
    name = PurePosixPath(str(path)).name.lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return name.removesuffix(suffix)
    return name


def _open_zip(file, path):
    name = only_member(file, path)
    archive = zipfile.ZipFile(file)
    if archive.getinfo(name).flag_bits & 1:
        raise DataError(f"{path} is encrypted, expected a zip file without a password: unpack it.")
    return archive.open(name)


def _open_zstd(file, path):
    try:
        zstd = import_module("compression.zstd")  # since Python 3.14
    except ImportError:
        try:
            zstd = import_module("backports.zstd")
        except ImportError as error:
            remedy = "pip install 'xpmlp[data]', or unpack it"
            raise DataError(f"{path} needs backports.zstd to be read: {remedy}.") from error
    return zstd.ZstdFile(file)


PACKINGS: dict[str, tuple[bytes | tuple, Callable[..., Any]]] = {
    "gzip": (b"\x1f\x8b", lambda file, path: gzip.GzipFile(fileobj=file)),
    "bz2": (
        tuple(b"BZh%d" % level for level in range(1, 10)),
        lambda file, path: bz2.BZ2File(file),
    ),
    "xz": (b"\xfd7zXZ\0", lambda file, path: lzma.LZMAFile(file)),
    "zstd": (b"\x28\xb5\x2f\xfd", _open_zstd),
    "zip": ((b"PK\x03\x04", b"PK\x05\x06"), _open_zip),
}
