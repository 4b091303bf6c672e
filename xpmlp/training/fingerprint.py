"""What a training is of: its options and data, and where it runs. A checkpoint holds it."""

import hashlib
import platform
from dataclasses import fields
from importlib import import_module

import numpy as np

from .. import __version__
from ..arrays import Array, location_of, to_host
from ..engines.blas import find_blas, n_threads
from ..errors import CheckpointError
from ..nn.layout import walk
from ..placing import rows_to_host
from ..stable_text import short_digest, stable_text
from ..words import abridged
from .rows import SparseRows, like_of

# What TrainOptions calls otherwise than arguments; what does not change a training's numbers.
ARGUMENTS = "learning_rate", "learning_rate_init", "random_state"
CALLED = dict(zip(("schedule", "learning_rate", "seed"), ARGUMENTS))
FREE = {"verbose", "max_iter", "n_epochs", "steps", "engine", "max_fun"}
REMEDY = "leave checkpoint away, or fit outside of that block"
BEGIN = "init, or the model that warm_start goes on with,"
BLOCK = 1 << 26  # bytes of rows that are brought to the host at once
LONGEST, SHOWN = 200, 100  # letters of an option that is kept as it is, that a message shows


def fingerprint(step, options, data, params, sample_weight, validation, more: dict) -> dict:
    """Return what a checkpoint says of a training, JSON: its options, its data, where it runs.

    params: those that it begins with; more: further options by name.
    """
    given = {f.name: getattr(options, f.name) for f in fields(options) if f.name not in FREE}
    named = {CALLED.get(name, name): value for name, value in given.items()}
    named |= {name: getattr(options.steps, name) for name in options.steps.given}
    named |= {f"layer {i}": layer for i, layer in enumerate(step.network.layers, 1)}
    named |= {"loss": step.loss.name, "loss formula": step.loss, "solver": step.rule}
    named |= {"dtype": step.dtype, "matmul_precision": options.engine.matmul_precision, **more}
    if options.schedule.has_end:
        named["max_iter"] = options.n_epochs
    parts = {"X": data[0], "y": data[1], "sample_weight": sample_weight}
    if validation is not None:
        parts |= {"X_val": validation.x, "y_val": validation.y}
        parts["sample_weight_val"] = validation.weights
    return {
        "options": {name: _told(name, value) for name, value in sorted(named.items())},
        "data": {name: _digest(a) for name, a in parts.items() if a is not None}
        | {BEGIN: _digest_of_parameters(step.network, params)},
        "machine": _machine(data[1], options),
        "max_iter": options.max_iter,
    }


def different(kept: dict, now: dict) -> tuple[str, str]:
    """Return in words how a kept fingerprint differs: another training, or another machine."""
    options = [*_changes(kept["options"], now["options"])]
    others = [*options]
    for name in sorted({*kept["data"], *now["data"]}):
        before, after = kept["data"].get(name), now["data"].get(name)
        if before == after:
            continue
        shapes = [value and value["shape"] for value in (before, after)]
        if shapes[0] != shapes[1]:
            was, got = (_shape(shape) for shape in shapes)
            others.append(f"{name} was {was}, got {got}")
        elif not options:  # another seed, for one, draws other validation rows: told by its name
            others.append(f"{name} holds other values")
    elsewhere = [
        f"{name} {kept['machine'].get(name)}, now {value}"
        for name, value in now["machine"].items()
        if kept["machine"].get(name) != value
    ]
    return "; ".join(others), ", ".join(elsewhere)


def _changes(before, now):
    for name in sorted({*before, *now}):
        was, got = (options.get(name, "not given") for options in (before, now))
        if was == got:
            continue
        shown = len(was) <= SHOWN and len(got) <= SHOWN
        yield f"{name} was {was}, got {got}" if shown else f"{name} is another"


def _shape(shape):
    return "not given" if shape is None else " x ".join(map(str, shape))


def _told(name, value):
    """Return an option as text to compare; CheckpointError where there is none."""
    try:
        return _short(stable_text(value))
    except (RecursionError, ValueError) as error:  # it holds itself, or a variable without value
        raise CheckpointError(
            f"{name} cannot be compared with that of a checkpoint ({error}): take a simpler one, "
            "or leave checkpoint away."
        ) from error


def _short(text):
    """Return a text abridged; what is left out counts by its digest."""
    if len(text) <= LONGEST:
        return text
    return f"{abridged(text, LONGEST)} ({short_digest(text)})"


def _digest(a: Array | SparseRows) -> dict:
    """Return shape, dtype and SHA-256 of all numbers of an array or of sparse rows."""
    digest = hashlib.sha256()
    if isinstance(a, SparseRows):
        for part in (a.csr.indptr, a.csr.indices, a.csr.data):
            digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    else:
        rows = max(1, BLOCK // max(1, 8 * int(np.prod(a.shape[1:]))))
        for first in range(0, a.shape[0], rows):
            block = a[first : min(first + rows, a.shape[0]), ...]
            part = rows_to_host(block, "rows, to know them again", REMEDY)
            digest.update(np.ascontiguousarray(part).reshape(-1).view(np.uint8).data)
    like = like_of(a)
    dtype = str(like.dtype).rpartition(".")[2]
    return {"shape": [*a.shape], "dtype": dtype, "sha256": digest.hexdigest()}


def _digest_of_parameters(network, params) -> dict:
    """Return the count and SHA-256 of parameters and buffers, nested dicts of arrays."""
    digest, n = hashlib.sha256(), 0
    for *path, a in walk(network, params):
        a = np.ascontiguousarray(to_host(a))
        digest.update(f"{path} {a.shape} {a.dtype}".encode())
        digest.update(a.reshape(-1).view(np.uint8).data)
        n += a.size
    return {"shape": [n], "sha256": digest.hexdigest()}


def _machine(like, options) -> dict:
    """Return what the last bits of a training depend on beside its options and data."""
    location = location_of(like)
    versions = {name: import_module(name).__version__ for name in {"numpy", location.library}}
    about = {"xpmlp": __version__, **versions, "device": str(location.device)}
    about |= {"processor": platform.machine(), "BLAS": find_blas().name, "threads": n_threads()}
    return about | {"processes": 1, "accelerate": options.engine.accelerate}
