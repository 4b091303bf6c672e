"""The forms of written numbers: the words of their kinds, and what cells match them."""

import re
from typing import NamedTuple

# Letters come first where a sign is a part of another: US$ is not $.
CURRENCIES = (
    "US$ A$ C$ AU$ CA$ NZ$ HK$ NT$ S$ R$ $ € £ ¥ ￥ ₹ ₽ ₩ ₺ ₴ ₫ ₱ ₪ ₦ ฿ ₿ 元 円 kr. kr Kč zł Ft "
    "lei лв руб. руб Rs. Rs Rp RM Fr. Fr SFr. SFr AED ARS AUD BDT BGN BRL CAD CHF CLP CNY COP CZK "
    "DKK EGP EUR GBP GHS HKD HUF IDR ILS INR ISK JPY KES KRW KWD KZT LKR MAD MXN MYR NGN NOK NZD "
    "PEN PHP PKR PLN QAR RMB RON RSD RUB SAR SEK SGD THB TND TRY TWD UAH USD UYU VND ZAR BTC ETH"
).split()
# Units that may stand right behind a number. Letters of flats and seats (12A, 3b) are none.
UNITS = (
    '% ％ ‰ ° °C °F ℃ ℉ " ″ nm µm μm mm cm dm m km in ft yd mi m² m2 m³ m3 cm² cm2 cm³ cm3 km² km2 '
    "mm² mm2 ft² ft2 sqft sqm ha ac µg μg mg g kg t lb lbs oz ml mL cl dl dL l L cc CC ns µs μs ms "
    "s sec secs min mins h hr hrs yr yrs W kW MW GW Wh kWh MWh mV V kV mA Ah mAh Hz kHz MHz GHz Pa "
    "hPa kPa MPa bar mbar psi J kJ MJ cal kcal N kN Nm rpm dB dBm px pt em rem m/s km/h kph mph "
    "kmh kmpl km/l mpg hp bhp PS bp bps ppm ppb KB kB MB GB TB KiB MiB GiB TiB Kbps Mbps Gbps "
    "mol mmol mg/dL mg/l mg/L g/l g/L x × k K M + /5 /10 /100 second seconds minute minutes hour "
    "hours day days week weeks month months year years inch inches foot feet mile miles ounce "
    "ounces pound pounds gram grams degree degrees percent cent cents dollars euros point points "
    "star stars"
).split()
MAGNITUDES = {
    "e3": "thousand Tsd k K".split(),
    "e5": "lakh Lakh lac Lac".split(),
    "e6": "million mio Mio mln mn m M".split(),
    "e7": "crore Crore Cr".split(),
    "e9": "billion Mrd Md bn Bn b B".split(),
    "e12": "trillion tn T".split(),
}
SCALES = tuple(word for words in MAGNITUDES.values() for word in words)
SCALED = "k/M/B"
MARKS = {"point": (".", ","), "comma": (",", ".")}  # of decimals, and between groups of three

# Those of French, of tables, and such as nobody sees; the first three are frequent.
BLANKS = " \u00a0\u202f\u2007\u2009\u200b\ufeff"
BLANK = f"[{BLANKS}]"
MINUS = "\u2212\u2013"  # written for the hyphen
SIGN = f"[-+{MINUS}]"
NO_CENTS = f"[-{MINUS}\u2014]{{1,2}}"  # 12,- and 12.--
TIMES_TEN = rf"{BLANK}?[x×*·]{BLANK}?10\^"
EXPONENT = rf"(?:(?:[eE]|{TIMES_TEN})(?:\+?0?[0-9]{{1,2}}|[-{MINUS}][0-9]{{1,3}}))?"


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
        apart = self.currency.replace("$", " $")
        return [text for text in (self.unit, singular, self.currency, apart) if text]

    @property
    def pattern(self) -> str:
        """A regular expression of a whole cell."""
        digits = digits_of(self.mark)
        if self.scaled:
            digits += f"(?:{BLANK}?(?:{'|'.join(SCALES)})\\.?)?"
        currency = re.escape(self.currency).replace(r"\$", rf"{BLANK}?\$")  # US$, US $
        unit, gap = _unit(self.unit), f"{BLANK}*"
        if currency and unit:  # $5/h, 5 €/h, 5 k€
            both = f"(?:{currency}{gap}{unit}|{unit}{gap}{currency})"
            around = [(currency + gap, gap + unit), ("", gap + both)]
        elif currency or unit:
            around = [(currency + unit + gap, ""), ("", gap + currency + unit)]
        else:
            around = [("", "")]
        cells = "|".join(_signed(digits, before, after) for before, after in around)
        return f"^{gap}(?:{cells}){gap}$"


def digits_of(mark: str) -> str:
    """Return a regular expression of a number without sign."""
    decimal, group = map(re.escape, MARKS[mark])
    parted = "|".join(f"(?:{by}[0-9]{{3}})+" for by in (group, BLANK, "['’]"))
    whole = f"[0-9]+|[1-9][0-9]{{0,2}}(?:{parted})"
    if mark == "point":
        whole += "|[1-9][0-9]?(?:,[0-9]{2})+,[0-9]{3}"  # India: 12,34,567
    whole = rf"(?:{whole})(?:{decimal}[0-9]+)?{EXPONENT}(?:{decimal}(?:{NO_CENTS})?)?"
    return f"(?:{whole}|{decimal}[0-9]+{EXPONENT})"


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
