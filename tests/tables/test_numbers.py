"""Numbers in the ways that people write them, each read by DuckDB and compared with a float."""

import random
import re
import time

import duckdb
from each import each

from xpmlp.tables.common import Shape
from xpmlp.tables.kinds.numbers import (
    candidates,
    decimal_mark,
    expected,
    parsed,
    rival,
    several_forms,
    value,
)

# kind -> cells and what they are, and cells that are no numbers of that kind
READ = {
    "number": (
        "5 = 5; +5 = 5; -5 = -5; .5 = 0.5; 5. = 5; 1e5 = 100000.0; 1.2E-3 = 0.0012; 007 = 7",
        "1_000; +-5; 1,5; 0x10; 1e999; inf; nan; 5 kg; a",
    ),
    "number:point": (
        "1,234.5 = 1234.5; -1,234,567 = -1234567; 1234 = 1234; 0.5 = 0.5; .25 = 0.25; "
        "1 234.5 = 1234.5; 1'234.5 = 1234.5; 1’234’567 = 1234567; 12,34,567.8 = 1234567.8; "
        "\u2212 5 = -5; \u22125 = -5; –5.5 = -5.5; 5- = -5; 5.25- = -5.25; +7 = 7; "
        "(1,234.50) = -1234.5; 1,234e2 = 123400; 1.2e-3 = 0.0012; 1.2E+3 = 1200; 5. = 5; "
        "1.2×10^5 = 120000.0; 3 x 10^2 = 300; 1.5*10^\u22123 = 0.0015; 1.2e\u22123 = 0.0012; "
        "1.5e-120 = 1.5e-120; 1e+007 = 10000000.0; 12.- = 12; -12.-- = -12; 12.\u2014 = 12; "
        "\u200b5 = 5; 1\u2009234 = 1234",
        "1,23; 0,123; 1,2345; 12,345,6; 1.234,5; 1234,567; 12.---; 12,-; (5; 5); --5; (-5); -5-; "
        "5 6; 1 2345; 01 234; 1.2.3; <5; >5; ~5; 1/2; 5%; $5; 12a; A12; #12; 1e400; e5; "
        "1,234 567; 1-2; ٣; -; .; +(5); 10^5; 1_000; 3+",
    ),
    "number:comma": (
        "1.234,5 = 1234.5; 1.234.567 = 1234567; 1 234,5 = 1234.5; 0,5 = 0.5; ,25 = 0.25; "
        "1\u00a0234,5 = 1234.5; 1\u202f234\u202f567,25 = 1234567.25; 1\u2009000 = 1000; "
        "1'234,5 = 1234.5; -1,5 = -1.5; 1,5- = -1.5; (1,5) = -1.5; 1,2e5 = 120000.0; 12 = 12",
        "1.5; 1,234,5; 1.23.456; 1,234.5; 0.123; 12.34.567; 1.5e3",
    ),
    "number:$": (
        "$1,234.50 = 1234.5; -$5 = -5; $-5 = -5; $ 5 = 5; 5 $ = 5; 5$ = 5; $5- = -5; "
        "($5.00) = -5; $(5.00) = -5; (5 $) = -5; $.50 = 0.5; +$5 = 5; \u2212$5 = -5; "
        "- $ 5 = -5; $1 234 = 1234; $1e3 = 1000; $5  = 5",
        "5; US$5; $5$; -$-5; +$-5; $; $5k; €5; $1,5; $5/h",
    ),
    "number:comma €": (
        "1.234,50 € = 1234.5; € 1.234,50 = 1234.5; -5,5€ = -5.5; 1 234,5\u00a0€ = 1234.5; "
        "5,00- € = -5; (12,50 €) = -12.5; \u22121.234,50 € = -1234.5; €5 = 5",
        "1,234.50 €; 12.5 €; 5; 5 $; € €5",
    ),
    "number:USD": (
        "USD 12 = 12; 12.5 USD = 12.5; USD12 = 12; -USD 1,000 = -1000",
        "usd 1",
    ),
    "number:kr": (
        "12 kr = 12; kr 1 200 = 1200",
        "kr. 5",
    ),
    "number:kr.": (
        "12 kr. = 12",
        "12 kr",
    ),
    "number:%": (
        "70.7% = 70.7; -5 % = -5; 7e1% = 70; (3%) = -3; 5.% = 5",
        "0.7",
    ),
    "number:comma %": (
        "70,7\u00a0% = 70.7",
        "70.7 %",
    ),
    "number:kg": (
        "27.10 kg = 27.1; 5kg = 5; 1,200 kg = 1200",
        "500 g; 5 Kg",
    ),
    "number:°C": (
        "12 °C = 12; -3.5°C = -3.5; \u22123 °C = -3",
        "12 °F",
    ),
    "number:m²": (
        "5 m² = 5; 5.5m² = 5.5",
        "5 m2",
    ),
    "number:m2": (
        "5 m2 = 5; 5.5m2 = 5.5",
        "2m5",
    ),
    "number:km/h": (
        "3 km/h = 3; 120km/h = 120",
        "",
    ),
    "number:days": (
        "1 day = 1; 2 days = 2",
        "2 dayss; 2 da",
    ),
    "number:sq ft": (
        "1,200 sq ft = 1200",
        "1200 sqft",
    ),
    'number:"': (
        '24" = 24',
        "24'",
    ),
    "number:$ /h": (
        "$12.50/h = 12.5; 12.50 $/h = 12.5; -$1/h = -1",
        "$12; 12/h",
    ),
    "number:comma € /m²": (
        "12,5 €/m² = 12.5; 1.200,5 € /m² = 1200.5",
        "12,5 €",
    ),
    "number:k/M/B": (
        "950 = 950; 1.5k = 1500; 2.3M = 2300000.0; 3B = 3000000000.0; "
        "1.1 million = 1100000.0; 2bn = 2000000000.0; -4K = -4000; (1k) = -1000; "
        "7 thousand = 7000; 1.5m = 1500000.0; 2T = 2000000000000.0",
        "5kg; 5kk; k; $5k; 1e5k",
    ),
    "number:k/M/B $": (
        "$1.5M = 1500000.0; $950 = 950; -$2.25k = -2250; 1.5M $ = 1500000.0",
        "1k",
    ),
    "number:comma k/M/B €": (
        "1,5 Mio € = 1500000.0; 2,3 Mrd € = 2300000000.0; 7 € = 7; 1.000 € = 1000",
        "",
    ),
}


