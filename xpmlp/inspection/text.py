"""Tables and explanations as text that fits a terminal."""

from textwrap import wrap
from typing import Any

WIDTH = 100  # columns


def aligned(rows):
    """Yield rows as lines: two columns of text, then numbers; a string stands as it is.

    A text too long for its column gets a line of its own.
    """
    wide = [max(map(len, column)) for column in zip(*(row for row in rows if type(row) is tuple))]
    wide[1] = min(wide[1], 58)
    wide[0] = min(wide[0], WIDTH - sum(wide[1:]) - 2 * len(wide[1:]))
    for row in rows:
        if type(row) is str:
            yield from wrap(row, WIDTH) or [""]
            continue
        cells = list(row)
        for i in (0, 1):
            if len(cells[i]) > wide[i]:
                indent = " " * 6
                yield from wrap(
                    cells[i], WIDTH, initial_indent=i * indent, subsequent_indent=indent
                )
                cells[i] = ""
        sides = "<<" + ">" * len(cells)
        yield "  ".join(f"{a:{s}{n}}" for a, s, n in zip(cells, sides, wide)).rstrip()


def explanation_text(explanation):
    """Return an explanation as text."""
    rows: list = [explanation.title, "", ("", "", "norm", "rms")]
    for heading, lines, notes in explanation.sections:
        if notes and notes.units:
            heading += f", {notes.dead:,} of {notes.units:,} units dead"
        rows.append(heading)
        for line in lines:
            row: Any = f"  {line.formula} = {line.norm:.6g}"
            if line.shapes:
                row = f"  {line.formula}", line.shapes, f"{line.norm:.3g}", f"{line.rms:.3g}"
            rows.append(row)
    tables = [*aligned(rows), "", *aligned(explanation.parameter_rows), ""]
    return "\n".join([*tables, *(line for a in explanation.remarks for line in wrap(a, WIDTH))])
