"""Types of columns that nobody named, decided once by all cells of the whole file."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from shlex import quote
from typing import Any

from ..errors import DataError
from ..words import first_of, listed, shortened
from . import dates, numbers
from .cells import count, count_where, gather, shapes, words
from .common import Shape, require
from .disguised import disguised_dates
from .raw_table import RawTable
from .types import (
    MISSING,
    NATURAL,
    USABLE,
    TableColumn,
    base,
    check_types,
    is_missing,
    read_as,
    value_of,
)

ENOUGH = 0.95  # of the cells that are not missing make a column of numbers, or of dates
PARTLY = 0.5  # of them are worth a warning where the column stays text
SEVERAL = 3  # cells such as 1.644, and such as 997, show that points may part thousands
SHOWN = 3  # words that a warning shows
GROUPED = r"^[-+]?[1-9][0-9]{0,2}(\.[0-9]{3})+$"
SMALL = "^[-+]?[0-9]{1,3}$"
MARKS = {".": ",", ",": "."}  # the decimal mark, where one of them parts thousands
PLAIN = {",": "number:comma"}  # what plain numbers are, by the decimal mark
_WHICH = " ".join(f"WHEN '{token}' THEN {1 << i}" for i, token in enumerate(MISSING))
_ABSENT = is_missing("cell", "VARCHAR")
# What is asked of columns by the type that they are stored as, first of text.
_OF_TEXT = {
    "missing": f"count(*) FILTER ({_ABSENT})",
    "present": f"count(*) FILTER (NOT ({_ABSENT}))",
    "tokens": f"bit_or(CASE cell {_WHICH} END)",
    "number": f"count({value_of('cell', 'VARCHAR', 'number')})",
    "zero": "bool_or(regexp_matches(cell, '^0[0-9]+$'))",
    # Of what begins with a digit, so that no token counts.
    "shortest": "min(strlen(cell)) FILTER (cell BETWEEN '0' AND ':')",
    "longest": "max(strlen(cell)) FILTER (cell BETWEEN '0' AND ':')",
    "points": "count(*) FILTER (contains(cell, '.'))",
    "thirds": "count(*) FILTER (cell LIKE '%.___')",
}
_OF_OTHERS = {"missing": "count(*) - count(cell)", "present": "count(cell)"}
_COUNTS = {
    "VARCHAR": _OF_TEXT,
    "TEXT": _OF_OTHERS,
    "DOUBLE": _OF_OTHERS | {"number": "count(*) FILTER (isfinite(cell))"},
    "BOOLEAN": _OF_OTHERS | {"number": "count(cell)"},
    "TIMESTAMP": _OF_OTHERS | {"number": "count(cell)"},
}


@dataclass
class Found:
    """What was counted in a text column.

    count: as `_OF_TEXT` asks; read: how many cells each kind reads, the likeliest first; forms: an
    example of each, where nearly all cells are numbers, but not of one form.
    """

    name: str
    field: str
    is_target: bool
    count: dict[str, Any]
    read: dict[str, int]
    forms: Sequence[str] = ()

    @property
    def best(self) -> str:
        """The kind that reads the most cells."""
        return max(self.read, key=lambda kind: self.read[kind])

    @property
    def share(self) -> float:
        """The share of the cells which that is, of those that are not missing."""
        return self.read[self.best] / max(self.count["present"], 1)

    @property
    def codes(self) -> bool:
        """Whether numbers have leading zeros and all the same length, as postal codes do."""
        return bool(self.count["zero"]) and self.count["shortest"] == self.count["longest"]

    @property
    def kind(self) -> str:
        """The column's type."""
        best = self.best
        if best == "number" and self.codes:
            return "category"
        enough = PARTLY if self.is_target else ENOUGH  # the other cells of a target are bad
        if self.share >= ENOUGH or self.share > enough:
            return best
        return "category"

    @property
    def tied(self) -> list[str]:
        """Its type and those that read as many cells, maybe to other values."""
        kind = self.kind
        if kind == "number" and "grouped" not in self.count:  # its points part no thousands
            return [kind]
        others = [other for other in rivals(kind) if self.read.get(other) == self.read[kind]]
        return [kind, *others]


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
    counts = _counts(raw, columns)
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


