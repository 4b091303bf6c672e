"""Somebody's functions as `forward(params, X, y)`, the cost, and `backward(params, X, y)`."""

import contextlib
import copy
import random
from typing import Any

import numpy as np

from .calls import (
    DATA,
    Refused,
    argument_names,
    calls,
    default_of,
    known_values,
    returned_names,
)
from .predictions import Predicted, Reading
from .trees import first_part, host_array, parameters_of, rebuilt

WHOLE = "whole"  # all samples in one call, or in one list of pairs, or else one call a sample
PAIRS = "pairs"


@contextlib.contextmanager
def same_draws(seed=None):
    """Restore the state of NumPy's and Python's random numbers at the end; seed both, if told."""
    # People's code draws from the legacy generator.
    states = np.random.get_state(), random.getstate()  # noqa: NPY002
    if seed is not None:
        np.random.seed(seed)  # noqa: NPY002
        random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])


class Functions:
    """Two functions as they were brought: how they are called, what they return, what they change.

    params, data: as the functions of this class take them. `backward` may be None, where forward
    returns the cost and the gradients. A `loss` makes a cost of what forward returns.
    """

    def __init__(self, forward, backward, params, data, loss=None, rate=None):
        self.theirs, self.params, self.rate = (forward, backward), params, rate
        self.names = [p.name for p in parameters_of(params)]
        self.data, self.shapes = stacked(data)
        self.predicted: Any = None if loss is None else Predicted(loss)
        self.reading: Reading | None = None  # of what forward returns as a cost
        self.in_place, self.rate_known, self.notes = False, True, list[str]()
        self.backward_call: Any = None  # known after the first
        if forward is None:  # of an object, which looks for it
            return
        self.cut, self.forward_call, outs = self.first_fit(forward)
        if self.predicted and outs is not None:
            self.reading = self.predicted.readings(outs, *self.data)[0]

    @property
    def subject(self):
        """Return what a report calls them."""
        names = (getattr(f, "__name__", type(f).__name__) for f in self.theirs if f is not None)
        return " and ".join(names)

    @property
    def signature(self):
        """Return what backward is called, and its arguments: "params", "X" or "y" -> their name."""
        function = self.theirs[1] or self.theirs[0]
        slots = self.backward_call.slots if self.backward_call else ()
        named = zip(argument_names(function), slots)
        return getattr(function, "__name__", ""), {what: name for name, (_, what) in named}

    def remarks(self):
        """Return what is to be said of how they were called."""
        return self.notes

    @property
    def measured(self):
        """Whether the gradients are those of an update."""
        return self.in_place

    @property
    def returned_names(self):
        """Return what backward's source calls the parts of the tuple that it returns."""
        return returned_names(self.theirs[1] or self.theirs[0])

    @property
    def cuts(self):
        """Return the ways to pass the data: pairs as they are or one by one, else all at once."""
        return [WHOLE] if self.shapes is None else [PAIRS, self.shapes, WHOLE]

    def pools(self, params, data, cut):
        """Return what there is to pass, for each call that all samples take."""
        known = {p.name: p.like for p in parameters_of(params)}
        known |= {"params": params, "once": 1, "n": (*np.shape(data[0]), 1)[0]}
        if self.rate is not None:
            known["rate"] = self.rate
        if cut == WHOLE:
            return [known | dict(zip(DATA, data))]
        shapes = self.shapes if cut == PAIRS else cut
        samples = [tuple(a.reshape(s) for a, s in zip(pair, shapes)) for pair in zip(*data)]
        if cut == PAIRS:
            return [known | {"pairs": samples}]
        return [known | dict(zip(DATA, sample)) for sample in samples]

    def usual(self, cut):
        """Return what a function takes if nothing else is known of it."""
        return ("params", "pairs") if cut == PAIRS else ("params", *DATA[: len(self.data)])

    def first_fit(self, function):
        """Return the first cut and Call that forward takes, and what it returns so."""
        first, unfit = None, None
        if self.predicted:
            self.predicted.names = returned_names(function)
        for cut in self.cuts:
            (pool, *_) = self.pools(self.params, self.data, cut)
            for call in calls(function, pool, self.usual(cut), self.names):
                first = first or (cut, call, None)
                try:
                    pools = self.pools(copy.deepcopy(self.params), self.data, cut)
                    with np.errstate(all="ignore"):
                        outs = [self.invoke(call, pool) for pool in copy.deepcopy(pools)]
                except Exception:  # another way may do; if none does, the first is called and told
                    continue
                if self.predicted is None or self.predicted.readings(outs, *self.data):
                    return cut, call, outs
                unfit = unfit or outs
        if unfit:
            raise self.predicted.refusal(unfit, self.data[1:])
        if first is None:
            raise Refused(refusal(function, self.usual(WHOLE)))
        return first

    def invoke(self, call, pool):
        """Call one of the functions."""
        return call(pool)

    def outputs(self, params, data):
        """Return what forward returns, of each call."""
        return [self.invoke(self.forward_call, p) for p in self.pools(params, data, self.cut)]

    def forward(self, params, *data):
        """Return the cost, and the dict of intermediate values if there is one."""
        self.outs = outs = self.outputs(params, data)
        if self.reading:
            pool = self.pools(params, data, self.cut)[0]
            parts = outs[0] if isinstance(outs[0], tuple | list) else outs[:1]
            values = next((part for part in parts if isinstance(part, dict)), {})
            return self.predicted.cost(self.reading, outs, data[1], pool), values
        if len(outs) == 1:
            return outs[0]
        return sum(map(first_part, outs))

    def backward(self, params, *data):
        """Return the gradients that backward returns, or that its update shows."""
        if self.theirs[1] is None:
            return added([_gradients_beside_cost(out) for out in self.outs])
        if self.backward_call is None:
            self.backward_call = self._backward_call(params, data)
        found = []
        for i, out in enumerate(self.outs):
            mine = copy.deepcopy(params) if self.in_place else params
            pool = self.pools(mine, data, self.cut)[i]
            known = known_values(self.theirs[0], out)
            found.append(self.invoke(self.backward_call, known | pool))
            if self.in_place:
                found[-1] = self.stepped(params, mine if found[-1] is None else found[-1])
        return added(found)

    def stepped(self, params, after):
        """Return (params - after) / rate in their form."""
        pairs = zip(parameters_of(params), parameters_of(after))
        moves = {p.path: host_array(p.like) - host_array(q.like) for p, q in pairs}
        return rebuilt(params, {path: move / self.rate for path, move in moves.items()})

    def _backward_call(self, params, data):
        """Return the Call that backward takes; see whether it updates in place."""
        function, usual, first = self.theirs[1], self.usual(self.cut), None
        known = known_values(self.theirs[0], self.outs[0])
        pool = known | self.pools(params, data, self.cut)[0]
        for call in calls(function, pool, usual, self.names):
            first = first or call
            mine, theirs = copy.deepcopy((params, data))
            try:
                with np.errstate(all="ignore"):
                    found = self.invoke(call, known | self.pools(mine, theirs, self.cut)[0])
            except Exception:  # as in forward; that of the first is explained where it is raised
                continue
            if found is None or found is mine:
                self._updates(function, found, params, mine)
            elif self.rate is not None:
                self.in_place = _near(found, params)
            return call
        if first is None:
            raise Refused(refusal(function, usual))
        return first

    def _updates(self, function, found, before, after):
        """Take an update in place for what it is, or say what is missing."""
        moved = any(
            not np.array_equal(host_array(p.like), host_array(q.like))
            for p, q in zip(parameters_of(before), parameters_of(after))
        )
        name = getattr(function, "__name__", "backward")
        if not moved:
            raise Refused(
                f"{name} returned no gradients: let it return them, in the form of params."
            )
        if self.rate is None:
            self.rate = default_of(function, "rate")
        if self.rate is None:
            raise Refused(
                f"{name} updates params in place: add rate=, its learning rate, to have the "
                "gradients measured by the update, or let it return them."
            )
        self.in_place = True
        self.notes.append(f"The gradients are (old - new) / {self.rate:g} of the update in {name}")


