"""Signals while training: it ends after the epoch, or within seconds where that takes long."""

import signal
import threading
import time
from contextlib import contextmanager
from typing import Any

from ..signals import SIGNALS, unhandled

GRACE = 1.5  # seconds that an epoch may go on after a signal that asks a command to end
TWICE = 1.0  # seconds in which systemd, or a terminal that closes, sends another for good measure


class Ended(BaseException):
    """A signal that ends a command at once; no Exception, as libraries go on after these."""


class Preemption:
    """Handler of the signals by which a system asks a command to end, such as SIGTERM.

    A training looks for one among the handlers of its process: there is no other way to it. From
    then on the first signal is noted, and the training ends in order; before that and after `heed`
    it raises Ended, and so does a second one.

    keeps: whether a training is to end in order.
    """

    def __init__(self, *, keeps: bool):
        self.keeps, self.waits, self.raised = keeps, False, False
        self.signum: Any = None  # of the first one
        self.since = 0.0

    def __call__(self, signum, frame):
        """Note a signal, or raise Ended."""
        now, first = time.monotonic(), self.signum is None
        if first:
            self.signum, self.since = signum, now
        if not (self.waits if first else now - self.since < TWICE):
            self._end()

    def heed(self):
        """Raise Ended if a signal was noted; from here on one does at once."""
        self.keeps = self.waits = False
        if self.signum is not None:
            self._end()

    def _end(self):
        self.raised = True
        raise Ended

    @property
    def name(self):
        """The name of the first signal."""
        return signal.Signals(self.signum).name

    @contextmanager
    def installed(self):
        """Handle the signals in this block, in the main thread and where nothing else is set.

        Once one came they are ignored afterwards, so that no second one changes the exit code.
        """
        free = unhandled()
        if threading.current_thread() is not threading.main_thread():
            free = []
        try:
            for signum in free:
                signal.signal(signum, self)
            yield
        finally:
            then = signal.SIG_DFL if self.signum is None else signal.SIG_IGN
            for signum in free:
                signal.signal(signum, then)

    @staticmethod
    def found():
        """Return the one that is a handler and keeps a training, or None."""
        handlers = map(signal.getsignal, SIGNALS)
        return next((h for h in handlers if isinstance(h, Preemption) and h.keeps), None)


class Requests:
    """What asks a training to end, heeded between chunks of it."""

    def __init__(self):
        self.interrupts: list = []  # Ctrl-C
        self.preemption = Preemption.found()
        if self.preemption is not None:
            self.preemption.waits = True

    def reason(self):
        """Return why a training is to end after its epoch, or None."""
        if self.interrupts:
            return "interrupted"
        if self.preemption is not None and self.preemption.signum is not None:
            return "preempted"
        return None

    def urgent(self) -> bool:
        """Return whether it is to end within the epoch."""
        since = self.preemption and self.preemption.since
        return bool(since) and time.monotonic() - since > GRACE


@contextmanager
def on_ctrl_c(handler):
    """Call a handler on Ctrl-C, in the main thread and where no other handler is set."""
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not (plain and threading.current_thread() is threading.main_thread()):
        yield
        return
    signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def interruptible():
    """Yield the `Requests` of a training, among them a first Ctrl-C."""
    requests = Requests()

    def note(signum, frame):
        requests.interrupts.append(signum)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one stops at once

    with on_ctrl_c(note):
        yield requests
