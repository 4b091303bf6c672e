"""kernels.cu compiled for cards that are not here: by NVRTC from its wheel, or else by nvcc."""

import ctypes
import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

ENGINES = Path(__file__).parents[2] / "xpmlp" / "engines"
SOURCE = (ENGINES / "cupy" / "kernels.cu").read_text()
INCLUDED = '#include "../kernels/elementwise.h"'
SOURCE = SOURCE.replace(INCLUDED, (ENGINES / "kernels" / "elementwise.h").read_text())
KERNELS = re.findall(r'extern "C" __global__ void (?:__launch_bounds__\([^)]*\)\s)?(\w+)\(', SOURCE)
TYPES = {
    "float32": ["-DMASTER=float", "-DSTORED=float"],
    "float64": ["-DMASTER=double", "-DSTORED=double"],
    "bfloat16": ["-DMASTER=float", "-DSTORED=__nv_bfloat16", "-DBFLOAT16"],
}


def nvrtc():
    """The compiler's library and the folder of its headers, or None."""
    found = find_spec("nvidia")
    for root in map(Path, found.submodule_search_locations or [] if found else []):
        libraries = [p for p in root.rglob("libnvrtc.so.*") if "alt" not in p.name]
        headers = [p.parent for p in root.rglob("cuda_bf16.h")]
        if libraries and headers:
            return ctypes.CDLL(str(libraries[0])), headers[0]
    return None


def compiled_by_nvrtc(found, source, options):
    """Returns the machine code, what the assembler says of it, and PTX."""
    library, headers = found
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernels.cu", 0, None, None)
    given = [o.encode() for o in (*options, "--ptxas-options=-v", f"-I{headers}")]
    code = library.nvrtcCompileProgram(program, len(given), (ctypes.c_char_p * len(given))(*given))
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    if code:
        raise ValueError(log.value.decode())
    library.nvrtcGetCUBINSize(program, ctypes.byref(size))
    cubin = ctypes.create_string_buffer(size.value)
    library.nvrtcGetCUBIN(program, cubin)
    library.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    library.nvrtcGetPTX(program, ptx)
    return cubin.raw, log.value.decode(), ptx.value.decode()


def compiled_by_nvcc(source, options, folder):
    (folder / "kernels.cu").write_text(source)
    for kind in ("ptx", "cubin"):
        command = [
            "nvcc",
            f"-{kind}",
            "-Xptxas",
            "-v",
            *options,
            "-o",
            f"made.{kind}",
            "kernels.cu",
        ]
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if result.returncode:
            raise ValueError(result.stderr)
    return (folder / "made.cubin").read_bytes(), result.stderr, (folder / "made.ptx").read_text()


@pytest.fixture
def compiled(tmp_path):
    """(source, options) -> the machine code, the assembler's report, and PTX."""
    if os.name == "posix" and (found := nvrtc()):
        return lambda source, options: compiled_by_nvrtc(found, source, options)
    if shutil.which("nvcc"):
        return lambda source, options: compiled_by_nvcc(source, options, tmp_path)
    pytest.skip("no CUDA compiler: pip install nvidia-cuda-nvrtc nvidia-cuda-runtime")


@pytest.mark.parametrize("arch", ["sm_80", "sm_90"])
@pytest.mark.parametrize("types", TYPES)
def test_every_kernel_compiles_without_spills_and_leaves_room_for_other_blocks(
    compiled, types, arch
):
    options = ["-std=c++17", f"-arch={arch}", *TYPES[types]]
    cubin, report, _ = compiled(SOURCE, options)
    assert len(KERNELS) > 7
    missing = [name for name in KERNELS if f".text.{name}".encode() not in cubin]
    assert not missing
    registers = [int(n) for n in re.findall(r"Used (\d+) registers", report)]
    assert len(registers) == len(KERNELS)
    # Five blocks of 256 threads a multiprocessor, as `most_blocks` assumes; three in float64.
    assert max(registers) <= (80 if types == "float64" else 48)
    assert all(int(n) == 0 for n in re.findall(r"(\d+) bytes spill", report))
    assert all(int(n) <= 48 << 10 for n in re.findall(r"(\d+) bytes smem", report))


# How many arrays a kernel reads and writes by 4 numbers at once, or 2 of float64.
PACKED = {
    "gather": (1, 1),
    "bias_act": (2, 2),
    "dact_colsum": (2, 1),
    "update": (4, 3),
    "apply_rule": (4, 3),
    "cast": (1, 1),
}


@pytest.mark.parametrize("types", TYPES)
def test_kernels_that_wait_for_memory_load_and_store_vectors(compiled, types):
    _, _, ptx = compiled(SOURCE, ["-std=c++17", "-arch=sm_90", *TYPES[types]])
    bodies = dict(re.findall(r"\.entry (\w+)\((.*?)\n\}", ptx, re.S))
    width = "v2.f64" if types == "float64" else r"v4.(?:f32|u16|b16)"
    for name, (loads, stores) in PACKED.items():
        found = [
            len(re.findall(rf"\b{what}(?:\.global)?(?:\.nc)?\.{width}\b", bodies[name]))
            for what in ("ld", "st")
        ]
        assert found[0] >= loads and found[1] >= stores, (name, found)


def test_a_mistake_in_the_source_is_seen(compiled):
    broken = SOURCE.replace("return z;", "return z", 1)
    with pytest.raises(ValueError, match="expected a"):
        compiled(broken, ["-std=c++17", "-arch=sm_80", *TYPES["float32"]])
