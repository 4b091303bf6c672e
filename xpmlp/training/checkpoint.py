"""Checkpoints: a training kept in a folder, from which another process goes on, to the last bit."""

import os
import re
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..atomic import StrPath
from ..container import ENDING, FileKind, check_container, read_container, refusal, write_container
from ..errors import CheckpointError
from ..locks import locked
from ..logs import logger
from ..plain import boolean
from ..transfers import note
from .fingerprint import different
from .state import State, pack_state, unpack_state

CHECKPOINT = FileKind("checkpoint", CheckpointError, finite=False)
NAME = re.compile(rf"checkpoint-(\d{{8,18}}){re.escape(ENDING)}")
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
EVERY = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(SECONDS)})")


@dataclass(frozen=True)
class Checkpoint:
    """A folder that keeps a training, so that ``fit(..., resume=True)`` goes on with it.

    Each file in it is written whole or not at all, and read again before an older one is removed.

    Parameters
    ----------
    folder : str or Path
        Made where it is missing. One fit at a time may write to it.
    every : int or str, default="60s"
        Epochs between two checkpoints, or the time as "90s", "10min", "1.5h"; then a long epoch is
        kept within, too. The end of a training is kept in any case.
    keep : int, default=2
        How many of the last ones stay. Two or more are safe against damage of the last.

    Raises
    ------
    ValueError
        When `every` or `keep` is none of these.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn.datasets import load_iris
    >>> from xpmlp import Checkpoint, MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> kept = Checkpoint(tempfile.mkdtemp(), every=10)
    >>> clf = MLPClassifier((8,), tol=0.1, random_state=0, checkpoint=kept).fit(X, y)
    >>> again = MLPClassifier((8,), tol=0.1, random_state=0, checkpoint=kept)
    >>> bool((again.fit(X, y, resume=True).coefs_[0] == clf.coefs_[0]).all())
    True
    """

    folder: StrPath
    every: int | str = "60s"
    keep: int = 2

    def __post_init__(self):
        whole = type(self.every) is int and self.every > 0
        if not (whole or self.seconds):
            raise ValueError(
                "every must be a number of epochs from 1, or a time such as '60s', '10min' or "
                f"'1.5h', got {self.every!r}."
            )
        if type(self.keep) is not int or self.keep < 1:
            raise ValueError(f"keep must be a whole number from 1, got {self.keep!r}.")
        if os.fspath(self.folder) in ("", b"") or "\0" in os.fsdecode(self.folder):
            raise ValueError(f"checkpoint must be the name of a folder, got {self.folder!r}.")

    @property
    def seconds(self) -> float | None:
        """Seconds between two checkpoints, None where `every` is no time."""
        found = EVERY.fullmatch(self.every) if isinstance(self.every, str) else None
        return found and float(found[1]) * SECONDS[found[2]]

    def files(self) -> list[Path]:
        """Return the checkpoints in the folder, the newest first."""
        folder = Path(os.fsdecode(self.folder))
        names = os.listdir(folder) if folder.is_dir() else []
        return sorted(map(folder.joinpath, filter(NAME.fullmatch, names)), key=_number)[::-1]

    def newest(self) -> tuple[dict, dict] | None:
        """Return arrays and JSON of the newest checkpoint that is whole, None without one.

        A damaged one is warned of, and passed over.
        """
        return next(self.whole([]), None)

    def whole(self, damaged: list[Path]) -> Iterator[tuple[dict, dict]]:
        """Yield arrays and JSON of each whole checkpoint, the newest first.

        Names those that are not: `damaged` gets their paths.
        """
        for path in self.files():
            try:
                arrays, meta = read_container(path, CHECKPOINT)
                if not {"about", "state"} <= meta.keys():
                    raise refusal(path, "it holds no training", CHECKPOINT)
            except CheckpointError as error:
                warnings.warn(f"{error} The one before it is taken, if there is one.")
                damaged.append(path)
            else:
                yield arrays, meta

    def seed(self) -> int | None:
        """Return the seed of the newest checkpoint that is whole, None without one."""
        kept = self.newest()
        if kept is None:
            return None
        with self.known():
            seed = int(kept[1]["about"]["options"]["random_state"])
            if not 0 <= seed < 1 << 32:
                raise ValueError(f"its seed is {seed}")
            return seed

    def reached(self) -> tuple[int, bool] | None:
        """Return how far the newest whole checkpoint is, None without one.

        That is the number of epochs, and whether a part of the next is done, too.
        """
        kept = self.newest()
        if kept is None:
            return None
        arrays, meta = kept
        with self.known():
            return int(meta["state"]["n_iter"]), any(name.startswith("begun/") for name in arrays)

    @contextmanager
    def known(self) -> Iterator[None]:
        """Raise CheckpointError where a checkpoint holds other things than this block expects."""
        try:
            yield
        except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise CheckpointError(
                f"the newest checkpoint in {os.fspath(self.folder)!r} is not one of this version "
                f"of xpmlp ({type(error).__name__}: {error}): take another folder."
            ) from error


