"""Copies between the host and devices: counted, noted, or forbidden."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from .logs import logger


@dataclass
class Counts:
    """Copies between NumPy and a device in a fit, and an engine's notes on its work."""

    bytes_to_device: int = 0
    bytes_to_host: int = 0
    host_reads: int = 0  # for each the host waits until the device has come so far
    launches: int | None = None  # of kernels and graphs; None where nobody counts them
    tier: str = ""  # of `accelerate`: what ran, where an engine has several
    proof: dict | None = None  # of that tier: what it concluded, and the seconds it took
    notes: list[str] = field(default_factory=list)

    def ran_in(self, engine: str) -> str:
        """Return an engine's name with the tier that ran: another may have been asked for."""
        return f"{engine.split()[0]} {self.tier}" if self.tier else engine


_counts: ContextVar[Counts | None] = ContextVar("counts", default=None)
_forbidden: ContextVar[bool] = ContextVar("forbidden", default=False)


@contextmanager
def counting() -> Iterator[Counts]:
    """Count the copies in this block and this thread; a block inside it counts by itself."""
    counts = Counts()
    token = _counts.set(counts)
    try:
        yield counts
    finally:
        _counts.reset(token)


def note(*, launches: int = 0, text: str = "", tier: str = "", proof: dict | None = None) -> None:
    """Add to what is counted: launches, a sentence (once), a tier, the result of a proof.

    Of several proofs the last result stays, with the seconds of all.
    """
    counts = _counts.get()
    if counts is None:
        return
    if launches:
        counts.launches = (counts.launches or 0) + launches
    if text and text not in counts.notes:
        counts.notes.append(text)
        logger.info(text)
    counts.tier = tier or counts.tier
    if proof:
        before = counts.proof["seconds"] if counts.proof else 0.0
        counts.proof = proof | {"seconds": before + proof["seconds"]}


def engine_that_ran(engine: str) -> str:
    """Return an engine's name with the tier that has run in what is counted, if anything is."""
    return (_counts.get() or Counts()).ran_in(engine)


def passed(*, to_device: int = 0, to_host: int = 0) -> None:
    """Count the bytes of one copy."""
    counts = _counts.get()
    if counts is not None:
        counts.bytes_to_device += to_device
        counts.bytes_to_host += to_host
        counts.host_reads += to_host > 0


@contextmanager
def forbid_transfers() -> Iterator[None]:
    """Return a context in which a hidden copy of rows to or from a device is an error.

    In its block and in this thread, estimators copy neither the rows of X and X_val nor predictions
    from one device or library to another. Within the host's memory (NumPy, torch's CPU tensors)
    they may change their library. A training still exchanges what it must: the initial weights, y
    and sample weights, the plan of an epoch, and one read of its losses.

    Returns
    -------
    context manager

    Raises
    ------
    TransferError
        Where such a copy would begin; the message says what, how many bytes, from where to where,
        which line of yours asks for it, and what to write instead.

    Examples
    --------
    >>> import numpy as np
    >>> from xpmlp import MLPRegressor, forbid_transfers
    >>> x = np.linspace(-1, 1, 50)[:, None]
    >>> with forbid_transfers():
    ...     reg = MLPRegressor(solver="lbfgs", random_state=0).fit(x, x[:, 0])
    >>> reg.fit_report_["bytes_to_device"]
    0
    """
    token = _forbidden.set(True)
    try:
        yield
    finally:
        _forbidden.reset(token)


def forbidden() -> bool:
    """Tell whether copies of rows are forbidden here."""
    return _forbidden.get()


# What may stand between a user's line and the copy that it makes.
BETWEEN = {"xpmlp", "sklearn", "joblib", "contextlib"}


def users_line() -> str:
    """Return "file:line" of the innermost caller outside this package and scikit-learn."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in BETWEEN:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"
