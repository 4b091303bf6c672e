"""A user's forward and backward functions, called with care: on copies, in their own form."""

import copy
from typing import Any, NamedTuple

import numpy as np

from ...arrays import from_host, is_array, is_numpy, to_host

FLOATS = ("float16", "bfloat16", "float32", "float64")


class Parameter(NamedTuple):
    """One array (or number) among the parameters."""

    path: tuple  # the keys that lead to it
    name: str
    like: Any


class Code:
    """A forward and a backward function with their parameters as a flat list of host arrays."""

    def __init__(self, forward, backward, params, data, dtype):
        self.forward, self.backward, self.params, self.dtype = forward, backward, params, dtype
        self.data = tuple(self._as_dtype(a) for a in data)  # X, or X and y
        self.X, self.y = (*map(host_array, self.data), None)[:2]
        self.ran = False
        self.writes = True  # until it is known that the functions do not write into the data
        self.accumulated: list[int] = []  # gradients that backward adds to those of earlier calls
        self.parameters = list(_parameters(params))
        if not self.parameters:
            raise TypeError(
                f"params holds no arrays, got {type(params).__name__}: pass a dict or list of them."
            )
        self.arrays = [host_array(p.like).astype(dtype) for p in self.parameters]
        self.names = [p.name for p in self.parameters]

    def _as_dtype(self, a):
        """Return data in the dtype to compute in; labels and lists stay what they are."""
        name = str(getattr(a, "dtype", "")).rpartition(".")[2]
        if name not in FLOATS or name == self.dtype:
            return a
        return from_host(to_host(a), a, self.dtype)

    def built(self, arrays):
        """Return fresh parameters in the user's form."""
        made = {p.path: self._like(a, p.like) for p, a in zip(self.parameters, arrays)}
        return _rebuild(self.params, made)

    def _like(self, a, like):
        if isinstance(like, np.ndarray):
            return np.array(a)
        if is_array(like) and not isinstance(like, float):  # a float64 of NumPy is both
            return from_host(a, like, self.dtype)
        return np.array(a)[()]

    def _fresh(self, data):
        """Return the data as arguments: copies, if the functions may write into them."""
        return [copy.deepcopy(a) for a in data] if self.writes else list(data)

    def run(self, arrays, data=None):
        """Return the cost, as it is, and the intermediate values by name; data: instead of X, y."""
        try:
            out = self.forward(self.built(arrays), *self._fresh(data or self.data))
        except Exception as error:
            if self.ran:
                raise
            message = f"forward raised {type(error).__name__} on these params, X and y: {error}"
            raise ValueError(message) from error
        self.ran = True
        if not isinstance(out, tuple | list) or len(out) < 2:
            out = (out,)
        cost, *more = out
        try:
            host = host_array(cost)
        except ValueError:  # a ragged list
            host = np.empty(0)
        if host.size != 1 or host.dtype.kind not in "fciu":
            what = type(cost).__name__
            if is_array(cost):
                what = f"an array of shape {host.shape}"
            if more:
                what += " first"
            raise TypeError(
                f"forward returned {what}, expected the cost, one number "
                "(or the cost and a dict of values): take the sum or mean over the samples."
            )
        return host.reshape(())[()], next((m for m in more if isinstance(m, dict)), {})

    def cost(self, arrays, data=None):
        """Return the cost alone."""
        return self.run(arrays, data)[0]

    def backward_of(self, arrays, data=None):
        """Return what the user's backward returns, and the arguments that it wrote into."""
        data = data or self.data
        params, passed = self.built(arrays), self._fresh(data)
        self.forward(params, *passed)  # backward may rest on what forward left somewhere
        found = self.backward(params, *passed)
        if not self.writes:
            return found, []
        after = [*(p.like for p in _parameters(params)), *passed]
        pairs = zip([*self.names, "X", "y"], zip([*arrays, *data], after))
        return found, [name for name, (a, b) in pairs if not _equal(a, b)]

    def gradients(self, arrays, data=None):
        """Return the user's gradients as host arrays, None where there is none."""
        found = self.picked(self.backward_of(arrays, data)[0])
        if self.accumulated:
            again = self.picked(self.backward_of(arrays, data)[0])
            for i in self.accumulated:
                found[i] = again[i] - found[i]
        return found

    def picked(self, found):
        """Return the gradient of each array from what backward returned."""
        return [_pick(found, p, self.params) for p in self.parameters]


def host_array(a):
    """Return an array of any library, or what NumPy makes an array of, on the host."""
    if is_array(a) and not is_numpy(a):
        a = to_host(a)
    return np.asarray(a)


def _equal(a, b):
    return np.array_equal(host_array(a), host_array(b))


def _parameters(tree, path=(), name="params"):
    """Yield the arrays in nested dicts, lists and tuples."""
    if isinstance(tree, dict):
        for key, part in tree.items():
            inner = f"{name}[{key}]"
            yield from _parameters(part, (*path, key), inner if path else str(key))
    elif isinstance(tree, list | tuple):
        for i, part in enumerate(tree):
            yield from _parameters(part, (*path, i), f"{name}[{i}]")
    elif is_array(tree) or isinstance(tree, np.ndarray | float):
        yield Parameter(path, name, tree)


def _rebuild(tree, made, path=()):
    """Return the parameters in their form with the arrays `made`, by path."""
    if isinstance(tree, dict):
        return {k: _rebuild(v, made, (*path, k)) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [_rebuild(v, made, (*path, i)) for i, v in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return made.get(path, tree)


def _pick(found, parameter, params):
    """Return a copy of the gradient of one parameter from what backward returned, or None."""
    part, form = found, params
    for key in parameter.path:
        _check_form(part, form)
        if isinstance(part, dict):
            names = [key, f"d{key}", f"grad_{key}", f"{key}_grad"]
            part = next((part[name] for name in names if name in part), None)
        else:
            part = next(iter(part[key : key + 1]), None)  # it may be too short
        if part is None:
            return None
        form = form[key]
    try:
        g = np.array(host_array(part))  # a copy: the next call may write into this one's
    except ValueError:
        g = np.asarray(None)
    if g.dtype.kind not in "fiub":
        raise TypeError(f"the gradient of {parameter.name} is no array of real numbers: {g.dtype}.")
    return g if g.dtype.kind == "f" else g.astype(np.float64)


def _check_form(part, form):
    """Refuse gradients that are not in the form of params."""
    alike = isinstance(part, dict) == isinstance(form, dict)
    if alike and isinstance(part, dict | list | tuple):
        return
    expected = f"a list of {len(form)} in the same order"
    if isinstance(form, dict):
        expected = f"a dict with the keys {', '.join(map(str, form))}"
    raise TypeError(
        f"backward returned {type(part).__name__}, expected the gradients in the form of "
        f"params: {expected}."
    )