QUERY = "SELECT {} FROM (SELECT unnest(?) AS c)"


def read(cells, kind):
    return [row[0] for row in duckdb.execute(QUERY.format(value("c", kind)), [cells]).fetchall()]


@each("kind, good, bad", [(kind, *cells) for kind, cells in READ.items()], ids=READ)
def test_a_cell_is_read_as_its_float(kind, good, bad):
    assert parsed(kind)
    floats = {cell: float(x) for cell, x in (pair.split(" = ") for pair in good.split("; "))}
    floats |= dict.fromkeys(bad.split("; "))
    found = dict(zip(floats, read(list(floats), kind), strict=True))
    assert found == floats


def test_a_number_of_many_digits_is_finite():
    long, longer = "9" * 140, "9" * 400
    assert read([long, longer], "number:point") == [float(long), None]
    assert read([longer], "number") == [None]


def shapes(cells):
    """The shapes of cells, as a table counts them."""
    found = {}
    for cell in cells:
        found.setdefault(re.sub("[0-9]+", "9", cell), []).append(cell)
    return [Shape(text, len(of), min(of), max(of)) for text, of in found.items()]


# the kind that a column has, then its cells
COLUMNS = [
    ("number:$", "$1,234.50 $99.00 -$5.25 $100"),
    ("number:€", "€1,234.50 €99.00 €0.50"),
    ("number:comma €", "1.234,50 €|99,00 €|0,50 €"),
    ("number:comma €", "1\u00a0234,50\u00a0€|99,00\u00a0€|0,50\u00a0€"),
    ("number:US$", "US$12.5|US $ 7.5|7.5 US$|-US $5"),
    ("number:USD", "USD 12|USD 7.5|USD 1,200"),
    ("number:EUR", "12.5 EUR|7 EUR|3 EUR"),
    ("number:comma kr", "1 200,50 kr|99,00 kr"),
    ("number:CHF", "CHF 520.-|CHF 1'200.50"),
    ("number:comma €", "12,- €|15,50 €"),
    ("number:comma", "12,- 15,- 7,-"),
    ("number:kg", "27.10  kg|5.25  kg"),
    ("number:point", "\u200b5.5 \u200b7 \u200b12"),
    ("number:ct", "0.26ct 1.05ct"),
    (None, "935CAC 123ABC 777XYZ"),
    (None, "29 Oak Street|30 High Street|31 High Street"),
    ("number:comma R$", "R$ 1,50|R$ 12.345,00"),
    ("number:EUR", "12.5 EUR|7.25- EUR"),
    (None, "5 s|7"),
    ("number:%", "70.7% 5% 12.25%"),
    ("number:kg", "27.10 kg|5.25 kg"),
    ("number:kg", "27.10kg 5.25kg"),
    ("number:cm", "5cm 12cm"),
    ("number:°C", "12 °C|-3 °C"),
    ("number:days", "1 day|2 days|12 days"),
    ("number:stars", "5 stars|1 star|3 stars"),
    ("number:m²", "5 m²|12.5 m²"),
    ("number:$ /h", "$12.50/h $9/h"),
    ("number:comma € /m²", "12,50 €/m²|9,25 €/m²"),
    ("number:point", "1,234.5 99.5 12,345,678.25"),
    ("number:point", "1 234.5|99.5|0.5"),
    ("number:point", "1'234.50 99.50"),
    ("number:point", "12,34,567 1,23,456 5,000"),
    ("number:point", "(1,234.50) 99.00 12.00"),
    ("number:point", "5- 12 7-"),
    ("number:point", "\u22125 12 \u22127.5"),
    ("number:comma", "1 234,5|99,5|0,5"),
    ("number:comma", "1.234,50 99,00 1.234.567,00"),
    ("number:k/M/B", "950 1.5k 2M 3.2B"),
    ("number:k/M/B", "5k 10k 1M"),
    ("number:k/M/B $", "$1.5M $950k $2.25B $900"),
    ("number:k/M/B $", "$1.5 million|$2.25 billion"),
    ("number:$ M", "$1.5M $2.25M"),
    ("number:€ k", "12 k€|15.5k€|-12 k€"),
    ("number:comma k/M/B €", "12 k€|1,5 M€"),
    ("number:comma k/M/B €", "1,5 Mio. €|2,25 Mrd. €|150 Tsd. €|1.000 €"),
    ("number:comma Mio.", "1,5 Mio.|2,25 Mio."),
    ("number:￥", "￥1,200.50 ￥99.00"),
    ("number:k", "5k 10k 15k"),
    (None, "Room 5|Room 12|Room 7"),
    (None, "A123 A124 A9"),
    (None, "12A 14A 3A"),
    (None, "12B 14B 3 5 7"),
    (None, "12 12b 14 16 16b"),
    (None, "12 12k 14m 14a 16k"),
    (None, "+51 256 283|+30 183 504"),
    (None, "0 1 2 3+"),
    ("number:+", "1,000+ 500,000+ 10+ 5,000,000+"),
    ("number:/5", "4.1/5 3/5"),
    ("number:k/M/B ₹", "₹8.61 Lakh|₹1.2 Cr"),
    (None, "#12 #14"),
    (None, "v2 v3 v10"),
    (None, "Q1 Q2 Q3"),
    (None, "1.2.3 1.10.4"),
    (None, "192.168.1.10 10.0.0.1"),
    (None, "192.168.100.100 10.123.145.167"),
    (None, "600 123 456|699 999 999"),
    (None, "+49 171 1234567|+1 555 123"),
    (None, "555-1234 555-9876"),
    (None, "12:30 13:45"),
    (None, "3 PM|4 PM"),
    (None, "2024-05-01 2024-05-02"),
    (None, "01.02.2024 03.04.2024"),
    (None, "1st 2nd 3rd"),
    (None, "18-24 25-34"),
    (None, "<5 5-10 >10"),
    (None, "(5) (12)"),
    (None, "5- 12-"),
    ("number:$", "($5.50) ($12.00)"),
    ("number:point", "(1,234.50) (12.00)"),
    (None, "1/2 3/4"),
    (None, "a b c"),
    (None, "5 kg|500 g|3 kg|200 g|1 t|2 t"),
    (None, "$5 €7 £9"),
    (None, "12.5,13.2 1.5,9.2"),
    (None, "5e 7e"),
]


