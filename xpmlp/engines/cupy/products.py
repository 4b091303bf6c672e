"""Products of matrices into arrays that are there: by CuPy, or by cuBLASLt, which a CUDA graph can
hold and which fuses a bias, an activation and their gradients into the product.

K members, each a row-major matrix: arrays are (K, rows, columns), the last axis without gaps.
"""

import warnings
from functools import cache
from itertools import islice
from typing import Any, NamedTuple

import cupy
import numpy as np

from . import cublaslt as lt

WORKSPACE = 32 << 20  # bytes, what cuBLAS recommends for Hopper; 4 MiB would do before it
REQUESTED = 16  # algorithms to choose from
GAIN = 0.97  # of the first one's time: less is noise
STORED = {"uint16": "bfloat16"}  # what arrays of a dtype hold, where that is not its name


class Matrix(NamedTuple):
    """An operand, as it lies in memory or transposed."""

    array: Any
    transposed: bool = False


class Epilogue(NamedTuple):
    """What is done to a product before it is written.

    kind: of cuBLASLt's epilogues; bias: (1, H) added, or the bias gradient that is written;
    aux: what a backward pass needs of the forward pass, `ld` elements (bits for ReLU) a row.
    """

    kind: str
    bias: Any = None
    aux: Any = None
    ld: int = 0


class CupyProducts:
    """Products by `cupy.matmul`, in the arrays' own dtype."""

    name = compute = "cuBLAS"

    def bind(self, a: Matrix, b: Matrix, out, *, accumulate=False, branch=0):
        """Return launch(): out = a @ b, or out += a @ b. The workspace is CuPy's on any branch."""
        pairs = [(_of_member(a, k), _of_member(b, k), out[k]) for k in range(len(out))]

        def launch():
            for x, y, to in pairs:
                if accumulate:
                    to += cupy.matmul(x, y)
                else:
                    cupy.matmul(x, y, out=to)

        return launch


def _of_member(m, k):
    """Return an operand of member k as a view."""
    if m.transposed:
        return m.array[k].T
    return m.array[k]


class NoAlgorithm(Exception):
    """cuBLASLt has none for a product: its shapes, types, alignment, epilogue."""


def lt_here():
    """Return cuBLASLt on the current GPU, or None where it does not work."""
    return _lt_of(cupy.cuda.Device().id)


@cache
def _lt_of(device):
    try:
        return lt.CublasLt()
    except Exception as error:  # the library is missing, or does not fit the driver
        warnings.warn(f"cuBLASLt does not work here: {error}", RuntimeWarning)
        return None


