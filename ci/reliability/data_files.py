"""Data files that are made to harm, each read in a process of its own: what it takes, how it ends.

A file is read as `xpmlp train` does, with a bound of memory, a minute of time, and a scratch folder
that has to be empty afterwards. Most files are small and claim, or unpack to, much.
"""

import bz2
import gzip
import io
import lzma
import os
import pickle
import resource
import signal
import struct
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from xpmlp.errors import DataError
from xpmlp.tables.datasets import load_dataset

from . import Figures

MOST = 1 << 30  # bytes of memory that reading may take
BEYOND = 400 << 20  # that it may take before it is refused, the libraries that are loaded among it
SECONDS = 60
DAMAGED = 50  # times that each good file is read with bytes changed
READ, REFUSED, CRASHED = 0, 3, 70
GB = 10**9

Write = Callable[[Path], object]


def packed(start: bytes, n: int, compress: Callable[[bytes], bytes] = gzip.compress) -> Write:
    """Return a writer of a packed file: a start, and about n times one character."""
    block = 1 << 24
    return lambda path: path.write_bytes(compress(start) + compress(b"0" * block) * (n // block))


def archive(**members: bytes) -> Write:
    """Return a writer of an .npz of members, packed."""

    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
            for name, data in members.items():
                made.writestr(f"{name}.npy", data)

    return write


def npy(a: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, a)
    return stream.getvalue()


def header(shape: str) -> bytes:
    text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text)) + text


def idx(path: Path) -> None:
    path.mkdir()
    for name, n_axes in (("images-idx3", 3), ("labels-idx1", 1)):
        sizes = struct.pack(f">{n_axes}I", 2**32 - 1, *[1] * (n_axes - 1))
        Path(path, f"train-{name}-ubyte").write_bytes(bytes([0, 0, 8, n_axes]) + sizes)


def queried(query: str, **options: int) -> Write:
    """Return a writer of a Parquet file of a query's rows."""
    how = "".join(f", {name} {value}" for name, value in options.items())

    def write(path: Path) -> None:
        import duckdb

        with duckdb.connect() as connection:
            connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet{how})")

    return write


