"""An object with arrays in its attributes: its forward, and the method that makes gradients."""

import contextlib
import copy
import re
import types

import numpy as np

from .adapters import PAIRS, WHOLE, Functions, added, same_draws
from .calls import DATA, ROLES, Refused, argument_names, calls, default_of, known_values
from .places import gradient_places, plain, stored_places
from .predictions import Predicted
from .trees import Parameter, first_part, host_array, leaves, parts_of

# Parts of what methods are called, likely ones first.
FORWARD = "forward predictproba netinput activat decision hypothes predict query think propagat"
FORWARD += " output call run compute evaluat"
COST = "loss cost objective error"
STEP = "gradient back grad trainstep train update learn step fit optimi descent"
NO_STATE = (type, types.ModuleType, types.FunctionType, types.MethodType, np.random.Generator)
SMALL = 1e-4  # a rate at which (old - new) / rate, extrapolated to 0, is the gradient
TRAINED = re.compile(r"(?i)(w|b|theta)")


class Net(Functions):
    """An object as functions of the arrays in it on which its forward depends.

    Forward runs on one copy of it, `work`, so that what it keeps from call to call is seen, and so
    do methods that return or store gradients. Updates are made on copies of that, and measured.
    """

    def __init__(self, net, data, loss=None, rate=None, names=None, step=None):
        self.net, self.work, self.paths, self.limit = net, _copied(net), dict[str, tuple](), False
        super().__init__(None, None, {}, data, loss, rate)
        state = dict(_state(self.work))
        numbers = [(path, value) for path, value in state.items() if isinstance(value, int | float)]
        self.settings: dict = {role: [] for role in ("rate", "once")}
        for role, found in self.settings.items():
            found += [at for at in numbers if plain(at[0][-1]) in ROLES[role].split()]
        self.rate_given, self.rate = rate, (rate or (self.settings["rate"] or [((), 0.1)])[0][1])
        data = list(zip(DATA, self.data))
        self.fed = [(p, role) for p, a in state.items() for role, b in data if _same(a, b)]
        self._find_forward(loss)
        self._find_parameters(state, names)
        self._find_step(step)

    @property
    def subject(self):
        """Return what a report calls it."""
        return f"{type(self.net).__name__}.{self.backward_call.function.__name__}"

    @property
    def signature(self):
        """Return "" and what the method calls its data: what is printed is no method."""
        named = zip(argument_names(self.backward_call.function), self.backward_call.slots)
        return "", {what: name for name, (_, what) in named if what in DATA}

    @property
    def written(self):
        """Return how the asker writes each array: W1 -> self.W1."""
        return {name: f"self.{_written(path)}" for name, path in self.paths.items()}

    @property
    def measured(self):
        """Whether the gradients are those of an update."""
        return self.kind == "updated"

    def remarks(self):
        """Return what is to be said of how it was called."""
        method = self.backward_call.function.__name__
        text = f"The gradients are (old - new) / {self.rate:g}, of an update by {method}"
        if not self.rate_known:
            text += "; that rate fits them best, none was found: rate= says another"
        return [text, *self.notes] if self.measured else self.notes

    def usual(self, cut):
        """Return what a method takes if nothing else is known of it."""
        return ("pairs",) if cut == PAIRS else DATA[: len(self.data)]

    @property
    def cuts(self):
        """Return the ways to pass the data; rows also one by one, as vectors or as columns."""
        if self.shapes or self.data[0].ndim != 2:
            return super().cuts
        vectors = tuple(a.shape[1:] for a in self.data)
        return [WHOLE, vectors, tuple((-1, 1) for _ in self.data)]

    def invoke(self, call, pool):
        """Call a method of `work` with these parameters in place."""
        return self._on(self.work, call, pool)

    def _on(self, target, call, pool):
        """Call a method of `work`, or the same of a copy, with parameters and data in place."""
        for name, value in pool["params"].items():
            _put(target, self.paths[name], copy.copy(value))  # it may be written into
        for path, role in self.fed:
            if role in pool:
                _put(target, path, pool[role])
        call = call._replace(function=getattr(target, call.function.__name__))
        if target is self.work:
            return call(pool)
        with same_draws(0):  # the order of samples, in an update, is the same each time
            return call(pool)

    def _find_forward(self, loss):
        """Find the method that returns predictions, and its cost: by a loss, or a method."""
        costs = _methods(self.work, COST)
        wanted = [Predicted(cost) for cost in costs] if loss is None else [self.predicted]
        for self.predicted in wanted or [Predicted(None)]:
            for method in _methods(self.work, FORWARD):
                with contextlib.suppress(Refused, ValueError):
                    self.cut, self.forward_call, outs = self.first_fit(method)
                    if outs is None:
                        continue
                    readings = self.predicted.readings(outs, *self.data)
                    self.predicted.kept = [r for r in readings if self._agrees(r, costs)]
                    self.reading = (self.predicted.kept or readings)[0]
                    if np.size(self.forward(self.params, *self.data)[0]) == 1:
                        return
        self.predicted = self.reading = None
        for cost in costs:  # one that needs no predictions
            with contextlib.suppress(Refused, ValueError):
                self.cut, self.forward_call, outs = self.first_fit(cost)
                if np.size(first_part(outs[0])) == 1:
                    return
        methods = ", ".join(m.__name__ for m in _methods(self.work, FORWARD))
        raise Refused(
            f"{type(self.net).__name__} has no method that returns predictions of y (tried: "
            f"{methods or 'none is called forward or predict'}): pass functions, "
            "check_gradients(forward, backward, params, X, y)."
        )

    def _agrees(self, reading, costs):
        """Tell whether a method for the cost returns what a reading says."""
        if self.predicted.own:
            return False
        ours, values = self._cost(reading), []
        for cost in costs:
            with contextlib.suppress(Exception):  # it is another kind of method
                pool = self.pools(self.params, self.data, WHOLE)[0]
                values.append(Predicted(cost).cost(reading, self.outs, self.data[1], pool))
        return any(np.size(v) == 1 and np.isclose(v, ours) for v in values)

    def _cost(self, reading):
        """Return the cost as a reading says."""
        self.reading = reading
        return first_part(self.forward(self.params, *self.data))

    def _find_parameters(self, state, names):
        """Find the arrays and numbers on which forward depends; names: which of them."""
        rng, base = np.random.default_rng(0), self._cost(self.reading)
        fed, seen = {path for path, _ in self.fed}, set()
        for path, value in state.items():
            called = _name(path, self.paths)
            chosen = names is None or {called, path[-1], path[0]} & {*names}
            if path in fed or id(value) in seen or not chosen or isinstance(value, int):
                continue
            seen.add(id(value))
            moved = value + 0.1 * (1 + np.abs(value)) * rng.normal(size=np.shape(value))
            _put(self.work, path, moved)
            with contextlib.suppress(Exception), np.errstate(all="ignore"):
                if self._cost(self.reading) != base:
                    self.paths[called], self.params[called] = path, value
            _put(self.work, path, value)
        if not self.params:
            known = ", ".join(_written(path) for path in state) or "none"
            raise Refused(
                f"forward of {type(self.net).__name__} depends on no array of its attributes "
                f"({known}): add names=, those of its weights."
            )

    def _find_step(self, step):
        """Find the method that returns or stores gradients, or updates; step: its name."""
        methods, failed = [*_methods(self.work, STEP), *_methods(self.work, COST)], ""
        if step is not None:
            methods = [getattr(self.work, step, None)]
            if not callable(methods[0]):
                raise Refused(f"step={step!r} is no method of {type(self.net).__name__}.")
        for method in methods:
            for cut in dict.fromkeys((self.cut, *self.cuts)):
                self.backward_cut = cut
                self.forward(self.params, *self.data)
                pool = self._pool_of_backward(self.params, self.data)[0]
                for call in calls(method, pool, self.usual(self.backward_cut)):
                    try:
                        self.kind, self.backward_call = self._kind(call, pool), call
                        if self.kind:
                            self._settle()
                            return
                    except Exception as error:  # another way, or method, may do
                        if not failed or isinstance(error, Refused):
                            failed = f"; {method.__name__}: {error}".rstrip(".")
        tried = ", ".join(method.__name__ for method in methods)
        raise Refused(
            f"no method of {type(self.net).__name__} returns gradients, stores them (self.dW1) or "
            f"updates the arrays (tried: {tried or 'none is called backward or train'}{failed}): "
            "add step=, the name of one that takes X and y."
        )

    def _pool_of_backward(self, params, data):
        """Return the pools for the method that makes gradients, after a forward of each."""
        pools = self.pools(params, data, self.backward_cut)
        if self.backward_cut != self.cut:
            return pools
        method = self.forward_call.function
        return [known_values(method, self.invoke(self.forward_call, p)) | p for p in pools]

    def _kind(self, call, pool):
        """Return how a method gives gradients: "updated", "returned", "stored", or None."""
        target = _copied(self.work)
        found = self._on(target, call, pool)
        pairs = [(self.params[n], _get(target, path)) for n, path in self.paths.items()]
        if any(not _same(a, b) for a, b in pairs):
            return "updated" if all(np.shape(a) == np.shape(b) for a, b in pairs) else None
        arrays = [n for n, value in self.params.items() if np.ndim(value)]
        for kind in ("returned", "stored"):
            with contextlib.suppress(TypeError):
                gradients = self._gradients(kind, target, found)
                if all(gradients[name] is not None for name in arrays):
                    return kind
        return None

    def _gradients(self, kind, target, found):
        """Return {name: gradient} of what a method returned, or of the attributes that it made."""
        parameters = [Parameter(path, n, self.params[n]) for n, path in self.paths.items()]
        if kind == "stored":
            found = dict(_state(target))
            places = stored_places(found, parameters)
        else:
            places = gradient_places(found, parameters, vars(target))
            found = dict(leaves(found))
        return {p.name: found.get(place) for p, place in zip(parameters, places)}

    def _settle(self):
        """Settle the rate, what is fixed, and whether a method updates sample by sample."""
        self.forward(self.params, *self.data)
        pool = self._pool_of_backward(self.params, self.data)[0]
        self._see_cost(self._on(_copied(self.work), self.backward_call, pool))
        if self.kind == "updated":
            self._settle_rate()
        gradients = self._once(self.params, self.data, self.rate)
        for name in [*self.params]:
            g, value = gradients[name], self.params[name]
            idle = g is None or not np.any(g)
            if idle and (np.ndim(value) == 0 or not TRAINED.match(str(self.paths[name][-1]))):
                self.notes.append(f"{name} is not updated, so it was taken as fixed")
                del self.params[name], self.paths[name]
        self.names = [*self.params]

    def _settle_rate(self):
        """Find the rate of the update: given, or one that changes it, or 1."""
        method = self.backward_call.function
        whole, half = (self._once(self.params, self.data, self.rate / k) for k in (1, 2))
        # Where it moves as far at half of the rate, it does not take the rate from there.
        settable = not all(np.allclose(half[n], 2 * whole[n]) for n in whole)
        if self.rate_given is None and not settable:
            self.rate = default_of(method, "rate") or 1.0
            self.rate_known = default_of(method, "rate") is not None
        moved = {n: a + 0.1 for n, a in self.params.items()}
        after = [self._once(p, self.data, self.rate) for p in (self.params, moved)]
        if all(np.allclose(self.rate * (after[1][n] - after[0][n]), 0.1) for n in moved):
            raise Refused("it makes the arrays again, which __init__ should")
        self._see_order(settable)

    def _see_cost(self, returned):
        """Take the readings that give the number that the method returned, if there are such."""
        if self.predicted and isinstance(returned, float | np.floating):
            before, readings = self.reading, self.predicted.readings(self.outs, *self.data)
            kept = [r for r in readings if np.isclose(self._cost(r), float(returned))]
            self.predicted.kept = kept or self.predicted.kept
            self.reading = (kept or [before])[0]

    def _see_order(self, settable):
        """Notice an update sample by sample, which is no gradient at any rate but a small one."""
        X, y = (*self.data, None)[:2]
        axes = [
            i for i in range(X.ndim) if y is not None and X.shape[i : i + 1] == y.shape[i : i + 1]
        ]
        if not axes or X.shape[axes[0]] < 2 or self.backward_cut not in (WHOLE, PAIRS):
            return
        back = tuple(np.flip(a, axes[0]) for a in self.data)
        there, again = (self._once(self.params, data, self.rate) for data in (self.data, back))
        if all(np.allclose(there[n], again[n], rtol=1e-7, atol=1e-12) for n in there):
            return
        first = tuple(np.take(a, [0], axes[0]) for a in self.data)
        one, half = (self._once(self.params, first, self.rate / k) for k in (1, 2))
        early = any(not np.allclose(one[n], half[n], rtol=1e-7, atol=1e-12) for n in one)
        self.limit = settable and not early
        text = "It updates sample by sample, so it was checked "
        if not self.limit:
            self.data = first
            text += "on the first sample alone"
        else:
            text += "at a rate towards 0: at others each sample moves the weights for the next"
        self.notes.append(text)

    def backward(self, params, *data):
        """Return the gradients by name."""
        if not self.limit:
            return self._once(params, data, self.rate)
        # Richardson extrapolation of the rate to 0.
        parts = [self._once(params, data, SMALL / k) for k in (1, 2, 4)]
        return {n: (parts[0][n] - 6 * parts[1][n] + 8 * parts[2][n]) / 3 for n in params}

    def _once(self, params, data, rate):
        """Return the gradients by name, of one call or the sum of a call a sample."""
        found = []
        for pool in self._pool_of_backward(params, data):
            target = self.work
            if self.kind == "updated":
                target = _copied(self.work)
                for role, value in (("rate", rate), ("once", 1)):
                    for path, _ in self.settings[role]:
                        _put(target, path, value)
            out = self._on(target, self.backward_call, pool | {"rate": rate})
            if self.kind == "updated":
                moves = {n: host_array(a) - _get(target, self.paths[n]) for n, a in params.items()}
                found.append({n: move / rate for n, move in moves.items()})
            else:
                found.append(self._gradients(self.kind, target, out))
        return added(found)


