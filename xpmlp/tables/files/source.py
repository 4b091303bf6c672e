"""What a path holds: which kind of table, and a file of it that can be read as it stands."""

import codecs
import os
import re
import shutil
import stat
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass, fields, replace
from errno import ENOSPC
from pathlib import Path, PurePosixPath
from tempfile import gettempdir
from typing import Any

from ...atomic import StrPath
from ...errors import DataError
from ...words import plural
from ..common import BLOCK, lines_of, opened, opened_text, require
from ..memory import check_table
from ..reading import PLAIN, Reading
from .packing import holds_sheets, only_member, packing_of, stem_of
from .text_encoding import check_first_line, is_utf8_beyond_ascii

ENDINGS = {
    "csv": (".csv", ".tsv", ".tab", ".txt", ".data", ".dat"),
    "json": (".json", ".jsonl", ".ndjson"),
    "excel": (".xlsx", ".xlsm"),
    "parquet": (".parquet", ".pq"),
}
# What can be said of how a file of each kind is written; the rest would change nothing.
OF_CELLS = ("missing", "decimal", "thousands")
OF_LINES = ("header", "names", "skip_rows", "comment")
APPLIES = {
    "csv": ("delimiter", "encoding", *OF_LINES, *OF_CELLS),
    "json": ("encoding", *OF_CELLS),
    "excel": ("sheet", *OF_LINES, *OF_CELLS),
    "parquet": OF_CELLS,
}
ARRAYS = (".npz", ".pkl", ".pkl.gz", ".pickle", ".pickle.gz")  # files that are no tables
CALLED = {"csv": "CSV text", "json": "JSON", "excel": "an Excel file", "parquet": "Parquet"}
STDIN = "-"
PARQUET = b"PAR1"  # its first bytes
SHARE = 0.9  # of the free disk, which a copy may take
UNPACKED = 8  # what gzip and Parquet save, about
BYTE_ORDER_MARKS = {  # UTF-32's first: UTF-16's begins like it
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
EXCEL = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)  # the first line that Excel heeds


@dataclass(frozen=True)
class Source:
    """A table that can be read: `file` is `path`, or a copy of it that is unpacked and in UTF-8.

    path: as messages have it; kind: one of `ENDINGS`; files: those of a folder; first_line: the
    number in `path` of the first line of `file`; packing: how `file` is compressed; notes: on what
    may have been meant otherwise.
    """

    path: Path
    file: Path
    kind: str
    files: tuple[Path, ...] = ()
    first_line: int = 1
    packing: str = ""
    notes: tuple[str, ...] = ()

    @property
    def is_copy(self) -> bool:
        """Whether `file` is a scratch file, which is of no use once it is loaded."""
        return not self.files and self.file != self.path

    @property
    def size(self) -> int:
        """Bytes of all that is read, unpacked, about."""
        size = sum(file.stat().st_size for file in self.files or (self.file,))
        return size * UNPACKED ** (self.kind in ("parquet", "excel") or bool(self.packing))


def kind_of(name: StrPath) -> str:
    """Return the kind of table that a name stands for, "" where its ending is none's."""
    stem = stem_of(name)
    return next((kind for kind, endings in ENDINGS.items() if stem.endswith(endings)), "")


def is_stream(path: StrPath) -> bool:
    """Tell whether a path is standard input or a pipe, which can be read once, from its start."""
    if str(path) == STDIN:
        return True
    with suppress(OSError, ValueError):
        mode = os.stat(path).st_mode
        special = not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
        return special or (stat.S_ISREG(mode) and str(path).startswith(("/dev/", "/proc/")))
    return False


def is_table(path: StrPath) -> bool:
    """Tell whether a path is that of a table, which has columns: a file, a folder or a stream."""
    if is_stream(path):
        return not str(path).lower().endswith(ARRAYS)
    if os.path.isdir(path):
        return any(parquet_files(Path(path)))
    known = bool(kind_of(path)) or str(path).lower().endswith(".zip")
    return known and os.path.isfile(path)


def name_of(path: StrPath) -> str:
    """Return what files made from a table are called after: "stdin" where it has no name."""
    if str(path) == STDIN or str(path).startswith(("/dev/", "/proc/")):
        return "stdin"
    return PurePosixPath(path).name or Path(path).resolve().name


