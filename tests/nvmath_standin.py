"""nvmath.bindings.cublasLt on a CPU: the names and numbers of nvmath-python 1.0.0, and NumPy.

    import cupy_standin, nvmath_standin
    cupy_standin.install()
    nvmath_standin.install()      # before `import nvmath`

Operands are read and written at their addresses. It refuses what cuBLASLt's documentation calls
unsupported, and is stricter where a card would corrupt memory: an operand that ends outside of the
memory it begins in, is less aligned than the preference said, or has been freed; an algorithm of
another problem; another stream than the current one. The result, and what an epilogue writes beside
it, hold NaN before the operands are read, unless beta adds the old result.
"""

import ctypes
import itertools
import sys
import zlib
from enum import IntEnum
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NamedTuple

import numpy as np
from emulator import memory, streams
from emulator.products import (
    AUX,
    BF16,
    BGRAD,
    BGRADA,
    BGRADB,
    BIAS,
    DGELU,
    DRELU,
    F16,
    F32,
    F64,
    RELU,
    STORED,
    multiply,
)

MAGIC = 0x6C745F5F
N_ALGORITHMS = 2  # the second one splits sums, and needs a workspace

ComputeType = IntEnum("ComputeType", {
    "COMPUTE_16F": 64, "COMPUTE_16F_PEDANTIC": 65, "COMPUTE_32F": 68, "COMPUTE_32F_PEDANTIC": 69,
    "COMPUTE_64F": 70, "COMPUTE_64F_PEDANTIC": 71, "COMPUTE_32I": 72, "COMPUTE_32I_PEDANTIC": 73,
    "COMPUTE_32F_FAST_16F": 74, "COMPUTE_32F_FAST_16BF": 75, "COMPUTE_32F_FAST_TF32": 77,
    "COMPUTE_32F_EMULATED_16BFX9": 78, "COMPUTE_64F_EMULATED_FIXEDPOINT": 79,
})  # fmt: skip
Operation = IntEnum("Operation", {"N": 0, "T": 1, "C": 2, "CONJG": 3})
CudaDataType = IntEnum("CudaDataType", {
    "CUDA_R_32F": 0, "CUDA_R_64F": 1, "CUDA_R_16F": 2, "CUDA_R_8I": 3, "CUDA_R_8U": 8,
    "CUDA_R_32I": 10, "CUDA_R_32U": 12, "CUDA_R_16BF": 14,
})  # fmt: skip
Epilogue = IntEnum("Epilogue", {
    "DEFAULT": 1, "RELU": 2, "RELU_AUX": 130, "BIAS": 4, "RELU_BIAS": 6, "RELU_AUX_BIAS": 134,
    "DRELU": 136, "DRELU_BGRAD": 152, "GELU": 32, "GELU_AUX": 160, "GELU_BIAS": 36,
    "GELU_AUX_BIAS": 164, "DGELU": 192, "DGELU_BGRAD": 208, "BGRADA": 256, "BGRADB": 512,
})  # fmt: skip
Order = IntEnum("Order", {"COL": 0, "ROW": 1, "COL32": 2, "COL4_4R2_8C": 3, "COL32_2R_4R4": 4})
PointerMode = IntEnum("PointerMode", {
    "HOST": 0, "DEVICE": 1, "DEVICE_VECTOR": 2, "ALPHA_DEVICE_VECTOR_BETA_ZERO": 3,
    "ALPHA_DEVICE_VECTOR_BETA_HOST": 4,
})  # fmt: skip
ReductionScheme = IntEnum("ReductionScheme", {
    "NONE": 0, "INPLACE": 1, "COMPUTE_TYPE": 2, "OUTPUT_TYPE": 4, "MASK": 7,
})  # fmt: skip

