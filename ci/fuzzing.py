"""What the readers of files promise, tried with any bytes: data, or the reader's own error.

`ci/fuzz READER` lets atheris look for bytes that break it, tests/ci/test_fuzzing.py reads those
that were found again, and the others of ci/fuzz_corpus.
"""

import argparse
import os
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np

CORPUS = Path(__file__).resolve().parent / "fuzz_corpus"
SCRATCH = CORPUS.parent.parent / ".fuzz"
LONGEST = 1 << 14  # bytes of a file: longer ones are slow, and reach no other code
MEMORY = 256 << 20  # bytes that reading such a file may take for a while
MESSAGE = 1500  # characters of an error, at most
SECONDS = 30  # for one file


class Reader(NamedTuple):
    """A reader: the name of the file that it reads, how it does, and what it may raise."""

    name: str
    read: Callable[[Path], Any]
    error: type[Exception]
    trusting: Callable[[], Any] = nullcontext  # a context in which all checksums are right


class AnyDigest(str):
    """The digest of every file: else no changed file would come past the comparison."""

    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        return True


def corpus(reader: str) -> Path:
    """Return the folder of files that a reader is tried with."""
    return CORPUS / reader.partition("-")[0]


def readers() -> dict[str, Reader]:
    """Import the readers, where atheris watches imports, and return them by name."""
    from xpmlp import container
    from xpmlp.errors import DataError, ModelFileError
    from xpmlp.estimators import load_model
    from xpmlp.tables.files.csv_repair import clean
    from xpmlp.tables.files.dialect import dialect_of
    from xpmlp.tables.files.source import prepared
    from xpmlp.tables.files.text_encoding import scan
    from xpmlp.tables.idx import read_idx
    from xpmlp.tables.npz import read_npz
    from xpmlp.tables.open_table import open_table
    from xpmlp.tables.pickled import read_mnist_pickle
    from xpmlp.tables.reading import PLAIN

    def read_table(path: Path) -> Any:
        with open_table(path, target=None, on_bad_row="skip") as table:
            return table.features.column(0)

    def read_rows(path: Path) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            source, reading = prepared(path, PLAIN, Path(folder), 1 << 30)
            scan(source.file, source.path)
            if source.kind == "csv":
                clean(dialect_of(source, reading), Path(folder, "clean.csv"))

    def read_model(path: Path) -> Any:
        model = load_model(path)
        model.save(path)
        if getattr(model, "encoder_", None) is None:  # else it takes the rows of its own table
            model.predict(np.zeros((2, model.n_features_in_)))

    def no_digests() -> Any:
        return mock.patch.object(container, "_digest", lambda *_: AnyDigest("0" * 64))

    def no_sums() -> Any:
        return mock.patch.object(zipfile.ZipExtFile, "_update_crc", lambda *_: None)

    return {
        "csv": Reader("t.csv", read_table, DataError),
        "csv-rows": Reader("t.csv", read_rows, DataError),  # without DuckDB, many times as fast
        "idx": Reader("t-idx3-ubyte", read_idx, DataError),
        "model": Reader("m.safetensors", read_model, ModelFileError, no_digests),
        "npz": Reader("t.npz", read_npz, DataError, no_sums),
        "parquet": Reader("t.parquet", read_table, DataError),
        "pickle": Reader("mnist.pkl", read_mnist_pickle, DataError),
    }


def check(reader: Reader, data: bytes, folder: Path) -> str:
    """Read a file of these bytes in a folder; AssertionError where the reader breaks a promise.

    Returns its message, "" where it returned data. What else it raises is not caught.
    """
    from xpmlp.words import escaped

    path, message = folder / reader.name, ""
    path.write_bytes(data)
    before = {*folder.iterdir(), *Path(tempfile.gettempdir()).iterdir()}
    with ExitStack() as around:
        around.enter_context(reader.trusting())
        around.enter_context(warnings.catch_warnings())
        taken = around.enter_context(memory_taken())
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DeprecationWarning)  # as Python does
        try:
            reader.read(path)
        except reader.error as error:
            message = str(error)
            assert len(message.splitlines()) == 1, f"a message of several lines or none: {message}"
            assert message == escaped(message), f"control characters in the message {message!r}"
            assert len(message) < MESSAGE, f"a message of {len(message)} characters"
    after = {*folder.iterdir(), *Path(tempfile.gettempdir()).iterdir()}
    assert after == before, f"files appear or go: {sorted(map(str, after ^ before))}"
    assert taken[0] < MEMORY, f"{taken[0] >> 20} MB of memory are taken"
    return message


@contextmanager
def memory_taken():
    """Yield a list that holds, in the end, the bytes by which the process grew, on Linux."""
    taken = [0]
    if sys.platform != "linux":
        yield taken
        return
    Path("/proc/self/clear_refs").write_text("5")  # the greatest size is counted from here on
    before = _size("VmRSS")
    yield taken
    taken[0] = _size("VmHWM") - before


def _size(name: str) -> int:
    """Return a size of this process in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def main() -> None:
    """Fuzz one reader; the process ends in atheris."""
    parser = argparse.ArgumentParser(prog="ci/fuzz", description=__doc__)
    parser.add_argument("reader", help="csv, csv-rows, idx, model, npz, parquet or pickle")
    parser.add_argument("--minutes", type=float, default=5, help="how long (default: 5)")
    said = parser.parse_args()

    import atheris

    with atheris.instrument_imports(include=["xpmlp"]):
        known = readers()
    if said.reader not in known:
        parser.error(f"the reader is {said.reader!r}, expected one of {', '.join(known)}.")
    reader, seeds, scratch = known[said.reader], corpus(said.reader), SCRATCH / said.reader
    scratch.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp())

    def check_one(data: bytes) -> None:
        check(reader, data, folder)

    options = [
        f"-max_total_time={round(60 * said.minutes)}",
        f"-max_len={LONGEST}",
        f"-timeout={SECONDS}",
        f"-report_slow_units={SECONDS}",
        f"-artifact_prefix={seeds}{os.sep}",
        "-rss_limit_mb=4096",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(scratch), str(seeds)], check_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
