"""Tables and explanations as text that fits a terminal."""

from textwrap import wrap
from typing import Any

from ..words import plural

WIDTH = 80  # columns
INDENT = " " * 6  # of what goes on


def aligned(rows):
    """Yield rows as lines: two columns of text, then numbers; a string stands as it is.

    A text too long for its column takes what the next one leaves free, or a line of its own.
    """
    wide = [max(map(len, column)) for column in zip(*(row for row in rows if type(row) is tuple))]
    wide[1] = min(wide[1], 46)
    wide[0] = min(wide[0], WIDTH - sum(wide[1:]) - 2 * len(wide[1:]))
    both = wide[0] + 2 + wide[1]
    for row in rows:
        if type(row) is str:
            yield from wrap(row, WIDTH, subsequent_indent=INDENT * row.startswith(" ")) or [""]
            continue
        first, second, *numbers = row
        if max(len(first), wide[0]) + 2 + len(second) > both:
            yield from wrap(first, WIDTH, subsequent_indent=INDENT)
            first = ""
        if len(second) > wide[1]:
            yield from wrap(second, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT)
            second = ""
        cells = (f"{number:>{n}}" for number, n in zip(numbers, wide[2:]))
        yield "  ".join([f"{f'{first:<{wide[0]}}  {second}':<{both}}", *cells]).rstrip()


def explanation_text(explanation):
    """Return an explanation as text."""
    rows: list = [explanation.title, "", ("", "", "norm", "rms")]
    for heading, lines, notes in explanation.sections:
        if notes and notes.units:
            heading += f", {notes.dead:,} of {plural(notes.units, 'unit')} dead"
        rows.append(heading)
        for line in lines:
            row: Any = f"  {line.formula} = {line.norm:.6g}"
            if line.shapes:
                row = f"  {line.formula}", line.shapes, f"{line.norm:.3g}", f"{line.rms:.3g}"
            rows.append(row)
    if explanation.update.lines:
        rows += [explanation.update.heading, *(f"  {line}" for line in explanation.update.lines)]
    tables = [*aligned(rows), "", *aligned(explanation.parameter_rows), ""]
    return "\n".join([*tables, *(line for a in explanation.remarks for line in wrap(a, WIDTH))])
