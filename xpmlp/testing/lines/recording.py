"""Which line of the asker's backward gave which value: its run, statement by statement.

Only frames of the asker's own files are followed. A statement's scope is what the names held before
it. Expressions in it are evaluated in that scope, afterwards and on demand.
"""

import ast
import itertools
import linecache
import sys
import sysconfig
import types
from dataclasses import dataclass, field
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..own_code.trees import host_array
from .names import vocabulary, written
from .scopes import Copies, evaluate, expressions, numbers, same

MANY = 20_000  # statements: what runs after them is left out
PASSES = 8  # of a loop: in the expressions of these and of the last is looked for values
FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
SIMPLE = ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Return | ast.Expr
OPERATORS = ast.BinOp | ast.UnaryOp | ast.Compare | ast.Attribute | ast.Subscript | ast.Starred


class Source:
    """The text of a file, the functions in it and their statements."""

    def __init__(self, file, text):
        self.file, self.text = file, text
        self.tree, self.segments = ast.parse(text), {}
        lengths = map(len, text.splitlines(True))
        self.starts = [0, *itertools.accumulate(lengths)]

    def span(self, node):
        """Return where in the text a node begins and ends; columns of the tree count bytes."""
        places = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
        rows = [self.text[self.starts[line - 1] : self.starts[line]] for line, _ in places]
        return [
            self.starts[line - 1] + len(row.encode()[:column].decode())
            for row, (line, column) in zip(rows, places)
        ]

    def segment(self, node):
        """Return the text of a node."""
        if node not in self.segments:
            start, end = self.span(node)
            self.segments[node] = self.text[start:end]
        return self.segments[node]

    def function(self, code):
        """Return the function or lambda that was compiled to a code, or None."""
        places = [(row, at) for row, _, at, _ in code.co_positions() if row and at]
        found = None
        for node in ast.walk(self.tree):
            if not isinstance(node, FUNCTIONS):
                continue
            name = getattr(node, "name", "<lambda>")
            first = min(part.lineno for part in [node, *getattr(node, "decorator_list", [])])
            if (name, first) != (code.co_name, code.co_firstlineno):
                continue
            if isinstance(node, ast.Lambda):  # the innermost one that has all places in its body
                end = node.body.end_lineno, node.body.end_col_offset
                start = node.body.lineno, node.body.col_offset
                if not all(start <= place < end for place in places):
                    continue
            found = node
        return found


def _simple_statements(function):
    """Return the simple statements of a function, not of functions in it, by their lines."""
    found: dict = {}
    todo = [function] if isinstance(function, ast.Lambda) else list(function.body)
    for node in todo:
        if isinstance(node, SIMPLE | ast.Lambda):
            for line in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                found.setdefault(line, []).append(node)
        elif not isinstance(node, FUNCTIONS | ast.ClassDef | ast.expr):
            todo += ast.iter_child_nodes(node)
    return found


@lru_cache(maxsize=1024)
def _walruses(node):
    return [part for part in ast.walk(node) if isinstance(part, ast.NamedExpr)]


@lru_cache(maxsize=32)
def source_of(file, text):
    """Return the Source of a text, None where it is no Python, as a %command in a notebook."""
    try:
        return Source(file, text)
    except SyntaxError:
        return None


@cache
def _foreign(file):
    """Whether a file belongs to Python, to an installed package or to this one."""
    roots = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    roots.append(str(Path(__file__).parents[2]))
    return file.startswith((*(f"{Path(root)}/" for root in roots), "<frozen", "<__array"))


