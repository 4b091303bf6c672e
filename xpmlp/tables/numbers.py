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
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .common import Shape
from .raw_table import literal

# Letters come first where a sign is a part of another: US$ is not $.
CURRENCIES = (
    "US$ A$ C$ AU$ CA$ NZ$ HK$ NT$ S$ R$ $ € £ ¥ ₹ ₽ ₩ ₺ ₴ ₫ ₱ ₪ ₦ ฿ ₿ 元 円 kr. kr Kč zł Ft lei "
    "лв руб. руб Rs. Rs Rp RM Fr. Fr SFr. SFr AED ARS AUD BDT BGN BRL CAD CHF CLP CNY COP CZK DKK "
    "EGP EUR GBP GHS HKD HUF IDR ILS INR ISK JPY KES KRW KWD KZT LKR MAD MXN MYR NGN NOK NZD PEN "
    "PHP PKR PLN QAR RMB RON RSD RUB SAR SEK SGD THB TND TRY TWD UAH USD UYU VND ZAR BTC ETH"
).split()
# Units that may stand right behind a number. Letters of flats and seats (12A, 3b) are none.
UNITS = (
    '% ‰ ° °C °F ℃ ℉ " ″ nm µm μm mm cm dm m km in ft yd mi m² m2 m³ m3 cm² cm2 cm³ cm3 km² km2 '
    "mm² mm2 ft² ft2 sqft sqm ha ac µg μg mg g kg t lb lbs oz ml mL cl dl dL l L cc CC ns µs μs ms "
    "s sec secs min mins h hr hrs yr yrs W kW MW GW Wh kWh MWh mV V kV mA Ah mAh Hz kHz MHz GHz Pa "
    "hPa kPa MPa bar mbar psi J kJ MJ cal kcal N kN Nm rpm dB dBm px pt em rem m/s km/h kph mph "
    "kmh kmpl km/l mpg hp bhp PS bp bps ppm ppb KB kB MB GB TB KiB MiB GiB TiB Kbps Mbps Gbps "
    "mol mmol mg/dL mg/l mg/L g/l g/L x × k K M + /5 /10 /100"
).split()
MAGNITUDES = {
    "e3": "thousand k K".split(),
    "e5": "lakh Lakh lac Lac".split(),
    "e6": "million mio Mio mln mn m M".split(),
    "e7": "crore Crore Cr".split(),
    "e9": "billion Mrd bn Bn b B".split(),
    "e12": "trillion tn T".split(),
}
SCALES = tuple(word for words in MAGNITUDES.values() for word in words)
SCALED = "k/M/B"
MARKS = {"point": (".", ","), "comma": (",", ".")}  # of decimals, and between groups of three

BLANKS = " \u00a0\u2007\u2009\u202f"
BLANK = f"[{BLANKS}]"
MINUS = "\u2212\u2013"  # written for the hyphen
SIGN = f"[-+{MINUS}]"
TIMES_TEN = rf"{BLANK}?[x×*·]{BLANK}?10\^"
EXPONENT = rf"(?:(?:[eE]|{TIMES_TEN})(?:\+?0?[0-9]{{1,2}}|[-{MINUS}][0-9]{{1,3}}))?"
LONGEST = 150  # characters of a number, which with the greatest exponent is finite
PLAIN = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
# What is before a number, the number, whatever its marks, and what is after.
ANY = re.compile(
    rf"([^0-9.,]*)([.,]?[0-9](?:(?:[.,'’]|{BLANK})?[0-9])*[.,]?{EXPONENT})(?![0-9])(.*)"
)
AROUND = f"-(){BLANKS}{MINUS}"  # an affix: signs, parentheses and blanks
WORD = re.compile(r"/?[^\W\d_]([\w .,/%°²³^-]{0,28}[\w.%²³])?")  # a unit after a blank
# A unit in a kind: no sign, no digit first, and no exponent's letter alone.
UNIT = re.compile(rf"\+|(?![eE]$)[^\s\d()+,.:;_{MINUS}-].{{0,39}}")
COMPARED = re.compile(r"([<>≤≥~≈±]?)=?\s*(.*)", re.DOTALL)
NEARLY_ALL = 0.9  # of the cells
MOST_FORMS = 6  # more are names of something
CLOCK = re.compile(r"[ap]\.?m\.?", re.IGNORECASE)
_MONEY = "|".join(map(re.escape, CURRENCIES))
MONEY_FIRST = re.compile(rf"(?P<currency>{_MONEY})(?![^\W\d_])(?P<unit>.*)")
MONEY_LAST = re.compile(rf"(?P<unit>.*?){BLANK}?(?<![^\W\d_])(?P<currency>{_MONEY})")


