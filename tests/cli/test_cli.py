"""The command line: what it prints, which files it writes, and what it says of every mistake."""

import csv
import errno
import gzip
import io
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_data import is_one_sentence, rows, write_csv
from each import each

from xpmlp import load_model
from xpmlp.tables.datasets import BUILT_IN

QUICK = ["--epochs", "2", "--hidden", "5", "--quiet"]
KEYS = {
    "task", "n_train", "n_test", "n_left_out", "metrics", "seconds", "device", "why", "model",
    "validation_scores",
}  # fmt: skip
REGRESSIONS = {"diabetes", "sine"}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def train(xpmlp):
    """Train quickly. Returns the JSON of the last line."""

    def run(*arguments):
        code, out, err = xpmlp("train", *QUICK, "--json", *arguments)
        assert (code, err) == (0, "")
        found = json.loads(out.splitlines()[-1], parse_constant=pytest.fail)
        assert found.keys() == KEYS
        return found

    return run


def parquet(name, rows):
    import duckdb

    write_csv("rows.csv", rows)
    duckdb.sql("COPY (FROM read_csv('rows.csv')) TO 'd.parquet'")
    return name


def npz(name, rows):
    columns = [np.array(column) for column in zip(*rows)]
    np.savez(name, X=np.column_stack(columns[:2]), y=columns[2])
    return name


def images(n):
    """Squares, dark for label 0 and bright for label 1."""
    y = np.arange(n) % 2
    return np.broadcast_to((20 + 200 * y)[:, None, None], (n, 3, 3)).astype(np.uint8), y


def idx(a):
    return bytes((0, 0, 8, a.ndim)) + struct.pack(f">{a.ndim}I", *a.shape) + a.tobytes()


def idx_folder(name, end="", n=40):
    os.mkdir(name)
    for part, size in (("train", n), ("t10k", 10)):
        X, y = images(size)
        for kind, a in (("images-idx3", X), ("labels-idx1", y.astype(np.uint8))):
            data = gzip.compress(idx(a)) if end else idx(a)
            with open(f"{name}/{part}-{kind}-ubyte{end}", "wb") as file:
                file.write(data)
    return name


def mnist_pickle(name):
    parts = [images(n) for n in (30, 10, 10)]
    data = pickle.dumps([((X / 255).reshape(len(X), 9).astype("f4"), y) for X, y in parts], 2)
    with open(name, "wb") as file:
        file.write(gzip.compress(data))
    return name


def label(a, b):
    return "yes" if a > b else "no"


def code(a, b):
    return int(a > b)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_set_trains_and_the_json_tells_how_well(train, name):
    found = train(name)
    regression = name in REGRESSIONS
    assert found["task"] == ("regression" if regression else "classification")
    assert found["metrics"].keys() == ({"rmse", "r2"} if regression else {"accuracy", "log_loss"})
    assert all(np.isfinite(value) for value in found["metrics"].values())
    assert (found["device"], found["model"]) == ("cpu", f"{name}.safetensors")
    assert found["n_train"] > 3 * found["n_test"] > 0 and found["seconds"] > 0
    assert load_model(found["model"]).n_iter_ == 2


