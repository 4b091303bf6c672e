"""Reports as HTML: one file without scripts, links or fonts, light and dark, or a notebook's cell.

Text is escaped wherever it enters; what is HTML already carries the type `Html`.
"""

from collections.abc import Iterable
from html import escape


class Html(str):
    """Text that is HTML already."""


STYLE = """
.xpmlp { --ink: #1d2430; --soft: #667085; --line: #e2e5ea; --fill: #2f6db3; --good: #1a7f4b;
  --bad: #c0342b; --card: #f6f7f9; --paper: #fff; color: var(--ink);
  background: var(--paper); max-width: 72rem; margin: 0 auto;
  font: 15px/1.5 system-ui, sans-serif; }
.xpmlp h1 { font-size: 1.6rem; margin: 1.2rem 0 .4rem; } .xpmlp h2 { font-size: 1.15rem; }
.xpmlp table { border-collapse: collapse; margin: .6rem 0 1.4rem; font-size: .9rem; }
.xpmlp th { text-align: left; color: var(--soft); font-weight: 600; }
.xpmlp th, .xpmlp td { padding: .28rem .8rem .28rem 0; border-bottom: 1px solid var(--line);
  vertical-align: top; text-align: left; }
.xpmlp td.n, .xpmlp th.n { text-align: right; font-variant-numeric: tabular-nums; }
.xpmlp code, .xpmlp pre { font: .88em/1.5 ui-monospace, Menlo, Consolas, monospace; }
.xpmlp pre { background: var(--card); padding: .7rem 1rem; border-radius: 6px; overflow-x: auto; }
.xpmlp .good { color: var(--good); } .xpmlp .bad { color: var(--bad); font-weight: 600; }
.xpmlp .soft { color: var(--soft); } .xpmlp .wide { overflow-x: auto; }
.xpmlp .bar { display: inline-block; height: .6em; background: var(--fill); border-radius: 2px;
  min-width: 1px; margin-right: .5em; }
@media (prefers-color-scheme: dark) { body.xpmlp-page { background: #14181f; }
  .xpmlp { --ink: #e6e9ee; --soft: #97a1b3; --line: #2c3440; --fill: #6aa5e3; --good: #58c58b;
    --bad: #ff7d72; --card: #1c222c; --paper: #14181f; } }
"""


def page(title: str, *parts: str) -> str:
    """Return a whole page; a part that is not Html becomes a paragraph."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title></head>\n"
        '<body class="xpmlp-page" style="margin: 0; padding: 0 1rem 3rem">\n'
        f"{fragment(tag('h1', title), *parts)}\n</body></html>\n"
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
    return Html(f"<span class='bar' style='width: {width:.2f}em'></span>{escape(text)}")
