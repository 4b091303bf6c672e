"""Rows of a raw table that a cell makes bad: which they are, and what is said of them."""

from collections.abc import Collection, Iterator
from shlex import quote

import numpy as np

from ..errors import DataError
from ..words import first_of, listed, shortened
from .files.csv_repair import BadRow
from .files.raw_table import RawTable
from .kinds.cells import melted
from .kinds.found import is_word
from .kinds.types import ALL, MISSING, TableColumn, base, is_missing, value_of

LISTED = 10  # bad rows that a message shows


class BadCells:
    """Table `bad` of the cells that are not what their columns hold, or no target."""

    def __init__(
        self,
        raw: RawTable,
        columns: list[TableColumn],
        target: str | None,
        needed: Collection[str] = (),
    ):
        self.raw, self.target, self.needed = raw, target, {target, *needed}
        self.columns = {column.field: column for column in columns}
        create = "CREATE TABLE bad (row BIGINT, place BIGINT, field VARCHAR, cell VARCHAR)"
        raw.connection.execute(create)
        for fields, condition in self._conditions():
            for table in melted(raw, fields):
                bad = f"SELECT row, field[2:]::BIGINT, field, cell FROM {table} WHERE {condition}"
                raw.connection.execute(f"INSERT INTO bad {bad}")

    def _conditions(self) -> Iterator[tuple[list[str], str]]:
        """Yield fields that are of one kind, and the SQL of whether a `cell` of them is bad."""
        alike: dict[tuple[str, str], list[str]] = {}
        for column in self.columns.values():
            if not column.checked:
                alike.setdefault((column.stored, column.kind), []).append(column.field)
            if column.name in self.needed and column.n_missing:
                yield [column.field], is_missing("cell", column.stored)
        for (stored, kind), fields in alike.items():
            value = value_of("cell", stored, kind)
            yield fields, f"NOT ({is_missing('cell', stored)}) AND ({value}) IS NULL"

    def found(self, policy: str, most: float | None) -> tuple[list[BadRow], np.ndarray]:
        """Return the bad rows by line, and the rows of `raw` that are left out; or raise."""
        raw = self.raw
        query = "SELECT count(DISTINCT row) FROM bad"
        n_cells = raw.connection.execute(query).fetchone()[0]
        n_bad, n_rows = n_cells + len(raw.bad_rows), raw.n_rows + len(raw.bad_rows)
        if n_bad == 0:
            return [], np.zeros(0, np.int64)
        if most is not None and most < 1:  # a share of the rows
            most *= n_rows
        refused = policy == "error" or (most is not None and n_bad > most)
        shown = LISTED if refused else n_bad
        bad_cells, left_out = self._bad_cells(shown)
        bad_rows = sorted(bad_cells + raw.bad_rows[:shown])
        if not refused:
            return bad_rows, left_out
        message = f"{raw.path} {bad_rows[0].sentence(raw.unit)}"
        if n_bad > 1:
            others = first_of([str(row.line) for row in bad_rows[1:]], 5)
            message += f"; {n_bad:,} of {n_rows:,} rows are bad, the next in {raw.unit} {others}"
        raise DataError(f"{message}: {self._remedy(policy, most)}.")

    def _remedy(self, policy: str, most: float | None) -> str:
        """Return what to do about bad rows that are refused."""
        wrong = self._wrongly_typed()
        if wrong:
            return (
                f"no cell of {wrong.name!r} is of type {wrong.kind}, which the model or --types "
                "says: give the right type, or the right file"
            )
        remedy = "mend them, or leave them out by on_bad_row='skip' (--on-bad-row skip)"
        if policy != "error":
            remedy = f"that is more than the {most:g} of max_bad_rows (--max-bad-rows)"
        return "; ".join([remedy, *self._other_remedies()])

    def _bad_cells(self, most: int) -> tuple[list[BadRow], np.ndarray]:
        """Return rows with a bad cell, the first of each row, and where they are in `raw`."""
        first = "SELECT row, arg_min(row(field, cell), place) FROM bad GROUP BY row"
        query = f"{first} ORDER BY row LIMIT {most}"
        found = self.raw.connection.execute(query).fetchall()
        rows = np.asarray([row for row, _ in found], np.int64)
        lines = self.raw.lines(rows).tolist()
        return [self._bad_row(line, *bad) for line, (_, bad) in zip(lines, found)], rows

    def _bad_row(self, line: int, field: str, cell: str | None) -> BadRow:
        """Return the record of a row, with what its bad cell should have been."""
        column = self.columns[field]
        reason = f"expected {column.expected}"
        if column.name == self.target and (cell is None or cell in MISSING):
            reason = "the target is missing"
            if cell:
                reason += f" ({cell} as a label: --types {quote(column.name)}={ALL})"
        elif column.name in self.needed and (cell is None or cell in MISSING):
            reason = "expected a value to weigh or to split rows by"
        return BadRow(line, column.name, reason, cell or "")

    def _wrongly_typed(self) -> TableColumn | None:
        """Return the first column of several cells none of which is of its type."""
        n = f"count(*) FILTER (NOT ({is_missing('cell', 'VARCHAR')}))"
        query = f"SELECT field, {n} FROM bad GROUP BY field ORDER BY min(place)"
        for field, n_bad in self.raw.connection.execute(query).fetchall():
            column = self.columns[field]
            if n_bad == self.raw.n_rows - column.n_missing > 1:
                return column
        return None

    def _other_remedies(self) -> list[str]:
        """Return what else helps where bad cells are the same word, or a target's labels."""
        query = (
            "SELECT cell, count(*), list(DISTINCT field ORDER BY field) FROM bad "
            "GROUP BY cell ORDER BY count(*) DESC, cell LIMIT 1"
        )
        worst = self.raw.connection.execute(query).fetchone()
        if worst is None or worst[0] is None or worst[0] in MISSING:
            return []
        cell, n, fields = worst
        columns = [self.columns[field] for field in fields]
        names = [column.name for column in columns]
        if names == [self.target]:
            labels = f"if {self.target!r} holds labels, say --types {quote(names[0])}=category"
            return [labels] * (base(columns[0].kind) == "number")
        if n == 1 or not is_word(cell):
            return []
        said = f"--missing {quote(cell)}, in Python Reading(missing=({cell!r},))"
        where = f"{shortened(cell, 30)!r} stands in {n:,} cells of {listed(names)}"
        return [f"{where}: if it is a missing value, say {said}"]
