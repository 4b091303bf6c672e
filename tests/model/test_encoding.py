"""The encoder: its numbers against formulas of their own, its words, its bounds on any table."""

import datetime as dt
import errno
import math
import os
import pickle
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from each import each
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xpmlp import nn
from xpmlp.errors import DataError, DeviceMemoryError
from xpmlp.model import encoding, measuring
from xpmlp.model.columns import Column
from xpmlp.model.encoding import Encoder, Scales
from xpmlp.tables.frame import Frame, frame_of

NAN = float("nan")


def encoded(table, rows=None, **options):
    """The encoded rows as a dict by name; measured on the table."""
    encoder = Encoder.of(frame_of(pd.DataFrame(table)), **options)
    made = encoder.encode(frame_of(pd.DataFrame(table if rows is None else rows)))
    assert made.shape[1] == encoder.width == len(encoder.names)
    return dict(zip(encoder.names, made.T.tolist()))


def quantile(values, q):
    """Linear between neighbours, in plain Python."""
    values, at = sorted(values), q * (len(values) - 1)
    low = math.floor(at)
    high = min(low + 1, len(values) - 1)
    return values[low] + (at - low) * (values[high] - values[low])


def squashed(value, known):
    """Robust scaling and smooth clipping of a value, measured on the known ones."""
    spread = quantile(known, 0.75) - quantile(known, 0.25)
    width = max(known) - min(known)
    z = (value - quantile(known, 0.5)) * (1 / spread if spread else 2 / width if width else 0)
    return z / math.hypot(1, z / 3)


@each(
    "values",
    [
        [1.0, 2.0, 4.0, 8.0, 16.0, -3.0],
        [0.0] * 9 + [5.0],  # the quartiles are one
        [0.0] * 5 + [1.0] * 5,
        [7.0] * 4,  # constant
        [1e308] * 3,
        [1e308, -1e308, 0.0, 5e307],
        [1.7e9 + i for i in range(10)],
        [3.0],
    ],
)
def test_numbers_are_scaled_by_median_and_quartiles_and_clipped_smoothly(values):
    new = [*values, 100.0, -1e250]
    made = encoded({"a": values}, {"a": [*new, -1.7e308, 1.7e308]})["a"]
    halves = [value / 2 for value in values]  # whose differences are finite
    expected = [squashed(v / 2, halves) for v in new]
    np.testing.assert_allclose(made[: len(new)], expected, atol=1e-12)
    assert -3 <= made[-2] <= min(made) <= max(made) <= made[-1] <= 3


def test_numbers_stay_as_they_are_where_they_are_not_scaled():
    values = [1.5, -2e300, 3e-300, NAN]
    made = encoded({"a": values, "c": list("xxyz")}, robust=False)
    assert made["a"] == [1.5, -2e300, 3e-300, 3e-300] and made["a missing"] == [0, 0, 0, 1]
    assert made["c=x"] == [1, 1, 0, 0]


def test_numbers_that_no_scale_tells_apart_are_refused_by_name():
    with pytest.raises(DataError, match="'tiny' holds numbers too near each other"):
        encoded({"tiny": [0.0, 5e-324, 1e-323]})


def test_missing_numbers_and_dates_are_the_median_with_an_indicator():
    days = [np.datetime64(f"2020-01-0{i}") if i else None for i in (1, 0, 3, 5)]
    table = {"a": [1.0, NAN, 3.0, 7.0], "d": pd.to_datetime(days), "e": [1.0, 2.0, 3.0, 4.0]}
    made = encoded(table)
    assert made["a"][1] == made["d"][1] == 0  # the median is the centre
    for name in ("a missing", "d missing"):
        assert made[name] == pytest.approx([squashed(v, [0, 1, 0, 0]) for v in (0, 1, 0, 0)])
    assert made["d sin year"][1] == pytest.approx(
        encoded(table, {**table, "d": [None] * 4})["d sin year"][0]
    )
    assert "e missing" not in made
    late = encoded(table, {**table, "e": [NAN, 2.0, 3.0, 4.0]})  # missing for the first time
    assert late["e"][0] == 0 and late["e"][1:] == made["e"][1:]


@pytest.mark.parametrize("missing", [True, False])
def test_few_categories_are_columns_of_zeros_and_ones(missing):
    cities = ["Rome", "Oslo", "Rome", "Bern", None if missing else "Bern"]
    made = encoded({"c": cities}, {"c": ["Oslo", "Paris", None]})
    texts = ([None] if missing else []) + ["Bern", "Oslo", "Rome"]
    assert list(made) == [f"c={text}" if text else "c missing" for text in texts]
    for text, column in zip(texts, made.values()):
        ones = [float(city == text) for city in cities]
        # What is unknown takes the place of what is missing, if that has one.
        new = [float(city == text) for city in ("Oslo", None, None)]
        assert column == pytest.approx([squashed(v, ones) for v in new])


