"""The functions and numbers of cublasLt.h, without their prefixes, as far as the stand-in has them.

tests/engines/test_cublaslt.py compares them with NVIDIA's header.
"""

DATA_TYPES = {"float32": 0, "float64": 1, "bfloat16": 14}
COMPUTE_TYPES = {"float32": 68, "float64": 70, "tf32": 77}
EPILOGUES = {
    "DEFAULT": 1, "RELU": 2, "RELU_AUX": 130, "BIAS": 4, "RELU_BIAS": 6, "RELU_AUX_BIAS": 134,
    "DRELU": 136, "DRELU_BGRAD": 152, "GELU": 32, "GELU_AUX": 160, "GELU_BIAS": 36,
    "GELU_AUX_BIAS": 164, "DGELU": 192, "DGELU_BGRAD": 208, "BGRADA": 256, "BGRADB": 512,
}  # fmt: skip
STATUS = {1: "NOT_INITIALIZED", 7: "INVALID_VALUE", 13: "EXECUTION_FAILED", 15: "NOT_SUPPORTED"}

# Of each kind of description: attribute -> its number, the dtype of its value, the default.
ATTRIBUTES = {
    "MatmulDesc": {
        "COMPUTE_TYPE": (0, "i4", 0), "SCALE_TYPE": (1, "i4", 0), "POINTER_MODE": (2, "i4", 0),
        "TRANSA": (3, "i4", 0), "TRANSB": (4, "i4", 0), "TRANSC": (5, "i4", 0),
        "FILL_MODE": (6, "i4", 2), "EPILOGUE": (7, "u4", 1), "BIAS_POINTER": (8, "i8", 0),
        "BIAS_BATCH_STRIDE": (10, "i8", 0), "EPILOGUE_AUX_POINTER": (11, "i8", 0),
        "EPILOGUE_AUX_LD": (12, "i8", 0), "EPILOGUE_AUX_BATCH_STRIDE": (13, "i8", 0),
        "EPILOGUE_AUX_DATA_TYPE": (22, "i4", -1), "BIAS_DATA_TYPE": (26, "i4", -1),
    },
    "MatrixLayout": {
        "TYPE": (0, "u4", 0), "ORDER": (1, "i4", 0), "ROWS": (2, "u8", 0), "COLS": (3, "u8", 0),
        "LD": (4, "i8", 0), "BATCH_COUNT": (5, "i4", 1), "STRIDED_BATCH_OFFSET": (6, "i8", 0),
    },
    "MatmulPreference": {
        "SEARCH_MODE": (0, "u4", 0), "MAX_WORKSPACE_BYTES": (1, "u8", 0),
        "REDUCTION_SCHEME_MASK": (3, "u4", 7), "MIN_ALIGNMENT_A_BYTES": (5, "u4", 256),
        "MIN_ALIGNMENT_B_BYTES": (6, "u4", 256), "MIN_ALIGNMENT_C_BYTES": (7, "u4", 256),
        "MIN_ALIGNMENT_D_BYTES": (8, "u4", 256),
    },
}  # fmt: skip

# The types of the parameters; all answer with a status but the last two.
PROTOTYPES = {
    "cublasLtCreate": "void*",
    "cublasLtMatmulDescCreate": "void*, int, int",
    "cublasLtMatrixLayoutCreate": "void*, int, uint64_t, uint64_t, int64_t",
    "cublasLtMatmulPreferenceCreate": "void*",
    **{f"cublasLt{kind}Destroy": "void*" for kind in ATTRIBUTES},
    **{f"cublasLt{kind}SetAttribute": "void*, int, void*, size_t" for kind in ATTRIBUTES},
    "cublasLtMatmulAlgoGetHeuristic": ", ".join([*["void*"] * 7, "int", "void*", "void*"]),
    "cublasLtMatmul": ", ".join([*["void*"] * 14, "size_t", "void*"]),
    "cublasLtGetStatusName": "int",
    "cublasLtGetVersion": "",
}
RESULTS = {"cublasLtGetStatusName": "void*", "cublasLtGetVersion": "size_t"}
