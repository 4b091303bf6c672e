"""Signals by which a system asks a process to end: at once while it is loaded, in order later."""

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import Any

CODE = 75  # EX_TEMPFAIL of sysexits.h: try again
NAMES = "SIGTERM", "SIGHUP", "SIGUSR1", "SIGBREAK"  # the last one is of Windows
TWICE = 1.0  # seconds in which systemd, or a terminal that closes, sends another for good measure
SIGNALS = [signal.Signals[name] for name in NAMES if hasattr(signal, name)]


def unhandled():
    """Return the signals that nothing handles or ignores: nohup ignores SIGHUP."""
    return [n for n in SIGNALS if signal.getsignal(n) == signal.SIG_DFL]


@contextmanager
def ending_at_once():
    """End the process on a signal in this block, with a sentence and an exit code."""
    free = unhandled()
    for signum in free:
        signal.signal(signum, _end)
    try:
        yield
    finally:
        for signum in free:
            signal.signal(signum, signal.SIG_DFL)


def _end(signum, frame):
    text = f"Ended by {signal.Signals(signum).name} before it began: nothing is kept."
    print(text, file=sys.stderr, flush=True)
    os._exit(CODE)  # no exception: a library that is half loaded may take it for one of its own


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
