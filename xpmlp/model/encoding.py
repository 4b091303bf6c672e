"""Encoder: from a raw table to numbers, measured by `fit` and kept in the model."""

import os
import tempfile
import warnings
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from itertools import repeat
from typing import NamedTuple

import numpy as np

from ..arrays import free_memory
from ..errors import DataError, DeviceMemoryError
from ..nn import Embedding
from ..tables.frame import EMPTY, as_text
from ..words import listed

SMALL = 64  # categories that become 0/1 columns, which compiled code runs; more: learnt vectors
MOST = 1000  # categories of a column that are told apart, the most frequent; the others are unknown
CHUNK = 2048  # rows encoded at once: what is made on the way stays in the cache
CLIP = 3.0  # scaled numbers end up between -3 and 3
LARGEST = np.finfo(np.float64).max
FAR = 1e150  # whose square is finite
YEAR, WEEK, DAY = 365.2425, 7.0, 1.0  # days
EPOCH, ONE_DAY = np.datetime64(0, "us"), np.timedelta64(1, "D") / np.timedelta64(1, "us")


@dataclass(frozen=True)
class Column:
    """How a column of a table is encoded.

    missing: whether values were missing when it was measured, which then have an indicator.
    categories: in order of their slots, from 1; slot 0 is for missing and unknown ones.
    times: whether dates have times of day. embedded: whether a trained vector stands for each
    category, as a model file says it too, whatever SMALL will be when it is read.
    """

    name: str
    kind: str  # "number", "category" or "date"
    missing: bool = False
    categories: tuple[str, ...] = ()
    times: bool = False
    embedded: bool = False

    def __post_init__(self):
        texts = {*self.categories, self.name}
        if self.kind not in KINDS or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"column {self.name!r} is a {self.kind!r} of {self.categories[:3]}")
        if len({*self.categories}) < len(self.categories):
            raise ValueError(f"column {self.name!r} has the same category twice")
        if (self.categories or self.embedded) and self.kind != "category":
            raise ValueError(f"column {self.name!r} is a {self.kind} with categories")

    @property
    def periods(self):
        """The periods, in days, in which dates have a phase."""
        return (YEAR, WEEK, DAY)[: 2 + self.times]

    def read(self, values):
        """Return numbers, or days since 1970, NaN where missing; or slots of categories; (n,)."""
        if self.kind == "date":
            days = (values - EPOCH).astype(np.float64) / ONE_DAY
            return np.where(np.isnat(values), np.nan, days)
        if self.kind == "number":
            return values
        return np.fromiter(map(self._slot.get, values.tolist(), repeat(0)), np.int64, len(values))

    @cached_property
    def _slot(self):
        return {category: i for i, category in enumerate(self.categories, 1)}

    @cached_property
    def of_numbers(self):
        """Whether all categories are numbers, written as `as_text` writes them."""
        return all(_is_number(category) for category in self.categories)

    def others(self, a):
        """Return the other columns for what was read, each (n,): indicators, phases, 0/1."""
        if self.embedded:
            return []
        if self.kind == "category":
            return [a == i for i in range(not self.missing, len(self.categories) + 1)]
        gone = np.isnan(a)
        made = [gone] * self.missing
        if self.kind == "date":
            waves = [2 * np.pi / period * a for period in self.periods]
            made += [np.where(gone, 0.0, f(w)) for w in waves for f in (np.sin, np.cos)]
        return made

    @property
    def names_of_others(self):
        """The names of `others`."""
        if self.embedded:
            return []
        names = [f"{self.name} missing"] * self.missing
        names += [f"{self.name}={category}" for category in self.categories]
        if self.kind == "date":
            waves = ("year", "week", "day")[: len(self.periods)]
            names += [f"{self.name} {f} {wave}" for wave in waves for f in ("sin", "cos")]
        return names


class Scales(NamedTuple):
    """The numbers of an encoder, host arrays of float64."""

    fill: np.ndarray  # (1, n_values) in the place of missing numbers and dates: medians
    center: np.ndarray  # (1, n_dense)
    scale: np.ndarray  # (1, n_dense)


