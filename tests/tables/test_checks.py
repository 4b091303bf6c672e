"""Columns that are doubtful to learn from are named; what is merely unusual is not."""

import random

from csv_files import csv_fixture  # noqa: F401 - a fixture
from each import each

from xpmlp.tables import checks
from xpmlp.tables import open_table as open_table_file
from xpmlp.tables.checks import warnings_of
from xpmlp.tables.open_table import open_table

N = 200
DRAWN = random.Random(0)
X = [DRAWN.uniform(0, 9) for _ in range(N)]
LABELS = ["yes" if x > 4 else "no" for x in X]
COUNTRIES = [DRAWN.choice("abcd") for _ in range(N)]
SHUFFLED = DRAWN.sample(range(N), N)
OTHERS = [DRAWN.gauss(0, 1) for _ in range(N)]


def warned(csv, columns, y=LABELS, **options):
    """The warnings of a table of columns by name, beside one of noise and the target y."""
    columns = {"noise": OTHERS[: len(y)], **columns, "y": y}
    lines = [",".join(columns), *(",".join(map(str, row)) for row in zip(*columns.values()))]
    with open_table(csv("\n".join(lines) + "\n"), target="y", **options) as table:
        return warnings_of(table, table.features.names)


DOUBTFUL = {
    "one number": ([7] * N, "holds the same"),
    "one word": (["a"] * N, "holds the same"),
    "nothing": ([""] * N, "is missing in every row"),
    "missing markers": (["NA"] * N, "is missing in every row"),
    "names": ([f"name {i * 7919 % 1009:x}" for i in range(N)], "text that differs"),
    "postal codes of which few come twice": (
        [f"{i % 195:05}" for i in range(N)],
        "text that differs",
    ),
    "running": (range(1, N + 1), "counts the rows"),
    "running down": (range(N, 0, -1), "counts the rows"),
    "sorted numbers of customers": ([17 * i + i % 5 for i in range(N)], "counts the rows"),
    "numbers that begin with the year": (
        [2_020_00_001 + i // 50 * 100_000 + i % 50 for i in range(N)],
        "counts the rows",
    ),
    "sorted, half of them left out": (sorted(DRAWN.sample(range(10**6), N)), "counts the rows"),
    "shuffled": (SHUFFLED, "counts the rows"),
    "shuffled of a list twice as long": ([2 * i + i % 2 for i in SHUFFLED], "counts the rows"),
    "the labels as numbers": ([int(label == "yes") for label in LABELS], "tells the target 'y'"),
    "the labels, one missing": ([label.replace("no", "") for label in LABELS], "tells the target"),
    "the noise again": (OTHERS, "tells what another"),
}


@each("cells, what", DOUBTFUL.values(), ids=DOUBTFUL)
def test_a_column_of_no_use_is_named_with_the_remedy(csv, cells, what):
    (text,) = warned(csv, {"x": X, "doubtful": cells})
    assert what in text
    assert "'doubtful'" in text
    assert text.endswith("leave it out by --drop doubtful")


FINE = {
    "numbers that all differ": X,
    "whole numbers that all differ": [i * i * 7919 % 100_003 for i in range(N)],
    "one value and missing ones": ["" if x > 3 else "a" for x in X],
    "days that all differ": [f"2024-{1 + i // 28:02}-{1 + i % 28:02}" for i in range(N)],
    "text that comes twice": [f"name {i // 2}" for i in range(N)],
    "remarks in few rows": [f"remark {i}" if i % 9 == 0 else "" for i in range(N)],
    "almost the labels": [int(i == 3 or label == "yes") for i, label in enumerate(LABELS)],
    "a rare mark": [int(i in (5, 50)) for i in range(N)],
    "sorted quantities": sorted({round(1e5 * 1.7 ** DRAWN.gauss(0, 3)) for _ in range(500)})[-N:],
    "almost running": [i + i % 3 * 1000 for i in range(N)],
}


@each("cells", FINE.values(), ids=FINE)
def test_a_column_that_is_merely_unusual_is_not_named(csv, cells):
    assert warned(csv, {"c": COUNTRIES, "fine": cells}) == []


def test_columns_that_tell_the_same_in_other_words_are_named_with_what_they_repeat(csv):
    numbers = [{"a": 33, "b": 49, "c": 39, "d": 34}[c] for c in COUNTRIES]
    (text,) = warned(csv, {"code": numbers, "country": COUNTRIES})
    assert text == (
        "column 'country' (as 'code') tells what another one tells: leave it out by --drop country"
    )


@each(
    "leak",
    [[2.5 * x for x in X], [-(x**3) for x in X], [f"{x:.12f}" for x in X]],
    ids=["scaled", "mirrored", "rounded to what tells all apart"],
)
def test_numbers_in_the_order_of_a_numeric_target_tell_it(csv, leak):
    (text,) = warned(csv, {"c": COUNTRIES, "leak": leak}, y=X)
    assert "tells the target 'y' itself" in text


def test_a_rising_target_is_not_told_by_the_day(csv):
    days = [f"2024-{1 + i // 28:02}-{1 + i % 28:02}" for i in range(N)]
    assert warned(csv, {"day": days}, y=[i**1.5 for i in range(N)]) == []


def test_few_rows_prove_nothing(csv):
    assert warned(csv, {"id": range(19), "one": [1] * 19}, y=LABELS[:19]) == []


def test_the_only_column_is_not_to_be_left_out(csv):
    path = csv("x,y\n" + "".join(f"{i},{2 * i + 1}\n" for i in range(N)))
    with open_table(path) as table:
        assert warnings_of(table, ["x"]) == []


def test_one_sentence_names_all_of_a_kind_and_the_first_in_the_remedy(csv):
    columns = {f"one{i}": [i] * N for i in range(12)}
    (text,) = warned(csv, {"x": X, **columns})
    assert text.startswith("columns 'one0', 'one1', ")
    assert "..." in text
    assert text.endswith("--drop one0,one1,one2,one3,one4,one5,one6,one7")


def test_all_rows_have_a_say_where_some_show_nothing(csv, monkeypatch):
    monkeypatch.setattr(checks, "SAMPLES", (20, 50))
    at = N - 1  # which no sample holds
    columns = {
        "shuffled": SHUFFLED,
        "almost one": [int(i == at) for i in range(N)],
        "almost the target": [f"{label} {i == at}" for i, label in enumerate(LABELS)],
        "sorted quantities": sorted({round(1e5 * 1.7 ** DRAWN.gauss(0, 3)) for _ in range(500)})[
            :N
        ],
        "almost running": [i if i != at else 0 for i in range(N)],
        "rare": [int(i % 10 == 1) for i in range(N)],
        "as rare": ["word" if i % 10 == 1 else "" for i in range(N)],
    }
    numbered, same = warned(csv, {"x": X, **columns})
    assert "'shuffled'" in numbered
    assert "'as rare' (as 'rare')" in same


def test_a_table_that_is_not_in_memory_is_told_the_same(csv, monkeypatch):
    columns = {"x": X, "again": X, "id": range(N), "one": [1] * N, "code": [f"c{i}" for i in X]}
    told = warned(csv, columns, y=OTHERS)
    monkeypatch.setattr(open_table_file, "IN_MEMORY", 0)
    assert warned(csv, columns, y=OTHERS) == told
    assert [what in " ".join(told) for what in ("'again'", "'id'", "'one'", "'code'")] == [True] * 4


def test_text_with_a_name_of_sql_is_a_name(csv):
    name = "a\"'); DROP TABLE data; --"
    (text,) = warned(csv, {"x": X, name.replace('"', ""): [1] * N})
    assert "DROP TABLE" in text
