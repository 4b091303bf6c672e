"""cuBLASLt on a CPU: a shared library with its symbols, which jump to Python, and NumPy.

    import cupy_standin, cublaslt_standin
    cupy_standin.install()
    cublaslt_standin.install()      # where cuda.pathfinder is asked for cuBLASLt

Operands are read and written at their addresses. It refuses what cuBLASLt's documentation calls
unsupported, and is stricter where a card would corrupt memory: an operand that ends outside of the
memory it begins in, is less aligned than the preference said, or has been freed; an algorithm of
another problem; another stream than the current one. The result, and what an epilogue writes beside
it, hold NaN before the operands are read, unless beta adds the old result. Why it refuses is part
of the status's name.
"""

import ctypes
import itertools
import sys
import zlib
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import NamedTuple

import numpy as np
from emulator import memory, streams
from emulator.kernels import built
from emulator.lt_numbers import (
    ATTRIBUTES,
    COMPUTE_TYPES,
    DATA_TYPES,
    EPILOGUES,
    PROTOTYPES,
    RESULTS,
    STATUS,
)
from emulator.products import AUX, BGRAD, BGRADA, BGRADB, BIAS, DGELU, DRELU, RELU, STORED, multiply

MAGIC = 0x6C745F5F
N_ALGORITHMS = 2  # the second one splits sums, and needs a workspace
IN_COMPUTE_TYPE = 2  # of the schemes by which sums may be split

RECOMMENDATION = np.dtype(
    [
        ("algo", "u8", (8,)),
        ("workspace_size", "u8"),
        ("state", "i4"),
        ("waves_count", "f4"),
        ("reserved", "i4", (4,)),
    ]
)
F32, F64, BF16 = (DATA_TYPES[name] for name in ("float32", "float64", "bfloat16"))
# Compute type -> scale type, and pairs of types of A and B, C and D: cublasLtMatmul's table.
SUPPORTED = {
    COMPUTE_TYPES["float32"]: (F32, {(BF16, BF16), (BF16, F32), (F32, F32)}),
    COMPUTE_TYPES["tf32"]: (F32, {(F32, F32)}),
    COMPUTE_TYPES["float64"]: (F64, {(F64, F64)}),
}


class Refused(Exception):
    """A status other than success, and why."""

    def __init__(self, status, why=""):
        super().__init__(f"CUBLAS_STATUS_{STATUS[status]}: {why}")
        self.status = status


def _need(holds, why, status=7):
    if not holds:
        raise Refused(status, why)


# ---- Handles, and descriptions with attributes

_things: dict[int, dict] = {}
_numbers = itertools.count(0x7000, 16)


def _thing(number, kind):
    thing = _things.get(number or 0)
    _need(thing is not None and thing["kind"] == kind, f"{number or 0:#x} is no {kind}", 1)
    return thing


def _created(place, kind, **values):
    defaults = {name: row[2] for name, row in ATTRIBUTES.get(kind, {}).items()}
    number = next(_numbers)
    _things[number] = {"kind": kind} | defaults | values
    ctypes.c_void_p.from_address(place).value = number


def _functions(kind):
    """Return the functions that all kinds of descriptions have."""
    attributes = {row[0]: (name, np.dtype(row[1])) for name, row in ATTRIBUTES[kind].items()}

    def destroy(number):
        _thing(number, kind)
        del _things[number]

    def set_attribute(number, attribute, buf, size_in_bytes):
        thing = _thing(number, kind)
        _need(attribute in attributes, f"the stand-in has no attribute {attribute}")
        name, dtype = attributes[attribute]
        _need(size_in_bytes == dtype.itemsize, f"{name} takes {dtype.itemsize} bytes")
        thing[name] = np.frombuffer(ctypes.string_at(buf, size_in_bytes), dtype)[0]

    return {f"cublasLt{kind}Destroy": destroy, f"cublasLt{kind}SetAttribute": set_attribute}


for _kind in ATTRIBUTES:
    globals().update(_functions(_kind))


def cublasLtCreate(place):
    _created(place, "handle")


def cublasLtMatmulDescCreate(place, compute_type, scale_type):
    _created(place, "MatmulDesc", COMPUTE_TYPE=compute_type, SCALE_TYPE=scale_type)


def cublasLtMatrixLayoutCreate(place, type, rows, cols, ld):
    _created(place, "MatrixLayout", TYPE=type, ROWS=rows, COLS=cols, LD=ld)


def cublasLtMatmulPreferenceCreate(place):
    _created(place, "MatmulPreference")


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
    operation = _thing(operation, "MatmulDesc")
    a, b, c, d = (_thing(layout, "MatrixLayout") for layout in layouts)
    (m, k), (k2, n) = (
        (int(x["ROWS"]), int(x["COLS"]))[:: -1 if operation[t] else 1]
        for x, t in ((a, "TRANSA"), (b, "TRANSB"))
    )
    _need(k == k2 and m * n * k > 0, f"op(A) is {m} x {k}, op(B) {k2} x {n}")
    for x in (c, d):
        _need((x["ROWS"], x["COLS"]) == (m, n), f"C and D must be {m} x {n}")
    for x in (a, b, c, d):
        _need(x["LD"] >= x["ROWS"], f"leading dimension {x['LD']} of {x['ROWS']} rows")
        _need(x["ORDER"] == 0, "the stand-in has columns only", 15)
        _need(x["BATCH_COUNT"] == a["BATCH_COUNT"] > 0, "batch counts differ")
    _need(operation["POINTER_MODE"] == 0, "the stand-in takes host pointers", 15)
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
    _need(bits in EPILOGUES.values(), f"epilogue {bits}")
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


