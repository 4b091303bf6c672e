"""SIGTERM and the like: a command ends soon, says what is kept, and a training goes on from it."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from importlib import import_module

import numpy as np
import pytest
from cli_data import rows, write_csv
from cli_files import command, label

from xpmlp import Checkpoint, load_model, signals
from xpmlp.cli.outputs import Results
from xpmlp.signals import SIGNALS
from xpmlp.training import chunk, interrupts
from xpmlp.training.checkpoint import Keeper

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows sends no signal to one process")
QUICK = ["--epochs", "6", "--hidden", "5"]
KEPT = ["--checkpoint", "kept"]
AGAIN = "with --checkpoint FOLDER, xpmlp train ... --resume would go on"
GOES_ON = "xpmlp train ... --resume goes on"


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    yield
    as_in_a_new_process()


def as_in_a_new_process():
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_DFL)


@pytest.fixture
def at(monkeypatch):
    """Send signals where a function is called the n-th time."""

    def sends(owner, name, n=1, *, sent=(signal.SIGTERM,)):
        as_in_a_new_process()
        plain, calls = getattr(owner, name), []

        def then(*arguments, **options):
            calls.append(1)
            for signum in sent * (len(calls) == n):
                signal.raise_signal(signum)
            return plain(*arguments, **options)

        monkeypatch.setattr(owner, name, then)

    return sends


MODULES = "cli.train", "cli.tune", "training.loop", "estimators.base", "atomic"
TRAIN, TUNE, LOOP, BASE, ATOMIC = (import_module(f"xpmlp.{name}") for name in MODULES)
NOTHING, MODEL = (
    "nothing is kept",
    "the model after 6 epochs is in iris.safetensors, without scores",
)
STAGES = {  # where the signal comes -> what is kept then, and where there is a checkpoint
    "while the data are read": ((TRAIN, "split_data"), NOTHING, NOTHING),
    "while rows are encoded": ((BASE, "problem_of"), NOTHING, NOTHING),
    "after an epoch": (
        (LOOP, "validate", 3),
        "the model after 3 epochs is in iris.safetensors, without scores",
        "the training after epoch 3 is kept in kept",
    ),
    "while the model is saved": ((Results, "write"), MODEL, MODEL),
    "while scores are computed": ((TRAIN, "scored"), MODEL, MODEL),
    "while the model is saved with its scores": ((ATOMIC, "_sync", 2), MODEL, MODEL),
    "while folds are trained": (
        (LOOP, "validate", 8),
        *["the model and its scores are in iris.safetensors"] * 2,
    ),
}


@pytest.mark.parametrize("stage", STAGES)
def test_a_signal_ends_a_training_in_a_sentence_that_says_what_is_kept(stage, xpmlp, at):
    place, kept, _ = STAGES[stage]
    at(*place)
    code, out, err = xpmlp("train", "iris", *QUICK, "--folds", "2")
    assert (code, err) == (75, f"Ended by SIGTERM: {kept}; {AGAIN}.\n")
    assert os.listdir() == ["iris.safetensors"] * (" iris.safetensors" in kept)
    assert ("Test: " in out) == ("scores are in" in kept)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN  # else a second one kills at exit


@pytest.mark.parametrize("stage", STAGES)
def test_with_a_checkpoint_it_goes_on_to_the_model_of_an_undisturbed_training(stage, xpmlp, at):
    data = write_csv("iris.csv", rows(target=label))
    arguments = ["train", data, *QUICK, "--folds", "2", "--json"]
    whole = json.loads(xpmlp(*arguments, "--out", "whole.safetensors")[1])
    place, _, kept = STAGES[stage]
    at(*place)
    code, out, err = xpmlp(*arguments, *KEPT)
    kept = kept.replace("after 6 epochs", "(after|at) .*")
    assert (code, out) == (75, "")
    assert re.fullmatch(f"Ended by SIGTERM: {kept}; {GOES_ON}.", err.splitlines()[-1])
    assert os.path.exists("iris.safetensors") == (" iris.safetensors" in kept)
    resumed = json.loads(xpmlp(*arguments, *KEPT, "--resume")[1])
    apart = {"seconds": 0, "model": ""}
    assert resumed | apart == whole | apart
    assert_same("iris.safetensors", "whole.safetensors")


def assert_same(path, other):
    a, b = load_model(path), load_model(other)
    for p, q in zip((*a.coefs_, *a.intercepts_), (*b.coefs_, *b.intercepts_)):
        np.testing.assert_array_equal(p, q)
    assert a.history_["loss"] == b.history_["loss"]


def test_a_training_that_no_checkpoint_can_keep_is_not_told_to_take_one(xpmlp, at):
    at(BASE, "problem_of")
    code, _, err = xpmlp("train", "iris", *QUICK, "--solver", "lbfgs")
    told = "Ended by SIGTERM: nothing is kept; the same command begins at the start.\n"
    assert (code, err) == (75, told)


@pytest.fixture
def _epochs_are_long(monkeypatch):
    """Let a training look for signals after each step, and wait for no epoch to end."""
    monkeypatch.setattr(chunk, "PART", 0.0)
    monkeypatch.setattr(chunk, "PART_SECONDS", 0.0)
    monkeypatch.setattr(chunk, "CHUNK", 0.0)
    monkeypatch.setattr(interrupts, "GRACE", -1.0)


@pytest.mark.parametrize("epochs", ["1", "3"])
@pytest.mark.usefixtures("_epochs_are_long")
def test_a_long_epoch_is_left_within_and_gone_on_with(epochs, xpmlp, at):
    arguments = ["train", "iris", "--hidden", "5", "--epochs", epochs, "--batch-size", "4"]
    assert xpmlp(*arguments, "--out", "whole.safetensors")[0] == 0
    at(Keeper, "within_epoch")
    code, _, err = xpmlp(*arguments, *KEPT)
    assert (code, os.path.exists("iris.safetensors")) == (75, False)
    assert err == f"Ended by SIGTERM: the training within epoch 1 is kept in kept; {GOES_ON}.\n"
    assert xpmlp(*arguments, *KEPT, "--resume")[0] == 0
    assert_same("iris.safetensors", "whole.safetensors")


@pytest.mark.usefixtures("_epochs_are_long")
def test_a_long_epoch_without_a_checkpoint_leaves_the_model_before_it(xpmlp, at):
    arguments = ["train", "iris", "--hidden", "5", "--batch-size", "4"]
    assert xpmlp(*arguments, "--epochs", "2", "--out", "two.safetensors")[0] == 0
    at(LOOP.NoCheckpoints, "within_epoch", 60)  # of 26 an epoch
    code, _, err = xpmlp(*arguments, "--epochs", "9")
    assert (code, err.partition(" is in ")[0]) == (75, "Ended by SIGTERM: the model after 2 epochs")
    assert_same("iris.safetensors", "two.safetensors")
    at(LOOP.NoCheckpoints, "within_epoch")
    assert xpmlp(*arguments, "--out", "none.safetensors")[2] == (
        f"Ended by SIGTERM: nothing is kept; {AGAIN}.\n"
    )
    assert not os.path.exists("none.safetensors")


def test_two_signals_in_a_second_are_one_and_a_later_one_ends_at_once(xpmlp, at, monkeypatch):
    both = signal.SIGHUP, signal.SIGTERM
    at(LOOP, "validate", 2, sent=both)
    _, _, err = xpmlp("train", "iris", *QUICK)
    assert err.startswith("Ended by SIGHUP: the model after 2 epochs is in iris.safetensors, ")
    monkeypatch.setattr(signals, "TWICE", -1.0)
    at(LOOP, "validate", 2, sent=both)
    code, _, err = xpmlp("train", "iris", *QUICK, "--out", "other.safetensors")
    assert (code, err.partition(";")[0]) == (75, "Ended by SIGHUP: nothing is kept")
    assert not os.path.exists("other.safetensors")


def test_a_signal_that_is_ignored_stays_so(xpmlp, at):
    at(LOOP, "validate", 2, sent=(signal.SIGHUP,))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    assert xpmlp("train", "iris", *QUICK)[0] == 0
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


LOADING = """
import signal, sys

