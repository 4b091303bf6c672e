"""What is measured of a table is one thing, in whatever blocks and order its rows are counted."""

import pickle
from functools import reduce

import numpy as np
import pytest
from each import each

from xpmlp.model import measuring
from xpmlp.model.encoding import Encoder
from xpmlp.model.measuring import Spread, TextCounts, ValueCounts, counted
from xpmlp.tables.frame import Frame

rng = np.random.default_rng(0)
N = 3000
NUMBERS = rng.normal(size=N) * 10.0 ** rng.integers(-3, 3, N)
HOLES = np.where(rng.random(N) < 0.2, np.nan, rng.integers(-9, 9, N) * 1.0)
DAYS = np.datetime64("2020-01-01", "us") + rng.integers(0, 10**6, N).astype("m8[m]")
DAYS[::7] = "NaT"
TEXTS = np.asarray([None, *(f"t{i:03d}" for i in range(150))], object)[rng.integers(0, 151, N)]
FRAME = Frame(
    ("numbers", "zeros", "holes", "days", "texts", "codes"),
    ("number", "number", "number", "date", "category", "number"),
    (NUMBERS, np.where(rng.random(N) < 0.5, 0.0, -0.0), HOLES, DAYS, TEXTS, HOLES.round()),
)
KINDS = (*FRAME.kinds[:-1], "category")


def parts(how):
    """Return the table's rows in parts, in an order of their own."""
    rows = np.random.default_rng(how).permutation(N)
    ends = np.sort(np.random.default_rng(how).integers(0, N, how))
    return [FRAME[part] for part in np.split(rows, ends)]


def one_by_one(counts):
    return reduce(lambda a, b: a.merged(b), counts)


def in_pairs(counts):
    """Merge as a tree does."""
    while len(counts) > 1:
        counts = [one_by_one(counts[i : i + 2]) for i in range(0, len(counts), 2)]
    return counts[0]


def merged(frames, merge, **options):
    """Return the encoder of frames that were counted apart, in other processes as it were."""
    made = [pickle.loads(pickle.dumps([*counted(frame, KINDS)])) for frame in frames]
    return Encoder.of_counts([merge([*column]) for column in zip(*made)], **options)


@each("merge", [one_by_one, in_pairs])
@each("how", [1, 2, 5, 40])
@each("n_bins", [None, 6])
def test_parts_that_are_counted_apart_make_the_same_encoder_to_the_last_bit(merge, how, n_bins):
    whole = Encoder.of(FRAME, kinds=KINDS, n_bins=n_bins)
    made = merged(parts(how), merge, n_bins=n_bins)
    assert made.columns == whole.columns
    for a, b in zip((*made.scales, *made.edges), (*whole.scales, *whole.edges), strict=True):
        assert a.tobytes() == b.tobytes()


@each("together", [1, 2 * N, 10**9])
def test_few_or_many_columns_are_counted_in_one_pass(monkeypatch, together):
    expected = Encoder.of(FRAME, kinds=KINDS)
    monkeypatch.setattr(measuring, "TOGETHER", together)
    monkeypatch.setattr(measuring, "EXACT", N)
    monkeypatch.setattr("xpmlp.tables.frame.BLOCK", 700)
    made = Encoder.of(FRAME, kinds=KINDS)
    assert made.columns == expected.columns
    assert [a.tobytes() for a in made.scales] == [a.tobytes() for a in expected.scales]


@each("n", [1, 2, 7, 1000])
def test_quantiles_are_numpys_to_the_last_bit(n):
    values = rng.normal(size=n).round(2)
    at = np.linspace(0, 1, 33)
    found = Spread.of(values, np.ones(n, np.int64)).quantiles(at)
    assert found.tobytes() == np.quantile(values, at).tobytes()


def counts_of(values, cls=ValueCounts, kind="number", block=1000):
    counts = cls("x", kind)
    for start in range(0, len(values), block):
        counts.add(values[start : start + block], kind)
    return counts


@each("order", ["random", "rising", "falling", "merged"])
def test_more_values_than_are_kept_err_within_the_bound(monkeypatch, order):
    n, exact = 100_000, 2**12
    monkeypatch.setattr(measuring, "EXACT", exact)
    values = rng.gamma(0.3, size=n)
    if order != "random":
        values = np.sort(values)[:: (-1) ** (order == "falling")]
    if order == "merged":
        made = in_pairs([counts_of(part) for part in np.split(values, 8)])
    else:
        made = counts_of(values)
    made.measured(True, 8)
    spread = made.spread
    assert spread.counts.sum() == n and len(spread.values) <= exact
    assert (spread.values[0], spread.values[-1]) == (values.min(), values.max())
    at = np.linspace(0, 1, 41)
    ranks = np.searchsorted(np.sort(values), spread.quantiles(at)) - at * (n - 1)
    bound = (n / exact) ** 2 + (order == "merged") * 3 * 2 * n / exact
    assert np.abs(ranks).max() <= bound


def test_of_too_many_categories_the_frequent_ones_stay_and_that_is_told(monkeypatch):
    monkeypatch.setattr(measuring, "EXACT", 500)
    texts = np.asarray([f"once {i}" for i in range(3000)], object)
    texts[::30] = "often"
    with pytest.warns(UserWarning, match="'x' holds more than 500 different categories"):
        made = counts_of(texts, TextCounts, "category", block=100).measured(True, None)
    assert made.column.categories == ("often",) and made.column.missing
    halves = [counts_of(half, TextCounts, "category") for half in np.split(texts, 2)]
    with pytest.warns(UserWarning, match="leave it out if it names single rows"):
        assert one_by_one(halves).measured(True, None).column.categories == ("often",)


def test_equally_frequent_categories_are_kept_by_their_names_not_by_their_order():
    texts = np.asarray([f"t{i:04d}" for i in range(measuring.MOST + 5)] * 2, object)
    for given in (texts, texts[::-1]):
        made = counts_of(given, TextCounts, "category").measured(True, None)
        assert made.column.categories == tuple(sorted({*texts})[: measuring.MOST])
