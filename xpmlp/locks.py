"""A lock on a file, which the system gives back when its process ends, however it ends."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform == "win32":
    import msvcrt

    def take(handle: int) -> None:
        """Lock an open file until it is closed; raise one of `HELD` where another has it."""
        # A byte far behind the text: what is locked cannot be read by others.
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        os.lseek(handle, 0, os.SEEK_SET)

else:
    import fcntl

    def take(handle: int) -> None:
        """Lock an open file until it is closed; raise one of `HELD` where another has it."""
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


HELD = BlockingIOError, PermissionError  # what `take` raises where another has the lock


@contextmanager
def locked(path: str | os.PathLike[str]) -> Iterator[None]:
    """Hold a lock on a file, which is made where it is missing and stays.

    Raises
    ------
    BlockingIOError
        Another holds it; its text says who.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            take(handle)
        except OSError as error:
            if not isinstance(error, HELD):
                raise
            holder = os.read(handle, 200).decode(errors="replace")
            raise BlockingIOError(holder or "another process") from error
        os.ftruncate(handle, 0)
        os.write(handle, f"process {os.getpid()} on {socket.gethostname()}".encode())
        yield
    finally:
        os.close(handle)
