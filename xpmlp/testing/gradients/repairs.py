"""The right line for a wrong one: found by its value, written in the user's own names, and tried.

A line of the backward pass is known by a role and a layer, as in `right_sides`.
"""

import ast
import copy
import itertools
import warnings
from contextlib import redirect_stdout, suppress
from dataclasses import replace
from io import StringIO
from typing import Any, NamedTuple

import numpy as np

from ...nn.formulas import as_factor
from ..lines import patched, record
from .candidates import our_errors
from .expressions import NoExpression
from .report import Line
from .right_sides import RightSides
from .whole import our_gradients, same

SEVERAL = 6  # wrong lines that are mended one after the other
TRIES = 60  # of right-hand sides, for one wrong line
VARIANTS = 3  # of the names in one
STEPS = {"dZ": ("dA", "slope", "dZ"), "return": ()}  # dZ may be made in several lines


class Repair(NamedTuple):
    """The right line for a wrong one, and the network whose code has it."""

    role: str
    layer: int
    line: Line
    network: Any
    is_last: bool  # whether all is right with it


class Style(NamedTuple):
    """How the user writes: names of values by (role, layer); whether dW and db take the mean."""

    names: dict
    late: bool
    times: float  # the user's errors over ours: -1, too, where an update adds


def recorded(network):
    """Run the user's backward pass at the network's first point; return its Recording."""
    return record(lambda: network.code.backward_of(network.arrays[0], network.data))


def style_of(network, recording, dZ):
    """Return the Style of the user's code; dZ: layer -> the error there that it computes."""
    sides, found = RightSides(network, str), []
    for times in (1, sides.divisor, -1, -sides.divisor):
        values = _values(network, times) | {
            ("dZ", k): sides.turn(times * error[0]) for k, error in dZ.items()
        }
        held = {line: recording.holding(value) for line, value in values.items()}
        names = {line: _name(recording, statements) for line, statements in held.items()}
        found.append((sum(bool(held["dZ", k]) for k in dZ), times, names))
    _, times, names = max(found, key=lambda of: of[0])
    names = {line: name for line, name in names.items() if name and line[0] != "inputs"}
    distinct = {line: name for line, name in names.items() if [*names.values()].count(name) == 1}
    return Style(distinct, abs(times) != 1, times)


def _name(recording, statements):
    """Return the name that always has the value of these statements, "" where there is none."""
    for statement in sorted(statements, key=lambda s: s.order):
        named = [s.value for s in recording.statements if s.target == statement.target]
        if statement.target.isidentifier() and all(
            np.array_equal(value, statement.value) for value in named
        ):
            return statement.target
    return ""


def find_repairs(network, recording, style, wrong, dZ):
    """Return repairs of the user's backward pass, one after the other, from the output down.

    wrong: the (role, layer) of the lines that are said to be wrong; dZ: as in `style_of`.
    """
    found: list[Repair] = []
    with warnings.catch_warnings(), np.errstate(all="ignore"), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        while len(found) < SEVERAL:
            attempt = _Attempt(network, recording, style, wrong, dZ)
            repair = next(filter(None, map(attempt.repair, attempt.lines())), None)
            if repair is None:
                break
            found.append(repair)
            if repair.is_last:
                break
            network = repair.network
            recording = recorded(network)
            wrong = [line for line in wrong if line != (repair.role, repair.layer)]
    return found


