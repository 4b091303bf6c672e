"""Saves that are killed, run at once, or fail: a file is that of before or the new one, whole.

After each the file is loaded, and predicts as one of the two models that were being saved. The last
save leaves no other file in the folder, the last table no scratch folder.
"""

import errno
import os
import random
import resource
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np

from xpmlp import MLPClassifier, load_model
from xpmlp.leftovers import scratch_folder

from . import Figures

KILLS, SCRATCH_KILLS, AT_ONCE = 100, 30, 6
SECONDS = 3  # of saves at once
X = np.random.default_rng(0).normal(size=(60, 5))
MODELS = [
    MLPClassifier((size, size), solver="sgd").partial_fit(X, X[:, 0] > 0, classes=[False, True])
    for size in (20, 700)
]
WANTED = [model.predict_proba(X) for model in MODELS]


def run() -> Figures:
    """Kill, race and fail saves; return the figures."""
    figures = Figures()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        MODELS[0].save(path)
        for _ in range(KILLS):
            _killed(lambda: [model.save(path) for model in MODELS * 1000], signal.SIGKILL)
            _check(figures, "a kill", path)
        _raced(path)
        _check(figures, f"{AT_ONCE} at once", path)
        for name, failing in FAILURES.items():
            _failed(figures, name, failing, path)
        MODELS[0].save(path)
        _check(figures, "the last save", path)
        _no_leftovers(figures, Path(folder), {"model"})
    _kill_readers(figures)
    return figures


def _forked(work: Callable[[], object]) -> int:
    """Start work in a process; return its number."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    return child


def _killed(work: Callable[[], object], how: int) -> None:
    """Do some work in a process, and end that at a random moment."""
    child = _forked(work)
    time.sleep(random.uniform(0.005, 0.12))
    os.kill(child, how)
    os.waitpid(child, 0)


def _raced(path: Path) -> None:
    """Save in several processes at once, some of which are killed."""
    children = [_forked(lambda: [m.save(path) for m in MODELS * 1000]) for _ in range(AT_ONCE)]
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        load_model(path)
    for child in children:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _check(figures: Figures, what: str, path: Path) -> None:
    """Count a try, and whether the file is one of the models."""
    figures.tried += 1
    try:
        made = load_model(path).predict_proba(X)
        good = any(np.array_equal(made, wanted) for wanted in WANTED)
    except Exception as error:  # whatever it is, it is counted
        figures.crashed += 1
        figures.notes.append(f"after {what}: {error!r}")
        return
    if not good:
        figures.wrong += 1
        figures.notes.append(f"after {what} it is another model")


def _no_leftovers(figures: Figures, folder: Path, expected: set[str]) -> None:
    left = {path.name for path in folder.iterdir()} - expected
    figures.leaked += len(left)
    figures.notes += [f"{name} is left in {folder}" for name in sorted(left)]


# ---- Disks that fail


def _failing(name: str, number: int):
    def fail(*args, **how):
        raise OSError(number, os.strerror(number))

    return patch(name, fail)


class _SmallFiles:
    """A limit of the size of files, as a quota has it."""

    def __enter__(self):
        self.before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, self.before[1]))

    def __exit__(self, *exception):
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


FAILURES = {
    "a limit of size": _SmallFiles,
    "EIO in fsync": lambda: _failing("os.fsync", errno.EIO),
    "EROFS": lambda: _failing("xpmlp.atomic.unfinished_file", errno.EROFS),
    "ENOSPC in rename": lambda: _failing("os.replace", errno.ENOSPC),
    "EDQUOT in fsync": lambda: _failing("os.fsync", errno.EDQUOT),
}


def _failed(figures: Figures, name: str, failing: Callable, path: Path) -> None:
    """Save where that has to fail, and count what is not told or changes the file of before."""
    before = path.read_bytes()
    try:
        with failing():
            MODELS[1].save(path)
        figures.wrong += 1
        figures.notes.append(f"{name} was not told")
    except OSError as error:
        figures.refused += 1
        if error.filename != str(path) or path.read_bytes() != before:
            figures.wrong += 1
            figures.notes.append(f"{name}: {error!r}, or the file has changed")
    _check(figures, name, path)


# ---- Scratch folders


def _read() -> None:
    with scratch_folder() as folder:
        Path(folder, "rows").write_bytes(bytes(1 << 20))
        time.sleep(10)


def _kill_readers(figures: Figures) -> None:
    """End readers of tables by each signal; one that lives on meanwhile keeps its folder."""
    with (
        tempfile.TemporaryDirectory() as folder,
        patch("tempfile.tempdir", folder),
        scratch_folder() as living,
    ):
        for i in range(SCRATCH_KILLS):
            _killed(_read, (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)[i % 3])
            figures.tried += 1
        with scratch_folder() as last:
            _no_leftovers(figures, Path(folder), {Path(living).name, Path(last).name})
        if not Path(living).exists():
            figures.wrong += 1
            figures.notes.append("the folder of a living process is gone")
