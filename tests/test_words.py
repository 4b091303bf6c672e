"""Tests of the words that messages are made of."""

import pytest

from xpmlp.words import (
    check_word,
    did_you_mean,
    escaped,
    first_of,
    listed,
    nearest,
    our_name,
    plural,
    shortened,
    wrapped,
)


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


def test_a_name_in_other_capitals_is_nearer_than_one_that_shares_more_letters():
    assert nearest("zip", ("zip2", "ZIP", "zap")) == "ZIP"
    assert did_you_mean("SHEET", ("sheets", "Sheet")) == ": did you mean 'Sheet'?"


def test_a_mistyped_word_is_told_with_the_nearest_and_all_there_are_in_their_order():
    assert did_you_mean("Adam", ("sgd", "adam")) == ": did you mean 'adam'?"
    assert did_you_mean("zzz", ("sgd", "adam")) == did_you_mean(3, ("sgd",)) == "."
    assert did_you_mean("he", ("lecun", "he_uniform")) == ": did you mean 'he_uniform'?"
    two = ": did you mean 'he_uniform' or 'he_normal'?"
    assert did_you_mean("he", ("he_uniform", "he_normal", "he_other")) == two
    assert did_you_mean("", ("sgd",)) == "."
    check_word("rule", "sgd", ("sgd", "adam"))
    for word, end in (("adm", "'adm': did you mean 'adam'?"), (["sgd"], "['sgd'].")):
        with pytest.raises(ValueError) as told:
            check_word("rule", word, ("sgd", "adam"), " or a Rule")
        assert str(told.value) == f"rule must be one of sgd, adam or a Rule, got {end}"


def test_a_name_of_other_libraries_is_known_and_a_message_tells_ours():
    assert [our_name(word, ("logistic", "silu")) for word in ("Sigmoid", "swish")] == [
        "logistic",
        "silu",
    ]
    assert our_name("mean-squared error", ("squared_error",)) == "squared_error"
    assert our_name("mse", ("logistic",)) == "mse" and our_name(3, ("logistic",)) == 3
    assert our_name("linear", ("linear", "identity")) == "linear"  # one of the words is itself
    with pytest.raises(ValueError, match="got 'bce': it is called 'binary_log_loss' here."):
        check_word("loss", "bce", ("log_loss", "binary_log_loss"))


def test_a_wrapped_text_has_80_columns_at_most_and_says_the_same():
    text = f"Settings: {'early-stopping yes, ' * 9}end.\n  line 7, {'a' * 90} and more"
    lines = wrapped(text).splitlines()
    assert " ".join(lines).split() == text.split()
    assert [len(line) for line in lines if len(line) > 80] == [94]  # one word, as a path is
    assert lines[1].startswith("  early-stopping") and lines[-1] == "    and more"


def test_a_text_is_as_wide_as_the_terminal_but_no_wider_than_80(monkeypatch):
    text = "word " * 40
    for columns, widest in (("50", 49), ("200", 79)):  # of words of five
        monkeypatch.setenv("COLUMNS", columns)
        assert max(map(len, wrapped(text).splitlines())) <= widest + 1
        assert len(wrapped(text).splitlines()[0]) == widest


def test_what_a_terminal_obeys_is_escaped_and_letters_and_blanks_stay():
    assert escaped("a\x1b[2J\r\x9b\x7f\t\ud800") == r"a\x1b[2J\r\x9b\x7f\t\ud800"
    assert escaped("\u202eevil\u2066\u2028\ufeff") == r"\u202eevil\u2066\u2028\ufeff"
    plain = "Zürich\u00a0東京\u3000عربى 👍\n"
    assert escaped(plain) == plain
