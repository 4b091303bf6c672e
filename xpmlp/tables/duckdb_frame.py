"""Frames whose columns lie in DuckDB, in memory or in a scratch file."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from .frame import BLOCK, EMPTY, Frame


@dataclass(frozen=True, eq=False)
class DuckDBFrame:
    """The interface of a Frame on DuckDB's table `data`, as long as its connection is open.

    names, kinds: of the columns; fields: what DuckDB calls them. rows: (n,) rows of `data`, in any
    order. `blocks` is fast where they ascend.
    """

    connection: Any
    names: tuple[str, ...]
    kinds: tuple[str, ...]
    fields: tuple[str, ...]
    rows: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return len(self), len(self.names)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, rows: Any) -> "DuckDBFrame":
        """Return rows by a slice or an array; nothing is read."""
        return replace(self, rows=self.rows[rows])

    def select(self, names: Sequence[str]) -> "DuckDBFrame":
        """Return some of the columns, in this order."""
        places = {name: i for i, name in enumerate(self.names)}
        at = [places[name] for name in names]
        kinds, fields = (tuple(a[i] for i in at) for a in (self.kinds, self.fields))
        return replace(self, names=tuple(names), kinds=kinds, fields=fields)

    def column(self, i: int) -> np.ndarray:
        """Read the values of a column."""
        return self.select([self.names[i]]).in_memory().column(0)

    def blocks(self) -> Iterator[Frame]:
        """Read the rows, a bounded number at a time."""
        for start in range(0, len(self), BLOCK):
            yield self[start : start + BLOCK].in_memory()

    def in_memory(self) -> Frame:
        """Read all of it."""
        rows = self.rows
        last = int(rows.max(initial=0))
        first = int(rows.min(initial=last))
        within = f"rowid BETWEEN {first} AND {last}"
        if last - first >= 16 * len(rows):  # scattered: DuckDB finds them
            wanted = {"row": np.unique(rows)}  # noqa: F841 - DuckDB finds it by its name
            within += " AND rowid IN (SELECT row FROM wanted)"
        selected = ", ".join(("rowid AS row", *self.fields))
        query = f"SELECT {selected} FROM data WHERE {within}"
        found = self.connection.execute(query).fetchnumpy()
        there = np.asarray(found["row"])
        order = np.argsort(there)
        at = order[np.searchsorted(there, rows, sorter=order)]
        pairs = zip(self.fields, self.kinds)
        columns = tuple(np.ma.filled(found[f], EMPTY[kind])[at] for f, kind in pairs)
        return Frame(self.names, self.kinds, columns)
