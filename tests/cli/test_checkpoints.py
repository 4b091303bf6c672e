"""`xpmlp train --checkpoint`: what goes on, what is refused, and what is told of it."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from cli_data import is_one_sentence, rows, write_csv
from cli_files import label
from each import each

from xpmlp import Checkpoint, load_model
from xpmlp.training.checkpoint import Keeper, keeping

KEPT = ["--checkpoint", "kept", "--checkpoint-every", "1"]
QUICK = ["--epochs", "6", "--hidden", "5"]


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def stopped(xpmlp, *arguments, at):
    """End a training as soon as it has written so many checkpoints."""
    write = Keeper.write

    def then_stop(self, *args):
        write(self, *args)
        if self.number == at:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Keeper, "write", then_stop)
        code, _, err = xpmlp("train", *arguments)
    assert (code, err.strip()) == (130, "Interrupted.")


def found(xpmlp, *arguments):
    """Train; return the JSON but for its seconds, the model and what was told."""
    code, out, err = xpmlp("train", *arguments, "--json")
    assert code == 0, err
    return json.loads(out) | {"seconds": 0}, load_model(json.loads(out)["model"]), err


def assert_same(one, other):
    (told, model, _), (as_told, as_model, _) = one, other
    assert told == as_told | {"model": told["model"]}
    for a, b in zip((*model.coefs_, *model.intercepts_), (*as_model.coefs_, *as_model.intercepts_)):
        np.testing.assert_array_equal(a, b)
    assert model.history_["loss"] == as_model.history_["loss"]


def test_a_training_that_was_stopped_goes_on_to_the_same_model_and_scores(xpmlp):
    data = write_csv("d.csv", rows(target=label))
    whole = found(xpmlp, data, *QUICK, "--out", "whole.safetensors")
    stopped(xpmlp, data, *QUICK, *KEPT, at=3)
    assert not os.path.exists("d.safetensors")
    resumed = found(xpmlp, data, *QUICK, *KEPT, "--resume")
    assert "Going on after epoch 3 of the checkpoint in kept.\n" in resumed[-1]
    assert_same(resumed, whole)
    again = found(xpmlp, data, *QUICK, *KEPT, "--resume")
    assert "Going on after epoch 6 of the checkpoint in kept.\n" in again[-1]
    assert_same(again, whole)
    record = resumed[1].training_record_
    assert record["options"] == whole[1].training_record_["options"]  # of what makes the model


def test_without_a_checkpoint_resume_begins_at_the_start_and_more_epochs_may_be_asked_for(xpmlp):
    _, model, err = found(xpmlp, "iris", *QUICK, *KEPT, "--resume")
    assert "There is no checkpoint in kept: this training begins at the start.\n" in err
    assert model.n_iter_ == 6
    more = ["--epochs", "9", "--hidden", "5"]
    resumed = found(xpmlp, "iris", *more, *KEPT, "--resume")
    assert_same(resumed, found(xpmlp, "iris", *more, "--out", "whole.safetensors"))
    _, out, err = xpmlp("train", "iris", *more, *KEPT, "--resume", "--quiet")
    assert "Going on" not in out + err


@each(
    "change, words",
    [
        (["--lr", "0.1"], ["--lr was 0.001, got 0.1"]),
        (["--epochs", "7", "--learning-rate", "cosine"], ["--epochs was not given, got 7"]),
        (["--hidden", "6"], ["layer 1 was Dense(n_out=", "got Dense(n_out=6"]),
        (["--seed", "1"], ["--seed was 0, got 1. Fit as it was"]),
        (["--rows", "50"], ["X was 108 x 4, got 45 x 4"]),
    ],
)
def test_another_training_is_refused_by_what_differs(change, words, xpmlp):
    assert xpmlp("train", "iris", *QUICK, *KEPT)[0] == 0
    other = ["--resume", "--out", "other.safetensors"]
    code, _, err = xpmlp("train", "iris", *QUICK, *KEPT, *other, *change)
    assert (code, is_one_sentence(err.splitlines()[-1])) == (4, True)
    assert [word for word in words if word not in err] == []
    assert not os.path.exists("other.safetensors")


@each(
    "arguments, code, words",
    [
        (["--resume"], 2, ["--resume goes with --checkpoint FOLDER"]),
        (["--checkpoint-every", "5"], 2, ["--checkpoint-every goes with --checkpoint FOLDER"]),
        ([*KEPT, "--solver", "lbfgs"], 2, ["--solver lbfgs", "another solver"]),
        (["--checkpoint", "file"], 2, ["--checkpoint", "file"]),
        (["--checkpoint", "file/below"], 2, ["--checkpoint file/below", "Not a directory"]),
        (["--checkpoint", "a" * 300], 2, ["--checkpoint", "File name too long"]),
        (["--checkpoint", "kept", "--checkpoint-every", "0"], 2, ["'0'", "60s"]),
        (["--checkpoint", "kept", "--checkpoint-every", "5 apples"], 2, ["'5 apples'", "60s"]),
        (["--checkpoint", "held"], 4, ["'held' is written to by another fit", "of its own"]),
    ],
)
def test_what_cannot_be_kept_is_told_before_the_data_are_read(arguments, code, words, xpmlp):
    Path("file").touch()
    with keeping(Checkpoint("held"), dict):
        ended, out, err = xpmlp("train", "missing.csv", *arguments)
    assert (ended, out, is_one_sentence(err)) == (code, "", True)
    assert [word for word in words if word not in err] == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_only_be_read_is_told_before_the_data_are_read(xpmlp):
    os.mkdir("kept")
    os.chmod("kept", 0o500)
    code, out, err = xpmlp("train", "missing.csv", *KEPT)
    assert (code, out, "--checkpoint kept" in err, "Permission denied" in err) == (
        2,
        "",
        True,
        True,
    )


def test_a_file_of_options_may_say_it_and_tune_passes_over_it(xpmlp):
    Path("run.toml").write_text(
        'checkpoint = "kept"\ncheckpoint-every = 2\nresume = true\nepochs = 3\nhidden = [5]\n'
    )
    assert "no checkpoint in kept" in found(xpmlp, "iris", "--config", "run.toml")[-1]
    assert "after epoch 3" in found(xpmlp, "iris", "--config", "run.toml")[-1]
    tried = ["--try", "lr=0.01,0.001", "--folds", "2"]
    assert xpmlp("tune", "iris", "--config", "run.toml", *tried)[0] == 0
    assert "checkpoint" not in Path("best.toml").read_text()


def test_the_trainings_of_folds_are_not_kept(xpmlp):
    told, *_ = found(xpmlp, "iris", *QUICK, *KEPT, "--folds", "2")
    *_, last, lock = sorted(os.listdir("kept"))
    assert (last, lock) == ("checkpoint-00000006.safetensors", "lock")
    again, *_ = found(xpmlp, "iris", *QUICK, *KEPT, "--folds", "2", "--resume")
    assert told["folds"] == again["folds"]