@each("kind, cells", COLUMNS, parts=2)
def test_the_first_candidate_that_reads_all_cells_is_the_kind(kind, cells):
    cells = cells.split("|") if "|" in cells else cells.split()
    kinds = candidates(shapes(cells))
    whole = [kind for kind in kinds if kind != "number" and None not in read(cells, kind)]
    assert whole[:1] == [kind] * (kind is not None)
    assert all(map(parsed, kinds))


MARKS = [
    (".", ","),
    (",", "."),
    (",", " "),
    (",", "\u00a0"),
    (",", "\u202f"),
    (".", "'"),
    (".", ""),
]
SIGNS = ["-{}", "\u2212{}", "{}-", "({})"]
AFFIXES = (
    "{}|${}|$ {}|€{}|{} €|{}\u00a0€|USD {}|{} kr|{}kg|{} kg|{}%|{}\u202f°C|{} days|{} €/m²|${}/h|"
    "{} sq ft|R$ {}|₹{}"
).split("|")


def test_random_numbers_in_random_forms_come_back():
    rng = random.Random(0)
    for affix in AFFIXES * 2:
        (mark, group), sign = rng.choice(MARKS), rng.choice(SIGNS)
        n_digits, within = rng.choice([1, 2, 3]), rng.random() < 0.5
        cells, numbers = [], []
        for _ in range(40):
            cell = f"{10 ** rng.uniform(-1, 6):,.{n_digits}f}"
            number = float(cell.replace(",", ""))
            cell = cell.translate({ord(","): group, ord("."): mark})
            negative = rng.random() < 0.3
            if negative:
                outer, inner = (affix, sign) if within else (sign, affix)
                cell, number = outer.format(inner.format(cell)), -number
            else:
                cell = affix.format(cell)
            cells.append(cell)
            numbers.append(number)
        assert numbers in [read(cells, kind) for kind in candidates(shapes(cells))], cells


