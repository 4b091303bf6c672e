"""A user's forward and backward functions, called with care: on copies, in their own form."""

import copy
from typing import Any, NamedTuple

import numpy as np

from ...arrays import from_host, is_array, is_numpy, to_host


class Leaf(NamedTuple):
    """One array among the parameters."""

    path: tuple
    name: str
    like: Any


class Code:
    """A forward and a backward function with their parameters as a flat list of host arrays."""

    def __init__(self, forward, backward, params, X, y, dtype):
        self.forward, self.backward, self.dtype = forward, backward, dtype
        self.params, self.X, self.y = params, self._float(X), self._float(y)
        self.ran = False
        self.writes = True  # until it is known that the functions do not write into the data
        self.leaves = list(_leaves(params))
        if not self.leaves:
            raise TypeError(
                f"params holds no arrays, got {type(params).__name__}: pass a dict or list of them."
            )
        self.arrays = [np.asarray(host_array(leaf.like), dtype) for leaf in self.leaves]
        self.names = [leaf.name for leaf in self.leaves]

    def _float(self, a):
        """Return data in the dtype to compute in; labels and lists stay what they are."""
        name = str(getattr(a, "dtype", "")).rpartition(".")[2]
        if name not in ("float16", "bfloat16", "float32", "float64") or name == self.dtype:
            return a
        return a.astype(self.dtype) if is_numpy(a) else from_host(to_host(a), a, self.dtype)

    def built(self, arrays):
        """Return fresh parameters in the user's form."""
        made = {leaf.path: self._like(a, leaf.like) for leaf, a in zip(self.leaves, arrays)}
        return _rebuild(self.params, made)

    def _like(self, a, like):
        if isinstance(like, np.ndarray | float | int) or not is_array(like):
            a = np.array(a)
            return a if isinstance(like, np.ndarray) else a[()]
        return from_host(a, like, self.dtype)

    @property
    def host_X(self):
        """X as a host array."""
        return np.asarray(host_array(self.X))

    def data(self, X=None, y=None):
        """Return fresh copies of the data as arguments."""
        values = (self.X, self.y) if X is None else (X, y)
        values = values[: 1 if self.y is None else 2]
        return [copy.deepcopy(a) for a in values] if self.writes else list(values)

    def run(self, arrays, X=None, y=None):
        """Return the cost, as it is, and the intermediate values by name."""
        try:
            out = self.forward(self.built(arrays), *self.data(X, y))
        except Exception as error:
            if self.ran:
                raise
            message = f"forward raised {type(error).__name__} on these params, X and y: {error}"
            raise ValueError(message) from error
        self.ran = True
        cost, *more = out if isinstance(out, tuple | list) and len(out) > 1 else (out,)
        values = next((m for m in more if isinstance(m, dict)), {})
        try:
            host = np.asarray(host_array(cost))
        except ValueError:  # a ragged list
            host = np.empty(0)
        if host.size != 1 or host.dtype.kind not in "fciu":
            what = f"an array of shape {host.shape}" if is_array(cost) else type(cost).__name__
            raise TypeError(
                f"forward returned {what}{' first' if more else ''}, expected the cost, one number "
                "(or the cost and a dict of values): take the sum or mean over the samples."
            )
        return host.reshape(())[()], values

    def cost(self, arrays, X=None, y=None):
        """Return the cost alone."""
        return self.run(arrays, X, y)[0]

    def backward_of(self, arrays, X=None, y=None):
        """Return what the user's backward returns, and the arguments that it wrote into."""
        params, data = self.built(arrays), self.data(X, y)
        self.forward(params, *data)  # backward may rest on what forward left somewhere
        found = self.backward(params, *data)
        if not self.writes:
            return found, []
        before = [*zip(self.names, arrays), *zip("Xy", self.data(X, y))]
        after = [*(leaf.like for leaf in _leaves(params)), *data]
        written = [
            name for (name, a), b in zip(before, after)
            if not np.array_equal(np.asarray(host_array(a)), np.asarray(host_array(b)))
        ]  # fmt: skip
        return found, written

    def gradients(self, arrays, X=None, y=None):
        """Return the user's gradients as host arrays, None where there is none."""
        return self.picked(self.backward_of(arrays, X, y)[0])

    def picked(self, found):
        """Return the gradient of each array from what backward returned."""
        return [_pick(found, leaf, self.params) for leaf in self.leaves]


def host_array(a):
    """Return an array of another library on the host, anything else as it is."""
    return to_host(a) if is_array(a) and not is_numpy(a) else a


def _leaves(tree, path=(), name=""):
    if isinstance(tree, dict | list | tuple):
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            whole = (
                str(key) if isinstance(tree, dict) and not name else f"{name or 'params'}[{key}]"
            )
            yield from _leaves(part, (*path, key), whole)
    elif is_array(tree) or isinstance(tree, np.ndarray | float | np.floating):
        yield Leaf(path, name or "params", tree)


def _rebuild(tree, made, path=()):
    if isinstance(tree, dict):
        return {k: _rebuild(v, made, (*path, k)) for k, v in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [_rebuild(v, made, (*path, i)) for i, v in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return made.get(path, tree)


def _pick(found, leaf, params):
    """Return a copy of the gradient of one parameter from what backward returned, or None."""
    part, form = found, params
    for key in leaf.path:
        if isinstance(form, dict) != isinstance(part, dict) or not isinstance(
            part, dict | list | tuple
        ):
            expected = f"a dict with the keys {', '.join(map(str, form))}"
            if not isinstance(form, dict):
                expected = f"a list of {len(form)} in the same order"
            raise TypeError(
                f"backward returned {type(part).__name__}, expected the gradients in the form of "
                f"params: {expected}."
            )
        form = form[key]
        if isinstance(part, dict):
            names = [key, f"d{key}", f"grad_{key}", f"{key}_grad"]
            part = next((part[name] for name in names if name in part), None)
        else:
            part = part[key] if key < len(part) else None
        if part is None:
            return None
    try:
        g = np.array(
            host_array(part)
        )  # a copy: the next call may write into what this one returned
    except ValueError:
        g = np.asarray(None)
    if g.dtype.kind not in "fiub":
        raise TypeError(f"the gradient of {leaf.name} is no array of real numbers: {g.dtype}.")
    return g.astype(np.float64) if g.dtype.kind in "iub" else g
