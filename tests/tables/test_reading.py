"""How a table file is written, said by options."""

import pytest
from csv_files import csv_fixture, opened  # noqa: F401 - fixtures among them
from each import each

from xpmlp.tables.reading import Reading


def test_a_delimiter_that_is_said_is_taken_where_another_is_more_frequent(csv):
    table = opened(csv("a, or b:c:y\n1,2,3:x:1\n4,5,6:z:0\n"), reading=Reading(delimiter=":"))
    assert table.features.names == ("a, or b", "c")
    assert table.features.column(0).tolist() == ["1,2,3", "4,5,6"]
    assert table.raw.reading == Reading(delimiter=":")
    quote = opened(csv("a'b\n1'2\n3'4\n"), reading=Reading(delimiter="'"))
    assert quote.y.tolist() == [2, 4]


@each(
    "arguments, words",
    [
        ({"delimiter": "::"}, "delimiter is '::', expected one character"),
        ({"delimiter": '"'}, "delimiter is"),
        ({"thousands": "x"}, "thousands is 'x'"),
        ({"decimal": ";"}, "decimal is ';', expected '.' or ','"),
        ({"delimiter": ",", "decimal": ","}, "delimiter and decimal are both ','"),
        ({"thousands": ".", "decimal": "."}, "decimal and thousands are both '.'"),
        ({"names": ("a", "b", "a")}, "names has 'a', which is repeated"),
        ({"names": ("a", " ")}, "names has ' ', which is empty"),
        ({"skip_rows": -1}, "skip_rows is -1"),
        ({"missing": "ERR"}, "missing is 'ERR', expected a tuple of texts"),
        ({"missing": (1,)}, "missing is "),
        ({"encoding": "utf8x"}, "encoding is 'utf8x'"),
    ],
)
def test_a_reading_that_contradicts_itself_is_refused(arguments, words):
    with pytest.raises(ValueError, match="^" + words.replace("'.'", "'[.]'")):
        Reading(**arguments)
