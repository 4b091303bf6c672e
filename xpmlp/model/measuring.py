"""What an encoder measures of a table: counts of each column that add up over blocks of rows."""

import warnings
from collections import Counter
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ..errors import DataError
from .columns import Column, texts_of_numbers

SMALL = 64  # categories that become 0/1 columns, which compiled code runs; more: learnt vectors
MOST = 1000  # categories of a column that are told apart, the most frequent; the others are unknown
EXACT = 2**20  # different values of a column that are all counted, numbers or texts
TOGETHER = 2**24  # values of several columns that are in memory while they are counted
QUARTERS = np.asarray([0.25, 0.5, 0.75])
LARGEST = np.finfo(np.float64).max


def counted(frame, kinds=None):
    """Yield the counts of each column of a table; kinds: what its columns are taken as.

    The blocks of a table are read once for as many columns as memory has room for.
    """
    kinds = tuple(kinds or frame.kinds)
    step = max(1, TOGETHER // max(1, min(len(frame), EXACT)))
    for start in range(0, len(kinds), step):
        names = frame.names[start : start + step]
        part = frame if step >= len(kinds) else frame.select(names)
        found = [COUNTS[kind](name, kind) for name, kind in zip(names, kinds[start:])]
        for block in part.blocks():
            for counts, kind, values in zip(found, block.kinds, block.columns):
                counts.add(values, kind)
        yield from found


class Measured(NamedTuple):
    """What an encoder takes of a column: fill, center and scale of its values and of the others."""

    column: Column
    values: list[tuple[float, float, float]]
    others: list[tuple[float, float, float]]
    edges: list[np.ndarray]


class Spread(NamedTuple):
    """Different values (k,), rising, and how often each occurs."""

    values: np.ndarray
    counts: np.ndarray

    @staticmethod
    def of(values, counts):
        """Return the spread of values (n,) in any order, each of which occurs so often."""
        order = np.argsort(values, kind="stable")
        values = values[order]
        first = np.flatnonzero(np.append(True, values[1:] != values[:-1])[: len(values)])
        return Spread(values[first], np.add.reduceat(counts[order], first))

    def quantiles(self, at):
        """Return the quantiles of all values, as `np.quantile` computes them."""
        ends = np.cumsum(self.counts)
        place = (ends[-1] - 1) * at
        low = np.floor(place)
        share = place - low
        a, b = (
            self.values[np.searchsorted(ends, np.minimum(rank, ends[-1] - 1), "right")]
            for rank in (low, low + 1)
        )
        return np.where(share < 0.5, a + (b - a) * share, b - (b - a) * (1.0 - share))

    def shortened(self):
        """Return it with EXACT different values at most, and the same sum of counts.

        Of more, the values of EXACT / 2 ranks evenly apart are kept, and the ends, which moves the
        rank of no value by more than 2 / EXACT of the rows.
        """
        if len(self.values) <= EXACT:
            return self
        ends, n = np.cumsum(self.counts), EXACT // 2
        bounds = np.arange(n + 1) * ends[-1] // n
        values = self.values[np.searchsorted(ends, (bounds[1:] + bounds[:-1]) // 2, "right")]
        values[[0, -1]] = self.values[[0, -1]]
        return Spread.of(values, np.diff(bounds))


class ValueCounts:
    """Counts of the values of a column of numbers or dates, block by block.

    Up to EXACT different values the counts are exact, in whatever blocks and order they come. More
    are shortened for each EXACT rows, so that after n rows ranks err by (n / EXACT)**2 rows at
    most: of 1e9 rows by a thousandth. Each merge adds 2 / EXACT of the rows of both.
    """

    def __init__(self, name, kind):
        self.column = Column(name, kind)
        self.n_missing, self.times = 0, False
        self.spread = Spread(np.empty(0), np.empty(0, np.int64))
        self.waiting: list[np.ndarray] = []  # values that are not yet in the spread

    def add(self, values, kind):
        """Count the values (n,) of a block."""
        if kind == "date":
            days = values.astype("datetime64[D]")
            self.times |= bool((values != days)[~np.isnat(values)].any())
        read = self.column.read(values)
        known = read[~np.isnan(read)] + 0.0  # -0.0 is 0.0
        self.n_missing += len(values) - len(known)
        self.waiting.append(known)
        if sum(map(len, self.waiting)) >= EXACT:
            self._settle()

    def _settle(self):
        """Bring the values that wait into the spread."""
        parts = Spread(*np.unique(np.concatenate(self.waiting), return_counts=True)), self.spread
        self.spread = _joined(*parts)
        self.waiting = []

    def merged(self, other):
        """Return the counts of the rows of both."""
        made = ValueCounts(self.column.name, self.column.kind)
        made.n_missing, made.times = self.n_missing + other.n_missing, self.times or other.times
        made.spread = _joined(self.spread, other.spread)
        made.waiting = [*self.waiting, *other.waiting]
        return made

    def measured(self, robust, n_bins):
        """Return what an encoder takes of them; n_bins: of the bins of numbers, or None."""
        if self.waiting:
            self._settle()
        name, (values, counts) = self.column.name, self.spread
        column = replace(self.column, missing=self.n_missing > 0, times=self.times)
        if len(values):
            column = replace(column, low=float(values[0]), high=float(values[-1]))
        edges = [_edges(name, self.spread, n_bins)] if n_bins else []
        if column.missing:
            values, counts = np.append(values, np.nan), np.append(counts, self.n_missing)
        spreads = [Spread.of(a.astype(np.float64), counts) for a in column.others(values)]
        others = [_statistics(name, spread, robust) for spread in spreads]
        return Measured(column, [_statistics(name, self.spread, robust)], others, edges)


class TextCounts:
    """Counts of the categories of a column, block by block.

    Of more than EXACT different ones the most frequent half is kept, which is told.
    """

    def __init__(self, name, kind="category"):
        self.name, self.n_rows, self.n_missing, self.forgets = name, 0, 0, False
        self.counts: Counter = Counter()

    def add(self, values, kind):
        """Count the values (n,) of a block, which may be numbers."""
        if kind == "number":
            if (np.abs(values) >= 2**53).any():
                raise DataError(
                    f"column {self.name!r} holds numbers of 2^53 or more, which lose digits: make "
                    "them text to take them as categories."
                )
            values = texts_of_numbers(values)
        self.n_rows += len(values)
        self.counts.update(values.tolist())
        self.n_missing += self.counts.pop(None, 0)
        self._shorten()

    def merged(self, other):
        """Return the counts of the rows of both."""
        made = TextCounts(self.name)
        made.n_rows, made.n_missing = self.n_rows + other.n_rows, self.n_missing + other.n_missing
        made.counts, made.forgets = self.counts + other.counts, self.forgets or other.forgets
        made._shorten()
        return made

    def _shorten(self):
        if len(self.counts) > EXACT:
            ordered = sorted(self.counts.items(), key=lambda item: (-item[1], item[0]))
            self.counts, self.forgets = Counter(dict(ordered[: EXACT // 2])), True

    def measured(self, robust, n_bins):
        """Return what an encoder takes of them."""
        counts, missing = self.counts, self.n_missing > 0 or self.forgets
        if self.forgets:
            warnings.warn(
                f"column {self.name!r} holds more than {EXACT:,} different categories, of which "
                "the rarest were not counted to the end: leave it out if it names single rows.",
                stacklevel=2,
            )
        known = [*counts]
        if len(counts) > SMALL:  # what occurs once teaches nothing but how the unknown behaves
            often = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST]
            known = [text for text, n in often if n > 1]
            missing |= len(known) < len(counts)
        embedded = len(known) > SMALL
        column = Column(self.name, "category", missing, tuple(sorted(known)), embedded=embedded)
        if embedded:
            return Measured(column, [], [], [])
        ones = [counts[text] for text in column.categories]
        ones = [self.n_rows - sum(ones)] * missing + ones
        spreads = [_of_ones(n, self.n_rows) for n in ones]
        others = [_statistics(self.name, spread, robust) for spread in spreads]
        return Measured(column, [], others, [])


COUNTS = {"number": ValueCounts, "date": ValueCounts, "category": TextCounts}


def _joined(a, b):
    """Return the spread of the values of both."""
    values, counts = (np.concatenate(pair) for pair in zip(a, b))
    return Spread.of(values, counts).shortened()


def _of_ones(n_ones, n):
    """Return the spread of zeros and ones, of which there are so many."""
    counts = np.asarray([n - n_ones, n_ones])
    return Spread(np.asarray([0.0, 1.0])[counts > 0], counts[counts > 0])


def _statistics(name, spread, robust):
    """Return the median of a spread, and by what its values are centred and scaled."""
    if not len(spread.values):
        return 0.0, 0.0, 0.0
    # Of halves, as a difference may be twice the largest number.
    halves = spread._replace(values=spread.values / 2.0)
    low, median, high = halves.quantiles(QUARTERS)
    if not robust:
        return 2.0 * median, 0.0, 1.0
    width = halves.values[-1] - halves.values[0]
    with np.errstate(over="ignore", divide="ignore"):
        scales = 0.5 / (high - low), 1.0 / width
    scale = next((scale for scale in scales if 0.0 < scale < np.inf), 0.0)
    if not scale and spread.values[0] < spread.values[-1]:
        raise DataError(f"column {name!r} holds numbers too near each other: change its unit.")
    center = 2.0 * median * (scale > 0)  # a column of one value becomes 0 by its scale alone
    return 2.0 * median, center, scale


def _edges(name, spread, n_bins):
    """Return the edges of at most n_bins bins: every value, if there are few, or quantiles.

    Half of these are of the different values, so that a value that most rows share, such as 0,
    does not take all edges.
    """
    known = edges = spread.values
    if not len(known):
        return np.zeros(1)
    if len(known) > n_bins:
        at = np.linspace(0.0, 1.0, n_bins // 2 + 1)
        all_ways = (spread.counts, np.ones(len(known), np.int64))
        found = [Spread(known / 2.0, counts).quantiles(at) for counts in all_ways]
        edges = 2.0 * np.unique(found)
    if (edges[1:] / 2.0 - edges[:-1] / 2.0 > LARGEST / 2.0).any():
        raise DataError(f"column {name!r} holds numbers too far apart for bins: change its unit.")
    return edges
