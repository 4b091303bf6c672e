"""Damaged checkpoints, full disks, folders that are none, and two fits at once."""

import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest
from each import each
from test_checkpoint import assert_same, killed

from xpmlp import Checkpoint, MLPClassifier, locks
from xpmlp.container import read_container, write_container
from xpmlp.errors import CheckpointError
from xpmlp.training import checkpoint as module
from xpmlp.training.checkpoint import CHECKPOINT, keeping

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
LABELS = (X[:, 0] > 0).astype(int)
ARGS = {"hidden_layer_sizes": (4,), "max_iter": 6, "random_state": 3, "batch_size": 16}


def fit(folder, *, resume=False, keep=2, every=1, **options):
    """Fit. Returns the model, and what was warned of."""
    kept = folder and Checkpoint(folder, every=every, keep=keep)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model = MLPClassifier(**ARGS | options, checkpoint=kept).fit(X, LABELS, resume=resume)
    return model, [str(w.message) for w in warned if "converged" not in str(w.message)]


def names(folder):
    return sorted(name for name in os.listdir(folder) if name != "lock")


def flipped(path):
    data = bytearray(path.read_bytes())
    data[-100] ^= 4
    path.write_bytes(data)


def folder_instead(path):
    path.unlink()
    path.mkdir()


def gone_link(path):
    path.unlink()
    path.symlink_to("nowhere")


def model_file(path):
    fit(None)[0].save(path)


DAMAGES = {
    "cut": lambda path: os.truncate(path, 1000),
    "empty": lambda path: os.truncate(path, 0),
    "a bit": flipped,
    "a folder": folder_instead,
    "a link to nothing": gone_link,
    "a model file": model_file,
    "of a newer format": lambda path: path.write_bytes(
        path.read_bytes().replace(rb"\"format_version\": 1", rb"\"format_version\": 9")
    ),
}


@each("damage", DAMAGES)
def test_a_damaged_checkpoint_is_told_and_the_one_before_is_taken(damage, tmp_path):
    with killed(4):
        fit(tmp_path)
    newest = tmp_path / names(tmp_path)[-1]
    DAMAGES[damage](newest)
    resumed, told = fit(tmp_path, resume=True)
    assert_same(resumed, fit(None)[0])
    assert str(newest) in told[0]
    assert told[0].endswith(" The one before it is taken, if there is one.")
    whole = names(tmp_path)[-2:]
    assert [name for name in whole if name > newest.name] == whole


def test_where_all_are_damaged_the_training_begins_at_the_start_and_they_are_removed(tmp_path):
    with killed(4):
        fit(tmp_path)
    damaged = names(tmp_path)
    for name in damaged:
        os.truncate(tmp_path / name, 0)
    resumed, told = fit(tmp_path, resume=True)
    assert_same(resumed, fit(None)[0])
    assert len(told) == 2
    assert not {*damaged} & {*names(tmp_path)}


@each("keep", [1, 2, 3])
def test_so_many_stay_as_are_asked_for(keep, tmp_path):
    fit(tmp_path, keep=keep)
    assert len(names(tmp_path)) == keep
    assert names(tmp_path)[-1] == "checkpoint-00000006.safetensors"


def test_numbers_go_on_after_those_of_eight_digits(tmp_path):
    with killed(4):
        fit(tmp_path)
    (tmp_path / names(tmp_path)[-1]).rename(tmp_path / "checkpoint-99999999.safetensors")
    with killed(1):
        fit(tmp_path, resume=True)
    (tmp_path / "checkpoint-00000003.safetensors").unlink(missing_ok=True)
    resumed, told = fit(tmp_path, resume=True)
    assert_same(resumed, fit(None)[0])
    assert (told, names(tmp_path)[-1]) == ([], "checkpoint-100000001.safetensors")


