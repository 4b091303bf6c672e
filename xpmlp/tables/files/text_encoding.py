"""Text in another encoding than its file is read in: found, and told with the probable one."""

import codecs
import re
from collections.abc import Iterable
from pathlib import Path

from ...errors import DataError
from ..common import BLOCK, LONGEST, lines_of, opened, opened_text, require

SEVERAL = 5  # lines that are no text; fewer may be damaged
OTHERS = "cp1252 (Western), cp1251 (Cyrillic), cp932 (Japanese), gb18030 (Chinese)"
RUN = re.compile(rb"[\x80-\xff]{3}")  # of letters beyond ASCII, which Western words do not have
# Begun at its first letter alone: a header of 50 000 letters took minutes.
WORD = re.compile(r"(?<![^\s,;|\"])[^\s,;|\"]*[\udc80-\udcff][^\s,;|\"]*")


def scan(file: Path, path: Path) -> tuple[int, bool]:
    """Return the lines up to the last that is not blank, and whether all is UTF-8.

    Reading all of it also checks what gzip says of its text, which DuckDB does not.
    """
    n_lines, n_blank, is_utf8, ended, size = 0, 0, True, False, 0
    decoder = codecs.getincrementaldecoder("utf-8")()
    with opened(file, path) as stream:
        while block := stream.read(BLOCK):
            if b"\0" in block:
                raise _holds_nul(path, n_lines, block)
            ended, size = ended or b"\n" in block or b"\r" in block, size + len(block)
            check_first_line(path, size, ended)
            is_utf8 = is_utf8 and _decodes(decoder, block)
            rest = block.rstrip(b"\r\n")
            if rest:  # what ends the last line that is not blank is not counted yet
                n_lines, n_blank = n_lines + n_blank + rest.count(b"\n"), 0
            n_blank += block[len(rest) :].count(b"\n")
    return n_lines + 1, is_utf8 and _decodes(decoder, b"", final=True)


def check_first_line(path: Path, size: int, ended: bool) -> None:
    """Raise DataError where a first line has no end in so many bytes."""
    got = f"{path}: its first line is longer than {LONGEST:,} bytes, expected column names in fewer"
    remedy = "is it a table? Of one with more columns make an .npz"
    require(ended or size <= LONGEST, f"{got}: {remedy}.")


def _decodes(decoder: codecs.IncrementalDecoder, block: bytes, final: bool = False) -> bool:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError:
        return False
    return True


def is_utf8_beyond_ascii(blocks: Iterable[bytes]) -> bool:
    """Tell whether bytes are UTF-8 with other characters than ASCII's, hardly so by chance."""
    decoder, beyond = codecs.getincrementaldecoder("utf-8")(), False
    for block in blocks:
        beyond = beyond or not block.isascii()
        if beyond and not _decodes(decoder, block):
            return False
    return beyond and _decodes(decoder, b"", final=True)


def _holds_nul(path: Path, n_lines: int, block: bytes) -> DataError:
    """Return the error of a file that holds a NUL byte, which is no text or UTF-16."""
    line = n_lines + block[: block.index(b"\0")].count(b"\n") + 1
    start = block[:64]
    for encoding, zeros in (("utf-16-le", start[1::2]), ("utf-16-be", start[::2])):
        if n_lines == 0 and len(zeros) > 1 and 2 * zeros.count(0) > len(zeros):
            remedy = f"say encoding={encoding!r} (--encoding {encoding})"
            return DataError(f"{path} line {line} holds a NUL byte, as UTF-16 does: {remedy}.")
    what = "expected text in UTF-8: is that a CSV file?"
    return DataError(f"{path} line {line} holds a NUL byte, {what}")


def check_encoding(file: Path, path: Path, first_line: int, encoding: str | None) -> None:
    """Raise DataError where several lines are no text, and fewer go beyond ASCII and are."""
    n_bad, n_good, found = 0, 0, ("", "")
    with opened_text(file, path) as text:
        for line, content in enumerate(lines_of(text), first_line):
            if content.isascii():
                continue
            if is_text(content):
                n_good += 1
                continue
            n_bad += 1
            if n_bad == 1:
                found = f"{path} line {line}", content
    if n_bad >= SEVERAL and n_bad > n_good:
        lines = f"{found[0]} (and {n_bad - 1:,} more)"
        raise DataError(f"{lines} {not_text(found[1], encoding)}.")


def is_text(text: str) -> bool:
    """Tell whether a text has no bytes that could not be read."""
    return text.isascii() or not re.search("[\udc80-\udcff]", text)


def not_text(text: str, encoding: str | None) -> str:
    """Return in words what is wrong with text of bytes that could not be read, and the remedy."""
    if encoding is not None:
        return f"holds bytes that are no text in {encoding}: say another encoding= (--encoding)"
    found = WORD.search(text)
    word = (found[0] if found else text).encode("utf-8", "surrogateescape")
    got = f"is not UTF-8, got {word[:60]!r}"
    other = f"say its encoding= (--encoding), such as {OTHERS}"
    if RUN.search(word):
        return f"{got}: {other}"
    try:
        meant = word.decode("cp1252")
    except UnicodeDecodeError:
        return f"{got}: {other}"
    return f"{got}, in cp1252 {meant[:60]!r}: say encoding='cp1252' (--encoding cp1252), or another"