class _Attempt:
    """A version of the user's backward pass that is not right yet."""

    def __init__(self, network, recording, style, wrong, dZ):
        self.network, self.recording, self.late = network, recording, style.late
        self.wrong, self.dZ, self.users = wrong, dZ, network.gradients()
        self.ours, self.bad = our_gradients(network), set()
        self.bad = self._bad(self.users)
        self.names = _Names(network, recording, style.times)

    def _bad(self, users):
        """Return the numbers of the gradients that are not right."""
        return {
            i
            for i, (user, own) in enumerate(zip(users, self.ours))
            if own is not None and (user is None or not _alike(user, own[: len(user)]))
        }

    def lines(self):
        """Return the lines that are said to be wrong, then those of all wrong gradients."""
        found = dict.fromkeys(self.wrong)
        for k, layer in reversed([*enumerate(self.network.layers, 1)]):
            parts = {kind: layer.part(kind) for kind in "Wb"}
            bad = [kind for kind, part in parts.items() if part and part.array in self.bad]
            found |= dict.fromkeys((f"d{kind}", k) for kind in bad)
        return [line for line in found if self.bad]

    def repair(self, line):
        """Return the repair of a wrong line, None where there is none."""
        role, k = line
        tried: set = set()
        ways = itertools.product(range(VARIANTS), STEPS.get(role, (role,)), (True, False))
        for self.names.variant, step, fused in ways:
            right = self.names.sides = RightSides(self.network, self.names, fused, self.late)
            for statement in self._statements(step, k):
                self.names.statement = statement
                try:
                    text = getattr(right, step)(k)
                except NoExpression:  # it cannot be written there
                    continue
                if (statement.piece, text) not in tried and len(tried) < TRIES:
                    tried.add((statement.piece, text))
                    repair = self._tried(line, statement, text)
                    if repair is not None:
                        return repair
        return None

    def _statements(self, step, k):
        """Return the statements that may be the line: of its value, or of the size of an error."""
        if step in ("dW", "db"):
            user = self.users[self.network.layers[k - 1].part(step[1:]).array]
            if user is None:
                return []
            found = self.recording.holding(user[0])
            return sorted(found, key=lambda s: isinstance(s.piece, ast.Name))  # which only hands on
        size = self.network.z[k - 1][0].size
        everything = [*self.recording.statements[::-1], *self.recording.operands]
        return [s for s in everything if s.value.size == size]

    def _tried(self, line, statement, text):
        """Return the repair with a text in the place of a statement, None if it is none."""
        role, k = line
        function = patched(self.network.code.backward, statement, text)
        if function is None:
            return None
        code = copy.copy(self.network.code)
        code.backward = function
        network = replace(self.network, code=code)
        try:
            first = code.gradients(network.arrays[0], network.data)
            bad = self._bad([None if g is None else g[None] for g in first])
            if not bad - self.bad and bad != self.bad:
                bad = self._bad(network.gradients())
        except Exception:  # the changed code may raise anything
            return None
        layer = network.layers[k - 1]
        kinds = role[1:].replace("Z", "Wb")
        own = {part.array for part in map(layer.part, kinds) if part is not None}
        better = self.bad - bad
        if bad - self.bad or not (better & own or self._is_mended(line, statement)):
            return None
        names = tuple(f"d{code.names[i]}" for i in sorted(better))
        shown = f"line {statement.lineno}: {statement.line}"
        made = Line(shown, statement.changed(text)[1], names)
        return Repair(role, k, made, network, not bad)

    def _is_mended(self, line, statement):
        """Tell whether a statement is a wrong error, of which no gradient is made rightly yet."""
        role, k = line
        kinds = [kind for kind in "Wb" if self.network.layers[k - 1].part(kind) is not None]
        if role != "dZ" or not all((f"d{kind}", k) in self.wrong for kind in kinds):
            return False
        value = self.names.sides.turn(self.names.times * self.dZ[k][0])
        return statement.value.shape == value.shape and np.allclose(statement.value, value)


class _Names:
    """How values are written at a statement of the user's code."""

    statement: Any = None
    sides: Any = None
    variant = 0  # which of the ways to write a value

    def __init__(self, network, recording, times):
        self.recording, self.times = recording, times
        self.values = _values(network, self.times)

    def __call__(self, role, k):
        """Return the text of a value."""
        value = self.values.get((role, k))
        if value is not None and (texts := self.recording.names_for(value, self.statement)):
            return texts[min(self.variant, len(texts) - 1)]
        if role == "dA":
            return as_factor(self.sides.dA(k))
        raise NoExpression


def _values(network, times):
    """Return the values of the right pass at the first point by (role, layer), in the user's form.

    times: by what the user's errors are larger than ours.
    """
    sides, errors = RightSides(network, str), our_errors(network)
    values = {("n", 0): np.asarray(network.n), ("Y", 0): sides.turn(network.y)}
    for k, layer in enumerate(network.layers, 1):
        values["W", k] = sides.matrix(k, network.W[k - 1][0])
        if layer.bias is not None:
            values["b", k] = network.arrays[0][layer.bias.array]
        values["inputs", k] = sides.turn(network.inputs[k - 1][0])
        values["Z", k] = sides.turn(network.z[k - 1][0])
        values["A", k] = sides.turn(network.a[k][0])
        values["dZ", k] = sides.turn(times * errors[k][0])
        if k < len(network.W):
            values["dA", k] = sides.turn(times * network.sent_back(k, errors[k + 1])[0])
    last = RightSides(network, lambda role, k: role, fused=False, late=abs(times) != 1)
    names = {"np": np, "n": network.n, "A": values["A", len(network.W)], "Y": values["Y", 0]}
    with suppress(NoExpression):  # of a loss that is none of the table
        values["dA", len(network.W)] = eval(last.dA(len(network.W)), names)
    return values


def _alike(user, own):
    return user.shape == own.shape and same(user, own, 1e-6)
