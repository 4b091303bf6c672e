"""An array whose operations a tape records, and the functions that NumPy has no override for."""

import functools
from typing import Any

import numpy as np

METHODS = (
    "sum mean max min prod dot squeeze swapaxes ravel repeat take diagonal cumsum cumprod trace"
).split()
CREATORS = "zeros ones empty full eye identity array asarray asanyarray ascontiguousarray".split()
ORIGINALS = {name: getattr(np, name) for name in CREATORS}  # np holds others during a recording
Array: Any = np.ndarray  # to mypy, which refuses methods that take less than those of ndarray


class Traced(Array):
    """An array of which a tape records what is computed from it."""

    __array_priority__ = 1000.0
    tape: Any = None
    last: Any = None
    seen = 0  # the version of the memory when `last` was its content

    def __array_finalize__(self, obj):
        self.tape = getattr(obj, "tape", None)

    @property
    def node(self):
        """Return the node of the present value."""
        found = self.tape.find(self)
        return self.tape.memory(self).node if found is None else found

    def __array_ufunc__(self, ufunc, method, *inputs, out=None, **kwargs):
        tape = next(x.tape for x in (*inputs, *(out or ())) if isinstance(x, Traced))
        return tape.ufunc(ufunc, method, inputs, out, kwargs)

    def __array_function__(self, func, types, args, kwargs):
        inner = functools.partial(super().__array_function__, func, types)
        return self.tape.function(func, args, kwargs, inner)

    def __getitem__(self, key):
        keys = key if isinstance(key, tuple) else (key,)
        name = "reshape" if all(k is None or k is ... or _is_whole(k) for k in keys) else "getitem"
        return self.tape.call(name, _get, [self], {"index": key})

    def __setitem__(self, key, value):
        self.tape.mutate("setitem", _set, self, [value], {"index": key})

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __hash__(self):
        return hash(plain(self))  # of a number, as NumPy's have one

    def __round__(self, digits=0):
        return np.round(self, digits or 0)

    def __reduce_ex__(self, protocol):
        return plain_array(self).__reduce_ex__(protocol)  # without the tape: a user's own object

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def copy(self, order="C"):
        """Return a copy, traced too."""
        return np.copy(self, order)

    def reshape(self, *shape, **options):
        """Return the same elements in another shape."""
        return np.reshape(self, shape[0] if len(shape) == 1 else shape, **options)

    def flatten(self, order="C"):
        """Return the elements as a vector of its own."""
        return np.ravel(self, order).copy()

    def transpose(self, *axes):
        """Return the array with its axes in another order."""
        return np.transpose(self, (axes[0] if len(axes) == 1 else axes) or None)

    def astype(self, dtype, **options):
        """Return a copy of another dtype."""
        cast = lambda a, **options: ORIGINALS["asarray"](a).astype(**options)
        return self.tape.call("astype", cast, [self], {"dtype": dtype, **options})

    def item(self, *at):
        """Return one element, still traced."""
        return self[at] if len(at) > 1 else np.ravel(self)[(*at, 0)[0]]

    def tolist(self):
        """Return nested lists of elements that are still traced."""
        return [row.tolist() for row in self] if self.ndim else self

    T = property(transpose)
    mT = property(lambda self: np.swapaxes(self, -1, -2))
    flat = property(lambda self: np.ravel(self))


def _through(name):
    """Return a method of `Traced` that is the NumPy function of its name."""
    return lambda self, *args, **kwargs: getattr(np, name)(self, *args, **kwargs)


def _writing(name):
    """Return a method that writes into the array, recorded."""
    method = getattr(np.ndarray, name)
    return lambda self, *args, **kwargs: self.tape.mutate(name, method, self, list(args), kwargs)


def _scalars_are_bound_anew(name):
    """Return an in-place operator that makes a new scalar, as NumPy's are never written into."""
    inplace = getattr(np.ndarray, name)
    return lambda self, other: inplace(self, other) if self.ndim else NotImplemented


for _name in METHODS:
    setattr(Traced, _name, _through(_name))
for _name in "fill sort partition put".split():
    setattr(Traced, _name, _writing(_name))
for _name in "add sub mul truediv pow floordiv mod".split():
    setattr(Traced, f"__i{_name}__", _scalars_are_bound_anew(f"__i{_name}__"))


def plain(x):
    """Return a traced array as a plain one, a scalar as NumPy's number, and others as they are."""
    if not isinstance(x, Traced):
        return x
    return x.view(np.ndarray) if x.ndim else x.view(np.ndarray)[()]


def plain_array(x):
    """Return a traced array as a plain one, of no axes too."""
    return x.view(np.ndarray) if isinstance(x, Traced) else x


def _is_whole(key):
    return isinstance(key, slice) and key == slice(None)


def _get(whole, index):
    return whole[index]


def _set(whole, value, index):
    whole[index] = value
