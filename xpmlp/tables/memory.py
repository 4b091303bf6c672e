"""How much memory the data of a file may take, decided here for all of its readers."""

import math
import re

import numpy as np

from .. import arrays
from ..atomic import StrPath
from ..errors import DataMemoryError
from ..words import plural

UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
SHARE = 0.5  # of the free memory: a model wants some, too
# What a table takes of memory for a row and for a column, beside its cells, which may lie on disk:
# measured on 20 million rows of 2 columns, and on 8000 columns of 40 rows.
ROW, COLUMN = 64, 1 << 16


def bytes_of(size: str) -> int:
    """Return the bytes of a size such as "4GB", "512 MiB" or "1000000".

    Raises
    ------
    ValueError
        For what is no size above 0.

    Examples
    --------
    >>> bytes_of("1.5GB")
    1500000000
    """
    units = {name.lower(): n for name, n in UNITS.items()}
    found = re.fullmatch(r"(\d{1,15}(?:\.\d{1,15})?) *([a-z]*)", size.strip().lower(), re.ASCII)
    n_bytes = 0
    if found and found[2] in units:
        n_bytes = int(float(found[1]) * units[found[2]])
    if n_bytes < 1:
        raise ValueError(f"{size!r} is no size above 0, expected one such as 4GB or 512MB.")
    return n_bytes


def allowed_memory(max_memory: int | None = None) -> int:
    """Return how many bytes data may take: `max_memory`, or half of those that are free."""
    if max_memory is not None:
        return max_memory
    free = arrays.free_memory(np.empty(0))
    return 2**63 if free is None else int(SHARE * free)


def check_memory(path: StrPath, what: str, needed: int, max_memory: int | None) -> None:
    """Raise DataMemoryError where data take more memory than they may; what: they are."""
    allowed = allowed_memory(max_memory)
    if needed > allowed:
        got = f"{path} holds {what}, which take {_shown(needed)} of memory"
        remedy = "allow more by max_memory= (--max-memory), or make it smaller"
        raise DataMemoryError(f"{got}, {_shown(allowed)} are allowed: {remedy}.")


def check_table(path: StrPath, n_rows: int, n_columns: int, max_memory: int | None) -> None:
    """Raise DataMemoryError where a table has too many rows or columns for the memory."""
    what = f"{plural(n_rows, 'row')} of {plural(n_columns, 'column')}"
    check_memory(path, what, ROW * n_rows + COLUMN * n_columns, max_memory)


def array_bytes(shape: tuple[int, ...], dtype: np.dtype) -> int:
    """Return the bytes of an array as it is read, and again as floats where it has none."""
    n_bytes = math.prod(shape) * dtype.itemsize
    if dtype.name in ("float32", "float64"):
        return n_bytes
    is_image = dtype == np.uint8 and len(shape) > 2
    return n_bytes + math.prod(shape) * (4 if is_image else 8)


def _shown(n_bytes: int) -> str:
    """Return a size in words."""
    unit = next((unit for unit in ("TB", "GB", "MB", "kB") if n_bytes >= UNITS[unit]), None)
    if unit is None:
        return f"{n_bytes} bytes"
    return f"{n_bytes / UNITS[unit]:,.1f} {unit}"
