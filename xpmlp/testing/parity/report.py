"""The report of a parity run: text, HTML, JSON, JUnit."""

import json
import platform
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from pathlib import Path
from xml.etree import ElementTree

from ... import __version__
from ...errors import DeviceError
from ...inspection.page import Html, fragment, page, table, tag
from ..backends import blas, device_name, find, version
from .compare import Row

TITLE = "Parity of array libraries"
BOUNDS = (
    "Errors are those against NumPy in a wider float. ulp: the largest error of an elementwise "
    "operation, in units in the last place of the result (where it is the difference of terms of "
    "size 1, of 1). eps: ||error|| / ||result|| over the dtype's eps; its bound is "
    "sqrt(products in a row) * (2 + sqrt(terms of a sum)). bits: lost in a product that keeps all "
    "of them in full precision. differ: elements whose bits are not equal."
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

    def environment(self) -> dict:
        """Return the versions, and what computes products on the host."""
        system = f"{platform.system()} {platform.machine()}"
        return {
            "xpmlp": __version__, "python": platform.python_version(), "system": system,
            "blas": blas(),
        }  # fmt: skip

    def __str__(self):
        facts = self.environment()
        lines = [f"{TITLE}: xpmlp {facts['xpmlp']}, Python {facts['python']}, {facts['system']}"]
        for lib in self.libraries:
            head = f"{lib['library']} {lib['version']} ({lib['device']})"
            tried = f", products: {lib['products']}" if lib["products"] != "not tried" else ""
            lines.append(f"{head:42} {lib['passed']:>10} passed{tried}")
            lines += [f"    {k}: {lib[k]}" for k in ("worst error / bound", "first over its bound")]
        lines += [f"{name} left out: {why}" for name, why in self.left_out.items()]
        failed = self.failures
        said = {(r.library, r.problem): r for r in reversed(failed)}  # the first of its kind
        shown = [row for row in failed if row in said.values()][:12]
        lines += [f"FAILED {r.library} {r.dtype} {r.operation}: {r.problem}" for r in shown]
        lines += [f"... and {len(failed) - len(shown)} more"] * (len(failed) > len(shown))
        lines += [f"BLAS and threads: {'; '.join(facts['blas'])}"]
        passed = "all passed" if self.ok else f"{len(failed)} FAILED"
        return "\n".join([*lines, f"{len(self.rows)} results, {passed}"])

    def _repr_html_(self):
        return fragment(*self._parts())

    def html(self) -> str:
        """Return the report as a page."""
        return page(TITLE, *self._parts())

    def _parts(self):
        facts, failed = self.environment(), self.failures
        verdict = f"{len(failed)} of {len(self.rows)} failed" if failed else "all passed"
        yield tag("p", f"{len(self.rows)} results: {verdict}.", "bad" if failed else "good")
        if self.libraries:
            yield table(self.libraries[0], (lib.values() for lib in self.libraries))
        yield from (f"{name} left out: {why}" for name, why in self.left_out.items())
        if failed:
            yield tag("h2", "Failures, the first first")
            columns = ("library", "dtype", "operation", "problem")
            yield table(columns, ([getattr(row, c) for c in columns] for row in failed))
        yield tag("h2", "Errors and bounds")
        yield BOUNDS + " The stronger the shade, the nearer to the bound."
        yield self._errors()
        yield (
            f"xpmlp {facts['xpmlp']}, Python {facts['python']}, {facts['system']}; "
            f"BLAS and threads: {'; '.join(facts['blas'])}."
        )

    def _errors(self):
        """Return the table operation x library x dtype, failures first."""
        columns = list(dict.fromkeys((r.library, r.dtype) for r in self.rows if r.dtype != "-"))
        cells = {(r.operation, r.library, r.dtype): r for r in self.rows}
        operations = {r.operation: r for r in self.rows if r.dtype != "-"}
        failed = {r.operation for r in self.failures}
        rows = (
            [
                Html(f"<nobr>{escape(name)}</nobr>"),
                Html(f"<nobr>{row.bound:.3g} {row.unit}</nobr>"),
                *(_cell(cells.get((name, *c))) for c in columns),
            ]
            for name, row in sorted(operations.items(), key=lambda item: item[0] not in failed)
        )
        head = ["operation", "bound", *(f"{name} {dtype}" for name, dtype in columns)]
        return table(head, rows, numbers=range(1, len(head)))

    def json(self) -> str:
        """Return the report as JSON."""
        rows = [row._asdict() | {"passed": not row.problem} for row in self.rows]
        for row in rows:  # JSON has no NaN
            row["error"] = row["error"] if row["error"] == row["error"] else None
        return json.dumps(
            {
                "ok": self.ok, **self.environment(), "libraries": self.libraries,
                "left_out": self.left_out, "first_failure": next(iter(self.failures), None),
                "rows": rows,
            }, indent=1, default=str, allow_nan=False,
        )  # fmt: skip

    def junit(self) -> str:
        """Return the report as JUnit's XML, a suite a library."""
        root = ElementTree.Element("testsuites")
        for library in self.libraries:
            rows = [row for row in self.rows if row.library == library["library"]]
            suite = ElementTree.SubElement(root, "testsuite", name=library["library"])
            suite.set("tests", str(len(rows)))
            suite.set("failures", str(sum(bool(row.problem) for row in rows)))
            for row in rows:
                where = {"classname": f"{row.library}.{row.dtype}", "name": row.operation}
                case = ElementTree.SubElement(suite, "testcase", where)
                of = ElementTree.SubElement(case, "properties")
                for name in ("error", "bound", "unit"):
                    value = str(getattr(row, name))
                    ElementTree.SubElement(of, "property", name=name, value=value)
                if row.problem:
                    ElementTree.SubElement(case, "failure", message=row.problem)
        return ElementTree.tostring(root, encoding="unicode", xml_declaration=True)

    def write(self, *, html=None, json=None, junit=None) -> None:
        """Write the report to files of these paths."""
        texts = {html: self.html, json: self.json, junit: self.junit}
        for path, text in texts.items():
            if path is not None:
                Path(path).write_text(text() + "\n", encoding="utf-8")


def _library(name: str, rows: Iterable[Row]) -> dict[str, str]:
    """Return one line about a library."""
    rows = list(rows)
    worst = max(rows, key=lambda row: row.ratio)
    first = next((row for row in rows if row.problem), None)
    try:
        backend = find(name)
        about = version(backend), device_name(backend)
    except (DeviceError, ValueError):
        about = "-", "-"
    precision = [row for row in rows if row.operation.endswith(": precision")]
    reduced = "; ".join(f"{row.dtype} {row.problem}" for row in precision if row.problem)
    return {
        "library": name, "version": about[0], "device": about[1],
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
