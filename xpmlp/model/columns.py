"""Columns of a table: how each is read, and what it becomes for an encoder."""

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, repeat

import numpy as np

from ..errors import DataError
from ..tables.frame import EMPTY, as_text

YEAR, WEEK, DAY = 365.2425, 7.0, 1.0  # days
EPOCH, ONE_DAY = np.datetime64(0, "us"), np.timedelta64(1, "D") / np.timedelta64(1, "us")
KINDS = {"number": "numbers", "category": "text", "date": "dates"}
# Ends of numbers, and of the days since 1970 that microseconds of 64 bits count; text has none.
LARGEST = {"number": float(np.finfo(np.float64).max), "date": 2**63 * 1e-6 / 86400, "category": 0.0}


@dataclass(frozen=True)
class Column:
    """How a column of a table is encoded.

    missing: whether values were missing when it was measured, which then have an indicator.
    categories: in order of their slots, from 1; slot 0 is for missing and unknown ones.
    times: whether dates have times of day. embedded: whether a trained vector stands for each
    category, as a model file says it too, whatever SMALL will be when it is read. low, high: the
    ends of the numbers, or of the days since 1970, None where there were none or nobody looked.
    """

    name: str
    kind: str  # "number", "category" or "date"
    missing: bool = False
    categories: tuple[str, ...] = ()
    times: bool = False
    embedded: bool = False
    low: float | None = None
    high: float | None = None

    def __post_init__(self):
        texts = {*self.categories, self.name}
        if self.kind not in KINDS or not all(isinstance(text, str) for text in texts):
            raise ValueError(f"column {self.name!r} is a {self.kind!r} of {self.categories[:3]}")
        if any(a >= b for a, b in pairwise(self.categories)):
            raise ValueError(f"column {self.name!r} has the same category twice, or not in order")
        if (self.categories or self.embedded) and self.kind != "category":
            raise ValueError(f"column {self.name!r} is a {self.kind} with categories")
        if self.times and self.kind != "date":
            raise ValueError(f"column {self.name!r} is a {self.kind} with times of day")
        ends, most = [end for end in (self.low, self.high) if end is not None], LARGEST[self.kind]
        known = all(isinstance(end, int | float) and abs(end) <= most for end in ends)
        if not known or len(ends) == 1 or ends != sorted(ends) or (ends and not most):
            raise ValueError(f"column {self.name!r} goes from {self.low!r} to {self.high!r}")

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
        known = self.categories
        return all(_is_number(text) and as_text(float(text)) == text for text in known)

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


def as_kind(column, kind, values):
    """Return a column's values as the kind that the model was fitted to."""
    if kind == column.kind:
        return values
    if column.kind == "category" and kind == "number" and column.of_numbers:
        return texts_of_numbers(values)
    known = [value for value in values.tolist() if as_text(value) is not None]
    if known:
        odd = next((value for value in known if not _is_number(value)), known[0])
        example = repr(odd)
        if kind == "date":
            first = values[~np.isnat(values)][0].astype("M8[s]")
            example = str(first).removesuffix("T00:00:00").replace("T", " ")
        raise DataError(
            f"column {column.name!r} holds {KINDS[kind]} such as {example}, the model was fitted "
            f"to {KINDS[column.kind]} there."
        )
    return np.full(len(values), EMPTY[column.kind], EMPTY[column.kind].dtype)


def texts_of_numbers(values):
    """Return numbers (n,) as the texts of categories."""
    known, at = np.unique(values, return_inverse=True)
    return np.asarray([as_text(value) for value in known.tolist()], object)[at]


def _is_number(value):
    try:
        return math.isfinite(float(value))
    except (TypeError, ValueError):
        return False
