"""Atomic files: after a full disk or a kill the old file is still there, whole."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

StrPath = str | os.PathLike[str]


def atomic_write(path: StrPath, data: bytes) -> None:
    """Write `data` so that `path` holds the old bytes or the new ones, never a part.

    An existing file keeps its permissions, a link its aim; a device or pipe is written directly.

    Raises
    ------
    OSError
        What the system reported, with `path`; on a full disk also the bytes needed and free.
    """
    with atomic_file(path, f"{len(data)} bytes needed, ") as file:
        file.write(data)


@contextlib.contextmanager
def atomic_file(path: StrPath, needed: str = "") -> Iterator[IO[bytes]]:
    """Open a file to write that takes its place at `path` when the block has ended well."""
    if os.path.exists(path) and not os.path.isfile(path):
        with open(path, "wb") as file:
            yield file
        return
    final = Path(os.path.realpath(path))
    # Not made of the own name, which may be as long as names can be.
    temporary = final.with_name(f".xpmlp-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if final.exists():
            os.chmod(temporary, stat.S_IMODE(final.stat().st_mode))
        os.replace(temporary, final)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(final.parent).free
            reason += f" ({needed}{free} free, nothing changed): free some space"
        raise OSError(error.errno, reason, str(path)) from error
    if os.name == "posix":  # the new name itself must survive a power cut
        folder = os.open(final.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