def test_a_full_disk_is_told_and_the_training_and_older_checkpoints_stay(tmp_path, monkeypatch):
    write, calls = module.write_container, []

    def full(path, *args):
        calls.append(path)
        if len(calls) > 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, *args)

    monkeypatch.setattr(module, "write_container", full)
    model, told = fit(tmp_path)
    assert_same(model, fit(None)[0])
    assert told == [
        f"Checkpoint {tmp_path}/checkpoint-00000004.safetensors was not written, the training "
        "goes on: No space left on device"
    ]
    assert names(tmp_path) == [f"checkpoint-0000000{i}.safetensors" for i in (2, 3)]
    monkeypatch.undo()
    assert_same(fit(tmp_path, resume=True)[0], model)


def test_a_folder_that_is_removed_meanwhile_is_made_again_and_locked(tmp_path):
    folder = tmp_path / "kept"

    def remove_once(epoch):
        if epoch.epoch == 3:
            shutil.rmtree(folder)
        if epoch.epoch == 5:
            with pytest.raises(CheckpointError, match="written to by another fit"):
                fit(folder)

    model, told = fit(folder, callbacks=remove_once)
    assert told == [f"Folder {folder} of checkpoints was removed, it is made again."]
    assert len(names(folder)) == 2
    assert_same(fit(folder, resume=True)[0], model)


def test_a_folder_that_cannot_be_made_again_costs_its_checkpoints_only(tmp_path):
    folder = tmp_path / "kept"

    def file_instead(epoch):
        if epoch.epoch == 3:
            shutil.rmtree(folder)
            folder.touch()

    model, told = fit(folder, callbacks=file_instead)
    assert_same(model, fit(None)[0])
    assert "was removed" in told[0]
    assert "was not written, the training goes on: File exists" in told[1]


def test_the_end_is_written_once(tmp_path):
    fit(tmp_path, every=6)
    assert names(tmp_path) == ["checkpoint-00000001.safetensors"]
    fit(tmp_path, every=6, resume=True)
    assert names(tmp_path) == ["checkpoint-00000001.safetensors"]


def test_the_folder_stays_the_same_where_a_callback_goes_to_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit("kept", callbacks=lambda epoch: os.chdir("/"))
    assert len(names(tmp_path / "kept")) == 2


def test_a_folder_that_is_none_is_told_in_a_sentence(tmp_path):
    file = tmp_path / "file"
    file.touch()
    (tmp_path / "kept" / "lock").mkdir(parents=True)
    for folder in (file, file / "below", tmp_path / "kept", tmp_path / ("a" * 300)):
        with pytest.raises(OSError, match="checkpoint= needs a folder .*take another one") as error:
            fit(folder)
        assert error.value.filename == str(folder)
    for folder in ("", "a\0b"):
        with pytest.raises(ValueError, match="must be the name of a folder, got"):
            Checkpoint(folder)


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch):
    def no_locks(handle):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(locks, "take", no_locks)
    with pytest.raises(OSError, match="checkpoint= needs a folder .* .No locks available."):
        fit(tmp_path)


def test_a_second_fit_into_a_folder_is_refused_by_name_in_threads_too(tmp_path):
    begun, done, refused = threading.Event(), threading.Event(), []

    def hold(epoch):
        begun.set()
        done.wait(60)

    thread = threading.Thread(target=fit, args=(tmp_path,), kwargs={"callbacks": hold})
    thread.start()
    begun.wait(60)
    try:
        fit(tmp_path)
    except CheckpointError as error:
        refused.append(str(error))
    done.set()
    thread.join()
    assert refused == [
        f"checkpoint folder {str(tmp_path)!r} is written to by another fit (process {os.getpid()} "
        f"on {os.uname().nodename}): give each fit a folder of its own."
    ]
    fit(tmp_path)


def test_an_error_in_a_training_is_not_taken_for_one_of_its_folder(tmp_path):
    def fails(epoch):
        raise BlockingIOError("of a user's own")

    with pytest.raises(BlockingIOError, match="of a user's own"):
        fit(tmp_path, callbacks=fails)


HOLDER = """
import sys, time
from xpmlp import Checkpoint
from xpmlp.training.checkpoint import keeping
with keeping(Checkpoint(sys.argv[1]), dict):
    print("held", flush=True)
    time.sleep(60)
"""


