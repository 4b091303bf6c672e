"""Columns of text that are nearly numbers, dates and the like: what is told of them."""

import pytest
from csv_files import column, csv_fixture, opened, refused  # noqa: F401 - fixtures among them
from each import each

from xpmlp.tables.kinds import cells, found
from xpmlp.tables.reading import Reading

NUMBERS = [f"{i}.5" for i in range(90)]
DATES = [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(90)]


@pytest.mark.parametrize("known, kind", [(NUMBERS, "number"), (DATES, "date")])
def test_a_word_in_a_tenth_of_the_cells_is_told_with_the_remedies(csv, known, kind):
    path = csv(column("a", [*known, *["TBD"] * 9, "x1"]))
    table = opened(path)
    assert table.types == {"a": "category"}
    text = table.warnings["a"]
    for words in ("'a'", "90.0%", f"type {kind}", "'TBD' (9), 'x1' (1)", "--missing TBD"):
        assert words in text
    assert f"--types a={kind} --on-bad-row skip" in text
    assert opened(path, types={"a": "category"}).warnings == {}
    table = opened(path, reading=Reading(missing=("TBD", "x1")))
    assert (table.types, table.warnings) == ({"a": kind}, {})


def test_a_word_that_makes_most_bad_cells_is_named_as_a_probable_missing_value(csv):
    path = csv(column("a", [*NUMBERS, "ERR", "ERR", "4O"]))
    refused(["'ERR' stands in 2 cells of 'a'", "--missing ERR"], opened, path)
    path = csv("a,b,y\n" + "".join(f"{n},{n},{i % 2}\n" for i, n in enumerate(NUMBERS)) + "x,x,1\n")
    refused(["'x' stands in 2 cells of 'a', 'b'", "--missing x"], opened, path)
    message = refused(["'4O'"], opened, csv(column("a", [*NUMBERS, "4O"])))
    assert "--missing" not in message


def test_labels_of_which_most_are_numbers_are_offered_to_be_text(csv):
    path = csv("a,y\n" + "".join(f"{i},{i % 3}\n" for i in range(9)) + "9,3+\n9,3+\n")
    refused(["'3+'", "if 'y' holds labels, say --types y=category"], opened, path)
    assert opened(path, types={"y": "category"}).y[-1] == "3+"


ARABIC = "".join(map(chr, range(0x660, 0x66A)))
FULL = "".join(map(chr, range(0xFF10, 0xFF1A)))
UNREAD = {
    "full-width digits": (
        "numbers",
        [str(937 * i).translate(dict(zip(b"0123456789", FULL))) for i in range(60)],
    ),
    "Arabic digits": (
        "numbers",
        [f"{i / 8}".translate(dict(zip(b"0123456789.", ARABIC + "\u066b"))) for i in range(60)],
    ),
    "hex": ("numbers", [hex(97 * i * i) for i in range(60)]),
    "errors": ("numbers", [f"{i / 10} ± 0.1" for i in range(60)]),
    "errors of the last digit": ("numbers", [f"{i / 10}({i % 7})" for i in range(60)]),
    "about": ("numbers", [f"ca. {i}" for i in range(60)]),
    "hashes": ("numbers", [f"#{1659 + i}" for i in range(60)]),
    "fractions": ("numbers", [f"{2627 + i}/10000" for i in range(60)]),
    "underscores": ("numbers", [f"{i + 1}_{7 * i % 1000:03}" for i in range(60)]),
    "weeks": ("dates", [f"20{20 + i % 4}-W{i % 52 + 1:02}" for i in range(60)]),
    "quarters": ("dates", [f"20{20 + i % 4}-Q{i % 3 + 1}" for i in range(60)]),
    "quarters first": ("dates", [f"Q{i % 3 + 1} '{20 + i % 4}" for i in range(60)]),
    "days of a year": ("dates", [f"2020-{6 * i + 1:03}" for i in range(60)]),
    "no year": ("dates", [f"{i % 28 + 1} {('Feb', 'august')[i % 2]}" for i in range(60)]),
    "no year, month first": (
        "dates",
        [f"{('Feb', 'Sept.')[i % 2]} {i % 28 + 1}" for i in range(60)],
    ),
    "day and month": ("dates", [f"{i % 12 + 1:02}/{i % 28 + 1:02}" for i in range(60)]),
}


