"""What a command writes is tried before its work, and no failing disk costs what it worked for."""

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from cli_data import is_one_sentence, rows, write_csv
from cli_files import QUICK, train_fixture  # noqa: F401 - a fixture

from xpmlp import load_model
from xpmlp.cli import outputs

FULL = Path("/dev/full")  # Linux has it
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no /dev/full here")
LETTERS = "ü" * 122  # of two bytes each


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def work(monkeypatch):
    """Fails where a command begins to read its data."""
    for place in ("train.split_data", "tune.opened_source", "predict.features"):
        monkeypatch.setattr(f"xpmlp.cli.{place}", lambda *a: pytest.fail("it has begun"))
    monkeypatch.setattr("xpmlp.estimators.load_model", lambda path: pytest.fail("it has begun"))


COMMANDS = {  # with the option of what they write, its value left out
    "train": ["train", "iris", "--out"],
    "report": ["train", "iris", "--report"],
    "tune": ["tune", "iris", "--out"],
    "predict": ["predict", "m", "iris", "--out"],
    "evaluate": ["evaluate", "m", "iris", "--report"],
    "export": ["export", "m", "--out"],
    "html": ["explain", "m", "iris", "--html"],
    "latex": ["explain", "m", "iris", "--latex"],
}


def read_only(*args, **how):
    raise OSError(errno.EROFS, "Read-only file system")


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_what_cannot_be_written_is_told_before_the_work(xpmlp, command, work, monkeypatch):
    Path("m").write_bytes(b"")
    Path("folder").mkdir()
    for place, why in (
        ("nowhere/f", "no folder"),
        ("folder", "directory"),
        ("n" * 256, "too long"),
    ):
        code, out, err = xpmlp(*command, place)
        assert (code, out, why in err, place in err) == (2, "", True, True), err
    monkeypatch.setattr(outputs, "unfinished_file", read_only)
    code, out, err = xpmlp(*command, "f")
    assert (code, out) == (2, "") and "Error: --" in err and ": Read-only file system." in err


def test_the_pictures_are_tried_before_the_training_too(xpmlp, work):
    for picture in ("m-history.png", "m-confusion.png", "m-predictions.png"):
        Path(picture).mkdir()
        code, out, err = xpmlp("train", "iris", "--plot", "--out", "m")
        assert (code, out) == (2, "") and f"--plot {picture}: it is a folder" in err
        Path(picture).rmdir()
    code, out, err = xpmlp("train", "iris", "--plot", "--out", f"{LETTERS}.st")
    assert (code, out) == (2, "") and "-history.png: File name too long." in err


def test_names_as_long_as_names_can_be_are_written(xpmlp):
    out, page = f"{LETTERS}abcdefg.st", f"{LETTERS}abcdef.html"
    assert [len(os.fsencode(name)) for name in (out, page)] == [254, 255]
    assert xpmlp("train", "iris", *QUICK, "--out", out, "--report", page)[0] == 0
    assert load_model(out).classes_.size == 3 and Path(page).stat().st_size > 10_000


def test_trying_leaves_what_is_there_and_no_other_file(xpmlp, work):
    Path("m").write_bytes(b"of before")
    with pytest.raises(pytest.fail.Exception, match="it has begun"):
        xpmlp("train", "iris", "--out", "m", "--report", "r.html", "--plot")
    assert os.listdir() == ["m"] and Path("m").read_bytes() == b"of before"


@pytest.fixture
def elsewhere(tmp_path_factory, monkeypatch):
    """A folder of its own for temporary files."""
    folder = tmp_path_factory.mktemp("temporary")
    monkeypatch.setattr(outputs, "gettempdir", lambda: str(folder))
    return folder


