"""One operation on one library, compared with the same in a wider float on NumPy.

eps: the gap between 1 and the next number of the dtype. An ulp: the gap at the result.
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ...arrays import Array, dtype_name, is_array, location_of, namespace, to_host
from ...engines import Engine, Options, engine_for, generic_engine
from ..backends import COMPILED, Backend, one_line

WIDER = {"float32": "float64", "float64": "longdouble"}
PACKAGE = str(Path(__file__).parents[2])


class Bound(NamedTuple):
    """How far a result may be off: at most `bound` of a unit.

    error(got, want, info) measures it: got in the dtype of `info`, want wider, both of one shape.
    """

    bound: float
    unit: str
    error: Callable[..., float]


def ulp(bound: float, size: float = 0.0) -> Bound:
    """Bound an elementwise result in units in the last place of it, or of `size`.

    `size` is the size of the terms where a result near 0 is their difference.
    """

    def error(got, want, info):
        at = np.maximum(np.maximum(np.abs(want), size), info.smallest_normal)
        return np.max(np.abs(got - want) / np.spacing(at.astype(info.dtype)), initial=0.0)

    return Bound(bound, "ulp", error)


def norm(terms: int, passes: int = 1) -> Bound:
    """Bound ||got - want|| / ||want|| by sqrt(passes) * (2 + sqrt(terms)) eps.

    Rounding errors add up like a random walk: those of a sum of n terms to about sqrt(n) eps
    (Higham & Mary 2019), those of products one after the other likewise; the 2 is for the
    elementwise operations around a product. `passes`: the products and sums in a row.
    """

    def error(got, want, info):
        length = lambda a: np.sqrt(np.sum(a * a))
        return length(got - want) / max(length(want), info.smallest_normal) / info.eps

    return Bound(passes**0.5 * (2.0 + terms**0.5), "eps", error)


def _differing(got, want, info):
    return np.sum(got != in_floats(want, info.dtype))


def _lost_bits(got, want, info):
    right = np.diag(got == want)[: info.nmant + 1]
    return info.nmant + 1 - np.argmin([*right, False])


EQUAL = Bound(0.0, "differ", _differing)  # the same bits after the cast: elements that differ
# Bits of a product's factors that are lost, where its element (i, i) is 1 + 2^-i.
BITS = Bound(0.0, "bits", _lost_bits)
FORMATS = {7: ", as bfloat16 does", 10: ", as TF32 does", 23: ", as float32 does"}


class Place(NamedTuple):
    """Where an operation runs, and in which dtype."""

    xp: Any
    like: Array
    dtype: str
    engine: Engine
    accelerate: str | None = None  # of estimators; None: their own


@dataclass(frozen=True)
class Operation:
    """Something to run on every library.

    compute(place, ...) -> {output: array, or list of arrays} takes the inputs and writes into none;
    `inputs` are host arrays, the floats among them rounded to the dtype before anything sees them.
    """

    name: str
    inputs: tuple[np.ndarray, ...]
    compute: Callable[..., dict]
    bounds: Mapping[str, Bound]
    traced: bool = True  # a function of arrays alone, so JAX may compile it as a whole
    oracle: Callable[..., dict] | None = None  # another way to the same, on NumPy
    dtypes: tuple[str, ...] = ()  # to run in; empty: all that a library has
    by_engine: bool = False  # steps and predictions of an engine, which may be compiled

    def runs_on(self, library: str) -> bool:
        """Tell whether it differs there from what another library shows."""
        return self.by_engine or library != COMPILED


class Row(NamedTuple):
    """One output of one operation on one library in one dtype; `problem` is empty if it passed."""

    operation: str
    library: str
    dtype: str
    error: float | None  # None: nothing finite could be measured
    bound: float
    unit: str
    problem: str = ""
    skipped: str = ""  # why it was not compared, where another machine's results cannot be

    @property
    def ratio(self) -> float:
        """Error over bound; infinite where no error could be measured."""
        if self.error == 0:
            return 0.0
        if self.error is None or not self.bound:
            return float("inf")
        return self.error / self.bound


Result = list[np.ndarray] | str  # the arrays of an output on the host, or what is wrong with it


def computed(op: Operation, backend: Backend, dtype: str) -> tuple[dict[str, Result], dict]:
    """Run an operation. Returns by output the result, and what is right in a wider float."""
    want: dict = {}
    stage = f" (on NumPy in {WIDER[dtype]}, to compare with)"
    options = Options(accelerate=backend.accelerate or "auto")
    engine = engine_for(backend.like, options)
    place = Place(backend.xp, backend.like, dtype, engine, backend.accelerate)
    try:
        want, stage = wanted(op, dtype), ""
        with backend.computing_in(dtype):
            placed = [backend.asarray(in_floats(a, dtype)) for a in op.inputs]
            f = partial(op.compute, place)
            made = backend.call(f, *placed) if op.traced else f(*placed)
            got = {k: fetched(made[k], want[k], backend.like, dtype) for k in op.bounds}
    except Exception as error:  # of the library, or of a user's own layer
        problem = f"raised {type(error).__name__}{stage}: {one_line(error)}{_line(error)}"
        return dict.fromkeys(op.bounds, problem), want
    return got, want


def wanted(op: Operation, dtype: str) -> dict:
    """Return by output what an operation gives on NumPy in a wider float than `dtype`."""
    like, wider = np.empty(0, WIDER[dtype]), np.dtype(WIDER[dtype]).name
    place = Place(namespace(like), like, wider, generic_engine(namespace(like)))
    inputs = [in_floats(in_floats(a, dtype), wider).copy() for a in op.inputs]
    for a in inputs:
        a.flags.writeable = False  # so that a write into an argument is found
    return (op.oracle or op.compute)(place, *inputs)


def judged(
    op: Operation, library: str, dtype: str, got: Mapping[str, Result], want: Mapping[str, Any]
) -> list[Row]:
    """Return a row for each output that `got` has: its error, its bound, and what is wrong."""
    rows = []
    for name, bound in op.bounds.items():
        if name in got:
            error, problem = _compared(got[name], want.get(name), bound, dtype)
            limit, unit, _ = bound
            rows.append(Row(f"{op.name}: {name}", library, dtype, error, limit, unit, problem))
    return rows


def fetched(made, want, like: Array, dtype: str) -> Result:
    """Return an output's arrays on the host, if they are where and what they must be."""
    made, want = _list(made), _list(want)
    if len(made) != len(want):
        return f"is {len(made)} arrays, expected {len(want)}"
    problems = [_misplaced(a, b, like, dtype) for a, b in zip(made, want)]
    return "; ".join(filter(None, problems)) or [to_host(a) for a in made]


