"""How somebody's function wants its arguments: in which order, unpacked, under which names.

The pool holds what there is to pass, by what it is: "params", "X", "y", "pairs", then what forward
returned ("prediction", "cache"), "rate", "once" (the number of passes), and arrays by their name.
"""

import ast
import contextlib
import inspect
import io
import itertools
import re
import textwrap
from typing import Any, NamedTuple

import numpy as np

from .places import plain

ROLES = {  # what arguments are called, without capitals and underscores
    "params": "params parameters param p theta thetas w weights model network layers",
    "pairs": "minibatch trainingdata traindata pairs batch data samples examples dataset",
    "X": "x xs xi inputs input inputslist data features images image xtrain batch sample a0",
    "y": "y ys yi t target targets targetslist label labels ytrue ytrain expected desired truth",
    "prediction": "yhat ypred yp pred preds prediction predictions out output outputs o probs al",
    "cache": "cache caches memory state",
    "rate": "rate lr learningrate learnrate eta alpha stepsize",
    "once": "epochs epoch iterations iters niter niters nepochs numepochs steps numiterations",
    "n": "m n nsamples numsamples numexamples batchsize minibatchsize",
}
LIKE = {  # what arguments hold that are called otherwise
    "once": "iter|epoch",
    "rate": "rate|stepsize",
    "y": "target|label|outputs|expected|answer|ytr",
    "X": "input|feature|image|sample|xtr",
}
DATA = ("X", "y")


class Refused(TypeError):
    """What was brought cannot be checked so; no error of the asker's own code."""


class Call(NamedTuple):
    """A function and what of the pool it takes, in order: (keyword or "", what)."""

    function: Any
    slots: tuple

    def __call__(self, pool):
        """Call the function; what it prints, which thousands of calls repeat, goes nowhere."""
        place = [pool[what] for keyword, what in self.slots if not keyword]
        named = {keyword: pool[what] for keyword, what in self.slots if keyword}
        with contextlib.redirect_stdout(io.StringIO()):
            return self.function(*place, **named)


def calls(function, pool, usual, unpacked=()):
    """Yield the Calls that a function may want, likely ones first.

    usual: what it takes where its names say nothing; unpacked: names of arrays that may stand for
    "params".
    """
    named = by_names(function, pool)
    first = [("", what) for what in usual]
    orders: list = [first] if named is None or named[:1] == [("", "params")] else [named, first]
    if named is not None and named[:1] and named[0][1] in unpacked:
        orders = [first, named]
    orders += [named] if named is not None else []
    told = {what for _, what in named or ()}
    # Where names tell all, another order would only hide what is wrong.
    for some in () if told >= {*usual} else (usual, [what for what in usual if what != "y"]):
        for order in itertools.permutations(some):
            orders.append([("", what) for what in order])
            spread = (unpacked if what == "params" else [what] for what in order)
            orders.append([("", what) for what in itertools.chain(*spread)])
    orders.append([])
    seen = set()
    for slots in map(tuple, orders):
        call = Call(function, slots)
        if slots not in seen and _binds(call):
            seen.add(slots)
            yield call


def by_names(function, pool):
    """Return the slots that the names of a function's arguments tell, None if one tells nothing."""
    slots, keyword = [], False
    for p in _arguments(function) or ():
        if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD):
            continue
        what = next((key for key in (p.name, *_roles(p.name)) if key in pool), None)
        if what is None and p.default is p.empty:
            return None
        if what is None:
            keyword = True  # it keeps its default, so what follows needs its name
        else:
            slots.append((p.name if keyword or p.kind == p.KEYWORD_ONLY else "", what))
    whats = [what for _, what in slots]
    if "y" in pool and "X" in whats and "prediction" in whats and "y" not in whats:
        slots[whats.index("prediction")] = (slots[whats.index("prediction")][0], "y")
    return slots or None


def _roles(name):
    """Yield what an argument may be by its name, likely first."""
    yield from (role for role, names in ROLES.items() if plain(name) in names.split())
    yield from (role for role, pattern in LIKE.items() if re.search(pattern, plain(name)))


def default_of(function, role):
    """Return the default of the argument that has a role, such as "rate"; None without one."""
    for p in _arguments(function) or ():
        if role in _roles(p.name) and p.default is not p.empty:
            return p.default
    return None


def _arguments(function):
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # functions in C have none
        return None


def argument_names(function):
    """Return the names of a function's arguments, [] if it does not tell."""
    return [p.name for p in _arguments(function) or ()]


def _binds(call):
    """Tell whether the function takes as many arguments."""
    try:
        signature = inspect.signature(call.function)
        keywords = {keyword: 0 for keyword, _ in call.slots if keyword}
        signature.bind(*[0 for keyword, _ in call.slots if not keyword], **keywords)
    except TypeError:
        return False
    except ValueError:  # no signature: it may
        return True
    return True


def returned_names(function):
    """Return what the parts of the tuple are called that a function returns, () if that is open."""
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError):  # no source, or a lambda's line that is cut
        return ()
    returns = [node.value for node in ast.walk(tree) if isinstance(node, ast.Return)]
    return _names(returns[-1]) if returns and isinstance(returns[-1], ast.Tuple | ast.List) else ()


def _names(node):
    """Return the names in a tuple of a source, nested as it is; "" for what is no name."""
    if isinstance(node, ast.Tuple | ast.List):
        return tuple(map(_names, node.elts))
    return getattr(node, "id", getattr(node, "attr", ""))


def known_values(function, out):
    """Return what forward returned as a pool: arrays by name, the cache, the prediction."""
    found: dict[str, Any] = {}
    parts = out if isinstance(out, tuple | list) else [out]
    for part in parts:
        if isinstance(part, dict):
            found |= {str(name): value for name, value in part.items()}
    for name, part in zip(returned_names(function), parts):
        if isinstance(name, str) and name:
            found[name] = part
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if arrays:
        found["prediction"] = arrays[-1]
    found["cache"] = parts[-1] if len(parts) == 2 else out
    return found