class LtProducts:
    """Products by cuBLASLt.

    compute: "float32", "tf32" or "float64". Algorithms are timed once for each kind of product and
    process, unless `by_time` is False: then it is the library's first choice that works.
    """

    name = "cuBLASLt"
    chosen: dict = {}  # what kind of product -> the algorithm

    def __init__(self, compute: str, *, by_time: bool = True):
        self.lt, self.compute = lt_here(), compute
        self.scale = {"float64": "float64"}.get(compute, "float32")
        self.by_time, self.device = by_time, cupy.cuda.Device().id
        self.workspaces = [cupy.empty(WORKSPACE, np.uint8)]

    def bind(self, a: Matrix, b: Matrix, out, *, accumulate=False, epilogue=None, branch=0):
        """Return launch(): out = a @ b, or out += a @ b, with an epilogue.

        branch: products of one branch do not overlap, so they share a workspace.

        Raises
        ------
        NoAlgorithm
        """
        while branch >= len(self.workspaces):
            self.workspaces.append(cupy.empty(WORKSPACE, np.uint8))
        # cuBLAS knows columns only. A row-major matrix is its transpose there, so that it is asked
        # for out' = b' a', with b as its A.
        arrays = b.array, a.array, out
        layouts = [_layout(array) for array in arrays]
        operation = self._operation(a, b, epilogue)
        one = np.array([1.0, float(accumulate)], self.scale)  # alpha and beta
        numbers = one.ctypes.data, one.ctypes.data + one.itemsize
        pointers = [array.data.ptr for array in arrays]
        workspace = self.workspaces[branch].data.ptr, WORKSPACE

        def run(algorithm):
            stream = cupy.cuda.get_current_stream().ptr
            args = layouts, pointers, algorithm, workspace, stream
            self.lt.multiply(operation, *numbers, *args)

        key = self._key(a, b, out, epilogue)
        if key not in self.chosen:
            try:
                found = self._algorithms(operation, layouts, key)
                self.chosen[key] = self._best(found, run)
            except NoAlgorithm as error:
                raise NoAlgorithm(f"{_in_words(a, b, out, epilogue)}: {error}") from None
        algorithm, kept = self.chosen[key], (one, a, b, out, epilogue)
        return lambda kept=kept: run(algorithm)

    def _best(self, found, run):
        """Return the fastest algorithm of those that run: that one is offered does not say so."""
        most = len(found) if self.by_time else 1
        works = list(islice((algorithm for algorithm in found if _works(run, algorithm)), most))
        if not works:
            raise NoAlgorithm(f"none of {len(found)} works")
        if len(works) == 1:
            return works[0]
        took = [seconds(run, algorithm) for algorithm in works]
        return works[int(np.argmin([took[0] * GAIN, *took[1:]]))]

    def _operation(self, a, b, epilogue):
        types = lt.COMPUTE_TYPES[self.compute], lt.DATA_TYPES[self.scale]
        made = lt.Description("MatmulDesc", *types, TRANSA=b.transposed, TRANSB=a.transposed)
        if epilogue:
            made.set(EPILOGUE=lt.EPILOGUES[epilogue.kind])
            if epilogue.bias is not None:
                made.set(BIAS_POINTER=epilogue.bias.data.ptr)
            if epilogue.aux is not None:
                made.set(EPILOGUE_AUX_POINTER=epilogue.aux.data.ptr, EPILOGUE_AUX_LD=epilogue.ld)
        return made

    def _key(self, a, b, out, epilogue):
        """Return what the choice of an algorithm depends on; the alignments come last."""
        arrays = b.array, a.array, out
        flags = a.transposed, b.transposed, epilogue and epilogue.kind, self.by_time
        aligned = [_alignment(x) for x in arrays]
        if epilogue and epilogue.bias is not None:
            aligned[2] = min(aligned[2], _alignment(epilogue.bias))
        shapes = tuple((x.shape, x.dtype.name) for x in arrays)
        return self.device, self.compute, shapes, flags, tuple(aligned)

    def _algorithms(self, operation, layouts, key):
        """Return the algorithms that cuBLASLt recommends, the best first."""
        *_, aligned = key
        wanted = {f"MIN_ALIGNMENT_{m}_BYTES": n for m, n in zip("ABCD", (*aligned, aligned[2]))}
        # Split sums may be kept in the compute type, not in a shorter one.
        wanted["REDUCTION_SCHEME_MASK"] = lt.REDUCTION_SCHEME_COMPUTE_TYPE
        preference = lt.Description("MatmulPreference", MAX_WORKSPACE_BYTES=WORKSPACE, **wanted)
        try:
            return self.lt.algorithms(operation, layouts, preference, REQUESTED)
        except lt.CublasLtError as error:
            raise NoAlgorithm(str(error)) from error


def _layout(array):
    """Return the description of arrays (K, rows, columns)."""
    K, rows, columns = array.shape
    dtype = lt.DATA_TYPES[_stored(array)]
    layout = lt.Description("MatrixLayout", dtype, columns, rows, columns)
    if K > 1:
        layout.set(BATCH_COUNT=K, STRIDED_BATCH_OFFSET=array.strides[0] // array.itemsize)
    return layout


def _stored(array):
    return STORED.get(array.dtype.name, array.dtype.name)


def _works(run, algorithm):
    """Tell whether an algorithm runs."""
    try:
        run(algorithm)
    except lt.CublasLtError as error:
        if error.status == lt.EXECUTION_FAILED:  # the GPU's failure, not the algorithm's
            raise
        return False
    return True


def _in_words(a, b, out, epilogue):
    """Return a product as text, for a user to read: "(128, 784) by (784, 256) in bfloat16"."""
    shapes = [f"({', '.join(map(str, _of_member(m, 0).shape))})" for m in (a, b)]
    kinds = " to ".join(dict.fromkeys((_stored(a.array), _stored(out))))
    text = f"{' by '.join(shapes)} in {kinds}"
    if len(out) > 1:
        text = f"{len(out)} times {text}"
    if epilogue:
        text += f" with {epilogue.kind}"
    return text


def _alignment(array):
    """Return to how many bytes an array is aligned, 256 at most: matrices of all members."""
    stride = array.strides[0] if array.shape[0] > 1 else 0
    address = array.data.ptr | stride | 256
    return address & -address


def seconds(run, *args, repeats=20, rounds=5):
    """Return the seconds on the GPU of a launch: the median of replays of a graph of many.

    One by one, small kernels would wait for the host, and all would seem to take as long.
    """
    stream, took = cupy.cuda.Stream(non_blocking=True), []
    stream.wait_event(cupy.cuda.get_current_stream().record())  # buffers are being cleared there
    with stream:
        run(*args)  # loads what no capture may
        stream.begin_capture()
        try:
            for _ in range(repeats):
                run(*args)
        finally:
            graph = stream.end_capture()
        for _ in range(rounds):
            start, stop = cupy.cuda.Event(), cupy.cuda.Event()
            start.record(stream)
            graph.launch(stream)
            stop.record(stream)
            stop.synchronize()
            took.append(cupy.cuda.get_elapsed_time(start, stop) / 1e3)
    return float(np.median(took)) / repeats