# Of each kind of description: attribute -> its number, the dtype of its value, the default.
ATTRIBUTES = {
    "matmul_desc": {
        "COMPUTE_TYPE": (0, "i4", 0), "SCALE_TYPE": (1, "i4", 0), "POINTER_MODE": (2, "i4", 0),
        "TRANSA": (3, "i4", 0), "TRANSB": (4, "i4", 0), "TRANSC": (5, "i4", 0),
        "FILL_MODE": (6, "i4", 2), "EPILOGUE": (7, "u4", 1), "BIAS_POINTER": (8, "i8", 0),
        "BIAS_BATCH_STRIDE": (10, "i8", 0), "EPILOGUE_AUX_POINTER": (11, "i8", 0),
        "EPILOGUE_AUX_LD": (12, "i8", 0), "EPILOGUE_AUX_BATCH_STRIDE": (13, "i8", 0),
        "ALPHA_VECTOR_BATCH_STRIDE": (14, "i8", 0), "SM_COUNT_TARGET": (15, "i4", 0),
        "EPILOGUE_AUX_DATA_TYPE": (22, "i4", -1), "FAST_ACCUM": (25, "i1", 0),
        "BIAS_DATA_TYPE": (26, "i4", -1),
    },
    "matrix_layout": {
        "TYPE": (0, "u4", 0), "ORDER": (1, "i4", 0), "ROWS": (2, "u8", 0), "COLS": (3, "u8", 0),
        "LD": (4, "i8", 0), "BATCH_COUNT": (5, "i4", 1), "STRIDED_BATCH_OFFSET": (6, "i8", 0),
        "PLANE_OFFSET": (7, "i8", 0), "BATCH_MODE": (8, "i4", 0),
    },
    "matmul_preference": {
        "SEARCH_MODE": (0, "u4", 0), "MAX_WORKSPACE_BYTES": (1, "u8", 0),
        "REDUCTION_SCHEME_MASK": (3, "u4", 7), "MIN_ALIGNMENT_A_BYTES": (5, "u4", 256),
        "MIN_ALIGNMENT_B_BYTES": (6, "u4", 256), "MIN_ALIGNMENT_C_BYTES": (7, "u4", 256),
        "MIN_ALIGNMENT_D_BYTES": (8, "u4", 256), "MAX_WAVES_COUNT": (9, "f4", 0),
        "IMPL_MASK": (12, "u8", ~0 & (1 << 64) - 1),
    },
}  # fmt: skip
MatmulDescAttribute, MatrixLayoutAttribute, MatmulPreferenceAttribute = (
    IntEnum(name, {key: row[0] for key, row in ATTRIBUTES[kind].items()})
    for name, kind in (
        ("MatmulDescAttribute", "matmul_desc"), ("MatrixLayoutAttribute", "matrix_layout"),
        ("MatmulPreferenceAttribute", "matmul_preference"),
    )
)  # fmt: skip

matmul_algo_dtype = np.dtype([("data_", "u8", (8,))])
matmul_heuristic_result_dtype = np.dtype([
    ("algo", matmul_algo_dtype), ("workspace_size", "u8"), ("state", "i4"), ("waves_count", "f4"),
    ("reserved", "i4", (4,)),
])  # fmt: skip
# Compute type -> scale type, and pairs of types of A and B, C and D: cublasLtMatmul's table.
SUPPORTED = {
    **dict.fromkeys((64, 65), (F16, {(F16, F16)})),
    **dict.fromkeys(
        (68, 69), (F32, {(F16, F16), (BF16, BF16), (F16, F32), (BF16, F32), (F32, F32)})
    ),
    **dict.fromkeys((74, 75, 77, 78), (F32, {(F32, F32)})),
    **dict.fromkeys((70, 71, 79), (F64, {(F64, F64)})),
}
STATUS = {
    1: ("NOT_INITIALIZED", "the library was not initialized"),
    7: ("INVALID_VALUE", "an unsupported value or parameter was passed to the function"),
    15: ("NOT_SUPPORTED", "the functionality requested is not supported"),
}