def _far(state):
    """Return how far a State is: its epochs, the steps of the next, and whether it has ended."""
    steps = state.begun.losses.shape[-1] if state.begun else 0
    return state.n_iter, steps, state.ended


def _number(path: Path) -> int:
    """Return the number in the name of a checkpoint."""
    found: Any = NAME.fullmatch(path.name)
    return int(found[1])


def checkpoint_of(given: Any, resume: Any) -> Checkpoint | None:
    """Return what the arguments `checkpoint` (a Checkpoint, a folder or None) and `resume` say."""
    if boolean(resume, "resume") and given is None:
        raise ValueError("resume=True needs checkpoint=, the folder to go on from: pass it, too.")
    if given is None or isinstance(given, Checkpoint):
        return given
    if isinstance(given, str | os.PathLike):
        return Checkpoint(given)
    raise TypeError(f"checkpoint must be a folder or a Checkpoint, got a {type(given).__name__}.")


class Keeper:
    """Writes a training's checkpoints where they are due.

    about: what `fingerprint` returns of it; lock: holds the folder's.
    """

    def __init__(self, checkpoint: Checkpoint, about: dict, lock: ExitStack):
        self.checkpoint, self.about, self.lock = checkpoint, about, lock
        self.last = time.monotonic()
        self.within = checkpoint.seconds is not None
        self.number = max(map(_number, checkpoint.files()), default=0)
        self.damaged: list[Path] = []
        self.kept: tuple | None = None  # how far the State in the newest is
        self.failure = ""  # why the last one could not be written

    def found(self) -> State | None:
        """Return the State to go on from, its arrays on the host, None where none is kept.

        Raises
        ------
        CheckpointError
            When the newest is of other data or options, or has done more epochs than are asked
            for; the message names them.
        """
        kept = next(self.checkpoint.whole(self.damaged), None)
        if kept is None:
            return None
        arrays, meta = kept
        folder = os.fspath(self.checkpoint.folder)
        with self.checkpoint.known():
            others, elsewhere = different(meta["about"], self.about)
            state, before = unpack_state(arrays, meta["state"]), int(meta["about"]["max_iter"])
        if others:
            raise CheckpointError(
                f"checkpoint folder {folder!r} is of another training: {others}. Fit as it was, "
                "or take another folder."
            )
        if elsewhere:
            warnings.warn(
                f"The checkpoint in {folder!r} was written with {elsewhere}: what goes on from it "
                "equals the undisturbed training up to rounding."
            )
        self._check_end(state, before)
        logger.info("Going on from epoch %d of the checkpoint in %s", state.n_iter, folder)
        return state

    def _check_end(self, state, before):
        """Refuse a State beyond max_iter; one that a callback stopped goes on to a larger one.

        before: the max_iter that it was stopped in.
        """
        done, most = state.n_iter, self.about["max_iter"]
        folder = os.fspath(self.checkpoint.folder)
        if done > most:
            raise CheckpointError(
                f"max_iter is {most}, but the training in checkpoint folder {folder!r} has done "
                f"{done} epochs: give {done} or more, or take another folder."
            )
        self.kept = _far(state)
        if state.ended == "stopped" and most > before:
            state.ended = None
        if state.ended == "stopped":
            note(
                text=f"a callback stopped this training after epoch {done}, so resume=True gives "
                f"what it had then: raise max_iter above {before} to go on"
            )

    def epochs(self, state: State) -> float:
        """Return how many epochs may run before one is due."""
        every = self.checkpoint.every
        if not isinstance(every, int):
            return float("inf")
        return every - state.n_iter % every

    def within_epoch(self, state: State) -> None:
        """Write one within an epoch, if it is due by time."""
        if self.within and self._late():
            self.write(state)

    def after_epoch(self, state: State, place: tuple | None) -> None:
        """Write one after an epoch, if it is due; place: where the draws stand."""
        every = self.checkpoint.every
        if self._late() if not isinstance(every, int) else state.n_iter % every == 0:
            self.write(state, place)

    def end(self, state: State, place: tuple | None) -> None:
        """Write the last one, unless it is kept as it is."""
        if self.kept != _far(state):
            self.write(state, place)

    def _late(self):
        return time.monotonic() - self.last >= (self.checkpoint.seconds or 0.0)

    def write(self, state: State, place: tuple | None = None) -> None:
        """Write a checkpoint, and remove those that are too old.

        A disk that is full does not end the training: it is warned of, and the older ones stay. A
        folder that was removed is made again.
        """
        arrays, meta = pack_state(state, place)
        path = Path(self.checkpoint.folder) / f"checkpoint-{self.number + 1:08d}{ENDING}"
        try:
            if not path.parent.is_dir():
                warnings.warn(f"Folder {path.parent} of checkpoints was removed, it is made again.")
                self.lock.enter_context(_locked_folder(path.parent))
            write_container(path, arrays, {"about": self.about, "state": meta}, CHECKPOINT)
            check_container(path, CHECKPOINT)
        except (OSError, CheckpointError) as error:
            reason = str(getattr(error, "strerror", None) or error)
            if reason != self.failure:  # else it is told already
                warnings.warn(f"Checkpoint {path} was not written, the training goes on: {reason}")
            self.failure = reason
        else:
            self.number += 1
            self.kept, self.failure = _far(state), ""
            self._tidy()
        self.last = time.monotonic()

    def _tidy(self):
        """Remove the checkpoints that are too old, and damaged ones, which newer ones follow."""
        whole = [path for path in self.checkpoint.files() if path not in self.damaged]
        for old in (*self.damaged, *whole[self.checkpoint.keep :]):
            try:
                old.unlink(missing_ok=True)
            except OSError as error:
                warnings.warn(f"The old checkpoint {old} stays: {error.strerror}")


@contextmanager
def keeping(checkpoint: Checkpoint | None, about) -> Iterator[Keeper | None]:
    """Hold a checkpoint's folder, and yield its Keeper; about: returns the fingerprint.

    Raises
    ------
    CheckpointError
        When another fit holds the folder.
    OSError
        When the folder cannot be written to.
    """
    if checkpoint is None:
        yield None
        return
    folder = os.path.abspath(os.fsdecode(checkpoint.folder))  # a callback may change to another
    with ExitStack() as lock:
        try:
            lock.enter_context(_locked_folder(folder))
        except BlockingIOError as error:
            raise CheckpointError(
                f"checkpoint folder {os.fspath(checkpoint.folder)!r} is written to by another fit "
                f"({error}): give each fit a folder of its own."
            ) from None
        except OSError as error:
            reason = f"checkpoint= needs a folder to write to ({error.strerror}), take another one"
            raise OSError(error.errno, reason, folder) from error
        yield Keeper(replace(checkpoint, folder=folder), about(), lock)


@contextmanager
def _locked_folder(folder):
    """Make a folder where it is missing, and hold its lock."""
    os.makedirs(folder, exist_ok=True)
    with locked(os.path.join(folder, "lock")):
        yield
