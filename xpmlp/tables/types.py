"""Types of the columns of a raw table: numbers, dates or text, decided once over all rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DataError
from ..words import did_you_mean, first_of, listed, nearest, shortened
from .common import require
from .raw_table import RawTable, literal

# A cell that is one of these, or empty, is missing. They are what R, SQL, pandas and others write.
MISSING = tuple("? NA N/A n/a #N/A <NA> NaN nan NaT NULL null None".split())
ENOUGH = 0.95  # of the cells that are not missing make a column of numbers, or of dates
ISO = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T]\d.*)?$"
DAY_FIRST, MONTH_FIRST, DOTTED = "date:%d/%m/%Y", "date:%m/%d/%Y", "date:%d.%m.%Y"
DIGITS = {"Y": r"\d{4}"} | dict.fromkeys("dmyHMS", r"\d{1,2}")
TIMES = ("", " %H:%M", " %H:%M:%S")
POINT, COMMA = "number:point", "number:comma"  # 1,234.5 and 1.234,5
WRITTEN = {
    POINT: (r"^[-+]?(\d+|[1-9]\d{0,2}(,\d{3})+)(\.\d+)?$", "replace({c}, ',', '')"),
    COMMA: (
        r"^[-+]?(\d+|[1-9]\d{0,2}((\.\d{3})+|( \d{3})+))(,\d+)?$",
        "replace(replace(replace({c}, '.', ''), ' ', ''), ',', '.')",
    ),
}
ALL = "category:all"  # also of cells such as NA, which else are missing
KIND = re.compile("number(:point|:comma)?|boolean|category(:all)?|date(:.+)?")
KINDS = ("number", "boolean", "category", "date")  # of which a mistyped one may be meant
AT_ONCE = 40  # columns a query
DESCRIBED = 40  # columns
NATURAL = {"DOUBLE": "number", "BOOLEAN": "boolean", "TIMESTAMP": "date"}
USABLE = ("VARCHAR", *NATURAL)
_MISSING = ", ".join(f"'{token}'" for token in MISSING)
_WHICH = " ".join(f"WHEN '{token}' THEN {1 << i}" for i, token in enumerate(MISSING))


@dataclass(frozen=True)
class TableColumn:
    """A column of a raw table and how it is read.

    field: what DuckDB calls it; stored: its type there, "TEXT" where NA and the like are text too;
    kind: "number", "number:point" (1,234.5), "number:comma" (1.234,5), "boolean", "category",
    "category:all" (only empty cells are missing), "date" or "date:%d.%m.%Y"; n_missing: cells;
    tokens: what stands in them, where they are not empty.
    """

    name: str
    field: str
    stored: str
    kind: str
    n_missing: int = 0
    tokens: tuple[str, ...] = ()

    @property
    def frame_kind(self) -> str:
        """Return the kind of a frame's column."""
        return "number" if self.kind == "boolean" else self.kind.partition(":")[0]

    @property
    def missing(self) -> str:
        """SQL: whether a cell is missing."""
        return _missing(self.field, self.stored)

    @property
    def value(self) -> str:
        """SQL: a cell as number, text or date; NULL where it is missing or none."""
        value = _value(self.field, self.stored, self.kind)
        return f"CASE WHEN NOT ({self.missing}) THEN {value} END"

    @property
    def bad(self) -> str:
        """SQL: whether a cell is neither missing nor what the column holds."""
        if self.stored in ("VARCHAR", "TEXT") and self.frame_kind == "category":
            return "false"
        value = _value(self.field, self.stored, self.kind)
        return f"(NOT ({self.missing}) AND ({value}) IS NULL)"

    @property
    def expected(self) -> str:
        """What a cell should have been, in words."""
        if self.kind.startswith("date:"):
            return f"a date such as {self.kind[5:]}"
        return EXPECTED[self.kind.removesuffix(":all")]


EXPECTED = {
    "number": "a finite number",
    POINT: "a number such as 1,234.5",
    COMMA: "a number such as 1.234,5",
    "boolean": "true or false",
    "category": "text",
    "date": "a date such as 2024-12-31 or 2024-12-31 23:59:00",
}


def _missing(c: str, stored: str) -> str:
    """SQL: whether a cell is missing."""
    tokens = f" OR {c} IN ({_MISSING})" * (stored == "VARCHAR")
    return f"{c} IS NULL{tokens}"