def _copied(net):
    try:
        return copy.deepcopy(net)
    except Exception:  # it holds what cannot be copied, such as an open file
        return copy.copy(net)


def _methods(thing, stems):
    """Return the methods whose name holds one of these words, in the words' order."""
    names = [n for n in dir(thing) if n == "__call__" or not n.startswith("__")]
    names = [n for n in names if not isinstance(getattr(type(thing), n, None), property)]
    found = {n: getattr(thing, n) for stem in stems.split() for n in names if stem in plain(n)}
    return [method for method in found.values() if callable(method) and hasattr(method, "__name__")]


def _state(thing, path=(), seen=None):
    """Yield (path, value) of the arrays and numbers in an object, and in objects that it holds."""
    seen = set() if seen is None else seen
    if isinstance(thing, int | float) or (
        isinstance(thing, np.ndarray) and thing.dtype.kind in "fiu"
    ):
        yield path, thing
        return
    parts = parts_of(thing)
    if parts is None and hasattr(thing, "__dict__") and not isinstance(thing, NO_STATE):
        parts = vars(thing).items()
    if parts is None or id(thing) in seen or len(path) > 5:
        return
    seen.add(id(thing))
    for key, part in parts:
        yield from _state(part, (*path, key), seen)


def _get(thing, path):
    for key in path:
        thing = thing[key] if parts_of(thing) is not None else getattr(thing, key)
    return thing


def _put(thing, path, value):
    """Put a value where a path leads in an object; a tuple on the way is made again."""
    holder = _get(thing, path[:-1])
    if isinstance(holder, tuple):
        parts = list(holder)
        parts[path[-1]] = value
        _put(thing, path[:-1], tuple(parts))
    elif parts_of(holder) is not None or isinstance(holder, np.ndarray):
        holder[path[-1]] = value
    else:
        setattr(holder, path[-1], value)


def _same(a, b):
    return np.shape(a) == np.shape(b) and bool(np.all(a == b))


def _written(path):
    """Return a path as code: layers[0].W."""
    text = str(path[0])
    for key in path[1:]:
        text += f".{key}" if isinstance(key, str) else f"[{key}]"
    return text


def _name(path, known):
    """Return what an array is called: W1, weights[0], or W1 of layers[0].W, counted."""
    if not isinstance(path[-1], str):
        return _written(path[-2:] if len(path) > 1 and isinstance(path[-2], str) else path)
    if all(isinstance(key, str) for key in path):
        return path[-1] if path[-1] not in known else _written(path)
    number = 1 + sum(other[-1] == path[-1] and len(other) == len(path) for other in known.values())
    return f"{path[-1]}{number}"
