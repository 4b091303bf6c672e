"""Reading data: every format's values, and every fault told with its place."""

import gzip
import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from each import each

from xpmlp.errors import DataError
from xpmlp.tables import datasets, npz
from xpmlp.tables.common import infer_task
from xpmlp.tables.datasets import BUILT_IN, load_dataset, load_features
from xpmlp.tables.idx import read_idx
from xpmlp.tables.open_table import read_table
from xpmlp.tables.reading import PLAIN

SHARED = Path(__file__).parents[3] / "shared" / "data"


def refused(words, read, *args):
    """Demand a DataError that holds all the words."""
    with pytest.raises(DataError) as caught:
        read(*args)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message


# --- the task


@each(
    "y, kind, task",
    [
        ([0, 1, 1, 0], "i", "classification"),
        ([0.0, 1.0, 1.0, 0.0], "i", "classification"),
        ([0.5, 1.0, 1.0, 0.5], "f", "regression"),
        ([1, 2, 3, 4], "f", "regression"),
        (list(range(101)) * 2, "f", "regression"),
        (list(range(100)) * 2, "i", "classification"),
        ([1e300, 1e300], "f", "regression"),
        ([True, False], "b", "classification"),
        (["a", "b"], "U", "classification"),
    ],
)
def test_the_task_follows_from_the_target(y, kind, task):
    got, got_task = infer_task(np.array(y))
    assert (got.dtype.kind, got_task) == (kind, task)
    assert got.tolist() == y


# --- IDX


def idx(a):
    return struct.pack(f">HBB{a.ndim}I", 0, 8, a.ndim, *a.shape) + a.tobytes()


IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 3, 4) * 10
LABELS = np.array([7, 2], np.uint8)


@pytest.mark.parametrize("dot, end", [("-", ""), (".", ".gz")])
def test_an_idx_folder_becomes_pixels_between_0_and_1(tmp_path, dot, end):
    pack = gzip.compress if end else bytes
    for part, n in (("train", 2), ("t10k", 1)):
        for kind, a in ((f"images{dot}idx3", IMAGES), (f"labels{dot}idx1", LABELS)):
            (tmp_path / f"{part}-{kind}-ubyte{end}").write_bytes(pack(idx(a[:n])))
    table = load_dataset(tmp_path)
    np.testing.assert_array_equal(table.X, IMAGES.reshape(2, 12) / np.float32(255), strict=True)
    np.testing.assert_array_equal(table.y, LABELS.astype(np.int64), strict=True)
    assert (table.X_test.shape, table.y_test.tolist()) == ((1, 12), [7])
    assert (table.image, table.task, table.name) == (True, "classification", tmp_path.name)
    (tmp_path / f"t10k-labels{dot}idx1-ubyte{end}").unlink()
    refused(["lacks", "t10k-labels-idx1-ubyte"], load_dataset, tmp_path)
    (tmp_path / f"t10k-images{dot}idx3-ubyte{end}").unlink()
    assert load_dataset(tmp_path).X_test is None
    (tmp_path / f"train-labels{dot}idx1-ubyte{end}").write_bytes(pack(idx(LABELS[:1])))
    refused(["train", "(1,)", "2 rows"], load_dataset, tmp_path)


