"""What killed processes leave is removed by the next run, and nothing else is."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from xpmlp import leftovers, locks
from xpmlp.atomic import atomic_file, atomic_write
from xpmlp.leftovers import MACHINE, OWNER, remove_unfinished, scratch_folder, unfinished_file

WRITER = """
import sys, time
from pathlib import Path
from xpmlp.leftovers import scratch_folder
from xpmlp.atomic import atomic_file
with scratch_folder() as folder, atomic_file(sys.argv[1]) as file:
    Path(folder, "clean.csv").write_text("a,b")
    file.write(b"half")
    file.flush()
    print(folder, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """A folder for scratch folders."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    return folder


@pytest.fixture
def writer(tmp_path, scratch):
    """A process that is in the middle of a save to tmp_path/model, with a scratch folder."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "model")]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline().startswith(str(scratch))
    yield child
    child.kill()
    child.wait()
    child.stdout.close()


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def old(path):
    """Make a file of two hours ago."""
    path.write_bytes(b"x")
    os.utime(path, (0, time.time() - 7200))
    return path.name


def test_what_a_living_process_writes_stays(tmp_path, scratch, writer):
    (unfinished,) = tmp_path.glob(".xpmlp-*.tmp")
    os.utime(unfinished, (0, 0))  # however old it is
    atomic_write(tmp_path / "other", b"new")
    with scratch_folder():
        pass
    assert unfinished.read_bytes() == b"half"
    assert [sorted(p.name for p in f.iterdir()) for f in scratch.iterdir()] == [
        ["clean.csv", OWNER]
    ]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP])
def test_what_a_killed_process_left_is_removed_by_the_next_run(tmp_path, scratch, writer, how):
    writer.send_signal(how)
    writer.wait()
    assert len(names(tmp_path)) == 2 and len(names(scratch)) == 1
    atomic_write(tmp_path / "model", b"new")
    assert names(tmp_path) == ["model", "scratch"]
    with scratch_folder() as folder:
        assert names(scratch) == [Path(folder).name]
    assert names(scratch) == []


def test_only_files_with_our_names_are_removed(tmp_path):
    here, mine = tmp_path, f".xpmlp-{MACHINE}-12-0123abcd.tmp"
    strange = ".xpmlp-notes.tmp", f"{mine}.bak", "xpmlp-1-0123abcd.tmp"
    kept = [old(here / name) for name in strange]
    for n, make in ((13, Path.mkdir), (14, lambda path: path.symlink_to(strange[0]))):
        kept.append(f".xpmlp-{MACHINE}-{n}-0123abcd.tmp")
        make(here / kept[-1])
    (here / mine).write_bytes(b"x")
    remove_unfinished(here)
    assert names(here) == sorted(kept)


def test_another_machines_file_goes_when_nobody_has_written_to_it_for_an_hour(tmp_path):
    other = f"{int(MACHINE, 16) ^ 1:08x}"
    new = tmp_path / f".xpmlp-{other}-7-0123abcd.tmp"
    new.write_bytes(b"x")
    old(tmp_path / f".xpmlp-{other}-8-0123abcd.tmp")
    old(tmp_path / ".xpmlp-9-0123abcd.tmp")  # as names were before they said the machine
    remove_unfinished(tmp_path)
    assert names(tmp_path) == [new.name]


def test_folders_of_the_user_and_of_other_machines_stay(scratch):
    (scratch / "xpmlp-data").mkdir()
    (scratch / "xpmlp-other").mkdir()
    (scratch / "xpmlp-other" / "owner-00000000").touch()
    with scratch_folder():
        pass
    assert names(scratch) == ["xpmlp-data", "xpmlp-other"]


def test_a_file_that_is_removed_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    take, calls = leftovers.take, []

    def late(handle):
        if not calls:
            calls.extend(names(tmp_path))
            remove_unfinished(tmp_path)
        take(handle)

    monkeypatch.setattr(leftovers, "take", late)
    with unfinished_file(tmp_path) as file:
        assert names(tmp_path) == [Path(file.name).name] != calls


def test_without_locks_files_are_written_and_nothing_is_removed(tmp_path, scratch, monkeypatch):
    def no_locks(file, how):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks.fcntl, "flock", no_locks)
    kept = old(tmp_path / ".xpmlp-9-0123abcd.tmp")
    with scratch_folder(), scratch_folder():
        atomic_write(tmp_path / "model", b"new")
        assert len(names(scratch)) == 2
    assert names(tmp_path) == [kept, "model", "scratch"]


def test_a_folder_that_cannot_be_listed_is_saved_into(tmp_path, monkeypatch):
    def refused(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refused)
    monkeypatch.setattr(os, "open", refused)
    with atomic_file(tmp_path / "model") as file:
        file.write(b"new")
    assert (tmp_path / "model").read_bytes() == b"new"
