"""One operation on one backend, held against the same operation in a wider float on NumPy.

eps: the gap between 1 and the next number of the dtype. An ulp: the gap at the result.
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array, home, namespace, to_host
from ...engines import Engine, engine_for, generic_engine
from ..backends import Backend, dtype_name

WIDER = {"float32": "float64", "float64": "longdouble"}


class Ulp(NamedTuple):
    """Elementwise: the largest error in units in the last place of the result, or of `size`.

    `size` is the size of the terms where a result near 0 is their difference.
    """

    bound: float
    size: float = 0.0
    unit: str = "ulp"

    def error(self, got, want, info):
        """got: in the dtype of `info`; want: wider; both of one shape."""
        size = np.maximum(np.maximum(np.abs(want), self.size), info.smallest_normal)
        return np.max(np.abs(got - want) / np.spacing(size.astype(info.dtype)), initial=0.0)


class Norm(NamedTuple):
    """Norm-wise: ||got - want|| / ||want|| in eps, at most sqrt(passes) * (2 + sqrt(terms)).

    Rounding errors add up like a random walk: those of a sum of n terms to about sqrt(n) eps
    (Higham & Mary 2019), those of products one after the other likewise; the 2 is for the
    elementwise operations around a product. `passes`: the products and sums in a row.
    """

    terms: int
    passes: int = 1
    unit: str = "eps"

    @property
    def bound(self):
        """sqrt(passes) * (2 + sqrt(terms))."""
        return self.passes**0.5 * (2.0 + self.terms**0.5)

    def error(self, got, want, info):
        """got: in the dtype of `info`; want: wider; both of one shape."""
        length = lambda a: np.sqrt(np.sum(a * a))
        return length(got - want) / max(length(want), info.smallest_normal) / info.eps


class Equal(NamedTuple):
    """The same bits, after the cast to the dtype: the number of elements that differ."""

    bound: float = 0.0
    unit: str = "differ"

    def error(self, got, want, info):
        """got: in the dtype of `info`; want: wider or integers."""
        return np.sum(got != (want.astype(info.dtype) if want.dtype.kind == "f" else want))


class Bits(NamedTuple):
    """The bits of a product's factors that are lost: TF32 keeps 10, bfloat16 7.

    The result's element (i, i) is 1 + 2^-i.
    """

    bound: float = 0.0
    unit: str = "bits"

    def error(self, got, want, info):
        """got, want: (n, n)."""
        right = np.diag(got == want)[: info.nmant + 1]
        return info.nmant + 1 - (len(right) if right.all() else np.argmin(right))


Bound = Ulp | Norm | Equal | Bits


class Place(NamedTuple):
    """Where an operation runs, and in which dtype."""

    xp: Any
    like: Array
    dtype: str
    engine: Engine


@dataclass(frozen=True)
class Operation:
    """Something to run on every library.

    compute(place, \\*arrays) -> {output: array, or list of arrays}; `inputs` are host arrays, the
    floats among them rounded to the dtype before anything sees them.
    """

    name: str
    inputs: tuple[np.ndarray, ...]
    compute: Callable[..., dict]
    bounds: Mapping[str, Bound]
    traced: bool = True  # a function of arrays alone, so JAX may compile it as a whole
    oracle: Callable[..., dict] | None = None  # another way to the same, on NumPy


class Row(NamedTuple):
    """One output of one operation on one library in one dtype; `problem` is empty if it passed."""

    operation: str
    library: str
    dtype: str
    error: float | None  # None: nothing could be measured
    bound: float
    unit: str
    problem: str = ""

    @property
    def ratio(self) -> float:
        """Error over bound; infinite where there is no error to tell."""
        if self.error is None or self.error != self.error:
            return float("inf")
        return self.error / self.bound if self.bound else (float("inf") if self.error else 0.0)


@cache
def oracle_place(dtype: str) -> Place:
    """Return NumPy in the wider float."""
    like = np.empty(0, WIDER[dtype])
    xp = namespace(like)
    return Place(xp, like, WIDER[dtype], generic_engine(xp))


def run_operation(op: Operation, backend: Backend, dtype: str) -> list[Row]:
    """Return a row an output."""
    place = Place(backend.xp, backend.like, dtype, engine_for(backend.like))
    wide = oracle_place(dtype)
    given = [a.astype(dtype) if a.dtype.kind == "f" else a for a in op.inputs]
    widened = [np.array(a, wide.dtype if a.dtype.kind == "f" else a.dtype) for a in given]
    stage = f" (on NumPy in {wide.dtype}, to compare with)"
    try:
        want, stage = (op.oracle or op.compute)(wide, *widened), ""
        with backend.computing_in(dtype):
            placed = [backend.asarray(a) for a in given]
            f = partial(op.compute, place)
            got = backend.call(f, *placed) if op.traced else f(*placed)
            return [_row(op, backend, dtype, name, got[name], want[name]) for name in op.bounds]
    except Exception as error:  # of the library, or of a user's own layer
        text = " ".join(str(error).split())[:300]
        problem = f"raised {type(error).__name__}{stage}: {text}{_line(error)}"
        return [
            Row(f"{op.name}: {name}", backend.name, dtype, None, bound.bound, bound.unit, problem)
            for name, bound in op.bounds.items()
        ]


def _line(error):
    """Say which line raised, of a user's own code: the last that is no installed package's."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not {"xpmlp", "site-packages"} & set(Path(f.filename).parts)]
    return f" (in {own[-1].name}: {own[-1].line})" if own else ""


def _row(op, backend, dtype, output, got, want):
    bound, info, errors, problem = op.bounds[output], np.finfo(dtype), [0.0], ""
    flipped = True
    for a, b in zip(_listed(got), _listed(want), strict=True):
        floats = b.dtype.kind == "f"
        problem = problem or _misplaced(a, backend, dtype if floats else b.dtype.name, b.shape)
        if tuple(a.shape) == b.shape:
            host = to_host(a).astype(b.dtype) if floats else to_host(a)
            errors.append(bound.error(host, b, info))
            flipped = flipped and floats and bound.error(-host, b, info) <= bound.bound
    worst = float(np.max(errors))  # NaN if one is
    if not problem and not worst <= bound.bound:
        problem = _over(bound, worst, info) + (": the sign is flipped" if flipped else "")
    return Row(f"{op.name}: {output}", backend.name, dtype, worst, bound.bound, bound.unit, problem)


def _over(bound, worst, info):
    """Say how far over its bound an error is, and what that looks like."""
    if isinstance(bound, Bits):
        kept = info.nmant - int(worst)
        like = {10: ", as TF32 does", 7: ", as bfloat16 does", 23: ", as float32 does"}
        return f"products keep {kept} of {info.nmant} bits{like.get(kept, '')}"
    if isinstance(bound, Equal):
        return f"{worst:.0f} of its numbers differ"
    text = f"{worst:.3g} {bound.unit}, bound {bound.bound:.3g}"
    single = info.dtype == np.float64 and worst * 2.0**-29 <= bound.bound
    return text + (": as large as float32's rounding" if single else "")


def _listed(made):
    return made if isinstance(made, list) else [made]


def _misplaced(a, backend, dtype, shape):
    """Say what of library, device, dtype and shape is wrong."""
    expected = (*home(backend.like), dtype, tuple(shape))
    got = (*home(a), dtype_name(a), tuple(a.shape))
    names = ("library", "device", "dtype", "shape")
    wrong = [f"{n} is {g}, expected {e}" for n, g, e in zip(names, got, expected) if g != e]
    return "; ".join(wrong)
