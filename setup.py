"""The compiled CPU engine, and the README of an archive; all else stands in pyproject.toml."""

import re
import sys
import tomllib
from pathlib import Path
from zlib import crc32

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class Library(build_ext):
    """An extension that ctypes loads: Windows' linker would miss a function to import it by."""

    def get_export_symbols(self, ext):
        """Return what is exported beside what the source says."""
        return []


def readme():
    """Return README.md, its links and images leading to [project.urls]'s Source, if that is there.

    On the page of an index a link such as docs/versions.md leads nowhere.
    """
    project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
    text, source = Path("README.md").read_text("utf-8"), project.get("urls", {}).get("Source")
    if source is None:
        return text

    def absolute(found):
        before, path = found.groups()
        if not Path(path.partition("#")[0]).exists():  # an address, or code that looks like a link
            return found[0]
        kind = "raw" if path.endswith((".png", ".svg")) else "blob"
        return f"{before}{source}/{kind}/v{project['version']}/{path}"

    return re.sub(r'(\]\(|src="|href="|^\[.+\]: )([^\s#)"][^\s)"]*)', absolute, text, flags=re.M)


# A wrong result of one thread would be another's right one: no -ffast-math. Sums that may be taken
# in any order say so.
flags = ["/std:c++17", "/O2"]
if sys.platform != "win32":
    flags = "-std=c++17 -O3 -ffp-contract=fast -fno-math-errno -fno-trapping-math -pthread".split()
    flags += ["-fopenmp-simd", "-fvisibility=hidden", "-g0"]

# By which library.py notices a library of other sources, as an old one in a checkout.
engines = Path("xpmlp/engines")
sources = sorted([*engines.glob("native/*.h"), *engines.glob("native/*.cpp")])
sources += sorted(engines.glob("kernels/*.h"))
version = crc32(b"".join(path.read_bytes() for path in sources))

setup(
    long_description=readme(),
    long_description_content_type="text/markdown",
    ext_modules=[
        Extension(
            "xpmlp.engines.native._native",
            ["xpmlp/engines/native/engine.cpp"],
            depends=[*map(str, sources)],
            define_macros=[("VERSION", str(version))],
            extra_compile_args=flags,
            language="c++",
            optional=True,  # without a compiler everything runs in NumPy's form
            py_limited_api=True,  # it needs no Python at all: ctypes loads it
        )
    ],
    cmdclass={"build_ext": Library},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},  # one wheel for all Pythons since
)
