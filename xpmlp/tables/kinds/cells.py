"""Counts of the cells of many columns of a raw table at once.

Columns are melted: each cell becomes a row (`row`, `field`, `cell`), and one GROUP BY counts for
all columns, so that the SQL stays short: with an expression a column, 10 000 columns took minutes.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from ..common import Shape
from ..files.raw_table import RawTable

AT_ONCE = 1 << 21  # cells that DuckDB holds at a time
VECTOR = 2048  # rows that it takes at a time
LONGEST = 100  # characters of a cell that may be a number or a date
SHAPES = 40  # of a column


def melted(raw: RawTable, fields: list[str], rest: str = "") -> Iterator[str]:
    """Yield tables to select `row`, `field` and `cell` from; the fields are of one type.

    rest: SQL of which rows, by default all.
    """
    n_fields = max(1, AT_ONCE // min(max(raw.n_rows, 1), VECTOR))
    for start in range(0, len(fields), n_fields):
        some = ", ".join(fields[start : start + n_fields])
        wide = f"(SELECT rowid AS row, {some} FROM raw {rest})"
        yield f"{wide} UNPIVOT INCLUDE NULLS (cell FOR field IN ({some}))"


def count(
    raw: RawTable, fields: list[str], asked: Mapping[str, str], rest: str = ""
) -> dict[str, dict[str, Any]]:
    """Return the values of SQL aggregates of `cell`, by their names, for each of the fields.

    rest: SQL of which rows, by default all.
    """
    found = {}
    selected = ", ".join(["field", *asked.values()])
    for table in melted(raw, fields, rest):
        query = f"SELECT {selected} FROM {table} GROUP BY field"
        for field, *values in raw.connection.execute(query).fetchall():
            found[field] = dict(zip(asked, values))
    return found


def gather(raw: RawTable, fields: list[str], missing: str) -> None:
    """Create table `cells` of the different cells of some text columns, and how many of each.

    missing: SQL of whether `cell` is missing; such are left out, and those that are too long for
    numbers and dates are one.
    """
    raw.connection.execute("CREATE OR REPLACE TABLE cells (field VARCHAR, cell VARCHAR, n BIGINT)")
    short = f"CASE WHEN strlen(cell) <= {LONGEST} THEN cell ELSE '' END"
    for table in melted(raw, fields):
        present = f"SELECT field, {short}, count(*) FROM {table} WHERE NOT ({missing})"
        raw.connection.execute(f"INSERT INTO cells {present} GROUP BY ALL")


def shapes(raw: RawTable) -> dict[str, list[Shape]]:
    """Return the most frequent shapes of the cells in `cells`, by their fields."""
    found: dict[str, list[Shape]] = {}
    query = (
        "SELECT field, regexp_replace(cell, '[0-9]+', '9', 'g') AS shape, sum(n)::BIGINT AS total, "
        "min(cell), max(cell) FROM cells GROUP BY field, shape "
        "QUALIFY row_number() OVER (PARTITION BY field ORDER BY total DESC, shape) "
        f"<= {SHAPES} ORDER BY field, total DESC, shape"
    )
    for field, *shape in raw.connection.execute(query).fetchall():
        found.setdefault(field, []).append(Shape(*shape))
    return found


def count_where(raw: RawTable, fields: Iterable[str], condition: str) -> dict[str, int]:
    """Return how many cells in `cells` fulfil a condition, by their fields."""
    query = (
        "SELECT field, sum(n)::BIGINT FROM cells WHERE field IN (SELECT unnest(?)) "
        f"AND {condition} GROUP BY field"
    )
    return dict(raw.connection.execute(query, [[*fields]]).fetchall())


def words(raw: RawTable, field: str, condition: str) -> list[tuple[str, int]]:
    """Return the cells of a field in `cells` that fulfil a condition, the most frequent first."""
    query = f"SELECT cell, n FROM cells WHERE field = ? AND {condition} ORDER BY n DESC, cell"
    return raw.connection.execute(query, [field]).fetchall()


def n_different(raw: RawTable, field: str, condition: str = "true") -> int:
    """Return how many different cells of a field in `cells` fulfil a condition."""
    query = f"SELECT count(*) FROM cells WHERE field = ? AND {condition}"
    (n,) = raw.connection.execute(query, [field]).fetchone() or (0,)
    return n
