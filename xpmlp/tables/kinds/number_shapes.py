"""Guesses at the forms of a column's numbers, by what its most frequent cells look like."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

from ..common import Shape
from .durations import looks_like_duration
from .number_forms import (
    BLANK,
    BLANKS,
    CURRENCIES,
    EXPONENT,
    MARKS,
    MINUS,
    SCALES,
    UNITS,
    Form,
    digits_of,
)

PLAIN = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
# What is before a number, the number, whatever its marks, and what is after.
ANY = re.compile(
    rf"([^0-9.,]*)([.,]?[0-9](?:(?:[.,'’]|{BLANK})?[0-9])*[.,]?{EXPONENT})(?![0-9])(.*)"
)
AROUND = f"-(){BLANKS}{MINUS}\u2014"  # an affix: signs, parentheses and blanks
WORD = re.compile(r"/?[^\W\d_]([\w .,/%°²³^-]{0,28}[\w.%²³])?")  # a unit
CLOCK = re.compile(r"[ap]\.?m\.?", re.IGNORECASE)
YEAR = re.compile(r".*[ .,/'-](\d\d|\d{4})")  # and before it a month, after the 5 of 5-Dec-2023
LETTER = re.compile("9[A-Za-z]")  # in a shape: 12a, a house among 12k and 14m
FRACTION = re.compile(r"9[.,]9 ?[^\W\d_]")  # of a magnitude, in a shape: 1.5k
FOOTNOTE = re.compile(rf"\(9\)|9[-{MINUS}]")  # a shape that alone is no negative number
COMPARED = re.compile(r"([<>≤≥~≈±]?)=?\s*(.*)", re.DOTALL)
NEARLY_ALL = 0.9  # of the cells
ENOUGH = 0.95  # of the cells have a word after their numbers that is a unit, though none we know
MOST_FORMS = 6  # more are names of something
_MONEY = "|".join(map(re.escape, CURRENCIES))
MONEY_FIRST = re.compile(rf"(?P<currency>{_MONEY})(?![^\W\d_])(?P<unit>.*)")
_SIGNS = "|".join(re.escape(sign) for sign in CURRENCIES if not sign[0].isalpha())
MONEY_LAST = re.compile(  # 5 k€, 5 million USD
    rf"(?P<unit>.*?){BLANK}?(?P<currency>{_SIGNS}|(?<![^\W\d_])(?:{_MONEY}))"
)


class Seen(NamedTuple):
    """Numbers of one shape: how many, and of what. marks: the decimal marks that they may have."""

    n: int
    text: str
    currency: str
    unit: str
    marks: frozenset[str]

    @property
    def scale(self) -> str:
        """The unit, if it is a magnitude: Mio. is Mio."""
        return self.unit.removesuffix(".")

    def fits(self, form: Form) -> bool:
        """Tell whether the cells may have a form."""
        same = self.unit == form.unit
        if form.scaled:
            same = self.scale in ("", *SCALES)
        return same and self.currency == form.currency and form.mark in self.marks


def candidates(shapes: Sequence[Shape]) -> list[str]:
    """Return kinds that may read at least half of a column's cells, best first.

    Examples
    --------
    >>> candidates([Shape("9,9 €", 5, "1,50 €", "7,25 €"), Shape("n.a.", 1, "n.a.", "n.a.")])
    ['number:comma €']
    """
    half = sum(shape.n for shape in shapes) / 2
    plain = [shape for shape in shapes if PLAIN.fullmatch(shape.low) or PLAIN.fullmatch(shape.high)]
    read = {"number": sum(shape.n for shape in plain)}
    seen = _seen(shapes)
    for form in _forms(seen, shapes):
        read[form.kind] = sum(part.n for part in seen if part.fits(form))
    likely = [kind for kind in read if 0 < half <= read[kind]]
    return sorted(likely, key=lambda kind: -read[kind])


def several_forms(shapes: Sequence[Shape]) -> list[str]:
    """Return an example of each form, where nearly all cells are numbers, but not of one form.

    Examples
    --------
    >>> several_forms([Shape("9 kg", 5, "1 kg", "7 kg"), Shape("9 g", 9, "20 g", "950 g")])
    ['20 g', '1 kg']
    """
    forms: Counter[tuple[str, ...]] = Counter()
    examples: dict[tuple[str, ...], str] = {}
    for shape in shapes:
        mark, cell = COMPARED.fullmatch(shape.low).groups()  # type: ignore[union-attr]
        currency, unit, number = _parts(cell)
        a_class = (mark or unit == "+") and shape.low == shape.high  # always <18, or 3+
        if number and (currency or unit in ("", *UNITS)) and not a_class:
            forms[mark, currency, unit] += shape.n
            examples.setdefault((mark, currency, unit), shape.low)
    whole = forms.total() >= NEARLY_ALL * sum(shape.n for shape in shapes)
    compared = any(mark for mark, *_ in forms)
    if whole and (compared or 1 < len(forms)) and len(forms) <= MOST_FORMS:
        return [examples[form] for form, _ in forms.most_common()]
    return []


def _seen(shapes: Sequence[Shape]) -> list[Seen]:
    """Return what those shapes are that may be numbers."""
    seen = []
    for shape in shapes:
        found = [parts for cell in (shape.low, shape.high) if (parts := _parts(cell))[-1]]
        marks = [mark for mark in MARKS for *_, number in found if _number(mark).fullmatch(number)]
        if marks:
            seen.append(Seen(shape.n, shape.text, *found[0][:2], frozenset(marks)))
    units = {(part.currency, part.unit) for part in seen}
    for i, part in enumerate(seen):
        plural = part.unit + "s"  # 1 day, 2 days
        if part.unit and (part.currency, plural) in units:
            seen[i] = part._replace(unit=plural)
    return seen


def _parts(cell: str) -> tuple[str, str, str]:
    """Return currency, unit and number of a cell; the number is "" where there is none."""
    match = ANY.fullmatch(cell)
    if not match:
        return "", "", ""
    before, number, after = match.groups()
    currency, unit = before.strip(AROUND + "+").replace(" $", "$"), after.strip(AROUND)
    parted = after != after.lstrip(AROUND) or (currency and unit.startswith("/"))
    money = MONEY_FIRST.fullmatch(unit) or MONEY_LAST.fullmatch(unit)
    if not currency and money:
        currency, unit = money["currency"], money["unit"].strip(AROUND)
        parted = True
    parted = parted or len(unit) > 1
    dated = CLOCK.fullmatch(unit) or YEAR.fullmatch(unit)
    lasting = any(map(str.isdigit, unit)) and looks_like_duration(cell)  # of several units: 5h 30m
    named = parted and WORD.fullmatch(unit) and not dated and not lasting
    if currency in ("", *CURRENCIES) and (unit in ("", *UNITS, *SCALES) or named):
        return currency, unit, number
    return "", "", ""


@cache
def _number(mark: str) -> re.Pattern[str]:
    """Return a regular expression of a number without sign."""
    return re.compile(digits_of(mark))


def _forms(seen: Sequence[Seen], shapes: Sequence[Shape]) -> list[Form]:
    """Return the forms that may read half of a column's cells; seen: its numbers."""
    affixes: Counter[tuple[str, str]] = Counter()
    for part in seen:
        affixes[part.currency, part.unit] += part.n
    footnotes = all(FOOTNOTE.fullmatch(part.text) for part in seen)
    if footnotes or (affixes.keys() == {("", "")} and _are_codes(shapes)):
        return []
    forms = []
    letters = {part.text for part in seen}
    if all(shape.text in letters for shape in shapes if LETTER.fullmatch(shape.text)):
        forms = [Form(scaled=True, currency=currency) for currency in _scaled(seen, affixes)]
    total = sum(shape.n for shape in shapes)
    for (currency, unit), n in affixes.most_common(2):
        least = 0.5 if currency or unit in ("", *UNITS) else ENOUGH
        if n >= least * total and _is_unit(currency, unit):
            forms.append(Form(currency=currency, unit=unit))
    return [form._replace(mark=mark) for form in forms for mark in MARKS]