class cuBLASLtError(Exception):  # noqa: N801, N818, the name is nvmath's
    """An error of cuBLASLt, with its `status`; here it says why."""

    def __init__(self, status, why=""):
        self.status = status
        name, text = STATUS[status]
        super().__init__(f"{text} (CUBLAS_STATUS_{name}). {why}")


def _need(holds, why, status=7):
    if not holds:
        raise cuBLASLtError(status, why)


# ---- Handles, and descriptions with attributes

_things: dict[int, object] = {}
_numbers = itertools.count(0x7000, 16)


def _new(thing):
    number = next(_numbers)
    _things[number] = thing
    return number


def _thing(number, kind):
    thing = _things.get(int(number))
    _need(thing is not None and thing["kind"] == kind, f"{number:#x} is no {kind}", 1)
    return thing


def _created(kind, **values):
    return _new({"kind": kind} | {k: row[2] for k, row in ATTRIBUTES[kind].items()} | values)


def _functions(kind):
    """Return the functions that all kinds of descriptions have."""
    names = {row[0]: key for key, row in ATTRIBUTES[kind].items()}

    def destroy(number):
        _thing(number, kind)
        del _things[number]

    def dtype_of(attribute):
        _need(int(attribute) in names, f"the stand-in has no attribute {attribute}")
        return np.dtype(ATTRIBUTES[kind][names[int(attribute)]][1])

    def set_attribute(number, attribute, buf, size_in_bytes):
        thing, dtype = _thing(number, kind), dtype_of(attribute)
        _need(size_in_bytes == dtype.itemsize, f"{names[int(attribute)]} takes {dtype.itemsize}")
        thing[names[int(attribute)]] = np.frombuffer(ctypes.string_at(buf, size_in_bytes), dtype)[0]

    def get_attribute(number, attribute, buf, size_in_bytes, size_written):
        thing, dtype = _thing(number, kind), dtype_of(attribute)
        raw = np.array(thing[names[int(attribute)]], dtype).tobytes()
        _need(size_in_bytes >= len(raw), "the buffer is too short")
        ctypes.memmove(buf, raw, len(raw))
        ctypes.memmove(size_written, np.uint64(len(raw)).tobytes(), 8)

    return {
        f"{kind}_destroy": destroy, f"{kind}_set_attribute": set_attribute,
        f"{kind}_get_attribute": get_attribute, f"get_{kind}_attribute_dtype": dtype_of,
    }  # fmt: skip


def create():
    """`cublasLtCreate`."""
    return _new({"kind": "handle"})


def destroy(light_handle):
    """`cublasLtDestroy`."""
    _thing(light_handle, "handle")
    del _things[light_handle]


def matmul_desc_create(compute_type, scale_type):
    """`cublasLtMatmulDescCreate`."""
    values = {"COMPUTE_TYPE": int(compute_type), "SCALE_TYPE": int(scale_type)}
    return _created("matmul_desc", **values)


def matrix_layout_create(type, rows, cols, ld):
    """`cublasLtMatrixLayoutCreate`."""
    values = {"TYPE": int(type), "ROWS": int(rows), "COLS": int(cols), "LD": int(ld)}
    return _created("matrix_layout", **values)


def matmul_preference_create():
    """`cublasLtMatmulPreferenceCreate`."""
    return _created("matmul_preference")


class MatmulHeuristicResult:
    """An array of results, with its address."""

    def __init__(self, size=1, _data=None):
        self._data = np.zeros(size, matmul_heuristic_result_dtype) if _data is None else _data

    ptr = property(lambda self: self._data.ctypes.data)

    def __len__(self):
        return len(self._data)

    def __getitem__(self, index):
        if isinstance(index, str):
            return self._data[index]
        return MatmulHeuristicResult(_data=self._data[index : index + 1])

    def __getattr__(self, name):
        field = self._data[name]
        return field if len(field) > 1 or name == "algo" else field[0].item()


