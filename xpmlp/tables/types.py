"""What the columns of a sheet hold: numbers, dates or text, decided once over all their rows."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import DataError
from ..words import first_of, listed, nearest, shortened
from .common import require
from .duckdb_source import Sheet

# A cell that is one of these, or empty, is missing. They are what R, SQL, pandas and others write.
MISSING = (
    "?", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NaT", "NULL", "null", "None",
)  # fmt: skip
ENOUGH = 0.95  # of the cells that are not missing make a column of numbers, or of dates
ISO = r"^\d{4}[-/]\d{1,2}[-/]\d{1,2}([ T]\d.*)?$"
DATES = ("%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y")
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
AT_ONCE = 40  # columns a query
TOLD = 40  # columns that are described
USABLE = ("VARCHAR", "DOUBLE", "BOOLEAN", "TIMESTAMP")
_MISSING = ", ".join(f"'{token}'" for token in MISSING)
_WHICH = " ".join(f"WHEN '{token}' THEN {1 << i}" for i, token in enumerate(MISSING))


@dataclass(frozen=True)
class Column:
    """A column of a sheet and how it is read.

    field: what DuckDB calls it; kind: "number", "number:point" (1,234.5), "number:comma" (1.234,5),
    "boolean", "category", "category:all" (only empty cells are missing), "date" or
    "date:%d.%m.%Y"; n_missing: cells; tokens: what stands in them, where they are not empty.
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
        return (
            f"CASE WHEN NOT ({self.missing}) THEN {_value(self.field, self.stored, self.kind)} END"
        )

    @property
    def bad(self) -> str:
        """SQL: whether a cell is neither missing nor what the column holds."""
        if self.stored in ("VARCHAR", "TEXT") and self.frame_kind == "category":
            return "false"
        value = _value(self.field, self.stored, self.kind)
        return f"(NOT ({self.missing}) AND ({value}) IS NULL)"

    @property
    def expected(self) -> str:
        """Say what a cell should have been."""
        if self.kind.startswith("date:"):
            return f"a date such as {self.kind[5:]}"
        names = {POINT: "a number such as 1,234.5", COMMA: "a number such as 1.234,5"}
        names |= {"number": "a finite number", "boolean": "true or false", "category": "text"}
        return names.get(
            self.kind.removesuffix(":all"), "a date such as 2024-12-31 or 2024-12-31 23:59:00"
        )


def _missing(c: str, stored: str) -> str:
    return f"{c} IS NULL OR {c} IN ({_MISSING})" if stored == "VARCHAR" else f"{c} IS NULL"


def _value(c: str, stored: str, kind: str) -> str:
    """SQL: a cell that is not missing as a kind, NULL where it is none."""
    kind = kind.removesuffix(":all")
    number = f"TRY_CAST({c} AS DOUBLE)"
    if stored == "DOUBLE" and kind == "category":  # 1.0 and 1 are one category
        whole = f"{c} = trunc({c}) AND abs({c}) < 1e15"
        return f"CASE WHEN {whole} THEN {c}::BIGINT::VARCHAR ELSE {c}::VARCHAR END"
    if stored == "BOOLEAN" and kind == "category":
        return f"{c}::INTEGER::VARCHAR"
    if kind == "category" or stored == "TIMESTAMP":
        return f"{c}::VARCHAR" if kind == "category" else c
    if stored != "VARCHAR":
        return f"CASE WHEN isfinite({number}) THEN {number} END"
    if kind == "number":  # DuckDB reads 1_000 as one; of letters (after ':') it is slow to say no
        one = f"{c} < ':' AND isfinite({number}) AND NOT contains({c}, '_')"
        return f"CASE WHEN {one} THEN {number} END"
    if kind in WRITTEN:
        pattern, plain = WRITTEN[kind]
        found = plain.format(c=c)
        found = f"TRY_CAST({found} AS DOUBLE)"
        return f"CASE WHEN regexp_matches({c}, '{pattern}') AND isfinite({found}) THEN {found} END"
    if kind == "boolean":
        return f"CASE lower({c}) WHEN 'true' THEN 1.0::DOUBLE WHEN 'false' THEN 0.0 END"
    if kind == "date":  # an offset such as +02:00 is heeded
        moment = f"make_timestamp(epoch_us(TRY_CAST({c} AS TIMESTAMPTZ)))"
        return f"CASE WHEN regexp_matches({c}, '{ISO}') THEN {moment} END"
    times = TIMES if "%H" not in kind and "%I" not in kind else ("",)
    patterns = ", ".join(_literal(kind[5:] + time) for time in times)
    # A look first: a strptime that fails is slow, one that does not takes 1.2.24 for the year 24.
    looks = _literal("^" + re.sub("%(.)|(.)", _expression, kind[5:]))
    return f"CASE WHEN regexp_matches({c}, {looks}) THEN try_strptime({c}, [{patterns}]) END"


