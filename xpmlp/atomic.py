"""Atomic files: after a full disk or a kill the old file is still there, whole."""

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from .leftovers import remove_unfinished, unfinished_file

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
        with naming(path), open(path, "wb") as file:
            yield file
        return
    final = Path(os.path.realpath(path))
    temporary = None
    remove_unfinished(final.parent)
    try:
        with unfinished_file(final.parent) as file:
            temporary = file.name
            yield file
            file.flush()
            os.fsync(file.fileno())
            if final.exists():
                os.chmod(temporary, stat.S_IMODE(final.stat().st_mode))
            if os.name == "nt":  # where no open file is renamed; elsewhere it is locked till then
                file.close()
            os.replace(temporary, final)
        _sync(final.parent)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        if not isinstance(error, OSError):
            raise
        reason = error.strerror or str(error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = shutil.disk_usage(final.parent).free
            reason += f" ({needed}{free} free, nothing changed): free some space"
        raise OSError(error.errno, reason, str(path)) from error


@contextlib.contextmanager
def naming(path: StrPath) -> Iterator[None]:
    """Name a path in an error of the system that names none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _sync(folder):
    """Let a new name in a folder survive a power cut, where the system can do that."""
    if os.name == "nt":
        return
    try:
        opened = os.open(folder, os.O_RDONLY)
    except PermissionError:  # of a folder that may be written to, and not read
        return
    try:
        os.fsync(opened)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # of network folders
            raise
    finally:
        os.close(opened)
