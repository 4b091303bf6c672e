"""How the asker's code can write an array at one of its statements, in its own names."""

import ast
import re
from collections.abc import Callable

import numpy as np

from .scopes import LONG, attributes, evaluate, expressions, is_list, numbers

DEEP = 3  # `net.layers[0].W`: levels below a name
WAYS: dict[str, Callable] = {  # how to write an array in another shape
    "{}": lambda a: a,
    "{}.T": np.transpose,
    "{}[:, None]": lambda a: a[:, None],
    "{}[None, :]": lambda a: a[None, :],
    "{}.ravel()": np.ravel,
}
NEAR = {"{}": 0, "{} + 1": 1, "{} - 1": -1}  # the numbers of layers beside that of a loop's pass
SIMPLE = r"\w+(\.\w+|\[[^\[\]]*\]|\([^()]*\))*"  # texts that need no parentheses


def written(vocabulary, wanted, factor):
    """Return the texts of a vocabulary that give an array, the best first.

    vocabulary: (rank, text, value) of what can be written; factor: with parentheses where needed.
    """
    found: dict[str, tuple] = {}
    for rank, text, value in vocabulary:
        if value.size != wanted.size:
            continue
        plain = re.fullmatch(SIMPLE, text) is not None
        for way in _ways(value, wanted):
            enclosed = text if plain or way == "{}" and not factor else f"({text})"
            whole = way.format(enclosed)
            found.setdefault(whole, (rank, len(whole)))
    return sorted(found, key=lambda text: found[text])


def _ways(value, wanted):
    """Return in which ways a value gives the wanted array; a vector serves as row and column."""
    found = []
    bound = 1e-7 * np.max(np.abs(wanted))
    for way, turn in WAYS.items():
        try:
            turned = turn(value)
        except (IndexError, ValueError):  # not for this many axes
            continue
        exact = turned.shape == wanted.shape
        if not exact and (way != "{}" or value.ndim > 1):
            continue
        if np.max(np.abs(turned.ravel() - wanted.ravel())) <= bound:
            found.append(way)
            if exact:
                break
    return found


def vocabulary(statement):
    """Return (rank, text, value) of the arrays that can be written where a statement stands."""
    scope, moment = statement.scope, statement.moment
    body = moment.function.body
    nodes = body if isinstance(body, list) else [body]
    source = [pair for node in nodes for pair in expressions(node, scope)]
    texts = {moment.source.segment(node): node for node, inner in source if inner is scope}
    indices = {
        moment.source.segment(node.slice): evaluate(node.slice, scope)
        for node in texts.values()
        if isinstance(node, ast.Subscript)
    }
    writing = _Writing(indices, scope, moment.source.text)
    found = []
    for name, value in scope.items():
        if name.isidentifier() and not name.startswith("__"):
            found += writing.entries(name, value, 4 * (name not in moment.before))
    for text, node in texts.items():
        found.append((3, " ".join(text.split()), evaluate(node, scope)))
    arrays = [(rank, text, numbers(value)) for rank, text, value in found]
    return [(rank, text, value) for rank, text, value in arrays if value is not None]


class _Writing:
    """How entries of dicts, lists and objects are written, in loops by the number of the pass.

    indices: texts that stand in brackets in the code, with their values.
    """

    def __init__(self, indices, scope, text):
        names = {name for text in indices for name in re.findall(r"[^\W\d]\w*", text)}
        self.passes = {name: scope[name] for name in names if isinstance(scope.get(name), int)}
        self.known = {
            text: value
            for text, value in indices.items()
            if self.passes.keys() & re.findall(r"\w+", text)
        }
        self.quote = "'" if text.count("['") > text.count('["') else '"'
        self.formats = "[f" in text  # keys are made by f-strings

    def entries(self, text, value, rank, depth=DEEP):
        """Yield (rank, text, value) of a value and of what is in it."""
        yield rank, text, value
        parts = []
        if depth and isinstance(value, dict) and len(value) <= LONG:
            parts = [(f"[{key}]", value[k]) for k in value for key in self._keys(k)]
        elif depth and is_list(value):
            parts = [
                (f"[{index}]", part)
                for i, part in enumerate(value)
                for index in self._indices(i, len(value))
            ]
        elif depth:
            parts = [(f".{name}", part) for name, part in attributes(value).items()]
        for tail, part in parts:
            by_pass = self.passes.keys() & re.findall(r"\w+", tail)
            known = tail[1:-1] in self.known or not self.passes or tail[0] == "."
            later = 0 if known else 2 - bool(by_pass)
            yield from self.entries(text + tail, part, rank + 1 + later, depth - 1)

    def _indices(self, i, length):
        """Yield the ways to write an index: as in the code, by the number of the pass, a number."""
        near = {text: value for text, value in self.known.items() if isinstance(value, int)}
        back = any(value < 0 for value in near.values())
        for name, number in self.passes.items():
            sign, number = ("-", -number) if back else ("", number)
            near |= {f"{sign}{way.format(name)}": number + step for way, step in NEAR.items()}
        yield from (text for text, value in near.items() if value in (i, i - length))
        yield str(i)

    def _keys(self, key):
        """Yield the ways to write a key, `"W" + str(k + 1)` for "W2" in a pass with k = 1."""
        if not isinstance(key, str):
            yield from self._indices(key, 0) if isinstance(key, int) else ()
            return
        letters = key.rstrip("0123456789")
        for name, number in self.passes.items():
            for way, step in NEAR.items():
                if key[len(letters) :] == str(number + step):
                    made = f"{self.quote}{letters}{self.quote} + str({way.format(name)})"
                    if self.formats:
                        made = f"f{self.quote}{letters}{{{way.format(name)}}}{self.quote}"
                    yield made
        yield f"{self.quote}{key}{self.quote}"
