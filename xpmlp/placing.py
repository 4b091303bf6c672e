"""Devices: where rows are brought, when a GPU pays, hidden copies as errors."""

import math
import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from .arrays import (
    HOST,
    Array,
    Location,
    array_at,
    count_transfer,
    detached,
    device,
    free_memory,
    from_host,
    in_host,
    is_array,
    is_cupy,
    is_numpy,
    location_of,
    no_card,
    sees_gpu,
    to_host,
)
from .errors import DeviceError, DeviceMemoryError, TransferError
from .thresholds import LEAST, Pace, Thresholds, Work, choose, pace_of, scaled
from .transfers import forbidden, note, users_line
from .words import did_you_mean

CARD = Location("cupy", "cuda:0")  # to which "auto" brings host arrays, unless another is current


def to_device(
    x: Array,
    where: str,
    dtype: str | None = None,
    *,
    prepare: Callable[[Location], None] | None = None,
) -> Array:
    """Return `x` where ``device=`` says: "auto" (where it is), or as in `destination`.

    NumPy rows go to a GPU in one copy, in `dtype` if given; what its memory cannot hold goes to
    pinned memory of the host, where the GPU reads it. prepare: called with the new location ahead
    of the copy, to begin what may go on beside it.

    Raises
    ------
    ValueError
        For a string that names no device.
    DeviceError
        When the device does not work; the message says what to install.
    DeviceMemoryError
        When neither the GPU nor the host has the memory.
    TransferError
        When `forbid_transfers` forbids the copy.
    """
    x = detached(x)
    if str(where) == "auto":
        return x
    to = destination(location_of(x), where)
    if to == location_of(x):
        return x
    try:
        like = array_at(to)
    except DeviceError as error:
        trouble = f"device={where!r} does not work: {error}{doctor_helps(to)}"
        raise DeviceError(f"{trouble}; device='cpu' runs without a GPU.") from error
    there = f"pass an array of {to.library} on {to.device}"
    check_transfer(x, location_of(like), "X", f"{there}, or leave device={where!r} away")
    if prepare is not None:
        prepare(to)
    return moved(x, like, dtype)


def doctor_helps(to: Location) -> str:
    """Return that `xpmlp doctor` helps with a location, or "" where there is no GPU for it."""
    if to.device.startswith("cuda") and not sees_gpu():
        return ""
    return "; `xpmlp doctor` says what to install"


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Work, launches and memory of a training on a GPU."""

    work: Work
    launches: float  # of a step beside products
    n_bytes: int  # of memory


def chosen(needs_of: Callable[[], Needs], dtype: str) -> tuple[Location | None, str]:
    """Return the GPU that ``device="auto"`` brings a host array X to, or None, and why.

    What a training needs is asked only where a GPU may be, which starts only if that might pay.
    """
    card, why = _card(needs_of, dtype)
    return card, f"The data are in main memory, {why}."


def _card(needs_of, dtype):
    """Return the GPU on which a training pays, or None, and why."""
    missing = no_card()
    if missing is not None:
        return None, missing
    if forbidden():
        return None, "and stay there: forbid_transfers forbids to move them"
    needs = needs_of()
    pays, why = choose(needs.work, LEAST, "the best GPU")
    if not pays:
        return None, why
    card, cupy = CARD, sys.modules.get("cupy")
    try:
        if cupy is not None:  # else nobody can have made another current
            card = Location("cupy", f"cuda:{cupy.cuda.Device().id}")
        pace, free = pace_of(card, dtype), 0
        if isinstance(pace, Pace):
            free = free_memory(array_at(card)) or 0
    except Exception as error:  # whatever a driver raises
        pace = str(error).partition("\n")[0]
    if isinstance(pace, str):
        return None, f"and stay there: {card.device} fails ({pace}), see `xpmlp doctor`"
    if needs.n_bytes > free:
        takes = f"the fit takes about {scaled(needs.n_bytes)}B"
        return None, f"and stay there: {takes}, of {card.device} {scaled(free)}B are free"
    pays, why = choose(needs.work, Thresholds.of(pace, needs.launches), card.device)
    return card if pays else None, why


@contextmanager
def explain_out_of_memory():
    """Re-raise CuPy's MemoryError as a DeviceMemoryError, naming device and free bytes."""
    try:
        yield
    except MemoryError as error:
        cupy = sys.modules.get("cupy")
        if cupy is None or not isinstance(error, cupy.cuda.memory.OutOfMemoryError):
            raise
        like = cupy.empty(0)
        raise DeviceMemoryError(
            f"The memory of {location_of(like).device} is too small for this training: {error} "
            f"{free_memory(like) or 0:,} bytes are free. Take fewer units, a smaller "
            "batch_size or dtype='float32', end what else uses the GPU, or use device='cpu'."
        ) from error


def fit_or_stay(fit: Callable[[str], Any], auto: bool) -> Any:
    """Return ``fit("")``; if a GPU's memory is too small for an epoch, fit on the host instead.

    auto: whether the fit itself chose the GPU. It is then told why it stays on the host.
    """
    try:
        with explain_out_of_memory():
            return fit("")
    except DeviceMemoryError as error:
        if error.late or not auto or "cupy" not in sys.modules:  # then it is the host's
            raise
    why = "and stay there: the GPU's memory is too small for this training"
    return fit(f"The data are in main memory, {why}.")


