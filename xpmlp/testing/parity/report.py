"""Report of a parity run: text, HTML, JSON, JUnit."""

import json
import platform
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from itertools import zip_longest
from textwrap import fill, wrap
from xml.etree import ElementTree

import numpy as np
from threadpoolctl import threadpool_info

from ... import __version__
from ...page import Html, fragment, page, table, tag
from ..backends import facts
from .compare import Row
from .saved import Results, saved_libraries

TITLE = "Parity of array libraries"
BOUNDS = (
    "Errors are those against NumPy in a wider float. ulp: the largest error of an elementwise "
    "operation, in units in the last place of the result (where it is the difference of terms of "
    "size 1, of 1). eps: ||error|| / ||result|| over the dtype's eps; its bound is "
    "sqrt(products in a row) * (2 + sqrt(terms of a sum)). bits: lost in a product that keeps all "
    "of them in full precision. differ: elements whose bits are not equal. The stronger the shade, "
    "the nearer to the bound."
)
SHOWN = "products", "worst error / bound", "first over its bound"
WIDTH = 80  # columns of a terminal


def about() -> dict[str, str]:
    """Return the versions of this machine, and what computes its products."""
    blas = {
        f"{p['internal_api']} {p['version'] or ''}".strip() + f", {p['num_threads']} threads"
        for p in threadpool_info()
    }
    return {
        "xpmlp": __version__,
        "Python": platform.python_version(),
        "NumPy": np.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "BLAS and threads": "; ".join(sorted(blas)),
    }


@dataclass
class Report:
    """Result of a parity run: each operation with its error and bound. Prints; HTML in a notebook.

    Attributes
    ----------
    rows : list of Row
        In the order of the run: operation, library, dtype, error, bound, unit, problem.
    left_out : dict
        Library -> why it was not run although it is installed.
    here : Results or None
        Results of the libraries of this machine, for a file.
    there : Results or None
        Those of another machine, where its file was compared.
    about : dict
        The versions, and what computes products on the host with how many threads.
    """

    rows: list[Row]
    left_out: dict[str, str] = field(default_factory=dict)
    here: Results | None = None
    there: Results | None = None
    about: dict[str, str] = field(default_factory=about)

    @property
    def failures(self) -> list[Row]:
        """Rows with a problem, in the order of the run."""
        return [row for row in self.rows if row.problem]

    @property
    def ok(self) -> bool:
        """Whether some result of every library was compared, and all of them passed."""
        return bool(self.rows) and not self.failures and not self._without_results()

    def _without_results(self):
        """Return the libraries of which nothing was compared."""
        whole = self._by_library.items()
        return [name for name, rows in whole if all(row.skipped for row in rows)]

    @cached_property
    def _by_library(self):
        names = dict.fromkeys(row.library for row in self.rows)
        return {name: [row for row in self.rows if row.library == name] for name in names}

    @cached_property
    def libraries(self) -> list[dict[str, str]]:
        """For each library: version, device, rows passed, worst, first failure, products."""
        saved = {lib.name: lib.facts for lib in saved_libraries(self.there)}
        return [
            _library(name, saved.get(name) or facts(name), rows)
            for name, rows in self._by_library.items()
        ]

    @property
    def environment(self) -> str:
        """What `about` holds, as a line of text."""
        text = "xpmlp {xpmlp}, Python {Python}, {system}; BLAS and threads: {BLAS and threads}"
        return text.format_map(self.about)

    @property
    def machines(self) -> list[tuple[str, ...]]:
        """Versions and devices of this machine and of the file's: (of what, here, there)."""
        if self.there is None:
            return []
        saved = {lib.name for lib in saved_libraries(self.there)}
        here = {lib["library"]: lib for lib in self.libraries if lib["library"] not in saved}
        sides = _versions(self.about, here), _versions(self.there.about, self.there.libraries)
        return [(name, *(side.get(name, "-") for side in sides)) for name in sides[0] | sides[1]]

    @property
    def not_compared(self) -> dict[str, str]:
        """Why something was not compared -> the names of what."""
        names: dict[str, dict] = {}
        for row in self.rows:
            if row.skipped:
                names.setdefault(row.skipped, {})[row.operation] = None
        return {why: ", ".join(some) for why, some in names.items()}

    @property
    def _verdict(self):
        skipped = sum(bool(row.skipped) for row in self.rows)
        more = f", {skipped} not compared" * bool(skipped)
        return f"{len(self.rows) - skipped} results, {self._outcome()}{more}"

    def _outcome(self):
        if self.failures:
            return f"{len(self.failures)} FAILED"
        if self._without_results():
            return f"NOTHING COMPARED of {', '.join(self._without_results())}"
        return "all passed" if self.rows else "nothing ran"

    def __str__(self):
        system, _, blas = self.environment.partition("; ")
        lines, ends, head = [f"{TITLE}: {system}"], [blas], "{library} {version} ({device})"
        if self.there:  # the versions of both machines stand in a table
            table = _side_by_side([("", "this machine", self.there.label), *self.machines])
            lines, ends, head = [TITLE, "", *table, ""], [], "{library}"
        for lib in self.libraries:
            lines.append(f"{head.format_map(lib):42} {lib['passed']:>10} passed")
            lines += [f"    {k}: {lib[k]}" for k in SHOWN if lib[k] != "not tried"]
        lines += [f"{name} left out: {why}" for name, why in self.left_out.items()]
        lines += [
            fill(f"not compared, as {why}: {names}", WIDTH, subsequent_indent="    ")
            for why, names in self.not_compared.items()
        ]
        # Of one problem of a library the first row; the page has all.
        firsts = {(row.library, row.problem): row for row in reversed(self.failures)}
        shown = [row for row in self.failures if row in firsts.values()][:12]
        lines += [f"FAILED {r.library} {r.dtype} {r.operation}: {r.problem}" for r in shown]
        more = len(self.failures) - len(shown)
        return "\n".join([*lines, *[f"... and {more} more"] * bool(more), *ends, self._verdict])

    def _repr_html_(self):
        return str(fragment(tag("h2", TITLE), *self._parts()))

    def html(self) -> str:
        """Return the report as a page."""
        return page(TITLE, *self._parts())

    def _parts(self):
        yield tag("p", f"{self._verdict}.", "good" if self.ok else "bad")
        if self.libraries:
            yield table(self.libraries[0], (lib.values() for lib in self.libraries))
        if self.there:
            yield table(("", "this machine", self.there.label), self.machines)
        yield from (f"{name} left out: {why}" for name, why in self.left_out.items())
        yield from (f"Not compared, as {why}: {names}." for why, names in self.not_compared.items())
        if self.failures:
            yield tag("h2", "Failures, the first first")
            columns = ("library", "dtype", "operation", "problem")
            yield table(columns, ([getattr(r, c) for c in columns] for r in self.failures))
        yield tag("h2", "Errors and bounds")
        yield BOUNDS
        yield self._errors()
        yield f"{self.environment}."

    def _errors(self):
        """Return the table operation x library x dtype."""
        ran = [row for row in self.rows if row.dtype != "-"]
        columns = list(dict.fromkeys((row.library, row.dtype) for row in ran))
        cells = {(row.operation, row.library, row.dtype): row for row in ran}
        # In the order of the run; what was not compared has no bound, so that others come last.
        bounds = {row.operation: row for row in (*ran, *(r for r in ran if not r.skipped))}
        rows = (
            [
                Html(f"<nobr>{escape(name)}</nobr>"),
                Html(f"<nobr>{row.bound:.3g} {row.unit}</nobr>"),
                *(_cell(cells.get((name, *column))) for column in columns),
            ]
            for name, row in bounds.items()
        )
        head = ["operation", "bound", *(f"{name} {dtype}" for name, dtype in columns)]
        return table(head, rows, numbers=range(1, len(head)))

    def json(self) -> str:
        """Return the report as JSON."""
        names = "ok", "environment", "libraries", "machines", "left_out"
        made = {name: getattr(self, name) for name in names}
        made["first_failure"] = next(iter(self.failures), None)
        made["rows"] = [row._asdict() for row in self.rows]
        return json.dumps(made, indent=1, allow_nan=False) + "\n"

    def junit(self) -> str:
        """Return the report as JUnit's XML."""
        counts = {"tests": str(len(self.rows)), "failures": str(len(self.failures))}
        suite = ElementTree.Element("testsuite", {"name": TITLE, **counts})
        for row in self.rows:
            where = {"classname": f"{row.library}.{row.dtype}", "name": row.operation}
            case = ElementTree.SubElement(suite, "testcase", where)
            if row.problem:
                ElementTree.SubElement(case, "failure", message=row.problem)
            if row.skipped:
                ElementTree.SubElement(case, "skipped", message=row.skipped)
            text = f"error {row.error}, bound {row.bound} {row.unit}"
            ElementTree.SubElement(case, "system-out").text = text
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _versions(about, libraries):
    """Return the versions of a machine and of those of its libraries that work."""
    working = {name: lib for name, lib in libraries.items() if lib["device"] != "-"}
    return about | {k: f"{lib['version']} ({lib['device']})" for k, lib in working.items()}


