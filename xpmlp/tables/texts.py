"""Text columns of data frames that hold numbers nearly everywhere, or in part: told."""

import math
import re
import warnings
from collections import Counter
from numbers import Real
from typing import Any, NamedTuple

import narwhals as nw
import numpy as np

from ..errors import DataError
from ..words import first_of, plural, shortened
from .common import Shape
from .frame import Frame
from .kinds import dates, numbers
from .kinds.found import ENOUGH
from .kinds.types import MISSING
from .kinds.unread_forms import unread_form

PARTLY = 0.5  # of the cells that are not missing: below, numbers are among text as in addresses
FEW = 20  # different whole numbers that categories may be called by
SHOWN = 3  # words that a message names

SAMPLED = 100  # different texts that are looked at for writings of numbers and dates
DIGITS = re.compile("[0-9]+")


class Cure(NamedTuple):
    """What to pass in the place of a text column: what it holds, or the same text as categories."""

    numbers: str = "numbers, and None for what is none"
    dates: str = "dates"
    keep: str = "name it in categorical_features"


CURES = {
    "pandas": Cure(
        "pd.to_numeric(X[{name!r}], errors='coerce'), where what is no number is missing",
        "pd.to_datetime(X[{name!r}], format={form!r})",
        "X[{name!r}].astype('category') to keep it as it is",
    ),
    "polars": Cure(
        "X[{name!r}].cast(pl.Float64, strict=False), where what is no number is missing",
        "X[{name!r}].str.to_datetime(...)",
        "X[{name!r}].cast(pl.Categorical) to keep it as it is",
    ),
}


def check_texts(frame: Frame, X: Any, chosen: set[int] | None) -> None:
    """Look at the text columns of a frame of X for numbers that are mistyped, or are text.

    chosen: the places of the columns that are text by `categorical_features`, None where it names
    none; a column whose library calls it categorical is text, too.

    Warns
    -----
    UserWarning
        More than half of a column's cells, or all of them, are numbers; or nearly all are numbers
        or dates in writing, such as "$1,234.50" or "06-Dec-2023", or in one that files do not have
        read, such as "0x1f"; or objects are numbers and text.

    Raises
    ------
    DataError
        Nearly all cells of a column are numbers, but not all.
    """
    said, library = _declared(X), type(X).__module__.partition(".")[0]
    cure = Cure()
    if chosen is None:  # else a type alone does not make a column one of categories
        cure = CURES.get(library, cure)
    mixed = _mixed(X)
    for i, (name, kind) in enumerate(zip(frame.names, frame.kinds)):
        if kind == "category" and name not in said and i not in (chosen or ()):
            if not _check(name, frame.column(i), cure) and name in mixed:
                keep = cure.keep.format(name=name)
                text = f"column {name!r} mixes {mixed[name]}, all taken as categories"
                warnings.warn(f"{text}: pass one type, or {keep}.", stacklevel=2)


def _mixed(X):
    """Return examples of a number and a text of the columns of objects that hold both, by name."""
    found = {}
    if nw.dependencies.is_into_dataframe(X):
        for a in nw.from_native(X, eager_only=True).iter_columns():
            if a.dtype != nw.Object:
                continue
            last = {isinstance(v, str): v for v in a if isinstance(v, str | Real) and v == v}
            if len(last) > 1:
                found[a.name] = f"numbers such as {last[False]} and text such as {last[True]!r}"
    return found


def _declared(X):
    """Return the names of the columns that a data frame itself calls categorical."""
    if not nw.dependencies.is_into_dataframe(X):
        return set()
    columns = nw.from_native(X, eager_only=True).iter_columns()
    return {str(a.name) for a in columns if a.dtype in (nw.Categorical, nw.Enum)}


def _check(name, values, cure):
    """Check a column's values (n,) for `check_texts`; return False where nothing was to say."""
    counts = Counter(values.tolist())
    for token in (None, *MISSING):
        counts.pop(token, None)
    if _is_writing(name, counts, cure):
        return True
    plain = {text: k for text, k in counts.items() if _is_number(text)}
    n, present = sum(plain.values()), counts.total()
    if not n:
        return _is_unread(name, counts, cure)
    if n < PARTLY * present or _are_codes(plain):
        return False
    cures = f"{cure.numbers}, or {cure.keep}".format(name=name)
    odd = {text: k for text, k in counts.most_common() if text not in plain}
    if odd and n >= ENOUGH * present:
        row = int(np.flatnonzero(np.isin(values, [*odd]))[0])
        raise DataError(
            f"column {name!r} holds {shortened(values[row], 30)!r} in row {row}, expected a number "
            f"as in {n:,} of {plural(present, 'cell')}: mend that row, or pass {cures}."
        )
    if _n_words(odd) < (present - n) / 2:  # others, such as 12a, are names with numbers in them
        return False
    if _are_few(plain, n) and all(float(text).is_integer() for text in plain):
        return False
    what = "numbers as text"
    if odd:
        what = f"numbers in {n / present:.0%} of its cells, and {_shown(odd)}"
    warnings.warn(
        f"column {name!r} holds {what}, all taken as categories: pass {cures}.", stacklevel=2
    )
    return True


