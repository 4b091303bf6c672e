"""Ctrl-C while training: it ends the training after the epoch."""

import signal
import threading
from contextlib import contextmanager


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
    """Turn a first Ctrl-C into a flag, ``asked()``, that the loop heeds between chunks."""
    flags: list = []

    def note(signum, frame):
        flags.append(signum)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second one stops at once

    with on_ctrl_c(note):
        yield lambda: bool(flags)
