"""Fields of JSON: what each may hold, told by records that a writer and its reader check alike.

A check takes a value and its place, and raises a ValueError that says both. It makes nothing of
the value, so that whatever a file says costs no more than reading it did.
"""

import re
from collections.abc import Callable, Mapping
from reprlib import repr as brief
from typing import Any

from ..words import is_name

Check = Callable[[Any, str], None]
MOST = 2**53  # which counts of rows and steps do not reach
FINITE = 1.7976931348623157e308


def refused(value: Any, place: str, expected: str) -> ValueError:
    """Return the error on the value of a field."""
    return ValueError(f"{place} is {brief(value)}, expected {expected}")


def fits(expected: str, test: Callable[[Any], bool]) -> Check:
    """Return the check of a test; expected: it in words."""

    def check(value, place):
        if not test(value):
            raise refused(value, place, expected)

    return check


def whole(low: int = 0, high: int = MOST) -> Check:
    """Return the check for a whole number."""
    expected = f"a whole number from {low} to {high}"
    return fits(expected, lambda value: type(value) is int and low <= value <= high)


def number(low: float = -FINITE, high: float = FINITE) -> Check:
    """Return the check for a finite number."""
    expected = f"a number from {low:g} to {high:g}"
    return fits(expected, lambda value: type(value) in (int, float) and low <= value <= high)


def measured(*words: str, low: float = -FINITE) -> Check:
    """Return the check for a finite number, or one that JSON has no form for: "nan", "inf"."""
    finite = number(low)

    def check(value, place):
        if not (isinstance(value, dict) and [*value] == ["float"] and value["float"] in words):
            finite(value, place)

    return check


def word(*words: str) -> Check:
    """Return the check for one of some words."""
    known = f"one of {', '.join(words)}"
    return fits(known, lambda value: isinstance(value, str) and value in words)


def written(pattern: str, expected: str) -> Check:
    """Return the check for a text of a pattern; expected: it in words."""
    matches = re.compile(pattern).fullmatch
    return fits(expected, lambda value: isinstance(value, str) and matches(value) is not None)


text = fits("a text", lambda value: isinstance(value, str))
title = fits(  # of a column
    "a text without control characters", lambda value: isinstance(value, str) and is_name(value)
)
flag = fits("true or false", lambda value: isinstance(value, bool))
label = fits("a number or a text", lambda value: isinstance(value, str | int | float))
nothing = fits("null", lambda value: value is None)
anything = fits("", lambda value: True)


def maybe(check: Check) -> Check:
    """Return the check for null, or for what another check takes."""
    return lambda value, place: None if value is None else check(value, place)


def row(*checks: Check, least: int | None = None) -> Check:
    """Return the check for a list with an entry for each of some checks, or the `least` first."""
    lengths = (len(checks), least)

    def check(value, place):
        if not isinstance(value, list | tuple) or len(value) not in lengths:
            raise refused(value, place, f"a list of {len(checks)}")
        for i, (own, entry) in enumerate(zip(checks, value)):
            own(entry, f"{place}[{i}]")

    return check


def several(own: Check, most: int = MOST) -> Check:
    """Return the check for a list of up to `most` entries, each as one check takes them."""

    def check(value, place):
        if not isinstance(value, list | tuple) or len(value) > most:
            raise refused(value, place, f"a list of {most} entries at most")
        inside = f"an entry of {place}"  # its number for each of them would take longer than all
        for entry in value:
            own(entry, inside)

    return check


def by_name(own: Check) -> Check:
    """Return the check for an object of any names, whose values one check takes."""

    def check(value, place):
        if not isinstance(value, dict):
            raise refused(value, place, "an object")
        for name, entry in value.items():
            own(entry, f"{place}.{brief(name)}")

    return check


def record(known: Mapping[str, Check], lacks: tuple[str, ...] = ()) -> Check:
    """Return the check for an object of these names and no others; lacks: names it may be without.

    Examples
    --------
    >>> record({"n": whole(), "name": text})({"n": -7, "name": "a"}, "training")
    Traceback (most recent call last):
    ValueError: training.n is -7, expected a whole number from 0 to 9007199254740992
    """

    def check(value, place):
        if not isinstance(value, dict):
            raise refused(value, place, "an object")
        for name in value:
            if name not in known:
                raise ValueError(f"{place} has a field {brief(name)} that this version lacks")
        for name, own in known.items():
            if name in value:
                own(value[name], f"{place}.{name}")
            elif name not in lacks:
                raise ValueError(f"{place} lacks the field {name!r}")

    return check