@each("n", range(1, 10))
def test_zeros_and_ones_are_scaled_as_numbers_are_however_many_they_are(n):
    for k in range(n + 1):
        cities = ["Rome"] * k + ["Oslo"] * (n - k)
        for name, column in encoded({"c": cities}).items():
            ones = [float(name == f"c={city}") for city in cities]
            assert column == pytest.approx([squashed(v, ones) for v in ones])


def codes(n, twice=True):
    return [f"code {i:04d}" for i in range(n)] * (1 + twice)


def test_many_categories_are_slots_from_one_and_zero_is_missing_and_unknown():
    known = codes(measuring.SMALL + 1)
    made = encoded({"c": [*known, "once", None]}, {"c": [*known, "once", None, "new", ""]})
    n = len(known) // 2
    assert list(made) == ["c"] and made["c"] == [*range(1, n + 1)] * 2 + [0.0] * 4


def test_a_layer_embeds_the_columns_of_codes_in_their_order():
    n = measuring.SMALL + 1
    table = {"c": codes(n), "a": range(2 * n), "d": codes(n // 2, False) * 4 + ["x"] * (n % 2 * 2)}
    encoder = Encoder.of(frame_of(pd.DataFrame(table)))
    assert encoder.layer() == nn.Embedding((n + 1,)) and encoder.names[-1] == "c"
    assert Encoder.of(frame_of(pd.DataFrame({"a": [1.0, 2.0]}))).layer() is None


def test_the_most_frequent_categories_are_kept_and_the_rest_is_unknown(monkeypatch):
    monkeypatch.setattr(measuring, "MOST", 70)
    often = codes(70)
    made = encoded({"c": [*often, *often, "rare", "rare"]})["c"]
    assert made == [*range(1, 71)] * 4 + [0.0, 0.0]


@pytest.mark.parametrize("n_bins", [2, 5, 8, 100])
def test_bins_rise_from_minus_a_half_to_a_half_between_their_edges(n_bins):
    rng = np.random.default_rng(0)
    values = np.where(rng.random(300) < 0.8, 0.0, rng.normal(size=300).round(1))
    table = {"a": values, "b": np.full(300, 2.0), "c": ["x", "y"] * 150}
    encoder = Encoder.of(frame_of(pd.DataFrame(table)), n_bins=n_bins)
    edges = encoder.edges[0]
    assert n_bins // 2 < len(edges) <= n_bins + 2 or n_bins == 100  # though most are zeros
    assert {edges[0], edges[-1]} == {values.min(), values.max()}
    assert (len(edges) == len(np.unique(values))) == (n_bins == 100)
    new = np.asarray([-1e308, *edges, *values[:9], 1e308])
    rows = pd.DataFrame({"a": new, "b": 5.0, "c": "x"})
    made = encoder.encode(frame_of(rows))[:, encoder.scales.center.size :]
    expected = [np.interp(new, pair, [-0.5, 0.5]) for pair in pairwise(edges)]
    np.testing.assert_allclose(made, np.stack(expected, axis=1), atol=1e-12)


def test_bins_of_numbers_too_far_apart_are_refused_by_name():
    with pytest.raises(DataError, match="'a' holds numbers too far apart for bins"):
        encoded({"a": [-1.7e308, 1.7e308]}, n_bins=4)


def test_dates_are_days_and_phases_of_the_year_the_week_and_the_day():
    days = [dt.datetime(2023, 1, 2) + dt.timedelta(hours=6 * i) for i in range(400)]
    encoder = Encoder.of(frame_of(pd.DataFrame({"d": days})))
    names = [f"d {f} {wave}" for wave in ("year", "week", "day") for f in ("sin", "cos")]
    assert encoder.names == ("d", *names)
    z = encoder.encode(frame_of(pd.DataFrame({"d": days})))
    z = z / np.sqrt(1 - (z / 3) ** 2)  # the clipping undone
    made = z / np.where(encoder.scales.scale, encoder.scales.scale, 1) + encoder.scales.center
    since = np.asarray([(day - dt.datetime(1970, 1, 1)).total_seconds() / 86400 for day in days])
    np.testing.assert_allclose(made[:, 0], since, rtol=1e-12)
    for k, period in enumerate((365.2425, 7, 1)):
        turn = np.exp(2j * np.pi * (since % period) / period)
        np.testing.assert_allclose(made[:, 1 + 2 * k], turn.imag, atol=1e-9)
        np.testing.assert_allclose(made[:, 2 + 2 * k], turn.real, atol=1e-9)
    monday = made[0::28, 3]  # every 28 quarters of a day it is Monday at midnight
    np.testing.assert_allclose(monday, monday[0], atol=1e-9)


def test_dates_without_times_have_no_phase_of_the_day():
    days = pd.to_datetime(["2020-01-01", None, "2021-05-04"])
    assert not any("day" in name for name in encoded({"d": days}))


MIXED = {
    "a": [1.0, NAN, 3.0, -2.0, 5.0],
    "c": ["x", "y", None, "x", "z"],
    "d": pd.to_datetime(["2020-01-01", None, "1999-05-04", "2020-01-01", "2021-01-01"]),
    "e": [1.0, 2.0, 3.0, 4.0, 5.0],
}


def long(n=1000):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(MIXED).iloc[rng.integers(0, 5, n)]
    return frame_of(table.assign(z=rng.choice(codes(90), n), e=rng.normal(size=n)))


def test_blocks_and_chunks_do_not_show(monkeypatch):
    frame = long()
    encoder = Encoder.of(frame, n_bins=4)
    whole = encoder.encode(frame, "float32")
    monkeypatch.setattr(encoding, "CHUNK", 7)
    monkeypatch.setattr("xpmlp.tables.frame.BLOCK", 100)
    again = Encoder.of(frame, n_bins=4)
    assert again.columns == encoder.columns and again.names == encoder.names
    np.testing.assert_array_equal(again.encode(frame, "float32"), whole, strict=True)
    assert encoder.encode(frame[:0]).shape == (0, encoder.width)


def test_what_memory_does_not_hold_lies_in_a_file_with_the_same_numbers(monkeypatch, tmp_path):
    frame = long()
    encoder = Encoder.of(frame)
    expected = encoder.encode(frame)
    monkeypatch.setattr(encoding, "free_memory", lambda x: 2 * expected.nbytes)
    monkeypatch.setattr(encoding.tempfile, "tempdir", str(tmp_path))
    made = encoder.encode(frame)
    assert isinstance(made.base, np.memmap) and type(made) is np.ndarray
    np.testing.assert_array_equal(made, expected, strict=True)
    assert not os.listdir(tmp_path)  # nothing is left, whatever happens


def test_a_full_disk_is_told_before_anything_is_encoded(monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(encoding, "free_memory", lambda x: 1000)
    monkeypatch.setattr(encoding.os, "posix_fallocate", full)
    frame = long(100)
    with pytest.raises(DeviceMemoryError, match=r"No space left.*TMPDIR"):
        Encoder.of(frame).encode(frame)


@each(
    "change, words",
    [
        (lambda t: t.drop(columns="a"), "it lacks 'a'"),
        (lambda t: t.rename(columns={"a": "A"}), "it lacks 'a', and the model does not know 'A'"),
        (lambda t: t.assign(a=list("12345")), "'a' holds text such as '1', .* to numbers there"),
        (lambda t: t.assign(a=["1", "2", "4O", "4", "5"]), "'a' holds text such as '4O'"),
        (lambda t: t.assign(d=1.0), "'d' holds numbers such as 1.0, .* to dates there"),
        (
            lambda t: t.assign(e=t["d"]),
            "'e' holds dates such as [-0-9 :.]+, .* to numbers there",
        ),
        (lambda t: t.assign(c=2.0), "'c' holds numbers such as 2.0, .* to text there"),
        (
            lambda t: t.drop(columns="c").assign(**{f"n{i}": 1 for i in range(20)}),
            "'n11' and 8 more",
        ),
    ],
)
def test_another_table_than_the_one_measured_is_named(change, words):
    table = pd.DataFrame(MIXED)
    encoder = Encoder.of(frame_of(table))
    with pytest.raises(DataError, match=words):
        encoder.encode(frame_of(change(table)))


@each("name", MIXED)
@each("nothing", [None, NAN, pd.NaT])
def test_a_column_with_nothing_in_it_is_missing_whatever_its_type(name, nothing):
    table = pd.DataFrame(MIXED)
    encoder = Encoder.of(frame_of(table))
    made = encoder.encode(frame_of(table.assign(**{name: [nothing] * 5})))
    kinds = {"c": [None] * 5, "d": pd.to_datetime([None] * 5)}
    typed = table.assign(**{name: kinds.get(name, [NAN] * 5)})
    np.testing.assert_array_equal(made, encoder.encode(frame_of(typed)))


def test_numbers_are_categories_where_the_categories_are_numbers():
    table = pd.DataFrame({"c": pd.Categorical([1, 2, 30, 2.5, None])})
    encoder = Encoder.of(frame_of(table))
    made = encoder.encode(frame_of(pd.DataFrame({"c": [1.0, 2.0, 30.0, 2.5, NAN]})))
    np.testing.assert_array_equal(made, encoder.encode(frame_of(table)))
    zips = Encoder.of(frame_of(pd.DataFrame({"c": ["01234", "12345"]})))
    with pytest.raises(DataError, match="'c' holds numbers such as 1234.0"):  # the 0 is lost
        zips.encode(frame_of(pd.DataFrame({"c": [1234, 12345]})))
    ids = frame_of(pd.DataFrame({"c": [2**53, 2**53 + 1]}))
    with pytest.raises(DataError, match=r"'c' holds numbers of 2\^53 or more"):
        Encoder.of(ids, kinds=("category",))


def column(**changes):
    return Column(**{"name": "c", "kind": "category", "categories": ("x", "y")} | changes)


def scales(fill=0, center=2, scale=None):
    return Scales(*(np.zeros((1, n)) for n in (fill, center, center if scale is None else scale)))


@each(
    "make, words",
    [
        (lambda: column(kind="text"), "is a 'text'"),
        (lambda: column(categories=("x", "x")), "same category twice"),
        (lambda: column(categories=("x", 1)), "of .'x', 1."),
        (lambda: column(kind="number"), "a number with categories"),
        (lambda: Encoder((column(), column()), scales(0, 4)), "two columns have the name 'c'"),
        (lambda: Encoder((column(),), scales(0, 3)), "fit 0 numbers and 2 other"),
        (lambda: Encoder((column(),), scales(0, 2, 1)), "fit 0 numbers and 2 other"),
        (lambda: Encoder((Column("a", "number"),), scales(1, 1), (np.zeros(2),)), "rising"),
        (lambda: Encoder((Column("a", "number"),), scales(1, 1), (np.zeros(0),)), "rising"),
        (lambda: Encoder((Column("a", "number"),), scales(1, 1), (np.ones(1),) * 2), "rising"),
        (lambda: Encoder((Column("a", "number"),), Scales(*[np.full((1, 1), -1.0)] * 3)), "below"),
    ],
)
def test_an_encoder_whose_parts_do_not_fit_is_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


SIZES = st.sampled_from([1, 2, 3, 9, 70])
NUMBERS = st.one_of(
    st.just(NAN),
    st.floats(allow_infinity=False, allow_nan=False),
    st.sampled_from([0.0, 1.0]),
    st.floats(-10, 10),
)
TEXTS = st.none() | st.text(max_size=3) | st.sampled_from(codes(200, False))
DATES = st.none() | st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 12, 31))
KINDS = {"number": (NUMBERS, float), "category": (TEXTS, object), "date": (DATES, "M8[us]")}


@st.composite
def tables(draw):
    n = draw(SIZES)
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    columns = []
    for kind in kinds:
        values, dtype = KINDS[kind]
        few = draw(st.lists(values, min_size=1, max_size=n))  # constant, or with values that repeat
        drawn = st.lists(st.sampled_from(few), min_size=n, max_size=n)
        columns.append(np.asarray(draw(drawn), dtype))
    return Frame(tuple(f"c{i}" for i in range(len(kinds))), tuple(kinds), tuple(columns))


@settings(deadline=None, max_examples=150)
@given(tables(), st.sampled_from([None, 2, 5]), st.booleans())
@example(Frame(("a",), ("number",), (np.asarray([-0.0, -0.0]),)), None, True)
def test_any_table_is_encoded_in_finite_bounded_numbers_or_refused_in_a_sentence(
    frame, n_bins, robust
):
    try:
        encoder = Encoder.of(frame, n_bins=n_bins, robust=robust)
    except DataError as error:
        assert "numbers too" in str(error)
        return
    made = encoder.encode(frame)
    assert made.shape == (len(frame), encoder.width) and np.isfinite(made).all()
    n, sizes = encoder.scales.center.size, encoder.sizes
    if robust:
        assert (np.abs(made[:, :n]) <= 3.0 + 1e-12).all()
    n_codes = len(sizes)
    assert (np.abs(made[:, n : encoder.width - n_codes]) <= 0.5).all()
    slots = made[:, encoder.width - n_codes :]
    assert ((slots >= 0) & (slots < np.asarray(sizes))).all()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(encoder)).encode(frame), made)