def _value(c: str, stored: str, kind: str) -> str:
    """SQL: a cell that is not missing as a kind, NULL where it is none."""
    kind = kind.removesuffix(":all")
    if kind == "category":
        return _label(c, stored)
    if stored == "TIMESTAMP":
        return c
    number = f"TRY_CAST({c} AS DOUBLE)"
    if stored != "VARCHAR":
        return _where(f"isfinite({number})", number)
    if kind == "number":  # DuckDB reads 1_000 as one; of letters (after ':') it is slow to say no
        return _where(f"{c} < ':' AND isfinite({number}) AND NOT contains({c}, '_')", number)
    if kind in WRITTEN:
        pattern, plain = WRITTEN[kind]
        number = f"TRY_CAST({plain.format(c=c)} AS DOUBLE)"
        return _where(f"regexp_matches({c}, '{pattern}') AND isfinite({number})", number)
    if kind == "boolean":
        return f"CASE lower({c}) WHEN 'true' THEN 1.0::DOUBLE WHEN 'false' THEN 0.0 END"
    if kind == "date":  # an offset such as +02:00 is heeded
        moment = f"make_timestamp(epoch_us(TRY_CAST({c} AS TIMESTAMPTZ)))"
        return _where(f"regexp_matches({c}, '{ISO}')", moment)
    own_time = "%H" in kind or "%I" in kind
    patterns = [literal(kind[5:] + time) for time in TIMES if not (time and own_time)]
    # A look first: a strptime that fails is slow, one that does not takes 1.2.24 for the year 24.
    looks = literal("^" + re.sub("%(.)|(.)", _expression, kind[5:]))
    return _where(f"regexp_matches({c}, {looks})", f"try_strptime({c}, [{', '.join(patterns)}])")


def _label(c: str, stored: str) -> str:
    """SQL: a cell as text, one for equal numbers: 1.0 and 1 are one category."""
    if stored == "DOUBLE":
        whole = f"{c} = trunc({c}) AND abs({c}) < 1e15"
        return f"CASE WHEN {whole} THEN {c}::BIGINT::VARCHAR ELSE {c}::VARCHAR END"
    if stored == "BOOLEAN":
        return f"{c}::INTEGER::VARCHAR"
    return f"{c}::VARCHAR"


def _where(condition: str, value: str) -> str:
    return f"CASE WHEN {condition} THEN {value} END"


def _expression(match: re.Match[str]) -> str:
    """Return a regular expression of what a letter of a date's format stands for."""
    code, other = match.groups()
    if other:
        return re.escape(other)
    return DIGITS.get(code, ".+")


def check_types(raw: RawTable, types: Mapping[str, str]) -> None:
    """Raise DataError for types of columns that are not there, and for unknown types."""
    for name, kind in types.items():
        known = name in raw.columns
        near = f"did you mean {nearest(name, raw.columns)!r}?"
        got = f"{raw.path} has no column {name!r}, expected one of {listed(raw.columns)}"
        require(known, f"{got}; {near}")
        expected = (
            "expected number, number:comma (1.234,5), number:point (1,234.5), boolean, category, "
            "category:all (NA, None too), date or date:FORMAT, such as date:%d/%m/%Y"
        )
        got = f"column {name!r} is typed {kind!r}, {expected}{did_you_mean(kind, KINDS)}"
        require(KIND.fullmatch(kind) is not None, got)
        stored, wanted = raw.stored(name), kind.partition(":")[0]
        fits = wanted == "category" or stored == "VARCHAR"
        fits = fits or (stored in USABLE and (wanted == "date") == (stored == "TIMESTAMP"))
        got = f"{raw.path}, column {name!r} holds {stored}"
        require(fits, f"{got}, expected {kind}: write that column again, or leave it out.")


def typed_columns(
    raw: RawTable, names: list[str], types: Mapping[str, str], target: str | None = None
) -> list[TableColumn]:
    """Decide the types of columns, unless `types` names them; the target may hold labels."""
    check_types(raw, types)
    for name in names:
        stored = raw.stored(name)
        got = f"{raw.path}, column {name!r} holds {stored}, expected numbers, text or dates"
        require(stored in USABLE or name in types, f"{got}: write it again, or leave it out.")
    made: list[TableColumn] = []
    for start in range(0, len(names), AT_ONCE):
        made += _decided(raw, names[start : start + AT_ONCE], types, target)
    return made


def _decided(raw, names, types, target):
    """Decide on some columns with two queries: all their counts, then those of other writings."""
    fields = [f"c{raw.columns.index(name)}" for name in names]
    stored = [_read_as(raw.stored(name), types.get(name)) for name in names]
    counts = _answers(raw, [_counts(field, kind) for field, kind in zip(fields, stored)])
    unclear = [
        (field, count)
        for name, field, kind, count in zip(names, fields, stored, counts)
        if name not in types and kind == "VARCHAR"  # others have no such counts
        if not _enough(count, "number") and not _enough(count, "boolean")
    ]
    written = _answers(raw, [_written_counts(field) for field, _ in unclear])
    for (_, count), more in zip(unclear, written):
        count |= more
    for name, field, kind, count in zip(names, fields, stored, counts):
        decided = types.get(name) or NATURAL.get(kind) or _kind(raw, name, count, name == target)
        which = count["tokens"] or 0
        tokens = tuple(token for i, token in enumerate(MISSING) if which >> i & 1)
        yield TableColumn(name, field, kind, decided, count["missing"], tokens)


