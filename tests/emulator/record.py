"""What happened on the card: what tests compare with their budgets."""

from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Record:
    """Launches by name, bytes of each copy, waits by cause.

    nodes: what the launched graphs ran, by name; a graph is one launch, "graph".
    """

    launches: list[str] = field(default_factory=list)
    to_device: list[int] = field(default_factory=list)
    to_host: list[int] = field(default_factory=list)
    syncs: list[str] = field(default_factory=list)
    nodes: list[str] = field(default_factory=list)


_records: list[Record] = []


@contextmanager
def recording():
    """Record what happens inside the block; blocks may be nested."""
    _records.append(Record())
    try:
        yield _records[-1]
    finally:
        _records.pop()


def note(kind, what):
    """Add one event to every open record."""
    for record in _records:
        getattr(record, kind).append(what)
