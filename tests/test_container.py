"""The model container and the atomic writer under damage, hostile files and failing disks."""

import errno
import json
import os
import pickle
import stat
import time

import numpy as np
import pytest
import safetensors.numpy
from each import each

from xpmlp.atomic import atomic_write
from xpmlp.container import (
    FORMAT_VERSION,
    MAX_PARTS,
    read_container,
    strict_json,
    write_container,
)
from xpmlp.errors import ModelFileError

ARRAYS = {"W1": np.arange(6, dtype=np.float32).reshape(2, 3), "b1": np.array([[0.5, -0.5]])}
METADATA = {"activation": "relu", "rate": 0.001}


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "m.xpmlp"
    write_container(path, ARRAYS, METADATA)
    return path


def is_original(path):
    arrays, metadata = read_container(path)
    same = all(
        arrays[k].dtype == a.dtype and np.array_equal(arrays[k], a) for k, a in ARRAYS.items()
    )
    whole = metadata == {**METADATA, "format_version": FORMAT_VERSION}
    return same and whole and arrays.keys() == ARRAYS.keys()


def save_raw(path, arrays, **metadata):
    path.write_bytes(safetensors.numpy.save(arrays, metadata={"xpmlp": json.dumps(metadata)}))


def test_what_was_written_is_read_back(model):
    assert is_original(model)
    arrays, _ = read_container(model)
    arrays["W1"] += 1  # a loaded model can go on training


def test_safetensors_reads_what_was_written(model):
    arrays = safetensors.numpy.load_file(model)
    assert arrays.keys() == ARRAYS.keys()
    for name, a in ARRAYS.items():
        np.testing.assert_array_equal(arrays[name], a, strict=True)


@each(
    "view",
    [
        lambda a: a.T,
        lambda a: a[::-1],
        lambda a: a[:, ::2],
        lambda a: np.broadcast_to(a[0], (4, 3)),
        lambda a: np.asfortranarray(a),
        lambda a: a.astype(">f8"),
        lambda a: a.astype(">i4"),
        lambda a: a[0, 0].reshape(()),
        lambda a: a[:0],
    ],
    ids="transposed reversed strided broadcast fortran big-endian big-int scalar empty".split(),
)
@each("dtype", ["f4", "f8", "i4", "i8"])
def test_every_memory_layout_survives(tmp_path, view, dtype):
    a = view(np.arange(12).reshape(4, 3).astype(dtype))
    write_container(tmp_path / "m", {"a": a}, {})
    back = read_container(tmp_path / "m")[0]["a"]
    np.testing.assert_array_equal(back, a.astype(a.dtype.newbyteorder("=")), strict=True)


@pytest.mark.parametrize(
    "array", [np.array([np.nan]), np.array([np.inf], "f4"), np.array(["a"]), np.zeros(2, "f2")]
)
def test_arrays_that_could_not_be_read_are_not_written(model, array):
    with pytest.raises(ModelFileError, match="array 'a'"):
        write_container(model, {"a": array}, {})
    assert is_original(model)


def test_metadata_with_nan_is_not_written(model):
    with pytest.raises(ValueError, match="JSON"):
        write_container(model, ARRAYS, {"loss": float("nan")})
    assert is_original(model)


def test_a_file_cut_at_any_byte_is_refused(model):
    data = model.read_bytes()
    for length in range(len(data)):
        model.write_bytes(data[:length])
        with pytest.raises(ModelFileError, match="m.xpmlp"):
            read_container(model)
    model.write_bytes(data + b"\0")
    with pytest.raises(ModelFileError):
        read_container(model)


def test_a_flipped_bit_is_refused_or_changes_nothing(model):
    data = model.read_bytes()
    n_refused = 0
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        model.write_bytes(damaged)
        try:
            assert is_original(model), bit
        except ModelFileError:
            n_refused += 1
    assert n_refused > 7 * len(data)


@each(
    "content, reason",
    [
        (b"", "0 bytes"),
        (b"1234567", "7 bytes"),
        (b"PK\x03\x04" + bytes(range(99)), "zip archive"),
        (pickle.dumps({"a": np.zeros(99)}, 2), "pickle"),
        (pickle.dumps({"a": np.zeros(99)}, 5), "pickle"),
        (b"\x93NUMPY\x01\x00v\x00{'descr'", "npy"),
        (b"\x08\x0a\x12\x07pytorch:" + bytes(99), "ONNX"),
        (b"\xff" * 99, "header length"),
        ((2 << 20).to_bytes(8, "little") + bytes(3 << 20), "header length"),
        ((2).to_bytes(8, "little") + b"[]", "JSON list"),
        ((2).to_bytes(8, "little") + b"\xff\xff", "JSON"),
        ((40000).to_bytes(8, "little") + b"[" * 40000, "JSON"),
        ((7000).to_bytes(8, "little") + b'{"a":' + b"1" * 6994 + b"}", "JSON"),
        ((9).to_bytes(8, "little") + b'{"a":NaN}', "JSON"),
        ((2).to_bytes(8, "little") + b"{}", "saved by xpmlp"),
    ],
)
def test_a_file_of_another_kind_is_named_and_refused(tmp_path, content, reason):
    path = tmp_path / "m"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=reason):
        read_container(path)


