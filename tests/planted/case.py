"""What a case of the corpus is: somebody's forward and backward, and what is wrong with them."""

import itertools
import linecache
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np


def truths(text):
    """Every true set of (kind, layer) in a line such as ``sign@2 | sign@1 sign@2 & transposed@1``.

    ``&`` joins independent mistakes, ``|`` divides equally true names of one, a space joins the
    names that only together make one description; ``state`` is a kind that no layer has.
    """

    def one(word):
        kind, _, layer = word.partition("@")
        return kind, int(layer) if layer else None

    parts = [
        [frozenset(map(one, names.split())) for names in part.split("|")]
        for part in text.split("&")
    ]
    return [frozenset().union(*choice) for choice in itertools.product(*parts)]


def down(kind, layer):
    """A change of layer's error reaches every layer below: one line is wrong, or all of them."""
    return f"{kind}@{layer} | " + " ".join(f"{kind}@{k}" for k in range(1, layer + 1))


def everywhere(kind, depth):
    """A change of the output error: one line, every layer, or the whole gradient."""
    return f"{down(kind, depth)} | {kind}"


def elementwise(layer):
    """A weight gradient that is an elementwise product."""
    return f"elementwise_for_matmul@{layer} | not_summed@{layer}"


def misordered(layer):
    """A weight gradient whose factors stand in the wrong order."""
    return f"transposed@{layer} | wrong_order@{layer}"


def edited(source, edits, axes=("0", "1")):
    """A source whose backward pass differs in the lines that the edits name.

    ``dW2: a1 -> z1`` writes z1 for a1 in the line that makes dW2; ``dW2 = ({}).T`` gives it a new
    right-hand side, in which {} is the old one; ``after dW2: text`` adds a line. {s} and {u} are
    the axes of samples and units.
    """
    head, definition, body = source.partition("def backward")
    for edit in edits:
        edit = edit.replace("{s}", axes[0]).replace("{u}", axes[1])
        after, name, rest = re.fullmatch(r"(after )?(\w+)(:.*| =.*)", edit, re.S).groups()
        pattern = rf"^( +)({name} (?:= )?)(.*)$" if name == "return" else rf"^( +)({name} = )(.*)$"
        lines = re.findall(pattern, body, re.M)
        assert len(lines) == 1, f"{edit!r} fits {len(lines)} lines of\n{source}"
        indent, start, old = lines[0]
        if after:
            new = f"{old}\n{indent}{rest[1:].strip()}"
        elif rest[0] == ":":
            was, _, becomes = rest[1:].partition(" -> ")
            new = old.replace(was.removeprefix(" "), becomes)
        else:
            new = rest[2:].strip().replace("{}", old)
        assert new != old, f"{edit!r} changes nothing in {old!r}"
        body = body.replace(f"{indent}{start}{old}\n", f"{indent}{start}{new}\n")
    return head + definition + body


class Judged:
    """What is true of a case, and the judgement of what the checker says of it."""

    truth: str  # see `truths`; empty: nothing is wrong
    odd: bool  # not a network that can be identified: `truth` is what may be said of it

    @cached_property
    def true_sets(self):
        return truths(self.truth) if self.truth else [frozenset()]

    @property
    def kinds(self):
        return {kind for names in self.true_sets for kind, _ in names}

    def judge(self, ok, found):
        """The verdict on a report: "right", "not known" (nothing false is said), or "wrong"."""
        if not self.truth and not self.odd:
            return "right" if ok and not found else "wrong"
        if ok:
            return "wrong"
        named = {pair for pair in found if pair[0] != "unknown"}
        if self.odd:
            return (
                "right"
                if self.says_nothing_false(named, frozenset().union(*self.true_sets))
                else "wrong"
            )
        if named in self.true_sets and len(named) == len(set(found)):
            return "right"
        part = any(self.says_nothing_false(named, true) for true in self.true_sets)
        return "not known" if part else "wrong"

    @staticmethod
    def says_nothing_false(named, true):
        """Whether each verdict is true; one without a layer says less, but no lie."""
        return {*named} <= {*true, *((kind, None) for kind, _ in true)}


@dataclass(frozen=True, eq=False)
class Case(Judged):
    """Somebody's functions as text, the arguments of the check, and the verdicts that are true."""

    name: str
    source: str
    params: object
    X: np.ndarray
    y: np.ndarray | None
    truth: str = ""
    odd: bool = False
    says: tuple[str, ...] = ()  # patterns that the printed report must have

    def __str__(self):
        return self.name

    def functions(self):
        """Forward and backward, fresh: without what an earlier call may have left behind."""
        name = f"<planted {self.name}>"
        linecache.cache[name] = (len(self.source), None, self.source.splitlines(True), name)
        space = {}
        exec(compile(self.source, name, "exec"), space)
        return space["forward"], space["backward"]

    def arguments(self):
        """Copies of params, X and (where there is one) y."""
        data = (self.X,) if self.y is None else (self.X, self.y)
        return copied(self.params), *(a.copy() for a in data)


def copied(params):
    """A deep copy of arrays in dicts, lists and tuples."""
    if isinstance(params, dict):
        return {name: copied(value) for name, value in params.items()}
    if isinstance(params, list | tuple):
        return type(params)(copied(value) for value in params)
    return params.copy()


def leaves(params):
    """The arrays of params, in order."""
    if isinstance(params, dict):
        params = list(params.values())
    if isinstance(params, list | tuple):
        return [leaf for value in params for leaf in leaves(value)]
    return [params]


def finite_differences(forward, params, *data, step=1e-6):
    """The gradient of forward by central differences, one array a parameter."""

    def cost():
        value = forward(copied(params), *(a.copy() for a in data))
        return value[0] if isinstance(value, tuple) else value

    params, grads = copied(params), []
    for leaf in leaves(params):
        grads.append(np.zeros(leaf.shape))
        for index in np.ndindex(leaf.shape):
            kept = leaf[index]
            leaf[index] = kept + step
            above = cost()
            leaf[index] = kept - step
            grads[-1][index] = (above - cost()) / (2 * step)
            leaf[index] = kept
    return grads
