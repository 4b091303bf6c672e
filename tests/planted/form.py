'''A form of code: a whole script as people post it, and the same script with typical mistakes.

How a form is written, in a file forms_*.py (looked at while mending) or unseen_*.py (not)::

    LINE = Form(
        "a straight line",  # the form
        """
    import numpy as np
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=20), rng.normal(size=20)
    params = {"w": 0.5, "b": 0.1}

    def forward(params, X, y):
        return np.mean((params["w"] * X + params["b"] - y) ** 2)

    def backward(params, X, y):
        error = 2 * (params["w"] * X + params["b"] - y) / len(X)
        return {"w": np.sum(error * X), "b": np.sum(error)}
    """,
        [  # what is wrong, the edit (or a list of them), what is true of it
            ("no sum", '"b": np.sum(error) -> "b": error', "not_summed@1"),
        ],
    )
    FORMS = [LINE]

The script is run as it stands, then `call`, one expression, as its author would write it. An edit
``was -> becomes`` changes a text that stands exactly once; a line break in ``becomes`` keeps the
indentation. What is true is written as `case.truths` reads it. A fourth entry has patterns that the
report must have, which tell of a mistake of the forward pass; if the gradients agree all the same,
"" is true of them. The wrong lines are those that an edit makes; if it takes one away, or another
line is as wrong, a fifth entry holds texts that count as well. `by_hand` has lines that define
forward, backward, params, X and y, by which the corpus itself is tested, where the script does not.
'''

import contextlib
import io
import linecache
import re
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from .case import Judged

FUNCTIONS = "check_gradients(forward, backward, params, X, y)"
DIGESTED = ("right", "not known", "wrong")  # named, in part or not at all, falsely


class Outcome(NamedTuple):
    """What the checker made of a script."""

    flagged: bool  # whether it says that something is wrong
    word: str  # one of DIGESTED, or "refused"
    located: bool  # every wrong line is printed
    mended: str  # what makes it right: "line", "whole" (backward pass), "nothing" has to, or ""
    text: str  # the report, or what was raised
    named: str  # the kinds, for the list of misses


@dataclass(frozen=True, eq=False)
class Script(Judged):
    """A script of a form, right or with mistakes."""

    name: str
    source: str
    call: str
    truth: str = ""
    says: tuple[str, ...] = ()
    lines: tuple[tuple[str, ...], ...] = ()  # of each edit the texts of which one must be printed
    by_hand: str = ""
    odd = False

    def __str__(self):
        return self.name

    @property
    def wrong(self):
        """Whether there is anything to find in it."""
        return bool(self.truth or self.says)

    def judge(self, ok, found):
        """As of a case, but a kind is named rightly also where its layer is left out."""
        named = {pair for pair in found if pair[0] != "unknown"}
        kinds = {kind for kind, _ in named}
        for true in self.true_sets if not ok and len(named) == len(set(found)) else ():
            if self.says_nothing_false(named, true) and kinds == {kind for kind, _ in true}:
                return "right"
        return super().judge(ok, found)

    def run(self, more=""):
        """The names that the script defines, and those of more lines."""
        text = self.source + more
        name = f"<planted {self.name}>"
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        space = {"__name__": "script"}
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, name, "exec"), space)
        return space

    def report(self):
        """The checker's report."""
        from xpmlp.testing import check_gradients

        return eval(self.call, self.run() | {"check_gradients": check_gradients})

    def outcome(self):
        """The judgement of what the checker says."""
        try:
            report = self.report()
        except Exception as error:  # what the checker raises is a miss like any other
            return Outcome(False, "refused", False, "", f"{type(error).__name__}: {error}", "")
        text = str(report)
        said = all(re.search(pattern, text, re.I) for pattern in self.says)
        word = self.judge(report.ok, [(m.kind, m.layer) for m in report.mistakes])
        if self.says and word != "wrong":  # of the forward pass; the arrays may stay unexplained
            word = "right" if said else "not known"
        flagged = not report.ok or bool(self.says and said)
        named = " ".join(f"{m.kind}@{m.layer}" for m in report.mistakes)
        plain = spaced(text)
        located = all(any(spaced(line) in plain for line in lines) for lines in self.lines)
        return Outcome(flagged, word, located, self.mended_by(report), text, named)

    def mended_by(self, report):
        """What of the report makes the script right where it is pasted into it."""
        from xpmlp.testing import check_gradients

        if not self.truth:
            return "nothing"
        lines = dict.fromkeys(line for m in report.mistakes for line in m.lines)
        with contextlib.suppress(Exception):  # that does not run does not mend
            if lines and all(m.lines for m in report.mistakes):
                source = self.source
                for line, right, _ in lines:
                    source = pasted(source, line, right)
                if replace(self, source=source).report().ok:
                    return "line"
        with contextlib.suppress(Exception):
            if report.backward:
                call, more = self.call, report.backward
                name = re.search(r"def (\w+)", more)[1]
                if not re.search(rf"\b{name}\b", call):  # as for objects
                    call, more = FUNCTIONS, f"{self.by_hand}\n{more}\nbackward = {name}"
                space = self.run(f"\n{more}") | {"check_gradients": check_gradients}
                if eval(call, space).ok:
                    return "whole"
        return ""


@dataclass(frozen=True, eq=False)
class Form:
    """A way of writing, right and wrong."""

    name: str
    source: str
    wrong: list
    call: str = FUNCTIONS
    by_hand: str = ""

    def __str__(self):
        return self.name

    @cached_property
    def scripts(self):
        """The right script, then the wrong ones."""
        given = {"call": self.call, "by_hand": self.by_hand}
        made = [Script(f"{self.name}: right", self.source.lstrip("\n"), **given)]
        for what, edits, truth, *more in self.wrong:
            says, also = (*more, (), ())[:2]
            source, lines = made[0].source, []
            for edit in [edits] if isinstance(edits, str) else edits:
                source, line = changed(source, edit)
                lines.append(tuple(filter(None, (line, *also))))
            lines = filter(None, lines)
            name = f"{self.name}: {what}"
            made.append(Script(name, source, truth=truth, says=says, lines=tuple(lines), **given))
        return made


def changed(source, edit):
    """The source with an edit, and the line of it that is wrong now."""
    was, arrow, becomes = edit.partition(" -> ")
    assert arrow and source.count(was) == 1, f"{was!r} is {source.count(was)} times in\n{source}"
    before = source[: source.index(was)]
    line = before.rpartition("\n")[2]
    indent = re.match(" *", line + was)[0]
    new = before + re.sub(r"\n(?=.)", "\n" + indent, becomes) + source[len(before) + len(was) :]
    wrong = [text for text in new.splitlines() if text.strip() and text not in source.splitlines()]
    return new, wrong[0].strip() if wrong else ""


def pasted(source, line, right):
    """The source in which a line, printed as "line 14: text", is another."""
    number, text = re.fullmatch(r"line (\d+): *(.*)", line, re.S).groups()
    before = "".join(source.splitlines(True)[: int(number) - 1])
    pattern = r"\s*".join(map(re.escape, re.findall(r"\w+|\S", text)))
    found = re.compile(pattern).search(source, len(before))
    return source[: found.start()] + right + source[found.end() :]


def spaced(text):
    """A text without what printing may do to its white space."""
    return "".join(text.split())