def _near(found, params):
    """Tell whether what a function returns is nearer to the parameters than to any gradient."""
    pairs = [[host_array(p.like) for p in parameters_of(tree)] for tree in (found, params)]
    if [a.shape for a in pairs[0]] != [a.shape for a in pairs[1]]:
        return False
    new, old = (np.concatenate([np.ravel(a) for a in part]) for part in pairs)
    return bool(new @ old > 0.5 * np.linalg.norm(new) * np.linalg.norm(old))


def refusal(function, usual):
    """Say that a function takes other arguments than there are."""
    name, wanted = getattr(function, "__name__", type(function).__name__), ", ".join(usual)
    return (
        f"{name} takes other arguments than there are: write it as {name}({wanted}), or call its "
        "arguments params, X and y, and arrays as in params."
    )


def _gradients_beside_cost(out):
    """Return the gradients of a function that returns the cost and these."""
    if not isinstance(out, tuple | list) or len(out) < 2:
        raise Refused(
            f"a function alone must return the cost and its gradients, got {type(out).__name__}: "
            "return both, or call check_gradients(forward, backward, params, X, y)."
        )
    return out[1]


def added(trees):
    """Return the sum of gradients in the same form."""
    if len(trees) == 1:
        return trees[0]
    sums: dict = {}
    for tree in trees:
        for p in parameters_of(tree):
            sums[p.path] = sums.get(p.path, 0) + host_array(p.like)
    return rebuilt(trees[0], sums)


def stacked(data):
    """Return X and y as arrays, and the shapes of a sample of each if they came as pairs."""
    X, *y = data
    if not y and isinstance(X, list | tuple | zip):
        pairs = list(X)
        if all(isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs) and pairs:
            xs, ys = (list(map(np.asarray, side)) for side in zip(*pairs))
            if xs[0].ndim:  # else rows of two numbers
                rows = (np.stack([a.reshape(-1) for a in side]) for side in (xs, ys))
                return tuple(rows), (xs[0].shape, ys[0].shape)
        data = (pairs,)
    try:
        return tuple(np.asarray(a) if isinstance(a, list | tuple) else a for a in data), None
    except ValueError as error:
        raise Refused(
            "X holds parts of several shapes: pass arrays X and y, or a list of pairs (x, y)."
        ) from error