@each(
    "write, task",
    [
        (lambda: write_csv("d.csv", rows(target=label)), "classification"),
        (lambda: write_csv("d.csv", rows(target=code)), "classification"),
        (lambda: write_csv("d.csv", rows()), "regression"),
        (lambda: parquet("d.parquet", rows(target=label)), "classification"),
        (lambda: parquet("d.parquet", rows()), "regression"),
        (lambda: npz("d.npz", rows(target=label)), "classification"),
        (lambda: npz("d.npz", rows()), "regression"),
        (lambda: idx_folder("d"), "classification"),
        (lambda: idx_folder("d", ".gz"), "classification"),
        (lambda: mnist_pickle("d.pkl.gz"), "classification"),
    ],
    ids="csv-text csv-int csv parquet-text parquet npz-text npz idx idx-gz mnist.pkl.gz".split(),
    parts=5,
)
def test_every_kind_of_file_trains_and_evaluates_to_the_metrics_of_the_training(
    train, xpmlp, tmp_path, monkeypatch, write, task
):
    monkeypatch.chdir(tmp_path)
    data = write()
    own_test_part = data in ("d", "d.pkl.gz")
    found = train(data, *([] if own_test_part else ["--test", data]))
    assert (found["task"], found["model"]) == (task, "d.safetensors")
    assert found["n_test"] == (10 if own_test_part else 60)
    exit_code, out, err = xpmlp("evaluate", "d.safetensors", data, "--json")
    assert (exit_code, err) == (0, "")
    again = json.loads(out)
    assert again["metrics"] == found["metrics"]
    assert again["task"] == task and again["n_test"] == found["n_test"]
    exit_code, out, err = xpmlp("predict", "d.safetensors", data)
    n_rows = 40 if own_test_part else 60
    assert (exit_code, len(out.splitlines()), err) == (0, n_rows + 1, "")


def test_diabetes_is_learned_because_inputs_and_targets_are_standardised(train):
    arguments = ["diabetes", "--epochs", 30, "--hidden", 30]
    found = train(*arguments)
    assert found["metrics"]["r2"] > 0.2
    assert train(*arguments, "--no-standardise")["metrics"]["r2"] < 0
    scaling = train(*arguments) and load_model("diabetes.safetensors").scaling_
    assert 100 < scaling.y_mean.item() < 200 and scaling.x_mean.shape == (1, 10)


def test_the_same_seed_gives_the_same_metrics_and_another_seed_others(train):
    first, again, other = (train("wine", "--seed", seed) for seed in (7, 7, 8))
    assert first["metrics"] == again["metrics"] != other["metrics"]


def test_predictions_need_no_target_and_probabilities_get_a_column_a_class(train, xpmlp):
    data = write_csv("d.csv", rows(target=label))
    write_csv("x.csv", [(b, a) for a, b, _ in rows()], ("b", "a"))  # the model goes by the names
    train(data)
    outputs = [xpmlp("predict", "d.safetensors", name, "--proba") for name in (data, "x.csv")]
    assert outputs[0] == outputs[1]
    table = list(csv.DictReader(io.StringIO(outputs[0][1])))
    model, X = (
        load_model("d.safetensors"),
        pd.DataFrame([row[:2] for row in rows()], columns=["a", "b"]),
    )
    assert [row["prediction"] for row in table] == model.predict(X).tolist()
    assert list(table[0]) == ["prediction", "no", "yes"]
    found = [[float(row["no"]), float(row["yes"])] for row in table]
    np.testing.assert_allclose(found, model.predict_proba(X), rtol=1e-6)
    assert xpmlp("predict", "d.safetensors", data, "--proba", "--out", "p.csv")[1] == ""
    with open("p.csv", newline="") as file:
        assert file.read() == outputs[0][1]


def test_plot_writes_two_pictures_beside_the_model(train):
    os.mkdir("sub")
    for name, kind in (("iris", "confusion"), ("sine", "predictions")):
        train(name, "--plot", "--out", f"sub/{name}.safetensors")
        for picture in (f"sub/{name}-history.png", f"sub/{name}-{kind}.png"):
            with open(picture, "rb") as file:
                assert file.read(8) == b"\x89PNG\r\n\x1a\n"
    assert len(os.listdir("sub")) == 6


def test_validation_on_the_test_rows_is_told_epoch_by_epoch(train):
    found = train("iris", "--validation", "test", "--epochs", 3)
    assert found["n_train"] == 120 and len(found["validation_scores"]) == 3
    assert found["validation_scores"][-1] == found["metrics"]["accuracy"]


def test_rows_takes_the_first_training_rows(train):
    found = train("iris", "--rows", 30, "--validation", 0)
    assert (found["n_train"], found["n_test"], found["validation_scores"]) == (30, 30, [])


