"""`cupy.RawModule` on a CPU: kernels compiled by g++ behind cuda_on_cpu.h, arguments checked."""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from .errors import CUDADriverError
from .memory import check_edges, check_owners, owner_of
from .streams import launch, order, refuse_in_capture

HERE = Path(__file__).parent
FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-U_FORTIFY_SOURCE"]
# An address that is not aligned for what is read there ends the process, as it ends CUDA's context.
FLAGS += ["-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"]
FLAGS += ["-shared", "-fPIC", "-fvisibility=hidden", "-Wno-unknown-pragmas", f"-I{HERE}"]
# Options of NVRTC that change nothing here; it refuses others.
IGNORED = re.compile(
    r"--?(std=c\+\+\d+|use_fast_math|fmad=\w+|ftz=\w+|prec-(div|sqrt)=\w+|maxrregcount=\d+|"
    r"lineinfo|generate-line-info|extra-device-vectorization|restrict|disable-warnings|w)$"
)
extra_flags: list[str] = []  # of g++, e.g. -fsanitize=undefined
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
KERNEL = re.compile(
    r"(template\s*<[^>]*>\s*)?__global__\s+void\s+(?:__launch_bounds__\s*\([^)]*\)\s*)?(\w+)\s*\("
)
DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:__align__\(\w+\)\s+)?([\w:\s]+?)\s+(\w+)\s*\[\s*\]")
BFLOAT16 = "bfloat16", "uint16"


class CompileException(Exception):
    """`cupy.cuda.compiler.CompileException`."""


def source_of(code, names):
    """Return C++: the kernels, and for each name how it is described and launched."""
    if '"C"' in code:
        code = re.sub(r'extern\s+"C"(\s+)(?=[^{]*?__global__)', r"\1", code)
    code = DYNAMIC.sub(r"\1 *const \2 = reinterpret_cast<\1 *>(cuda_on_cpu::dynamic_shared)", code)
    doors = "".join(
        f"""
extern "C" __attribute__((visibility("default"))) const char *describe_{i}() {{
    return cuda_on_cpu::describe(&{name});
}}
extern "C" __attribute__((visibility("default")))
const char *launch_{i}(const unsigned *dims, void **arguments) {{
    return cuda_on_cpu::launch(&{name}, dims, arguments);
}}"""
        for i, name in enumerate(names)
    )
    # In a namespace without a name, variables of inline functions may have a section.
    return f'#include "cuda_on_cpu.h"\nnamespace {{\n#line 1 "code"\n{code}\n}}\n{doors}\n'


def compiled(code, names, options):
    """Return the library of some kernels, compiled once for each text and options."""
    defines = [o for o in options if not IGNORED.match(o)]
    unknown = [o for o in defines if not re.match(r"-[DU]\w", o)]
    if unknown:
        raise CompileException(f"nvrtc: error: unrecognized option {unknown[0]}")
    return ctypes.PyDLL(str(built(source_of(code, names), [*extra_flags, *defines])))


