"""Rows unlike those of training get a note a column, ordinary ones none."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from each import each

from xpmlp.model.columns import Column
from xpmlp.model.encoding import Encoder
from xpmlp.tables.frame import frame_of

rng = np.random.default_rng(0)
N = 400


def rows(n=N, seed=0):
    own = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "age": own.integers(18, 91, n).astype(float),
            "income": own.lognormal(10, 1, n),
            "city": own.choice(["Rome", "Oslo", "Bern"], n),
            "day": np.datetime64("2020-01-01") + own.integers(0, 900, n).astype("m8[D]"),
            "rate": 0.5,
            "rare": np.where(own.random(n) < 0.5, np.nan, own.normal(size=n)),
        }
    )


ENCODER = Encoder.of(frame_of(rows()))


def drift(**changes):
    return ENCODER.drift(rows(seed=1).assign(**changes))


def test_rows_as_those_of_training_get_no_note():
    for seed in range(20):
        for n in (1, 5, 50, 3000):
            assert ENCODER.drift(rows(n, seed=seed + 1)) == []


def test_dates_that_go_on_are_no_news_but_those_of_another_age_are():
    day = rows(seed=1)["day"]
    assert drift(day=day + np.timedelta64(890, "D")) == []
    (note,) = drift(day=day + np.timedelta64(20000, "D"))
    assert note.startswith("column 'day' holds 2074-10-04 to 2077-03-") and "2020-01-01 to" in note


@each("change, words", [
    (lambda t: {"age": t.age * 1000}, "'age' holds 18,000 to 90,000, in 400 of 400 rows outside"),
    (lambda t: {"age": t.age / 1000}, "'age' holds 0.018 to 0.09, in 400 of 400 rows outside of"),
    (lambda t: {"age": t.age.where(t.index % 20 > 0, 999)}, "to 999, in 20 of 400 rows"),
    (lambda t: {"age": t.age + 50}, "of 400 rows outside of the 18 to 90 that training saw"),
    (lambda t: {"rate": 0.25}, "'rate' holds 0.25, in 400 of 400 rows outside of the 0.5 that"),
    (lambda t: {"age": np.nan}, "'age' is missing in all 400 rows, training saw 18 to 90."),
    (lambda t: {"rare": np.nan}, "'rare' is missing in all 400 rows"),
    (lambda t: {"city": None}, "'city' is missing in all 400 rows, training saw 'Bern', 'Oslo',"),
    (lambda t: {"day": pd.NaT}, "'day' is missing in all 400 rows, training saw 2020-01-01 to"),
    (lambda t: {"city": "Ulm"}, "'city' holds 'Ulm' in 400 rows, which the model does not know"),
])  # fmt: skip
def test_a_column_unlike_that_of_training_gets_one_note(change, words):
    (note,) = drift(**change(rows(seed=1)))
    assert words in note


def test_a_few_rows_are_told_only_where_they_say_something():
    one = rows(1, seed=1)
    assert ENCODER.drift(one.assign(age=91.0)) == ENCODER.drift(one.assign(rare=np.nan)) == []
    assert "outside" in ENCODER.drift(one.assign(age=900.0))[0]
    assert "is missing in the only row" in ENCODER.drift(one.assign(age=np.nan))[0]
    assert ENCODER.drift(one[:0].assign(age=1.0)) == []


def test_the_largest_numbers_have_a_range_too():
    wide = Encoder.of(frame_of(pd.DataFrame({"a": [-1.7e308, 0.0, 1.7e308]})))
    assert wide.drift(pd.DataFrame({"a": [-1.7e308, 1e3]})) == []


def test_a_model_that_knows_no_range_tells_nothing_of_it():
    columns = tuple(replace(column, low=None, high=None) for column in ENCODER.columns)
    older = Encoder(columns, ENCODER.scales)
    assert older.drift(rows(seed=1).assign(age=1e6, day=pd.NaT)) == []


@each("low, high", [(1.0, None), (2.0, 1.0), (float("nan"), 1.0), (0.0, float("inf")), ("0", "1")])
def test_a_range_that_is_none_is_refused(low, high):
    with pytest.raises(ValueError, match="column 'a' goes from"):
        Column("a", "number", low=low, high=high)