@dataclass(frozen=True, eq=False)
class Encoder:
    """A measured table: columns, and the numbers they are scaled by.

    Encoded rows are [values of numbers and dates | indicators, phases, 0/1 columns | bins of the
    values | codes of embedded categories]. The first two are centred and scaled by median and
    quartiles, then clipped smoothly, if `robust`. The bins of a value, between neighbouring
    `edges`, are -1/2 below it, 1/2 above it, and rise through the one that it is in.

    References
    ----------
    Holzmueller, Grinsztajn & Steinwart 2024, appendix A.2 (robust scaling and smooth clipping);
    Gorishniy, Rubachev & Babenko 2022, eq. 1 (piecewise-linear encoding, there from 0 to 1).

    Examples
    --------
    >>> from xpmlp.tables.frame import Frame
    >>> frame = Frame(("age", "city"), ("number", "category"), (
    ...     np.asarray([20.0, 30.0, 40.0]), np.asarray(["Rome", None, "Oslo"], object)))
    >>> encoder = Encoder.of(frame)
    >>> encoder.names
    ('age', 'city missing', 'city=Oslo', 'city=Rome')
    >>> encoder.encode(frame[[0]]).round(2)
    array([[-0.95,  0.  ,  0.  ,  1.66]])
    """

    columns: tuple[Column, ...]
    scales: Scales
    edges: tuple[np.ndarray, ...] = ()  # (n + 1,) rising, of the n bins of each value; or none
    robust: bool = True
    named: bool = True  # False where columns are known by place, those of an array

    def __post_init__(self):
        if len({c.name for c in self.columns}) < len(self.columns):
            raise ValueError("two columns have the same name")
        others = sum(len(c.names_of_others) for c in self.columns)
        n = sum(c.kind != "category" for c in self.columns)
        if [a.shape for a in self.scales] != [(1, n), (1, n + others), (1, n + others)]:
            raise ValueError(f"the scales of a table fit {n} numbers and {others} other columns")
        if not all((a >= 0).all() for a in self.scales[2:]):
            raise ValueError("the scales of a table are not below 0")
        rising = all(a.ndim == 1 and a.size and (np.diff(a) > 0).all() for a in self.edges)
        if len(self.edges) not in (0, n) or not rising:
            raise ValueError(f"the edges of bins are {n} rows of rising numbers")

    @staticmethod
    def of(frame, *, kinds=None, robust=True, named=True, n_bins=None):
        """Measure a table, a column at a time; kinds: what its columns are taken as."""
        columns, values, others, edges = [], [], [], []
        for i, (name, kind) in enumerate(zip(frame.names, kinds or frame.kinds)):
            if kind == "category":
                column, ones = _categories(name, frame)
                others += [_of_ones(k, len(frame), robust) for k in ones]
                columns.append(column)
                continue
            given = frame.column(i)
            column = _measured(name, kind, given)
            read = column.read(given)
            known = read[~np.isnan(read)]
            values.append(_statistics(name, known, robust))
            if n_bins:
                edges.append(_edges(name, known, n_bins))
            others += [_statistics(name, a, robust) for a in column.others(read)]
            columns.append(column)
        fills = [fill for fill, _, _ in values]
        centers, scales = ([s[k] for s in (*values, *others)] for k in (1, 2))
        made = (np.asarray(a, np.float64).reshape(1, -1) for a in (fills, centers, scales))
        return Encoder(tuple(columns), Scales(*made), tuple(edges), robust=robust, named=named)

    @property
    def names(self):
        """The names of the encoded columns."""
        values = [c.name for c in self.columns if c.kind != "category"]
        others = [name for c in self.columns for name in c.names_of_others]
        bins = [
            f"{name} in {low:.4g} ... {high:.4g}"
            for name, edges in zip(values, self.edges)
            for low, high in zip(edges, edges[1:])
        ]
        return (*values, *others, *bins, *(c.name for c in self.columns if c.embedded))

    @property
    def width(self):
        """The number of encoded columns."""
        n_bins = sum(len(edges) - 1 for edges in self.edges)
        return self.scales.center.shape[1] + n_bins + len(self.sizes)

    @property
    def n_values(self):
        """How many encoded columns are values of numbers and dates; they come first."""
        return self.scales.fill.shape[1]

    @property
    def sizes(self):
        """The numbers of slots of the embedded categories."""
        return tuple(len(c.categories) + 1 for c in self.columns if c.embedded)

    def layer(self):
        """Return the layer that the codes are for, or None where there are none."""
        return Embedding(self.sizes) if self.sizes else None

    def encode(self, frame, dtype="float64"):
        """Return a table's rows as numbers (n, width), a block of rows at a time.

        What memory does not hold goes to a temporary file.

        Raises
        ------
        DataError
            The table has other columns, or columns of another kind, than the one measured.
        """
        frame = self.taken(frame)
        made, stop = _empty((len(frame), self.width), dtype), 0
        for block in frame.blocks():
            for start in range(0, len(block), CHUNK):
                part = block[start : start + CHUNK]
                given = zip(self.columns, part.kinds, part.columns)
                rows = self.assemble([c.read(_as_kind(c, kind, a)) for c, kind, a in given])
                stop += len(rows)
                with np.errstate(over="ignore"):  # the check for finite numbers says it
                    made[stop - len(rows) : stop] = rows
        return made

    def assemble(self, read):
        """Return the encoded rows (n, width) for what was read of each column, (n,)."""
        pairs = list(zip(self.columns, read))
        values = [a for column, a in pairs if column.kind != "category"]
        others = [b for column, a in pairs for b in column.others(a)]
        codes = [a[:, None] for column, a in pairs if column.embedded]
        fills = zip(values, self.scales.fill[0])
        values = [np.where(np.isnan(value), fill, value) for value, fill in fills]
        parts = [_binned(value, edges) for value, edges in zip(values, self.edges)]
        if values or others:
            dense = np.stack([*values, *others], axis=-1)
            with np.errstate(over="ignore"):
                z = (dense - self.scales.center) * self.scales.scale
            if self.robust:
                z = np.clip(z, -FAR, FAR)
                z = z / np.sqrt(1.0 + (z / CLIP) ** 2)
            parts.insert(0, z)
        return np.concatenate([*parts, *codes], axis=1)

    def taken(self, frame):
        """Return the columns of fit of a frame, found by their names, in the order of fit.

        Columns that the model does not know are left out, with a warning.
        """
        if not self.named:
            if frame.shape[1] != len(self.columns):
                raise DataError(f"X has {frame.shape[1]} columns, fit had {len(self.columns)}.")
            return frame
        expected, found = [c.name for c in self.columns], list(frame.names)
        lacking = [name for name in expected if name not in found]
        extra = [name for name in found if name not in expected]
        if lacking:
            also = f", and the model does not know {listed(extra)}" * bool(extra)
            raise DataError(
                f"X has other columns than the table of fit: it lacks {listed(lacking)}{also}."
            )
        if extra:
            warnings.warn(f"X has columns that the model does not know: left out {listed(extra)}.")
        return frame if found == expected else frame.select(expected)


