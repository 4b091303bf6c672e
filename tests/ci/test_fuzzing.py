"""ci/fuzz: what readers of files promise, and the files that were found to break it."""

import sys
import tempfile
import warnings

import numpy as np
import pytest
from each import each

from ci.fuzzing import CORPUS, MEMORY, Reader, check, corpus, readers

READERS = readers()
FILES = [(name, path) for name in READERS for path in sorted(corpus(name).iterdir())]


@pytest.fixture(name="folder")
def folder_fixture(tmp_path, monkeypatch):
    """A folder to read files in, and another one for scratch files."""
    for name in ("files", "scratch"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))
    return tmp_path / "files"


@each("name, path", FILES, ids=lambda value: getattr(value, "name", value), parts=4)
def test_files_of_the_corpus_are_read_or_refused_by_the_readers_own_error(folder, name, path):
    check(READERS[name], path.read_bytes(), folder)


def test_each_reader_has_a_small_corpus_some_of_which_it_reads(folder):
    assert {path.name for path in CORPUS.iterdir()} == {corpus(name).name for name in READERS}
    assert sum(path.stat().st_size for _, path in FILES) < 1 << 18
    for name, reader in READERS.items():
        seeds = [path for found, path in FILES if found == name]
        assert any(check(reader, path.read_bytes(), folder) == "" for path in seeds), name


def test_checksums_do_not_keep_changed_files_from_being_read(folder):
    data = (CORPUS / "model/outputs").read_bytes()
    changed = data[:-1] + bytes([data[-1] ^ 1])
    assert check(READERS["model"], changed, folder) == ""
    with pytest.raises(READERS["model"].error, match="SHA-256"):
        READERS["model"].read(folder / READERS["model"].name)


def raises(error):
    def read(path):
        raise error

    return read


def leaves_a_file(path):
    path.with_suffix(".beside").touch()


def leaves_a_scratch_file(path):
    tempfile.mkdtemp()


def takes_memory(path):
    np.ones(MEMORY // 4)


BREACHES = [
    (raises(KeyError("x")), KeyError, "x"),
    (raises(ValueError("two\nlines")), AssertionError, "several lines"),
    (raises(ValueError("")), AssertionError, "none"),
    (raises(ValueError("\x1b[31m")), AssertionError, "control characters"),
    (raises(ValueError("x" * 2000)), AssertionError, "2000 characters"),
    (lambda path: warnings.warn("overflow", RuntimeWarning), RuntimeWarning, "overflow"),
    (leaves_a_file, AssertionError, "appear"),
    (leaves_a_scratch_file, AssertionError, "appear"),
]
if sys.platform == "linux":  # where the memory that is taken can be seen
    BREACHES.append((takes_memory, AssertionError, "memory"))


@each("read, error, words", BREACHES)
def test_a_reader_that_breaks_a_promise_is_found(folder, read, error, words):
    with pytest.raises(error, match=words):
        check(Reader("x", read, ValueError), b"", folder)


def test_data_and_the_readers_own_error_are_as_promised(folder):
    assert check(Reader("x", lambda path: path.read_bytes(), ValueError), b"", folder) == ""
    refused = Reader("x", raises(ValueError("too short")), ValueError)
    assert check(refused, b"", folder) == "too short"