def test_idx_values_are_big_endian(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(struct.pack(">HBBI3i", 0, 0x0C, 1, 3, -1, 256, 7))
    np.testing.assert_array_equal(read_idx(path), np.array([-1, 256, 7], np.int32), strict=True)


def test_an_idx_cut_anywhere_is_refused(tmp_path):
    path = tmp_path / "a"
    for data in (idx(IMAGES), gzip.compress(idx(IMAGES))):
        for length in range(len(data)):
            path.write_bytes(data[:length])
            refused([str(path)], read_idx, path)


@each(
    "data, words",
    [
        (b"", ["byte 0", "nothing"]),
        (b"\0\0\x07\x01" + bytes(9), ["byte 0", "00000701"]),
        (b"PK\x03\x04" + bytes(9), ["not a zip file"]),
        (idx(IMAGES)[:10], ["ends at byte 10", "3 sizes"]),
        (idx(IMAGES)[:-5], ["ends at byte 35", "byte 40", "(2, 3, 4)"]),
        (idx(IMAGES) + b"x", ["goes on after byte 40"]),
        (b"\0\0\x08\x03" + b"\xff" * 12, ["(4294967295, 4294967295, 4294967295)", "allowed"]),
        (gzip.compress(idx(IMAGES))[:-4] + bytes(4), ["length"]),
    ],
    ids=["empty", "type", "zip", "sizes", "truncated", "longer", "huge", "gzip"],
)
def test_a_fault_in_an_idx_file_is_told_with_its_byte(tmp_path, data, words):
    path = tmp_path / "a"
    path.write_bytes(data)
    refused([str(path), *words], read_idx, path)


def test_the_real_mnist_labels_are_the_published_ones():
    path = SHARED / "mnist" / "train-labels-idx1-ubyte.gz"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    labels = read_idx(path)
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(labels).tolist() == counts


# --- mnist.pkl.gz


def pairs(*sizes, width=3):
    make = lambda n: (np.full((n, width), 0.5, np.float32), np.arange(n))
    return tuple(make(n) for n in sizes)


def pickled(tmp_path, value, protocol=2, name="mnist.pkl.gz"):
    path = tmp_path / name
    data = value if isinstance(value, bytes) else pickle.dumps(value, protocol)
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@each("name", ["mnist.pkl.gz", "mnist.pkl"])
@each("protocol", [0, 2, 4])
@each("module", [b"numpy._core.multiarray", b"numpy.core.multiarray"])
def test_a_pickle_of_three_pairs_is_read(tmp_path, name, protocol, module):
    data = pickle.dumps(pairs(4, 2, 3), protocol)
    if protocol < 4:  # names end with the line there, so that one can be put for the other
        data = data.replace(b"numpy._core.multiarray", module)
    table = load_dataset(pickled(tmp_path, data, name=name))
    assert table.X.shape == (6, 3) and table.X.dtype == np.float32 and np.all(table.X == 0.5)
    assert table.y.tolist() == [0, 1, 2, 3, 0, 1]
    assert table.y_test.tolist() == [0, 1, 2]
    assert table.image


class Reduced:
    """An object whose pickle calls a function."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def global_call(module, name, argument):
    return f"c{module}\n{name}\n(S'{argument}'\ntR.".encode()


@pytest.mark.parametrize("module, name", [("os", "system"), ("builtins", "eval")])
def test_a_hostile_name_in_a_pickle_is_refused_and_not_called(tmp_path, module, name):
    victim = tmp_path / "victim"
    path = pickled(tmp_path, global_call(module, name, f"touch {victim}"))
    refused([str(path), f"refuses to load '{module}.{name}'"], load_dataset, path)
    assert not victim.exists()


@each(
    "value, name",
    [
        (Reduced(np.fromfile, "/etc/passwd"), "fromfile"),
        (Reduced(getattr, 1, "real"), "getattr"),
        (np.float64(1), "scalar"),
    ],
)
@each("protocol", [2, 4])
def test_any_other_function_is_refused_by_name(tmp_path, value, name, protocol):
    path = pickled(tmp_path, value, protocol)
    refused([str(path), "refuses to load", name], load_dataset, path)


def test_a_persistent_id_and_a_dotted_name_are_refused(tmp_path):
    class WithId(pickle.Pickler):
        def persistent_id(self, value):
            return "id" if value == 1 else None

    stream = io.BytesIO()
    WithId(stream).dump([1])
    refused(["PERSID"], load_dataset, pickled(tmp_path, stream.getvalue()))
    dotted = b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.tofile1\x93."
    refused(["ndarray.tofile1"], load_dataset, pickled(tmp_path, dotted))


@each(
    "value",
    [
        {},
        3,
        pairs(1, 2),
        (pairs(1, 2), 3, 4),
        [(np.ones((2, 3)), np.ones(2))] * 3,
        [(np.ones(2), np.ones(2, int))] * 3,
        [(np.ones((2, 3)), np.ones(3, int))] * 3,
        [(np.full((2, 3), np.nan), np.ones(2, int))] * 3,
        (*pairs(1, 2), *pairs(1, width=4)),
        [[[1.0]], [1]],
    ],
)
def test_a_pickle_of_another_form_is_refused(tmp_path, value):
    refused(["mnist.pkl.gz"], load_dataset, pickled(tmp_path, value))


def test_a_pickle_cut_anywhere_is_refused(tmp_path):
    data = pickle.dumps(pairs(1, 1, 1), 2)
    for length in range(len(data)):
        refused(["mnist.pkl"], load_dataset, pickled(tmp_path, data[:length], name="mnist.pkl"))


# --- .npz


def saved(tmp_path, **arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    return tmp_path / "a.npz"


X, Y = np.arange(8.0).reshape(4, 2), np.array([0, 1, 0, 1])


@pytest.mark.parametrize(
    "keys", [("X", "y"), ("data", "target"), ("X", "y", "X_test", "y_test"), npz.KEYS[2]]
)
def test_an_npz_is_read_under_its_usual_names(tmp_path, keys):
    table = load_dataset(saved(tmp_path, **dict(zip(keys, (X, Y, X[:1], Y[:1])))))
    np.testing.assert_array_equal(table.X, X, strict=True)
    np.testing.assert_array_equal(table.y, Y, strict=True)
    assert (table.X_test is not None) == (len(keys) == 4)
    assert not table.image


def test_npz_images_are_scaled_and_float32_stays(tmp_path):
    table = load_dataset(saved(tmp_path, X=IMAGES, y=LABELS))
    assert table.image and table.X.shape == (2, 12) and table.X.max() == np.float32(230 / 255)
    assert load_dataset(saved(tmp_path, X=X.astype("f4"), y=Y)).X.dtype == np.float32


@each(
    "arrays, words",
    [
        ({"X": X}, ["holds 'X'", "'y'"]),
        ({"X": X, "y": Y[:3]}, ["(3,)", "4 rows"]),
        ({"X": X[:, 0], "y": Y}, ["(4,)", "n_features"]),
        ({"X": X[:0], "y": Y[:0]}, ["(0, 2)"]),
        ({"X": np.where(X == 5, np.nan, X), "y": Y}, ["X[2, 1]"]),
        ({"X": X, "y": np.array([0, 1, np.inf, 1])}, ["y[2]"]),
        ({"X": X, "y": Y, "X_test": X}, ["'y_test'"]),
        ({"X": X, "y": Y, "X_test": X[:, :1], "y_test": Y}, ["width"]),
        ({"X": X, "y": np.array([Reduced(print, "x")] * 4, object)}, ["pickle"]),
        ({"X": X.astype(str), "y": Y}, ["expected numbers"]),
    ],
)
def test_a_fault_in_an_npz_is_told_with_its_array(tmp_path, arrays, words):
    path = saved(tmp_path, **arrays)
    refused([str(path), *words], load_dataset, path)


def test_an_npz_that_unpacks_to_too_much_is_refused_unread(tmp_path, monkeypatch):
    path = saved(tmp_path, X=X, y=Y)
    monkeypatch.setattr(np.lib.format, "read_array", None)
    refused(
        ["128 bytes", "10 bytes are allowed", "--max-memory"], load_dataset, path, None, PLAIN, 10
    )


def test_an_npz_cut_or_hostile_is_refused(tmp_path):
    path = saved(tmp_path, X=X, y=Y)
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        refused([str(path)], load_dataset, path)
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999,), }\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    refused([str(path)], load_dataset, path)


# --- by name

SHAPES = {
    "digits": (1797, 64, 10),
    "iris": (150, 4, 3),
    "wine": (178, 13, 3),
    "breast_cancer": (569, 30, 2),
    "diabetes": (442, 10, None),
    "flower": (400, 2, 2),
    "moons": (200, 2, 2),
    "circles": (200, 2, 2),
    "spirals": (300, 2, 3),
    "sine": (1000, 1, None),
    "sign": (1000, 1, 2),
}


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_built_in_set_has_its_shape_task_and_names(name):
    table = load_dataset(name)
    n, d, n_classes = SHAPES[name]
    assert table.X.shape == (n, d) and table.y.shape == (n,) and table.X.dtype == np.float64
    assert table.task == ("classification" if n_classes else "regression")
    assert n_classes is None or np.unique(table.y).tolist() == list(range(n_classes))
    assert table.y.dtype == (np.int64 if n_classes else np.float64)
    assert len(table.feature_names) == d and all(type(f) is str for f in table.feature_names)
    assert (table.name, table.image) == (name, name == "digits")
    np.testing.assert_array_equal(load_dataset(name).X, table.X)


def test_the_flower_is_the_courses():
    table = load_dataset("flower")
    assert table.X[0].tolist() == pytest.approx([1.204442292254319, 3.5761141481288448], rel=1e-15)
    path = SHARED / "tabular" / "planar_flower_seed1.csv"
    if not path.exists():
        pytest.skip(f"{path} is not on this machine")
    published = read_table(path)
    np.testing.assert_allclose(table.X, published.X, rtol=1e-12)
    np.testing.assert_array_equal(table.y, published.y, strict=True)


def test_the_small_sets_follow_their_formulas():
    sine, sign = load_dataset("sine"), load_dataset("sign")
    np.testing.assert_allclose(sine.y, np.sin(sine.X[:, 0]))
    assert (sine.X.min(), sine.X.max()) == (-np.pi, np.pi)
    assert np.unique(sign.X).tolist() == [-3, -2, -1, 0, 1, 2, 3]
    np.testing.assert_array_equal(sign.y, sign.X[:, 0] > 0)
    spirals, circles = load_dataset("spirals"), load_dataset("circles")
    radius = np.linalg.norm(spirals.X, axis=1).reshape(3, 100)
    np.testing.assert_allclose(radius, np.tile(np.linspace(0, 1, 100), (3, 1)), atol=1e-12)
    radius = np.linalg.norm(circles.X, axis=1).reshape(2, 100).mean(axis=1)
    np.testing.assert_allclose(radius, [1.04, 0.59], atol=0.06)  # noise 0.3 lengthens both
    moons = load_dataset("moons").X.reshape(2, 100, 2).mean(axis=1)
    np.testing.assert_allclose(moons, [[0, 0.63], [1, -0.13]], atol=0.1)


def test_an_unknown_source_names_the_nearest_set(tmp_path):
    refused(["irsi", *BUILT_IN, "did you mean 'iris'?"], load_dataset, "irsi")
    refused(["nowhere.csv"], load_dataset, tmp_path / "nowhere.csv")
    refused(["nowhere.csv"], load_features, tmp_path / "nowhere.csv", 1, None)
    (tmp_path / "a.doc").write_bytes(b"x")
    refused(["a.doc", ".csv", ".npz", ".gz"], load_dataset, tmp_path / "a.doc")
    refused(["'label'", "iris"], load_dataset, "iris", "label")


def test_a_name_wins_over_a_file_unless_it_is_written_as_a_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "iris").mkdir()
    assert load_dataset("iris").X.shape == (150, 4)
    refused(["lacks"], load_dataset, "./iris")
    assert datasets.BUILT_IN[1] == "iris"


def test_a_missing_file_is_told_with_tables_of_that_name_alone(tmp_path):
    for name in ("b.csv", "b.py", "b.txt.bak", "b.npz", "c.csv.gz"):
        (tmp_path / name).touch()
    with pytest.raises(DataError) as error:
        load_dataset(tmp_path / "b.cvs")
    assert "b.csv" in str(error.value) and "b.npz" in str(error.value)
    assert "b.py" not in str(error.value) and "b.txt.bak" not in str(error.value)
    with pytest.raises(DataError, match="moons") as error:
        load_dataset("nosuch.csv")
    assert "nearest" not in str(error.value) and "did you mean" not in str(error.value)
    with pytest.raises(DataError, match="did you mean 'moons'"):
        load_dataset("moon")


@pytest.mark.parametrize("name", ["old.xls", "OLD.XLS", "t.ods"])
def test_old_workbooks_are_told_how_to_be_saved(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(DataError, match=r"save it as \.xlsx"):
        load_dataset(tmp_path / name, "y")


def test_a_frame_whose_features_are_its_index_is_told_so(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"k": range(9), "x": range(9), "y": [0, 1, 0] * 3})
    path = tmp_path / "t.parquet"
    frame.set_index(["k", "x"]).to_parquet(path)
    with pytest.raises(DataError, match="one column, 'y', .*'k', 'x' of its index.*--types"):
        load_dataset(path)