def _expression(match: re.Match[str]) -> str:
    """Return a regular expression of what a letter of a date's format stands for."""
    code, other = match.groups()
    return re.escape(other) if code is None else DIGITS.get(code, ".+")


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def check_types(sheet: Sheet, types: Mapping[str, str]) -> None:
    """Refuse types of columns that are not there, and types that are none."""
    for name, kind in types.items():
        known = name in sheet.columns
        near = f"did you mean {nearest(name, sheet.columns)!r}?"
        got = f"{sheet.path} has no column {name!r}, expected one of {listed(sheet.columns)}"
        require(known, f"{got}; {near}")
        expected = (
            "expected number, number:comma (1.234,5), number:point (1,234.5), boolean, category, "
            "category:all (NA, None too), date or date:FORMAT, such as date:%d/%m/%Y"
        )
        require(KIND.fullmatch(kind) is not None, f"column {name!r} is typed {kind!r}, {expected}.")
        stored = sheet.types[sheet.columns.index(name)]
        wanted = kind.partition(":")[0]
        fits = wanted == "category" or stored == "VARCHAR"
        fits = fits or (stored in USABLE and (wanted == "date") == (stored == "TIMESTAMP"))
        got = f"{sheet.path}, column {name!r} holds {stored}"
        require(fits, f"{got}, expected {kind}: write that column anew, or leave it out.")


def columns_of(
    sheet: Sheet, names: list[str], types: Mapping[str, str], target: str | None = None
) -> list[Column]:
    """Decide what columns of a sheet hold, unless `types` says it; labels may be the target."""
    check_types(sheet, types)
    for name in names:
        stored = sheet.types[sheet.columns.index(name)]
        got = f"{sheet.path}, column {name!r} holds {stored}, expected numbers, text or dates"
        require(stored in USABLE or name in types, f"{got}: write it anew, or leave it out.")
    made: list[Column] = []
    for start in range(0, len(names), AT_ONCE):
        made += _decided(sheet, names[start : start + AT_ONCE], types, target)
    return made


def _decided(sheet, names, types, target):
    """Decide on some columns with two queries: all their counts, then those of other writings."""
    fields = [f"c{sheet.columns.index(name)}" for name in names]
    stored = [sheet.types[sheet.columns.index(name)] for name in names]
    stored = [kind if kind in USABLE else "VARCHAR" for kind in stored]
    stored = [
        "TEXT" if kind == "VARCHAR" and types.get(name) == ALL else kind
        for name, kind in zip(names, stored)
    ]
    counts = _counts(sheet, fields, stored)
    asked = [
        i for i, (name, count) in enumerate(zip(names, counts))
        if name not in types and stored[i] == "VARCHAR"
        and not _enough(count, "number") and not _enough(count, "boolean")
    ]  # fmt: skip
    written = _written_counts(sheet, [fields[i] for i in asked])
    for i, more in zip(asked, written):
        counts[i] |= more
    for name, field, kind, count in zip(names, fields, stored, counts):
        natural = {"DOUBLE": "number", "BOOLEAN": "boolean", "TIMESTAMP": "date"}.get(kind)
        natural = types.get(name) or natural or _kind(sheet, name, count, name == target)
        which = count["tokens"] or 0
        tokens = tuple(token for i, token in enumerate(MISSING) if which >> i & 1)
        yield Column(name, field, kind, natural, count["missing"], tokens)


def _kind(sheet: Sheet, name: str, count: Mapping[str, Any], is_target: bool) -> str:
    """Return what the cells of a text column are, by how many fit."""
    if _enough(count, "number") or (is_target and 2 * count["number"] > count["present"]):
        code = count["zero"] and count["shortest"] == count["longest"]
        return "category" if code else "number"
    if _enough(count, "boolean"):
        return "category" if is_target else "boolean"
    number = max(WRITTEN, key=lambda kind: count[kind])
    if _enough(count, number) and count["commas"]:  # else addresses, telephone numbers, ...
        if count[POINT] == count[COMMA]:
            remedy = f"say which by --types {name}={POINT} (1234) or {name}={COMMA} (1.234)"
            both = "numbers with commas that may part thousands or be decimal"
            raise DataError(f"{sheet.path}, column {name!r} holds {both}: {remedy}.")
        return number
    if is_target:
        return "category"
    best = max(("date", *DATES), key=lambda kind: count[kind])
    if not _enough(count, best):
        return "category"
    if best != "date" and count["%d/%m/%Y"] == count["%m/%d/%Y"] > count["%d.%m.%Y"]:
        remedy = f"say which by types={{{name!r}: 'date:%d/%m/%Y'}} (--types {name}=date:%d/%m/%Y)"
        both = "dates that may be day/month/year or month/day/year"
        raise DataError(f"{sheet.path}, column {name!r} holds {both}: {remedy}.")
    return best if best == "date" else f"date:{best}"


