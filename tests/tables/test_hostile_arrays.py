"""Files of arrays that are made to harm: refused in a sentence, before their memory is taken."""

import gzip
import io
import os
import pickle
import socket
import struct
import tracemalloc
import zipfile
from functools import partial

import numpy as np
import pytest
from each import each

from xpmlp.errors import DataError, DataMemoryError
from xpmlp.tables.datasets import load_dataset
from xpmlp.tables.files import packing
from xpmlp.tables.idx import read_idx
from xpmlp.tables.memory import allowed_memory, bytes_of

X, Y = np.arange(6, dtype="f4").reshape(2, 3) / 7, np.array([3, 1])
PAIRS = ((X, Y),) * 3


def refused(path, *words, most=10_000_000, read=load_dataset):
    """Demand one sentence with these words, and that no more bytes were taken than `most`."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError) as error:
            read(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    message = str(error.value)
    assert all(word in message for word in words), message
    assert "\n" not in message and len(message) < 500 and message.endswith(".")
    assert peak < most, f"{peak:,} bytes"
    return error.value


# --- pickles


def as_pickle(tmp_path, data, name="mnist.pkl"):
    path = tmp_path / name
    path.write_bytes(data)
    return path


def counted(opcode, data):
    """An opcode whose argument has its length in front, of four bytes."""
    return opcode + struct.pack("<I", len(data)) + data


def python2(images, labels):
    """A pair as Python 2 wrote it: text is bytes, and so are the numbers."""
    made = [b"\x80\x02"]
    for a, code, order in ((images, b"f4", b"<"), (labels, b"i8", b">")):
        axes = b"".join(b"K" + bytes([n]) for n in a.shape)
        made += [b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\1b\x87R(K\1("]
        made += [axes, b"tcnumpy\ndtype\nU\2", code, b"K\0K\1\x87R(K\3U\1", order]
        made += [b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89"]
        made += [counted(b"T", a.astype(a.dtype.newbyteorder(order.decode())).tobytes()), b"tb"]
    return b"".join(made) + b"\x86q\0h\0h\0\x87."


def test_a_pickle_of_python_2_is_read_to_the_bit(tmp_path):
    images = np.frombuffer(bytes(range(1, 25)), "f4").reshape(2, 3)  # bytes that ASCII has not
    data = python2(images * 1e30, Y)
    found, (expected, _) = load_dataset(as_pickle(tmp_path, data)), (images * 1e30, Y)
    np.testing.assert_array_equal(found.X_test, expected, strict=True)
    assert found.y.tolist() == [3, 1, 3, 1]
    theirs = pickle.loads(data, encoding="latin1")
    np.testing.assert_array_equal(theirs[0][0], found.X_test)


@each("protocol", [0, 1, 2, 3, 4, 5])
@each("change", [np.asfortranarray, lambda X: X.astype(">f8"), lambda X: X[::-1], np.array])
def test_arrays_of_any_order_and_protocol_are_read_to_the_bit(tmp_path, protocol, change):
    images = change(X)
    data = pickle.dumps([(images, Y.astype("i2"))] * 3, protocol)
    found = load_dataset(as_pickle(tmp_path, data))
    np.testing.assert_array_equal(found.X_test, images.astype(images.dtype.newbyteorder("=")))
    assert found.y_test.tolist() == [3, 1] and found.y.dtype == np.int64


NO_DATA = b"\x80\x02cnumpy\nndarray\nK\x09\x85\x85R"  # np.ndarray((9,)) hands over what memory held


@each(
    "data, words",
    [
        (b"\x80\x02]r" + struct.pack("<I", 2 * 10**8) + b".", ["something else"]),
        (b"\x80\x04]" + b"\x94" * 20_000 + b".", ["more than 10,000 opcodes"]),
        (NO_DATA + b".", ["damaged"]),
        (b"\x80\x02B" + struct.pack("<I", 2**32 - 1) + b"x", ["4294967295"]),
        (b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x", ["bytes"]),
        (b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b"x", ["the opcode LONG4"]),
        (b"\x80\x02h\x07.", ["damaged"]),
        (b"\x80\x020.", ["the opcode POP"]),
        (b"\x80\x02}.", ["the opcode EMPTY_DICT"]),
        (b"cos\nsystem\n(S'true'\ntR.", ["refuses to load 'os.system'"]),
        (b"\x80\x02cnumpy\ndtype\nX\2\0\0\0O8\x85R.", ["'O8'", "expected numbers"]),
        (b"\x80\x02(((tttt.", ["damaged"]),
        (b"\x80\x02]]e.", ["damaged"]),
        (b"\xff", ["unknown"]),
        (b"", ["before its STOP"]),
        (b"I" + b"9" * 5000 + b"\n.", ["limit"]),
        (pickle.dumps(PAIRS, 4) + b"more", ["goes on after its end"]),
    ],
)
def test_a_pickle_that_is_made_to_harm_is_refused(tmp_path, data, words):
    path = as_pickle(tmp_path, data)
    refused(path, "mnist.pkl", *words)


def test_a_text_whose_bytes_are_asked_for_again_and_again_is_held_once(tmp_path):
    text = counted(b"X", b"x" * 1_000_000) + b"q\1"
    for arguments in (b"h\1\x85", b"h\1K\2\x86"):
        calls = [
            b"c_codecs\nencode\n" + arguments.replace(b"K\2", b"K" + bytes([i])) + b"R"
            for i in range(200)
        ]
        path = as_pickle(tmp_path, b"\x80\x02(" + text + b"".join(calls) + b"t.")
        refused(path, "something else", most=5_000_000)


@each(
    "values",
    [
        b"(" + (b"V" + b"x" * 400_000 + b"\n") * 100,  # lines
        counted(b"(X", "\U0001f600".encode() + b"x" * 2_000_000),  # of four bytes a letter
        b"(V\\U0001f600" + b"x" * 2_000_000 + b"\n",
    ],
)
def test_all_values_of_a_pickle_count_as_what_they_take(tmp_path, values):
    path = as_pickle(tmp_path, values + b"t.")
    read = partial(load_dataset, max_memory=4_000_000)
    refused(path, "--max-memory", most=12_000_000, read=read)


def test_a_pickle_cut_or_changed_anywhere_is_an_error_in_a_sentence_or_read(tmp_path):
    data = pickle.dumps(PAIRS, 4)
    for at in range(0, len(data), 3):
        for byte in (0, 0x28):
            path = as_pickle(tmp_path, data[:at] + bytes([byte]) + data[at + 1 :])
            try:
                load_dataset(path)
            except DataError as error:
                assert "\n" not in str(error) and len(str(error)) < 500


def test_a_pickle_takes_no_more_memory_than_is_allowed(tmp_path):
    data = pickle.dumps(((np.zeros((1000, 784), "f4"), np.arange(1000)),) * 3, 4)
    for name, content in (("a.pkl", data), ("a.pkl.gz", gzip.compress(data))):
        path = as_pickle(tmp_path, content, name)
        assert load_dataset(path, max_memory=100_000_000).X.shape == (2000, 784)
        for most in (10_000, 10_000_000):  # while it is read, and to join the pairs
            with pytest.raises(DataMemoryError, match="--max-memory"):
                load_dataset(path, max_memory=most)


def test_a_packed_file_unpacks_to_a_bounded_multiple_of_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(packing, "SMALL", 100_000)
    data = counted(b"\x80\x02B", bytes(20_000_000)) + b"."
    path = as_pickle(tmp_path, gzip.compress(data), "a.pkl.gz")
    refused(path, "more than 200 times its own size", "unpack it")


# --- npz


@each("name", ["X", "y"])
@pytest.mark.skipif(np.finfo("g").max == np.finfo("d").max, reason="long doubles are float64 here")
def test_a_long_double_beyond_float64_is_refused_where_it_stands(tmp_path, name):
    arrays = {"X": np.ones((4, 2), "g"), "y": np.ones(4, "g")}
    arrays[name][2] = np.longdouble("1e4000")
    np.savez(tmp_path / "a.npz", **arrays)
    refused(tmp_path / "a.npz", f"{name}[2", "is not finite")


def archive_of(path, *members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def npy(a):
    stream = io.BytesIO()
    np.lib.format.write_array(stream, a)
    return stream.getvalue()


def header(shape, descr="<f8", length=None):
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\0" + struct.pack("<H", length or len(text)) + text


@each(
    "X_bytes, words",
    [
        (b"no array", ["no .npy array"]),
        (b"", ["no .npy array"]),
        (npy(X)[:40], ["header"]),
        (npy(X)[:-1], ["its header says"]),
        (npy(X) + b"x", ["its header says"]),
        (header("(10**9,)"), ["."]),
        (header("(1000000000000, 3)"), ["its header says"]),
        (header("(-1, 3)"), ["its header says"]),
        (header("(1000000000000,)", "<U0"), ["objects"]),
        (header("(2,)", "|O"), ["pickle"]),
        (header("(2, 3)", length=60_000) + bytes(60_000), ["header"]),
        (header("(2, 3)", "<f8" + "," * 9), ["."]),
        (b"\x93NUMPY\x09\x09" + bytes(20), ["format (9, 9)"]),
        (b"\x93NUMPY\x02\0" + struct.pack("<I", 2**32 - 1), ["header"]),
        (b"\x93NUMPY\x01\0" + struct.pack("<H", 4000) + b"-" * 4000 + b"1", ["."]),
    ],
)
def test_a_member_that_is_no_array_of_its_size_is_refused(tmp_path, X_bytes, words):
    path = archive_of(tmp_path / "a.npz", ("X.npy", X_bytes), ("y.npy", npy(Y)))
    refused(path, "a.npz", *words)


def test_members_without_npy_at_the_end_of_their_names_are_refused_or_read(tmp_path):
    path = archive_of(tmp_path / "a.npz", ("X", b"1, 2"), ("y", b"1"))
    refused(path, "member 'X' is no .npy array")
    path = archive_of(tmp_path / "b.npz", ("X", npy(X)), ("y", npy(Y)))
    np.testing.assert_array_equal(load_dataset(path).X, X)


def test_only_the_members_that_are_named_are_read(tmp_path):
    others = [("Z.npy", b"no array"), ("../../etc/passwd", b"x"), ("X_test", b"x" * 10**6)]
    data = ("x_train.npy", npy(X)), ("y_train.npy", npy(Y))
    path = archive_of(tmp_path / "a.npz", *data, *others)
    assert load_dataset(path).X.shape == (2, 3)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path):
    for second in ("X.npy", "X"):
        members = ("X.npy", npy(X)), ("y.npy", npy(Y)), (second, npy(X))
        refused(archive_of(tmp_path / "a.npz", *members), "'X' twice")


def test_an_encrypted_member_is_refused(tmp_path):
    path = archive_of(tmp_path / "a.npz", ("X.npy", npy(X)), ("y.npy", npy(Y)))
    data = bytearray(path.read_bytes())
    for magic, place in ((b"PK\1\2", 8), (b"PK\3\4", 6)):
        data[data.index(magic) + place] |= 1
    path.write_bytes(data)
    refused(path, "encrypted", "without a password")


def test_an_npz_of_zeros_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(packing.check_unpacked, "__defaults__", (1_000_000, 200))
    path = archive_of(tmp_path / "a.npz", ("X.npy", npy(np.zeros((10**6, 3)))), ("y.npy", npy(Y)))
    refused(path, "24,000,128 bytes", "more than 200 times its own size", most=1_000_000)


def test_many_names_are_told_in_one_short_sentence(tmp_path):
    path = archive_of(tmp_path / "a.npz", *((f"a{i}" * 9, b"") for i in range(300)))
    refused(path, "...", "expected 'X' and 'y'")


# --- IDX, and what is no file


def test_an_idx_that_claims_more_than_it_holds_takes_no_memory(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(struct.pack(">HBBI", 0, 8, 1, 2**30) + bytes(100))
    refused(path, "ends at byte 108", most=6_000_000, read=read_idx)
    path.write_bytes(gzip.compress(path.read_bytes()))
    refused(path, "ends at byte 108", most=6_000_000, read=read_idx)
    with pytest.raises(DataMemoryError, match="9.7 GB.* 1.0 GB are allowed"):
        read_idx(path, 10**9)


def make_socket(path):
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are POSIX's")
@each("name", ["a.npz", "a.pkl", "a.pkl.gz"])
@each("make", [os.mkdir, os.mkfifo, make_socket])
def test_what_is_no_file_is_refused_at_once_where_arrays_are_read(
    tmp_path, name, make, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    make(name)
    refused(name, name, "expected")


# --- sizes


@each(
    "text, n",
    [("1", 1), ("4GB", 4 * 10**9), ("1.5 kb", 1500), ("2MiB", 2 << 20), (" 3 tb ", 3 * 10**12)],
)
def test_a_size_has_a_unit(text, n):
    assert bytes_of(text) == n


@each("text", ["", "GB", "-1GB", "0", "1e9", "4 G", "nan", "inf", "9" * 99, "٣MB", "0.1"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="expected one such as 4GB"):
        bytes_of(text)


def test_half_of_the_free_memory_is_allowed_unless_more_is_said(monkeypatch):
    monkeypatch.setattr("xpmlp.arrays.free_memory", lambda like: 1000)
    assert (allowed_memory(), allowed_memory(7)) == (500, 7)
