"""Signals by which a system asks a process to end; how a command ends while it is being loaded."""

import os
import signal
import sys
from contextlib import contextmanager

CODE = 75  # EX_TEMPFAIL of sysexits.h: try again
NAMES = "SIGTERM", "SIGHUP", "SIGUSR1", "SIGBREAK"  # the last one is of Windows
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