def _is_unit(currency: str, unit: str) -> bool:
    """Whether a unit is more than a letter that may be a flat's or a seat's."""
    return bool(currency) or len(unit) != 1 or unit in UNITS


def _scaled(seen: Sequence[Seen], affixes: Mapping[tuple[str, str], int]) -> list[str]:
    """Return the currencies, "" for none, whose numbers end in several magnitudes."""
    fractions = any(part.scale in SCALES and FRACTION.search(part.text) for part in seen)
    found = []
    for currency in {currency: None for currency, _ in affixes}:
        ends = {unit.removesuffix("."): n for (of, unit), n in affixes.items() if of == currency}
        letters = {unit: n for unit, n in ends.items() if unit in SCALES}
        n_plain = ends.get("", 0)
        several = len(letters) + (n_plain > 0) > 1
        # 12 and 14b are houses, 5 and 5m lengths; with a k, a fraction or a currency they are not.
        likely = currency or fractions or sum(letters.values()) >= n_plain
        if several and likely and (currency or letters.keys() - set("mbBT")):
            found.append(currency)
    return found


def _are_codes(shapes: Sequence[Shape]) -> bool:
    """Whether most cells are digits in groups as of telephone numbers, addresses and the like."""
    n_codes = sum(shape.n for shape in shapes if _is_code(shape))
    return 2 * n_codes > sum(shape.n for shape in shapes)


def _is_code(shape: Shape) -> bool:
    """Whether cells are three groups of three digits each, more groups, or begin by a plus."""
    if not re.fullmatch(r"\+?9([. ]9){2,}", shape.text):
        return False
    three = all(re.match("[0-9]{3}[. ]", cell) for cell in (shape.low, shape.high))
    return three or shape.text.count("9") > 3 or shape.text.startswith("+")
