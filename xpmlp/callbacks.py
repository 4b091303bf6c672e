"""Callbacks of the estimators: their argument, and logs to files and TensorBoard.

A callback is any function of one argument, an `Epoch`; if it returns something true, the training
stops.
"""

import csv
import io
import json
import math
import struct
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from os import PathLike
from pathlib import Path
from time import time
from typing import Any

COLUMNS = tuple(
    "epoch n_iter_total loss validation_loss validation_score learning_rate seconds".split()
)


@dataclass(frozen=True)
class Epoch:
    """Argument of a callback: one epoch (lbfgs: iteration) of a training, read-only.

    Attributes
    ----------
    epoch : int
        Number in this call of `fit`, from 1.
    max_iter : int
        Most epochs of this call.
    n_iter_total : int
        Epochs since the weights were drawn: warm starts and `partial_fit` count on.
    loss, validation_loss, validation_score, learning_rate, seconds : float or None
        Newest entries of `history_`; None where there are none.
    estimator : estimator
        A fitted copy with the weights after this epoch, made when first asked for, inside of the
        callback; it can predict, be saved, and be kept.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from xpmlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> def good_enough(epoch):
    ...     return epoch.loss < 0.5 and epoch.estimator.score(X, y) > 0.9
    >>> clf = MLPClassifier(max_iter=1000, random_state=0, callbacks=good_enough).fit(X, y)
    >>> clf.n_iter_ < 200 and clf.score(X, y) > 0.9
    True
    """

    epoch: int
    max_iter: int
    n_iter_total: int
    loss: float
    validation_loss: float | None = None
    validation_score: float | None = None
    learning_rate: float | None = None
    seconds: float | None = None
    _view: Callable = field(default=lambda: None, repr=False, compare=False)

    @cached_property
    def estimator(self) -> Any:
        """Fitted copy with the weights after this epoch."""
        return self._view()


def _values(epoch, names=COLUMNS):
    """Return the names and values of an epoch that are not None."""
    pairs = [(name, getattr(epoch, name)) for name in names]
    return [(name, value) for name, value in pairs if value is not None]


class _File:
    """A text file that is opened for each line: no open file is kept, so copies may share it.

    It is opened once when it is made: a path that cannot be written is an error before a training.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)
        try:
            self._append("")
        except OSError as error:
            raise OSError(
                f"{type(self).__name__} cannot write {self.path} ({error.strerror}): choose a file "
                "in a folder that exists and can be written to."
            ) from error

    def _append(self, text):
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(text)


class CSVLogger(_File):
    """Write a row to a CSV file after each epoch.

    Columns: epoch, n_iter_total, loss, validation_loss, validation_score, learning_rate, seconds,
    as in `Epoch`; a cell is empty where there is no number, or NaN. Rows go to the end of the file,
    so warm starts, `partial_fit` and further fits continue it (n_iter_total begins again where a
    fit does); the header is written once.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    OSError
        When the file cannot be written.
    ValueError
        When it holds something else.

    Examples
    --------
    >>> from pathlib import Path
    >>> from xpmlp import MLPRegressor
    >>> from xpmlp.callbacks import CSVLogger
    >>> X, y = [[0.0], [1.0], [2.0]], [0.0, 1.0, 2.0]
    >>> reg = MLPRegressor(n_iter_no_change=1, tol=1.0, callbacks=CSVLogger("log.csv")).fit(X, y)
    >>> len(Path("log.csv").read_text().splitlines()) == 1 + reg.n_iter_
    True
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        super().__init__(path)
        with open(self.path, encoding="utf-8", errors="replace") as file:
            first = file.readline().rstrip("\n")
        if first not in ("", ",".join(COLUMNS)):
            raise ValueError(f"{self.path} is no log of CSVLogger: choose another path.")

    def __call__(self, epoch: Epoch) -> None:
        """Write the row of an epoch."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        if not self.path.exists() or not self.path.stat().st_size:
            writer.writeheader()
        writer.writerow({name: v for name, v in _values(epoch) if not math.isnan(v)})
        self._append(text.getvalue())


class JSONLLogger(_File):
    """Write a JSON object, on a line of its own, to a file after each epoch.

    Its keys are the columns of `CSVLogger`; null stands where there is no finite number. Lines go
    to the end of the file.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    OSError
        When the file cannot be written.

    Examples
    --------
    >>> from xpmlp.callbacks import Epoch, JSONLLogger
    >>> JSONLLogger("log.jsonl")(Epoch(epoch=1, max_iter=9, n_iter_total=1, loss=0.5))
    >>> Path("log.jsonl").read_text()[:46]
    '{"epoch": 1, "n_iter_total": 1, "loss": 0.5, "'
    """

    def __call__(self, epoch: Epoch) -> None:
        """Write the line of an epoch."""
        finite = {name: v for name, v in _values(epoch) if math.isfinite(v)}
        self._append(json.dumps(dict.fromkeys(COLUMNS) | finite) + "\n")


class TensorBoard:
    """Show losses, score and learning rate in TensorBoard: ``tensorboard --logdir folder``.

    Each fit that draws new weights is a run of its own, in ``folder/run1``, ``folder/run2`` and so
    on; warm starts and `partial_fit` continue it. Steps are epochs since the weights were drawn.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there.

    Raises
    ------
    ImportError
        When tensorboardX is not installed.
    OSError
        When the folder cannot be made.
    """

    def __init__(self, folder: str | PathLike[str]) -> None:
        try:
            import tensorboardX  # noqa: F401
        except ImportError as error:
            raise ImportError(
                "TensorBoard needs tensorboardX, which is not installed: "
                "pip install xpmlp[tensorboard]"
            ) from error
        self.folder = Path(folder)
        self._file: Any = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OSError(
                f"TensorBoard cannot make the folder {folder} ({error.strerror}): choose one in a "
                "folder that can be written to."
            ) from error

    def __call__(self, epoch: Epoch) -> None:
        """Write the numbers of an epoch."""
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        now, events = time(), []
        if self._file is None or epoch.n_iter_total == 1:
            self._file = _new_run(self.folder) / "events.out.tfevents"
            events.append(Event(wall_time=now, file_version="brain.Event:2"))
        values = [Summary.Value(tag=k, simple_value=v) for k, v in _values(epoch, COLUMNS[2:])]
        events.append(Event(wall_time=now, step=epoch.n_iter_total, summary=Summary(value=values)))
        with open(self._file, "ab") as file:
            file.write(b"".join(_record(event.SerializeToString()) for event in events))


def _new_run(folder):
    """Make and return the first folder run1, run2, ... that is not there yet."""
    for k in count(1):
        with suppress(FileExistsError):
            (folder / f"run{k}").mkdir()
            break
    return folder / f"run{k}"


def _record(data):
    """Return bytes as a record of an event file.

    Not by SummaryWriter, which keeps a file, a thread and a pipe for each fit until Python ends.
    """
    from tensorboardX.record_writer import masked_crc32c

    size = struct.pack("<Q", len(data))
    checks = (struct.pack("<I", masked_crc32c(part)) for part in (size, data))
    return size + next(checks) + data + next(checks)