def _enough(count: Mapping[str, Any], kind: str) -> bool:
    return 0 < ENOUGH * count["present"] <= count[kind]


def _counts(sheet: Sheet, fields: list[str], stored: list[str]) -> list[dict[str, Any]]:
    """Count the cells of columns that are missing, numbers, and so on."""
    texts = {"tokens": "NULL", "number": "0", "boolean": "0", "zero": "false"}
    asked = []
    for c, kind in zip(fields, stored):
        number = f"{_value(c, 'VARCHAR', 'number')} IS NOT NULL"
        gone = _missing(c, kind)
        one = {"missing": f"count(*) FILTER ({gone})", "present": f"count(*) FILTER (NOT ({gone}))"}
        one |= texts if kind != "VARCHAR" else {
            "tokens": f"bit_or(CASE {c} {_WHICH} END)",
            "number": f"count(*) FILTER ({number})",
            "boolean": f"count(*) FILTER (lower({c}) IN ('true', 'false'))",
            "zero": f"bool_or(regexp_matches({c}, '^0[0-9]+$'))",
            "shortest": f"min(length({c})) FILTER (NOT ({gone}))",
            "longest": f"max(length({c})) FILTER (NOT ({gone}))",
        }  # fmt: skip
        asked.append(one)
    return _answers(sheet, asked)


def _written_counts(sheet: Sheet, fields: list[str]) -> list[dict[str, Any]]:
    kinds = {"date": "date", POINT: POINT, COMMA: COMMA} | {p: f"date:{p}" for p in DATES}
    asked = []
    for c in fields:
        one = {name: f"count({_value(c, 'VARCHAR', kind)})" for name, kind in kinds.items()}
        asked.append(one | {"commas": f"count(*) FILTER (contains({c}, ','))"})
    return _answers(sheet, asked)


def _answers(sheet: Sheet, asked: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return the values of SQL expressions, by their names, all from one query."""
    if not asked:
        return []
    row = iter(sheet.query(", ".join(sql for one in asked for sql in one.values())).fetchone())
    return [{name: next(row) for name in one} for one in asked]


def described(connection: Any, columns: list[Column], target: str | None) -> str:
    """Return what columns of DuckDB's table `data` were taken for and hold, a line each."""
    lines = [("column", "type", "missing", "values")]
    for column in columns[:TOLD]:
        c, name = column.field, column.name + (" (target)" if column.name == target else "")
        if column.frame_kind == "category":
            query = f"SELECT {c}, count(*) AS n FROM data WHERE {c} IS NOT NULL GROUP BY {c}"
            n = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()[0]
            first = connection.execute(f"{query} ORDER BY n DESC, {c} LIMIT 5").fetchall()
            examples = first_of([_cut(text) for text, _ in first], 4)
            values = f"{n:,} different: {examples}" if n else "nothing to learn from"
        else:
            low, high = connection.execute(f"SELECT min({c}), max({c}) FROM data").fetchone()
            show = "{:g}".format if column.frame_kind == "number" else _moment
            values = "" if low is None else f"{show(low)} to {show(high)}"
        tokens = f" ({', '.join(column.tokens)})" if column.tokens else ""
        missing = f"{column.n_missing:,}{tokens}" if column.n_missing else "-"
        lines.append((name, column.kind, missing, values))
    widths = [max(len(line[i]) for line in lines) for i in range(3)]
    told = ["  ".join([*(t.ljust(w) for t, w in zip(line, widths)), line[3]]) for line in lines]
    more = [f"and {len(columns) - TOLD} more columns"] if len(columns) > TOLD else []
    return "\n".join([line.rstrip() for line in told] + more)


def _moment(at: Any) -> str:
    return str(at).removesuffix(" 00:00:00")


def _cut(text: str) -> str:
    return shortened(" ".join(text.split()), 19, "…")
