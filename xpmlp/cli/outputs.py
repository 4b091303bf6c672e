"""Files that a command writes: tried before the work, and what becomes of work that one fails."""

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import gettempdir, mkdtemp

import click

from ..leftovers import unfinished_file
from .command import FILE, tell

DISK = 7  # exit code of what could not be written


def writable(option, path, *others):
    """Return the path of a file to write, or raise an error before any work is done.

    others: files that the command reads or writes, too, beside those of its arguments.
    """
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise click.UsageError(f"{option} {path}: there is no folder {folder}.")
    try:
        _try(path)
    except OSError as error:  # its name is too long, its folder can only be read
        raise click.UsageError(f"{option} {path}: {error.strerror}.") from error
    context = click.get_current_context(silent=True)
    if context is not None:  # whatever the command reads
        named = map(context.params.get, ("data", "model", "test_file", "validation"))
        others = (*others, *map(str, filter(None, named)), context.meta.get(FILE))
    for other in filter(None, others):
        if os.path.realpath(path) == os.path.realpath(other):
            raise click.UsageError(f"{option} {path} would overwrite {other}.")
    return path


def _try(path):
    """Raise the OSError that writing a file would end in, as far as it shows in its folder."""
    with suppress(FileNotFoundError):
        os.lstat(path)
    if os.path.isdir(path):
        raise IsADirectoryError(None, "it is a folder, expected a file")
    if not os.path.exists(path) or os.path.isfile(path):  # no device and no pipe
        with unfinished_file(Path(os.path.realpath(path)).parent) as file:
            os.unlink(file.name)


def in_words(error):
    """Return what an error of the disk says, with its path."""
    reason = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return reason
    return f"{error.filename}: {reason}"


class Results:
    """Writes what a command has worked for: a file that fails is told, and costs nothing else.

    failed: whether one did, which the exit code says in the end.
    """

    failed = False

    def write(self, path, write):
        """Call ``write(path)``, where that fails for a place elsewhere; return the place."""
        try:
            write(path)
        except OSError as error:
            place = _elsewhere(os.path.basename(path), write)
            if place is None:
                raise
            self.failed = True
            tell(f"Error: {in_words(error)}; it was written to {place} instead.")
            return place
        return path

    @contextmanager
    def beside(self):
        """Go on after what cannot be written in this block, such as a picture of the result."""
        try:
            yield
        except OSError as error:
            self.failed = True
            tell(f"Error: {in_words(error)}.")

    def end(self):
        """End the command with exit code 7 where something could not be written."""
        if self.failed:
            raise click.exceptions.Exit(DISK)


def _elsewhere(name, write):
    """Write to a new folder: a temporary one, else here, else at home; None where all fail."""
    for find in (gettempdir, os.getcwd, lambda: os.path.expanduser("~")):
        with suppress(OSError):
            folder = mkdtemp(prefix="xpmlp-saved-", dir=find())
            place = os.path.join(folder, name)
            try:
                write(place)
            except OSError:
                os.rmdir(folder)
                raise
            return place
    return None
