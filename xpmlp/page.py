"""HTML of reports: a page in one file without scripts, links or fonts, or a notebook's cell.

Colours follow the page around them, light or dark: text is the page's, and all else is mixed with
it or shows on both. So no theme is asked for: not the notebook's, and not the system's. A class
that stands twice, as .xpmlp.xpmlp, weighs more than a notebook's own rules for tables.
Text is escaped wherever it enters; what is HTML already carries the type `Html`.
"""

from base64 import b64encode
from collections.abc import Iterable
from html import escape


class Html(str):
    """Text that is HTML already."""


STYLE = """
.xpmlp { --soft: color-mix(in srgb, currentColor 70%, transparent);
  --line: color-mix(in srgb, currentColor 20%, transparent);
  --card: color-mix(in srgb, currentColor 6%, transparent);
  --good: color-mix(in srgb, currentColor 45%, #1a9d5a);
  --bad: color-mix(in srgb, currentColor 35%, #e5383b);
  --up: #3d7cc4; --down: #c9453d; line-height: 1.5; }
.xpmlp h2 { font-size: 1.15em; margin: 1em 0 .4em; } .xpmlp p { margin: .4em 0; }
.xpmlp table { border-collapse: collapse; margin: .6em 0 1em; font-size: .9em;
  width: max-content; max-width: max(100%, 50em); }
.xpmlp.xpmlp th { color: var(--soft); font-weight: 600; }
.xpmlp.xpmlp th, .xpmlp.xpmlp td { padding: .28em .8em .28em 0; border: 0; max-width: none;
  border-bottom: 1px solid var(--line); vertical-align: top; text-align: left; }
.xpmlp td.n.n, .xpmlp th.n.n { text-align: right; font-variant-numeric: tabular-nums; }
.xpmlp td.n, .xpmlp td:first-child, .xpmlp code, .xpmlp .bars { white-space: nowrap; }
.xpmlp.xpmlp code, .xpmlp.xpmlp pre { color: inherit; background: none; padding: 0;
  font: .92em/1.5 ui-monospace, Menlo, Consolas, monospace; }
.xpmlp.xpmlp pre { background: var(--card); padding: .7em 1em; border-radius: 6px;
  overflow-x: auto; }
.xpmlp .good { color: var(--good); } .xpmlp .bad { color: var(--bad); font-weight: 600; }
.xpmlp .soft { color: var(--soft); } .xpmlp .wide { overflow-x: auto; }
.xpmlp img { background: white; border-radius: 6px; }
.xpmlp li { margin: .2em 0; white-space: pre-line; }
.xpmlp summary { cursor: pointer; color: var(--soft); } .xpmlp ul { padding-left: 1.2em; }
.xpmlp .bar { display: inline-block; height: .6em; background: var(--up); border-radius: 2px;
  min-width: 1px; margin-right: .5em; }
"""
PAGE_STYLE = """
:root { color-scheme: light dark; font: 15px system-ui, sans-serif; }
body { max-width: 82rem; margin: 0 auto; padding: 0 1rem 3rem; }
h1 { font-size: 1.6rem; margin: 1.2rem 0 .4rem; }
"""


def page(title: str, *parts: str) -> str:
    """Return a whole page; a part that is not Html becomes a paragraph."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title><style>{PAGE_STYLE}</style></head>\n"
        f"<body>\n{fragment(tag('h1', title), *parts)}\n</body></html>\n"
    )


def fragment(*parts: str) -> Html:
    """Return the parts with their style, as a notebook shows them."""
    body = "\n".join(_html(part, "<p>{}</p>") for part in parts)
    return Html(f'<div class="xpmlp"><style>{STYLE}</style>\n{body}\n</div>')


def tag(name: str, text: str, kind: str = "") -> Html:
    """Return an element around text, with a class."""
    attribute = f" class={kind!r}" * bool(kind)
    return Html(f"<{name}{attribute}>{_html(text)}</{name}>")


def _html(text, around="{}") -> Html:
    """Return HTML as it is, other text escaped and put into what stands around it."""
    if isinstance(text, Html):
        return text
    return Html(around.format(escape(str(text))))


def table(head: Iterable[str], rows: Iterable[Iterable], *, numbers: Iterable[int] = ()) -> Html:
    """Return a table; `numbers`: the columns that hold numbers, set to the right."""
    right = set(numbers)

    def row(cells, name):
        cells = (tag(name, cell, "n" * (i in right)) for i, cell in enumerate(cells))
        return f"<tr>{''.join(cells)}</tr>"

    body = "\n".join(row(cells, "td") for cells in rows)
    return Html(f"<div class='wide'><table>{row(head, 'th')}\n{body}</table></div>")


def bar(share: float, text: str = "") -> Html:
    """Return a bar of a share between 0 and 1, with text behind it."""
    width = 8 * min(max(share, 0.0), 1.0)
    span = f"<span class='bar' style='width: {width:.2f}em'></span>"
    return Html(f"<span class='bars'>{span}{escape(text)}</span>")


def picture(png: bytes, width: float, text: str) -> Html:
    """Return a picture that is part of the page; width: in pixels; text: what it shows."""
    data = b64encode(png).decode()
    look = f"width='{width:.0f}' alt='{escape(text)}'"
    return Html(f"<div class='wide'><img {look} src='data:image/png;base64,{data}'></div>")


def fold(title: str, part: Html) -> Html:
    """Return a part that shows when its title is clicked."""
    return Html(f"<details>{tag('summary', title)}{part}</details>")


def curve(x: Iterable[float], y: Iterable[float], mark: float) -> Html:
    """Return a curve over a dashed line at x = mark; x, y, mark: between 0 and 1."""
    points = " ".join(f"{400 * a:.1f},{120 - 118 * b:.1f}" for a, b in zip(x, y))
    line = f"<polyline points='{points}' fill='none' stroke='var(--up)' stroke-width='2'/>"
    dashes = "stroke='currentColor' stroke-dasharray='4 4' opacity='.6'"
    at = f"<path d='M{400 * mark:.1f} 0v120M0 120h400' {dashes}/>"
    look = "style='max-width: 100%; background: var(--card)'"
    return Html(f"<svg viewBox='0 0 400 120' width='400' role='img' {look}>{at}{line}</svg>")