class Sends:
    def find_spec(self, name, *rest):
        if name == "xpmlp.cli.tune":
            signal.raise_signal(signal.SIGTERM)

sys.meta_path.insert(0, Sends())
from xpmlp.__main__ import main
main()
"""


def test_a_signal_while_the_command_is_loaded_ends_it_alike():
    how = {"capture_output": True, "text": True, "timeout": 100}
    done = subprocess.run([sys.executable, "-c", LOADING, "train", "iris"], **how)
    told = "Ended by SIGTERM before it began: nothing is kept.\n"
    assert (done.returncode, done.stdout, done.stderr) == (75, "", told)


def test_a_checkpoint_that_the_disk_refuses_leaves_the_model_and_a_warning(xpmlp, at, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    at(LOOP, "validate", 2)
    monkeypatch.setattr(import_module("xpmlp.training.checkpoint"), "write_container", full)
    code, _, err = xpmlp("train", "iris", *QUICK, *KEPT)
    warning, told = err.splitlines()
    assert code == 75
    assert re.match(r"Warning: Checkpoint .* was not written, the training goes on: ", warning)
    assert told.startswith("Ended by SIGTERM: the model after 2 epochs is in iris.safetensors, ")


@pytest.mark.parametrize(
    "place, ranked", [((TUNE, "opened_source"), 0), ((TUNE, "answers_of", 5), 2)]
)
def test_a_search_ends_at_once_and_tells_what_was_found(place, ranked, xpmlp, at):
    at(*place)
    small = ["--epochs", "3", "--hidden", "5", "--candidates", "3", "--folds", "2"]
    code, out, err = xpmlp("tune", "iris", *small)
    so_far = "this is what was found so far, and " * bool(ranked)
    assert (code, err) == (75, f"Ended by SIGTERM: {so_far}no file is written.\n")
    assert (len(out.partition("rank ")[2].splitlines()), os.listdir()) == (
        ranked and 1 + ranked,
        [],
    )


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGUSR1"])
def test_each_signal_ends_the_command_after_the_epoch(name):
    endless = ["--epochs", "1000000", "--patience", "1000000", *KEPT]
    with command("train", "digits", *endless, "-v") as process:
        while not process.stdout.readline().startswith("epoch"):
            assert process.poll() is None
        process.send_signal(getattr(signal, name))
        # Not communicate(), which misses lines that readline() has taken from the pipe already.
        out, err, _ = process.stdout.read(), process.stderr.read(), process.wait(30)
    n_epochs, begun = Checkpoint("kept").reached()
    assert (process.returncode, begun, len(out.splitlines()) + 1) == (75, False, n_epochs)
    told = f"the training after epoch {n_epochs} is kept in kept; {GOES_ON}"
    assert err == f"Ended by {name}: {told}.\n"


def test_a_signal_while_a_large_table_is_read_leaves_nothing_behind(xpmlp, monkeypatch):
    with open("large.csv", "w") as file:
        file.write("a,b,y\n" + "1.25,2.5,yes\n3.75,1.5,no\n" * 1_000_000)
    monkeypatch.setattr(tempfile, "tempdir", os.getcwd())
    reading = import_module("xpmlp.tables.files.open_raw_table")
    plain = reading._load_csv

    def soon(*arguments):  # in the middle of DuckDB's work
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
        return plain(*arguments)

    monkeypatch.setattr(reading, "_load_csv", soon)
    code, _, err = xpmlp("train", "large.csv", *QUICK)
    assert (code, err) == (75, f"Ended by SIGTERM: nothing is kept; {AGAIN}.\n")
    assert os.listdir() == ["large.csv"]