def in_floats(a: np.ndarray, dtype) -> np.ndarray:
    """Return a host array in `dtype` if it holds floats, else as it is."""
    return a.astype(dtype) if a.dtype.kind == "f" else a


def _list(made):
    return made if isinstance(made, list) else [made]


def _line(error):
    """Say which line raised, of a user's own code: the last outside of installed packages."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not ("site-packages" in frame.filename or PACKAGE in frame.filename):
            return f" (in {frame.name}: {frame.line})"
    return ""


def _compared(got, want, bound, dtype):
    """Return the largest error (None if there is none that is finite), and what is wrong."""
    if isinstance(got, str):
        return None, got
    info = np.finfo(dtype)
    pairs = [(in_floats(a, b.dtype), b) for a, b in zip(got, _list(want))]
    worst = lambda sign: np.max([bound.error(sign * a, b, info) for a, b in pairs], initial=0.0)
    error = float(worst(1))
    if error <= bound.bound:
        return error, ""
    if not np.isfinite(error):
        return None, "holds NaN or infinity, or NumPy's result does"
    if bound.unit == "bits":
        kept = info.nmant - int(error)
        return error, f"products keep {kept} of {info.nmant} bits{FORMATS.get(kept, '')}"
    if bound.unit == "differ":
        return error, f"{error:.0f} of its numbers differ"
    text = f"{error:.3g} {bound.unit}, bound {bound.bound:.3g}"
    if worst(-1) <= bound.bound:
        text += ": the sign is flipped"
    elif info.dtype == np.float64 and 2.0**25 < error < 2.0**29 * bound.bound:
        text += ": as large as float32's rounding"
    return error, text


def _misplaced(a, b, like, dtype):
    """Say what of library, device, dtype and shape is wrong; b: what `a` is compared with."""
    if not (is_array(a) and is_array(b)):
        return f"is a {type(a).__name__}, expected an array"
    names = ("library", "device", "dtype", "shape")
    expected = (*location_of(like), in_floats(np.empty(0, b.dtype), dtype).dtype.name, b.shape)
    got = (*location_of(a), dtype_name(a), tuple(a.shape))
    wrong = [f"{n} is {g}, expected {e}" for n, g, e in zip(names, got, expected) if g != e]
    return "; ".join(wrong)
