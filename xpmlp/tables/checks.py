"""Columns that a model had better not learn from: of no use to it, or the target once more."""

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ..words import as_list, first_of
from .frame import Frame
from .kinds.types import TableColumn
from .open_table import OpenTable

LEAST = 20  # rows, of which fewer prove nothing
SAMPLES = 1_000, 30_000  # rows that most columns are settled by; of the others all are read
AT_ONCE = 1_000  # columns a query, of which more take longer each
CELLS = 4_000_000  # a query
UNIQUE = 0.9  # of a text column's cells that occur once: it identifies rows
DENSE = 0.5  # of the numbers from the least to the greatest: they are places in a list
HALF = 0.5  # of the steps of running numbers are equal, whatever gaps there are
EVEN = 20  # times the mean, up to which a step may be by chance where numbers are left out
VARIED = 5  # rows besides the most frequent value, which two columns do not share by chance
NAMED = 8  # columns that a warning names


@dataclass(frozen=True, eq=False)
class Cells:
    """The cells of a column. values: (n,) float64, NaN where missing; or of text its hash."""

    kind: str
    values: np.ndarray
    missing: np.ndarray

    @cached_property
    def constant(self) -> bool:
        """Whether all are the same."""
        return bool((self.values == self.values[0]).all())

    @cached_property
    def groups(self) -> tuple[np.ndarray, np.ndarray]:
        """For each row the first that has its value (n,), and how many rows a value has."""
        _, first, which, counts = np.unique(
            self.values, return_index=True, return_inverse=True, return_counts=True
        )
        return first[which], counts

    @property
    def identify(self) -> bool:
        """Whether a text is another one in almost every row."""
        if self.kind != "category":
            return False
        once, present = (self.groups[1] == 1).sum(), (~self.missing).sum()
        return bool(once >= UNIQUE * present >= UNIQUE / 2 * len(self.values))

    def number_rows(self, n_rows: int) -> bool:
        """Tell whether whole numbers count the rows of a table, or are places in a list of them."""
        values = self.values
        if self.kind != "number" or self.missing.any() or (values % 1).any():
            return False
        with np.errstate(over="ignore"):
            steps, reach = np.diff(values), np.ptp(values)
        if (steps > 0).all() or (steps < 0).all():
            return _are_even(np.abs(steps))
        return bool((reach + 1) * DENSE <= n_rows and len(self.groups[1]) == len(values))

    def follow(self, target: "Cells") -> bool:
        """Tell whether numbers rise, or fall, wherever the target rises, and only there."""
        if not self.kind == target.kind == "number" or self.missing.any():
            return False
        order = np.argsort(target.values, kind="stable")
        with np.errstate(over="ignore"):
            turns, wanted = (np.sign(np.diff(a[order])) for a in (self.values, target.values))
        return bool((turns == wanted).all() or (turns == -wanted).all())

    def keys(self, varied: int) -> set[int]:
        """Return numbers of which two columns that tell the same have one in common.

        varied: rows that must have other values than the most frequent one.
        """
        which, counts = self.groups
        if len(self.values) - counts.max() < varied:
            return set()
        found = {hash((self.kind, self.values.tobytes()))}
        if len(counts) <= len(self.values) / 2:  # else any two columns have the same groups
            found.add(hash(which.tobytes()))
        return found


def _are_even(steps: np.ndarray) -> bool:
    """Tell the steps of running numbers, some maybe left out, from those of sorted quantities."""
    usual = (steps == np.median(steps)).mean() >= HALF
    return bool(usual or steps.max() <= EVEN * steps.mean())


@dataclass
class Found:
    """Names of columns by what is the matter; those of `same` with what each one repeats."""

    missing: list[str] = field(default_factory=list)
    constant: list[str] = field(default_factory=list)
    identifying: list[str] = field(default_factory=list)
    numbering: list[str] = field(default_factory=list)
    leaking: list[str] = field(default_factory=list)
    same: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> set[str]:
        """All of the columns, and what they repeat."""
        lists = self.missing, self.constant, self.identifying, self.numbering, self.leaking
        return set(self.same.values()).union(self.same, *lists)


def warnings_of(table: OpenTable, features: Sequence[str]) -> list[str]:
    """Return a sentence for each kind of doubtful columns among the features of an open table.

    What some of the rows rule out is not asked of the rest.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> from xpmlp.tables.open_table import open_table
    >>> rows = "".join(f"{i},{i * i % 7},{i % 2}\\n" for i in range(40))
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "rows.csv")
    ...     _ = path.write_text(f"id,x,y\\n{rows}")
    ...     with open_table(path) as table:
    ...         what, _, remedy = warnings_of(table, table.features.names)[0].partition(": ")
    >>> what
    "column 'id' counts the rows as an identifier does (or is it a quantity?)"
    >>> remedy
    'leave it out by --drop id'
    """
    if table.y is None or len(table.y) < LEAST:
        return []
    n = len(table.y)
    columns = {column.name: column for column in table.columns}
    target, names = columns[table.target_name or ""], list(features)
    for rows in (*SAMPLES, n):
        step = n // rows
        if step > 1 or rows == n:  # else it would be almost all of them
            found = _found(table, target, [columns[name] for name in names], step)
            doubtful = found.names
            names = [name for name in names if name in doubtful]
    return list(_sentences(found, len(features), target.name))