def test_another_process_is_refused_until_the_first_is_killed(tmp_path):
    command = [sys.executable, "-c", HOLDER, tmp_path]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    with pytest.raises(CheckpointError, match=f"by another fit .process {child.pid} on "):
        fit(tmp_path)
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    with keeping(Checkpoint(tmp_path), dict):
        pass


def test_lbfgs_is_refused(tmp_path):
    with pytest.raises(ValueError, match="solver='lbfgs' cannot be kept in a checkpoint"):
        fit(tmp_path, solver="lbfgs")


def put(value, *place):
    """Return what changes a checkpoint's JSON at a place."""

    def change(meta):
        *path, last = place
        for name in path:
            meta = meta[name]
        meta[last] = value

    return change


OTHER_FORMS = {
    "no options": put({}, "about"),
    "text about it": put("x", "about"),
    "a seed of text": put("x", "about", "options", "random_state"),
    "a seed beyond 32 bits": put("99999999999", "about", "options", "random_state"),
    "too many steps": put(10**30, "state", "step"),
    "fewer epochs than none": put(-1, "state", "epoch"),
    "no learning rate": put(None, "state", "lr"),
    "a learning rate of NaN": put("nan", "state", "lr"),
    "a learning rate below 0": put(-0.1, "state", "lr"),
    "no largest number of epochs": put(None, "about", "max_iter"),
}


def reshape(arrays, name):
    arrays[name] = arrays[name].reshape(-1)[:2]


OTHER_ARRAYS = {
    "parameters cut": lambda arrays: reshape(arrays, "params/weights"),
    "averages cut": lambda arrays: reshape(arrays, "state/m/weights"),
    "no averages": lambda arrays: [arrays.pop(n) for n in list(arrays) if n.startswith("state/v")],
    "best weights cut": lambda arrays: [
        reshape(arrays, name) for name in arrays if name.startswith("best/params")
    ],
    "no parameters": lambda arrays: [arrays.pop(n) for n in list(arrays) if n.startswith("par")],
}


@each("arrays", OTHER_ARRAYS)
def test_so_is_one_of_other_arrays(arrays, tmp_path):
    fit(tmp_path, early_stopping=True)
    path = tmp_path / names(tmp_path)[-1]
    inside, meta = read_container(path, CHECKPOINT)
    OTHER_ARRAYS[arrays](inside)
    write_container(path, inside, meta, CHECKPOINT)
    with pytest.raises(CheckpointError, match="is not one of this version of xpmlp"):
        fit(tmp_path, early_stopping=True, resume=True)


@each("form", OTHER_FORMS)
def test_a_checkpoint_of_another_form_is_refused_by_its_folder(form, tmp_path):
    fit(tmp_path, random_state=None)
    path = tmp_path / names(tmp_path)[-1]
    arrays, meta = read_container(path, CHECKPOINT)
    OTHER_FORMS[form](meta)
    write_container(path, arrays, meta, CHECKPOINT)
    with pytest.raises(CheckpointError, match="is not one of this version of xpmlp"):
        fit(tmp_path, random_state=None, resume=True)


TAMPERED = {  # the checksum is right
    "a score that is missing": lambda arrays, meta: put(None, "state", "best_score")(meta),
    "a place beyond the generator": lambda arrays, meta: put(10**15, "state", "position")(meta),
    "weights that are NaN": lambda arrays, meta: arrays["params/weights"].fill(np.nan),
    "no weights": lambda arrays, meta: arrays.pop("params/weights"),
    "other weights": lambda arrays, meta: arrays.update({"params/weights": np.ones((1, 3))}),
    "an average too few": lambda arrays, meta: arrays.pop("state/m/offsets"),
    "an order beyond the rows": lambda arrays, meta: arrays["draws/order"].__iadd__(1),
}


@each("name", TAMPERED)
def test_a_checkpoint_that_no_training_has_written_is_refused_in_a_sentence(name, tmp_path):
    fit(tmp_path)
    path = tmp_path / names(tmp_path)[-1]
    arrays, meta = read_container(path, CHECKPOINT)
    TAMPERED[name](arrays, meta)
    write_container(path, arrays, meta, CHECKPOINT)
    with pytest.raises(CheckpointError, match="the newest checkpoint"):
        fit(tmp_path, resume=True)
