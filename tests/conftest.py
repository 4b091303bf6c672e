"""The fixture `xp`: every array library and variant that the array tests run on.

What each variant catches: /numpy-readonly/ a write into an argument, /strict/ what the standard
does not promise, /device1/ an array made on the wrong device, /no_float64/ a hidden float64,
/strictest/ data-dependent shapes, /torch/ another default dtype, /jax/ writes that are lost and
values read while tracing.
"""

import itertools
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from xpmlp import arrays


@dataclass(frozen=True)
class Backend:
    """An array library on one device, with the ways there and back."""

    name: str
    xp: Any  # the Array API namespace
    floats: tuple[str, ...]  # its float dtypes, the widest first
    place: Callable[[np.ndarray], Any]  # a host array that nobody else holds -> an array
    eager: bool = True  # False on JAX, which compiles each operation that is run by itself
    readonly: bool = False

    def asarray(self, a, dtype=None):
        """An array on the variant's device; read-only on numpy-readonly."""
        x = self.owned(a, dtype)
        if self.readonly:
            x.flags.writeable = False
        return x

    def owned(self, a, dtype=None):
        """The same, but writable: for arguments that a function takes over ("Donates")."""
        a = np.array(a, dtype=dtype)
        assert a.dtype.kind != "f" or a.dtype.name in self.floats, f"{self.name} has no {a.dtype}"
        x = self.place(a)
        assert dtype_name(x) == a.dtype.name or a.dtype.kind != "f"
        return x

    def host(self, x):
        """A NumPy copy."""
        return arrays.to_host(x)

    def call(self, f, *args):
        """f(*args), compiled where single operations would each be compiled."""
        return f(*args) if self.eager else import_module("jax").jit(f)(*args)


def dtype_name(x):
    return str(x.dtype).rpartition(".")[2]


def _numpy(readonly=False):
    return Backend(
        "numpy-readonly" if readonly else "numpy",
        arrays.namespace(np.empty(0)), ("float64", "float32"), lambda a: a, readonly=readonly,
    )  # fmt: skip


@contextmanager
def _strict(device="CPU_DEVICE", **flags):
    xs = import_module("array_api_strict")
    d = xs.Device(device)
    before = xs.get_array_api_strict_flags()
    xs.set_array_api_strict_flags(**flags)
    kinds = xs.__array_namespace_info__().dtypes(device=d, kind="real floating")
    floats = tuple(name for name in ("float64", "float32") if name in kinds)
    try:
        yield Backend("strict", xs, floats, lambda a: xs.asarray(a, device=d))
    finally:
        xs.set_array_api_strict_flags(**before)


def _torch():
    torch = import_module("torch")
    assert torch.get_default_dtype() == torch.float32
    xp = arrays.namespace(torch.empty(0))
    return Backend("torch", xp, ("float64", "float32"), lambda a: torch.asarray(a, device="cpu"))


@contextmanager
def _jax(x64=False):
    jax = import_module("jax")
    home = jax if hasattr(jax, "enable_x64") else import_module("jax.experimental")
    with home.enable_x64(x64):  # of this thread, and undone at the end
        floats = ("float64",) if x64 else ("float32",)
        device = jax.devices("cpu")[0]
        xp = jax.numpy
        yield Backend(
            "jax-x64" if x64 else "jax",
            xp,
            floats,
            lambda a: xp.asarray(a, device=device),
            eager=False,
        )


def _cupy():
    cupy = import_module("cupy")
    xp = arrays.namespace(cupy.empty(0))
    return Backend("cupy", xp, ("float64", "float32"), cupy.asarray)


@cache
def _cupy_problem():
    # CuPy imports without a card, a driver or NVRTC: only a kernel that runs says that it works.
    cupy = import_module("cupy")
    try:
        assert float((cupy.ones(2, "float32") + 1).sum()) == 4.0
    except Exception as error:
        return f"cupy imports, but does not run: {type(error).__name__}: {error}"
    return ""


STRICTEST = {"boolean_indexing": False, "data_dependent_shapes": False, "enabled_extensions": ()}
VARIANTS = {
    "numpy": lambda: nullcontext(_numpy()),
    "numpy-readonly": lambda: nullcontext(_numpy(readonly=True)),
    "strict": _strict,
    "strict-device1": lambda: _strict("device1"),
    "strict-no_float64": lambda: _strict("no_float64"),
    "strict-strictest": lambda: _strict(**STRICTEST),
    "torch": lambda: nullcontext(_torch()),
    "jax": _jax,
    "jax-x64": lambda: _jax(x64=True),
    "cupy": lambda: nullcontext(_cupy()),
}
MODULES = {"strict": "array_api_strict"}