@dataclass(eq=False, repr=False)
class Moment:
    """A statement of the asker's code, run once."""

    code: types.CodeType
    source: Source
    function: Any  # the tree of a function or lambda
    node: Any  # a simple statement in it, or the lambda
    before: dict  # names to copies of values
    after: dict
    returned: object
    order: int
    passes: list  # all moments of this statement
    codes: list  # of all functions that ran
    globals: dict  # names to values

    @property
    def scope(self):
        """Names to values before the statement."""
        return {**self.globals, **self.before}

    def bound(self):
        """Yield (piece, target, value, prefix) of all that the statement assigned or returned."""
        node = self.node
        if isinstance(node, ast.Return | ast.Lambda):
            value = node.value if isinstance(node, ast.Return) else node.body
            yield from self._entries(value, "", self.returned)
        elif isinstance(node, ast.AugAssign):
            target = self.source.segment(node.target)
            yield node, target, evaluate(target, self.after), f"{target} = "
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for target in getattr(node, "targets", [getattr(node, "target", None)]):
                yield from self._targets(target, node.value)
        for part in _walruses(node):
            yield part.value, part.target.id, self.after.get(part.target.id), ""

    def _targets(self, target, piece):
        if not isinstance(target, ast.Tuple | ast.List):
            text = self.source.segment(target)
            yield from self._entries(piece, text, evaluate(text, self.after))
            return
        pieces = getattr(piece, "elts", [])
        if len(pieces) != len(target.elts):  # of a call: none of them has a piece of its own
            pieces = [None] * len(target.elts)
        for pair in zip(target.elts, pieces):
            yield from self._targets(*pair)

    def _entries(self, piece, target, value):
        """Yield a value or, where a dict, list or tuple is written out, its entries."""
        keys = []
        if isinstance(piece, ast.Dict) and isinstance(value, dict):
            names = (evaluate(key, self.scope) for key in piece.keys)
            keys = list(zip(names, piece.values))
        elif isinstance(piece, ast.Call) and isinstance(value, dict):
            keys = [(keyword.arg, keyword.value) for keyword in piece.keywords]
        elif isinstance(piece, ast.List | ast.Tuple) and isinstance(value, list | tuple):
            keys = list(enumerate(piece.elts)) if len(piece.elts) == len(value) else []
        for key, part in keys:
            if isinstance(value, list | tuple) or key in value:
                yield from self._entries(part, f"{target}[{key!r}]" * bool(target), value[key])
        if not keys:
            yield piece, target, value, ""


@dataclass(eq=False, repr=False)
class Statement:
    """A value that was assigned, returned or an operand, and the piece of code that made it.

    target: as in the code, "" for what has no name; passes: the moments of this line in its loop.
    """

    moment: Moment
    piece: Any  # what a patch replaces; None where the value is one of several that a call returned
    target: str
    value: np.ndarray
    prefix: str = ""  # what stands before the text that replaces the piece
    inner: dict = field(default_factory=dict)  # the scope within a comprehension

    def __post_init__(self):
        self.file, self.function = self.moment.source.file, self.moment.code.co_name
        self.order, self.passes = self.moment.order, self.moment.passes
        self.node = self.piece or self.moment.node
        self.lineno = self.node.lineno
        self.source = self.moment.source.segment(self.node)

    @property
    def scope(self):
        """Names to values where the piece stands, before it runs."""
        return self.inner or self.moment.scope

    @property
    def passed_on(self):
        """Whether an entry of a dict, say, only takes up what a name holds."""
        made = any(isinstance(node, ast.Call | ast.BinOp) for node in ast.walk(self.node))
        return not made and not self.target.isidentifier()

    @cached_property
    def vocabulary(self):
        """What can be written where the statement stands."""
        return vocabulary(self)

    def changed(self, text):
        """Return the text of the file, and the line of the statement in it, with another piece."""
        source = self.moment.source
        start, end = source.span(self.node)
        around = source.text[start - 1 : start] + source.text[end : end + 1]
        simple = isinstance(ast.parse(text, mode="eval").body, ast.Name | ast.Call | ast.Subscript)
        for node in ast.walk(self.moment.node):
            among = isinstance(node, OPERATORS) and self.piece in ast.iter_child_nodes(node)
            if among and not simple and around != "()":
                text = f"({text})"
        return self._with(self.prefix + text)

    @property
    def line(self):
        """The line, or lines, as they are."""
        return self._with(self.source)[1]

    def _with(self, new):
        """Return the text of the file and the lines of the statement with the piece as `new`."""
        source, shown = self.moment.source, self.node
        if getattr(self.moment.node, "value", None) is self.piece:
            shown = self.moment.node
        start, end = source.span(self.node)
        head, tail = source.text[:start] + new, source.text[end:]
        first, last = source.starts[shown.lineno - 1], source.starts[shown.end_lineno]
        return head + tail, (head[first:] + tail[: last - end]).strip()