def header_file(path, entries, text='{"format_version": 1}'):
    header = json.dumps({"__metadata__": {"xpmlp": text}, **entries}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header)


@each(
    "entry",
    [
        {"dtype": "F32", "shape": [0, 2**62], "data_offsets": [0, 0]},
        {"dtype": "BF16", "shape": [0], "data_offsets": [0, 0]},
        {"dtype": ["F32"], "shape": [0], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]},
        {"dtype": "F32", "shape": [-1], "data_offsets": [0, 0]},
        {"dtype": "F32", "shape": [0] * 99, "data_offsets": [0, 0]},
        3,
    ],
)
def test_a_hostile_array_entry_is_refused(tmp_path, entry):
    header_file(tmp_path / "m", {"a": entry})
    with pytest.raises(ModelFileError):
        read_container(tmp_path / "m")


def test_thousands_of_empty_arrays_are_refused_unread(tmp_path):
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header_file(tmp_path / "m", {f"a{i}": entry for i in range(5000)})
    with pytest.raises(ModelFileError, match="5000 arrays"):
        read_container(tmp_path / "m")


@pytest.mark.parametrize("text", ["[1]", "{", '{"format_version": NaN}', "[" * 9999])
def test_metadata_that_are_no_object_are_refused(tmp_path, text):
    header_file(tmp_path / "m", {}, text)
    with pytest.raises(ModelFileError):
        read_container(tmp_path / "m")


@each(
    "text, reason",
    [
        ("[" + "[]," * MAX_PARTS + "[]]", f"holds more than {MAX_PARTS} lists and objects"),
        ('{"a":' * 1000 + "1" + "}" * 1000, "nests lists and objects too deep"),
        ("[NaN]", "holds NaN, expected finite numbers"),
        ('{"a": 1, "a": 1}', "a name stands twice"),
        ("1" * 5000, "4300 digits"),
    ],
    ids="parts depth NaN twice digits".split(),
)
def test_json_that_costs_or_misleads_is_refused_in_words(text, reason):
    with pytest.raises(ValueError, match=reason):
        strict_json(text)


def test_brackets_in_texts_of_json_are_no_lists():
    texts = ["[" * MAX_PARTS, '"[' * 9, "\\", "{"]
    assert strict_json(json.dumps(texts)) == texts


@each("opened", ['"', '"\\', '["a', '\\"'])
def test_texts_of_json_that_never_end_are_refused_at_once(opened):
    start = time.process_time()
    with pytest.raises(ValueError, match="holds more than"):
        strict_json("[" * (MAX_PARTS + 1) + opened * 200_000)
    assert time.process_time() - start < 1.0


def test_a_refusal_is_one_short_line_whatever_the_file_is_called(tmp_path):
    for name in ("a\nb" * 60, "\x1b[31m\u202e", "a" * 250, "b" * 5000):
        with pytest.raises(ModelFileError) as error:
            read_container(tmp_path / name)
        assert str(error.value).isprintable() and len(str(error.value)) < 600


@each(
    "metadata, reason",
    [
        ({}, "format_version"),
        ({"format_version": True}, "format_version"),
        ({"format_version": "1"}, "format_version"),
        ({"format_version": 0}, "format_version"),
        ({"format_version": FORMAT_VERSION + 1}, "newer xpmlp"),
        ({"format_version": 1}, "SHA-256"),
    ],
)
def test_versions_and_the_checksum_are_demanded(tmp_path, metadata, reason):
    save_raw(tmp_path / "m", ARRAYS, **metadata)
    with pytest.raises(ModelFileError, match=reason):
        read_container(tmp_path / "m")


@pytest.mark.parametrize("make", [None, os.mkdir, os.mkfifo, lambda p: os.symlink(p, p)])
def test_what_is_no_readable_file_is_refused_without_waiting(tmp_path, make):
    path = tmp_path / "m"
    if make:
        make(path)
    with pytest.raises(ModelFileError, match=str(path)):
        read_container(path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_failing_disk_leaves_the_old_file_and_no_other(model, monkeypatch, code):
    def fail(fd):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="m.xpmlp") as caught:
        write_container(model, {"a": np.ones(99)}, {})
    assert caught.value.errno == code
    assert ("free" in str(caught.value)) == (code == errno.ENOSPC)
    assert os.listdir(model.parent) == [model.name]
    assert is_original(model)


def test_an_interrupt_leaves_the_old_file_and_no_other(model, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_container(model, {"a": np.ones(99)}, {})
    assert os.listdir(model.parent) == [model.name]
    assert is_original(model)


def test_bytes_reach_the_disk_before_the_name_changes(tmp_path, monkeypatch):
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, r=real, n=name: (calls.append(n), r(*a)))
    atomic_write(tmp_path / "f", b"x")
    assert calls == ["fsync", "replace", "fsync"]


def test_permissions_are_ordinary_and_an_existing_file_keeps_its_own(tmp_path):
    path = tmp_path / "f"
    mask = os.umask(0o027)
    try:
        atomic_write(path, b"1")
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        atomic_write(path, b"2")
    finally:
        os.umask(mask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604
    assert path.read_bytes() == b"2"


def test_a_link_and_a_device_stay_what_they_are(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("real")
    atomic_write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    atomic_write("/dev/null", b"new")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere/f'"):
        atomic_write(tmp_path / "nowhere" / "f", b"x")
