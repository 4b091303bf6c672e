"""Tables as files of one test: written, opened, refused."""

import gzip
import unicodedata

import pytest

from xpmlp.errors import DataError
from xpmlp.tables.open_table import open_table


def refused(words, read, *args, **options):
    """Demand a DataError of one sentence that holds all the words; return it."""
    with pytest.raises(DataError) as caught:
        read(*args, **options)
    message = str(caught.value)
    assert all(word in message for word in words), message
    assert "\n" not in message
    return message


def opened(path, **options):
    with open_table(path, **options) as table:
        return table


@pytest.fixture(name="csv")
def csv_fixture(tmp_path):
    def write(text, name="t.csv"):
        data = text if isinstance(text, bytes) else text.encode()
        path = tmp_path / name
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return write


def column(head, cells):
    """A CSV of a column, beside a target of 0 and 1."""
    return f"{head},y\n" + "".join(f"{cell},{i % 2}\n" for i, cell in enumerate(cells))


MIXED = "n,c,d,y\n" + "".join(
    f"{i if i % 7 else ''},{'abc'[i % 3] if i % 5 else ''},2024-01-{i % 28 + 1:02},{i % 2}\n"
    for i in range(100)
)


# What DuckDB trims: separators of Unicode, among them the space that does not break.
SPACES = "".join(c for c in map(chr, range(0x3001)) if unicodedata.category(c) == "Zs")