class Form(NamedTuple):
    """How the numbers of a column are written: the words of a kind."""

    mark: str = "point"
    scaled: bool = False
    currency: str = ""
    unit: str = ""

    @classmethod
    def of(cls, kind: str) -> "Form":
        """Return the form that a kind names."""
        words = kind.partition(":")[2].split(" ")
        mark = words.pop(0) if words[0] in MARKS else "point"
        scaled = words[:1] == [SCALED]
        words = words[scaled:]
        currency = words.pop(0) if words[:1] and words[0] in CURRENCIES else ""
        return cls(mark, scaled, currency, " ".join(words))

    @property
    def kind(self) -> str:
        """Return the kind that names this form."""
        words = [SCALED * self.scaled, self.currency, self.unit]
        if self.mark == "comma" or not any(words):
            words.insert(0, self.mark)
        return "number:" + " ".join(filter(None, words))

    @property
    def affixes(self) -> list[str]:
        """Currency and unit as texts, what holds another one first: "days", "day"."""
        singular = self.unit[:-1] * (_unit(self.unit) != re.escape(self.unit))
        return [text for text in (self.unit, singular, self.currency) if text]

    @property
    def pattern(self) -> str:
        """A regular expression of a whole cell."""
        digits = _digits(self.mark)
        if self.scaled:
            digits += f"(?:{BLANK}?(?:{'|'.join(SCALES)}))?"
        affix, last = re.escape(self.currency) or _unit(self.unit), ""
        if self.currency and self.unit:  # the unit comes last: $5/h, 5 €/h
            last = f"{BLANK}?{_unit(self.unit)}"
        cells = [_signed(digits, "", "")]
        if affix:
            cells = [
                _signed(digits, f"(?:{affix}){BLANK}?", last),
                _signed(digits, "", f"{BLANK}?(?:{affix}){last}"),
            ]
        return f"^{BLANK}*(?:{'|'.join(cells)}){BLANK}*$"


def candidates(shapes: Sequence[Shape]) -> list[str]:
    """Return kinds that may read at least half of a column's cells, best first."""
    total = sum(shape.n for shape in shapes)
    read = {"number": _n_read(shapes, PLAIN)}
    for form in _forms(shapes):
        read[form.kind] = _n_read(shapes, re.compile(form.pattern))
    likely = [kind for kind in read if 0 < total <= 2 * read[kind]]
    return sorted(likely, key=lambda kind: -read[kind])


def several_forms(shapes: Sequence[Shape]) -> list[str]:
    """Return an example of each form, where nearly all cells are numbers, but not of one form.

    Examples
    --------
    >>> several_forms([Shape("9 kg", 5, "1 kg", "7 kg"), Shape("9 g", 9, "20 g", "950 g")])
    ['20 g', '1 kg']
    """
    forms: Counter[tuple[str, ...]] = Counter()
    examples = {}
    for shape in shapes:
        mark, cell = COMPARED.fullmatch(shape.low).groups()  # type: ignore[union-attr]
        affix = _affix(cell)
        # A shape of one cell only, "<18" or "under 1 kg", is the name of a class.
        if affix and (affix[0] or affix[1] in ("", *UNITS)) and shape.low != shape.high:
            forms[mark, *affix] += shape.n
            examples.setdefault((mark, *affix), shape.low)
    whole = forms.total() >= NEARLY_ALL * sum(shape.n for shape in shapes)
    compared = any(mark for mark, *_ in forms)
    if whole and (compared or 1 < len(forms)) and len(forms) <= MOST_FORMS:
        return [examples[form] for form, _ in forms.most_common()]
    return []


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
            spelled = f"{BLANK}?(?:{'|'.join(words)})\\b"
            bare = f"regexp_replace({bare}, {literal(spelled)}, '{exponent}')"
    decimal, group = MARKS[form.mark]
    # DuckDB takes half a microsecond for all of them, and twice that for one translate.
    for mark in (group, *"'’)+", *BLANKS):
        bare = f"replace({bare}, {literal(mark)}, '')"
    for mark, plain in {MINUS[0]: "-", MINUS[1]: "-", "(": "-", decimal: "."}.items():
        bare = f"replace({bare}, {literal(mark)}, {literal(plain)})"
    rare = rf"regexp_replace({bare}, '[x×*·]10\^', 'e')"
    rare = rf"regexp_replace({rare}, '^(.+)-$', '-\1')"
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