def texts(path: Path) -> None:
    """Write 1 TB of text as one value that is repeated."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = pa.array(np.zeros(10**6, "i4"))
    column = pa.DictionaryArray.from_arrays(rows, pa.array(["a" * 10**6]))
    parquet.write_table(pa.table({"x": column, "y": rows}), path, store_schema=False)


def sheet(rows: bytes = b"", strings: bytes = b"", styles: bytes = b"") -> Write:
    """Return a writer of an Excel file with more of something."""
    kind = b"openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    place = b'<Override PartName="/xl/strings.xml" ContentType="application/vnd.%s"/>' % kind
    more = {
        "xl/worksheets/sheet1.xml": (b"</sheetData>", rows),
        "xl/styles.xml": (b"</cellXfs>", styles),
        "[Content_Types].xml": (b"</Types>", place * bool(strings)),
    }

    def write(path: Path) -> None:
        import openpyxl

        book, stream = openpyxl.Workbook(), io.BytesIO()
        for row in (["x", "y"], *([i, f"s{i % 2}"] for i in range(20))):
            book.active.append(row)
        book.save(stream)
        with (
            zipfile.ZipFile(stream) as old,
            zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
        ):
            for name in old.namelist():
                end, added = more.get(name, (b"", b""))
                data = old.read(name)
                new.writestr(name, data.replace(end, added + end) if added else data)
            if strings:
                new.writestr("xl/strings.xml", strings)

    return write


def text(*parts: bytes) -> Write:
    return lambda path: path.write_bytes(b"".join(parts))


SST = b'<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">%s</sst>'
LAUGHS = b"".join(b'<!ENTITY l%d "%s">' % (i, b"&l%d;" % (i - 1) * 10) for i in range(1, 9))
DTD = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY l0 "lol">' + LAUGHS + b"]>"
PAIR = np.zeros((2, 3), "f4"), np.arange(2)
REFUSED_FILES: dict[str, Write] = {
    # nine bytes that took 3 GB, and their kin
    "memo.pkl": text(b"\x80\x02]r", struct.pack("<I", 2 * 10**8), b"."),
    "memos.pkl": text(b"\x80\x04]", b"\x94" * 10**7, b"."),
    "empty.pkl": text(b"\x80\x02cnumpy\nndarray\nJ\0\0\0\x20\x85\x85R."),
    "long.pkl": text(b"\x80\x04\x8e", struct.pack("<Q", 2**62), b"x"),
    "call.pkl": text(b"cos\nsystem\n(S'touch called'\ntR."),
    "bomb.pkl.gz": packed(b"\x80\x02B" + struct.pack("<I", 16 * 10**8), 16 * 10**8),
    "digits.pkl": text(b"I" + b"9" * 10**7 + b"\n."),
    # arrays
    "claims.npz": archive(X=header("(10000000000, 9)"), y=npy(PAIR[1])),
    "zeros.npz": archive(X=npy(np.zeros((10**8, 1))), y=npy(np.zeros(10**8, "u1"))),
    "none.npz": archive(X=b"x", y=b"y"),
    "header.npz": archive(X=header("(" * 4000), y=npy(PAIR[1])),
    "large.npz": lambda path: np.savez(path, X=np.zeros((10**8, 1), "u1"), y=np.zeros(10**8)),
    "idx": idx,
    # text
    "line.csv.gz": packed(b"", 10 * GB),
    "second.csv.gz": packed(b"x,y\n1,0\n", 10 * GB),
    "line.csv.bz2": packed(b"x,y\n1,0\n", GB, bz2.compress),
    "line.csv.xz": packed(b"x,y\n1,0\n", GB, lzma.compress),
    "nul.csv.gz": lambda path: path.write_bytes(gzip.compress(bytes(10**8))),
    "columns.csv": text(b",".join(b"c%d" % i for i in range(10**6)), b"\n", b"1," * 10**6, b"1\n"),
    "rows.csv": text(b"x,y\n", b"1,0\n" * 2 * 10**7),
    "deep.jsonl": text(b'{"a": ' + b"[" * 10**6, b"\n"),
    "deep.json": text(b"[" * 10**7),
    "line.jsonl.gz": packed(b'{"a": "', 10 * GB),
    "array.json.gz": packed(b'[{"a": "', 10 * GB),
    "keys.jsonl": text(*(b'{"k%d": 1}\n' % i for i in range(10**5))),
    # Excel
    "strings.xlsx": sheet(strings=SST % (b"<si/>" * 2 * 10**7)),
    "laughs.xlsx": sheet(strings=DTD + SST % b"<si><t>&l8;</t></si>"),
    "styles.xlsx": sheet(styles=b"<xf/>" * 10**7),
    "row.xlsx": sheet(rows=b'<row r="99999999999"><c r="A1"><v>1</v></c></row>'),
    "wide.xlsx": sheet(rows=b'<row><c r="ZZZ1"><v>1</v></c></row>' * 10**6),
    # Parquet
    "rows.parquet": queried("SELECT 1 AS x, 2 AS y FROM range(100000000)", ROW_GROUP_SIZE=10**8),
    "text.parquet": texts,
    "list.parquet": queried("SELECT range(20000000) AS x, 1 AS y FROM range(4)"),
    "columns.parquet": queried("SELECT " + ", ".join(f"1 AS c{i}" for i in range(20_000))),
    # what is no file
    "folder.npz": Path.mkdir,
    "pipe.npz": os.mkfifo,
    "pipe.pkl": os.mkfifo,
    "loop.csv": lambda path: path.symlink_to(path),
    "loop.npz": lambda path: path.symlink_to(path),
    "folder.csv": Path.mkdir,
}
GOOD_FILES: dict[str, Write] = {
    "good.pkl": lambda path: path.write_bytes(pickle.dumps((PAIR,) * 3)),
    "good.npz": lambda path: np.savez(path, X=PAIR[0], y=PAIR[1]),
    "good.csv.gz": lambda path: path.write_bytes(gzip.compress(b"x,y\n" + b"1,0\n2,1\n" * 10**5)),
    "good.json": text(
        b"[", b",".join(b'{"x": %d, "y": %d}' % (i, i % 2) for i in range(10**4)), b"]"
    ),
    "good.xlsx": sheet(),
    "good.parquet": queried("SELECT range AS x, range % 2 AS y FROM range(1000000)"),
}


def run() -> Figures:
    """Read every file, and the good ones with bytes changed; return the figures."""
    import duckdb
    import openpyxl

    assert duckdb and openpyxl  # loaded here, so that no child counts their memory as the file's
    figures = Figures()
    for files, expected in ((REFUSED_FILES, REFUSED), (GOOD_FILES, READ)):
        for name, write in files.items():
            with tempfile.TemporaryDirectory() as folder:
                _try(Path(folder, name), write, expected, figures)
    for name, write in GOOD_FILES.items():
        with tempfile.TemporaryDirectory() as folder:
            _forked(partial(write, Path(folder, name)), Path(folder))
            _try_damaged(Path(folder, name), figures)
    return figures


def _try_damaged(path: Path, figures: Figures) -> None:
    """Read a file with some of its bytes changed, again and again: with or without an error."""
    rng, data = np.random.default_rng(0), path.read_bytes()
    for _ in range(DAMAGED):
        changed = np.frombuffer(data, "u1").copy()
        places = rng.choice([*range(64), *range(-64, 0), *rng.integers(len(data), size=64)], 4)
        changed[places % len(data)] = rng.choice([0, 1, 127, 128, 255], 4)
        _try(path, text(changed.tobytes()), None, figures)


def _try(path: Path, write: Write, expected: int | None, figures: Figures) -> None:
    """Write a file in a process, read it in another, and count how that ended."""
    scratch = path.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    _forked(partial(write, path), scratch)
    ended, peak, said = _forked(partial(load_dataset, path, max_memory=MOST), scratch)
    figures.tried += 1
    figures.refused += ended == REFUSED
    wrong = {
        "wrong": ended in (READ, REFUSED) and expected is not None and ended != expected,
        "crashed": ended not in (READ, REFUSED),
        "leaked": any(scratch.iterdir()) or peak > BEYOND + (expected != REFUSED) * MOST,
    }
    for word, count in wrong.items():
        if count:
            setattr(figures, word, getattr(figures, word) + 1)
            figures.notes.append(f"{path.name} {word} ({ended}, {peak >> 20} MB): {said}")
    if "-v" in sys.argv:
        print(f"{path.name}: {ended}, {peak >> 20} MB: {said}", flush=True)


def _forked(work: Callable[[], object], scratch: Path) -> tuple[int, int, str]:
    """Do some work in a process. Returns how it ended, its bytes beyond ours, and what it said."""
    said, written = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        tempfile.tempdir = str(scratch)
        ended, sentence = CRASHED, ""
        try:
            work()
            ended = READ
        except DataError as error:
            ended, sentence = REFUSED, str(error)
            if "\n" in sentence or len(sentence) > 1000:
                ended = CRASHED
        except BaseException as error:  # whatever it is, it is counted
            sentence = repr(error)
        os.write(written, sentence.encode("utf-8", "replace")[:1000])
        os._exit(ended)
    os.close(written)
    ours = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    with open(said, "rb") as file:
        sentence = file.read().decode("utf-8", "replace")
    _, status, used = os.wait4(child, 0)
    return os.waitstatus_to_exitcode(status), used.ru_maxrss * 1024 - ours, sentence
