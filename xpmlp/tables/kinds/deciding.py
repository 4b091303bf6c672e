"""Types of columns that nobody named, decided once by all cells of the whole file."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ..common import Shape, require
from ..files.raw_table import RawTable
from . import dates, numbers
from .cells import count, count_where, gather, shapes
from .conventions import settled
from .disguised import disguised_dates
from .found import ABSENT, PARTLY, Found, cell_value, counts_of, is_word, unread
from .nearly import warning_of
from .types import (
    MISSING,
    NATURAL,
    USABLE,
    TableColumn,
    base,
    check_types,
    read_as,
)
from .unread_forms import unread_form

GROUPED = r"^[-+]?[1-9][0-9]{0,2}(\.[0-9]{3})+$"
SMALL = "^[-+]?[0-9]{1,3}$"
MARKS = {".": ",", ",": "."}  # the decimal mark, where one of them parts thousands
PLAIN = {",": "number:comma"}  # what plain numbers are, by the decimal mark


def typed_columns(
    raw: RawTable, names: list[str], types: Mapping[str, str], target: str | None = None
) -> tuple[list[TableColumn], dict[str, str]]:
    """Decide the types of columns, unless `types` names them; the target may hold labels.

    Returns the columns, and warnings of those that may be numbers or dates, by names.
    """
    check_types(raw, types)
    stored = dict(zip(raw.columns, raw.types))
    fields = {name: f"c{i}" for i, name in enumerate(raw.columns)}
    for name in names:
        got = f"{raw.path}, column {name!r} holds {stored[name]}, expected numbers, text or dates"
        usable = stored[name] in USABLE or name in types
        require(usable, f"{got}: write it again, or leave it out.")
    mark = raw.reading.decimal or MARKS.get(raw.reading.thousands or "", "")
    columns = []
    for name in names:
        kind = types.get(name, "")
        if kind == "number":
            kind = PLAIN.get(mark, kind)
        columns.append(TableColumn(name, fields[name], read_as(stored[name], kind), kind))
    counts = counts_of(raw, columns)
    texts = [
        Found(column.name, column.field, column.name == target, counts[column.field], {})
        for column in columns
        if not column.kind and column.stored == "VARCHAR"
    ]
    opened = _opened(raw, texts, mark)
    kinds = settled(raw, texts, types.values(), mark)
    warnings = {
        found.name: warning
        for found in opened
        if kinds[found.name] == "category" and (warning := warning_of(raw, found))
    }
    plain = [found for found in texts if kinds[found.name] == "number" and not found.is_target]
    warnings |= disguised_dates(raw, plain)
    raw.connection.execute("DROP TABLE IF EXISTS cells")
    read = {found.name: found.read.get(kinds[found.name]) for found in texts}
    return [
        _with_counts(column, kinds.get(column.name), counts[column.field], read.get(column.name))
        for column in columns
    ], warnings


def _with_counts(
    column: TableColumn, decided: str | None, count: Mapping[str, Any], n_read: int | None
) -> TableColumn:
    """Return a column with its type and what was counted; n_read: cells, None where unknown."""
    kind = column.kind or decided or NATURAL[column.stored]
    if n_read is None and kind in ("number", NATURAL.get(column.stored)):
        n_read = count["number"]
    which = count["tokens"] or 0
    return replace(
        column,
        kind=kind,
        n_missing=count["missing"],
        tokens=tuple(token for i, token in enumerate(MISSING) if which >> i & 1),
        checked=base(kind) == "category" or n_read == count["present"],
    )


def _opened(raw: RawTable, texts: list[Found], mark: str) -> list[Found]:
    """Count what other kinds read, of columns that are not clearly numbers; return those.

    mark: the decimal mark, where the user says it.
    """
    plain = PLAIN.get(mark, "number")
    for found in texts:
        clear = plain == "number" or not found.count["points"]
        found.read[plain] = found.count["number"] * clear
    opened = [found for found in texts if found.read[plain] < found.count["present"]]
    pointed = [] if mark else _pointed(raw, texts)
    gather(raw, [*dict.fromkeys(found.field for found in (*opened, *pointed))], ABSENT)
    fields_of = {"number:comma": [found.field for found in pointed]}
    seen = shapes(raw)
    for found in opened:
        cells = _with_rest(found, seen.get(found.field, []))
        found.forms, found.unread = numbers.several_forms(cells), unread_form(cells)
        for kind in _candidates(found, cells, mark) or _candidates(found, _but_word(cells), mark):
            found.read[kind] = 0  # counted below; of as many, the first is taken
            fields_of.setdefault(kind, []).append(found.field)
    by_field = {found.field: found for found in texts}
    for kind, fields in fields_of.items():
        for name, n in count_where(raw, fields, f"({cell_value(kind)}) IS NOT NULL").items():
            by_field[name].read[kind] = n
    for found in opened:
        if found.kind == "boolean" and _recurring(raw, found):  # yes, no and maybe
            del found.read["boolean"]
    return opened


def _recurring(raw: RawTable, found: Found) -> bool:
    """Tell whether a cell that is not of a column's kind occurs twice."""
    return any(n > 1 for _, n in unread(raw, found, found.kind))


def _with_rest(found: Found, seen: list[Shape]) -> list[Shape]:
    """Return the shapes of a column's cells, the rare ones as one that is nothing."""
    rest = found.count["present"] - sum(shape.n for shape in seen)
    if rest > 0:
        return [*seen, Shape("", rest, "", "")]
    return seen


def _but_word(seen: list[Shape]) -> list[Shape]:
    """Return the shapes beside a word that stands in most cells, such as off; none without one."""
    first, *others = seen
    if is_word(first.low) and first.n > PARTLY * sum(shape.n for shape in seen):
        return others
    return []


def _candidates(found: Found, seen: list[Shape], mark: str) -> list[str]:
    """Return the kinds, but for plain numbers, that may read a column of some shapes of cells."""
    kinds = [kind for kind in numbers.candidates(seen) if kind != "number"]
    if mark == ",":
        kinds.insert(0, PLAIN[mark])
    if mark:
        kinds = [kind for kind in kinds if numbers.decimal_mark(kind) == mark]
    if not found.is_target:  # whose dates and booleans are labels
        kinds += dates.candidates(seen)
    return kinds


def _pointed(raw: RawTable, texts: list[Found]) -> list[Found]:
    """Return the columns of numbers whose points may part thousands: 1.644, 997."""
    likely = {
        found.field: found
        for found in texts
        if found.count["points"] == found.count["thirds"] > 0 and found.best == "number"
    }
    asked = {
        "grouped": f"count(*) FILTER (regexp_matches(cell, '{GROUPED}'))",
        "small": f"count(*) FILTER (regexp_matches(cell, '{SMALL}'))",
    }
    pointed = []
    for field_, counted in count(raw, [*likely], asked).items():
        found = likely[field_]
        found.count |= counted
        if counted["grouped"] + counted["small"] == found.count["number"]:
            pointed.append(found)
    return pointed
