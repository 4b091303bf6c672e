"""The kernels of kernels.cu, compiled by CuPy (NVRTC), as launches that are bound to arrays."""

import re
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import cupy
import numpy as np

SOURCE = Path(__file__).with_name("kernels.cu")
HEADER = Path(__file__).parents[1] / "kernels" / "elementwise.h"
BLOCK = (32, 8, 1)  # threads: a warp a row
# What arrays of a stored type are made of: bfloat16 needs no more than its 16 bits.
STORED = {"bfloat16": "uint16", "float32": "float32", "float64": "float64"}
C_TYPES = {"bfloat16": "__nv_bfloat16", "float32": "float", "float64": "double"}
DECLARED = re.compile(
    r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\)\s)?(\w+)\(([^)]*)\)'
)


def options(dtype: str, stored: str) -> tuple[str, ...]:
    """Return the compiler's options for parameters of `dtype` and activations of `stored`."""
    types = f"-DMASTER={C_TYPES[dtype]}", f"-DSTORED={C_TYPES[stored]}"
    return ("-std=c++17", *types, *["-DBFLOAT16"] * (stored == "bfloat16"))


def source() -> str:
    """Return the text of the kernels, their header in it: CuPy keeps code by the text."""
    return SOURCE.read_text().replace('#include "../kernels/elementwise.h"', HEADER.read_text())


LOCK = threading.Lock()  # one thread compiles, others wait for it


def launcher(dtype: str, stored: str) -> Callable[..., Callable[[], None]]:
    """Return bind(name, grid, *args) -> launch(), for the kernels of a pair of types.

    Arguments are arrays, None for a null pointer, and numbers, which become what the kernel
    declares.
    """
    with LOCK:
        return _launcher(dtype, stored)


@cache
def compile_ahead(dtype: str, stored: str, device: int) -> threading.Thread:
    """Compile the kernels of a pair of types for a GPU in a thread, as while rows are copied."""

    def compiled():
        # What fails here fails again, and is reported, where a step wants the kernels.
        with suppress(Exception), cupy.cuda.Device(device):
            launcher(dtype, stored)

    thread = threading.Thread(target=compiled, daemon=True)
    thread.start()
    return thread


@cache
def _launcher(dtype, stored):
    code = source()
    module = cupy.RawModule(code=code, options=options(dtype, stored))
    module.compile()
    numbers = {"int": np.int32, "unsigned": np.uint32, "long long": np.int64}
    numbers["T"] = np.dtype(dtype).type
    declared = {
        name: [_kind(parameter, numbers) for parameter in parameters.split(",")]
        for name, parameters in DECLARED.findall(code)
    }

    def bind(name, grid, *args):
        kinds = declared[name]
        if len(args) != len(kinds):
            raise TypeError(f"{name} takes {len(kinds)} arguments, got {len(args)}")
        own = tuple(_argument(kind, arg) for kind, arg in zip(kinds, args))
        return partial(module.get_function(name), grid, BLOCK, own)

    return bind


def _kind(parameter, numbers):
    """Return the NumPy type of a declared number, None for a pointer."""
    if "*" in parameter:
        return None
    return numbers[parameter.rpartition(" ")[0].replace("const ", "").strip()]


def _argument(kind, arg) -> Any:
    if arg is None:
        kind, arg = np.uintp, 0
    if kind is None:
        return arg
    return kind(arg)


def grid_of(rows: int, K: int = 1, columns: int = 1) -> tuple[int, int, int]:
    """Return the grid of a row kernel: 8 rows a block, about 4 elements a thread."""
    splits = min(-(-columns // 128), -(-16 * most_blocks() // rows))
    return -(-rows // 8), splits, K


def blocks_of(n: int, K: int = 1) -> tuple[int, int, int]:
    """Return the grid of a kernel over n elements: 4 a thread, but no more blocks than work."""
    return max(1, min(-(-n // 1024), most_blocks())), 1, K


def splits_of(rows: int, others: int) -> int:
    """Return into how many splits rows are cut where so many blocks work on each."""
    return max(1, min(-(-rows // 32), most_blocks() // others))


def most_blocks() -> int:
    """Return how many blocks the current GPU runs at once; each loops over what is left."""
    return 5 * _multiprocessors(cupy.cuda.Device().id)


@cache
def _multiprocessors(device):
    return cupy.cuda.runtime.getDeviceProperties(device)["multiProcessorCount"]