def _categories(name, frame):
    """Return how a column of categories is encoded, and the numbers of ones in `others`."""
    counts: Counter = Counter()
    for block in frame.select([name]).blocks():
        values = block.columns[0]
        if block.kinds == ("number",):
            if (np.abs(values) >= 2**53).any():
                raise DataError(
                    f"column {name!r} holds numbers of 2^53 or more, which lose digits: make them "
                    "text to take them as categories."
                )
            values = _texts_of_numbers(values)
        counts.update(values.tolist())
    missing, known = bool(counts.pop(None, 0)), [*counts]
    if len(counts) > SMALL:  # what occurs once teaches nothing but how the unknown behaves
        known = [text for text, n in counts.most_common(MOST) if n > 1]
        missing |= len(known) < len(counts)
    column = Column(name, "category", missing, tuple(sorted(known)), embedded=len(known) > SMALL)
    if column.embedded:
        return column, []
    ones = [counts[text] for text in column.categories]
    return column, [len(frame) - sum(ones)] * missing + ones


def _measured(name, kind, values):
    """Return how a column of numbers or dates is encoded."""
    if kind == "date":
        known = values[~np.isnat(values)]
        times = bool((known != known.astype("datetime64[D]")).any())
        return Column(name, kind, missing=len(known) < len(values), times=times)
    return Column(name, kind, missing=bool(np.isnan(values).any()))