def why_there(X: Array, where: str) -> str:
    """Return a sentence on why data `X` compute where ``device=`` or the model's location says."""
    if where != "auto":
        return f"device={where!r} was asked for."
    if is_array(X) and not is_numpy(X):
        return f"X is an array of {location_of(X).library} on {location_of(X).device}."
    return "The data are in main memory, as those of the model are."


def destination(now: Location, where: str) -> Location:
    """Return the location that "cpu", "cuda" or "cuda:1" names for what lives at `now`.

    It is one of the same library, whose other devices' names do too; for NumPy and CuPy, which
    have one device each, they are these two.
    """
    kind, _, index = str(where).partition(":")
    own = now.library not in ("numpy", "cupy")
    if kind == "cuda" and (index.isdigit() or where == kind):
        if now.device.startswith(("cuda", "gpu")) and (
            not index or now.device.endswith(f":{index}")
        ):
            return now
        return Location({"numpy": "cupy"}.get(now.library, now.library), f"cuda:{index or 0}")
    if where == "cpu":
        if in_host(now):
            return now
        if own:
            return Location(now.library, {"array_api_strict": "CPU_DEVICE"}.get(now.library, where))
        return HOST
    if not own or not where or kind.lower() in ("cpu", "cuda"):
        raise ValueError(
            f"device must be 'cpu', 'cuda' or 'cuda:1' (or 'auto' as an argument of the estimator) "
            f"for arrays of {now.library}, got {where!r}{_device_meant(where)}"
        )
    return Location(now.library, where)


def _device_meant(where):
    """Return the end of a message on a name that is no device."""
    if str(where).lower().startswith("gpu"):
        return ": did you mean 'cuda'?"
    return did_you_mean(where, ("auto", "cpu", "cuda"))


def moved(x: Array, like: Array, dtype: str | None = None) -> Array:
    """Copy rows to where `like` is; NumPy's go to a GPU in `dtype`, as `to_device` says."""
    if is_numpy(x) and is_cupy(like):
        return _on_card(np.asarray(x, dtype), like)
    return to_host(x) if is_numpy(like) else from_host(to_host(x), like)


def _on_card(a, like):
    """Copy a host array to the GPU of `like`, or to pinned memory that the GPU reads."""
    cupy = import_module("cupy")
    with device(like):
        for _ in range(2):
            try:
                x = cupy.empty(a.shape, dtype=a.dtype)
                x.set(a)  # asarray would copy all of it to pinned memory first
                count_transfer(x, to_device=a.nbytes)
                return x
            except MemoryError:
                cupy.get_default_memory_pool().free_all_blocks()
        return _pinned(a, like, cupy)


def _pinned(a, like, cupy):
    """Copy a host array to pinned memory, which has one address for host and GPU."""
    free, cuda = free_memory(like) or 0, cupy.cuda
    trouble = f"X ({a.nbytes / 1e9:.1f} GB) does not fit the GPU ({free / 1e9:.1f} GB free)"
    try:
        # Not from CuPy's pool, which would give it to others while the GPU still reads.
        memory = cuda.PinnedMemoryPointer(cuda.PinnedMemory(a.nbytes), 0)
    except (MemoryError, RuntimeError) as error:
        raise DeviceMemoryError(
            f"{trouble}, and the host cannot pin as much ({error}): pass dtype='float32', fit "
            "parts of X by partial_fit, or use device='cpu'."
        ) from error
    np.frombuffer(memory, a.dtype, a.size).reshape(a.shape)[...] = a
    note(text=f"{trouble}: it stays in pinned host memory, which the GPU reads batch by batch.")
    owned = cuda.UnownedMemory(memory.ptr, a.nbytes, memory, device(like).id)
    return cupy.ndarray(a.shape, dtype=a.dtype, memptr=cuda.MemoryPointer(owned, 0))


def check_transfer(x: Array, to: Location, what: str, remedy: str) -> None:
    """Raise TransferError for a copy of a user's rows that `forbid_transfers` forbids."""
    at = location_of(x)
    if not forbidden() or at == to or (in_host(at) and in_host(to)):
        return
    size = math.prod(x.shape) * to_host(x[:0, ...]).itemsize
    raise TransferError(
        f"forbid_transfers: {users_line()} makes a hidden copy of {what} ({size} bytes) from "
        f"{at.library} on {at.device} to {to.library} on {to.device}: {remedy}."
    )


def rows_to_host(x: Array, what: str, remedy: str) -> np.ndarray:
    """Copy a user's rows to NumPy, unless `forbid_transfers` forbids it."""
    check_transfer(x, HOST, what, remedy)
    return to_host(x)


def as_library_of(result, X):
    """Return a result in the library and on the device of the caller's X."""
    if type(result) is type(X) is np.ndarray:
        return result
    like = X if is_array(X) else np.empty(0)
    if location_of(result) == location_of(like):
        return result
    return moved(result, like)