# ---- What is asked for, and whether cuBLASLt has it


class Problem(NamedTuple):
    """A product: D (m, n) = epilogue(alpha op(A) op(B) + beta C), of columns, `count` times."""

    operation: dict
    a: dict
    b: dict
    c: dict
    d: dict
    m: int
    n: int
    k: int
    count: int
    epilogue: int

    def key(self):
        """Return what an algorithm was chosen for."""
        kept = {"COMPUTE_TYPE", "SCALE_TYPE", "TRANSA", "TRANSB", "EPILOGUE"}
        parts = [int(self.operation[name]) for name in sorted(kept)]
        parts += [int(x[name]) for x in self[1:5] for name in ("TYPE", "ROWS", "COLS")]
        return zlib.crc32(repr((*parts, self.count)).encode())


def _problem(operation, *layouts):
    operation = _thing(operation, "matmul_desc")
    a, b, c, d = (_thing(layout, "matrix_layout") for layout in layouts)
    (m, k), (k2, n) = (
        (int(x["ROWS"]), int(x["COLS"]))[:: -1 if operation[t] else 1]
        for x, t in ((a, "TRANSA"), (b, "TRANSB"))
    )
    _need(k == k2 and m * n * k > 0, f"op(A) is {m} x {k}, op(B) {k2} x {n}")
    for x in (c, d):
        _need((x["ROWS"], x["COLS"]) == (m, n), f"C and D must be {m} x {n}")
    for x in (a, b, c, d):
        _need(x["LD"] >= x["ROWS"], f"leading dimension {x['LD']} of {x['ROWS']} rows")
        _need(x["ORDER"] == Order.COL, "the stand-in has columns only", 15)
        _need(x["BATCH_COUNT"] == a["BATCH_COUNT"] > 0, "batch counts differ")
    _need(operation["POINTER_MODE"] == PointerMode.HOST, "the stand-in takes host pointers", 15)
    problem = Problem(operation, a, b, c, d, m, n, k, int(a["BATCH_COUNT"]), operation["EPILOGUE"])
    _check_types(problem)
    _check_epilogue(problem)
    return problem


def _check_types(p):
    scale, pairs = SUPPORTED.get(p.operation["COMPUTE_TYPE"], (None, ()))
    types = [x["TYPE"] for x in (p.a, p.b, p.c, p.d)]
    right = types[0] == types[1] and types[2] == types[3] and (types[0], types[2]) in pairs
    _need(right and p.operation["SCALE_TYPE"] == scale, f"types {types} in this compute type", 15)
    for name in ("BIAS_DATA_TYPE", "EPILOGUE_AUX_DATA_TYPE"):
        _need(p.operation[name] in (-1, p.d["TYPE"]), f"{name} is not that of D", 15)


def _check_epilogue(p):
    bits, op = p.epilogue, p.operation
    _need(bits in set(Epilogue), f"epilogue {bits}")
    _need(not (bits & (DRELU | DGELU) and p.k == 1), "K = 1 with DRELU or DGELU", 15)
    if bits & AUX:
        ld, unit = op["EPILOGUE_AUX_LD"], 128 if bits & (RELU | DRELU) else 8
        _need(ld >= p.m and ld % unit == 0, f"AUX_LD {ld}: a multiple of {unit}, at least {p.m}")
        stride = op["EPILOGUE_AUX_BATCH_STRIDE"]
        apart = stride >= ld * p.n or bits & (DRELU | DGELU)
        _need(p.count == 1 or (apart and stride % unit == 0), f"AUX_BATCH_STRIDE {stride}")
    if bits & (BGRAD | BGRADA | BGRADB) and p.count > 1:
        length = p.n if bits & BGRADB else p.m
        _need(op["BIAS_BATCH_STRIDE"] >= length, "bias gradients of a batch lie upon each other")


