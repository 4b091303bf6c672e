"""cuBLASLt, NVIDIA's library of matrix products, by ctypes: what `products` needs of it.

CuPy's own products refuse to be captured into a graph; these take a stream and a workspace.
cuda-pathfinder, which CuPy requires, finds the library. Names and numbers are those of cublasLt.h,
without their prefixes; tests/engines/test_cublaslt.py compares them with NVIDIA's header.
"""

import ctypes
import weakref
from ctypes import POINTER, byref, c_int, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from functools import cache
from typing import Any

DATA_TYPES = {"float32": 0, "float64": 1, "bfloat16": 14}  # cudaDataType_t
COMPUTE_TYPES = {"float32": 68, "float64": 70, "tf32": 77}  # cublasComputeType_t
RELU = {"RELU_AUX_BIAS": 134, "DRELU": 136, "DRELU_BGRAD": 152}
GELU = {"GELU_AUX_BIAS": 164, "DGELU": 192, "DGELU_BGRAD": 208}
EPILOGUES = RELU | GELU | {"BGRADA": 256}  # cublasLtEpilogue_t
REDUCTION_SCHEME_COMPUTE_TYPE = 2  # parts of a sum are kept in the compute type
EXECUTION_FAILED = 13  # cublasStatus_t: the GPU failed

# Of each kind of description: its attributes, their numbers and types.
ATTRIBUTES: dict[str, dict[str, tuple[int, Any]]] = {
    "MatmulDesc": {
        "TRANSA": (3, c_int32), "TRANSB": (4, c_int32), "EPILOGUE": (7, c_uint32),
        "BIAS_POINTER": (8, c_void_p), "EPILOGUE_AUX_POINTER": (11, c_void_p),
        "EPILOGUE_AUX_LD": (12, c_int64),
    },
    "MatrixLayout": {"BATCH_COUNT": (5, c_int32), "STRIDED_BATCH_OFFSET": (6, c_int64)},
    "MatmulPreference": {
        "MAX_WORKSPACE_BYTES": (1, c_uint64), "REDUCTION_SCHEME_MASK": (3, c_uint32),
        "MIN_ALIGNMENT_A_BYTES": (5, c_uint32), "MIN_ALIGNMENT_B_BYTES": (6, c_uint32),
        "MIN_ALIGNMENT_C_BYTES": (7, c_uint32), "MIN_ALIGNMENT_D_BYTES": (8, c_uint32),
    },
}  # fmt: skip


class Algorithm(ctypes.Structure):
    """How a product is made; opaque, and may be copied."""

    _fields_ = [("data", c_uint64 * 8)]


class Recommendation(ctypes.Structure):
    """What the heuristic says of an algorithm; valid where `state` is 0."""

    _fields_ = [
        ("algo", Algorithm),
        ("workspaceSize", c_size_t),
        ("state", c_int),
        ("wavesCount", ctypes.c_float),
        ("reserved", c_int * 4),
    ]


_new, _found = POINTER(c_void_p), POINTER(Recommendation)
FUNCTIONS = {
    "cublasLtCreate": (_new,),
    "cublasLtMatmulDescCreate": (_new, c_int, c_int),
    "cublasLtMatrixLayoutCreate": (_new, c_int, c_uint64, c_uint64, c_int64),
    "cublasLtMatmulPreferenceCreate": (_new,),
    **{f"cublasLt{kind}Destroy": (c_void_p,) for kind in ATTRIBUTES},
    **{f"cublasLt{kind}SetAttribute": (c_void_p, c_int, c_void_p, c_size_t) for kind in ATTRIBUTES},
    "cublasLtMatmulAlgoGetHeuristic": (*(c_void_p,) * 7, c_int, _found, POINTER(c_int)),
    "cublasLtMatmul": (*(c_void_p,) * 12, POINTER(Algorithm), c_void_p, c_size_t, c_void_p),
}


class CublasLtError(RuntimeError):
    """What a function of cuBLASLt answered where it did not succeed."""

    def __init__(self, function, status, name):
        super().__init__(f"{function}: {name}")
        self.status = status


@cache
def library():
    """Load cuBLASLt and declare its functions, which then raise CublasLtError."""
    from cuda.pathfinder import load_nvidia_dynamic_lib  # not everyone has CUDA

    lt = ctypes.CDLL(load_nvidia_dynamic_lib("cublasLt").abs_path)
    lt.cublasLtGetVersion.restype = c_size_t
    lt.cublasLtGetStatusName.restype = ctypes.c_char_p

    def checked(status, function, arguments):
        if status:
            name = lt.cublasLtGetStatusName(status).decode()
            raise CublasLtError(function.__name__, status, name)

    for name, types in FUNCTIONS.items():
        function = getattr(lt, name)
        function.argtypes, function.restype, function.errcheck = types, c_int, checked
    return lt


def version():
    """Return the library's version: major, minor, patch."""
    number = library().cublasLtGetVersion()
    return number // 10000, number // 100 % 100, number % 100


class Description:
    """One of cuBLASLt's descriptions, by its kind; destroyed with this object."""

    def __init__(self, kind, *args, **attributes):
        self.kind, self.value, lt = kind, c_void_p(), library()
        getattr(lt, f"cublasLt{kind}Create")(byref(self.value), *args)
        ended = weakref.finalize(self, getattr(lt, f"cublasLt{kind}Destroy"), self.value)
        ended.atexit = False  # the process's end takes all
        self.set(**attributes)

    def set(self, **attributes):
        """Set attributes by name."""
        set_attribute = getattr(library(), f"cublasLt{self.kind}SetAttribute")
        for name, value in attributes.items():
            number, kind = ATTRIBUTES[self.kind][name]
            raw = kind(value)
            set_attribute(self.value, number, byref(raw), ctypes.sizeof(raw))


class CublasLt:
    """cuBLASLt on the GPU that is current when this is made."""

    def __init__(self):
        self.handle = c_void_p()
        library().cublasLtCreate(byref(self.handle))

    def algorithms(self, operation, layouts, preference, most):
        """Return the algorithms that it recommends for a product, the best first.

        layouts: of A, B and of C, which is also D's.
        """
        found, count, (A, B, C) = (Recommendation * most)(), c_int(), [x.value for x in layouts]
        library().cublasLtMatmulAlgoGetHeuristic(
            self.handle, operation.value, A, B, C, C, preference.value, most, found, byref(count)
        )
        return [f.algo for f in found[: count.value] if f.state == 0]

    def multiply(self, operation, alpha, beta, layouts, pointers, algorithm, workspace, stream):
        """Launch C = alpha A B + beta C, with the operation's epilogue.

        alpha, beta, pointers (of A, B, C), stream: addresses; workspace: its address and bytes.
        """
        (A, B, C), (a, b, c) = [x.value for x in layouts], pointers
        terms = alpha, a, A, b, B, beta, c, C, c, C
        how = byref(algorithm), *workspace, stream
        library().cublasLtMatmul(self.handle, operation.value, *terms, *how)
