"""How the rows of another table lie outside of what an encoder was measured on, in sentences."""

from collections import Counter

import numpy as np

from ..words import first_of, plural
from .columns import EPOCH, ONE_DAY, as_kind

FAR = 0.05  # of the known values: so many, further away than the range is wide, are told
OUTSIDE = 0.5  # of the known values: so many outside of the range are told
FEW = 20  # rows that say little by being just outside, or all missing
SHOWN = 3  # categories in a note


def drift(columns, frame):
    """Return a sentence for each column whose values training did not see; they are counted."""
    found = [(_Texts if c.kind == "category" else _Values)(c) for c in columns]
    for block in frame.blocks():
        for seen, kind, values in zip(found, block.kinds, block.columns):
            seen.add(seen.column.read(values := as_kind(seen.column, kind, values)), values)
    n = len(frame)
    return [text for seen in found for text in seen.told(n)]


class _Values:
    """Counts of the values of a column of numbers or dates."""

    def __init__(self, column):
        self.column, self.n_known, self.n_far, self.n_outside = column, 0, 0, 0
        self.low, self.high = np.inf, -np.inf

    def add(self, read, values):
        low, high = self.column.low, self.column.high
        known = read[~np.isnan(read)]
        if low is None or not len(known):
            return
        self.n_known += len(known)
        self.low, self.high = min(self.low, known.min()), max(self.high, known.max())
        # Of halves, as a difference may be twice the largest number.
        away = np.maximum(low / 2.0 - known / 2.0, known / 2.0 - high / 2.0)
        self.n_outside += int(np.count_nonzero(away > 0))
        self.n_far += int(np.count_nonzero(away > high / 2.0 - low / 2.0))

    def told(self, n):
        name, kind = self.column.name, self.column.kind
        if self.column.low is None or not n:
            return
        before = self._range(self.column.low, self.column.high)
        if not self.n_known:
            if n >= FEW or not self.column.missing:
                yield f"column {name!r} is missing in {_all(n)}, training saw {before}."
            return
        # Dates go on: that most are after those of training is no news.
        most = kind == "number" and n >= FEW and self.n_outside >= OUTSIDE * self.n_known
        if most or self.n_far >= FAR * self.n_known:
            now = self._range(self.low, self.high)
            rows = f"in {self.n_outside:,} of {plural(n, 'row')}"
            yield f"column {name!r} holds {now}, {rows} outside of the {before} that training saw."

    def _range(self, low, high):
        """Return words for a range: "18 to 90", or "18" alone."""
        return " to ".join(dict.fromkeys(map(self._written, (low, high))))

    def _written(self, value):
        if self.column.kind == "number":
            return f"{value:,g}"
        moment = EPOCH + np.timedelta64(round(value * ONE_DAY), "us")
        return str(moment.astype("M8[s]")).removesuffix("T00:00:00").replace("T", " ")


class _Texts:
    """Counts of the categories of a column that are not known."""

    def __init__(self, column):
        self.column, self.n_known = column, 0
        self.unknown: Counter = Counter()

    def add(self, read, values):
        self.unknown.update(values[read == 0].tolist())
        self.n_known += len(values) - self.unknown.pop(None, 0)

    def told(self, n):
        name, known = self.column.name, self.column.categories
        if self.unknown:
            shown = first_of([*map(repr, self.unknown)], SHOWN)
            rows = plural(self.unknown.total(), "row")
            yield (
                f"column {name!r} holds {shown} in {rows}, which the model does not know and takes "
                "as missing."
            )
        elif n and known and not self.n_known and (n >= FEW or not self.column.missing):
            shown = first_of([*map(repr, known)], SHOWN)
            yield f"column {name!r} is missing in {_all(n)}, training saw {shown}."


def _all(n):
    """Return words for all of n rows."""
    return "the only row" if n == 1 else f"all {n:,} rows"