@each("cell", ["05-Dec-2023", "5/Dec/23", "5. Dezember 2023", "5 de mayo de 2023", "5 Dec, '23"])
def test_dates_of_one_month_are_no_numbers_with_a_unit(cell):
    days = [cell.replace("5", f"{day}", 1) for day in range(1, 9)]
    assert candidates(shapes(days)) == []


def test_a_plain_column_is_a_number_first():
    assert candidates(shapes("1.5 2 -3 1e5".split()))[0] == "number"
    assert candidates([]) == []


def test_one_group_after_a_comma_or_a_point_may_be_decimals():
    for cells in ("1,234 5,678".split(), "$1,234 $5,678 $12".split(), "1.234 997".split()):
        kinds = candidates(shapes(cells))
        first, second = kinds[0], rival(kinds[0])
        assert second in kinds
        assert None not in read(cells, first) + read(cells, second)
        assert read(cells, first) != read(cells, second)


SEVERAL = [
    (["200 g", "5 kg"], "5 kg|200 g|7 kg|900 g|700 g"),
    (["$5", "€7"], "$5 $6 €7 €9"),
    (["5", "$6"], "5 7 $6 $9"),
    (["128GB", "1TB"], "64GB 128GB 1TB 1TB"),
    (["<5"], "<5 <7 <0.5 <0.7"),
    (["~5", "20"], "~5 ~7 20 30"),
    ([], "5 12 7"),
    ([], "5kg 12kg"),
    ([], "<18 18+ <18 18+"),
    ([], "0 1 2 3+"),
    ([], "12A 14B 3A 9B"),
    ([], "1234 AB|5678 CD|1111 AB"),
    ([], "Room 5|Room 7|Hall 2|Hall 3"),
    ([], "a b c"),
    ([], "5 7 -"),
]


@each("examples, cells", SEVERAL)
def test_numbers_in_several_forms_are_noticed(examples, cells):
    cells = cells.split("|") if "|" in cells else cells.split()
    assert several_forms(shapes(cells)) == examples


def test_kinds_and_their_words():
    kinds = {
        "number": "a finite number",
        "number:point": "a number such as 1,234.5",
        "number:comma": "a number such as 1.234,5",
        "number:$": "a number such as $1,234.5",
        "number:comma €": "a number such as 1.234,5 €",
        "number:USD": "a number such as USD 1,234.5",
        "number:%": "a number such as 1,234.5%",
        "number:kg": "a number such as 1,234.5 kg",
        "number:$ /h": "a number such as $1,234.5/h",
        "number:comma k/M/B €": "a number such as 1,5k €",
    }
    for kind, words in kinds.items():
        assert parsed(kind)
        assert expected(kind) == words
        if kind != "number":
            assert rival(rival(kind)) == kind
            assert None not in read([words.removeprefix("a number such as ")], kind)
    assert (decimal_mark("number"), decimal_mark("number:comma €")) == (".", ",")
    assert parsed("number:point $")


WRONG = ["num", "number:", "number: $", "number:5", "number:€ comma", "number:-", "number:e"]


@each("kind", WRONG + ["number:$  kg", "number:kg k/M/B", "number:" + "long " * 9 + "unit"])
def test_a_form_that_cannot_be_is_refused(kind):
    assert not parsed(kind)


@each("quote", ["'", "''", "\\", "[", "*", "|", "?", "{"])
def test_a_unit_of_any_sign_is_only_itself(quote):
    kind = f"number:{quote}"
    assert parsed(kind)
    assert read([f"5{quote}", "5", f"1,234.5 {quote}"], kind) == [5, None, 1234.5]


def test_a_hundred_thousand_cells_take_less_than_a_second():
    table = "SELECT printf('$%,d.50', (random() * 1e6)::INT) AS c FROM range(100000)"
    with duckdb.connect() as connection:
        connection.execute("SET threads = 1")
        connection.execute(f"CREATE TABLE t AS {table}")
        start = time.process_time()
        n = connection.execute(f"SELECT count({value('c', 'number:$')}) FROM t").fetchone()[0]
        assert n == 100000
        assert time.process_time() - start < 1
