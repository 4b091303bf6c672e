"""Signals while training: it ends after the epoch, or within seconds where that takes long."""

import signal
import threading
import time
from contextlib import contextmanager

from ..signals import Preemption

GRACE = 1.5  # seconds that an epoch may go on after a signal that asks a command to end


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
