"""Tests of the words that messages are made of."""

from xpmlp.words import first_of, listed, nearest, plural, shortened


def test_a_count_stands_with_its_noun():
    assert [plural(n, "row") for n in (0, 1, 2, 12345)] == [
        "0 rows",
        "1 row",
        "2 rows",
        "12,345 rows",
    ]


def test_long_lists_and_texts_are_cut_short():
    assert listed("ab") == "'a', 'b'"
    assert listed(range(13)).endswith("10, 11 and 1 more")
    assert first_of(["a", "b"], 2) == "a, b" and first_of(["a", "b", "c"], 2) == "a, b, ..."
    assert shortened("abc", 3) == "abc" and shortened("abcd", 3) == "abc..."


def test_the_nearest_name_is_one_of_them_even_where_none_is_near():
    assert nearest("irsi", ("digits", "iris")) == "iris"
    assert nearest("zzz", ("digits",)) == "digits"