def _counts(raw: RawTable, columns: list[TableColumn]) -> dict[str, dict[str, Any]]:
    """Return what was counted of columns, by their fields; all 0 in a table without rows."""
    empty = dict.fromkeys(_OF_TEXT, 0)
    found: dict[str, dict[str, Any]] = {}
    for stored, asked in _COUNTS.items():
        fields = [column.field for column in columns if column.stored == stored]
        found |= dict.fromkeys(fields, empty)
        found |= {f: empty | counted for f, counted in count(raw, fields, asked).items()}
    return found


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
    gather(raw, [*dict.fromkeys(found.field for found in (*opened, *pointed))], _ABSENT)
    fields_of = {"number:comma": [found.field for found in pointed]}
    seen = shapes(raw)
    for found in opened:
        cells = _with_rest(found, seen.get(found.field, []))
        found.forms = numbers.several_forms(cells)
        for kind in _candidates(found, cells, mark):
            found.read[kind] = 0  # counted below; of as many, the first is taken
            fields_of.setdefault(kind, []).append(found.field)
    by_field = {found.field: found for found in texts}
    for kind, fields in fields_of.items():
        for name, n in count_where(raw, fields, f"({_value(kind)}) IS NOT NULL").items():
            by_field[name].read[kind] = n
    for found in opened:
        if found.kind == "boolean" and _recurring(raw, found):  # yes, no and maybe
            del found.read["boolean"]
    return opened


def _value(kind: str) -> str:
    return value_of("cell", "VARCHAR", kind)


def _unread(raw: RawTable, found: Found, kind: str) -> list[tuple[str, int]]:
    """Return the cells of a column that are not of a kind, the most frequent first."""
    return words(raw, found.field, f"({_value(kind)}) IS NULL")


def _recurring(raw: RawTable, found: Found) -> bool:
    """Tell whether a cell that is not of a column's kind occurs twice."""
    return any(n > 1 for _, n in _unread(raw, found, found.kind))


def _with_rest(found: Found, seen: list[Shape]) -> list[Shape]:
    """Return the shapes of a column's cells, the rare ones as one that is nothing."""
    rest = found.count["present"] - sum(shape.n for shape in seen)
    if rest > 0:
        return [*seen, Shape("", rest, "", "")]
    return seen


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


# --- kinds that read the same cells to other values


def settled(raw: RawTable, texts: list[Found], typed: Iterable[str], mark: str) -> dict[str, str]:
    """Return the kinds of columns by name, ambiguous ones as the others in the file have it.

    typed: kinds that the user names; mark: the decimal mark, where the user says it.
    """
    shown = _shown(texts, typed, mark)
    decided = {}
    for found in texts:
        kinds = {convention(kind): kind for kind in reversed(found.tied)}
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
        elif kind != "number" and rivals(kind) and found.tied == [kind]:
            clear.add(convention(kind))
    return clear - {""}


def _check_clear(raw: RawTable, found: Found, both: bool) -> None:
    """Raise DataError for a column that is read by several kinds, to different values.

    both: whether other columns of the file show several of their conventions.
    """
    first, *others = found.tied
    if first == "number" and min(found.count["grouped"], found.count["small"]) < SEVERAL:
        return
    for other in others:
        differ = f"({_value(first)}) <> ({_value(other)})"
        cells = words(raw, found.field, differ)
        if not cells:
            continue
        cell = cells[0][0]
        values = ", ".join(f"({_value(kind)})::VARCHAR" for kind in (first, other))
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


# --- columns that are nearly numbers


def warning_of(raw: RawTable, found: Found) -> str:
    """Return a warning of a column of text that is numbers or dates in great part; or ""."""
    kind, name = found.best, quote(found.name)
    if found.forms:
        examples = listed([shortened(cell, 30) for cell in found.forms[:SHOWN]])
        return (
            f"column {found.name!r} is taken as text, though its cells are numbers, written as "
            f"{examples}: write them in one form that is read, or say --types {name}=category if "
            "it is text"
        )
    if not PARTLY <= found.share < ENOUGH or (kind == "number" and _is_name(raw, found)):
        return ""
    cells = _unread(raw, found, kind)
    shown = [f"{shortened(cell, 30)!r} ({n:,})" for cell, n in cells]
    word = quote(cells[0][0])
    return (
        f"column {found.name!r} is taken as text, though {found.share:.1%} of its cells are of "
        f"type {kind}; the others are {first_of(shown, SHOWN)}: say --missing {word} if that is a "
        f"missing value, --types {name}={quote(kind)} --on-bad-row skip if such rows are bad, "
        f"--types {name}=category if it is text"
    )


def _is_name(raw: RawTable, found: Found) -> bool:
    """Tell whether whole numbers among other text are names, such as 12 beside 12a and 14-16."""
    if found.codes:
        return True
    fraction = f"({_value('number')}) <> trunc({_value('number')})"
    if words(raw, found.field, fraction):
        return False
    cells = _unread(raw, found, "number")
    n_words = sum(n for cell, n in cells if not any(map(str.isdigit, cell)))
    return 2 * n_words < sum(n for _, n in cells)