@needs_full
def test_a_model_that_a_full_disk_refuses_is_saved_elsewhere_and_all_goes_on(xpmlp, elsewhere):
    command = ["train", "iris", *QUICK, "--folds", "2", "--json", "--out", "/dev/full"]
    code, out, err = xpmlp(*command, "--report", "r.html")
    (place,) = elsewhere.glob("xpmlp-saved-*/full")
    told = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert code == 7 and len(told) == 1
    assert told[0].startswith("Error: /dev/full: No space left on device")
    assert told[0].endswith(f"it was written to {place} instead.")
    assert f'"model": "{place}"' in out and f"Model: {place}" in err
    kept = load_model(place).training_record_
    assert "folds" in kept and "scores" in kept and Path("r.html").exists()


def test_a_folder_that_is_gone_after_the_training_costs_no_model(xpmlp, elsewhere, monkeypatch):
    Path("sub").mkdir()
    fitted = outputs.Results.write

    def late(self, path, write):
        if os.path.isdir("sub"):
            os.rmdir("sub")
        return fitted(self, path, write)

    monkeypatch.setattr(outputs.Results, "write", late)
    code, out, err = xpmlp("train", "iris", *QUICK, "--out", "sub/m", "--plot")
    (place,) = elsewhere.glob("xpmlp-saved-*/m")
    assert code == 7 and f"sub/m: No such file or directory; it was written to {place}" in err
    assert len(os.listdir(place.parent)) == 3 and load_model(place).n_iter_ > 0


def test_what_no_disk_takes_is_one_sentence(xpmlp, monkeypatch):
    monkeypatch.setattr("xpmlp.container.atomic_file", read_only)
    code, _, err = xpmlp("train", "iris", *QUICK, "--out", "m")
    assert code == 7 and is_one_sentence(err) and "Read-only file system" in err
    assert not list(Path.cwd().glob("xpmlp-saved-*"))


@needs_full
def test_pictures_and_reports_that_fail_lose_nothing_else(xpmlp, monkeypatch):
    monkeypatch.setattr("xpmlp.plotting.atomic_write", read_only)
    command = ["train", "iris", *QUICK, "--json", "--out", "m", "--plot"]
    code, out, err = xpmlp(*command, "--report", "/dev/full")
    told = [line for line in err.splitlines() if line.startswith("Error: ")]
    assert code == 7 and out.startswith("{") and load_model("m").training_record_["scores"]
    assert told[0] == "Error: Read-only file system." and told[1].startswith("Error: /dev/full: ")
    code, out, err = xpmlp("evaluate", "m", "iris", "--report", "/dev/full")
    assert code == 7 and "accuracy" in out and "Error: /dev/full: " in err


@needs_full
def test_the_options_that_a_search_found_are_written_elsewhere(xpmlp, elsewhere):
    search = ["--candidates", "2", "--epochs", "2", "--folds", "2", "--try", "hidden=3,4"]
    code, out, err = xpmlp("tune", "iris", *search, "--out", "/dev/full")
    (place,) = elsewhere.glob("xpmlp-saved-*/full")
    assert code == 7 and f"written to {place} instead" in err and f"--config {place}" in out
    assert "hidden" in place.read_text()


def test_a_limit_of_a_files_size_keeps_the_model_before_and_says_where_the_new_one_is(train):
    whole = Path(train("iris", "--out", "m")["model"]).read_bytes()
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
        "from xpmlp.cli import main; main()"
    )
    command = [sys.executable, "-c", limited, "train", "iris", *QUICK, "--out", "m"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000
    assert done.returncode == 7 and is_one_sentence(done.stderr.strip().splitlines()[-1])
    assert "m: File too large" in done.stderr and "Traceback" not in done.stderr
    assert Path("m").read_bytes() == whole and os.listdir() == ["m"]


def test_a_full_temporary_folder_is_named(xpmlp, train, monkeypatch):
    train(write_csv("d.csv", rows()), "--out", "m")

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("xpmlp.cli.predict._write", full)
    code, _, err = xpmlp("predict", "m", "d.csv")
    assert code == 7 and f"{outputs.gettempdir()}: No space left on device." in err