def cublasLtMatmulAlgoGetHeuristic(
    light_handle,
    operation_desc,
    adesc,
    bdesc,
    cdesc,
    ddesc,
    preference,
    requested_algo_count,
    heuristic_results_array,
    return_algo_count,
):
    _thing(light_handle, "handle")
    wishes = _thing(preference, "MatmulPreference")
    p = _problem(operation_desc, adesc, bdesc, cdesc, ddesc)
    aligned = [int(wishes[f"MIN_ALIGNMENT_{x}_BYTES"]) for x in "ABCD"]
    _need(all(n > 0 and n & (n - 1) == 0 for n in aligned), "alignments are powers of two")
    found = []
    for i in range(min(N_ALGORITHMS, requested_algo_count)):
        workspace = i * 2 * 4 * p.m * p.n * p.count
        allowed = wishes["REDUCTION_SCHEME_MASK"] & IN_COMPUTE_TYPE
        if workspace <= wishes["MAX_WORKSPACE_BYTES"] and (i == 0 or allowed):
            data = [MAGIC, p.key(), *aligned, workspace, i]
            found.append((data, workspace, 0, 1.0, (0,) * 4))
    rows = np.array(found, RECOMMENDATION)
    ctypes.memmove(heuristic_results_array, rows.tobytes(), rows.nbytes)
    ctypes.c_int.from_address(return_algo_count).value = len(rows)


# ---- The product

# How launches are named in a record.
NAMES = {bits: f"cublasLt:{name}" for name, bits in EPILOGUES.items()} | {1: "cublasLt"}


def cublasLtMatmul(
    light_handle,
    compute_desc,
    alpha,
    a,
    adesc,
    b,
    bdesc,
    beta,
    c,
    cdesc,
    d,
    ddesc,
    algo,
    workspace,
    workspace_size_in_bytes,
    stream,
):
    """One launch, now or in the graph that is captured."""
    _thing(light_handle, "handle")
    p = _problem(compute_desc, adesc, bdesc, cdesc, ddesc)
    name = NAMES[p.epilogue]
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

    streams.launch(name, run, streams.stream_at(stream or 0, name))


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


# ---- The shared library


def cublasLtGetVersion():
    return 131000


_said: list = []  # texts that C may read


def cublasLtGetStatusName(status):
    if not _said:
        _said.append(ctypes.create_string_buffer(f"CUBLAS_STATUS_{STATUS[status]}".encode()))
    return ctypes.addressof(_said[-1])


def _door(name):
    """Return a function for C: this module's of that name at the call. It raises nothing."""

    def call(*args):
        try:
            return globals()[name](*args) or 0
        except Refused as error:
            why, status = error, error.status
        except Exception as error:
            why, status = f"CUBLAS_STATUS_EXECUTION_FAILED: {type(error).__name__}: {error}", 13
        _said[:] = [ctypes.create_string_buffer(str(why).encode())]
        return status

    return call


def _source():
    """Return C++: each function calls what stands in a variable beside it."""
    lines = ["#include <cstddef>", "#include <cstdint>", 'extern "C" {']
    for name, parameters in PROTOTYPES.items():
        types = list(filter(None, parameters.split(", ")))
        declared = ", ".join(f"{t} a{i}" for i, t in enumerate(types))
        passed = ", ".join(f"a{i}" for i in range(len(types)))
        result = RESULTS.get(name, "int")
        lines.append(f"VISIBLE {result} (*door_{name})({parameters});")
        lines.append(f"VISIBLE {result} {name}({declared}) {{ return door_{name}({passed}); }}")
    return "\n".join([*lines, "}"])


C_TYPES = {
    "void*": ctypes.c_void_p,
    "int": ctypes.c_int,
    "size_t": ctypes.c_size_t,
    "uint64_t": ctypes.c_uint64,
    "int64_t": ctypes.c_int64,
}
VISIBLE = '-DVISIBLE=__attribute__((visibility("default")))'


def _connect(library):
    """Make the functions of the library call this module's; return what must stay alive."""
    kept = []
    for name, parameters in PROTOTYPES.items():
        types = [C_TYPES[t] for t in filter(None, parameters.split(", "))]
        door = ctypes.CFUNCTYPE(C_TYPES[RESULTS.get(name, "int")], *types)(_door(name))
        place = ctypes.c_void_p.in_dll(library, f"door_{name}")
        place.value = ctypes.cast(door, ctypes.c_void_p).value
        kept.append(door)
    return kept


def install():
    """Build the library, and put a module where `import cuda.pathfinder` finds it."""
    if "cuda.pathfinder" in sys.modules:
        raise RuntimeError("cuda.pathfinder is imported: install the stand-in in a new process.")
    path = built(_source(), [VISIBLE])
    library = ctypes.CDLL(str(path))
    cuda, pathfinder = ModuleType("cuda"), ModuleType("cuda.pathfinder")

    def load_nvidia_dynamic_lib(name):
        if name != "cublasLt":
            raise RuntimeError(f"the stand-in has no {name}")
        return SimpleNamespace(abs_path=str(path))

    cuda.__path__, cuda.__spec__, cuda.pathfinder = [], ModuleSpec("cuda", None), pathfinder
    pathfinder.__spec__ = ModuleSpec("cuda.pathfinder", None)
    pathfinder.load_nvidia_dynamic_lib = load_nvidia_dynamic_lib
    pathfinder._kept = library, _connect(library)
    sys.modules |= {"cuda": cuda, "cuda.pathfinder": pathfinder}
