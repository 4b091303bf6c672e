"""What works on this machine: array libraries, BLAS, compiled code, optional extras.

A library works when it has made an array, run an operation and handed the number back. CuPy, with
all that stands between it and a GPU, is asked in a process of its own (`cuda_probe`).
"""

import logging
import os
import platform
import textwrap
import warnings
from contextlib import contextmanager
from importlib import import_module, metadata
from importlib.util import find_spec

from xpmlp import __version__

from ..words import plural
from . import cuda, cuda_probe, other_gpus

LIBRARIES = {
    "numpy": "pip install numpy",
    "torch": 'pip install "xpmlp[torch]"',
    "jax": 'pip install "xpmlp[jax]"',
    "array_api_strict": "pip install array-api-strict (checks code against the standard)",
}
EXTRAS = {
    "duckdb": ("reads tables", 'pip install "xpmlp[data]"'),
    "onnx": ("exports models to other runtimes", 'pip install "xpmlp[onnx]"'),
    "matplotlib": ("draws pictures", 'pip install "xpmlp[plot]"'),
}
CARD_USERS = ("torch", "jax")
GENERATIONS = {0: "works", 3: "AVX2", 4: "AVX-512"}  # of processors that the code is made for


def show_backends() -> None:
    """Print which array libraries work here, on which devices, and what to type for the others.

    Imports every installed library; a broken one is reported with its reason, never raised.

    Examples
    --------
    >>> import xpmlp
    >>> xpmlp.show_backends()  # doctest: +ELLIPSIS
    xpmlp ...
    numpy ... works on cpu...
    """
    print(report())


def report() -> str:
    """Return the text that `show_backends` prints: at most 40 lines of 100 columns."""
    facts, others = cuda_probe.ask(), other_gpus.rows(other_gpus.ask())
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    rows = [
        f"xpmlp {__version__}, Python {platform.python_version()}, {machine}\n",
        *(_row(name, *_examine(name, facts)) for name in LIBRARIES),
        "",
        _row("NumPy's BLAS", *_blas()),
        _row("compiled engine", *_compiled()),
        *(_row(name, *_extra(name)) for name in EXTRAS),
        "\nCUDA",
        *(_row("  " + row.name, row.version, row.text, lines=4) for row in cuda.rows(facts)),
        *["\nOther GPUs"] * bool(others),
        *(_row("  " + row.name, row.version, row.text) for row in others),
    ]
    return "\n".join(rows)


def _row(name, version, text, lines=3):
    """One row of the table; a long text wraps."""
    head, margin = f"{name:18}{version:13.13} ", " " * 32
    wrapper = textwrap.TextWrapper(100, head, margin, max_lines=lines, break_on_hyphens=False)
    return wrapper.fill(text)


def _examine(name, facts):
    """Version of one array library, and where it works or why it does not."""
    version = "-"
    try:
        if find_spec(name) is None:
            return version, f"not installed: {LIBRARIES[name]}"
        if name in CARD_USERS and any("fate" in fact for fact in facts.values()):
            return metadata.version(name), "not tried, as it would ask the driver: see CUDA below"
        with _quiet():
            module = import_module(name)
            version = str(getattr(module, "__version__", "unknown"))
            verdicts = [f"{_probe(name, place)} {label}" for label, place in _devices(module)]
            text = "; ".join(dict.fromkeys(verdicts))
    except Exception as error:  # a broken library may raise anything
        return version, f"does not work: {cuda_probe.reason(error)}"
    if name in CARD_USERS and "name" in facts.get("card", {}) and "cuda" not in text:
        text += f"; sees no GPU: is this {name} built for the CPU only?"
    return version, text


def _devices(module):
    """Pairs (label, arguments that name the device) of an imported array library."""
    if module.__name__ == "torch":
        cuda = [f"cuda:{i}" for i in range(module.cuda.device_count())]
        found = [("cpu", "cpu"), *((f"{c} {module.cuda.get_device_name(c)}", c) for c in cuda)]
        accelerator = getattr(module, "accelerator", None)  # since torch 2.6
        if accelerator and accelerator.is_available():
            kind = accelerator.current_accelerator().type
            found += [(kind, kind)] * (kind != "cuda")  # mps, xpu
        return [(label, {"device": d}) for label, d in found]
    if module.__name__ == "jax":
        found = module.devices()
        labels = {d: f"{d} {d.device_kind}" for d in found if d.platform != "cpu"}
        return [(labels.get(d, "cpu"), {"device": d}) for d in found]
    return [("cpu", {})]


def _probe(name, place):
    """Allocate, run one kernel, read back; the verdict that stands before the device's label."""
    xp = import_module({"jax": "jax.numpy"}.get(name, name))
    try:
        ones = xp.ones(2, dtype=xp.float32, **place)
        total = float(xp.sum(ones + 1))
    except Exception as error:  # one bad GPU does not hide the others
        return f"fails ({cuda_probe.reason(error)}) on"
    if total != 4:
        return f"gives 2 + 2 = {total} on"
    return "works on"


def _blas():
    """Version of the library behind NumPy's products; its name and threads."""
    import numpy as np
    from threadpoolctl import threadpool_info

    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    if not pools:  # Apple's Accelerate, for one, is unknown to threadpoolctl
        build = np.show_config(mode="dicts").get("Build Dependencies", {}).get("blas", {})
        return str(build.get("version", "-")), f"{build.get('name', 'unknown')}, threads unknown"
    pool = next((pool for pool in pools if "numpy" in pool["filepath"]), pools[0])
    return pool["version"] or "-", f"{pool['internal_api']}, {pool['num_threads']} threads"


def _compiled():
    """Generation of x86 that the compiled engine is made for, its BLAS and threads; or why not."""
    from ..engines.blas import find_blas, n_threads
    from ..engines.native.library import library

    built = library()
    if isinstance(built, str):
        return "-", f"{built}; until then NumPy computes what it would"
    generation = GENERATIONS[built.xpmlp_generation(4)]
    blas, threads = find_blas(), plural(n_threads(), "thread")
    return generation, f"steps and predictions on NumPy arrays; {blas.name}, {blas.why}; {threads}"


def _extra(name):
    use, install = EXTRAS[name]
    try:
        return metadata.version(name), use
    except metadata.PackageNotFoundError:
        return "-", f"{use}; not installed: {install}"


@contextmanager
def _quiet():
    """Silence warnings and logs, and keep JAX from reserving most of a GPU for one small probe."""
    key, level = "XLA_PYTHON_CLIENT_PREALLOCATE", logging.root.manager.disable
    unset = key not in os.environ
    os.environ.setdefault(key, "false")
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
        if unset:
            del os.environ[key]
