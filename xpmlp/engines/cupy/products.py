"""Products of matrices into arrays that are there: by CuPy, or by cuBLASLt, which a CUDA graph can
hold and which fuses a bias, an activation and their gradients into the product.

K members, each a row-major matrix: arrays are (K, rows, columns), the last axis without gaps.
"""

import warnings
import weakref
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import cupy
import numpy as np

WORKSPACE = 32 << 20  # bytes, what cuBLAS recommends for Hopper; 4 MiB would do before it
REQUESTED = 4  # algorithms to choose from
GAIN = 0.97  # of the first one's time: less is noise


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

    name = "cuBLAS"

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
    return m.array[k].T if m.transposed else m.array[k]


class NoAlgorithm(Exception):
    """cuBLASLt has none for a product: its shapes, types, alignment, epilogue."""


def cublaslt():
    """Return nvmath's bindings of cuBLASLt and cuBLAS and a handle, or None where they do not work.

    The bindings call the library with a stream and a workspace of ours: CuPy's own products
    refuse to be captured into a graph.
    """
    return _bindings(cupy.cuda.Device().id)


@cache
def _bindings(device):
    if not find_spec("nvmath"):
        return None
    try:
        from nvmath.bindings import cublas, cublasLt

        return cublasLt, cublas, cublasLt.create()
    except Exception as error:  # the library is missing, or does not fit the driver
        warnings.warn(f"nvmath-python does not work here: {error}", RuntimeWarning)
        return None