def _read_as(stored: str, kind: str | None) -> str:
    """Return the type as which a column is read, "TEXT" where NA and the like are text too."""
    if stored in NATURAL:
        return stored
    if kind == ALL:
        return "TEXT"
    return "VARCHAR"


def _kind(raw: RawTable, name: str, count: Mapping[str, Any], is_target: bool) -> str:
    """Return the type of a text column, by how many of its cells fit."""
    if _enough(count, "number") or (is_target and 2 * count["number"] > count["present"]):
        if count["zero"] and count["shortest"] == count["longest"]:  # 01234: a code
            return "category"
        return "number"
    if _enough(count, "boolean"):
        return "category" if is_target else "boolean"
    written = max(WRITTEN, key=lambda kind: count[kind])
    if _enough(count, written) and count["commas"]:  # else addresses, telephone numbers, ...
        if count[POINT] == count[COMMA]:
            remedy = f"say which by --types {name}={POINT} (1234) or {name}={COMMA} (1.234)"
            both = "numbers with commas that may part thousands or be decimal"
            raise DataError(f"{raw.path}, column {name!r} holds {both}: {remedy}.")
        return written
    date = max(("date", DOTTED, DAY_FIRST, MONTH_FIRST), key=lambda kind: count[kind])
    if is_target or not _enough(count, date):
        return "category"
    if date != "date" and count[DAY_FIRST] == count[MONTH_FIRST] > count[DOTTED]:
        remedy = f"say which by types={{{name!r}: {DAY_FIRST!r}}} (--types {name}={DAY_FIRST})"
        both = "dates that may be day/month/year or month/day/year"
        raise DataError(f"{raw.path}, column {name!r} holds {both}: {remedy}.")
    return date


def _enough(count: Mapping[str, Any], kind: str) -> bool:
    return 0 < ENOUGH * count["present"] <= count[kind]


def _counts(c: str, stored: str) -> dict[str, str]:
    """SQL: how many cells of a column are missing, numbers, and so on."""
    missing = _missing(c, stored)
    known = f"FILTER (NOT ({missing}))"
    counts = {"missing": f"count(*) FILTER ({missing})", "present": f"count(*) {known}"}
    if stored != "VARCHAR":
        return counts | {"tokens": "NULL"}
    return counts | {
        "tokens": f"bit_or(CASE {c} {_WHICH} END)",
        "number": f"count({_value(c, stored, 'number')})",
        "boolean": f"count(*) FILTER (lower({c}) IN ('true', 'false'))",
        "zero": f"bool_or(regexp_matches({c}, '^0[0-9]+$'))",
        "shortest": f"min(length({c})) {known}",
        "longest": f"max(length({c})) {known}",
    }


def _written_counts(c: str) -> dict[str, str]:
    """SQL: how many cells of a text column are numbers or dates in each of their writings."""
    kinds = ("date", POINT, COMMA, DOTTED, DAY_FIRST, MONTH_FIRST)
    counts = {kind: f"count({_value(c, 'VARCHAR', kind)})" for kind in kinds}
    return counts | {"commas": f"count(*) FILTER (contains({c}, ','))"}


def _answers(raw: RawTable, asked: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return the values of SQL expressions, by their names, all from one query."""
    if not asked:
        return []
    row = iter(raw.query(", ".join(sql for one in asked for sql in one.values())).fetchone())
    return [{name: next(row) for name in one} for one in asked]


def described(connection: Any, columns: list[TableColumn], target: str | None) -> str:
    """Return the type and the content of columns of DuckDB's table `data`, a line each."""
    lines = [("column", "type", "missing", "values")]
    for column in columns[:DESCRIBED]:
        name = column.name + " (target)" * (column.name == target)
        tokens = f" ({', '.join(column.tokens)})" * bool(column.tokens)
        missing = "-"
        if column.n_missing:
            missing = f"{column.n_missing:,}{tokens}"
        lines.append((name, column.kind, missing, _values(connection, column)))
    widths = [max(map(len, cells)) for cells in zip(*lines)]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    if len(columns) > DESCRIBED:
        text.append(f"and {len(columns) - DESCRIBED} more columns")
    return "\n".join(text)


def _values(connection: Any, column: TableColumn) -> str:
    """Return the range of a column of `data`, or its most frequent categories."""
    c = column.field
    if column.frame_kind != "category":
        low, high = connection.execute(f"SELECT min({c}), max({c}) FROM data").fetchone()
        if low is None:
            return ""
        if column.frame_kind == "number":
            return f"{low:g} to {high:g}"
        return f"{low} to {high}".replace(" 00:00:00", "")
    query = f"SELECT {c}, count(*) AS n FROM data WHERE {c} IS NOT NULL GROUP BY {c}"
    n = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()[0]
    if n == 0:
        return "nothing to learn from"
    first = connection.execute(f"{query} ORDER BY n DESC, {c} LIMIT 4").fetchall()
    texts = [shortened(" ".join(text.split()), 19, "…") for text, _ in first]
    return f"{n:,} different: {first_of(texts, 3)}"  # fits 80 columns
