"""The command line: what it prints, which files it writes, and what it says of every mistake."""

import csv
import gzip
import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from cli_data import is_one_sentence, rows, write_csv
from cli_files import (
    QUICK,
    code,
    command,
    idx_folder,
    images,
    label,
    npz,
    train_fixture,  # noqa: F401 - fixtures among them
)
from each import each

import xpmlp as package
from xpmlp import load_model
from xpmlp.tables.datasets import BUILT_IN

REGRESSIONS = {"diabetes", "sine"}


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def parquet(name, rows):
    import duckdb

    write_csv("rows.csv", rows)
    duckdb.sql("COPY (FROM read_csv('rows.csv')) TO 'd.parquet'")
    return name


def mnist_pickle(name):
    parts = [images(n) for n in (30, 10, 10)]
    data = pickle.dumps([((X / 255).reshape(len(X), 9).astype("f4"), y) for X, y in parts], 2)
    with open(name, "wb") as file:
        file.write(gzip.compress(data))
    return name


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_set_trains_and_the_json_tells_how_well(train, name):
    found = train(name)
    regression = name in REGRESSIONS
    assert found["task"] == ("regression" if regression else "classification")
    usual = {"rmse", "mae", "r2"} if regression else {"accuracy", "balanced_accuracy", "log_loss"}
    assert found["metrics"].keys() - {"roc_auc"} == usual
    assert ("roc_auc" in found["metrics"]) == (len(found["classes"]) == 2)
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
    exit_code, out, _ = xpmlp("train", data, *QUICK, "--json", "--scoring", "r2")
    found = json.loads(out, parse_constant=pytest.fail)
    assert (exit_code, found["validation_scores"]) == (0, [None, None])


def test_each_command_names_its_device_and_training_says_once_why(xpmlp):
    code, out, err = xpmlp("train", "iris", "--epochs", "2")
    assert code == 0 and not err
    assert out.count("Device: cpu. The data are in main memory, ") == 1
    assert " s on cpu.\n" in out
    assert "rows, computed on cpu." in xpmlp("evaluate", "iris.safetensors", "iris")[1]
    _, out, err = xpmlp("predict", "iris.safetensors", "iris", "--out", "iris.csv")
    assert (out, err) == ("", "150 predictions on cpu: iris.csv\n")


def test_a_single_row_is_evaluated_without_r2(train, xpmlp):
    train(write_csv("d.csv", rows()))
    _, out, err = xpmlp("evaluate", "d.safetensors", write_csv("one.csv", rows(1)), "--json")
    assert json.loads(out)["metrics"]["r2"] is None and err == ""
    out = xpmlp("evaluate", "d.safetensors", "one.csv")[1]
    assert re.search("^r2 +undefined +undefined$", out, re.M) and "Note: r2: R^2 score is" in out


def test_a_missing_matplotlib_is_told_before_the_training(xpmlp, monkeypatch):
    monkeypatch.setattr(import_module("xpmlp.cli.report"), "find_spec", lambda name: None)
    exit_code, _, err = xpmlp("train", "iris", *QUICK, "--plot")
    assert (exit_code, "xpmlp[plot]" in err, os.listdir()) == (2, True, [])


def test_help_doctor_and_version_say_something(xpmlp, monkeypatch):
    monkeypatch.setattr(import_module("xpmlp.cli.doctor"), "LIBRARIES", {"numpy": "pip"})
    for arguments in (["--help"], ["train", "--help"], ["doctor"], ["--version"]):
        exit_code, out, err = xpmlp(*arguments)
        assert (exit_code, err) == (0, "") and "xpmlp" in out


@pytest.mark.skipif(os.name == "nt", reason="Windows sends no SIGINT to one process")
def test_ctrl_c_ends_the_training_after_the_epoch_and_the_model_is_saved():
    endless = ["--epochs", "1000000", "--patience", "1000000"]
    with command("train", "digits", *endless, "--json", "-v") as process:
        while not process.stderr.readline().startswith("epoch"):
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err.count("Warning: Training interrupted by user.\n")) == (130, 1)
    found = json.loads(out)
    assert load_model("digits.safetensors").n_iter_ == len(found["validation_scores"])