def _side_by_side(rows):
    """Yield rows of three texts as lines of a table as wide as a terminal."""
    first = min(max(len(name) for name, *_ in rows), WIDTH // 3)
    wide = first, (WIDTH - first) // 2 - 2, (WIDTH - first) // 2 - 2
    for row in rows:
        for texts in zip_longest(*map(wrap, row, wide), fillvalue=""):
            yield "  ".join(f"{text:{n}}" for text, n in zip(texts, wide)).rstrip()


def _library(name: str, about: dict[str, str], rows: list[Row]) -> dict[str, str]:
    """Return one line about a library."""
    rows = [row for row in rows if not row.skipped]
    worst = max(rows, key=lambda row: row.ratio, default=Row("none", "-", "-", 0.0, 0.0, ""))
    first = (f"{row.operation}, {row.dtype}" for row in rows if row.problem)
    products = "not tried"
    if precision := [row for row in rows if row.operation.endswith(": precision")]:
        reduced = "; ".join(f"{row.dtype} {row.problem}" for row in precision if row.problem)
        products = reduced or "full precision"
    return {
        "library": name,
        **about,
        "passed": f"{sum(not row.problem for row in rows)} of {len(rows)}",
        "worst error / bound": f"{worst.ratio:.2f} {worst.operation}, {worst.dtype}",
        "first over its bound": next(first, "none"),
        "products": products,
    }


def _cell(row: Row | None) -> str:
    """Return an error, shaded the more the nearer to its bound."""
    if row is None:
        return ""
    if row.skipped:
        return "not compared"
    text = "failed" if row.error is None else f"{row.error:.2g}"
    if row.problem:
        return tag("span", text, "bad")
    share = f"{50 * min(row.ratio, 1.0):.0f}%"
    shade = f"background: color-mix(in srgb, var(--up) {share}, transparent)"
    return Html(f"<span style='{shade}; padding: .1em .4em'>{escape(text)}</span>")