def test_a_score_that_does_not_exist_is_null_in_the_json(xpmlp):
    data = write_csv("d.csv", rows(12))  # one row is left to watch, which has no R^2
    exit_code, out, _ = xpmlp("train", data, *QUICK, "--json")
    found = json.loads(out.splitlines()[-1], parse_constant=pytest.fail)
    assert (exit_code, found["validation_scores"]) == (0, [None, None])


def bad(name, data, mode="wb"):
    with open(name, mode) as file:
        file.write(data)
    return name


def broken_idx(n_bytes=None, magic=None):
    folder = idx_folder("d")
    path = f"{folder}/train-images-idx3-ubyte"
    with open(path, "rb") as file:
        data = file.read()
    bad(path, (magic or b"") + data[len(magic or b"") : n_bytes])
    return folder


BAD_DATA = {
    "missing": (lambda: "missing.csv", ["missing.csv", "does not exist"]),
    "misspelt": (lambda: "irsi", ["irsi", "'iris'"]),
    "long": (lambda: "a" * 300, ["does not exist"]),
    "empty": (lambda: bad("d.csv", b""), ["d.csv", "line 1"]),
    "only a head": (lambda: bad("d.csv", b"a,b,y\n"), ["d.csv", "no rows"]),
    "ragged": (lambda: bad("d.csv", b"a,b,y\n1,2,3\n4,5\n"), ["d.csv", "line 3"]),
    "too long": (lambda: bad("d.csv", b"a,b,y\n1,2,3\n4,5,6,7\n"), ["d.csv", "line 3"]),
    "text": (lambda: write_csv("d.csv", [*rows(), (1, "five", 2)]), ["line 62", "'b'", "'five'"]),
    "no target": (lambda: write_csv("d.csv", [*rows(), (1, 2, "")]), ["line 62", "'y'"]),
    "too large": (lambda: npz("d.npz", [(a * 1e39, b, y) for a, b, y in rows()]), ["too large"]),
    "targets too large": (
        lambda: write_csv("d.csv", [(a, b, y * 1e300) for a, b, y in rows()]),
        ["d.csv", "too large"],
    ),
    "one row": (lambda: write_csv("d.csv", rows(1)), ["d.csv", "every row holds"]),
    "two rows": (lambda: write_csv("d.csv", rows(2)), ["d.csv", "hold rows out"]),
    "rare class": (
        lambda: write_csv("d.csv", [*rows(target=label), (1, 2, "rare")]),
        ["d.csv", "hold rows out", "only 1 row", "rare"],
    ),
    "wrong magic": (lambda: broken_idx(magic=b"\x00\x00\x07\x03"), ["train-images", "byte 0"]),
    "truncated": (lambda: broken_idx(300), ["train-images", "ends at byte 300"]),
    "empty folder": (lambda: os.mkdir("d") or "d", ["d lacks a file"]),
    "no npz": (lambda: bad("d.npz", b"PK nonsense"), ["d.npz"]),
    "no pickle": (lambda: bad("d.pkl.gz", b"\x1f\x8bnonsense"), ["d.pkl.gz"]),
    "code": (lambda: bad("d.pkl", pickle.dumps(os.system)), ["d.pkl", "system"]),
    "no parquet": (lambda: bad("d.parquet", b"PAR1"), ["d.parquet"]),
    "unknown kind": (lambda: bad("d.docx", b"text"), ["d.docx", "no known kind"]),
}


@each("write, words", BAD_DATA.values(), ids=BAD_DATA.keys(), parts=4)
@each("old", [False, True], ids=["", "old-model-kept"])
def test_bad_data_get_one_sentence_with_the_place_and_leave_no_file(
    xpmlp, tmp_path, monkeypatch, write, words, old
):
    monkeypatch.chdir(tmp_path)
    data = write()
    if old:
        bad("m", b"the old model")
    before = sorted(os.listdir())
    exit_code, out, err = xpmlp("train", data, *QUICK, "--out", "m")
    assert (exit_code, is_one_sentence(err)) == (3, True)
    assert [word for word in words if word not in err] == []
    assert err.count("\n") == 1
    assert sorted(os.listdir()) == before
    assert not old or Path("m").read_bytes() == b"the old model"


