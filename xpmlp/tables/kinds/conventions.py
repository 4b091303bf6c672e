"""Decimal marks and orders of dates: one convention in all columns of a file."""

from collections.abc import Iterable
from shlex import quote

from ...errors import DataError
from ..files.raw_table import RawTable
from . import dates, numbers
from .cells import words
from .found import Found, cell_value
from .types import base

SEVERAL = 3  # cells such as 1.644, and such as 997, show that points may part thousands


def rivals(kind: str) -> list[str]:
    """Return kinds that may read the same cells as other values: month first for day first."""
    if base(kind) == "number":
        return [numbers.rival(kind)]
    return dates.rivals(kind)


def convention(kind: str) -> str:
    """Return what a kind shares with others in its file, such as a decimal mark; or ""."""
    if base(kind) == "number":
        return numbers.decimal_mark(kind)
    return dates.order(kind)


def tied(found: Found) -> list[str]:
    """Return a column's type and those that read as many cells, maybe to other values."""
    kind = found.kind
    if kind == "number" and "grouped" not in found.count:  # its points part no thousands
        return [kind]
    others = [other for other in rivals(kind) if found.read.get(other) == found.read[kind]]
    return [kind, *others]


def settled(raw: RawTable, texts: list[Found], typed: Iterable[str], mark: str) -> dict[str, str]:
    """Return the kinds of columns by name, ambiguous ones as the others in the file have it.

    typed: kinds that the user names; mark: the decimal mark, where the user says it.
    """
    shown = _shown(texts, typed, mark)
    decided = {}
    for found in texts:
        kinds = {convention(kind): kind for kind in reversed(tied(found))}
        known = [kind for way, kind in kinds.items() if way in shown]
        decided[found.name] = known[0] if len(known) == 1 else found.kind
        if len(known) != 1 and len(kinds) > 1:
            _check_clear(raw, found, both=bool(known))
    return decided


def _shown(texts: list[Found], typed: Iterable[str], mark: str) -> set[str]:
    """Return the conventions that columns show: kinds of which no other reads as many cells."""
    clear = {mark, *map(convention, typed)}
    for found in texts:
        kind = found.kind
        if kind == "number" and found.count["points"] > found.count["thirds"]:
            clear.add(".")
        elif kind != "number" and rivals(kind) and tied(found) == [kind]:
            clear.add(convention(kind))
    return clear - {""}


def _check_clear(raw: RawTable, found: Found, both: bool) -> None:
    """Raise DataError for a column that is read by several kinds, to different values.

    both: whether other columns of the file show several of their conventions.
    """
    first, *others = tied(found)
    if first == "number" and min(found.count["grouped"], found.count["small"]) < SEVERAL:
        return
    for other in others:
        differ = f"({cell_value(first)}) <> ({cell_value(other)})"
        cells = words(raw, found.field, differ)
        if not cells:
            continue
        cell = cells[0][0]
        values = ", ".join(f"({cell_value(kind)})::VARCHAR" for kind in (first, other))
        read = f"SELECT {values} FROM (SELECT ? AS cell)"
        one, another = raw.connection.execute(read, [cell]).fetchone()
        shown = "other columns show both" if both else "no other column shows which"
        name = quote(found.name)
        remedy = f"--types {name}={quote(first)} or {name}={quote(other)}"
        if base(first) == "number":
            remedy += " (of all columns: --decimal)"
        raise DataError(
            f"{raw.path}, column {found.name!r}: {cell!r} may be {_short(one)} or "
            f"{_short(another)}, and {shown}: say it by {remedy}, in Python by "
            f"types={{{found.name!r}: {first!r}}}."
        )


def _short(value: str) -> str:
    return value.removesuffix(" 00:00:00").removesuffix(".0")