def matmul_algo_get_heuristic(
    light_handle, operation_desc, adesc, bdesc, cdesc, ddesc, preference, requested_algo_count,
    heuristic_results_array, return_algo_count,
):  # fmt: skip
    """`cublasLtMatmulAlgoGetHeuristic`."""
    _thing(light_handle, "handle")
    wishes = _thing(preference, "matmul_preference")
    p = _problem(operation_desc, adesc, bdesc, cdesc, ddesc)
    aligned = [int(wishes[f"MIN_ALIGNMENT_{x}_BYTES"]) for x in "ABCD"]
    _need(all(n > 0 and n & (n - 1) == 0 for n in aligned), "alignments are powers of two")
    found = []
    for i in range(min(N_ALGORITHMS, requested_algo_count)):
        workspace = i * 2 * 4 * p.m * p.n * p.count
        allowed = wishes["REDUCTION_SCHEME_MASK"] & ReductionScheme.COMPUTE_TYPE
        if workspace <= wishes["MAX_WORKSPACE_BYTES"] and (i == 0 or allowed):
            data = [MAGIC, p.key(), *aligned, workspace, i]
            found.append(((data,), workspace, 0, 1.0, (0,) * 4))
    rows = np.array(found, matmul_heuristic_result_dtype)
    ctypes.memmove(heuristic_results_array, rows.tobytes(), rows.nbytes)
    ctypes.memmove(return_algo_count, np.int32(len(rows)).tobytes(), 4)


# ---- The product


def matmul(
    light_handle, compute_desc, alpha, a, adesc, b, bdesc, beta, c, cdesc, d, ddesc, algo,
    workspace, workspace_size_in_bytes, stream,
):  # fmt: skip
    """`cublasLtMatmul`: one launch, now or in the graph that is captured."""
    _thing(light_handle, "handle")
    p = _problem(compute_desc, adesc, bdesc, cdesc, ddesc)
    name = "cublasLt" + (f":{Epilogue(p.epilogue).name}" if p.epilogue != Epilogue.DEFAULT else "")
    scale = STORED[p.operation["SCALE_TYPE"]]
    alpha, beta = (
        float(np.frombuffer(ctypes.string_at(x, np.dtype(scale).itemsize), scale)[0])
        for x in (alpha, beta)
    )
    pointers = [a, b, *([c] if beta else []), d]
    layouts = [p.a, p.b, *([p.c] if beta else []), p.d]
    needed = _check_algorithm(p, algo, dict(zip("ABCD" if beta else "ABD", pointers)))
    _need(needed <= workspace_size_in_bytes, f"the algorithm needs {needed} bytes of workspace")
    _need(not needed or workspace % 16 == 0, "the workspace is not aligned to 16 bytes")
    owners = [_owner(name, x, *_extent(layout)) for x, layout in zip(pointers, layouts)]
    owners += _extras(name, p)
    if needed:
        owners.append(_owner(name, workspace, needed, 1))
    frozen = p._replace(**{x: dict(getattr(p, x)) for x in ("operation", "a", "b", "c", "d")})

    def run():
        memory.check_owners(owners, name)
        if needed:
            memory.bytes_at(workspace, needed)[:] = memory.POISON
        for i in range(p.count):
            multiply(frozen, i, alpha, beta, a, b, c, d)
        memory.check_edges(owners, name)

    streams.launch(name, run, streams.stream_at(stream, name))


def _check_algorithm(p, algo, pointers):
    """Return the bytes of workspace that the algorithm needs."""
    if not algo:
        return 0
    data = np.frombuffer(ctypes.string_at(algo, 64), np.uint64).tolist()
    _need(data[0] == MAGIC and data[1] == p.key(), "the algorithm was found for another problem")
    for name, aligned in zip("ABCD", data[2:6]):
        layout = getattr(p, name.lower())
        step = int(layout["STRIDED_BATCH_OFFSET"]) * np.dtype(STORED[layout["TYPE"]]).itemsize
        address = pointers.get(name, 0) | (step if p.count > 1 else 0)
        _need(address % aligned == 0, f"{name} is not aligned to {aligned} bytes", 15)
    bias = p.operation["BIAS_POINTER"] if p.epilogue & (BIAS | BGRAD | BGRADA | BGRADB) else 0
    _need(bias % data[5] == 0, f"the bias is not aligned to D's {data[5]} bytes", 15)
    return data[6]