class Recording:
    """A run of the asker's code: its statements in order."""

    def __init__(self, moments):
        self.moments = moments
        self.statements = list(self._assigned())

    def _statement(self, moment, piece, target, value, prefix="", inner=()):
        """Yield the statement of a value, if it is numbers."""
        value = numbers(value)
        if value is not None:
            yield Statement(moment, piece, target, value, prefix, dict(inner))

    def _assigned(self):
        for moment in self.moments:
            for found in moment.bound():
                yield from self._statement(moment, *found)

    @cached_property
    def operands(self):
        """The expressions in the statements, of loops those of few passes."""
        pieces = {id(s.piece) for s in self.statements}
        found = []
        for moment in self.moments:
            if moment not in [*moment.passes[:PASSES], moment.passes[-1]]:
                continue
            for node, scope in expressions(getattr(moment.node, "body", moment.node), moment.scope):
                if id(node) not in pieces and isinstance(node, ast.BinOp | ast.UnaryOp | ast.Call):
                    value = evaluate(node, scope)
                    found += self._statement(moment, node, "", value, inner=scope)
        return found

    def holding(self, value, tolerance=1e-7):
        """Return the statements whose value equals an array, up to `.T`, (n,) and (n, 1).

        Assigned and returned values come first, then operands, then what was only passed on, or
        made by `+=` and such; of each sort the latest first.
        """
        wanted = host_array(value)
        ranks = [(s.passed_on or bool(s.prefix)) * 2 for s in self.statements]
        ranked = [*zip(ranks, self.statements), *((1, s) for s in self.operands)]
        found = [pair for pair in ranked[::-1] if same(pair[1].value, wanted, tolerance)]
        return [s for _, s in sorted(found, key=lambda pair: pair[0])]

    def names_for(self, value, statement, factor=True):
        """Return how code at a statement can write an array: the shortest and most local first.

        factor: other than names, calls and entries stand in parentheses.
        """
        return written(statement.vocabulary, host_array(value), factor)


class _Recorder:
    """The trace function: keeps what the names hold between the lines of the asker's code."""

    def __init__(self):
        self.moments: list[Moment] = []
        self.passes: dict = {}  # by the ids of nodes
        self.codes: list = []
        self.globals: dict = {}  # copies, by the ids of the dicts
        self.copies = Copies()

    def __call__(self, frame, event, argument):
        """Return the function that follows a new frame, if it is the asker's."""
        code = frame.f_code
        if _foreign(code.co_filename) or len(self.moments) >= MANY:
            return None
        text = "".join(linecache.getlines(code.co_filename, frame.f_globals))
        source = source_of(code.co_filename, text)
        function = source and source.function(code)
        if function is None:
            return None
        if all(code is not known for known in self.codes):
            self.codes.append(code)
        if id(frame.f_globals) not in self.globals:
            space = {name: self.copies.of(value) for name, value in frame.f_globals.items()}
            self.globals[id(frame.f_globals)] = space
        return self._following(source, function, frame)

    def _following(self, source, function, frame):
        """Return the trace function of a frame."""
        statements = _simple_statements(function)
        open_: list = []  # the statements at work
        before = self._names(frame)

        def follow(frame, event, argument):
            nonlocal open_, before
            if len(self.moments) >= MANY:
                return follow
            nodes = statements.get(frame.f_lineno, []) if event == "line" else []
            several_lines = any(node.lineno < node.end_lineno for node in nodes)
            if nodes and nodes == open_ and several_lines or event == "opcode":
                return follow
            if event == "exception":  # what was at work has no value
                open_ = []
                return follow
            after = self._names(frame)
            for node in open_:
                self._keep(frame, source, function, node, before, after, argument)
            open_, before = nodes, after
            return follow

        return follow

    def _keep(self, frame, source, function, node, before, after, returned):
        passes = self.passes.setdefault(id(node), [])
        found = Moment(
            code=frame.f_code,
            source=source,
            function=function,
            node=node,
            before=before,
            after=after,
            returned=returned,
            order=len(self.moments),
            passes=passes,
            codes=self.codes,
            globals=self.globals[id(frame.f_globals)],
        )
        passes.append(found)
        self.moments.append(found)

    def _names(self, frame):
        """Return copies of what the names of a frame hold."""
        space = frame.f_globals
        names = {name: space[name] for name in frame.f_code.co_names if name in space}
        names.update(frame.f_locals)  # since Python 3.13 no dict
        return {name: self.copies.of(value) for name, value in names.items()}


def record(run):
    """Call `run` and return the Recording of what the asker's code did in it.

    What it raises is passed on; the trace function before, of a debugger say, is put back.
    """
    recorder, former = _Recorder(), sys.gettrace()
    sys.settrace(recorder)
    try:
        run()
    finally:
        sys.settrace(former)
    return Recording(recorder.moments)
