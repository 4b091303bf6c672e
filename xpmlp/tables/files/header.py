"""The first line of a table: names of columns or a row, told apart or asked about."""

import re
from collections import Counter
from collections.abc import Collection, Sequence

from ...errors import DataError
from ...words import listed, shortened
from ..common import require
from ..reading import Reading

NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*")
ASK = (
    "say header=True (--header) where these are names, header=False (--no-header) where they are "
    "a row of data, whose columns are called x0, x1 and so on"
)

Header = tuple[tuple[str, ...], bool, bool, tuple[str, ...]]


def header_of(
    place: str,
    first: Sequence[str],
    rows: Sequence[Sequence[str]],
    reading: Reading,
    known: Collection[str] = (),
) -> Header:
    """Return the columns' names, whether the first row holds names, whether there are any, notes.

    place: of the first row, in messages; rows: some of those that follow; known: names of columns
    that a model has, which are a header wherever they stand first.
    """
    first = [cell.strip() for cell in first]
    has_header, notes = reading.header, ()
    if reading.names:
        return _named(place, first, reading)
    if has_header is None:
        has_header, notes = _decided(place, first, rows, known)
    if not has_header:
        return tuple(f"x{i}" for i in range(len(first))), False, False, notes
    repeated = next((name for name, n in Counter(first).items() if n > 1 and name), None)
    remedy = "name all columns by names= and header=True (--names ... --header)"
    require(repeated is None, f"{place}: the column name {repeated!r} is repeated: {remedy}.")
    return tuple(first), True, True, notes


def _named(place: str, first: list[str], reading: Reading) -> Header:
    """Return the names that were given, for a file whose first row may be names too."""
    names, has_header = tuple(reading.names), reading.header
    got = f"{place} has {len(first)} cells, {listed(first)}"
    require(len(names) == len(first), f"{got}, expected the {len(names)} of names (--names).")
    if has_header is None:
        got = f"{place} may be names to replace or a row, got {_shown(first)}"
        remedy = "say header=True (--header) or header=False (--no-header)"
        require(any(map(is_bare, first)), f"{got}: {remedy}.")
        has_header = False
    return names, has_header, True, ()


def _decided(place, first, rows, known):
    """Return whether the first row holds names, and notes; DataError where it may be both."""
    if known and {*known} <= {*first}:
        return True, ()
    alike = [i for i, cell in enumerate(first) if is_bare(cell) and _is_like(i, cell, rows)]
    numbers = [i for i in alike if NUMBER.fullmatch(first[i])]
    whole = [int(first[i]) for i in alike if first[i].isdigit()]
    steps = {b - a for a, b in zip(whole, whole[1:])}
    if len(alike) == len(first) and len(numbers) == len(first):
        if len(first) == 1 or (known and {*known}.isdisjoint(first)):
            return False, ()
        if whole == [*range(len(first))]:  # as pandas numbers columns
            return True, ()
        if len(whole) < len(first) or min(steps) <= 0:
            note = f"{place} is all numbers and so taken as a row, its columns as x0, x1, ..."
            return False, (f"{note} (--no-header); --header makes them names.",)
    elif not alike:
        repeat = _repeated(first, rows)
        require(not repeat, f"{place} may be names or a row, got {_shown(first)}: {ASK}.")
        return True, ()
    elif len(whole) == len(alike) and _counts(whole, steps) and not _repeated(first, rows):
        note = f"{place} is taken as names, numbers among them"
        return True, (f"{note} (--header); --no-header makes it a row.",)
    raise DataError(f"{place} may be names or a row, got {_shown(first)}: {ASK}.")


def _counts(whole: list[int], steps: set[int]) -> bool:
    """Tell whether whole numbers grow in equal steps, as years do, or as pandas numbers columns."""
    return len(steps) == 1 and min(steps) > 0 and (len(whole) > 2 or whole[0] == 0)


def _column(rows, i):
    """Return the cells of a column that are not empty."""
    return [row[i].strip() for row in rows if i < len(row) and row[i].strip()]


def is_bare(cell: str) -> bool:
    """Tell whether a cell has digits and no letters, as numbers, dates and times do."""
    number = NUMBER.fullmatch(cell) is not None
    return number or (any(map(str.isdigit, cell)) and not any(map(str.isalpha, cell)))


def _is_like(i: int, cell: str, rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether most cells of a column are numbers as this one is, or else written like it."""
    others = _column(rows, i)
    if NUMBER.fullmatch(cell):
        like = [NUMBER.fullmatch(other) is not None for other in others]
    else:
        like = [_shape(other) == _shape(cell) for other in others]
    return 2 * sum(like) >= len(like)


def _shape(cell: str) -> str:
    return re.sub(r"\d+", "9", cell)


def _repeated(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Tell whether half of the texts of the first row, or more, come again in their columns.

    A text above numbers or dates is a name, and so are the others beside it.
    """
    texts = [i for i, cell in enumerate(first) if cell and not is_bare(cell)]
    columns = {i: _column(rows, i) for i in texts}
    if any(2 * sum(map(is_bare, cells)) > len(cells) for cells in columns.values()):
        return False
    again = [i for i in texts if first[i] in columns[i]]
    return bool(again) and 2 * len(again) >= len(texts)


def _shown(first: Sequence[str]) -> str:
    return shortened(listed(first), 60)
