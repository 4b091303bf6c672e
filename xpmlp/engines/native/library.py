"""The compiled library: where it is, and its structures."""

import ctypes
from functools import cache
from pathlib import Path
from zlib import crc32

_KINDS: dict = {
    "int": ctypes.c_int,
    "i": ctypes.c_int64,
    "d": ctypes.c_double,
    "p": ctypes.c_void_p,
}
FUNCTIONS = {  # of engine.cpp, and the kinds of their arguments
    "xpmlp_train": "int p p p i",
    "xpmlp_predict": "int p p p i p i i i i",
    "xpmlp_elementwise": "int int int i p p d p p",
}


def _structure(name, fields):
    """Return a structure of interface.h; fields: words such as "i:size" (integer, double, p)."""
    pairs = (word.split(":") for word in fields.split())
    members = [(field, _KINDS[kind]) for kind, field in pairs]
    return type(name, (ctypes.Structure,), {"_fields_": members})


Leaf = _structure("Leaf", "p:p p:u p:v p:ema i:size i:decays d:rate")
Layer = _structure(
    "Layer",
    "i:kind i:D i:H i:act i:source i:out i:aux i:skip i:needs_dx i:W_leaf i:W_at i:b_leaf i:b_at "
    "i:sums i:word i:limit i:n_codes i:dim p:starts p:mean p:var d:scale d:epsilon d:momentum",
)
Network = _structure("Network", "p:layers i:n_layers p:leaves i:n_leaves i:D i:C i:width i:n_sums")
Training = _structure(
    "Training",
    "i:loss i:rule i:N i:K i:B i:y_columns p:levels i:n_levels d:c d:c1 d:d d:d1 d:epsilon "
    "d:max_grad_norm d:max_norm d:ema_decay p:x p:y p:rows p:weights p:n_rows p:key p:rate p:decay "
    "p:shrink p:losses p:reduce p:context",
)


def version() -> int:
    """Return a number of the sources, as setup.py puts it into the library."""
    engines = Path(__file__).parents[1]
    sources = sorted([*engines.glob("native/*.h"), *engines.glob("native/*.cpp")])
    sources += sorted(engines.glob("kernels/*.h"))
    return crc32(b"".join(path.read_bytes() for path in sources))


@cache
def library():
    """Return the compiled library, or a sentence that says why there is none."""
    found = sorted(Path(__file__).parent.glob("_native*"))
    found = [path for path in found if path.suffix in (".so", ".pyd", ".dylib")]
    if not found and (Path(__file__).parents[3] / "pyproject.toml").is_file():
        return (
            "these are the sources of a clone, without the compiled engine: start Python in "
            "another folder, or install with pip's -e, which needs a C++ compiler"
        )
    if not found:
        return (
            "xpmlp was installed without its compiled engine, as there was no C++ compiler: "
            "install one, then xpmlp again"
        )
    try:
        made = ctypes.CDLL(str(found[0]))
    except OSError as error:
        return f"{found[0].name} cannot be loaded: {error}"
    sizes = (ctypes.c_int64 * 5)()
    made.xpmlp_sizes(sizes)
    wanted = [ctypes.sizeof(kind) for kind in (Leaf, Layer, Network, Training)]
    if [*sizes] != [*wanted, version()]:
        return f"{found[0].name} is of another version of xpmlp: install xpmlp again"
    for name, kinds in FUNCTIONS.items():
        function = getattr(made, name)
        function.argtypes, function.restype = [_KINDS[kind] for kind in kinds.split()], None
    for function in (made.xpmlp_train, made.xpmlp_predict):
        function.restype, function.errcheck = ctypes.c_int, _check
    made.xpmlp_generation(4)  # the best that this processor has
    return made


def _check(code, function, arguments):
    """Return what a function of the library returned, or raise what it could not."""
    if code == 1:
        raise MemoryError("The compiled engine could not allocate the buffers of its layers.")
    return code
