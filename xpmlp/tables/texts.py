"""Text columns of data frames that hold numbers nearly everywhere, or in part: told."""

import math
import warnings
from collections import Counter
from typing import Any

import narwhals as nw
import numpy as np

from ..errors import DataError
from ..words import first_of, plural, shortened
from .frame import Frame
from .types import ENOUGH, MISSING

PARTLY = 0.5  # of the cells that are not missing: below, numbers are among text as in addresses
FEW = 20  # different whole numbers that categories may be called by
SHOWN = 3  # words that a message names

# library -> what is passed in the place of a column: of numbers, or of categories
CURES = {
    "pandas": (
        "pass pd.to_numeric(X[{name!r}], errors='coerce'), where what is no number is missing, or "
        "X[{name!r}].astype('category') to keep it as it is"
    ),
    "polars": (
        "pass X[{name!r}].cast(pl.Float64, strict=False), where what is no number is missing, or "
        "X[{name!r}].cast(pl.Categorical) to keep it as it is"
    ),
}
CURE = "pass numbers, and None for what is none, or name it in categorical_features"


def check_texts(frame: Frame, X: Any, chosen: set[int] | None) -> None:
    """Look at the text columns of a frame of X for numbers that are mistyped, or are text.

    chosen: the places of the columns that are text by `categorical_features`, None where it names
    none; a column whose library calls it categorical is text, too.

    Warns
    -----
    UserWarning
        More than half of a column's cells, or all of them, are numbers.

    Raises
    ------
    DataError
        Nearly all cells of a column are numbers, but not all.
    """
    said, library = _declared(X), type(X).__module__.partition(".")[0]
    cure = CURES.get(library, CURE) if chosen is None else CURE
    for i, (name, kind) in enumerate(zip(frame.names, frame.kinds)):
        if kind == "category" and name not in said and i not in (chosen or ()):
            _check(name, frame.column(i), cure.format(name=name))


def _declared(X):
    """Return the names of the columns that a data frame itself calls categorical."""
    if not nw.dependencies.is_into_dataframe(X):
        return set()
    columns = nw.from_native(X, eager_only=True).iter_columns()
    return {str(a.name) for a in columns if a.dtype in (nw.Categorical, nw.Enum)}


def _check(name, values, cure):
    """Do what `check_texts` does for a column's values (n,)."""
    counts = Counter(values.tolist())
    for token in (None, *MISSING):
        counts.pop(token, None)
    numbers = [text for text in counts if _is_number(text)]
    n, present = sum(counts[text] for text in numbers), counts.total()
    if n < PARTLY * present or not n or _are_codes(numbers):
        return
    odd = {text: k for text, k in counts.most_common() if text not in {*numbers}}
    if odd and n >= ENOUGH * present:
        row = int(np.flatnonzero(np.isin(values, [*odd]))[0])
        raise DataError(
            f"column {name!r} holds {shortened(values[row], 30)!r} in row {row}, expected a number "
            f"as in {n:,} of {plural(present, 'cell')}: mend that row, or {cure}."
        )
    if len(numbers) <= FEW and all(text.lstrip("+-").isdigit() for text in numbers):
        return
    words = {text: k for text, k in odd.items() if not any(map(str.isdigit, text))}
    if 2 * sum(words.values()) < present - n:  # others, such as 12a, are names with numbers in them
        return
    what = "numbers as text"
    if odd:
        shown = [f"{shortened(text, 30)!r} ({plural(k, 'time')})" for text, k in words.items()]
        what = f"numbers in {n / present:.0%} of its cells, and {first_of(shown, SHOWN)}"
    warnings.warn(f"column {name!r} holds {what}, all taken as categories: {cure}.", stacklevel=2)


def _is_number(text):
    """Tell whether a text is a finite number, as files write them."""
    try:
        return math.isfinite(float(text)) and "_" not in text
    except ValueError:
        return False


def _are_codes(numbers):
    """Tell whether numbers are codes such as 01234: with leading zeros, all equally long."""
    zeros = any(text[0] == "0" and text[1:].isdigit() for text in numbers)
    return zeros and len({*map(len, numbers)}) == 1
