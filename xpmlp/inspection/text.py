"""Tables and explanations as text that fits a terminal."""

from textwrap import wrap

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
                indent = "      " if i else ""
                yield from wrap(cells[i], WIDTH, initial_indent=indent, subsequent_indent="      ")
                cells[i] = ""
        aligned = (f"{a:{'<' if i < 2 else '>'}{n}}" for i, (a, n) in enumerate(zip(cells, wide)))
        yield "  ".join(aligned).rstrip()


def explanation_text(explanation):
    """Return an explanation as text."""
    rows: list = [explanation.title, "", ("", "", "norm", "rms")]
    for heading, lines, notes in explanation.sections:
        units = notes.units if notes else 0
        rows.append(heading + (f", {notes.dead:,} of {units:,} units dead" if units else ""))
        for line in lines:
            numbers = (f"{line.norm:.3g}", f"{line.rms:.3g}")
            number = f"  {line.formula} = {line.norm:.6g}"
            rows.append((f"  {line.formula}", line.shapes, *numbers) if line.shapes else number)
    tables = [*aligned(rows), "", *aligned(explanation.parameter_rows), ""]
    return "\n".join([*tables, *(line for a in explanation.remarks for line in wrap(a, WIDTH))])
