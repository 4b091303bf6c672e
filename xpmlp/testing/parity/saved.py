"""The results of a parity run in one file, for another machine to compare with.

A result from a file is compared with the wider float of the machine that reads it, by the same
bounds as the results of its own libraries. So it shows which of the two machines is off.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from ...atomic import StrPath
from ...container import read_container, write_container
from ...errors import DataError, ModelFileError
from ..backends import FLOATS, one_line
from .compare import Operation, Result, Row, fetched, in_floats, judged, wanted

VERSION = 1  # of what stands in the file
FACTS = "version", "device"  # of a library


@dataclass(frozen=True, eq=False)
class Results:
    """What the libraries of one machine computed.

    label: the name of their file; about: versions, as "Python" -> "3.11.7"; libraries: name ->
    {"version", "device"}; inputs: operation -> digest; outputs: library -> (operation, dtype) ->
    {output: result}.
    """

    label: str
    about: dict[str, str]
    libraries: dict[str, dict[str, str]]
    inputs: dict[str, str]
    outputs: dict[str, dict[tuple[str, str], dict[str, Result]]]


@dataclass(frozen=True, eq=False)
class SavedLibrary:
    """A library of another machine, whose results are looked up, not computed."""

    library: str
    results: Results

    @property
    def name(self) -> str:
        """Its name in a report."""
        return f"{self.library} in {self.results.label}"

    @property
    def facts(self) -> dict[str, str]:
        """Its version and device."""
        return self.results.libraries[self.library]

    def cases(self, subjects: list[Operation]) -> Iterator[tuple]:
        """Yield what is to be compared, in order: (operation, this library, dtype).

        What this machine does not know is an operation without outputs.
        """
        saved = self.results.outputs[self.library]
        for dtype in dict.fromkeys(dtype for _, dtype in saved):
            known = (op for op in subjects if dtype in FLOATS and op.runs_on(self.library))
            ours = {op.name: op for op in known}
            names = [name for name, its in saved if its == dtype and name not in ours]
            theirs = [Operation(name, (), dict, {}) for name in names]
            yield from ((op, self, dtype) for op in (*ours.values(), *theirs))

    def compared(self, op: Operation, dtype: str) -> list[Row]:
        """Return a row an output; what the machines do not share is named, and not compared."""
        label = self.results.label
        saved = self.results.outputs[self.library].get((op.name, dtype), {})
        shared = [name for name in op.bounds if name in saved]
        skipped = {name: f"only {label} has it" for name in saved if name not in shared}
        skipped |= {name: "only this machine has it" for name in op.bounds if name not in shared}
        if shared and self.results.inputs.get(op.name) != digest(op.inputs):
            version = self.results.about.get("NumPy", "of unknown version")
            why = f"its inputs in {label} are others, drawn by NumPy {version}"
            skipped, shared = skipped | dict.fromkeys(shared, why), []
        return self._rows(op, dtype, {name: saved[name] for name in shared}) + [
            Row(f"{op.name}: {name}", self.name, dtype, None, 0.0, "", skipped=why)
            for name, why in skipped.items()
        ]

    def _rows(self, op, dtype, saved):
        """Return the rows of outputs that both machines have."""
        if not saved:
            return []
        want, got = wanted(op, dtype), dict(saved)
        for name, made in saved.items():
            if not isinstance(made, str):
                got[name] = fetched(made, want[name], np.empty(0, dtype), dtype)
        return judged(op, self.name, dtype, got, want)


def saved_libraries(there: Results | None) -> list[SavedLibrary]:
    """Return the libraries of another machine, to be compared on this one."""
    return [SavedLibrary(name, there) for name in there.outputs] if there else []


def digest(arrays: Iterable[np.ndarray]) -> str:
    """Return a digest of an operation's inputs, the floats rounded to float32.

    Some are products or powers, whose last bits differ from one CPU to another.
    """
    made = hashlib.sha256()
    for a in arrays:
        a = in_floats(a, np.float32)
        made.update(f"{a.dtype.name} {a.shape}".encode() + a.tobytes())
    return made.hexdigest()[:16]


def write_results(path: StrPath, results: Results) -> None:
    """Write the results to a file, whole or not at all.

    Raises
    ------
    OSError
        The disk is full, the folder is missing, ...
    """
    flat: dict[str, list[np.ndarray]] = {}  # dtype -> arrays, one after the other
    index = {
        library: [
            [*key, {name: _noted(result, flat) for name, result in made.items()}]
            for key, made in outputs.items()
        ]
        for library, outputs in results.outputs.items()
    }
    arrays = {dtype: np.concatenate(parts) for dtype, parts in flat.items()}
    metadata = {"parity": VERSION, "about": results.about, "libraries": results.libraries}
    write_container(path, arrays, metadata | {"inputs": results.inputs, "outputs": index})


def _noted(result, flat):
    """Append the arrays of a result to those of their dtype; return their dtypes and shapes."""
    if isinstance(result, str):
        return result
    if not all(np.isfinite(a).all() for a in result):
        return "holds NaN or infinity"
    for a in result:
        flat.setdefault(a.dtype.name, []).append(a.ravel())
    return [[a.dtype.name, *a.shape] for a in result]


def read_results(path: StrPath | None) -> Results | None:
    """Read what `write_results` wrote; None where there is no path.

    Raises
    ------
    DataError
        The file is missing, damaged, of another kind, or of another version.
    """
    if path is None:
        return None
    try:
        flat, metadata = read_container(path)
    except ModelFileError as error:
        raise DataError(str(error).removeprefix("model file ")) from error
    place, version = repr(str(path)), metadata.get("parity")
    if version is None:
        raise DataError(f"{place} holds a model, expected results of `xpmlp parity --save`.")
    if version != VERSION:
        raise DataError(
            f"{place} has results of version {version!r}, expected {VERSION}: save it again "
            "with the xpmlp that stands here."
        )
    try:
        return _rebuilt(one_line(Path(path).name), flat, metadata)
    except Exception as error:  # hostile metadata raise a dozen kinds
        reason = f"{type(error).__name__}: {one_line(error)}"
        raise DataError(f"{place} does not hold what its index says ({reason}).") from error


def _rebuilt(label: str, flat: dict[str, np.ndarray], metadata: dict[str, Any]) -> Results:
    """Return the results, every text of them one line that a terminal can show."""
    at = dict.fromkeys(flat, 0)

    def array(dtype, *shape):
        start, size = at[dtype], prod(shape)
        at[dtype] += size
        if min((0, *shape)) < 0:
            raise ValueError(f"a shape is {shape}")
        return flat[dtype][start : start + size].reshape(shape)

    def result(noted):
        if isinstance(noted, str):
            return one_line(noted)
        return [array(*each) for each in noted]

    def results(index):
        return {(one_line(op), one_line(dtype)): named(made, result) for op, dtype, made in index}

    def named(values, read):
        return {one_line(name): read(value) for name, value in values.items()}

    made = Results(
        label,
        named(metadata["about"], one_line),
        named(metadata["libraries"], lambda its: {k: one_line(its[k]) for k in FACTS}),
        named(metadata["inputs"], one_line),
        named(metadata["outputs"], results),
    )
    if not made.outputs or not {*made.outputs} <= {*made.libraries}:
        raise ValueError("a library is missing")
    if not all(made.outputs.values()):
        raise ValueError("a library has no results")
    return made
