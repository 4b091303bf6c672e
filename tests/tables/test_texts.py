"""Numbers that stand in text columns of data frames: told where they are, only there."""

import re
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from each import each

from xpmlp import MLPClassifier
from xpmlp.errors import DataError
from xpmlp.tables.frame import frame_of, frame_of_array
from xpmlp.tables.texts import check_texts

rng = np.random.default_rng(0)
DECIMALS = [f"{value:.1f}" for value in rng.normal(size=200)]


def with_words(share, *words, numbers=DECIMALS):
    """Return texts of numbers of which a share is these words, in turn, from the second on."""
    made = list(numbers)
    every = round(1 / share)
    for k, i in enumerate(range(1, len(made), every)):
        made[i] = words[k % len(words)]
    return made


def told(X, chosen=None):
    """Return what is said of a data frame: an error's text, or those of warnings."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always")
        try:
            check_texts(frame_of(X), X, chosen)
        except DataError as error:
            return f"error: {error}"
    return " ".join(str(warning.message) for warning in found)


@each("make", [pd.DataFrame, pl.DataFrame, lambda table: pl.DataFrame(table).to_arrow()])
def test_one_stray_text_among_numbers_is_an_error_with_its_row_and_the_cure(make):
    said = told(make({"hours": with_words(1 / 200, "4O")}))
    assert "error: column 'hours' holds '4O' in row 1, expected a number as in 199 of 200" in said
    cures = ("pd.to_numeric(X['hours']", "X['hours'].cast(pl.Float64", "in categorical_features")
    assert sum(cure in said for cure in cures) == 1


STRAYS = {  # what a column holds -> how what is said begins
    "a twentieth": (with_words(0.05, "4O"), "error: column 'x' holds '4O' in row 1"),
    "numbers and text in objects": ([*map(float, DECIMALS), "4O"], "error: column 'x' holds '4O'"),
    "also with missing ones": (with_words(0.1, None, "NA", "4O"), "error: column 'x' holds '4O'"),
    "a tenth": (with_words(0.1, "ERR"), "column 'x' holds numbers in 90% of its cells, and 'ERR'"),
    "four tenths": (with_words(0.4, "a", "b"), "column 'x' holds numbers in 50% of its cells"),
    "all numbers": (DECIMALS, "column 'x' holds numbers as text, all taken as categories"),
    "many whole numbers": ([*map(str, range(100))], "column 'x' holds numbers as text"),
}
NO_STRAYS = {
    "cities": ["Rome", "Oslo"] * 100,
    "few numbers among text": ["12"] * 40 + ["a"] * 60,
    "classes": ["1", "2", "3"] * 50,
    "classes with a last one": ["0", "1", "2", "3+", "1", "0"] * 30,
    "codes": [f"{i:05d}" for i in range(100)],
    "codes of which one is odd": [*(f"{i:05d}" for i in range(100)), "A0001"],
    "house numbers": with_words(1 / 3, "12a", "3b", "141/2", numbers=[*map(str, range(200))]),
    "nothing": [None, "NA", ""] * 10,
    "words that Python's float reads": ["nan", "infinity", "inf"] * 20,
}


DATES = [str(day) for day in np.datetime64("2020-01-01") + np.arange(90)]
WRITTEN = {  # what a column holds -> what is said of it
    "money": (
        [f"${i},{i:03d}.50" for i in range(1, 99)],
        r"'\$1,001.50', .* as number:\$: pass",
    ),
    "percent": ([f"{i / 7:.1f}%" for i in range(99)], "'0.0%', .* read as number:%: pass numbers"),
    "units": ([f"{i} kg" for i in range(99)], "'0 kg', .* read as number:kg: pass numbers, or"),
    "with missing ones": ([*(f"{i} kg" for i in range(99)), "NA", None], "read as number:kg"),
    "days": (
        DATES,
        r"'2020-01-01', .* as date.*: pass pd.to_datetime\(X\['x'\], format='ISO8601'\)",
    ),
    "months by name": (
        [f"{d[8:]}-{'Jan Feb Mar'.split()[int(d[5:7]) - 1]}-2020" for d in DATES],
        r"as date:%d-%b-%Y: pass pd.to_datetime\(X\['x'\], format='%d-%b-%Y'\), or",
    ),
    "days or months first": (
        [f"0{i % 9 + 1}/0{i // 9 + 1}/2020" for i in range(81)],
        r"as date:%d/%m/%Y or date:%m/%d/%Y: pass .*format='...'",
    ),
    "times of day": (
        [f"{i % 24:02d}:{i % 60:02d}" for i in range(99)],
        "read as time: pass numbers",
    ),
}
NO_WRITING = {
    "few terms": ["36 months", "60 months"] * 50,
    "sizes": ["12 kg", "5 kg", "XL"] * 30,
    "flats": [f"{i}a" for i in range(99)],
    "names": [f"Room {i}" for i in range(99)],
    "codes with a dash": [f"A-{i}" for i in range(99)],
    "sizes in two directions": [f"{i % 9}x{i}" for i in range(99)],
    "versions": [f"1.{i % 12}.{i}" for i in range(200)],
    "classes as floats": ["1.0", "2.0", "3.0"] * 30,
    "truth": ["True", "False"] * 50,
    "text": [f"It took {i} days, and more than 1 hour" for i in range(99)],
}


@each("name", WRITTEN)
def test_numbers_and_dates_in_writing_are_told_with_how_a_file_has_them_read(name):
    values, words = WRITTEN[name]
    said = told(pd.DataFrame({"x": values}))
    assert re.search(words, said) and said.startswith("column 'x' holds text such as")
    assert told(pd.DataFrame({"x": pd.Categorical(values)})) == ""


@each("name", NO_WRITING)
def test_names_with_numbers_in_them_are_no_numbers(name):
    assert told(pd.DataFrame({"x": NO_WRITING[name]})) == ""


@each("name", STRAYS)
def test_numbers_in_most_cells_of_a_text_column_are_told(name):
    values, words = STRAYS[name]
    assert told(pd.DataFrame({"c": "a", "x": pd.Series(values, dtype=object)})).startswith(words)


@each("name", NO_STRAYS)
def test_real_categories_raise_no_alarm(name):
    assert told(pd.DataFrame({"x": NO_STRAYS[name]})) == ""


def test_numbers_and_dates_in_a_writing_that_is_not_read_are_told():
    for what, known in {
        "numbers": [hex(99 * i) for i in range(40)],
        "dates": [f"2022-W{i % 50 + 1:02}" for i in range(40)],
    }.items():
        words = f"column 'x' holds text that looks like {what}, such as {known[0]!r}, taken as cat"
        assert told(pd.DataFrame({"x": known})).startswith(words)
        assert told(pd.DataFrame({"x": pd.Categorical(known)})) == ""
    for known in (["#1", "#2"], [f"A{i}" for i in range(40)], [None], ["1/2", "x"]):
        assert told(pd.DataFrame({"x": [*known, "#3"] * 20})) == ""


def test_numbers_mixed_with_text_among_objects_are_told_and_text_alone_is_not():
    mixed = pd.Series([1, "a", 2, "a", None] * 6, dtype=object)
    words = "column 'x' mixes numbers such as 2 and text such as 'a', all taken as categories: pass"
    assert told(pd.DataFrame({"x": mixed})).startswith(words)
    assert told(pd.DataFrame({"x": mixed.astype("category")})) == ""
    assert told(pd.DataFrame({"x": mixed}), chosen={0}) == ""
    assert told(pd.DataFrame({"x": mixed.map(str, na_action="ignore")})) == ""
    assert told(pd.DataFrame({"x": ["a", "b", np.nan] * 9})) == ""


def test_what_is_said_to_be_a_category_is_one():
    strays = with_words(0.05, "4O")
    assert told(pd.DataFrame({"x": pd.Categorical(strays)})) == ""
    assert told(pl.DataFrame({"x": pl.Series(strays, dtype=pl.Categorical)})) == ""
    assert told(pd.DataFrame({"x": strays}), chosen={0}) == ""
    assert "name it in categorical_features" in told(pd.DataFrame({"x": strays}), chosen={1})


@pytest.mark.filterwarnings("ignore:.*Maximum iterations")
def test_a_fit_tells_of_frames_and_of_arrays_of_objects():
    model, y = MLPClassifier((3,), max_iter=1), np.arange(200) % 2
    strays = with_words(0.05, "4O")
    with pytest.raises(DataError, match="column 'x' holds '4O' in row 1"):
        model.fit(pd.DataFrame({"x": strays}), y)
    with pytest.warns(UserWarning, match=r"and 'ERR' \(20 times\), all taken as categories"):
        model.fit(pd.DataFrame({"x": with_words(0.1, "ERR")}), y)
    pair = np.asarray([strays, strays], object).T
    with pytest.raises(DataError, match="column 'x0' holds '4O' in row 1"):
        model.set_params(categorical_features=[1]).fit(pair, y)
    model.set_params(categorical_features=[0, 1]).fit(pair, y)
    model.set_params(categorical_features="auto").fit(frame_of_array(pair), y)  # decided before