def _extent(layout):
    """Return the elements from the first to behind the last, and the size of one."""
    last = int(layout["LD"]) * (int(layout["COLS"]) - 1) + int(layout["ROWS"])
    steps = (int(layout["BATCH_COUNT"]) - 1) * int(layout["STRIDED_BATCH_OFFSET"])
    return last + steps, np.dtype(STORED[layout["TYPE"]]).itemsize


def _owner(name, address, n, itemsize):
    """Return a reference to the memory in which n elements lie."""
    owner = memory.owner_of(address, name)
    mem = owner()
    _need(
        address + n * itemsize <= mem.ptr + mem.nbytes,
        f"{name}: {n} elements of {itemsize} bytes do not lie in {mem.nbytes} bytes of memory",
    )
    return owner


def _extras(name, p):
    """Return references to the memory of bias and auxiliary matrix."""
    op, bits = p.operation, p.epilogue
    size, found = np.dtype(STORED[p.d["TYPE"]]).itemsize, []
    if bits & (BIAS | BGRAD | BGRADA | BGRADB):
        _need(op["BIAS_POINTER"], f"{name} without BIAS_POINTER")
        n = (p.n if bits & BGRADB else p.m) + (p.count - 1) * int(op["BIAS_BATCH_STRIDE"])
        found.append(_owner(name, int(op["BIAS_POINTER"]), n, size))
    if bits & AUX:
        _need(op["EPILOGUE_AUX_POINTER"] % 16 == 0, "AUX_POINTER is not aligned to 16 bytes")
        _need(op["EPILOGUE_AUX_POINTER"], f"{name} without EPILOGUE_AUX_POINTER")
        n = int(op["EPILOGUE_AUX_LD"]) * p.n
        n += (p.count - 1) * int(op["EPILOGUE_AUX_BATCH_STRIDE"])
        n, size = (n // 8, 1) if bits & (RELU | DRELU) else (n, size)
        found.append(_owner(name, int(op["EPILOGUE_AUX_POINTER"]), n, size))
    return found


def install():
    """Put the stand-in where `import nvmath` finds it."""
    if "nvmath" in sys.modules:
        raise RuntimeError("nvmath is imported already: install the stand-in in a new process.")
    names = ("nvmath", "nvmath.bindings", "nvmath.bindings.cublas", "nvmath.bindings.cublasLt")
    modules = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        module.__path__, module.__spec__ = [], ModuleSpec(name, None)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(modules[parent], child, module)
    nvmath, _, cublas, lt = modules.values()
    nvmath.__version__, nvmath.CudaDataType = "1.0.0", CudaDataType
    vars(cublas).update(ComputeType=ComputeType, Operation=Operation)
    own = (
        create, destroy, matmul, matmul_algo_get_heuristic, matmul_desc_create,
        matmul_preference_create, matrix_layout_create, cuBLASLtError, MatmulHeuristicResult,
        Epilogue, MatmulDescAttribute, MatmulPreferenceAttribute, MatrixLayoutAttribute, Order,
        PointerMode, ReductionScheme,
    )  # fmt: skip
    vars(lt).update({thing.__name__: thing for thing in own})
    for kind in ATTRIBUTES:
        vars(lt).update(_functions(kind))
    lt.get_version = lambda: 131000
    lt.matmul_algo_dtype = matmul_algo_dtype
    lt.matmul_heuristic_result_dtype = matmul_heuristic_result_dtype
    sys.modules.update(modules)
    return nvmath
