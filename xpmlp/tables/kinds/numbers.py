r"""Numbers as people write them: signs, currencies, units, groups of digits, magnitudes.

A kind is "number", which the database's own cast reads, or "number:FORM". A form has up to four
words, in this order:

    point or comma   the decimal mark, a point where nothing is said; the other mark, blanks and
                     apostrophes part groups of digits: 1,234.5 and 1.234,5, 1 234.5, 1'234.5
    k/M/B            a cell may end in a magnitude: 950, 1.5k, 2 million
    $, EUR, kr, ...  a currency, before or after each number
    kg, %, days, ... a unit, at each number

Each form takes every sign: +5, -5, 5-, and (5) as -5; with U+2212 or a dash for the minus, too. It
takes exponents: 1e5, 1.2x10^5. A currency or unit must stand in every cell: a column of 5 kg and
500 g has no form, and neither has one of $5 and 7. Units are a known one right behind a number
(5kg), or any word after a blank (5 stars, 1 day and 2 days); before a number stand currencies
only, as "Room 12" is a name. Phone numbers, addresses, versions and codes are no numbers.
"""

import re

from ..files.raw_table import literal
from .number_forms import BLANK, BLANKS, MAGNITUDES, MARKS, MINUS, SCALED, Form
from .number_shapes import candidates, several_forms

__all__ = ["candidates", "decimal_mark", "expected", "parsed", "rival", "several_forms", "value"]

LONGEST = 150  # characters of a number, which with the greatest exponent is finite
# What the cast does not read: 1.2x10^5, 12.- and 5-, with a point for the decimal mark.
RARE = ((r"[x×*·]10\^", "e"), ("\\.[-\u2014]+", ""), ("^(.+)-$", r"-\1"))
# A unit in a kind: no sign, no digit first, and no exponent's letter alone.
UNIT = re.compile(rf"\+|(?![eE]$)[^\s\d()+,.:;_{MINUS}-].{{0,39}}")


def value(c: str, kind: str) -> str:
    """SQL: a cell of text that is not missing as DOUBLE, NULL where it is no such number."""
    if kind == "number":
        # DuckDB reads 1_000 and +-5 as numbers; of letters (after ':') it is slow to say no.
        number = f"TRY_CAST({c} AS DOUBLE)"
        fits = f"{c} < ':' AND isfinite({number}) AND NOT contains({c}, '_')"
        return f"CASE WHEN {fits} AND NOT contains({c}, '+-') THEN {number} END"
    form = Form.of(kind)
    bare = c
    for text in form.affixes:
        bare = f"replace({bare}, {literal(text)}, '')"
    if form.scaled:  # as exponents: 2.3 * 1e6 is not 2.3e6
        for exponent, words in MAGNITUDES.items():
            spelled = f"{BLANK}?(?:{'|'.join(words)})\\b\\.?"
            bare = f"regexp_replace({bare}, {literal(spelled)}, '{exponent}')"
    decimal, group = MARKS[form.mark]
    # DuckDB takes half a microsecond for all of them, and twice that for one translate.
    for mark in (group, *"'’)+", *BLANKS[:3]):
        bare = f"replace({bare}, {literal(mark)}, '')"
    for mark, plain in {MINUS[0]: "-", MINUS[1]: "-", "(": "-", decimal: "."}.items():
        bare = f"replace({bare}, {literal(mark)}, {literal(plain)})"
    rare = f"regexp_replace({bare}, '{BLANK}', '', 'g')"
    for pattern, plain in RARE:
        rare = f"regexp_replace({rare}, '{pattern}', '{plain}')"
    number = f"coalesce(TRY_CAST({bare} AS DOUBLE), TRY_CAST({rare} AS DOUBLE))"
    # Fewer digits than a number that is infinite has: isfinite() would compute it twice.
    fits = f"length({c}) < {LONGEST} AND regexp_matches({c}, {literal(form.pattern)})"
    return f"CASE WHEN {fits} THEN {number} END"


def expected(kind: str) -> str:
    """Return in words what a cell of a kind should have been."""
    if kind == "number":
        return "a finite number"
    form = Form.of(kind)
    number = "1.5k" if form.scaled else "1,234.5"
    if form.mark == "comma":
        number = number.translate(str.maketrans(".,", ",."))
    if form.unit:
        number += " " * form.unit[0].isalnum() + form.unit
    if form.currency and form.mark == "comma":
        number += f" {form.currency}"
    elif form.currency:
        number = form.currency + " " * form.currency[-1].isalpha() + number
    return f"a number such as {number}"


def parsed(kind: str) -> bool:
    """Whether a user's kind is "number" or "number:FORM" with a form that can be read."""
    base, colon, words = kind.partition(":")
    if base != "number" or not colon:
        return kind == "number"
    unit = Form.of(kind).unit
    tidy = words != "" and words == " ".join(words.split())
    known = not unit or (UNIT.fullmatch(unit) and not {*MARKS, SCALED} & {*unit.split()})
    return tidy and bool(known)


def rival(kind: str) -> str:
    """Return the kind that takes the other mark for the decimal one."""
    if kind == "number":
        return "number:comma"
    form = Form.of(kind)
    other = "point" if form.mark == "comma" else "comma"
    return form._replace(mark=other).kind


def decimal_mark(kind: str) -> str:
    """Return the mark before the decimals of a kind's numbers."""
    return MARKS[Form.of(kind).mark][0]
