"""The free memory of this machine, and what its control groups leave of it."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/")


class Limits(NamedTuple):
    """Where a version of Linux' control groups says what a group may take, and takes."""

    folder: str
    most: str
    used: str
    cache: str  # of files, which is counted as used and given back when it is needed


GROUPS = {  # by what /proc/self/cgroup calls them
    "": Limits("sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    "memory": Limits(
        "sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
}


def free_host_memory() -> int | None:
    """Return the bytes that swap nothing out, or None where the system does not say."""
    try:
        known = dict(line.split(":") for line in _lines("proc/meminfo"))
        free = 1024 * int(known["MemAvailable"].split()[0])
    except (OSError, KeyError):  # not Linux
        return None
    return max(0, min([free, *_left_by_groups()]))


def _left_by_groups() -> Iterator[int]:
    """Yield what is left to each group with a limit that this process is in."""
    with suppress(OSError):
        for line in _lines("proc/self/cgroup"):
            _, kind, place = line.split(":", 2)
            if kind in GROUPS:
                found = GROUPS[kind]
                folder = Path(place.lstrip("/"))
                for group in (folder, *folder.parents):
                    with suppress(OSError, ValueError, KeyError):  # "max", or not seen from here
                        yield _left(f"{found.folder}/{group}", found)


def _left(folder: str, found: Limits) -> int:
    """Return what a group may still take."""
    most, used = (int(_lines(f"{folder}/{name}")[0]) for name in (found.most, found.used))
    cache = dict(line.split() for line in _lines(f"{folder}/memory.stat"))[found.cache]
    return most - used + int(cache)


def _lines(path: str) -> list[str]:
    return (ROOT / path).read_text().splitlines()
