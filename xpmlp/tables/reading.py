"""How a table file is written, where its first lines and its cells do not say so by themselves."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MARKS = ",", ";", "\t", "|"  # delimiters that are found without being named


@dataclass(frozen=True)
class Reading:
    r"""How a table file is written; what is not said is found in the file.

    Parameters
    ----------
    delimiter : str, optional
        What stands between two cells, one character, such as ``";"`` or ``"\\t"``.
    header : bool, optional
        Whether the first line holds the columns' names.
    names : sequence of str, default=()
        Names of all columns, in the place of those in the file.
    skip_rows : int, default=0
        Lines in front of the table.
    comment : str, optional
        Lines that begin with this are left out.
    missing : sequence of str, default=()
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
    names: Sequence[str] = ()
    skip_rows: int = 0
    comment: str | None = None
    missing: Sequence[str] = ()
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    sheet: str | None = None

    def __post_init__(self):
        self._check_marks()
        self._check_names()
        if self.skip_rows < 0:
            raise ValueError(f"skip_rows is {self.skip_rows}, expected 0 or more lines.")

    def _check_marks(self):
        """Raise ValueError for marks that are none, or that stand for two things."""
        for what in ("delimiter", "thousands"):
            mark = getattr(self, what)
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