def _statistics(name, a, robust):
    """Return the median of a column, and by what it is centred and scaled."""
    a = np.asarray(a, np.float64)
    if not len(a):
        return 0.0, 0.0, 0.0
    # Of halves, as a difference may be twice the largest number.
    low, median, high = np.quantile(a / 2.0, [0.25, 0.5, 0.75])
    if not robust:
        return 2.0 * median, 0.0, 1.0
    with np.errstate(over="ignore", divide="ignore"):
        scales = 0.5 / (high - low), 1.0 / (a.max() / 2.0 - a.min() / 2.0)
    # Above 0: of -0.0 alone, quartiles differ by -0.0, and 1 / -0.0 is -inf.
    scale = next((scale for scale in scales if 0.0 < scale < np.inf), 0.0)
    if not scale and a.min() < a.max():
        raise DataError(f"column {name!r} holds numbers too near each other: change its unit.")
    center = 2.0 * median * (scale > 0)  # a column of one value becomes 0 by its scale alone
    return 2.0 * median, center, scale


def _of_ones(n_ones, n, robust):
    """Return `_statistics` of n zeros and ones, from the number of ones."""
    low, median, high = np.clip(np.asarray([0.25, 0.5, 0.75]) * (n - 1) - (n - n_ones - 1), 0, 1)
    if not robust:
        return median, 0.0, 1.0
    if not 0 < n_ones < n:
        return median, 0.0, 0.0
    return median, median, 1.0 / (high - low or 0.5)


def _edges(name, a, n_bins):
    """Return the edges of at most n_bins bins: every value, if there are few, or quantiles.

    Half of these are of the different values, so that a value that most rows share, such as 0,
    does not take all edges.
    """
    if not len(a):
        return np.zeros(1)
    known = edges = np.unique(a)
    if len(known) > n_bins:
        at = np.linspace(0.0, 1.0, n_bins // 2 + 1)
        edges = np.unique([2.0 * np.quantile(values / 2.0, at) for values in (a, known)])
    if (edges[1:] / 2.0 - edges[:-1] / 2.0 > LARGEST / 2.0).any():
        raise DataError(f"column {name!r} holds numbers too far apart for bins: change its unit.")
    return edges


def _binned(value, edges):
    """Return the bins (n, len(edges) - 1) of a value (n,)."""
    with np.errstate(over="ignore"):
        return np.clip((value[:, None] - edges[:-1]) / np.diff(edges), 0.0, 1.0) - 0.5


def _as_kind(column, kind, values):
    """Return a column's values as the kind that the model was fitted to."""
    if kind == column.kind:
        return values
    if column.kind == "category" and kind == "number" and column.of_numbers:
        return _texts_of_numbers(values)
    known = [value for value in values.tolist() if as_text(value) is not None]
    if known:
        example = {"date": "a date"}.get(kind, repr(known[0]))
        raise DataError(
            f"column {column.name!r} holds {KINDS[kind]} such as {example}, the model was fitted "
            f"to {KINDS[column.kind]} there."
        )
    return np.full(len(values), EMPTY[column.kind], EMPTY[column.kind].dtype)


def _texts_of_numbers(values):
    known, at = np.unique(values, return_inverse=True)
    return np.asarray([as_text(value) for value in known.tolist()], object)[at]


def _is_number(text):
    try:
        return as_text(float(text)) == text
    except ValueError:
        return False


KINDS = {"number": "numbers", "category": "text", "date": "dates"}


def _empty(shape, dtype):
    """Return an array to be filled, in a temporary file where it would take the memory."""
    size, free = int(np.prod(shape)) * np.dtype(dtype).itemsize, free_memory(np.empty(0))
    if free is None or size < 0.5 * free:
        return np.empty(shape, dtype)
    try:
        with tempfile.TemporaryFile() as file:
            os.posix_fallocate(file.fileno(), 0, size)  # a full disk is an error now, not later
            return np.asarray(np.memmap(file, dtype, "r+", shape=shape))
    except OSError as error:
        raise DeviceMemoryError(
            f"the encoded table takes {size / 1e9:.1f} GB, which neither memory has "
            f"({free / 1e9:.1f} GB) nor {tempfile.gettempdir()} ({error.strerror}): let TMPDIR "
            "name a larger disk, or pass fewer rows."
        ) from error
