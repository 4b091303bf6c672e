"""The types and the content of a table's columns, a line each."""

from typing import Any

from ..words import first_of, shortened
from .kinds.types import TableColumn

DESCRIBED = 40  # columns


def described(connection: Any, columns: list[TableColumn], target: str | None) -> str:
    """Return the type and the content of columns of DuckDB's table `data`, a line each."""
    shown = columns[:DESCRIBED]
    contents = _ranges(connection, shown) | _categories(connection, shown)
    lines = [("column", "type", "missing", "values")]
    for column in shown:
        name = " ".join(column.name.split()) + " (target)" * (column.name == target)
        tokens = f" ({', '.join(column.tokens)})" * bool(column.tokens)
        missing = "-"
        if column.n_missing:
            missing = f"{column.n_missing:,}{tokens}"
        lines.append((name, column.kind, missing, contents.get(column.field, "")))
    widths = [max(map(len, cells)) for cells in zip(*lines)]
    text = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    if len(columns) > DESCRIBED:
        text.append(f"and {len(columns) - DESCRIBED:,} more columns")
    return "\n".join(text)


def _ranges(connection: Any, columns: list[TableColumn]) -> dict[str, str]:
    """Return the range of each column of numbers or dates, by its field."""
    measured = [column for column in columns if column.frame_kind != "category"]
    if not measured:
        return {}
    ends = [f"{end}({column.field})" for column in measured for end in ("min", "max")]
    found = connection.execute(f"SELECT {', '.join(ends)} FROM data").fetchone()
    ranges = {}
    for column, low, high in zip(measured, found[::2], found[1::2]):
        if low is None:
            ranges[column.field] = ""
        elif column.frame_kind == "number":
            ranges[column.field] = f"{low:g} to {high:g}"
        else:
            ranges[column.field] = f"{low} to {high}".replace(" 00:00:00", "")
    return ranges


def _categories(connection: Any, columns: list[TableColumn]) -> dict[str, str]:
    """Return how many categories each column has, and the most frequent ones, by its field."""
    fields = [column.field for column in columns if column.frame_kind == "category"]
    if not fields:
        return {}
    among = ", ".join(fields)
    melted = f"(SELECT {among} FROM data) UNPIVOT (cell FOR field IN ({among}))"
    query = (
        "SELECT field, cell, count(*) OVER (PARTITION BY field) FROM "
        f"(SELECT field, cell, count(*) AS n FROM {melted} GROUP BY field, cell) "
        "QUALIFY row_number() OVER (PARTITION BY field ORDER BY n DESC, cell) <= 4 "
        "ORDER BY field, n DESC, cell"
    )
    contents = dict.fromkeys(fields, "nothing to learn from")
    frequent: dict[str, list[str]] = {}
    for field, cell, n in connection.execute(query).fetchall():
        text = shortened(" ".join(cell.split()), 19, "…")
        frequent.setdefault(field, []).append(text)
        contents[field] = f"{n:,} different: {first_of(frequent[field], 3)}"  # fits 80 columns
    return contents
