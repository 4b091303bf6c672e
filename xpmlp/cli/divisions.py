"""Ways to divide rows: at random, by time, by group. Each holds a share out, and makes folds.

`held_out(rows, share)` returns the rows to train on and the others; `folds(rows, n)` yields n pairs
of places in `rows`. What cannot be divided is a ValueError, which says why.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

import numpy as np

from ..words import plural
from .command import tell

Pair = tuple[np.ndarray, np.ndarray]


def are_few(labels: np.ndarray, least: int) -> np.ndarray:
    """Tell of each row (n,) whether its label has fewer rows than that."""
    _, which, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return (counts < least)[which]


@dataclass(frozen=True, eq=False)
class AtRandom:
    """At random; labels: (n,), of which each is divided alike, or None for numbers."""

    labels: np.ndarray | None
    seed: int

    def held_out(self, rows: np.ndarray, share: float) -> Pair:
        """Split at random; what cannot be in both parts is trained on."""
        from sklearn.model_selection import train_test_split

        how: dict = {"test_size": share, "random_state": self.seed}
        if self.labels is None:
            left, held = train_test_split(rows, **how)
            return left, held
        alone = are_few(self.labels[rows], 2)
        others = rows[~alone]
        n_labels, n_held = len(np.unique(self.labels[others])), ceil(share * len(others))
        if n_labels <= min(n_held, len(others) - n_held):
            how["stratify"] = self.labels[others]
        elif len(others):
            tell(
                f"Note: {share:.0%} of {plural(len(others), 'row')} cannot show each of "
                f"{n_labels} labels, so they are drawn without regard to these."
            )
        left, held = train_test_split(others, **how)
        known = np.isin(self.labels[held], self.labels[left])
        return np.concatenate((rows[alone], left, held[~known])), held[known]

    def folds(self, rows: np.ndarray, n: int) -> Iterator[Pair]:
        """Yield folds with each label alike."""
        from sklearn.model_selection import KFold, StratifiedKFold

        how: dict = {"shuffle": True, "random_state": self.seed}
        if self.labels is None:
            yield from KFold(n, **how).split(rows)
            return
        yield from StratifiedKFold(n, **how).split(rows, self.labels[rows])


@dataclass(frozen=True, eq=False)
class ByTime:
    """The past is trained on, the future held out; rows of one moment stay together.

    moments: (n,) whole numbers in the order of time.
    """

    moments: np.ndarray

    def held_out(self, rows: np.ndarray, share: float) -> Pair:
        """Split where a moment begins, as near to the share as can be."""
        order = rows[np.argsort(self.moments[rows], kind="stable")]
        starts = 1 + np.flatnonzero(np.diff(self.moments[order]))
        if not len(starts):
            raise ValueError("all rows are of one moment")
        cut = starts[np.abs(starts - (1 - share) * len(rows)).argmin()]
        return order[:cut], order[cut:]

    def folds(self, rows: np.ndarray, n: int) -> Iterator[Pair]:
        """Yield folds of moments, each after all that is trained on."""
        from sklearn.model_selection import TimeSeriesSplit

        moments, which = np.unique(self.moments[rows], return_inverse=True)
        for before, after in TimeSeriesSplit(n).split(moments):
            yield np.flatnonzero(np.isin(which, before)), np.flatnonzero(np.isin(which, after))


@dataclass(frozen=True, eq=False)
class ByGroup:
    """No group is in two parts; groups: (n,) whole numbers; labels: (n,), or None for numbers."""

    groups: np.ndarray
    labels: np.ndarray | None
    seed: int

    def held_out(self, rows: np.ndarray, share: float) -> Pair:
        """Hold out groups of about a share of the rows: one of as many folds as it takes."""
        n_groups = len(np.unique(self.groups[rows]))
        if n_groups < 2:
            raise ValueError("all rows are of one group")
        n = min(max(2, round(1 / share)), n_groups)
        train, held = next(iter(self.folds(rows, n)))
        return rows[train], rows[held]

    def folds(self, rows: np.ndarray, n: int) -> Iterator[Pair]:
        """Yield folds of groups, with the labels as much alike as they let them."""
        from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

        how: dict = {"shuffle": True, "random_state": self.seed}
        groups = self.groups[rows]
        if len(np.unique(groups)) < n:
            raise ValueError(f"there are {len(np.unique(groups))} groups")
        if self.labels is None or are_few(self.labels[rows], n).all():
            yield from GroupKFold(n, **how).split(rows, groups=groups)
        else:
            yield from StratifiedGroupKFold(n, **how).split(rows, self.labels[rows], groups)
