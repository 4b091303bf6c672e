"""A user's forward and backward functions, called with care: on copies, in their own form."""

import copy
import re

import numpy as np

from ...arrays import from_host, is_array, to_host
from ..own_code.calls import Refused
from ..own_code.places import gradient_places
from ..own_code.trees import host_array, leaves, parameters_of, rebuilt

NUMBERS_TRAINED = re.compile(r"(?i)(w|b|theta)[a-z_]*\d*$")
FLOATS = ("float16", "bfloat16", "float32", "float64")


class Code:
    """What was brought, with its parameters as a flat list of host arrays.

    source: an adapter with `forward(params, X[, y])` and `backward(params, X[, y])`, the parameters
    and the data; see `Functions`.
    """

    def __init__(self, source, dtype):
        self.source, self.params, self.dtype = source, source.params, dtype
        self.forward, self.backward = source.forward, source.backward
        self.data = tuple(self._as_dtype(a) for a in source.data)  # X, or X and y
        self.X, self.y = (*map(host_array, self.data), None)[:2]
        self.ran = False
        self.writes = True  # until it is known that the functions do not write into the data
        self.accumulated: list[int] = []  # gradients that backward adds to those of earlier calls
        self.updates_by = 0.0  # the rate, where backward returns parameters after a step
        self._places: dict = {}  # of the gradients, by the places in what backward returns
        self._keep(list(parameters_of(self.params)))
        if not self.parameters:
            raise TypeError(
                f"params holds no arrays, got {type(self.params).__name__}: pass a dict or list of "
                "them."
            )

    def _keep(self, parameters):
        """Take these for the parameters; the others stay as they are."""
        self.parameters = parameters
        self.arrays = [host_array(p.like).astype(self.dtype) for p in parameters]
        self.names = [p.name for p in parameters]
        self._places = {}

    def _as_dtype(self, a):
        """Return data in the dtype to compute in; labels and lists stay what they are."""
        name = str(getattr(a, "dtype", "")).rpartition(".")[2]
        if name not in FLOATS or name == self.dtype:
            return a
        return from_host(to_host(a), a, self.dtype)

    def built(self, arrays):
        """Return fresh parameters in the user's form."""
        made = {p.path: self._like(a, p.like) for p, a in zip(self.parameters, arrays)}
        return rebuilt(self.params, made)

    def _like(self, a, like):
        if hasattr(a, "node"):  # it is recorded what becomes of it
            return a
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
                "(or the cost and a dict of values): take the sum or mean over the samples; of "
                'predictions add loss="squared_error" or so.'
            )
        return host.reshape(())[()], next((m for m in more if isinstance(m, dict)), {})

    def functions(self):
        """Return the user's own functions."""
        return [f for f in getattr(self.source, "theirs", ()) if f is not None]

    def raw_cost(self, arrays, data):
        """Return the cost of these arrays and data themselves, whatever the type that it has."""
        out = self.forward(self.built(arrays), *data)
        return out[0] if isinstance(out, tuple | list) else out

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
        after = [*(p.like for p in parameters_of(params)), *passed]
        before = [*(p.like for p in parameters_of(self.built(arrays))), *data]
        pairs = zip([*self.source.names, "X", "y"], zip(before, after))
        return found, [name for name, (a, b) in pairs if not _equal(a, b)]

    def gradients(self, arrays, data=None):
        """Return the user's gradients as host arrays, None where there is none."""
        found = self.picked(self.backward_of(arrays, data)[0])
        if self.accumulated:
            again = self.picked(self.backward_of(arrays, data)[0])
            for i in self.accumulated:
                found[i] = again[i] - found[i]
        if self.updates_by:
            for i, (a, g) in enumerate(zip(arrays, found)):
                if g is not None and g.shape == a.shape:
                    found[i] = (a - g) / self.updates_by
        return found

    def places(self, found):
        """Return where in what backward returned each gradient stands, None for nowhere."""
        form = tuple(path for path, _ in leaves(found))
        if form not in self._places:
            names = self.source.returned_names
            self._places[form] = gradient_places(found, self.parameters, self.params, names)
        return self._places[form]

    def picked(self, found):
        """Return the gradient of each array from what backward returned."""
        parts = dict(leaves(found))
        pairs = zip(self.parameters, self.places(found))
        return [_as_gradient(parts.get(place), p) for p, place in pairs]

    def leave_constants_out(self):
        """Leave out what has no gradient and is no parameter: a rate, a seed, sizes, a buffer.

        That is a number, an array of whole numbers, or an array that the cost does not depend on.
        """
        try:
            gradients = self.picked(self.backward_of(self.arrays)[0])
        except Refused:
            raise
        except Exception:  # it is told where backward is checked
            return
        rng, cost, kept = np.random.default_rng(5), self.cost(self.arrays), []
        for i, (p, a, g) in enumerate(zip(self.parameters, self.arrays, gradients)):
            whole = host_array(p.like).dtype.kind in "iu"
            constant = whole or (a.ndim == 0 and not NUMBERS_TRAINED.match(p.name))
            if g is None and not constant:
                moved = a + rng.normal(size=a.shape).astype(self.dtype)
                constant = self.cost([*self.arrays[:i], moved, *self.arrays[i + 1 :]]) == cost
            if g is not None or not constant:
                kept.append(p)
        if kept:
            self._keep(kept)


def _equal(a, b):
    a, b = host_array(a), host_array(b)
    return np.array_equal(a, b, equal_nan=a.dtype.kind == "f" == b.dtype.kind)


def _as_gradient(part, parameter):
    """Return a copy of a gradient in real numbers: the next call may write into this one's."""
    if part is None:
        return None
    g = np.array(host_array(part))
    if g.dtype.kind not in "fiub":
        raise TypeError(f"the gradient of {parameter.name} is no array of real numbers: {g.dtype}.")
    return g if g.dtype.kind == "f" else g.astype(np.float64)