def _found(
    table: OpenTable, target: TableColumn, columns: Sequence[TableColumn], step: int
) -> Found:
    """Return what is the matter with columns, by every `step`-th row of a table."""
    found, n_rows = Found(), len(table.y)
    first: dict[int, str] = {}  # column with a key
    least = 1  # of some rows; what they do not show, all may
    if step == 1:
        least = VARIED
    ((_, told),) = _read(table, [target], step)
    its_keys = told.keys(least)
    for name, cells in _read(table, columns, step):
        if cells.missing.all():
            found.missing.append(name)
        elif cells.constant:
            found.constant.append(name)
        elif cells.number_rows(n_rows):
            found.numbering.append(name)
        elif cells.identify:
            found.identifying.append(name)
        elif not its_keys.isdisjoint(keys := cells.keys(least)) or (keys and cells.follow(told)):
            found.leaking.append(name)
        elif known := keys & first.keys():
            found.same[name] = first[known.pop()]
        else:
            first.update(dict.fromkeys(keys, name))
    return found


def _read(
    table: OpenTable, columns: Sequence[TableColumn], step: int
) -> Iterator[tuple[str, Cells]]:
    """Yield the names and the cells of columns, of every `step`-th row."""
    there, others = {}, []
    if isinstance(table.features, Frame):  # its numbers need no query
        there = dict(zip(table.features.names, table.features.columns))
    for column in columns:
        if column.frame_kind == "number" and column.name in there:
            values = there[column.name][::step] + 0.0
            yield column.name, Cells("number", values, np.isnan(values))
        else:
            others.append(column)
    yield from _asked(table, others, step)


def _asked(
    table: OpenTable, columns: Sequence[TableColumn], step: int
) -> Iterator[tuple[str, Cells]]:
    """Ask DuckDB for columns; yield what `_read` does."""
    most = max(1, min(AT_ONCE, CELLS * step // len(table.y)))
    for kind, cell in CELL.items():
        some = [column for column in columns if column.frame_kind == kind]
        for start in range(0, len(some), most):
            part = some[start : start + most]
            fields = ", ".join(column.field for column in part)
            # An expression for each of many columns is slow: they become one.
            long = f"SELECT unnest([{fields}]) AS v FROM data WHERE rowid % {step} = 0"
            query = f"SELECT {cell} AS cell, v IS NULL AS missing FROM ({long})"
            made: Any = table.raw.connection.execute(query).fetchnumpy()
            values, missing = (
                np.ascontiguousarray(np.ma.getdata(made[key]).reshape(-1, len(part)).T)
                for key in ("cell", "missing")
            )
            yield from (
                (column.name, Cells(kind, values[i], missing[i])) for i, column in enumerate(part)
            )


CELL = {  # SQL of a cell v as a number, 0.0 and -0.0 as one
    "number": "coalesce(v + 0.0, 'nan'::DOUBLE)",
    "date": "coalesce(epoch(v), 'nan'::DOUBLE)",
    "category": "hash(v)",
}


def _sentences(found: Found, n_features: int, target: str) -> Iterator[str]:
    """Yield a sentence for each kind of columns; none where it would leave no column."""
    kinds = (
        (found.missing, "is missing in every row", "are missing in every row"),
        (found.constant, "holds the same in every row", "hold the same in every row"),
        (
            found.identifying,
            "is text that differs in almost every row, of which nothing can be learnt",
            "are text that differs in almost every row, of which nothing can be learnt",
        ),
        (
            found.numbering,
            "counts the rows as an identifier does (or is it a quantity?)",
            "count the rows as identifiers do (or are they quantities?)",
        ),
        (
            found.leaking,
            f"tells the target {target!r} itself (is it known before the target is?)",
            f"tell the target {target!r} itself (are they known before the target is?)",
        ),
        (found.same, "tells what another one tells", "tell what others tell"),
    )
    for names, one, several in kinds:
        if not 0 < len(names) < n_features:
            continue
        shown = [repr(name) for name in names]
        if names is found.same:
            shown = [f"{name!r} (as {other!r})" for name, other in found.same.items()]
        what, them = f"column {shown[0]} {one}", "it"
        if len(names) > 1:
            what, them = f"columns {first_of(shown, NAMED)} {several}", "them"
        yield f"{what}: leave {them} out by --drop {shlex.quote(as_list([*names][:NAMED]))}"