def _is_writing(name, counts, cure):
    """Tell whether texts, of so many cells each, are numbers or dates in writing, or words.

    Warns of it, unless they are few.
    """
    known = {text: n for text, n in counts.items() if DIGITS.search(text)}
    kinds = ["number"]
    if sum(known.values()) >= PARTLY * counts.total() > 0:
        kinds = _kinds(known) or kinds
    if kinds[0] == "number":
        return False
    if _are_few(counts, counts.total()):
        return True
    example, given, those = next(iter(known)), "numbers", kinds[:1]
    if kinds[0].startswith("date"):
        those = [kind for kind in kinds if kind.startswith("date:")]
        if "date" in kinds:
            those = ["date"]
        given = cure.dates.format(name=name, form=_form(those, example))
    odd = {text: n for text, n in counts.most_common() if text not in known}
    beside = f", and {_shown(odd)}" * bool(odd)
    keep, written = cure.keep.format(name=name), " or ".join(those[:2])
    warnings.warn(
        f"column {name!r} holds text such as {shortened(example, 40)!r}{beside}, taken as "
        f"categories; in a file it is read as {written}: pass {given}, or {keep}.",
        stacklevel=2,
    )
    return True


def _is_unread(name, counts, cure):
    """Warn of texts, of so many cells each, in a writing that files do not have read, either."""
    found = unread_form(_shapes_of(counts))
    if found is None or (found.named and _are_few(counts, counts.total())):
        return False
    example, keep = shortened(found.example, 40), cure.keep.format(name=name)
    warnings.warn(
        f"column {name!r} holds text that looks like {found.what}, such as {example!r}, taken as "
        f"categories: pass {found.what}, or {keep}.",
        stacklevel=2,
    )
    return True


def _n_words(texts):
    """Return in how many cells there are texts without digits."""
    return sum(n for text, n in texts.items() if not DIGITS.search(text))


def _shown(texts):
    """Return the most frequent texts without digits, and how often they are there."""
    words = [(text, n) for text, n in texts.items() if not DIGITS.search(text)]
    return first_of([f"{shortened(text, 30)!r} ({plural(n, 'time')})" for text, n in words], SHOWN)


def _form(kinds, example):
    """Return the format that pandas takes for dates of one kind, or dots where they may be two."""
    if "date" in kinds:
        return "ISO8601"
    if len(kinds) > 1 or ":" in example:  # a time of day is read in files without being named
        return "..."
    return kinds[0].removeprefix("date:")


def _kinds(texts):
    """Return how texts, of so many cells each, are read in files: dates and times come first.

    `candidates` asks for half of the cells: with others beside them, for nearly all of these.
    """
    shapes = _shapes_of(texts)
    others = round((2 * ENOUGH - 1) * sum(shape.n for shape in shapes))
    shapes.append(Shape("?", others, "?", "?"))
    return [k for k in (*dates.candidates(shapes), *numbers.candidates(shapes)) if k != "boolean"]


def _shapes_of(texts):
    """Return the shapes of some of the texts, of so many cells each."""
    some = [*texts.items()][:: max(1, len(texts) // SAMPLED)]
    return [Shape(DIGITS.sub("9", text), n, text, text) for text, n in some]


def _are_few(texts, n):
    """Tell whether so few texts stand in n cells that they may be meant as categories."""
    return len(texts) <= FEW and 2 * len(texts) <= n


def _is_number(text):
    """Tell whether a text is a finite number, as files write them."""
    if text[0] not in "+-.0123456789" or "_" in text:  # an exception takes longer than a look
        return False
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _are_codes(numbers):
    """Tell whether numbers are codes such as 01234: with leading zeros, all equally long."""
    zeros = any(text[0] == "0" and text[1:].isdigit() for text in numbers)
    return zeros and len({*map(len, numbers)}) == 1
