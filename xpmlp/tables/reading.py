"""How a table file is written, where its first lines and its cells do not say so by themselves."""

from collections import Counter
from dataclasses import dataclass
from encodings.aliases import aliases

from ..words import did_you_mean

MARKS = ",", ";", "\t", "|"  # delimiters that are found without being named
WHITESPACE = "whitespace"  # the delimiter that is any run of blanks and tabs


@dataclass(frozen=True)
class Reading:
    r"""How a table file is written; what is not said is found in the file.

    Parameters
    ----------
    delimiter : str, optional
        What stands between two cells, one character, such as ``";"`` or ``"\\t"``, or the word
        "whitespace", for blanks and tabs in any number.
    header : bool, optional
        Whether the first line holds the columns' names.
    names : tuple of str, default=()
        Names of all columns, in the place of those in the file.
    skip_rows : int, default=0
        Lines in front of the table.
    comment : str, optional
        Lines that begin with this are left out.
    missing : tuple of str, default=()
        Cells that are missing values, besides those that always are (NA, null, ...).
    decimal : {".", ","}, optional
        What parts whole numbers from fractions.
    thousands : str, optional
        What parts thousands, one character, such as ``"."``, ``","``, ``"'"`` or ``" "``.
    encoding : str, optional
        How characters are written as bytes, such as ``"cp1252"``; without it UTF-8.
    sheet : str, optional
        Name of an Excel file's sheet.

    Raises
    ------
    ValueError
        For what contradicts itself, such as a delimiter that is the decimal mark.

    Examples
    --------
    >>> Reading(delimiter=";", decimal=",").delimiter
    ';'
    """

    delimiter: str | None = None
    header: bool | None = None
    names: tuple[str, ...] = ()
    skip_rows: int = 0
    comment: str | None = None
    missing: tuple[str, ...] = ()
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    sheet: str | None = None

    @property
    def of_cells(self) -> "Reading":
        """What it says of cells, which a model keeps for other files of the same table."""
        return Reading(missing=self.missing, decimal=self.decimal, thousands=self.thousands)

    def __post_init__(self):
        for name in ("names", "missing"):
            texts = getattr(self, name)
            if not (isinstance(texts, tuple) and all(isinstance(text, str) for text in texts)):
                raise ValueError(f"{name} is {texts!r}, expected a tuple of texts.")
        self._check_marks()
        self._check_names()
        if self.skip_rows < 0:
            raise ValueError(f"skip_rows is {self.skip_rows}, expected 0 or more lines.")
        if self.encoding is not None:
            _check_encoding(self.encoding)

    def _check_marks(self):
        """Raise ValueError for marks that are none, or that stand for two things."""
        for what in ("delimiter", "thousands"):
            mark = getattr(self, what)
            if mark == WHITESPACE and what == "delimiter":
                continue
            if mark is not None and (len(mark) != 1 or mark.isalnum() or mark in '"\r\n'):
                raise ValueError(f"{what} is {mark!r}, expected one character that parts cells.")
        if self.decimal not in (None, ".", ","):
            raise ValueError(f"decimal is {self.decimal!r}, expected '.' or ','.")
        marks = {name: getattr(self, name) for name in ("delimiter", "decimal", "thousands")}
        for mark, n in Counter(filter(None, marks.values())).items():
            if n > 1:
                both = " and ".join(name for name, value in marks.items() if value == mark)
                raise ValueError(f"{both} are both {mark!r}, expected them to differ.")

    def _check_names(self):
        """Raise ValueError for names of columns that are repeated or empty."""
        for name, n in Counter(self.names).items():
            if n > 1 or not name.strip():
                what = "repeated" if n > 1 else "empty"
                raise ValueError(f"names has {name!r}, which is {what}: give each column its own.")


def _check_encoding(name: str) -> None:
    """Raise ValueError for an encoding of text that Python does not know, naming the nearest."""
    try:
        "a".encode(name)  # LookupError also of codecs that are no text's, such as rot13
    except (LookupError, ValueError) as error:
        known = {alias.replace("_", "-") for alias in (*aliases, *aliases.values())}
        near = did_you_mean(name.replace("_", "-"), sorted(known))
        expected = "expected one such as 'utf-8', 'cp1252' or 'utf-16'"
        raise ValueError(f"encoding is {name!r}, {expected}{near}") from error


PLAIN = Reading()
