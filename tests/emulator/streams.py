"""Streams, events and graphs. Work runs where it is launched, at once, or is recorded in a graph.

While a thread captures, its work must go to the capturing stream or to one that has joined it by
waiting for an event; CUDA would run other work at once, which a replay then misses: here it raises.
Events order work in graphs only, as nothing else runs later than it is launched.
"""

import itertools
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

from .errors import CUDARuntimeError
from .record import note

# Whether blocks, threads and the branches of a graph take the other order: what depends on theirs
# is wrong on a card.
order = SimpleNamespace(backwards=False)
_local = threading.local()
_handles = itertools.count(0x5000, 0x10)


@contextmanager
def backwards():
    """Run blocks, the threads in them and branches of graphs in the opposite order."""
    before, order.backwards = order.backwards, True
    try:
        yield
    finally:
        order.backwards = before


class Capture:
    """A graph in the making: nodes, and for each stream in it what its next comes after."""

    def __init__(self, origin):
        self.origin, self.nodes, self.valid = origin, [], True
        self.before = {origin.ptr: set()}

    def add(self, name, run, stream):
        """Add a node after all that its stream waits for."""
        if stream.ptr not in self.before:
            raise CUDARuntimeError(
                905,
                f"{name} went to stream {stream.ptr:#x}, which has not joined the capture",
            )
        before = self.before[stream.ptr]
        self.nodes.append((name, run, frozenset(before)))
        before.add(len(self.nodes) - 1)


def capture():
    """Return this thread's capture, or None."""
    return getattr(_local, "capture", None)


def refuse_in_capture(what, invalidates=True):
    """Raise if this thread captures: CUDA allows no waiting and no copies from or to the host."""
    if capture():
        capture().valid &= not invalidates
        raise CUDARuntimeError(900, what)


def refuse_copy(what):
    """Raise where CuPy itself refuses a copy to or from the host; the capture goes on."""
    if capture():
        raise RuntimeError(f"the current stream is capturing, so {what} are disallowed")


def wait_for(what):
    """Note that the host waits for the card."""
    refuse_in_capture(what)
    note("syncs", what)


def launch(name, run, stream=None):
    """Run some work and note it as a launch; in a capture, record it."""
    stream = stream or current_stream()
    if capture():
        capture().add(name, run, stream)
    else:
        note("launches", name)
        run()


class Stream:
    """`cupy.cuda.Stream`."""

    device_id = 0

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.ptr, self.is_non_blocking, self.priority = (
            0 if null else next(_handles),
            non_blocking,
            0,
        )

    @classmethod
    def from_external(cls, obj):
        """Return another library's stream, by CUDA's protocol: a version, which is 0, and it."""
        version, ptr = obj.__cuda_stream__()
        if version != 0:
            raise RuntimeError(f"version {version} of __cuda_stream__")
        stream = cls()
        stream.ptr = ptr
        return stream

    def __eq__(self, other):
        return isinstance(other, Stream) and self.ptr == other.ptr

    def __hash__(self):
        return self.ptr

    def __enter__(self):
        _local.stack = [*getattr(_local, "stack", []), current_stream()]
        return self.use()

    def __exit__(self, *error):
        _local.stack.pop().use()

    def use(self):
        """Make it the current stream of this thread."""
        _local.current = self
        return self

    @property
    def done(self):
        """Tell whether all its work is done. It never raises; a capture ends by it."""
        if self.is_capturing():
            capture().valid = False
            return False
        return True

    def synchronize(self):
        """Wait for its work."""
        wait_for("stream.synchronize")

    def record(self, event=None):
        """Record an event behind its work, and return it."""
        event = event or Event()
        event.capture = capture() if self.is_capturing() else None
        event.before = frozenset(event.capture.before[self.ptr]) if event.capture else None
        event.seconds = time.perf_counter()
        return event

    def wait_event(self, event):
        """Let its further work come after the event; so it joins the event's capture."""
        if event.seconds is None or event.capture is None:
            if self.is_capturing():
                capture().valid = False
                raise CUDARuntimeError(905)
        elif event.capture is not capture():
            raise CUDARuntimeError(907)
        else:
            event.capture.before.setdefault(self.ptr, set()).update(event.before)

    def begin_capture(self, mode=None):
        """Record its work from here on."""
        if self.ptr == 0:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if capture():
            raise CUDARuntimeError(900, "a capture goes on already")
        _local.capture = Capture(self)

    def end_capture(self):
        """Return the graph of what was recorded."""
        made = capture()
        if made is None or made.origin != self:
            raise CUDARuntimeError(1, "this stream began no capture")
        _local.capture = None
        if not made.valid:
            raise CUDARuntimeError(901)
        missing = set(range(len(made.nodes))) - made.before[self.ptr]
        if missing:
            names = ", ".join(made.nodes[i][0] for i in sorted(missing))
            raise CUDARuntimeError(904, names)
        graph = Graph.__new__(Graph)
        graph.nodes = made.nodes
        return graph

    def is_capturing(self):
        """Tell whether its work is recorded."""
        return capture() is not None and self.ptr in capture().before


Stream.null = Stream(null=True)


class Event:
    """`cupy.cuda.Event`."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self.ptr, self.timed = next(_handles), not disable_timing
        self.seconds = self.capture = None

    done = property(lambda self: self.capture is None)  # of a captured one it is unknown

    def _query(self, what):
        refuse_in_capture(what)
        if self.capture is not None:
            raise CUDARuntimeError(907)

    def record(self, stream=None):
        """Record it behind the work of a stream."""
        (stream or current_stream()).record(self)

    def synchronize(self):
        """Wait for it."""
        self._query("event.synchronize")
        wait_for("event.synchronize")


def get_elapsed_time(start, stop):
    """Return the milliseconds between two events."""
    for event in (start, stop):
        event._query("an event's time")
        if event.seconds is None or not event.timed:
            raise CUDARuntimeError(400)
    return 1e3 * (stop.seconds - start.seconds)


class Graph:
    """`cupy.cuda.Graph`: made by a capture. It keeps no array alive."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError(
            "currently this class cannot be initiated by the user and must be created via stream "
            "capture"
        )

    def launch(self, stream=None):
        """Run all nodes, each after those it waits for."""
        refuse_in_capture("a graph's launch")
        note("launches", "graph")
        done, left = set(), dict(enumerate(self.nodes))
        while left:
            ready = [i for i, (_, _, before) in left.items() if before <= done]
            i = ready[-1 if order.backwards else 0]
            name, run, _ = left.pop(i)
            note("nodes", name)
            run()
            done.add(i)

    def upload(self, stream=None):
        """Prepare the first launch."""
        refuse_in_capture("a graph's upload")


def current_stream():
    """Return this thread's current stream."""
    return getattr(_local, "current", Stream.null)


def get_current_stream(device_id=-1):
    """Return this thread's current stream."""
    return current_stream()


def stream_at(pointer, what):
    """Return the stream with an address, which must be the current one."""
    if pointer != current_stream().ptr:
        raise CUDARuntimeError(
            400,
            f"{what} got stream {pointer:#x}, the current one is {current_stream().ptr:#x}",
        )
    return current_stream()