@each("what, known", UNREAD.values(), ids=UNREAD, parts=1)
def test_numbers_and_dates_in_a_writing_that_is_not_read_are_told(csv, what, known):
    path = csv(column("a", known))
    table = opened(path)
    text = table.warnings["a"]
    assert table.types == {"a": "category"} and text.count("--types a=category") == 1
    assert f"{what} " in text and "in a writing that is not read" in text
    assert any(repr(cell) in text for cell in known)
    assert opened(path, types={"a": "category"}).warnings == {}


OF_A_WORD = {
    "number": [f"{i}.5" for i in range(40)],
    "date": [f"2024-{1 + i % 12:02}-{1 + i % 28:02}" for i in range(60)],
    "number:$": [f"${i}.50" for i in range(40)],
}


@each("kind, known", OF_A_WORD.items(), ids=OF_A_WORD, parts=1)
def test_a_word_in_most_cells_beside_numbers_or_dates_is_told(csv, kind, known):
    path = csv(column("a", [*["off"] * 90, *known]))
    table = opened(path)
    assert table.types == {"a": "category"}
    for words in (f"of type {kind}", "'off' (90)", "--missing off"):
        assert words in table.warnings["a"]
    assert opened(path, reading=Reading(missing=("off",))).types == {"a": kind}


NAMES = {
    "letters and digits": [f"A{i + 100}" for i in range(60)],
    "rooms": [f"Room {i}" for i in range(60)],
    "versions": [f"{i % 7}.{i}.0" for i in range(60)],
    "addresses": [f"10.0.{i}.{i % 9}" for i in range(60)],
    "telephones": [f"+49 {i + 100} {i * 97 + 1000}" for i in range(60)],
    "short telephones": [f"555-{1000 + i}" for i in range(60)],
    "cases of a year": [f"2022-{17 * i:05}" for i in range(60)],
    "seasons": [f"{1960 + i}/{(61 + i) % 100:02}" for i in range(60)],
    "colours": [f"#{i * 70001:06x}" for i in range(60)],
    "checksums": [f"{i * 7919 * 7919:08x}" for i in range(60)],
    "long addresses": [f"0x{i * 7919:040x}" for i in range(60)],
    "teams": [f"#{i % 4}" for i in range(60)],
    "parts": [f"{i % 3 + 1}/3" for i in range(60)],
    "scores": [f"{i % 5}-{i % 4}" for i in range(60)],
    "sizes": [f"{i % 9}x{i % 7}" for i in range(60)],
    "grades": ["absent"] * 50 + ["1", "2", "3"] * 10,
    "few codes": ["none"] * 90 + [f"{i:05}" for i in range(60)],
    "house numbers": [f"{i}{'ab'[i % 2] * (i % 5 == 0)}" for i in range(60)],
    "codes with leading zeros": [f"{i:05}" for i in range(30)] + ["unknown"] * 5,
    "counts with an open end": ["0", "1", "2", "3+"] * 20,
    "ranges": ["10-20", "20-30", "30-40", "50"] * 20,
    "answers": ["yes", "no", "no answer"] * 20,
    "words": ["a", "b", "1"] * 20,
}


@each("known", NAMES.values(), ids=NAMES, parts=1)
def test_names_with_numbers_in_them_are_text_without_a_word(csv, monkeypatch, known):
    for n_rows in (1, found.FIRST):  # of which all is asked at once, or step by step
        monkeypatch.setattr(found, "FIRST", n_rows)
        table = opened(csv(column("a", known)))
        assert (table.types, table.warnings) == ({"a": "category"}, {})


def test_columns_are_the_same_however_many_are_counted_at_a_time(csv, monkeypatch):
    kinds = {"number": "1.5", "number:$": "$1.50", "date": "2024-01-31", "boolean": "yes"}
    names = [f"{kind} {i}" for i in range(5) for kind in kinds]
    row = ",".join(kinds[name.rpartition(" ")[0]] for name in names)
    path = csv(",".join([*names, "y"]) + "\n" + f"{row},a\n{row},b\n,{row[4:]},a\n{row},b\n")
    for at_once in (1, 12, cells.AT_ONCE):
        monkeypatch.setattr(cells, "AT_ONCE", at_once)
        table = opened(path)
        assert table.types == {name: name.rpartition(" ")[0] for name in names}
        assert [column.n_missing for column in table.columns] == [1, *[0] * len(names)]
