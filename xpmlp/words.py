"""Words for messages: counts with their noun, lists of names, the nearest name, texts cut short."""

import csv
import os
import shutil
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from functools import partial
from io import StringIO
from typing import Any

COLUMNS = 80  # that a text has at most
OTHER_NAMES = {  # that other libraries and courses have for what is called otherwise here
    **dict.fromkeys(("sigmoid", "expit"), "logistic"),
    **dict.fromkeys(("linear", "none"), "identity"),
    **dict.fromkeys(("leakyrelu", "lrelu"), "leaky_relu"),
    **dict.fromkeys(("hardtanh", "clip"), "hard_tanh"),
    "swish": "silu",
    **dict.fromkeys(("mse", "mean_squared_error", "quadratic", "l2"), "squared_error"),
    **dict.fromkeys(("mae", "mean_absolute_error", "l1"), "absolute_error"),
    **dict.fromkeys(("bce", "binary_cross_entropy", "binary_crossentropy"), "binary_log_loss"),
    **dict.fromkeys(("cross_entropy", "crossentropy", "ce", "nll"), "log_loss"),
    **dict.fromkeys(("categorical_crossentropy", "categorical_cross_entropy"), "log_loss"),
    **dict.fromkeys(("pinball", "quantile_loss"), "quantile"),
}


def plural(n: int, noun: str) -> str:
    """Return a count with its noun: "1 row", "12,345 rows"."""
    if n == 1:
        return f"1 {noun}"
    return f"{n:,} {noun}s"


def columns() -> int:
    """Return how many columns a text has: those of the terminal, at most 80; without one 80."""
    found = shutil.get_terminal_size((0, 0)).columns
    if not found:  # standard output goes elsewhere: to a file, to a pipe
        with suppress(OSError, ValueError, AttributeError):
            found = os.get_terminal_size(sys.stderr.fileno()).columns
    return min(found or COLUMNS, COLUMNS)


def wrapped(text: str) -> str:
    """Return a text in lines as wide as the terminal; a line goes on indented by two."""
    width = columns()
    fill = partial(textwrap.fill, width=width, break_on_hyphens=False, break_long_words=False)
    insets = (" " * (len(line) - len(line.lstrip()) + 2) for line in text.splitlines())
    lines = zip(text.splitlines(), insets)
    return "\n".join(fill(line, subsequent_indent=inset) for line, inset in lines)


def is_name(text: str) -> bool:
    """Tell whether a text may be the name of a column: it has no control characters but blanks."""
    return text.isprintable() or not any(
        unicodedata.category(c) == "Cc" and not c.isspace() for c in text
    )


def escaped(text: str) -> str:
    r"""Return a text whose only control characters are ends of lines, for a terminal or a log.

    The others, and what shows nothing or turns the direction of writing, become what a literal of
    Python has for them: names and labels in a file may hold anything.

    Examples
    --------
    >>> print(escaped("Oslo\x1b[2J"))
    Oslo\x1b[2J
    """
    if text.isprintable():
        return text
    return "".join(
        c
        if c.isprintable() or c == "\n" or unicodedata.category(c) == "Zs"  # kinds of blanks
        else c.encode("unicode_escape").decode()
        for c in text
    )


def listed(names: Iterable[Any]) -> str:
    """Return names in quotes; of more than twelve the first, and how many more there are."""
    names = list(names)
    more = f" and {len(names) - 12} more" * (len(names) > 12)
    return ", ".join(map(repr, names[:12])) + more


def as_list(names: Sequence[str]) -> str:
    """Return names as an option takes them: a,b; what holds a comma stands in double quotes."""
    row = StringIO()
    csv.writer(row, lineterminator="").writerow(names)
    return row.getvalue()


def first_of(texts: Sequence[str], most: int) -> str:
    """Return the first texts: "a, b, c", or "a, b, ..." where there are more than `most`."""
    return ", ".join([*texts[:most], *["..."] * (len(texts) > most)])


def nearest(name: str, names: Iterable[str]) -> str:
    """Return the name that is written most like this one, best the same in other capitals."""
    names = list(names)
    same = [other for other in names if other.lower() == name.lower()]
    return (same or get_close_matches(name, names, 1, 0))[0]


def our_name(word: Any, words: Iterable[str]) -> Any:
    """Return which of these words another name stands for, such as "logistic" for "Sigmoid".

    A word that is one of them, or that nobody knows, is returned as it is.
    """
    words = list(words)
    if not isinstance(word, str) or word in words:
        return word
    ours = OTHER_NAMES.get(word.lower().replace("-", "_").replace(" ", "_"))
    return ours if ours in words else word


def did_you_mean(word: Any, words: Iterable[str]) -> str:
    """Return the end of a message on a word that is none of these: ": did you mean 'a'?" or "."."""
    words = list(words)
    if not isinstance(word, str) or not word:
        return "."
    if (ours := our_name(word, words)) != word:
        return f": it is called {ours!r} here."
    small = {name.lower(): name for name in reversed(words)}
    near = [small[name] for name in get_close_matches(word.lower(), small, 1)]
    near = near or [name for name in words if name.startswith(f"{word.lower()}_")]
    if not near:
        return "."
    return f": did you mean {' or '.join(map(repr, near[:2]))}?"


def check_word(what: str, word: Any, words: Iterable[str], others: str = "") -> None:
    """Raise ValueError for a word that is none of these, naming the nearest; others: of more."""
    if not (isinstance(word, str) and word in words):
        known = f"{', '.join(words)}{others}"
        raise ValueError(f"{what} must be one of {known}, got {word!r}{did_you_mean(word, words)}")


def check_ranges(record: Any, **ranges: tuple[float, float]) -> None:
    """Raise ValueError for a field of a record that is not between two numbers, or one of them."""
    for name, (low, high) in ranges.items():
        value = getattr(record, name)
        if not low <= value <= high:
            kind = type(record).__name__
            raise ValueError(f"{kind} needs {name} from {low:g} to {high:g}, got {value!r}.")


def abridged(text: str, most: int) -> str:
    """Return a text on one line, without its middle where it has more letters: many begin alike."""
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    return f"{text[: most // 2]}…{text[1 - most // 2 :]}"


def shortened(text: str, most: int, mark: str = "...") -> str:
    """Return a text, after its first `most` letters a mark where it is longer."""
    return text[:most] + mark * (len(text) > most)