def parquet_files(folder: Path) -> Iterator[Path]:
    """Yield the Parquet files in a folder and in those within, hidden ones left out."""
    for path in folder.rglob("*"):
        parts = path.relative_to(folder).parts
        hidden = any(part.startswith((".", "_")) for part in parts)
        if path.suffix.lower() in ENDINGS["parquet"] and not hidden and path.is_file():
            yield path


def disk_full() -> OSError:
    """Return the error of a disk that is full of a table's rows."""
    remedy = "no space left for the rows of the table: let TMPDIR name a larger disk"
    return OSError(ENOSPC, remedy, gettempdir())


def prepared(path: StrPath, reading: Reading, folder: Path, allowed: int) -> tuple[Source, Reading]:
    """Return what a path holds, ready to be read, and how it is written.

    folder: for copies; allowed: bytes of memory that it may take.
    """
    path = Path(path)
    if path.is_dir():
        files = tuple(sorted(parquet_files(path)))
        require(bool(files), f"{path} is a folder without Parquet files, expected a table.")
        source = Source(path, path, "parquet", files)
    else:
        source = _unpacked(_looked_at(_at_rest(path, reading, folder, allowed)), folder)
    _check_applies(source, reading)
    if source.kind in ("csv", "json"):
        return _as_text(source, reading, folder)
    return source, reading


def _check_applies(source: Source, reading: Reading) -> None:
    """Raise ValueError for options that say nothing of a file of this kind."""
    said = [field.name for field in fields(Reading) if _said(reading, field.name)]
    unused = [name for name in said if name not in APPLIES[source.kind]]
    if unused:
        name = unused[0]
        option = f"{name} (--{name.replace('_', '-')})"
        kind = CALLED[source.kind]
        raise ValueError(f"{source.path} is {kind}, of which {option} says nothing: leave it out.")


def _said(reading: Reading, name: str) -> bool:
    return getattr(reading, name) != getattr(PLAIN, name)


def _at_rest(path: Path, reading: Reading, folder: Path, allowed: int) -> Source:
    """Return a file as it is, and a stream as a copy."""
    if not is_stream(path):
        return Source(path, path, kind_of(path))
    name = path
    if str(path) == STDIN:
        name = Path("stdin")
    copy = folder / "stream"
    _copy(_of_stream(path, name, reading, allowed), copy, name)
    require(copy.stat().st_size > 0, f"{name} is empty, expected a table.")
    return Source(name, copy, kind_of(path))


def _of_stream(path: Path, name: Path, reading: Reading, allowed: int) -> Iterator[bytes]:
    """Yield the bytes of a stream; DataError at once where they are no text and no known file.

    Lines of text are counted, for a stream may be endless.
    """
    try:
        with _open_stream(path) as file:
            first = file.read(BLOCK)
            known = packing_of(first) or _byte_order(first) or first.startswith(PARQUET)
            if not (known or reading.encoding):
                require(b"\0" not in first, f"{name} holds a NUL byte, expected text in UTF-8.")
            yield first
            n_bytes, n_lines = len(first), first.count(b"\n") + first.count(b"\r")
            for block in iter(lambda: file.read(BLOCK), b""):
                if not known:
                    n_bytes, n_lines = n_bytes + len(block), n_lines + block.count(b"\n")
                    check_first_line(name, n_bytes, n_lines > 0)
                    check_table(name, n_lines, 1, allowed)
                yield block
    except OSError as error:
        raise DataError(f"{name} cannot be read: {error.strerror}.") from error


def _open_stream(path: Path) -> Any:
    """Return a context manager of a binary file; the standard input stays open."""
    if str(path) == STDIN:
        return nullcontext(sys.stdin.buffer)
    return open(path, "rb")


def _byte_order(start: bytes) -> str | None:
    """Return the encoding whose mark some bytes begin with."""
    found = (name for mark, name in BYTE_ORDER_MARKS.items() if start.startswith(mark))
    return next(found, None)