def _problem(name):
    """Why a variant cannot run here, or an empty string."""
    library = name.partition("-")[0]
    module = MODULES.get(library, library)
    if find_spec(module) is None:
        return f"{module} is not installed"
    if name == "strict-no_float64":
        devices = import_module(module).__array_namespace_info__().devices()
        if "no_float64" not in map(_device_name, devices):
            return "this array_api_strict has no device without float64"
    return _cupy_problem() if library == "cupy" else ""


def _device_name(device):
    return getattr(device, "_device", str(device))


def pytest_addoption(parser):
    parser.addoption(
        "--xp-require", action="append", default=[], metavar="NAME",
        help="fail instead of skip where this variant of `xp` does not work; repeatable",
    )  # fmt: skip


def pytest_configure(config):
    known = {*VARIANTS, *(name.partition("-")[0] for name in VARIANTS)}
    unknown = set(config.getoption("--xp-require")) - known
    if unknown:
        raise pytest.UsageError(
            f"--xp-require {', '.join(unknown)}: not among {', '.join(sorted(known))}"
        )


def _params(names):
    return [pytest.param(name, marks=[pytest.mark.gpu] if name == "cupy" else []) for name in names]


def _backend(request):
    name = request.param
    problem = _problem(name)
    if problem and {name, name.partition("-")[0]} & set(request.config.getoption("--xp-require")):
        pytest.fail(f"--xp-require {name}: {problem}")
    if problem:
        pytest.skip(problem)
    with VARIANTS[name]() as backend:
        yield backend


# JAX compiles, which takes seconds: each test gets it only where it shows something new.
@pytest.fixture(params=_params(name for name in VARIANTS if name != "jax-x64"))
def xp(request):
    """The libraries and variants of the module's head, one after the other."""
    yield from _backend(request)


@pytest.fixture(params=_params(VARIANTS))
def xp64(request):
    """The same, and JAX with float64 switched on: for gradients."""
    yield from _backend(request)


@pytest.fixture(params=_params(name for name in VARIANTS if not name.startswith("jax")))
def xp_eager(request):
    """The same without JAX: for many small cases, and for arrays that can be written to."""
    yield from _backend(request)


@pytest.fixture
def plain():
    """NumPy as a backend, to compare with."""
    return _numpy()


# What the tests compare with. ULP fit elementwise operations only; products and sums cancel.


def relative_error(got, want):
    """Norm-wise: ||got - want|| / ||want||, of host arrays of one shape."""
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    assert got.shape == want.shape
    assert np.isfinite(want).all()
    return np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-300)


def ulps(got, want, size=0.0):
    """The largest error of `got` in units in the last place of `want` (float64), or of `size`."""
    assert got.shape == want.shape
    unit = np.spacing(np.maximum(np.abs(want), size).astype(got.dtype)).astype(np.float64)
    return float(np.max(np.abs(got.astype(np.float64) - want) / unit))


def leaves(tree, path=()):
    """Yield (path, array) over nested dicts, lists and tuples, sorted by key."""
    if isinstance(tree, dict):
        for key in sorted(tree, key=str):
            yield from leaves(tree[key], (*path, key))
    elif isinstance(tree, list | tuple):
        for i, part in enumerate(tree):
            yield from leaves(part, (*path, i))
    elif tree is not None:
        yield path, tree


def map_tree(f, tree):
    """The same nesting with f(array) in the arrays' places."""
    if isinstance(tree, dict):
        return {key: map_tree(f, part) for key, part in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [map_tree(f, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    return None if tree is None else f(tree)


def assert_close(got, want, tolerance):
    """Equal norm-wise, array by array, over nested dicts of host arrays."""
    got, want = dict(leaves(got)), dict(leaves(want))
    assert got.keys() == want.keys()
    errors = {path: relative_error(got[path], want[path]) for path in want}
    assert all(error <= tolerance for error in errors.values()), errors


def assert_derivative(f, at, gradient, *, seed=0, h=1e-5, tolerance=1e-8):
    """f(tree) -> float has this gradient: directional derivatives in float64, array by array."""
    rng = np.random.default_rng(seed)
    gradients = dict(leaves(gradient))
    assert gradients.keys() == {path for path, _ in leaves(at)}
    for (path, a), _ in itertools.product(leaves(at), range(3)):
        g, u = gradients[path], rng.normal(size=a.shape)
        assert a.dtype == np.float64
        assert g.shape == a.shape, path
        ahead, behind = (
            f(map_tree(lambda b, a=a, step=s * u: b + step if b is a else b, at)) for s in (h, -h)
        )
        numeric, analytic = (ahead - behind) / (2 * h), float((g * u).sum())
        size = np.linalg.norm(g) * np.linalg.norm(u)
        assert abs(numeric - analytic) <= tolerance * max(size, 1e-3), (path, numeric, analytic)