def test_ctrl_c_while_the_command_is_being_loaded_ends_it_without_a_traceback(tmp_path):
    folder = tmp_path / "early"
    folder.mkdir()
    (folder / "click.py").write_text("raise KeyboardInterrupt")
    environment = os.environ | {
        "PYTHONPATH": f"{folder}{os.pathsep}{Path(package.__file__).parent.parent}"
    }
    command = [sys.executable, "-m", "xpmlp", "doctor"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "Interrupted.\n")


def test_a_model_file_that_is_not_there_is_told_with_the_one_that_is_meant(train, xpmlp):
    train("iris")
    for name, end in (("iris", ": did you mean 'iris.safetensors'?"), ("other", ".")):
        code, _, err = xpmlp("predict", name, "iris")
        assert (code, err) == (4, f"Error: model file {name!r}: it does not exist{end}\n")


def test_a_header_without_rows_is_predicted_to_one(train, xpmlp):
    train(write_csv("d.csv", rows(target=label)))
    Path("none.csv").write_text("a,b\n")
    ended, out, err = xpmlp("predict", "d.safetensors", "none.csv", "--proba")
    assert (ended, out) == (0, "prediction,no,yes\n")
    assert err == "Note: there are no rows to predict, only the names of columns.\n"
    train(npz("d.npz", rows(target=code)))
    assert xpmlp("predict", "d.safetensors", "none.csv")[:2] == (0, "prediction\n")
    ended, _, err = xpmlp("evaluate", "d.safetensors", write_csv("none.csv", []), "--target", "y")
    assert (ended, is_one_sentence(err), "no rows" in err) == (3, True, True)


@pytest.mark.parametrize("letter", ["a", "é"])
def test_a_name_as_long_as_names_can_be_is_written_and_a_longer_one_told_at_once(xpmlp, letter):
    stem = letter * ((255 - len(".safetensors")) // len(letter.encode()))
    made = f"{stem}.safetensors"
    assert xpmlp("train", "iris", *QUICK, "--out", made)[0] == 0
    assert os.listdir() == [made]
    code, out, err = xpmlp("train", "iris", *QUICK, "--out", f"aa{made}")
    assert (code, out, "File name too long" in err) == (2, "", True)


def test_the_command_itself_prints_its_error_and_no_traceback():
    with command("train", "diabetes", *QUICK, "--lr", "1e30") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, is_one_sentence(err), err.count("\n")) == (5, True, 1)


@pytest.mark.skipif(os.name == "nt", reason="Windows tells no broken pipe")
def test_a_reader_that_goes_away_costs_no_work():
    options = "--try", "lr=0.001,0.01", "--epochs", "3", "--folds", "2", "--candidates", "2"
    for arguments, made in (
        (["train", "digits", *QUICK, "-v"], "digits.safetensors"),
        (["tune", "iris", *options], "best.toml"),
        (["predict", "digits.safetensors", "digits", "--out", "p.csv"], "p.csv"),
    ):
        with command(*arguments) as process:
            process.stdout.close()
            err = process.stderr.read()
        assert (process.returncode, os.path.exists(made)) == (0, True), err
        assert err.startswith("1,797 predictions") == (made == "p.csv") == bool(err)
    with command("predict", "digits.safetensors", "digits", "--proba") as process:
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full here")
def test_output_to_a_full_disk_is_told_once():
    with open("/dev/full", "w") as full, command("train", "iris", *QUICK, stdout=full) as process:
        err = process.stderr.read()
    assert (process.returncode, err) == (7, "Error: standard output: No space left on device.\n")


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
    assert code == 0 and json.loads(out)["metrics"]["r2"] > 0.9
    again = xpmlp("evaluate", "times.safetensors", "times.csv", "--json")[1]
    assert json.loads(again)["metrics"]["r2"] > 0.9
