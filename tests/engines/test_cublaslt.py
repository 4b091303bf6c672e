"""The numbers and types of cuBLASLt's functions, ours and the stand-in's, by NVIDIA's own header.

The header comes with the package nvidia-cublas. No card is needed, not even where the library
itself is asked: its descriptions are made on the host.
"""

import ctypes
import re
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from emulator import lt_numbers as standin

PATH = Path(__file__).parents[2] / "xpmlp" / "engines" / "cupy" / "cublaslt.py"
ENUMERATIONS = {
    "DATA_TYPES": lambda name: "CUDA_R_" + {"bfloat16": "16BF"}.get(name, name[5:] + "F"),
    "COMPUTE_TYPES": lambda name: (
        "CUBLAS_COMPUTE_" + {"tf32": "32F_FAST_TF32"}.get(name, name[5:] + "F")
    ),
    "EPILOGUES": lambda name: f"CUBLASLT_EPILOGUE_{name}",
}
ATTRIBUTES = {
    "MatmulDesc": "CUBLASLT_MATMUL_DESC_",
    "MatrixLayout": "CUBLASLT_MATRIX_LAYOUT_",
    "MatmulPreference": "CUBLASLT_MATMUL_PREF_",
}
C_TYPES = {
    "int": ctypes.c_int,
    "size_t": ctypes.c_size_t,
    "uint64_t": ctypes.c_uint64,
    "int64_t": ctypes.c_int64,
    "float": ctypes.c_float,
    "void*": ctypes.c_void_p,
}


@cache
def ours():
    """xpmlp/engines/cupy/cublaslt.py without its package, which needs CuPy."""
    spec = spec_from_file_location("cublaslt", PATH)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def header():
    """NVIDIA's headers, one after the other, without comments."""
    found = find_spec("nvidia")
    for root in map(Path, found.submodule_search_locations if found else []):
        for path in root.rglob("cublasLt.h"):
            names = ("library_types.h", "cublas_api.h", "cublasLt.h")
            text = "".join(path.with_name(name).read_text() for name in names)
            return re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.S)
    pytest.skip("NVIDIA's header is not here: pip install nvidia-cublas nvidia-cuda-runtime")


@pytest.fixture(scope="module")
def constants(header):
    """Enumerations' constants by name."""
    found: dict = {}
    for name, value in re.findall(r"\b(CU\w+)\s*=\s*([^,}]+)", header):
        if re.fullmatch(r"[\w\s()|<-]+", value):
            found[name] = eval(re.sub(r"\b(\d+)u\b", r"\1", value), {}, found)
    return found


@pytest.mark.parametrize("mine", ["ours", "standin"])
def test_constants_are_those_of_the_header(constants, mine):
    tables = ours() if mine == "ours" else standin
    for enumeration, name_of in ENUMERATIONS.items():
        for name, number in getattr(tables, enumeration).items():
            assert constants[name_of(name)] == number, name
    for kind, prefix in ATTRIBUTES.items():
        for name, (number, *_) in tables.ATTRIBUTES[kind].items():
            assert constants[prefix + name] == number, name


def test_single_constants_are_those_of_the_header(constants):
    assert constants["CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE"] == (
        ours().REDUCTION_SCHEME_COMPUTE_TYPE
    )
    assert constants["CUBLAS_STATUS_EXECUTION_FAILED"] == ours().EXECUTION_FAILED
    for number, name in standin.STATUS.items():
        assert constants[f"CUBLAS_STATUS_{name}"] == number


def c_type(declared):
    """Return the ctypes type of a parameter's declaration; enumerations are ints."""
    declared = declared.replace("const ", "").strip()
    handle = r"cublasLt(Handle|MatmulDesc|MatrixLayout|MatmulPreference)_t \w+|cudaStream_t \w+"
    if "*" in declared or "[" in declared or re.fullmatch(handle, declared):
        return ctypes.c_void_p
    return C_TYPES.get(declared.partition(" ")[0], ctypes.c_int)


def plainly(kind):
    return ctypes.c_void_p if issubclass(kind, ctypes._Pointer) else kind


def test_functions_take_what_the_header_declares(header):
    declared = {
        name: [c_type(part) for part in parameters.split(",")]
        for name, parameters in re.findall(r"CUBLASWINAPI (cublasLt\w+)\(([^)]*)\);", header)
    }
    assert len(ours().FUNCTIONS) == 12
    for name, types in ours().FUNCTIONS.items():
        assert [plainly(kind) for kind in types] == declared[name], name
        assert [C_TYPES[part] for part in standin.PROTOTYPES[name].split(", ")] == declared[name]


@pytest.mark.parametrize("name", ["Algorithm", "Recommendation"])
def test_structures_have_the_fields_of_the_header(header, name):
    known = {"cublasLtMatmulAlgo_t": ours().Algorithm, "cublasStatus_t": ctypes.c_int, **C_TYPES}
    there = {"Algorithm": "MatmulAlgo", "Recommendation": "MatmulHeuristicResult"}[name]
    (body,) = re.findall(r"typedef struct \{([^}]*)\} cublasLt" + there + "_t;", header)
    fields = [
        (field, known[kind] * int(n) if n else known[kind])
        for kind, field, n in re.findall(r"(\w+) (\w+)(?:\[(\d+)\])?;", body)
    ]
    assert getattr(ours(), name)._fields_ == fields


def test_the_library_takes_each_attribute_in_our_width(header):
    lt, args = ours(), {"MatmulDesc": (68, 0), "MatrixLayout": (0, 3, 4, 3)}
    try:
        assert lt.version() >= (12, 0, 0)
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"cuda-pathfinder finds no cuBLASLt here: {error}")
    for kind, attributes in lt.ATTRIBUTES.items():
        lt.Description(kind, *args.get(kind, ()), **dict.fromkeys(attributes, 1))
        for name, (_, dtype, _) in standin.ATTRIBUTES[kind].items():
            if name in attributes:
                wanted = ctypes.sizeof(attributes[name][1])
                assert int(dtype[1]) == wanted, name
    with pytest.raises(lt.CublasLtError, match="CUBLAS_STATUS_INVALID_VALUE") as caught:
        lt.library().cublasLtMatmulDescSetAttribute(
            lt.Description("MatmulDesc", 68, 0).value, 3, ctypes.byref(ctypes.c_int64()), 8
        )
    assert caught.value.status == 7