@each(
    "arguments, words",
    [
        (["d.csv", "--target", "nope"], ["d.csv", "no column 'nope'"]),
        (["iris", "--target", "nope"], ["iris"]),
        (["d.csv", "--test", "missing.csv"], ["missing.csv"]),
        (["d.csv", "--test", "other.csv"], ["other.csv", "'b'", "'c'"]),
        (["d.csv", "--test", "iris"], ["iris has other columns"]),
        (["d.csv", "--test", "unseen.csv"], ["unseen.csv", "'maybe'", "no, yes"]),
        (["d.csv", "--test", "numbers.csv"], ["numbers.csv holds the label"]),
        (["numbers.csv", "--test", "d.csv"], ["d.csv: the target is text"]),
        (["iris", "--rows", "1", "--validation", "0"], ["the test part of iris holds the label"]),
    ],
)
def test_a_target_or_test_file_that_does_not_fit_is_bad_data(xpmlp, arguments, words):
    write_csv("d.csv", rows(target=label))
    write_csv("numbers.csv", rows())
    write_csv("other.csv", rows(target=label), ("a", "c", "y"))
    write_csv("unseen.csv", [*rows(target=label), (1, 2, "maybe")])
    exit_code, _, err = xpmlp("train", *arguments, *QUICK, "--out", "m")
    assert (exit_code, is_one_sentence(err), os.path.exists("m")) == (3, True, False)
    assert [word for word in words if word not in err] == []
    assert "np." not in err