class LtProducts:
    """Products by cuBLASLt.

    compute: "float32", "tf32" or "float64". Algorithms are timed once for each kind of product and
    process, unless `by_time` is False: then it is the library's first choice that works.
    """

    name = "cuBLASLt"
    chosen: dict = {}  # what kind of product -> the algorithm's 64 bytes

    def __init__(self, compute: str, *, by_time: bool = True):
        self.lt, cublas, self.handle = cublaslt()
        kinds = {"float32": "32F", "tf32": "32F_FAST_TF32", "float64": "64F"}
        self.compute = int(getattr(cublas.ComputeType, f"COMPUTE_{kinds[compute]}"))
        self.scale = np.float64 if compute == "float64" else np.float32
        self.types = {"uint16": 14, "float32": 0, "float64": 1}  # cudaDataType_t
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
        lt, workspace = self.lt, self.workspaces[branch]
        # cuBLAS knows columns only. A row-major matrix is its transpose there, so that it is asked
        # for out' = b' a', with b as its A.
        layouts = [self._layout(m) for m in (b.array, a.array, out)]
        description = self._description(a, b, epilogue)
        one = np.array([1.0, 1.0 if accumulate else 0.0], self.scale)  # alpha and beta
        alpha, beta = one.ctypes.data, one.ctypes.data + one.itemsize
        left, right, to = b.array.data.ptr, a.array.data.ptr, out.data.ptr
        A, B, C = (layout.value for layout in layouts)

        def run(algorithm):
            lt.matmul(
                self.handle, description.value, alpha, left, A, right, B, beta, to, C, to, C,
                algorithm.ctypes.data, workspace.data.ptr, WORKSPACE,
                cupy.cuda.get_current_stream().ptr,
            )  # fmt: skip

        key = self._key(a, b, out, epilogue)
        if key not in self.chosen:
            found = self._algorithms(description, (A, B, C), key)
            self.chosen[key] = self._best([f for f in found if self._works(run, f)], run, key)
        algorithm, kept = self.chosen[key], (one, layouts, description, a, b, out, epilogue)
        return lambda kept=kept: run(algorithm)

    def _works(self, run, algorithm):
        """Tell whether an algorithm runs: that the library offers it does not say so."""
        try:
            run(algorithm)
        except self.lt.cuBLASLtError:
            return False
        return True

    def _best(self, works, run, key):
        if not works:
            raise NoAlgorithm(f"{key}: none was found")
        if len(works) == 1 or not self.by_time:
            return works[0]
        took = [seconds(run, algorithm) for algorithm in works]
        return works[int(np.argmin([took[0] * GAIN, *took[1:]]))]

    def _layout(self, array):
        K, rows, columns = array.shape
        layout = Handle(
            self.lt, "matrix_layout", self.types[array.dtype.name], columns, rows, columns
        )
        if K > 1:
            layout.set("MatrixLayoutAttribute", BATCH_COUNT=K)
            layout.set(
                "MatrixLayoutAttribute", STRIDED_BATCH_OFFSET=array.strides[0] // array.itemsize
            )
        return layout

    def _description(self, a, b, epilogue):
        made = Handle(self.lt, "matmul_desc", self.compute, self.types[np.dtype(self.scale).name])
        made.set("MatmulDescAttribute", TRANSA=int(b.transposed), TRANSB=int(a.transposed))
        if epilogue:
            made.set("MatmulDescAttribute", EPILOGUE=int(self.lt.Epilogue[epilogue.kind]))
            if epilogue.bias is not None:
                made.set("MatmulDescAttribute", BIAS_POINTER=epilogue.bias.data.ptr)
            if epilogue.aux is not None:
                made.set("MatmulDescAttribute", EPILOGUE_AUX_POINTER=epilogue.aux.data.ptr)
                made.set("MatmulDescAttribute", EPILOGUE_AUX_LD=epilogue.ld)
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

    def _algorithms(self, description, layouts, key):
        """Return the algorithms that cuBLASLt recommends, the best first."""
        lt, (A, B, C), (*_, aligned) = self.lt, layouts, key
        preference = Handle(lt, "matmul_preference")
        # Split sums may be kept in the compute type, not in a shorter one.
        schemes = int(lt.ReductionScheme.COMPUTE_TYPE)
        preference.set(
            "MatmulPreferenceAttribute", MAX_WORKSPACE_BYTES=WORKSPACE,
            REDUCTION_SCHEME_MASK=schemes,
            **{f"MIN_ALIGNMENT_{m}_BYTES": n for m, n in zip("ABCD", (*aligned, aligned[2]))},
        )  # fmt: skip
        found = np.zeros(REQUESTED, lt.matmul_heuristic_result_dtype)
        count = np.zeros(1, np.int32)
        try:
            lt.matmul_algo_get_heuristic(
                self.handle, description.value, A, B, C, C, preference.value, REQUESTED,
                found.ctypes.data, count.ctypes.data,
            )  # fmt: skip
        except lt.cuBLASLtError as error:
            raise NoAlgorithm(f"{key}: {error}") from error
        algorithms = found["algo"][: count[0], None].copy()
        return [a for a, state in zip(algorithms, found["state"]) if state == 0]


class Handle:
    """One of cuBLASLt's descriptions, destroyed with this object."""

    def __init__(self, lt, kind, *args):
        self.lt, self.kind = lt, kind
        self.value = getattr(lt, f"{kind}_create")(*args)
        ended = weakref.finalize(self, getattr(lt, f"{kind}_destroy"), self.value)
        ended.atexit = False  # the process's end takes all

    def set(self, attributes, **values):
        """Set attributes of an enumeration by name, in the width that each has."""
        names = getattr(self.lt, attributes)
        dtype_of = getattr(self.lt, f"get_{self.kind}_attribute_dtype")
        for name, value in values.items():
            number = int(names[name])
            a = np.array([value], dtype_of(number))
            getattr(self.lt, f"{self.kind}_set_attribute")(
                self.value, number, a.ctypes.data, a.nbytes
            )


def _alignment(array):
    """Return to how many bytes an array is aligned, 256 at most: matrices of all members."""
    stride = array.strides[0] if array.shape[0] > 1 else 0
    address = array.data.ptr | stride | 256
    return address & -address


def seconds(run, *args, repeats=20, rounds=5):
    """Return the seconds on the card of a launch: the median of replays of a graph of many.

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
