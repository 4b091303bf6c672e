"""Encoder: from a raw table to numbers, measured by `fit` and kept in the model."""

import os
import tempfile
import warnings
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ..arrays import free_memory
from ..errors import DataError, DeviceMemoryError
from ..nn import Embedding
from ..tables.frame import check_names, frame_of
from ..words import listed
from .columns import Column, as_kind
from .drift import drift
from .measuring import counted

CHUNK = 2048  # rows encoded at once: what is made on the way stays in the cache
CLIP = 3.0  # scaled numbers end up between -3 and 3
FAR = 1e150  # whose square is finite


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
        check_names([c.name for c in self.columns])
        others = sum(len(c.names_of_others) for c in self.columns)
        n = sum(c.kind != "category" for c in self.columns)
        if [a.shape for a in self.scales] != [(1, n), (1, n + others), (1, n + others)]:
            raise ValueError(f"the scales of a table fit {n} numbers and {others} other columns")
        self._check_numbers()
        rising = all(a.ndim == 1 and a.size and (np.diff(a) > 0).all() for a in self.edges)
        if len(self.edges) not in (0, n) or not rising:
            raise ValueError(f"the edges of bins are {n} rows of rising numbers")
        self._check_ends()

    def _check_numbers(self):
        """Refuse scales by which a finite number could become none."""
        _, center, scale = self.scales
        if not (scale >= 0).all():
            raise ValueError("the scales of a table are not below 0")
        if center[scale == 0].any():  # 0 times a difference that is too large
            raise ValueError("what a table scales by 0 is centred at 0")
        if not self.robust and (center.any() or not np.isin(scale, (0.0, 1.0)).all()):
            raise ValueError("a table that is not scaled has scales of 1")

    def _check_ends(self):
        """Refuse fills outside of their columns' ends, and bins between others than these."""
        values = [c for c in self.columns if c.kind != "category"]
        # Of halves, by which fit measures: the smallest numbers differ from twice their halves.
        for i, (column, fill) in enumerate(zip(values, self.scales.fill[0] / 2.0)):
            if column.low is None or column.high is None:
                continue
            low, high = column.low / 2.0, column.high / 2.0
            if not low <= fill <= high:
                raise ValueError(f"column {column.name!r} fills in what is not between its ends")
            if self.edges and (low, high) != tuple(self.edges[i][[0, -1]] / 2.0):
                raise ValueError(f"the bins of column {column.name!r} are not between its ends")

    @staticmethod
    def of(frame, *, kinds=None, robust=True, named=True, n_bins=None):
        """Measure a table; kinds: what its columns are taken as."""
        counts = counted(frame, kinds)
        return Encoder.of_counts(counts, robust=robust, named=named, n_bins=n_bins)

    @staticmethod
    def of_counts(counts, *, robust=True, named=True, n_bins=None):
        """Return the encoder of a table of which each column is counted."""
        made = [c.measured(robust, n_bins) for c in counts]
        columns = tuple(m.column for m in made)
        values, others = ([s for m in made for s in m[k]] for k in (1, 2))
        edges = tuple(a for m in made for a in m.edges)
        fills = [fill for fill, _, _ in values]
        centers, scales = ([s[k] for s in (*values, *others)] for k in (1, 2))
        rows = (np.asarray(a, np.float64).reshape(1, -1) for a in (fills, centers, scales))
        return Encoder(columns, Scales(*rows), edges, robust=robust, named=named)

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
                rows = self.assemble([c.read(as_kind(c, kind, a)) for c, kind, a in given])
                stop += len(rows)
                with np.errstate(over="ignore"):  # the check for finite numbers says it
                    made[stop - len(rows) : stop] = rows
        return made

    def drift(self, X):
        """Return what training did not see among the rows of a table, in sentences.

        X: a data frame, or a Frame, with the columns of fit. A column is told once: numbers and
        dates of which a twentieth are further outside of the range of fit than it is wide, numbers
        of which half are outside, of 20 rows or more; categories that are unknown; a column that
        is missing in all rows.

        Examples
        --------
        >>> import pandas as pd
        >>> encoder = Encoder.of(frame_of(pd.DataFrame({"age": [20.0, 30.0, 40.0]})))
        >>> print(*encoder.drift(pd.DataFrame({"age": [25e3]})))
        column 'age' holds 25,000, in 1 of 1 row outside of the 20 to 40 that training saw.
        """
        return drift(self.columns, self.taken(frame_of(X)))

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
        known, there = {*expected}, {*found}
        lacking = [name for name in expected if name not in there]
        extra = [name for name in found if name not in known]
        if lacking:
            also = f", and the model does not know {listed(extra)}" * bool(extra)
            raise DataError(
                f"X has other columns than the table of fit: it lacks {listed(lacking)}{also}."
            )
        if extra:
            warnings.warn(f"X has columns that the model does not know: left out {listed(extra)}.")
        return frame if found == expected else frame.select(expected)


def _binned(value, edges):
    """Return the bins (n, len(edges) - 1) of a value (n,)."""
    with np.errstate(over="ignore"):
        return np.clip((value[:, None] - edges[:-1]) / np.diff(edges), 0.0, 1.0) - 0.5


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
