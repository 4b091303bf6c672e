"""README.md and the pages of docs/ say what holds: their blocks run and print what stands there."""

import re
from importlib.util import find_spec
from pathlib import Path

import page_tables
import pages
import pytest

from xpmlp.engines.native.library import library

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TEXTS = {str(page.relative_to(ROOT)): page.read_text() for page in pages.pages()}
BLOCKS = {name: pages.blocks(text) for name, text in TEXTS.items()}
LIBRARIES = ("torch", "jax")  # which `ci/test` has only if it is told to

# What differs from machine to machine, or from run to run.
VOLATILE = {
    r"\d+(\.\d+){2,}[\w.+]*": "<version>",
    r"\b[\d.]+ (s|ms|us)\b": "<time>",
    r'"seconds": [\d.]+': "<time>",
    r"of [\d.]+ [MGT]B free": "<memory>",
    r"\b\d\.\d+e[-+]?\d+|\b\d+e-\d+": "<rounding>",
    r"\w+( <version>)?, \d+ threads?;?": "",
    r"\b(Linux|Darwin|Windows) \w+": "<system>",
    r"\bepoch \d+ of": "epoch <kept> of",  # two epochs may be the best but for rounding
    r"engine( +)numpy compiled": r"engine\1numpy",
}
NUMBER = r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?%?"


def words_and_numbers(text):
    """Return the words of an output, a # for each number, and the numbers."""
    for pattern, word in VOLATILE.items():
        text = re.sub(pattern, word, text)
    return re.sub(NUMBER, "#", text).split(), re.findall(NUMBER, text)


def is_close(told, now):
    """Whether two numbers of an output agree: whole ones are equal, others within a tenth."""
    a, b = (float(number.strip("%,").replace(",", "")) for number in (told, now))
    if told.endswith("%"):
        return abs(a - b) <= 2
    if "." not in told:
        return a == b
    return abs(a - b) <= max(0.02, 0.1 * abs(a))


def check(told, now, where):
    """Hold an output that stands in a page against the present one."""
    (words, numbers), (words_now, numbers_now) = words_and_numbers(told), words_and_numbers(now)
    differ = [pair for pair in zip(numbers, numbers_now) if not is_close(*pair)]
    assert words == words_now and not differ, (
        f"{where} prints what is not in the page; python ci/pages.py writes it there.\n"
        f"{differ}\n--- there\n{told}\n--- now\n{now}"
    )


def lacks_a_library(block):
    """Whether a block needs a library that is not installed, or was not compiled."""
    if "numpy:compiled" in block.code and isinstance(library(), str):
        return True
    imported = set(re.findall(r"^import (\w+)", block.code, flags=re.M))
    return any(name in imported and not find_spec(name) for name in LIBRARIES)


@pytest.mark.parametrize("page", [name for name in BLOCKS if BLOCKS[name]])
def test_the_blocks_of_a_page_run_in_order_and_print_what_stands_there(page, monkeypatch):
    for name, value in pages.ONE_THREAD.items():
        monkeypatch.setenv(name, value)
    names: dict = {}
    with pages.workshop():  # here: in a fixture pytest would give the log its handlers after it
        for block in BLOCKS[page]:
            if block.mark or lacks_a_library(block):
                continue
            if block.language == "python":
                check(block.output, pages.run_python(block.code, names), f"{page}:\n{block.code}")
                continue
            for command, output in pages.commands(block.code):
                check(output, pages.run_command(command), f"{page}: {command}")


def test_another_word_or_a_number_that_is_far_off_is_told_and_the_last_digits_are_not():
    check("accuracy 0.8860 of 500 rows, 4.3 s", "accuracy 0.8841 of 500 rows, 17.2 s", "")
    for now in (
        "accuracy 0.8860 of 501 rows",
        "accuracy 0.6 of 500 rows",
        "score 0.8860 of 500 rows",
    ):
        with pytest.raises(AssertionError, match="is not in the page"):
            check("accuracy 0.8860 of 500 rows", now, "")


def test_a_warning_and_an_error_belong_to_what_a_block_prints():
    code = "import warnings\nwarnings.warn('mind')\nprint('out')\nint('x')\nprint('never')"
    told = "UserWarning: mind\nout\nValueError: invalid literal for int() with base 10: 'x'\n"
    assert pages.run_python(code, {}) == told


def test_the_readme_is_one_page():
    lines = README.splitlines()
    assert len(lines) <= 200
    wide = [line for line in lines if len(line) > 100 and not line.startswith("|")]
    assert wide == []
    assert all(not block.mark for block in BLOCKS["README.md"])  # each is run
    assert len(BLOCKS["README.md"]) >= 3
    assert re.findall(r"!\[.*?\]\((.*?)\)", README) == ["examples/overview.png"]


def test_a_gpu_that_nothing_has_run_on_is_told_in_one_place_of_the_readme_and_of_the_site():
    told = {name: text.lower().count("not yet run on a gpu") for name, text in TEXTS.items()}
    assert {name: n for name, n in told.items() if n} == {
        "README.md": 1,
        "docs/guide/devices.md": 1,
    }


def prose(text):
    """Return the sentences of a page, without its blocks, tables and code."""
    text = re.sub(
        r"^```.*?^```|^\|.*?$|^    .*?$|^#.*?$|<!--.*?-->", "\n\n", text, flags=re.S | re.M
    )
    text = re.sub(r"`[^`]*`", "code", text)
    text = re.sub(r"\n(?=\s*([-*]|\d+\.) )", "\n\n", text)  # a point of a list
    return [s for part in re.split(r"\n\s*\n", text) for s in re.split(r"(?<=[.:;?!])\s", part)]


STRANGE = r"\b(holes?|stretch|anew|of ours|drawn in|on a card|team of threads|at hand)\b"


@pytest.mark.parametrize("page", TEXTS)
def test_sentences_are_short_and_of_words_that_a_stranger_knows(page):
    sentences = prose(TEXTS[page])
    assert [s for s in sentences if len(s.split()) > 40] == []
    assert [s for s in sentences if re.search(STRANGE, s)] == []


def test_the_counts_of_what_is_proven_are_those_that_the_commands_print():
    (operations,) = set(re.findall(r"numpy \S+ \(cpu\) +(2\d+) of", TEXTS["docs/parity.md"]))
    (planted,) = re.findall(r"named rightly: (\d+ of \d+)", TEXTS["docs/check_your_backprop.md"])
    assert f"holds {operations} operations" in README and f"names {planted} planted" in README


def test_measured_tables_are_those_of_the_newest_records():
    used = set()
    for page, text in TEXTS.items():
        used |= set(re.findall(r"<!-- table (\w+) -->", text))
        assert pages.with_tables(text) == text, f"python ci/pages.py {page}"
    assert used == page_tables.TABLES.keys()
