"""What killed processes left behind: files half written, scratch folders.

A writer holds a lock on its file, in a scratch folder on the file `owner-MACHINE`, until it ends in
whatever way. The next writer removes what nobody holds and has a name that only xpmlp gives: no age
and no number of a process has to be trusted. On a network folder the locks of another machine may
not be seen here: its files go when nobody has written to them for an hour, scratch folders never.
"""

import os
import platform
import re
import secrets
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import IO

from .locks import HELD, take

HOUR = 3600  # seconds
MACHINE = f"{zlib.crc32(platform.node().encode()):08x}"
UNFINISHED = re.compile(r"\.xpmlp-(?:([0-9a-f]{8})-)?\d+-[0-9a-f]{8}\.tmp")
SCRATCH, OWNER = "xpmlp-", f"owner-{MACHINE}"


def unfinished_file(folder: Path) -> IO[bytes]:
    """Return a new, locked file in a folder, which a later call removes if we are killed.

    Its name is not made of that of the file to be written, which may be as long as names can be.
    """
    while True:
        name = f".xpmlp-{MACHINE}-{os.getpid()}-{secrets.token_hex(4)}.tmp"
        file = open(folder / name, "xb")
        if _held(file):
            return file
        file.close()


def _held(file):
    """Lock a new file; return False where another has taken it for a leftover just before."""
    try:
        take(file.fileno())
    except HELD:
        return False
    except OSError:  # of a file system without locks, where nobody removes it
        return True
    return os.fstat(file.fileno()).st_nlink > 0


def remove_unfinished(folder: Path) -> None:
    """Remove the files in a folder that killed processes did not finish, as far as we may."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            name = UNFINISHED.fullmatch(entry.name)
            if name and entry.is_file(follow_symlinks=False):
                old = time.time() - entry.stat().st_mtime > HOUR
                if old or name[1] == MACHINE:
                    _remove_unless_locked(entry.path, os.unlink)


def _remove_unless_locked(path, remove):
    """Call `remove` for a file while its lock is ours; another user's stays as it is."""
    with suppress(OSError), open(path, "r+b") as file:
        take(file.fileno())
        if os.name == "nt":  # where no open file can be removed
            file.close()
        remove(path)


@contextmanager
def scratch_folder() -> Iterator[str]:
    """Make a folder for scratch files, removed in the end; first remove those of killed runs."""
    for left in Path(gettempdir()).glob(f"{SCRATCH}*/{OWNER}"):
        _remove_unless_locked(left, _remove_folder_of)
    held = False
    while not held:
        with TemporaryDirectory(prefix=SCRATCH, ignore_cleanup_errors=True) as folder:
            with open(f"{folder}/{OWNER}", "xb") as owner:
                held = _held(owner)
                if held:
                    yield folder


def _remove_folder_of(owner):
    shutil.rmtree(owner.parent, ignore_errors=True)