def _copy(blocks: Iterable[bytes], to: Path, path: Path) -> None:
    """Write blocks to a scratch file; OSError before they fill the disk."""
    most, n = SHARE * shutil.disk_usage(to.parent).free, 0
    try:
        with open(to, "wb") as out:
            for block in blocks:
                n += len(block)
                if n > most:
                    got = f"{path} is more than {most / 1e9:.1f} GB, {SHARE:.0%} of what is free"
                    remedy = "is it endless? else let TMPDIR name a larger disk"
                    raise OSError(ENOSPC, f"{got}: {remedy}", gettempdir())
                out.write(block)
    except OSError as error:
        if error.errno == ENOSPC and not error.filename:
            raise disk_full() from error
        raise


def _looked_at(source: Source) -> Source:
    """Return a source with its kind and packing, by its first bytes, and else by its name."""
    try:
        with open(source.file, "rb") as file:
            start = file.read(8)
    except OSError as error:
        raise DataError(f"{source.path} cannot be read: {error.strerror}.") from error
    packing, kind = packing_of(start), source.kind
    if start.startswith(PARQUET):
        kind = "parquet"
    elif packing == "zip" and holds_sheets(source.file, source.path):
        kind = "excel"
    elif packing == "zip":
        kind = kind_of(only_member(source.file, source.path)) or kind
    return replace(source, kind=kind, packing=packing)


def _unpacked(source: Source, folder: Path) -> Source:
    """Return a source whose packed Parquet file is unpacked, and whose text has a kind."""
    if source.kind == "excel":
        return source
    with opened(source.file, source.path) as stream:
        start = stream.read(64)
    if source.packing and start.startswith(PARQUET):
        copy = folder / "unpacked"
        _copy(_blocks(source), copy, source.path)
        return replace(source, file=copy, kind="parquet", packing="")
    if source.kind:
        return source
    first = start.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    kind = "json" if first in (b"{", b"[") else "csv"
    return replace(source, kind=kind)


def _blocks(source: Source) -> Iterator[bytes]:
    """Yield what a file holds, unpacked, block by block."""
    with opened(source.file, source.path) as stream:
        yield from iter(lambda: stream.read(BLOCK), b"")


def _as_text(source: Source, reading: Reading, folder: Path) -> tuple[Source, Reading]:
    """Return text in UTF-8 from its first line on, a copy if need be, and how it is written."""
    encoding = reading.encoding
    if encoding is not None and codecs.lookup(encoding).name == "utf-8":
        encoding = None
    with opened(source.file, source.path) as stream:
        start = stream.read(4)
    require(start != b"", f"{source.path} line 1 is empty, expected a table: the file is empty.")
    notes: tuple[str, ...] = ()
    if encoding and is_utf8_beyond_ascii(_blocks(source)):
        notes = (f"{source.path} is UTF-8 as it stands, and read as {encoding} (--encoding).",)
    encoding = encoding or _byte_order(start)
    skipped, delimiter = _front(source, reading, encoding)
    if delimiter and reading.delimiter is None:
        reading = replace(reading, delimiter=delimiter)
    if encoding is None and skipped == 0 and source.packing in ("", "gzip"):
        return source, reading
    copy = folder / "text"
    _copy(_encoded(source, encoding, skipped), copy, source.path)
    made = replace(source, file=copy, packing="", first_line=1 + skipped, notes=notes)
    return made, reading


def _front(source: Source, reading: Reading, encoding: str | None) -> tuple[int, str | None]:
    """Return how many lines stand in front of a table, and the delimiter that Excel's line says."""
    with opened_text(source.file, source.path, encoding or "utf-8-sig") as text:
        for n in range(reading.skip_rows):
            end = f"{source.path} has {plural(n, 'line')}"
            require(
                next(lines_of(text), "") != "",
                f"{end}, expected more than skip_rows (--skip-rows).",
            )
        found = EXCEL.fullmatch(text.readline(100))
    if found and source.kind == "csv":
        return reading.skip_rows + 1, found[1]
    return reading.skip_rows, None


def _encoded(source: Source, encoding: str | None, skipped: int) -> Iterator[bytes]:
    """Yield text in UTF-8, block by block, without its first lines.

    A byte that is no text stays what it is in UTF-8, and becomes what UTF-8 never has of another
    encoding: both are found, and told, as every row of bad text.
    """
    errors = "surrogatepass" if encoding else "surrogateescape"
    with opened_text(source.file, source.path, encoding or "utf-8-sig") as text:
        for _ in range(skipped):
            next(lines_of(text), "")
        while block := text.read(BLOCK):
            yield block.encode("utf-8", errors)
