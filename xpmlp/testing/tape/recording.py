"""Record what a function computes with NumPy, and differentiate the record in reverse."""

import functools
import math
import sys
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from .nodes import Node, ancestors
from .rules import fitted, gradients, place_of
from .tape import Tape
from .traced import ORIGINALS, Traced

LISTED = "sum mean max min amax amin prod dot inner outer vdot tensordot".split()
LIBRARIES = {"numpy", "scipy", "sklearn", "math", "builtins"}  # whose modules stay as they are


class _LikeFloat(type):
    """So that `isinstance(x, float)` takes what a user's function would have made a float."""

    def __instancecheck__(cls, x):
        return isinstance(x, float) or (isinstance(x, Traced) and x.ndim == 0)

    def __eq__(cls, other):
        return other is float or other is cls

    __hash__ = type.__hash__


class Float(metaclass=_LikeFloat):
    """What `float` is to a user's module during a recording: it keeps a traced number."""

    dtype = np.dtype(float)  # so it is a dtype as float is one

    def __new__(cls, x=0.0):
        """Return a traced array of one number with no axes, and of others a float."""
        return x.reshape(()) if isinstance(x, Traced) and x.size == 1 else float(x)


@contextmanager
def recording(*functions):
    """Make what NumPy and `math` hide from arrays visible to a tape, and yield that.

    For this time they, and the modules of the functions, hold others: new arrays are traced,
    `math.exp` takes a traced number, and `np.sum` a list of them.
    """
    tape, loaded = Tape(), set(sys.modules)
    modules = [vars(np), vars(math), *_modules(functions)]
    saved = [(names, "float", None, Float) for names in modules[2:] if "float" not in names]
    hiding = _hiding(tape)
    for names in modules:
        for name, value in names.items():
            new = hiding.get(id(value))
            if names is not modules[0] and type(value) is np.ndarray:
                new = tape.constant(value)
            if new is not None:
                saved.append((names, name, value, new))
    vectorize: Any = np.vectorize
    vectorized = vectorize.__call__
    try:
        vectorize.__call__ = lambda f, *args, **kwargs: tape.call(
            "vectorize",
            functools.partial(vectorized, f),
            list(args),
            kwargs,
            each=f.signature is None,
        )
        for names, name, _, new in saved:
            names[name] = new
        yield tape
    finally:
        vectorize.__call__ = vectorized
        for names, name, value, new in saved:
            if names.get(name) is new:  # otherwise the user's function has written it
                names[name] = value
                if value is None:
                    del names[name]
        tape.open = False
        for module in [sys.modules[name] for name in sys.modules.keys() - loaded]:
            for name, value in list(vars(module).items()):  # imported by the user's function
                if isinstance(value, Hiding):
                    setattr(module, name, value.args[0])


def _hiding(tape):
    """Return {id of a function that does not see traced arrays: one that does}."""
    kinds = (
        (tape.create, ORIGINALS.values()),
        (tape.of_numbers, filter(callable, vars(math).values())),
        (tape.of_lists, [vars(np)[name] for name in LISTED]),
        (tape.of_lists, [f for f in vars(np).values() if isinstance(f, np.ufunc)]),
    )
    made = ((f, Hiding(seen, f)) for seen, hidden in kinds for f in hidden)
    return {id(f): functools.update_wrapper(new, f) for f, new in made}


class Hiding(functools.partial):
    """A function in the place of another, whose attributes it has, as `np.add.at`."""

    def __getattr__(self, name):
        return getattr(self.args[0], name)


def _modules(things):
    """Return the names in each module of a user's whose functions can be reached from these."""
    found: dict = {}
    seen: dict = {}
    todo = list(things)
    while todo:
        thing = todo.pop()
        if id(thing) in seen or _library(getattr(thing, "__module__", "builtins")) in LIBRARIES:
            continue
        seen[id(thing)] = thing  # kept, so its id stays its own
        names = getattr(thing, "__globals__", None)
        if isinstance(names, dict) and _library(names.get("__name__", "")) != "xpmlp":
            found[id(names)] = names
        for cell in getattr(thing, "__closure__", None) or ():
            with suppress(ValueError):  # of a variable that has no value yet
                todo.append(cell.cell_contents)
        todo += [getattr(thing, name, None) for name in ("__func__", "__self__", "func")]
        todo += [type(thing), *getattr(thing, "__dict__", {}).values()]
        todo += thing if isinstance(thing, tuple) else ()
    return list(found.values())


def _library(module):
    return str(module).partition(".")[0]


def pull(target, sources, dy, local=gradients):
    """Return the derivative of sum(target * dy) by each of the sources, all of them nodes.

    local: what passes through one node, see `gradients`; another shows what a mistake in it does.
    """
    nodes, hanging = ancestors([target]), set(sources)
    for node in nodes:
        if not hanging.isdisjoint(i for i in node.inputs if isinstance(i, Node)):
            hanging.add(node)
    found = {target: np.array(np.broadcast_to(dy, target.shape), float)}
    with np.errstate(all="ignore"):
        for node in reversed([n for n in nodes if n in hanging and n.run]):
            inputs = [i if isinstance(i, Node) and i in hanging else None for i in node.inputs]
            if node not in found or not any(inputs):
                continue
            dnode = found[node].copy() if node in sources else found.pop(node)
            _pass_on(node, dnode, inputs, found, local)
    return [found.get(s, np.zeros(s.shape)) for s in sources]


def _pass_on(node, dnode, inputs, found, local):
    """Add the derivatives by a node's inputs to those that are found; dnode is written into."""
    place, wanted = place_of(node), [k for k, i in enumerate(inputs) if i]
    if place and node.operation == "getitem":  # in place, as a loop over samples has many
        total = found.setdefault(inputs[0], np.zeros(inputs[0].shape))
        total[place[0]] += dnode
        return
    if place and len(inputs) == 2:
        parts = {0: dnode, 1: np.array(dnode[place[0]])}
        dnode[place[0]] = 0.0
    else:
        parts = local(node, dnode, wanted)
    for k in sorted({*wanted} & {*parts}):
        g = fitted(parts[k], inputs[k].shape)
        found[inputs[k]] = found[inputs[k]] + g if inputs[k] in found else np.array(g)
