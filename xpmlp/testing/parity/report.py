"""The report of a parity run: text, HTML, JSON, JUnit."""

import json
import platform
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from importlib import import_module
from xml.etree import ElementTree

from threadpoolctl import threadpool_info

from ... import __version__
from ...arrays import home
from ...errors import DeviceError
from ...inspection.page import Html, fragment, page, table, tag
from ..backends import find
from .compare import Row

TITLE = "Parity of array libraries"
BOUNDS = (
    "Errors are those against NumPy in a wider float. ulp: the largest error of an elementwise "
    "operation, in units in the last place of the result (where it is the difference of terms of "
    "size 1, of 1). eps: ||error|| / ||result|| over the dtype's eps; its bound is "
    "sqrt(products in a row) * (2 + sqrt(terms of a sum)). bits: lost in a product that keeps all "
    "of them in full precision. differ: elements whose bits are not equal. The stronger the shade, "
    "the nearer to the bound."
)


@dataclass
class Report:
    """What ran, with its error and bound. Printable; HTML in a notebook.

    Attributes
    ----------
    rows : list of Row
        In the order of the run: operation, library, dtype, error, bound, unit, problem.
    left_out : dict
        Library -> why it was not run although it is installed.
    """

    rows: list[Row]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def failures(self) -> list[Row]:
        """The rows with a problem, the first first."""
        return [row for row in self.rows if row.problem]

    @property
    def ok(self) -> bool:
        """Whether anything ran, and all of it passed."""
        return bool(self.rows) and not self.failures

    @cached_property
    def libraries(self) -> list[dict[str, str]]:
        """For each library: version, device, rows passed, worst, first failure, products."""
        names = dict.fromkeys(row.library for row in self.rows)
        return [_library(name, [row for row in self.rows if row.library == name]) for name in names]

    @cached_property
    def environment(self) -> str:
        """The versions, and what computes products on the host with how many threads."""
        blas = {
            f"{p['internal_api']} {p['version'] or ''}".strip() + f", {p['num_threads']} threads"
            for p in threadpool_info()
        }
        return (
            f"xpmlp {__version__}, Python {platform.python_version()}, {platform.system()} "
            f"{platform.machine()}; BLAS and threads: {'; '.join(sorted(blas))}"
        )

    @property
    def _verdict(self):
        said = f"{len(self.failures)} FAILED" if self.failures else "all passed"
        return f"{len(self.rows)} results, {said if self.rows else 'nothing ran'}"

    def __str__(self):
        system, _, blas = self.environment.partition("; ")
        lines = [f"{TITLE}: {system}"]
        for lib in self.libraries:
            head = f"{lib['library']} {lib['version']} ({lib['device']})"
            tried = f", products: {lib['products']}" if lib["products"] != "not tried" else ""
            lines.append(f"{head:42} {lib['passed']:>10} passed{tried}")
            lines += [f"    {k}: {lib[k]}" for k in ("worst error / bound", "first over its bound")]
        lines += [f"{name} left out: {why}" for name, why in self.left_out.items()]
        # Of one problem of a library the first row; the page has all.
        firsts = {(row.library, row.problem): row for row in reversed(self.failures)}
        shown = [row for row in self.failures if row in firsts.values()][:12]
        lines += [f"FAILED {r.library} {r.dtype} {r.operation}: {r.problem}" for r in shown]
        more = len(self.failures) - len(shown)
        return "\n".join([*lines, *[f"... and {more} more"] * bool(more), blas, self._verdict])

    def _repr_html_(self):
        return fragment(*self._parts())

    def html(self) -> str:
        """Return the report as a page."""
        return page(TITLE, *self._parts())

    def _parts(self):
        yield tag("p", f"{self._verdict}.", "good" if self.ok else "bad")
        if self.libraries:
            yield table(self.libraries[0], (lib.values() for lib in self.libraries))
        yield from (f"{name} left out: {why}" for name, why in self.left_out.items())
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
        rows = (
            [
                Html(f"<nobr>{escape(name)}</nobr>"),
                Html(f"<nobr>{row.bound:.3g} {row.unit}</nobr>"),
                *(_cell(cells.get((name, *column))) for column in columns),
            ]
            for name, row in {row.operation: row for row in ran}.items()
        )
        head = ["operation", "bound", *(f"{name} {dtype}" for name, dtype in columns)]
        return table(head, rows, numbers=range(1, len(head)))

    def json(self) -> str:
        """Return the report as JSON."""
        made = {
            "ok": self.ok, "environment": self.environment, "libraries": self.libraries,
            "left_out": self.left_out, "first_failure": next(iter(self.failures), None),
            "rows": [row._asdict() for row in self.rows],
        }  # fmt: skip
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
            text = f"error {row.error}, bound {row.bound} {row.unit}"
            ElementTree.SubElement(case, "system-out").text = text
        return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _library(name: str, rows: list[Row]) -> dict[str, str]:
    """Return one line about a library."""
    worst = max(rows, key=lambda row: row.ratio)
    first = next((row for row in rows if row.problem), None)
    precision = [row for row in rows if row.operation.endswith(": precision")]
    reduced = "; ".join(f"{row.dtype} {row.problem}" for row in precision if row.problem)
    try:
        device = home(find(name).like).device
        root = import_module(name.partition(":")[0].partition(".")[0])
        version = str(getattr(root, "__version__", "unknown"))
    except DeviceError:
        version, device = "-", "-"
    return {
        "library": name, "version": version, "device": device,
        "passed": f"{sum(not row.problem for row in rows)} of {len(rows)}",
        "worst error / bound": f"{worst.ratio:.2f} {worst.operation}, {worst.dtype}",
        "first over its bound": f"{first.operation}, {first.dtype}" if first else "none",
        "products": reduced or ("full precision" if precision else "not tried"),
    }  # fmt: skip


def _cell(row: Row | None) -> str:
    """Return an error, shaded the more the nearer to its bound."""
    if row is None:
        return ""
    text = "failed" if row.error is None else f"{row.error:.2g}"
    if row.problem:
        return tag("span", text, "bad")
    shade = f"background: rgba(47, 109, 179, {0.6 * min(row.ratio, 1.0):.2f})"
    return Html(f"<span style='{shade}; padding: .1em .4em'>{escape(text)}</span>")