def _digits(mark: str) -> str:
    """Return a regular expression of a number without sign."""
    decimal, group = map(re.escape, MARKS[mark])
    parted = "|".join(f"(?:{by}[0-9]{{3}})+" for by in (group, BLANK, "['’]"))
    whole = f"[0-9]+|[1-9][0-9]{{0,2}}(?:{parted})"
    if mark == "point":
        whole += "|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"  # India: 12,34,567
    return f"(?:(?:{whole})(?:{decimal}[0-9]+)?{EXPONENT}{decimal}?|{decimal}[0-9]+{EXPONENT})"


def _signed(digits: str, before: str, after: str) -> str:
    """Return a regular expression of a number with its sign, within its affixes or around them."""
    within = rf"(?:{SIGN}?{BLANK}?{digits}|{digits}\b[-{MINUS}]|\({digits}\))"
    cells = [before + within + after]
    if before or after:
        bare = before + digits + after
        cells += [rf"{SIGN}{BLANK}?{bare}", rf"\({bare}\)"]
    if after:
        cells.append(f"{bare}[-{MINUS}]")
    return "|".join(cells)


def _unit(unit: str) -> str:
    """Return a regular expression of a unit: "days" is also 1 day."""
    if len(unit) > 2 and unit.isalpha() and unit.endswith("s"):
        return re.escape(unit) + "?"
    return re.escape(unit)


def _n_read(shapes: Sequence[Shape], pattern: re.Pattern[str]) -> int:
    """Return of how many cells the examples match."""
    matches = pattern.fullmatch
    return sum(shape.n for shape in shapes if matches(shape.low) or matches(shape.high))


def _forms(shapes: Sequence[Shape]) -> list[Form]:
    """Return the forms in which cells of some shapes may be written, the most frequent first."""
    affixes: Counter[tuple[str, str]] = Counter()
    fractions = False  # before a magnitude: 1.5k
    unsigned = False
    lettered = False  # 12a
    for shape in shapes:
        affix = _affix(shape.low)
        if affix is None:
            lettered |= re.fullmatch("9[A-Za-z]", shape.text) is not None
            continue
        affixes[affix] += shape.n
        fractions |= affix[1] in SCALES and re.search(r"9[.,]9 ?[^\W\d_]", shape.text) is not None
        unsigned |= shape.text[-1] not in f")-{MINUS}"
    for currency, unit in list(affixes):
        if unit and (currency, unit + "s") in affixes:  # 1 day, 2 days
            affixes[currency, unit + "s"] += affixes.pop((currency, unit))
    if not unsigned or (affixes.keys() == {("", "")} and _are_codes(shapes)):
        return []
    scaled = [] if lettered else _scaled(affixes, fractions)
    forms = [Form(scaled=True, currency=currency) for currency in scaled]
    half = sum(shape.n for shape in shapes) / 2
    common = [affix for affix, n in affixes.most_common(2) if n >= half and _is_unit(*affix)]
    forms += [Form(currency=currency, unit=unit) for currency, unit in common]
    return [form._replace(mark=mark) for form in forms for mark in MARKS]


def _affix(cell: str) -> tuple[str, str] | None:
    """Return currency and unit of a cell, None where it is no number with known ones."""
    match = ANY.fullmatch(cell)
    if not match:
        return None
    before, _, after = match.groups()
    currency, unit = before.strip(AROUND + "+"), after.strip(AROUND)
    parted = after != after.lstrip(AROUND) or (currency and unit.startswith("/"))
    if currency not in ("", *CURRENCIES):
        return None
    money = MONEY_FIRST.fullmatch(unit) or MONEY_LAST.fullmatch(unit)
    if not currency and money:
        currency, unit = money["currency"], money["unit"].strip(AROUND)
        parted = True
    named = parted and WORD.fullmatch(unit) and not CLOCK.fullmatch(unit)
    if unit in ("", *UNITS, *SCALES) or named:
        return currency, unit
    return None


def _is_unit(currency: str, unit: str) -> bool:
    """Whether a unit is more than a letter that may be a flat's or a seat's."""
    return bool(currency) or len(unit) != 1 or unit in UNITS


def _scaled(affixes: Mapping[tuple[str, str], int], fractions: bool) -> list[str]:
    """Return the currencies, "" for none, whose numbers end in several magnitudes."""
    found = []
    for currency in {currency: None for currency, _ in affixes}:
        ends = {unit: n for (of, unit), n in affixes.items() if of == currency}
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