@each(
    "arguments, words",
    [
        (["--hidden", "a,b"], "'a,b'"),
        (["--hidden", "0"], "'--hidden'"),
        (["--hidden", "5,-1"], "'--hidden'"),
        (["--activation", "nonsense"], "'nonsense'"),
        (["--solver", "nonsense"], "'nonsense'"),
        (["--loss", "poisson"], "'poisson'"),
        (["--loss", "nonsense"], "'nonsense'"),
        (["--learning-rate", "nonsense"], "'nonsense'"),
        (["--init", "nonsense"], "'nonsense'"),
        (["--dropout", "1.5"], "1.5"),
        (["--dropout", "0.5", "--solver", "lbfgs"], "dropout"),
        (["--lr", "-1"], "-1"),
        (["--lr", "nan"], "nan"),
        (["--momentum", "2"], "2"),
        (["--alpha", "-1"], "-1"),
        (["--weight-decay", "nan"], "nan"),
        (["--device", "nonsense"], "'nonsense'"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--dtype", "float16"], "'float16'"),
        (["--validation", "2"], "'2'"),
        (["--validation", "nan"], "'nan'"),
        (["--rows", "0"], "--rows"),
        (["--rows", "-5"], "--rows"),
        (["--batch-size", "0"], "--batch-size"),
        (["--epochs", "0"], "--epochs"),
        (["--patience", "0"], "--patience"),
        (["--seed", "-1"], "--seed"),
        (["--seed", "4294967296"], "--seed"),
        (["--out", "nowhere/m"], "nowhere"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_a_bad_option_is_told_and_nothing_is_written(xpmlp, arguments, words):
    exit_code, _, err = xpmlp("train", "iris", *QUICK, *arguments)
    assert (exit_code, is_one_sentence(err)) == (2, True)
    assert words in err.splitlines()[-1]
    assert os.listdir() == []


def test_the_model_does_not_overwrite_its_data(xpmlp):
    data = write_csv("d.csv", rows())
    before = Path(data).read_bytes()
    exit_code, _, err = xpmlp("train", data, *QUICK, "--out", "./d.csv")
    assert (exit_code, is_one_sentence(err), Path(data).read_bytes()) == (2, True, before)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
@pytest.mark.parametrize("data", ["iris", "diabetes"])
def test_divergence_has_its_own_exit_code_and_no_model(xpmlp, solver, data):
    exit_code, _, err = xpmlp("train", data, *QUICK, "--solver", solver, "--lr", "1e30")
    assert (exit_code, is_one_sentence(err), os.listdir()) == (5, True, [])
    assert "1e+30" in err


def test_a_network_beyond_the_memory_has_its_own_exit_code(xpmlp):
    exit_code, _, err = xpmlp("train", "iris", *QUICK, "--hidden", 10**13)
    assert (exit_code, is_one_sentence(err), os.listdir()) == (6, True, [])


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_failing_disk_has_its_own_exit_code_and_keeps_the_old_model(xpmlp, monkeypatch, failure):
    bad("m", b"the old model")

    def fail(descriptor):
        raise OSError(failure, os.strerror(failure))

    monkeypatch.setattr(os, "fsync", fail)
    exit_code, _, err = xpmlp("train", "iris", *QUICK, "--out", "m")
    assert (exit_code, is_one_sentence(err), os.listdir()) == (7, True, ["m"])
    assert os.strerror(failure) in err and "Error: m: " in err
    assert Path("m").read_bytes() == b"the old model"


@pytest.mark.parametrize(
    "content, words",
    [
        (None, "No such file"),
        (b"", "0 bytes"),
        (pickle.dumps({"a": 1}), "pickle"),
        (b"PK\x03\x04" + bytes(60), "zip"),
        ("cut", "model file 'm'"),
        ("flipped", "model file 'm'"),
        (b"a,b,y\n1,2,3\n4,5,6\n", "saved by xpmlp"),
    ],
    ids="missing empty pickle zip cut flipped csv".split(),
)
@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_what_is_no_model_file_has_its_own_exit_code(train, xpmlp, content, words, command):
    if isinstance(content, str):
        whole = Path(train("iris", "--out", "m")["model"]).read_bytes()
        content = whole[:-5] if content == "cut" else whole[:-1] + bytes((whole[-1] ^ 1,))
    if content is not None:
        bad("m", content)
    exit_code, out, err = xpmlp(command, "m", "iris")
    assert (exit_code, out, is_one_sentence(err), err.count("\n")) == (4, "", True, 1)
    assert words in err


@pytest.fixture
def three_models(train):
    """Write the models n (of an npz), c (a classifier) and r, and files that do not fit them."""
    write_csv("x.csv", [(a, b) for a, b, _ in rows()], ("a", "q"))
    write_csv("z.csv", [(a, b) for a, b, _ in rows()], ("a", "b"))
    train(npz("huge.npz", rows(target=code)), "--out", "n")
    npz("huge.npz", [(1e39, b, 1) for _, b, _ in rows()])
    train(write_csv("c.csv", rows(target=label)), "--out", "c")
    train(write_csv("r.csv", rows()), "--out", "r")


@each(
    "command, arguments, exit_code, words",
    [
        ("predict", ["c", "x.csv"], 3, "lacks the model's 'b'"),
        ("predict", ["c", "iris"], 3, "expected the model's 2"),
        ("predict", ["n", "huge.npz"], 3, "too large"),
        ("predict", ["c", "missing.csv"], 3, "missing.csv does not exist"),
        ("predict", ["r", "c.csv", "--proba"], 2, "--proba needs a classifier"),
        ("predict", ["c", "c.csv", "--out", "nowhere/p.csv"], 2, "nowhere/p.csv"),
        ("predict", ["c", "c.csv", "--out", "./c.csv"], 2, "overwrite c.csv"),
        ("predict", ["c", "c.csv", "--out", "c"], 2, "overwrite c"),
        ("evaluate", ["c", "x.csv"], 3, "lacks the model's 'b'"),
        ("evaluate", ["c", "z.csv"], 3, "no column 'y'"),
        ("evaluate", ["c", "r.csv"], 3, "r.csv holds the label"),
        ("evaluate", ["r", "c.csv"], 3, "c.csv: the target is text"),
        ("evaluate", ["c", "c.csv", "--target", "nope"], 3, "no column 'nope'"),
        ("evaluate", ["c", "moons"], 3, "moons holds the label 0"),
    ],
)
@pytest.mark.usefixtures("three_models")
def test_data_that_do_not_fit_the_model_are_told(xpmlp, command, arguments, exit_code, words):
    before = sorted(os.listdir())
    found, out, err = xpmlp(command, *arguments)
    assert (found, out, is_one_sentence(err)) == (exit_code, "", True)
    assert words in err and sorted(os.listdir()) == before


def test_each_command_names_its_device_and_training_says_once_why(xpmlp):
    code, out, err = xpmlp("train", "iris", "--epochs", "2")
    assert code == 0 and not err
    assert out.count("Training on cpu: X is a host array, ") == 1
    assert " s on cpu.\n" in out
    assert "rows, computed on cpu." in xpmlp("evaluate", "iris.safetensors", "iris")[1]
    _, out, err = xpmlp("predict", "iris.safetensors", "iris", "--out", "iris.csv")
    assert (out, err) == ("", "150 predictions on cpu: iris.csv\n")


def test_a_single_row_is_evaluated_without_r2(train, xpmlp):
    train(write_csv("d.csv", rows()))
    _, out, err = xpmlp("evaluate", "d.safetensors", write_csv("one.csv", rows(1)), "--json")
    assert json.loads(out)["metrics"]["r2"] is None and err == ""
    assert "r2 undefined" in xpmlp("evaluate", "d.safetensors", "one.csv")[1]


def test_a_missing_matplotlib_is_told_before_the_training(xpmlp, monkeypatch):
    monkeypatch.setattr(import_module("xpmlp.cli.train"), "find_spec", lambda name: None)
    exit_code, _, err = xpmlp("train", "iris", *QUICK, "--plot")
    assert (exit_code, "xpmlp[plot]" in err, os.listdir()) == (2, True, [])


def test_help_doctor_and_version_say_something(xpmlp, monkeypatch):
    monkeypatch.setattr(import_module("xpmlp.cli.doctor"), "LIBRARIES", {"numpy": "pip"})
    for arguments in (["--help"], ["train", "--help"], ["doctor"], ["--version"]):
        exit_code, out, err = xpmlp(*arguments)
        assert (exit_code, err) == (0, "") and "xpmlp" in out


# A shell's background job ignores SIGINT, and what it starts inherits that.
RUN = """import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from xpmlp.cli import main
main()"""


def command(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_the_training_after_the_epoch_and_the_model_is_saved():
    endless = ["--epochs", "1000000", "--patience", "1000000"]
    with command("train", "digits", *endless, "--json") as process:
        while not process.stdout.readline().startswith("epoch"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (130, "Warning: Training interrupted by user.\n")
    found = json.loads(out.splitlines()[-1])
    assert load_model("digits.safetensors").n_iter_ == len(found["validation_scores"])


def test_the_command_itself_prints_its_error_and_no_traceback():
    with command("train", "diabetes", *QUICK, "--lr", "1e30") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, is_one_sentence(err), err.count("\n")) == (5, True, 1)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_a_full_disk_behind_the_predictions_is_told(train, xpmlp):
    train("iris")
    exit_code, _, err = xpmlp("predict", "iris.safetensors", "iris", "--out", "/dev/full")
    assert (exit_code, is_one_sentence(err), "No space left" in err) == (7, True, True)


def test_a_column_of_large_numbers_with_small_differences_is_not_lost(xpmlp):
    # In float32 a time of 1.7e9 s is good to 128 s: it is standardised before it gets there.
    t = np.random.default_rng(0).normal(0, 20, 300).tolist()
    write_csv("times.csv", [(1.7e9 + a, a) for a in t], head=("t", "y"))
    code, out, _ = xpmlp("train", "times.csv", "--quiet", "--json")
    assert code == 0 and json.loads(out.splitlines()[-1])["metrics"]["r2"] > 0.9
    again = xpmlp("evaluate", "times.safetensors", "times.csv", "--json")[1]
    assert json.loads(again)["metrics"]["r2"] > 0.9
