"""Warnings of columns of text that are nearly numbers, dates and the like."""

from shlex import quote

from ...words import first_of, listed, shortened
from ..files.raw_table import RawTable
from .cells import n_different, words
from .found import ENOUGH, PARTLY, Found, cell_value, is_word, unread

SHOWN = 3  # words that a warning shows
FEW = 20  # different cells that look like #3 or 1/2 are likely to be names
LIKE = {  # what to write in the place of
    "numbers": "plain numbers",
    "dates": "dates such as 2024-12-31, or as plain numbers",
    "numbers or dates": "plain numbers such as 12.5, or as dates such as 2024-12-31",
}


def warning_of(raw: RawTable, found: Found) -> str:
    """Return a warning of a column of text that is numbers or dates in great part; or ""."""
    kind, name = found.best, quote(found.name)
    taken = f"column {found.name!r} is taken as text, though"
    if found.forms:
        examples = listed([shortened(cell, 30) for cell in found.forms[:SHOWN]])
        return (
            f"{taken} its cells are numbers, written as {examples}: write them in one form that is "
            f"read, or say --types {name}=category if it is text"
        )
    if found.count["number"] >= ENOUGH * found.count["present"] > 0 and not found.read[kind]:
        return f"{taken} its cells are numbers with points for decimals: is --decimal right?"
    if found.unread and not _are_names(raw, found):
        what, example, _ = found.unread
        return (
            f"{taken} its cells look like {what} in a writing that is not read, such as "
            f"{shortened(example, 30)!r}: write them as {LIKE[what]}, or say --types "
            f"{name}=category if it is text"
        )
    nearly = PARTLY <= found.share < ENOUGH and not (kind == "number" and _is_name(raw, found))
    if not nearly and not _is_switched(raw, found):
        return ""
    cells = unread(raw, found, kind)
    shown = [f"{shortened(cell, 30)!r} ({n:,})" for cell, n in cells]
    marker = next((quote(cell) for cell, _ in cells if is_word(cell)), "")
    missing = f"--missing {marker} if that is a missing value, " * bool(marker)
    return (
        f"{taken} {found.share:.1%} of its cells are of type {kind}; the others are "
        f"{first_of(shown, SHOWN)}: say {missing}--types {name}={quote(kind)} --on-bad-row skip if "
        f"such rows are bad, --types {name}=category if it is text"
    )


def _are_names(raw: RawTable, found: Found) -> bool:
    """Tell whether cells in a writing that is not read are labels, or names of few things."""
    named = found.is_target or found.unread is None or found.unread.named
    return named and n_different(raw, found.field) <= FEW


def _is_switched(raw: RawTable, found: Found) -> bool:
    """Tell whether cells are a word or two, such as off, and else more values than names have."""
    if not 0 < found.share < PARTLY or found.codes:
        return False
    value = cell_value(found.best)
    n_words = n_different(raw, found.field, f"({value}) IS NULL")
    if not n_words <= SHOWN or not all(is_word(cell) for cell, _ in unread(raw, found, found.best)):
        return False
    return n_different(raw, found.field, f"({value}) IS NOT NULL") > FEW


def _is_name(raw: RawTable, found: Found) -> bool:
    """Tell whether whole numbers among other text are names, such as 12 beside 12a and 14-16."""
    if found.codes:
        return True
    number = cell_value("number")
    if words(raw, found.field, f"({number}) <> trunc({number})"):
        return False
    cells = unread(raw, found, "number")
    n_words = sum(n for cell, n in cells if is_word(cell))
    return 2 * n_words < sum(n for _, n in cells)