def built(source, flags):
    """Return the path of the shared library of some C++, built once for each text and flags."""
    flags = [*FLAGS, *flags]
    headers = "".join(p.read_text() for p in sorted(HERE.glob("*.h")))
    key = hashlib.sha256("\0".join([source, headers, *flags]).encode()).hexdigest()
    folder = Path(tempfile.gettempdir(), f"cuda_on_cpu-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    library = folder / f"{key[:32]}.so"
    if not library.exists():
        if shutil.which("g++") is None:
            raise CompileException("the stand-in for CUDA compiles kernels with g++: install it")
        with tempfile.TemporaryDirectory(dir=folder) as own:
            made = Path(own, "made.so")
            command = ["g++", *flags, "-x", "c++", "-", "-o", str(made)]
            result = subprocess.run(command, input=source, capture_output=True, text=True)
            if result.returncode:
                raise CompileException(result.stderr)
            made.replace(library)
    return library


class RawModule:
    """`cupy.RawModule`, of source code."""

    def __init__(
        self,
        code=None,
        *,
        path=None,
        options=(),
        backend="nvrtc",
        translate_cucomplex=False,
        enable_cooperative_groups=False,
        name_expressions=None,
        jitify=None,
    ):
        if not isinstance(code, str) or not isinstance(options, tuple):
            raise TypeError("RawModule takes code (str) and options (tuple)")
        self.code, self.options, self._library = code, options, None
        found = KERNEL.findall(COMMENT.sub("", code))
        self.names = [name for template, name in found if not template]
        self.names += name_expressions or ()

    def compile(self, log_stream=None):
        """Compile it now and not where its first kernel is asked for."""
        if self._library is None:
            refuse_in_capture("loading a module")
            self._library = compiled(self.code, self.names, self.options)

    def get_function(self, name):
        """Return a kernel."""
        self.compile()
        if name not in self.names:
            raise CUDADriverError(500)
        return RawKernel._of(self, name)


class RawKernel:
    """`cupy.RawKernel`: kernel(grid, block, args, shared_mem=0)."""

    max_dynamic_shared_size_bytes = 48 << 10  # more has to be asked for

    def __init__(self, code, name, options=(), **kwargs):
        self.__dict__ = vars(RawModule(code, options=options).get_function(name))

    @classmethod
    def _of(cls, module, name):
        self, i = cls.__new__(cls), module.names.index(name)
        describe = getattr(module._library, f"describe_{i}")
        self._run = getattr(module._library, f"launch_{i}")
        describe.restype = self._run.restype = ctypes.c_char_p
        parts = describe().decode().split(",")[:-1]
        self.name = name
        self.parameters = [re.fullmatch(r"(\*?)(\w)(\d+)", p).groups() for p in parts]
        return self

    def __call__(self, grid, block, args, *, shared_mem=0):
        """Launch it; what a card would not notice in the arguments raises."""
        dims = self._dims(grid, block, shared_mem)
        if len(args) != len(self.parameters):
            raise TypeError(f"{self.name} takes {len(self.parameters)} arguments, got {len(args)}")
        slots = (ctypes.c_uint64 * max(len(args), 1))()
        for i, (arg, parameter) in enumerate(zip(args, self.parameters)):
            raw = _bytes_of(arg, parameter, f"{self.name}: argument {i}")
            ctypes.memmove(ctypes.addressof(slots) + 8 * i, raw, len(raw))
        addresses = [slots[i] for i, (star, *_) in enumerate(self.parameters) if star and slots[i]]
        owners = [owner_of(address, self.name) for address in addresses]
        pointers = (ctypes.c_void_p * max(len(args), 1))(
            *(ctypes.addressof(slots) + 8 * i for i in range(len(args)))
        )
        name, run = self.name, self._run

        def work():
            check_owners(owners, name)
            error = run((ctypes.c_uint * 8)(*dims, order.backwards), pointers)
            if error:
                raise CUDADriverError(719, f"{name}: {error.decode()}")
            check_edges(owners, name)
            return slots  # which the pointers point to

        launch(name, work)

    def _dims(self, grid, block, shared_mem):
        # CuPy makes 1 of what is less.
        grid, block = ((*(max(1, int(n)) for n in dims), 1, 1)[:3] for dims in (grid, block))
        most = (2**31 - 1, 65535, 65535), (1024, 1024, 64)
        sizes = all(n <= m for dims, ms in zip((grid, block), most) for n, m in zip(dims, ms))
        if not sizes or np.prod(block) > 1024:
            raise CUDADriverError(1, f"{self.name}: grid {grid}, {block}")
        if not 0 <= shared_mem <= min(self.max_dynamic_shared_size_bytes, 227 << 10):
            raise CUDADriverError(1, f"{self.name}: {shared_mem} shared")
        return *grid, *block, shared_mem


def _bytes_of(arg, parameter, what):
    """Return an argument's bytes, after a comparison with the parameter's kind and size."""
    star, kind, size = parameter[0], parameter[1], int(parameter[2])
    if hasattr(arg, "data") and hasattr(arg.data, "ptr"):
        if not star:
            raise TypeError(f"{what} is an array, the kernel takes a number")
        if not _fits(arg.dtype, kind, size):
            raise TypeError(f"{what} is an array of {arg.dtype}, the kernel takes {kind}{size}")
        return np.uintp(arg.data.ptr).tobytes()
    if not isinstance(arg, np.generic):
        raise TypeError(
            f"{what} is of type {type(arg).__name__}: pass arrays of the card and NumPy scalars, "
            "whose width is known"
        )
    wanted = ("u", 8) if star else (kind, size)
    if (arg.dtype.kind, arg.dtype.itemsize) != wanted:
        raise TypeError(f"{what} is {arg.dtype}, the kernel takes {'*' * len(star)}{kind}{size}")
    return arg.tobytes()


def _fits(dtype, kind, size):
    """Whether arrays of a dtype may be passed as pointers to that kind of number."""
    if kind in "vS":  # void, structs
        return True
    if kind == "E":
        return dtype.name in BFLOAT16
    integers = "iu" if kind in "iu" else kind
    return dtype.itemsize == size and (
        dtype.kind in integers or (size == 1 and dtype.kind in "iub")
    )
